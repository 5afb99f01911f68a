//! The cases of a data set, wherever they lie.

use std::fmt::Debug;
use std::ops::Range;

use candle_core::Tensor;

use crate::Result;

/// The cases of a data set, one a row. They need not be in memory: what is asked for is formed when it is asked for. A
/// matrix `(n, width)` is one such set.
pub trait Rows: Debug + Send + Sync {
    /// The number of cases.
    fn count(&self) -> usize;

    /// The number of values of a case.
    fn width(&self) -> usize;

    /// The cases with these numbers, in this order, `(indices, width)`.
    ///
    /// # Errors
    ///
    /// For a number that is not below the count.
    fn rows(&self, indices: &[u32]) -> Result<Tensor>;

    /// The cases `range` in their own order, `(range, width)`.
    ///
    /// # Errors
    ///
    /// For a range that ends behind the last case.
    fn block(&self, range: Range<usize>) -> Result<Tensor>;
}

impl Rows for Tensor {
    fn count(&self) -> usize {
        self.dims().first().copied().unwrap_or(0)
    }

    fn width(&self) -> usize {
        self.dims().get(1).copied().unwrap_or(0)
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        Ok(self.index_select(&Tensor::new(indices, self.device())?, 0)?)
    }

    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        Ok(self.narrow(0, range.start, range.len())?)
    }
}

/// Cases that are looked at together where all of them are gone through.
pub const BLOCK: usize = 1000;

/// All cases `(rows, width)` in order, in blocks of at most a thousand, so that neither they nor what is made of them need
/// fit into memory at once.
pub fn blocks(cases: &dyn Rows) -> impl Iterator<Item = Result<Tensor>> + '_ {
    let n = cases.count();
    (0..n).step_by(BLOCK).map(move |start| cases.block(start..n.min(start + BLOCK)))
}
