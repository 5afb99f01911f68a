//! `dbn compare`: where recipes of runs differ, what came of them, and their curves in one picture.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_dbn::Run;
use candle_dbn::data::Binarise;
use candle_dbn::recipe::{BeliefRecipe, MachineRecipe};
use candle_dbn::store::results::{MeasurementSet, Results};
use candle_dbn::store::run::RECIPE;
use candle_dbn::viz::{Mark, Series, learning, report};
use serde::Serialize;
use serde_json::Value;

use super::train::machine_run::{lines, points};
use crate::{beliefs, machines, output};

/// Compare trainings: where their recipes differ, what came of them, and their learning curves in one picture
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn compare runs/mnist runs/joint                two tables, and comparison.png
  dbn compare runs/mnist runs/rbm --out curves.png
  dbn compare runs/pairs runs/bm --no-pictures     Boltzmann machines and belief nets too
A number of results has its standard error where it is known. A dash stands where a run has no such key or number: numbers are in one \
line only if they are of the same cases, prepared in the same way.")]
pub struct Compare {
    /// Folders of runs
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
    /// The picture to write
    #[arg(long, value_name = "FILE", default_value = "comparison.png", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the picture if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Write no picture
    #[arg(long, conflicts_with_all = ["out", "force"], help_heading = "Output")]
    pub no_pictures: bool,
    /// Print one JSON object instead of tables
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// What stands where a run has nothing.
const NOTHING: &str = "—";

/// The curves of Boltzmann machines and belief nets that are compared: keys of `metrics.jsonl`, their names and units.
const MACHINE_CURVES: [(&str, &str, &str); 3] = [
    ("pseudo_log_likelihood", "pseudo-log-likelihood", "nats a case"),
    ("mean_free_energy", "free energy of the cases", "nats"),
    ("importance_weighted", "log p(v) from below", "nats a case"),
];

/// A key of the recipes, and what each run has there.
#[derive(Serialize)]
struct ComparedKey {
    key: String,
    values: Vec<Option<Value>>,
}

/// A number of each run.
#[derive(Serialize)]
struct ComparedNumber {
    name: String,
    unit: String,
    values: Vec<Option<RunNumber>>,
}

#[derive(Clone, Serialize)]
struct RunNumber {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<f64>,
}

#[derive(Serialize)]
struct Comparison {
    runs: Vec<String>,
    recipes: Vec<ComparedKey>,
    results: Vec<ComparedNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<PathBuf>,
}

/// Prints where the recipes of several runs differ and what was measured of each, and draws their learning curves in one picture.
pub fn run(args: &Compare) -> Result<()> {
    if !args.no_pictures {
        output::check_free(&[&args.out], args.force)?;
    }
    let names = names(&args.runs);
    let (mut recipes, mut results, mut metrics) = (Vec::new(), Vec::new(), Vec::new());
    for dir in &args.runs {
        let run = Run::open(dir)?;
        let recipe = if beliefs::is_learned(dir) {
            serde_json::to_value(BeliefRecipe::read(dir.join(RECIPE))?)?
        } else if machines::is_learned(dir) {
            serde_json::to_value(MachineRecipe::read(dir.join(RECIPE))?)?
        } else {
            serde_json::to_value(run.recipe()?)?
        };
        recipes.push(flat(&recipe));
        let learned = run.metrics()?;
        results.push(numbers(&run, &learned)?);
        metrics.push(learned);
    }
    let is_drawn = !args.no_pictures && draw(args, &names, &metrics)?;
    let comparison = Comparison {
        recipes: differences(&recipes),
        results: beside(&results),
        picture: is_drawn.then(|| args.out.clone()),
        runs: names,
    };
    if args.json {
        return output::json(&comparison);
    }
    print(&comparison)?;
    match &comparison.picture {
        Some(path) => output::line(format!("\n{}", path.display())),
        None if args.no_pictures => Ok(()),
        None => {
            output::note("no picture: none of these runs has learned an epoch");
            Ok(())
        }
    }
}

/// Whether what lies in the folder is no network.
fn is_machine(dir: &Path) -> bool {
    machines::is_learned(dir) || beliefs::is_learned(dir)
}

/// Draws the curves of the networks, or of the machines where there are no networks.
fn draw(args: &Compare, names: &[String], metrics: &[String]) -> Result<bool> {
    let of = |of_machines: bool| -> Vec<(&str, &str)> {
        let runs = args.runs.iter().zip(names.iter().zip(metrics));
        let runs = runs.filter(|(dir, _)| is_machine(dir) == of_machines);
        runs.map(|(_, (name, metrics))| (name.as_str(), metrics.as_str())).collect()
    };
    let (networks, of_machines) = (of(false), of(true));
    if networks.is_empty() {
        return draw_machines(&args.out, &of_machines);
    }
    if !of_machines.is_empty() {
        output::note(
            "the picture is of the networks: curves of Boltzmann machines and belief nets are of other quantities",
        );
    }
    report::comparison(&args.out, &networks).context("the picture")
}

/// Draws the curves of Boltzmann machines and belief nets, by their names and metrics. Whether there are any.
fn draw_machines(path: &Path, runs: &[(&str, &str)]) -> Result<bool> {
    let panel = |(key, name, unit): &(&str, &str, &str)| {
        let series = runs.iter().map(|(run, metrics)| (run, points(metrics, key)));
        let series = series.filter(|(_, points)| !points.is_empty());
        let series: Vec<Series> =
            series.map(|(run, points)| Series::new(*run, Mark::Line, points)).collect();
        (!series.is_empty()).then(|| (format!("{name} ({unit})"), series))
    };
    let panels: Vec<_> = MACHINE_CURVES.iter().filter_map(panel).collect();
    let is_drawn = !panels.is_empty();
    if is_drawn {
        learning(path, panels).context("the picture")?;
    }
    Ok(is_drawn)
}

/// The last number of each curve of a Boltzmann machine or belief net: its name, its unit, and the number.
fn last_of_machine(metrics: &str) -> Vec<(String, &'static str, f64)> {
    let last = |(key, name, unit): &(&str, &str, &'static str)| {
        let (_, value) = points(metrics, key).last().copied()?;
        Some(((*name).to_owned(), *unit, value))
    };
    MACHINE_CURVES.iter().filter_map(last).collect()
}

fn print(comparison: &Comparison) -> Result<()> {
    let names = comparison.runs.iter().map(String::as_str);
    match comparison.recipes.is_empty() {
        true => output::line("The recipes are the same.")?,
        false => {
            let header: Vec<_> = std::iter::once("recipe").chain(names.clone()).collect();
            let rows = comparison.recipes.iter().map(|ComparedKey { key, values }| {
                let texts = values.iter().map(|value| value.as_ref().map_or(NOTHING.into(), text));
                std::iter::once(key.clone()).chain(texts).collect()
            });
            output::line(output::table(&header, rows.collect()))?;
        }
    }
    let header: Vec<_> = std::iter::once("result").chain(names).collect();
    let rows = comparison.results.iter().map(|ComparedNumber { name, unit, values }| {
        let texts = values.iter().map(|found| match found {
            Some(RunNumber { value, error: Some(error) }) => format!("{value:.4} ± {error:.4}"),
            // What is counted has no decimals.
            Some(RunNumber { value, error: None }) if unit.is_empty() && value.fract() == 0.0 => {
                output::grouped(*value as u64)
            }
            Some(RunNumber { value, error: None }) => format!("{value:.4}"),
            None => NOTHING.into(),
        });
        let name = if unit.is_empty() { name.clone() } else { format!("{name} ({unit})") };
        std::iter::once(name).chain(texts).collect()
    });
    output::line("")?;
    output::line(output::table(&header, rows.collect()))
}

/// The folders' own names where these are enough to tell them apart, else their paths.
fn names(runs: &[PathBuf]) -> Vec<String> {
    let own = |path: &PathBuf| path.file_name().map(|name| name.display().to_string());
    let names: Option<Vec<_>> = runs.iter().map(own).collect();
    let is_told =
        |names: &Vec<String>| names.iter().enumerate().all(|(i, name)| !names[..i].contains(name));
    let paths = || runs.iter().map(|path| path.display().to_string()).collect();
    names.filter(is_told).unwrap_or_else(paths)
}

/// The keys of a recipe, those of tables in it with points between them.
fn flat(recipe: &Value) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    let mut rest = vec![(String::new(), recipe)];
    while let Some((at, value)) = rest.pop() {
        let below =
            |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        match value {
            Value::Object(table) => {
                rest.extend(table.iter().map(|(name, value)| (below(name), value)))
            }
            Value::Array(list) if list.iter().any(Value::is_object) => {
                rest.extend(
                    list.iter().enumerate().map(|(i, value)| (below(&i.to_string()), value)),
                );
            }
            Value::Null => {}
            value => drop(keys.insert(at, value.clone())),
        }
    }
    keys
}

/// The keys at which not all recipes are alike.
fn differences(recipes: &[BTreeMap<String, Value>]) -> Vec<ComparedKey> {
    let mut keys: Vec<_> = recipes.iter().flat_map(BTreeMap::keys).cloned().collect();
    keys.sort();
    keys.dedup();
    let all = keys.into_iter().map(|key| {
        let values = recipes.iter().map(|recipe| recipe.get(&key).cloned()).collect();
        ComparedKey { key, values }
    });
    all.filter(|ComparedKey { values, .. }| values.iter().any(|value| *value != values[0]))
        .collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        value => value.to_string(),
    }
}

/// A name and a unit with a number of one run.
type NamedNumber = ((String, String), RunNumber);

/// What its training took and came to, and what was measured of its model.
fn numbers(run: &Run, metrics: &str) -> Result<Vec<NamedNumber>> {
    let mut numbers = Vec::new();
    let mut add = |name: String, unit: &str, value, error| {
        numbers.push(((name, unit.to_owned()), RunNumber { value, error }));
    };
    let is_machine = is_machine(run.dir());
    let last = match is_machine {
        true => {
            add("epochs".into(), "", lines(metrics).count() as f64, None);
            let seconds = points(metrics, "seconds").into_iter().map(|(_, seconds)| seconds).sum();
            add("time of learning".into(), "s", seconds, None);
            last_of_machine(metrics)
        }
        false => {
            let lines = report::lines(metrics);
            add("epochs".into(), "", lines.len() as f64, None);
            let seconds = lines.iter().map(|line| line.seconds).sum();
            add("time of learning".into(), "s", seconds, None);
            report::last(metrics)
        }
    };
    for (name, unit, value) in last {
        add(format!("{name}, at the end"), unit, value, None);
    }
    if run.is_finished() || is_machine {
        for MeasurementSet { dataset: on, numbers, verdict, .. } in
            Results::read(run.dir())?.measured
        {
            let cases =
                format!("{} {} cases of {}", output::grouped(on.cases as u64), on.part, on.data);
            let prepared = if on.binarise == Binarise::None {
                String::new()
            } else {
                format!(", {}", on.binarise)
            };
            for number in numbers {
                add(
                    format!("{}: {cases}{prepared}", number.name),
                    &number.unit.to_string(),
                    number.value,
                    number.error,
                );
            }
            if let Some(verdict) = verdict {
                output::note(format!("{}: log Z: {verdict}", run.dir().display()));
            }
        }
    }
    Ok(numbers)
}

/// The numbers of all runs, those of one name and unit in a line, in the order in which they come first.
fn beside(runs: &[Vec<NamedNumber>]) -> Vec<ComparedNumber> {
    let mut names: Vec<&(String, String)> = Vec::new();
    for (name, _) in runs.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let line = |name: &(String, String)| {
        let of = |run: &Vec<NamedNumber>| {
            run.iter().find(|(of, _)| of == name).map(|(_, found)| found.clone())
        };
        ComparedNumber {
            name: name.0.clone(),
            unit: name.1.clone(),
            values: runs.iter().map(of).collect(),
        }
    };
    names.into_iter().map(line).collect()
}
