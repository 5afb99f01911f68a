//! The negative phase of discriminative learning: what the machine believes of the labels of the data at hand.
//!
//! Hybrid learning has a part of the generative negative phase in it.

use candle_core::Tensor;

use super::{NegativePhase, StepOutcome};
use crate::model::{Boltzmann, ClassRbm, pairwise_statistics};
use crate::ops::{self, Outer};
use crate::state::State;
use crate::{Averages, Error, Gradient, Mixing, Phase, Rbm, Result, Rng, Stateful};

/// Averages over p(y, h | x) for the mini-batch's own data x, without chance: learning climbs log p(y | x) (Larochelle and
/// Bengio 2008, §4). For machines that end in a label ([`ClassRbm`]); others are refused.
///
/// The biases of the data's units do not move: x is the same in both phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditional;

impl Stateful for Conditional {}

impl NegativePhase for Conditional {
    /// The data, each case with a label drawn from p(y | x).
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        let joint = ClassRbm::of(restricted(machine)?)?;
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
    fn averages(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        _: &mut Rng,
    ) -> Result<Averages> {
        let joint = ClassRbm::of(restricted(machine)?)?;
        let (_, labels) = joint.split(&positive.visible)?;
        let inputs = joint.data_inputs_of(positive)?;
        let shares = joint.log_probabilities_from(&inputs)?.exp()?.detach();
        let (shares, scale) = match positive.weights()? {
            None => (shares, 1.0 / positive.cases()? as f64),
            Some(weights) => (shares.broadcast_mul(&weights)?, 1.0),
        };
        let label_weights = joint.label_weights()?.detach();
        let hidden = pairwise_statistics(machine.last(), &inputs, &label_weights, &shares)?;
        let mean = machine.last().mean_among(&hidden.by_input)?;
        let amiss = (hidden.by_shift - labels.t()?.matmul(&mean)?)?;
        let weights = vec![
            Outer::new(&positive.visible, &mean, scale)?,
            Outer::new(&joint.label_rows()?, &amiss, scale)?,
        ];
        let couplings = vec![weights.into()];
        let statistics = machine.rest().statistics(&positive.visible)?;
        let visible = statistics.iter().map(|t| positive.average(&t.detach()));
        let mut visible = visible.collect::<Result<Vec<_>>>()?;
        let sum = |x: &Tensor| Ok((ops::sum_rows(x)? * scale)?);
        if let Some(label) = visible.last_mut() {
            *label = sum(&shares)?;
        }
        let hidden = hidden.by_input.iter().map(sum).collect::<Result<_>>()?;
        Ok(Averages { couplings, visible, hidden })
    }
}

/// The machine, if it is one whose labels can be summed out.
fn restricted(machine: &dyn Boltzmann) -> Result<&Rbm> {
    Rbm::of(machine).ok_or_else(|| {
        let expected = "a restricted Boltzmann machine";
        Error::invalid("learning of labels", expected, "couplings within a layer")
    })
}

/// (conditional + α·generative) / (1 + α): learning climbs log p(y | x) + α·log p(x, y), divided by 1 + α (Larochelle and
/// Bengio 2008, §5).
///
/// A weighted mean of both objectives, so that learning rates carry over from either, whatever α is: the rate of the paper,
/// whose gradient is the sum, is 1 + α times as small as the one to be given here. A generative part that learns from the
/// gradient itself, as the fast weights of [`FastPersistent`](super::FastPersistent) do, is given that of both.
pub struct Hybrid {
    /// The discriminative part.
    pub conditional: Conditional,
    /// Where the fantasies of the generative part come from.
    pub generative: Box<dyn NegativePhase>,
    /// α, at least 0.
    weight: f64,
}

impl Hybrid {
    /// The generative part counts `weight` times as much as the discriminative one.
    ///
    /// # Errors
    ///
    /// Unless that is a finite number of at least 0.
    pub fn new(generative: Box<dyn NegativePhase>, weight: f64) -> Result<Self> {
        if !weight.is_finite() || weight < 0.0 {
            let expected = "a finite number of at least 0";
            return Err(Error::invalid("the generative weight", expected, weight.to_string()));
        }
        Ok(Self { conditional: Conditional, generative, weight })
    }

    /// α.
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

impl Stateful for Hybrid {
    fn state(&self) -> State {
        self.generative.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.generative.restore(state)
    }
}

impl NegativePhase for Hybrid {
    /// Those of both parts, weighted.
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        let conditional = self.conditional.fantasy(machine, positive, rng)?;
        let generative = self.generative.fantasy(machine, positive, rng)?;
        let weighted = |phase: &Phase, part: f64| -> Result<Tensor> {
            let share = match phase.weights()? {
                Some(weights) => weights.squeeze(1)?.log()?,
                None => {
                    (phase.hidden_inputs.narrow(1, 0, 1)?.squeeze(1)?.zeros_like()?
                        - (phase.cases()? as f64).ln())?
                }
            };
            Ok((share + part.ln())?)
        };
        let whole = 1.0 + self.weight;
        let log_weights = Tensor::cat(
            &[weighted(&conditional, 1.0 / whole)?, weighted(&generative, self.weight / whole)?],
            0,
        )?;
        let both = |x: &Tensor, y: &Tensor| Tensor::cat(&[x, y], 0);
        Ok(Phase {
            visible: both(&conditional.visible, &generative.visible)?,
            hidden_inputs: both(&conditional.hidden_inputs, &generative.hidden_inputs)?,
            log_weights: Some(log_weights),
        })
    }

    fn averages(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Averages> {
        let whole = 1.0 + self.weight;
        let conditional = self.conditional.averages(machine, positive, rng)?;
        let generative = self.generative.averages(machine, positive, rng)?;
        conditional.times(1.0 / whole)?.plus(generative.times(self.weight / whole)?)
    }

    fn set_steps(&mut self, steps: usize) {
        self.generative.set_steps(steps);
    }

    fn after_step(
        &mut self,
        machine: &dyn Boltzmann,
        gradient: &Gradient,
        rng: &mut Rng,
    ) -> Result<StepOutcome> {
        self.generative.after_step(machine, gradient, rng)
    }

    fn learning_rate_factor(&self) -> f64 {
        self.generative.learning_rate_factor()
    }

    fn mixing(&mut self) -> Result<Option<Mixing>> {
        self.generative.mixing()
    }
}
