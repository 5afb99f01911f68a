//! Both ways of the operations that choose between picked rows and the dense product, timed beside each other.

use std::hint::black_box;
use std::time::{Duration, Instant};

use candle_core::{DType, Device};

use super::outer::{Ascent, Outer};
use super::processor::Processor;
use super::product::multiply_up_to;
use super::random::uniform;
use super::update::momentum_step_up_to;
use crate::{Result, Rng};

/// Shares of ones at which both ways are timed.
pub const DENSITIES: [f64; 8] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5];

/// An operation that chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choosing {
    /// vW.
    Product,
    /// hWᵀ.
    ProductTransposed,
    /// Velocity and weights ← vᵀh.
    OuterStep,
}

impl Choosing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Product, Self::ProductTransposed, Self::OuterStep];

    /// As a formula.
    pub fn name(self) -> &'static str {
        match self {
            Self::Product => "vW",
            Self::ProductTransposed => "hWᵀ",
            Self::OuterStep => "W + vᵀh",
        }
    }

    /// The share of ones up to which `processor` picks rows, of a machine of `[visible, hidden]` units and so many cases.
    pub fn limit(self, processor: &Processor, [visible, hidden]: [usize; 2], batch: usize) -> f64 {
        let most = match self {
            Self::Product => processor.most_of_product(hidden),
            Self::ProductTransposed => processor.most_of_transposed(batch, visible),
            Self::OuterStep => processor.most_of_outer(hidden),
        };
        most.max(0.0)
    }
}

/// Seconds of both ways at one share of ones: medians over rounds, in which they take turns.
#[derive(Debug, Clone, Copy)]
pub struct BothWays {
    /// The share of ones.
    pub density: f64,
    /// By picked rows, the lists of what is on included.
    pub picked: f64,
    /// By the dense product.
    pub dense: f64,
    /// The median of the ratios of both.
    pub ratio: f64,
}

/// Times `operation` of a machine of `[visible, hidden]` units and `batch` cases of zeros and ones, in `f32`, for about `time` at each of
/// [`DENSITIES`]. `watch` is told after each how many are done, and ends the measurement where it answers no.
///
/// # Errors
///
/// Where there is no memory for it.
pub fn both_ways(
    operation: Choosing,
    [visible, hidden]: [usize; 2],
    batch: usize,
    time: Duration,
    mut watch: impl FnMut(usize) -> bool,
) -> Result<Vec<BothWays>> {
    let mut rng = Rng::new(0);
    let mut draw = |shape: (usize, usize)| uniform(shape, DType::F32, &Device::Cpu, &mut rng);
    let w = draw((visible, hidden))?;
    let side = if operation == Choosing::ProductTransposed { hidden } else { visible };
    let (from, of_hidden) = (draw((batch, side))?, draw((batch, hidden))?);
    let (weights, velocity) = (w.copy()?, w.zeros_like()?);
    let numbers = w.flatten_all()?.to_vec1::<f32>()?;
    let mut found = Vec::with_capacity(DENSITIES.len());
    for (number, density) in DENSITIES.into_iter().enumerate() {
        let ones = from.lt(density)?.to_dtype(DType::F32)?;
        let x = ones.flatten_all()?.to_vec1::<f32>()?;
        let ascent = Ascent::from(vec![Outer::new(&ones, &of_hidden, 1.0)?]);
        let of = |most: f64| -> Result<f64> {
            let start = Instant::now();
            match operation {
                Choosing::Product => {
                    let shape = (batch, visible, hidden);
                    black_box(multiply_up_to(most, &x, &numbers, shape, false));
                }
                Choosing::ProductTransposed => {
                    let shape = (batch, hidden, visible);
                    black_box(multiply_up_to(most, &x, &numbers, shape, true));
                }
                // A rate at which the weights stay as they are, however often this is repeated.
                Choosing::OuterStep => {
                    momentum_step_up_to(most, &weights, &velocity, &ascent, 1e-9, 0.5)?;
                }
            }
            Ok(start.elapsed().as_secs_f64())
        };
        found.push(rounds(density, time, of)?);
        if !watch(number + 1) {
            break;
        }
    }
    Ok(found)
}

/// Both ways in turn, at least five times each.
fn rounds(density: f64, time: Duration, of: impl Fn(f64) -> Result<f64>) -> Result<BothWays> {
    const LEAST: usize = 5;
    let (all, none) = (1.0, 0.0);
    of(all)?;
    of(none)?;
    let start = Instant::now();
    let (mut picked, mut dense, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    while ratios.len() < LEAST || start.elapsed() < time {
        let (a, b) = (of(all)?, of(none)?);
        picked.push(a);
        dense.push(b);
        ratios.push(a / b);
    }
    let [picked, dense, ratio] = [picked, dense, ratios].map(median);
    Ok(BothWays { density, picked, dense, ratio })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The share of ones at which both ways are equally quick, between two that were timed; where one way always is, the last or nothing.
pub fn crossover(timings: &[BothWays]) -> Option<f64> {
    let over = timings.iter().position(|both| both.ratio > 1.0);
    match over {
        None => timings.last().map(|both| both.density),
        Some(0) => None,
        Some(at) => {
            let (below, above) = (&timings[at - 1], &timings[at]);
            let share = (1.0 - below.ratio) / (above.ratio - below.ratio);
            Some(below.density + share * (above.density - below.density))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossovers_lie_between_the_ratios_beside_one() {
        let of = |ratios: &[f64]| {
            let both = |(density, ratio): (f64, &f64)| BothWays {
                density,
                picked: 1.0,
                dense: 1.0,
                ratio: *ratio,
            };
            crossover(&DENSITIES.into_iter().zip(ratios).map(both).collect::<Vec<_>>())
        };
        assert_eq!(of(&[0.2, 0.6, 1.4]), Some(0.125));
        assert_eq!(of(&[0.2, 0.6]), Some(0.1));
        assert_eq!(of(&[1.2, 1.6]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn every_operation_is_timed_both_ways() -> Result<()> {
        for operation in Choosing::ALL {
            let found = both_ways(operation, [40, 30], 20, Duration::ZERO, |done| done < 3)?;
            assert_eq!(found.len(), 3);
            assert!(
                found.iter().all(|both| both.picked > 0.0 && both.dense > 0.0 && both.ratio > 0.0)
            );
        }
        Ok(())
    }

    /// Of small whole numbers, whose sums are exact in whatever order: every kind of processor makes the same step.
    #[test]
    fn a_step_is_the_same_both_ways() -> Result<()> {
        for (n, m, batch) in [(203, 125, 61), (64, 500, 20), (30, 7, 5)] {
            let whole = |shape: (usize, usize), of: f64| -> Result<_> {
                let uniform = uniform(shape, DType::F32, &Device::Cpu, &mut Rng::new(3))?;
                Ok((uniform * of)?.floor()?)
            };
            let x = (whole((batch, n), 5.0)?.lt(1.0)?).to_dtype(DType::F32)?;
            let ascent = Ascent::from(vec![Outer::new(&x, &whole((batch, m), 9.0)?, 1.0)?]);
            let step = |most: f64| -> Result<Vec<f32>> {
                let weights = whole((n, m), 7.0)?;
                let velocity = whole((n, m), 3.0)?;
                momentum_step_up_to(most, &weights, &velocity, &ascent, 1.0, 1.0)?;
                Ok(weights.flatten_all()?.to_vec1()?)
            };
            let known = step(0.0)?;
            assert_eq!(step(1.0)?, known, "{n}x{m}");
            for kind in Processor::KINDS {
                assert_eq!(step(kind.most_of_outer(m))?, known, "{}: {n}x{m}", kind.name);
            }
        }
        Ok(())
    }
}
