//! Where the rows of cases come from.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rbm_core::{Result, Rows};

use super::Cases;
use super::sparse::Sparse;
use super::stored::Stored;

/// Rows as they were found.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Stored(Arc<Stored>),
    Sparse(Arc<Sparse>),
    Tensor(Tensor),
    Joined(Arc<[Cases; 2]>),
}

impl Origin {
    /// Values that none lies below or above, where that is known without looking.
    pub(super) fn extent(&self) -> Option<(f32, f32)> {
        match self {
            Self::Stored(stored) => Some(stored.extent()),
            Self::Sparse(sparse) => Some(sparse.extent()),
            Self::Tensor(_) | Self::Joined(_) => None,
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Stored(stored) => stored.count(),
            Self::Sparse(sparse) => sparse.count(),
            Self::Tensor(tensor) => tensor.count(),
            Self::Joined(parts) => parts.iter().map(Rows::count).sum(),
        }
    }

    pub(super) fn width(&self) -> usize {
        match self {
            Self::Stored(stored) => stored.width(),
            Self::Sparse(sparse) => sparse.width(),
            Self::Tensor(tensor) => tensor.width(),
            Self::Joined(parts) => parts[0].width(),
        }
    }

    /// Rows that are there.
    pub(super) fn rows(&self, indices: &[u32]) -> Result<Tensor> {
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
            Self::Sparse(sparse) => sparse.rows(indices.iter().map(|&row| row as usize)),
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
    pub(super) fn block(&self, range: Range<usize>) -> Result<Tensor> {
        match self {
            Self::Stored(stored) => {
                let shape = (range.len(), stored.width());
                let mut values = Vec::with_capacity(shape.0 * shape.1);
                stored.append(range, &mut values, &mut Vec::new())?;
                Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
            }
            Self::Sparse(sparse) => sparse.rows(range),
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
