//! `dbn encode` and `dbn decode`, as they were typed.

use std::path::PathBuf;

use super::{Cases, DataOptions, Where};

/// Write the short codes that an autoencoder has for cases
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn encode runs/auto --out codes.npy                       a row for each of the run's own cases
  dbn encode runs/auto mnist/ --cases held-out --out c.npy   of other data; codes of two numbers are drawn too: c.png
  dbn encode runs/auto --out codes.safetensors               with the labels beside them
The run's recipe must have an [autoencoder]; dbn embed writes what the hidden layers of any run say.")]
pub struct Encode {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Data to encode [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases
    #[arg(long, value_enum, default_value = "all", help_heading = "Data")]
    pub cases: Cases,
    /// File to write: .npy, .safetensors, .parquet or .csv
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

/// Write what an autoencoder makes of codes: cases, and a picture of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn decode runs/auto codes.npy --out decoded.npy   also draws the first 400 of them: decoded.png
  dbn decode runs/auto grid.csv --out grid.npy       codes may stand in any file that data may stand in")]
pub struct Decode {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// The codes, one a row, as dbn encode writes them to .npy, .safetensors, .parquet or .csv
    pub codes: String,
    /// File to write: .npy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}
