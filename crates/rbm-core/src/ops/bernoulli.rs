//! Units that are zero or one: a sample, alone or with its mean, in one pass.

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

use super::activation::biased_sigmoid;
use super::cpu::{Simd, for_blocks, for_chunks2};
use super::random::{block_words, unit};
use super::real::Real;
use super::reference;
use super::slices::{check_bias, has_kernel, with_numbers};
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

/// What a block of units is told.
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
