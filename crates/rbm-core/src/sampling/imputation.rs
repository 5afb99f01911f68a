//! Missing values, drawn given the known ones of their case, or by their conditional means.
//!
//! Practical Guide, §17: a missing value is no input; it is one more unit to be sampled while the known ones are held.

use candle_core::{DType, Tensor};

use super::{Clamped, Kernel};
use crate::ops::device::to_host;
use crate::{Error, Rbm, Result, Rng};

/// Fills in what is missing of cases, NaN, by Gibbs sampling with the known values held.
#[derive(Debug, Clone)]
pub struct Imputation {
    /// What missing values begin as, `(visible,)`: the means of their columns.
    pub start: Tensor,
    /// Gibbs steps from there.
    pub steps: usize,
}

impl Imputation {
    /// Missing values begin as `start` `(visible,)` and are drawn in `steps` Gibbs steps.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `steps` is 0.
    pub fn new(start: &Tensor, steps: usize) -> Result<Self> {
        if steps == 0 {
            return Err(Error::invalid("the Gibbs steps of missing values", "at least one", "0"));
        }
        Ok(Self { start: start.detach(), steps })
    }

    /// `visible` `(cases, visible)` with missing values as they begin, and where values are known; `None` where all are. Columns
    /// behind those of `start`, such as labels, are always known.
    fn begun(&self, visible: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
        let known = visible.eq(visible)?;
        let count = to_host(&known.to_dtype(DType::F32)?.sum_all()?)?.to_scalar::<f64>()?;
        if count == visible.elem_count() as f64 {
            return Ok(None);
        }
        let beside = visible.dim(1)?.saturating_sub(self.start.dim(0)?);
        let start = match beside {
            0 => self.start.clone(),
            _ => self.start.pad_with_zeros(0, 0, beside)?,
        };
        let start = start.to_dtype(visible.dtype())?.broadcast_as(visible.shape())?;
        Ok(Some((known.where_cond(visible, &start.contiguous()?)?, known)))
    }

    /// `visible` `(cases, visible)` with missing values as they begin: the means of their columns.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn started(&self, visible: &Tensor) -> Result<Tensor> {
        Ok(self.begun(visible)?.map_or_else(|| visible.clone(), |(filled, _)| filled))
    }

    /// `visible` `(cases, visible)` with every missing value drawn given the known ones of its case. A leaf.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn sample(&self, rbm: &Rbm, visible: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let Some((filled, known)) = self.begun(visible)? else { return Ok(visible.clone()) };
        let kernel = Clamped::new(&filled, &known)?;
        let mut chains = kernel.init(rbm, filled, rng)?;
        kernel.advance(rbm, &mut chains, self.steps, rng)?;
        Ok(chains.visible)
    }

    /// `visible` `(cases, visible)` with every missing value at its mean given the known ones of its case: of `draws` Gibbs steps
    /// after the first [`Imputation::steps`], the mean of what the hidden units then say of it. A leaf.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn mean(&self, rbm: &Rbm, visible: &Tensor, draws: usize, rng: &mut Rng) -> Result<Tensor> {
        let Some((filled, known)) = self.begun(visible)? else { return Ok(visible.clone()) };
        let kernel = Clamped::new(&filled, &known)?;
        let mut chains = kernel.init(rbm, filled, rng)?;
        kernel.advance(rbm, &mut chains, self.steps, rng)?;
        let mut sum = rbm.visible_mean(&chains.hidden)?.detach();
        for _ in 1..draws {
            kernel.step(rbm, &mut chains, rng)?;
            sum = (sum + rbm.visible_mean(&chains.hidden)?.detach())?;
        }
        kernel.apply(&(sum / draws.max(1) as f64)?)
    }
}
