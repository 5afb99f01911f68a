//! What has been tried so far, in a file that outlives the process.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rbm_core::state::write_whole;
use serde::{Deserialize, Serialize};

use super::axes::Place;

/// The file that remembers what has been tried: a trial a line.
pub const TRIED: &str = "tried.jsonl";

/// What was tried and what it gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trial {
    /// Recipe, data and seed.
    pub of: String,
    pub place: Place,
    pub settings: Vec<String>,
    /// Mean log p(v) of the validation part; the lower side where it is not exact.
    pub validation: f64,
    pub seconds: f64,
}

/// A trial as a line of the file.
fn line(trial: &Trial) -> Result<String> {
    Ok(serde_json::to_string(trial)? + "\n")
}

/// What earlier processes have tried of recipe, data and seed `of`. Errors where the file holds anything else.
pub fn read(dir: &Path, of: &str) -> Result<Vec<Trial>> {
    let path = dir.join(TRIED);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // A killed process may have left half a line.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut tried = Vec::new();
    for (i, line) in whole.lines().enumerate() {
        let trial: Trial = serde_json::from_str(line).with_context(|| {
            let place = format!("{}: line {}", path.display(), i + 1);
            format!("{place}: expected a trial of this version (choose another --out)")
        })?;
        ensure!(
            trial.of == of,
            "{}: expected trials of {of}, found {} (choose another --out)",
            path.display(),
            trial.of
        );
        tried.push(trial);
    }
    if whole.len() < text.len() {
        write_whole(&path, whole.as_bytes())?;
    }
    Ok(tried)
}

/// Adds a trial.
pub fn append(dir: &Path, trial: &Trial) -> Result<()> {
    let path = dir.join(TRIED);
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
    file.write_all(line(trial)?.as_bytes()).with_context(|| path.display().to_string())
}
