//! The classifier of a deep Boltzmann machine: a network unrolled from it, in a folder of its own in the run, fine-tuned as any network is.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use candle_boltzmann::unrolled::unrolled;
use candle_core::Device;
use candle_dbn::recipe::{ClassifierRecipe, DataRecipe, LayerRecipe, MachineRecipe, VisibleKind};
use candle_dbn::{Dataset, Examples, Recipe, Run, Training};
use indicatif::MultiProgress;
use rbm_core::Units;

use super::machine_run;
use crate::machines::{CLASSIFIER, LearnedMachine, MachineCases};
use crate::output;

/// Takes the classifier of the machine in the folder `dir` away where the machine `has_learned` since it was unrolled from it.
pub fn forget(dir: &Path, has_learned: bool) -> Result<()> {
    let dir = dir.join(CLASSIFIER);
    if has_learned && dir.exists() {
        output::note(
            "the classifier is learned again: it is unrolled from what the machine is now",
        );
        fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    Ok(())
}

/// Fine-tunes the classifier on `train`, of so many classes, or goes on where it was stopped. Nothing where it is there.
pub fn learn(
    machine: &LearnedMachine,
    (recipe, classifier): (&MachineRecipe, &ClassifierRecipe),
    (train, classes): (&MachineCases, usize),
    interval: Duration,
    (bars, quiet): (&MultiProgress, bool),
) -> Result<()> {
    let dir = machine.dir.join(CLASSIFIER);
    // Before minutes of mean field: there may be nothing to do.
    if let Ok(run) = Run::open(&dir)
        && run.is_finished()
        && run.recipe()?.classifier.as_ref() == Some(classifier)
    {
        return Ok(());
    }
    let rbms = unrolled(&machine.learner)?;
    let layer = |units| LayerRecipe { hidden: units, epochs: 0, ..LayerRecipe::default() };
    let taken = DataRecipe {
        hold_out_one_in: None,
        validate_one_in: None,
        limit: None,
        ..recipe.data.0.clone()
    };
    let network = Recipe {
        name: CLASSIFIER.to_owned(),
        seed: recipe.seed,
        visible: VisibleKind::Of(Units::bernoulli(1)),
        data: taken,
        layers: machine.learner.shape().hidden.iter().cloned().map(layer).collect(),
        classifier: Some(classifier.clone()),
        ..Recipe::default()
    };
    let labels = train.examples.labels.clone();
    let labels = labels.context("[classifier]: expected data with labels, found none")?;
    let cases = Examples::new(machine.seen_by_classifier(train, bars)?, Some(labels))?;
    let dataset =
        Dataset { name: train.source.clone(), classes: Some(classes), ..Dataset::of(cases) };
    let mut training = Training::of_machines(network, dataset, rbms, &Device::Cpu)?;
    let is_same = |a: &Recipe, b: &Recipe| a.classifier == b.classifier;
    let dirs = (&*machine.dir, &*dir);
    machine_run::train_inside(dirs, &mut training, is_same, interval, (bars, quiet))
}
