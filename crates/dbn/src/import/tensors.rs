//! The tensors of a PyTorch state dict, by name.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use candle_core::{Device, Tensor, pickle, safetensors};
use rbm_core::{Error, Result};

pub type Tensors = BTreeMap<String, Tensor>;

const PICKLE: &str = "a PyTorch state dict, as torch.save(model.state_dict(), …) writes it (a pickled model is code: save its state dict, or safetensors)";

/// Where training scripts keep the state dict among other things.
const KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Every tensor of the file `path`, by its ending. Errors where it is no such file, is damaged, or has no tensors.
pub fn read(path: &Path) -> Result<Tensors> {
    let tensors = match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
            let tensors = safetensors::load_buffer(&bytes, &Device::Cpu);
            let form = "a whole safetensors file";
            tensors.map_err(|e| Error::file(path, "header", form, first_line(&e)))?
        }
        Some("pt" | "pth" | "bin" | "ckpt") => pickled(path)?.into_iter().collect(),
        _ => {
            let expected = "a name ending in .safetensors, .pt, .pth, .bin or .ckpt";
            return Err(Error::file(path, "the file", expected, "another ending"));
        }
    };
    if tensors.is_empty() {
        return Err(Error::file(path, "the file", PICKLE, "no tensors by name"));
    }
    Ok(tensors.into_iter().collect())
}

/// Candle's reader of pickles builds tensors and nothing else: it executes nothing.
fn pickled(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    let wrong = |found: String| Error::file(path, "the file", PICKLE, found);
    // The reader takes the shape of a pickle for granted, and panics where it has another one.
    let caught = |key| catch_unwind(AssertUnwindSafe(|| pickle::PthTensors::new(path, key)));
    for key in std::iter::once(None).chain(KEYS.map(Some)) {
        let file = caught(key).map_err(|_| wrong("a damaged pickle".into()))?;
        let file = match file {
            Ok(file) if !file.tensor_infos().is_empty() => file,
            Ok(_) => continue,
            Err(e) if key.is_none() => return Err(wrong(first_line(&e))),
            Err(_) => continue,
        };
        let mut tensors = Vec::new();
        for (name, info) in file.tensor_infos() {
            let size = info.dtype.size_in_bytes();
            let claimed = info.layout.dims().iter().try_fold(size, |n, dim| n.checked_mul(*dim));
            if claimed.is_none_or(|claimed| claimed as u64 > length) {
                let found = format!("tensor {name:?} of shape {:?}", info.layout.dims());
                return Err(wrong(format!("{found}, more than the file has")));
            }
            let tensor = file.get(name).map_err(|e| {
                Error::file(path, format!("tensor {name:?}"), "its numbers", first_line(&e))
            })?;
            tensors.extend(tensor.map(|tensor| (name.clone(), tensor)));
        }
        return Ok(tensors);
    }
    Ok(Vec::new())
}

/// An error without the backtrace that may follow it.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
