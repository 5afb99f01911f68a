//! Contrastive divergence and its relatives: k Gibbs steps from the data, or from where the chains were left.
//!
//! * [`ContrastiveDivergence`] starts at the data, every time.
//! * [`MeanField`] does so without chance.
//! * [`Persistent`] has chains that are never started again.
//! * [`FastPersistent`] drives them away from where they have just been, by a passing overlay.

use candle_core::{Tensor, Var};

use super::{ChainState, NegativePhase, StepOutcome, TRACES};
use crate::model::Boltzmann;
use crate::ops::{self, Penalty};
use crate::sampling::VisibleStep;
use crate::sampling::mixing::Traces;
use crate::state::{State, get_numbered, numbered, with_prefix, without_prefix};
use crate::{Gibbs, Gradient, Mixing, Phase, Result, Rng, Stateful};

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
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        let gibbs = Gibbs { visible: self.visible };
        // Driven by the data, hidden units are always sampled: the information bottleneck of Practical Guide §3.1.
        let mut hidden = machine.last().sample(&positive.hidden_inputs, rng)?;
        let mut like = positive.visible.clone();
        for _ in 1..self.steps {
            let chains = gibbs.step_from_like(machine, &hidden, Some(&like), rng)?;
            hidden = chains.hidden;
            // Units that are coupled with each other go on from where they are.
            if machine.has_interaction() {
                like = chains.visible;
            }
        }
        let (visible, hidden_inputs) = gibbs.reconstruct(machine, &hidden, Some(&like), rng)?;
        Ok(Phase { visible, hidden_inputs, log_weights: None })
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }
}

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
    fn fantasy(&mut self, machine: &dyn Boltzmann, positive: &Phase, _: &mut Rng) -> Result<Phase> {
        let damped = |old: Tensor, new: Tensor| -> Result<Tensor> {
            Ok(((old * self.damping)? + (new * (1.0 - self.damping))?)?.detach())
        };
        let mean = |hidden: &Tensor, visible: &Tensor| -> Result<Tensor> {
            let mut inputs = machine.rest_inputs(hidden)?;
            if let Some(within) = machine.inputs_within(visible)? {
                inputs = (inputs + within)?;
            }
            machine.rest().mean(&inputs)
        };
        let mut visible = positive.visible.clone();
        let mut hidden = machine.last().mean(&positive.hidden_inputs)?;
        for _ in 1..self.steps {
            visible = damped(visible.clone(), mean(&hidden, &visible)?)?;
            hidden = damped(hidden, machine.last().mean(&machine.last_inputs(&visible)?)?)?;
        }
        Phase::of(machine, &damped(visible.clone(), mean(&hidden, &visible)?)?)
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }
}

/// PCD-k (Younes 1989; Tieleman 2008): chains that move k Gibbs steps between updates and so follow the machine as it
/// learns.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use rbm_core::{Gradient, NegativePhase, Optimizer, Persistent, Phase, Rbm, Rng, Sgd};
///
/// let cases = Tensor::new(&[[1f32, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], &Device::Cpu)?;
/// let mut rng = Rng::new(0);
/// let rbm = Rbm::bernoulli(&cases, 4, &mut rng)?;
/// let (mut chains, mut sgd) = (Persistent::new(1, 20), Sgd::new(0.05));
/// for _ in 0..10 {
///     let positive = Phase::of(&rbm, &cases)?;
///     let negative = chains.fantasy(&rbm, &positive, &mut rng)?; // 20 chains, one Gibbs step further
///     let gradient = Gradient::between(&rbm, &positive, &negative)?;
///     sgd.step(&rbm, &gradient)?;
/// }
/// assert_eq!(chains.state.map(|state| state.hidden.dims().to_vec()), Some(vec![20, 4]));
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Persistent {
    /// k, at least 1.
    pub steps: usize,
    /// How many chains to run; as many as the first mini-batch has cases unless that is said.
    pub chains: Option<usize>,
    /// Where the chains are, once they have been started.
    pub state: Option<ChainState>,
    /// What they have been through.
    traces: Traces,
}

impl Persistent {
    /// PCD-`steps` with `chains` chains, which start at the first mini-batch.
    pub fn new(steps: usize, chains: impl Into<Option<usize>>) -> Self {
        let chains = chains.into();
        Self { steps, chains, state: None, traces: Traces::default() }
    }
}

impl Stateful for Persistent {
    fn state(&self) -> State {
        let chains = ChainState::saved(self.state.as_ref());
        with_prefix(TRACES, self.traces.state()).chain(chains).collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.state = ChainState::restored(state)?;
        self.traces.restore(&without_prefix(TRACES, state))
    }
}

impl NegativePhase for Persistent {
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        let (kept, count) = (self.state.take(), self.chains);
        let mut state = ChainState::kept_or_started(kept, machine, positive, count, rng)?;
        let chains = state.advance(machine, self.steps, rng)?;
        self.traces.follow(machine, &chains.visible, &chains.hidden_inputs)?;
        self.state = Some(state);
        Ok(Phase {
            visible: chains.visible,
            hidden_inputs: chains.hidden_inputs,
            log_weights: None,
        })
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }

    fn mixing(&mut self) -> Result<Option<Mixing>> {
        self.traces.report()
    }
}

/// FPCD-k (Tieleman and Hinton 2009): the chains move by a machine whose every parameter has a fast part added, which
/// learns from the same gradient at a rate of its own and forgets quickly.
///
/// The fantasies' hidden means are those of the machine itself, which is the one that learns from them.
#[derive(Debug)]
pub struct FastPersistent {
    /// k, at least 1.
    pub steps: usize,
    /// How many chains to run; as many as the first mini-batch has cases unless that is said.
    pub chains: Option<usize>,
    /// The learning rate of the fast parts.
    pub rate: f64,
    /// What is left of them after each update; 19/20 in the paper.
    pub decay: f64,
    /// The fast part of each of [`Boltzmann::parameters`], in their order; empty before the first step.
    pub fast: Vec<Tensor>,
    /// Where the chains are, once they have been started.
    pub state: Option<ChainState>,
    /// What they have been through.
    traces: Traces,
    /// The machine with its fast parts added, as the last fantasies saw it: memory to be used again.
    sum: Option<Box<dyn Boltzmann>>,
}

impl FastPersistent {
    /// FPCD-`steps` with `chains` chains; the fast parts learn at `rate` and keep 19/20 at each update.
    pub fn new(steps: usize, chains: impl Into<Option<usize>>, rate: f64) -> Self {
        let (chains, fast, decay) = (chains.into(), Vec::new(), 19.0 / 20.0);
        Self { steps, chains, rate, decay, fast, state: None, traces: Traces::default(), sum: None }
    }

    /// `machine` with its fast parts added.
    fn add(&mut self, machine: &dyn Boltzmann) -> Result<Box<dyn Boltzmann>> {
        let sum = match self.sum.take() {
            Some(sum) => {
                sum.copy_from(machine)?;
                sum
            }
            None => machine.duplicate()?,
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
            .chain(ChainState::saved(self.state.as_ref()))
            .collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.state = ChainState::restored(state)?;
        self.fast = get_numbered("fast", state)?;
        self.traces.restore(&without_prefix(TRACES, state))
    }
}

impl NegativePhase for FastPersistent {
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        let (kept, count) = (self.state.take(), self.chains);
        let mut state = ChainState::kept_or_started(kept, machine, positive, count, rng)?;
        let sum = self.add(machine)?;
        let chains = state.advance(&*sum, self.steps, rng)?;
        (self.state, self.sum) = (Some(state), Some(sum));
        let phase = Phase::of(machine, &chains.visible)?;
        self.traces.follow(machine, &phase.visible, &phase.hidden_inputs)?;
        Ok(phase)
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }

    fn mixing(&mut self) -> Result<Option<Mixing>> {
        self.traces.report()
    }

    fn after_step(
        &mut self,
        machine: &dyn Boltzmann,
        gradient: &Gradient,
        _: &mut Rng,
    ) -> Result<StepOutcome> {
        if self.fast.is_empty() {
            let zeros = |var: &Var| Ok(var.as_detached_tensor().zeros_like()?);
            self.fast =
                machine.parameters().iter().map(|(_, var)| zeros(var)).collect::<Result<_>>()?;
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
