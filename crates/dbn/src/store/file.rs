//! Whether a file of weights is one, and the one that its configuration describes.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use rbm_core::ops::device::is_finite;
use rbm_core::state::State;
use rbm_core::{Error, Result};
use safetensors::SafeTensors;

use crate::network::config::CONFIG;

/// Every tensor of the file `path`. Errors for anything but whole float32 tensors.
pub(super) fn read_tensors(path: &Path, device: &Device) -> Result<State> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let wrong = |found: String| Error::file(path, "header", "a whole safetensors file", found);
    let file = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    for (name, view) in file.tensors() {
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(Error::file(
                path,
                format!("tensor {name:?}"),
                "dtype F32",
                format!("{:?}", view.dtype()),
            ));
        }
    }
    let tensors =
        candle_core::safetensors::load_buffer(&bytes, device).map_err(|e| wrong(e.to_string()))?;
    Ok(tensors.into_iter().collect())
}

/// Errors unless the file `path` holds the `expected` tensors and no other.
pub(super) fn check(
    path: &Path,
    expected: &BTreeMap<String, Vec<usize>>,
    found: &State,
) -> Result<()> {
    check_shapes(path, expected, found)?;
    match found.keys().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(Error::file(
            path,
            format!("tensor {name:?}"),
            format!("only what {CONFIG} describes"),
            "an extra tensor",
        )),
        None => Ok(()),
    }
}

/// Errors unless the file `path` holds the `expected` tensors, in these shapes, of finite numbers.
pub(super) fn check_shapes(
    path: &Path,
    expected: &BTreeMap<String, Vec<usize>>,
    found: &State,
) -> Result<()> {
    for (name, shape) in expected {
        let place = format!("tensor {name:?}");
        let wanted = format!("shape {shape:?} as {CONFIG} says");
        match found.get(name) {
            None => return Err(Error::file(path, place, wanted, "no such tensor")),
            Some(tensor) if tensor.dims() != shape => {
                return Err(Error::file(path, place, wanted, format!("shape {:?}", tensor.dims())));
            }
            Some(tensor) => {
                if !is_finite(tensor)? {
                    return Err(Error::file(path, place, "finite numbers", "NaN or infinity"));
                }
            }
        }
    }
    Ok(())
}
