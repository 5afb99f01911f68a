//! Cases as they arrive at a deep layer.

use std::ops::Range;

use candle_core::Tensor;
use rbm_core::{ClassRbm, Result, Rows};

use crate::Dbn;
use crate::network::dbn;
use crate::network::labels;

/// What of cases arrives at a machine of the stack, by means, made when it is asked for; at label units their labels, or what
/// the machine believes of them where there are none.
#[derive(Debug)]
pub struct Propagated<'a> {
    /// Prepared for the network, `(n, width)`.
    pub cases: &'a dyn Rows,
    /// One a case, where they are known.
    pub labels: Option<&'a [u32]>,
    /// The stack.
    pub dbn: &'a Dbn,
    /// The number of the machine at which they arrive; 0 is the lowest.
    pub layer: usize,
}

impl Propagated<'_> {
    /// What becomes of `cases` whose labels are these.
    fn above(&self, cases: &Tensor, labels: Option<Vec<u32>>) -> Result<Tensor> {
        let x = dbn::up(&self.dbn.rbms[..self.layer], cases)?.detach();
        let Some(classes) = self.dbn.classes.filter(|_| self.layer + 1 == self.dbn.rbms.len())
        else {
            return Ok(x);
        };
        let codes = match labels {
            Some(labels) => labels::codes(&labels, classes, x.dtype(), x.device())?,
            None => ClassRbm::of(self.dbn.top())?.log_probabilities(&x)?.exp()?.detach(),
        };
        labels::joined(&x, &codes)
    }
}

impl Rows for Propagated<'_> {
    fn count(&self) -> usize {
        self.cases.count()
    }

    fn width(&self) -> usize {
        self.dbn.rbms[self.layer].visible().units().width()
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        let of = |labels: &[u32]| indices.iter().map(|&i| labels[i as usize]).collect();
        self.above(&self.cases.rows(indices)?, self.labels.map(of))
    }

    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        let labels = self.labels.map(|labels| labels[range.clone()].to_vec());
        self.above(&self.cases.block(range)?, labels)
    }
}
