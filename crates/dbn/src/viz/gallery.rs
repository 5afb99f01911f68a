//! What a model looks like: its filters, its reconstructions, its samples (Practical Guide §15).

use std::path::Path;

use candle_core::{Device, Tensor};
use rbm_core::{Gibbs, Kernel, Result, Rng, Rows, Units};

use crate::Model;
use crate::network::dbn::has_own_draws;
use crate::network::inference::{Condition, ConditionalSampler};
use crate::viz::images::{self, Contrast, shape_of, write_animation, write_grid, write_pairs};

/// The picture of the filters in a run's folder.
pub const FILTERS: &str = "filters.png";
/// The picture of samples there.
pub const SAMPLES: &str = "samples.png";

const COLUMNS: usize = 10;
/// The most filters or samples in a picture.
const TILES: usize = 100;
/// The most originals in the picture of reconstructions.
pub const PAIRS: usize = 40;
/// How many configurations there are to look at together.
pub const CONFIGURATIONS: usize = 200;
/// How long each picture of an animation is shown, in milliseconds.
const FRAME: u64 = 100;
/// Gibbs steps behind each sample in a picture.
const STEPS: usize = 1000;

/// Writes `filters.png`, `reconstructions.png` of `cases` (as the data source has them) and, where there can be any, `samples.png` into
/// `dir`.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn write(dir: impl AsRef<Path>, model: &Model, cases: &dyn Rows, seed: u64) -> Result<()> {
    let dir = dir.as_ref();
    filters(&dir.join(FILTERS), model)?;
    reconstructions(&dir.join("reconstructions.png"), model, cases)?;
    // Without a case nobody knows how many draws the data layer of a single machine is to have.
    let dbn = &model.dbn;
    if dbn.depth() == 1 && has_own_draws(&dbn.visible_units()) {
        return Ok(());
    }
    fantasies(&dir.join(SAMPLES), model, seed)
}

/// Samples as a training leaves them.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn fantasies(path: impl AsRef<Path>, model: &Model, seed: u64) -> Result<()> {
    let path = path.as_ref();
    let samples = drawn(model, &samples_of(model, &mut Rng::new(seed))?)?;
    self::samples(path, model, &samples, &captions(model, &classes_of(model)), COLUMNS)
}

/// The class of each sample of a picture, a row of each class; none where the network has no label units.
fn classes_of(model: &Model) -> Vec<u32> {
    let classes = 0..model.dbn.classes().unwrap_or(0).min(TILES) as u32;
    classes.flat_map(|label| std::iter::repeat_n(label, COLUMNS)).collect()
}

/// What stands below samples of these classes: their names.
pub fn captions(model: &Model, classes: &[u32]) -> Vec<String> {
    classes.iter().map(|class| model.class_name(*class as usize)).collect()
}

/// Samples for a picture `(n, width)`: where there are label units, a row of each class.
fn samples_of(model: &Model, rng: &mut Rng) -> Result<Tensor> {
    let labels = classes_of(model);
    if labels.is_empty() {
        return model.dbn.sample(TILES, STEPS, rng);
    }
    let chains = model.dbn.start_chains(labels.len(), rng)?;
    let given = Condition { labels: Some(labels), data: None };
    let mut generator = ConditionalSampler::new(&model.dbn, given, chains, rng)?;
    for _ in 0..STEPS {
        generator.step(rng)?;
    }
    generator.picture(false, rng)
}

/// Configurations of the data layer, `(count, width)`: samples in which the lowest layer is drawn too.
///
/// # Errors
///
/// Where a tensor operation fails: for want of memory, or for tensors on several devices.
pub fn configurations(model: &Model, count: usize, rng: &mut Rng) -> Result<Tensor> {
    let mut chains = model.dbn.start_chains(count, rng)?;
    Gibbs::default().advance(model.dbn.top(), &mut chains, STEPS, rng)?;
    model.dbn.ancestral_sample(&chains.hidden, rng)
}

/// The weights into the first hidden units of the lowest machine, each tile on its own scale, zero in the middle of it. Below stands the
/// unit's number, from 0 as in the columns of `embed`.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn filters(path: impl AsRef<Path>, model: &Model) -> Result<()> {
    let path = path.as_ref();
    let weights = model.dbn.bottom().weights().as_detached_tensor();
    let filters = weights.narrow(0, 0, model.dbn.width())?.t()?;
    let filters = filters.narrow(0, 0, filters.dim(0)?.min(TILES))?.contiguous()?;
    let tiles = tiles(model, &filters)?;
    let captions: Vec<_> = (0..filters.dim(0)?).map(|unit| format!("hidden {unit}")).collect();
    let columns = columns(model, COLUMNS);
    write_grid(path, &tiles, &captions, image(model), columns, Contrast::Symmetric)
}

/// The first cases above what the whole network makes of them on the way up and down, or the autoencoder where there is one.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn reconstructions(path: impl AsRef<Path>, model: &Model, cases: &dyn Rows) -> Result<()> {
    let path = path.as_ref();
    let originals = cases.block(0..cases.count().min(PAIRS))?;
    let prepared = model.prepare(&originals)?;
    let reconstructions = match &model.autoencoder {
        Some(autoencoder) => autoencoder.reconstruct(&prepared)?,
        None => model.dbn.reconstruct(&prepared, model.dbn.depth())?,
    };
    let (above, below) = (drawn(model, &prepared)?, drawn(model, &reconstructions)?);
    pairs(path, model, (&above, &below), "above: cases; below: reconstructions")
}

/// What the network sees or says `(n, width)` as it is drawn: pictures in the values of the data. Columns of a table have scales of
/// their own: they are drawn as the network sees them.
fn drawn(model: &Model, values: &Tensor) -> Result<Tensor> {
    if model.image.is_none() && model.standardise.is_some() {
        return Ok(values.detach().to_device(&Device::Cpu)?);
    }
    model.in_data_values(values)
}

/// Given cases `(n, width)` above what has become of them, both in the values of the data.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn completions(
    path: impl AsRef<Path>,
    model: &Model,
    given: &Tensor,
    completed: &Tensor,
) -> Result<()> {
    pairs(path.as_ref(), model, (given, completed), "above: cases; below: filled in")
}

fn pairs(
    path: &Path,
    model: &Model,
    (above, below): (&Tensor, &Tensor),
    caption: &str,
) -> Result<()> {
    let (above, below) = (tiles(model, above)?, tiles(model, below)?);
    write_pairs(path, &above, &below, image(model), columns(model, COLUMNS), caption)
}

/// Samples `(n, width)` in the values of the data, `columns` to a row, with `captions` below them, or none.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn samples(
    path: impl AsRef<Path>,
    model: &Model,
    samples: &Tensor,
    captions: &[String],
    columns: usize,
) -> Result<()> {
    let path = path.as_ref();
    let (tiles, columns) = (tiles(model, samples)?, self::columns(model, columns));
    write_grid(path, &tiles, captions, image(model), columns, contrast(model))
}

/// Samples as they come to be, as an animated GIF: each of `frames` has the number of Gibbs steps and samples `(n, width)` in the values
/// of the data.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn animation(
    path: impl AsRef<Path>,
    model: &Model,
    frames: &[(usize, Tensor)],
    columns: usize,
) -> Result<()> {
    let path = path.as_ref();
    let captioned =
        |(step, frame): &(usize, Tensor)| Ok((format!("step {step}"), tiles(model, frame)?));
    let frames = frames.iter().map(captioned).collect::<Result<Vec<_>>>()?;
    let columns = self::columns(model, columns);
    write_animation(path, &frames, image(model), columns, contrast(model), FRAME)
}

fn contrast(model: &Model) -> Contrast {
    let is_unit = model.dbn.visible_units().range() == (0.0, 1.0);
    if is_unit { Contrast::Unit } else { Contrast::Range }
}

/// Height and width in which cases are drawn: pictures as such, sites of states as a map with a row for each state and a column for each
/// site, others folded.
pub fn image(model: &Model) -> (usize, usize) {
    match sites(model) {
        Some((sites, states)) => (states, sites),
        None => shape_of(model.dbn.width(), model.image),
    }
}

/// Sites and states of data that are nothing else, and no pictures.
pub(crate) fn sites(model: &Model) -> Option<(usize, usize)> {
    match model.dbn.visible_units() {
        Units::Potts { sites, states } if model.image.is_none() => Some((sites, states)),
        _ => None,
    }
}

/// Cases `(n, width)` as they are drawn, row after row.
fn tiles(model: &Model, cases: &Tensor) -> Result<Tensor> {
    let Some((sites, states)) = sites(model) else { return Ok(cases.clone()) };
    images::map_of_sites(cases, (sites, states))
}

/// How many tiles stand in a row of a picture: `most`, or of long alignments fewer.
fn columns(model: &Model, most: usize) -> usize {
    match sites(model) {
        Some((sites, states)) => images::columns((states, sites), most),
        None => most,
    }
}
