//! Pseudo-likelihood: how well each unit is predicted by all the others (Besag 1975).

use candle_core::Tensor;

use crate::model::{Boltzmann, pairwise_cgf};
use crate::ops::device::to_host;
use crate::units::{Discrete, States, Support};
use crate::{Error, Rbm, Result, Rng, ops};

/// The mean over cases of Σᵢ log p(vᵢ | the other v), in nats, exact; discrete visible units, or units of any kind where the machine has
/// no hidden ones.
///
/// The rest of the machine is observed, and the units of its last colour are summed out. Units of the rest may be coupled in pairs. Whether
/// all this is so [`has_pseudo_likelihood`] says.
///
/// A unit is a column, a Potts site, or one of a multinomial layer's draws, as if their order were known (then the layer is
/// its draws' Potts sites with shared weights). `cases` `(n, visible)` are configurations; beside hidden units grey values and means are
/// read as the nearest one. It takes as much time as one half-step of Gibbs sampling for every column and every value that the column
/// can have but one; with draws, for every pair of categories.
///
/// # Errors
///
/// For continuous visible units, cliques or draws that are coupled with each other beside hidden units, without cases, and when these do not
/// have the machine's width.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use rbm_core::estimate::pseudo_likelihood;
/// use rbm_core::{Rbm, Units};
///
/// let rbm = Rbm::new(&Units::bernoulli(4), &Units::bernoulli(7), DType::F32, &Device::Cpu)?;
/// let cases = Tensor::new(&[[0f32, 1.0, 1.0, 0.0]], &Device::Cpu)?;
/// assert!((pseudo_likelihood(&rbm, &cases)? + 4.0 * 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), rbm_core::Error>(())
/// ```
pub fn pseudo_likelihood(machine: &dyn Boltzmann, cases: &Tensor) -> Result<f64> {
    let all = pseudo_likelihoods(machine, cases)?;
    Ok(all.iter().sum::<f64>() / all.len() as f64)
}

/// Σᵢ log p(vᵢ | the other v) of each of `cases` `(n, visible)`, in nats, `(n,)`, for a machine without hidden units. Differentiable.
///
/// # Errors
///
/// For a machine with units that are not observed, and cases of another width.
pub fn visible_pseudo_likelihoods(machine: &dyn Boltzmann, cases: &Tensor) -> Result<Tensor> {
    machine.rest().log_probability(&inputs_from_others(machine, cases)?, cases)
}

/// The input of each unit of `rest` `(rows, rest)` from all others, where there are no hidden ones.
pub(crate) fn inputs_from_others(machine: &dyn Boltzmann, rest: &Tensor) -> Result<Tensor> {
    if machine.last().units().width() > 0 {
        let found = machine.last().units().to_string();
        return Err(Error::invalid("the pseudo-likelihood", "no hidden units", found));
    }
    match machine.inputs_within(rest)? {
        Some(inputs) => Ok(inputs),
        None => Ok(rest.zeros_like()?),
    }
}

/// What [`pseudo_likelihood`] is the mean of: Σᵢ log p(vᵢ | the other v) of each of `cases` `(n, visible)`, in nats; `n` numbers.
///
/// # Errors
///
/// As [`pseudo_likelihood`].
pub fn pseudo_likelihoods(machine: &dyn Boltzmann, cases: &Tensor) -> Result<Vec<f64>> {
    check_width(machine, cases)?;
    if machine.last().units().width() == 0 {
        super::check_cases(cases)?;
        let cases = cases.to_dtype(machine.dtype())?;
        return Ok(to_host(&visible_pseudo_likelihoods(machine, &cases)?.detach())?.to_vec1()?);
    }
    let (groups, given) = (discrete_of(machine)?.support(), CasesInputs::new(machine, cases)?);
    let mut totals = vec![0.0; cases.dim(0)?];
    for Support { columns, states } in &groups {
        let step = if let States::OneOf(states) = states { *states } else { 1 };
        for column in columns.clone().step_by(step.max(1)) {
            let same = vec![column as u32; totals.len()];
            let log_p = match states {
                States::Values(values) => {
                    to_host(&given.value(&same, values)?)?.to_vec1::<f64>()?
                }
                States::OneOf(states) => {
                    to_host(&given.one_of(&same, *states)?)?.to_vec1::<f64>()?
                }
                // Every draw of this category has the same probability.
                States::Draws(_) => {
                    for (row, log_p) in given.draws_of(column, columns.start, columns.len())? {
                        totals[row as usize] += log_p;
                    }
                    continue;
                }
                States::Real => return Err(without_support(machine)),
            };
            totals.iter_mut().zip(log_p).for_each(|(total, log_p)| *total += log_p);
        }
    }
    Ok(totals)
}

/// Whether [`pseudo_likelihood`] knows it: without hidden units of all kinds but draws; beside them of discrete units that are coupled in pairs,
/// and of draws that are not coupled with each other.
pub fn has_pseudo_likelihood(machine: &dyn Boltzmann) -> bool {
    let rest = machine.rest();
    let is_visible = machine.last().units().width() == 0;
    let is_known = |support: &Support| match support.states {
        States::Values(_) | States::OneOf(_) => true,
        States::Draws(_) => !is_visible && !machine.has_interaction(),
        States::Real => is_visible,
    };
    let is_discrete = rest.discrete().is_some();
    let are_pairs = !machine.couples_pairs().contains(&false);
    rest.support().iter().all(is_known) && (is_visible || is_discrete && are_pairs)
}

/// Errors unless the cases have a column for each unit of the rest.
fn check_width(machine: &dyn Boltzmann, cases: &Tensor) -> Result<()> {
    let (found, width) = (cases.dim(1)?, machine.rest().units().width());
    if found == width {
        return Ok(());
    }
    let expected = format!("{width} columns");
    Err(Error::invalid("cases for the pseudo-likelihood", expected, found.to_string()))
}

/// The most sums of a hidden unit's input and a category's weight that are looked at for one block of cases.
const MOST_SUMS: usize = 1 << 29;

/// How far apart, among `rows` cases, are those that [`stochastic_pseudo_likelihood`] looks at: 1 for every case; more where a draw among
/// very many categories would have to be compared with all of them too often.
pub fn pseudo_likelihood_stride(machine: &dyn Boltzmann, rows: usize) -> usize {
    let draws = |units: &Support| matches!(units.states, States::Draws(_));
    let groups = machine.rest().support();
    let most = groups.iter().filter(|sites| draws(sites)).map(|sites| sites.columns.len()).max();
    let hidden = machine.last().units().width();
    most.unwrap_or(0).saturating_mul(hidden).saturating_mul(rows).div_ceil(MOST_SUMS).max(1)
}

/// An unbiased estimate of [`pseudo_likelihood`] that looks at one randomly chosen unit of each case, as scikit-learn's
/// `score_samples` does; of every so many-th case where [`pseudo_likelihood_stride`] says so. Without hidden units it is exact.
///
/// # Errors
///
/// As [`pseudo_likelihood`].
pub fn stochastic_pseudo_likelihood(
    machine: &dyn Boltzmann,
    cases: &Tensor,
    rng: &mut Rng,
) -> Result<f64> {
    use rand::RngExt;
    check_width(machine, cases)?;
    if machine.last().units().width() == 0 {
        return pseudo_likelihood(machine, cases);
    }
    let stride = pseudo_likelihood_stride(machine, cases.dim(0)?);
    let cases = &match stride {
        1 => cases.clone(),
        stride => {
            let some = (0..cases.dim(0)? as u32).step_by(stride).collect::<Vec<_>>();
            cases.index_select(&Tensor::new(some, cases.device())?, 0)?
        }
    };
    let (groups, given) = (discrete_of(machine)?.support(), CasesInputs::new(machine, cases)?);
    if let [Support { columns, states: States::Draws(0) }] = &groups[..] {
        return given.one_of_own_draws(columns.len(), rng);
    }
    let (rows, count) = (cases.dim(0)?, groups.iter().map(Support::count).sum::<usize>());
    let units: Vec<u32> = (0..rows).map(|_| rng.random_range(0..count as u32)).collect();
    let (mut total, mut next) = (0.0, 0);
    for sites in &groups {
        let Support { columns, states } = sites;
        let first = next;
        next += sites.count() as u32;
        let is_own = |&row: &u32| (first..next).contains(&units[row as usize]);
        let own: Vec<u32> = (0..rows as u32).filter(is_own).collect();
        let within = |&row: &u32| units[row as usize] - first;
        if own.is_empty() {
            continue;
        }
        let (start, given) = (columns.start as u32, given.rows(&own)?);
        let places = own.iter().map(within);
        total += sum(&match states {
            States::Values(values) => {
                given.value(&places.map(|i| start + i).collect::<Vec<_>>(), values)?
            }
            States::OneOf(states) => {
                let step = *states as u32;
                given.one_of(&places.map(|i| start + i * step).collect::<Vec<_>>(), *states)?
            }
            States::Draws(_) => {
                let drawn =
                    given.drawn(&places.collect::<Vec<_>>(), columns.start, columns.len())?;
                given.moved(&drawn, columns.start, columns.len())?
            }
            States::Real => return Err(without_support(machine)),
        })?;
    }
    Ok(count as f64 * total / rows as f64)
}

fn discrete_of(machine: &dyn Boltzmann) -> Result<&dyn Discrete> {
    machine.rest().discrete().ok_or_else(|| {
        let expected =
            "visible units that are discrete: Bernoulli, spin, binomial, Potts, multinomial";
        let found = machine.rest().units().to_string();
        Error::invalid("the pseudo-likelihood", expected, found)
    })
}

/// Of units of one's own that are discrete and do not say what each of them can be.
fn without_support(machine: &dyn Boltzmann) -> Error {
    let expected = "units that say what they can be (Layer::support)";
    Error::invalid("the pseudo-likelihood", expected, machine.rest().units().to_string())
}

fn sum(x: &Tensor) -> Result<f64> {
    Ok(to_host(x)?.sum_all()?.to_scalar::<f64>()?)
}

/// What is the same for every unit: the cases, what they say to each other and to the hidden units, and what these make of it.
struct CasesInputs<'a> {
    machine: &'a dyn Boltzmann,
    visible: Tensor,
    /// What the units of the cases say to each other, where they are coupled: no unit to itself, and none within its site.
    within: Option<Tensor>,
    inputs: Tensor,
    weights: Tensor,
    bias: Tensor,
    cgf: Tensor,
}

impl<'a> CasesInputs<'a> {
    fn new(machine: &'a dyn Boltzmann, cases: &Tensor) -> Result<Self> {
        super::check_cases(cases)?;
        if machine.couples_pairs().contains(&false) {
            let expected = "couplings of pairs of units";
            return Err(Error::invalid("the pseudo-likelihood", expected, "cliques"));
        }
        let visible = discrete_of(machine)?.nearest(&cases.to_dtype(machine.dtype())?)?;
        let weights = match Rbm::of(machine) {
            Some(rbm) => rbm.weights().as_detached_tensor(),
            None => {
                let each = Tensor::eye(visible.dim(1)?, machine.dtype(), machine.device())?;
                machine.last_inputs(&each)?.detach()
            }
        };
        let inputs = match machine.rest().own_draws(&visible)? {
            None => visible.matmul(&weights)?,
            Some(_) => machine.last_inputs(&visible)?.detach(),
        };
        let within = machine.inputs_within(&visible)?.map(|inputs| inputs.detach());
        let cgf = machine.last().cgf(&inputs)?.detach();
        Ok(Self { machine, bias: machine.rest().bias()?, visible, within, inputs, weights, cgf })
    }

    /// The inputs of the units with these numbers, one of each case, from all that is not hidden: their biases and what the others say.
    fn bias_of(&self, columns: &Tensor) -> Result<Tensor> {
        let bias = self.bias.index_select(columns, 0)?;
        match &self.within {
            Some(within) => Ok((bias + within.gather(&columns.unsqueeze(1)?, 1)?.squeeze(1)?)?),
            None => Ok(bias),
        }
    }

    /// Some of the cases.
    fn rows(&self, rows: &[u32]) -> Result<Self> {
        let pick = |x: &Tensor, index: &Tensor| -> Result<Tensor> {
            // All of them, in order.
            let is_whole = rows.len() == x.dim(0)?;
            Ok(if is_whole { x.clone() } else { x.index_select(index, 0)? })
        };
        let index = Tensor::new(rows, self.visible.device())?;
        let [visible, inputs, cgf] =
            [&self.visible, &self.inputs, &self.cgf].map(|x| pick(x, &index));
        let within = self.within.as_ref().map(|x| pick(x, &index)).transpose()?;
        let (weights, bias) = (self.weights.clone(), self.bias.clone());
        Ok(Self {
            machine: self.machine,
            visible: visible?,
            within,
            inputs: inputs?,
            weights,
            bias,
            cgf: cgf?,
        })
    }

    /// What the hidden units make of other inputs than these cases'.
    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        Ok(self.machine.last().cgf(inputs)?.detach())
    }

    /// log p(v_u | rest) of every case, where `columns[n]` is the unit u looked at in case n. Moving it by δ changes
    /// −F(v) by δ·b_u + cgf(vW + δ·W_u) − cgf(vW), and by how many ways there are.
    fn value(&self, columns: &[u32], values: &[(f64, f64)]) -> Result<Tensor> {
        let columns = Tensor::new(columns, self.visible.device())?;
        let value = self.visible.gather(&columns.unsqueeze(1)?, 1)?;
        let (rows, bias) = (self.weights.index_select(&columns, 0)?, self.bias_of(&columns)?);
        let gain = |change: &Tensor| -> Result<Tensor> {
            let moved = (&self.inputs + rows.broadcast_mul(change)?)?;
            let bias = (&bias * change.squeeze(1)?)?;
            Ok(((bias + self.cgf(&moved)?)? - &self.cgf)?)
        };
        if let [(low, a), (high, b)] = values
            && a == b
        {
            // Only one other value: log p = −softplus of what moving there gains.
            return Ok(ops::softplus(&gain(&value.affine(-2.0, low + high)?)?)?.neg()?);
        }
        let mut log_weights = Vec::with_capacity(values.len());
        let mut own = value.zeros_like()?.squeeze(1)?;
        for (other, log_ways) in values {
            let log_weight = (gain(&value.affine(-1.0, *other)?)? + *log_ways)?;
            let is_own = value.squeeze(1)?.eq(*other)?.to_dtype(own.dtype())?;
            own = (own + (&log_weight * is_own)?)?;
            log_weights.push(log_weight);
        }
        Ok((own - Tensor::stack(&log_weights, 0)?.log_sum_exp(0)?)?)
    }

    /// The same of sites of `states` columns, where `columns[n]` is the first of the site looked at in case n.
    fn one_of(&self, columns: &[u32], states: usize) -> Result<Tensor> {
        let device = self.visible.device();
        let column = |state: usize| -> Result<Tensor> {
            let columns: Vec<_> = columns.iter().map(|column| column + state as u32).collect();
            Ok(Tensor::new(columns, device)?)
        };
        let mut rest = self.inputs.clone();
        let mut present = Vec::with_capacity(states);
        for state in 0..states {
            let columns = column(state)?;
            let one = self.visible.gather(&columns.unsqueeze(1)?, 1)?;
            rest = (rest - self.weights.index_select(&columns, 0)?.broadcast_mul(&one)?)?;
            present.push(one.squeeze(1)?);
        }
        let mut log_weights = Vec::with_capacity(states);
        for state in 0..states {
            log_weights.push(self.with(&rest, &column(state)?)?);
        }
        let (log_weights, present) = (Tensor::stack(&log_weights, 0)?, Tensor::stack(&present, 0)?);
        Ok(((&log_weights * present)?.sum(0)? - log_weights.log_sum_exp(0)?)?)
    }

    /// b_u + cgf(inputs + W_u), where `columns[n]` is u of case n.
    fn with(&self, inputs: &Tensor, columns: &Tensor) -> Result<Tensor> {
        let moved = (inputs + self.weights.index_select(columns, 0)?)?;
        Ok((self.cgf(&moved)? + self.bias_of(columns)?)?)
    }

    /// log p(the category of one draw | the other draws) of every case, where `drawn[n]` is the column it has in case n.
    fn moved(&self, drawn: &[u32], start: usize, categories: usize) -> Result<Tensor> {
        if self.within.is_some() {
            let expected = "draws that are not coupled with each other";
            let found = self.machine.rest().units().to_string();
            return Err(Error::invalid("the pseudo-likelihood", expected, found));
        }
        let device = self.visible.device();
        let index = Tensor::new(drawn, device)?;
        let rest = (&self.inputs - self.weights.index_select(&index, 0)?)?;
        // Every category at every case, in one pass over sums that are never written out.
        let weights = self.weights.narrow(0, start, categories)?;
        let moved = pairwise_cgf(self.machine.last(), &rest, &weights)?.detach();
        let log_weights = moved.broadcast_add(&self.bias.narrow(0, start, categories)?)?;
        let own: Vec<u32> = drawn.iter().map(|column| column - start as u32).collect();
        let own = log_weights.gather(&Tensor::new(own, device)?.unsqueeze(1)?, 1)?;
        Ok((own.squeeze(1)? - log_weights.log_sum_exp(1)?)?)
    }

    /// The mean over cases of log p of one of its draws, chosen at random, times how many it has.
    fn one_of_own_draws(&self, categories: usize, rng: &mut Rng) -> Result<f64> {
        use rand::RngExt;
        let sums = to_host(&self.visible.sum(1)?)?.to_vec1::<f64>()?;
        let draws = sums.iter().map(|sum| match *sum as u32 {
            0 => 0,
            sum => rng.random_range(0..sum),
        });
        let drawn = self.drawn(&draws.collect::<Vec<_>>(), 0, categories)?;
        let log_p = to_host(&self.moved(&drawn, 0, categories)?)?.to_vec1::<f64>()?;
        let total: f64 = log_p.iter().zip(&sums).map(|(log_p, sum)| log_p * sum).sum();
        Ok(total / sums.len().max(1) as f64)
    }

    /// Σ over a case's draws of the category in `column`, of every case that has any, by its row.
    fn draws_of(&self, column: usize, start: usize, categories: usize) -> Result<Vec<(u32, f64)>> {
        let counts =
            to_host(&self.visible.narrow(1, column, 1)?.flatten_all()?)?.to_vec1::<f64>()?;
        let rows: Vec<u32> =
            (0..counts.len() as u32).filter(|&row| counts[row as usize] > 0.0).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let given = self.rows(&rows)?;
        let log_p = given.moved(&vec![column as u32; rows.len()], start, categories)?;
        let log_p = to_host(&log_p)?.to_vec1::<f64>()?;
        let of_case = |(row, log_p): (u32, f64)| (row, counts[row as usize] * log_p);
        Ok(rows.into_iter().zip(log_p).map(of_case).collect())
    }

    /// The column of draw number `draws[n]` of case n, the draws of a category counted one after the other.
    fn drawn(&self, draws: &[u32], start: usize, categories: usize) -> Result<Vec<u32>> {
        let counts = to_host(&self.visible.narrow(1, start, categories)?)?.to_vec2::<f64>()?;
        let column = |(counts, &draw): (Vec<f64>, &u32)| {
            let mut below = 0.0;
            let at = counts.iter().position(|count| {
                below += count;
                f64::from(draw) < below
            });
            (start + at.unwrap_or(categories - 1)) as u32
        };
        Ok(counts.into_iter().zip(draws).map(column).collect())
    }
}
