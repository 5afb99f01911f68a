//! A path of machines from independent units (β = 0) to the machine itself (β = 1).
//!
//! Only the couplings are tempered: E_β(v, h) = E_v(v) + E_h(h) − (1 − β)·(a·v + c·h) − β·vᵀWh. At β = 0 the units are
//! independent, under the fields a and c beside their own biases, so that log Z is known and samples are exact. The fields
//! decide how near that beginning is to the data: Salakhutdinov and Murray 2008 start from the data's base rates, and so
//! does [`AnnealingPath::from_cases`], on both sides.

use candle_core::{D, Tensor};

use super::Chains;
use crate::model::{Boltzmann, Tempered};
use crate::ops::device::to_host;
use crate::{Error, Result, Rng, Rows, ops, rows};

/// The fields that stand in for the other layer where couplings are weak: plain data, for machines of one shape.
///
/// Inverse temperatures are columns `(rows, 1)`, so that rows at different ones share every product. Products are vW
/// `(rows, hidden)` and hWᵀ `(rows, visible)`.
#[derive(Debug, Clone)]
pub struct AnnealingPath {
    /// a, `(visible,)`.
    pub rest_field: Tensor,
    /// c, `(hidden,)`.
    pub last_field: Tensor,
}

impl AnnealingPath {
    /// From units that have nothing but their own biases: a = 0, c = 0.
    ///
    /// # Errors
    ///
    /// When a bias cannot be read.
    pub fn from_biases(machine: &dyn Boltzmann) -> Result<Self> {
        let zeros = |n: usize| Tensor::zeros(n, machine.dtype(), machine.device());
        let (rest, last) = (machine.rest().units().width(), machine.last().units().width());
        Ok(Self { rest_field: zeros(rest)?, last_field: zeros(last)? })
    }

    /// The machine at other temperatures: without its couplings the units have no fields at all, so that E_β = β·E and β = 1/τ,
    /// where τ is the temperature of statistical mechanics. Inverse temperatures above 1 are colder machines than this one.
    /// So it is where a layer's energy has no part that is not learned (Bernoulli, spin and Potts units).
    ///
    /// # Errors
    ///
    /// When a bias cannot be read.
    pub fn temperature(machine: &dyn Boltzmann) -> Result<Self> {
        let (rest, last) = (machine.rest().bias()?.neg()?, machine.last().bias()?.neg()?);
        Ok(Self { rest_field: rest, last_field: last })
    }

    /// From independent units with these means, `(visible,)` and `(hidden,)`.
    ///
    /// # Errors
    ///
    /// For means of other shapes than the layers'.
    pub fn from_means(machine: &dyn Boltzmann, visible: &Tensor, hidden: &Tensor) -> Result<Self> {
        let field = |layer: &dyn crate::Layer, mean: &Tensor| -> Result<Tensor> {
            Ok((layer.bias_for_mean(mean)? - layer.bias()?)?)
        };
        Ok(Self {
            rest_field: field(machine.rest(), visible)?,
            last_field: field(machine.last(), hidden)?,
        })
    }

    /// From independent units with the means that `cases` `(n, visible)` have, and that they cause in the hidden
    /// units.
    ///
    /// # Errors
    ///
    /// When there are no cases.
    pub fn from_cases(machine: &dyn Boltzmann, cases: &dyn Rows) -> Result<Self> {
        let mut sums: Option<(Tensor, Tensor)> = None;
        for block in rows::blocks(cases) {
            let block = block?;
            let hidden =
                ops::sum_rows(&machine.last().mean(&machine.last_inputs(&block)?)?.detach())?;
            let visible = ops::sum_rows(&block)?;
            sums = Some(match sums {
                None => (visible, hidden),
                Some((v, h)) => ((v + visible)?, (h + hidden)?),
            });
        }
        let (visible, hidden) =
            sums.ok_or_else(|| Error::invalid("a path", "at least one case", "none"))?;
        let count = cases.count() as f64;
        Self::from_means(machine, &(visible / count)?, &(hidden / count)?)
    }

    /// The inputs of the hidden units at inverse temperatures `betas`, from `products` vW.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn last_inputs(&self, products: &Tensor, betas: &Tensor) -> Result<Tensor> {
        match self.last_field.elem_count() {
            0 => Ok(products.clone()), // no colour is summed out
            _ => ops::interpolate_inputs(products, betas, &self.last_field),
        }
    }

    /// E_v(v) − F_β(v), `(rows,)`, at each of the `betas`: the part of log p*_β(v) that changes along the path. `products` is
    /// vW.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn log_weights<const N: usize>(
        &self,
        machine: &dyn Boltzmann,
        visible: &Tensor,
        products: &Tensor,
        betas: [&Tensor; N],
    ) -> Result<[Tensor; N]> {
        let within = machine.interaction(visible)?;
        let field = visible.matmul(&self.rest_field.unsqueeze(1)?)?;
        let mut weights = betas.map(Tensor::clone);
        for (weight, betas) in weights.iter_mut().zip(betas) {
            let cgf = machine.last().cgf(&self.last_inputs(products, betas)?)?.detach();
            let field = (&field * betas.affine(-1.0, 1.0)?)?.squeeze(D::Minus1)?;
            *weight = (cgf + field)?;
            if let Some(within) = &within {
                *weight = (&*weight + (within.detach() * betas.squeeze(D::Minus1)?)?)?;
            }
        }
        Ok(weights)
    }

    /// log Z of the independent units at β = 0, in nats.
    ///
    /// # Errors
    ///
    /// When the path is of another machine.
    pub fn log_partition_at_zero(&self, machine: &dyn Boltzmann) -> Result<f64> {
        let of = |layer: &dyn crate::Layer, field: &Tensor| -> Result<f64> {
            Ok(to_host(&layer.cgf(&field.unsqueeze(0)?)?)?.sum_all()?.to_scalar::<f64>()?)
        };
        Ok(of(machine.rest(), &self.rest_field)? + of(machine.last(), &self.last_field)?)
    }

    /// `count` independent samples of β = 0, `(count, visible)`.
    ///
    /// # Errors
    ///
    /// When the path is of another machine.
    pub fn sample_at_zero(
        &self,
        machine: &dyn Boltzmann,
        count: usize,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        let width = self.rest_field.elem_count();
        let inputs = self.rest_field.unsqueeze(0)?.broadcast_as((count, width))?;
        machine.rest().sample(&inputs.contiguous()?, rng)
    }

    /// Chains at `visible` `(rows, visible)`, their hidden units drawn at `betas`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn chains(
        &self,
        machine: &dyn Boltzmann,
        visible: Tensor,
        betas: &Tensor,
        rng: &mut Rng,
    ) -> Result<Chains> {
        let hidden_inputs = machine.last_inputs(&visible)?.detach();
        let hidden = self.sample_hidden(machine, &hidden_inputs, betas, rng)?;
        Ok(Chains { visible, hidden_inputs, hidden })
    }

    /// Hidden configurations given the products vW, at `betas`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn sample_hidden(
        &self,
        machine: &dyn Boltzmann,
        products: &Tensor,
        betas: &Tensor,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        machine.last().sample(&self.last_inputs(products, betas)?, rng)
    }

    /// Chains at `visible` `(rows, visible)` with the hidden units `hidden` `(rows, hidden)`, after one Gibbs step at `betas`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn step(
        &self,
        machine: &dyn Boltzmann,
        (visible, hidden): (&Tensor, &Tensor),
        betas: &Tensor,
        rng: &mut Rng,
    ) -> Result<Chains> {
        let (visible, hidden_inputs) = self.reconstruct(machine, (visible, hidden), betas, rng)?;
        let hidden = self.sample_hidden(machine, &hidden_inputs, betas, rng)?;
        Ok(Chains { visible, hidden_inputs, hidden })
    }

    /// Visible configurations that hidden ones cause at `betas`, and the products vW that go with them. `visible` is how they
    /// were, for machines with couplings among these units.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn reconstruct(
        &self,
        machine: &dyn Boltzmann,
        (visible, hidden): (&Tensor, &Tensor),
        betas: &Tensor,
        rng: &mut Rng,
    ) -> Result<(Tensor, Tensor)> {
        let tempered = Tempered { field: &self.rest_field, betas };
        let visible = machine.draw_rest(Some(visible), hidden, Some(tempered), rng)?;
        let products = machine.last_inputs(&visible)?.detach();
        Ok((visible, products))
    }
}

/// Inverse temperatures as a column `(betas.len(), 1)` of the machine's type, on its device.
///
/// # Errors
///
/// When the parameters cannot be read or copied.
pub fn beta_column(machine: &dyn Boltzmann, betas: &[f64]) -> Result<Tensor> {
    let column = Tensor::new(betas, &candle_core::Device::Cpu)?.unsqueeze(1)?;
    Ok(column.to_dtype(machine.dtype())?.to_device(machine.device())?)
}
