//! Rows that are mostly zeros, of which the others are kept, until rows are asked for.

use std::ops::Range;

use candle_core::{Device, Tensor};
use rbm_core::{Result, Rows};

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
