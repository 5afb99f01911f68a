//! What a Boltzmann machine in a folder is, without its numbers: its `config.json`.

use std::path::Path;

use rbm_core::{Error, Result, Units};
use serde::{Deserialize, Serialize};

use super::table::{TableLayout, save_config};
use crate::network::config::{FORMAT, find_config, read_config};

/// The version of the layout of machines; networks have another.
const VERSION: u32 = 2;
/// What [`MachineConfig::model`] says.
pub(super) const MODEL: &str = "machine";

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

    /// Reads and checks the file `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be read; [`Error::File`] where it is no configuration of a machine, or of another version.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let what = "the configuration of a Boltzmann machine";
        let config: Self = read_config(path, what, VERSION, Some(MODEL))?;
        let is_empty = |units: &Units| units.width() == 0;
        if is_empty(&config.visible) || config.hidden.iter().any(is_empty) {
            let expected = "at least one unit in every layer";
            return Err(Error::file(path, "visible and hidden", expected, "a layer of size 0"));
        }
        Ok(config)
    }

    /// That in the folder `dir`; nothing where there is none: a machine that learns has none yet.
    ///
    /// # Errors
    ///
    /// As [`MachineConfig::read`].
    pub fn find(dir: impl AsRef<Path>) -> Result<Option<Self>> {
        find_config(dir.as_ref(), |path| Self::read(path))
    }

    /// Writes `config.json` into the folder `dir`. A [`TABLE`](super::table::TABLE) that stood there while the machine learned is a part of it, and
    /// goes.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written, and where the other cannot be taken away.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<()> {
        save_config(dir.as_ref(), self)
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
