//! The pictures of a run.

use std::path::Path;

use anyhow::Result;
use candle_core::Tensor;
use dbn::pictures::{Contrast, shape_of, write_grid, write_pairs};
use dbn::{Model, Part};
use rbm_core::Rng;

/// Gibbs steps behind each picture of a sample.
const STEPS: usize = 1000;
const TILES: usize = 100;

/// Writes `filters.png`, `reconstructions.png` and `samples.png` into `dir`.
pub fn write(dir: &Path, model: &Model, cases: &Part, seed: u64) -> Result<()> {
    let image = shape_of(model.dbn.width(), model.image);
    let filters = model.dbn.bottom().weights().as_detached_tensor().t()?.contiguous()?;
    let filters = filters.narrow(0, 0, filters.dim(0)?.min(TILES))?;
    write_grid(&dir.join("filters.png"), &filters, image, 10, Contrast::Symmetric)?;
    let originals = cases.cases.narrow(0, 0, cases.len().min(40))?;
    let reconstructions =
        model.dbn.reconstruct(&model.prepare(&originals)?, model.dbn.rbms.len())?;
    let reconstructions = back_to_data(model, &reconstructions)?;
    write_pairs(&dir.join("reconstructions.png"), &originals, &reconstructions, image, 10)?;
    let samples = model.dbn.sample(TILES, STEPS, &mut Rng::new(seed))?;
    write_samples(&dir.join("samples.png"), model, &back_to_data(model, &samples)?, 10)
}

/// Samples `(n, width)` as a picture, `columns` to a row.
pub fn write_samples(path: &Path, model: &Model, samples: &Tensor, columns: usize) -> Result<()> {
    let image = shape_of(model.dbn.width(), model.image);
    let (low, high) = model.dbn.bottom().visible().units().range();
    let contrast = if (low, high) == (0.0, 1.0) { Contrast::Unit } else { Contrast::Range };
    Ok(write_grid(path, samples, image, columns, contrast)?)
}

/// What the network says, in the values of the data and on the CPU.
pub fn back_to_data(model: &Model, values: &Tensor) -> Result<Tensor> {
    let values = match &model.standardise {
        Some(standardise) => standardise.undo(values)?,
        None => values.clone(),
    };
    Ok(values.detach().to_device(&candle_core::Device::Cpu)?)
}
