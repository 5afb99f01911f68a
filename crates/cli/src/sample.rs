//! `dbn sample`

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use dbn::{Model, gallery};
use rbm_core::checkpoint::write_whole;
use rbm_core::{Gibbs, Kernel, Rng};

use crate::args::Sample;
use crate::{device, output};

/// Writes `samples.png` and `samples.npy`.
pub fn run(args: &Sample) -> Result<ExitCode> {
    ensure!(args.count > 0, "--count: expected at least 1, found 0");
    let model = Model::load(&args.run, &device::find(&args.place.device)?)?;
    let mut rng = Rng::new(args.seed);
    let mut chains = model.dbn.start_chains(args.count, &mut rng)?;
    let bar = indicatif::ProgressBar::new(args.steps as u64);
    for _ in 0..args.steps {
        Gibbs::default().step(model.dbn.top(), &mut chains, &mut rng)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let samples = model.in_data_values(&model.dbn.fall(&chains.hidden, &mut rng)?)?;
    let dir = args.out.as_ref().unwrap_or(&args.run);
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let columns = (args.count as f64).sqrt().ceil() as usize;
    let picture = dir.join("samples.png");
    gallery::samples(&picture, &model, &samples, columns)?;
    let array = dir.join("samples.npy");
    write_whole(&array, &npy(&samples)?)?;
    for path in [picture, array] {
        output::line(path.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A matrix as the bytes of a `.npy` file of `f32`.
pub fn npy(matrix: &Tensor) -> Result<Vec<u8>> {
    use npyz::WriterBuilder;
    let (rows, columns) = matrix.dims2()?;
    let mut bytes = Vec::with_capacity(128 + 4 * rows * columns);
    let options = npyz::WriteOptions::new().default_dtype().shape(&[rows as u64, columns as u64]);
    let mut writer = options.writer(&mut bytes).begin_nd()?;
    writer.extend(matrix.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)?;
    writer.finish()?;
    Ok(bytes)
}
