//! The cases of a part: which rows of what is stored, and what is done to them when they are formed.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Result, Rows, data};

use super::encoding::Encoding;
use super::origin::Origin;
use super::sparse::Sparse;
use super::stored::Stored;
use crate::Standardise;

/// The most bytes of `f32` that are kept on an accelerator as a whole; of more, every mini-batch is copied there.
const MOST_ON_DEVICE: usize = 8 << 30;

/// The cases of a part of a data set.
///
/// They stay where they were found, as the numbers that they are there (bytes stay bytes, a file stays a file), and
/// become `f32` when rows of them are asked for. A clone or a selection copies nothing but numbers of rows.
#[derive(Debug, Clone)]
pub struct Cases {
    source: Origin,
    /// The rows of the source that are cases; `None`: all of them.
    chosen: Option<Arc<[u32]>>,
    /// What is done to them, one after the other.
    encodings: Vec<Encoding>,
    /// Whether values may be missing: NaN.
    may_miss: bool,
    /// What stands for a missing value `(width,)`.
    fill: Option<Arc<[f32]>>,
    standardise: Option<Arc<Standardise>>,
    device: Device,
}

impl Cases {
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
        Ok(Self::from(Origin::Tensor(matrix)))
    }

    pub(super) fn stored(stored: Stored) -> Self {
        Self::from(Origin::Stored(Arc::new(stored)))
    }

    pub(super) fn sparse(sparse: Sparse) -> Self {
        Self::from(Origin::Sparse(Arc::new(sparse)))
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
        let joined = Origin::Joined(Arc::new([first.clone(), second.clone()]));
        Ok(Self { may_miss, ..Self::from(joined) })
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
        Ok(Self { chosen: Some(self.rows_of_source(indices)?.into()), ..self.clone() })
    }

    /// The number of each case, from 0, in the file or tensor that they were found in.
    pub fn numbers(&self) -> Vec<u32> {
        match &self.chosen {
            Some(chosen) => chosen.to_vec(),
            None => (0..self.source.count() as u32).collect(),
        }
    }

    /// The same cases, encoded like this after everything before, whenever they are formed.
    pub(super) fn encoded(&self, encoding: Encoding) -> Self {
        let mut cases = self.clone();
        cases.encodings.push(encoding);
        cases
    }

    /// The same cases with the rows of `values` `(n, width)` in place of theirs.
    ///
    /// # Errors
    ///
    /// As [`Cases::of`].
    pub(crate) fn with_values(&self, values: &Tensor) -> Result<Self> {
        Self::of(values)?.to_device(&self.device)
    }

    /// The same cases, of which values may be missing: NaN.
    pub(super) fn with_missing(&self) -> Self {
        Self { may_miss: true, ..self.clone() }
    }

    /// Whether values may be missing when they are formed: NaN.
    pub fn may_miss(&self) -> bool {
        self.may_miss && self.fill.is_none()
    }

    /// Whether a value is missing in any of them, or would be without what stands for it.
    pub fn has_missing(&self) -> Result<bool> {
        if !self.may_miss {
            return Ok(false);
        }
        let unfilled = Self { fill: None, ..self.clone() };
        for block in data::blocks(&unfilled) {
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
        Ok(Self { fill: Some(values.into()), ..self.clone() })
    }

    /// The same cases as their source has them.
    pub(super) fn plain(&self) -> Self {
        Self { encodings: Vec::new(), standardise: None, ..self.clone() }
    }

    /// The same cases, shifted and scaled by this, instead of anything before, whenever they are formed.
    pub fn standardised(&self, standardise: &Standardise) -> Result<Self> {
        let standardise = standardise.to_device(&Device::Cpu)?;
        Ok(Self { standardise: Some(Arc::new(standardise)), ..self.clone() })
    }

    /// The same cases, formed for `device`. On an accelerator they are kept as a whole, in `f32`, if that is at most 8 GiB;
    /// of more cases, each mini-batch is copied there.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let (count, width) = (self.count(), self.width());
        let is_large = count.saturating_mul(width).saturating_mul(4) > MOST_ON_DEVICE;
        if device.is_cpu() || is_large {
            return Ok(Self { device: device.clone(), ..self.clone() });
        }
        let whole = Tensor::zeros((count, width), DType::F32, device)?;
        let mut start = 0;
        for block in data::blocks(self) {
            let block = block?.to_device(device)?;
            whole.slice_set(&block, 0, start)?;
            start += block.dim(0)?;
        }
        Ok(Self {
            device: device.clone(),
            may_miss: self.may_miss(),
            ..Self::from(Origin::Tensor(whole))
        })
    }

    /// All cases as one matrix `(n, width)`, `f32`: four bytes a value of memory.
    pub fn tensor(&self) -> Result<Tensor> {
        self.block(0..self.count())
    }

    /// The numbers of at most `most` cases from all over them, evenly: files are often in order of class.
    pub fn spread(&self, most: usize) -> Vec<u32> {
        let step = self.count().div_ceil(most.max(1)).max(1);
        (0..self.count() as u32).step_by(step).collect()
    }

    /// These cases as one matrix.
    pub fn thinned(&self, most: usize) -> Result<Tensor> {
        self.rows(&self.spread(most))
    }

    /// Whether they are sparse rows of whole numbers of which some are above 1.
    pub(super) fn are_counts(&self) -> bool {
        matches!(&self.source, Origin::Sparse(sparse) if sparse.are_counts())
    }

    /// Values that no case lies below or above, where that is known without looking.
    pub(super) fn extent(&self) -> Option<(f32, f32)> {
        if self.standardise.is_some() {
            return None;
        }
        self.encodings.iter().fold(self.source.extent(), |extent, encoding| encoding.extent(extent))
    }

    fn rows_of_source(&self, indices: &[u32]) -> Result<Vec<u32>> {
        let count = self.count();
        if let Some(index) = indices.iter().find(|&&index| index as usize >= count) {
            let expected = format!("below {count}, the number of cases");
            return Err(Error::invalid("index", expected, index.to_string()));
        }
        Ok(match &self.chosen {
            Some(chosen) => indices.iter().map(|&index| chosen[index as usize]).collect(),
            None => indices.to_vec(),
        })
    }

    /// `rows`, which have these numbers in the source, with everything done to them.
    fn finished(
        &self,
        rows: Tensor,
        numbers: impl IntoIterator<Item = u32> + Clone,
    ) -> Result<Tensor> {
        let mut rows = rows;
        for encoding in &self.encodings {
            rows = encoding.apply(&rows, numbers.clone())?;
        }
        if let Some(fill) = &self.fill {
            let (count, width) = rows.dims2()?;
            let mut values = rows.flatten_all()?.to_vec1::<f32>()?;
            for row in values.chunks_mut(width.max(1)) {
                let missing = row.iter_mut().zip(fill.iter()).filter(|(x, _)| x.is_nan());
                missing.for_each(|(x, fill)| *x = *fill);
            }
            rows = Tensor::from_vec(values, (count, width), &Device::Cpu)?;
        }
        let rows = match &self.standardise {
            Some(standardise) => standardise.apply(&rows)?,
            None => rows,
        };
        Ok(rows.to_device(&self.device)?)
    }
}

impl From<Origin> for Cases {
    fn from(source: Origin) -> Self {
        Self {
            source,
            chosen: None,
            encodings: Vec::new(),
            may_miss: false,
            fill: None,
            standardise: None,
            device: Device::Cpu,
        }
    }
}

impl Rows for Cases {
    fn count(&self) -> usize {
        self.chosen.as_ref().map_or_else(|| self.source.count(), |chosen| chosen.len())
    }

    fn width(&self) -> usize {
        let width = self.source.width();
        self.encodings.iter().fold(width, |width, encoding| encoding.width(width))
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        let numbers = self.rows_of_source(indices)?;
        self.finished(self.source.rows(&numbers)?, numbers.iter().copied())
    }

    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        let count = self.count();
        if range.start > range.end || range.end > count {
            let expected = format!("cases below {count}, the number of them");
            return Err(Error::invalid("a block", expected, format!("{range:?}")));
        }
        match &self.chosen {
            Some(chosen) => {
                let numbers = &chosen[range];
                self.finished(self.source.rows(numbers)?, numbers.iter().copied())
            }
            None => {
                let numbers = range.start as u32..range.end as u32;
                self.finished(self.source.block(range)?, numbers)
            }
        }
    }
}
