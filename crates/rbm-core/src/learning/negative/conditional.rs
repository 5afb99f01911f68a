//! The negative phase of discriminative learning: what the machine believes of the labels of the data at hand.

use candle_core::Tensor;

use super::NegativePhase;
use crate::model::{ClassRbm, pairwise_statistics};
use crate::ops::{self, Outer};
use crate::{Averages, Phase, Rbm, Result, Rng, Stateful};

/// Averages over p(y, h | x) for the mini-batch's own data x, without chance: learning climbs log p(y | x) (Larochelle and
/// Bengio 2008, §4). For machines that end in a label ([`ClassRbm`]); others are refused.
///
/// The biases of the data's units do not move: x is the same in both phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditional;

impl Stateful for Conditional {}

impl NegativePhase for Conditional {
    /// The data, each case with a label drawn from p(y | x).
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        let joint = ClassRbm::of(rbm)?;
        let (data, _) = joint.split(&positive.visible)?;
        let inputs = joint.data_inputs_of(positive)?;
        let log_probabilities = joint.log_probabilities_from(&inputs)?.detach();
        let none = log_probabilities.narrow(0, 0, 1)?.zeros_like()?.squeeze(0)?;
        let labels = ops::multinomial_sample(&log_probabilities, &none, joint.classes(), 1, rng)?;
        let hidden_inputs = (inputs + ops::product(&labels, &joint.label_weights()?)?)?.detach();
        let visible = joint.join(&data, &labels)?;
        Ok(Phase { visible, hidden_inputs, log_weights: positive.log_weights.clone() })
    }

    /// ⟨v hᵀ⟩ is xᵀ⟨h⟩ for the data, with ⟨h⟩ the average over p(y | x), and the sums of E[h | x, y] for each class below:
    /// no row of the visible layer is formed. It is written with the data's own v, whose outer product the positive phase
    /// forms anyway, and what is amiss in the label's rows is put right by outer products of one row a class.
    fn averages(&mut self, rbm: &Rbm, positive: &Phase, _: &mut Rng) -> Result<Averages> {
        let joint = ClassRbm::of(rbm)?;
        let (_, labels) = joint.split(&positive.visible)?;
        let inputs = joint.data_inputs_of(positive)?;
        let shares = joint.log_probabilities_from(&inputs)?.exp()?.detach();
        let (shares, scale) = match positive.weights()? {
            None => (shares, 1.0 / positive.cases()? as f64),
            Some(weights) => (shares.broadcast_mul(&weights)?, 1.0),
        };
        let label_weights = joint.label_weights()?.detach();
        let hidden = pairwise_statistics(rbm.hidden(), &inputs, &label_weights, &shares)?;
        let mean = rbm.hidden().mean_among(&hidden.by_input)?;
        let amiss = (hidden.by_shift - labels.t()?.matmul(&mean)?)?;
        let weights = vec![
            Outer::new(&positive.visible, &mean, scale)?,
            Outer::new(&joint.label_rows()?, &amiss, scale)?,
        ];
        let statistics = rbm.visible().statistics(&positive.visible)?;
        let visible = statistics.iter().map(|t| positive.average(&t.detach()));
        let mut visible = visible.collect::<Result<Vec<_>>>()?;
        let sum = |x: &Tensor| Ok((ops::sum_rows(x)? * scale)?);
        if let Some(label) = visible.last_mut() {
            *label = sum(&shares)?;
        }
        let hidden = hidden.by_input.iter().map(sum).collect::<Result<_>>()?;
        Ok(Averages { weights, visible, hidden })
    }
}
