//! `dbn anneal`, as it was typed.

use std::path::PathBuf;

use super::Where;

/// Look for the lowest energy of a spin glass or a lattice by simulated annealing
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn anneal pmj:16x16:seed=1                             a ±J spin glass of 256 spins, open sides
  dbn anneal pmj:16x16:seed=1 --target -342 --json        how often, and how soon, a known optimum is found
  dbn anneal pmj:8x8:seed=2:cylinder --from 3 --to 0.1 --sweeps 300 --reads 50 --out best.npy
  dbn anneal ising:32x32                                  the Ising model on a torus: all spins alike
MODEL: ising:ROWSxCOLUMNS, a torus of couplings 1; pmj:ROWSxCOLUMNS, couplings of ±1, with :seed=N and :open, :cylinder or :torus.
The energy is −Σ J·s·s', each bond once. What counts is the lowest energy that a read has ever seen, not its last one.
A success is a read that comes to the target, or without one to the lowest energy of all reads: then it is only as good as these.
The time to solution is what it takes to see a success once with a probability of 99 %.")]
pub struct Anneal {
    /// ising:ROWSxCOLUMNS or pmj:ROWSxCOLUMNS:seed=N
    pub model: String,
    /// Temperature of the first sweep
    #[arg(long, value_name = "T", default_value_t = 5.0, help_heading = "Annealing")]
    pub from: f64,
    /// Temperature of the last sweep; each is colder than the one before by the same factor
    #[arg(long, value_name = "T", default_value_t = 0.05, help_heading = "Annealing")]
    pub to: f64,
    /// Sweeps of each read
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000_000),
        help_heading = "Annealing")]
    pub sweeps: u32,
    /// Independent reads, side by side
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000),
        help_heading = "Annealing")]
    pub reads: u32,
    /// The energy that counts as a success, where it is known
    #[arg(long, value_name = "ENERGY", allow_negative_numbers = true, help_heading = "Annealing")]
    pub target: Option<f64>,
    /// Seed
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Annealing")]
    pub seed: u64,
    /// Write the best configuration, a row of ±1 for each row of the lattice: .npy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "out", help_heading = "Output")]
    pub force: bool,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub place: Where,
}
