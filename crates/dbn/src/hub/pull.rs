//! From the Hub into the cache.

use std::fs;
use std::path::Path;

use hf_hub::repository::{RepoTreeEntry, RepoTypeModel};
use hf_hub::{HFError, HFRepositorySync};
use rbm_core::checkpoint::write_whole;
use rbm_core::{Error, Result};

use super::snapshot::{BESIDE, Snapshot};
use super::{Hub, Reference, trouble, verify};
use crate::config::{CONFIG, Config};
use crate::store::WEIGHTS;

/// The most bytes of a configuration.
const LARGEST_CONFIG: u64 = 1 << 20;

impl Hub {
    /// The model that `reference` means as the Hub has it now, fetched into the cache unless it is there; in offline mode what was
    /// there before.
    ///
    /// # Errors
    ///
    /// `Invalid`, with what to do, where there is no such model or revision, or one that is not to be trusted: larger than its
    /// own configuration says, or damaged on the way.
    pub fn pull(&self, reference: &Reference) -> Result<Snapshot> {
        let repository = self.repository(reference);
        if self.is_offline {
            return self.cached(reference, &repository);
        }
        let commit = commit_of(reference, &repository);
        let commit = commit.map_err(|e| trouble::explain(&reference.to_string(), e))?;
        self.at_commit(reference, &repository, &commit)
    }

    /// [`Hub::pull`], but where the Hub does not answer at all what was there before.
    pub fn find(&self, reference: &Reference) -> Result<Snapshot> {
        let repository = self.repository(reference);
        if self.is_offline {
            return self.cached(reference, &repository);
        }
        match commit_of(reference, &repository) {
            Ok(commit) => self.at_commit(reference, &repository, &commit),
            Err(error) => {
                let cached = match is_silence(&error) {
                    true => self.cached(reference, &repository).ok(),
                    false => None,
                };
                let cached =
                    cached.ok_or_else(|| trouble::explain(&reference.to_string(), error))?;
                tracing::warn!(%reference, "the Hub does not answer: what was fetched earlier is used");
                Ok(cached)
            }
        }
    }

    /// The model at a commit, fetched again where it is damaged in the cache.
    fn at_commit(
        &self,
        reference: &Reference,
        repository: &HFRepositorySync<RepoTypeModel>,
        commit: &str,
    ) -> Result<Snapshot> {
        let fetch = |anew| {
            let found = self.fetched(reference, repository, commit, anew);
            found.map_err(|trouble| trouble.of(reference))
        };
        let snapshot = fetch(false)?;
        let damaged = snapshot.damaged()?;
        let Some(first) = damaged.first() else { return Ok(snapshot) };
        tracing::warn!(file = %first.display(), "damaged in the cache: fetched again");
        let again = fetch(true)?;
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
        let snapshot = Snapshot::of(dir);
        if let Some(damaged) = snapshot.damaged()?.first() {
            return Err(verify::damaged(damaged));
        }
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
        commit: &str,
        anew: bool,
    ) -> std::result::Result<Snapshot, Trouble> {
        let paths = Snapshot::names().map(str::to_owned).collect();
        let listed = repository.get_paths_info().paths(paths).revision(commit).send()?;
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
            let file = repository.download_file().filename(CONFIG).revision(commit);
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
            .revision(commit)
            .allow_patterns(wanted)
            .force_download(anew)
            .maybe_progress(self.progress())
            .send()?;
        remember(&dir, reference, commit);
        Ok(Snapshot::of(dir))
    }
}

/// The commit that the Hub has for the revision.
fn commit_of(
    reference: &Reference,
    repository: &HFRepositorySync<RepoTypeModel>,
) -> std::result::Result<String, HFError> {
    let commit = repository.info().revision(reference.revision()).send()?.sha;
    let is_id = |id: &String| id.len() == 40 && id.bytes().all(|c| c.is_ascii_hexdigit());
    commit.filter(is_id).ok_or_else(|| HFError::malformed_response("the commit's id"))
}

/// Writes into the cache which commit the revision was, as every client of the Hub does: offline, it is found by its name. `dir`
/// is the commit's folder.
fn remember(dir: &Path, reference: &Reference, commit: &str) {
    let repository = dir.parent().and_then(Path::parent);
    let Some(repository) = repository.filter(|_| reference.revision() != commit) else {
        return;
    };
    let path = repository.join("refs").join(reference.revision());
    if fs::read_to_string(&path).is_ok_and(|known| known.trim() == commit) {
        return;
    }
    let folder = path
        .parent()
        .map_or(Ok(()), |it| fs::create_dir_all(it).map_err(|error| Error::io(it, error)));
    // The model itself is there.
    if let Err(error) = folder.and_then(|()| write_whole(&path, commit.as_bytes())) {
        tracing::warn!(
            %reference,
            %error,
            "the cache cannot be written: offline, this revision will not be found by its name"
        );
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
