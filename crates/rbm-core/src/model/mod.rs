//! The machine: its energy and its gradient, where learning starts, and what its weights tell.

mod class_rbm;
mod gradient;
pub mod init;
mod normalisability;
mod pairwise;
mod rbm;
pub mod spectrum;

pub use class_rbm::ClassRbm;
pub use gradient::{Averages, Gradient, Phase};
pub use pairwise::{PairwiseStatistics, pairwise_cgf, pairwise_statistics};
pub use rbm::Rbm;
