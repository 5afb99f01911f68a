//! Whether a file in the cache is the one the Hub has.

use std::fs::File;
use std::io::{Read, copy};
use std::path::Path;

use rbm_core::{Error, Result};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Whether the contents of `path`, which is a link into the cache's `blobs`, are what the blob is called after: SHA-256 of a large
/// file, git's hash of a small one. What is called otherwise cannot be told, and passes.
pub fn is_whole(path: &Path) -> Result<bool> {
    let failed = |e| Error::io(path, e);
    let blob = path.canonicalize().map_err(failed)?;
    let name = blob.file_name().map(|name| name.to_string_lossy().into_owned());
    let Some(name) = name.filter(|name| name.bytes().all(|c| c.is_ascii_hexdigit())) else {
        return Ok(true);
    };
    let mut file = File::open(&blob).map_err(failed)?;
    let found = match name.len() {
        64 => hash::<Sha256>(&mut file, "").map_err(failed)?,
        40 => {
            let length = file.metadata().map_err(failed)?.len();
            hash::<Sha1>(&mut file, &format!("blob {length}\0")).map_err(failed)?
        }
        _ => return Ok(true),
    };
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

fn hash<H: Digest>(file: &mut impl Read, before: &str) -> std::io::Result<String> {
    struct Into<H>(H);
    impl<H: Digest> std::io::Write for Into<H> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut into = Into(H::new().chain_update(before));
    copy(file, &mut into)?;
    Ok(into.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
