//! What a model of any kind in a folder is: its `config.json` says of which kind it is, and what lies beside it.

use std::path::Path;

use rbm_core::{Error, Result};

use super::belief::{self, BeliefConfig};
use super::machine::{self, MachineConfig};
use super::table::{TABLE, TableLayout};
use crate::json;
use crate::network::config::{BELIEF, Config, ConfigHeader, MACHINE, WEIGHTS, find_config};

/// The contents of `config.json`, of a model of any kind that has one.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelConfig {
    /// Of a network.
    Network(Box<Config>),
    /// Of a Boltzmann machine.
    Machine(Box<MachineConfig>),
    /// Of a belief net.
    Belief(Box<BeliefConfig>),
}

impl ModelConfig {
    /// The files of weights, one a kind of model.
    pub const WEIGHTS: [&'static str; 3] = [WEIGHTS, MACHINE, BELIEF];

    /// Reads and checks the file `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be read; [`Error::File`] where it is no configuration of a model, or of another version.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let header: ConfigHeader = json::read(path, "the configuration of a model")?;
        match header.model.as_deref() {
            None => Ok(Self::Network(Box::new(Config::read(path)?))),
            Some(machine::MODEL) => Ok(Self::Machine(Box::new(MachineConfig::read(path)?))),
            Some(belief::MODEL) => Ok(Self::Belief(Box::new(BeliefConfig::read(path)?))),
            Some(other) => {
                let expected =
                    format!("{} or {}, and none of a network", machine::MODEL, belief::MODEL);
                Err(Error::file(path, "model", expected, other))
            }
        }
    }

    /// The name of the file of weights that lies beside it.
    pub fn weights(&self) -> &'static str {
        match self {
            Self::Network(_) => WEIGHTS,
            Self::Machine(_) => MACHINE,
            Self::Belief(_) => BELIEF,
        }
    }

    /// The fewest and the most bytes that this file can have.
    #[cfg(feature = "hub")]
    pub(crate) fn weights_size(&self) -> (u64, u64) {
        match self {
            Self::Network(config) => config.weights_size(),
            Self::Machine(config) => config.weights_size(),
            Self::Belief(config) => config.weights_size(),
        }
    }

    /// What is known of the table that a machine or a belief net learned from.
    fn table(self) -> Option<TableLayout> {
        match self {
            Self::Network(_) => None,
            Self::Machine(config) => config.table,
            Self::Belief(config) => config.table,
        }
    }
}

impl TableLayout {
    /// What lies in the folder `dir` of a machine; nothing where it did not learn from a table.
    ///
    /// # Errors
    ///
    /// Where a file of it cannot be read.
    pub fn read(dir: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = dir.as_ref().join(TABLE);
        if path.exists() {
            return json::read(&path, "the columns of a table").map(Some);
        }
        let config = find_config(dir.as_ref(), |path| ModelConfig::read(path))?;
        Ok(config.and_then(ModelConfig::table))
    }
}
