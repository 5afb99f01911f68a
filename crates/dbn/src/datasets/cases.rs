//! The cases of a part: which rows of what is stored, and what is done to them when they are formed.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Result, Rows, data};

use super::binarise::Bits;
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
    source: Source,
    /// The rows of the source that are cases; `None`: all of them.
    chosen: Option<Arc<[u32]>>,
    bits: Option<Bits>,
    standardise: Option<Arc<Standardise>>,
    device: Device,
}

#[derive(Debug, Clone)]
enum Source {
    Stored(Arc<Stored>),
    Tensor(Tensor),
    Joined(Arc<[Cases; 2]>),
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
        Ok(Self::from(Source::Tensor(matrix)))
    }

    pub(super) fn stored(stored: Stored) -> Self {
        Self::from(Source::Stored(Arc::new(stored)))
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
        Ok(Self::from(Source::Joined(Arc::new([first.clone(), second.clone()]))))
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

    /// The same cases, made of zeros and ones, instead of as anything before, whenever they are formed.
    pub(super) fn binarised(&self, bits: Option<Bits>) -> Self {
        Self { bits, ..self.clone() }
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
        Ok(Self { device: device.clone(), ..Self::from(Source::Tensor(whole)) })
    }

    /// All cases as one matrix `(n, width)`, `f32`: four bytes a value of memory.
    pub fn tensor(&self) -> Result<Tensor> {
        self.block(0..self.count())
    }

    /// Values that no case lies below or above, where that is known without looking.
    pub(super) fn extent(&self) -> Option<(f32, f32)> {
        match &self.source {
            _ if self.standardise.is_some() => None,
            _ if self.bits.is_some() => Some((0.0, 1.0)),
            Source::Stored(stored) => Some(stored.extent()),
            _ => None,
        }
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
    fn finished(&self, rows: Tensor, numbers: impl IntoIterator<Item = u32>) -> Result<Tensor> {
        let rows = match self.bits {
            Some(bits) => {
                let mut values = rows.flatten_all()?.to_vec1::<f32>()?;
                bits.apply(&mut values, self.source.width(), numbers);
                Tensor::from_vec(values, rows.dims2()?, &Device::Cpu)?
            }
            None => rows,
        };
        let rows = match &self.standardise {
            Some(standardise) => standardise.apply(&rows)?,
            None => rows,
        };
        Ok(rows.to_device(&self.device)?)
    }
}

impl From<Source> for Cases {
    fn from(source: Source) -> Self {
        Self { source, chosen: None, bits: None, standardise: None, device: Device::Cpu }
    }
}

impl Rows for Cases {
    fn count(&self) -> usize {
        self.chosen.as_ref().map_or_else(|| self.source.count(), |chosen| chosen.len())
    }

    fn width(&self) -> usize {
        self.source.width()
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        let numbers = self.rows_of_source(indices)?;
        self.finished(self.source.rows(&numbers)?, numbers)
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

impl Source {
    fn count(&self) -> usize {
        match self {
            Self::Stored(stored) => stored.count(),
            Self::Tensor(tensor) => tensor.count(),
            Self::Joined(parts) => parts.iter().map(Rows::count).sum(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Stored(stored) => stored.width(),
            Self::Tensor(tensor) => tensor.width(),
            Self::Joined(parts) => parts[0].width(),
        }
    }

    /// Rows that are there.
    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        match self {
            Self::Stored(stored) => {
                let width = stored.width();
                let mut values = Vec::with_capacity(indices.len() * width);
                let mut buffer = Vec::new();
                for run in indices.chunk_by(|row, next| row + 1 == *next) {
                    let first = run[0] as usize;
                    stored.append(first..first + run.len(), &mut values, &mut buffer)?;
                }
                Ok(Tensor::from_vec(values, (indices.len(), width), &Device::Cpu)?)
            }
            Self::Tensor(tensor) => tensor.rows(indices),
            Self::Joined(parts) => {
                let [first, second] = &**parts;
                let from = first.count() as u32;
                let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
                indices.iter().for_each(|&i| match i.checked_sub(from) {
                    None => of_first.push(i),
                    Some(i) => of_second.push(i),
                });
                // Where each row stands among those of both, one after the other.
                let (mut next, mut next_of_second) = (0, of_first.len() as u32);
                let places = indices.iter().map(|&i| {
                    let next = if i < from { &mut next } else { &mut next_of_second };
                    *next += 1;
                    *next - 1
                });
                let places: Vec<u32> = places.collect();
                if of_second.is_empty() {
                    return first.rows(&of_first);
                }
                if of_first.is_empty() {
                    return second.rows(&of_second);
                }
                let both = Tensor::cat(&[first.rows(&of_first)?, second.rows(&of_second)?], 0)?;
                both.rows(&places)
            }
        }
    }

    /// Neighbouring rows that are there.
    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        match self {
            Self::Stored(stored) => {
                let shape = (range.len(), stored.width());
                let mut values = Vec::with_capacity(shape.0 * shape.1);
                stored.append(range, &mut values, &mut Vec::new())?;
                Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
            }
            Self::Tensor(tensor) => tensor.block(range),
            Self::Joined(parts) => {
                let [first, second] = &**parts;
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
    }
}
