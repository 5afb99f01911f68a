//! Samples in equilibrium, by parallel tempering.

use anyhow::Result;
use candle_core::Tensor;
use indicatif::MultiProgress;
use rbm_core::Rng;
use rbm_core::estimate::{Equilibrium, TemperingConfig};
use rbm_core::model::Boltzmann;
use rbm_core::sampling::AnnealingPath;

use crate::interrupt::Interrupted;
use crate::{interrupt, output, progress};

/// The most sweeps of tempering unless the user says so.
pub const TEMPERED_SWEEPS: u32 = 5000;

/// Configurations of the rest of `machine`, `samples` of them, after so many sweeps along `path`: `(samples, rest)`.
pub fn in_equilibrium(
    machine: &dyn Boltzmann,
    path: AnnealingPath,
    [samples, sweeps]: [usize; 2],
    bars: &MultiProgress,
    rng: &mut Rng,
) -> Result<Tensor> {
    let config = TemperingConfig { samples, sweeps, ..TemperingConfig::default() };
    let mut equilibrium = Equilibrium::new(machine, path, config, rng)?;
    let bar = progress::bar(bars, 1000);
    while !equilibrium.is_done() {
        if interrupt::is_requested() {
            bar.finish_and_clear();
            return Err(Interrupted("nothing was written".to_owned()).into());
        }
        equilibrium.step(machine, rng)?;
        bar.set_position((1000.0 * equilibrium.share_done()) as u64);
    }
    bar.finish_and_clear();
    let progress = equilibrium.progress();
    output::note(format!(
        "{} replicas came from β = 0 to β = 1 in {} sweeps over {} levels",
        progress.swaps.arrivals,
        progress.swaps.sweeps,
        progress.betas.len()
    ));
    if progress.swaps.arrivals < samples {
        output::note(format!(
            "fewer than the {samples} samples: they depend on each other (give more --sweeps)"
        ));
    }
    Ok(equilibrium.samples()?)
}
