//! `dbn inspect`: what a run holds.

use std::path::PathBuf;

use anyhow::Result;
use candle_boltzmann::MachineSummary;
use candle_boltzmann::belief::learning::BeliefLearning;
use candle_boltzmann::learning::Learning;
use candle_core::{DType, Device, Tensor};
use candle_dbn::recipe::{BeliefRecipe, MachineRecipe};
use candle_dbn::store::table::TableLayout;
use rbm_core::Units;
use serde::Serialize;

use crate::beliefs::{self, LearnedBelief};
use crate::machines::{self, LearnedMachine};
use crate::{inputs, output};

/// So many couplings of each kind are shown.
const SHOWN_COUPLINGS: usize = 5;

/// Show what a run holds: architecture, parameters, weights
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn inspect runs/mnist
  dbn inspect runs/bm      a Boltzmann machine: units, couplings and the largest of them, how it learns")]
pub struct Inspect {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// One tensor of the model.
#[derive(Serialize)]
struct TensorEntry {
    name: String,
    shape: Vec<usize>,
    parameters: usize,
    mean: f32,
    deviation: f32,
    least: f32,
    greatest: f32,
}

#[derive(Serialize)]
struct Contents {
    config: candle_dbn::Config,
    parameters: usize,
    tensors: Vec<TensorEntry>,
}

/// Prints a table of the model's tensors, or one JSON object.
pub fn run(args: &Inspect) -> Result<()> {
    if machines::is_meant(&args.run) {
        machines::check_learned(&args.run)?;
        return of_machine(args);
    }
    if beliefs::is_learned(&args.run) {
        return of_belief(args);
    }
    let model = inputs::load_model(&args.run, &Device::Cpu)?;
    let entries = model.tensors()?.into_iter().map(|(name, tensor)| entry(name, &tensor));
    let tensors = entries.collect::<Result<Vec<_>>>()?;
    let parameters = tensors.iter().map(|entry| entry.parameters).sum();
    let report = Contents { config: model.config(), parameters, tensors };
    if args.json {
        output::json(&report)?;
        return Ok(());
    }
    output::line(format!("network {}", report.config.layers()))?;
    if let Some(classes) = report.config.classes {
        output::line(format!("classifier of {classes} classes"))?;
    }
    if let Some((height, width)) = report.config.image {
        output::line(format!("pictures of {width} x {height} pixels"))?;
    }
    output::line(format!("parameters {}", output::grouped(report.parameters as u64)))?;
    print_tensors(&report.tensors)
}

/// What a belief net holds.
#[derive(Serialize)]
struct BeliefContents<'a> {
    /// Of each layer, from the observed one up.
    widths: Vec<usize>,
    parameters: usize,
    epochs_done: usize,
    learning: &'a BeliefLearning,
    recipe: Option<&'a BeliefRecipe>,
    tensors: Vec<TensorEntry>,
}

/// Prints a table of a belief net's tensors, of its recognition too, or one JSON object.
fn of_belief(args: &Inspect) -> Result<()> {
    let belief = LearnedBelief::open(&args.run)?;
    let (machine, learning) = (belief.learner.machine(), belief.learner.learning());
    let parameters = machine.parameters().into_iter();
    let entries = parameters.map(|(name, var)| entry(name, &var.as_detached_tensor()));
    let tensors = entries.collect::<Result<Vec<_>>>()?;
    let contents = BeliefContents {
        widths: belief.widths(),
        parameters: tensors.iter().map(|entry| entry.parameters).sum(),
        epochs_done: belief.learner.epoch(),
        learning,
        recipe: belief.recipe.as_ref(),
        tensors,
    };
    if args.json {
        return output::json(&contents);
    }
    let widths: Vec<String> = contents.widths.iter().map(usize::to_string).collect();
    output::line(format!("belief net {}, with its recognition", widths.join(" ← ")))?;
    output::line(format!("parameters {}", output::grouped(contents.parameters as u64)))?;
    print_tensors(&contents.tensors)?;
    let settings = belief.recipe.as_ref().map(BeliefRecipe::settings);
    let settings = settings.map_or_else(String::new, |all| format!("; {}", all.join(" ")));
    output::line(format!(
        "learned {} of {} epochs, seed {}{settings}",
        contents.epochs_done, learning.epochs, learning.seed
    ))
}

/// A table of tensors.
fn print_tensors(tensors: &[TensorEntry]) -> Result<()> {
    let rows = tensors.iter().map(|entry| {
        let shape: Vec<_> = entry.shape.iter().map(ToString::to_string).collect();
        let numbers = [entry.mean, entry.deviation, entry.least, entry.greatest];
        let numbers = numbers.iter().map(|number| format!("{number:.4}"));
        [entry.name.clone(), shape.join(" x "), output::grouped(entry.parameters as u64)]
            .into_iter()
            .chain(numbers)
            .collect()
    });
    output::line(output::table(
        &["tensor", "shape", "parameters", "mean", "deviation", "least", "greatest"],
        rows.collect(),
    ))
}

/// What a Boltzmann machine holds.
#[derive(Serialize)]
struct MachineContents<'a> {
    #[serde(flatten)]
    summary: MachineSummary,
    epochs_done: usize,
    learning: &'a Learning,
    recipe: Option<&'a MachineRecipe>,
}

/// Prints tables of a machine's layers and couplings, or one JSON object.
fn of_machine(args: &Inspect) -> Result<()> {
    let machine = LearnedMachine::open(&args.run)?;
    let summary = machine.learner.summary(SHOWN_COUPLINGS)?;
    let learning = machine.learner.learning();
    if args.json {
        return output::json(&MachineContents {
            summary,
            epochs_done: machine.learner.epoch(),
            learning,
            recipe: machine.recipe.as_ref(),
        });
    }
    let units: Vec<String> =
        summary.layers.iter().map(|layer| format!("{} {}", layer.name, layer.units)).collect();
    output::line(format!("Boltzmann machine, {}", units.join(", ")))?;
    output::line(format!("parameters {}", output::grouped(summary.parameters as u64)))?;
    let layers = summary.layers.iter().map(|layer| {
        let count = output::grouped(layer.units.width() as u64);
        let numbers = [format!("{:.4}", layer.mean_bias), format!("{:.4}", layer.bias)];
        [format!("biases, {}", layer.name), count].into_iter().chain(numbers).collect()
    });
    let header = ["", "numbers", "mean", "root mean square"];
    output::line(output::table(&header, layers.collect()))?;
    // Columns of a table by their names, and of a category by its state.
    let table = TableLayout::read(&args.run)?.and_then(|table| table.columns);
    let mut names = table.map(|columns| columns.value_names()).unwrap_or_default();
    // Of an alignment letters at sites, which are counted from 1.
    if let (Units::Potts { sites, .. }, Ok(alphabet)) =
        (machine.visible(), machine.letters("inspect"))
    {
        let site =
            |site: usize| alphabet.letters().chars().map(move |letter| format!("{site}{letter}"));
        names = (1..=*sites).flat_map(site).collect();
    }
    let name_of = |layer: &str, column: usize| match names.get(column) {
        Some(name) if layer.ends_with("visible") => name.clone(),
        _ => column.to_string(),
    };
    let pair = |layers: [&str; 2], [i, j]: [usize; 2], value: f64| {
        let between = if names.is_empty() { "," } else { " – " };
        format!("{}{between}{}: {value:.3}", name_of(layers[0], i), name_of(layers[1], j))
    };
    let couplings = summary.couplings.iter().map(|of| {
        let ends = of.name.split_once('–').map_or([&of.name[..]; 2], |(a, b)| [a, b]);
        let largest = of.largest.iter().map(|it| pair(ends, it.columns, it.value));
        vec![
            of.name.to_owned(),
            output::grouped(of.couplings as u64),
            format!("{:.4}", of.root_mean_square),
            format!("{:.3}", of.norm),
            largest.collect::<Vec<_>>().join("  "),
        ]
    });
    let by = if names.is_empty() { "largest, by columns from 0" } else { "largest" };
    let header = ["couplings", "numbers", "root mean square", "norm", by];
    output::line(output::texts(&header, couplings.collect()))?;
    let partial = summary.partial_correlations.iter();
    let partial = partial.map(|it| pair(["visible"; 2], it.columns, it.value));
    let partial: Vec<String> = partial.collect();
    if !partial.is_empty() {
        output::line(format!("partial correlations, all else given: {}", partial.join("  ")))?;
    }
    let Some(recipe) = &machine.recipe else {
        return output::line("how it learned is not known");
    };
    output::line(format!(
        "learned {} of {} epochs, seed {}; {}",
        machine.learner.epoch(),
        learning.epochs,
        learning.seed,
        recipe.settings().join(" ")
    ))
}

fn entry(name: String, tensor: &Tensor) -> Result<TensorEntry> {
    let flat = tensor.flatten_all()?.to_dtype(DType::F32)?;
    let mean = flat.mean_all()?.to_scalar::<f32>()?;
    let variance = (&flat - f64::from(mean))?.sqr()?.mean_all()?.to_scalar::<f32>()?;
    Ok(TensorEntry {
        name,
        shape: tensor.dims().to_vec(),
        parameters: tensor.elem_count(),
        mean,
        deviation: variance.sqrt(),
        least: flat.min_all()?.to_scalar()?,
        greatest: flat.max_all()?.to_scalar()?,
    })
}
