//! The recipe of a Helmholtz machine: its data, its layers, and how it learns.

use std::path::Path;

use candle_boltzmann::belief::learning::{
    BeliefLearning, BeliefMethod, OptimizerKind, RecognitionPhase,
};
use rbm_core::Result;
use serde::{Deserialize, Serialize};

use super::machine::{MachineData, as_typed, of_learning, settings_of};
use super::text::{made_with, model_in, parsed, read, written};
use super::values::seed;

/// The text of this file, for the page of keys.
pub(super) const SOURCE: &str = include_str!("belief.rs");

/// What a recipe is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BeliefKind {
    /// A belief net with its recognition.
    #[default]
    #[serde(rename = "belief")]
    Belief,
}

/// How to train a Helmholtz machine.
///
/// ```
/// use candle_dbn::recipe::BeliefRecipe;
///
/// let recipe = BeliefRecipe::parse("model = \"belief\"\nhidden = [20, 10]\n[learning]\nsamples = 5\n")?;
/// assert_eq!((recipe.hidden.len(), recipe.settings()), (2, vec!["samples=5".to_owned()]));
/// # Ok::<(), candle_dbn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeliefRecipe {
    /// What it is a recipe of.
    ///
    /// Range: "belief". Used by: the program, which tells it from other recipes by this key.
    pub model: BeliefKind,
    /// Where everything random comes from.
    ///
    /// Range: 0 to 18446744073709551615. Used by: everything that is drawn at random.
    #[serde(default, with = "seed")]
    pub seed: u64,
    /// Units of each hidden layer from below up.
    ///
    /// Range: a list of numbers of units. Used by: the net and its recognition.
    #[serde(default = "hidden")]
    pub hidden: Vec<usize>,
    /// The data.
    #[serde(default)]
    pub data: MachineData,
    /// How it learns, by the keys of `--set`; the others have their defaults.
    #[serde(default)]
    pub learning: BeliefLearningRecipe,
}

/// How a belief net and its recognition learn: the keys of `--set`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeliefLearningRecipe {
    /// What the net learns from.
    ///
    /// Range: "reweighted" or "wake-sleep". Used by: every belief net.
    pub method: Option<BeliefMethod>,
    /// When recognition learns.
    ///
    /// Range: "asleep", "awake" or "both". Default: "both" reweighted, "asleep" by wake-sleep. Used by: `method = "reweighted"`.
    pub recognition: Option<RecognitionPhase>,
    /// Guesses for each case.
    ///
    /// Range: 1 or more guesses. Default: 5 reweighted, 1 by wake-sleep. Used by: every belief net.
    pub samples: Option<usize>,
    /// How a gradient becomes a step.
    ///
    /// Range: "adam" or "sgd". Used by: every belief net.
    pub optimizer: Option<OptimizerKind>,
    /// Times through the data.
    ///
    /// Range: 1 or more epochs. Default: 100, and of few cases as many as have 2,000 updates. Used by: every belief net.
    pub epochs: Option<usize>,
    /// Cases between updates.
    ///
    /// Range: 1 or more cases. Used by: every belief net.
    pub batch_size: Option<usize>,
    /// Of the first epoch; it falls to a tenth over the training.
    ///
    /// Range: above 0. Used by: every belief net.
    pub learning_rate: Option<f64>,
    /// The fraction of the last step that is repeated; Adam has its own.
    ///
    /// Range: 0 to below 1. Used by: `optimizer = "sgd"`.
    pub momentum: Option<f64>,
}

/// The keys above all tables that `--set` changes.
const OWN_KEYS: [&str; 2] = ["seed", "hidden"];

impl BeliefLearningRecipe {
    /// Every number of `learning`.
    pub fn of(learning: &BeliefLearning) -> Self {
        Self {
            method: Some(learning.method),
            recognition: Some(learning.recognition),
            samples: Some(learning.samples),
            optimizer: Some(learning.optimizer),
            epochs: Some(learning.epochs),
            batch_size: Some(learning.batch_size),
            learning_rate: Some(learning.learning_rate),
            momentum: Some(learning.momentum),
        }
    }

    /// The numbers of a training: those that are named here, and for the others the usual ones of the method. The seed and what is taken of the
    /// data are the usual ones.
    pub fn resolve(&self) -> BeliefLearning {
        let usual = BeliefLearning::of(self.method.unwrap_or(BeliefMethod::Reweighted));
        BeliefLearning {
            recognition: self.recognition.unwrap_or(usual.recognition),
            samples: self.samples.unwrap_or(usual.samples),
            optimizer: self.optimizer.unwrap_or(usual.optimizer),
            epochs: self.epochs.unwrap_or(usual.epochs),
            batch_size: self.batch_size.unwrap_or(usual.batch_size),
            learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
            momentum: self.momentum.unwrap_or(usual.momentum),
            ..usual
        }
    }
}

fn hidden() -> Vec<usize> {
    vec![200, 200]
}

impl Default for BeliefRecipe {
    fn default() -> Self {
        Self {
            model: BeliefKind::Belief,
            seed: 0,
            hidden: hidden(),
            data: MachineData::default(),
            learning: BeliefLearningRecipe::default(),
        }
    }
}

impl BeliefRecipe {
    /// Whether the file `path` says that it is a recipe of this kind.
    pub fn is_in(path: impl AsRef<Path>) -> bool {
        model_in(path.as_ref()).as_deref() == Some("\"belief\"")
    }

    /// Reads a recipe.
    ///
    /// # Errors
    ///
    /// For what is no TOML, and for unknown keys and values; the message names the line.
    pub fn parse(text: &str) -> Result<Self> {
        // Files of earlier versions have another spelling.
        let line = |line: &str| match line.split_once('=') {
            Some((key, _)) if key.trim() == "optimiser" => line.replacen("ise", "ize", 1),
            _ => line.to_owned(),
        };
        let lines: Vec<String> = text.split('\n').map(line).collect();
        parsed(&lines.join("\n"), &[])
    }

    /// Reads the recipe file `path`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, and as [`BeliefRecipe::parse`].
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

    /// The recipe with `key=value` settings made, in order. Keys are those of the table `[learning]`, or paths such as `data.pass`; values are
    /// TOML, and a bare word is taken for a string.
    ///
    /// # Errors
    ///
    /// For unknown keys and values; the message names the setting.
    pub fn with<S: AsRef<str>>(&self, settings: &[S]) -> Result<Self> {
        made_with(self, &of_learning(settings, &OWN_KEYS), |_| Ok(()), &[])
            .map_err(|error| as_typed(error, settings, &OWN_KEYS))
    }

    /// The recipe without paths of this machine.
    pub fn without_paths(self) -> Self {
        Self { data: self.data.without_paths(), ..self }
    }

    /// The settings of learning as `--set` has them, `key=value`.
    pub fn settings(&self) -> Vec<String> {
        settings_of(&self.learning, &self.data)
    }
}
