//! Commands of this program, as words.

use std::path::Path;

use anyhow::{Result, anyhow};

/// The arguments that the words behind `dbn` and the name of a command mean.
pub fn parsed<T: clap::Args>(words: &[&str]) -> Result<T> {
    let command = T::augment_args(clap::Command::new("dbn"));
    Ok(T::from_arg_matches(&command.try_get_matches_from(&words[1..])?)?)
}

/// A path as a word.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| anyhow!("{path:?}: the path is not UTF-8"))
}
