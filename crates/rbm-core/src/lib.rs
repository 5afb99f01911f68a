//! Boltzmann machines on candle, restricted and of any shape: units, sampling, learning, likelihoods.
//!
//! A machine is two [`Layer`]s and a weight matrix ([`Rbm`]). Learning climbs the difference of two averages
//! ([`Gradient`]): one over the data, one over what the machine believes in ([`NegativePhase`]); contrastive divergence,
//! persistent chains and exact enumeration differ in nothing but the second. Rows are configurations: tensors are
//! `(batch, width)`, `f32` or `f64`. Energies and log-likelihoods are in nats.
//!
//! The modules are in the order in which they build on each other; each file holds one idea.
#![deny(missing_docs)]

pub mod error;
pub mod rng;

pub mod stats;

pub mod ops;

pub mod state;

pub mod rows;

pub mod units;

pub mod model;

pub mod sampling;

pub mod estimate;

pub mod learning;

pub use error::{Error, Result, printable, printable_lines, printable_up_to};
pub use learning::negative::{
    Conditional, ContrastiveDivergence, Exact, FastPersistent, Hybrid, MeanField, NegativePhase,
    ParallelTrajectory, Persistent, PseudoLikelihood, TemperedPersistent,
};
pub use learning::optim::{Adam, ConjugateGradient, Optimizer, Sgd};
pub use learning::positive::PositivePhase;
pub use learning::schedule::Schedule;
pub use learning::train::Observer;
pub use learning::trainer::Trainer;
pub use learning::transform::Transform;
pub use model::{Averages, ClassRbm, Gradient, Phase, Rbm};
pub use rng::Rng;
pub use rows::{Batches, Rows};
pub use sampling::{Gibbs, Kernel, Mixing};
pub use state::{Checkpoint, State, Stateful};
pub use units::{Discrete, Layer, Units};

/// The programs of this package's README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
