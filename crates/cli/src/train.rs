//! `dbn train`

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use candle_dbn::data;
use candle_dbn::store::results::MeasurementSet;
use candle_dbn::store::run::Claim;
use candle_dbn::training::{
    Checkpoint, Command, EpochMetrics, Observer, Outcome, StageStart, Step,
};
use candle_dbn::viz::gallery;
use candle_dbn::viz::report;
use candle_dbn::{Evaluation, Examples, Inference, Model, Recipe, Run, Training};
use indicatif::MultiProgress;
use rbm_core::ops::device::allow_tf32;
use rbm_core::{Rng, Rows, Units};

use crate::args::{Cases, Train};
use crate::interrupt::{self, Stopped};
use crate::progress::{self, Progress};
use crate::{device, dry_run, measured, output, recipe};

/// Trains, leaves a run's folder, and prints where and how good it is.
pub fn run(args: &Train, bars: &MultiProgress, quiet: bool) -> Result<()> {
    train(args, bars, quiet, &|text| output::line(text))
}

/// The same; what it comes to is given to `say`.
pub fn train(
    args: &Train,
    bars: &MultiProgress,
    quiet: bool,
    say: &dyn Fn(&str) -> Result<()>,
) -> Result<()> {
    let interval =
        Duration::try_from_secs_f64(args.checkpoint_every).context("--checkpoint-every")?;
    let device = device::find(&args.place.device)?;
    allow_tf32(&device, args.tf32).context("--tf32")?;
    let (resumed, recipe) = match &args.resume {
        Some(dir) => {
            let run = Run::open(dir)?;
            let claim = run.claim()?;
            let recipe = run.recipe().map_err(output::Usage::of)?;
            (Some((run, claim)), recipe)
        }
        None => (None, recipe::build(args, None)?),
    };
    let dataset = recipe::load_data(&recipe)?;
    let recipe = match resumed {
        Some(_) => recipe,
        None => recipe::build(args, Some(&dataset))?,
    };
    let recipe = without_needless_classifier(recipe, args, &dataset.train);
    say_if_nothing_is_missing(args, &dataset)?;
    let mut training = Training::new(recipe, dataset, &device)?;
    training.monitor = !args.no_monitor;
    if args.dry_run {
        training.notes.iter().for_each(output::note);
        return dry_run::run(training);
    }
    let is_new = resumed.is_none();
    let (run, _claim) = match resumed {
        Some(held) => held,
        None => new_run(args, &training.recipe)?,
    };
    training.notes.iter().for_each(output::note);
    if !is_new {
        go_on(&run, &mut training)?;
    }
    // Training is asked for its files: it goes on when nobody reads its output.
    let said = say(&format!("run {}", run.dir().display()));
    said.or_else(|error| if output::is_broken_pipe(&error) { Ok(()) } else { Err(error) })?;
    let caught = interrupt::catch()?;
    let mut watch =
        Watcher { run: &run, progress: Progress::new(bars, quiet), interval, last: Instant::now() };
    let outcome = training.run(&mut watch);
    watch.progress.finish();
    drop(caught);
    if let Err(error) = &outcome {
        if is_new {
            run.discard_unbegun()?;
        }
        if matches!(error, candle_dbn::Error::Diverged { .. })
            && run.checkpoint().is_ok_and(|it| it.is_some())
        {
            let dir = run.dir().display();
            output::note(format!(
                "what was learned before is kept: change {dir}/{}, and go on with: dbn train --resume {dir}",
                candle_dbn::store::run::RECIPE
            ));
        }
    }
    match outcome? {
        Outcome::Finished(model) => {
            let spinner = progress::spinner(bars, "pictures and evaluation");
            let result = finish(&run, &model, &training, args);
            spinner.finish_and_clear();
            say(&result?)?;
            report::warnings(&run.metrics()?).iter().for_each(|warning| {
                output::note(format!("warning: {warning}"));
            });
            Ok(())
        }
        Outcome::Stopped => {
            let how = format!("go on with: dbn train --resume {}", run.dir().display());
            Err(Stopped(how).into())
        }
    }
}

/// Says that `--missing` was named for data that miss nothing.
fn say_if_nothing_is_missing(args: &Train, dataset: &data::Dataset) -> Result<()> {
    if args.data_options.read.missing() == data::Missing::Refuse {
        return Ok(());
    }
    let others = [&dataset.validation, &dataset.held_out].into_iter().flatten();
    for part in std::iter::once(&dataset.train).chain(others) {
        if part.cases.has_missing()? {
            return Ok(());
        }
    }
    output::note(
        "--missing: no value of these data is missing; it is kept for other data that the model will see",
    );
    Ok(())
}

/// A recipe that the user did not ask for is not held against data without labels.
fn without_needless_classifier(mut recipe: Recipe, args: &Train, train: &Examples) -> Recipe {
    if recipe.classifier.is_none() || args.resume.is_some() {
        return recipe;
    }
    // A target that was named is what the user wants, whatever the recipe.
    let is_named = args.data_options.read.target.is_some();
    if train.targets.is_some() && (is_named || args.recipe.is_none() && train.labels.is_none()) {
        output::note("the target is predicted by a linear unit on top, in place of a classifier");
        recipe.regressor = recipe.classifier.take().map(|table| table.backpropagation);
        return recipe;
    }
    if args.recipe.is_some() {
        return recipe;
    }
    let why = match &train.labels {
        None => "no labels",
        Some(labels) if labels.windows(2).all(|pair| pair[0] == pair[1]) => {
            "all cases have the same label"
        }
        Some(_) => return recipe,
    };
    output::note(format!("{why}: training without a classifier"));
    recipe.classifier = None;
    recipe
}

fn go_on(run: &Run, training: &mut Training) -> Result<()> {
    match run.checkpoint()? {
        Some(checkpoint) => {
            let notes =
                training.restore(checkpoint).with_context(|| format!("{}", run.dir().display()))?;
            notes.iter().for_each(output::note);
            if training.is_done() && run.is_finished() {
                output::note(format!(
                    "{}: the run is finished, nothing is left to learn (to go on, raise epochs or add a stage in its {})",
                    run.dir().display(),
                    candle_dbn::store::run::RECIPE
                ));
            }
        }
        None if run.is_finished() => {
            bail!(
                "{}: the run is finished, and there is no checkpoint to go on from",
                run.dir().display()
            );
        }
        None => {}
    }
    Ok(run.truncate_metrics(training.record().epochs)?)
}

/// A run in the folder that the user named, or in `runs/20261121-093000-digits` (UTC): sorted by name is sorted by time.
fn new_run(args: &Train, recipe: &Recipe) -> Result<(Run, Claim)> {
    if let Some(dir) = &args.out {
        return Ok(Run::create(dir, recipe)?);
    }
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let name: String =
        recipe.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let numbered = (2..1000).map(|i| format!("{time}-{name}-{i}"));
    let names = std::iter::once(format!("{time}-{name}")).chain(numbered);
    let run = Run::create_in_first_free(names.map(|name| Path::new("runs").join(name)), recipe)?;
    run.context("runs: every name for a new run is taken; choose one with --out")
}

/// Saves the model and looks at it once, on the cases that nothing has seen. Returns what to say about it.
fn finish(run: &Run, model: &Model, training: &Training, args: &Train) -> Result<String> {
    model.save(run.dir())?;
    let unseen = training.held_out.as_ref();
    if !args.no_pictures {
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
        charts(run, model, training, !args.no_evaluation).context("charts")?;
    }
    let Some(held_out) = unseen.filter(|_| !args.no_evaluation) else {
        return Ok("done, without a look at held-out cases".into());
    };
    let seed = training.recipe.seed;
    let evaluation = Evaluation::of(model, held_out, Inference::default(), seed)?;
    let most = held_out.labels.as_deref().map_or(0.0, error_of_most_frequent);
    if evaluation.error_percent.is_some_and(|error| most > 0.0 && error >= most) {
        output::note(format!(
            "warning: no better than naming the most frequent class of the held-out cases ({most:.2} % wrong)"
        ));
    }
    let on = measured::variant(&training.recipe, model, Cases::HeldOut, held_out);
    measured::record(run.dir(), MeasurementSet::of_evaluation(&evaluation, on, seed));
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

/// How many of these classes, in percent, are not the most frequent one.
fn error_of_most_frequent(labels: &[u32]) -> f64 {
    let mut counts = BTreeMap::new();
    labels.iter().for_each(|label| *counts.entry(label).or_insert(0) += 1);
    let most: usize = counts.into_values().max().unwrap_or(0);
    100.0 * (1.0 - most as f64 / labels.len().max(1) as f64)
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
        let values = cases.thinned(report::MOST)?;
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
    crate::report::correlations(run.dir(), model, &complete(&training.train)?, &mut rng.split(2))?;
    report::codes(&run.dir().join("codes.png"), model, &coded)?;
    let metrics = run.metrics()?;
    report::learning(run.dir(), &metrics)?;
    report::acceptance(run.dir(), &metrics)?;
    Ok(report::singular_values(run.dir(), &metrics)?)
}

/// Shows progress, keeps metrics and checkpoints, and stops at Ctrl-C.
struct Watcher<'a> {
    run: &'a Run,
    progress: Progress,
    interval: Duration,
    last: Instant,
}

impl Observer for Watcher<'_> {
    fn stage(&mut self, stage: &StageStart) -> candle_dbn::Result<()> {
        self.progress.stage(stage);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> candle_dbn::Result<Command> {
        self.progress.step(step);
        Ok(if interrupt::is_asked() {
            Command::Stop
        } else if self.last.elapsed() >= self.interval {
            Command::Checkpoint
        } else {
            Command::Continue
        })
    }

    fn epoch(&mut self, metrics: &EpochMetrics) -> candle_dbn::Result<()> {
        self.progress.epoch(metrics);
        self.run.append_metrics(metrics)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> candle_dbn::Result<()> {
        self.run.save_checkpoint(checkpoint)?;
        self.last = Instant::now();
        Ok(())
    }
}
