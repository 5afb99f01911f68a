//! Boltzmann machines that physicists name: lattices, spin glasses, and graphs of one's own.
//!
//! A [`Graph`] is plain data. [`Graph::machine`] makes a machine of it, which every sampler and estimator of `rbm_core` takes.
#![deny(missing_docs)]

mod graph;
pub mod lattice;
mod named;

pub use graph::Graph;

/// The program of this package's README, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
