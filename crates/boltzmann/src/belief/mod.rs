//! Sigmoid belief nets and Helmholtz machines.

mod helmholtz;
mod layer;
pub mod learning;
mod net;

pub use helmholtz::{Guesses, Helmholtz};
pub use layer::SigmoidLayer;
pub use net::{BeliefNet, Counted};
