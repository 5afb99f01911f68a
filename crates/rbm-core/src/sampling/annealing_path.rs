//! A path of machines from independent units (β = 0) to the machine itself (β = 1).
//!
//! The couplings are tempered: E_β(v, h) = E_v(v) + E_h(h) − (1 − β)·(a·v + c·h) − β·vᵀWh. At β = 0 the units are
//! independent, under the fields a and c beside their own biases, so that log Z is known and samples are exact. The fields
//! decide how near that beginning is to the data: Salakhutdinov and Murray 2008 start from the data's base rates, and so
//! does [`AnnealingPath::from_cases`], on both sides. Real-valued units begin as wide as the data are ([`BaseUnits`]).

use candle_core::{D, Device, Tensor};

use super::Chains;
use crate::model::init::moments_of_blocks;
use crate::model::{Boltzmann, Tempered};
use crate::state::{State, with_prefix};
use crate::units::BaseUnits;
use crate::units::base_units::has_numbers;
use crate::{Error, Layer, Result, Rng, Rows, ops, rows};

/// What stands in for the other layer where couplings are weak: plain data, for machines of one shape.
///
/// Inverse temperatures are columns `(rows, 1)`, so that rows at different ones share every product. Products are vW
/// `(rows, hidden)` and hWᵀ `(rows, visible)`.
#[derive(Debug, Clone)]
pub struct AnnealingPath {
    /// a, and the precisions of the units that chains carry.
    pub rest: BaseUnits,
    /// c, and the precisions of those that are summed out.
    pub last: BaseUnits,
}

impl AnnealingPath {
    /// From units that have nothing but their own biases: a = 0, c = 0.
    ///
    /// # Errors
    ///
    /// When a bias cannot be read.
    pub fn from_biases(machine: &dyn Boltzmann) -> Result<Self> {
        let of = BaseUnits::of_biases;
        Ok(Self { rest: of(machine.rest())?, last: of(machine.last())? })
    }

    /// The machine at other temperatures: without its couplings the units have no fields at all, so that E_β = β·E and β = 1/τ,
    /// where τ is the temperature of statistical mechanics. Inverse temperatures above 1 are colder machines than this one.
    /// So it is where a layer's energy has no part that is not learned (Bernoulli, spin and Potts units).
    ///
    /// # Errors
    ///
    /// When a bias cannot be read.
    pub fn temperature(machine: &dyn Boltzmann) -> Result<Self> {
        let of = |layer: &dyn Layer| -> Result<_> { Ok(BaseUnits::of_field(layer.bias()?.neg()?)) };
        Ok(Self { rest: of(machine.rest())?, last: of(machine.last())? })
    }

    /// Whether this is [`AnnealingPath::temperature`] of `machine`: with units without biases [`AnnealingPath::from_biases`] is it too.
    ///
    /// # Errors
    ///
    /// When a bias cannot be read.
    pub fn is_temperature(&self, machine: &dyn Boltzmann) -> Result<bool> {
        let is = |base: &BaseUnits, layer: &dyn Layer| base.is_field(&layer.bias()?.neg()?);
        Ok(is(&self.rest, machine.rest())? && is(&self.last, machine.last())?)
    }

    /// From independent units with these means, `(visible,)` and `(hidden,)`, and the precisions that they have once all others are known.
    ///
    /// # Errors
    ///
    /// For means of other shapes than the layers'.
    pub fn from_means(machine: &dyn Boltzmann, visible: &Tensor, hidden: &Tensor) -> Result<Self> {
        Self::from_moments(machine, (visible, None), (hidden, None))
    }

    /// From independent units with these means and variances, `(visible,)` and `(hidden,)`: those of the visible units, and of the means of the hidden
    /// ones, which vary about these by themselves. Without variances real-valued units have the precisions that they have once all others are known.
    ///
    /// # Errors
    ///
    /// For moments of other shapes than the layers'.
    pub fn from_moments(
        machine: &dyn Boltzmann,
        (visible, of_visible): (&Tensor, Option<&Tensor>),
        (hidden, of_means): (&Tensor, Option<&Tensor>),
    ) -> Result<Self> {
        let (rest, last) = (machine.rest(), machine.last());
        let of_hidden = match of_means {
            Some(of_means) => {
                let own = last.tails()?.into_iter().map(|tail| tail.precision.recip());
                let own = Tensor::from_iter(own, &Device::Cpu)?.to_dtype(of_means.dtype())?;
                Some((of_means + own.to_device(of_means.device())?)?)
            }
            None => None,
        };
        Ok(Self {
            rest: BaseUnits::of_moments(rest, visible, of_visible)?,
            last: BaseUnits::of_moments(last, hidden, of_hidden.as_ref())?,
        })
    }

    /// From independent units with the means that `cases` `(n, visible)` have, and that they cause in the hidden
    /// units; real-valued ones with the variances as well.
    ///
    /// # Errors
    ///
    /// When there are no cases.
    pub fn from_cases(machine: &dyn Boltzmann, cases: &dyn Rows) -> Result<Self> {
        let (rest, last) = (machine.rest(), machine.last());
        let hidden_means = |block: &Tensor| -> Result<Tensor> {
            Ok(last.mean(&machine.last_inputs(block)?)?.detach())
        };
        let mut sums: Option<(Tensor, Tensor)> = None;
        for block in rows::blocks(cases) {
            let block = block?;
            let hidden = ops::sum_rows(&hidden_means(&block)?)?;
            let visible = ops::sum_rows(&block)?;
            sums = Some(match sums {
                None => (visible, hidden),
                Some((v, h)) => ((v + visible)?, (h + hidden)?),
            });
        }
        let (visible, hidden) =
            sums.ok_or_else(|| Error::invalid("a path", "at least one case", "none"))?;
        let count = cases.count() as f64;
        let of_rest = match has_numbers(rest)? {
            true => Some(moments_of_blocks(|| rows::blocks(cases))?.1),
            false => None,
        };
        let of_last = match has_numbers(last)? {
            true => {
                let blocks = || rows::blocks(cases).map(|block| hidden_means(&block?));
                Some(moments_of_blocks(blocks)?.1)
            }
            false => None,
        };
        let (visible, hidden) = ((visible / count)?, (hidden / count)?);
        Self::from_moments(machine, (&visible, of_rest.as_ref()), (&hidden, of_last.as_ref()))
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
        let instead = self.rest.instead_of_couplings(visible)?;
        let mut weights = betas.map(Tensor::clone);
        for (weight, betas) in weights.iter_mut().zip(betas) {
            let cgf = self.last.cgf(machine.last(), products, betas)?.detach();
            let instead = (&instead * betas.affine(-1.0, 1.0)?)?.squeeze(D::Minus1)?;
            *weight = (cgf + instead)?;
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
        Ok(self.rest.log_partition(machine.rest())? + self.last.log_partition(machine.last())?)
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
        self.rest.sample_at_zero(machine.rest(), count, rng)
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
        self.last.sample(machine.last(), products, betas, rng)
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
        let tempered = Tempered { base: &self.rest, betas };
        let visible = machine.draw_rest(Some(visible), hidden, Some(tempered), rng)?;
        let products = machine.last_inputs(&visible)?.detach();
        Ok((visible, products))
    }

    /// Everything as named tensors.
    pub fn state(&self) -> State {
        let of = |name, units: &BaseUnits| with_prefix(name, units.state()).collect::<Vec<_>>();
        [of("visible", &self.rest), of("hidden", &self.last)].into_iter().flatten().collect()
    }
}

/// Inverse temperatures as a column `(betas.len(), 1)` of the machine's type, on its device.
///
/// # Errors
///
/// When the parameters cannot be read or copied.
pub fn beta_column(machine: &dyn Boltzmann, betas: &[f64]) -> Result<Tensor> {
    let column = Tensor::new(betas, &Device::Cpu)?.unsqueeze(1)?;
    Ok(column.to_dtype(machine.dtype())?.to_device(machine.device())?)
}
