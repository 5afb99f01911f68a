//! `dbn bench`

mod plan;

mod synthetic_digits;

mod fixtures;

mod measure;

mod workloads;

mod report;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use indicatif::{MultiProgress, ProgressBar};

use self::fixtures::Warm;
use self::plan::{Look, Row, Task};
use self::report::{Line, Machine, Report};
use crate::args::Bench;
use crate::{device, output, progress};

/// The longest that a row may take, in seconds.
const LONGEST: f64 = 3600.0;

/// Measures every row, and prints a table or one JSON object.
pub fn run(args: &Bench, bars: &MultiProgress) -> Result<()> {
    let rows = plan::rows(args)?;
    let seconds = args.seconds;
    ensure!(
        seconds > 0.0 && seconds <= LONGEST,
        "--seconds: expected a number above 0 and at most {LONGEST}, found {seconds}"
    );
    let devices = devices(&args.place.device)?;
    let mut warm =
        devices.iter().map(|device| Warm::new(args, device)).collect::<Result<Vec<_>>>()?;
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
    let times = measure::times(&mut *work, device, seconds)?;
    let densities = work.densities()?;
    tracing::info!(row = row.name(), ratio = times.ratio, rounds = times.rounds, "measured");
    Ok(Line::new(row, device, work.data(), densities, times))
}

/// `auto` is the CPU, and beside it a GPU where there is one.
fn devices(name: &str) -> Result<Vec<Device>> {
    let device = device::find(name)?;
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
