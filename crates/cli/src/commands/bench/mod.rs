//! `dbn bench`: how fast this computer learns, beside the matrix products that it cannot do without.

mod chains;
mod fixtures;
mod learning;
mod machines;
mod networks;
mod plan;
mod synthetic_digits;
mod tune;
mod workloads;

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use candle_core::Device;
use candle_dbn::data::ReadOptions;
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::ops::Yardstick;
use rbm_core::ops::tune::Choosing;
use serde::Serialize;

use self::chains::{AnnealingRun, MeanFieldRun, TemperingStep};
use self::fixtures::{Fixtures, LEARNING_RATE};
use self::learning::LearningStep;
use self::machines::MachineLine;
use self::networks::{EmbeddingStep, FineTuningStep};
use self::plan::{BenchData, BenchRow, RowOptions, Task};
use self::tune::Tuning;
use self::workloads::{Densities, Times, Workload};
use crate::inputs::{self, Where};
use crate::output::{self, Usage, grouped};
use crate::{interrupt, progress};

/// Measure how fast this machine learns, beside the dense matrix products that learning is made of
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn bench                                        the usual shapes, on made-up strokes
  dbn bench --data mnist/ --json                   on real cases, as one JSON object
  dbn bench --shape 784x500 --method pcd --steps 10 --batch 100
  dbn bench --model --json                         sweeps of general machines: lattices, spin glasses, Potts
  dbn bench --tune                                 which way to a product is quickest here, to be sent with a report
The CPU is measured, and with --device auto a GPU beside it. For steady numbers leave the machine alone meanwhile.")]
pub struct Bench {
    /// Learn from these cases, thresholded at 0.5, in the rows that are as wide [default: made-up strokes]
    #[arg(long, value_name = "FOLDER|FILE", help_heading = "Data")]
    pub data: Option<String>,
    #[command(flatten)]
    pub read: ReadOptions,
    /// Measure sweeps of general machines instead: attempted draws of units in a nanosecond, on the CPU
    #[arg(long, conflicts_with_all = ["data", "shape", "batch", "method", "steps", "full", "warm_updates"])]
    pub model: bool,
    /// Measure which way to a product is quickest at which share of ones, beside what is chosen, on the CPU, with --batch cases
    #[arg(long, conflicts_with_all = ["data", "shape", "method", "steps", "full", "warm_updates", "model"])]
    pub tune: bool,
    /// Seconds to measure each row for
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub seconds: f64,
    #[command(flatten)]
    pub rows: RowOptions,
    /// Updates that a machine learns before it is measured: how many of its units are on depends on them
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub warm_updates: usize,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub place: Where,
}

/// The longest that a row may take, in seconds.
const MAX_SECONDS: f64 = 3600.0;

/// Measures every row, and prints a table or one JSON object.
pub fn run(args: &Bench, bars: &MultiProgress) -> Result<()> {
    let seconds = args.seconds;
    if !(seconds > 0.0 && seconds <= MAX_SECONDS) {
        let expected = format!("a number above 0 and at most {MAX_SECONDS}");
        return Err(Usage::of(anyhow!("--seconds: expected {expected}, found {seconds}")));
    }
    let has_read = args.data.is_none() && args.read != ReadOptions::default();
    output::refuse(&[("--scale, --labels and the like", has_read)], "expected with --data")?;
    let is_elsewhere = !matches!(args.place.device.as_str(), "auto" | "cpu");
    let has_device = (args.model || args.tune) && is_elsewhere;
    output::refuse(&[("--device", has_device)], "--model and --tune measure the CPU alone")?;
    if args.model {
        return run_machines(args, bars);
    }
    if args.tune {
        return run_tuning(args, bars);
    }
    let rows = plan::rows(&args.rows).map_err(Usage::of)?;
    let devices = devices(&args.place.device)?;
    let data = args.data.as_deref().map(|source| (source, &args.read));
    let warm = devices.iter().map(|device| Fixtures::new(data, args.warm_updates, device));
    let mut warm = warm.collect::<Result<Vec<_>>>()?;
    check_width(args, &rows, &warm)?;
    let machine = MeasuredMachine::noted();
    let bar = bar_of(bars, rows.len() * devices.len());
    let mut lines = Vec::with_capacity(rows.len() * devices.len());
    for row in &rows {
        for (device, warm) in devices.iter().zip(&mut warm) {
            bar.set_message(format!("{} {}", row.name(), device_name(device)));
            bar.tick();
            let line = measure_row(row, device, warm, seconds);
            lines.push(line.with_context(|| format!("{} on {}", row.name(), device_name(device)))?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let time = Duration::from_secs_f64(0.2 * seconds.min(5.0));
    let has_cpu = devices.iter().any(Device::is_cpu);
    let yardstick = has_cpu.then(|| Yardstick::measure(time));
    let warm_updates = args.warm_updates;
    let report = BenchReport { machine, seconds, warm_updates, yardstick, rows: lines };
    if args.json {
        output::json(&report)?
    } else {
        output::line(report.table())?
    }
    Ok(())
}

/// Measures sweeps of general machines, and prints a table or one JSON object.
fn run_machines(args: &Bench, bars: &MultiProgress) -> Result<()> {
    let machine = MeasuredMachine::noted();
    let bar = bar_of(bars, machines::ROWS.len());
    let mut rows = Vec::new();
    for name in machines::ROWS {
        bar.set_message(name);
        bar.tick();
        rows.push(machines::measure(name, args.seconds).context(name)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if args.json {
        return output::json(&MachinesReport { machine, seconds: args.seconds, rows });
    }
    let MeasuredMachine { threads, version, .. } = &machine;
    let legend = format!(
        "{}, {threads} threads, cpu, f32, dbn {version}\n\
         ms/sweep: every unit of every chain once, the median over rounds. flips/ns: attempted draws of a unit in a nanosecond.\n\
         beside: the dense product of all chains with the couplings, or reading and writing every unit once. ratio: of the sweep to that.",
        machine.cpu_name()
    );
    output::line(format!("{}\n{legend}", machines::table(&rows)))
}

/// Measures where the fast path pays, and prints a table or one JSON object.
fn run_tuning(args: &Bench, bars: &MultiProgress) -> Result<()> {
    let machine = MeasuredMachine::noted();
    let _caught = interrupt::catch()?;
    let batch = plan::batch(&args.rows, (784, 2000)).map_err(Usage::of)?.unwrap_or(tune::BATCH);
    let bar = bar_of(bars, tune::SHAPES.len() * Choosing::ALL.len());
    let tuning = Tuning::measure(batch, args.seconds, |name| {
        bar.set_message(name.to_owned());
        bar.tick();
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    if args.json {
        return output::json(&TuningReport { machine, seconds: args.seconds, tuning });
    }
    output::line(tuning.table(machine.cpu_name(), machine.threads))
}

fn bar_of(bars: &MultiProgress, rows: usize) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(rows as u64));
    bar.set_style(progress::style("{BAR.cyan/dim} {pos:>3}/{len} {left} {wide_msg}"));
    bar
}

fn measure_row(
    row: &BenchRow,
    device: &Device,
    warm: &mut Fixtures,
    seconds: f64,
) -> Result<BenchLine> {
    let mut work = workload(row, warm)?;
    let times = workloads::times(&mut *work, device, seconds)?;
    let densities = work.densities()?;
    tracing::info!(row = row.name(), ratio = times.ratio, rounds = times.rounds, "measured");
    Ok(BenchLine::new(row, device, work.data(), densities, times))
}

/// A learning rate at which a machine stays as it is.
const NEGLIGIBLE_RATE: f64 = 1e-9;

/// The work of `row`.
fn workload(row: &BenchRow, warm: &mut Fixtures) -> Result<Box<dyn Workload>> {
    if let Task::Learn { method, steps, look } = row.task {
        let shape = (row.widths[0], row.widths[1]);
        let mut cases = warm.cases(look, shape.0, row.batch)?;
        let rbm = warm.learned(&mut cases, look, shape)?;
        // Learning goes on in a round, so that no two updates are alike.
        let rate = if look == BenchData::Dense { NEGLIGIBLE_RATE } else { LEARNING_RATE };
        return Ok(Box::new(LearningStep::new(rbm, cases, (method, steps), rate)?));
    }
    let cases = warm.cases(BenchData::Binary, row.widths[0], row.batch)?;
    Ok(match row.task {
        Task::FineTune(kind) => {
            Box::new(FineTuningStep::new(&warm.stack(3)?, cases, row.batch, kind)?)
        }
        Task::Anneal { betas } => {
            Box::new(AnnealingRun::new(warm.stack(1)?.swap_remove(0), cases, betas)?)
        }
        Task::Temper { levels } => {
            Box::new(TemperingStep::new(warm.stack(1)?.swap_remove(0), cases, levels)?)
        }
        Task::MeanField { steps } => {
            let stack = warm.stack(2)?;
            Box::new(MeanFieldRun::new(&stack[0], &stack[1], cases, steps)?)
        }
        Task::Learn { .. } | Task::Embed => Box::new(EmbeddingStep::new(warm.stack(3)?, cases)?),
    })
}

/// `auto` is the CPU, and beside it a GPU where there is one.
fn devices(name: &str) -> Result<Vec<Device>> {
    let device = inputs::device(name)?;
    let beside = (name == "auto" && !device.is_cpu()).then_some(Device::Cpu);
    Ok(beside.into_iter().chain([device]).collect())
}

/// Errors where the user's data fit none of the rows.
fn check_width(args: &Bench, rows: &[BenchRow], warm: &[Fixtures]) -> Result<()> {
    let (Some(source), Some(width)) = (&args.data, warm.first().and_then(Fixtures::width_of_given))
    else {
        return Ok(());
    };
    let uses = |row: &BenchRow| {
        !matches!(
            row.task,
            Task::Learn { look: BenchData::Dense | BenchData::Sites | BenchData::Above(_), .. }
        ) && row.widths[0] == width
    };
    let widths: Vec<_> = rows.iter().map(|row| row.widths[0].to_string()).collect();
    ensure!(
        rows.iter().any(uses),
        "{source}: expected cases as wide as the visible layer of a row ({}), found {width} values a case; describe a row \
         of your own with --shape {width}x500",
        if widths.len() == 1 { widths[0].as_str() } else { "784 or 64" }
    );
    Ok(())
}

/// The machine on which it was measured.
#[derive(Debug, Serialize)]
pub struct MeasuredMachine {
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

impl MeasuredMachine {
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

    /// This one; a program without optimisation is marked as one.
    fn noted() -> Self {
        let machine = Self::this();
        if !machine.optimised {
            output::note("this program was built without optimisation: its times say little");
        }
        machine
    }

    fn cpu_name(&self) -> &str {
        self.cpu.as_deref().unwrap_or("a processor that does not say its name")
    }
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    pub machine: MeasuredMachine,
    /// Seconds that each row was given.
    pub seconds: f64,
    /// Updates that each machine had learned before.
    pub warm_updates: usize,
    /// Of the CPU, where it was measured.
    pub yardstick: Option<Yardstick>,
    pub rows: Vec<BenchLine>,
}

/// Everything that was measured of general machines.
#[derive(Debug, Serialize)]
pub struct MachinesReport {
    pub machine: MeasuredMachine,
    /// Seconds that each row was given.
    pub seconds: f64,
    pub rows: Vec<MachineLine>,
}

/// Everything that was measured of the choices.
#[derive(Debug, Serialize)]
pub struct TuningReport {
    pub machine: MeasuredMachine,
    /// Seconds that each row was given.
    pub seconds: f64,
    #[serde(flatten)]
    pub tuning: Tuning,
}

/// One row.
#[derive(Debug, Serialize)]
pub struct BenchLine {
    /// Method, widths, batch: `cd-1 784x500 b100`.
    pub name: String,
    /// `cpu`, `cuda` or `metal`.
    pub device: &'static str,
    /// `cd`, `pcd`, `fine-tune`, `embed`, `ais`, `tempering` or `mean-field`.
    pub method: &'static str,
    /// k of CD-k and PCD-k, inverse temperatures, iterations.
    pub steps: Option<usize>,
    /// The widths of the layers from the data up.
    pub widths: Vec<usize>,
    /// Cases in a mini-batch.
    pub batch: usize,
    /// The data's name.
    pub data: String,
    /// Fractions of units that are on.
    pub density: Densities,
    /// Updates, mini-batches of `embed` and `mean-field`, runs of `ais`, steps of `tempering`.
    pub updates_per_second: f64,
    pub cases_per_second: f64,
    pub us_per_case: f64,
    /// The same time of the dense products alone.
    pub products_us_per_case: f64,
    /// The time divided by that of the dense products next to it: the median over rounds.
    pub ratio: f64,
    pub rounds: usize,
}

impl BenchLine {
    pub fn new(
        row: &BenchRow,
        device: &Device,
        data: &str,
        density: Densities,
        times: Times,
    ) -> Self {
        let (method, steps) = match row.task {
            Task::Learn { method, steps, .. } => (method.name(), Some(steps)),
            Task::FineTune(_) => ("fine-tune", None),
            Task::Embed => ("embed", None),
            Task::Anneal { betas } => ("ais", Some(betas)),
            Task::Temper { levels } => ("tempering", Some(levels)),
            Task::MeanField { steps } => ("mean-field", Some(steps)),
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

impl BenchReport {
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
        let MeasuredMachine { threads, version, .. } = &self.machine;
        let device = self.rows.first().map_or("", |line| line.device);
        let device = if several { "several devices" } else { device };
        let cpu = self.machine.cpu_name();
        let yardstick = self.yardstick.map_or_else(String::new, |Yardstick { peak_gflops, dense_gflops }| {
            format!(
                "\nThe dense product of 100 cases with 784x500 weights makes {dense_gflops:.0} GFLOP/s, multiply-adds in registers {peak_gflops:.0}."
            )
        });
        format!(
            "{}\n{cpu}, {threads} threads, {device}, f32, dbn {version}\n\
             % on: units that are not zero, of data / fantasies / hidden samples. products: µs a case of the dense matrix\n\
             products alone. ratio: of the time to theirs, the median over rounds of one run.{yardstick}",
            output::table(&header, rows.collect()),
        )
    }
}
