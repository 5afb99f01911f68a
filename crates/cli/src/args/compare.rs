//! `dbn compare`, as it was typed.

use std::path::PathBuf;

/// Compare trainings: where their recipes differ, what came of them, and their learning curves in one picture
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn train --seed 1 --out runs/one
  dbn train --seed 2 --out runs/two --set 'layers.*.learning_rate=0.02'
  dbn compare runs/one runs/two           two tables, and comparison.png
  dbn compare runs/* --out curves.png
A number of results has its standard error where it is known. A dash stands where a run has no such key or number: numbers are in one
line only if they are of the same cases, prepared in the same way.")]
pub struct Compare {
    /// Folders of runs
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
    /// The picture to write
    #[arg(long, value_name = "FILE", default_value = "comparison.png", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the picture if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Write no picture
    #[arg(long, conflicts_with_all = ["out", "force"], help_heading = "Output")]
    pub no_pictures: bool,
    /// Print one JSON object instead of tables
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}
