//! What was measured, as a table and as one JSON object.

use candle_core::Device;
use serde::Serialize;

use super::plan::{Row, Task};
use super::workloads::{Densities, Times};
use crate::output::{self, grouped};

/// The machine on which it was measured.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor's model, where the system says so.
    pub cpu: Option<String>,
    /// Threads of the tensor operations.
    pub threads: usize,
    pub os: &'static str,
    pub architecture: &'static str,
    /// Of this program.
    pub version: &'static str,
    /// Whether this program was built with optimisation.
    pub optimised: bool,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name"));
        Self {
            cpu: model.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())),
            threads: candle_core::utils::get_num_threads(),
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    /// Seconds that each row was given.
    pub seconds: f64,
    /// Updates that each machine had learned before.
    pub warm_updates: usize,
    pub rows: Vec<Line>,
}

/// One row.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Method, widths, batch: `cd-1 784x500 b100`.
    pub name: String,
    /// `cpu`, `cuda` or `metal`.
    pub device: &'static str,
    /// `cd`, `pcd`, `fine-tune`, `embed` or `anneal`.
    pub method: &'static str,
    /// k of CD-k and PCD-k.
    pub steps: Option<usize>,
    /// The widths of the layers from the data up.
    pub widths: Vec<usize>,
    /// Cases in a mini-batch.
    pub batch: usize,
    /// The data's name.
    pub data: String,
    /// Fractions of units that are on.
    pub density: Densities,
    /// Updates, mini-batches of `embed`, steps of all chains of `anneal`.
    pub updates_per_second: f64,
    pub cases_per_second: f64,
    pub us_per_case: f64,
    /// The same time of the dense products alone.
    pub products_us_per_case: f64,
    /// The time divided by that of the dense products next to it: the median over rounds.
    pub ratio: f64,
    pub rounds: usize,
}

impl Line {
    pub fn new(row: &Row, device: &Device, data: &str, density: Densities, times: Times) -> Self {
        let (method, steps) = match row.task {
            Task::Learn { method, steps, .. } => (method.name(), Some(steps)),
            Task::FineTune { .. } => ("fine-tune", None),
            Task::Embed => ("embed", None),
            Task::Anneal => ("anneal", None),
        };
        let cases = row.batch as f64;
        Self {
            name: row.name(),
            device: device_name(device),
            method,
            steps,
            widths: row.widths.clone(),
            batch: row.batch,
            data: data.to_owned(),
            density,
            updates_per_second: 1.0 / times.step,
            cases_per_second: cases / times.step,
            us_per_case: times.step * 1e6 / cases,
            products_us_per_case: times.products * 1e6 / cases,
            ratio: times.ratio,
            rounds: times.rounds,
        }
    }
}

pub fn device_name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}

impl Report {
    /// The table, and under it what its columns mean.
    pub fn table(&self) -> String {
        let several = self.rows.iter().any(|line| line.device != self.rows[0].device);
        let percent = |density: f64| format!("{:.0}", 100.0 * density);
        let rows = self.rows.iter().map(|line| {
            let device = if several { format!("  {}", line.device) } else { String::new() };
            let Densities { data, fantasies, hidden } = line.density;
            let on =
                [Some(data), fantasies, hidden].map(|density| density.map_or("–".into(), percent));
            vec![
                format!("{}{device}", line.name),
                line.data.clone(),
                on.join(" / "),
                grouped(line.updates_per_second.round() as u64),
                grouped(line.cases_per_second.round() as u64),
                format!("{:.2}", line.us_per_case),
                format!("{:.2}", line.products_us_per_case),
                format!("{:.2}", line.ratio),
            ]
        });
        let header = ["", "data", "% on", "updates/s", "cases/s", "µs/case", "products", "ratio"];
        let Machine { cpu, threads, version, .. } = &self.machine;
        let device = self.rows.first().map_or("", |line| line.device);
        let device = if several { "several devices" } else { device };
        let cpu = cpu.as_deref().unwrap_or("a processor that does not say its name");
        format!(
            "{}\n{cpu}, {threads} threads, {device}, f32, dbn {version}\n\
             % on: units that are not zero, of data / fantasies / hidden samples. products: µs a case of the dense matrix\n\
             products alone. ratio: of the time to theirs, the median over rounds of one run.",
            output::table(&header, rows.collect()),
        )
    }
}
