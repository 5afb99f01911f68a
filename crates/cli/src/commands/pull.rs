//! `dbn pull`

use std::path::PathBuf;

use anyhow::{Result, bail};
use candle_dbn::hub::{Reference, Snapshot};
use candle_dbn::store::run::RUNS;
use indicatif::MultiProgress;

use crate::{output, progress};

/// Fetch a network from the Hub
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn pull me/mnist-dbn                     into the Hub's cache; prints the folder
  dbn pull me/mnist-dbn@v2 --out models/m   a copy in a folder of your own
  dbn embed me/mnist-dbn mnist/ --out f.npy every command that takes a model takes its name on the Hub
With HF_HUB_OFFLINE=1 what was fetched before is used. Nothing in a repository is executed.")]
pub struct Pull {
    /// Which: user/name, or user/name@revision
    #[arg(value_name = "USER/NAME")]
    pub from: String,
    /// A branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION", help_heading = "Hub")]
    pub revision: Option<String>,
    /// Copy it into this folder
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace a model that lies there
    #[arg(long, requires = "out", help_heading = "Output")]
    pub force: bool,
}

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
