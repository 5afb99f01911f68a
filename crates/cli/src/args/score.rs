//! `dbn score`, as it was typed.

use std::path::PathBuf;

use super::{Cases, DataOptions, Where};

/// Say of every case how probable it is: free energy, log p, pseudo-likelihood, probabilities of classes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn score runs/rbm                                   a line a case, as comma-separated values
  dbn score runs/mnist new.csv --out scores.parquet
  dbn score runs/family wild.fasta --scan --out s.csv  every single change of a sequence, beside the sequence itself
  dbn score runs/family wild.fasta --mutants A1G,C7W
Columns: row, label and name where there are any; free_energy in nats, −log p but for a constant, low where a case
is probable; log_likelihood and its error where log Z is known: exactly, or from dbn evaluate --likelihood --both, which
keeps it; pseudo_likelihood; probability_CLASS. Of a stack free_energy is variational, and log_likelihood a lower bound.
Of mutants log_ratio is log p(mutant) − log p(sequence), which needs no log Z.")]
pub struct Score {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Data to score [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases
    #[arg(long, value_enum, default_value = "all", help_heading = "Data")]
    pub cases: Cases,
    /// Score these changes of each sequence: the letter that stands there, the column from 1, the letter in its place
    #[arg(long, value_name = "A12G,...", value_delimiter = ',', conflicts_with = "scan")]
    pub mutants: Vec<String>,
    /// Score every change of one letter of each sequence; gaps stay
    #[arg(long)]
    pub scan: bool,
    /// Sampled up-passes of each case of a stack
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub passes: u32,
    /// Seed of the up-passes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// File to write: .csv, .parquet, .npy or .safetensors [default: text, on standard output]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "out", help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}
