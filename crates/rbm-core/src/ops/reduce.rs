//! Sums and additions whose derivatives are matrix products, because candle's sum over rows is serial and scattered.

use candle_core::{D, Tensor};

use super::reference;
use crate::Result;

/// The sum of the rows: `(batch, width)` → `(width,)`, as a product with a row of ones. Differentiable.
pub fn sum_rows(x: &Tensor) -> Result<Tensor> {
    Ok(reference::sum_rows(x)?)
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
