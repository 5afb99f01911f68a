//! softplus(x) = log(1 + exp(x)), the cumulant generating function of a unit that is zero or one.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::cpu::{Simd, for_chunks, is_small};
use super::memory::{check_bias, contiguous, has_fused, has_kernel, unsupported, with_numbers};
use super::real::Real;
use super::sigmoid::{bernoulli_mean, sigmoid};
use super::{math, reference};
use crate::Result;

/// log(1 + exp(x)), elementwise, `f32` or `f64`; it neither overflows nor underflows, and its derivative is
/// [`sigmoid`].
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    if !has_kernel(x) {
        return reference::softplus(x);
    }
    Ok(x.contiguous()?.apply_op1(Softplus)?)
}

struct Softplus;

impl CustomOp1 for Softplus {
    fn name(&self) -> &'static str {
        "softplus"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = match storage {
            CpuStorage::F32(x) => CpuStorage::F32(softplus_f32(contiguous(x, layout)?)),
            CpuStorage::F64(x) => CpuStorage::F64(softplus_f64(contiguous(x, layout)?)),
            other => return Err(unsupported(self.name(), other)),
        };
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

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let slope = sigmoid(&x.detach()).map_err(candle_core::Error::wrap)?;
        Ok(Some((slope * grad)?))
    }
}

fn softplus_f32(x: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; x.len()];
    let simd = Simd::best();
    for_chunks(&mut out, |start, out| {
        let x = &x[start..start + out.len()];
        simd.run(
            #[inline(always)]
            || out.iter_mut().zip(x).for_each(|(out, &x)| *out = math::softplus(x)),
        );
    });
    out
}

fn softplus_f64(x: &[f64]) -> Vec<f64> {
    let mut out = vec![0f64; x.len()];
    for_chunks(&mut out, |start, out| {
        let x = &x[start..start + out.len()];
        out.iter_mut().zip(x).for_each(|(out, &x)| *out = math::softplus_f64(x));
    });
    out
}

/// Σⱼ softplus(inputs + bias) of every row, the cumulant generating function of units that are zero or one, in one pass.
/// `inputs` `(batch, width)`, `bias` `(width,)`; `(batch,)`. Differentiable in both.
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
