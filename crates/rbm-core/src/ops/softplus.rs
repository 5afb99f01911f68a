//! softplus(x) = log(1 + exp(x)), the cumulant generating function of a unit that is zero or one.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::cpu::{Simd, for_chunks};
use super::memory::{contiguous, has_kernel, unsupported};
use super::sigmoid::sigmoid;
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
