//! `dbn pull`

use anyhow::{Result, bail};
use candle_dbn::hub::{Reference, Snapshot};
use candle_dbn::store::run::RUNS;
use indicatif::MultiProgress;

use crate::args::Pull;
use crate::{output, progress};

/// Fetches a model, and prints where it lies.
pub fn run(args: &Pull, bars: &MultiProgress) -> Result<()> {
    let reference = Reference::at(&args.from, args.revision.as_deref())?;
    if let Some(out) = &args.out {
        // A run is more than a model: it is not replaced by one.
        if let Some(name) = RUNS.iter().find(|name| out.join(name).exists()) {
            bail!("{}: a run lies there (it has a {name}); choose another --out", out.display());
        }
        let mut names = Snapshot::names().filter(|_| !args.force);
        if let Some(name) = names.find(|name| out.join(name).exists()) {
            bail!("{}: has a {name} already (replace it with --force)", out.display());
        }
    }
    let snapshot = progress::hub(bars, "pull")?.pull(&reference)?;
    // What cannot be read is not handed on.
    candle_dbn::Model::load(&snapshot.dir, &candle_core::Device::Cpu)?;
    match &args.out {
        Some(out) => {
            snapshot.copy_to(out)?;
            output::line(out.display().to_string())
        }
        None => output::line(snapshot.dir.display().to_string()),
    }
}
