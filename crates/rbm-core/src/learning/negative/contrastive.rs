//! Contrastive divergence: k Gibbs steps from the data.

use super::NegativePhase;
use crate::sampling::VisibleStep;
use crate::{Gibbs, Phase, Rbm, Result, Rng, Stateful};

/// CD-k (Hinton 2002): fantasies are what k steps of Gibbs sampling make of the mini-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContrastiveDivergence {
    /// k, at least 1.
    pub steps: usize,
    /// Whether the visible units of the chain are samples, or means as in Practical Guide §3.4.
    pub visible: VisibleStep,
}

impl Default for ContrastiveDivergence {
    fn default() -> Self {
        Self { steps: 1, visible: VisibleStep::Sample }
    }
}

impl ContrastiveDivergence {
    /// CD-`steps` with sampled visible units.
    pub fn new(steps: usize) -> Self {
        Self { steps, ..Self::default() }
    }
}

impl Stateful for ContrastiveDivergence {}

impl NegativePhase for ContrastiveDivergence {
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        let gibbs = Gibbs { visible: self.visible };
        // Driven by the data, hidden units are always sampled: the information bottleneck of Practical Guide §3.1.
        let mut hidden = rbm.hidden().sample(&positive.hidden_inputs, rng)?;
        let like = Some(&positive.visible);
        for _ in 1..self.steps {
            hidden = gibbs.step_from_like(rbm, &hidden, like, rng)?.hidden;
        }
        let (visible, hidden_inputs) = gibbs.reconstruct(rbm, &hidden, like, rng)?;
        Ok(Phase { visible, hidden_inputs, log_weights: None })
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }
}
