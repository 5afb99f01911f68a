//! The bytes of a file, unzipped where they are gzipped.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rbm_core::{Error, Result};

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The bytes of the file `path` as they are. An empty file is an error that expects `form`.
pub(super) fn read(path: &Path, form: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::file(path, "file", form, "no file of this name"),
        _ => Error::io(path, e),
    })?;
    if bytes.is_empty() {
        return Err(Error::file(path, "byte 0", form, "an empty file"));
    }
    Ok(bytes)
}

/// The bytes of the file `path`, unzipped if they begin like a gzip stream, whatever the file's name ends in.
pub(super) fn read_unzipped(path: &Path, form: &str) -> Result<Vec<u8>> {
    let bytes = read(path, form)?;
    if bytes.starts_with(&GZIP) { gunzip(path, &bytes, form) } else { Ok(bytes) }
}

/// The contents of the gzip stream `bytes`, which stand in `path`.
pub(super) fn gunzip(path: &Path, bytes: &[u8], form: &str) -> Result<Vec<u8>> {
    let mut contents = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut contents).map_err(|e| {
        let place = format!("unzipped byte {}", contents.len());
        let found = match e.kind() {
            std::io::ErrorKind::UnexpectedEof => "the end of the file: it is truncated".into(),
            _ => e.to_string(),
        };
        Error::file(path, place, "a whole gzip stream", found)
    })?;
    if contents.is_empty() {
        return Err(Error::file(path, "unzipped byte 0", form, "an empty file"));
    }
    Ok(contents)
}
