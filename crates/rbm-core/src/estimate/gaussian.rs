//! Log Z where some of the units that are coupled with each other are Gaussian: these are integrated, all others counted.
//!
//! With the others given, −E(g) = a·g − ½·gᵀΛg up to a constant, where Λ has the precisions on its diagonal and −W beside it, and
//! a is what the units g hear and their biases. Its integral is (2π)^{n/2}·|Λ|^{−1/2}·exp(½·aᵀΛ⁻¹a).

use std::f64::consts::TAU;

use candle_core::{Device, Tensor};
use nalgebra::DMatrix;

use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::stats::LogSumExp;
use crate::units::{States, Support, enumerate};
use crate::{Error, Result};

/// The most configurations of the other units; each takes a product with Λ⁻¹.
const MOST: u64 = 1 << 20;
/// Configurations in one block.
const BLOCK: u64 = 1 << 10;

/// log Z in nats; `None` where no unit of the rest is Gaussian, or the others are not few and discrete.
///
/// # Errors
///
/// When a parameter cannot be read, and for couplings that make no distribution.
pub(super) fn log_partition(machine: &dyn Boltzmann) -> Result<Option<f64>> {
    let (rest, support, tails) =
        (machine.rest(), machine.rest().support(), machine.rest().tails()?);
    let (reals, others): (Vec<_>, Vec<_>) =
        support.into_iter().partition(|of| of.states == States::Real);
    let columns: Vec<u32> =
        reals.iter().flat_map(|of| of.columns.clone()).map(|j| j as u32).collect();
    let is_normal =
        |j: &u32| tails[*j as usize].precision.is_finite() && !tails[*j as usize].is_nonnegative;
    let last_count = match machine.last().units().width() {
        0 => Some(1),
        _ => enumerate::count(machine.last()),
    };
    let count = count_of(&others).zip(last_count).and_then(|(a, b)| a.checked_mul(b));
    let (Some(count), Some(last_count)) = (count.filter(|count| *count <= MOST), last_count) else {
        return Ok(None);
    };
    if columns.is_empty() || !columns.iter().all(is_normal) {
        return Ok(None);
    }
    let (width, dtype, device) = (rest.units().width(), machine.dtype(), machine.device());
    let places = Tensor::new(&columns[..], device)?;
    let host =
        |x: &Tensor| -> Result<Vec<f64>> { Ok(to_host(&x.detach())?.flatten_all()?.to_vec1()?) };
    let of_reals = |x: &Tensor| -> Result<Vec<f64>> { host(&x.index_select(&places, 1)?) };
    // What a one in each of them says to the others.
    let n = columns.len();
    let mut ones = vec![0f32; n * width];
    columns.iter().enumerate().for_each(|(row, column)| ones[row * width + *column as usize] = 1.0);
    let ones =
        Tensor::from_vec(ones, (n, width), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?;
    let mut precisions = match machine.inputs_within(&ones)? {
        Some(inputs) => -DMatrix::from_row_slice(n, n, &of_reals(&inputs)?),
        None => DMatrix::zeros(n, n),
    };
    for (k, column) in columns.iter().enumerate() {
        precisions[(k, k)] = tails[*column as usize].precision;
    }
    let Some(factor) = precisions.cholesky() else {
        let found = machine.rest().units().to_string();
        return Err(Error::invalid("log Z", "couplings that make a distribution", found));
    };
    let bias = of_reals(&rest.bias()?.unsqueeze(0)?)?;
    let lasts = match machine.last().units().width() {
        0 => Tensor::zeros((1, 0), dtype, device)?,
        _ => Tensor::cat(&enumerate::blocks(machine.last())?.collect::<Result<Vec<_>>>()?, 0)?,
    };
    let mut sum = LogSumExp::default();
    for start in (0..count).step_by(BLOCK as usize) {
        let numbers = start..count.min(start + BLOCK);
        let rows = configurations(&others, width, numbers.clone().map(|i| i / last_count))?;
        let rows = rows.to_dtype(dtype)?.to_device(device)?;
        let picked = numbers.clone().map(|i| (i % last_count) as u32);
        let last = lasts.index_select(&Tensor::from_iter(picked, device)?, 0)?;
        let energies = host(&machine.energy(&rows, &last)?)?;
        let mut inputs = machine.rest_inputs(&last)?;
        if let Some(within) = machine.inputs_within(&rows)? {
            inputs = (inputs + within)?;
        }
        let mut inputs =
            DMatrix::from_row_slice(energies.len(), n, &of_reals(&inputs)?).transpose();
        inputs.column_iter_mut().for_each(|mut column| {
            column.iter_mut().zip(&bias).for_each(|(input, bias)| *input += bias);
        });
        let means = factor.solve(&inputs);
        for (k, energy) in energies.into_iter().enumerate() {
            sum.push(0.5 * inputs.column(k).dot(&means.column(k)) - energy);
        }
    }
    let log_root: f64 = factor.l_dirty().diagonal().iter().map(|root| root.ln()).sum();
    Ok(Some(sum.value() + 0.5 * n as f64 * TAU.ln() - log_root))
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

/// The configurations with these numbers of the units of `support`, the first unit's state changing quickest; 0 in all other columns of
/// `width`. A row each, `f32` on the CPU.
fn configurations(
    support: &[Support],
    width: usize,
    numbers: impl Iterator<Item = u64>,
) -> Result<Tensor> {
    let mut values = Vec::new();
    for (row, mut number) in numbers.enumerate() {
        values.resize((row + 1) * width, 0f32);
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
                    .for_each(|column| row[column] = values[state_of(values.len())].0 as f32),
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
