//! Machines that other programs have learned.
//!
//! | program | file | what is read |
//! | --- | --- | --- |
//! | scikit-learn's `BernoulliRBM` | `.npz` | its attributes `components_`, `intercept_hidden_`, `intercept_visible_` |
//! | `rbms` (DsysDML) | HDF5 | an update's `weight_matrix`, `vbias`, `hbias`: Bernoulli or Potts visible units |
//! | PyTorch | `.safetensors`, `.pt`, `.pth` | a state dict: a machine, or several on top of each other |
//!
//! All of them have the energy of ours, E(v, h) = −b·v − c·h − vᵀWh over units that are 0 or 1 (one-hot for Potts sites), so that
//! free energies and means are the same numbers. Nothing of a file is ever executed.

mod arrays;
mod assemble;
mod pickle;
mod pytorch;
mod state_dict;

use crate::network::Model;

pub use arrays::{rbms, sklearn};
pub use pytorch::{Names, pytorch};

/// A network as it was read.
#[derive(Debug)]
pub struct Imported {
    /// The machines, without a classifier and with nothing done to the data first.
    pub model: Model,
    /// What a reader should know of how they were read: what was assumed, what was left aside.
    pub notes: Vec<String>,
}
