//! `dbn reproduce`, as it was typed.

use std::path::PathBuf;

/// Train a published experiment by its recipe, and print its number beside the published one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn reproduce                                          what there is
  dbn reproduce bars-and-stripes
  dbn reproduce mnist-16 --data mnist/
  dbn reproduce debd --data debd/dna --budget 180        sizes and rates chosen on the validation part first
Stopped at any time, the same command goes on where it was.")]
pub struct Reproduce {
    /// Which experiment; without it, a list
    pub name: Option<String>,
    /// The data, for experiments whose data do not come with the program
    #[arg(long, value_name = "FOLDER", help_heading = "Data")]
    pub data: Option<String>,
    /// Seed of every random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Seconds for the choice of sizes and rates, where they are chosen; with more of them it goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub budget: u64,
    /// Folder of the runs [default: runs/reproduce-NAME-SEED]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}
