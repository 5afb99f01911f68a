//! The same operations in plain candle: what runs on CUDA and Metal for now, and the oracle of the fused ones.

use candle_core::{DType, Tensor};

use super::philox::{BLOCK, block_words, unit};
use crate::Result;
use crate::rng::Draw;

/// 1 / (1 + exp(−x)).
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    // Through tanh: its derivative stays finite where exp(−x) has overflowed.
    Ok((((x * 0.5)?.tanh()? + 1.0)? * 0.5)?)
}

/// max(x, 0) + log(1 + exp(−|x|)).
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    Ok((x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?)
}

/// sigmoid(inputs + bias).
pub fn bernoulli_mean(inputs: &Tensor, bias: &Tensor) -> Result<Tensor> {
    sigmoid(&inputs.broadcast_add(bias)?)
}

/// The mean, and the sample that the draw's words give.
pub fn bernoulli_mean_and_sample(
    inputs: &Tensor,
    bias: &Tensor,
    draw: Draw,
) -> Result<(Tensor, Tensor)> {
    let mean = bernoulli_mean(inputs, bias)?.detach();
    let count = mean.elem_count();
    let uniform: Vec<f32> = (0..count.div_ceil(BLOCK))
        .flat_map(|block| block_words(draw, block as u64).map(unit))
        .take(count)
        .collect();
    let uniform = Tensor::from_vec(uniform, mean.shape(), mean.device())?.to_dtype(mean.dtype())?;
    let sample = uniform.lt(&mean)?.to_dtype(mean.dtype())?;
    Ok((mean, sample))
}

/// α·xᵀy − β·uᵀw.
pub fn outer_difference(
    (x, y, alpha): (&Tensor, &Tensor, f64),
    (u, w, beta): (&Tensor, &Tensor, f64),
) -> Result<Tensor> {
    let (x, y, u, w) = (x.detach(), y.detach(), u.detach(), w.detach());
    let positive = x.t()?.matmul(&(y * alpha)?)?;
    let negative = u.t()?.matmul(&(w * beta)?)?;
    Ok((positive - negative)?)
}

/// The sum of the rows of a matrix.
pub fn sum_rows(x: &Tensor) -> candle_core::Result<Tensor> {
    let ones = Tensor::ones((1, x.dim(0)?), DType::F32, x.device())?.to_dtype(x.dtype())?;
    ones.matmul(x)?.squeeze(0)
}
