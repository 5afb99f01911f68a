//! A machine as it was found in a file, and the model that several of them are.

use super::state_dict;
use crate::{Dbn, Model};
use candle_core::{DType, Device, Tensor, safetensors};
use rbm_core::{Error, Rbm, Result, Units};
use std::collections::BTreeMap;
use std::path::Path;

/// Numbers with their name in the file.
pub struct Named {
    pub name: String,
    /// Of any type of floats.
    pub tensor: Tensor,
}

/// The parts of a machine.
pub struct RbmTensors {
    pub visible: Units,
    pub hidden: Units,
    /// `(visible, hidden)`.
    pub weights: Named,
    pub visible_bias: Named,
    pub hidden_bias: Named,
}

impl Named {
    pub fn new(name: impl Into<String>, tensor: Tensor) -> Self {
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
pub fn stacked(path: &Path, machines: &[RbmTensors]) -> Result<Model> {
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

pub type Tensors = BTreeMap<String, Tensor>;

/// Every tensor of the file `path`, by its ending, and notes of those that are not read.
///
/// # Errors
///
/// Where it is no such file, is damaged, or has no tensors.
pub fn read(path: &Path) -> Result<(Tensors, Vec<String>)> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
            let tensors = safetensors::load_buffer(&bytes, &Device::Cpu);
            let form = "a whole safetensors file";
            let tensors: Tensors = tensors
                .map_err(|e| Error::file(path, "header", form, first_line(&e)))?
                .into_iter()
                .collect();
            match tensors.is_empty() {
                true => Err(Error::file(path, "header", form, "no tensors")),
                false => Ok((tensors, Vec::new())),
            }
        }
        Some("pt" | "pth" | "bin" | "ckpt") => state_dict::read(path),
        _ => {
            let expected = "a name ending in .safetensors, .pt, .pth, .bin or .ckpt";
            Err(Error::file(path, "the file", expected, "another ending"))
        }
    }
}

/// An error without the backtrace that may follow it.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
