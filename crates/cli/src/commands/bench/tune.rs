//! `dbn bench --tune`: how quick sums of picked rows, sums of fours and dense products are on this processor, beside what is chosen.

use std::time::Duration;

use anyhow::{Context, Result};
use rbm_core::ops::tune::{Choosing, DENSITIES, Timing, all_ways};
use rbm_core::ops::{Features, Processor, Way};
use serde::Serialize;

use crate::{interrupt, output};

/// The shapes that are timed: visible and hidden units.
pub const SHAPES: [[usize; 2]; 4] = [[784, 500], [500, 2000], [784, 100], [64, 500]];
/// Cases of a mini-batch, where nothing else is asked for.
pub const BATCH: usize = 100;

/// One operation of one shape.
#[derive(Debug, Serialize)]
pub struct TuneLine {
    /// The operation, as a formula.
    pub operation: &'static str,
    /// Visible and hidden units.
    pub shape: [usize; 2],
    pub batch: usize,
    /// The time by picked rows as a share of the dense product's, at each share of ones; the median over rounds.
    pub by_rows: Vec<f64>,
    /// The same by sums of fours.
    pub by_fours: Vec<f64>,
    /// The dense product's 10⁹ additions and multiplications in a second.
    pub dense_gflops: f64,
    /// The way that is taken at each share of ones.
    pub chosen: Vec<&'static str>,
    /// The way that is quickest at each share of ones.
    pub quickest: Vec<&'static str>,
    /// How much longer the choice takes than the quickest way, at worst, as a share of the latter.
    pub loss: f64,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Tuning {
    /// The kind of processor whose choices are compared.
    pub kind: &'static str,
    /// What decides which kind a processor is.
    pub features: Features,
    /// Cases of a mini-batch.
    pub batch: usize,
    pub densities: [f64; DENSITIES.len()],
    pub rows: Vec<TuneLine>,
}

impl TuneLine {
    /// Times one operation of one shape for about `seconds`.
    fn measure(operation: Choosing, shape: [usize; 2], batch: usize, seconds: f64) -> Result<Self> {
        let time = Duration::from_secs_f64(seconds / DENSITIES.len() as f64);
        let timings = all_ways(operation, shape, batch, time, |_| !interrupt::is_requested())?;
        let way = |timing: &Timing| operation.way(Processor::here(), shape, batch, timing.density);
        let work = 2.0 * (shape[0] * shape[1] * batch) as f64;
        let dense = timings.iter().map(|timing| timing.dense).fold(f64::INFINITY, f64::min);
        Ok(Self {
            operation: operation.name(),
            shape,
            batch,
            by_rows: timings.iter().map(|timing| timing.rows).collect(),
            by_fours: timings.iter().map(|timing| timing.fours).collect(),
            dense_gflops: 1e-9 * work / dense,
            chosen: timings.iter().map(|timing| name(way(timing))).collect(),
            quickest: timings.iter().map(|timing| name(timing.quickest())).collect(),
            loss: timings.iter().map(|timing| timing.loss(way(timing))).fold(0.0, f64::max),
        })
    }

    /// A line for each way that is not the dense one, with a star where it is chosen.
    fn cells(&self) -> [Vec<String>; 2] {
        let [visible, hidden] = self.shape;
        let operation = format!("{} {visible}x{hidden}", self.operation);
        let ratios = |way: Way, ratios: &[f64]| -> Vec<String> {
            let marks =
                self.chosen.iter().zip(&self.quickest).map(move |(chosen, quickest)| {
                    match (*chosen == name(way), *quickest == name(way)) {
                        (true, _) => "*",
                        (false, true) => "!",
                        (false, false) => " ",
                    }
                });
            ratios.iter().zip(marks).map(|(ratio, mark)| format!("{ratio:.2}{mark}")).collect()
        };
        let mut rows = vec![operation, name(Way::Rows).to_owned()];
        rows.extend(ratios(Way::Rows, &self.by_rows));
        rows.extend([format!("{:.0} %", 100.0 * self.loss), format!("{:.0}", self.dense_gflops)]);
        let mut fours = vec![String::new(), name(Way::Fours).to_owned()];
        fours.extend(ratios(Way::Fours, &self.by_fours));
        fours.extend([String::new(), String::new()]);
        [rows, fours]
    }
}

/// What the table calls a way.
fn name(way: Way) -> &'static str {
    match way {
        Way::Dense => "dense",
        Way::Rows => "rows",
        Way::Fours => "fours",
    }
}

impl Tuning {
    /// Every operation of every shape with `batch` cases, `seconds` each. `watch` is called with what comes next.
    pub fn measure(batch: usize, seconds: f64, mut watch: impl FnMut(&str)) -> Result<Self> {
        let mut rows = Vec::new();
        for shape in SHAPES {
            for operation in Choosing::ALL {
                let name = format!("{} {}x{}", operation.name(), shape[0], shape[1]);
                watch(&name);
                rows.push(TuneLine::measure(operation, shape, batch, seconds).context(name)?);
                if interrupt::is_requested() {
                    return Err(interrupt::Interrupted("nothing was kept".to_owned()).into());
                }
            }
        }
        let (kind, features) = (Processor::here().name, Features::here());
        Ok(Self { kind, features, batch, densities: DENSITIES, rows })
    }

    /// The table, and under it what its columns mean.
    pub fn table(&self, cpu: &str, threads: usize) -> String {
        let densities = DENSITIES.iter().map(|density| format!("{:.0} %", 100.0 * density));
        let mut header = vec![String::new(), "way".to_owned()];
        header.extend(densities);
        header.extend(["loss", "GFLOP/s"].map(str::to_owned));
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        format!(
            "{}\n{cpu}, {threads} threads, f32, {} cases\n{}; choices of {} (DBN_CPU)\n\
             Under a share of ones: the time by sums of picked rows, or of fours, as a share of the dense product's; * what is chosen,\n\
             without one the dense product; ! what is quickest, where that is not chosen. loss: what the choice costs at worst.\n\
             GFLOP/s: of the dense product.",
            output::table(&header, self.rows.iter().flat_map(TuneLine::cells).collect()),
            self.batch,
            self.features,
            self.kind
        )
    }
}
