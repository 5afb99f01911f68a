//! Configurations by number: unit 0 is the lowest digit.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::Result;

/// How many configurations `units` units of `states` states have, if 64 bits can count them.
pub(super) fn power(states: usize, units: usize) -> Option<u64> {
    (states as u64).checked_pow(u32::try_from(units).ok()?)
}

/// The digits of each number to the base `states`, the lowest first, `units` of them.
pub(super) fn digits(
    numbers: Range<u64>,
    states: usize,
    units: usize,
) -> impl Iterator<Item = usize> {
    let states = states as u64;
    numbers.flat_map(move |number| {
        let mut rest = number;
        (0..units).map(move |_| {
            let digit = rest % states;
            rest /= states;
            digit as usize
        })
    })
}

/// A matrix `(rows, width)` of the type and on the device of `like`.
pub(super) fn matrix(
    values: impl Iterator<Item = f32>,
    (rows, width): (usize, usize),
    like: &Tensor,
) -> Result<Tensor> {
    let values: Vec<f32> = values.collect();
    let matrix = Tensor::from_vec(values, (rows, width), &Device::Cpu)?;
    Ok(matrix.to_dtype(like.dtype())?.to_device(like.device())?)
}

/// How many rows a range of numbers makes.
pub(super) fn rows(numbers: &Range<u64>) -> usize {
    numbers.end.saturating_sub(numbers.start) as usize
}
