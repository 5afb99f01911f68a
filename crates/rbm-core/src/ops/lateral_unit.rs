//! The units of a sweep through units that are coupled with each other: what each can be, and how one of its states is drawn.

use std::ops::Range;

use super::random::normal_number;
use super::real::Real;
use super::truncated_normal::rectified_number;
use crate::rng::{Draw, LANES};

/// A chain in each lane.
pub(super) type Lanes<T> = [T; LANES];

/// One unit, and what it can be.
#[derive(Debug, Clone)]
pub(crate) struct LateralUnit<'a> {
    /// Its columns.
    pub columns: Range<usize>,
    /// What it can be.
    pub states: LateralStates<'a>,
}

/// What a unit can be while all others stay as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LateralStates<'a> {
    /// A one in one of its columns.
    OneOf,
    /// One of these values, each with the logarithm of how many ways there are to it.
    Values(&'a [(f64, f64)]),
    /// Any number, p(x | f) ∝ exp(f·x − γ·x²/2); none below 0 where it is never negative. At the inverse temperature β γ counts
    /// β + (1 − β)·`share` times.
    Real { precision: f64, share: f64, is_nonnegative: bool },
}

/// A unit, its numbers of the type of the sweep.
pub(super) struct UnitColumns<T> {
    pub first: usize,
    pub width: usize,
    /// None of a unit that is a one in one of its columns, and of real numbers.
    pub values: Vec<(T, T)>,
    pub real: Option<RealUnit>,
}

/// A unit that may be any number: γ, its share at β = 0, and whether the unit is never negative.
#[derive(Clone, Copy)]
pub(super) struct RealUnit {
    precision: f64,
    share: f64,
    is_nonnegative: bool,
}

impl RealUnit {
    /// Value `i` of the draw, given its input at the inverse temperature `beta`.
    pub fn number(self, draw: Draw, i: u64, input: f64, beta: f64) -> f64 {
        let root = (self.precision * (beta + (1.0 - beta) * self.share)).sqrt();
        let input = input / root;
        let number = match self.is_nonnegative {
            true => rectified_number(draw, i, input),
            false => input + normal_number(draw, i),
        };
        number / root
    }
}

impl<T: Real> UnitColumns<T> {
    pub fn of(LateralUnit { columns, states }: &LateralUnit) -> Self {
        let number = |(value, ways): &(f64, f64)| (T::from_f64(*value), T::from_f64(*ways));
        let (values, real) = match *states {
            LateralStates::OneOf => (Vec::new(), None),
            LateralStates::Values(values) => (values.iter().map(number).collect(), None),
            LateralStates::Real { precision, share, is_nonnegative } => {
                (Vec::new(), Some(RealUnit { precision, share, is_nonnegative }))
            }
        };
        Self { first: columns.start, width: columns.len(), values, real }
    }

    /// How many states it has.
    pub fn states(&self) -> usize {
        if self.values.is_empty() { self.width } else { self.values.len() }
    }
}

/// The number of the state that `chance`, uniform on (0, 1), picks by the logarithms of the states' weights, in each lane.
#[inline(always)]
pub(super) fn choose<T: Real>(logits: &mut [Lanes<T>], chance: &Lanes<T>) -> [u32; LANES] {
    let Some(mut highest) = logits.first().copied() else { return [0; LANES] };
    for logits in &*logits {
        for i in 0..LANES {
            highest[i] = if logits[i] > highest[i] { logits[i] } else { highest[i] };
        }
    }
    let mut left = [T::default(); LANES];
    for logits in &mut *logits {
        for i in 0..LANES {
            logits[i] = (logits[i] - highest[i]).exp();
            left[i] += logits[i];
        }
    }
    for i in 0..LANES {
        left[i] = chance[i] * left[i];
    }
    let mut drawn = [0; LANES];
    for weights in &logits[..logits.len() - 1] {
        for i in 0..LANES {
            left[i] = left[i] - weights[i];
            drawn[i] += u32::from(left[i] >= T::default());
        }
    }
    drawn
}
