//! What a machine that has learned says of the data, and of its hidden units given the data: exactly where these are independent or few, else by
//! mean field.

use candle_core::{DType, Tensor};
use rbm_core::learning::positive;
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::ops::device::to_host;
use rbm_core::{Error, Result, Rows, rows};
use serde::Serialize;

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

impl Learner {
    /// The free energies of `cases` `(n, visible)`, and the means of the hidden units given them.
    ///
    /// # Errors
    ///
    /// For cases of another width.
    pub fn posterior(&self, cases: &dyn Rows) -> Result<Posterior> {
        let (machine, width) = (self.machine(), self.shape().visible.width());
        if cases.width() != width {
            let expected = format!("{width} values each, as the machine has visible units");
            return Err(Error::invalid("cases", expected, cases.width().to_string()));
        }
        let counted = HiddenConfigurations::of(self)?;
        let (mut free_energies, mut parts) = (Vec::with_capacity(cases.count()), Vec::new());
        let (mut most, mut unsettled) = (0, 0);
        for block in rows::blocks(cases) {
            let block = block?;
            let (rest, last) = if !self.shape().draws_hidden() {
                let inputs = machine.last_inputs(&block)?.detach();
                free_energies.extend(host(&machine.free_energy_given(&block, &inputs)?)?);
                let last = machine.last().mean(&inputs)?.detach();
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
                unsettled += self.unsettled(&phase.visible, &phase.hidden_inputs)?;
                let last = machine.last().mean(&phase.hidden_inputs)?.detach();
                (phase.visible, last)
            };
            parts.push((self.bottom_up(&rest, &last)?, rest));
        }
        let summation = match self.shape().draws_hidden() && counted.is_none() {
            true => Summation::MeanField { sweeps: most, unsettled },
            false => Summation::Exact,
        };
        let (means, rests): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let has_hidden = !self.shape().hidden.is_empty() && !means.is_empty();
        let means = if has_hidden { Some(Tensor::cat(&means, 0)?) } else { None };
        let rest = if self.shape().draws_hidden() { Some(Tensor::cat(&rests, 0)?) } else { None };
        Ok(Posterior { free_energies, means, rest, summation })
    }

    /// Of how many rows a mean would still move by another iteration.
    fn unsettled(&self, rest: &Tensor, last_inputs: &Tensor) -> Result<usize> {
        let (machine, visible) = (self.machine(), self.shape().visible.width());
        let moved = positive::told(machine, rest, last_inputs)?;
        let hidden = |x: &Tensor| x.narrow(1, visible, x.dim(1)? - visible);
        let change = (hidden(&moved)? - hidden(rest)?)?.abs()?.max(1)?;
        Ok(host(&change)?.into_iter().filter(|change| *change > MOVED).count())
    }

    /// The hidden layers side by side from the bottom up, of the rest `(rows, rest)` and the last colour `(rows, last)`.
    fn bottom_up(&self, rest: &Tensor, last: &Tensor) -> Result<Tensor> {
        let (layers, of_rest) = (self.machine().layers(), self.machine().layers_of_rest());
        let parts = self.shape().places().into_iter().skip(1).map(|place| {
            let from = if place < of_rest { rest } else { last };
            from.narrow(1, layers[place].1.start, layers[place].1.len())
        });
        let parts = parts.collect::<candle_core::Result<Vec<_>>>()?;
        if parts.is_empty() {
            return Ok(last.clone());
        }
        Ok(Tensor::cat(&parts, 1)?)
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
    fn of(learner: &Learner) -> Result<Option<Self>> {
        let (machine, shape) = (learner.machine(), learner.shape());
        let most = match machine.last().units().width() {
            0 => MOST_COUNTED,
            _ => MOST_COUNTED_DEEP,
        };
        let (layers, visible) = (machine.layers(), shape.visible.width());
        let is_one = machine.layers_of_rest() == 2;
        let Some(discrete) = layers.get(1).filter(|_| is_one).and_then(|it| it.0.discrete()) else {
            return Ok(None);
        };
        let Some(count) = discrete.configurations().filter(|count| *count <= most) else {
            return Ok(None);
        };
        let values = discrete.configuration(0..count)?;
        let none = Tensor::zeros((count as usize, visible), DType::F32, machine.device())?;
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
            let told = to_hidden.narrow(0, row, 1)?;
            let inputs = self.to_last.broadcast_add(&to_last.narrow(0, row, 1)?)?;
            let scores = (self.values.matmul(&told.t()?)?.squeeze(1)? + &self.own)?;
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
