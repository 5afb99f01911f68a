//! The same operations in plain candle: what runs where an operation has no fused form, and the oracle of the fused ones.

use candle_core::{D, DType, Tensor};

use super::outer::Outer;
use super::random::{block_words, unit};
use super::truncated_normal::{self, Moment};
use crate::rng::{BLOCK, Draw};
use crate::{Error, Result};

/// 1 / (1 + exp(−x)).
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    // Through tanh: its derivative stays finite where exp(−x) has overflowed.
    Ok((((x * 0.5)?.tanh()? + 1.0)? * 0.5)?)
}

/// max(x, 0) + log(1 + exp(−|x|)).
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    Ok((x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?)
}

/// sigmoid(inputs + bias).
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn bernoulli_mean(inputs: &Tensor, bias: &Tensor) -> Result<Tensor> {
    sigmoid(&inputs.broadcast_add(bias)?)
}

/// `x` without the elements that the draw's words leave out, the others scaled up.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn dropout(x: &Tensor, fraction: f64, draw: Draw) -> Result<Tensor> {
    let x = x.detach();
    let mask = uniform(&x, draw)?.lt(1.0 - fraction)?.to_dtype(x.dtype())?;
    Ok((x * (mask * (1.0 / (1.0 - fraction)))?)?)
}

/// The mean, and the sample that the draw's words give.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn bernoulli_mean_and_sample(
    inputs: &Tensor,
    bias: &Tensor,
    draw: Draw,
) -> Result<(Tensor, Tensor)> {
    let mean = bernoulli_mean(inputs, bias)?.detach();
    let sample = uniform(&mean, draw)?.lt(&mean)?.to_dtype(mean.dtype())?;
    Ok((mean, sample))
}

/// log ∫₀^∞ exp(field·x − x²/2) dx.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn rectified_cgf(field: &Tensor) -> Result<Tensor> {
    truncated_normal::by_tangent(field, Moment::LogVolume)
}

/// The mean of p(x) ∝ exp(field·x − x²/2), x ≥ 0.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn rectified_mean(field: &Tensor) -> Result<Tensor> {
    truncated_normal::by_tangent(field, Moment::Mean)
}

/// The softmax over every `states` neighbouring columns of `x` `(batch, width)`. Differentiable.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn softmax_of_sites(x: &Tensor, states: usize) -> Result<Tensor> {
    let (exponentials, _) = exponentials(x, states)?;
    let shares = exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)?;
    Ok(shares.reshape(x.shape())?)
}

/// log Σ exp(x) over every `states` neighbouring columns of `x` `(batch, width)`: `(batch, sites)`. Differentiable.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn log_sum_exp_of_sites(x: &Tensor, states: usize) -> Result<Tensor> {
    let (exponentials, highest) = exponentials(x, states)?;
    Ok((exponentials.sum(D::Minus1)?.log()? + highest.squeeze(D::Minus1)?)?)
}

/// exp(x − highest) and the highest of each site, `(batch, sites, states)` and `(batch, sites, 1)`. The highest is a leaf:
/// it cancels in the derivatives.
fn exponentials(x: &Tensor, states: usize) -> Result<(Tensor, Tensor)> {
    let (batch, width) = x.dims2()?;
    if states == 0 || !width.is_multiple_of(states) {
        let expected = format!("a multiple of {states} columns");
        return Err(Error::invalid("sites", expected, width.to_string()));
    }
    let x = x.reshape((batch, width / states, states))?;
    let highest = x.detach().max_keepdim(D::Minus1)?;
    Ok((x.broadcast_sub(&highest)?.exp()?, highest))
}

/// A one in the column of a state drawn from the softmax of `field` `(batch, width)` over every `states` columns.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn categorical(field: &Tensor, states: usize, draw: Draw) -> Result<Tensor> {
    let (batch, width) = field.dims2()?;
    let share = softmax_of_sites(&field.detach(), states)?;
    let below = share.reshape((batch, width / states, states))?.cumsum(2)?;
    let total = below.narrow(2, states - 1, 1)?;
    let mark = (uniform(&total, draw)? * &total)?;
    // Ones in the columns of the state and of all after it; less those after it.
    let from = below.broadcast_gt(&mark)?.to_dtype(field.dtype())?;
    if states == 1 {
        return Ok(from.reshape((batch, width))?);
    }
    let after = from.narrow(2, 0, states - 1)?.pad_with_zeros(2, 1, 0)?;
    Ok((from - after)?.reshape((batch, width))?)
}

/// The draw's words as numbers between 0 and 1, in a tensor like `x`.
fn uniform(x: &Tensor, draw: Draw) -> Result<Tensor> {
    let count = x.elem_count();
    let uniform: Vec<f32> = (0..count.div_ceil(BLOCK))
        .flat_map(|block| block_words(draw, block as u64).map(unit))
        .take(count)
        .collect();
    Ok(Tensor::from_vec(uniform, x.shape(), x.device())?.to_dtype(x.dtype())?)
}

/// β·x + (1 − β)·field.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn interpolate_inputs(x: &Tensor, betas: &Tensor, field: &Tensor) -> Result<Tensor> {
    let rest = betas.affine(-1.0, 1.0)?.broadcast_mul(&field.unsqueeze(0)?)?;
    Ok((x.broadcast_mul(betas)? + rest)?)
}

/// Σ scale·xᵀy.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn outer_sum(terms: &[Outer]) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for Outer { x, y, scale } in terms {
        let term = x.t()?.matmul(&(y * *scale)?)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    sum.ok_or_else(|| Error::invalid("a sum of outer products", "at least one", "none"))
}

/// The sum of the rows of a matrix.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn sum_rows(x: &Tensor) -> candle_core::Result<Tensor> {
    let ones = Tensor::ones((1, x.dim(0)?), DType::F32, x.device())?.to_dtype(x.dtype())?;
    ones.matmul(x)?.squeeze(0)
}

/// `weights` with every column that is longer than `most` scaled down to that Euclidean norm.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn limited_column_norms(weights: &Tensor, most: f64) -> Result<Tensor> {
    let weights = weights.detach();
    let norms = sum_rows(&weights.sqr()?)?.sqrt()?;
    // A quotient, because 1/most·most need not be one, and would shrink at every step what is short enough.
    let scales = (norms.zeros_like()?.affine(0.0, most)? / norms.maximum(most)?)?;
    Ok(weights.broadcast_mul(&scales)?)
}
