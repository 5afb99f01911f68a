//! Models on the Hugging Face Hub: pulled into the cache that its users have, pushed with a card (feature `hub`).
//!
//! ```no_run
//! use candle_core::Device;
//!
//! # fn main() -> candle_dbn::Result<()> {
//! let features = candle_dbn::Model::from_hub("user/mnist-dbn", &Device::Cpu)?;
//! # Ok(()) }
//! ```
//!
//! The environment is that of every client of the Hub: `HF_TOKEN` or the token of `hf auth login`, `HF_HOME` and `HF_HUB_CACHE`,
//! `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HUB_ETAG_TIMEOUT`, `HF_HUB_DOWNLOAD_TIMEOUT`. Nothing of a repository is executed, and
//! only files of known names are read. Each is held to the size and the hash that the Hub lists for it, before it gets its name
//! in the cache. Nothing that a server says becomes a part of a path unchecked. The token goes to the endpoint's own origin and
//! nowhere else.

mod options;

mod http;

mod api;

pub mod card;

mod bundle;
mod cache;

pub mod data;
mod pull;
mod push;

use std::path::Path;

use candle_core::Device;
use rbm_core::{Error, Result};

pub use self::api::Reference;
#[doc(hidden)]
pub use self::api::read_each as read_answer;
pub use self::bundle::{FileContent, ModelBundle};
pub use self::cache::Snapshot;
pub use self::card::CARD;
pub use self::http::{TransferProgress, Watching};
pub use self::options::HubOptions;
pub use self::push::{PushOptions, Pushed};
use crate::Model;

/// A client of the Hub.
pub struct Hub {
    options: HubOptions,
    http: http::Http,
    watching: Option<Watching>,
}

impl Hub {
    /// As the environment says.
    ///
    /// # Errors
    ///
    /// For an endpoint that is no URL, and for a token that cannot be sent.
    pub fn from_env() -> Result<Self> {
        Self::new(HubOptions::from_env()?)
    }

    /// As the options say.
    ///
    /// # Errors
    ///
    /// As [`Hub::from_env`].
    pub fn new(options: HubOptions) -> Result<Self> {
        Ok(Self { http: http::Http::new(&options)?, options, watching: None })
    }

    /// Tells `watching` how far a transfer is.
    pub fn watched(self, watching: Watching) -> Self {
        Self { watching: Some(watching), ..self }
    }

    /// A model's repository, and what the cache has of it.
    fn repository(&self, reference: &Reference) -> (api::HubRepository, cache::Cache) {
        let repository = api::HubRepository {
            kind: "models",
            owner: reference.owner.clone(),
            name: reference.name.clone(),
        };
        let cache = cache::Cache::of(&self.options.cache, &repository);
        (repository, cache)
    }

    /// Errors in offline mode.
    fn check_online(&self, what: &str) -> Result<()> {
        match self.options.is_offline {
            true => {
                let found = "HF_HUB_OFFLINE is set";
                Err(Error::invalid(what, "a way to the Hub (unset HF_HUB_OFFLINE)", found))
            }
            false => Ok(()),
        }
    }
}

impl Model {
    /// The model `user/name` or `user/name@revision` of the Hub, from the cache where it is there already.
    ///
    /// # Errors
    ///
    /// As [`Hub::find`] and [`Model::load`].
    pub fn from_hub(reference: &str, device: &Device) -> Result<Self> {
        Self::load(&Hub::from_env()?.find(&reference.parse()?)?.dir, device)
    }

    /// Pushes the model with a card to `user/name` or `user/name@branch`, a repository that is made if need be.
    ///
    /// # Errors
    ///
    /// As [`Hub::push_model`].
    pub fn push_to_hub(&self, reference: &str, options: &PushOptions) -> Result<Pushed> {
        Hub::from_env()?.push_model(self, &reference.parse()?, options)
    }
}

impl Hub {
    /// [`Hub::push`] of a model that has no folder.
    ///
    /// # Errors
    ///
    /// As [`Hub::push`], and where no temporary folder can be written.
    pub fn push_model(
        &self,
        model: &Model,
        reference: &Reference,
        options: &PushOptions,
    ) -> Result<Pushed> {
        let folder =
            tempfile::tempdir().map_err(|e| Error::io(Path::new("temporary folder"), e))?;
        model.save(folder.path())?;
        self.push(reference, &ModelBundle::of(folder.path(), reference)?, options)
    }
}
