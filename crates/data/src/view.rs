//! The cases of a part: which rows of what is stored, and what is done to them when they are formed.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Result, Rows, rows};

use crate::encoding::{Encoding, Pipeline};
use crate::matrix::{RawMatrix, SparseMatrix};
use crate::standardise::Standardise;

/// The most bytes of `f32` that are kept on an accelerator as a whole; of more, every mini-batch is copied there.
const MOST_ON_DEVICE: usize = 8 << 30;

/// The cases of a part of a data set: some rows of what is stored, and what is done to them when they are formed.
///
/// They stay where they were found, as the numbers that they are there (bytes stay bytes, a file stays a file), and
/// become `f32` when rows of them are asked for. A clone or a selection copies nothing but numbers of rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_dbn_data::View;
/// use rbm_core::Rows;
///
/// let cases = View::of(&Tensor::new(&[[0f32, 1.0], [1.0, 0.0], [1.0, 1.0]], &Device::Cpu)?)?;
/// let chosen = cases.select(&[2, 0])?;
/// assert_eq!((chosen.count(), chosen.width()), (2, 2));
/// assert_eq!(chosen.tensor()?.to_vec2::<f32>()?, [[1.0, 1.0], [0.0, 1.0]]);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct View {
    rows: Arc<dyn Rows>,
    /// Values that none of `rows` lies below or above, where that is known without looking.
    extent: Option<(f32, f32)>,
    /// The rows that are cases; `None`: all of them.
    indices: Option<Arc<[u32]>>,
    /// What is done to them.
    pipeline: Pipeline,
    /// Whether values may be missing: NaN.
    may_miss: bool,
    device: Device,
}

impl View {
    /// The rows of `matrix` `(n, width)`, brought to `f32` on the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `matrix` has another shape.
    pub fn of(matrix: &Tensor) -> Result<Self> {
        if matrix.rank() != 2 {
            let found = format!("shape {:?}", matrix.dims());
            return Err(Error::invalid("cases", "a matrix (n, width)", found));
        }
        let matrix = matrix.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(Self::over(Arc::new(matrix), None))
    }

    /// All of `rows`, on the CPU, whose values lie within `extent`, where that is known.
    pub(crate) fn over(rows: Arc<dyn Rows>, extent: Option<(f32, f32)>) -> Self {
        Self {
            rows,
            extent,
            indices: None,
            pipeline: Pipeline::default(),
            may_miss: false,
            device: Device::Cpu,
        }
    }

    /// The cases of `first`, then those of `second`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where they differ in width.
    pub fn joined(first: &Self, second: &Self) -> Result<Self> {
        if first.width() != second.width() {
            let expected = format!("{} values, as the cases before them", first.width());
            return Err(Error::invalid("cases", expected, second.width().to_string()));
        }
        let may_miss = first.may_miss() || second.may_miss();
        let joined = Joined { first: first.clone(), second: second.clone() };
        Ok(Self { may_miss, ..Self::over(Arc::new(joined), None) })
    }

    /// The cases with these numbers, from 0, in the order given.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `indices` is empty or names a case that there is not.
    pub fn select(&self, indices: &[u32]) -> Result<Self> {
        if indices.is_empty() {
            return Err(Error::invalid("indices", "at least one", "none"));
        }
        Ok(Self { indices: Some(self.rows_of_source(indices)?.into()), ..self.clone() })
    }

    /// The number of each case, from 0, in the file or tensor that they were found in.
    pub fn numbers(&self) -> Vec<u32> {
        match &self.indices {
            Some(indices) => indices.to_vec(),
            None => (0..self.rows.count() as u32).collect(),
        }
    }

    /// The same cases, encoded like this after everything before, whenever they are formed.
    pub(crate) fn encoded(&self, encoding: Encoding) -> Self {
        let mut cases = self.clone();
        cases.pipeline.encodings.push(encoding);
        cases
    }

    /// The same cases with the rows of `values` `(n, width)` in place of theirs.
    ///
    /// # Errors
    ///
    /// As [`View::of`].
    pub fn with_values(&self, values: &Tensor) -> Result<Self> {
        Self::of(values)?.to_device(&self.device)
    }

    /// The same cases, of which values may be missing: NaN.
    pub(crate) fn with_missing(&self) -> Self {
        Self { may_miss: true, ..self.clone() }
    }

    /// Whether values may be missing when they are formed: NaN.
    pub fn may_miss(&self) -> bool {
        self.may_miss && self.pipeline.fill.is_none()
    }

    /// Whether a value is missing in any of them, or would be without what stands for it.
    ///
    /// # Errors
    ///
    /// Where rows cannot be read any more.
    pub fn has_missing(&self) -> Result<bool> {
        if !self.may_miss {
            return Ok(false);
        }
        let mut unfilled = self.clone();
        unfilled.pipeline.fill = None;
        for block in rows::blocks(&unfilled) {
            if block?.flatten_all()?.to_vec1::<f32>()?.iter().any(|x| x.is_nan()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same cases with these values, one a column, where values are missing; instead of any before.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where they are not as many as a case has values.
    pub fn filled(&self, values: &[f32]) -> Result<Self> {
        if values.len() != self.width() {
            let expected = format!("{}, one a column", self.width());
            let what = "the values in place of missing ones";
            return Err(Error::invalid(what, expected, values.len().to_string()));
        }
        let pipeline = Pipeline { fill: Some(values.into()), ..self.pipeline.clone() };
        Ok(Self { pipeline, ..self.clone() })
    }

    /// The same cases as their source has them.
    pub(crate) fn plain(&self) -> Self {
        let pipeline = Pipeline { fill: self.pipeline.fill.clone(), ..Pipeline::default() };
        Self { pipeline, ..self.clone() }
    }

    /// The same cases, shifted and scaled by this, instead of anything before, whenever they are formed.
    ///
    /// # Errors
    ///
    /// For a tensor that cannot be brought to the CPU.
    pub fn standardised(&self, standardise: &Standardise) -> Result<Self> {
        let standardise = Some(Arc::new(standardise.to_device(&Device::Cpu)?));
        let pipeline = Pipeline { standardise, ..self.pipeline.clone() };
        Ok(Self { pipeline, ..self.clone() })
    }

    /// The same cases, formed for `device`. On an accelerator they are kept as a whole, in `f32`, if that is at most 8 GiB;
    /// of more cases, each mini-batch is copied there.
    ///
    /// # Errors
    ///
    /// Where rows cannot be read any more, and where there is no room on the device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let (count, width) = (self.count(), self.width());
        let is_large = count.saturating_mul(width).saturating_mul(4) > MOST_ON_DEVICE;
        if device.is_cpu() || is_large {
            return Ok(Self { device: device.clone(), ..self.clone() });
        }
        let whole = Tensor::zeros((count, width), DType::F32, device)?;
        let mut start = 0;
        for block in rows::blocks(self) {
            let block = block?.to_device(device)?;
            whole.slice_set(&block, 0, start)?;
            start += block.dim(0)?;
        }
        Ok(Self {
            device: device.clone(),
            may_miss: self.may_miss(),
            ..Self::over(Arc::new(whole), None)
        })
    }

    /// All cases as one matrix `(n, width)`, `f32`: four bytes a value of memory.
    ///
    /// # Errors
    ///
    /// Where rows cannot be read any more.
    pub fn tensor(&self) -> Result<Tensor> {
        self.block(0..self.count())
    }

    /// The numbers of at most `most` cases from all over them, evenly: files are often in order of class.
    pub fn spread(&self, most: usize) -> Vec<u32> {
        let step = self.count().div_ceil(most.max(1)).max(1);
        (0..self.count() as u32).step_by(step).collect()
    }

    /// These cases as one matrix.
    ///
    /// # Errors
    ///
    /// Where rows cannot be read any more.
    pub fn thinned(&self, most: usize) -> Result<Tensor> {
        self.rows(&self.spread(most))
    }

    /// Values that no case lies below or above, where that is known without looking.
    pub(crate) fn extent(&self) -> Option<(f32, f32)> {
        self.pipeline.extent(self.extent)
    }

    fn rows_of_source(&self, indices: &[u32]) -> Result<Vec<u32>> {
        let count = self.count();
        if let Some(index) = indices.iter().find(|&&index| index as usize >= count) {
            let expected = format!("below {count}, the number of cases");
            return Err(Error::invalid("index", expected, index.to_string()));
        }
        Ok(match &self.indices {
            Some(chosen) => indices.iter().map(|&index| chosen[index as usize]).collect(),
            None => indices.to_vec(),
        })
    }
}

impl Rows for View {
    fn count(&self) -> usize {
        self.indices.as_ref().map_or_else(|| self.rows.count(), |indices| indices.len())
    }

    fn width(&self) -> usize {
        self.pipeline.width(self.rows.width())
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        let numbers = self.rows_of_source(indices)?;
        let rows = self.pipeline.apply(self.rows.rows(&numbers)?, numbers.iter().copied())?;
        Ok(rows.to_device(&self.device)?)
    }

    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        let count = self.count();
        if range.start > range.end || range.end > count {
            let expected = format!("cases below {count}, the number of them");
            return Err(Error::invalid("a block", expected, format!("{range:?}")));
        }
        let rows = match &self.indices {
            Some(indices) => {
                let numbers = &indices[range];
                self.pipeline.apply(self.rows.rows(numbers)?, numbers.iter().copied())?
            }
            None => {
                let numbers = range.start as u32..range.end as u32;
                self.pipeline.apply(self.rows.block(range)?, numbers)?
            }
        };
        Ok(rows.to_device(&self.device)?)
    }
}

/// The cases of one view, then those of another one.
#[derive(Debug)]
struct Joined {
    first: View,
    second: View,
}

impl Rows for Joined {
    fn count(&self) -> usize {
        self.first.count() + self.second.count()
    }

    fn width(&self) -> usize {
        self.first.width()
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        let Self { first, second } = self;
        let from = first.count() as u32;
        let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
        indices.iter().for_each(|&i| match i.checked_sub(from) {
            None => of_first.push(i),
            Some(i) => of_second.push(i),
        });
        if of_second.is_empty() {
            return first.rows(&of_first);
        }
        if of_first.is_empty() {
            return second.rows(&of_second);
        }
        // Where each row stands among those of both, one after the other.
        let (mut next, mut next_of_second) = (0, of_first.len() as u32);
        let places = indices.iter().map(|&i| {
            let next = if i < from { &mut next } else { &mut next_of_second };
            *next += 1;
            *next - 1
        });
        let places: Vec<u32> = places.collect();
        let both = Tensor::cat(&[first.rows(&of_first)?, second.rows(&of_second)?], 0)?;
        both.rows(&places)
    }

    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        let Self { first, second } = self;
        let split = first.count();
        let (a, b) = (range.start.min(split)..range.end.min(split), range);
        let b = b.start.max(split) - split..b.end.max(split) - split;
        match (a.is_empty(), b.is_empty()) {
            (_, true) => first.block(a),
            (true, false) => second.block(b),
            (false, false) => Ok(Tensor::cat(&[first.block(a)?, second.block(b)?], 0)?),
        }
    }
}

impl From<RawMatrix> for View {
    fn from(matrix: RawMatrix) -> Self {
        let extent = Some(matrix.extent());
        Self::over(Arc::new(matrix), extent)
    }
}

impl From<SparseMatrix> for View {
    fn from(matrix: SparseMatrix) -> Self {
        let extent = Some(matrix.extent());
        Self::over(Arc::new(matrix), extent)
    }
}
