//! The negative phase of hybrid learning: discriminative, with a part of the generative one.

use candle_core::Tensor;

use super::{Conditional, NegativePhase, StepOutcome};
use crate::state::State;
use crate::{Averages, Error, Gradient, Mixing, Phase, Rbm, Result, Rng, Stateful};

/// (conditional + α·generative) / (1 + α): learning climbs log p(y | x) + α·log p(x, y), divided by 1 + α (Larochelle and
/// Bengio 2008, §5).
///
/// A weighted mean of both objectives, so that learning rates carry over from either, whatever α is: the rate of the paper,
/// whose gradient is the sum, is 1 + α times as small as the one to be given here. A generative part that learns from the
/// gradient itself, as the fast weights of [`FastPersistent`](super::FastPersistent) do, is given that of both.
pub struct Hybrid {
    /// The discriminative part.
    pub conditional: Conditional,
    /// Where the fantasies of the generative part come from.
    pub generative: Box<dyn NegativePhase>,
    /// α, at least 0.
    weight: f64,
}

impl Hybrid {
    /// The generative part counts `weight` times as much as the discriminative one.
    ///
    /// # Errors
    ///
    /// Unless that is a finite number of at least 0.
    pub fn new(generative: Box<dyn NegativePhase>, weight: f64) -> Result<Self> {
        if !weight.is_finite() || weight < 0.0 {
            let expected = "a finite number of at least 0";
            return Err(Error::invalid("the generative weight", expected, weight.to_string()));
        }
        Ok(Self { conditional: Conditional, generative, weight })
    }

    /// α.
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

impl Stateful for Hybrid {
    fn state(&self) -> State {
        self.generative.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.generative.restore(state)
    }
}

impl NegativePhase for Hybrid {
    /// Those of both parts, weighted.
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        let conditional = self.conditional.fantasy(rbm, positive, rng)?;
        let generative = self.generative.fantasy(rbm, positive, rng)?;
        let weighted = |phase: &Phase, part: f64| -> Result<Tensor> {
            let share = match phase.weights()? {
                Some(weights) => weights.squeeze(1)?.log()?,
                None => {
                    (phase.hidden_inputs.narrow(1, 0, 1)?.squeeze(1)?.zeros_like()?
                        - (phase.cases()? as f64).ln())?
                }
            };
            Ok((share + part.ln())?)
        };
        let whole = 1.0 + self.weight;
        let log_weights = Tensor::cat(
            &[weighted(&conditional, 1.0 / whole)?, weighted(&generative, self.weight / whole)?],
            0,
        )?;
        let both = |x: &Tensor, y: &Tensor| Tensor::cat(&[x, y], 0);
        Ok(Phase {
            visible: both(&conditional.visible, &generative.visible)?,
            hidden_inputs: both(&conditional.hidden_inputs, &generative.hidden_inputs)?,
            log_weights: Some(log_weights),
        })
    }

    fn averages(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Averages> {
        let whole = 1.0 + self.weight;
        let conditional = self.conditional.averages(rbm, positive, rng)?;
        let generative = self.generative.averages(rbm, positive, rng)?;
        conditional.times(1.0 / whole)?.plus(generative.times(self.weight / whole)?)
    }

    fn set_steps(&mut self, steps: usize) {
        self.generative.set_steps(steps);
    }

    fn after_step(&mut self, rbm: &Rbm, gradient: &Gradient, rng: &mut Rng) -> Result<StepOutcome> {
        self.generative.after_step(rbm, gradient, rng)
    }

    fn learning_rate_factor(&self) -> f64 {
        self.generative.learning_rate_factor()
    }

    fn mixing(&mut self) -> Result<Option<Mixing>> {
        self.generative.mixing()
    }
}
