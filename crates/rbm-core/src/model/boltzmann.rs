//! What samplers and estimators ask of a machine, restricted or not.
//!
//! Units that are coupled are drawn one after the other, units that are not may be drawn together. So the units of a machine
//! have colours: units of one colour are independent once all others are given. The last colour is never needed to know how
//! probable the others are: it is summed out. A restricted machine has two colours, its layers.

use std::any::Any;

use candle_core::{DType, Device, Tensor, Var};

use super::BinaryGraph;
use crate::ops::Ascent;
use crate::ops::device::to_host;
use crate::units::BaseUnits;
use crate::{Error, Layer, Result, Rng};

/// A Boltzmann machine, E(r, l) = E_r(r) + E_l(l) − S(r) − l·C(r): the units l of the last colour, all other units r (the
/// rest), the couplings S within the rest, and what the rest says to the last, C(r), which is linear in each unit.
///
/// Rest and last are tensors `(rows, width)`, a row for each configuration.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use rbm_core::model::Boltzmann;
/// use rbm_core::{Rbm, Units};
///
/// fn mean_free_energy(machine: &dyn Boltzmann, rest: &Tensor) -> rbm_core::Result<f32> {
///     Ok(machine.free_energy(rest)?.mean_all()?.to_scalar()?)
/// }
///
/// let rbm = Rbm::new(&Units::bernoulli(3), &Units::bernoulli(2), DType::F32, &Device::Cpu)?;
/// let rest = Tensor::zeros((1, 3), DType::F32, &Device::Cpu)?;
/// assert!((mean_free_energy(&rbm, &rest)? + 4f32.ln()).abs() < 1e-6); // four hidden configurations, all of energy 0
/// # Ok::<(), rbm_core::Error>(())
/// ```
pub trait Boltzmann: std::fmt::Debug + Send + Sync {
    /// The units that chains carry.
    fn rest(&self) -> &dyn Layer;

    /// The units of the last colour, independent given the rest. Of width 0 where every unit is coupled with another that
    /// may not be summed out with it.
    fn last(&self) -> &dyn Layer;

    /// Every parameter by name: those of the couplings, of the rest, of the last colour.
    fn parameters(&self) -> Vec<(String, &Var)>;

    /// The first of [`Boltzmann::parameters`], those of the couplings.
    fn coupling_weights(&self) -> Vec<&Var>;

    /// Whether each of [`Boltzmann::coupling_weights`] couples units in pairs: what it says of a configuration is a quadratic form then.
    fn couples_pairs(&self) -> Vec<bool> {
        vec![true; self.coupling_weights().len()]
    }

    /// The machine itself, for what only one type of machine can do.
    fn as_any(&self) -> &dyn Any;

    /// A machine of the same shape with its own copy of every parameter.
    ///
    /// # Errors
    ///
    /// When a layer of one's own cannot be cloned.
    fn duplicate(&self) -> Result<Box<dyn Boltzmann>>;

    /// The type of all parameters.
    fn dtype(&self) -> DType;

    /// Where the parameters lie.
    fn device(&self) -> &Device;

    /// C(r), what the rest `(rows, rest)` says to each unit of the last colour, `(rows, last)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's width and type.
    fn last_inputs(&self, rest: &Tensor) -> Result<Tensor>;

    /// What the last colour `(rows, last)` says to each unit of the rest, `(rows, rest)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's width and type.
    fn rest_inputs(&self, last: &Tensor) -> Result<Tensor>;

    /// What the units of the rest from column `from` on, `(rows, rest − from)`, say to each unit of the last colour: their part of
    /// [`Boltzmann::last_inputs`], which is the sum of its parts.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the width of these columns and the machine's type.
    fn last_inputs_of(&self, from: usize, part: &Tensor) -> Result<Tensor> {
        self.last_inputs(&after_zeros(from, part)?)
    }

    /// What the last colour says to the units of the rest from column `from` on: these columns of [`Boltzmann::rest_inputs`].
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's width and type.
    fn rest_inputs_from(&self, from: usize, last: &Tensor) -> Result<Tensor> {
        columns_from(from, &self.rest_inputs(last)?)
    }

    /// Whether units of the rest are coupled with each other.
    fn has_interaction(&self) -> bool {
        false
    }

    /// S(r), what the couplings within the rest `(rows, rest)` take from the energy, `(rows,)`; `None` where there are none.
    /// Differentiable.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's width and type.
    fn interaction(&self, _rest: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// ∂S/∂r, what the units of the rest `(rows, rest)` say to each other, `(rows, rest)`; `None` where they are not coupled.
    /// Differentiable.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's width and type.
    fn inputs_within(&self, _rest: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// ⟨∂(−E)/∂w⟩ of every coupling over the rows of `rest` `(rows, rest)` and `last` `(rows, last)`, in the order of
    /// [`Boltzmann::coupling_weights`]. The rows count by `weights` `(rows, 1)`, which sum to one, or all alike.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's widths and type.
    fn coupling_averages(
        &self,
        rest: &Tensor,
        last: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Vec<Ascent>>;

    /// Takes over every parameter of `other`.
    ///
    /// # Errors
    ///
    /// When it is of another shape.
    fn copy_from(&self, other: &dyn Boltzmann) -> Result<()> {
        let (own, others) = (self.parameters(), other.parameters());
        if own.len() != others.len() {
            let expected = format!("{} parameters", own.len());
            return Err(Error::invalid("a machine", expected, others.len().to_string()));
        }
        for ((_, to), (_, from)) in own.into_iter().zip(others) {
            to.set(&from.as_detached_tensor())?;
        }
        Ok(())
    }

    /// Brings parameters that a step has pushed out of their range back into it.
    ///
    /// # Errors
    ///
    /// When a parameter cannot be set.
    fn constrain(&self) -> Result<()> {
        self.rest().constrain()?;
        self.last().constrain()
    }

    /// The rest drawn anew, colour by colour, from p(rest | last) at the temperatures given: `(rows, rest)`, a leaf. `rest`
    /// is how it was: couplings within the rest need it, and units with numbers of draws of their own keep these. It may be
    /// left out where there is neither.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's width and type, and when `rest` is needed and left out.
    fn draw_rest(
        &self,
        rest: Option<&Tensor>,
        last: &Tensor,
        tempered: Option<Tempered>,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        let inputs = self.rest_inputs(last)?.detach();
        match (tempered, rest) {
            (Some(Tempered { base, betas }), _) => base.sample(self.rest(), &inputs, betas, rng),
            (None, Some(rest)) => self.rest().sample_like(&inputs, rest, rng),
            (None, None) => self.rest().sample(&inputs, rng),
        }
    }

    /// The machine as a graph, where all units have two values and pairs of them are coupled: sweeps through it are faster by an
    /// order of magnitude. `None` where it is something else, or has matrix products that are faster still.
    ///
    /// # Errors
    ///
    /// When a parameter cannot be read or is not finite.
    fn binary_graph(&self) -> Result<Option<BinaryGraph>> {
        Ok(None)
    }

    /// [`Boltzmann::draw_rest`] at temperature 1, with some units held while the others are drawn given them. `rest` `(rows, rest)` has the
    /// held units as they are.
    ///
    /// # Errors
    ///
    /// As [`Boltzmann::draw_rest`].
    fn draw_rest_held(
        &self,
        rest: &Tensor,
        last: &Tensor,
        free: &Tensor,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        keep_held(rest, &self.draw_rest(Some(rest), last, None, rng)?, free)
    }

    /// Asks whether the machine is a distribution at all.
    ///
    /// # Errors
    ///
    /// Where it cannot be normalised: no partition function exists.
    fn check_normalisable(&self) -> Result<()>;

    /// E(r, l) in nats, `(rows,)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's widths and type.
    fn energy(&self, rest: &Tensor, last: &Tensor) -> Result<Tensor> {
        self.energy_given(rest, &self.last_inputs(rest)?, last)
    }

    /// [`Boltzmann::energy`] where C(r) `(rows, last)` is known. Differentiable.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's widths and type.
    fn energy_given(&self, rest: &Tensor, inputs: &Tensor, last: &Tensor) -> Result<Tensor> {
        let interaction = (inputs * last)?.sum(1)?;
        let energy = ((self.rest().energy(rest)? + self.last().energy(last)?)? - interaction)?;
        match self.interaction(rest)? {
            Some(within) => Ok((energy - within)?),
            None => Ok(energy),
        }
    }

    /// F(r) = −log Σ_l exp(−E(r, l)) in nats, `(rows,)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's width and type.
    fn free_energy(&self, rest: &Tensor) -> Result<Tensor> {
        self.free_energy_given(rest, &self.last_inputs(rest)?)
    }

    /// [`Boltzmann::free_energy`] where C(r) `(rows, last)` is known. Differentiable.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's width and type.
    fn free_energy_given(&self, rest: &Tensor, inputs: &Tensor) -> Result<Tensor> {
        let energy = (self.rest().energy(rest)? - self.last().cgf(inputs)?)?;
        match self.interaction(rest)? {
            Some(within) => Ok((energy - within)?),
            None => Ok(energy),
        }
    }
}

/// `drawn` where `free` is 1, `x` where it is 0; all of one shape.
pub(super) fn keep_held(x: &Tensor, drawn: &Tensor, free: &Tensor) -> Result<Tensor> {
    Ok(free.ne(0.0)?.where_cond(drawn, x)?)
}

/// `part` with `count` columns of zeros before it.
pub(super) fn after_zeros(count: usize, part: &Tensor) -> Result<Tensor> {
    let none = Tensor::zeros((part.dim(0)?, count), part.dtype(), part.device())?;
    Ok(Tensor::cat(&[&none, part], 1)?)
}

/// The columns of `x` from `from` on.
pub(crate) fn columns_from(from: usize, x: &Tensor) -> Result<Tensor> {
    Ok(x.narrow(1, from, x.dim(1)?.saturating_sub(from))?.contiguous()?)
}

/// Inverse temperatures of the couplings, and the rest where they are weak.
#[derive(Debug, Clone, Copy)]
pub struct Tempered<'a> {
    /// What stands in for the couplings as β falls to 0.
    pub base: &'a BaseUnits,
    /// β of each row, `(rows, 1)`.
    pub betas: &'a Tensor,
}

impl Tempered<'_> {
    /// β of each row, on the CPU.
    pub(crate) fn values(&self) -> Result<Vec<f64>> {
        Ok(to_host(self.betas)?.flatten_all()?.to_vec1()?)
    }
}
