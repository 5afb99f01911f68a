//! What changes a machine: both phases, what is done to a gradient, the steps that are taken along it, and the loop of training.

pub mod negative;
pub mod optim;
pub mod positive;
pub mod schedule;
pub mod train;
pub mod trainer;
pub mod transform;
