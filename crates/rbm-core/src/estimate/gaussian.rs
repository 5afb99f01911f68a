//! Machines some of whose coupled units are Gaussian: these are integrated, all others counted.
//!
//! With the others given, −E(g) = a·g − ½·gᵀΛg up to a constant, where Λ has the precisions on its diagonal and −W beside it, and
//! a is the inputs of the units g and their biases. So g is normal about Λ⁻¹a with the covariances Λ⁻¹, and the integral is
//! (2π)^{n/2}·|Λ|^{−1/2}·exp(½·aᵀΛ⁻¹a).

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use candle_core::{DType, Device, Tensor};
use nalgebra::{Cholesky, DMatrix, Dyn};

use super::monitor::diverged;
use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::stats::LogSumExp;
use crate::units::{States, Support, enumerate};
use crate::{Error, Phase, Result, Rng};

/// The most configurations of the other units, and the most multiplications for all of them: each takes a product with Λ⁻¹.
const MAX_CONFIGURATIONS: u64 = 1 << 20;
const MOST_WORK: u64 = 1 << 33;
/// Configurations in one block.
const BLOCK: u64 = 1 << 10;
/// The most points that stand for a distribution, and the most numbers in them.
const MOST_POINTS: u64 = 1 << 16;
const MOST_NUMBERS: u64 = 1 << 24;

/// log Z in nats; `None` where no unit of the rest is Gaussian, or the others are not few and discrete.
///
/// # Errors
///
/// When a parameter cannot be read, and for couplings that make no distribution.
pub(super) fn log_partition(machine: &dyn Boltzmann) -> Result<Option<f64>> {
    let Some(integral) = Integral::of(machine)? else { return Ok(None) };
    let (n, mut sum) = (integral.columns.len(), LogSumExp::default());
    integral.each(machine, |block| {
        block.log_weights.iter().for_each(|weight| sum.push(*weight));
        Ok(())
    })?;
    let log_root: f64 = integral.factor.l_dirty().diagonal().iter().map(|root| root.ln()).sum();
    Ok(Some(sum.value() + 0.5 * n as f64 * TAU.ln() - log_root))
}

/// Whether units are Gaussian and the others few and discrete, so that [`log_partition`](super::log_partition) and [`exact_samples`] integrate.
///
/// # Errors
///
/// As [`exact_samples`].
pub fn is_integrable(machine: &dyn Boltzmann) -> Result<bool> {
    Ok(Integral::of(machine)?.is_some())
}

/// Weighted configurations with the distribution's own means and products of every two columns, so that averages of statistics over them
/// are exact: for each state of the other units, points on both sides of the mean along every column of a root of Λ⁻¹. `None` for machines with
/// units that are summed out, without Gaussian units, and where these would be more than 2¹⁶ points.
///
/// # Errors
///
/// When a parameter cannot be read, and for couplings that make no distribution.
pub fn sigma_points(machine: &dyn Boltzmann) -> Result<Option<Phase>> {
    let Some(integral) = Integral::of(machine)? else { return Ok(None) };
    let n = integral.columns.len();
    let points = integral.count.saturating_mul(2 * n as u64);
    let width = machine.rest().units().width() as u64;
    let is_few = points <= MOST_POINTS && points.saturating_mul(width) <= MOST_NUMBERS;
    if machine.last().units().width() > 0 || !is_few {
        return Ok(None);
    }
    // Λ = R·Rᵀ, so that the columns of R⁻ᵀ are a root of Λ⁻¹.
    let root = integral.factor.l().transpose().solve_upper_triangular(&DMatrix::identity(n, n));
    let Some(root) = root else { return Err(no_distribution(machine)) };
    let (far, log_share) = ((n as f64).sqrt(), (2.0 * n as f64).ln());
    let (mut points, mut log_weights) = (Vec::new(), Vec::new());
    integral.each(machine, |block| {
        for (k, row) in block.rows.to_vec2::<f64>()?.into_iter().enumerate() {
            for (direction, sign) in (0..n).flat_map(|j| [(j, 1.0), (j, -1.0)]) {
                let at = points.len();
                points.extend(&row);
                for (i, column) in integral.columns.iter().enumerate() {
                    points[at + *column as usize] =
                        block.means[(i, k)] + sign * far * root[(i, direction)];
                }
                log_weights.push(block.log_weights[k] - log_share);
            }
        }
        Ok(())
    })?;
    let here = |x: Vec<f64>, shape: &[usize]| -> Result<Tensor> {
        let host = Tensor::from_vec(x, shape, &Device::Cpu)?;
        Ok(host.to_dtype(machine.dtype())?.to_device(machine.device())?)
    };
    let count = log_weights.len();
    let visible = here(points, &[count, machine.rest().units().width()])?;
    let hidden_inputs = machine.last_inputs(&visible)?.detach();
    // Shifted, so that single precision holds them.
    let highest = log_weights.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    log_weights.iter_mut().for_each(|weight| *weight -= highest);
    Ok(Some(Phase { visible, hidden_inputs, log_weights: Some(here(log_weights, &[count])?) }))
}

/// `count` independent samples of the rest, `(count, rest)`, without any chain; `None` where no unit of the rest is Gaussian, or the others are not
/// few and discrete.
///
/// # Errors
///
/// When a parameter cannot be read, and for couplings that make no distribution.
pub fn exact_samples(
    machine: &dyn Boltzmann,
    count: usize,
    rng: &mut Rng,
) -> Result<Option<Tensor>> {
    let Some(integral) = Integral::of(machine)? else { return Ok(None) };
    integral.samples(machine, count, rng).map(Some)
}

/// A sample of the rest for each row of `x` `(rows, rest)`, given its units where `free` `(rest,)` is false, without any chain; `None` where
/// [`exact_samples`] has none.
///
/// # Errors
///
/// As [`exact_samples`], and for another number of columns.
pub fn exact_samples_given(
    machine: &dyn Boltzmann,
    x: &Tensor,
    free: &[bool],
    rng: &mut Rng,
) -> Result<Option<Tensor>> {
    let (rows, width) = x.dims2()?;
    if free.len() != width || machine.rest().units().width() != width {
        let expected = format!("{} columns", machine.rest().units().width());
        return Err(Error::invalid("units that are held", expected, width.to_string()));
    }
    let Some(mut integral) = Integral::given(machine, free)? else { return Ok(None) };
    let mut samples = Vec::with_capacity(rows);
    let all = to_host(x)?.to_vec2::<f64>()?;
    // Neighbours that are alike have one distribution.
    let is_alike = |a: &Vec<f64>, b: &Vec<f64>| {
        a.iter().zip(b).zip(free).all(|((a, b), is_free)| *is_free || a == b)
    };
    for same in all.chunk_by(is_alike) {
        let held = same[0].iter().zip(free).map(|(x, is_free)| if *is_free { 0.0 } else { *x });
        integral.held = held.collect();
        samples.push(integral.samples(machine, same.len(), rng)?);
    }
    Ok(Some(Tensor::cat(&samples, 0)?))
}

/// What is integrated and what is counted.
struct Integral {
    /// The Gaussian columns of the rest.
    columns: Vec<u32>,
    /// The other units of the rest.
    others: Vec<Support>,
    /// Of Λ.
    factor: Cholesky<f64, Dyn>,
    /// Of the Gaussian columns.
    bias: Vec<f64>,
    /// Configurations of all other units, and of those of the last colour.
    count: u64,
    last_count: u64,
    /// The rest where it is held, 0 elsewhere.
    held: Vec<f64>,
}

/// Some of the configurations.
struct IntegralBlock<'a> {
    /// The rest, 0 where it is Gaussian, `f64` on the CPU.
    rows: &'a Tensor,
    /// Λ⁻¹a of each, a column each.
    means: &'a DMatrix<f64>,
    /// log of how much each counts, but for what all have in common.
    log_weights: &'a [f64],
}

impl Integral {
    fn of(machine: &dyn Boltzmann) -> Result<Option<Self>> {
        Self::given(machine, &vec![true; machine.rest().units().width()])
    }

    /// Of the columns of the rest that are `free`, given others, which are 0 until they are held elsewhere. Where nothing that is free is Gaussian,
    /// there is nothing to integrate, and counting is left.
    fn given(machine: &dyn Boltzmann, free: &[bool]) -> Result<Option<Self>> {
        let (rest, tails) = (machine.rest(), machine.rest().tails()?);
        let is_free = |j: usize| free[j];
        let (reals, others): (Vec<_>, Vec<_>) =
            rest.support().into_iter().partition(|of| of.states == States::Real);
        let has_reals = !reals.is_empty();
        let columns = reals.iter().flat_map(|of| of.columns.clone()).filter(|j| is_free(*j));
        let columns: Vec<u32> = columns.map(|j| j as u32).collect();
        let others: Vec<Support> = others.into_iter().flat_map(|of| free_of(of, is_free)).collect();
        let held = vec![0.0; rest.units().width()];
        let is_normal = |j: &u32| {
            let tail = tails[*j as usize];
            tail.precision.is_finite() && !tail.is_nonnegative
        };
        let last_count = match machine.last().units().width() {
            0 => Some(1),
            _ => enumerate::count(machine.last()),
        };
        let Some((of_others, last_count)) = count_of(&others).zip(last_count) else {
            return Ok(None);
        };
        let count = of_others.saturating_mul(last_count);
        let work = count.saturating_mul((columns.len() as u64).pow(2));
        let is_few = count <= MAX_CONFIGURATIONS && work <= MOST_WORK;
        if !has_reals || !columns.iter().all(is_normal) || !is_few {
            return Ok(None);
        }
        let (n, width) = (columns.len(), rest.units().width());
        if n == 0 {
            let Some(factor) = DMatrix::zeros(0, 0).cholesky() else { return Ok(None) };
            let bias = Vec::new();
            return Ok(Some(Self { columns, others, factor, bias, count, last_count, held }));
        }
        // What a one in each of them says to the others.
        let mut ones = vec![0f32; n * width];
        let places = columns.iter().enumerate();
        places.for_each(|(row, column)| ones[row * width + *column as usize] = 1.0);
        let ones = Tensor::from_vec(ones, (n, width), &Device::Cpu)?;
        let ones = ones.to_dtype(machine.dtype())?.to_device(machine.device())?;
        let mut precisions = match machine.inputs_within(&ones)? {
            Some(inputs) => -DMatrix::from_row_slice(n, n, &picked(&inputs, &columns)?),
            None => DMatrix::zeros(n, n),
        };
        for (k, column) in columns.iter().enumerate() {
            precisions[(k, k)] = tails[*column as usize].precision;
        }
        let Some(factor) = precisions.cholesky() else {
            return Err(no_distribution(machine));
        };
        let bias = picked(&rest.bias()?.unsqueeze(0)?, &columns)?;
        Ok(Some(Self { columns, others, factor, bias, count, last_count, held }))
    }

    /// So many samples of the rest.
    fn samples(&self, machine: &dyn Boltzmann, count: usize, rng: &mut Rng) -> Result<Tensor> {
        let (n, width) = (self.columns.len(), machine.rest().units().width());
        let root = self.factor.l().transpose();
        let mut log_weights = Vec::new();
        self.each(machine, |block| {
            log_weights.extend(block.log_weights);
            Ok(())
        })?;
        let highest = log_weights.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        let sums = log_weights.iter().scan(0.0, |sum, weight| {
            *sum += (weight - highest).exp();
            Some(*sum)
        });
        let sums: Vec<f64> = sums.collect();
        let total = sums.last().copied().unwrap_or(0.0);
        let chance = crate::ops::uniform(count, DType::F64, &Device::Cpu, rng)?.to_vec1::<f64>()?;
        // The samples of each configuration.
        let mut of_each: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (sample, chance) in chance.into_iter().enumerate() {
            let at = sums.partition_point(|sum| *sum < chance * total).min(sums.len() - 1);
            of_each.entry(at).or_default().push(sample);
        }
        let noise = crate::ops::normal((count, n), DType::F64, &Device::Cpu, rng)?;
        let noise = DMatrix::from_vec(n, count, noise.flatten_all()?.to_vec1::<f64>()?);
        let Some(off) = root.solve_upper_triangular(&noise) else {
            return Err(no_distribution(machine));
        };
        let (mut samples, mut first) = (vec![0.0; count * width], 0);
        self.each(machine, |block| {
            let last = first + block.log_weights.len();
            for (at, own) in of_each.range(first..last) {
                let row = block.rows.get(at - first)?.to_vec1::<f64>()?;
                for sample in own {
                    let out = &mut samples[sample * width..][..width];
                    out.copy_from_slice(&row);
                    for (i, column) in self.columns.iter().enumerate() {
                        out[*column as usize] = block.means[(i, at - first)] + off[(i, *sample)];
                    }
                }
            }
            first = last;
            Ok(())
        })?;
        let samples = Tensor::from_vec(samples, (count, width), &Device::Cpu)?;
        Ok(samples.to_dtype(machine.dtype())?.to_device(machine.device())?)
    }

    /// Goes through all configurations of the other units.
    fn each(
        &self,
        machine: &dyn Boltzmann,
        mut see: impl FnMut(IntegralBlock) -> Result<()>,
    ) -> Result<()> {
        let (dtype, device) = (machine.dtype(), machine.device());
        let lasts = match machine.last().units().width() {
            0 => Tensor::zeros((1, 0), dtype, device)?,
            _ => Tensor::cat(&enumerate::blocks(machine.last())?.collect::<Result<Vec<_>>>()?, 0)?,
        };
        for start in (0..self.count).step_by(BLOCK as usize) {
            let numbers = start..self.count.min(start + BLOCK);
            let of_rest = numbers.clone().map(|i| i / self.last_count);
            let host_rows = configurations(&self.others, &self.held, of_rest)?;
            let rows = host_rows.to_dtype(dtype)?.to_device(device)?;
            let of_last = numbers.map(|i| (i % self.last_count) as u32);
            let last = lasts.index_select(&Tensor::from_iter(of_last, device)?, 0)?;
            let energies = to_host(&machine.energy(&rows, &last)?.detach())?.to_vec1::<f64>()?;
            let mut inputs = machine.rest_inputs(&last)?;
            if let Some(within) = machine.inputs_within(&rows)? {
                inputs = (inputs + within)?;
            }
            let inputs = picked(&inputs, &self.columns)?;
            let mut inputs = DMatrix::from_vec(self.columns.len(), energies.len(), inputs);
            inputs.column_iter_mut().for_each(|mut column| {
                column.iter_mut().zip(&self.bias).for_each(|(input, bias)| *input += bias);
            });
            let means = self.factor.solve(&inputs);
            let log_weights: Vec<f64> = energies
                .into_iter()
                .enumerate()
                .map(|(k, energy)| 0.5 * inputs.column(k).dot(&means.column(k)) - energy)
                .collect();
            let rows = &host_rows;
            see(IntegralBlock { rows, means: &means, log_weights: &log_weights })?;
        }
        Ok(())
    }
}

fn no_distribution(machine: &dyn Boltzmann) -> Error {
    diverged(format!("couplings of {} units make no distribution any more", machine.rest().units()))
}

/// These columns of `x` `(rows, width)`, row after row.
fn picked(x: &Tensor, columns: &[u32]) -> Result<Vec<f64>> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let places = Tensor::new(columns, x.device())?;
    let of = x.detach().index_select(&places, 1)?;
    Ok(to_host(&of)?.flatten_all()?.to_vec1()?)
}

/// How many configurations discrete units have, if they can be counted in 64 bits.
fn count_of(support: &[Support]) -> Option<u64> {
    support.iter().try_fold(1u64, |count, of| {
        let states = match &of.states {
            States::Values(values) => values.len(),
            States::OneOf(states) => *states,
            States::Draws(_) | States::Real => return None,
        };
        count.checked_mul((states as u64).checked_pow(of.count() as u32)?)
    })
}

/// Those units of a group all of whose columns are free, as groups of one unit each where not all are.
fn free_of(of: Support, is_free: impl Fn(usize) -> bool) -> Vec<Support> {
    if of.columns.clone().all(&is_free) {
        return vec![of];
    }
    let Support { columns, states } = of;
    let width = match &states {
        States::OneOf(states) => (*states).max(1),
        States::Draws(_) => columns.len().max(1),
        States::Values(_) | States::Real => 1,
    };
    let units = columns.step_by(width).map(|first| first..first + width);
    let free = units.filter(|unit| unit.clone().all(&is_free));
    free.map(|columns| Support { columns, states: states.clone() }).collect()
}

/// The configurations with these numbers of the units of `support`, the first unit's state changing quickest; all other columns are as in
/// `held`. A row each, `f64` on the CPU.
fn configurations(
    support: &[Support],
    held: &[f64],
    numbers: impl Iterator<Item = u64>,
) -> Result<Tensor> {
    let width = held.len();
    let mut values = Vec::new();
    for (row, mut number) in numbers.enumerate() {
        values.extend_from_slice(held);
        let row = &mut values[row * width..];
        let mut state_of = |states: usize| {
            let state = number % states as u64;
            number /= states as u64;
            state as usize
        };
        for Support { columns, states } in support {
            match states {
                States::Values(values) => columns
                    .clone()
                    .for_each(|column| row[column] = values[state_of(values.len())].0),
                States::OneOf(states) => columns
                    .clone()
                    .step_by((*states).max(1))
                    .for_each(|first| row[first + state_of(*states)] = 1.0),
                States::Draws(_) | States::Real => {}
            }
        }
    }
    let rows = values.len() / width.max(1);
    Ok(Tensor::from_vec(values, (rows, width), &Device::Cpu)?)
}
