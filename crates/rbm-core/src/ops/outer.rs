//! A direction in which a parameter can move, as it is known before anything is multiplied out.

use std::ops::Deref;

use candle_core::{Layout, Storage, Tensor};

use super::cpu::numbers_of;
use super::processor::Way;
use super::real::Real;
use crate::{Error, Result};

/// scale·xᵀy, with x `(cases, rows)` and y `(cases, columns)`: what some cases say of a weight matrix `(rows, columns)`.
#[derive(Debug, Clone)]
pub struct Outer {
    /// `(cases, rows)`, contiguous.
    pub(super) x: Tensor,
    /// `(cases, columns)`, contiguous.
    pub(super) y: Tensor,
    /// The factor before the product.
    pub(super) scale: f64,
}

impl Outer {
    /// scale·xᵀy, a leaf.
    ///
    /// # Errors
    ///
    /// Unless both are matrices of the same type with a row for each case.
    pub fn new(x: &Tensor, y: &Tensor, scale: f64) -> Result<Self> {
        let (cases, _) = x.dims2()?;
        if y.dims2()?.0 != cases || y.dtype() != x.dtype() {
            let expected = format!("{cases} rows of {:?}", x.dtype());
            let found = format!("{:?} {:?}", y.dims(), y.dtype());
            return Err(Error::invalid("an outer product: y", expected, found));
        }
        Ok(Self { x: x.detach().contiguous()?, y: y.detach().contiguous()?, scale })
    }

    /// The same `factor` times as long.
    pub fn times(mut self, factor: f64) -> Self {
        self.scale *= factor;
        self
    }

    /// The sum with `other`, which has the same x.
    fn joined(&self, other: &Self) -> Result<Self> {
        if self.scale == 0.0 {
            return Ok(other.clone());
        }
        let y = (&self.y + (&other.y * (other.scale / self.scale))?)?;
        Ok(Self { x: self.x.clone(), y, scale: self.scale })
    }

    /// Errors unless this is a direction for `parameter`.
    pub(super) fn check_for(&self, parameter: &Tensor) -> Result<()> {
        let (rows, columns) = self.shape()?;
        if parameter.dims() == [rows, columns] && parameter.dtype() == self.x.dtype() {
            return Ok(());
        }
        let expected = format!("{:?} {:?}", parameter.dims(), parameter.dtype());
        let found = format!("{:?} {:?}", (rows, columns), self.x.dtype());
        Err(Error::invalid("an outer product of a step", expected, found))
    }

    /// `(rows, columns)`.
    pub(super) fn shape(&self) -> Result<(usize, usize)> {
        Ok((self.x.dim(1)?, self.y.dim(1)?))
    }
}

/// Both factors of an outer product, their memory borrowed.
pub(super) struct Factors<'a, Guard>([(Guard, &'a Layout); 2]);

impl Outer {
    pub(super) fn factors(&self) -> Factors<'_, impl Deref<Target = Storage>> {
        Factors([self.x.storage_and_layout(), self.y.storage_and_layout()])
    }
}

impl<Guard: Deref<Target = Storage>> Factors<'_, Guard> {
    /// The numbers of x and y, row by row.
    pub(super) fn numbers<T: Real>(&self) -> candle_core::Result<[&[T]; 2]> {
        let [x, y] = &self.0;
        Ok([numbers_of(&x.0, x.1)?, numbers_of(&y.0, y.1)?])
    }
}

/// What one parameter's penalty is made of: −l2·w − l1·sign(w).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Penalty {
    /// Strength of λ·Σ|w|.
    pub l1: f64,
    /// Strength of λ/2·Σw².
    pub l2: f64,
}

/// A direction of ascent of one parameter: a tensor, or a sum of outer products that need never be written down, less a
/// penalty on the parameter itself.
#[derive(Debug, Clone)]
pub struct Ascent {
    /// What the data and the machine say.
    pub(super) direction: Representation,
    /// What is taken away for the parameter's size.
    pub penalty: Penalty,
}

#[derive(Debug, Clone)]
pub(super) enum Representation {
    Tensor(Tensor),
    Outer(Vec<Outer>),
}

impl From<Tensor> for Ascent {
    fn from(tensor: Tensor) -> Self {
        Self { direction: Representation::Tensor(tensor), penalty: Penalty::default() }
    }
}

impl From<Vec<Outer>> for Ascent {
    fn from(terms: Vec<Outer>) -> Self {
        Self { direction: Representation::Outer(terms), penalty: Penalty::default() }
    }
}

impl Ascent {
    /// Along the sum of `terms`. Those whose x is the same tensor become one: x is multiplied out once.
    ///
    /// # Errors
    ///
    /// When such terms are of different shapes.
    pub fn along(terms: Vec<Outer>) -> Result<Self> {
        let mut merged: Vec<Outer> = Vec::with_capacity(terms.len());
        for term in terms {
            match merged.iter_mut().find(|earlier| earlier.x.id() == term.x.id()) {
                Some(earlier) => *earlier = earlier.joined(&term)?,
                None => merged.push(term),
            }
        }
        Ok(merged.into())
    }

    /// The same, with what has the same x brought together as by [`Ascent::along`].
    ///
    /// # Errors
    ///
    /// When such terms are of different shapes.
    pub fn merged(self) -> Result<Self> {
        match self.direction {
            Representation::Outer(terms) => {
                Ok(Self { penalty: self.penalty, ..Self::along(terms)? })
            }
            Representation::Tensor(_) => Ok(self),
        }
    }

    /// The same `factor` times as long.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn times(mut self, factor: f64) -> Result<Self> {
        match &mut self.direction {
            Representation::Outer(terms) => terms.iter_mut().for_each(|term| term.scale *= factor),
            Representation::Tensor(tensor) => *tensor = (&*tensor * factor)?,
        }
        let Penalty { l1, l2 } = self.penalty;
        self.penalty = Penalty { l1: l1 * factor, l2: l2 * factor };
        Ok(self)
    }
}

/// One step along an ascent with momentum, for the kernels that make it.
pub(super) struct MomentumStep<'a> {
    pub(super) velocity: &'a Tensor,
    pub(super) ascent: &'a Ascent,
    pub(super) rate: f64,
    pub(super) momentum: f64,
    /// The way of each outer product, where they are named. Of the CPU.
    pub(super) ways: Option<&'a [Way]>,
}
