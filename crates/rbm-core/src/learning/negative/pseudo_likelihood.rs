//! The negative phase of pseudo-likelihood: no chains, no log Z.

use candle_core::Tensor;

use super::NegativePhase;
use crate::estimate::pseudo::inputs_from_others;
use crate::model::Boltzmann;
use crate::{Averages, Error, Phase, Result, Rng, Stateful};

/// Each unit as it is predicted from all others: learning climbs Σ log p(x_i | all others) (Besag 1975). Deterministic, and convex.
/// For machines all of whose units are observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PseudoLikelihood;

impl Stateful for PseudoLikelihood {}

impl NegativePhase for PseudoLikelihood {
    /// The data, each unit drawn given all others as they are there.
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        let inputs = inputs_from_others(machine, &positive.visible)?;
        let drawn = machine.rest().sample(&inputs, rng)?;
        Ok(Phase { log_weights: positive.log_weights.clone(), ..Phase::of(machine, &drawn)? })
    }

    /// With Q(x) what a coupling says of configurations and μ the predicted means, the derivative is Q(x) + Q(x − μ) − Q(μ), of which
    /// the positive phase is the first term.
    fn averages(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        _: &mut Rng,
    ) -> Result<Averages> {
        if machine.couples_pairs().contains(&false) {
            let expected = "couplings of pairs of units: other negative phases learn tables too";
            return Err(Error::invalid("learning by pseudo-likelihood", expected, "cliques"));
        }
        let rest = positive.visible.detach();
        let inputs = inputs_from_others(machine, &rest)?.detach();
        let expected = machine.rest().expected_statistics(&inputs)?;
        let mean = machine.rest().mean_among(&expected)?.detach();
        let none = rest.narrow(1, 0, 0)?;
        let weights = positive.weights()?;
        let of = |x: &Tensor| machine.coupling_averages(x, &none, weights.as_ref());
        let pairs = of(&mean)?.into_iter().zip(of(&(&rest - &mean)?)?);
        let couplings = pairs.map(|(of_mean, of_rest)| of_mean.and(of_rest.times(-1.0)?));
        let visible = expected.iter().map(|t| positive.average(&t.detach()));
        Ok(Averages {
            couplings: couplings.collect::<Result<_>>()?,
            visible: visible.collect::<Result<_>>()?,
            hidden: Vec::new(),
        })
    }
}
