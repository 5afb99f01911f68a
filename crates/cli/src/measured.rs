//! What was measured stays with the run: `results.json`, for its model card.

use std::path::Path;

use candle_dbn::store::results::{DataVariant, MeasurementSet, Results};
use candle_dbn::{Examples, Model, Recipe};
use clap::ValueEnum;

use crate::args::Cases;

/// Exactly which data `part` is, of those that `recipe` names.
pub fn variant(recipe: &Recipe, model: &Model, cases: Cases, part: &Examples) -> DataVariant {
    let scale = model.preprocessing.as_ref().map_or(1.0, |done| done.scale);
    let done = recipe.preprocessing(scale, None);
    let name = cases.to_possible_value().map(|value| value.get_name().to_owned());
    DataVariant {
        data: recipe.clone().without_paths().data.source,
        part: name.unwrap_or_default(),
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
