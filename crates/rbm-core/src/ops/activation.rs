//! The logistic function: the mean of a unit that is zero or one.
//!
//! softplus(x) = log(1 + exp(x)), the cumulant generating function of a unit that is zero or one.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::cpu::{RowRun, Simd, for_chunks, is_small, row_runs};
use super::real::Real;
use super::reference;
use super::slices::{check_bias, check_same, has_fused, has_kernel, with_numbers};
use crate::Result;
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
    Ok(x.contiguous()?.apply_op1(Elementwise::Sigmoid)?)
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
enum Elementwise {
    Sigmoid,
    Softplus,
}

impl CustomOp1 for Elementwise {
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
    Ok(x.contiguous()?.apply_op1(Elementwise::Softplus)?)
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
