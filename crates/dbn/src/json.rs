//! JSON files: read with the place of what is wrong in them, and written.

use std::path::Path;

use rbm_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the file `path` holds, which should be `expected`.
///
/// # Errors
///
/// [`Error::Io`] where the file cannot be read; [`Error::File`] with line and column where it holds something else.
pub fn read<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T> {
    parsed(&text(path)?, path, expected)
}

/// The text of the file `path`.
///
/// # Errors
///
/// Where it cannot be read.
pub fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io(path, e))
}

/// What `text`, that of the file `path`, holds.
///
/// # Errors
///
/// [`Error::File`] with line and column where it holds something else.
pub fn parsed<T: DeserializeOwned>(text: &str, path: &Path, expected: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| {
        let place = format!("line {}, column {}", e.line(), e.column());
        Error::file(path, place, expected, e.to_string())
    })
}

/// `value` as a file called `name` holds it.
///
/// # Errors
///
/// For what JSON cannot hold.
pub fn bytes(value: &impl Serialize, name: &str) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|e| Error::invalid(name, "plain data", e.to_string()))
}
