//! Whether a file in the cache is the one the Hub has.

use std::path::Path;

use rbm_core::{Error, Result};
use sha1::Sha1;
use sha2::Sha256;

use crate::digest;

/// Whether the contents of `path`, which is a link into the cache's `blobs`, are what the blob is called after: SHA-256 of a large
/// file, git's hash of a small one. What is called otherwise cannot be told, and passes.
pub fn is_whole(path: &Path) -> Result<bool> {
    let failed = |e| Error::io(path, e);
    let blob = path.canonicalize().map_err(failed)?;
    let name = blob.file_name().map(|name| name.to_string_lossy().into_owned());
    let Some(name) = name.filter(|name| name.bytes().all(|c| c.is_ascii_hexdigit())) else {
        return Ok(true);
    };
    let found = match name.len() {
        64 => digest::of_file::<Sha256>(&blob, ""),
        40 => blob.metadata().and_then(|blob_is| {
            let before = format!("blob {}\0", blob_is.len());
            digest::of_file::<Sha1>(&blob, &before)
        }),
        _ => return Ok(true),
    };
    let found = found.map_err(failed)?;
    Ok(found == name.to_ascii_lowercase())
}

/// Takes a damaged file out of the cache, that it does not stay under its name; returns what to say of it.
pub fn discard(path: &Path) -> Error {
    let remove = || {
        let blob = path.canonicalize()?;
        std::fs::remove_file(blob)?;
        std::fs::remove_file(path)
    };
    match remove() {
        Ok(()) => damaged(path),
        Err(e) => Error::io(path, e),
    }
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
