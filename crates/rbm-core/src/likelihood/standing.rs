//! Where the way to equilibrium samples stands, as plain data.

use serde::{Deserialize, Serialize};

use crate::kernel::Swaps;

/// How long to temper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// Independent chains, each with a replica at every level.
    pub chains: usize,
    /// How many samples of the machine are wanted.
    pub samples: usize,
    /// The most sweeps, of burning in and sampling each.
    pub sweeps: usize,
    /// The most levels of the ladder.
    pub levels: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { chains: 20, samples: 100, sweeps: 5000, levels: 100 }
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The ladder is spaced.
    Ladder,
    /// Replicas forget where they started: until as many have come up from β = 0 as there are chains, twice.
    BurnIn,
    /// Samples are taken: until twice as many replicas as samples have come up.
    Sampling,
    /// Everything has been taken.
    Done,
}

/// Where the work stands: everything that is not a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What is being done.
    pub phase: Phase,
    /// Sweeps made in this phase.
    pub sweeps: usize,
    /// Replicas that came to β = 1 from β = 0 in this phase.
    pub arrivals: usize,
    /// Rounds of spacing the ladder.
    pub(super) round: usize,
    /// Acceptance over each gap, summed over the sweeps of this phase or round.
    pub(super) acceptance: Vec<f64>,
    /// Sweeps from one sample of a chain to the next.
    pub(super) stride: usize,
    /// Sweeps from one that is kept for the bridge to the next.
    pub(super) bridge_stride: usize,
    /// The ladder.
    pub betas: Vec<f64>,
}

impl Standing {
    /// Takes in what a sweep tells.
    pub(super) fn count(&mut self, swaps: &Swaps) {
        self.sweeps += 1;
        self.arrivals += swaps.arrivals;
        self.acceptance.iter_mut().zip(&swaps.acceptance).for_each(|(sum, a)| *sum += a);
    }

    /// The acceptance over each gap, on average over the sweeps of this phase or round.
    pub fn acceptance(&self) -> Vec<f64> {
        let sweeps = self.sweeps.max(1) as f64;
        self.acceptance.iter().map(|sum| sum / sweeps).collect()
    }
}
