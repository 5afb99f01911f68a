//! The recipe of a Helmholtz machine: its data, its layers, and how it learns.

use std::path::Path;

use rbm_core::Result;
use serde::{Deserialize, Serialize};

use super::machine::{MachineData, settings_of, table_of};
use super::text::{model_in, parsed, read, written};

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
    #[serde(default)]
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
    pub learning: toml::Table,
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
            learning: toml::Table::new(),
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
        parsed(text)
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

    /// Takes every number of `learning`, as plain data, by the keys of `--set`.
    ///
    /// # Errors
    ///
    /// For what is no table of plain data.
    pub fn set_learning(&mut self, learning: &impl Serialize) -> Result<()> {
        self.learning = table_of(learning)?;
        Ok(())
    }

    /// The settings of learning as `--set` has them, `key=value`.
    pub fn settings(&self) -> Vec<String> {
        settings_of(&self.learning, &self.data)
    }
}
