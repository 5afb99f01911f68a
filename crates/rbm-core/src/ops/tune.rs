//! The ways of the operations that choose one, timed beside each other: sums of picked rows, sums of fours, the dense product.

use std::hint::black_box;
use std::time::{Duration, Instant};

use candle_core::{DType, Device};

use super::density::Density;
use super::outer::{Ascent, MomentumStep, Outer};
use super::processor::{Processor, Way};
use super::product::multiply_by;
use super::random::uniform;
use crate::{Result, Rng};

/// Shares of ones at which all ways are timed.
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

    /// The way that `processor` takes at a share of ones that lie at random, of a machine of `[visible, hidden]` units and so many cases.
    pub fn way(
        self,
        processor: &Processor,
        [visible, hidden]: [usize; 2],
        batch: usize,
        density: f64,
    ) -> Way {
        let density = Density::of_bits(density);
        let of = |shape, transposed| processor.way_of_product(shape, transposed, density);
        match self {
            Self::Product => of((batch, visible, hidden), false),
            Self::ProductTransposed => of((batch, hidden, visible), true),
            Self::OuterStep => processor.way_of_outer((batch, visible, hidden), density),
        }
    }
}

/// All ways at one share of ones: medians over rounds, in which they take turns.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The share of ones.
    pub density: f64,
    /// Seconds of the dense product.
    pub dense: f64,
    /// The ratios of sums of picked rows, the lists of what is on included, to the dense product.
    pub rows: f64,
    /// The same of sums of fours.
    pub fours: f64,
}

impl Timing {
    /// The time by `way` as a share of the dense product's.
    pub fn ratio(&self, way: Way) -> f64 {
        match way {
            Way::Dense => 1.0,
            Way::Rows => self.rows,
            Way::Fours => self.fours,
        }
    }

    /// The way that takes the least time.
    pub fn quickest(&self) -> Way {
        let all = Way::ALL.into_iter();
        all.min_by(|one, other| self.ratio(*one).total_cmp(&self.ratio(*other)))
            .unwrap_or(Way::Dense)
    }

    /// How much longer `way` takes than the quickest, as a share of the latter.
    pub fn loss(&self, way: Way) -> f64 {
        self.ratio(way) / self.ratio(self.quickest()) - 1.0
    }
}

/// Times `operation` of a machine of `[visible, hidden]` units and `batch` cases of zeros and ones, in `f32`, for about `time` at each of
/// [`DENSITIES`]. `watch` is called after each with how many are done, and ends the measurement where it answers no.
///
/// # Errors
///
/// Where there is no memory for it.
pub fn all_ways(
    operation: Choosing,
    [visible, hidden]: [usize; 2],
    batch: usize,
    time: Duration,
    mut watch: impl FnMut(usize) -> bool,
) -> Result<Vec<Timing>> {
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
        let of = |way: Way| -> Result<f64> {
            let start = Instant::now();
            match operation {
                Choosing::Product => {
                    let shape = (batch, visible, hidden);
                    black_box(multiply_by(|_| way, &x, &numbers, shape, false));
                }
                Choosing::ProductTransposed => {
                    let shape = (batch, hidden, visible);
                    black_box(multiply_by(|_| way, &x, &numbers, shape, true));
                }
                // A rate at which the weights stay as they are, however often this is repeated.
                Choosing::OuterStep => {
                    let (velocity, ascent, ways) = (&velocity, &ascent, Some(&[way][..]));
                    let step = MomentumStep { velocity, ascent, rate: 1e-9, momentum: 0.5, ways };
                    step.take(&weights)?;
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

/// All ways in turn, at least five times each.
fn rounds(density: f64, time: Duration, of: impl Fn(Way) -> Result<f64>) -> Result<Timing> {
    const LEAST: usize = 5;
    for way in Way::ALL {
        of(way)?;
    }
    let start = Instant::now();
    let (mut dense, mut rows, mut fours) = (Vec::new(), Vec::new(), Vec::new());
    while dense.len() < LEAST || start.elapsed() < time {
        let seconds = of(Way::Dense)?;
        dense.push(seconds);
        rows.push(of(Way::Rows)? / seconds);
        fours.push(of(Way::Fours)? / seconds);
    }
    let [dense, rows, fours] = [dense, rows, fours].map(median);
    Ok(Timing { density, dense, rows, fours })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;

    #[test]
    fn a_loss_is_beside_the_quickest_way() {
        let timing = Timing { density: 0.1, dense: 2.0, rows: 0.5, fours: 0.4 };
        assert!((timing.loss(Way::Rows) - 0.25).abs() < 1e-12);
        assert_eq!(timing.loss(Way::Fours), 0.0);
        assert_eq!(timing.loss(Way::Dense), 1.5);
        assert_eq!(timing.quickest(), Way::Fours);
        assert_eq!(Timing { rows: 1.5, fours: 1.2, ..timing }.loss(Way::Dense), 0.0);
    }

    #[test]
    fn every_operation_is_timed_in_all_ways() -> Result<()> {
        for operation in Choosing::ALL {
            let found = all_ways(operation, [40, 30], 20, Duration::ZERO, |done| done < 3)?;
            assert_eq!(found.len(), 3);
            for Timing { dense, rows, fours, .. } in found {
                assert!(dense > 0.0 && rows > 0.0 && fours > 0.0);
            }
        }
        Ok(())
    }

    /// Of small whole numbers, whose sums are exact in whatever order: every pair of ways for the two terms of a step.
    #[test]
    fn a_step_is_the_same_in_all_ways() -> Result<()> {
        for (n, m, batch) in [(203, 125, 61), (64, 500, 20), (30, 7, 5)] {
            let rng = &mut Rng::new(3);
            let mut whole = |shape: (usize, usize), of: f64| -> Result<_> {
                Ok((uniform(shape, DType::F32, &Device::Cpu, rng)? * of)?.floor()?)
            };
            let x = [whole((batch, n), 5.0)?.lt(1.0)?, whole((batch, n), 2.0)?.lt(1.0)?];
            let [first, second] = x.map(|x| x.to_dtype(DType::F32));
            let ascent = Ascent::from(vec![
                Outer::new(&first?, &whole((batch, m), 9.0)?, 1.0)?,
                Outer::new(&second?, &whole((batch, m), 8.0)?, -2.0)?,
            ]);
            let (weights, velocity) = (whole((n, m), 7.0)?, whole((n, m), 3.0)?);
            let step = |ways: Option<[Way; 2]>| -> Result<_> {
                let (weights, velocity) = (weights.copy()?, velocity.copy()?);
                let (ascent, ways) = (&ascent, ways.as_ref().map(|ways| &ways[..]));
                let step =
                    MomentumStep { velocity: &velocity, ascent, rate: 0.5, momentum: 0.5, ways };
                step.take(&weights)?;
                let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
                Ok([numbers(&weights)?, numbers(&velocity)?])
            };
            let known = step(Some([Way::Dense; 2]))?;
            assert_eq!(step(None)?, known, "{n}x{m}");
            for ways in Way::ALL.into_iter().flat_map(|a| Way::ALL.map(|b| [a, b])) {
                assert_eq!(step(Some(ways))?, known, "{ways:?}: {n}x{m}");
            }
        }
        Ok(())
    }
}
