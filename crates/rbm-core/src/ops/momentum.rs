//! A step of gradient ascent with momentum, in place: one pass over the parameter.
//!
//! Where the gradient is a sum of outer products, as a mini-batch gives it, they are added up in the same pass and never written down.

use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};
use rayon::prelude::*;

use super::aligned::Aligned;
use super::cpu::{
    Simd, contiguous_mut, has_kernel, has_product, is_small, numbers_of, with_numbers_mut,
};
use super::density::Density;
use super::outer::{Ascent, MomentumStep, Outer, Representation};
use super::processor::{Processor, ROWS_OF_FOURS, Way};
use super::product::{Matrix, Picked, multiply_into};
use super::real::Real;
use super::sparse::{RowPass, add_rows, in_pieces};
use super::update::{add_scaled, check_alike, combine_scaled};
use crate::{Error, Result};

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;

/// Into how many portions a thread's share of the parameter is cut, so that a thread that is late holds up the others for
/// a portion only.
const PORTIONS: usize = 4;
/// The same where sums of fours are made anew for every portion.
const PORTIONS_OF_FOURS: usize = 2;

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
    MomentumStep { velocity, ascent, rate, momentum, ways: None }.take(parameter)
}

impl MomentumStep<'_> {
    /// Takes the step.
    pub(super) fn take(&self, parameter: &Tensor) -> Result<()> {
        let Self { velocity, ascent, rate, momentum, .. } = *self;
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
        let is_made = match parameter.device().is_cpu() {
            true => has_product(parameter),
            false => has_kernel(parameter),
        };
        if !is_made {
            combine_scaled(velocity, momentum, &ascent.tensor(parameter)?, rate)?;
            return add_scaled(parameter, velocity, 1.0);
        }
        Ok(parameter.inplace_op1(self)?)
    }
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
                let (mut sums, mut width) = (Vec::with_capacity(terms.len()), parameter.len());
                let mut parts = Vec::with_capacity(terms.len());
                for (term, factors) in terms.iter().zip(&factors) {
                    let scale = T::from_f64(self.rate * term.scale);
                    width = term.y.dim(1)?;
                    if scale != T::default() {
                        parts.push((factors.numbers::<T>()?, term.x.dim(1)?, scale));
                    }
                }
                for (([x, y], rows, scale), found) in parts.iter().zip(picked(&parts, self.ways)) {
                    match found {
                        Some(x) => sums.push(Summand { x, y, scale: *scale }),
                        None => {
                            let (x, y) = (Matrix::new(x, *rows).t(), Matrix::new(y, width));
                            multiply_into(velocity, step.keep, *scale, x, y);
                            step.keep = T::from(true);
                        }
                    }
                }
                step.along_outer(parameter, velocity, &sums, width);
            }
        }
        Ok(())
    }
}

/// Every xᵀ in the form that its sums are made from, where its product with y is not better dense; by the ways that are named, else by the cheapest.
fn picked<T: Real>(
    parts: &[([&[T]; 2], usize, T)],
    ways: Option<&[Way]>,
) -> Vec<Option<Picked<T>>> {
    let of = |number: usize| {
        let ([x, y], rows, _) = parts[number];
        let width = y.len() * rows / x.len().max(1);
        let named = ways.and_then(|ways| ways.get(number)).copied();
        let way = |density| {
            named.unwrap_or_else(|| {
                Processor::here().way_of_outer((x.len() / rows.max(1), rows, width), density)
            })
        };
        if way(Density::NONE) == Way::Dense {
            return None;
        }
        let density = Density::along_columns(x, rows);
        Picked::of_transposed(x, rows, way(density), density)
    };
    if parts.iter().all(|([x, _], ..)| is_small(x.len())) {
        (0..parts.len()).map(of).collect()
    } else {
        (0..parts.len()).into_par_iter().map(of).collect()
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

/// scale·xᵀy, with xᵀ as what it picks of y.
struct Summand<'a, T> {
    x: Picked<T>,
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
        in_portions((PORTIONS, 1), parameter, velocity, 1, |start, parameter, velocity| {
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
    fn along_outer(
        self,
        parameter: &mut [T],
        velocity: &mut [T],
        sum: &[Summand<T>],
        width: usize,
    ) {
        let by_fours = sum.iter().any(|term| matches!(term.x, Picked::Fours(_)));
        let cut = if by_fours { (PORTIONS_OF_FOURS, ROWS_OF_FOURS) } else { (PORTIONS, 1) };
        in_portions(cut, parameter, velocity, width, |start, parameter, velocity| {
            let first = start / width;
            let (sums, table) = (Aligned::default(), Aligned::default());
            let mut rows =
                ParameterRows { step: self, parameter, velocity, sum, width, first, sums, table };
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
    sum: &'a [Summand<'a, T>],
    width: usize,
    first: usize,
    /// What terms by fours add up to in a piece, row by row; empty without any.
    sums: Aligned<T>,
    table: Aligned<T>,
}

impl<T: Real> ParameterRows<'_, T> {
    /// The sums of all terms by fours, and the scale that they are in units of.
    #[inline(always)]
    fn add_fours<const N: usize>(&mut self, at: usize) -> Option<T> {
        let rows = self.parameter.len() / self.width;
        let mut scale = None;
        for Summand { x, y, scale: next } in self.sum {
            let Picked::Fours(x) = x else { continue };
            match scale {
                None => self.sums.set_zeros(rows * N),
                Some(scale) => {
                    let ratio = scale / *next;
                    self.sums.iter_mut().for_each(|sum| *sum *= ratio);
                }
            }
            x.add_to::<T, N>(&mut self.sums, self.first, y, (self.width, at), &mut self.table);
            scale = Some(*next);
        }
        scale
    }
}

impl<T: Real> RowPass for ParameterRows<'_, T> {
    /// The sums of all terms are added up in registers; what has been added is rescaled before the next term is.
    #[inline(always)]
    fn piece<const N: usize>(&mut self, at: usize) {
        let before = self.add_fours::<N>(at);
        for row in 0..self.parameter.len() / self.width {
            let (mut sums, mut scale) = ([T::default(); N], before);
            if before.is_some() {
                sums.copy_from_slice(&self.sums[row * N..][..N]);
            }
            for Summand { x, y, scale: next } in self.sum {
                let Picked::Rows(x) = x else { continue };
                let ratio = scale.map_or(T::default(), |scale| scale / *next);
                sums.iter_mut().for_each(|sum| *sum *= ratio);
                add_rows(&mut sums, x.row(self.first + row), y, self.width, at);
                scale = Some(*next);
            }
            let scale = scale.unwrap_or_default();
            let place = row * self.width + at..row * self.width + at + N;
            let elements = self.parameter[place.clone()].iter_mut().zip(&mut self.velocity[place]);
            for ((w, velocity), sum) in elements.zip(sums) {
                self.step.step(w, velocity, scale * sum);
            }
        }
    }
}

/// Calls `pass(start, parameter, velocity)` for portions of whole rows: so many for each thread, and of so many rows at least.
fn in_portions<T: Real>(
    (portions, least): (usize, usize),
    parameter: &mut [T],
    velocity: &mut [T],
    width: usize,
    pass: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    let portions = rayon::current_num_threads() * portions;
    if is_small(parameter.len()) {
        return pass(0, parameter, velocity);
    }
    let len = (parameter.len() / width.max(1)).div_ceil(portions).max(least) * width;
    let portions = parameter.par_chunks_mut(len).zip(velocity.par_chunks_mut(len)).enumerate();
    portions.for_each(|(i, (parameter, velocity))| pass(i * len, parameter, velocity));
}
