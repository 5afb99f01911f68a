//! `dbn evaluate`

use anyhow::{Context, Result, ensure};
use candle_dbn::store::results::MeasurementSet;
use candle_dbn::{Evaluation, Examples, Inference, Model, Run};
use indicatif::MultiProgress;
use rbm_core::estimate::monitor::Report;
use rbm_core::estimate::pseudo_likelihood_stride;
use rbm_core::rows;

use crate::args::Evaluate;
use crate::likelihood::Plan;
use crate::subject::Subject;
use crate::{device, likelihood, model, output, progress, report};

/// Prints a table, or one JSON object.
pub fn run(args: &Evaluate, bars: &MultiProgress) -> Result<()> {
    if let Some(dir) = &args.report {
        report::check(dir, args.force)?;
    }
    let model = model::load(&args.run, &device::find(&args.place.device)?)?;
    let plan = args.likelihood.likelihood.then(|| Plan::of(&args.likelihood, args.seed));
    let has_data = args.data.is_some() || args.cases.is_some() || Run::open(&args.run).is_ok();
    if let Some(plan) = plan.as_ref().filter(|_| !has_data) {
        ensure!(args.report.is_none(), "--report: expected data, whose energies it shows");
        return likelihood::of_model(&model, &args.run, plan, args.json, bars);
    }
    let subject = Subject::resolve(args, model)?;
    let Subject { model, examples, source, .. } = &subject;
    ensure!(
        subject.recognise == Inference::Means || model.dbn.classes.is_some(),
        "--recognise: expected a network with label units (train it with labels = true)"
    );
    if examples.cases.has_missing()? {
        ensure!(
            plan.is_none(),
            "--likelihood: expected cases without missing values: of others the model gives no log p(v)"
        );
        output::note("missing values are filled in: numbers are of the filled cases");
    }
    match &plan {
        Some(plan) => likelihood::run(&subject, plan, bars).with_context(|| source.clone()),
        None => of_errors(&subject, bars),
    }
}

/// Measures reconstructions, predictions and classes.
fn of_errors(subject: &Subject, bars: &MultiProgress) -> Result<()> {
    let Subject { model, examples, source, recognise, seed, .. } = subject;
    let spinner = progress::spinner(bars, "evaluating");
    let evaluation = Evaluation::of(model, examples, *recognise, *seed);
    spinner.finish_and_clear();
    let evaluation = evaluation.with_context(|| source.clone())?;
    let is_finite =
        evaluation.layers.iter().all(|layer| layer.data_reconstruction_error.is_finite());
    ensure!(
        is_finite,
        "{source}: expected values like those that the model learned from, found some that make its errors infinite (look at the \
         largest values of each column)"
    );
    match subject.json {
        true => output::json(&evaluation)?,
        false => print(model, examples, &evaluation)?,
    }
    if let Some(dir) = &subject.report {
        report::write(dir, subject, &evaluation, None)?;
    }
    if *recognise == Inference::Means {
        subject.keep(|on| MeasurementSet::of_evaluation(&evaluation, on, *seed));
    }
    Ok(())
}

fn print(model: &Model, part: &Examples, evaluation: &Evaluation) -> Result<()> {
    let rows = evaluation.layers.iter().enumerate().map(|(i, layer)| {
        let of = |text: fn(&Report) -> String| layer.report.as_ref().map_or("–".into(), text);
        vec![
            format!("layer {}  {} → {}", i + 1, layer.visible, layer.hidden),
            format!("{:.5}", layer.data_reconstruction_error),
            of(|report| format!("{:.5}", report.reconstruction_error)),
            of(|report| report.pseudo_likelihood.map_or("–".into(), |pl| format!("{pl:.2}"))),
            of(|report| format!("{:.3}", report.hidden_activity)),
            of(|report| format!("{}/{}", report.dead_units, report.stuck_units)),
        ]
    });
    let header =
        ["", "error of data", "error of layer", "pseudo-LL (nats)", "activity", "dead/stuck"];
    output::line(output::table(&header, rows.collect()))?;
    let stride = pseudo_likelihood_stride(model.dbn.bottom(), part.len().min(rows::BLOCK));
    if stride > 1 {
        output::note(format!(
            "the pseudo-likelihood is that of one case in {stride}: one of its draws is compared with every other category"
        ));
    }
    output::line(format!("cases {}", output::grouped(evaluation.cases as u64)))?;
    if let (Some(error), Some(loss)) = (evaluation.squared_error, evaluation.reconstruction_loss) {
        output::line(format!(
            "autoencoder: squared error {error:.4} a case, −log p(v | code) {loss:.4} nats"
        ))?;
    }
    if let (Some(log_likelihood), Some(log_partition)) =
        (evaluation.log_likelihood, evaluation.log_partition)
    {
        output::line(format!(
            "exact log-likelihood {log_likelihood:.4} nats a case, log Z {log_partition:.4}"
        ))?;
    }
    if let (Some(rmse), Some(of_mean)) = (evaluation.rmse, evaluation.rmse_of_mean) {
        output::line(format!("RMSE {rmse:.4} (the mean in every place: {of_mean:.4})"))?;
    }
    if let Some(loss) = evaluation.cross_entropy {
        output::line(format!("cross-entropy {loss:.4} nats"))?;
    }
    if let Some(how) = evaluation.recognition {
        output::line(format!("labels by {how}"))?;
    }
    if let (Some(errors), Some(percent)) = (evaluation.errors, evaluation.error_percent) {
        classes(evaluation)?;
        output::line(format!("error {percent:.2} % ({errors} of {})", evaluation.cases))?;
    }
    Ok(())
}

/// The most classes of which it is shown which are taken for which.
const SHOWN: usize = 20;

/// A table of how well each class is found, and of what its cases are taken for.
fn classes(evaluation: &Evaluation) -> Result<()> {
    let percent =
        |share: Option<f64>| share.map_or("–".into(), |share| format!("{:.1} %", 100.0 * share));
    let is_shown = evaluation.classes.len() <= SHOWN;
    let mut header = vec!["class".to_owned(), "cases".into(), "precision".into(), "recall".into()];
    if is_shown {
        header.extend(evaluation.classes.iter().map(|class| format!("→ {}", class.name)));
    }
    let rows = evaluation.classes.iter().zip(&evaluation.confusion).map(|(class, row)| {
        let cells = [
            class.name.clone(),
            class.cases.to_string(),
            percent(class.precision),
            percent(class.recall),
        ];
        let found = row.iter().filter(|_| is_shown).map(ToString::to_string);
        cells.into_iter().chain(found).collect()
    });
    let header: Vec<_> = header.iter().map(String::as_str).collect();
    output::line(output::table(&header, rows.collect()))
}
