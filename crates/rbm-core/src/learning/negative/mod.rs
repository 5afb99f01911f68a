//! The negative phase, the one thing in which learning algorithms differ: a file for each.

use candle_core::Tensor;

use crate::model::Boltzmann;
use crate::sampling::Chains;
use crate::state::{State, get};
use crate::{Averages, Gibbs, Gradient, Mixing, Phase, Result, Rng, Stateful};

mod contrastive;
mod discriminative;
mod exact;
mod pseudo_likelihood;
mod tempered;
mod trajectory;

pub use contrastive::{ContrastiveDivergence, FastPersistent, MeanField, Persistent};
pub use discriminative::{Conditional, Hybrid};
pub use exact::Exact;
pub use pseudo_likelihood::PseudoLikelihood;
pub use tempered::TemperedPersistent;
pub use trajectory::{Decision, ParallelTrajectory};

/// A source of the machine's own configurations ("fantasies") to learn against.
pub trait NegativePhase: Stateful {
    /// Configurations that stand for the machine's distribution; `positive` is the phase of the data in the same step.
    ///
    /// # Errors
    ///
    /// For machines that the method cannot learn, and when shapes do not fit the machine.
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase>;

    /// What they say on average, which is all that a gradient needs: [`Exact`] knows it without writing them down.
    ///
    /// # Errors
    ///
    /// For machines that the method cannot learn, and when shapes do not fit the machine.
    fn averages(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Averages> {
        Averages::of(machine, &self.fantasy(machine, positive, rng)?)
    }

    /// Sets the number of Gibbs steps, where there is one: k of CD-k may grow as learning goes on.
    fn set_steps(&mut self, steps: usize) {
        let _ = steps;
    }

    /// Called after the machine has made a step along `gradient`, which it may undo. A loop written by hand must call it too
    /// where the phase learns itself, as [`FastPersistent`] does, or watches over the steps, as [`ParallelTrajectory`] does.
    ///
    /// # Errors
    ///
    /// For machines that the method cannot learn, and when shapes do not fit the machine.
    fn after_step(
        &mut self,
        machine: &dyn Boltzmann,
        gradient: &Gradient,
        rng: &mut Rng,
    ) -> Result<StepOutcome> {
        let _ = (machine, gradient, rng);
        Ok(StepOutcome::Kept)
    }

    /// The part of the learning rate that the chains can follow, at most 1.
    fn learning_rate_factor(&self) -> f64 {
        1.0
    }

    /// What is known of the chains' mixing, asked for at the end of every epoch; none where there are no chains that last.
    ///
    /// # Errors
    ///
    /// For machines that the method cannot learn, and when shapes do not fit the machine.
    fn mixing(&mut self) -> Result<Option<Mixing>> {
        Ok(None)
    }
}

/// What has become of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// It stands.
    Kept,
    /// The machine is as it was before: the optimiser should forget its momenta.
    Undone,
}

impl<N: NegativePhase + ?Sized> NegativePhase for Box<N> {
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        (**self).fantasy(machine, positive, rng)
    }

    fn averages(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Averages> {
        (**self).averages(machine, positive, rng)
    }

    fn set_steps(&mut self, steps: usize) {
        (**self).set_steps(steps);
    }

    fn after_step(
        &mut self,
        machine: &dyn Boltzmann,
        gradient: &Gradient,
        rng: &mut Rng,
    ) -> Result<StepOutcome> {
        (**self).after_step(machine, gradient, rng)
    }

    fn learning_rate_factor(&self) -> f64 {
        (**self).learning_rate_factor()
    }

    fn mixing(&mut self) -> Result<Option<Mixing>> {
        (**self).mixing()
    }
}

/// The names of saved chains.
const CHAINS: &str = "chains";
/// What is saved of their rests, where units of the rest are coupled with each other.
const RESTS: &str = "rests";
/// What is saved of their traces.
const TRACES: &str = "traces";

/// Where chains go on.
#[derive(Debug, Clone)]
pub struct ChainState {
    /// `(chains, hidden)`.
    pub hidden: Tensor,
    /// `(chains, visible)`, where visible units are coupled with each other.
    pub visible: Option<Tensor>,
}

impl ChainState {
    /// `count` chains, or as many as the mini-batch has cases: the cases and their hidden samples, repeated or cut to the
    /// number of chains.
    fn start(
        machine: &dyn Boltzmann,
        positive: &Phase,
        count: Option<usize>,
        rng: &mut Rng,
    ) -> Result<Self> {
        let cases = positive.cases()?;
        let chains = count.unwrap_or(cases);
        let rows = Tensor::from_iter((0..chains).map(|i| (i % cases) as u32), machine.device())?;
        let hidden = machine.last().sample(&positive.hidden_inputs.index_select(&rows, 0)?, rng)?;
        let visible = match machine.has_interaction() {
            true => Some(positive.visible.index_select(&rows, 0)?),
            false => None,
        };
        Ok(Self { hidden, visible })
    }

    /// Where `kept` chains were left; new ones where there are none.
    fn kept_or_started(
        kept: Option<Self>,
        machine: &dyn Boltzmann,
        positive: &Phase,
        count: Option<usize>,
        rng: &mut Rng,
    ) -> Result<Self> {
        kept.map_or_else(|| Self::start(machine, positive, count, rng), Ok)
    }

    /// Moves the chains by `steps` Gibbs steps, at least one, and gives them as they are then.
    fn advance(&mut self, machine: &dyn Boltzmann, steps: usize, rng: &mut Rng) -> Result<Chains> {
        let gibbs = Gibbs::default();
        let mut step = |state: &Self| {
            gibbs.step_from_like(machine, &state.hidden, state.visible.as_ref(), rng)
        };
        for _ in 1..steps {
            *self = Self::of(machine, &step(self)?);
        }
        let chains = step(self)?;
        *self = Self::of(machine, &chains);
        Ok(chains)
    }

    fn of(machine: &dyn Boltzmann, chains: &Chains) -> Self {
        let visible = machine.has_interaction().then(|| chains.visible.clone());
        Self { hidden: chains.hidden.clone(), visible }
    }

    fn saved(state: Option<&Self>) -> State {
        let Some(Self { hidden, visible }) = state else { return State::new() };
        let visible = visible.iter().map(|visible| (RESTS.to_owned(), visible.clone()));
        std::iter::once((CHAINS.to_owned(), hidden.clone())).chain(visible).collect()
    }

    fn restored(state: &State) -> Result<Option<Self>> {
        if !state.contains_key(CHAINS) {
            return Ok(None);
        }
        let visible = state.contains_key(RESTS).then(|| get(state, RESTS)).transpose()?;
        Ok(Some(Self { hidden: get(state, CHAINS)?, visible }))
    }
}
