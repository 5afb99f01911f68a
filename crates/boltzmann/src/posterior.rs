//! What a machine that has learned says of the data, and of its hidden units given the data: exactly where these are independent or few, else by
//! mean field.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use rbm_core::model::{Boltzmann, Coupling};
use rbm_core::ops::device::to_host;
use rbm_core::{Error, Layer, Result, Rows, rows};
use serde::Serialize;

use crate::learning::Learner;
use crate::mean_field::{MeanField, MeanPosterior};

/// The most configurations of coupled hidden units that are counted for each case.
const MOST_COUNTED: u64 = 1 << 14;
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
    /// E\[h | v\], `(cases, hidden)`; nothing without hidden units.
    pub means: Option<Tensor>,
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
        let coupled = match self.shape().draws_hidden() {
            true => Some(Coupled::of(self)?),
            false => None,
        };
        let mut free_energies = Vec::with_capacity(cases.count());
        let (mut means, mut most, mut unsettled) = (Vec::new(), 0, 0);
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
            means.push(of_block.to_dtype(DType::F32)?);
        }
        let summation = match is_bound {
            true => Summation::MeanField { sweeps: most, unsettled },
            false => Summation::Exact,
        };
        let means = if means.is_empty() { None } else { Some(Tensor::cat(&means, 0)?) };
        Ok(Posterior { free_energies, means, summation })
    }
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
