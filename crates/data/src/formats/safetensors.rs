//! Tensors in .safetensors files.

use std::collections::BTreeMap;
use std::path::Path;

use rbm_core::{Error, Result};
use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensors};

use crate::bytes;
use crate::dataset::Examples;
use crate::labels;
use crate::matrix::{Element, ElementKind, MatrixLayout, RawMatrix};
use crate::options::Missing;
use crate::options::ReadOptions;
use crate::view::View;

const CASES: [&str; 5] = ["cases", "data", "x", "samples", "images"];
const LABELS: [&str; 2] = ["labels", "y"];
const FORM: &str = "a .safetensors file";
const TYPES: &str = "F64, F32, F16, BF16, U8, U32, I16, I32 or I64";

/// Cases, the size of pictures, and the names of classes.
type TensorsRead = (Examples, Option<(usize, usize)>, Option<Vec<String>>);

/// The cases in the file `path`, `(n, width)`, or `(n, height, width)` with their height and width as pictures: the first
/// there is of the tensors [`CASES`], or else the only floating-point or U8 tensor of such a shape; labels from [`LABELS`].
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<TensorsRead> {
    let bytes = bytes::read(path, FORM)?;
    let (header, metadata) = SafeTensors::read_metadata(&bytes)
        .map_err(|e| Error::file(path, "header", "a whole .safetensors file", e.to_string()))?;
    let file = File { path, tensors: metadata.tensors().into_iter().collect() };
    let (name, info) = file.cases()?;
    let place = format!("tensor `{name}`");
    if info.shape.contains(&0) {
        let found = format!("shape {:?}", info.shape);
        return Err(Error::file(path, place, "at least one case of at least one value", found));
    }
    let (count, width, image) = match info.shape[..] {
        [count, width] => (count, width, None),
        [count, height, width] | [count, height, width, 1] | [count, 1, height, width] => {
            (count, height * width, Some((height, width)))
        }
        _ => {
            let found = format!("{:?}", info.shape);
            let expected =
                "shape (n, width) or (n, height, width), pictures with one channel or none";
            return Err(Error::file(path, place, expected, found));
        }
    };
    let number = file.number(name, info)?;
    // Eight bytes say how long the header is.
    let of = |info: &TensorInfo| 8 + header + info.data_offsets.0..8 + header + info.data_offsets.1;
    let (labels, names) = match file.labels(name)? {
        None => (None, None),
        Some((name, info)) => {
            let values = file.number(name, info)?.wide(&bytes[of(info)]);
            let (labels, names) = labels::classes(path, &values)?;
            labels::check_count(path, labels.len(), count)?;
            (Some(labels), names)
        }
    };
    let layout = MatrixLayout { start: of(info).start, count, width, number };
    let stored = match options.missing() {
        Missing::Refuse => RawMatrix::new(path, bytes, layout, options.scale)?,
        _ => RawMatrix::with_missing(path, bytes, layout, options.scale)?,
    };
    Ok((Examples::of(View::from(stored), labels)?, image, names))
}

/// What a file says that it holds.
struct File<'a> {
    path: &'a Path,
    tensors: BTreeMap<String, &'a TensorInfo>,
}

impl File<'_> {
    fn cases(&self) -> Result<(&str, &TensorInfo)> {
        let named = CASES.iter().find_map(|name| self.get(name));
        if let Some(named) = named {
            return Ok(named);
        }
        let is_other = |name: &str| !LABELS.contains(&name);
        let mut matrices =
            self.tensors.iter().filter(|(name, info)| is_other(name) && is_matrix(info));
        if let (Some((name, info)), None) = (matrices.next(), matrices.next()) {
            return Ok((name, info));
        }
        let expected = format!(
            "a tensor named {}, or only one matrix",
            CASES.map(|name| format!("`{name}`")).join(", ")
        );
        let all = self.tensors.iter().map(|(name, info)| format!("`{name}` {:?}", info.shape));
        let all: Vec<_> = all.collect();
        let found = if all.is_empty() { "no tensor".into() } else { all.join(", ") };
        Err(Error::file(self.path, "tensors", expected, found))
    }

    fn labels(&self, cases: &str) -> Result<Option<(&str, &TensorInfo)>> {
        let Some((name, info)) = LABELS.iter().find_map(|name| self.get(name)) else {
            return Ok(None);
        };
        if name == cases {
            return Ok(None);
        }
        if !matches!(info.shape[..], [_] | [_, 1]) || info.shape.contains(&0) {
            let (place, found) = (format!("tensor `{name}`"), format!("{:?}", info.shape));
            return Err(Error::file(self.path, place, "shape (n,) or (n, 1)", found));
        }
        Ok(Some((name, info)))
    }

    fn get(&self, name: &str) -> Option<(&str, &TensorInfo)> {
        self.tensors.get_key_value(name).map(|(name, info)| (name.as_str(), *info))
    }

    /// How the numbers of a tensor lie. Errors for other types than [`TYPES`].
    fn number(&self, name: &str, info: &TensorInfo) -> Result<Element> {
        let kind = match info.dtype {
            Dtype::F64 => ElementKind::F64,
            Dtype::F32 => ElementKind::F32,
            Dtype::F16 => ElementKind::F16,
            Dtype::BF16 => ElementKind::Bf16,
            Dtype::U8 => ElementKind::U8,
            Dtype::U32 => ElementKind::U32,
            Dtype::I16 => ElementKind::I16,
            Dtype::I32 => ElementKind::I32,
            Dtype::I64 => ElementKind::I64,
            other => {
                let place = format!("tensor `{name}`");
                return Err(Error::file(self.path, place, TYPES, other.to_string()));
            }
        };
        Ok(Element::little_endian(kind))
    }
}

fn is_matrix(info: &TensorInfo) -> bool {
    let is_data =
        matches!(info.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::U8);
    is_data && matches!(info.shape.len(), 2..=4)
}
