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
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rbm_core::state::{UNFINISHED, write_whole, write_whole_by};
use rbm_core::{Error, Result};

use super::api::{Hash, Listed, Repository, is_commit};
use super::error::{Answer, Failure};
use super::http::Http;
use super::verify::{self, Hasher};

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
    pub fn of(cache: &Path, repository: &Repository) -> Self {
        let Repository { kind, owner, name } = repository;
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
    pub fn look(&self, commit: &str, name: &str, listed: &Listed) -> Result<Found> {
        self.compare(&self.snapshot(commit).join(name), listed)
    }

    /// What there is of a file of a commit, by the name of its blob. What lies there without one cannot be told, and passes.
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
            Some(hash) if path.is_file() && verify::is_whole(&path, &hash)? => Ok(Found::Whole),
            // Links that lead elsewhere were put there by somebody else.
            _ => Ok(Found::Damaged),
        }
    }

    fn compare(&self, path: &Path, listed: &Listed) -> Result<Found> {
        match path.metadata() {
            Err(_) => Ok(Found::Missing),
            Ok(found) if !found.is_file() || found.len() != listed.size => Ok(Found::Damaged),
            Ok(_) if verify::is_whole(path, &listed.hash)? => Ok(Found::Whole),
            Ok(_) => Ok(Found::Damaged),
        }
    }

    /// The contents of a file, fetched unless they are there: a path among the blobs. `moved` is told of every piece.
    pub fn fetch(
        &self,
        http: &Http,
        repository: &Repository,
        commit: &str,
        name: &str,
        listed: &Listed,
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
