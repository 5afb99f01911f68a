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
    /// Whether it is a phase of the mirrored machine: hidden configurations stand in the place of the visible ones, and
    /// hWᵀ, what they say to the visible units, in that of vW.
    pub is_mirrored: bool,
}

impl Phase {
    /// The positive phase of `cases` `(cases, visible)`. Errors when there are none.
    pub fn of(rbm: &Rbm, cases: &Tensor) -> Result<Self> {
        if cases.elem_count() == 0 {
            return Err(Error::invalid("a phase", "at least one case", "none"));
        }
        let hidden_inputs = rbm.hidden_inputs(cases)?.detach();
        Ok(Self { visible: cases.clone(), hidden_inputs, log_weights: None, is_mirrored: false })
    }

    /// How many configurations there are.
    pub fn cases(&self) -> Result<usize> {
        Ok(self.visible.dim(0)?)
    }

    /// The rows' weights, normalised to sum to one, as a column `(cases, 1)`.
    fn weights(&self) -> Result<Option<Tensor>> {
        let Some(log_weights) = &self.log_weights else { return Ok(None) };
        let shifted = log_weights.broadcast_sub(&log_weights.max(D::Minus1)?)?.exp()?;
        Ok(Some(shifted.broadcast_div(&shifted.sum_all()?)?.unsqueeze(1)?))
    }

    /// The weighted average of `x` `(cases, width)` over the rows, `(width,)`.
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

/// What each parameter's statistic is on average over a phase.
struct Averages {
    weights: Outer,
    visible: Vec<Tensor>,
    hidden: Vec<Tensor>,
}

impl Averages {
    fn of(rbm: &Rbm, phase: &Phase) -> Result<Self> {
        let weights = phase.weights()?;
        let average = |statistics: &[Tensor]| -> Result<Vec<Tensor>> {
            statistics.iter().map(|t| phase.average_by(&t.detach(), weights.as_ref())).collect()
        };
        let (given, other) = match phase.is_mirrored {
            false => (rbm.visible(), rbm.hidden()),
            true => (rbm.hidden(), rbm.visible()),
        };
        let caused = other.expected_statistics(&phase.hidden_inputs)?;
        let mean = other.mean_among(&caused)?.detach();
        let (mean, scale) = match &weights {
            None => (mean, 1.0 / phase.cases()? as f64),
            Some(weights) => (mean.broadcast_mul(weights)?, 1.0),
        };
        let (given, caused) = (average(&given.statistics(&phase.visible)?)?, average(&caused)?);
        Ok(match phase.is_mirrored {
            false => Self {
                weights: Outer::new(&phase.visible, &mean, scale)?,
                visible: given,
                hidden: caused,
            },
            true => Self {
                weights: Outer::new(&mean, &phase.visible, scale)?,
                visible: caused,
                hidden: given,
            },
        })
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
    /// The average over `positive` less the average over `negative`. Hidden units count with their means (Practical
    /// Guide §3.3), which has the same expectation as samples and less noise.
    pub fn between(rbm: &Rbm, positive: &Phase, negative: &Phase) -> Result<Self> {
        let (positive, negative) = (Averages::of(rbm, positive)?, Averages::of(rbm, negative)?);
        let difference = |positive: Vec<Tensor>, negative: Vec<Tensor>| {
            let pairs = positive.into_iter().zip(negative);
            pairs.map(|(positive, negative)| Ok((positive - negative)?)).collect::<Result<_>>()
        };
        Ok(Self {
            weights: vec![positive.weights, negative.weights.times(-1.0)].into(),
            visible: difference(positive.visible, negative.visible)?,
            hidden: difference(positive.hidden, negative.hidden)?,
        })
    }

    /// One ascent for each of [`Rbm::parameters`], in their order: weights, visible, hidden.
    pub fn ascents(&self) -> Vec<Ascent> {
        let others = self.visible.iter().chain(&self.hidden).cloned().map(Ascent::from);
        std::iter::once(self.weights.clone()).chain(others).collect()
    }

    /// Multiplied out: a tensor for each of [`Rbm::parameters`], in their order.
    pub fn tensors(&self, rbm: &Rbm) -> Result<Vec<Tensor>> {
        let weights = self.weights.tensor(rbm.weights())?;
        Ok(std::iter::once(weights)
            .chain(self.visible.clone())
            .chain(self.hidden.clone())
            .collect())
    }

    /// The Euclidean norm over all parts.
    pub fn norm(&self, rbm: &Rbm) -> Result<f64> {
        let mut squares = 0.0;
        for part in self.tensors(rbm)? {
            squares += ops::device::to_host(&part.sqr()?.sum_all()?)?.to_scalar::<f64>()?;
        }
        Ok(squares.sqrt())
    }
}
