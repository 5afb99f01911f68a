//! Which data, and how to read them.

use candle_dbn::data::ReadOptions;
use clap::ValueEnum;

/// How to read a data set, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    #[command(flatten)]
    pub read: ReadOptions,
    /// At most this many cases, as many of each class; of a training, of those learned from
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// Which cases of a data set
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cases {
    /// Those held out from training
    HeldOut,
    /// Those trained on (and those validated on, where the recipe takes them from among these, or learns from them)
    Train,
    /// Those validated on
    Validation,
    /// All
    All,
}
