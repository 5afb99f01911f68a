//! A direction in which a parameter can move, as it is known before anything is multiplied out.

use std::ops::Deref;

use candle_core::{DType, Layout, Storage, Tensor};

use super::product::{Matrix, multiply_into};
use super::real::Real;
use super::slices::{has_product, numbers_of};
use super::{add_scaled, add_sign_scaled, product, product_transposed};
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
    /// scale·xᵀy, a leaf. Errors unless both are matrices of the same type with a row for each case.
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
    fn shape(&self) -> Result<(usize, usize)> {
        Ok((self.x.dim(1)?, self.y.dim(1)?))
    }
}

/// Σ scale·xᵀy: one buffer, no temporaries. A leaf. Errors when there are no terms or they are of different shapes.
pub fn outer_sum(terms: &[Outer]) -> Result<Tensor> {
    let Some(first) = terms.first() else {
        return Err(Error::invalid("a sum of outer products", "at least one", "none"));
    };
    let shape = first.shape()?;
    for term in terms {
        if term.shape()? != shape || term.x.dtype() != first.x.dtype() {
            let describe = |t: &Outer| format!("{:?} {:?}", t.shape().ok(), t.x.dtype());
            return Err(Error::invalid("outer products", describe(first), describe(term)));
        }
    }
    #[cfg(feature = "cuda")]
    if first.x.device().is_cuda() && super::slices::has_kernel(&first.x) {
        return Ok(super::cuda::outer_sum(terms, shape)?);
    }
    if !has_product(&first.x) {
        return super::reference::outer_sum(terms);
    }
    let out = match first.x.dtype() {
        DType::F64 => f64::storage(add_up(terms, shape)?),
        _ => f32::storage(add_up(terms, shape)?),
    };
    let none = candle_core::op::BackpropOp::none();
    Ok(Tensor::from_storage(Storage::Cpu(out), shape, none, false))
}

fn add_up<T: Real>(terms: &[Outer], (rows, columns): (usize, usize)) -> Result<Vec<T>> {
    let mut out = vec![T::default(); rows * columns];
    for term in terms {
        let factors = term.factors();
        let [x, y] = factors.numbers()?;
        let (x, y) = (Matrix::new(x, rows), Matrix::new(y, columns));
        multiply_into(&mut out, T::from(true), T::from_f64(term.scale), x.t(), y);
    }
    Ok(out)
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
    pub(super) direction: Direction,
    /// What is taken away for the parameter's size.
    pub penalty: Penalty,
}

#[derive(Debug, Clone)]
pub(super) enum Direction {
    Tensor(Tensor),
    Outer(Vec<Outer>),
}

impl From<Tensor> for Ascent {
    fn from(tensor: Tensor) -> Self {
        Self { direction: Direction::Tensor(tensor), penalty: Penalty::default() }
    }
}

impl From<Vec<Outer>> for Ascent {
    fn from(terms: Vec<Outer>) -> Self {
        Self { direction: Direction::Outer(terms), penalty: Penalty::default() }
    }
}

impl Ascent {
    /// Along the sum of `terms`. Those whose x is the same tensor become one: x is multiplied out once. Errors when such
    /// terms are of different shapes.
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

    /// The same with one more outer product.
    pub fn plus(self, term: Outer) -> Result<Self> {
        self.and(vec![term].into())
    }

    /// The sum with `other`, a direction of the same parameter.
    pub fn and(mut self, other: Self) -> Result<Self> {
        self.direction = match (self.direction, other.direction) {
            (Direction::Outer(mut terms), Direction::Outer(others)) => {
                terms.extend(others);
                Direction::Outer(terms)
            }
            (Direction::Tensor(tensor), Direction::Tensor(other)) => {
                Direction::Tensor((tensor + other)?)
            }
            (Direction::Tensor(tensor), Direction::Outer(terms))
            | (Direction::Outer(terms), Direction::Tensor(tensor)) => {
                Direction::Tensor((tensor + outer_sum(&terms)?)?)
            }
        };
        self.penalty.l1 += other.penalty.l1;
        self.penalty.l2 += other.penalty.l2;
        Ok(self)
    }

    /// The same `factor` times as long.
    pub fn times(mut self, factor: f64) -> Result<Self> {
        match &mut self.direction {
            Direction::Outer(terms) => terms.iter_mut().for_each(|term| term.scale *= factor),
            Direction::Tensor(tensor) => *tensor = (&*tensor * factor)?,
        }
        let Penalty { l1, l2 } = self.penalty;
        self.penalty = Penalty { l1: l1 * factor, l2: l2 * factor };
        Ok(self)
    }

    /// [`Ascent::tensor`] times a vector y `(columns,)` from the right, without multiplying out: `(rows,)`.
    pub fn times_vector(&self, parameter: &Tensor, y: &Tensor) -> Result<Tensor> {
        let y = y.unsqueeze(0)?;
        let said = match &self.direction {
            Direction::Tensor(tensor) => product_transposed(&y, tensor)?.squeeze(0)?,
            Direction::Outer(terms) => sum(terms, |term| {
                Ok((product(&product_transposed(&y, &term.y)?, &term.x)? * term.scale)?)
            })?,
        };
        self.less_penalty(said, parameter, |w| product_transposed(&y, w))
    }

    /// A vector x `(rows,)` times [`Ascent::tensor`], without multiplying out: `(columns,)`.
    pub fn vector_times(&self, parameter: &Tensor, x: &Tensor) -> Result<Tensor> {
        let x = x.unsqueeze(0)?;
        let said = match &self.direction {
            Direction::Tensor(tensor) => product(&x, tensor)?.squeeze(0)?,
            Direction::Outer(terms) => sum(terms, |term| {
                Ok((product(&product_transposed(&x, &term.x)?, &term.y)? * term.scale)?)
            })?,
        };
        self.less_penalty(said, parameter, |w| product(&x, w))
    }

    /// `said` less the penalty of the parameter's size, multiplied by `times`, which gives one row.
    fn less_penalty(
        &self,
        mut said: Tensor,
        parameter: &Tensor,
        times: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (Penalty { l1, l2 }, parameter) = (self.penalty, parameter.detach());
        if l2 != 0.0 {
            said = (said - (times(&parameter)?.squeeze(0)? * l2)?)?;
        }
        if l1 != 0.0 {
            said = (said - (times(&parameter.sign()?)?.squeeze(0)? * l1)?)?;
        }
        Ok(said)
    }

    /// Multiplied out for the parameter as it is: a tensor of its shape, newly made where there is anything to do.
    pub fn tensor(&self, parameter: &Tensor) -> Result<Tensor> {
        let fresh = match &self.direction {
            Direction::Outer(terms) => outer_sum(terms)?,
            Direction::Tensor(tensor) if self.penalty == Penalty::default() => {
                return Ok(tensor.clone());
            }
            Direction::Tensor(tensor) => tensor.copy()?,
        };
        let parameter = parameter.detach();
        if self.penalty.l2 != 0.0 {
            add_scaled(&fresh, &parameter, -self.penalty.l2)?;
        }
        if self.penalty.l1 != 0.0 {
            add_sign_scaled(&fresh, &parameter, -self.penalty.l1)?;
        }
        Ok(fresh)
    }
}

/// The sum of one row `(1, width)` for each term, as a vector. Errors when there are none.
fn sum(terms: &[Outer], row: impl Fn(&Outer) -> Result<Tensor>) -> Result<Tensor> {
    let rows = terms.iter().map(row).collect::<Result<Vec<_>>>()?;
    let Some((first, others)) = rows.split_first() else {
        return Err(Error::invalid("a sum of outer products", "at least one", "none"));
    };
    let total = others.iter().try_fold(first.clone(), |total, row| total + row)?;
    Ok(total.squeeze(0)?)
}
