//! `dbn bench`, as it was typed.

use clap::ValueEnum;

use super::{DataOptions, Where};

/// Where the negative phase comes from
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Contrastive divergence
    Cd,
    /// Persistent contrastive divergence
    Pcd,
}

impl Method {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cd => "cd",
            Self::Pcd => "pcd",
        }
    }
}

/// Measure how fast this machine learns, beside the dense matrix products that learning is made of
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn bench                                        the usual shapes, on made-up strokes
  dbn bench --data mnist/ --json                   on real cases, as one JSON object
  dbn bench --shape 784x500 --method pcd --steps 10 --batch 100
The CPU is measured, and with --device auto a GPU beside it. For steady numbers leave the machine alone meanwhile.")]
pub struct Bench {
    /// Learn from these cases, thresholded at 0.5, in the rows that are as wide [default: made-up strokes]
    #[arg(long, value_name = "FOLDER|FILE", help_heading = "Data")]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Seconds to measure each row for
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub seconds: f64,
    /// Measure one row of your own: visible and hidden units [default with --batch, --method or --steps: 784x500]
    #[arg(long, value_name = "VISIBLExHIDDEN")]
    pub shape: Option<String>,
    /// Cases in a mini-batch of your own row [default: 100]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Method of your own row [default: cd]
    #[arg(long, value_enum)]
    pub method: Option<Method>,
    /// k of CD-k or PCD-k in your own row [default: 1]
    #[arg(long, value_name = "K")]
    pub steps: Option<usize>,
    /// Measure PCD-100 with 2,000 chains too
    #[arg(long)]
    pub full: bool,
    /// Updates that a machine learns before it is measured: how many of its units are on depends on them
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub warm_updates: usize,
    #[command(flatten)]
    pub place: Where,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}
