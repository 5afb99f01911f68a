//! The tensors of a PyTorch state dict, by name.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, safetensors};
use rbm_core::{Error, Result};

use super::state_dict;

pub type Tensors = BTreeMap<String, Tensor>;

/// Every tensor of the file `path`, by its ending, and notes of those that are not read. Errors where it is no such file, is
/// damaged, or has no tensors.
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
