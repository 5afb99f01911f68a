//! Whether bytes are those that the Hub has.

use std::path::Path;

use rbm_core::{Error, Result};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::api::Hash;
use crate::digest;

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
pub fn is_whole(path: &Path, hash: &Hash) -> Result<bool> {
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
