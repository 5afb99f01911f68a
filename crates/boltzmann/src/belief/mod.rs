//! Sigmoid belief nets and Helmholtz machines.

mod helmholtz;
pub mod learning;
mod net;

pub use helmholtz::{Guesses, Helmholtz};
pub use net::{BeliefNet, ExactPosterior};
