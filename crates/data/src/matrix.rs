//! Matrices that stay as they lie, in a file or as what is not zero, until rows of them are asked for; and how the numbers of files become `f32`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use rbm_core::{Error, Result, Rows, ops};

use crate::bytes::Bytes;

/// How many values are looked at together where all of them are gone through.
const PIECE: usize = 1 << 18;

/// The extent of no values.
const NOTHING: (f32, f32) = (f32::INFINITY, f32::NEG_INFINITY);

/// Where the numbers lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatrixLayout {
    /// The byte of the first number; the others follow row after row, to the end of the matrix.
    pub start: usize,
    pub count: usize,
    pub width: usize,
    pub number: Element,
}

/// Rows of numbers, each divided by a scale when it is read.
#[derive(Debug)]
pub(crate) struct RawMatrix {
    /// Where the bytes come from, for errors.
    path: PathBuf,
    bytes: Bytes,
    layout: MatrixLayout,
    scale: Option<f32>,
    extent: (f32, f32),
}

impl RawMatrix {
    /// The numbers of `bytes`, which stand in `path` and must hold all that `layout` says. Every value is finite: those that
    /// could be anything else are gone through once, a piece at a time.
    pub(crate) fn new(
        path: &Path,
        bytes: Bytes,
        layout: MatrixLayout,
        scale: Option<f32>,
    ) -> Result<Self> {
        Self::checked(path, bytes, layout, scale, false)
    }

    /// The same where values may be missing: NaN.
    pub(crate) fn with_missing(
        path: &Path,
        bytes: Bytes,
        layout: MatrixLayout,
        scale: Option<f32>,
    ) -> Result<Self> {
        Self::checked(path, bytes, layout, scale, true)
    }

    fn checked(
        path: &Path,
        bytes: Bytes,
        layout: MatrixLayout,
        scale: Option<f32>,
        may_be_missing: bool,
    ) -> Result<Self> {
        let MatrixLayout { start, count, width, number } = layout;
        if count == 0 || width == 0 {
            let expected = "at least one case of at least one value";
            return Err(Error::file(path, "cases", expected, "none"));
        }
        if u32::try_from(count).is_err() {
            let found = count.to_string();
            return Err(Error::file(path, "cases", format!("at most {}", u32::MAX), found));
        }
        let size = count.checked_mul(width).and_then(|n| n.checked_mul(number.size()));
        if size.and_then(|size| size.checked_add(start)).is_none_or(|end| end > bytes.len()) {
            let expected = format!("{count} cases of {width} values from byte {start} on");
            return Err(Error::file(path, "cases", expected, format!("{} bytes", bytes.len())));
        }
        let path = path.to_path_buf();
        let mut stored = Self { path, bytes, layout, scale, extent: (0.0, 0.0) };
        stored.extent = match stored.extent_of_bytes() {
            Some(extent) => extent,
            None => stored.scan(may_be_missing)?,
        };
        Ok(stored)
    }

    /// The smallest and the largest value that a byte can mean, where a number is a byte and every byte means a finite one.
    fn extent_of_bytes(&self) -> Option<(f32, f32)> {
        let (number, mut values) = (self.layout.number, Vec::new());
        let most = if number.kind == ElementKind::Bool { 1 } else { u8::MAX };
        if number.size() != 1 {
            return None;
        }
        self.convert(&(0..=most).collect::<Vec<_>>(), &mut values);
        values.iter().all(|x| x.is_finite()).then(|| widen(NOTHING, &values))
    }

    /// The smallest and the largest value; errors for the first that is not finite, unless it is NaN and `may_be_missing`.
    fn scan(&self, may_be_missing: bool) -> Result<(f32, f32)> {
        let MatrixLayout { count, width, .. } = self.layout;
        let (mut extent, mut values, mut buffer) = (NOTHING, Vec::new(), Vec::new());
        let rows = (PIECE / width).max(1);
        for start in (0..count).step_by(rows) {
            values.clear();
            self.append(start..count.min(start + rows), &mut values, &mut buffer)?;
            let is_wrong = |x: &f32| !(x.is_finite() || may_be_missing && x.is_nan());
            if let Some(at) = values.iter().position(is_wrong) {
                let place = place(start + at / width, at % width);
                let expected = match values[at].is_nan() {
                    true => {
                        "a finite number (a network learns from the other values with --missing gibbs or --missing mean)"
                    }
                    false => "a finite number",
                };
                return Err(Error::file(&self.path, place, expected, values[at].to_string()));
            }
            extent = widen(extent, &values);
        }
        Ok(extent)
    }

    /// Bounds of all values: the smallest and the largest that there are, or, for bytes, that there could be.
    pub(crate) fn extent(&self) -> (f32, f32) {
        self.extent
    }

    /// Adds the values of `rows`, which must be there, to the end of `values`; `buffer` is a place to work in. Errors where the
    /// file cannot be read any more.
    fn append(
        &self,
        rows: Range<usize>,
        values: &mut Vec<f32>,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        let MatrixLayout { start, width, number, .. } = self.layout;
        let row = width * number.size();
        let range = start + rows.start * row..start + rows.end * row;
        let bytes = self.bytes.piece(range, buffer).map_err(|e| Error::io(&self.path, e))?;
        self.convert(bytes, values);
        Ok(())
    }

    fn convert(&self, bytes: &[u8], values: &mut Vec<f32>) {
        if self.layout.number.kind == ElementKind::U8 {
            ops::append_divided(bytes, self.scale.unwrap_or(1.0), values);
            return;
        }
        let from = values.len();
        self.layout.number.append(bytes, values);
        if let Some(scale) = self.scale {
            // Divided, not multiplied by the inverse, which rounds otherwise.
            values[from..].iter_mut().for_each(|x| *x /= scale);
        }
    }
}

impl Rows for RawMatrix {
    fn count(&self) -> usize {
        self.layout.count
    }

    fn width(&self) -> usize {
        self.layout.width
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        let width = self.width();
        let mut values = Vec::with_capacity(indices.len() * width);
        let mut buffer = Vec::new();
        for run in indices.chunk_by(|row, next| row + 1 == *next) {
            let first = run[0] as usize;
            self.append(first..first + run.len(), &mut values, &mut buffer)?;
        }
        Ok(Tensor::from_vec(values, (indices.len(), width), &Device::Cpu)?)
    }

    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        let shape = (range.len(), self.width());
        let mut values = Vec::with_capacity(shape.0 * shape.1);
        self.append(range, &mut values, &mut Vec::new())?;
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}

fn widen(extent: (f32, f32), values: &[f32]) -> (f32, f32) {
    values.iter().fold(extent, |(low, high), &x| (low.min(x), high.max(x)))
}

/// The words for a place among the cases, both from 0.
pub(crate) fn place(case: usize, value: usize) -> String {
    format!("case {}, value {}", case + 1, value + 1)
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementKind {
    /// A byte, 0 or 1.
    Bool,
    /// One byte.
    U8,
    /// One byte with a sign.
    I8,
    /// Two bytes.
    U16,
    /// Two bytes with a sign.
    I16,
    /// Four bytes.
    U32,
    /// Four bytes with a sign.
    I32,
    /// Eight bytes.
    U64,
    /// Eight bytes with a sign.
    I64,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

/// How a number lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Its type.
    pub kind: ElementKind,
    /// Whether its highest byte comes first.
    pub is_big_endian: bool,
}

/// Adds the numbers of `bytes` to the end of `values`, as `$as`.
macro_rules! append {
    ($number:expr, $bytes:expr, $values:expr, $as:ty) => {{
        macro_rules! of {
            ($type:ty, $convert:expr) => {{
                let convert: fn($type) -> $as = $convert;
                let (numbers, _) = $bytes.as_chunks::<{ size_of::<$type>() }>();
                if $number.is_big_endian {
                    $values.extend(numbers.iter().map(|x| convert(<$type>::from_be_bytes(*x))));
                } else {
                    $values.extend(numbers.iter().map(|x| convert(<$type>::from_le_bytes(*x))));
                }
            }};
        }
        match $number.kind {
            ElementKind::Bool | ElementKind::U8 => of!(u8, |x| x.into()),
            ElementKind::I8 => of!(i8, |x| x.into()),
            ElementKind::U16 => of!(u16, |x| x.into()),
            ElementKind::I16 => of!(i16, |x| x.into()),
            ElementKind::U32 => of!(u32, |x| x as $as),
            ElementKind::I32 => of!(i32, |x| x as $as),
            ElementKind::U64 => of!(u64, |x| x as $as),
            ElementKind::I64 => of!(i64, |x| x as $as),
            ElementKind::F16 => of!(f16, |x| x.into()),
            ElementKind::Bf16 => of!(bf16, |x| x.into()),
            ElementKind::F32 => of!(f32, |x| x as $as),
            ElementKind::F64 => of!(f64, |x| x as $as),
        }
    }};
}

impl Element {
    /// A number whose lowest byte comes first, as in every file that this crate writes.
    pub fn little_endian(kind: ElementKind) -> Self {
        Self { kind, is_big_endian: false }
    }

    /// Its bytes.
    pub fn size(self) -> usize {
        match self.kind {
            ElementKind::Bool | ElementKind::U8 | ElementKind::I8 => 1,
            ElementKind::U16 | ElementKind::I16 | ElementKind::F16 | ElementKind::Bf16 => 2,
            ElementKind::U32 | ElementKind::I32 | ElementKind::F32 => 4,
            ElementKind::U64 | ElementKind::I64 | ElementKind::F64 => 8,
        }
    }

    /// Adds the numbers that `bytes` are to the end of `values`, each as the nearest `f32`.
    pub fn append(self, bytes: &[u8], values: &mut Vec<f32>) {
        append!(self, bytes, values, f32);
    }

    /// The numbers that `bytes` are.
    pub fn wide(self, bytes: &[u8]) -> Vec<f64> {
        let mut values = Vec::new();
        append!(self, bytes, values, f64);
        values
    }
}

/// Rows of which only what is written down is in memory: four bytes for its column and four for its value.
#[derive(Debug)]
pub(crate) struct SparseMatrix {
    width: usize,
    /// Where each row begins among the columns and values, and where the last one ends.
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    extent: (f32, f32),
}

impl SparseMatrix {
    /// Rows of `width` values: row `i` has those from `starts[i]` to `starts[i + 1]`, each in its column below `width`.
    pub(crate) fn new(
        width: usize,
        starts: Vec<usize>,
        columns: Vec<u32>,
        values: Vec<f32>,
    ) -> Self {
        let extent = values.iter().fold((0f32, 0f32), |(low, high), &x| (low.min(x), high.max(x)));
        Self { width, starts, columns, values, extent }
    }

    /// The smallest and the largest value, or 0.
    pub(crate) fn extent(&self) -> (f32, f32) {
        self.extent
    }

    /// Whether all values are whole numbers from 0 on, and some above 1.
    pub(crate) fn are_counts(&self) -> bool {
        self.extent.0 >= 0.0 && self.extent.1 > 1.0 && self.values.iter().all(|x| x.fract() == 0.0)
    }

    /// The rows with these numbers, which must be there, `(rows, width)`.
    fn dense(&self, rows: impl ExactSizeIterator<Item = usize>) -> Result<Tensor> {
        let (count, width) = (rows.len(), self.width);
        let mut dense = vec![0.0; count * width];
        for (row, dense) in rows.zip(dense.chunks_mut(width)) {
            let written = self.starts[row]..self.starts[row + 1];
            for (&column, &value) in self.columns[written.clone()].iter().zip(&self.values[written])
            {
                dense[column as usize] = value;
            }
        }
        Ok(Tensor::from_vec(dense, (count, width), &Device::Cpu)?)
    }
}

impl Rows for SparseMatrix {
    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    fn width(&self) -> usize {
        self.width
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        self.dense(indices.iter().map(|&row| row as usize))
    }

    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        self.dense(range)
    }
}
