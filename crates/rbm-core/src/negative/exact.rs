//! The exact negative phase, for machines small enough to enumerate.

use candle_core::Tensor;

use super::NegativePhase;
use crate::{Phase, Rbm, Result, Rng, Stateful, enumerate};

/// Every configuration of the side that has fewer, weighted by its probability: learning climbs the log-likelihood itself.
///
/// That side may have at most [`enumerate::MOST`] configurations; memory is proportional to their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exact;

impl Stateful for Exact {}

impl NegativePhase for Exact {
    fn fantasy(&mut self, rbm: &Rbm, _positive: &Phase, _rng: &mut Rng) -> Result<Phase> {
        let counts = [rbm.visible(), rbm.hidden()].map(enumerate::count);
        let is_mirrored = match counts {
            [Some(visible), Some(hidden)] => hidden < visible,
            [visible, _] => visible.is_none(),
        };
        let side = if is_mirrored { rbm.hidden() } else { rbm.visible() };
        let blocks = enumerate::blocks(side)?.collect::<Result<Vec<_>>>()?;
        let configurations = Tensor::cat(&blocks, 0)?;
        let (inputs, other) = match is_mirrored {
            false => (rbm.hidden_inputs(&configurations)?.detach(), rbm.hidden()),
            true => (rbm.visible_inputs(&configurations)?.detach(), rbm.visible()),
        };
        let log_weights = (other.cgf(&inputs)? - side.energy(&configurations)?)?.detach();
        Ok(Phase {
            visible: configurations,
            hidden_inputs: inputs,
            log_weights: Some(log_weights),
            is_mirrored,
        })
    }
}
