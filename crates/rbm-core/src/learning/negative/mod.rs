//! Where the negative phase comes from: the one thing in which learning algorithms differ.

use candle_core::Tensor;

use crate::state::{State, get};
use crate::{Averages, Gradient, Mixing, Phase, Rbm, Result, Rng, Stateful};

mod contrastive;
mod discriminative;
mod exact;
mod tempered;
mod trajectory;

pub use contrastive::{ContrastiveDivergence, FastPersistent, MeanField, Persistent};
pub use discriminative::{Conditional, Hybrid};
pub use exact::Exact;
pub use tempered::TemperedPersistent;
pub use trajectory::{Decision, ParallelTrajectory};

/// A source of the machine's own configurations ("fantasies") to learn against.
pub trait NegativePhase: Stateful {
    /// Configurations that stand for the machine's distribution; `positive` is the phase of the data in the same step.
    ///
    /// # Errors
    ///
    /// For machines that the method cannot learn, and when shapes do not fit the machine.
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase>;

    /// What they say on average, which is all that a gradient needs: [`Exact`] knows it without writing them down.
    ///
    /// # Errors
    ///
    /// For machines that the method cannot learn, and when shapes do not fit the machine.
    fn averages(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Averages> {
        Averages::of(rbm, &self.fantasy(rbm, positive, rng)?)
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
    fn after_step(&mut self, rbm: &Rbm, gradient: &Gradient, rng: &mut Rng) -> Result<StepOutcome> {
        let _ = (rbm, gradient, rng);
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
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        (**self).fantasy(rbm, positive, rng)
    }

    fn averages(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Averages> {
        (**self).averages(rbm, positive, rng)
    }

    fn set_steps(&mut self, steps: usize) {
        (**self).set_steps(steps);
    }

    fn after_step(&mut self, rbm: &Rbm, gradient: &Gradient, rng: &mut Rng) -> Result<StepOutcome> {
        (**self).after_step(rbm, gradient, rng)
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
/// What is saved of their traces.
const TRACES: &str = "traces";

/// Hidden configurations of `count` chains, or of as many as the mini-batch has cases where that is 0: the cases' hidden
/// samples, repeated or cut to the number of chains.
fn start(rbm: &Rbm, positive: &Phase, count: usize, rng: &mut Rng) -> Result<Tensor> {
    let cases = positive.cases()?;
    let chains = if count == 0 { cases } else { count };
    let rows = Tensor::from_iter((0..chains).map(|i| (i % cases) as u32), rbm.device())?;
    rbm.hidden().sample(&positive.hidden_inputs.index_select(&rows, 0)?, rng)
}

fn saved(chains: Option<&Tensor>) -> State {
    chains.map(|hidden| (CHAINS.to_owned(), hidden.clone())).into_iter().collect()
}

fn restored(state: &State) -> Result<Option<Tensor>> {
    if state.contains_key(CHAINS) { Ok(Some(get(state, CHAINS)?)) } else { Ok(None) }
}
