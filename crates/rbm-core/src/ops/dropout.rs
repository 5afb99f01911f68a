//! Units left out at random while a network learns (Srivastava et al. 2014).

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::cpu::{Simd, for_blocks};
use super::memory::{has_kernel, with_numbers};
use super::philox::{BLOCK, block_words, unit};
use super::real::Real;
use super::reference;
use crate::rng::Draw;
use crate::{Error, Result, Rng};

/// Which elements are left out: linear and diagonal, so it is its own derivative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    fraction: f64,
    draw: Draw,
}

impl Dropout {
    /// Leaves out `fraction` of the elements, those that the generator picks now; `None` where it is zero, and then
    /// nothing is drawn. Errors unless it is at least 0 and below 1.
    pub fn draw(fraction: f64, rng: &mut Rng) -> Result<Option<Self>> {
        if !(0.0..1.0).contains(&fraction) {
            let found = fraction.to_string();
            return Err(Error::invalid("dropout", "a fraction from 0 up to below 1", found));
        }
        Ok((fraction > 0.0).then(|| Self { fraction, draw: rng.draw() }))
    }

    /// `x` with zeros where it is left out, and elsewhere scaled up to make good for them. A leaf; the same elements at
    /// every call.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        if !has_kernel(x) {
            return reference::dropout(x, self.fraction, self.draw);
        }
        Ok(x.detach().contiguous()?.apply_op1_no_bwd(self)?)
    }

    fn run<T: Real>(&self, x: &[T]) -> Vec<T> {
        let keep = (1.0 - self.fraction) as f32;
        let scale = T::from_f64(1.0 / (1.0 - self.fraction));
        let mut out = vec![T::default(); x.len()];
        for_blocks(&mut out, |block, out| {
            let x = &x[block * BLOCK..][..out.len()];
            let words = block_words(self.draw, block as u64);
            Simd::best().run(
                #[inline(always)]
                || {
                    let mut kept = [0f32; BLOCK];
                    for i in 0..BLOCK {
                        kept[i] = if unit(words[i]) < keep { 1.0 } else { 0.0 };
                    }
                    for ((out, &x), &kept) in out.iter_mut().zip(x).zip(&kept) {
                        *out = x * (T::from(kept) * scale);
                    }
                },
            );
        });
        out
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = with_numbers!(self.name(), (x, layout) => self.run(x));
        Ok((out, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::dropout(self.draw, self.fraction, x, layout)
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        x: &MetalStorage,
        layout: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        super::metal::dropout(self.draw, self.fraction, x, layout)
    }
}
