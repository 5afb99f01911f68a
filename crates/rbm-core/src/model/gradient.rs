//! The gradient of the log-likelihood: what the data say less what the machine says.
//!
//! ∂ log p(v)/∂W = ⟨v hᵀ⟩_data − ⟨v hᵀ⟩_machine, and likewise Tₖ for every other parameter (Ackley, Hinton, Sejnowski
//! 1985; Hinton 2002). This is the only place where it is written.

use candle_core::{D, Tensor};

use crate::ops::{self, Ascent, Outer};
use crate::{Error, Rbm, Result};

/// Visible configurations with the hidden inputs they cause, optionally weighted: one side of the gradient.
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
    pub fn of(rbm: &Rbm, cases: &Tensor) -> Result<Self> {
        if cases.elem_count() == 0 {
            return Err(Error::invalid("a phase", "at least one case", "none"));
        }
        let hidden_inputs = rbm.hidden_inputs(cases)?.detach();
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
    /// ⟨v hᵀ⟩, `(visible, hidden)`, as a sum that is not multiplied out.
    pub weights: Vec<Outer>,
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
    pub fn of(rbm: &Rbm, phase: &Phase) -> Result<Self> {
        let weights = phase.weights()?;
        let average = |statistics: &[Tensor]| -> Result<Vec<Tensor>> {
            statistics.iter().map(|t| phase.average_by(&t.detach(), weights.as_ref())).collect()
        };
        let mut hidden = rbm.hidden().expected_statistics(&phase.hidden_inputs)?;
        let mean = rbm.hidden().mean_among(&hidden)?.detach();
        let correlation = match &weights {
            None => Outer::new(&phase.visible, &mean, 1.0 / phase.cases()? as f64)?,
            Some(weights) => Outer::new(&phase.visible, &mean.broadcast_mul(weights)?, 1.0)?,
        };
        // A bias that counts once for each draw.
        if let Some(draws) = rbm.visible().own_draws(&phase.visible)? {
            for (k, _) in rbm.hidden().biases() {
                if let Some(statistic) = hidden.get_mut(k) {
                    *statistic = statistic.broadcast_mul(&draws)?;
                }
            }
        }
        Ok(Self {
            weights: vec![correlation],
            visible: average(&rbm.visible().statistics(&phase.visible)?)?,
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
        let weights = self.weights.into_iter().map(|term| term.times(factor)).collect();
        Ok(Self { weights, visible: visible?, hidden: hidden? })
    }

    /// The sum of both, average by average.
    ///
    /// # Errors
    ///
    /// When the two are of different machines.
    pub fn plus(mut self, other: Self) -> Result<Self> {
        let plus = |x: Vec<Tensor>, y: Vec<Tensor>| {
            x.into_iter().zip(y).map(|(x, y)| Ok((x + y)?)).collect::<Result<_>>()
        };
        self.weights.extend(other.weights);
        let (visible, hidden) =
            (plus(self.visible, other.visible)?, plus(self.hidden, other.hidden)?);
        Ok(Self { weights: self.weights, visible, hidden })
    }
}

/// The direction of steepest ascent of the log-likelihood, in nats per case: plain data.
#[derive(Debug, Clone)]
pub struct Gradient {
    /// `(visible, hidden)`, not multiplied out: an optimiser may do that within its step.
    pub weights: Ascent,
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
    pub fn between(rbm: &Rbm, positive: &Phase, negative: &Phase) -> Result<Self> {
        Self::of(Averages::of(rbm, positive)?, Averages::of(rbm, negative)?)
    }

    /// What the data say less what the machine says.
    ///
    /// # Errors
    ///
    /// When the two are of different machines.
    pub fn of(positive: Averages, negative: Averages) -> Result<Self> {
        let difference = positive.plus(negative.times(-1.0)?)?;
        Ok(Self {
            weights: Ascent::along(difference.weights)?,
            visible: difference.visible,
            hidden: difference.hidden,
        })
    }

    /// One ascent for each of [`Rbm::parameters`], in their order: weights, visible, hidden.
    pub fn ascents(&self) -> Vec<Ascent> {
        let others = self.visible.iter().chain(&self.hidden).cloned().map(Ascent::from);
        std::iter::once(self.weights.clone()).chain(others).collect()
    }

    /// Multiplied out: a tensor for each of [`Rbm::parameters`], in their order.
    ///
    /// # Errors
    ///
    /// When the gradient is of another machine.
    pub fn tensors(&self, rbm: &Rbm) -> Result<Vec<Tensor>> {
        let weights = self.weights.tensor(rbm.weights())?;
        Ok(std::iter::once(weights)
            .chain(self.visible.clone())
            .chain(self.hidden.clone())
            .collect())
    }

    /// The Euclidean norm over all parts.
    ///
    /// # Errors
    ///
    /// When the gradient is of another machine.
    pub fn norm(&self, rbm: &Rbm) -> Result<f64> {
        let mut squares = 0.0;
        for part in self.tensors(rbm)? {
            squares += ops::device::to_host(&part.sqr()?.sum_all()?)?.to_scalar::<f64>()?;
        }
        Ok(squares.sqrt())
    }
}
