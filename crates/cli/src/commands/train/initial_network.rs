//! Where a deep Boltzmann machine begins: at the lowest machine of a network. Where `init` names a recipe, that network learns first, in a folder of
//! its own in the run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use candle_boltzmann::Couplings;
use candle_boltzmann::learning::{Learner, Learning, Shape};
use candle_core::Device;
use candle_dbn::data::{Binarise, Scaling, Standardise};
use candle_dbn::recipe::{BUILT_IN, MachineRecipe, VisibleKind};
use candle_dbn::store::run::RECIPE;
use candle_dbn::store::table::TableLayout;
use candle_dbn::{Recipe, Run, Training};
use indicatif::MultiProgress;
use rbm_core::Units;
use rbm_core::learning::trainer::Pass;
use rbm_core::state::write_whole;

use super::machine_run;
use crate::commands::recipe::named_or_file;
use crate::output::{self, Usage};
use crate::{inputs, machine_data};

/// The folder of the network that learns first.
const BELOW: &str = "below";

/// What a deep machine begins at.
pub enum InitialNetwork {
    /// A network that is to learn first.
    Learns(Box<Training>),
    /// The run of one that has learned, or its name on the Hub.
    Is(PathBuf),
}

/// Whether `init` is the name of a recipe, or of a file of one.
fn is_recipe(init: &str) -> bool {
    BUILT_IN.iter().any(|(name, _)| *name == init) || init.ends_with(".toml")
}

/// `init` as it holds in every folder: paths of recipes and of runs that are here are absolute.
pub fn absolute(init: &str) -> Result<String> {
    let is_path = init.ends_with(".toml") || !is_recipe(init) && Path::new(init).exists();
    if is_path { inputs::absolute(init) } else { Ok(init.to_owned()) }
}

impl InitialNetwork {
    /// What `init` means for a machine of this shape, which learns as `recipe` says.
    ///
    /// # Errors
    ///
    /// Where the machine begins otherwise, and for a recipe whose lowest layer has other units.
    pub fn of(
        init: &str,
        recipe: &MachineRecipe,
        (shape, learning): (&Shape, &Learning),
    ) -> Result<Self> {
        if shape.couplings != Couplings::None || learning.pretraining_epochs > 0 {
            return Err(Usage::of(anyhow!(
                "init = {init:?}: expected couplings = \"none\" and pretraining_epochs = 0 beside it, found {} and {}",
                recipe.couplings,
                learning.pretraining_epochs
            )));
        }
        // Where a file is gone, the run may have the network already.
        if !is_recipe(init) || init.ends_with(".toml") && !Path::new(init).exists() {
            return Ok(Self::Is(init.into()));
        }
        let named = named_or_file(init)?;
        let layers: Vec<_> = named.layers.into_iter().take(1).collect();
        let [found, expected] = [layers.first().map(|layer| &layer.hidden), shape.hidden.first()]
            .map(Option::<&_>::cloned);
        if found != expected {
            let text =
                |units: Option<Units>| units.map_or("none".into(), |units| units.to_string());
            return Err(Usage::of(anyhow!(
                "init = {init:?}: expected a recipe whose lowest layer is {}, found {}",
                text(expected),
                text(found)
            )));
        }
        // Of what the machine itself learns.
        let mut data = recipe.data.0.clone();
        let is_binary = matches!(shape.visible, Units::Bernoulli { .. });
        if is_binary && data.pass == Pass::Mean && data.read.binarise.is_none() {
            data.read.binarise = Some(Binarise::Threshold(machine_data::CUT));
        }
        let network = Recipe {
            name: BELOW.to_owned(),
            seed: recipe.seed,
            visible: VisibleKind::Of(shape.visible.clone()),
            standardise: match machine_data::has_measurements(&shape.visible) {
                true => Scaling::Standardise,
                false => Scaling::None,
            },
            data,
            layers,
            labels: false,
            updown: None,
            classifier: None,
            regressor: None,
            autoencoder: None,
            ..named
        };
        let network = network.with::<&str>(&[]).map_err(Usage::of)?;
        Ok(Self::Learns(Box::new(training_of(network)?)))
    }

    /// Lets `learner` begin at it. A network that is to learn first does so in the folder `dir`, whose recipe is `recipe`, or goes on there where it
    /// was stopped.
    ///
    /// # Errors
    ///
    /// Where it has other units, and where its data have another scale than the `table` of the machine.
    pub fn begin(
        self,
        learner: &mut Learner,
        (dir, recipe): (&Path, &MachineRecipe),
        table: Option<&TableLayout>,
        interval: Duration,
        (bars, quiet): (&MultiProgress, bool),
    ) -> Result<()> {
        let below = dir.join(BELOW);
        let mut training = match self {
            Self::Learns(training) => *training,
            Self::Is(_) if below.join(RECIPE).exists() => {
                training_of(Run::open(&below)?.recipe()?)?
            }
            Self::Is(model) => {
                let model = inputs::find_model(&model, bars)?;
                return begin_at(learner, &model, table);
            }
        };
        // So that the run can go on whenever it is stopped.
        write_whole(&dir.join(RECIPE), recipe.to_toml()?.as_bytes())?;
        output::note(format!("{}: the lowest machine learns first", below.display()));
        let is_same = |a: &Recipe, b: &Recipe| a == b;
        let dirs = (dir, &*below);
        machine_run::train_inside(dirs, &mut training, is_same, interval, (bars, quiet))?;
        begin_at(learner, &below, table)
    }

    /// Errors, before anything is learned, where `learner` cannot begin at it.
    pub fn check(
        &self,
        learner: &mut Learner,
        table: Option<&TableLayout>,
        bars: &MultiProgress,
    ) -> Result<()> {
        match self {
            Self::Learns(_) => Ok(()),
            Self::Is(model) => begin_at(learner, &inputs::find_model(model, bars)?, table),
        }
    }
}

fn training_of(network: Recipe) -> Result<Training> {
    let dataset = inputs::load_data(&network)?;
    Ok(Training::new(network, dataset, &Device::Cpu)?)
}

/// Lets `learner` begin at the lowest machine of the network in the folder `model`.
fn begin_at(learner: &mut Learner, model: &Path, table: Option<&TableLayout>) -> Result<()> {
    let network = inputs::load_model(model, &Device::Cpu)?;
    let scaled = network.standardise.as_ref().map(Standardise::moments).transpose()?;
    ensure!(
        scaled.as_ref() == table.and_then(|table| table.moments.as_ref()),
        "init = \"{0}\": expected a network that scales its data as this machine does, by the same cases (name a recipe as init, and it learns here first)",
        model.display()
    );
    let lowest = network.dbn.bottom();
    let place = || format!("init = \"{}\"", model.display());
    learner.begin_at(lowest).map_err(Usage::of).with_context(place)?;
    output::note(format!("begins at the lowest machine of {}", model.display()));
    Ok(())
}
