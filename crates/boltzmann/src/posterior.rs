//! What a machine that has learned says of the data, and of its hidden units given the data: exactly where these are independent or few, else by
//! mean field; and the mean log-likelihood, counted, or from both sides of log Z.

use candle_core::{DType, Device, Tensor};
use rbm_core::estimate::{AisEstimates, AisOptions, BidirectionalAis, log_partition};
use rbm_core::learning::positive;
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::ops::device::to_host;
use rbm_core::sampling::AnnealingPath;
use rbm_core::units::Concat;
use rbm_core::{Error, Layer, Result, Rows, rows};
use serde::Serialize;

use crate::activity::{bottom_up, summed_out};
use crate::learning::Learner;

/// The most configurations of hidden units that are counted for each case: where these are all that is hidden, and where others are summed
/// out for each of them.
const MOST_COUNTED: u64 = 1 << 14;
const MOST_COUNTED_DEEP: u64 = 1 << 10;
/// Of mean field: the most iterations, the mean change at which they end, and the change of a unit that is too much then.
const SWEEPS: usize = 1000;
const SETTLED: f64 = 1e-7;
const MOVED: f64 = 1e-3;

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

/// A mean log-likelihood, nats a case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LogLikelihood {
    /// The value, or its estimate.
    pub value: f64,
    /// The standard error of log Z, and so of the value for these cases; 0 where it was counted.
    pub error: f64,
    /// How far both sides of log Z are apart; 0 where it was counted.
    pub gap: f64,
    /// Whether it was counted.
    pub is_exact: bool,
}

impl LogLikelihood {
    fn counted(value: f64) -> Self {
        Self { value, error: 0.0, gap: 0.0, is_exact: true }
    }
}

impl Learner {
    /// The free energies of `cases` `(n, visible)`, or of these and their labels `(n, observed)`, and the means of the hidden units given them.
    /// Labels that are not given are hidden units too, but their means are not among these.
    ///
    /// # Errors
    ///
    /// For cases of another width.
    pub fn posterior(&self, cases: &dyn Rows) -> Result<Posterior> {
        self.posterior_watched(cases, |_| {})
    }

    /// The same, telling `watch` how many cases are done: with mean field thousands of them take a minute.
    ///
    /// # Errors
    ///
    /// As [`Learner::posterior`].
    pub fn posterior_watched(
        &self,
        cases: &dyn Rows,
        mut watch: impl FnMut(usize),
    ) -> Result<Posterior> {
        let (machine, width) = (self.machine(), self.shape().visible.width());
        let is_labelled = cases.width() == self.shape().observed();
        if cases.width() != width && !is_labelled {
            let expected = format!("{width} values each, as the machine has visible units");
            return Err(Error::invalid("cases", expected, cases.width().to_string()));
        }
        // Units of the rest that are neither data nor labels that are given.
        let has_unknown = machine.rest().units().width() > cases.width();
        let counted = HiddenConfigurations::of(self, is_labelled)?;
        let (mut free_energies, mut parts) = (Vec::with_capacity(cases.count()), Vec::new());
        let (mut most, mut unsettled) = (0, 0);
        for block in rows::blocks(cases) {
            let block = block?;
            let (rest, last) = if !has_unknown {
                let (energies, last) = summed_out(machine, &block)?;
                free_energies.extend(energies);
                (block, last)
            } else if let Some(counted) = &counted {
                let (log_sums, rest, last) = counted.given(machine, &block)?;
                free_energies.extend(log_sums.iter().map(|log_sum| -log_sum));
                (rest, last)
            } else {
                let (phase, bounds, steps) =
                    positive::best_mean_field(machine, &block, SWEEPS, SETTLED)?;
                free_energies.extend(bounds.iter().map(|bound| -bound));
                most = most.max(steps);
                unsettled += self.unsettled(&phase.visible, &phase.hidden_inputs, cases.width())?;
                let last = machine.last().mean(&phase.hidden_inputs)?.detach();
                (phase.visible, last)
            };
            parts.push((bottom_up(machine, self.shape(), &rest, &last)?, rest));
            watch(free_energies.len());
        }
        let summation = match has_unknown && counted.is_none() {
            true => Summation::MeanField { sweeps: most, unsettled },
            false => Summation::Exact,
        };
        let (means, rests): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let has_hidden = !self.shape().hidden.is_empty() && !means.is_empty();
        let means = if has_hidden { Some(Tensor::cat(&means, 0)?) } else { None };
        let rest = if has_unknown { Some(Tensor::cat(&rests, 0)?) } else { None };
        Ok(Posterior { free_energies, means, rest, summation })
    }

    /// How probable each class is given the data, `(n, classes)`: p(v, y) over its sum, where each is exact or its lower bound by mean
    /// field with the label held.
    ///
    /// # Errors
    ///
    /// For cases of another width than the visible units, and for a machine without labels.
    pub fn label_probabilities(&self, cases: &dyn Rows) -> Result<Tensor> {
        let Some(classes) = self.shape().labels else {
            let expected = "a machine with labels (train it with labels = true)";
            return Err(Error::invalid("recognition by labels", expected, "none"));
        };
        let width = self.shape().visible.width();
        if cases.width() != width {
            let found = cases.width().to_string();
            return Err(Error::invalid("cases", format!("{width} values each"), found));
        }
        let mut parts = Vec::new();
        for block in rows::blocks(cases) {
            let block = block?;
            let mut columns = Vec::with_capacity(classes);
            for class in 0..classes {
                let code: Vec<f32> =
                    (0..classes).map(|k| f32::from(u8::from(k == class))).collect();
                let code = Tensor::new(code, block.device())?.unsqueeze(0)?;
                let code = code.broadcast_as((block.dim(0)?, classes))?;
                let labelled = Tensor::cat(&[&block, &code.to_dtype(block.dtype())?], 1)?;
                columns.push(Tensor::new(self.posterior(&labelled)?.free_energies, &Device::Cpu)?);
            }
            let scores = Tensor::stack(&columns, 1)?.neg()?;
            let shares = scores.broadcast_sub(&scores.log_sum_exp(1)?.unsqueeze(1)?)?.exp()?;
            parts.push(shares.to_dtype(block.dtype())?);
        }
        Ok(Tensor::cat(&parts, 0)?)
    }

    /// Of how many rows a mean would still move by another iteration.
    fn unsettled(&self, rest: &Tensor, last_inputs: &Tensor, observed: usize) -> Result<usize> {
        let moved = positive::mean_field_step(self.machine(), observed, rest, last_inputs)?;
        let hidden = rest.narrow(1, observed, rest.dim(1)? - observed)?;
        let change = (moved - hidden)?.abs()?.max(1)?;
        Ok(host(&change)?.into_iter().filter(|change| *change > MOVED).count())
    }
}

impl Learner {
    /// The mean log p(v) of `cases`, counted where the machine is small, else from both sides; of hidden units that are coupled with each
    /// other by counting alone.
    ///
    /// # Errors
    ///
    /// Where it can neither be counted nor estimated.
    pub fn log_likelihood(&self, cases: &dyn Rows) -> Result<LogLikelihood> {
        if self.machine().rest().units().width() > cases.width() {
            return self.counted_log_likelihood(cases);
        }
        if let Ok(value) = rbm_core::estimate::log_likelihood(self.machine(), cases) {
            return Ok(LogLikelihood::counted(value));
        }
        let mut sum = 0.0;
        for block in rows::blocks(cases) {
            let energies = to_host(&self.machine().free_energy(&block?)?.detach())?;
            sum += energies.sum_all()?.to_scalar::<f64>()?;
        }
        let mean = -sum / cases.count() as f64;
        let path = AnnealingPath::from_cases(self.machine(), cases)?;
        let options = AisOptions::brief(self.learning().seed);
        let mut sides = BidirectionalAis::new(self.machine(), path, options)?;
        while !sides.is_done() {
            sides.step()?;
        }
        let AisEstimates {
            forward: Some(forward),
            reverse: Some(reverse),
            bridge: Some(bridge),
            ..
        } = sides.found()
        else {
            return Err(Error::invalid("log Z", "an estimate from both sides", "one side"));
        };
        Ok(LogLikelihood {
            value: mean - bridge.value,
            error: bridge.error,
            gap: (forward.value - reverse.value).abs(),
            is_exact: false,
        })
    }

    /// log p(v) = log Σ_h exp(−E(v, h)) − log Z, both sums counted.
    fn counted_log_likelihood(&self, cases: &dyn Rows) -> Result<LogLikelihood> {
        let log_z = log_partition(self.machine())?;
        let width = cases.width();
        let none = || Error::invalid("hidden units", "ones that can be counted", "others");
        let hidden = hidden_of_rest(self.machine(), width)?.ok_or_else(none)?;
        let discrete = hidden.discrete().ok_or_else(none)?;
        let all = discrete.configuration(0..discrete.configurations().unwrap_or(0))?;
        let mut sum = 0.0;
        for row in 0..cases.count() as u32 {
            let visible = cases.rows(&[row])?.broadcast_as((all.dim(0)?, width))?;
            let rest = Tensor::cat(&[&visible, &all], 1)?;
            let energies =
                self.machine().free_energy(&rest)?.detach().neg()?.to_dtype(DType::F64)?;
            sum += energies.log_sum_exp(0)?.to_scalar::<f64>()? - log_z;
        }
        Ok(LogLikelihood::counted(sum / cases.count() as f64))
    }
}

/// All configurations of the hidden units of the rest, and what each says by itself.
struct HiddenConfigurations {
    /// `(count, hidden)`.
    values: Tensor,
    /// −E of each beside no data, `(count,)`.
    own: Tensor,
    /// What each says to the last colour, `(count, last)`.
    to_last: Tensor,
}

impl HiddenConfigurations {
    /// `None` where there are none, or too many.
    fn of(learner: &Learner, is_labelled: bool) -> Result<Option<Self>> {
        let (machine, shape) = (learner.machine(), learner.shape());
        let most = match machine.last().units().width() {
            0 => MOST_COUNTED,
            _ => MOST_COUNTED_DEEP,
        };
        let observed = if is_labelled { shape.observed() } else { shape.visible.width() };
        let Some(layer) = hidden_of_rest(machine, observed)? else { return Ok(None) };
        let Some(discrete) = layer.discrete() else { return Ok(None) };
        let Some(count) = discrete.configurations().filter(|count| *count <= most) else {
            return Ok(None);
        };
        let values = discrete.configuration(0..count)?;
        let none = Tensor::zeros((count as usize, observed), DType::F32, machine.device())?;
        let beside = Tensor::cat(&[&none, &values], 1)?;
        let own = own_of(machine, &beside)?;
        let to_last = machine.last_inputs(&beside)?.detach();
        Ok(Some(Self { values, own, to_last }))
    }

    /// log Σ exp(−E) of each of `cases` `(rows, visible)` over all hidden units, and the means of the rest and of the last colour.
    fn given(&self, machine: &Machine, cases: &Tensor) -> Result<(Vec<f64>, Tensor, Tensor)> {
        let (count, hidden) = self.values.dims2()?;
        let visible = cases.dim(1)?;
        let none = Tensor::zeros((cases.dim(0)?, hidden), DType::F32, machine.device())?;
        let beside = Tensor::cat(&[cases, &none], 1)?;
        let own = host(&own_of(machine, &beside)?)?;
        let to_last = machine.last_inputs(&beside)?.detach();
        let to_hidden = match machine.inputs_within(&beside)? {
            Some(inputs) => inputs.detach().narrow(1, visible, hidden)?.contiguous()?,
            None => none,
        };
        let (mut log_sums, mut rest, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for (row, own) in own.into_iter().enumerate() {
            let to_hidden = to_hidden.narrow(0, row, 1)?;
            let inputs = self.to_last.broadcast_add(&to_last.narrow(0, row, 1)?)?;
            let scores = (self.values.matmul(&to_hidden.t()?)?.squeeze(1)? + &self.own)?;
            let scores = to_host(&(scores + machine.last().cgf(&inputs)?.detach())?)?;
            let log_sum = scores.log_sum_exp(0)?.to_scalar::<f64>()?;
            let shares = (scores - log_sum)?.exp()?.to_dtype(DType::F32)?.reshape((1, count))?;
            log_sums.push(own + log_sum);
            rest.push(shares.matmul(&self.values)?);
            last.push(shares.matmul(&machine.last().mean(&inputs)?.detach())?);
        }
        let rest = Tensor::cat(&[cases, &Tensor::cat(&rest, 0)?], 1)?;
        Ok((log_sums, rest, Tensor::cat(&last, 0)?))
    }
}

/// The layers of the rest that are not among its first `observed` columns, side by side; nothing where there are none.
fn hidden_of_rest(machine: &Machine, observed: usize) -> Result<Option<Concat>> {
    let layers = machine.layers().into_iter().take(machine.layers_of_rest());
    let hidden = layers.filter(|(_, columns)| columns.start >= observed);
    let hidden = hidden.map(|(layer, _)| layer.try_clone()).collect::<Result<Vec<_>>>()?;
    if hidden.is_empty() {
        return Ok(None);
    }
    Ok(Some(Concat::new(hidden)?))
}

/// −E of the rest `(rows, rest)` by itself, `(rows,)`.
fn own_of(machine: &Machine, rest: &Tensor) -> Result<Tensor> {
    let own = machine.rest().energy(rest)?.neg()?;
    Ok(match machine.interaction(rest)? {
        Some(within) => (own + within)?.detach(),
        None => own.detach(),
    })
}

fn host(x: &Tensor) -> Result<Vec<f64>> {
    Ok(to_host(&x.detach())?.flatten_all()?.to_vec1()?)
}
