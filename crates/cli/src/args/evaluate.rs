//! `dbn evaluate`, as it was typed.

use std::path::PathBuf;

use candle_dbn::Inference;

use super::{Cases, DataOptions, Where};

/// Measure a trained network on data it has not seen
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn evaluate runs/mnist                 on the cases that the run held out
  dbn evaluate runs/mnist other/ --json   on other data, as one JSON object
  dbn evaluate runs/joint --recognise samples:20   labels averaged over 20 sampled up-passes
  dbn evaluate runs/rbm --likelihood --both   log p(v), from both sides; of a stack a lower bound on it
An estimation of the likelihood that was stopped goes on when the same command is given again.")]
pub struct Evaluate {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Data to evaluate on [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases [default: held-out of the run's own data; of other data its test part, or all]
    #[arg(long, value_enum, help_heading = "Data")]
    pub cases: Option<Cases>,
    /// How label units find the class: means (one deterministic up-pass, then the exact free energy of each label),
    /// samples:PASSES (label probabilities averaged over sampled up-passes) or gibbs:STEPS (how often each label is on)
    #[arg(long, value_name = "HOW", default_value = "means")]
    pub recognise: Inference,
    /// Seed of the stochastic pseudo-likelihood, of sampled recognition, and of the estimation of the likelihood
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub likelihood: LikelihoodOptions,
    /// Write the numbers and charts of them into this folder
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub report: Option<PathBuf>,
    /// Replace a report that lies there
    #[arg(long, requires = "report", help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// How to find log p(v).
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Likelihood")]
pub struct LikelihoodOptions {
    /// Find log p(v) of a single machine, or a lower bound on it for a stack: with log Z exact where one side of the top machine
    /// has at most 25 binary units, else by annealed importance sampling
    #[arg(long)]
    pub likelihood: bool,
    /// Come from the other side too: tempering, Bennett's ratio, annealing backwards from equilibrium samples
    #[arg(long, requires = "likelihood")]
    pub both: bool,
    /// Sampled up-passes of each case behind the bound of a stack [default: 10]
    #[arg(long, value_name = "N", requires = "likelihood", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub passes: Option<u32>,
    /// Estimate even where the exact value is within reach
    #[arg(long, requires = "likelihood")]
    pub estimate: bool,
    /// Chains of annealed importance sampling in each direction [default: 100]
    #[arg(long, value_name = "N", requires = "likelihood", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub chains: Option<u32>,
    /// Inverse temperatures of annealed importance sampling [default: 14500]
    #[arg(long, value_name = "N", requires = "likelihood", value_parser = clap::value_parser!(u32).range(2..=100_000_000))]
    pub betas: Option<u32>,
    /// The most sweeps of tempering, to burn in and to sample [default: 5000]
    #[arg(long, value_name = "N", requires = "both", value_parser = clap::value_parser!(u32).range(1..))]
    pub sweeps: Option<u32>,
    /// Nats that the two sides may be apart and still agree [default: 1]
    #[arg(long, value_name = "NATS", requires = "both", allow_negative_numbers = true)]
    pub tolerance: Option<f64>,
    /// Seconds between checkpoints of an estimation; 0 takes one after every step [default: 10]
    #[arg(long, value_name = "SECONDS", requires = "likelihood")]
    pub checkpoint_every: Option<f64>,
}
