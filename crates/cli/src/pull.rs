//! `dbn pull`

use anyhow::{Result, bail};
use dbn::config::CONFIG;
use dbn::hub::Reference;
use dbn::store::WEIGHTS;
use indicatif::MultiProgress;

use crate::args::Pull;
use crate::{output, push, transfer};

/// Fetches a model, and prints where it lies.
pub fn run(args: &Pull, bars: &MultiProgress) -> Result<()> {
    let reference: Reference = push::reference(&args.from, args.revision.as_deref())?;
    for name in [CONFIG, WEIGHTS].iter().filter(|_| !args.force) {
        if let Some(out) = args.out.as_ref().filter(|out| out.join(name).exists()) {
            bail!("{}: has a {name} already (replace it with --force)", out.display());
        }
    }
    let snapshot = transfer::hub(bars, "pull")?.pull(&reference)?;
    // What cannot be read is not handed on.
    dbn::Model::load(&snapshot.dir, &candle_core::Device::Cpu)?;
    match &args.out {
        Some(out) => {
            snapshot.copy_to(out)?;
            output::line(out.display().to_string())
        }
        None => output::line(snapshot.dir.display().to_string()),
    }
}
