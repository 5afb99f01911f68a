//! Sigmoid belief nets and Helmholtz machines: samples, exact posteriors, and wake-sleep.

mod helmholtz;
pub mod learning;
mod net;

pub use helmholtz::{Guesses, Helmholtz};
pub use net::{BeliefNet, ExactPosterior};
