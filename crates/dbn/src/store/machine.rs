//! What a Boltzmann machine in a folder is, without its numbers: its `config.json`; and what machines of all kinds know of the table that they
//! learned from.

use std::path::Path;

use candle_dbn_data::{ColumnMoments, Columns, Dataset, Known, ReadOptions};
use rbm_core::state::write_whole;
use rbm_core::{Error, Result, Units};
use serde::{Deserialize, Serialize};

use crate::network::config::{CONFIG, FORMAT};

/// The version of the layout of machines; networks have another.
const VERSION: u32 = 2;
/// What [`MachineConfig::model`] says.
const MODEL: &str = "machine";

/// What lies beside a belief net and a Hopfield network that learned from a table, and beside a Boltzmann machine that learns; one that has learned has it in its
/// `config.json`.
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
        ReadOptions { finds_kinds: false, known, ..given }
    }

    /// What lies in the folder `dir` of a machine; nothing where it did not learn from a table.
    ///
    /// # Errors
    ///
    /// Where a file of it cannot be read.
    pub fn read(dir: impl AsRef<Path>) -> Result<Option<Self>> {
        let (path, config) = (dir.as_ref().join(TABLE), dir.as_ref().join(CONFIG));
        if !path.exists() {
            return match MachineConfig::is_in(&config) {
                true => Ok(MachineConfig::read(&config)?.table),
                false => Ok(None),
            };
        }
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let table = serde_json::from_str(&text).map_err(|e| {
            let place = format!("line {}, column {}", e.line(), e.column());
            Error::file(&path, place, "the columns of a table", e.to_string())
        })?;
        Ok(Some(table))
    }

    /// Writes it into the folder `dir`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::invalid(TABLE, "plain data", e.to_string()))?;
        write_whole(&dir.as_ref().join(TABLE), &text)
    }
}

/// The contents of `config.json` beside a `machine.safetensors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineConfig {
    /// Always `candle-dbn`.
    pub format: String,
    /// The version of this layout.
    pub version: u32,
    /// Always `machine`.
    pub model: String,
    /// The visible units.
    pub visible: Units,
    /// The hidden layers from the bottom up: none, one, or those of a deep machine.
    pub hidden: Vec<Units>,
    /// How many classes the label unit has that is coupled with the top hidden layer, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<usize>,
    /// Whether visible units are coupled with each other.
    pub couples_visible: bool,
    /// Whether hidden units are coupled with each other.
    pub couples_hidden: bool,
    /// How many numbers were learned.
    pub parameters: usize,
    /// Height and width, if the data are pictures.
    pub image: Option<(usize, usize)>,
    /// What is known of the table that it learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableLayout>,
}

impl MachineConfig {
    /// Of a machine of these visible and hidden units, with couplings within the visible and within the hidden ones where these are true, and what is
    /// known of its data: height and width of pictures, the columns of a table.
    pub fn new(
        visible: Units,
        hidden: Vec<Units>,
        labels: Option<usize>,
        [couples_visible, couples_hidden]: [bool; 2],
        parameters: usize,
        (image, table): (Option<(usize, usize)>, Option<TableLayout>),
    ) -> Self {
        let (format, version, model) = (FORMAT.to_owned(), VERSION, MODEL.to_owned());
        Self {
            format,
            version,
            model,
            visible,
            hidden,
            labels,
            couples_visible,
            couples_hidden,
            parameters,
            image,
            table,
        }
    }

    /// Whether the file `path` is one of these, right or wrong: it names a model.
    pub fn is_in(path: impl AsRef<Path>) -> bool {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        value.get("model").is_some()
    }

    /// Reads and checks the file `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be read; [`Error::File`] where it is no configuration of a machine, or of another version.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let config: Self = serde_json::from_str(&text).map_err(|e| {
            let place = format!("line {}, column {}", e.line(), e.column());
            Error::file(path, place, "the configuration of a Boltzmann machine", e.to_string())
        })?;
        if (config.format.as_str(), config.version, config.model.as_str())
            != (FORMAT, VERSION, MODEL)
        {
            let found = format!("{} version {} {}", config.format, config.version, config.model);
            let expected = format!("{FORMAT} version {VERSION} {MODEL}");
            return Err(Error::file(path, "format", expected, found));
        }
        let is_empty = |units: &Units| units.width() == 0;
        if is_empty(&config.visible) || config.hidden.iter().any(is_empty) {
            let expected = "at least one unit in every layer";
            return Err(Error::file(path, "visible and hidden", expected, "a layer of size 0"));
        }
        Ok(config)
    }

    /// As the file holds it.
    ///
    /// # Errors
    ///
    /// For what JSON cannot hold.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|e| Error::invalid(CONFIG, "plain data", e.to_string()))
    }

    /// Writes `config.json` into the folder `dir`. A [`TABLE`] that stood there while the machine learned is a part of it, and goes.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written, and where the other cannot be taken away.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<()> {
        write_whole(&dir.as_ref().join(CONFIG), &self.to_json()?)?;
        let table = dir.as_ref().join(TABLE);
        match std::fs::remove_file(&table) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&table, error))
            }
            _ => Ok(()),
        }
    }

    /// The fewest and the most bytes that `machine.safetensors` can have: couplings, and chains and momenta that may come with them.
    #[cfg(feature = "hub")]
    pub(crate) fn weights_size(&self) -> (u64, u64) {
        let width = |units: &Units| units.width() as u64;
        let (v, h) = (width(&self.visible), self.hidden.first().map_or(0, width));
        let of = |is_there: bool, n: u64| if is_there { n.saturating_mul(n) } else { 0 };
        let couplings = of(self.couples_visible, v)
            .saturating_add(of(self.couples_hidden, h))
            .saturating_add(v.saturating_mul(h));
        let hidden: Vec<u64> = self.hidden.iter().map(width).collect();
        let deep = hidden.windows(2).map(|pair| pair[0].saturating_mul(pair[1]));
        let classes = self.labels.unwrap_or(0) as u64;
        let to_labels = hidden.last().map_or(0, |top| top.saturating_mul(classes));
        let couplings = deep.fold(couplings, u64::saturating_add).saturating_add(to_labels);
        let units = hidden.into_iter().fold(v.saturating_add(classes), u64::saturating_add);
        let beside = units.saturating_mul(MOST_CHAINS);
        let least = couplings.saturating_mul(4);
        let most = couplings.saturating_mul(16).saturating_add(beside.saturating_mul(4));
        (least, most.saturating_add(1 << 20))
    }
}

/// The most chains that go to the Hub with a machine.
#[cfg(feature = "hub")]
const MOST_CHAINS: u64 = 20_000;
