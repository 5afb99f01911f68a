//! Markov chains: Gibbs sampling, annealing, parallel tempering, the search for lowest energies, and how well chains mix.

mod anneal;
mod annealing_path;
mod clamped;
mod gibbs;
mod graph_chains;
pub mod mixing;
mod tempered_search;
mod tempering;
pub mod trajectory;

pub use anneal::{Best, COLDEST, LowestEnergies, SimulatedAnnealing, is_temperature};
pub use annealing_path::{AnnealingPath, beta_column};
pub use clamped::{Clamped, Imputation};
pub(crate) use gibbs::acceptance;
pub use gibbs::{Chains, Gibbs, Kernel, VisibleStep};
pub use graph_chains::{GraphChains, Trace};
pub use mixing::Mixing;
pub use tempered_search::TemperedSearch;
pub use tempering::{End, Replicas, SwapTotals, Swaps, TARGET_ACCEPTANCE, Tempering};
pub use trajectory::Trajectory;
