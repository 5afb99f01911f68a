//! What a Boltzmann machine in a folder is, without its numbers: its `config.json`.

use std::path::Path;

use rbm_core::state::write_whole;
use rbm_core::{Error, Result, Units};
use serde::{Deserialize, Serialize};

use crate::network::config::{CONFIG, FORMAT};

/// The version of the layout of machines; networks have another.
const VERSION: u32 = 2;
/// What [`MachineConfig::model`] says.
const MODEL: &str = "machine";

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
}

impl MachineConfig {
    /// Of a machine of these visible and hidden units, with couplings within the visible and within the hidden ones where these are true.
    pub fn new(
        visible: Units,
        hidden: Vec<Units>,
        labels: Option<usize>,
        [couples_visible, couples_hidden]: [bool; 2],
        parameters: usize,
        image: Option<(usize, usize)>,
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

    /// Writes `config.json` into the folder `dir`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<()> {
        write_whole(&dir.as_ref().join(CONFIG), &self.to_json()?)
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
