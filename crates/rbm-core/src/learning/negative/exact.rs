//! The exact negative phase, for machines small enough to enumerate.

use candle_core::{D, Device, Tensor};

use super::NegativePhase;
use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::ops::{self, BinaryAverages, Outer, outer_sum};
use crate::stats::LogSumExp;
use crate::units::enumerate;
use crate::{Averages, Error, Layer, Phase, Rbm, Result, Rng, Stateful, Units};

/// Every configuration, weighted by its probability: learning climbs the log-likelihood itself.
///
/// One side may have at most [`enumerate::MOST`] configurations. The averages take as much time as it has, and little memory.
/// As fantasies, the visible configurations are written down.
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
        match Rbm::of(machine) {
            Some(rbm) => of_restricted(rbm),
            None => of_any(machine),
        }
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
        let here = Averages::of(machine, &phase)?.times(weight)?;
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

fn of_restricted(rbm: &Rbm) -> Result<Averages> {
    let (visible, hidden) = (rbm.visible(), rbm.hidden());
    let counts = [visible, hidden].map(enumerate::count);
    let is_hidden_smaller = match counts {
        [Some(of_visible), Some(of_hidden)] => of_hidden < of_visible,
        [of_visible, _] => of_visible.is_none(),
    };
    if let Some(averages) = of_binary_units(rbm, is_hidden_smaller)? {
        return Ok(averages);
    }
    let (correlation, visible, hidden) = if is_hidden_smaller {
        let sums = ExactSums::over(hidden, visible, |h| rbm.visible_inputs(h))?;
        (sums.correlation.t()?, sums.other, sums.side)
    } else {
        let sums = ExactSums::over(visible, hidden, |v| rbm.hidden_inputs(v))?;
        (sums.correlation, sums.side, sums.other)
    };
    Ok(Averages { couplings: vec![vec![multiplied_out(&correlation)?].into()], visible, hidden })
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

/// Sums over all configurations x of one side, each with the weight Σ_y exp(−E(x, y)) that it has among all of them.
struct ExactSums {
    /// x yᵀ, `(side, other)`.
    correlation: Tensor,
    /// The statistics of x.
    side: Vec<Tensor>,
    /// The expected statistics of y, the other side.
    other: Vec<Tensor>,
}

impl ExactSums {
    /// Averages over the configurations of `side`, of which `inputs` says what they say to `other`; a block at a time.
    fn over(
        side: &dyn Layer,
        other: &dyn Layer,
        inputs: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let (mut sums, mut total) = (None::<Self>, LogSumExp::default());
        for block in enumerate::blocks(side)? {
            let block = block?;
            let inputs = inputs(&block)?.detach();
            let log_weights = (other.cgf(&inputs)? - side.energy(&block)?)?.detach();
            let top = to_host(&log_weights.max(D::Minus1)?)?.to_scalar::<f64>()?;
            if let Some(factor) = total.raise(top) {
                sums = sums.map(|sums| sums.times(factor)).transpose()?;
            }
            let weights = (log_weights - total.highest())?.exp()?.unsqueeze(1)?;
            total.add(to_host(&weights.sum_all()?)?.to_scalar::<f64>()?);
            let here = Self::of_block(side, other, &block, &inputs, &weights)?;
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

    fn of_block(
        side: &dyn Layer,
        other: &dyn Layer,
        block: &Tensor,
        inputs: &Tensor,
        weights: &Tensor,
    ) -> Result<Self> {
        let row = weights.t()?;
        let sum = |x: &Tensor| Ok(row.matmul(&x.detach())?.squeeze(0)?);
        let expected = other.expected_statistics(inputs)?;
        let mean = other.mean_among(&expected)?.detach();
        let weighted = mean.broadcast_mul(weights)?;
        Ok(Self {
            correlation: outer_sum(&[Outer::new(block, &weighted, 1.0)?])?,
            side: side.statistics(block)?.iter().map(sum).collect::<Result<_>>()?,
            other: expected.iter().map(sum).collect::<Result<_>>()?,
        })
    }

    fn times(self, factor: f64) -> Result<Self> {
        let times = |x: Vec<Tensor>| x.into_iter().map(|x| Ok((x * factor)?)).collect();
        let (side, other): (Result<_>, Result<_>) = (times(self.side), times(self.other));
        Ok(Self { correlation: (self.correlation * factor)?, side: side?, other: other? })
    }

    fn plus(self, more: Self) -> Result<Self> {
        let plus = |x: Vec<Tensor>, y: Vec<Tensor>| {
            x.into_iter().zip(y).map(|(x, y)| Ok((x + y)?)).collect::<Result<_>>()
        };
        Ok(Self {
            correlation: (self.correlation + more.correlation)?,
            side: plus(self.side, more.side)?,
            other: plus(self.other, more.other)?,
        })
    }
}
