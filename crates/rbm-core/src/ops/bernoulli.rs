//! Units that are zero or one: a sample, alone or with its mean, in one pass.

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use super::activation::biased_sigmoid_f32;
use super::cpu::{Simd, for_blocks, for_chunks2};
use super::random::{block_words, unit};
use super::real::unsupported;
use super::slices::{check_bias, contiguous, has_kernel};
use super::{math, reference};
use crate::rng::{BLOCK, Draw};
use crate::{Result, Rng};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;

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
    let words = block_words(draw, block);
    simd.run(
        #[inline(always)]
        || {
            let mut p = [0f32; BLOCK];
            biased_sigmoid_f32(x, bias, start, &mut p[..x.len()]);
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
