//! Where the negative phase comes from: the one thing in which learning algorithms differ.

mod contrastive;
mod exact;
mod persistent;

pub use contrastive::ContrastiveDivergence;
pub use exact::Exact;
pub use persistent::Persistent;

use crate::state::State;
use crate::{Phase, Rbm, Result, Rng, Stateful};

/// A source of the machine's own configurations ("fantasies") to learn against.
pub trait NegativePhase: Stateful {
    /// Configurations that stand for the machine's distribution; `positive` is the phase of the data in the same step.
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase>;

    /// Sets the number of Gibbs steps, where there is one: k of CD-k may grow as learning goes on.
    fn set_steps(&mut self, steps: usize) {
        let _ = steps;
    }
}

impl<N: NegativePhase + ?Sized> NegativePhase for Box<N> {
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        (**self).fantasy(rbm, positive, rng)
    }

    fn set_steps(&mut self, steps: usize) {
        (**self).set_steps(steps);
    }
}

/// The names of saved chains.
const CHAINS: &str = "chains";

fn saved(chains: Option<&candle_core::Tensor>) -> State {
    chains.map(|hidden| (CHAINS.to_owned(), hidden.clone())).into_iter().collect()
}
