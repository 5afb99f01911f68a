//! `dbn sample` of a belief net: from the top down, each sample independent of the others.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rbm_core::Rng;
use rbm_core::state::write_whole;

use crate::beliefs::LearnedBelief;
use crate::tables;

/// Writes `samples.npy` and `samples.png` into `dir`: `count` means of the observed units, or their states where these are `drawn`.
pub fn run(
    run: &Path,
    dir: &Path,
    count: usize,
    drawn: bool,
    rng: &mut Rng,
) -> Result<Vec<PathBuf>> {
    let belief = LearnedBelief::open(run)?;
    let samples = belief.samples(count, drawn, rng)?;
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let (array, picture) = (dir.join("samples.npy"), dir.join("samples.png"));
    write_whole(&array, &tables::npy_bytes(&samples)?)?;
    belief.picture(&picture, &samples, belief.image())?;
    Ok(vec![picture, array])
}
