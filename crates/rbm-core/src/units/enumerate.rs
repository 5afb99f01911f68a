//! Every configuration of a layer, a block at a time.
//!
//! Configurations by number: unit 0 is the lowest digit.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::{Discrete, Layer};
use crate::{Error, Result};

/// The most configurations that an exact answer goes through: 25 units of two states.
pub const MAX_CONFIGURATIONS: u64 = 1 << 25;

/// Configurations in one block.
const BLOCK: u64 = 1 << 12;

/// The number of configurations of `layer`, if there are at most [`MAX_CONFIGURATIONS`].
pub fn count(layer: &dyn Layer) -> Option<u64> {
    countable(layer).map(|(_, count)| count)
}

/// All configurations of `layer` in blocks `(rows, width)`.
///
/// # Errors
///
/// When there are more than [`MAX_CONFIGURATIONS`], or infinitely many.
pub fn blocks(layer: &dyn Layer) -> Result<impl Iterator<Item = Result<Tensor>>> {
    let Some((layer, count)) = countable(layer) else {
        let found = layer.units();
        return Err(Error::invalid(
            "enumeration",
            "a discrete layer of at most 25 binary units",
            found.to_string(),
        ));
    };
    let starts = (0..count).step_by(BLOCK as usize);
    Ok(starts.map(move |start| layer.configuration(start..count.min(start + BLOCK))))
}

/// A layer whose configurations are at most [`MAX_CONFIGURATIONS`], and how many they are.
fn countable(layer: &dyn Layer) -> Option<(&dyn Discrete, u64)> {
    let layer = layer.discrete()?;
    Some((layer, layer.configurations().filter(|&count| count <= MAX_CONFIGURATIONS)?))
}

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
