//! `dbn decode`

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use dbn::gallery;
use rbm_core::checkpoint::write_whole;
use rbm_core::data;

use crate::args::{DataOptions, Decode};
use crate::{device, encode, model, npy, output, recipe};

/// The most cases in the picture.
const PICTURED: usize = 400;

/// Writes what the autoencoder makes of every code to a file, and a picture beside it.
pub fn run(args: &Decode) -> Result<()> {
    let out = args.out.display();
    let is_npy = args.out.extension().is_some_and(|extension| extension == "npy");
    ensure!(is_npy, "--out: expected a name ending in .npy, found {out}");
    ensure!(args.force || !args.out.exists(), "{out}: exists already (--force replaces it)");
    let model = model::load(&args.run, &device::find(&args.place.device)?)?;
    let autoencoder =
        encode::autoencoder(&model).with_context(|| args.run.display().to_string())?;
    let codes = recipe::load_numbers(&args.codes, &DataOptions::default())?.train;
    let decoded = data::blocks(&codes.cases).map(|codes| {
        let codes = codes?.to_device(model.dbn.bottom().device())?;
        let decoded = autoencoder.decode(&codes).with_context(|| args.codes.clone())?;
        Ok(model.in_data_values(&decoded)?)
    });
    let decoded = Tensor::cat(&decoded.collect::<Result<Vec<_>>>()?, 0)?;
    write_whole(&args.out, &npy::bytes(&decoded)?)?;
    let (count, width) = decoded.dims2()?;
    output::line(format!("{out}: {} cases x {width}", output::grouped(count as u64)))?;
    let picture = args.out.with_extension("png");
    let pictured = count.min(PICTURED);
    let columns = (pictured as f64).sqrt().ceil() as usize;
    gallery::samples(&picture, &model, &decoded.narrow(0, 0, pictured)?, columns)?;
    output::line(picture.display().to_string())
}
