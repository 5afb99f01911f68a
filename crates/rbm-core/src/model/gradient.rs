//! The gradient of the log-likelihood: what the data say less what the machine says.
//!
//! ∂ log p(v)/∂W = ⟨v hᵀ⟩_data − ⟨v hᵀ⟩_machine, and likewise Tₖ for every other parameter (Ackley, Hinton, Sejnowski
//! 1985; Hinton 2002). This is the only place where it is written.

use candle_core::{D, Tensor};

use super::Boltzmann;
use crate::ops::{self, Ascent};
use crate::{Error, Result};

/// Visible configurations with the hidden inputs they cause, optionally weighted: one side of the gradient.
///
/// Of a general machine "visible" is its rest, and "hidden" its last colour ([`Boltzmann`]).
#[derive(Debug, Clone)]
pub struct Phase {
    /// `(cases, visible)`.
    pub visible: Tensor,
    /// vW of the same rows, `(cases, hidden)`.
    pub hidden_inputs: Tensor,
    /// Unnormalised log-weights of the rows, `(cases,)`; without them all rows count alike.
    pub log_weights: Option<Tensor>,
}

impl Phase {
    /// The positive phase of `cases` `(cases, visible)`.
    ///
    /// # Errors
    ///
    /// When there are no cases, or they do not have the machine's width and type.
    pub fn of(machine: &dyn Boltzmann, cases: &Tensor) -> Result<Self> {
        if cases.elem_count() == 0 {
            return Err(Error::invalid("a phase", "at least one case", "none"));
        }
        let hidden_inputs = machine.last_inputs(cases)?.detach();
        Ok(Self { visible: cases.clone(), hidden_inputs, log_weights: None })
    }

    /// How many configurations there are.
    ///
    /// # Errors
    ///
    /// When the phase holds no matrix.
    pub fn cases(&self) -> Result<usize> {
        Ok(self.visible.dim(0)?)
    }

    /// The rows' weights, normalised to sum to one, as a column `(cases, 1)`.
    pub(crate) fn weights(&self) -> Result<Option<Tensor>> {
        let Some(log_weights) = &self.log_weights else { return Ok(None) };
        let shifted = log_weights.broadcast_sub(&log_weights.max(D::Minus1)?)?.exp()?;
        Ok(Some(shifted.broadcast_div(&shifted.sum_all()?)?.unsqueeze(1)?))
    }

    /// The weighted average of `x` `(cases, width)` over the rows, `(width,)`.
    ///
    /// # Errors
    ///
    /// When `x` has another number of rows than the phase.
    pub fn average(&self, x: &Tensor) -> Result<Tensor> {
        self.average_by(x, self.weights()?.as_ref())
    }

    fn average_by(&self, x: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
        match weights {
            None => Ok((ops::sum_rows(x)? / self.cases()? as f64)?),
            Some(weights) => Ok(weights.t()?.matmul(x)?.squeeze(0)?),
        }
    }
}

/// What each parameter's statistic is on average over a phase: plain data.
#[derive(Debug, Clone)]
pub struct Averages {
    /// ⟨∂(−E)/∂w⟩ of each coupling. An RBM has one, ⟨v hᵀ⟩ `(visible, hidden)`, as a sum that is not multiplied out.
    pub couplings: Vec<Ascent>,
    /// ⟨Tₖ(v)⟩, one `(visible,)` for each parameter of the visible layer, in its order.
    pub visible: Vec<Tensor>,
    /// ⟨Tₖ(h)⟩, one `(hidden,)` for each parameter of the hidden layer, in its order.
    pub hidden: Vec<Tensor>,
}

impl Averages {
    /// The averages over the rows of `phase`. Hidden units count with their means (Practical Guide §3.3), which has the same
    /// expectation as samples and less noise.
    ///
    /// # Errors
    ///
    /// When the phase is of another machine.
    pub fn of(machine: &dyn Boltzmann, phase: &Phase) -> Result<Self> {
        let weights = phase.weights()?;
        let average = |statistics: &[Tensor]| -> Result<Vec<Tensor>> {
            statistics.iter().map(|t| phase.average_by(&t.detach(), weights.as_ref())).collect()
        };
        let mut hidden = machine.last().expected_statistics(&phase.hidden_inputs)?;
        let mean = machine.last().mean_among(&hidden)?.detach();
        let couplings = machine.coupling_averages(&phase.visible, &mean, weights.as_ref())?;
        // A bias that counts once for each draw.
        if let Some(draws) = machine.rest().own_draws(&phase.visible)? {
            for (k, _) in machine.last().biases() {
                if let Some(statistic) = hidden.get_mut(k) {
                    *statistic = statistic.broadcast_mul(&draws)?;
                }
            }
        }
        // Where there are no units there is no parameter.
        hidden.truncate(machine.last().vars().len());
        Ok(Self {
            couplings,
            visible: average(&machine.rest().statistics(&phase.visible)?)?,
            hidden: average(&hidden)?,
        })
    }

    /// All averages `factor` times as large.
    ///
    /// # Errors
    ///
    /// When a tensor cannot be scaled.
    pub fn times(self, factor: f64) -> Result<Self> {
        let times = |x: Vec<Tensor>| x.into_iter().map(|x| Ok((x * factor)?)).collect();
        let (visible, hidden): (Result<_>, Result<_>) = (times(self.visible), times(self.hidden));
        let couplings: Result<_> =
            self.couplings.into_iter().map(|term| term.times(factor)).collect();
        Ok(Self { couplings: couplings?, visible: visible?, hidden: hidden? })
    }

    /// The same without the rows that the couplings' averages are sums over.
    ///
    /// # Errors
    ///
    /// When the averages are of another machine.
    pub(crate) fn multiplied_out(mut self, machine: &dyn Boltzmann) -> Result<Self> {
        for (ascent, weights) in self.couplings.iter_mut().zip(machine.coupling_weights()) {
            *ascent = ascent.tensor(weights)?.into();
        }
        Ok(self)
    }

    /// The sum of both, average by average.
    ///
    /// # Errors
    ///
    /// When the two are of different machines.
    pub fn plus(self, other: Self) -> Result<Self> {
        let plus = |x: Vec<Tensor>, y: Vec<Tensor>| {
            x.into_iter().zip(y).map(|(x, y)| Ok((x + y)?)).collect::<Result<_>>()
        };
        let couplings = self.couplings.into_iter().zip(other.couplings).map(|(x, y)| x.and(y));
        Ok(Self {
            couplings: couplings.collect::<Result<_>>()?,
            visible: plus(self.visible, other.visible)?,
            hidden: plus(self.hidden, other.hidden)?,
        })
    }
}

/// The direction of steepest ascent of the log-likelihood, in nats per case: plain data.
#[derive(Debug, Clone)]
pub struct Gradient {
    /// One for each coupling, not multiplied out: an optimiser may do that within its step. An RBM has one, of its weights.
    pub couplings: Vec<Ascent>,
    /// One `(visible,)` for each parameter of the visible layer, in its order.
    pub visible: Vec<Tensor>,
    /// One `(hidden,)` for each parameter of the hidden layer, in its order.
    pub hidden: Vec<Tensor>,
}

impl Gradient {
    /// The average over `positive` less the average over `negative`.
    ///
    /// # Errors
    ///
    /// When the phases are of another machine.
    pub fn between(machine: &dyn Boltzmann, positive: &Phase, negative: &Phase) -> Result<Self> {
        Self::of(Averages::of(machine, positive)?, Averages::of(machine, negative)?)
    }

    /// What the data say less what the machine says.
    ///
    /// # Errors
    ///
    /// When the two are of different machines.
    pub fn of(positive: Averages, negative: Averages) -> Result<Self> {
        let difference = positive.plus(negative.times(-1.0)?)?;
        let couplings = difference.couplings.into_iter().map(Ascent::merged);
        Ok(Self {
            couplings: couplings.collect::<Result<_>>()?,
            visible: difference.visible,
            hidden: difference.hidden,
        })
    }

    /// Adds a direction for each coupling.
    ///
    /// # Errors
    ///
    /// When the directions are of another machine.
    pub fn add(&mut self, couplings: Vec<Ascent>) -> Result<()> {
        let sums = std::mem::take(&mut self.couplings).into_iter().zip(couplings);
        self.couplings = sums.map(|(sum, more)| sum.and(more)).collect::<Result<_>>()?;
        Ok(())
    }

    /// One ascent for each of [`Boltzmann::parameters`], in their order: couplings, visible, hidden.
    pub fn ascents(&self) -> Vec<Ascent> {
        let others = self.visible.iter().chain(&self.hidden).cloned().map(Ascent::from);
        self.couplings.iter().cloned().chain(others).collect()
    }

    /// Multiplied out: a tensor for each of [`Boltzmann::parameters`], in their order.
    ///
    /// # Errors
    ///
    /// When the gradient is of another machine.
    pub fn tensors(&self, machine: &dyn Boltzmann) -> Result<Vec<Tensor>> {
        let weights = machine.coupling_weights();
        let couplings = self.couplings.iter().zip(weights).map(|(ascent, w)| ascent.tensor(w));
        let mut tensors = couplings.collect::<Result<Vec<_>>>()?;
        tensors.extend(self.visible.iter().chain(&self.hidden).cloned());
        Ok(tensors)
    }

    /// The Euclidean norm over all parts.
    ///
    /// # Errors
    ///
    /// When the gradient is of another machine.
    pub fn norm(&self, machine: &dyn Boltzmann) -> Result<f64> {
        let mut squares = 0.0;
        for part in self.tensors(machine)? {
            squares += ops::device::to_host(&part.sqr()?.sum_all()?)?.to_scalar::<f64>()?;
        }
        Ok(squares.sqrt())
    }
}
