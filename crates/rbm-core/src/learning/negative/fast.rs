//! Fast persistent contrastive divergence: a passing overlay drives the chains away from where they have just been.

use candle_core::{Tensor, Var};

use super::{NegativePhase, StepOutcome, TRACES, restored, saved, start};
use crate::ops::{self, Penalty};
use crate::sampling::mixing::Traces;
use crate::state::{State, get_numbered, numbered, with_prefix, without_prefix};
use crate::{Gibbs, Gradient, Mixing, Phase, Rbm, Result, Rng, Stateful};

/// FPCD-k (Tieleman and Hinton 2009): the chains move by a machine whose every parameter has a fast part added, which
/// learns from the same gradient at a rate of its own and forgets quickly.
///
/// The fantasies' hidden means are those of the machine itself, which is the one that learns from them.
#[derive(Debug)]
pub struct FastPersistent {
    /// k, at least 1.
    pub steps: usize,
    /// How many chains to run; 0 means as many as the first mini-batch has cases.
    pub chains: usize,
    /// The learning rate of the fast parts.
    pub rate: f64,
    /// What is left of them after each update; 19/20 in the paper.
    pub decay: f64,
    /// The fast part of each of [`Rbm::parameters`], in their order; empty before the first step.
    pub fast: Vec<Tensor>,
    /// The chains' hidden configurations `(chains, hidden)`, once they have been started.
    pub hidden: Option<Tensor>,
    /// What they have been through.
    traces: Traces,
    /// The machine with its fast parts added, as the last fantasies saw it: memory to be used again.
    sum: Option<Rbm>,
}

impl FastPersistent {
    /// FPCD-`steps` with `chains` chains; the fast parts learn at `rate` and keep 19/20 at each update.
    pub fn new(steps: usize, chains: usize, rate: f64) -> Self {
        let (fast, decay) = (Vec::new(), 19.0 / 20.0);
        Self {
            steps,
            chains,
            rate,
            decay,
            fast,
            hidden: None,
            traces: Traces::default(),
            sum: None,
        }
    }

    /// `rbm` with its fast parts added.
    fn add(&mut self, rbm: &Rbm) -> Result<Rbm> {
        let sum = match self.sum.take() {
            Some(sum) => {
                sum.set(rbm)?;
                sum
            }
            None => rbm.try_clone()?,
        };
        for ((_, parameter), fast) in sum.parameters().into_iter().zip(&self.fast) {
            ops::add_scaled(parameter, fast, 1.0)?;
        }
        sum.constrain()?;
        Ok(sum)
    }
}

impl Stateful for FastPersistent {
    fn state(&self) -> State {
        with_prefix(TRACES, self.traces.state())
            .chain(numbered("fast", &self.fast))
            .chain(saved(self.hidden.as_ref()))
            .collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        (self.hidden, self.fast) = (restored(state)?, get_numbered("fast", state)?);
        self.traces.restore(&without_prefix(TRACES, state))
    }
}

impl NegativePhase for FastPersistent {
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        let mut hidden = match self.hidden.take() {
            Some(hidden) => hidden,
            None => start(rbm, positive, self.chains, rng)?,
        };
        let (sum, gibbs) = (self.add(rbm)?, Gibbs::default());
        for _ in 1..self.steps {
            hidden = gibbs.step_from(&sum, &hidden, rng)?.hidden;
        }
        let chains = gibbs.step_from(&sum, &hidden, rng)?;
        (self.hidden, self.sum) = (Some(chains.hidden), Some(sum));
        let phase = Phase::of(rbm, &chains.visible)?;
        self.traces.follow(rbm, &phase.visible, &phase.hidden_inputs)?;
        Ok(phase)
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }

    fn mixing(&mut self) -> Result<Option<Mixing>> {
        self.traces.report()
    }

    fn after_step(&mut self, rbm: &Rbm, gradient: &Gradient, _: &mut Rng) -> Result<StepOutcome> {
        if self.fast.is_empty() {
            let zeros = |var: &Var| Ok(var.as_detached_tensor().zeros_like()?);
            self.fast =
                rbm.parameters().iter().map(|(_, var)| zeros(var)).collect::<Result<_>>()?;
        }
        // One pass for fast ← decay·fast + rate·gradient; what it adds to the sum is written over before the next use.
        let Some(sum) = &self.sum else { return Ok(StepOutcome::Kept) };
        let parts = self.fast.iter().zip(gradient.ascents());
        for ((_, parameter), (fast, mut ascent)) in sum.parameters().into_iter().zip(parts) {
            ascent.penalty = Penalty::default();
            ops::momentum_step(parameter, fast, &ascent, self.rate, self.decay)?;
        }
        Ok(StepOutcome::Kept)
    }
}
