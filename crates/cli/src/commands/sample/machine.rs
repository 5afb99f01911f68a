//! `dbn sample` of a machine on a graph: averages at temperatures.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use candle_boltzmann::{
    EnergyMeasurement, Estimate, Graph, MarkovField, Measurement, Start, Walk, measure_energy,
};
use candle_core::{Device, Tensor};
use candle_dbn::viz::images::{self, Contrast};
use candle_dbn::viz::{Mark, Plot, Series};
use clap::ValueEnum;
use indicatif::MultiProgress;
use rbm_core::Rng;
use rbm_core::sampling::mixing::MOST_R_HAT;
use rbm_core::state::write_whole;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::energy_model::EnergyModel;
use crate::interrupt::Interrupted;
use crate::machines::{self, ModelSize};
use crate::output::Usage;
use crate::{inputs, interrupt, output, progress, tables};

/// Sweeps that are measured unless the user says so.
const SWEEPS: u32 = 10_000;
/// The most units of all chains together: 2 GiB with what a sweep needs beside them.
const MAX_UNITS: usize = 1 << 26;
/// The most numbers that are kept of all sweeps: half a GiB.
const MOST_MEASURED: usize = 1 << 25;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Observable {
    /// ⟨E⟩ a unit
    Energy,
    /// (⟨E²⟩ − ⟨E⟩²)/T² a unit
    HeatCapacity,
    /// ⟨|m|⟩, where m is the mean of all units; of sites of q states (q f - 1)/(q - 1), f being the share of the commonest state
    Magnetisation,
    /// N·(⟨m²⟩ − ⟨|m|⟩²)/T
    Susceptibility,
    /// 1 − ⟨m⁴⟩/(3⟨m²⟩²)
    Binder,
}

impl Observable {
    const ALL: [Self; 5] =
        [Self::Energy, Self::HeatCapacity, Self::Magnetisation, Self::Susceptibility, Self::Binder];
    /// Those of energies alone, where units have no other order.
    const OF_ENERGIES: [Self; 2] = [Self::Energy, Self::HeatCapacity];

    fn of(self, measured: &Measurement) -> Estimate {
        match self {
            Self::Energy => measured.energy,
            Self::HeatCapacity => measured.heat_capacity,
            Self::Magnetisation => measured.magnetisation,
            Self::Susceptibility => measured.susceptibility,
            Self::Binder => measured.binder,
        }
    }

    /// Of energies alone; `None` for what is not measured there.
    fn of_energies(self, measured: &EnergyMeasurement) -> Option<Estimate> {
        match self {
            Self::Energy => Some(measured.energy),
            Self::HeatCapacity => Some(measured.heat_capacity),
            Self::Magnetisation | Self::Susceptibility | Self::Binder => None,
        }
    }

    /// Its key in JSON.
    fn key(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::HeatCapacity => "heat_capacity",
            Self::Magnetisation => "magnetisation",
            Self::Susceptibility => "susceptibility",
            Self::Binder => "binder",
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
            Self::Susceptibility => "susceptibility χ",
            Self::Binder => "U",
        }
    }
}

/// All of it, as JSON.
#[derive(Debug, Serialize)]
struct Sampled<'a> {
    model: &'a str,
    #[serde(flatten)]
    size: ModelSize,
    chains: u32,
    burn_in: u32,
    sweeps: u32,
    seed: u64,
    measurements: Vec<MeasuredRow>,
    seconds: f64,
}

/// What was measured at a temperature, of what was asked for.
#[derive(Debug)]
struct MeasuredRow {
    temperature: f64,
    estimates: Vec<(Observable, Estimate)>,
    /// Integrated autocorrelation times in sweeps, and R̂: of E, and of |m| where it is measured.
    autocorrelation_times: Vec<Option<f64>>,
    r_hats: Vec<Option<f64>>,
}

impl MeasuredRow {
    fn of(measured: &Measurement, asked: &[Observable]) -> Self {
        Self {
            temperature: measured.temperature,
            estimates: asked.iter().map(|what| (*what, what.of(measured))).collect(),
            autocorrelation_times: measured.autocorrelation_times.to_vec(),
            r_hats: measured.r_hats.to_vec(),
        }
    }

    fn of_energies(measured: &EnergyMeasurement, asked: &[Observable]) -> Self {
        let estimates = asked.iter().filter_map(|what| Some((*what, what.of_energies(measured)?)));
        Self {
            temperature: measured.temperature,
            estimates: estimates.collect(),
            autocorrelation_times: vec![measured.autocorrelation_time],
            r_hats: vec![measured.r_hat],
        }
    }

    /// The highest R̂.
    fn r_hat(&self) -> Option<f64> {
        self.r_hats.iter().flatten().copied().reduce(f64::max)
    }
}

impl Serialize for MeasuredRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("temperature", &self.temperature)?;
        for (what, estimate) in &self.estimates {
            map.serialize_entry(what.key(), estimate)?;
        }
        map.serialize_entry("autocorrelation_times", &self.autocorrelation_times)?;
        map.serialize_entry("r_hats", &self.r_hats)?;
        map.end()
    }
}

/// How a machine is measured.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machines")]
pub struct MachineOptions {
    /// Temperatures of a machine: by name, in a file, or what a run has learned [default: 1]
    #[arg(long, value_name = "T,...", value_delimiter = ',', allow_hyphen_values = true)]
    pub temperature: Vec<f64>,
    /// What to measure [default: all; of a field of cliques, a network and units of several kinds energy and heat-capacity]
    #[arg(long, value_name = "WHAT,...", value_delimiter = ',')]
    pub measure: Vec<Observable>,
    /// Independent chains of a machine: errors come from the spread between them
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=100_000),
        )]
    pub chains: u32,
    /// Sweeps before anything is measured; the first half of them cools down [default: a fifth of --sweeps]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=100_000_000))]
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
        !self.temperature.is_empty()
            || !self.measure.is_empty()
            || self.burn_in.is_some()
            || self.ordered
            || self.json
    }

    /// What is measured, of all that there is.
    fn measured(&self, all: &[Observable]) -> Result<Vec<Observable>> {
        if self.measure.is_empty() {
            return Ok(all.to_vec());
        }
        match self.measure.iter().find(|what| !all.contains(what)) {
            Some(other) => Err(Usage::of(anyhow!(
                "--measure: expected energy or heat-capacity of a field of cliques, of a network and of units of several kinds, found {}",
                other.name()
            ))),
            // In the order of all, each once.
            None => Ok(all.iter().copied().filter(|what| self.measure.contains(what)).collect()),
        }
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
        if let Some(learned) = EnergyModel::find(Path::new(model), &self.device)? {
            return self.of_energies(&learned, bars, rng);
        }
        let graph = machines::graph(model)?;
        let asked = options.measured(&Observable::ALL)?;
        let plan = self.plan(graph.units.width())?;
        let walk = Walk {
            chains: options.chains as usize,
            burn_in: plan.burn_in as usize,
            sweeps: plan.sweeps as usize,
            start: if options.ordered { Start::Alike } else { Start::Even },
        };
        let each = walk.burn_in + walk.sweeps;
        let (measured, configurations, seconds) =
            at_each(bars, &plan.temperatures, each, |temperature, watch| {
                graph.measure(temperature, &walk, &self.device, rng, watch)
            })?;
        let size = ModelSize::of_graph(&graph);
        let rows = measured.iter().map(|row| MeasuredRow::of(row, &asked)).collect();
        let sampled = self.sampled(size, &plan, rows, seconds);
        self.print(&sampled)?;
        let Some(dir) = self.out else { return Ok(()) };
        self.name(write(dir, &asked, &graph, &sampled, &configurations)?)
    }

    /// The same of a field of cliques: energies, since its variables have no other order than that.
    fn of_field(&self, bars: &MultiProgress, rng: &mut Rng) -> Result<()> {
        let Self { model, options, .. } = *self;
        let field = MarkovField::read(model)?;
        if options.ordered {
            let error = "--ordered: expected a machine of units, found a field of cliques";
            return Err(Usage::of(anyhow!("{error}")));
        }
        let asked = options.measured(&Observable::OF_ENERGIES)?;
        let plan = self.plan(field.states.len())?;
        let walk = [options.chains, plan.burn_in, plan.sweeps].map(|count| count as usize);
        let each = walk[1] + walk[2];
        let (measured, states, seconds) =
            at_each(bars, &plan.temperatures, each, |temperature, watch| {
                field.measure(temperature, walk, rng, watch)
            })?;
        let size = ModelSize::of_field(&field);
        let rows = measured.iter().map(|row| MeasuredRow::of_energies(row, &asked)).collect();
        let sampled = self.sampled(size, &plan, rows, seconds);
        self.print(&sampled)?;
        let Some(dir) = self.out else { return Ok(()) };
        let states: Vec<_> = states.into_iter().flatten().collect();
        let all: Vec<f32> = states.iter().flatten().map(|state| *state as f32).collect();
        let all = Tensor::from_vec(all, (states.len(), field.states.len()), &Device::Cpu)?;
        self.name(write_numbers(dir, &sampled, &all)?)
    }

    /// The same of a machine that has learned, whose units are of several kinds, or a part of a network: its energies, and what is drawn of its
    /// visible units.
    fn of_energies(&self, of: &EnergyModel, bars: &MultiProgress, rng: &mut Rng) -> Result<()> {
        let options = self.options;
        if options.ordered {
            let error = "--ordered: expected a machine on a graph, found one whose energies alone are measured";
            return Err(Usage::of(anyhow!("{error}")));
        }
        let asked = options.measured(&Observable::OF_ENERGIES)?;
        let machine = of.machine();
        let [visible, hidden] = [machine.rest(), machine.last()].map(|layer| layer.units().width());
        let plan = self.plan(visible + hidden)?;
        let walk = [options.chains, plan.burn_in, plan.sweeps].map(|count| count as usize);
        let (measured, ends, seconds) =
            at_each(bars, &plan.temperatures, walk[1] + walk[2], |temperature, watch| {
                measure_energy(machine, temperature, walk, rng, watch)
            })
            .context("--temperature")?;
        let size = of.size()?;
        let rows = measured.iter().map(|row| MeasuredRow::of_energies(row, &asked)).collect();
        let sampled = self.sampled(size, &plan, rows, seconds);
        self.print(&sampled)?;
        let Some(dir) = self.out else { return Ok(()) };
        self.name(write_numbers(dir, &sampled, &of.in_data_values(&Tensor::cat(&ends, 0)?)?)?)
    }

    fn sampled(
        &self,
        size: ModelSize,
        plan: &MeasurePlan,
        rows: Vec<MeasuredRow>,
        seconds: f64,
    ) -> Sampled<'_> {
        Sampled {
            model: self.model,
            size,
            chains: self.options.chains,
            burn_in: plan.burn_in,
            sweeps: plan.sweeps,
            seed: self.seed,
            measurements: rows,
            seconds,
        }
    }

    /// Prints a table, or one JSON object, and says where chains have not been to the same places.
    fn print(&self, sampled: &Sampled) -> Result<()> {
        for row in &sampled.measurements {
            if let Some(r_hat) = row.r_hat().filter(|r_hat| *r_hat > MOST_R_HAT) {
                note_unmixed(row.temperature, r_hat);
            }
            // The first is that of the energies.
            match row.r_hats.first() {
                Some(Some(_)) => {}
                _ => output::note(format!(
                    "T = {}: no energy has changed in any chain",
                    output::short(row.temperature)
                )),
            }
        }
        match self.options.json {
            true => output::json(sampled),
            false => output::line(table(&sampled.measurements)),
        }
    }

    /// Says what was written.
    fn name(&self, written: Vec<String>) -> Result<()> {
        match self.options.json {
            true => Ok(()),
            false => written.into_iter().try_for_each(output::line),
        }
    }

    /// How a machine of so many units is measured, once the folder of the results is there and free.
    fn plan(&self, units: usize) -> Result<MeasurePlan> {
        let sweeps = self.checked_sweeps(units)?;
        let temperatures = self.temperatures()?;
        if let Some(dir) = self.out {
            output::make_folder(dir)?;
            output::check_free(&[dir.join("samples.npy"), dir.join("measured.json")], self.force)?;
        }
        let burn_in = self.options.burn_in.unwrap_or(sweeps / 5);
        Ok(MeasurePlan { temperatures, burn_in, sweeps })
    }

    /// The sweeps that are measured, of chains of so many units. Errors where these would be too many.
    fn checked_sweeps(&self, units: usize) -> Result<u32> {
        let Self { options, .. } = self;
        if units.saturating_mul(options.chains as usize) > MAX_UNITS {
            let most = MAX_UNITS / units;
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
        temperatures.iter().try_for_each(|tau| inputs::check_temperature(*tau))?;
        Ok(temperatures)
    }
}

/// Numbers as JSON, and what the chains are at the end.
fn write_numbers(dir: &Path, sampled: &Sampled, all: &Tensor) -> Result<Vec<String>> {
    let [array, numbers] = ["samples.npy", "measured.json"].map(|name| dir.join(name));
    write_whole(&array, &tables::npy_bytes(all)?)?;
    write_whole(&numbers, serde_json::to_string_pretty(sampled)?.as_bytes())?;
    Ok([array, numbers].map(|path| path.display().to_string()).into())
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
        let found = measure(temperature, &|done| {
            bar.set_position((i * each + done) as u64);
            !interrupt::is_requested()
        });
        if interrupt::is_requested() {
            bar.finish_and_clear();
            return Err(Interrupted("nothing was written".to_owned()).into());
        }
        let (row, end) = found?;
        measured.push(row);
        ends.push(end);
    }
    bar.finish_and_clear();
    Ok((measured, ends, start.elapsed().as_secs_f64()))
}

/// Says where chains have not been to the same places.
fn note_unmixed(temperature: f64, r_hat: f64) {
    let temperature = output::short(temperature);
    output::note(format!(
        "T = {temperature}: the chains have not been to the same places (R̂ {r_hat:.2}): errors are too small; more --sweeps, a longer --burn-in or --ordered may help"
    ));
}

fn table(rows: &[MeasuredRow]) -> String {
    let mut header = vec!["T"];
    let Some(first) = rows.first() else { return String::new() };
    header.extend(first.estimates.iter().map(|(what, _)| what.name()));
    header.extend(["τ of E", "τ of |m|"].into_iter().take(first.autocorrelation_times.len()));
    header.push("R̂");
    let rows = rows.iter().map(|row| {
        let number =
            |x: Option<f64>, places: usize| x.map_or("–".to_owned(), |x| format!("{x:.places$}"));
        let mut cells = vec![output::short(row.temperature)];
        cells.extend(row.estimates.iter().map(|(_, estimate)| shown(*estimate)));
        cells.extend(row.autocorrelation_times.iter().map(|time| number(*time, 1)));
        cells.push(number(row.r_hat(), 3));
        cells
    });
    output::table(&header, rows.collect())
}

fn shown(Estimate { value, error }: Estimate) -> String {
    output::with_error(value, error)
}

/// Numbers as JSON, the chains' last configurations, pictures of one for each temperature, and charts.
fn write(
    dir: &Path,
    asked: &[Observable],
    graph: &Graph,
    sampled: &Sampled,
    configurations: &[Tensor],
) -> Result<Vec<String>> {
    let path = |name: &str| dir.join(name);
    let mut written = write_numbers(dir, sampled, &Tensor::cat(configurations, 0)?)?;
    let mut add = |name: &str| written.push(path(name).display().to_string());
    if let Some([rows, columns]) = graph.shape {
        let firsts = configurations.iter().map(|chains| chains.narrow(0, 0, 1));
        let firsts = Tensor::cat(&firsts.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        let firsts = images::one_number_a_unit(&graph.units, &firsts)?;
        let grey = images::grey(&graph.units, &firsts)?;
        let captions: Vec<_> = sampled
            .measurements
            .iter()
            .map(|row| format!("T {}", output::short(row.temperature)))
            .collect();
        let across = captions.len().clamp(1, 6);
        images::write_grid(
            &path("samples.png"),
            &grey,
            &captions,
            (rows, columns),
            across,
            Contrast::Unit,
        )?;
        add("samples.png");
    }
    if sampled.measurements.len() > 1 {
        let panels: Vec<Plot> = asked.iter().map(|what| panel(*what, sampled)).collect();
        Plot::write_panels(path("measured.png"), &panels)?;
        add("measured.png");
    }
    Ok(written)
}

fn panel(what: Observable, sampled: &Sampled) -> Plot {
    let of = |row: &MeasuredRow| {
        let estimate = row.estimates.iter().find(|(of, _)| *of == what);
        estimate.map(|(_, estimate)| (row.temperature, *estimate))
    };
    let mut all: Vec<(f64, Estimate)> = sampled.measurements.iter().filter_map(of).collect();
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
