//! Boltzmann machines on graphs: lattices, spin glasses, memories, random fields, belief nets; learning, and exact answers.
//!
//! A [`Graph`] is plain data. [`Graph::machine`] makes a machine of it, which every sampler and estimator of `rbm_core` takes.
#![deny(missing_docs)]

pub mod belief;
mod graph;

pub mod contacts;
pub mod exact;
mod field;

mod elimination_order;

mod couplings;
mod elimination;
mod files;
pub mod hopfield;
pub mod lattice;
mod params;
mod shape;

mod activity;
mod start;

mod resampling;
mod settings;

pub mod pretraining;

pub mod learning;
mod posterior;

mod observables;

mod field_chains;
mod summary;
mod uai;
pub mod unrolled;

pub use couplings::Couplings;
pub use elimination::Mode;
pub use elimination_order::EliminationOrder;
pub use field::{Beliefs, Clique, MarkovField};
pub use field_chains::{FieldBest, SampledBeliefs};
pub use graph::Graph;
pub use observables::{
    EnergyMeasurement, Estimate, Measurement, Start, Walk, measure_energy, set_temperature,
};
pub use params::letters_of_params;
pub use posterior::{LogLikelihood, Posterior, Summation};
pub use resampling::{Resampled, samples};
pub use start::{ColumnFindings, column_findings};
pub use summary::{CouplingSummary, LargestCoupling, LayerSummary, MachineSummary};
pub use uai::evidence_as_uai;

/// The program of this package's README, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
