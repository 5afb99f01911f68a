//! Units that are zero or one: mean, cumulant generating function, and a sample, alone or with its mean, each in one pass.
//!
//! The mean is the logistic function. The cumulant generating function is softplus(x) = log(1 + exp(x)).

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::cpu::{
    RowRun, Simd, check_bias, check_same, for_blocks, for_chunks, for_chunks2, has_fused,
    has_kernel, is_small, row_runs, with_numbers,
};
use super::random::{block_words, unit};
use super::real::Real;
use super::reference;
use crate::rng::{BLOCK, Draw};
use crate::{Result, Rng};

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;

/// The logistic function, elementwise, with its derivative. `x` of any shape, `f32` or `f64`.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    if !has_kernel(x) {
        return reference::sigmoid(x);
    }
    Ok(x.contiguous()?.apply_op1(LogisticFunction::Sigmoid)?)
}

/// E[x | inputs] = sigmoid(inputs + bias). `inputs` `(batch, width)`, `bias` `(width,)`; differentiable in both.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn bernoulli_mean(inputs: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !has_kernel(inputs) {
        return reference::bernoulli_mean(inputs, bias);
    }
    Ok(inputs.contiguous()?.apply_op2(&bias.contiguous()?, BiasedSigmoid)?)
}

/// A function of single elements that every backend has a kernel for.
enum LogisticFunction {
    Sigmoid,
    Softplus,
}

impl CustomOp1 for LogisticFunction {
    fn name(&self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
        }
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = with_numbers!(self.name(), (storage, layout) => match self {
            Self::Sigmoid => mean(storage, &[]),
            Self::Softplus => softplus_of(storage),
        });
        Ok((out, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::map(self.name(), x, layout)
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        x: &MetalStorage,
        layout: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        super::metal::map(self.name(), x, layout)
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        match self {
            Self::Sigmoid => Ok(Some(sigmoid_slope(y, grad).map_err(candle_core::Error::wrap)?)),
            Self::Softplus => {
                let slope = sigmoid(&x.detach()).map_err(candle_core::Error::wrap)?;
                Ok(Some((slope * grad)?))
            }
        }
    }
}

struct BiasedSigmoid;

impl CustomOp2 for BiasedSigmoid {
    fn name(&self) -> &'static str {
        "biased-sigmoid"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        check_bias(self.name(), inputs_layout, bias_layout)?;
        let out = with_numbers!(self.name(), (inputs, inputs_layout), (bias, bias_layout)
            => mean(inputs, bias));
        Ok((out, inputs_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        inputs: &CudaStorage,
        inputs_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::biased("mean", inputs, inputs_layout, bias, bias_layout)
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        inputs: &MetalStorage,
        inputs_layout: &Layout,
        bias: &MetalStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        super::metal::mean(inputs, inputs_layout, bias, bias_layout)
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        mean: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let inputs = sigmoid_slope(mean, grad).map_err(candle_core::Error::wrap)?;
        let bias = super::sum_rows(&inputs).map_err(candle_core::Error::wrap)?;
        Ok((Some(inputs), Some(bias)))
    }
}

/// grad·mean·(1 − mean): what comes back through a sigmoid whose result was `mean`. A leaf.
pub(super) fn sigmoid_slope(mean: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let (mean, grad) = (mean.detach(), grad.detach());
    if !has_kernel(&mean) {
        return Ok(((&mean - mean.sqr()?)? * grad)?);
    }
    Ok(mean.contiguous()?.apply_op2_no_bwd(&grad.contiguous()?, &SigmoidSlope)?)
}

struct SigmoidSlope;

impl SigmoidSlope {
    fn run<T: Real>(&self, mean: &[T], grad: &[T]) -> Vec<T> {
        let mut out = vec![T::default(); mean.len()];
        for_chunks(&mut out, |start, out| {
            let both = mean[start..].iter().zip(&grad[start..]);
            for (out, (&mean, &grad)) in out.iter_mut().zip(both) {
                *out = (mean - mean * mean) * grad;
            }
        });
        out
    }
}

impl CustomOp2 for SigmoidSlope {
    fn name(&self) -> &'static str {
        "sigmoid-slope"
    }

    fn cpu_fwd(
        &self,
        mean: &CpuStorage,
        mean_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        check_same(self.name(), mean_layout, grad_layout)?;
        let out = with_numbers!(self.name(), (mean, mean_layout), (grad, grad_layout)
            => self.run(mean, grad));
        Ok((out, mean_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        mean: &CudaStorage,
        mean_layout: &Layout,
        grad: &CudaStorage,
        grad_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::slope(mean, mean_layout, grad, grad_layout)
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        mean: &MetalStorage,
        mean_layout: &Layout,
        grad: &MetalStorage,
        grad_layout: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        super::metal::slope(mean, mean_layout, grad, grad_layout)
    }
}

/// out = sigmoid(x + bias), where `x[0]` is value `start` of a row-major matrix as wide as `bias`; an empty bias is zero.
#[inline(always)]
pub(super) fn biased_sigmoid<T: Real>(x: &[T], bias: &[T], start: usize, out: &mut [T]) {
    if bias.is_empty() {
        out.copy_from_slice(x);
    } else {
        for RowRun { columns, place, .. } in row_runs(start, x.len(), bias.len()) {
            let (x, bias) = (&x[place.clone()], &bias[columns]);
            for ((out, &x), &b) in out[place].iter_mut().zip(x).zip(bias) {
                *out = x + b;
            }
        }
    }
    for out in out {
        *out = out.sigmoid();
    }
}

fn mean<T: Real>(x: &[T], bias: &[T]) -> Vec<T> {
    let mut out = vec![T::default(); x.len()];
    let simd = Simd::best();
    for_chunks(&mut out, |start, out| {
        let x = &x[start..start + out.len()];
        simd.run(
            #[inline(always)]
            || biased_sigmoid(x, bias, start, out),
        );
    });
    out
}

/// log(1 + exp(x)), elementwise, `f32` or `f64`; it neither overflows nor underflows, and its derivative is
/// [`sigmoid`].
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    if !has_kernel(x) {
        return reference::softplus(x);
    }
    Ok(x.contiguous()?.apply_op1(LogisticFunction::Softplus)?)
}

fn softplus_of<T: Real>(x: &[T]) -> Vec<T> {
    let mut out = vec![T::default(); x.len()];
    let simd = Simd::best();
    for_chunks(&mut out, |start, out| {
        let x = &x[start..start + out.len()];
        simd.run(
            #[inline(always)]
            || out.iter_mut().zip(x).for_each(|(out, &x)| *out = x.softplus()),
        );
    });
    out
}

/// Σⱼ softplus(inputs + bias) of every row, the cumulant generating function of units that are zero or one, in one pass.
/// `inputs` `(batch, width)`, `bias` `(width,)`; `(batch,)`. Differentiable in both.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn bernoulli_cgf(inputs: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !has_fused(inputs) {
        return super::sum_within_rows(&softplus(&super::add_bias(inputs, bias)?)?);
    }
    Ok(inputs.contiguous()?.apply_op2(&bias.contiguous()?, BernoulliCgf)?)
}

struct BernoulliCgf;

impl CustomOp2 for BernoulliCgf {
    fn name(&self) -> &'static str {
        "bernoulli-cgf"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        check_bias(self.name(), inputs_layout, bias_layout)?;
        let out = with_numbers!(self.name(), (inputs, inputs_layout), (bias, bias_layout)
            => cgf(inputs, bias));
        Ok((out, inputs_layout.dims()[0].into()))
    }

    fn bwd(
        &self,
        inputs: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let mean = bernoulli_mean(&inputs.detach(), &bias.detach());
        let slope = mean.map_err(candle_core::Error::wrap)?.broadcast_mul(&grad.unsqueeze(1)?)?;
        let bias = super::sum_rows(&slope).map_err(candle_core::Error::wrap)?;
        Ok((Some(slope), Some(bias)))
    }
}

fn cgf<T: Real>(x: &[T], bias: &[T]) -> Vec<T> {
    let width = bias.len();
    let mut out = vec![T::default(); x.len().checked_div(width).unwrap_or(0)];
    let row = |i: usize| softplus_sum(&x[i * width..][..width], bias);
    if is_small(x.len()) {
        out.iter_mut().enumerate().for_each(|(i, out)| *out = row(i));
    } else {
        out.par_iter_mut().enumerate().for_each(|(i, out)| *out = row(i));
    }
    out
}

/// Σⱼ softplus(xⱼ + biasⱼ), of vectors of one length. It is added up in lanes, and the lanes in double precision.
pub(super) fn softplus_sum<T: Real>(x: &[T], bias: &[T]) -> T {
    const LANES: usize = 16;
    let mut lanes = [T::default(); LANES];
    Simd::best().run(
        #[inline(always)]
        || {
            for (x, bias) in x.chunks(LANES).zip(bias.chunks(LANES)) {
                if let (Ok(x), Ok(bias)) =
                    (<&[T; LANES]>::try_from(x), <&[T; LANES]>::try_from(bias))
                {
                    for j in 0..LANES {
                        lanes[j] += (x[j] + bias[j]).softplus();
                    }
                } else {
                    for ((lane, &x), &bias) in lanes.iter_mut().zip(x).zip(bias) {
                        *lane += (x + bias).softplus();
                    }
                }
            }
        },
    );
    T::from_f64(lanes.into_iter().map(T::to_f64).sum())
}

/// Zeros and ones with P(1) = sigmoid(inputs + bias), in one pass. `inputs` `(batch, width)`, `bias` `(width,)`. A leaf.
///
/// # Errors
///
/// For shapes that do not fit together, and for types other than `f32` and `f64`.
pub fn bernoulli_sample(inputs: &Tensor, bias: &Tensor, rng: &mut Rng) -> Result<Tensor> {
    let draw = rng.draw();
    if !has_kernel(inputs) {
        return Ok(reference::bernoulli_mean_and_sample(inputs, bias, draw)?.1);
    }
    let op = BernoulliSampler { draw, keep_mean: false };
    Ok(inputs.contiguous()?.apply_op2_no_bwd(&bias.contiguous()?, &op)?)
}

/// The mean and a sample from it in one pass, both leaves, each `(batch, width)`. The sample is the one that
/// [`bernoulli_sample`] gives at the same place of the generator.
///
/// # Errors
///
/// For shapes that do not fit together, and for types other than `f32` and `f64`.
pub fn bernoulli_mean_and_sample(
    inputs: &Tensor,
    bias: &Tensor,
    rng: &mut Rng,
) -> Result<(Tensor, Tensor)> {
    let draw = rng.draw();
    if !has_kernel(inputs) {
        return reference::bernoulli_mean_and_sample(inputs, bias, draw);
    }
    let op = BernoulliSampler { draw, keep_mean: true };
    let both = inputs.contiguous()?.apply_op2_no_bwd(&bias.contiguous()?, &op)?;
    Ok((both.get(0)?, both.get(1)?))
}

struct BernoulliSampler {
    draw: Draw,
    /// Whether the result is `(2, batch, width)`, means above samples, or the samples alone.
    keep_mean: bool,
}

impl CustomOp2 for BernoulliSampler {
    fn name(&self) -> &'static str {
        "bernoulli-sample"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        check_bias(self.name(), inputs_layout, bias_layout)?;
        let out = with_numbers!(self.name(), (inputs, inputs_layout), (bias, bias_layout)
            => self.sample(inputs, bias));
        let shape = inputs_layout.shape();
        Ok((
            out,
            if self.keep_mean {
                (2, shape.dims2()?.0, shape.dims2()?.1).into()
            } else {
                shape.clone()
            },
        ))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        inputs: &CudaStorage,
        inputs_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::sample(self.draw, self.keep_mean, inputs, inputs_layout, bias, bias_layout)
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        inputs: &MetalStorage,
        inputs_layout: &Layout,
        bias: &MetalStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        super::metal::sample(self.draw, self.keep_mean, inputs, inputs_layout, bias, bias_layout)
    }
}

impl BernoulliSampler {
    fn sample<T: Real>(&self, x: &[T], bias: &[T]) -> Vec<T> {
        let (n, simd) = (x.len(), Simd::best());
        // Block number `block`; `means` is empty where they are not kept.
        let pass = |block: usize, samples: &mut [T], means: &mut [T]| {
            let start = block * BLOCK;
            let inputs = Inputs { x: &x[start..start + samples.len()], bias, start };
            sample_block(simd, &block_words(self.draw, block as u64), inputs, samples, means);
        };
        if self.keep_mean {
            let mut out = vec![T::default(); 2 * n];
            let (means, samples) = out.split_at_mut(n);
            for_chunks2(means, samples, |offset, means, samples| {
                let blocks = means.chunks_mut(BLOCK).zip(samples.chunks_mut(BLOCK));
                for (i, (means, samples)) in blocks.enumerate() {
                    pass(offset / BLOCK + i, samples, means);
                }
            });
            out
        } else {
            let mut samples = vec![T::default(); n];
            for_blocks(&mut samples, |block, samples| pass(block, samples, &mut []));
            samples
        }
    }
}

/// The inputs of a block of units.
struct Inputs<'a, T> {
    x: &'a [T],
    bias: &'a [T],
    /// The number of the first value among all.
    start: usize,
}

fn sample_block<T: Real>(
    simd: Simd,
    words: &[u32; BLOCK],
    Inputs { x, bias, start }: Inputs<T>,
    sample: &mut [T],
    mean: &mut [T],
) {
    simd.run(
        #[inline(always)]
        || {
            // Not borrowed from outside: they would be read from memory for every unit.
            let (zero, one) = (T::default(), T::from(true));
            let mut p = [zero; BLOCK];
            biased_sigmoid(x, bias, start, &mut p[..x.len()]);
            let mut ones = [zero; BLOCK];
            for i in 0..BLOCK {
                ones[i] = if T::from(unit(words[i])) < p[i] { one } else { zero };
            }
            sample.copy_from_slice(&ones[..sample.len()]);
            mean.copy_from_slice(&p[..mean.len()]);
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_width_gives_the_same_bits() {
        let draw = Draw { seed: 5, stream: 9 };
        let x: Vec<f32> = (0..BLOCK - 3).map(|i| (i as f32 - 60.0) / 7.0).collect();
        let bias: Vec<f32> = (0..17).map(|i| i as f32 / 10.0).collect();
        let run = |simd| {
            let (mut sample, mut mean) = (vec![0f32; x.len()], vec![0f32; x.len()]);
            let inputs = Inputs { x: &x, bias: &bias, start: 3 * BLOCK };
            sample_block(simd, &block_words(draw, 3), inputs, &mut sample, &mut mean);
            (sample, mean)
        };
        let levels = Simd::available();
        for level in &levels {
            assert_eq!(run(*level), run(levels[0]), "{level:?}");
        }
    }
}
