//! `dbn encode`

use anyhow::{Context, Result, bail};
use candle_core::Device;
use candle_dbn::viz::report;
use candle_dbn::{Autoencoder, Examples, Model};
use indicatif::MultiProgress;
use rbm_core::rows;

use crate::args::Encode;
use crate::{cases, device, features, model, output, progress};

/// Writes the code of every case to a file, and a picture beside it where codes have two numbers.
pub fn run(args: &Encode, bars: &MultiProgress) -> Result<()> {
    features::check(&args.out, args.force)?;
    let picture = args.out.with_extension("png");
    output::check_free(&[&picture], args.force)?;
    let model = model::load(&args.run, &device::find(&args.place.device)?)?;
    let autoencoder = autoencoder(&model).with_context(|| args.run.display().to_string())?;
    let data = args.data.as_deref();
    let (part, rows) =
        cases::find_numbered(&args.run, &model, data, &args.data_options, Some(args.cases))?;
    let bar = progress::bar(bars, part.len() as u64);
    let blocks = rows::blocks(&part.cases).map(|rows| {
        let codes = model.prepare(&rows?).and_then(|rows| autoencoder.encode(&rows));
        let codes = codes.with_context(|| cases::source(data, &args.run))?;
        bar.inc(codes.dim(0)? as u64);
        Ok(vec![codes.detach().to_device(&Device::Cpu)?])
    });
    let codes = features::Columns::Numbered(autoencoder.code_width());
    let table = features::Table {
        named: vec![("codes".to_owned(), codes)],
        rows: &rows,
        labels: part.labels.as_deref(),
        names: part.names.as_deref(),
        class_names: model.class_names.as_deref(),
    };
    let said = features::write(&args.out, &table, blocks)?;
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
