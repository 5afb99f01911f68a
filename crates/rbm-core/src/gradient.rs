//! The gradient of the log-likelihood: what the data say less what the machine says.
//!
//! ∂ log p(v)/∂W = ⟨v hᵀ⟩_data − ⟨v hᵀ⟩_machine, and likewise Tₖ for every other parameter (Ackley, Hinton, Sejnowski
//! 1985; Hinton 2002). This is the only place where it is written.

use candle_core::{D, Tensor};

use crate::ops::{self, Ascent, Outer};
use crate::{Error, Layer, Rbm, Result};

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
    /// The positive phase of `cases` `(cases, visible)`. Errors when there are none.
    pub fn of(rbm: &Rbm, cases: &Tensor) -> Result<Self> {
        if cases.elem_count() == 0 {
            return Err(Error::invalid("a phase", "at least one case", "none"));
        }
        let hidden_inputs = rbm.hidden_inputs(cases)?.detach();
        Ok(Self { visible: cases.clone(), hidden_inputs, log_weights: None })
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
    fn average(&self, x: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
        match weights {
            None => Ok((ops::sum_rows(x)? / self.cases()? as f64)?),
            Some(weights) => Ok(weights.t()?.matmul(x)?.squeeze(0)?),
        }
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
        let weights = [positive.weights()?, negative.weights()?];
        let hidden = [
            rbm.hidden().expected_statistics(&positive.hidden_inputs)?,
            rbm.hidden().expected_statistics(&negative.hidden_inputs)?,
        ];
        let phases = [positive, negative];
        let scaled = |side: usize| -> Result<(Tensor, f64)> {
            let mean = hidden[side][0].detach();
            match &weights[side] {
                None => Ok((mean, 1.0 / phases[side].cases()? as f64)),
                Some(weights) => Ok((mean.broadcast_mul(weights)?, 1.0)),
            }
        };
        let (h_pos, pos) = scaled(0)?;
        let (h_neg, neg) = scaled(1)?;
        let average = |layer: &dyn Layer, stats: [&[Tensor]; 2]| -> Result<Vec<Tensor>> {
            (0..layer.vars().len())
                .map(|k| {
                    let positive = positive.average(&stats[0][k].detach(), weights[0].as_ref())?;
                    Ok((positive
                        - negative.average(&stats[1][k].detach(), weights[1].as_ref())?)?)
                })
                .collect()
        };
        let visible = [
            rbm.visible().statistics(&positive.visible)?,
            rbm.visible().statistics(&negative.visible)?,
        ];
        let weights = vec![
            Outer::new(&positive.visible, &h_pos, pos)?,
            Outer::new(&negative.visible, &h_neg, -neg)?,
        ];
        Ok(Self {
            weights: weights.into(),
            visible: average(rbm.visible(), [&visible[0], &visible[1]])?,
            hidden: average(rbm.hidden(), [&hidden[0], &hidden[1]])?,
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
            squares +=
                part.sqr()?.sum_all()?.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
        }
        Ok(squares.sqrt())
    }
}
