//! The negative phase of pseudo-likelihood: no chains, no log Z.

use candle_core::Tensor;

use super::NegativePhase;
use crate::estimate::pseudo::inputs_from_others;
use crate::model::Boltzmann;
use crate::units::{States, Support};
use crate::{Averages, Error, Phase, Result, Rng, Stateful};

/// Each observed unit as it is predicted from all others: learning climbs Σ log p(x_i | all other observed units) (Besag 1975).
///
/// Deterministic; convex where all units are observed. Hidden units are summed out: then a step takes as much time as one of CD-1 for every unit and
/// each of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PseudoLikelihood;

impl Stateful for PseudoLikelihood {}

impl PseudoLikelihood {
    /// Asks whether this can learn `machine`.
    ///
    /// # Errors
    ///
    /// For cliques, and beside hidden units for observed ones that are not discrete, or share draws.
    pub fn check(machine: &dyn Boltzmann) -> Result<()> {
        if machine.couples_pairs().contains(&false) {
            let expected = "couplings of pairs of units: other negative phases learn tables too";
            return Err(Error::invalid("learning by pseudo-likelihood", expected, "cliques"));
        }
        match machine.last().units().width() {
            0 => Ok(()),
            _ => sites(machine).map(|_| ()),
        }
    }
}

impl NegativePhase for PseudoLikelihood {
    /// The data, each unit drawn given all others as they are there. Beside hidden units nothing is drawn: each case with each unit at each of its
    /// values, weighted; the gradient between this and the data is that of the mean over units in place of the sum.
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        if machine.last().units().width() > 0 {
            return with_each_value(machine, positive, &sites(machine)?);
        }
        let inputs = inputs_from_others(machine, &positive.visible)?;
        let drawn = machine.rest().sample(&inputs, rng)?;
        Ok(Phase { log_weights: positive.log_weights.clone(), ..Phase::of(machine, &drawn)? })
    }

    fn averages(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        _: &mut Rng,
    ) -> Result<Averages> {
        Self::check(machine)?;
        match machine.last().units().width() {
            0 => without_hidden(machine, positive),
            _ => beside_hidden(machine, positive, BLOCK),
        }
    }
}

/// With Q(x) what a coupling says of configurations and μ the predicted means, the derivative is Q(x) + Q(x − μ) − Q(μ), of which
/// the positive phase is the first term.
fn without_hidden(machine: &dyn Boltzmann, positive: &Phase) -> Result<Averages> {
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

/// The most numbers of cases that are changed at once.
const BLOCK: usize = 1 << 22;

/// With s(v) the statistics of a case, hidden units at their means, and v(i, x) the case with unit i at x, the derivative is
/// Σᵢ [s(v) − Σₓ p(x | the others)·s(v(i, x))], of which the positive phase is s(v). A `block` is the most numbers of cases that are changed at once, or of one unit.
fn beside_hidden(machine: &dyn Boltzmann, positive: &Phase, block: usize) -> Result<Averages> {
    let sites = sites(machine)?;
    let width = machine.rest().units().width() + machine.last().units().width();
    let most = sites.iter().map(|site| site.values.len()).max().unwrap_or(1);
    let together = block / (most * positive.cases()? * width).max(1);
    let of_data = Averages::of(machine, positive)?.times(1.0 - sites.len() as f64)?;
    sites.chunks(together.max(1)).try_fold(of_data.multiplied_out(machine)?, |sum, some| {
        let here = Averages::of(machine, &with_each_value(machine, positive, some)?)?;
        sum.plus(here.times(some.len() as f64)?.multiplied_out(machine)?)
    })
}

/// A unit of its own: a column, or the columns of which one is 1.
#[derive(Clone)]
struct Site {
    start: usize,
    columns: usize,
    /// What its columns can be.
    values: Vec<Vec<f64>>,
}

fn sites(machine: &dyn Boltzmann) -> Result<Vec<Site>> {
    let of = |Support { columns, states }: Support| {
        let (count, values) = match states {
            States::Values(values) => (1, values.iter().map(|(value, _)| vec![*value]).collect()),
            States::OneOf(states) => (states, one_of(states)),
            States::Draws(_) | States::Real => {
                let expected = "beside hidden units, observed ones with a value, or one of several states, each";
                let found = machine.rest().units().to_string();
                return Err(Error::invalid("learning by pseudo-likelihood", expected, found));
            }
        };
        let site = |start| Site { start, columns: count, values: values.clone() };
        Ok(columns.step_by(count.max(1)).map(site).collect::<Vec<_>>())
    };
    Ok(machine.rest().support().into_iter().map(of).collect::<Result<Vec<_>>>()?.concat())
}

/// The states of a site, each as its columns.
fn one_of(states: usize) -> Vec<Vec<f64>> {
    let column = |i: usize, state: usize| f64::from(u8::from(i == state));
    (0..states).map(|state| (0..states).map(|i| column(i, state)).collect()).collect()
}

/// Each case of `positive` with each of `sites` at each of its values, weighted by the probability of the value given the case's other units.
fn with_each_value(machine: &dyn Boltzmann, positive: &Phase, sites: &[Site]) -> Result<Phase> {
    let (cases, width) = positive.visible.dims2()?;
    let row = |numbers: Vec<f64>| -> Result<Tensor> {
        Ok(Tensor::new(numbers, &candle_core::Device::Cpu)?
            .to_dtype(machine.dtype())?
            .to_device(machine.device())?)
    };
    let mut changed = Vec::new();
    for Site { start, columns, values } in sites {
        let mut others = vec![1.0; width];
        others[*start..start + columns].fill(0.0);
        let others = positive.visible.broadcast_mul(&row(others)?)?;
        for value in values {
            let mut here = vec![0.0; width];
            here[*start..start + columns].copy_from_slice(value);
            changed.push(others.broadcast_add(&row(here)?)?);
        }
    }
    let visible = Tensor::cat(&changed, 0)?;
    let hidden_inputs = machine.last_inputs(&visible)?.detach();
    let log_p = machine.free_energy_given(&visible, &hidden_inputs)?.neg()?.detach();
    let (mut log_weights, mut from) = (Vec::new(), 0);
    for Site { values, .. } in sites {
        let of_site = log_p.narrow(0, from, values.len() * cases)?;
        let of_site = of_site.reshape((values.len(), cases))?;
        let of_site = of_site.broadcast_sub(&of_site.log_sum_exp(0)?)?;
        log_weights.push(match &positive.log_weights {
            Some(of_cases) => of_site.broadcast_add(of_cases)?,
            None => of_site,
        });
        from += values.len() * cases;
    }
    let log_weights = Tensor::cat(&log_weights, 0)?.flatten_all()?;
    Ok(Phase { visible, hidden_inputs, log_weights: Some(log_weights) })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::model::init::Init;
    use crate::{Rbm, Units};

    /// Unit by unit, and some of them together, as all at once.
    #[test]
    fn blocks_of_units_are_summed() -> Result<()> {
        let (units, hidden): (Units, Units) = ("potts(3):2+spin:3".parse()?, Units::bernoulli(4));
        let (rbm, mut rng) = (Rbm::new(&units, &hidden, DType::F64, &Device::Cpu)?, Rng::new(3));
        Init { weight_deviation: 1.0, hidden_bias: 0.3 }.draw_weights(&rbm, &mut rng)?;
        let none = Tensor::zeros((5, 9), DType::F64, &Device::Cpu)?;
        let positive = Phase::of(&rbm, &rbm.visible().sample(&none, &mut rng)?)?;
        let of = |block: usize| -> Result<Vec<f64>> {
            let found = beside_hidden(&rbm, &positive, block)?;
            let weights =
                found.couplings[0].tensor(rbm.weights())?.flatten_all()?.to_vec1::<f64>()?;
            Ok([weights, found.visible[0].to_vec1()?, found.hidden[0].to_vec1()?].concat())
        };
        let whole = of(BLOCK)?;
        // A unit of three values takes 3 · 5 · 13 numbers.
        for block in [1, 2 * 195] {
            let found = of(block)?;
            assert!(found.iter().zip(&whole).all(|(x, y)| (x - y).abs() < 1e-12), "{block}");
        }
        Ok(())
    }
}
