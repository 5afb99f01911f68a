//! Sums and additions, because candle's sum over rows is scattered and is also the derivative of its addition of a bias.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Shape, Tensor};

use super::cpu::Simd;
use super::memory::{has_fused, with_numbers};
use super::real::Real;
use super::reference;
use crate::Result;

/// The sum of the rows: `(batch, width)` → `(width,)`. Differentiable.
pub fn sum_rows(x: &Tensor) -> Result<Tensor> {
    // On a GPU a product with a row of ones is quicker than a sum over the rows.
    if !has_fused(x) || x.rank() != 2 {
        return Ok(reference::sum_rows(x)?);
    }
    Ok(x.contiguous()?.apply_op1(SumRows)?)
}

struct SumRows;

impl CustomOp1 for SumRows {
    fn name(&self) -> &'static str {
        "sum-rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = layout.shape().dims2()?.1;
        let out = with_numbers!(self.name(), (x, layout) => sum(x, width));
        Ok((out, width.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(grad.broadcast_as(x.shape())?.contiguous()?))
    }
}

fn sum<T: Real>(x: &[T], width: usize) -> Vec<T> {
    let mut out = vec![T::default(); width];
    Simd::best().run(
        #[inline(always)]
        || {
            for row in x.chunks_exact(width.max(1)) {
                out.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
            }
        },
    );
    out
}

/// The sum within each row: `(batch, width)` → `(batch,)`. Differentiable.
pub fn sum_within_rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.sum(D::Minus1)?)
}

/// x + bias, with x `(batch, width)` and bias `(width,)`. Differentiable; the bias' gradient is one product.
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones((x.dim(0)?, 1), x.dtype(), x.device())?;
    Ok((x + ones.matmul(&bias.unsqueeze(0)?)?)?)
}
