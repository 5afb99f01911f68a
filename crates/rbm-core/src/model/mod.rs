//! The machine: its energy and its gradient, where learning starts, and what its weights tell.

mod class_rbm;
mod gradient;
pub mod init;
mod normalisability;
mod rbm;
pub mod spectrum;

pub use class_rbm::Joint;
pub use gradient::{Averages, Gradient, Phase};
pub use rbm::Rbm;
