//! Machines that other programs have learned: scikit-learn, `rbms` and PyTorch.
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
mod pickle;
mod pytorch;

pub use arrays::{rbms, sklearn};
pub use pytorch::{TensorNames, pytorch};

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Rbm, Result, Units};

use crate::{Dbn, Model};

/// A network as it was read.
#[derive(Debug)]
pub struct Imported {
    /// The machines, without a classifier and with nothing done to the data first.
    pub model: Model,
    /// What a reader should know of how they were read: what was assumed, what was left aside.
    pub notes: Vec<String>,
}

/// Numbers with their name in the file.
struct NamedTensor {
    name: String,
    /// Of any type of floats.
    tensor: Tensor,
}

/// The parts of a machine.
struct RbmTensors {
    visible: Units,
    hidden: Units,
    /// `(visible, hidden)`.
    weights: NamedTensor,
    visible_bias: NamedTensor,
    hidden_bias: NamedTensor,
}

impl NamedTensor {
    fn new(name: impl Into<String>, tensor: Tensor) -> Self {
        Self { name: name.into(), tensor }
    }

    /// In `f32`. Errors unless it has the shape `expected`, and all of its numbers are finite and fit.
    fn checked(&self, path: &Path, expected: &[usize]) -> Result<Tensor> {
        let place = format!("tensor {:?}", self.name);
        if self.tensor.dims() != expected {
            let expected =
                format!("shape {expected:?}, as the other tensors of the machine have it");
            return Err(Error::file(path, place, expected, format!("{:?}", self.tensor.dims())));
        }
        let tensor = self.tensor.to_dtype(DType::F32)?.contiguous()?;
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        match values.iter().position(|x| !x.is_finite()) {
            Some(at) => {
                let place = format!("{place}, number {}", at + 1);
                Err(Error::file(path, place, "a finite number", values[at].to_string()))
            }
            None => Ok(tensor),
        }
    }
}

impl RbmTensors {
    fn rbm(&self, path: &Path) -> Result<Rbm> {
        let (visible, hidden) = (self.visible.width(), self.hidden.width());
        // Before anything is made of sizes that only one tensor claims.
        let weights = self.weights.checked(path, &[visible, hidden])?;
        let visible_bias = self.visible_bias.checked(path, &[visible])?;
        let hidden_bias = self.hidden_bias.checked(path, &[hidden])?;
        let rbm = Rbm::new(&self.visible, &self.hidden, DType::F32, &Device::Cpu)?;
        rbm.weights().set(&weights)?;
        for (layer, bias) in [(rbm.visible(), visible_bias), (rbm.hidden(), hidden_bias)] {
            match &layer.vars()[..] {
                [(_, var)] => var.set(&bias)?,
                _ => {
                    let expected = "units of one kind with nothing to learn but a bias";
                    return Err(Error::invalid("the units", expected, layer.units().to_string()));
                }
            }
        }
        Ok(rbm)
    }
}

/// The network of these machines of the file `path`, from the bottom up.
///
/// # Errors
///
/// Where one has other shapes than its biases, or than the one below, or numbers that are not finite.
fn stacked(path: &Path, machines: &[RbmTensors]) -> Result<Model> {
    let rbms = machines.iter().map(|machine| machine.rbm(path)).collect::<Result<Vec<_>>>()?;
    for (pair, machine) in rbms.windows(2).zip(machines.iter().skip(1)) {
        let (below, above) = (pair[0].hidden().units(), pair[1].visible().units());
        if below != above {
            let place = format!("tensor {:?}", machine.visible_bias.name);
            let expected = format!("{below}, the hidden units of the machine below");
            return Err(Error::file(path, place, expected, above.to_string()));
        }
    }
    Ok(Dbn::new(rbms)?.into())
}

/// Numbers that any file may have, however small it is: 64 MiB of them.
const ALWAYS: u64 = (64 << 20) / size_of::<f32>() as u64;

/// The most numbers for each byte of a file. What was learned is hardly compressible: 4 bytes a number are about 0.3 numbers a
/// byte, and 8 zeros in front of each byte that is not are still a few.
const A_BYTE: u64 = 4;

/// The numbers that may still be read from a file. A bomb is small and claims many: they are counted before any is read.
struct Budget<'a> {
    path: &'a Path,
    all: u64,
    left: u64,
}

impl<'a> Budget<'a> {
    /// The budget of the file `path`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be looked at.
    fn of(path: &'a Path) -> Result<Self> {
        let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
        let all = ALWAYS.max(length.saturating_mul(A_BYTE));
        Ok(Self { path, all, left: all })
    }

    /// Takes so many numbers for what stands at `place`.
    ///
    /// # Errors
    ///
    /// Where not so many are left.
    fn take(&mut self, place: &str, numbers: usize) -> Result<()> {
        match self.left.checked_sub(numbers as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let expected = format!(
                    "at most {} numbers in a file of this size (2^24, or 4 a byte; a larger machine is read if its file is not compressed)",
                    self.all
                );
                Err(Error::file(self.path, place, expected, format!("{numbers} more")))
            }
        }
    }
}
