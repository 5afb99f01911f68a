//! Sums of outer products and directions of ascent, multiplied out, added up and times vectors.

use candle_core::{DType, Storage, Tensor};

use super::cpu::has_product;
use super::outer::{Ascent, Outer, Penalty, Representation};
use super::product::{Matrix, multiply_into};
use super::real::Real;
use super::{add_scaled, add_sign_scaled, product, product_transposed};
use crate::{Error, Result};

/// Σ scale·xᵀy: one buffer, no temporaries. A leaf.
///
/// # Errors
///
/// When there are no terms or they are of different shapes.
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
    if first.x.device().is_cuda() && super::cpu::has_kernel(&first.x) {
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

impl Ascent {
    /// The same with one more outer product.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn plus(self, term: Outer) -> Result<Self> {
        self.and(vec![term].into())
    }

    /// The sum with `other`, a direction of the same parameter.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn and(mut self, other: Self) -> Result<Self> {
        self.direction = match (self.direction, other.direction) {
            (Representation::Outer(mut terms), Representation::Outer(others)) => {
                terms.extend(others);
                Representation::Outer(terms)
            }
            (Representation::Tensor(tensor), Representation::Tensor(other)) => {
                Representation::Tensor((tensor + other)?)
            }
            (Representation::Tensor(tensor), Representation::Outer(terms))
            | (Representation::Outer(terms), Representation::Tensor(tensor)) => {
                Representation::Tensor((tensor + outer_sum(&terms)?)?)
            }
        };
        self.penalty.l1 += other.penalty.l1;
        self.penalty.l2 += other.penalty.l2;
        Ok(self)
    }

    /// [`Ascent::tensor`] times a vector y `(columns,)` from the right, without multiplying out: `(rows,)`.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn times_vector(&self, parameter: &Tensor, y: &Tensor) -> Result<Tensor> {
        let y = y.unsqueeze(0)?;
        let ascent = match &self.direction {
            Representation::Tensor(tensor) => product_transposed(&y, tensor)?.squeeze(0)?,
            Representation::Outer(terms) => sum(terms, |term| {
                Ok((product(&product_transposed(&y, &term.y)?, &term.x)? * term.scale)?)
            })?,
        };
        self.less_penalty(ascent, parameter, |w| product_transposed(&y, w))
    }

    /// A vector x `(rows,)` times [`Ascent::tensor`], without multiplying out: `(columns,)`.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn vector_times(&self, parameter: &Tensor, x: &Tensor) -> Result<Tensor> {
        let x = x.unsqueeze(0)?;
        let ascent = match &self.direction {
            Representation::Tensor(tensor) => product(&x, tensor)?.squeeze(0)?,
            Representation::Outer(terms) => sum(terms, |term| {
                Ok((product(&product_transposed(&x, &term.x)?, &term.y)? * term.scale)?)
            })?,
        };
        self.less_penalty(ascent, parameter, |w| product(&x, w))
    }

    /// `ascent` less the penalty of the parameter's size, multiplied by `times`, which gives one row.
    fn less_penalty(
        &self,
        mut ascent: Tensor,
        parameter: &Tensor,
        times: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (Penalty { l1, l2 }, parameter) = (self.penalty, parameter.detach());
        if l2 != 0.0 {
            ascent = (ascent - (times(&parameter)?.squeeze(0)? * l2)?)?;
        }
        if l1 != 0.0 {
            ascent = (ascent - (times(&parameter.sign()?)?.squeeze(0)? * l1)?)?;
        }
        Ok(ascent)
    }

    /// Multiplied out for the parameter as it is: a tensor of its shape, newly made where there is anything to do.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn tensor(&self, parameter: &Tensor) -> Result<Tensor> {
        let fresh = match &self.direction {
            Representation::Outer(terms) => outer_sum(terms)?,
            Representation::Tensor(tensor) if self.penalty == Penalty::default() => {
                return Ok(tensor.clone());
            }
            Representation::Tensor(tensor) => tensor.copy()?,
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
