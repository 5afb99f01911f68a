//! Machines, restricted and of any shape: energies, couplings, gradients, and where learning starts.

mod binary_graph;
mod boltzmann;
mod class_rbm;
mod cliques;
mod colouring;
pub mod conditional_layer;
mod coupling;
mod gradient;
pub mod init;
mod machine;
mod on_graph;
mod rbm;
pub mod spectrum;

pub use binary_graph::BinaryGraph;
pub use boltzmann::{Boltzmann, Tempered};
pub use class_rbm::{ClassRbm, PairwiseStatistics, join_labels, pairwise_cgf, pairwise_statistics};
pub use cliques::Cliques;
pub use colouring::Colouring;
pub use conditional_layer::ConditionalLayer;
pub use coupling::Coupling;
pub use gradient::{Averages, Gradient, Phase};
pub use machine::Machine;
pub use rbm::Rbm;
