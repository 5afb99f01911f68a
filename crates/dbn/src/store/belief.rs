//! What a belief net in a folder is, without its numbers: its `config.json`.

use std::path::Path;

use rbm_core::{Error, Result, Units};
use serde::{Deserialize, Serialize};

use super::table::{TableLayout, save_config};
use crate::network::config::{FORMAT, check_shape, find_config, read_config};

/// The version of the layout of belief nets.
const VERSION: u32 = 1;
/// What [`BeliefConfig::model`] says.
pub(super) const MODEL: &str = "belief";

/// The contents of `config.json` beside a `belief.safetensors`. Runs of earlier versions have none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeliefConfig {
    /// Always `candle-dbn`.
    pub format: String,
    /// The version of this layout.
    pub version: u32,
    /// Always `belief`.
    pub model: String,
    /// Units of each layer, from the observed one up.
    pub widths: Vec<usize>,
    /// How many numbers were learned: of the net and of its recognition.
    pub parameters: usize,
    /// Height and width, if the data are pictures.
    pub image: Option<(usize, usize)>,
    /// What is known of the table that it learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableLayout>,
}

impl BeliefConfig {
    /// Of a net whose layers have so many units, from the observed one up, and what is known of its data: height and width of pictures, the columns of a table.
    pub fn new(
        widths: Vec<usize>,
        (image, table): (Option<(usize, usize)>, Option<TableLayout>),
    ) -> Self {
        let (format, version, model) = (FORMAT.to_owned(), VERSION, MODEL.to_owned());
        let parameters = parameters(&widths);
        Self { format, version, model, widths, parameters, image, table }
    }

    /// The observed units.
    pub fn observed(&self) -> Units {
        Units::bernoulli(self.widths.first().copied().unwrap_or(0))
    }

    /// The layers from the observed one up: `64 ← 30 ← 10`.
    pub fn layers(&self) -> String {
        self.widths.iter().map(usize::to_string).collect::<Vec<_>>().join(" ← ")
    }

    /// Reads and checks the file `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be read; [`Error::File`] where it is no configuration of a belief net, of another version, or one whose numbers do not
    /// fit together.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let what = "the configuration of a belief net";
        let config: Self = read_config(path, what, VERSION, Some(MODEL))?;
        if config.widths.len() < 2 || config.widths.contains(&0) {
            let found = format!("{:?}", config.widths);
            return Err(Error::file(path, "widths", "at least two layers, each of a unit", found));
        }
        let parameters = parameters(&config.widths);
        if config.parameters != parameters {
            let expected = format!("{parameters}, those of layers of {:?}", config.widths);
            return Err(Error::file(path, "parameters", expected, config.parameters.to_string()));
        }
        let columns = config.table.as_ref().and_then(|table| table.columns.as_ref());
        check_shape(config.image, columns, config.widths[0])
            .map_err(|(place, expected, found)| Error::file(path, place, expected, found))?;
        Ok(config)
    }

    /// That in the folder `dir`; nothing where there is none: a net that learns has none yet, and runs of earlier versions have none.
    ///
    /// # Errors
    ///
    /// As [`BeliefConfig::read`].
    pub fn find(dir: impl AsRef<Path>) -> Result<Option<Self>> {
        find_config(dir.as_ref(), |path| Self::read(path))
    }

    /// Writes `config.json` into the folder `dir`. A [`TABLE`](super::table::TABLE) that stood there while the net learned is a part of it, and goes.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written, and where the other cannot be taken away.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<()> {
        save_config(dir.as_ref(), self)
    }

    /// The fewest and the most bytes that `belief.safetensors` can have: the parameters, and the two moments of each that Adam may have beside them.
    #[cfg(feature = "hub")]
    pub(crate) fn weights_size(&self) -> (u64, u64) {
        let numbers = self.parameters as u64;
        (numbers.saturating_mul(4), numbers.saturating_mul(12).saturating_add(1 << 20))
    }
}

/// How many numbers a net of these layers and its recognition have: weights down and up between neighbours, a bias of each unit of the net, and of each
/// hidden one of the recognition.
fn parameters(widths: &[usize]) -> usize {
    let weights = widths.windows(2).map(|pair| pair[0].saturating_mul(pair[1]));
    let (weights, biases) = (weights.fold(0, usize::saturating_add), widths.iter().copied());
    let biases = biases.chain(widths.iter().skip(1).copied()).fold(0, usize::saturating_add);
    weights.saturating_mul(2).saturating_add(biases)
}
