//! Persistent contrastive divergence: chains that are never started again.

use candle_core::Tensor;

use super::{CHAINS, NegativePhase, saved};
use crate::state::{State, take};
use crate::{Gibbs, Phase, Rbm, Result, Rng, Stateful};

/// PCD-k (Younes 1989; Tieleman 2008): chains that move k Gibbs steps between updates and so follow the machine as it
/// learns.
#[derive(Debug, Clone)]
pub struct Persistent {
    /// k, at least 1.
    pub steps: usize,
    /// How many chains to run; 0 means as many as the first mini-batch has cases.
    pub chains: usize,
    /// The chains' hidden configurations `(chains, hidden)`, once they have been started.
    pub hidden: Option<Tensor>,
}

impl Persistent {
    /// PCD-`steps` with `chains` chains, which start at the first mini-batch.
    pub fn new(steps: usize, chains: usize) -> Self {
        Self { steps, chains, hidden: None }
    }

    /// The first mini-batch's hidden samples, repeated or cut to the number of chains.
    fn start(&self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Tensor> {
        let cases = positive.cases()?;
        let chains = if self.chains == 0 { cases } else { self.chains };
        let rows = Tensor::from_iter((0..chains).map(|i| (i % cases) as u32), rbm.device())?;
        let inputs = positive.hidden_inputs.index_select(&rows, 0)?;
        rbm.hidden().sample(&inputs, rng)
    }
}

impl Stateful for Persistent {
    fn state(&self) -> State {
        saved(self.hidden.as_ref())
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.hidden = if state.contains_key(CHAINS) { Some(take(state, CHAINS)?) } else { None };
        Ok(())
    }
}

impl NegativePhase for Persistent {
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        let mut hidden = match self.hidden.take() {
            Some(hidden) => hidden,
            None => self.start(rbm, positive, rng)?,
        };
        let gibbs = Gibbs::default();
        for _ in 1..self.steps {
            hidden = gibbs.resume(rbm, &hidden, rng)?.hidden;
        }
        let chains = gibbs.resume(rbm, &hidden, rng)?;
        self.hidden = Some(chains.hidden);
        Ok(Phase {
            visible: chains.visible,
            hidden_inputs: chains.hidden_inputs,
            log_weights: None,
            is_mirrored: false,
        })
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }
}
