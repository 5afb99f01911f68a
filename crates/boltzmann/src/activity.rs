//! The hidden layers of a machine, side by side, and how active they are over cases.

use candle_core::Tensor;
use rbm_core::estimate::monitor::Activity;
use rbm_core::learning::positive::{self, Start};
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::ops::device::to_host;
use rbm_core::{PositivePhase, Result, Rng, ops};

use crate::shape::Shape;

/// The most iterations of mean field, and the mean change at which they end.
const LOOK_SWEEPS: usize = 30;
const LOOK_SETTLED: f64 = 1e-3;

/// The hidden layers side by side from the bottom up, of the rest `(rows, rest)` and the last colour `(rows, last)`.
pub(crate) fn bottom_up(
    machine: &Machine,
    shape: &Shape,
    rest: &Tensor,
    last: &Tensor,
) -> Result<Tensor> {
    let (layers, of_rest) = (machine.layers(), machine.layers_of_rest());
    let hidden = shape.places().into_iter().skip(1).take(shape.hidden.len());
    let parts = hidden.map(|place| {
        let from = if place < of_rest { rest } else { last };
        from.narrow(1, layers[place].1.start, layers[place].1.len())
    });
    let parts = parts.collect::<candle_core::Result<Vec<_>>>()?;
    if parts.is_empty() {
        return Ok(last.clone());
    }
    Ok(Tensor::cat(&parts, 1)?)
}

/// F of each of `cases`, all of the machine's rest, `(n, rest)`, nats; and the means of the last colour, which is summed out, `(n, last)`.
pub(crate) fn summed_out(machine: &Machine, cases: &Tensor) -> Result<(Vec<f64>, Tensor)> {
    let inputs = machine.last_inputs(cases)?.detach();
    let energies = to_host(&machine.free_energy_given(cases, &inputs)?.detach())?;
    Ok((energies.to_vec1::<f64>()?, machine.last().mean(&inputs)?.detach()))
}

/// The mean free energy of `cases` `(n, observed)`, nats, and how active each hidden layer is over them: what an epoch shows of a machine that
/// learns. Where hidden units are coupled with each other both are what mean field finds, from where `posterior` begins.
pub(crate) fn look(
    machine: &Machine,
    shape: &Shape,
    posterior: PositivePhase,
    cases: &Tensor,
) -> Result<(f64, Vec<Activity>)> {
    let (count, observed) = cases.dims2()?;
    let (free_energies, rest, last) = if machine.rest().units().width() > observed {
        let start = match posterior {
            PositivePhase::MeanField { start, .. } => start,
            _ => Start::Biases,
        };
        let look = PositivePhase::MeanField { steps: LOOK_SWEEPS, tolerance: LOOK_SETTLED, start };
        // Nothing is drawn.
        let phase = look.infer(machine, cases, &mut Rng::new(0))?;
        let bounds = positive::lower_bounds(machine, &phase, observed)?;
        let energies = bounds.into_iter().map(|bound| -bound).collect();
        let last = machine.last().mean(&phase.hidden_inputs)?.detach();
        (energies, phase.visible, last)
    } else {
        let (energies, last) = summed_out(machine, cases)?;
        (energies, cases.clone(), last)
    };
    let free_energy = free_energies.iter().sum::<f64>() / count as f64;
    if shape.hidden.is_empty() {
        return Ok((free_energy, Vec::new()));
    }
    let sums = ops::sum_rows(&bottom_up(machine, shape, &rest, &last)?)?;
    let means: Vec<f64> =
        to_host(&sums)?.to_vec1::<f64>()?.into_iter().map(|sum| sum / count as f64).collect();
    let mut start = 0;
    let layers = shape.hidden.iter().map(|units| {
        let columns = start..start + units.width();
        start = columns.end;
        Activity::of(units, &means[columns])
    });
    Ok((free_energy, layers.collect()))
}
