//! Models on the Hugging Face Hub (feature `hub`): pulled into the cache that its users have, pushed with a card.
//!
//! ```no_run
//! use candle_core::Device;
//!
//! # fn main() -> dbn::Result<()> {
//! let features = dbn::Dbn::from_hub("user/mnist-dbn", &Device::Cpu)?;
//! # Ok(()) }
//! ```
//!
//! The environment is that of every client of the Hub: `HF_TOKEN` or the token of `hf auth login`, `HF_HOME` and `HF_HUB_CACHE`,
//! `HF_ENDPOINT`, `HF_HUB_OFFLINE`. Nothing of a repository is executed, only files of known names are read, and each is compared
//! with the hash that the Hub has for it.

pub mod data;
mod parcel;
mod pull;
mod push;
mod reference;
mod snapshot;
mod token;
mod trouble;
mod verify;
mod watch;

use std::path::Path;

use candle_core::Device;
use hf_hub::repository::RepoTypeModel;
use hf_hub::{HFClientSync, HFRepositorySync};
use rbm_core::{Error, Result};

pub use self::parcel::{CARD, Content, Parcel};
pub use self::push::{Push, Pushed};
pub use self::reference::Reference;
pub use self::snapshot::Snapshot;
pub use self::watch::{Moved, Watching};
use crate::{Dbn, Model};

/// A client of the Hub.
pub struct Hub {
    client: HFClientSync,
    is_offline: bool,
    watching: Option<Watching>,
}

impl Hub {
    /// As the environment says. Errors for an endpoint that is no URL, and for a token that cannot be sent.
    pub fn from_env() -> Result<Self> {
        let agent = concat!("candle-dbn/", env!("CARGO_PKG_VERSION"));
        let mut builder = hf_hub::HFClient::builder().user_agent(agent);
        if let Some(token) = token::find()? {
            builder = builder.token(token);
        }
        let client = builder.build_sync().map_err(|e| {
            let expected = "a URL such as http://127.0.0.1:8080, or nothing for the usual Hub";
            Error::invalid("HF_ENDPOINT", expected, e.to_string())
        })?;
        let is_offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| is_true(&value));
        Ok(Self { is_offline, ..Self::of(client) })
    }

    /// By a client that was set up otherwise, and never offline.
    pub fn of(client: HFClientSync) -> Self {
        Self { client, is_offline: false, watching: None }
    }

    /// Tells `watching` how far a transfer is.
    pub fn watched(self, watching: Watching) -> Self {
        Self { watching: Some(watching), ..self }
    }

    fn repository(&self, reference: &Reference) -> HFRepositorySync<RepoTypeModel> {
        self.client.model(reference.owner.clone(), reference.name.clone())
    }

    /// Errors in offline mode.
    fn check_online(&self, what: &str) -> Result<()> {
        match self.is_offline {
            true => {
                let found = "HF_HUB_OFFLINE is set";
                Err(Error::invalid(what, "a way to the Hub (unset HF_HUB_OFFLINE)", found))
            }
            false => Ok(()),
        }
    }

    fn progress(&self) -> Option<hf_hub::progress::Progress> {
        self.watching.clone().map(|watching| watch::Handler::new(watching).into())
    }
}

/// As Python's client reads its switches.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}

impl Model {
    /// The model `user/name` or `user/name@revision` of the Hub, from the cache where it is there already.
    pub fn from_hub(reference: &str, device: &Device) -> Result<Self> {
        Self::load(&Hub::from_env()?.find(&reference.parse()?)?.dir, device)
    }

    /// Pushes the model with a card to `user/name` or `user/name@branch`, a repository that is made if need be.
    pub fn push_to_hub(&self, reference: &str, options: &Push) -> Result<Pushed> {
        Hub::from_env()?.push_model(self, &reference.parse()?, options)
    }
}

impl Hub {
    /// [`Hub::push`] of a model that has no folder.
    pub fn push_model(
        &self,
        model: &Model,
        reference: &Reference,
        options: &Push,
    ) -> Result<Pushed> {
        let folder =
            tempfile::tempdir().map_err(|e| Error::io(Path::new("temporary folder"), e))?;
        model.save(folder.path())?;
        self.push(reference, &Parcel::of(folder.path(), reference)?, options)
    }
}

impl Dbn {
    /// [`Model::from_hub`], leaving its classifier aside.
    pub fn from_hub(reference: &str, device: &Device) -> Result<Self> {
        Ok(Model::from_hub(reference, device)?.dbn)
    }
}
