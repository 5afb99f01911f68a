//! The exact negative phase, for machines small enough to enumerate.

use candle_core::Tensor;

use super::NegativePhase;
use crate::{Phase, Rbm, Result, Rng, Stateful, enumerate};

/// Every visible configuration, weighted by its probability: learning climbs the log-likelihood itself.
///
/// The visible layer may have at most [`enumerate::MOST`] configurations; memory is proportional to their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exact;

impl Stateful for Exact {}

impl NegativePhase for Exact {
    fn fantasy(&mut self, rbm: &Rbm, _positive: &Phase, _rng: &mut Rng) -> Result<Phase> {
        let blocks = enumerate::blocks(rbm.visible())?.collect::<Result<Vec<_>>>()?;
        let visible = Tensor::cat(&blocks, 0)?;
        let log_weights = rbm.free_energy(&visible)?.neg()?.detach();
        let hidden_inputs = rbm.hidden_inputs(&visible)?.detach();
        Ok(Phase { visible, hidden_inputs, log_weights: Some(log_weights) })
    }
}
