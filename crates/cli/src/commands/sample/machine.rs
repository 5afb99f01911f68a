//! `dbn sample` of a machine on a graph: averages at temperatures.

use std::path::Path;

use anyhow::{Result, anyhow};
use candle_boltzmann::{Estimate, FieldMeasurement, Graph, MarkovField, Measurement, Start, Walk};
use candle_core::{Device, Tensor};
use candle_dbn::viz::images::{self, Contrast};
use candle_dbn::viz::{Mark, Plot, Series};
use clap::ValueEnum;
use indicatif::MultiProgress;
use rbm_core::Rng;
use rbm_core::sampling::mixing::MOST_R_HAT;
use rbm_core::state::write_whole;
use serde::Serialize;

use crate::interrupt::Stopped;
use crate::output::Usage;
use crate::{inputs, interrupt, output, progress, tables};

/// Sweeps that are measured unless the user says so.
const SWEEPS: u32 = 10_000;
/// The most units of all chains together: 2 GiB with what a sweep needs beside them.
const MOST: usize = 1 << 26;
/// The most numbers that are kept of all sweeps: half a GiB.
const MOST_MEASURED: usize = 1 << 25;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Observable {
    /// ⟨E⟩ a unit
    Energy,
    /// (⟨E²⟩ − ⟨E⟩²)/T² a unit
    HeatCapacity,
    /// ⟨|m|⟩, where m is the mean of all units
    Magnetisation,
    /// N·(⟨m²⟩ − ⟨|m|⟩²)/T
    Susceptibility,
    /// 1 − ⟨m⁴⟩/(3⟨m²⟩²)
    Binder,
}

impl Observable {
    fn of(self, measured: &Measurement) -> Estimate {
        match self {
            Self::Energy => measured.energy,
            Self::HeatCapacity => measured.heat_capacity,
            Self::Magnetisation => measured.magnetisation,
            Self::Susceptibility => measured.susceptibility,
            Self::Binder => measured.binder,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::HeatCapacity => "heat capacity",
            Self::Magnetisation => "magnetisation",
            Self::Susceptibility => "susceptibility",
            Self::Binder => "Binder's cumulant",
        }
    }

    /// What stands at the axis of a chart.
    fn axis(self) -> &'static str {
        match self {
            Self::Energy => "E/N",
            Self::HeatCapacity => "C/N",
            Self::Magnetisation => "|m|",
            Self::Susceptibility => "χ",
            Self::Binder => "U",
        }
    }
}

/// All of it, as JSON.
#[derive(Debug, Serialize)]
struct Sampled<'a> {
    model: &'a str,
    units: usize,
    edges: usize,
    chains: u32,
    burn_in: u32,
    sweeps: u32,
    seed: u64,
    measurements: &'a [Measurement],
    seconds: f64,
}

/// The same of a field of cliques.
#[derive(Debug, Serialize)]
struct SampledField<'a> {
    model: &'a str,
    variables: usize,
    cliques: usize,
    chains: u32,
    burn_in: u32,
    sweeps: u32,
    seed: u64,
    measurements: &'a [FieldMeasurement],
    seconds: f64,
}

/// How a machine is measured.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machines")]
pub struct MachineOptions {
    /// Temperatures of a machine by name or in a file [default: 1]
    #[arg(long, value_name = "T,...", value_delimiter = ',')]
    pub temperature: Vec<f64>,
    /// What to measure
    #[arg(
        long,
        value_name = "WHAT,...",
        value_delimiter = ',',
        default_value = "energy,heat-capacity,magnetisation,susceptibility,binder"
    )]
    pub measure: Vec<Observable>,
    /// Independent chains of a machine: errors come from the spread between them
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=100_000),
        )]
    pub chains: u32,
    /// Sweeps before anything is measured; the first half of them cools down [default: a fifth of --sweeps]
    #[arg(long, value_name = "N")]
    pub burn_in: Option<u32>,
    /// Start the chains of a machine with all units alike, not at random: for temperatures at which it orders
    #[arg(long)]
    pub ordered: bool,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl MachineOptions {
    /// Whether anything was said that has a meaning for machines alone.
    pub fn is_given(&self) -> bool {
        !self.temperature.is_empty() || self.burn_in.is_some() || self.ordered || self.json
    }
}

/// What is sampled.
pub struct MachineSampling<'a> {
    pub model: &'a str,
    pub options: &'a MachineOptions,
    pub sweeps: Option<u32>,
    pub seed: u64,
    pub out: Option<&'a Path>,
    pub force: bool,
    pub device: Device,
}

impl MachineSampling<'_> {
    /// Prints a row for each temperature, and writes pictures and configurations where there is a folder for them.
    pub fn run(&self, bars: &MultiProgress, rng: &mut Rng) -> Result<()> {
        let Self { model, options, .. } = *self;
        if MarkovField::is_in(model) {
            return self.of_field(bars, rng);
        }
        let graph = inputs::graph(model)?;
        let MeasurePlan { temperatures, burn_in, sweeps } = self.plan(graph.units.width())?;
        let walk = Walk {
            chains: options.chains as usize,
            burn_in: burn_in as usize,
            sweeps: sweeps as usize,
            start: if options.ordered { Start::Alike } else { Start::Even },
        };
        let each = walk.burn_in + walk.sweeps;
        let (measured, configurations, seconds) =
            at_each(bars, &temperatures, each, |temperature, watch| {
                graph.measure(temperature, &walk, &self.device, rng, watch)
            })?;
        let sampled = Sampled {
            model,
            units: graph.sites(),
            edges: graph.edges.len(),
            chains: options.chains,
            burn_in,
            sweeps,
            seed: self.seed,
            measurements: &measured,
            seconds,
        };
        warn(&measured);
        if options.json {
            output::json(&sampled)?;
        } else {
            output::line(table(options, &measured))?;
        }
        if let Some(dir) = self.out {
            let written = write(dir, options, &graph, &sampled, &configurations)?;
            if !options.json {
                written.into_iter().try_for_each(output::line)?;
            }
        }
        Ok(())
    }

    /// How a machine of so many units is measured, once the folder of the results is there and free.
    fn plan(&self, units: usize) -> Result<MeasurePlan> {
        let sweeps = self.checked_sweeps(units)?;
        let temperatures = self.temperatures()?;
        if let Some(dir) = self.out {
            std::fs::create_dir_all(dir).map_err(|e| rbm_core::Error::io(dir, e))?;
            output::check_free(&[dir.join("samples.npy"), dir.join("measured.json")], self.force)?;
        }
        let burn_in = self.options.burn_in.unwrap_or(sweeps / 5);
        Ok(MeasurePlan { temperatures, burn_in, sweeps })
    }

    /// The sweeps that are measured, of chains of so many units. Errors where these would be too many.
    fn checked_sweeps(&self, units: usize) -> Result<u32> {
        let Self { options, .. } = self;
        if units.saturating_mul(options.chains as usize) > MOST {
            let most = MOST / units;
            let error =
                anyhow!("--chains {}: expected at most {most} of {units} units", options.chains);
            return Err(Usage::of(error));
        }
        let sweeps = self.sweeps.unwrap_or(SWEEPS);
        if (sweeps as usize).saturating_mul(options.chains as usize) > MOST_MEASURED {
            let most = MOST_MEASURED / options.chains as usize;
            return Err(Usage::of(anyhow!(
                "--sweeps {sweeps}: expected at most {most} of {} chains",
                options.chains
            )));
        }
        Ok(sweeps)
    }

    /// The temperatures, all above 0.
    fn temperatures(&self) -> Result<Vec<f64>> {
        let asked = &self.options.temperature;
        let temperatures = if asked.is_empty() { vec![1.0] } else { asked.clone() };
        if let Some(wrong) = temperatures.iter().find(|t| !t.is_finite() || **t <= 0.0) {
            return Err(Usage::of(anyhow!("--temperature {wrong}: expected numbers above 0")));
        }
        Ok(temperatures)
    }

    /// The same of a field of cliques: energies, since its variables have no other order than that.
    fn of_field(&self, bars: &MultiProgress, rng: &mut Rng) -> Result<()> {
        let Self { model, options, .. } = *self;
        let field = MarkovField::read(model)?;
        if options.ordered {
            let error = "--ordered: expected a machine of units, found a field of cliques";
            return Err(Usage::of(anyhow!("{error}")));
        }
        let MeasurePlan { temperatures, burn_in, sweeps } = self.plan(field.states.len())?;
        let walk = [options.chains, burn_in, sweeps].map(|count| count as usize);
        let each = walk[1] + walk[2];
        let (measured, states, seconds) =
            at_each(bars, &temperatures, each, |temperature, watch| {
                field.measure(temperature, walk, rng, watch)
            })?;
        let states: Vec<_> = states.into_iter().flatten().collect();
        for row in measured.iter().filter(|row| row.r_hat.is_some_and(|r| r > MOST_R_HAT)) {
            note_unmixed(row.temperature, row.r_hat.unwrap_or(f64::NAN));
        }
        let sampled = SampledField {
            model,
            variables: field.states.len(),
            cliques: field.cliques.len(),
            chains: options.chains,
            burn_in,
            sweeps,
            seed: self.seed,
            measurements: &measured,
            seconds,
        };
        if options.json {
            output::json(&sampled)?;
        } else {
            let number = |x: Option<f64>, places: usize| {
                x.map_or("–".to_owned(), |x| format!("{x:.places$}"))
            };
            let rows = measured.iter().map(|row| {
                vec![
                    row.temperature.to_string(),
                    shown(row.energy),
                    shown(row.heat_capacity),
                    number(row.autocorrelation_time, 1),
                    number(row.r_hat, 3),
                ]
            });
            let header = ["T", "energy", "heat capacity", "τ of E", "R̂"];
            output::line(output::table(&header, rows.collect()))?;
        }
        let Some(dir) = self.out else { return Ok(()) };
        let all: Vec<f32> = states.iter().flatten().map(|state| *state as f32).collect();
        let all = Tensor::from_vec(all, (states.len(), field.states.len()), &Device::Cpu)?;
        let [array, numbers] = ["samples.npy", "measured.json"].map(|name| dir.join(name));
        write_whole(&array, &tables::npy_bytes(&all)?)?;
        write_whole(&numbers, serde_json::to_string_pretty(&sampled)?.as_bytes())?;
        if !options.json {
            output::line(array.display().to_string())?;
            output::line(numbers.display().to_string())?;
        }
        Ok(())
    }
}

/// How a machine is measured.
struct MeasurePlan {
    temperatures: Vec<f64>,
    burn_in: u32,
    sweeps: u32,
}

/// What `measure` finds at each temperature, in `each` sweeps, with where the chains end; and the seconds that it took.
fn at_each<M, C>(
    bars: &MultiProgress,
    temperatures: &[f64],
    each: usize,
    mut measure: impl FnMut(f64, &dyn Fn(usize) -> bool) -> rbm_core::Result<(M, C)>,
) -> Result<(Vec<M>, Vec<C>, f64)> {
    let bar = progress::bar(bars, (each * temperatures.len()) as u64);
    let (_caught, start) = (interrupt::catch()?, std::time::Instant::now());
    let (mut measured, mut ends) = (Vec::new(), Vec::new());
    for (i, &temperature) in temperatures.iter().enumerate() {
        let (row, end) = measure(temperature, &|done| {
            bar.set_position((i * each + done) as u64);
            !interrupt::is_asked()
        })?;
        if interrupt::is_asked() {
            bar.finish_and_clear();
            return Err(Stopped("nothing was written".to_owned()).into());
        }
        measured.push(row);
        ends.push(end);
    }
    bar.finish_and_clear();
    Ok((measured, ends, start.elapsed().as_secs_f64()))
}

/// Says where chains have not been to the same places.
fn note_unmixed(temperature: f64, r_hat: f64) {
    output::note(format!(
        "T = {temperature}: the chains have not been to the same places (R̂ {r_hat:.2}): errors are too small; more --sweeps, a longer --burn-in or --ordered may help"
    ));
}

/// Says it of measurements.
fn warn(measured: &[Measurement]) {
    for row in measured {
        let highest = row.r_hats.into_iter().flatten().fold(0.0, f64::max);
        if highest > MOST_R_HAT {
            note_unmixed(row.temperature, highest);
        }
    }
}

fn table(options: &MachineOptions, measured: &[Measurement]) -> String {
    let mut header = vec!["T"];
    header.extend(options.measure.iter().map(|observable| observable.name()));
    header.extend(["τ of E", "τ of |m|", "R̂"]);
    let rows = measured.iter().map(|row| {
        let time = |time: Option<f64>| time.map_or("–".to_owned(), |time| format!("{time:.1}"));
        let r_hat = row.r_hats.into_iter().flatten().reduce(f64::max);
        let mut cells = vec![row.temperature.to_string()];
        cells.extend(options.measure.iter().map(|observable| shown(observable.of(row))));
        cells.extend(row.autocorrelation_times.map(time));
        cells.push(r_hat.map_or("–".to_owned(), |r| format!("{r:.3}")));
        cells
    });
    output::table(&header, rows.collect())
}

/// `-1.4532(12)`: the digits in brackets are the error in the last digits shown.
fn shown(Estimate { value, error }: Estimate) -> String {
    if !(error > 0.0 && error.is_finite() && value.is_finite()) {
        return format!("{value:.6}");
    }
    let places = (1.0 - error.log10().floor()).clamp(0.0, 12.0) as usize;
    let digits = (error * 10f64.powi(places as i32)).round();
    format!("{value:.places$}({digits})")
}

/// Numbers as JSON, the chains' last configurations, pictures of one for each temperature, and charts.
fn write(
    dir: &Path,
    options: &MachineOptions,
    graph: &Graph,
    sampled: &Sampled,
    configurations: &[Tensor],
) -> Result<Vec<String>> {
    let path = |name: &str| dir.join(name);
    let all = Tensor::cat(configurations, 0)?;
    write_whole(&path("samples.npy"), &tables::npy_bytes(&all)?)?;
    write_whole(&path("measured.json"), serde_json::to_string_pretty(sampled)?.as_bytes())?;
    let mut written = vec!["samples.npy", "measured.json"];
    if let Some([rows, columns]) = graph.shape {
        let firsts = configurations.iter().map(|chains| chains.narrow(0, 0, 1));
        let firsts = Tensor::cat(&firsts.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        let firsts = images::one_number_a_unit(&graph.units, &firsts)?;
        let grey = images::grey(&graph.units, &firsts)?;
        let captions: Vec<_> =
            sampled.measurements.iter().map(|row| format!("T {}", row.temperature)).collect();
        let across = captions.len().clamp(1, 6);
        images::write_grid(
            &path("samples.png"),
            &grey,
            &captions,
            (rows, columns),
            across,
            Contrast::Unit,
        )?;
        written.push("samples.png");
    }
    if sampled.measurements.len() > 1 {
        let panels: Vec<Plot> = options.measure.iter().map(|what| panel(*what, sampled)).collect();
        Plot::write_panels(path("measured.png"), &panels)?;
        written.push("measured.png");
    }
    Ok(written.into_iter().map(|name| path(name).display().to_string()).collect())
}

fn panel(what: Observable, sampled: &Sampled) -> Plot {
    let estimates = sampled.measurements.iter().map(|row| (row.temperature, what.of(row)));
    let mut all: Vec<(f64, Estimate)> = estimates.collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let points = all.iter().map(|(t, estimate)| (*t, estimate.value)).collect();
    let mut series = Series::new("", Mark::Points, points);
    series.errors = all.iter().map(|(_, estimate)| estimate.error).collect();
    Plot {
        title: format!("{} of {}", what.name(), sampled.model),
        x: "temperature".into(),
        y: what.axis().into(),
        is_log_x: false,
        y_range: None,
        series: vec![series],
    }
}
