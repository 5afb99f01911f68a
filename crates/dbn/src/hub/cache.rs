//! The cache: laid out as that of Python's `huggingface_hub`, which shares it.
//!
//! ```text
//! models--user--name/blobs/<hash>                     contents, under the name of their hash
//! models--user--name/snapshots/<commit>/config.json   a link to a blob
//! models--user--name/refs/main                        the commit of a branch
//! ```
//!
//! Every part of these paths is checked before it gets here: names by [`Reference`](super::Reference), hashes and commits by
//! [`api`](super::api), and names of files are those of a list of ours. So nothing that a server says leads out of the cache.
//! Bytes are written beside, and get their name when their hash is right.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rbm_core::state::{UNFINISHED, write_whole, write_whole_by};
use rbm_core::{Error, Result};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::api::{Hash, HubRepository, ListedFile, is_commit};
use super::card::CARD;
use super::http::{Answer, Failure, Http};
use crate::digest;
use crate::network::config::CONFIG;
use crate::store::model_config::ModelConfig;
use crate::store::results::RESULTS;
use crate::store::run::RECIPE;
use crate::viz::gallery::{FILTERS, SAMPLES};

/// What a killed process left is taken away after this time. Nobody writes so long at a file without a pause.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// What the cache has of one repository.
pub struct Cache {
    dir: PathBuf,
}

/// What the cache has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// All of it.
    Whole,
    /// Other bytes under its name.
    Damaged,
    /// Nothing.
    Missing,
}

impl Cache {
    /// In the folder `cache`.
    pub fn of(cache: &Path, repository: &HubRepository) -> Self {
        let HubRepository { kind, owner, name } = repository;
        Self { dir: cache.join(format!("{kind}--{owner}--{name}")) }
    }

    /// The folder of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.dir.join("snapshots").join(commit)
    }

    fn blob(&self, hash: &Hash) -> PathBuf {
        self.dir.join("blobs").join(hash.digits())
    }

    /// The commit that a revision was when it was fetched.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = fs::read_to_string(self.dir.join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Writes which commit the revision is now: offline, it is found by its name.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.dir.join("refs").join(revision);
        make_folder_of(&path)?;
        write_whole(&path, commit.as_bytes())
    }

    /// What there is of a file of a commit.
    ///
    /// # Errors
    ///
    /// Where the cache cannot be read.
    pub fn look(&self, commit: &str, name: &str, listed: &ListedFile) -> Result<Found> {
        self.compare(&self.snapshot(commit).join(name), listed)
    }

    /// What there is of a file of a commit, by the name of its blob. What lies there without one cannot be checked, and passes.
    ///
    /// # Errors
    ///
    /// Where the cache cannot be read.
    pub fn look_offline(&self, commit: &str, name: &str) -> Result<Found> {
        let path = self.snapshot(commit).join(name);
        let Ok(metadata) = path.symlink_metadata() else { return Ok(Found::Missing) };
        if metadata.is_file() {
            return Ok(Found::Whole);
        }
        // Python's client may have put a link in the blob's place, too: the name of the blob is what its contents are held to.
        let Ok(to) = fs::read_link(&path) else { return Ok(Found::Damaged) };
        let blob = path.with_file_name("").join(to);
        if !path.exists() {
            return Ok(Found::Missing);
        }
        let folder = blob.parent().and_then(|folder| folder.canonicalize().ok());
        let is_ours = folder.is_some() && folder == self.dir.join("blobs").canonicalize().ok();
        let digits = blob.file_name().map(|name| name.to_string_lossy().into_owned());
        match digits.filter(|_| is_ours).and_then(Hash::read) {
            Some(hash) if path.is_file() && is_whole(&path, &hash)? => Ok(Found::Whole),
            // Links that lead elsewhere were put there by somebody else.
            _ => Ok(Found::Damaged),
        }
    }

    fn compare(&self, path: &Path, listed: &ListedFile) -> Result<Found> {
        match path.metadata() {
            Err(_) => Ok(Found::Missing),
            Ok(found) if !found.is_file() || found.len() != listed.size => Ok(Found::Damaged),
            Ok(_) if is_whole(path, &listed.hash)? => Ok(Found::Whole),
            Ok(_) => Ok(Found::Damaged),
        }
    }

    /// The contents of a file, fetched unless they are there: a path among the blobs. `moved` is called with every piece.
    ///
    /// # Errors
    ///
    /// When the file cannot be fetched or written, and where its hash is not the one that is listed.
    pub fn fetch(
        &self,
        http: &Http,
        repository: &HubRepository,
        commit: &str,
        name: &str,
        listed: &ListedFile,
        mut moved: impl FnMut(u64) + Send,
    ) -> Answer<PathBuf> {
        let path = self.blob(&listed.hash);
        if self.compare(&path, listed)? == Found::Whole {
            moved(listed.size);
            return Ok(path);
        }
        make_folder_of(&path)?;
        self.sweep();
        write_whole_by(&path, |file| {
            let mut hasher = Hasher::of(&listed.hash, listed.size);
            let each = |piece: &[u8]| {
                hasher.update(piece);
                moved(piece.len() as u64);
                file.write_all(piece).map_err(|e| Error::io(&path, e))
            };
            repository.file(http, commit, name, listed.size, each)?;
            let found = hasher.finish();
            match found == listed.hash.digits() {
                true => Ok(()),
                false => {
                    let expected =
                        format!("the bytes whose hash the Hub lists ({})", listed.hash.digits());
                    let found = format!("others ({found}); nothing was kept");
                    Err(Failure::Ours(Error::invalid(
                        format!("{}/{}: {name}", repository.owner, repository.name),
                        expected,
                        found,
                    )))
                }
            }
        })?;
        Ok(path)
    }

    /// Puts the contents that were fetched under the name of the file.
    ///
    /// # Errors
    ///
    /// Where a link or a copy cannot be made.
    pub fn place(&self, commit: &str, name: &str, hash: &Hash) -> Result<()> {
        let path = self.snapshot(commit).join(name);
        make_folder_of(&path)?;
        let depth = name.split('/').count() + 1;
        let blob: PathBuf = (0..depth).map(|_| "..").chain(["blobs", hash.digits()]).collect();
        if fs::read_link(&path).is_ok_and(|known| known == blob) {
            return Ok(());
        }
        link(&blob, &self.blob(hash), &path).map_err(|e| Error::io(&path, e))
    }

    /// Takes away what processes left here that were killed.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.dir.join("blobs")) else { return };
        for entry in entries.flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
            let age = entry.metadata().and_then(|it| it.modified());
            let age = age.ok().and_then(|modified| modified.elapsed().ok());
            if is_ours && age.is_some_and(|age| age > STALE) {
                // It does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn make_folder_of(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) => fs::create_dir_all(folder).map_err(|e| Error::io(folder, e)),
        None => Ok(()),
    }
}

/// A link to `blob` at `path`, which replaces what is there: a link itself and not what it leads to.
#[cfg(unix)]
fn link(blob: &Path, _: &Path, path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .make_in(folder, |beside| std::os::unix::fs::symlink(blob, beside))?;
    let (_, beside) = beside.into_parts();
    beside.persist(path).map_err(|e| e.error)
}

/// A copy of `whole`: links need rights of their own here.
#[cfg(not(unix))]
fn link(_: &Path, whole: &Path, path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    fs::copy(whole, beside.path())?;
    beside.persist(path).map(drop).map_err(|e| e.error)
}

/// A hash that is being computed.
pub enum Hasher {
    Git(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    /// Of `size` bytes, in the way of `hash`.
    pub fn of(hash: &Hash, size: u64) -> Self {
        match hash {
            Hash::Git(_) => Self::Git(Sha1::new().chain_update(before(size))),
            Hash::Sha256(_) => Self::Sha256(Sha256::new()),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Git(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Its hexadecimal digits.
    pub fn finish(self) -> String {
        match self {
            Self::Git(hasher) => digest::digits(&hasher.finalize()),
            Self::Sha256(hasher) => digest::digits(&hasher.finalize()),
        }
    }
}

/// What git hashes before the bytes of a file.
fn before(size: u64) -> String {
    format!("blob {size}\0")
}

/// Whether the contents of `path` are what `hash` says.
///
/// # Errors
///
/// Where the file cannot be read.
fn is_whole(path: &Path, hash: &Hash) -> Result<bool> {
    let failed = |e| Error::io(path, e);
    let found = match hash {
        Hash::Sha256(_) => digest::of_file::<Sha256>(path, ""),
        Hash::Git(_) => {
            let size = path.metadata().map_err(failed)?.len();
            digest::of_file::<Sha1>(path, &before(size))
        }
    };
    Ok(found.map_err(failed)? == hash.digits())
}

/// What to say of a damaged file.
pub fn damaged(path: &Path) -> Error {
    Error::file(
        path,
        "contents",
        "what the Hub has of it (without HF_HUB_OFFLINE, `dbn pull` mends it)",
        "other bytes",
    )
}

/// What is read of a repository beside the model itself, where it is there, and the most bytes it may have.
pub(super) const BESIDE: [(&str, u64); 5] = [
    (CARD, 4 << 20),
    (RECIPE, 1 << 20),
    (RESULTS, 1 << 20),
    (FILTERS, 32 << 20),
    (SAMPLES, 32 << 20),
];
/// A model of the Hub as it lies in the cache. Nothing may be written there.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The folder: a model's folder as any other.
    pub dir: PathBuf,
    /// The names of what there is in it.
    pub files: Vec<String>,
}

impl Snapshot {
    /// The names of what [`Snapshot::copy_to`] may write or take away.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let beside = BESIDE.map(|(name, _)| name);
        [CONFIG].into_iter().chain(ModelConfig::WEIGHTS).chain(beside)
    }

    /// Copies every file into the folder `to`, which is made if need be, and takes away what another model left beside it. The
    /// configuration goes away first and comes last. So whenever this is cut short there is no model, and never the old
    /// configuration with new weights.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or written.
    pub fn copy_to(&self, to: impl AsRef<Path>) -> Result<()> {
        let to = to.as_ref();
        fs::create_dir_all(to).map_err(|e| Error::io(to, e))?;
        let is_new = |name: &str| self.files.iter().any(|file| file == name);
        let old = Self::names().filter(|name| !is_new(name));
        for path in [CONFIG].into_iter().chain(old).map(|name| to.join(name)) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(&path, e)),
                _ => {}
            }
        }
        let (last, first): (Vec<_>, _) = self.files.iter().partition(|name| *name == CONFIG);
        for name in [first, last].concat() {
            let from = self.dir.join(name);
            let bytes = fs::read(&from).map_err(|e| Error::io(&from, e))?;
            write_whole(&to.join(name), &bytes)?;
        }
        Ok(())
    }
}
