//! Tensors in .safetensors files.

use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Result};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{Part, bytes, labels, part};

const CASES: [&str; 5] = ["cases", "data", "x", "samples", "images"];
const LABELS: [&str; 2] = ["labels", "y"];
const FORM: &str = "a .safetensors file";
const TYPES: &str = "F64, F32, F16, BF16, U8, U32, I16, I32 or I64";

/// The cases in the file `path`, `(n, width)`, or `(n, height, width)` with their height and width as pictures: the first
/// there is of the tensors [`CASES`], or else the only floating-point or U8 tensor of such a shape; labels from [`LABELS`].
pub(super) fn read(path: &Path, scale: Option<f32>) -> Result<(Part, Option<(usize, usize)>)> {
    let bytes = bytes::read(path, FORM)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| Error::file(path, "header", "a whole .safetensors file", e.to_string()))?;
    let (name, view) = cases(path, &file)?;
    let place = format!("tensor `{name}`");
    if view.shape().contains(&0) {
        let found = format!("shape {:?}", view.shape());
        return Err(Error::file(path, place, "at least one case of at least one value", found));
    }
    let (cases, width, image) = match *view.shape() {
        [cases, width] => (cases, width, None),
        [cases, height, width] => (cases, height * width, Some((height, width))),
        _ => {
            let found = format!("{:?}", view.shape());
            return Err(Error::file(path, place, "shape (n, width) or (n, height, width)", found));
        }
    };
    let values = numbers(path, &name, &view)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let labels = labels_of(path, &file, &name)?;
    if let Some(labels) = &labels {
        labels::check_count(path, labels.len(), cases)?;
    }
    Ok((Part::new(part::matrix(path, values, width, scale)?, labels)?, image))
}

fn cases<'a>(path: &Path, file: &SafeTensors<'a>) -> Result<(String, TensorView<'a>)> {
    let mut tensors = file.tensors();
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    for name in CASES {
        if let Some(at) = tensors.iter().position(|(other, _)| other == name) {
            return Ok(tensors.swap_remove(at));
        }
    }
    let all: Vec<_> =
        tensors.iter().map(|(name, view)| format!("`{name}` {:?}", view.shape())).collect();
    tensors.retain(|(name, view)| !LABELS.contains(&name.as_str()) && is_matrix(view));
    if let (Some(only), true) = (tensors.pop(), tensors.is_empty()) {
        return Ok(only);
    }
    let expected = format!(
        "a tensor named {}, or only one matrix",
        CASES.map(|name| format!("`{name}`")).join(", ")
    );
    let found = if all.is_empty() { "no tensor".into() } else { all.join(", ") };
    Err(Error::file(path, "tensors", expected, found))
}

fn is_matrix(view: &TensorView<'_>) -> bool {
    let is_data =
        matches!(view.dtype(), Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::U8);
    is_data && matches!(view.shape().len(), 2 | 3)
}

fn labels_of(path: &Path, file: &SafeTensors<'_>, cases: &str) -> Result<Option<Vec<u32>>> {
    let Some((name, view)) = LABELS.iter().find_map(|&name| Some((name, file.tensor(name).ok()?)))
    else {
        return Ok(None);
    };
    if name == cases {
        return Ok(None);
    }
    if !matches!(*view.shape(), [_] | [_, 1]) || view.shape().contains(&0) {
        let found = format!("{:?}", view.shape());
        return Err(Error::file(path, format!("tensor `{name}`"), "shape (n,) or (n, 1)", found));
    }
    let values =
        numbers(path, name, &view)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    labels::labels(path, values).map(Some)
}

fn numbers(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Tensor> {
    use Dtype::{BF16, F16, F32, F64, I16, I32, I64, U8, U32};
    if !matches!(view.dtype(), F64 | F32 | F16 | BF16 | U8 | U32 | I16 | I32 | I64) {
        let found = view.dtype().to_string();
        return Err(Error::file(path, format!("tensor `{name}`"), TYPES, found));
    }
    Ok(view.load(&Device::Cpu)?)
}
