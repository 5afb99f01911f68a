//! Learning: the positive phase, what is done to a gradient, optimisers, and the one loop of training.

pub mod negative;
pub mod optim;
pub mod positive;
pub mod schedule;
pub mod train;
pub mod trainer;
pub mod transform;
