//! `dbn bench`

mod fixtures;
mod plan;
mod report;
mod synthetic_digits;
mod workloads;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use indicatif::{MultiProgress, ProgressBar};

use self::fixtures::Warm;
use self::plan::{Look, Row, RowOptions, Task};
use self::report::{Line, Machine, Report};
use crate::inputs::{self, DataOptions, Where};
use crate::{output, progress};

/// Measure how fast this machine learns, beside the dense matrix products that learning is made of
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn bench                                        the usual shapes, on made-up strokes
  dbn bench --data mnist/ --json                   on real cases, as one JSON object
  dbn bench --shape 784x500 --method pcd --steps 10 --batch 100
The CPU is measured, and with --device auto a GPU beside it. For steady numbers leave the machine alone meanwhile.")]
pub struct Bench {
    /// Learn from these cases, thresholded at 0.5, in the rows that are as wide [default: made-up strokes]
    #[arg(long, value_name = "FOLDER|FILE", help_heading = "Data")]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
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
const LONGEST: f64 = 3600.0;

/// Measures every row, and prints a table or one JSON object.
pub fn run(args: &Bench, bars: &MultiProgress) -> Result<()> {
    let rows = plan::rows(&args.rows)?;
    let seconds = args.seconds;
    ensure!(
        seconds > 0.0 && seconds <= LONGEST,
        "--seconds: expected a number above 0 and at most {LONGEST}, found {seconds}"
    );
    let devices = devices(&args.place.device)?;
    let data = args.data.as_deref().map(|source| (source, &args.data_options.read));
    let warm = devices.iter().map(|device| Warm::new(data, args.warm_updates, device));
    let mut warm = warm.collect::<Result<Vec<_>>>()?;
    check_width(args, &rows, &warm)?;
    let machine = Machine::this();
    if !machine.optimised {
        output::note("this program was built without optimisation: its times say little");
    }
    let bar = bars.add(ProgressBar::new((rows.len() * devices.len()) as u64));
    bar.set_style(progress::style("{BAR.cyan/dim} {pos:>3}/{len} {left} {wide_msg}"));
    let mut lines = Vec::with_capacity(rows.len() * devices.len());
    for row in &rows {
        for (device, warm) in devices.iter().zip(&mut warm) {
            bar.set_message(format!("{} {}", row.name(), report::device_name(device)));
            bar.tick();
            let line = measure_row(row, device, warm, seconds);
            lines.push(
                line.with_context(|| format!("{} on {}", row.name(), report::device_name(device)))?,
            );
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let report = Report { machine, seconds, warm_updates: args.warm_updates, rows: lines };
    if args.json {
        output::json(&report)?
    } else {
        output::line(report.table())?
    }
    Ok(())
}

fn measure_row(row: &Row, device: &Device, warm: &mut Warm, seconds: f64) -> Result<Line> {
    let mut work = workloads::of(row, warm)?;
    let times = workloads::times(&mut *work, device, seconds)?;
    let densities = work.densities()?;
    tracing::info!(row = row.name(), ratio = times.ratio, rounds = times.rounds, "measured");
    Ok(Line::new(row, device, work.data(), densities, times))
}

/// `auto` is the CPU, and beside it a GPU where there is one.
fn devices(name: &str) -> Result<Vec<Device>> {
    let device = inputs::device(name)?;
    let beside = (name == "auto" && !device.is_cpu()).then_some(Device::Cpu);
    Ok(beside.into_iter().chain([device]).collect())
}

/// Errors where the user's data fit none of the rows.
fn check_width(args: &Bench, rows: &[Row], warm: &[Warm]) -> Result<()> {
    let (Some(source), Some(width)) = (&args.data, warm.first().and_then(Warm::width_of_given))
    else {
        return Ok(());
    };
    let uses = |row: &Row| {
        !matches!(row.task, Task::Learn { look: Look::Dense | Look::Above(_), .. })
            && row.widths[0] == width
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
