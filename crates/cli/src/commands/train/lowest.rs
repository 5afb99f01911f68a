//! Where a deep Boltzmann machine begins: at the lowest machine of a network. Where `init` names a recipe, that network learns first, in a folder of
//! its own in the run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use candle_boltzmann::Couplings;
use candle_boltzmann::learning::{Learner, Learning, Shape};
use candle_core::Device;
use candle_dbn::data::Standardise;
use candle_dbn::recipe::{BUILT_IN, MachineRecipe};
use candle_dbn::store::machine::TableLayout;
use candle_dbn::{Recipe, Training};
use indicatif::MultiProgress;

use super::machine_run;
use crate::commands::recipe::named_or_file;
use crate::inputs;
use crate::output::{self, Usage};

/// The folder of the network that learns first.
const BELOW: &str = "below";

/// The network that is to learn first: the lowest layer of the recipe `init`, of the machine's own data. Nothing where `init` is no recipe. Errors
/// where its units are not those of the machine, and where this cannot begin so.
pub fn network(
    init: &str,
    recipe: &MachineRecipe,
    (shape, learning): (&Shape, &Learning),
) -> Result<Option<Recipe>> {
    if shape.couplings != Couplings::None || learning.pretraining_epochs > 0 {
        return Err(Usage::of(anyhow!(
            "init = {init:?}: expected couplings = \"none\" and pretraining_epochs = 0 beside it, found {} and {}",
            recipe.couplings,
            learning.pretraining_epochs
        )));
    }
    let path = Path::new(init);
    let is_file = init.ends_with(".toml") && path.is_file();
    if path.is_dir() || !(is_file || BUILT_IN.iter().any(|(name, _)| *name == init)) {
        return Ok(None);
    }
    let named = named_or_file(init)?;
    let layers: Vec<_> = named.layers.into_iter().take(1).collect();
    let [found, expected] =
        [layers.first().map(|layer| &layer.hidden), shape.hidden.first()].map(Option::<&_>::cloned);
    if found != expected {
        let text =
            |units: Option<rbm_core::Units>| units.map_or("none".into(), |it| it.to_string());
        return Err(Usage::of(anyhow!(
            "init = {init:?}: expected a recipe whose lowest layer is {}, found {}",
            text(expected),
            text(found)
        )));
    }
    let network = Recipe {
        name: BELOW.to_owned(),
        seed: recipe.seed,
        data: recipe.data.0.clone(),
        layers,
        labels: false,
        updown: None,
        classifier: None,
        regressor: None,
        autoencoder: None,
        ..named
    };
    Ok(Some(network.with::<&str>(&[]).map_err(Usage::of)?))
}

/// Lets `learner` begin at the lowest machine of the network in the folder `from`, or of this name on the Hub, which the recipe calls `init`. Errors
/// where that has other units, or its data another scale than the `table` of the machine.
pub fn begin_at(
    learner: &mut Learner,
    init: &str,
    from: &Path,
    table: Option<&TableLayout>,
    bars: &MultiProgress,
) -> Result<()> {
    let from = inputs::find_model(from, bars)?;
    let model = inputs::load_model(&from, &Device::Cpu)?;
    let scaled = model.standardise.as_ref().map(Standardise::moments).transpose()?;
    ensure!(
        scaled.as_ref() == table.and_then(|table| table.moments.as_ref()),
        "init = {init:?}: expected a network that scales its data as this machine does (name a recipe, and it learns here first)"
    );
    let lowest = model.dbn.rbms.first().with_context(|| format!("{init}: expected a machine"))?;
    learner.begin_at(lowest).map_err(Usage::of).with_context(|| format!("init = {init:?}"))?;
    output::note(format!("begins at the lowest machine of {}", from.display()));
    Ok(())
}

/// The folder of the network, which learns in the run `dir`, or goes on where it was stopped.
pub fn learned(
    network: Recipe,
    dir: &Path,
    interval: Duration,
    screen: (&MultiProgress, bool),
) -> Result<PathBuf> {
    let below = dir.join(BELOW);
    let dataset = inputs::load_data(&network)?;
    let mut training = Training::new(network, dataset, &Device::Cpu)?;
    let is_same = |a: &Recipe, b: &Recipe| (&a.layers, a.seed) == (&b.layers, b.seed);
    machine_run::train_inside((dir, &below), &mut training, is_same, interval, screen)?;
    Ok(below)
}
