//! `dbn sample`

use anyhow::{Context, Result};
use candle_core::Tensor;
use dbn::{Model, gallery, report};
use rbm_core::checkpoint::write_whole;
use rbm_core::kernel::{Chains, Path};
use rbm_core::likelihood::{Effort, Equilibrium};
use rbm_core::{Gibbs, Kernel, Rng, Rows};

use crate::args::{Cases, Sample};
use crate::{cases, device, npy, output};

/// The most samples in the picture.
const PICTURED: usize = 400;

/// Writes `samples.npy` and `samples.png`.
pub fn run(args: &Sample) -> Result<()> {
    let model = Model::load(&args.run, &device::find(&args.place.device)?)?;
    let mut rng = Rng::new(args.seed);
    let hidden = if args.tempered {
        tempered(args, &model, &mut rng)?
    } else {
        let mut chains = start(args, &model, &mut rng)?;
        let bar = indicatif::ProgressBar::new(args.steps as u64);
        for _ in 0..args.steps {
            Gibbs::default().step(model.dbn.top(), &mut chains, &mut rng)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        chains.hidden
    };
    let fall = if args.binary { dbn::Dbn::fall_sampled } else { dbn::Dbn::fall };
    let samples = model.in_data_values(&fall(&model.dbn, &hidden, &mut rng)?)?;
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
    Ok(())
}

/// Hidden configurations of the top machine in equilibrium.
fn tempered(args: &Sample, model: &Model, rng: &mut Rng) -> Result<Tensor> {
    let top = model.dbn.top();
    let (data, which) = (args.from.as_deref(), args.from.is_none().then_some(Cases::Train));
    let part = cases::find(&args.run, model, data, &args.data_options, which)
        .context("--tempered begins at the averages of data (name some with --from)")?;
    let cases = model.prepare_cases(&part.cases)?.thinned(report::MOST)?;
    let below = model.dbn.features(&cases)?;
    let arriving = below.iter().rev().nth(1).unwrap_or(&cases).detach();
    let count = args.count as usize;
    let effort = Effort { samples: count, sweeps: args.sweeps as usize, ..Effort::default() };
    let mut equilibrium = Equilibrium::new(top, Path::from_cases(top, &arriving)?, effort, rng)?;
    let bar = indicatif::ProgressBar::new(1000);
    while !equilibrium.is_done() {
        equilibrium.step(top, rng)?;
        bar.set_position((1000.0 * equilibrium.share_done()) as u64);
    }
    bar.finish_and_clear();
    let standing = equilibrium.standing();
    output::note(format!(
        "{} replicas came from β = 0 to β = 1 in {} sweeps over {} levels",
        standing.arrivals,
        standing.sweeps,
        standing.betas.len()
    ));
    if standing.arrivals < count {
        output::note(format!(
            "fewer than the {count} samples: they depend on each other (give more --sweeps)"
        ));
    }
    Ok(top.sample_hidden(&equilibrium.samples()?, rng)?)
}

/// Chains at the biases, or at the first cases of the data that the user named, again and again if there are too few.
fn start(args: &Sample, model: &Model, rng: &mut Rng) -> Result<Chains> {
    let count = args.count as usize;
    let Some(data) = args.from.as_deref() else {
        return Ok(model.dbn.start_chains(count, rng)?);
    };
    let part = cases::find(&args.run, model, Some(data), &args.data_options, None)?;
    let rows: Vec<u32> = (0..count).map(|i| (i % part.len()) as u32).collect();
    let cases = model.prepare(&part.cases.rows(&rows)?).with_context(|| data.to_owned())?;
    Ok(model.dbn.start_chains_at(&cases, rng)?)
}
