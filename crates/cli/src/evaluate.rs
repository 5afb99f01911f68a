//! `dbn evaluate`

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use dbn::datasets::Parts;
use dbn::{Evaluation, Model, Part, Run, datasets};
use indicatif::MultiProgress;

use crate::args::{Cases, DataOptions, Evaluate};
use crate::{device, likelihood, output, progress, recipe, report};

/// Prints a table, or one JSON object.
pub fn run(args: &Evaluate, bars: &MultiProgress) -> Result<ExitCode> {
    let model = Model::load(&args.run, &device::find(&args.place.device)?)?;
    let part = cases(&args.run, &model, args.data.as_deref(), &args.data_options, args.cases)?;
    if args.likelihood.likelihood {
        let found = likelihood::run(args, &model, &part, bars);
        return found.with_context(|| source(args.data.as_deref(), &args.run));
    }
    let spinner = progress::spinner(bars, "evaluating");
    let evaluation = Evaluation::of(&model, &part, args.seed);
    spinner.finish_and_clear();
    let evaluation = evaluation.with_context(|| source(args.data.as_deref(), &args.run))?;
    if let Some(dir) = &args.report {
        report::write(dir, args, &model, &part, &evaluation, None)?;
    }
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
    let (dataset, of_recipe) = match data {
        Some(source) => (recipe::load_other(source, options)?, None),
        None => {
            let recipe = Run::open(dir).context("name the data, or a run's folder")?.recipe()?;
            (recipe::load_data(&recipe)?, Some(recipe.data))
        }
    };
    let has_unseen = dataset.held_out.is_some() || of_recipe.is_some() && !dataset.is_population;
    let cases = cases.unwrap_or(if has_unseen { Cases::HeldOut } else { Cases::All });
    let name = dataset.name.clone();
    let (hold_out, validate) =
        of_recipe.map_or((5, 0), |data| (data.hold_out_one_in, data.validate_one_in));
    // Those that are kept for validation are cases of the training part, unless they alone are asked for; and all cases stay
    // in their order.
    let hold_out = if cases == Cases::All { 0 } else { hold_out };
    let validate = if cases == Cases::Validation { validate } else { 0 };
    let Parts { train, validation, held_out } = dataset.parts(hold_out, validate)?;
    let part = match cases {
        Cases::Train => Some(train),
        Cases::Validation => validation,
        Cases::HeldOut => held_out,
        Cases::All => {
            let others = [validation, held_out].into_iter().flatten();
            Some(others.fold(Ok(train), |all, part| join(&all?, &part))?)
        }
    };
    let Some(part) = part else {
        let purpose = if cases == Cases::HeldOut { "held out" } else { "kept for validation" };
        bail!("{name}: no cases are {purpose} of this data");
    };
    let units = model.dbn.bottom().visible().units();
    model.check_width(part.width())?;
    datasets::check_units(&source(data, dir), &part, &units)?;
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
