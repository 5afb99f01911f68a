//! NumPy arrays in .npy files.

use std::io;
use std::path::Path;

use candle_core::{Device, Tensor};
use npyz::{DType, Deserialize, NpyFile, NpyHeader, Order, TypeChar};
use rbm_core::{Error, Result};

use super::{Part, bytes, labels, part};

const FORM: &str = "a NumPy .npy file";
const TYPES: &str = "booleans, integers of 8 to 64 bits, float32 or float64";
// NumPy itself reads no longer header from a file that it does not trust.
const LONGEST_HEADER: usize = 10_000;
const DEEPEST_HEADER: usize = 16;

/// The cases in the file `path`, `(n, width)`, or `(n, height, width)` with their height and width as pictures.
pub(super) fn read(path: &Path, scale: Option<f32>) -> Result<(Part, Option<(usize, usize)>)> {
    let bytes = bytes::read(path, FORM)?;
    let array = Array::parse(path, &bytes)?;
    let (width, image) = match array.shape[..] {
        [_, width] => (width, None),
        [_, height, width] => (height * width, Some((height, width))),
        _ => return Err(array.wrong_shape("(n, width) or (n, height, width)")),
    };
    let cases = array.rows(|number| number as f32)?;
    Ok((Part::new(part::matrix(path, cases, width, scale)?, None)?, image))
}

/// The labels in the file `path`, `(n,)` or `(n, 1)`.
pub(super) fn read_labels(path: &Path) -> Result<Vec<u32>> {
    let bytes = bytes::read(path, FORM)?;
    let array = Array::parse(path, &bytes)?;
    if !matches!(array.shape[..], [_] | [_, 1]) {
        return Err(array.wrong_shape("(n,) or (n, 1) for labels"));
    }
    labels::labels(path, array.numbers()?)
}

type Numbers<'a> = Box<dyn Iterator<Item = io::Result<f64>> + 'a>;

struct Array<'a> {
    path: &'a Path,
    header: NpyHeader,
    shape: Vec<usize>,
    data: &'a [u8],
}

impl<'a> Array<'a> {
    fn parse(path: &'a Path, file: &'a [u8]) -> Result<Self> {
        check_header(path, file)?;
        let mut data = file;
        let header = NpyHeader::from_reader(&mut data)
            .map_err(|e| Error::file(path, "header", FORM, e.to_string()))?;
        let shape = header.shape().iter().map(|&n| n as usize).collect();
        let array = Self { path, header, shape, data };
        if array.shape.contains(&0) {
            return Err(array.wrong_shape("at least one case of at least one value"));
        }
        // `check_header` has seen to it that the shape does not overflow.
        let size = array.header.dtype().num_bytes().unwrap_or(0);
        let declared = (array.header.len() as usize).checked_mul(size);
        if declared != Some(data.len()) && !array.header.uses_pickled_array() {
            let declared = declared.map_or("more".into(), |n| n.to_string());
            let expected = format!("{declared} bytes for shape {:?}", array.shape);
            let place = format!("byte {}", file.len() - data.len());
            return Err(Error::file(path, place, expected, format!("{} bytes", data.len())));
        }
        Ok(array)
    }

    fn wrong_shape(&self, expected: &str) -> Error {
        Error::file(self.path, "shape", expected, format!("{:?}", self.shape))
    }

    /// The numbers in the order of the file.
    fn numbers(&self) -> Result<Vec<f64>> {
        self.rows(|number| number)
    }

    /// The numbers row after row, converted.
    fn rows<N: candle_core::WithDType>(&self, convert: impl Fn(f64) -> N) -> Result<Vec<N>> {
        let file = NpyFile::with_header(self.header.clone(), self.data);
        let Some(numbers) = numbers(file) else {
            let found = self.header.dtype().descr();
            return Err(Error::file(self.path, "type of the numbers", TYPES, found));
        };
        let mut values = Vec::with_capacity(self.header.len() as usize);
        for number in numbers {
            let at = values.len() + 1;
            let number = number.map_err(|e| {
                Error::file(self.path, format!("number {at}"), TYPES, e.to_string())
            })?;
            values.push(convert(number));
        }
        if self.header.order() == Order::C {
            return Ok(values);
        }
        let backwards: Vec<_> = self.shape.iter().rev().copied().collect();
        let axes: Vec<_> = (0..self.shape.len()).rev().collect();
        let columns = Tensor::from_vec(values, backwards, &Device::Cpu)?;
        Ok(columns.permute(axes)?.flatten_all()?.to_vec1()?)
    }
}

fn numbers(file: NpyFile<&[u8]>) -> Option<Numbers<'_>> {
    fn widened<'a, T: Deserialize + 'a>(
        file: NpyFile<&'a [u8]>,
        widen: fn(T) -> f64,
    ) -> Option<Numbers<'a>> {
        Some(Box::new(file.data::<T>().ok()?.map(move |number| number.map(widen))))
    }
    let DType::Plain(kind) = file.dtype() else { return None };
    match (kind.type_char(), kind.size_field()) {
        (TypeChar::Bool, _) => widened::<bool>(file, f64::from),
        (TypeChar::Uint, 1) => widened::<u8>(file, f64::from),
        (TypeChar::Uint, 2) => widened::<u16>(file, f64::from),
        (TypeChar::Uint, 4) => widened::<u32>(file, f64::from),
        (TypeChar::Uint, 8) => widened::<u64>(file, |number| number as f64),
        (TypeChar::Int, 1) => widened::<i8>(file, f64::from),
        (TypeChar::Int, 2) => widened::<i16>(file, f64::from),
        (TypeChar::Int, 4) => widened::<i32>(file, f64::from),
        (TypeChar::Int, 8) => widened::<i64>(file, |number| number as f64),
        (TypeChar::Float, 4) => widened::<f32>(file, f64::from),
        (TypeChar::Float, 8) => widened::<f64>(file, |number| number),
        _ => None,
    }
}

/// `npyz` trusts a header's length, depth and shape: it allocates the first, recurses into the second and multiplies out
/// the third (in which it adds up sums) unchecked. So all three are checked before it sees them.
fn check_header(path: &Path, file: &[u8]) -> Result<()> {
    let refused = |place: &str, expected: String, found: String| {
        Err(Error::file(path, place, expected, found))
    };
    if !file.starts_with(b"\x93NUMPY") {
        let found = format!("{:02x?}", &file[..file.len().min(6)]);
        return refused("byte 0", "the magic number of a NumPy .npy file".into(), found);
    }
    let (start, length) = match *file {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (10, u32::from_le_bytes([a, b, 0, 0]) as usize),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => {
            (12, u32::from_le_bytes([a, b, c, d]) as usize)
        }
        _ => {
            let found = format!("{:02x?}", &file[6..file.len().min(12)]);
            return refused("byte 6", "version 1, 2 or 3 and the length of a header".into(), found);
        }
    };
    let (Some(header), true) =
        (file.get(start..).and_then(|rest| rest.get(..length)), length <= LONGEST_HEADER)
    else {
        let expected =
            format!("a header of at most {LONGEST_HEADER} bytes, all of them in the file");
        return refused("header", expected, format!("{length} bytes in a file of {}", file.len()));
    };
    let text = String::from_utf8_lossy(header);
    let brackets = text.chars().filter(|c| "([{".contains(*c)).count();
    if brackets > DEEPEST_HEADER || text.contains(['+', '-']) {
        let expected = format!("no sums and at most {DEEPEST_HEADER} opening brackets");
        return refused("header", expected, format!("{brackets} brackets in {length} bytes"));
    }
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let sizes = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let mut sizes = sizes.map(|size| size.parse::<usize>().ok().map(|n| n.max(1)));
    match sizes.try_fold(1, |product: usize, size| product.checked_mul(size?)) {
        Some(_) => Ok(()),
        None => refused(
            "shape",
            "whole numbers whose product fits in memory".into(),
            text.trim().into(),
        ),
    }
}
