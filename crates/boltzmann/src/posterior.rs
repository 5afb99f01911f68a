//! What a machine that has learned says of the data, and of its hidden units given the data: exactly where these are independent or few, else by
//! mean field.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use rbm_core::learning::positive;
use rbm_core::model::{Boltzmann, Coupling};
use rbm_core::ops::device::to_host;
use rbm_core::{Error, Layer, Result, Rows, rows};
use serde::Serialize;

use crate::learning::Learner;
use crate::mean_field::{MeanField, MeanPosterior};

/// The most configurations of coupled hidden units that are counted for each case.
const MOST_COUNTED: u64 = 1 << 14;
/// The most configurations of a hidden layer of a deep machine that are counted.
const MOST_COUNTED_DEEP: u64 = 1 << 10;
/// Of mean field in a deep machine: the most iterations, the mean change at which they end, and the change of a unit that is too much then.
const SWEEPS: usize = 500;
const SETTLED: f64 = 1e-7;
const MOVED: f64 = 1e-3;
/// Cases whose counted configurations are in memory together.
const TOGETHER: usize = 64;

/// How hidden units were summed out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Summation {
    /// Exactly.
    Exact,
    /// By mean field, which gives a lower bound on log p(v).
    MeanField {
        /// The most sweeps that a case has taken.
        sweeps: usize,
        /// Cases whose means still moved after these.
        unsettled: usize,
    },
}

/// Cases, as a machine sees them.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// F(v) of each case, nats: −log p(v) but for log Z; by mean field at least that.
    pub free_energies: Vec<f64>,
    /// E\[h | v\], `(cases, hidden)`, layers side by side from the bottom up; nothing without hidden units.
    pub means: Option<Tensor>,
    /// The cases, and beside them the means of the hidden units that belong to the machine's rest, `(cases, rest)`; nothing where none do.
    pub rest: Option<Tensor>,
    /// Where both come from.
    pub summation: Summation,
}

impl Learner {
    /// The free energies of `cases` `(n, visible)`, and the means of the hidden units given them.
    ///
    /// # Errors
    ///
    /// For cases of another width.
    pub fn posterior(&self, cases: &dyn Rows) -> Result<Posterior> {
        let width = self.shape().visible.width();
        if cases.width() != width {
            let expected = format!("{width} values each, as the machine has visible units");
            return Err(Error::invalid("cases", expected, cases.width().to_string()));
        }
        if !self.shape().above.is_empty() {
            return self.deep_posterior(cases);
        }
        let coupled = match self.shape().draws_hidden() {
            true => Some(Coupled::of(self)?),
            false => None,
        };
        let mut free_energies = Vec::with_capacity(cases.count());
        let (mut means, mut rests, mut most, mut unsettled) = (Vec::new(), Vec::new(), 0, 0);
        let mut is_bound = false;
        for block in rows::blocks(cases) {
            let block = block?;
            let Some(coupled) = &coupled else {
                let inputs = self.machine().last_inputs(&block)?.detach();
                let energies = self.machine().free_energy_given(&block, &inputs)?;
                free_energies.extend(host(&energies)?);
                if self.shape().hidden.is_some() {
                    means.push(self.machine().last().mean(&inputs)?.detach());
                }
                continue;
            };
            let own = host(&coupled.own(self, &block)?)?;
            let inputs = coupled.inputs(self, &block)?;
            let (log_sums, of_block) = match &coupled.all {
                Some(all) => all.given(&inputs)?,
                None => {
                    is_bound = true;
                    let found = coupled.by_mean_field(&inputs)?;
                    most = found.iter().map(|it| it.sweeps).fold(most, usize::max);
                    unsettled += found.iter().filter(|it| !it.is_settled).count();
                    stacked(found)?
                }
            };
            free_energies.extend(own.iter().zip(log_sums).map(|(own, log_sum)| own - log_sum));
            let of_block = of_block.to_dtype(DType::F32)?;
            rests.push(Tensor::cat(&[&block, &of_block], 1)?);
            means.push(of_block);
        }
        let summation = match is_bound {
            true => Summation::MeanField { sweeps: most, unsettled },
            false => Summation::Exact,
        };
        let all = |parts: Vec<Tensor>| match parts.is_empty() {
            true => Ok(None),
            false => Tensor::cat(&parts, 0).map(Some),
        };
        Ok(Posterior { free_energies, means: all(means)?, rest: all(rests)?, summation })
    }
}

impl Learner {
    /// The same of a deep machine. Given its hidden layers of even numbers the others are summed out. Those are counted where there is one
    /// such layer of few configurations, else they have means.
    fn deep_posterior(&self, cases: &dyn Rows) -> Result<Posterior> {
        let machine = self.machine();
        let all = match &self.shape().above[..] {
            [_] | [_, _] => counted(machine.layers()[1].0)?,
            _ => None,
        };
        let mut free_energies = Vec::with_capacity(cases.count());
        let (mut means, mut rests) = (Vec::new(), Vec::new());
        let (mut most, mut unsettled) = (0, 0);
        for block in rows::blocks(cases) {
            let block = block?;
            let (rest, last) = match &all {
                Some(all) => {
                    let (mut rest, mut last) = (Vec::new(), Vec::new());
                    for row in 0..block.dim(0)? {
                        let of_case = counted_posterior(machine, &block.narrow(0, row, 1)?, all)?;
                        free_energies.push(of_case.0);
                        rest.push(of_case.1);
                        last.push(of_case.2);
                    }
                    (Tensor::cat(&rest, 0)?, Tensor::cat(&last, 0)?)
                }
                None => {
                    let (phase, sweeps) = positive::mean_field(machine, &block, SWEEPS, SETTLED)?;
                    let last = machine.last().mean(&phase.hidden_inputs)?.detach();
                    let moved = machine.rest().mean(&machine.rest_inputs(&last)?)?.detach();
                    let hidden = self.shape().visible.width()..phase.visible.dim(1)?;
                    let of = |x: &Tensor| x.narrow(1, hidden.start, hidden.len());
                    let change = (of(&moved)? - of(&phase.visible)?)?.abs()?.max(1)?;
                    unsettled += host(&change)?.iter().filter(|change| **change > MOVED).count();
                    most = most.max(sweeps);
                    let bounds = positive::lower_bounds(machine, &phase, block.dim(1)?)?;
                    free_energies.extend(bounds.iter().map(|bound| -bound));
                    (phase.visible, last)
                }
            };
            means.push(self.bottom_up(&rest, &last)?);
            rests.push(rest);
        }
        let summation = match all {
            Some(_) => Summation::Exact,
            None => Summation::MeanField { sweeps: most, unsettled },
        };
        let (means, rest) = (Some(Tensor::cat(&means, 0)?), Some(Tensor::cat(&rests, 0)?));
        Ok(Posterior { free_energies, means, rest, summation })
    }

    /// The hidden layers side by side from the bottom up, of the rest `(rows, rest)` and the last colour `(rows, last)` of a deep machine.
    fn bottom_up(&self, rest: &Tensor, last: &Tensor) -> Result<Tensor> {
        let layers = self.machine().layers();
        let of_rest = layers.len().div_ceil(2);
        let parts = self.shape().places().into_iter().skip(1).map(|place| {
            let from = if place < of_rest { rest } else { last };
            from.narrow(1, layers[place].1.start, layers[place].1.len())
        });
        Ok(Tensor::cat(&parts.collect::<candle_core::Result<Vec<_>>>()?, 1)?)
    }
}

/// All configurations of a layer `(count, width)`, where there are few.
fn counted(layer: &dyn Layer) -> Result<Option<Tensor>> {
    let Some(discrete) = layer.discrete() else { return Ok(None) };
    match discrete.configurations().filter(|count| *count <= MOST_COUNTED_DEEP) {
        Some(count) => Ok(Some(discrete.configuration(0..count)?)),
        None => Ok(None),
    }
}

/// F of one case `(1, visible)`, and the means of the rest and of the last colour given it, a row each. `all` `(count, hidden)` is what the
/// hidden units of the rest can be.
fn counted_posterior(
    machine: &dyn Boltzmann,
    case: &Tensor,
    all: &Tensor,
) -> Result<(f64, Tensor, Tensor)> {
    let visible = case.broadcast_as((all.dim(0)?, case.dim(1)?))?;
    let rest = Tensor::cat(&[&visible, all], 1)?;
    let inputs = machine.last_inputs(&rest)?.detach();
    let scores = machine.free_energy_given(&rest, &inputs)?.detach().neg()?;
    let log_sum = scores.to_dtype(DType::F64)?.log_sum_exp(0)?.to_scalar::<f64>()?;
    let shares = (scores - log_sum)?.exp()?.unsqueeze(0)?;
    let last = machine.last().mean(&inputs)?.detach();
    Ok((-log_sum, shares.matmul(&rest)?, shares.matmul(&last)?))
}

/// Hidden units that are coupled with each other.
struct Coupled {
    field: MeanField,
    all: Option<Configurations>,
}

/// All configurations of them, and −E of each by itself.
struct Configurations {
    /// `(count, hidden)`
    values: Tensor,
    /// `(count,)`
    own: Tensor,
}

impl Coupled {
    fn of(learner: &Learner) -> Result<Self> {
        let hidden = hidden(learner)?;
        let discrete = hidden.discrete().ok_or_else(|| {
            Error::invalid("coupled hidden units", "discrete ones", hidden.units().to_string())
        })?;
        let weights = learner.machine().couplings().iter().find(|it| it.layers() == [1, 1]);
        let weights = weights.map(|coupling| coupling.weights().as_detached_tensor());
        let weights = weights.ok_or_else(|| {
            Error::invalid("coupled hidden units", "couplings among them", "none")
        })?;
        let couplings = to_host(&weights)?.flatten_all()?.to_vec1()?;
        let bias = host(&hidden.bias()?)?;
        let all = match discrete.configurations().filter(|count| *count <= MOST_COUNTED) {
            Some(count) => {
                let values = discrete.configuration(0..count)?;
                let said = values.matmul(&weights)?;
                let among = ((&values * said)?.sum(1)? * 0.5)?;
                let own = (among - hidden.energy(&values)?.detach())?;
                Some(Configurations { values: to_host(&values)?, own: to_host(&own)? })
            }
            None => None,
        };
        Ok(Self { field: MeanField::new(bias, couplings, discrete.support())?, all })
    }

    /// E of the visible units by themselves, `(rows,)`.
    fn own(&self, learner: &Learner, cases: &Tensor) -> Result<Tensor> {
        let visible = learner.machine().layers()[0].0;
        let mut energy = visible.energy(cases)?;
        for coupling in learner.machine().couplings().iter().filter(|it| it.layers() == [0, 0]) {
            let said = coupling.inputs(0, cases, cases.dim(1)?)?;
            energy = (energy - ((cases * said)?.sum(1)? * 0.5)?)?;
        }
        Ok(energy)
    }

    /// What the visible units say to the hidden ones, `(rows, hidden)` in double precision.
    fn inputs(&self, learner: &Learner, cases: &Tensor) -> Result<Tensor> {
        let width = hidden(learner)?.units().width();
        let mut inputs = Tensor::zeros((cases.dim(0)?, width), DType::F32, &Device::Cpu)?;
        for coupling in learner.machine().couplings() {
            if let Coupling::Dense { layers: [0, 1], .. } = coupling {
                inputs = (inputs + coupling.inputs(0, cases, width)?.detach())?;
            }
        }
        to_host(&inputs)
    }

    fn by_mean_field(&self, inputs: &Tensor) -> Result<Vec<MeanPosterior>> {
        let inputs = inputs.to_vec2::<f64>()?;
        inputs.par_iter().map(|row| self.field.given(row)).collect()
    }
}

impl Configurations {
    /// log Σ_h exp(−E) and E[h] of each row of `inputs` `(rows, hidden)`.
    fn given(&self, inputs: &Tensor) -> Result<(Vec<f64>, Tensor)> {
        let (mut log_sums, mut means) = (Vec::new(), Vec::new());
        let rows = inputs.dim(0)?;
        for first in (0..rows).step_by(TOGETHER) {
            let some = inputs.narrow(0, first, TOGETHER.min(rows - first))?;
            let scores = some.matmul(&self.values.t()?)?.broadcast_add(&self.own)?;
            let log_sum = scores.log_sum_exp(1)?;
            means.push(scores.broadcast_sub(&log_sum.unsqueeze(1)?)?.exp()?.matmul(&self.values)?);
            log_sums.extend(log_sum.to_vec1::<f64>()?);
        }
        Ok((log_sums, Tensor::cat(&means, 0)?))
    }
}

fn stacked(found: Vec<MeanPosterior>) -> Result<(Vec<f64>, Tensor)> {
    let (rows, width) = (found.len(), found.first().map_or(0, |it| it.means.len()));
    let bounds = found.iter().map(|it| it.bound).collect();
    let means: Vec<f64> = found.into_iter().flat_map(|it| it.means).collect();
    Ok((bounds, Tensor::from_vec(means, (rows, width), &Device::Cpu)?))
}

fn hidden(learner: &Learner) -> Result<&dyn Layer> {
    let layers = learner.machine().layers();
    let hidden = layers.get(1).map(|(layer, _)| *layer);
    hidden.ok_or_else(|| Error::invalid("hidden units", "some", "none"))
}

fn host(x: &Tensor) -> Result<Vec<f64>> {
    Ok(to_host(&x.detach())?.flatten_all()?.to_vec1()?)
}
