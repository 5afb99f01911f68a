//! Changes of a parameter in place, but for the step with momentum.
//!
//! Each is one pass over the parameter: sums and averages, a step of Adam, weights kept from growing beyond a norm.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Tensor};

use super::cpu::{RowRun, Simd, for_chunks, has_fused, has_kernel, row_runs, with_numbers_mut};
use super::real::Real;
use super::reference;
use crate::{Error, Result};

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;

/// target ← target + scale·source, in place. Equal shapes, contiguous; the two must not share memory.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn add_scaled(target: &Tensor, source: &Tensor, scale: f64) -> Result<()> {
    combine(target, source, Combination { keep: 1.0, scale, term: Term::Itself })
}

/// target ← target + scale·sign(source), in place: the step of an L1 penalty.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn add_sign_scaled(target: &Tensor, source: &Tensor, scale: f64) -> Result<()> {
    combine(target, source, Combination { keep: 1.0, scale, term: Term::Sign })
}

/// target ← keep·target + scale·source, in place.
pub(super) fn combine_scaled(
    target: &Tensor,
    keep: f64,
    source: &Tensor,
    scale: f64,
) -> Result<()> {
    combine(target, source, Combination { keep, scale, term: Term::Itself })
}

/// average ← decay·average + (1 − decay)·source, in place.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn average_in(average: &Tensor, source: &Tensor, decay: f64) -> Result<()> {
    combine(average, source, Combination { keep: decay, scale: 1.0 - decay, term: Term::Itself })
}

/// average ← decay·average + (1 − decay)·source², in place.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn average_square_in(average: &Tensor, source: &Tensor, decay: f64) -> Result<()> {
    combine(average, source, Combination { keep: decay, scale: 1.0 - decay, term: Term::Square })
}

/// parameter ← parameter + rate·first/(√(scale·second) + ε), in place: the step of Adam, whose corrections for the start
/// are in `rate` and `scale`.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn adam_step(
    parameter: &Tensor,
    first: &Tensor,
    second: &Tensor,
    rate: f64,
    scale: f64,
    epsilon: f64,
) -> Result<()> {
    check_alike(parameter, first)?;
    check_alike(parameter, second)?;
    if !has_kernel(parameter) {
        let root = ((second * scale)?.sqrt()? + epsilon)?;
        return replace(parameter, &(parameter.detach() + ((first / root)? * rate)?)?);
    }
    let op = AdamStep { rate, scale, epsilon };
    Ok(parameter.inplace_op3(&first.contiguous()?, &second.contiguous()?, &op)?)
}

fn combine(target: &Tensor, source: &Tensor, op: Combination) -> Result<()> {
    check_alike(target, source)?;
    if !has_kernel(target) {
        let term = match op.term {
            Term::Itself => source.detach(),
            Term::Sign => source.detach().sign()?,
            Term::Square => source.detach().sqr()?,
        };
        return replace(target, &((target.detach() * op.keep)? + (term * op.scale)?)?);
    }
    Ok(target.inplace_op2(&source.contiguous()?, &op)?)
}

pub(super) fn check_alike(target: &Tensor, source: &Tensor) -> Result<()> {
    let same_kind = target.shape() == source.shape() && target.dtype() == source.dtype();
    if !same_kind || !target.device().same_device(source.device()) {
        let describe =
            |t: &Tensor| format!("{:?} {:?} on {:?}", t.dims(), t.dtype(), t.device().location());
        return Err(Error::invalid("update in place", describe(target), describe(source)));
    }
    Ok(())
}

/// target ← new, in place.
pub(super) fn replace(target: &Tensor, new: &Tensor) -> Result<()> {
    Ok(target.slice_set(&new.contiguous()?, 0, 0)?)
}

/// target ← keep·target + scale·term(source).
struct Combination {
    keep: f64,
    scale: f64,
    term: Term,
}

#[derive(Clone, Copy)]
enum Term {
    Itself,
    Sign,
    Square,
}

impl Combination {
    fn run<T: Real>(&self, target: &mut [T], source: &[T]) {
        let (keep, scale) = (T::from_f64(self.keep), T::from_f64(self.scale));
        for_chunks(target, |offset, target| {
            let pairs = target.iter_mut().zip(&source[offset..]);
            match self.term {
                Term::Itself => pairs.for_each(|(t, &s)| *t = keep * *t + scale * s),
                Term::Sign => pairs.for_each(|(t, &s)| *t = keep * *t + scale * s.sign()),
                Term::Square => pairs.for_each(|(t, &s)| *t = keep * *t + scale * (s * s)),
            }
        });
    }
}

impl InplaceOp2 for Combination {
    fn name(&self) -> &'static str {
        match self.term {
            Term::Itself => "combine",
            Term::Sign => "combine_sign",
            Term::Square => "combine_square",
        }
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        tl: &Layout,
        source: &CpuStorage,
        sl: &Layout,
    ) -> candle_core::Result<()> {
        with_numbers_mut!(self.name(), (target, tl), (source, sl) => self.run(target, source));
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        target: &mut CudaStorage,
        tl: &Layout,
        source: &CudaStorage,
        sl: &Layout,
    ) -> candle_core::Result<()> {
        super::cuda::combine(self.name(), [self.keep, self.scale], (target, tl), (source, sl))
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        target: &mut MetalStorage,
        tl: &Layout,
        source: &MetalStorage,
        sl: &Layout,
    ) -> candle_core::Result<()> {
        super::metal::combine(self.name(), [self.keep, self.scale], (target, tl), (source, sl))
    }
}

struct AdamStep {
    rate: f64,
    scale: f64,
    epsilon: f64,
}

impl AdamStep {
    fn run<T: Real>(&self, parameter: &mut [T], first: &[T], second: &[T]) {
        let (rate, scale, epsilon) =
            (T::from_f64(self.rate), T::from_f64(self.scale), T::from_f64(self.epsilon));
        for_chunks(parameter, |offset, parameter| {
            let moments = first[offset..].iter().zip(&second[offset..]);
            for (p, (&first, &second)) in parameter.iter_mut().zip(moments) {
                *p += rate * first / ((scale * second).sqrt() + epsilon);
            }
        });
    }
}

impl InplaceOp3 for AdamStep {
    fn name(&self) -> &'static str {
        "adam-step"
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        pl: &Layout,
        first: &CpuStorage,
        fl: &Layout,
        second: &CpuStorage,
        sl: &Layout,
    ) -> candle_core::Result<()> {
        with_numbers_mut!(self.name(), (parameter, pl), (first, fl), (second, sl)
            => self.run(parameter, first, second));
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        parameter: &mut CudaStorage,
        pl: &Layout,
        first: &CudaStorage,
        fl: &Layout,
        second: &CudaStorage,
        sl: &Layout,
    ) -> candle_core::Result<()> {
        let numbers = [self.rate, self.scale, self.epsilon];
        super::cuda::adam_step(numbers, (parameter, pl), [(first, fl), (second, sl)])
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        parameter: &mut MetalStorage,
        pl: &Layout,
        first: &MetalStorage,
        fl: &Layout,
        second: &MetalStorage,
        sl: &Layout,
    ) -> candle_core::Result<()> {
        let numbers = [self.rate, self.scale, self.epsilon];
        super::metal::adam_step(numbers, (parameter, pl), [(first, fl), (second, sl)])
    }
}

/// Scales every column of `weights` `(below, units)`, in place, that is longer than `most` down to that Euclidean
/// norm: the weights into one unit (Srivastava et al. 2014, §5.1).
///
/// # Errors
///
/// Unless it is a matrix and `most` is above zero.
pub fn limit_column_norms(weights: &Tensor, most: f64) -> Result<()> {
    weights.dims2()?;
    if most.is_nan() || most <= 0.0 {
        return Err(Error::invalid("the largest norm", "a number above 0", most.to_string()));
    }
    if has_fused(weights) {
        return Ok(weights.inplace_op1(&LimitColumnNorms { most })?);
    }
    replace(weights, &reference::limited_column_norms(weights, most)?)
}

struct LimitColumnNorms {
    most: f64,
}

impl LimitColumnNorms {
    fn run<T: Real>(&self, weights: &mut [T], columns: usize) {
        let mut squares = vec![T::default(); columns];
        Simd::best().run(
            #[inline(always)]
            || {
                for row in weights.chunks_exact(columns.max(1)) {
                    squares.iter_mut().zip(row).for_each(|(sum, &w)| *sum += w * w);
                }
            },
        );
        let mut scales = vec![T::from_f64(1.0); columns];
        let mut is_any_long = false;
        for (scale, square) in scales.iter_mut().zip(squares) {
            let norm = square.sqrt().to_f64();
            if norm > self.most {
                (*scale, is_any_long) = (T::from_f64(self.most / norm), true);
            }
        }
        if !is_any_long {
            return;
        }
        for_chunks(weights, |start, weights| {
            for RowRun { columns, place, .. } in row_runs(start, weights.len(), columns) {
                let scales = &scales[columns];
                weights[place].iter_mut().zip(scales).for_each(|(w, &scale)| *w *= scale);
            }
        });
    }
}

impl InplaceOp1 for LimitColumnNorms {
    fn name(&self) -> &'static str {
        "limit-columns"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let columns = layout.shape().dims2()?.1;
        with_numbers_mut!(self.name(), (weights, layout) => self.run(weights, columns));
        Ok(())
    }
}
