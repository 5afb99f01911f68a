//! Softplus and sigmoid of every sum of one row of inputs and one row of shifts: binary hidden units under each label.
//!
//! exp(x + u) is exp(x)·exp(u), so that n rows and c shifts take n + c rows of exponential functions, not n·c. Then a sum of
//! softplus is the logarithm of a product of 1 + exp(x)·exp(u), whose exponent is split off at every factor: a logarithm a row.
//! Rows of which some exponential function would not be finite take each sum by itself.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::bernoulli::{bernoulli_cgf, softplus_sum};
use super::cpu::{Simd, has_fused, is_small, with_numbers};
use super::real::Real;
use super::{bernoulli_mean, sum_rows};
use crate::{Error, Result};

/// Inputs and shifts up to here have exponential functions, and products of them, that a number can hold.
const LIMITS: (i8, i8) = (60, 25);
/// Running products of one row, side by side.
const LANES: usize = 32;
/// Columns that are gone through together.
const PIECE: usize = 64;

/// Σⱼ softplus(inputs_ij + shifts_kj) for every row i of `inputs` `(batch, width)` and k of `shifts` `(count, width)`:
/// `(batch, count)`. Differentiable in both.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn bernoulli_cgf_pairwise(inputs: &Tensor, shifts: &Tensor) -> Result<Tensor> {
    if !has_fused(inputs) {
        let columns = (0..shifts.dim(0)?).map(|k| bernoulli_cgf(inputs, &shifts.get(k)?));
        return Ok(Tensor::stack(&columns.collect::<Result<Vec<_>>>()?, 1)?);
    }
    Ok(inputs.contiguous()?.apply_op2(&shifts.contiguous()?, Cgf)?)
}

/// Σₖ weights_ik·sigmoid(inputs_ij + shifts_kj), `(batch, width)`, and the same summed over i instead, `(count, width)`; with
/// `weights` `(batch, count)`. Leaves.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn bernoulli_means_pairwise(
    inputs: &Tensor,
    shifts: &Tensor,
    weights: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (inputs, shifts, weights) = (inputs.detach(), shifts.detach(), weights.detach());
    let (batch, count) = (inputs.dim(0)?, shifts.dim(0)?);
    if weights.dims() != [batch, count] {
        let expected = format!("shape {:?}", [batch, count]);
        return Err(Error::invalid("weights of sums", expected, format!("{:?}", weights.dims())));
    }
    if !has_fused(&inputs) {
        return one_by_one(&inputs, &shifts, &weights);
    }
    let (inputs, shifts) = (inputs.contiguous()?, shifts.contiguous()?);
    let both = inputs.apply_op3_no_bwd(&shifts, &weights.contiguous()?, &Means)?;
    Ok((both.narrow(0, 0, batch)?, both.narrow(0, batch, count)?))
}

fn one_by_one(inputs: &Tensor, shifts: &Tensor, weights: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut by_input = inputs.zeros_like()?;
    let mut by_shift = Vec::with_capacity(shifts.dim(0)?);
    for k in 0..shifts.dim(0)? {
        let mean = bernoulli_mean(inputs, &shifts.get(k)?)?;
        let weighted = mean.broadcast_mul(&weights.narrow(1, k, 1)?)?;
        by_shift.push(sum_rows(&weighted)?);
        by_input = (by_input + weighted)?;
    }
    Ok((by_input, Tensor::stack(&by_shift, 0)?))
}

/// The width of both. Errors unless they are matrices of one width.
fn common_width(name: &str, x: &Layout, shifts: &Layout) -> candle_core::Result<usize> {
    let ((_, width), (_, other)) = (x.shape().dims2()?, shifts.shape().dims2()?);
    if width != other || width == 0 {
        candle_core::bail!("{name}: inputs and shifts of one width, got {width} and {other}");
    }
    Ok(width)
}

struct Cgf;

impl CustomOp2 for Cgf {
    fn name(&self) -> &'static str {
        "crossed-cgf"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        shifts: &CpuStorage,
        shifts_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = common_width(self.name(), x_layout, shifts_layout)?;
        let shape = (x_layout.dims()[0], shifts_layout.dims()[0]);
        let out = with_numbers!(self.name(), (x, x_layout), (shifts, shifts_layout)
            => cgf(x, shifts, width));
        Ok((out, shape.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        shifts: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let both = bernoulli_means_pairwise(x, shifts, grad).map_err(candle_core::Error::wrap)?;
        Ok((Some(both.0), Some(both.1)))
    }
}

fn cgf<T: Real>(x: &[T], shifts: &[T], width: usize) -> Vec<T> {
    let count = shifts.len() / width;
    let padded = width.next_multiple_of(LANES);
    let is_finite = is_within(shifts, LIMITS.1);
    let mut factors = vec![T::default(); count * padded];
    for (factors, shifts) in factors.chunks_mut(padded).zip(shifts.chunks(width)) {
        exponentials(shifts, factors);
    }
    let row = |(i, out): (usize, &mut [T])| {
        let x = &x[i * width..][..width];
        if is_finite && is_within(x, LIMITS.0) {
            let mut own = vec![T::default(); padded];
            exponentials(x, &mut own);
            for (out, factors) in out.iter_mut().zip(factors.chunks(padded)) {
                *out = T::from_f64(log_of_product(&own, factors));
            }
        } else {
            for (out, shifts) in out.iter_mut().zip(shifts.chunks(width)) {
                *out = softplus_sum(x, shifts);
            }
        }
    };
    let mut out = vec![T::default(); x.len() / width * count];
    if is_small(x.len() * count) {
        out.chunks_mut(count.max(1)).enumerate().for_each(row);
    } else {
        out.par_chunks_mut(count).enumerate().for_each(row);
    }
    out
}

/// Whether no number is further from zero than `limit`, or none at all.
fn is_within<T: Real>(x: &[T], limit: i8) -> bool {
    let (low, high) = (T::from(-limit), T::from(limit));
    let mut is_within = true;
    Simd::best().run(
        #[inline(always)]
        || x.iter().for_each(|&x| is_within &= (x >= low) & (x <= high)),
    );
    is_within
}

/// exp(x); what `out` is longer stays as it is.
fn exponentials<T: Real>(x: &[T], out: &mut [T]) {
    Simd::best().run(
        #[inline(always)]
        || out.iter_mut().zip(x).for_each(|(out, &x)| *out = x.exp()),
    );
}

/// Σ log(1 + xy), of vectors whose length is a multiple of [`LANES`].
fn log_of_product<T: Real>(x: &[T], y: &[T]) -> f64 {
    let mut mantissas = [T::from(true); LANES];
    let mut exponents = [0i32; LANES];
    Simd::best().run(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(LANES).zip(y.chunks_exact(LANES)) {
                for j in 0..LANES {
                    let (mantissa, exponent) =
                        (mantissas[j] * (T::from(true) + x[j] * y[j])).binary_parts();
                    mantissas[j] = mantissa;
                    exponents[j] += exponent;
                }
            }
        },
    );
    let mantissa: f64 = mantissas.into_iter().map(T::to_f64).product();
    libm::log(mantissa) + f64::from(exponents.into_iter().sum::<i32>()) * std::f64::consts::LN_2
}

struct Means;

impl CustomOp3 for Means {
    fn name(&self) -> &'static str {
        "crossed-means"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        shifts: &CpuStorage,
        shifts_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = common_width(self.name(), x_layout, shifts_layout)?;
        let shape = (x_layout.dims()[0] + shifts_layout.dims()[0], width);
        let out = with_numbers!(self.name(), (x, x_layout), (shifts, shifts_layout), (weights, weights_layout)
            => WeightedSums { x, shifts, weights, width }.run());
        Ok((out, shape.into()))
    }
}

/// What the weighted sums of means are made of.
struct WeightedSums<'a, T> {
    x: &'a [T],
    shifts: &'a [T],
    weights: &'a [T],
    width: usize,
}

impl<T: Real> WeightedSums<'_, T> {
    /// Those of each row of x, then those of each shift, all as wide as they are. Columns are independent: threads take some of
    /// them each, so that the order of additions does not depend on their number.
    fn run(&self) -> Vec<T> {
        let is_finite = is_within(self.shifts, LIMITS.1);
        let rows = self.x.chunks(self.width);
        let is_finite: Vec<_> = rows.map(|x| is_finite && is_within(x, LIMITS.0)).collect();
        let starts: Vec<_> = (0..self.width).step_by(PIECE).collect();
        let piece = |&at: &usize| {
            let mut out = Vec::new();
            Simd::best().run(
                #[inline(always)]
                || out = self.piece(at, &is_finite),
            );
            out
        };
        let pieces: Vec<_> = if is_small(self.x.len() * (self.shifts.len() / self.width)) {
            starts.iter().map(piece).collect()
        } else {
            starts.par_iter().map(piece).collect()
        };
        let mut out = vec![T::default(); self.x.len() + self.shifts.len()];
        for (at, piece) in starts.iter().zip(pieces) {
            let len = PIECE.min(self.width - at);
            for (out, row) in out.chunks_mut(self.width).zip(&piece) {
                out[*at..at + len].copy_from_slice(&row[..len]);
            }
        }
        out
    }

    /// The columns from `at` on.
    #[inline(always)]
    fn piece(&self, at: usize, is_finite: &[bool]) -> Vec<[T; PIECE]> {
        let one = T::from(true);
        let cut = |x: &[T]| -> [T; PIECE] {
            std::array::from_fn(|j| x.get(at + j).copied().unwrap_or_default())
        };
        let shifts: Vec<_> = self.shifts.chunks(self.width).map(cut).collect();
        let factors: Vec<_> = shifts.iter().map(|u| u.map(T::exp)).collect();
        let mut by_shift = vec![[T::default(); PIECE]; shifts.len()];
        let mut sums = Vec::with_capacity(is_finite.len() + shifts.len());
        let rows = self.x.chunks(self.width).zip(self.weights.chunks(shifts.len()));
        for ((x, weights), &is_finite) in rows.zip(is_finite) {
            let x = cut(x);
            let own = x.map(T::exp);
            let mut by_input = [T::default(); PIECE];
            for (k, (&weight, by_shift)) in weights.iter().zip(&mut by_shift).enumerate() {
                for j in 0..PIECE {
                    let mean = if is_finite {
                        let odds = own[j] * factors[k][j];
                        odds / (one + odds)
                    } else {
                        (x[j] + shifts[k][j]).sigmoid()
                    };
                    by_input[j] += weight * mean;
                    by_shift[j] += weight * mean;
                }
            }
            sums.push(by_input);
        }
        sums.extend(by_shift);
        sums
    }
}
