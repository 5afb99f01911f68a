//! What a training leaves when it is done: the model, pictures and charts of it, and numbers of cases that nothing has seen.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::Tensor;
use candle_dbn::store::results::MeasurementSet;
use candle_dbn::viz::{gallery, report};
use candle_dbn::{Evaluation, Examples, Inference, Model, Run, Training, data};
use rbm_core::{Rng, Rows, Units};

use crate::commands::evaluate::subject;
use crate::inputs::Cases;
use crate::output;

/// What is looked at when a training is done.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// Pictures are drawn.
    pub pictures: bool,
    /// The model is measured on the cases held out.
    pub evaluation: bool,
}

/// Saves the model and looks at it once, on the cases that nothing has seen. Returns what to say about it.
pub fn run(run: &Run, model: &Model, training: &Training, looks: Looks) -> Result<String> {
    model.save(run.dir())?;
    let unseen = training.held_out.as_ref();
    if looks.pictures {
        let shown = match unseen {
            Some(part) if part.cases.may_miss() => {
                let some = part.cases.block(0..part.len().min(gallery::PAIRS))?;
                model.in_data_values(&model.prepare(&some)?)?
            }
            Some(part) => part.cases.block(0..part.len().min(gallery::PAIRS))?,
            None => {
                let train = &training.train;
                let numbers: Vec<u32> = (0..train.len().min(gallery::PAIRS) as u32).collect();
                let some = model.complete(&train.cases.select(&numbers)?)?;
                model.in_data_values(&some.tensor()?)?
            }
        };
        gallery::write(run.dir(), model, &shown, training.recipe.seed).context("pictures")?;
        charts(run, model, training, looks.evaluation).context("charts")?;
    }
    let Some(held_out) = unseen.filter(|_| looks.evaluation) else {
        return Ok("done, without a look at held-out cases".into());
    };
    let seed = training.recipe.seed;
    let evaluation = Evaluation::of(model, held_out, Inference::default(), seed)?;
    if let (Some(percent), Some(labels)) = (evaluation.error_percent, &held_out.labels) {
        warn_of_frequency(percent, labels);
    }
    let on = subject::variant(&training.recipe, model, Cases::HeldOut, held_out);
    subject::record(run.dir(), MeasurementSet::of_evaluation(&evaluation, on, seed));
    if let (Some(rmse), Some(of_mean)) = (evaluation.rmse, evaluation.rmse_of_mean) {
        if rmse >= of_mean {
            output::note(
                "warning: the target is predicted no better than by its mean: the columns may say nothing about it",
            );
        }
        return Ok(format!("held-out RMSE {rmse:.4} (the mean in every place: {of_mean:.4})"));
    }
    Ok(match (evaluation.error_percent, evaluation.squared_error) {
        (Some(error), _) => format!("held-out error {error:.2} %"),
        (None, Some(error)) => format!("held-out squared error {error:.4} a case"),
        (None, None) => {
            let error =
                evaluation.layers.last().map_or(f64::NAN, |layer| layer.data_reconstruction_error);
            format!("held-out reconstruction error {error:.5}")
        }
    })
}

/// Warns where so many per cent of errors are no fewer than there are without a model, or say nothing.
fn warn_of_frequency(percent: f64, labels: &[u32]) {
    let mut counts = BTreeMap::new();
    labels.iter().for_each(|label| *counts.entry(label).or_insert(0) += 1);
    let most: usize = counts.into_values().max().unwrap_or(0);
    let errors = (0.01 * percent * labels.len() as f64).round() as usize;
    let of_most = labels.len() - most;
    if of_most == 0 {
        output::note("warning: all held-out cases are of one class: the error says nothing");
    } else if errors >= of_most {
        let share = 100.0 * of_most as f64 / labels.len() as f64;
        output::note(format!(
            "warning: no better than naming the most frequent class of the held-out cases ({share:.2} % wrong)"
        ));
    }
}

/// Draws what the training looked like, into the run's folder. Held-out cases are drawn only where they are evaluated too.
fn charts(run: &Run, model: &Model, training: &Training, is_evaluated: bool) -> Result<()> {
    let complete = |part: &Examples| -> Result<Examples> {
        Ok(Examples { cases: model.complete(&part.cases)?, ..part.clone() })
    };
    let mut coded = complete(&training.train)?;
    let mut rng = Rng::new(training.recipe.seed);
    // Energies of values and of bits are not to be compared: cases are drawn here where learning draws them.
    let mut draws = rng.split(1);
    let mut seen = |cases: &data::View| -> Result<Tensor> {
        let values = cases.thinned(report::MAX_HISTOGRAM_CASES)?;
        Ok(training.recipe.data.pass.of_probabilities(&values, &mut draws)?)
    };
    let mut groups = vec![("training", seen(&coded.cases)?)];
    match (&training.validation, &training.held_out) {
        (Some(part), _) => {
            coded = complete(part)?;
            groups.push(("validation", seen(&coded.cases)?));
        }
        (None, Some(part)) if is_evaluated => {
            let prepared = model.prepare_cases(&part.cases)?;
            groups.push(("held-out", seen(&prepared)?));
            coded = Examples { cases: prepared, ..part.clone() };
        }
        _ => {}
    }
    let has_own_draws = matches!(model.dbn.visible_units(), Units::Multinomial { draws: 0, .. });
    if !has_own_draws {
        groups
            .push(("sampled", gallery::configurations(model, gallery::CONFIGURATIONS, &mut rng)?));
    }
    report::free_energies(&run.dir().join("free_energies.png"), model, &groups)?;
    subject::correlations(run.dir(), model, &complete(&training.train)?, &mut rng.split(2))?;
    report::codes(&run.dir().join("codes.png"), model, &coded)?;
    let metrics = run.metrics()?;
    report::learning(run.dir(), &metrics)?;
    report::acceptance(run.dir(), &metrics)?;
    Ok(report::singular_values(run.dir(), &metrics)?)
}
