//! The exact negative phase, for machines small enough to enumerate.

use candle_core::{D, Device, Tensor};

use super::NegativePhase;
use crate::estimate::sigma_points;
use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::ops::{self, Ascent, BinaryAverages, Outer};
use crate::stats::LogSumExp;
use crate::units::enumerate;
use crate::{Averages, Error, Phase, Rbm, Result, Rng, Stateful, Units};

/// Every configuration, weighted by its probability: learning climbs the log-likelihood itself.
///
/// One side may have at most [`enumerate::MAX_CONFIGURATIONS`] configurations. The averages take as much time as it has, and little memory.
/// As fantasies, the visible configurations are written down. Gaussian units that are coupled with each other are integrated, where all others
/// are few and discrete ([`sigma_points`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exact;

impl Stateful for Exact {}

impl NegativePhase for Exact {
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        _positive: &Phase,
        _rng: &mut Rng,
    ) -> Result<Phase> {
        if let Some(points) = points_of(machine)? {
            return Ok(points);
        }
        let blocks = enumerate::blocks(machine.rest())?.collect::<Result<Vec<_>>>()?;
        let visible = Tensor::cat(&blocks, 0)?;
        let log_weights = machine.free_energy(&visible)?.neg()?.detach();
        let hidden_inputs = machine.last_inputs(&visible)?.detach();
        Ok(Phase { visible, hidden_inputs, log_weights: Some(log_weights) })
    }

    fn averages(
        &mut self,
        machine: &dyn Boltzmann,
        _positive: &Phase,
        _rng: &mut Rng,
    ) -> Result<Averages> {
        match (Rbm::of(machine), points_of(machine)?) {
            (Some(rbm), _) => of_restricted(rbm),
            (None, Some(points)) => Averages::of(machine, &points),
            (None, None) => of_any(machine),
        }
    }
}

/// What stands for the distribution of a machine that cannot be counted, because units are Gaussian.
fn points_of(machine: &dyn Boltzmann) -> Result<Option<Phase>> {
    match Rbm::of(machine).is_some() || enumerate::count(machine.rest()).is_some() {
        true => Ok(None),
        false => sigma_points(machine),
    }
}

/// The averages of a machine of any shape, going through the configurations of its rest, a block at a time.
fn of_any(machine: &dyn Boltzmann) -> Result<Averages> {
    let (mut sums, mut total) = (None::<Averages>, LogSumExp::default());
    for block in enumerate::blocks(machine.rest())? {
        let visible = block?;
        let hidden_inputs = machine.last_inputs(&visible)?.detach();
        let log_weights = machine.free_energy_given(&visible, &hidden_inputs)?.neg()?.detach();
        let top = to_host(&log_weights.max(D::Minus1)?)?.to_scalar::<f64>()?;
        if let Some(factor) = total.raise(top) {
            sums = sums.map(|sums| sums.times(factor)).transpose()?;
        }
        let weights = to_host(&(&log_weights - total.highest())?.exp()?.sum_all()?)?;
        let weight = weights.to_scalar::<f64>()?;
        total.add(weight);
        let phase = Phase { visible, hidden_inputs, log_weights: Some(log_weights) };
        // The block is not kept.
        let here = Averages::of(machine, &phase)?.times(weight)?.multiplied_out(machine)?;
        sums = Some(match sums {
            None => here,
            Some(sums) => sums.plus(here)?,
        });
    }
    match sums {
        Some(sums) => sums.times(1.0 / total.total()),
        None => Err(Error::invalid("enumeration", "a configuration", "none")),
    }
}

/// The same of a restricted machine, whose hidden side may be the smaller one to go through.
fn of_restricted(rbm: &Rbm) -> Result<Averages> {
    let counts = [rbm.visible(), rbm.hidden()].map(enumerate::count);
    let is_hidden_smaller = match counts {
        [Some(of_visible), Some(of_hidden)] => of_hidden < of_visible,
        [of_visible, _] => of_visible.is_none(),
    };
    if let Some(averages) = of_binary_units(rbm, is_hidden_smaller)? {
        return Ok(averages);
    }
    if !is_hidden_smaller {
        return of_any(rbm);
    }
    let mirror = rbm.mirror()?;
    let Averages { couplings, visible, hidden } = of_any(&mirror)?;
    let turned = |ascent: &Ascent| Ok(ascent.tensor(mirror.weights())?.t()?.contiguous()?.into());
    let couplings = couplings.iter().map(turned).collect::<Result<_>>()?;
    Ok(Averages { couplings, visible: hidden, hidden: visible })
}

/// A correlation as the outer product of the identity with it.
fn multiplied_out(correlation: &Tensor) -> Result<Outer> {
    let one = Tensor::eye(correlation.dim(0)?, correlation.dtype(), correlation.device())?;
    Outer::new(&one, correlation, 1.0)
}

/// The averages of a machine of zeros and ones, going through the hidden or the visible configurations: the case for which
/// there is an operation of its own, many times as fast. `None` for other machines, and for numbers out of its reach.
fn of_binary_units(rbm: &Rbm, is_hidden_smaller: bool) -> Result<Option<Averages>> {
    let layers = [rbm.visible(), rbm.hidden()];
    let is_binary = layers.iter().all(|layer| matches!(layer.units(), Units::Bernoulli { .. }));
    let fits = enumerate::count(layers[usize::from(is_hidden_smaller)]).is_some();
    if !is_binary || !fits {
        return Ok(None);
    }
    let numbers = |x: &Tensor| -> Result<Vec<f64>> { Ok(to_host(x)?.flatten_all()?.to_vec1()?) };
    let [visible, hidden] = layers.map(|layer| numbers(layer.vars()[0].1));
    let (visible, hidden, weights) = (visible?, hidden?, rbm.weights().as_detached_tensor());
    let found = if is_hidden_smaller {
        ops::binary_averages(&numbers(&weights.t()?)?, &hidden, &visible)
    } else {
        ops::binary_averages(&numbers(&weights)?, &visible, &hidden)
    };
    let Some(BinaryAverages { side, other, correlation, .. }) = found else { return Ok(None) };
    let shape = (side.len(), other.len());
    let here = |x: Tensor| Ok(x.to_dtype(rbm.dtype())?.to_device(rbm.device())?);
    let vector = |x: Vec<f64>| -> Result<_> { here(Tensor::new(x, &Device::Cpu)?) };
    let correlation = Tensor::from_vec(correlation, shape, &Device::Cpu)?;
    let (visible, hidden, correlation) = if is_hidden_smaller {
        (other, side, correlation.t()?)
    } else {
        (side, other, correlation)
    };
    Ok(Some(Averages {
        couplings: vec![vec![multiplied_out(&here(correlation)?)?].into()],
        visible: vec![vector(visible)?],
        hidden: vec![vector(hidden)?],
    }))
}
