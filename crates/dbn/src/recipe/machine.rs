//! The recipe of one Boltzmann machine: its data, its units, which of them are coupled, and how it learns.

use std::path::Path;

use candle_boltzmann::Couplings;
use candle_dbn_data::ReadOptions;
use candle_dbn_data::settings::{Keyed, or_none, read_keyed};
use rbm_core::learning::trainer::Pass;
use rbm_core::{Error, Result, Units};
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize};

use super::Recipe;
use super::data::{DataRecipe, file_name};
use super::finetuning::ClassifierRecipe;
use super::learning::LearningRecipe;
use super::text::{made_with, model_in, parsed, read, written};
use super::values::{seed, units};
use super::visible::VisibleKind;

/// The text of this file, for the page of keys.
pub(super) const SOURCE: &str = include_str!("machine.rs");
/// The keys above all tables that `--set` changes.
const OWN_KEYS: [&str; 7] =
    ["seed", "visible", "hidden", "labels", "couplings", "init", "classifier"];

/// What a recipe is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MachineKind {
    /// A Boltzmann machine.
    #[default]
    #[serde(rename = "bm")]
    Boltzmann,
}

/// How to train a Boltzmann machine.
///
/// ```
/// use candle_dbn::recipe::MachineRecipe;
///
/// let recipe = MachineRecipe::parse("model = \"bm\"\nhidden = 8\n[learning]\nepochs = 20\n")?;
/// assert_eq!(recipe.settings(), ["epochs=20"]);
/// assert_eq!(recipe.data.0.source, "digits"); // a key that is not there has its default
/// # Ok::<(), candle_dbn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineRecipe {
    /// What it is a recipe of.
    ///
    /// Range: "bm". Used by: the program, which tells it from the recipe of a network by this key.
    pub model: MachineKind,
    /// Where everything random comes from.
    ///
    /// Range: 0 to 18446744073709551615. Used by: everything that is drawn at random.
    #[serde(default, with = "seed")]
    pub seed: u64,
    /// The kind of the visible units, or `auto`, which finds it out.
    ///
    /// Range: "auto", "bernoulli", "spin", "potts(STATES)", "gaussian-learned" for measurements, or another kind. Used by: the visible layer.
    #[serde(default)]
    pub visible: VisibleKind,
    /// Hidden units, or none. Those of a deep machine are layers, from the bottom up: `[500, 1000]`.
    ///
    /// Range: units, KIND:SIZE, a list of these, or "none". Used by: machines with hidden units.
    #[serde(default, with = "or_none")]
    pub hidden: Option<HiddenLayers>,
    /// Whether the top hidden layer of a machine is coupled with a unit that has a state for each class.
    ///
    /// Range: true or false. Used by: deep machines of data with labels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub labels: bool,
    /// Which layers are coupled within themselves: `visible`, `hidden`, `lateral` for both, `none`, or `edges:GRAPH`.
    ///
    /// Range: "visible", "hidden", "lateral", "none" or "edges:GRAPH", a graph by name or in a file. Used by: machines that are not deep: for these
    /// it is "none".
    #[serde(default)]
    pub couplings: Couplings<String>,
    /// The network whose lowest machine the two lowest layers of a deep machine start from: what is above is then learned beside something that is good
    /// already. A recipe's lowest machine is trained first, in the folder `below` of the run.
    ///
    /// Range: the folder of a run, a name on the Hub, a built-in recipe, a file RECIPE.toml, or "none". Used by: deep machines without pre-training.
    #[serde(default, with = "or_none", skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// The data.
    #[serde(default)]
    pub data: MachineData,
    /// How it learns, by the keys of `--set`; the others have their defaults.
    #[serde(default)]
    pub learning: LearningRecipe,
    /// How a classifier learns that is unrolled from a deep machine (`candle_boltzmann::unrolled`), where there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<ClassifierRecipe>,
}

/// Recipes of Boltzmann machines that are part of the program, by name.
pub const MACHINES: &[(&str, &str)] = &[
    ("dbm", include_str!("../../recipes/dbm.toml")),
    ("digits-dbm", include_str!("../../recipes/digits-dbm.toml")),
];

/// Hidden units: a number of Bernoulli units, or `KIND:SIZE`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HiddenUnits(#[serde(with = "units")] pub Units);

/// One hidden layer, or several from the bottom up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of units, KIND:SIZE, or a list of these")]
pub enum HiddenLayers {
    /// One.
    One(HiddenUnits),
    /// Those of a deep machine.
    Deep(Vec<HiddenUnits>),
}

impl HiddenLayers {
    /// These layers, at least one.
    pub fn new(mut layers: Vec<Units>) -> Option<Self> {
        match layers.len() {
            0 => None,
            1 => layers.pop().map(|units| Self::One(HiddenUnits(units))),
            _ => Some(Self::Deep(layers.into_iter().map(HiddenUnits).collect())),
        }
    }

    /// Their units, from the bottom up.
    pub fn units(&self) -> Vec<Units> {
        match self {
            Self::One(HiddenUnits(units)) => vec![units.clone()],
            Self::Deep(layers) => layers.iter().map(|HiddenUnits(units)| units.clone()).collect(),
        }
    }
}

/// The table `[data]`, with a sixth of the cases held out and none for validation.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineData(pub DataRecipe);

impl Default for MachineRecipe {
    fn default() -> Self {
        Self {
            model: MachineKind::Boltzmann,
            seed: 0,
            visible: VisibleKind::Auto,
            hidden: None,
            labels: false,
            couplings: Couplings::default(),
            init: None,
            data: MachineData::default(),
            learning: LearningRecipe::default(),
            classifier: None,
        }
    }
}

impl MachineRecipe {
    /// The built-in recipe `name`, where there is one of a machine.
    ///
    /// # Errors
    ///
    /// As [`MachineRecipe::parse`].
    pub fn named(name: &str) -> Result<Option<Self>> {
        let found = MACHINES.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| Self::parse(text)).transpose()
    }

    /// Whether the file `path` holds a recipe of this kind, right or wrong: it names a model.
    pub fn is_in(path: impl AsRef<Path>) -> bool {
        model_in(path.as_ref()).is_some()
    }

    /// Reads a recipe.
    ///
    /// # Errors
    ///
    /// For what is no TOML, and for unknown keys and values; the message names the line.
    pub fn parse(text: &str) -> Result<Self> {
        let recipe: Self = parsed(text, &[])?;
        recipe.check()?;
        Ok(recipe)
    }

    fn check(&self) -> Result<()> {
        match &self.hidden {
            Some(HiddenLayers::Deep(layers)) if layers.is_empty() => {
                Err(Error::invalid("hidden", "at least one layer, or \"none\"", "[]"))
            }
            _ => Ok(()),
        }
    }

    /// Reads the recipe file `path`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, and as [`MachineRecipe::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        read(path.as_ref(), Self::parse)
    }

    /// The recipe as TOML.
    ///
    /// # Errors
    ///
    /// When a value cannot be written as TOML; none of a recipe's is such.
    pub fn to_toml(&self) -> Result<String> {
        written(self)
    }

    /// The recipe with `key=value` settings made, in order. Keys are those of the table `[learning]`, or paths such as `labels`, `data.pass` or
    /// `classifier.epochs`; values are TOML, and a bare word is taken for a string. A classifier is that of the recipe `digits` where there was
    /// none before.
    ///
    /// # Errors
    ///
    /// For unknown keys and values; the message names the setting.
    pub fn with<S: AsRef<str>>(&self, settings: &[S]) -> Result<Self> {
        let mut usual = self.clone();
        if settings.iter().any(|setting| setting.as_ref().trim_start().starts_with("classifier.")) {
            usual.classifier = match usual.classifier.take() {
                None => Recipe::named("digits")?.classifier,
                named => named,
            };
        }
        made_with(&usual, &of_learning(settings, &OWN_KEYS), Self::check, &[])
            .map_err(|error| as_typed(error, settings, &OWN_KEYS))
    }

    /// The settings of learning as `--set` has them, `key=value`.
    pub fn settings(&self) -> Vec<String> {
        settings_of(&self.learning, &self.data)
    }

    /// The recipe without paths of this machine.
    pub fn without_paths(mut self) -> Self {
        self.data = self.data.without_paths();
        if let Couplings::Edges(graph) = &mut self.couplings {
            *graph = file_name(&*graph);
        }
        // Names of recipes and on the Hub stay.
        self.init = self.init.map(|init| match Path::new(&init).is_absolute() {
            true => format!("./{}", file_name(&init)),
            false => init,
        });
        self
    }
}

/// The keys of a table `[learning]` as `--set` has them, `key=value`, and what is taken of the data where that is not their values.
pub(super) fn settings_of(learning: &impl Serialize, data: &MachineData) -> Vec<String> {
    let text = |value: &toml::Value| match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let learning = toml::Table::try_from(learning).unwrap_or_default();
    let pass = (!data.0.pass.is_mean()).then(|| "data.pass=sample".to_owned());
    learning.iter().map(|(key, value)| format!("{key}={}", text(value))).chain(pass).collect()
}

/// `error` of settings that [`of_learning`] has put into their table, as they were typed; `own` are the keys outside of it.
pub(super) fn as_typed<S: AsRef<str>>(error: Error, settings: &[S], own: &[&str]) -> Error {
    match error {
        Error::Invalid { what, mut expected, found } => {
            let typed = what.strip_prefix("learning.").filter(|what| {
                settings.iter().any(|setting| what.starts_with(setting.as_ref().trim_start()))
            });
            if found.starts_with("unknown field") && found.contains("in `learning`") {
                let own = own.join(", ");
                expected = format!("{expected} (beside those of [learning]: {own} and data.KEY)");
            }
            Error::invalid(typed.unwrap_or(&what), expected, found)
        }
        other => other,
    }
}

/// `settings` with `learning.` before their keys where these are not paths, and none of the recipe's `own`.
pub(super) fn of_learning<S: AsRef<str>>(settings: &[S], own: &[&str]) -> Vec<String> {
    let path = |setting: &S| {
        let setting = setting.as_ref().trim_start();
        let key = setting.split('=').next().unwrap_or_default().trim_end();
        match key.contains('.') || own.contains(&key) {
            true => setting.to_owned(),
            false => format!("learning.{setting}"),
        }
    };
    settings.iter().map(path).collect()
}

impl MachineData {
    /// The data without paths of this machine.
    pub fn without_paths(self) -> Self {
        Self(self.0.without_paths())
    }
}

impl Default for MachineData {
    fn default() -> Self {
        Self(DataRecipe {
            hold_out_one_in: Some(6),
            validate_one_in: None,
            ..DataRecipe::default()
        })
    }
}

impl Keyed for MachineData {
    const TABLE: &'static str = "the table [data]";
    const KEYS: &'static [&'static [&'static str]] =
        &[&["source", "pass", "hold_out_one_in", "limit"], ReadOptions::KEYS[0]];

    fn read_key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        table: &mut A,
    ) -> std::result::Result<(), A::Error> {
        self.0.read_key(key, table)
    }
}

impl<'de> Deserialize<'de> for MachineData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        read_keyed(deserializer)
    }
}

impl Serialize for MachineData {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        /// Those of the keys that a machine has.
        #[derive(Serialize)]
        struct KeysOfMachine<'a> {
            source: &'a str,
            #[serde(flatten)]
            read: &'a ReadOptions,
            #[serde(skip_serializing_if = "Pass::is_mean")]
            pass: Pass,
            #[serde(with = "or_none")]
            hold_out_one_in: Option<usize>,
            #[serde(with = "or_none")]
            limit: Option<usize>,
        }
        let DataRecipe { source, read, pass, hold_out_one_in, limit, .. } = &self.0;
        let (pass, hold_out_one_in, limit) = (*pass, *hold_out_one_in, *limit);
        KeysOfMachine { source, read, pass, hold_out_one_in, limit }.serialize(serializer)
    }
}
