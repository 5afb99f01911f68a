//! `dbn sample`

use std::process::ExitCode;

use anyhow::{Context, Result};
use dbn::{Model, gallery};
use rbm_core::checkpoint::write_whole;
use rbm_core::kernel::Chains;
use rbm_core::{Gibbs, Kernel, Rng, Rows};

use crate::args::Sample;
use crate::{device, evaluate, npy, output};

/// The most samples in the picture.
const PICTURED: usize = 400;

/// Writes `samples.npy` and `samples.png`.
pub fn run(args: &Sample) -> Result<ExitCode> {
    let model = Model::load(&args.run, &device::find(&args.place.device)?)?;
    let mut rng = Rng::new(args.seed);
    let mut chains = start(args, &model, &mut rng)?;
    let bar = indicatif::ProgressBar::new(args.steps as u64);
    for _ in 0..args.steps {
        Gibbs::default().step(model.dbn.top(), &mut chains, &mut rng)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let fall = if args.binary { dbn::Dbn::fall_sampled } else { dbn::Dbn::fall };
    let samples = model.in_data_values(&fall(&model.dbn, &chains.hidden, &mut rng)?)?;
    let dir = args.out.clone().unwrap_or_else(|| args.run.join("samples"));
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let (array, picture) = (dir.join("samples.npy"), dir.join("samples.png"));
    write_whole(&array, &npy::bytes(&samples)?)?;
    let pictured = samples.dim(0)?.min(PICTURED);
    let columns = (pictured as f64).sqrt().ceil() as usize;
    gallery::samples(&picture, &model, &samples.narrow(0, 0, pictured)?, columns)?;
    for path in [picture, array] {
        output::line(path.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Chains at the biases, or at the first cases of the data that the user named, again and again if there are too few.
fn start(args: &Sample, model: &Model, rng: &mut Rng) -> Result<Chains> {
    let count = args.count as usize;
    let Some(data) = args.from.as_deref() else {
        return Ok(model.dbn.start_chains(count, rng)?);
    };
    let part = evaluate::cases(&args.run, model, Some(data), &args.data_options, None)?;
    let rows: Vec<u32> = (0..count).map(|i| (i % part.len()) as u32).collect();
    let cases = model.prepare(&part.cases.rows(&rows)?).with_context(|| data.to_owned())?;
    Ok(model.dbn.start_chains_at(&cases, rng)?)
}
