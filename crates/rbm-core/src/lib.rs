//! Restricted Boltzmann machines on candle.
//!
//! A machine is two [`Layer`]s and a weight matrix ([`Rbm`]). Learning climbs the difference of two averages
//! ([`Gradient`]): one over the data, one over what the machine believes in ([`NegativePhase`]); contrastive divergence,
//! persistent chains and exact enumeration differ in nothing but the second. Rows are configurations: tensors are
//! `(batch, width)`, `f32` or `f64`. Energies and log-likelihoods are in nats.
//!
//! The files are in the order in which they build on each other; each holds one idea.
#![deny(missing_docs)]

pub mod error;
pub mod rng;

pub mod state;

pub mod ops;

pub mod data;

pub mod layer;

pub mod rbm;

pub mod normalisable;

pub mod init;

pub mod enumerate;

pub mod kernel;

pub mod gradient;

pub mod labels;

pub mod mixing;

pub mod negative;

pub mod likelihood;

pub mod transform;

pub mod optim;

pub mod line_search;

pub mod conjugate;

pub mod schedule;

pub mod monitor;

mod health;

pub mod checkpoint;
pub mod spectrum;

pub mod train;

pub mod trainer;

pub use checkpoint::Checkpoint;
pub use conjugate::ConjugateGradient;
pub use data::{Batches, Rows};
pub use error::{Error, Result, printable, printable_lines, printable_up_to};
pub use gradient::{Averages, Gradient, Phase};
pub use kernel::{Gibbs, Kernel};
pub use labels::Joint;
pub use layer::{Layer, Units};
pub use mixing::Mixing;
pub use negative::{
    Conditional, ContrastiveDivergence, Exact, FastPersistent, Hybrid, MeanField, NegativePhase,
    ParallelTrajectory, Persistent, Tempered,
};
pub use optim::{Adam, Optimizer, Sgd};
pub use rbm::Rbm;
pub use rng::Rng;
pub use schedule::Schedule;
pub use state::{State, Stateful};
pub use train::Observer;
pub use trainer::Trainer;
pub use transform::Transform;
