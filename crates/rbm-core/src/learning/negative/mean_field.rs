//! Mean-field contrastive divergence: fantasies without chance.

use candle_core::Tensor;

use super::NegativePhase;
use crate::{Phase, Rbm, Result, Rng, Stateful};

/// Mean-field CD-k (Welling and Hinton 2002): from the data, k damped iterations towards a solution of v = E[v | h],
/// h = E[h | v].
///
/// Means stand for configurations, so a parameter whose statistic is not x itself, such as a learned precision, is not
/// learned rightly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanField {
    /// k, at least 1.
    pub steps: usize,
    /// How much of the last means is kept in each iteration, at least 0 and below 1; without any they may oscillate.
    pub damping: f64,
}

impl MeanField {
    /// `steps` iterations, each of which goes half the way.
    pub fn new(steps: usize) -> Self {
        Self { steps, damping: 0.5 }
    }
}

impl Stateful for MeanField {}

impl NegativePhase for MeanField {
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, _: &mut Rng) -> Result<Phase> {
        let damped = |old: Tensor, new: Tensor| -> Result<Tensor> {
            Ok(((old * self.damping)? + (new * (1.0 - self.damping))?)?.detach())
        };
        let mut visible = positive.visible.clone();
        let mut hidden = rbm.hidden().mean(&positive.hidden_inputs)?;
        for _ in 1..self.steps {
            visible = damped(visible, rbm.visible_mean(&hidden)?)?;
            hidden = damped(hidden, rbm.hidden_mean(&visible)?)?;
        }
        Phase::of(rbm, &damped(visible, rbm.visible_mean(&hidden)?)?)
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }
}
