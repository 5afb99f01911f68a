//! `dbn data`

use anyhow::Result;
use indicatif::MultiProgress;

use crate::{output, progress};

/// Fetch a data set from the Hub, and print the folder it lies in
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn data mnist
  dbn train mnist              found there, where no folder of that name is here
It is fetched once, into the cache of the Hub (HF_HOME says where that is).")]
pub struct Data {
    /// Which
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(candle_dbn::hub::data::names()))]
    pub name: String,
}

/// Fetches a data set, and prints where it lies.
pub fn run(args: &Data, bars: &MultiProgress) -> Result<()> {
    output::line(progress::hub(bars, "data")?.data(&args.name)?.display().to_string())
}
