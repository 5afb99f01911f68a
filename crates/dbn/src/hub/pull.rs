//! From the Hub into the cache.

use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::repository::{RepoTreeEntry, RepoTypeModel};
use hf_hub::{HFError, HFRepositorySync};
use rbm_core::checkpoint::write_whole;
use rbm_core::{Error, Result};

use super::{Hub, Reference, trouble, verify};
use crate::config::{CONFIG, Config};
use crate::store::WEIGHTS;

/// What is read of a repository beside the model itself, where it is there, and the most bytes it may have.
const BESIDE: [(&str, u64); 5] = [
    (super::push::CARD, 4 << 20),
    (super::push::RECIPE, 1 << 20),
    (super::push::RESULTS, 1 << 20),
    (super::push::FILTERS, 32 << 20),
    (super::push::SAMPLES, 32 << 20),
];
/// The most bytes of a configuration.
const LARGEST_CONFIG: u64 = 1 << 20;

/// A model of the Hub as it lies in the cache. Nothing may be written there.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The folder: a model's folder as any other.
    pub dir: PathBuf,
    /// The names of what there is in it.
    pub files: Vec<String>,
}

impl Snapshot {
    /// What is there of a pulled model in the folder `dir`. Errors for a file that is damaged.
    fn of(dir: PathBuf) -> Result<Self> {
        let names = [CONFIG, WEIGHTS].into_iter().chain(BESIDE.map(|(name, _)| name));
        let files: Vec<String> =
            names.filter(|name| dir.join(name).exists()).map(str::to_owned).collect();
        Ok(Self { dir, files })
    }

    /// The files whose contents are not what the Hub has.
    fn damaged(&self) -> Result<Vec<PathBuf>> {
        let mut damaged = Vec::new();
        for path in self.files.iter().map(|name| self.dir.join(name)) {
            if !verify::is_whole(&path)? {
                damaged.push(path);
            }
        }
        Ok(damaged)
    }

    /// Copies every file into the folder `to`, which is made if need be; the model's come last, so that what is there is whole.
    pub fn copy_to(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to).map_err(|e| Error::io(to, e))?;
        for name in self.files.iter().rev() {
            let from = self.dir.join(name);
            let bytes = fs::read(&from).map_err(|e| Error::io(&from, e))?;
            write_whole(&to.join(name), &bytes)?;
        }
        Ok(())
    }
}

impl Hub {
    /// The model that `reference` means, fetched into the cache unless it is there; in offline mode, or when the Hub does not
    /// answer, what was there before.
    ///
    /// # Errors
    ///
    /// `Invalid`, with what to do, where there is no such model or revision, or one that is not to be trusted: larger than its
    /// own configuration says, or damaged on the way.
    pub fn pull(&self, reference: &Reference) -> Result<Snapshot> {
        let repository = self.client.model(reference.owner.clone(), reference.name.clone());
        let snapshot = match self.is_offline {
            true => self.cached(reference, &repository)?,
            false => match self.fetched(reference, &repository, false) {
                Err(Trouble::Hub(error)) if is_silence(&error) => {
                    let cached = self.cached(reference, &repository);
                    let cached =
                        cached.map_err(|_| trouble::explain(&reference.to_string(), error))?;
                    tracing::warn!(%reference, "the Hub does not answer: what was fetched earlier is used");
                    cached
                }
                found => found.map_err(|trouble| trouble.of(reference))?,
            },
        };
        let damaged = snapshot.damaged()?;
        if damaged.is_empty() {
            return Ok(snapshot);
        }
        if self.is_offline {
            return Err(verify::damaged(&damaged[0]));
        }
        tracing::warn!(file = %damaged[0].display(), "damaged in the cache: fetched again");
        let again = self.fetched(reference, &repository, true);
        let again = again.map_err(|trouble| trouble.of(reference))?;
        match again.damaged()?.first() {
            Some(path) => Err(verify::discard(path)),
            None => Ok(again),
        }
    }

    /// What is in the cache already.
    fn cached(
        &self,
        reference: &Reference,
        repository: &HFRepositorySync<RepoTypeModel>,
    ) -> Result<Snapshot> {
        let found = repository
            .snapshot_download()
            .revision(reference.revision())
            .local_files_only(true)
            .send();
        let dir = found.map_err(|e| trouble::explain(&reference.to_string(), e))?;
        let snapshot = Snapshot::of(dir)?;
        match [CONFIG, WEIGHTS].iter().find(|name| !snapshot.files.iter().any(|f| f == *name)) {
            Some(name) => {
                let missing = HFError::LocalEntryNotFound { path: (*name).into() };
                Err(trouble::explain(&reference.to_string(), missing))
            }
            None => Ok(snapshot),
        }
    }

    /// What the Hub has, looked at before it is fetched; `anew`, whatever the cache has of it.
    fn fetched(
        &self,
        reference: &Reference,
        repository: &HFRepositorySync<RepoTypeModel>,
        anew: bool,
    ) -> std::result::Result<Snapshot, Trouble> {
        let commit = repository.info().revision(reference.revision()).send()?.sha;
        let commit = commit.ok_or_else(|| HFError::malformed_response("the commit's id"))?;
        let names = [CONFIG, WEIGHTS].into_iter().chain(BESIDE.map(|(name, _)| name));
        let paths = names.map(str::to_owned).collect();
        let listed = repository.get_paths_info().paths(paths).revision(commit.clone()).send()?;
        let size_of = |wanted: &str| {
            listed.iter().find_map(|entry| match entry {
                RepoTreeEntry::File { path, size, .. } if path == wanted => Some(*size),
                _ => None,
            })
        };
        let missing = |name: &str| HFError::EntryNotFound {
            path: name.into(),
            repo_id: reference.repository(),
            context: None,
        };
        let config_size = size_of(CONFIG).ok_or_else(|| missing(CONFIG))?;
        check_size(reference, CONFIG, config_size, LARGEST_CONFIG)?;
        let weights_size = size_of(WEIGHTS).ok_or_else(|| missing(WEIGHTS))?;
        let config = |anew| {
            let file = repository.download_file().filename(CONFIG).revision(commit.clone());
            file.force_download(anew).send()
        };
        let mut path = config(anew)?;
        if !verify::is_whole(&path)? {
            path = config(true)?;
        }
        if !verify::is_whole(&path)? {
            return Err(verify::discard(&path).into());
        }
        let config = Config::read(&path)?;
        let (least, most) = config.weights_size();
        if weights_size < least {
            let expected = format!("at least {least} bytes, as its {CONFIG} says");
            return Err(refused(reference, WEIGHTS, expected, weights_size));
        }
        check_size(reference, WEIGHTS, weights_size, most)?;
        let mut wanted = vec![CONFIG.to_owned(), WEIGHTS.to_owned()];
        for (name, most) in BESIDE {
            if let Some(size) = size_of(name) {
                check_size(reference, name, size, most)?;
                wanted.push(name.to_owned());
            }
        }
        let dir = repository
            .snapshot_download()
            .revision(reference.revision())
            .allow_patterns(wanted)
            .force_download(anew)
            .maybe_progress(self.progress())
            .send()?;
        Ok(Snapshot::of(dir)?)
    }
}

fn check_size(
    reference: &Reference,
    name: &str,
    size: u64,
    most: u64,
) -> std::result::Result<(), Trouble> {
    match size > most {
        true => Err(refused(reference, name, format!("at most {most} bytes"), size)),
        false => Ok(()),
    }
}

fn refused(reference: &Reference, name: &str, expected: String, size: u64) -> Trouble {
    Error::invalid(format!("{reference}: {name}"), expected, format!("{size}; nothing was fetched"))
        .into()
}

/// Whether the Hub has said nothing at all.
fn is_silence(error: &HFError) -> bool {
    match error {
        HFError::Request { .. } => true,
        HFError::Http { context } => context.status.is_server_error(),
        _ => false,
    }
}

/// The Hub's, or our own.
enum Trouble {
    Hub(HFError),
    Ours(Error),
}

impl Trouble {
    fn of(self, reference: &Reference) -> Error {
        match self {
            Self::Hub(error) => trouble::explain(&reference.to_string(), error),
            Self::Ours(error) => error,
        }
    }
}

impl From<HFError> for Trouble {
    fn from(error: HFError) -> Self {
        Self::Hub(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}
