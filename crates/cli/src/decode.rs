//! `dbn decode`

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use candle_dbn::Examples;
use candle_dbn::data::parquet::{self, NamedColumn, Values};
use candle_dbn::data::{ReadOptions, View};
use candle_dbn::viz::gallery;
use rbm_core::rows;
use rbm_core::state::write_whole;

use crate::args::Decode;
use crate::{device, encode, features, model, npy, output, recipe};

/// The most cases in the picture.
const PICTURED: usize = 400;

/// Writes what the autoencoder makes of every code to a file, and a picture beside it.
pub fn run(args: &Decode) -> Result<()> {
    let out = args.out.display();
    let is_npy = args.out.extension().is_some_and(|extension| extension == "npy");
    ensure!(is_npy, "--out: expected a name ending in .npy, found {out}");
    let picture = args.out.with_extension("png");
    output::check_free(&[&args.out, &picture], args.force)?;
    let model = model::load(&args.run, &device::find(&args.place.device)?)?;
    let autoencoder =
        encode::autoencoder(&model).with_context(|| args.run.display().to_string())?;
    let codes = codes(&args.codes)?;
    let decoded = rows::blocks(&codes).map(|codes| {
        let codes = codes?.to_device(model.dbn.bottom().device())?;
        let decoded = autoencoder.decode(&codes).with_context(|| args.codes.clone())?;
        Ok(model.in_data_values(&decoded)?)
    });
    let decoded = Tensor::cat(&decoded.collect::<Result<Vec<_>>>()?, 0)?;
    write_whole(&args.out, &npy::bytes(&decoded)?)?;
    let (count, width) = decoded.dims2()?;
    output::line(format!("{out}: {} cases x {width}", output::grouped(count as u64)))?;
    let pictured = count.min(PICTURED);
    let columns = (pictured as f64).sqrt().ceil() as usize;
    gallery::samples(&picture, &model, &decoded.narrow(0, 0, pictured)?, &[], columns)?;
    output::line(picture.display().to_string())
}

/// The codes in this file, a row a case.
fn codes(name: &str) -> Result<View> {
    if !name.ends_with(".parquet") {
        return Ok(recipe::load_numbers(name, &ReadOptions::default())?.train.cases);
    }
    let mut numbers = Vec::new();
    for NamedColumn { name: of, values } in parquet::read(Path::new(name))? {
        match values {
            // As dbn encode names what it writes beside the codes.
            _ if features::BESIDE.contains(&of.as_str()) => {}
            Values::Numbers(values) => numbers.push(values),
            _ => bail!("{name}: column {of:?}: expected numbers, as dbn encode writes them"),
        }
    }
    let (width, count) = (numbers.len(), numbers.first().map_or(0, Vec::len));
    ensure!(width * count > 0, "{name}: expected a column for each number of a code, found none");
    if let Some(row) = numbers.iter().find_map(|values| values.iter().position(|x| !x.is_finite()))
    {
        bail!("{name}: row {}: expected finite numbers, found a missing one", row + 1);
    }
    let rows = (0..count).flat_map(|row| numbers.iter().map(move |values| values[row] as f32));
    let codes = Tensor::from_iter(rows, &Device::Cpu)?.reshape((count, width))?;
    Ok(Examples::new(codes, None)?.cases)
}
