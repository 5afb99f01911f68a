//! `dbn encode` and `dbn decode`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use candle_dbn::data::parquet::{self, NamedColumn, Values};
use candle_dbn::data::{ReadOptions, View};
use candle_dbn::viz::{gallery, report};
use candle_dbn::{Autoencoder, Examples, Model};
use indicatif::MultiProgress;
use rbm_core::rows;
use rbm_core::state::write_whole;

use crate::inputs::{self, Cases, DataOptions, Where};
use crate::{output, progress, tables};

/// Write the short codes that an autoencoder has for cases
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn encode runs/auto --out codes.npy                       a row for each of the run's own cases
  dbn encode runs/auto mnist/ --cases held-out --out c.npy   of other data; codes of two numbers are drawn too: c.png
  dbn encode runs/auto --out codes.safetensors               with the labels beside them
The run's recipe must have an [autoencoder]; dbn embed writes what the hidden layers of any run say.")]
pub struct Encode {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Data to encode [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases
    #[arg(long, value_enum, default_value = "all", help_heading = "Data")]
    pub cases: Cases,
    /// File to write: .npy, .safetensors, .parquet or .csv
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

/// Write what an autoencoder makes of codes: cases, and a picture of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn decode runs/auto codes.npy --out decoded.npy   also draws the first 400 of them: decoded.png
  dbn decode runs/auto grid.csv --out grid.npy       codes may stand in any file that data may stand in")]
pub struct Decode {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// The codes, one a row, as dbn encode writes them to .npy, .safetensors, .parquet or .csv
    pub codes: String,
    /// File to write: .npy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

/// Writes the code of every case to a file, and a picture beside it where codes have two numbers.
pub fn run(args: &Encode, bars: &MultiProgress) -> Result<()> {
    tables::check(&args.out, args.force)?;
    let picture = args.out.with_extension("png");
    output::check_free(&[&picture], args.force)?;
    let model = inputs::load_model(&args.run, &args.place.find()?)?;
    let autoencoder = autoencoder(&model).with_context(|| args.run.display().to_string())?;
    let data = args.data.as_deref();
    let (part, rows) =
        inputs::find_numbered(&args.run, &model, data, &args.data_options, Some(args.cases))?;
    let bar = progress::bar(bars, part.len() as u64);
    let blocks = rows::blocks(&part.cases).map(|rows| {
        let codes = model.prepare(&rows?).and_then(|rows| autoencoder.encode(&rows));
        let codes = codes.with_context(|| inputs::source(data, &args.run))?;
        bar.inc(codes.dim(0)? as u64);
        Ok(vec![codes.detach().to_device(&Device::Cpu)?])
    });
    let codes = tables::Columns::Numbered(autoencoder.code_width());
    let table = tables::Table::of(vec![("codes".to_owned(), codes)], &rows, &part, &model);
    let said = tables::write(&args.out, &table, blocks)?;
    bar.finish_and_clear();
    output::line(said)?;
    let part = Examples { cases: model.prepare_cases(&part.cases)?, ..part };
    if report::codes(&picture, &model, &part)? {
        output::line(picture.display().to_string())?;
    }
    Ok(())
}

/// The autoencoder of a model that must have one.
pub fn autoencoder(model: &Model) -> Result<&Autoencoder> {
    match &model.autoencoder {
        Some(autoencoder) => Ok(autoencoder),
        None => bail!(
            "expected a model with an autoencoder (train it by a recipe with [autoencoder]), found none"
        ),
    }
}

/// The most cases in the picture.
const PICTURED: usize = 400;

/// Writes what the autoencoder makes of every code to a file, and a picture beside it.
pub fn decode(args: &Decode) -> Result<()> {
    let out = args.out.display();
    let is_npy = args.out.extension().is_some_and(|extension| extension == "npy");
    ensure!(is_npy, "--out: expected a name ending in .npy, found {out}");
    let picture = args.out.with_extension("png");
    output::check_free(&[&args.out, &picture], args.force)?;
    let model = inputs::load_model(&args.run, &args.place.find()?)?;
    let autoencoder = autoencoder(&model).with_context(|| args.run.display().to_string())?;
    let codes = codes(&args.codes)?;
    let decoded = rows::blocks(&codes).map(|codes| {
        let codes = codes?.to_device(model.dbn.bottom().device())?;
        let decoded = autoencoder.decode(&codes).with_context(|| args.codes.clone())?;
        Ok(model.in_data_values(&decoded)?)
    });
    let decoded = Tensor::cat(&decoded.collect::<Result<Vec<_>>>()?, 0)?;
    write_whole(&args.out, &tables::npy_bytes(&decoded)?)?;
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
        return Ok(inputs::load_numbers(name, &ReadOptions::default())?.train.cases);
    }
    let mut numbers = Vec::new();
    for NamedColumn { name: of, values } in parquet::read(Path::new(name))? {
        match values {
            // As dbn encode names what it writes beside the codes.
            _ if tables::BESIDE.contains(&of.as_str()) => {}
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
