//! `dbn sample`, as it was typed.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use super::{DataOptions, Where};
use crate::mask::Keep;

/// A class to draw, or whichever the network has in mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    Any,
    /// Its name, or its number.
    Class(String),
}

impl FromStr for Label {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "any" => Self::Any,
            class => Self::Class(class.to_owned()),
        })
    }
}

/// Draw samples: Gibbs sampling in the top machine, then the directed pass down
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn sample runs/mnist --count 64 --steps 2000 --out samples/
  dbn sample runs/joint                                       a row of each class, where there are label units
  dbn sample runs/joint --label 3 --count 100 --steps 1000    a hundred threes
  dbn sample runs/joint --label 3 --animate                   and the way to them, as animation.gif
  dbn sample runs/mnist --clamp mnist/ --keep top --count 20  the lower half of real cases, filled in
  dbn sample runs/mnist --from mnist/ --steps 100 --binary    configurations near real cases
  dbn sample runs/mnist --tempered                            equilibrium samples, by parallel tempering
  dbn sample runs/joint --label 3 --tempered                  the same of one class")]
pub struct Sample {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Start the chains at cases of this data, instead of at the units' own biases; with --label at cases of each class
    #[arg(long, value_name = "DATA", conflicts_with = "clamp", help_heading = "Data")]
    pub from: Option<String>,
    /// Of a network with label units, samples of these classes only, by name or number, --count of each; `any` leaves the labels to the network
    /// [default: every class]
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',')]
    pub label: Vec<Label>,
    /// Hold a part of the cases of this data fast, and fill in the rest; of other values than a single machine's this is
    /// approximate: what comes down is put right and goes up again. The picture shows each case above what has become of it
    #[arg(long, value_name = "DATA", conflicts_with = "tempered", help_heading = "Data")]
    pub clamp: Option<String>,
    /// What part of them: top, bottom, left or right of a picture; columns, by their names or as 0..392 or 0..10,20..30 (of an alignment: sites); or a .npy or .csv file of
    /// ones where to hold and zeros where not, one row for all cases or a row each
    #[arg(
        long,
        value_name = "PART",
        requires = "clamp",
        default_value = "top",
        help_heading = "Data"
    )]
    pub keep: Keep,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// How many samples; where there are label units, of each class [default: 100; of each class 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub count: Option<u64>,
    /// Gibbs steps of each chain
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(..=1_000_000_000))]
    pub steps: u32,
    /// Write the chains as an animated picture too: animation.gif of this many pictures, evenly over the steps
    #[arg(long, value_name = "PICTURES", num_args = 0..=1, default_missing_value = "50", conflicts_with = "tempered",
        value_parser = clap::value_parser!(u16).range(2..=2000), help_heading = "Output")]
    pub animate: Option<u16>,
    /// Sample the top machine in equilibrium by parallel tempering instead, however many modes it has: a ladder of inverse
    /// temperatures that begins at the averages of the run's own data or of --from
    #[arg(long, conflicts_with = "steps")]
    pub tempered: bool,
    /// The most sweeps of tempering, to burn in and to sample
    #[arg(long, value_name = "N", requires = "tempered", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    pub sweeps: u32,
    /// Seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Draw the data layer's units too, instead of giving their means: configurations for averages and energies
    #[arg(long)]
    pub binary: bool,
    /// Write the samples as sequences too: samples.fasta; for networks that learned from an alignment. The data layer is drawn then,
    /// as with --binary
    #[arg(long, help_heading = "Output")]
    pub fasta: bool,
    /// Folder for samples.png and samples.npy [default: samples/ in the run's, or samples-2/ and so on]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace samples that lie in the folder
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

impl Sample {
    /// Whether the data layer's units are drawn.
    pub fn draws(&self) -> bool {
        self.binary || self.fasta
    }
}
