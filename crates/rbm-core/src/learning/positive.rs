//! The positive phase: what the units that are not observed are, given the data.
//!
//! The mirror image of the negative phase. Of a restricted machine it is known: its hidden units are independent given the data. Where
//! hidden units are coupled with each other, as in a deep machine, they are drawn, or stood for by means.

use std::f64::consts::TAU;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::sampling::{Clamped, Kernel};
use crate::units::{States, Support, Tail};
use crate::{Error, Phase, Result, Rng};

/// How often a layer that alone gave inputs in pre-training was counted there.
const COPIES: f64 = 2.0;
/// How much of the last means is kept in each iteration where units are coupled with each other, at first and at most.
const DAMPING: f64 = 0.5;
const MOST_DAMPING: f64 = 0.95;

/// How hidden units that the rest of a machine holds are found, given its observed ones: the first columns of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PositivePhase {
    /// There are none: every unit of the rest is observed, and the last colour is summed out. Exact.
    #[default]
    Summed,
    /// The independent units whose distribution is nearest to the posterior, by iteration (Peterson and Anderson 1987;
    /// Salakhutdinov and Hinton 2009). Learning climbs a lower bound of the log-likelihood. For units whose statistic is x itself.
    MeanField {
        /// The most iterations.
        steps: usize,
        /// The mean change of the means of the rest at which they end; those of observed units do not change.
        tolerance: f64,
        /// Where they begin.
        #[serde(default, skip_serializing_if = "is_of_biases")]
        start: Start,
    },
    /// Samples, after so many sweeps with the observed units held (Ackley, Hinton, Sejnowski 1985).
    Sampled {
        /// Sweeps, at least 1.
        sweeps: usize,
    },
}

/// Where the iterations of mean field begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Where units are by their biases alone.
    #[default]
    Biases,
    /// One pass up: the last colour has input from the data alone, twice, and the rest from the last colour. So guesses a deep machine whose layers
    /// were pre-trained one by one (Salakhutdinov and Hinton 2009): then this is near.
    UpPass,
}

fn is_of_biases(start: &Start) -> bool {
    *start == Start::Biases
}

impl PositivePhase {
    /// The positive phase of `cases` `(n, observed)`.
    ///
    /// # Errors
    ///
    /// When there are no cases, or they do not have the width and type of the machine's observed units.
    pub fn infer(&self, machine: &dyn Boltzmann, cases: &Tensor, rng: &mut Rng) -> Result<Phase> {
        let width = machine.rest().units().width();
        let (rows, observed) = cases.dims2()?;
        if *self == Self::Summed || observed == width {
            return Phase::of(machine, cases);
        }
        if rows == 0 || observed > width {
            let expected = format!("at least one of at most {width} columns");
            return Err(Error::invalid("cases", expected, format!("{rows} of {observed}")));
        }
        match *self {
            Self::Sampled { sweeps } => sampled(machine, cases, sweeps, rng),
            Self::MeanField { steps, tolerance, start: Start::Biases } => {
                Ok(mean_field(machine, cases, steps, tolerance)?.0)
            }
            Self::MeanField { steps, tolerance, start: Start::UpPass } => {
                let data = ObservedData::of(machine, cases)?;
                let start = data.means_from_data(machine, COPIES)?;
                Ok(iterate(machine, &data, start, steps, tolerance)?.0)
            }
            Self::Summed => Phase::of(machine, cases),
        }
    }
}

/// `x` `(rows, rest)` with `cases` `(rows, observed)` in its first columns.
fn with_data(cases: &Tensor, x: &Tensor) -> Result<Tensor> {
    Ok(Tensor::cat(&[cases, &hidden_of(cases.dim(1)?, x)?], 1)?)
}

/// The columns of the hidden units of the rest.
fn hidden_of(observed: usize, x: &Tensor) -> Result<Tensor> {
    Ok(x.narrow(1, observed, x.dim(1)? - observed)?.contiguous()?)
}

/// Data, and the inputs of the last colour from them alone: these stay as they are while means move.
struct ObservedData {
    /// `(rows, observed)`.
    cases: Tensor,
    /// `(rows, last)`.
    last_inputs: Tensor,
}

impl ObservedData {
    fn of(machine: &dyn Boltzmann, cases: &Tensor) -> Result<Self> {
        let cases = cases.detach();
        let alone = with_data(&cases, &no_inputs(machine, &cases)?)?;
        Ok(Self { last_inputs: machine.last_inputs(&alone)?.detach(), cases })
    }

    fn observed(&self) -> Result<usize> {
        Ok(self.cases.dim(1)?)
    }

    /// The means of the hidden units of the rest where the last colour has inputs from the data alone, `copies` times, and they have theirs from
    /// the last colour.
    fn means_from_data(&self, machine: &dyn Boltzmann, copies: f64) -> Result<Tensor> {
        let alone = with_data(&self.cases, &no_inputs(machine, &self.cases)?)?;
        mean_field_step(machine, self.observed()?, &alone, &(&self.last_inputs * copies)?)
    }
}

/// Inputs of the rest where there are none: zeros, `(rows, rest)`.
fn no_inputs(machine: &dyn Boltzmann, cases: &Tensor) -> Result<Tensor> {
    let shape = (cases.dim(0)?, machine.rest().units().width());
    Ok(Tensor::zeros(shape, cases.dtype(), cases.device())?)
}

/// Hidden units of the rest after so many sweeps with the observed ones held.
fn sampled(machine: &dyn Boltzmann, cases: &Tensor, sweeps: usize, rng: &mut Rng) -> Result<Phase> {
    let (cases, none) = (cases.detach(), no_inputs(machine, cases)?);
    let start = with_data(&cases, &machine.rest().sample(&none, rng)?)?;
    let clamped = Clamped::new(&start, &with_data(&cases.ones_like()?, &none)?)?;
    let mut chains = clamped.init(machine, start, rng)?;
    clamped.advance(machine, &mut chains, sweeps.max(1), rng)?;
    Phase::of(machine, &chains.visible)
}

/// The means of the hidden units of the rest given `cases` `(rows, observed)`, after at most `steps` iterations, or when the mean change
/// of a mean is at most `tolerance`; and how many iterations that were. They begin where units are that nobody tells anything.
///
/// # Errors
///
/// When the cases do not fit the machine.
pub fn mean_field(
    machine: &dyn Boltzmann,
    cases: &Tensor,
    steps: usize,
    tolerance: f64,
) -> Result<(Phase, usize)> {
    let data = ObservedData::of(machine, cases)?;
    iterate(machine, &data, at_biases(machine, cases)?, steps, tolerance)
}

/// The means of the hidden units of the rest by their biases alone.
fn at_biases(machine: &dyn Boltzmann, cases: &Tensor) -> Result<Tensor> {
    hidden_of(cases.dim(1)?, &machine.rest().mean(&no_inputs(machine, cases)?)?.detach())
}

/// [`mean_field`] from two starts, of which each case takes the one with the larger bound: units that nobody tells anything, and units that
/// have input from the data alone. Where units pull each other strongly the first may lie between two answers. The phase, [`lower_bounds`] and the most
/// iterations.
///
/// # Errors
///
/// As [`mean_field`] and [`lower_bounds`].
pub fn best_mean_field(
    machine: &dyn Boltzmann,
    cases: &Tensor,
    steps: usize,
    tolerance: f64,
) -> Result<(Phase, Vec<f64>, usize)> {
    let (rows, observed) = cases.dims2()?;
    let data = ObservedData::of(machine, cases)?;
    let (one, one_steps) = iterate(machine, &data, at_biases(machine, cases)?, steps, tolerance)?;
    let start = data.means_from_data(machine, 1.0)?;
    let (two, two_steps) = iterate(machine, &data, start, steps, tolerance)?;
    let bounds = [lower_bounds(machine, &one, observed)?, lower_bounds(machine, &two, observed)?];
    let takes = |row: usize| usize::from(bounds[1][row] > bounds[0][row]);
    let order =
        Tensor::from_iter((0..rows).map(|row| (row + rows * takes(row)) as u32), cases.device())?;
    let pick = |x: &Tensor, y: &Tensor| Tensor::cat(&[x, y], 0)?.index_select(&order, 0);
    let phase = Phase {
        visible: pick(&one.visible, &two.visible)?,
        hidden_inputs: pick(&one.hidden_inputs, &two.hidden_inputs)?,
        log_weights: None,
    };
    let bounds = (0..rows).map(|row| bounds[takes(row)][row]).collect();
    Ok((phase, bounds, one_steps.max(two_steps)))
}

/// The means of the hidden units of the rest, `(rows, rest − observed)`, given the inputs of the last colour `(rows, last)` and how the rest is
/// `(rows, rest)`: one iteration of mean field. Without couplings within the rest the latter is not looked at.
///
/// # Errors
///
/// When shapes do not fit the machine.
pub fn mean_field_step(
    machine: &dyn Boltzmann,
    observed: usize,
    rest: &Tensor,
    last_inputs: &Tensor,
) -> Result<Tensor> {
    let mut inputs = machine.rest_inputs_from(observed, &machine.last().mean(last_inputs)?)?;
    if let Some(within) = machine.inputs_within(rest)? {
        inputs = (inputs + hidden_of(observed, &within)?)?;
    }
    Ok(machine.rest().mean_from(observed, &inputs)?.detach())
}

/// Means of the hidden units of the rest that begin as `hidden`. Units that are coupled with each other move together: they would oscillate if they did not keep
/// a part of their last means, the more the further they still go.
fn iterate(
    machine: &dyn Boltzmann,
    data: &ObservedData,
    mut hidden: Tensor,
    steps: usize,
    tolerance: f64,
) -> Result<(Phase, usize)> {
    let observed = data.observed()?;
    let interacts = machine.has_interaction();
    let mut kept = if interacts { DAMPING } else { 0.0 };
    let share = 1.0 - observed as f64 / machine.rest().units().width() as f64;
    let last_inputs_at = |hidden: &Tensor| -> Result<Tensor> {
        Ok((&data.last_inputs + machine.last_inputs_of(observed, hidden)?.detach())?)
    };
    let rest_at = |hidden: &Tensor| Tensor::cat(&[&data.cases, hidden], 1);
    // All of the rest is asked for where it has couplings within itself, and in the end.
    let mut last_inputs = last_inputs_at(&hidden)?;
    let (mut taken, mut before) = (0, f64::INFINITY);
    while taken < steps.max(1) {
        taken += 1;
        let rest = if interacts { &rest_at(&hidden)? } else { &data.cases };
        let mut new = mean_field_step(machine, observed, rest, &last_inputs)?;
        if kept > 0.0 {
            new = ((&hidden * kept)? + (new * (1.0 - kept))?)?;
        }
        let change = to_host(&(&new - &hidden)?.abs()?.mean_all()?)?.to_scalar::<f64>()? * share;
        hidden = new;
        last_inputs = last_inputs_at(&hidden)?;
        if change <= tolerance {
            break;
        }
        if kept > 0.0 && change > before {
            kept = (0.5 * (1.0 + kept)).min(MOST_DAMPING);
        }
        before = change;
    }
    let phase = Phase { visible: rest_at(&hidden)?, hidden_inputs: last_inputs, log_weights: None };
    Ok((phase, taken))
}

/// Lower bounds of log Σ exp(−E) over all hidden units, one for each row of `phase`, nats: ⟨−E⟩ + H under independent hidden units with these
/// means, of which those of the last colour are what the others cause. The first `observed` columns of the rest are data.
///
/// # Errors
///
/// For hidden units of the rest of other kinds than two values, one of several states, or Gaussian ones.
pub fn lower_bounds(machine: &dyn Boltzmann, phase: &Phase, observed: usize) -> Result<Vec<f64>> {
    let free_energy = machine.free_energy_given(&phase.visible, &phase.hidden_inputs)?;
    let free_energy = to_host(&free_energy.detach())?.to_vec1::<f64>()?;
    let means = to_host(&phase.visible)?.to_vec2::<f64>()?;
    let (support, tails) = (machine.rest().support(), machine.rest().tails()?);
    let of = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    let mut bounds = Vec::with_capacity(means.len());
    for (row, free_energy) in means.iter().zip(free_energy) {
        let mut entropy = 0.0;
        for Support { columns, states } in &support {
            let hidden = columns.start.max(observed)..columns.end.max(observed);
            match states {
                States::Values(_) if hidden.is_empty() => {}
                States::Values(values) => {
                    let &[(low, _), (high, _)] = &values[..] else {
                        return Err(no_entropy(machine));
                    };
                    for mean in &row[hidden] {
                        let p = ((mean - low) / (high - low)).clamp(0.0, 1.0);
                        entropy += of(p) + of(1.0 - p);
                    }
                }
                States::OneOf(_) => entropy += row[hidden].iter().map(|p| of(*p)).sum::<f64>(),
                // Data may be of any kind.
                States::Draws(_) | States::Real if hidden.is_empty() => {}
                // A normal distribution about its mean: its entropy, less what its variance adds to the energy.
                States::Real if tails[hidden.clone()].iter().all(is_normal) => {
                    let log_volume = |tail: &Tail| 0.5 * (TAU / tail.precision).ln();
                    entropy += tails[hidden].iter().map(log_volume).sum::<f64>();
                }
                States::Draws(_) | States::Real => return Err(no_entropy(machine)),
            }
        }
        bounds.push(entropy - free_energy);
    }
    Ok(bounds)
}

fn is_normal(tail: &Tail) -> bool {
    tail.precision.is_finite() && !tail.is_nonnegative
}

fn no_entropy(machine: &dyn Boltzmann) -> Error {
    let expected = "hidden units of two values, of one of several states, or Gaussian ones";
    Error::invalid("mean field", expected, machine.rest().units().to_string())
}
