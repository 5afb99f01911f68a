//! Weights into a unit kept from growing beyond a norm.

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};

use super::cpu::{Simd, for_chunks};
use super::memory::{contiguous_mut, has_fused, unsupported};
use super::real::Real;
use super::reference;
use super::update::replace;
use crate::{Error, Result};

/// Scales every column of `weights` `(below, units)`, in place, that is longer than `most` down to that Euclidean norm: the
/// weights into one unit (Srivastava et al. 2014, §5.1). Errors unless it is a matrix and `most` is above zero.
pub fn limit_columns(weights: &Tensor, most: f64) -> Result<()> {
    weights.dims2()?;
    if !(most > 0.0) {
        return Err(Error::invalid("the largest norm", "a number above 0", most.to_string()));
    }
    if has_fused(weights) {
        return Ok(weights.inplace_op1(&LimitColumns { most })?);
    }
    replace(weights, &reference::limited_columns(weights, most)?)
}

struct LimitColumns {
    most: f64,
}

impl LimitColumns {
    fn run<T: Real>(&self, weights: &mut [T], columns: usize) {
        let mut squares = vec![T::default(); columns];
        Simd::best().run(
            #[inline(always)]
            || {
                for row in weights.chunks_exact(columns.max(1)) {
                    squares.iter_mut().zip(row).for_each(|(sum, &w)| *sum += w * w);
                }
            },
        );
        let mut scales = vec![T::from_f64(1.0); columns];
        let mut is_any_long = false;
        for (scale, square) in scales.iter_mut().zip(squares) {
            let norm = square.sqrt().to_f64();
            if norm > self.most {
                (*scale, is_any_long) = (T::from_f64(self.most / norm), true);
            }
        }
        if !is_any_long {
            return;
        }
        for_chunks(weights, |start, weights| {
            let mut column = start % columns;
            let mut rest = weights;
            while !rest.is_empty() {
                let (run, next) = rest.split_at_mut((columns - column).min(rest.len()));
                run.iter_mut().zip(&scales[column..]).for_each(|(w, &scale)| *w *= scale);
                (rest, column) = (next, 0);
            }
        });
    }
}

impl InplaceOp1 for LimitColumns {
    fn name(&self) -> &'static str {
        "limit-columns"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let columns = layout.shape().dims2()?.1;
        match weights {
            CpuStorage::F32(w) => self.run(contiguous_mut(w, layout)?, columns),
            CpuStorage::F64(w) => self.run(contiguous_mut(w, layout)?, columns),
            other => return Err(unsupported(self.name(), other)),
        }
        Ok(())
    }
}
