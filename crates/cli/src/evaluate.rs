//! `dbn evaluate`

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use dbn::{Evaluation, Model, Part, Run, datasets};
use indicatif::MultiProgress;

use crate::args::{Cases, DataOptions, Evaluate};
use crate::{device, output, progress, recipe};

/// Prints a table, or one JSON object.
pub fn run(args: &Evaluate, bars: &MultiProgress) -> Result<ExitCode> {
    let model = Model::load(&args.run, &device::find(&args.place.device)?)?;
    let part = cases(&args.run, &model, args.data.as_deref(), &args.data_options, args.cases)?;
    let spinner = progress::spinner(bars, "evaluating");
    let evaluation = Evaluation::of(&model, &part, args.seed);
    spinner.finish_and_clear();
    let evaluation = evaluation.with_context(|| source(args.data.as_deref(), &args.run))?;
    if args.json {
        output::json(&evaluation)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = evaluation.layers.iter().enumerate().map(|(i, layer)| {
        let report = &layer.report;
        vec![
            format!("layer {}  {} → {}", i + 1, layer.visible, layer.hidden),
            format!("{:.5}", layer.data_reconstruction_error),
            format!("{:.5}", report.reconstruction_error),
            report.pseudo_likelihood.map_or("–".into(), |pl| format!("{pl:.2}")),
            format!("{:.3}", report.hidden_activity),
            format!("{}/{}", report.dead_units, report.stuck_units),
        ]
    });
    let header =
        ["", "error of data", "error of layer", "pseudo-LL (nats)", "activity", "dead/stuck"];
    output::line(output::table(&header, rows.collect()))?;
    output::line(format!("cases {}", output::grouped(evaluation.cases as u64)))?;
    if let (Some(log_likelihood), Some(log_partition)) =
        (evaluation.log_likelihood, evaluation.log_partition)
    {
        output::line(format!(
            "exact log-likelihood {log_likelihood:.4} nats a case, log Z {log_partition:.4}"
        ))?;
    }
    if let (Some(loss), Some(errors), Some(percent)) =
        (evaluation.cross_entropy, evaluation.errors, evaluation.error_percent)
    {
        output::line(format!("cross-entropy {loss:.4} nats"))?;
        output::line(format!("error {percent:.2} % ({errors} of {})", evaluation.cases))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The cases that the user means: of the named data, or of the data that the run in `dir` was trained on.
pub fn cases(
    dir: &Path,
    model: &Model,
    data: Option<&str>,
    options: &DataOptions,
    cases: Option<Cases>,
) -> Result<Part> {
    let (dataset, one_in, default) = match data {
        Some(source) => {
            let dataset = recipe::load_other(source, options)?;
            let default = if dataset.held_out.is_some() { Cases::HeldOut } else { Cases::All };
            (dataset, 5, default)
        }
        None => {
            let recipe = Run::open(dir).context("name the data, or a run's folder")?.recipe()?;
            let one_in = recipe.data.hold_out_one_in;
            (recipe::load_data(&recipe)?, one_in, Cases::HeldOut)
        }
    };
    let (train, held_out) = match dataset.held_out {
        Some(held_out) => (dataset.train, Some(held_out)),
        None if cases.unwrap_or(default) == Cases::All || one_in < 2 => (dataset.train, None),
        None => datasets::split(dataset.train, one_in)?,
    };
    let part = match (cases.unwrap_or(default), held_out) {
        (Cases::Train, _) | (Cases::All, None) => train,
        (Cases::HeldOut, Some(held_out)) => held_out,
        (Cases::All, Some(held_out)) => join(&train, &held_out)?,
        (Cases::HeldOut, None) => bail!("{}: no cases are held out of this data", dataset.name),
    };
    let units = model.dbn.bottom().visible().units();
    let (low, high) = units.range();
    datasets::check_range(&source(data, dir), &part, low, high, &units.kind())?;
    Ok(part)
}

/// What to call the cases' source in an error.
pub fn source(data: Option<&str>, run: &Path) -> String {
    data.map_or_else(|| run.display().to_string(), str::to_owned)
}

fn join(a: &Part, b: &Part) -> Result<Part> {
    let labels = match (&a.labels, &b.labels) {
        (Some(a), Some(b)) => Some([&a[..], b].concat()),
        _ => None,
    };
    Ok(Part::of(datasets::Cases::joined(&a.cases, &b.cases)?, labels)?)
}
