//! What machines of all kinds know of the table that they learned from.

use std::path::Path;

use candle_dbn_data::{Alphabet, ColumnMoments, Columns, Dataset, Known, ReadOptions};
use rbm_core::state::write_whole;
use rbm_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::json;
use crate::network::config::CONFIG;

/// What lies beside a Hopfield network that learned from a table, and beside a Boltzmann machine or a belief net that learns; one that has learned has it in
/// its `config.json`.
pub const TABLE: &str = "table.json";

/// What is known of the table that a machine learned from: columns of another one are brought into its order, by their names, and its words
/// are read as the same categories and classes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableLayout {
    /// The columns in the order in which the machine sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// What the column of the labels is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The classes by name, or by number where they have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
    /// Above which a value is 1 and else −1, where the machine is of such patterns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// The letters of the states, where another program learned from an alignment; a run of this one has them in its recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alphabet: Option<Alphabet>,
    /// What brings measurements to mean 0 and deviation 1, where the machine has units for such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moments: Option<ColumnMoments>,
}

impl TableLayout {
    /// Of what a machine learns from; nothing where its units say all.
    pub fn of(dataset: &Dataset) -> Option<Self> {
        let columns = dataset.columns.as_deref().filter(|columns| columns.tells_more());
        let numbers = || Some((0..dataset.classes?).map(|class| class.to_string()).collect());
        let found = Self {
            columns: columns.cloned(),
            label: dataset.label.clone(),
            class_names: dataset.class_names.clone().or_else(numbers),
            ..Self::default()
        };
        Some(found).filter(|found| *found != Self::default())
    }

    /// How to read other data as those: what is `given`, and what is known.
    pub fn options(&self, given: ReadOptions) -> ReadOptions {
        let known = Known {
            label: self.label.clone(),
            columns: self.columns.clone().map(Into::into),
            class_names: self.class_names.clone().map(Into::into),
            ..Known::default()
        };
        let alphabet = given.alphabet.or_else(|| self.alphabet.clone());
        ReadOptions { finds_kinds: false, known, alphabet, ..given }
    }

    /// Writes it into the folder `dir`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<()> {
        write_whole(&dir.as_ref().join(TABLE), &json::bytes(self, TABLE)?)
    }
}

/// Writes `config`, of a machine that has learned, into the folder `dir`. A [`TABLE`] that stood there while it learned is a part of it, and goes.
///
/// # Errors
///
/// Where the file cannot be written, and where the other cannot be taken away.
pub(super) fn save_config(dir: &Path, config: &impl Serialize) -> Result<()> {
    write_whole(&dir.join(CONFIG), &json::bytes(config, CONFIG)?)?;
    let table = dir.join(TABLE);
    match std::fs::remove_file(&table) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&table, error)),
        _ => Ok(()),
    }
}
