//! Functions of counting: factorials and what lies between them.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};

use super::cpu::for_chunks;
use super::memory::{has_fused, with_numbers};
use super::real::Real;
use crate::Result;

/// log n!
pub fn log_factorial(n: usize) -> f64 {
    libm::lgamma(n as f64 + 1.0)
}

/// log |Γ(x)|, elementwise; a leaf.
pub fn log_gamma(x: &Tensor) -> Result<Tensor> {
    let host = if has_fused(x) { x.detach() } else { x.detach().to_device(&Device::Cpu)? };
    Ok(host.contiguous()?.apply_op1_no_bwd(&LogGamma)?.to_device(x.device())?)
}

struct LogGamma;

impl CustomOp1 for LogGamma {
    fn name(&self) -> &'static str {
        "log-gamma"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = with_numbers!(self.name(), (x, layout) => log_gammas(x));
        Ok((out, layout.shape().clone()))
    }
}

fn log_gammas<T: Real>(x: &[T]) -> Vec<T> {
    let mut out = vec![T::default(); x.len()];
    for_chunks(&mut out, |start, out| {
        for (out, x) in out.iter_mut().zip(&x[start..]) {
            let x = x.to_f64();
            // The commonest arguments: 0! and 1!.
            *out = T::from_f64(if x == 1.0 || x == 2.0 { 0.0 } else { libm::lgamma(x) });
        }
    });
    out
}
