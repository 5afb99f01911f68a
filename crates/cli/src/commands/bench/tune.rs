//! `dbn bench --tune`: where sums of picked rows and dense products are equally quick on this processor, beside what is chosen.

use std::time::Duration;

use anyhow::{Context, Result};
use rbm_core::ops::Processor;
use rbm_core::ops::tune::{BothWays, Choosing, DENSITIES, both_ways, crossover};
use serde::Serialize;

use crate::{interrupt, output};

/// The shapes that are timed: visible and hidden units.
pub const SHAPES: [[usize; 2]; 3] = [[784, 500], [500, 2000], [784, 100]];
/// Cases of a mini-batch.
pub const BATCH: usize = 100;

/// One operation of one shape.
#[derive(Debug, Serialize)]
pub struct TuneLine {
    /// The operation, as a formula.
    pub operation: &'static str,
    /// Visible and hidden units.
    pub shape: [usize; 2],
    pub batch: usize,
    /// Of the time by picked rows to that of the dense product, at each share of ones; the median over rounds.
    pub ratios: Vec<f64>,
    /// The dense product's 10⁹ additions and multiplications in a second.
    pub dense_gflops: f64,
    /// The share of ones at which both are equally quick; nothing where rows never pay.
    pub crossover: Option<f64>,
    /// The share of ones up to which rows are picked.
    pub chosen: f64,
    /// How much longer the choice takes than the better way, at worst, as a share of the latter.
    pub loss: f64,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Tuning {
    /// The kind of processor whose choices are compared.
    pub kind: &'static str,
    pub densities: [f64; DENSITIES.len()],
    pub rows: Vec<TuneLine>,
}

impl TuneLine {
    /// Times one operation of one shape for about `seconds`.
    fn measure(operation: Choosing, shape: [usize; 2], seconds: f64) -> Result<Self> {
        let time = Duration::from_secs_f64(seconds / DENSITIES.len() as f64);
        let timings = both_ways(operation, shape, BATCH, time, |_| !interrupt::is_asked())?;
        let chosen = operation.limit(Processor::here(), shape, BATCH);
        let loss = |both: &BothWays| {
            let taken = if both.density <= chosen { both.ratio } else { 1.0 };
            taken / both.ratio.min(1.0) - 1.0
        };
        let work = 2.0 * (shape[0] * shape[1] * BATCH) as f64;
        let dense = timings.iter().map(|both| both.dense).fold(f64::INFINITY, f64::min);
        Ok(Self {
            operation: operation.name(),
            shape,
            batch: BATCH,
            ratios: timings.iter().map(|both| both.ratio).collect(),
            dense_gflops: 1e-9 * work / dense,
            crossover: crossover(&timings),
            chosen,
            loss: timings.iter().map(loss).fold(0.0, f64::max),
        })
    }

    fn cells(&self) -> Vec<String> {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let [visible, hidden] = self.shape;
        let mut cells = vec![format!("{} {visible}x{hidden}", self.operation)];
        cells.extend(self.ratios.iter().map(|ratio| format!("{ratio:.2}")));
        cells.push(self.crossover.map_or("never".into(), percent));
        cells.extend([
            percent(self.chosen),
            percent(self.loss),
            format!("{:.0}", self.dense_gflops),
        ]);
        cells
    }
}

impl Tuning {
    /// Every operation of every shape, `seconds` each. `watch` is told what comes next.
    pub fn measure(seconds: f64, mut watch: impl FnMut(&str)) -> Result<Self> {
        let mut rows = Vec::new();
        for shape in SHAPES {
            for operation in Choosing::ALL {
                let name = format!("{} {}x{}", operation.name(), shape[0], shape[1]);
                watch(&name);
                rows.push(TuneLine::measure(operation, shape, seconds).context(name)?);
                if interrupt::is_asked() {
                    return Err(interrupt::Stopped("nothing was kept".to_owned()).into());
                }
            }
        }
        Ok(Self { kind: Processor::here().name, densities: DENSITIES, rows })
    }

    /// The table, and under it what its columns mean.
    pub fn table(&self, cpu: &str, threads: usize) -> String {
        let densities = DENSITIES.iter().map(|density| format!("{:.0} %", 100.0 * density));
        let mut header = vec![String::new()];
        header.extend(densities);
        header.extend(["equal at", "chosen", "loss", "GFLOP/s"].map(str::to_owned));
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        format!(
            "{}\n{cpu}, {threads} threads, f32, {BATCH} cases; choices of {} (DBN_CPU)\n\
             Under a share of ones: the time of picked rows by that of the dense product. equal at: where both take the same time.\n\
             chosen: up to there rows are picked. loss: what the choice costs at worst. GFLOP/s: of the dense product.",
            output::table(&header, self.rows.iter().map(TuneLine::cells).collect()),
            self.kind
        )
    }
}
