//! Changes of a parameter in place: the only operations that write into a tensor that exists already.
//!
//! Each is one pass over the parameter: a step of gradient ascent with momentum, one of Adam, weights kept from growing beyond a norm.

use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Tensor};
use rayon::prelude::*;

use super::cpu::{
    RowRun, Simd, contiguous_mut, for_chunks, has_fused, has_kernel, has_product, is_small,
    numbers_of, row_runs, with_numbers_mut,
};
use super::outer::{Ascent, MomentumStep, Outer, Representation};
use super::processor::Processor;
use super::product::{Matrix, multiply_into};
use super::real::Real;
use super::reference;
use super::sparse::{Nonzeros, RowPass, add_rows, in_pieces};
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

/// Into how many portions a thread's share of the parameter is cut, so that a thread that is late holds up the others for
/// a portion only.
const PORTIONS: usize = 4;

/// velocity ← momentum·velocity + rate·ascent, then parameter ← parameter + velocity, both in place.
///
/// None of them may share memory with another.
///
/// # Errors
///
/// Unless `velocity` and the ascent have the parameter's shape and type.
pub fn momentum_step(
    parameter: &Tensor,
    velocity: &Tensor,
    ascent: &Ascent,
    rate: f64,
    momentum: f64,
) -> Result<()> {
    let width = parameter.dims().last().copied().unwrap_or(1);
    let most = Processor::here().most_of_outer(width);
    momentum_step_up_to(most, parameter, velocity, ascent, rate, momentum)
}

/// The same, where outer products are dense when a larger share of their x than `most` is not zero.
pub(super) fn momentum_step_up_to(
    most: f64,
    parameter: &Tensor,
    velocity: &Tensor,
    ascent: &Ascent,
    rate: f64,
    momentum: f64,
) -> Result<()> {
    check_alike(parameter, velocity)?;
    match &ascent.direction {
        Representation::Tensor(tensor) => check_alike(parameter, tensor)?,
        Representation::Outer(terms) if terms.is_empty() => {
            return Err(Error::invalid("a step along outer products", "at least one", "none"));
        }
        Representation::Outer(terms) => {
            terms.iter().try_for_each(|term| term.check_for(parameter))?
        }
    }
    if parameter.elem_count() == 0 {
        return Ok(());
    }
    let is_made =
        if parameter.device().is_cpu() { has_product(parameter) } else { has_kernel(parameter) };
    if !is_made {
        combine_scaled(velocity, momentum, &ascent.tensor(parameter)?, rate)?;
        return add_scaled(parameter, velocity, 1.0);
    }
    Ok(parameter.inplace_op1(&MomentumStep { velocity, ascent, rate, momentum, most })?)
}

impl InplaceOp1 for MomentumStep<'_> {
    fn name(&self) -> &'static str {
        "momentum-step"
    }

    fn cpu_fwd(&self, parameter: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        with_numbers_mut!(self.name(), (parameter, layout) => self.borrow_velocity(parameter)?);
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, parameter: &mut CudaStorage, layout: &Layout) -> candle_core::Result<()> {
        super::cuda::momentum_step(self, parameter, layout)
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(&self, parameter: &mut MetalStorage, layout: &Layout) -> candle_core::Result<()> {
        super::metal::momentum_step(self, parameter, layout)
    }
}

impl MomentumStep<'_> {
    /// candle lends one tensor's memory at a time: the velocity's is borrowed while the parameter's is held.
    fn borrow_velocity<T: Real>(&self, parameter: &mut [T]) -> candle_core::Result<()> {
        self.velocity.inplace_op1(&WithParameter { step: self, parameter: Mutex::new(parameter) })
    }

    fn run<T: Real>(&self, parameter: &mut [T], velocity: &mut [T]) -> candle_core::Result<()> {
        let mut step = Elements {
            keep: T::from_f64(self.momentum),
            l1: T::from_f64(-self.rate * self.ascent.penalty.l1),
            l2: T::from_f64(-self.rate * self.ascent.penalty.l2),
        };
        match &self.ascent.direction {
            Representation::Tensor(gradient) => {
                let (storage, layout) = gradient.storage_and_layout();
                let gradient = numbers_of(&storage, layout)?;
                step.along(parameter, velocity, gradient, T::from_f64(self.rate));
            }
            Representation::Outer(terms) => {
                let factors: Vec<_> = terms.iter().map(Outer::factors).collect();
                let (mut sparse, mut width) = (Vec::with_capacity(terms.len()), parameter.len());
                let mut parts = Vec::with_capacity(terms.len());
                for (term, factors) in terms.iter().zip(&factors) {
                    let scale = T::from_f64(self.rate * term.scale);
                    width = term.y.dim(1)?;
                    if scale != T::default() {
                        parts.push((factors.numbers::<T>()?, term.x.dim(1)?, scale));
                    }
                }
                for (([x, y], rows, scale), found) in
                    parts.iter().zip(transposed_all(&parts, self.most))
                {
                    match found {
                        Some(x) => sparse.push(Sparse { x, y, scale: *scale }),
                        None => {
                            let (x, y) = (Matrix::new(x, *rows).t(), Matrix::new(y, width));
                            multiply_into(velocity, step.keep, *scale, x, y);
                            step.keep = T::from(true);
                        }
                    }
                }
                step.along_outer(parameter, velocity, &sparse, width);
            }
        }
        Ok(())
    }
}

/// The elements of every xᵀ, where a share of at most `most` is not zero.
fn transposed_all<T: Real>(parts: &[([&[T]; 2], usize, T)], most: f64) -> Vec<Option<Nonzeros<T>>> {
    if most <= 0.0 {
        return parts.iter().map(|_| None).collect();
    }
    let of = |([x, _], rows, _): &([&[T]; 2], usize, T)| {
        Nonzeros::of(x, *rows, most).map(|x| x.transposed(*rows))
    };
    if parts.iter().all(|([x, _], ..)| is_small(x.len())) {
        parts.iter().map(of).collect()
    } else {
        parts.par_iter().map(of).collect()
    }
}

struct WithParameter<'a, T> {
    step: &'a MomentumStep<'a>,
    parameter: Mutex<&'a mut [T]>,
}

impl<T: Real> InplaceOp1 for WithParameter<'_, T> {
    fn name(&self) -> &'static str {
        self.step.name()
    }

    fn cpu_fwd(&self, velocity: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let velocity = contiguous_mut(T::numbers_mut(self.name(), velocity)?, layout)?;
        match self.parameter.lock() {
            Ok(mut parameter) => self.step.run(&mut parameter, velocity),
            Err(_) => candle_core::bail!("{}: a thread has panicked in it before", self.name()),
        }
    }
}

/// scale·xᵀy with the elements of xᵀ that are not zero.
struct Sparse<'a, T> {
    x: Nonzeros<T>,
    y: &'a [T],
    scale: T,
}

/// The step of single elements: Δ ← keep·Δ + gradient + l2·w + l1·sign(w), w ← w + Δ.
#[derive(Clone, Copy)]
struct Elements<T> {
    keep: T,
    l1: T,
    l2: T,
}

impl<T: Real> Elements<T> {
    #[inline(always)]
    fn step(self, w: &mut T, velocity: &mut T, gradient: T) {
        let mut delta = self.keep * *velocity + gradient + self.l2 * *w;
        if self.l1 != T::default() {
            delta += self.l1 * w.sign();
        }
        *velocity = delta;
        *w += delta;
    }

    /// Along rate·gradient.
    fn along(self, parameter: &mut [T], velocity: &mut [T], gradient: &[T], rate: T) {
        in_portions(parameter, velocity, 1, |start, parameter, velocity| {
            let gradient = &gradient[start..start + parameter.len()];
            Simd::best().run(
                #[inline(always)]
                || {
                    for ((w, velocity), &g) in parameter.iter_mut().zip(velocity).zip(gradient) {
                        self.step(w, velocity, rate * g);
                    }
                },
            );
        });
    }

    /// Along a sum of outer products, for a parameter `width` wide.
    fn along_outer(self, parameter: &mut [T], velocity: &mut [T], sum: &[Sparse<T>], width: usize) {
        in_portions(parameter, velocity, width, |start, parameter, velocity| {
            let first = start / width;
            let mut rows = ParameterRows { step: self, parameter, velocity, sum, width, first };
            Simd::best().run(
                #[inline(always)]
                || in_pieces(0..width, &mut rows),
            );
        });
    }
}

/// Some rows of a parameter, from row `first` on.
struct ParameterRows<'a, T> {
    step: Elements<T>,
    parameter: &'a mut [T],
    velocity: &'a mut [T],
    sum: &'a [Sparse<'a, T>],
    width: usize,
    first: usize,
}

impl<T: Real> RowPass for ParameterRows<'_, T> {
    /// The sums of all terms are added up in registers; what has been added is rescaled before the next term is.
    #[inline(always)]
    fn piece<const N: usize>(&mut self, at: usize) {
        for row in 0..self.parameter.len() / self.width {
            let mut sums = [T::default(); N];
            let mut scale = self.sum.first().map_or(T::default(), |first| first.scale);
            for Sparse { x, y, scale: next } in self.sum {
                let ratio = scale / *next;
                sums.iter_mut().for_each(|sum| *sum *= ratio);
                add_rows(&mut sums, x.row(self.first + row), y, self.width, at);
                scale = *next;
            }
            let place = row * self.width + at..row * self.width + at + N;
            let elements = self.parameter[place.clone()].iter_mut().zip(&mut self.velocity[place]);
            for ((w, velocity), sum) in elements.zip(sums) {
                self.step.step(w, velocity, scale * sum);
            }
        }
    }
}

/// Calls `pass(start, parameter, velocity)` for portions of whole rows.
fn in_portions<T: Real>(
    parameter: &mut [T],
    velocity: &mut [T],
    width: usize,
    pass: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    let portions = rayon::current_num_threads() * PORTIONS;
    if is_small(parameter.len()) {
        return pass(0, parameter, velocity);
    }
    let len = (parameter.len() / width.max(1)).div_ceil(portions) * width;
    let portions = parameter.par_chunks_mut(len).zip(velocity.par_chunks_mut(len)).enumerate();
    portions.for_each(|(i, (parameter, velocity))| pass(i * len, parameter, velocity));
}
