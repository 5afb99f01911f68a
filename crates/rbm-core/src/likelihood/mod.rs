//! How probable the machine finds the data: exactly, or by a quantity that needs no partition function.

mod exact;
mod pseudo;

pub use exact::{log_likelihood, log_partition};
pub use pseudo::{pseudo_likelihood, stochastic_pseudo_likelihood};
