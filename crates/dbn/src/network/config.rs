//! What a model is, without its numbers: `config.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_dbn_data::settings::or_default;
use candle_dbn_data::{Alphabet, Binarise, Columns, Missing};
use rbm_core::{Error, Result, Units};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::json;
use crate::network::classifier::Target;

/// The file's name in a model's folder.
pub const CONFIG: &str = "config.json";
/// The weights' file in a model's folder.
pub const WEIGHTS: &str = "model.safetensors";
/// The file of a Boltzmann machine in its run's folder.
pub const MACHINE: &str = "machine.safetensors";
/// The file of a belief net and its recognition in its run's folder.
pub const BELIEF: &str = "belief.safetensors";
/// The file of a Hopfield network and its patterns in its run's folder.
pub const HOPFIELD: &str = "hopfield.safetensors";
/// The file of weights in the folder `dir`: of a network, or of a machine or a belief net where that lies there.
pub(crate) fn weights_in(dir: &Path) -> PathBuf {
    let others = [MACHINE, BELIEF].map(|name| dir.join(name));
    others.into_iter().find(|path| path.is_file()).unwrap_or_else(|| dir.join(WEIGHTS))
}

/// What [`Config::format`] says.
pub const FORMAT: &str = "candle-dbn";
/// The version of the layout that this program writes and reads.
pub const VERSION: u32 = 1;

/// What every configuration says of itself.
#[derive(Deserialize)]
pub(crate) struct ConfigHeader {
    format: String,
    version: u32,
    /// Which kind of model it is of; a network's does not say it.
    pub(crate) model: Option<String>,
}

/// Reads the configuration `path` of a kind of model, `what`: it must be of this version, and call its model so.
///
/// # Errors
///
/// [`Error::Io`] where the file cannot be read; [`Error::File`] where it is something else, or of another version.
pub(crate) fn read_config<T: DeserializeOwned>(
    path: &Path,
    what: &str,
    version: u32,
    model: Option<&str>,
) -> Result<T> {
    let text = json::text(path)?;
    // First of all: another version may have other keys.
    let header: ConfigHeader = json::parsed(&text, path, what)?;
    let is_it = header.format == FORMAT && header.version == version;
    if !is_it || header.model.as_deref() != model {
        let named = |format: &str, version: u32, model: Option<&str>| {
            let model = model.map_or(String::new(), |model| format!(" {model}"));
            format!("{format} version {version}{model}")
        };
        let found = named(&header.format, header.version, header.model.as_deref());
        return Err(Error::file(path, "format", named(FORMAT, version, model), found));
    }
    json::parsed(&text, path, what)
}

/// The configuration in the folder `dir`, as `read` has it; nothing where there is none.
///
/// # Errors
///
/// Those of `read`.
pub(crate) fn find_config<T>(dir: &Path, read: impl Fn(&Path) -> Result<T>) -> Result<Option<T>> {
    let path = dir.join(CONFIG);
    path.is_file().then(|| read(&path)).transpose()
}

/// What of a configuration cannot be meant: its place, what would be expected, and what was found.
pub(crate) type ConfigFault = (&'static str, String, String);

/// Errors unless pictures and columns of a table have `width` values.
///
/// # Errors
///
/// Then.
pub(crate) fn check_shape(
    image: Option<(usize, usize)>,
    columns: Option<&Columns>,
    width: usize,
) -> std::result::Result<(), ConfigFault> {
    let pixels = image.map(|(height, width)| height.checked_mul(width));
    if let Some(pixels) = pixels.filter(|pixels| *pixels != Some(width)) {
        let found = pixels.map_or("more than can be".into(), |pixels| pixels.to_string());
        return Err(("image", format!("{width} pixels"), found));
    }
    match columns.map(Columns::width) {
        Some(found) if found != width => {
            Err(("columns", format!("{width} values"), found.to_string()))
        }
        _ => Ok(()),
    }
}

/// What a model is, without its numbers: the contents of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Always `candle-dbn`.
    pub format: String,
    /// The version of this layout.
    pub version: u32,
    /// The units of the data layer.
    pub visible: Units,
    /// The units of every hidden layer from the bottom up.
    pub hidden: Vec<Units>,
    /// The number of classes, if there is a classifier.
    pub classes: Option<usize>,
    /// The number of label units beside the other visible units of the top machine, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<usize>,
    /// Whether the way down has weights of its own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub untied: bool,
    /// What the regressor predicts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Whether there is an autoencoder.
    #[serde(default, skip_serializing_if = "is_false")]
    pub autoencoder: bool,
    /// Height and width, if the data are pictures.
    pub image: Option<(usize, usize)>,
    /// Whether data are standardised before they reach the network.
    pub standardise: bool,
    /// Whether that brings them between 0 and 1 by the extremes of the training cases.
    #[serde(default, skip_serializing_if = "is_false")]
    pub min_max: bool,
    /// What the data that it learned from went through before, where that is known: other data must go through the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// The columns of the table that it learned from, where they have names or hold categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// What the classes are called, where they are not called by their numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
    /// What the column of the labels is called in the table that it learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What becomes of missing values, where some may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// From the numbers of a file to cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// What every number was divided by.
    pub scale: f32,
    /// How zeros and ones were made of them.
    pub binarise: Binarise,
    /// What the indices of sparse rows counted from, 0 or 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_index: Option<u32>,
    /// Of how many states each number was the code; written as 0 where it was none.
    #[serde(with = "or_default")]
    pub one_hot: Option<usize>,
    /// The letters of the states, where the data are an alignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alphabet: Option<Alphabet>,
}

impl Preprocessing {
    /// What to do about values that do not fit, if numbers become other values.
    pub(crate) fn hint(&self) -> &'static str {
        match self.scale != 1.0 || self.one_hot.is_some() {
            true => "; numbers as their file has them go through Model::encode first",
            false => "",
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Config {
    /// A network of these layers and nothing beside it.
    pub fn new(visible: Units, hidden: Vec<Units>) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            visible,
            hidden,
            classes: None,
            labels: None,
            untied: false,
            target: None,
            autoencoder: false,
            image: None,
            standardise: false,
            min_max: false,
            preprocessing: None,
            columns: None,
            class_names: None,
            label: None,
            missing: None,
        }
    }

    /// Reads and checks the file `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the file cannot be read; [`Error::File`] where it is no configuration of a model, or of another version.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let config: Self = read_config(path, "the configuration of a dbn model", VERSION, None)?;
        if config.hidden.is_empty() {
            return Err(Error::file(path, "hidden", "at least one layer", "none"));
        }
        if config.hidden.iter().chain([&config.visible]).any(|units| units.width() == 0) {
            return Err(Error::file(
                path,
                "visible and hidden",
                "at least one unit in every layer",
                "a layer of size 0",
            ));
        }
        config
            .check()
            .map_err(|(place, expected, found)| Error::file(path, place, expected, found))?;
        Ok(config)
    }

    /// The layers from the bottom up: `bernoulli:784 → bernoulli:500`.
    pub fn layers(&self) -> String {
        let layers = std::iter::once(&self.visible).chain(&self.hidden);
        layers.map(ToString::to_string).collect::<Vec<_>>().join(" → ")
    }

    /// Whether the numbers can be meant; where not, which, what would be expected, and what was found.
    fn check(&self) -> std::result::Result<(), ConfigFault> {
        for units in std::iter::once(&self.visible).chain(&self.hidden) {
            // What can be written in a recipe, and no more.
            let text = units.to_string();
            match text.parse::<Units>() {
                Ok(read) if read == *units => {}
                Ok(read) => return Err(("visible and hidden", read.to_string(), text)),
                Err(e) => return Err(("visible and hidden", e.to_string(), text)),
            }
        }
        check_shape(self.image, self.columns.as_ref(), self.visible.width())?;
        if let (Some(names), Some(classes)) = (&self.class_names, self.classes.or(self.labels))
            && names.len() != classes
        {
            return Err(("class_names", format!("{classes}"), names.len().to_string()));
        }
        if let Some(Target { mean, deviation, .. }) = &self.target
            && !(mean.is_finite() && deviation.is_finite() && *deviation > 0.0)
        {
            let expected = "a finite mean and a deviation above 0".into();
            return Err(("target", expected, format!("{mean} and {deviation}")));
        }
        let scale = self.preprocessing.as_ref().map_or(1.0, |done| done.scale);
        match scale.is_finite() && scale > 0.0 {
            true => Ok(()),
            false => Err(("preprocessing", "a scale above 0".into(), scale.to_string())),
        }
    }

    /// The fewest and the most bytes that `model.safetensors` can have: its matrices, and what may come with them.
    #[cfg(feature = "hub")]
    pub(crate) fn weights_size(&self) -> (u64, u64) {
        let mut sizes = (0_u64, 1_u64 << 20);
        for shape in self.matrices().values() {
            let wide = |n: &usize| *n as u64;
            let numbers = shape.iter().map(wide).fold(1, u64::saturating_mul);
            let beside = shape.iter().map(wide).fold(0, u64::saturating_add).saturating_mul(16);
            sizes.0 = sizes.0.saturating_add(numbers.saturating_mul(4));
            sizes.1 = sizes.1.saturating_add(numbers.saturating_add(beside).saturating_mul(4));
        }
        sizes
    }

    /// The matrices of `model.safetensors` by name, `(out, in)`, as this alone tells them.
    pub(crate) fn matrices(&self) -> BTreeMap<String, Vec<usize>> {
        let mut matrices = BTreeMap::new();
        let mut below = self.visible.width();
        for (i, hidden) in self.hidden.iter().enumerate() {
            let is_top = i + 1 == self.hidden.len();
            let labels = self.labels.filter(|_| is_top).unwrap_or(0);
            let shape = vec![hidden.width(), below.saturating_add(labels)];
            if self.untied && !is_top {
                matrices.insert(format!("generative.{i}.weight"), vec![below, hidden.width()]);
            }
            if self.classes.is_some() {
                matrices.insert(format!("classifier.layers.{i}.weight"), shape.clone());
            }
            if self.target.is_some() {
                matrices.insert(format!("regressor.layers.{i}.weight"), shape.clone());
            }
            if self.autoencoder {
                let back = self.hidden.len() - 1 - i;
                matrices.insert(format!("autoencoder.encoder.{i}.weight"), shape.clone());
                matrices.insert(
                    format!("autoencoder.decoder.{back}.weight"),
                    vec![below, hidden.width()],
                );
            }
            matrices.insert(format!("rbms.{i}.weight"), shape);
            below = hidden.width();
        }
        let softmax =
            self.classes.map(|classes| ("classifier.weight".into(), vec![classes, below]));
        matrices.extend(softmax);
        let linear = self.target.as_ref().map(|_| ("regressor.weight".into(), vec![1, below]));
        matrices.extend(linear);
        matrices
    }
}
