//! What is evaluated, and what becomes of the numbers: they stay with the run, and with `--report` charts are drawn of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::Tensor;
use candle_dbn::store::results::{DataVariant, MeasurementSet, Results};
use candle_dbn::viz::{gallery, report};
use candle_dbn::{Examples, Inference, Model, Recipe, Run};
use rbm_core::Rng;
use rbm_core::state::{UNFINISHED, write_whole};
use serde::Serialize;

use crate::inputs::Cases;
use crate::output;

/// What is evaluated, and what becomes of the numbers: nothing of it is left to be looked up.
pub struct Subject {
    /// The folder of the model.
    pub run: PathBuf,
    pub model: Model,
    pub examples: Examples,
    /// What to call them in an error.
    pub source: String,
    /// What to call them in a chart.
    pub name: &'static str,
    /// What the model learned from, for the charts of a report, where it is known and is something else.
    pub training: Option<Examples>,
    /// Which data they are, where they are the run's own and the run keeps what is measured.
    pub variant: Option<DataVariant>,
    pub recognise: Inference,
    pub seed: u64,
    /// The folder of the report.
    pub report: Option<PathBuf>,
    pub json: bool,
}

impl Subject {
    /// Keeps what `measure` makes of the data, where these are the run's own: others say little about it.
    pub fn keep(&self, measure: impl FnOnce(DataVariant) -> MeasurementSet) {
        if let Some(variant) = self.variant.clone() {
            record(&self.run, measure(variant));
        }
    }
}

const REPORT: &str = "report.json";
/// The histogram of free energies, and what it calls samples of the model.
pub const FREE_ENERGIES: &str = "free_energies.png";
pub const SAMPLED: &str = "sampled";

/// Errors where a report lies in `dir` already, unless it may be replaced.
pub fn check_report(dir: &Path, force: bool) -> Result<()> {
    output::check_folder(dir)?;
    output::check_free(&[dir.join(REPORT)], force)
}

/// Writes what every evaluation has into `dir`: `report.json`, the histogram of free energies of the examples, of the training cases
/// where they are known, and of `samples` (drawn here if there are none), and the singular values over the training.
pub fn report(
    dir: &Path,
    subject: &Subject,
    numbers: &impl Serialize,
    samples: Option<&Tensor>,
) -> Result<()> {
    let Subject { run, model, examples, name, training, seed, .. } = subject;
    let samples = match samples {
        Some(samples) => samples.clone(),
        None => gallery::configurations(model, gallery::CONFIGURATIONS, &mut Rng::new(*seed))?,
    };
    let mut groups = Vec::new();
    if let Some(train) = training {
        groups.push((
            "training",
            model.prepare_cases(&train.cases)?.thinned(report::MAX_HISTOGRAM_CASES)?,
        ));
    }
    let prepared = Examples { cases: model.prepare_cases(&examples.cases)?, ..examples.clone() };
    groups.push((*name, prepared.cases.thinned(report::MAX_HISTOGRAM_CASES)?));
    groups.push((SAMPLED, samples));
    filled(dir, numbers, |place| {
        correlations(place, model, &prepared, &mut Rng::new(*seed).split(1))?;
        report::free_energies(place.join(FREE_ENERGIES), model, &groups)?;
        if let Ok(run) = Run::open(run) {
            report::singular_values(place, &run.metrics()?)?;
        }
        Ok(())
    })
}

/// Writes `numbers` as `report.json` into `dir`, with the pictures that `draw` leaves in the folder it is given.
pub fn filled(
    dir: &Path,
    numbers: &impl Serialize,
    draw: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let failed = || dir.display().to_string();
    std::fs::create_dir_all(dir).with_context(failed)?;
    // In a folder of its own first: a report that fails leaves nothing of itself.
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(dir);
    let unfinished = unfinished.with_context(failed)?;
    let place = unfinished.path();
    let json = serde_json::to_vec_pretty(numbers)?;
    write_whole(&place.join(REPORT), &json)?;
    draw(place)?;
    for entry in place.read_dir().with_context(failed)? {
        let entry = entry.with_context(failed)?;
        std::fs::rename(entry.path(), dir.join(entry.file_name())).with_context(failed)?;
    }
    output::note(format!("report: {}", dir.display()));
    Ok(())
}

/// Draws what varies together in the cases of an alignment, prepared by the model, and in samples of it. Notes what the picture shows.
pub fn correlations(dir: &Path, model: &Model, prepared: &Examples, rng: &mut Rng) -> Result<()> {
    if !report::is_alignment(model) {
        return Ok(());
    }
    let samples = gallery::configurations(model, report::CORRELATED, rng)?;
    let path = dir.join(report::CORRELATIONS);
    if let Some(r) = report::correlations(&path, model, prepared, &samples)? {
        output::note(format!(
            "C_ij of the data and of {} samples: Pearson's r {r:.3}",
            report::CORRELATED
        ));
    }
    Ok(())
}

/// Exactly which data `part` is, of those that `recipe` names.
pub fn variant(recipe: &Recipe, model: &Model, cases: Cases, part: &Examples) -> DataVariant {
    let scale = model.preprocessing.as_ref().map_or(1.0, |done| done.scale);
    let done = recipe.preprocessing(scale, None);
    DataVariant {
        data: recipe.clone().without_paths().data.source,
        part: cases.into(),
        cases: part.len(),
        scale: Some(done.scale),
        binarise: done.binarise,
    }
}

/// Keeps `measured` in the folder `run`. That it cannot be written is no reason not to print it.
pub fn record(run: &Path, measured: MeasurementSet) {
    if let Err(error) = Results::record(run, measured) {
        tracing::warn!(%error, "the numbers are not kept for a model card");
    }
}
