//! What is timed beside the dense products that it cannot do without, and how.

use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use serde::Serialize;

/// The fractions of units that are on (not zero).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Densities {
    /// Of the data.
    pub data: f64,
    /// Of the visible units of fantasies.
    pub fantasies: Option<f64>,
    /// Of samples of the hidden units, given the data or in the chains.
    pub hidden: Option<f64>,
}

impl Densities {
    /// Of data alone.
    pub fn of_data(cases: &Tensor) -> Result<Self> {
        Ok(Self { data: density(cases)?, fantasies: None, hidden: None })
    }
}

/// How long one side of a round takes at least, so that clock and synchronisation do not count.
const ROUND: Duration = Duration::from_millis(2);
/// The fewest rounds, whatever time they take.
const FEWEST: usize = 5;
/// The most repetitions in a round.
const MOST_REPEATS: f64 = 10_000.0;

/// Something to be timed, beside the dense matrix products that it cannot do without.
pub trait Workload {
    /// Goes back to where it began, before a round.
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }
    /// Does it once.
    fn step(&mut self) -> Result<()>;
    /// Does its products once, dense and with fresh results.
    fn products(&mut self) -> Result<()>;
    /// The data's name.
    fn data(&self) -> &str;
    /// How many units are on, now that the work is done.
    fn densities(&mut self) -> Result<Densities>;
}

/// Medians over the rounds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Of one step.
    pub step: f64,
    /// Of the step's products, in seconds.
    pub products: f64,
    /// Of the step's time divided by the time of the products next to it.
    pub ratio: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

/// Measures `work` on `device` for about `seconds`.
pub fn times(work: &mut dyn Workload, device: &Device, seconds: f64) -> Result<Times> {
    // Once for what is made at first use, and once more to see how long it takes.
    let mut repeats = [0, 0];
    for (side, repeats) in repeats.iter_mut().enumerate() {
        timed(work, side, 1, device)?;
        let once = timed(work, side, 1, device)?;
        *repeats = (ROUND.as_secs_f64() / once).clamp(1.0, MOST_REPEATS).ceil() as usize;
    }
    let start = Instant::now();
    let mut rounds: Vec<[f64; 2]> = Vec::new();
    while rounds.len() < FEWEST || start.elapsed().as_secs_f64() < seconds {
        work.begin()?;
        let mut round = [0.0; 2];
        // Each side goes first in every second round, so that neither always finds the other's leavings in the cache.
        let first = rounds.len() % 2;
        for side in [first, 1 - first] {
            round[side] = timed(work, side, repeats[side], device)?;
        }
        rounds.push(round);
    }
    Ok(Times {
        step: median(rounds.iter().map(|round| round[0])),
        products: median(rounds.iter().map(|round| round[1])),
        ratio: median(rounds.iter().map(|round| round[0] / round[1])),
        rounds: rounds.len(),
    })
}

/// The mean time in seconds of `repeats` steps (side 0) or of as many times their products (side 1).
fn timed(work: &mut dyn Workload, side: usize, repeats: usize, device: &Device) -> Result<f64> {
    device.synchronize()?;
    let start = Instant::now();
    for _ in 0..repeats {
        if side == 0 { work.step()? } else { work.products()? }
    }
    device.synchronize()?;
    Ok(start.elapsed().as_secs_f64().max(1e-9) / repeats as f64)
}

/// The median of `values`; NaN of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The fraction of the values of `x` that are not zero.
pub fn density(x: &Tensor) -> Result<f64> {
    let on = x.detach().to_device(&Device::Cpu)?.ne(0.0)?;
    Ok(on.to_dtype(DType::F64)?.mean_all()?.to_scalar()?)
}
