//! Changes of a parameter in place: the only operations that write into a tensor that exists already.

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor};

use super::cpu::for_chunks;
use super::memory::{contiguous, unsupported};
use crate::{Error, Result};

/// target ← target + scale·source, in place. Equal shapes, contiguous; the two must not share memory.
pub fn add_scaled(target: &Tensor, source: &Tensor, scale: f64) -> Result<()> {
    combine(target, source, Combination { keep: 1.0, scale, sign: false })
}

/// target ← target + scale·sign(source), in place: the step of an L1 penalty.
pub fn add_sign_scaled(target: &Tensor, source: &Tensor, scale: f64) -> Result<()> {
    combine(target, source, Combination { keep: 1.0, scale, sign: true })
}

/// velocity ← momentum·velocity + rate·gradient, then parameter ← parameter + velocity, both in place.
pub fn momentum_step(
    parameter: &Tensor,
    velocity: &Tensor,
    gradient: &Tensor,
    rate: f64,
    momentum: f64,
) -> Result<()> {
    combine(velocity, gradient, Combination { keep: momentum, scale: rate, sign: false })?;
    add_scaled(parameter, velocity, 1.0)
}

fn combine(target: &Tensor, source: &Tensor, op: Combination) -> Result<()> {
    if target.shape() != source.shape() || target.dtype() != source.dtype() {
        let describe = |t: &Tensor| format!("{:?} {:?}", t.dims(), t.dtype());
        return Err(Error::invalid("update in place", describe(target), describe(source)));
    }
    if !target.device().is_cpu() {
        let source = if op.sign { source.sign()? } else { source.clone() };
        let new = ((target.detach() * op.keep)? + (source.detach() * op.scale)?)?;
        return Ok(target.slice_set(&new.contiguous()?, 0, 0)?);
    }
    Ok(target.inplace_op2(&source.contiguous()?, &op)?)
}

/// target ← keep·target + scale·(source or its sign).
struct Combination {
    keep: f64,
    scale: f64,
    sign: bool,
}

macro_rules! combine_slices {
    ($op:expr, $float:ty, $target:expr, $target_layout:expr, $source:expr, $source_layout:expr) => {{
        let (keep, scale) = ($op.keep as $float, $op.scale as $float);
        let source = contiguous($source, $source_layout)?;
        let Some((start, end)) = $target_layout.contiguous_offsets() else {
            candle_core::bail!("update in place: the target must be contiguous");
        };
        let sign = |x: $float| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                0.0
            }
        };
        for_chunks(&mut $target[start..end], |offset, target| {
            let pairs = target.iter_mut().zip(&source[offset..]);
            if $op.sign {
                pairs.for_each(|(t, &s)| *t = keep * *t + scale * sign(s));
            } else {
                pairs.for_each(|(t, &s)| *t = keep * *t + scale * s);
            }
        });
        Ok(())
    }};
}

impl InplaceOp2 for Combination {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        tl: &Layout,
        source: &CpuStorage,
        sl: &Layout,
    ) -> candle_core::Result<()> {
        match (target, source) {
            (CpuStorage::F32(t), CpuStorage::F32(s)) => combine_slices!(self, f32, t, tl, s, sl),
            (CpuStorage::F64(t), CpuStorage::F64(s)) => combine_slices!(self, f64, t, tl, s, sl),
            (_, other) => Err(unsupported(self.name(), other)),
        }
    }
}
