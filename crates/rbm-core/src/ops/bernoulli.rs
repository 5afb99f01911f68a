//! Units that are zero or one: their mean, and a mean and a sample in one pass.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, DType, Layout, Shape, Tensor, WithDType};

use super::cpu::{Simd, for_blocks, for_chunks2};
use super::philox::{BLOCK, block_words, unit};
use super::{math, reference};
use crate::rng::Draw;
use crate::{Result, Rng};

/// The logistic function, elementwise, with its derivative. `x` of any shape, `f32` or `f64`.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    if !has_fused(x) {
        return reference::sigmoid(x);
    }
    Ok(x.contiguous()?.apply_op1(Sigmoid)?)
}

/// E[x | inputs] = sigmoid(inputs + bias). `inputs` `(batch, width)`, `bias` `(width,)`; differentiable in both.
pub fn bernoulli_mean(inputs: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !has_fused(inputs) {
        return reference::bernoulli_mean(inputs, bias);
    }
    Ok(inputs.contiguous()?.apply_op2(&bias.contiguous()?, BiasedSigmoid)?)
}

/// Zeros and ones with P(1) = sigmoid(inputs + bias), in one pass. `inputs` `(batch, width)`, `bias` `(width,)`. A leaf.
pub fn bernoulli_sample(inputs: &Tensor, bias: &Tensor, rng: &mut Rng) -> Result<Tensor> {
    let draw = rng.draw();
    if !has_fused(inputs) {
        return Ok(reference::bernoulli_mean_and_sample(inputs, bias, draw)?.1);
    }
    let op = Sampler { draw, keep_mean: false };
    Ok(inputs.contiguous()?.apply_op2_no_bwd(&bias.contiguous()?, &op)?)
}

/// [`bernoulli_mean`] and a sample from it in one pass, both leaves, each `(batch, width)`. The sample is the one that
/// [`bernoulli_sample`] gives at the same place of the generator.
pub fn bernoulli_mean_and_sample(
    inputs: &Tensor,
    bias: &Tensor,
    rng: &mut Rng,
) -> Result<(Tensor, Tensor)> {
    let draw = rng.draw();
    if !has_fused(inputs) {
        return reference::bernoulli_mean_and_sample(inputs, bias, draw);
    }
    let op = Sampler { draw, keep_mean: true };
    let both = inputs.contiguous()?.apply_op2_no_bwd(&bias.contiguous()?, &op)?;
    Ok((both.get(0)?, both.get(1)?))
}

pub(super) fn has_fused(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

struct Sigmoid;

impl CustomOp1 for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = match storage {
            CpuStorage::F32(x) => CpuStorage::F32(mean_f32(contiguous(x, layout)?, &[])),
            CpuStorage::F64(x) => CpuStorage::F64(mean_f64(contiguous(x, layout)?, &[])),
            other => return Err(unsupported(self.name(), other)),
        };
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, mean: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(sigmoid_backward(mean, grad)?))
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
        let out = match (inputs, bias) {
            (CpuStorage::F32(x), CpuStorage::F32(b)) => CpuStorage::F32(mean_f32(
                contiguous(x, inputs_layout)?,
                contiguous(b, bias_layout)?,
            )),
            (CpuStorage::F64(x), CpuStorage::F64(b)) => CpuStorage::F64(mean_f64(
                contiguous(x, inputs_layout)?,
                contiguous(b, bias_layout)?,
            )),
            (other, _) => return Err(unsupported(self.name(), other)),
        };
        Ok((out, inputs_layout.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        mean: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let inputs = sigmoid_backward(mean, grad)?;
        let bias = reference::sum_rows(&inputs)?;
        Ok((Some(inputs), Some(bias)))
    }
}

fn sigmoid_backward(mean: &Tensor, grad: &Tensor) -> candle_core::Result<Tensor> {
    let mean = mean.detach();
    (&mean - mean.sqr()?)? * grad
}

struct Sampler {
    draw: Draw,
    /// Whether the result is `(2, batch, width)`, means above samples, or the samples alone.
    keep_mean: bool,
}

impl CustomOp2 for Sampler {
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
        let out = match (inputs, bias) {
            (CpuStorage::F32(x), CpuStorage::F32(b)) => {
                let (x, b) = (contiguous(x, inputs_layout)?, contiguous(b, bias_layout)?);
                CpuStorage::F32(self.sample(x, |block, start, sample, mean| {
                    sample_block_f32(
                        Simd::best(),
                        self.draw,
                        block,
                        &x[start..start + sample.len()],
                        b,
                        start,
                        sample,
                        mean,
                    );
                }))
            }
            (CpuStorage::F64(x), CpuStorage::F64(b)) => {
                let (x, b) = (contiguous(x, inputs_layout)?, contiguous(b, bias_layout)?);
                CpuStorage::F64(self.sample(x, |block, start, sample, mean| {
                    sample_block_f64(
                        self.draw,
                        block,
                        &x[start..start + sample.len()],
                        b,
                        start,
                        sample,
                        mean,
                    );
                }))
            }
            (other, _) => return Err(unsupported(self.name(), other)),
        };
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
}

impl Sampler {
    /// Fills the output by calling `pass(block, start, samples, means)`; `means` is empty when they are not kept.
    fn sample<T: WithDType>(
        &self,
        x: &[T],
        pass: impl Fn(u64, usize, &mut [T], &mut [T]) + Sync,
    ) -> Vec<T> {
        let n = x.len();
        if self.keep_mean {
            let mut out = vec![T::zero(); 2 * n];
            let (means, samples) = out.split_at_mut(n);
            for_chunks2(means, samples, |offset, means, samples| {
                let blocks = means.chunks_mut(BLOCK).zip(samples.chunks_mut(BLOCK));
                for (i, (means, samples)) in blocks.enumerate() {
                    let block = offset / BLOCK + i;
                    pass(block as u64, block * BLOCK, samples, means);
                }
            });
            out
        } else {
            let mut samples = vec![T::zero(); n];
            for_blocks(&mut samples, |block, samples| {
                pass(block as u64, block * BLOCK, samples, &mut [])
            });
            samples
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn sample_block_f32(
    simd: Simd,
    draw: Draw,
    block: u64,
    x: &[f32],
    bias: &[f32],
    start: usize,
    sample: &mut [f32],
    mean: &mut [f32],
) {
    simd.run(
        #[inline(always)]
        || {
            let mut p = [0f32; BLOCK];
            biased_sigmoid_f32(x, bias, start, &mut p[..x.len()]);
            let words = block_words(draw, block);
            let mut ones = [0f32; BLOCK];
            for i in 0..BLOCK {
                ones[i] = if unit(words[i]) < p[i] { 1.0 } else { 0.0 };
            }
            sample.copy_from_slice(&ones[..sample.len()]);
            mean.copy_from_slice(&p[..mean.len()]);
        },
    );
}

fn sample_block_f64(
    draw: Draw,
    block: u64,
    x: &[f64],
    bias: &[f64],
    start: usize,
    sample: &mut [f64],
    mean: &mut [f64],
) {
    let words = block_words(draw, block);
    for (i, &x) in x.iter().enumerate() {
        let p = math::sigmoid_f64(x + bias[(start + i) % bias.len()]);
        sample[i] = if f64::from(unit(words[i])) < p { 1.0 } else { 0.0 };
        if let Some(mean) = mean.get_mut(i) {
            *mean = p;
        }
    }
}

/// out = sigmoid(x + bias), where `x[0]` is value `start` of a row-major matrix as wide as `bias`; an empty bias is zero.
#[inline(always)]
fn biased_sigmoid_f32(x: &[f32], bias: &[f32], start: usize, out: &mut [f32]) {
    let mut done = 0;
    while done < x.len() && !bias.is_empty() {
        let column = (start + done) % bias.len();
        let run = (bias.len() - column).min(x.len() - done);
        let (x, bias) = (&x[done..done + run], &bias[column..column + run]);
        for ((out, x), b) in out[done..done + run].iter_mut().zip(x).zip(bias) {
            *out = x + b;
        }
        done += run;
    }
    if bias.is_empty() {
        out.copy_from_slice(x);
    }
    for out in out {
        *out = math::sigmoid(*out);
    }
}

fn mean_f32(x: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; x.len()];
    let simd = Simd::best();
    super::cpu::for_chunks(&mut out, |start, out| {
        let x = &x[start..start + out.len()];
        simd.run(
            #[inline(always)]
            || biased_sigmoid_f32(x, bias, start, out),
        );
    });
    out
}

fn mean_f64(x: &[f64], bias: &[f64]) -> Vec<f64> {
    let mut out = vec![0f64; x.len()];
    super::cpu::for_chunks(&mut out, |start, out| {
        for (i, out) in out.iter_mut().enumerate() {
            let b = if bias.is_empty() { 0.0 } else { bias[(start + i) % bias.len()] };
            *out = math::sigmoid_f64(x[start + i] + b);
        }
    });
    out
}

pub(super) fn contiguous<'a, T>(x: &'a [T], layout: &Layout) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&x[start..end]),
        None => candle_core::bail!(
            "a fused operation needs contiguous tensors, got strides {:?}",
            layout.stride()
        ),
    }
}

pub(super) fn unsupported(name: &str, storage: &CpuStorage) -> candle_core::Error {
    use candle_core::backend::BackendStorage;
    candle_core::Error::Msg(format!(
        "{name}: expected two tensors of dtype F32 or F64, found {:?}",
        storage.dtype()
    ))
}

pub(super) fn check_bias(name: &str, inputs: &Layout, bias: &Layout) -> candle_core::Result<()> {
    let width = inputs.shape().dim(D::Minus1)?;
    if inputs.dims().len() != 2 || bias.dims() != [width] {
        candle_core::bail!(
            "{name}: inputs (batch, width) and bias (width,), got {:?} and {:?}",
            inputs.dims(),
            bias.dims()
        );
    }
    Ok(())
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
            sample_block_f32(simd, draw, 3, &x, &bias, 3 * BLOCK, &mut sample, &mut mean);
            (sample, mean)
        };
        let levels = Simd::available();
        for level in &levels {
            assert_eq!(run(*level), run(levels[0]), "{level:?}");
        }
    }
}
