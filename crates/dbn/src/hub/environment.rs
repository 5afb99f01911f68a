//! What the environment says to every client of the Hub.

use std::env;
use std::path::PathBuf;

use rbm_core::{Error, Result};

/// The folder of everything that clients of the Hub keep.
///
/// # Errors
///
/// Where there is no home.
pub fn home() -> Result<PathBuf> {
    if let Some(home) = set("HF_HOME") {
        return Ok(home.into());
    }
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache")));
    let expected = "the folder for what is fetched, where there is no home";
    Ok(cache.ok_or_else(|| Error::invalid("HF_HOME", expected, "none"))?.join("huggingface"))
}

/// What stands in the environment, unless it is blank.
pub fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}
