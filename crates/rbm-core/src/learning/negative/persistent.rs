//! Persistent contrastive divergence: chains that are never started again.

use candle_core::Tensor;

use super::{NegativePhase, TRACES, restored, saved, start};
use crate::sampling::mixing::Traces;
use crate::state::{State, with_prefix, without_prefix};
use crate::{Gibbs, Mixing, Phase, Rbm, Result, Rng, Stateful};

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
/// assert_eq!(chains.hidden.map(|hidden| hidden.dims().to_vec()), Some(vec![20, 4]));
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Persistent {
    /// k, at least 1.
    pub steps: usize,
    /// How many chains to run; 0 means as many as the first mini-batch has cases.
    pub chains: usize,
    /// The chains' hidden configurations `(chains, hidden)`, once they have been started.
    pub hidden: Option<Tensor>,
    /// What they have been through.
    traces: Traces,
}

impl Persistent {
    /// PCD-`steps` with `chains` chains, which start at the first mini-batch.
    pub fn new(steps: usize, chains: usize) -> Self {
        Self { steps, chains, hidden: None, traces: Traces::default() }
    }
}

impl Stateful for Persistent {
    fn state(&self) -> State {
        with_prefix(TRACES, self.traces.state()).chain(saved(self.hidden.as_ref())).collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.hidden = restored(state)?;
        self.traces.restore(&without_prefix(TRACES, state))
    }
}

impl NegativePhase for Persistent {
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        let mut hidden = match self.hidden.take() {
            Some(hidden) => hidden,
            None => start(rbm, positive, self.chains, rng)?,
        };
        let gibbs = Gibbs::default();
        for _ in 1..self.steps {
            hidden = gibbs.step_from(rbm, &hidden, rng)?.hidden;
        }
        let chains = gibbs.step_from(rbm, &hidden, rng)?;
        self.traces.follow(rbm, &chains.visible, &chains.hidden_inputs)?;
        self.hidden = Some(chains.hidden);
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
