//! How a machine learns: the numbers of a training.

use rbm_core::PositivePhase;
use serde::{Deserialize, Serialize};

/// Where the machine's own averages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negative {
    /// Chains that start at the data at every update.
    Contrastive,
    /// Chains that go on from update to update (Younes 1989, Tieleman 2008).
    Persistent,
    /// Chains at several temperatures that exchange places (Desjardins et al. 2010; Cho, Raiko, Ilin 2010).
    Tempered,
    /// Chains that exchange places with those of the machine as it was before (Béreux et al. 2025).
    Trajectory,
    /// All configurations, where there are at most 2¹⁶.
    Exact,
    /// None: each unit is predicted from all others (Besag 1975). For machines without hidden units; deterministic, and convex.
    PseudoLikelihood,
}

/// How to learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learning {
    /// Where the machine's own averages come from.
    pub negative: Negative,
    /// How hidden units that are coupled with each other are found, given the data.
    pub posterior: PositivePhase,
    /// Times through the data.
    pub epochs: usize,
    /// Cases between updates; 0 for all of them.
    pub batch_size: usize,
    /// Of the first epoch; it falls to a tenth over the training, and stays where there is a target.
    pub learning_rate: f64,
    /// The fraction of the last step that is repeated.
    pub momentum: f64,
    /// Weight decay.
    pub l2: f64,
    /// Whether the gradient is centred.
    pub centre: bool,
    /// Sweeps of the chains between updates.
    pub sweeps: usize,
    /// Persistent chains.
    pub chains: usize,
    /// The end of the training: Pearson's correlation between the connected correlations of two units among the data and among chains that
    /// were started anew. Of machines without hidden units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_pearson: Option<f64>,
    /// Seed of everything random.
    pub seed: u64,
}

impl Learning {
    /// The settings with which direct coupling analysis learns to a target: those of adabmDCA, whole data at each update.
    pub fn to_target(target_pearson: f64) -> Self {
        Self {
            epochs: 50_000,
            batch_size: 0,
            learning_rate: 0.01,
            l2: 0.0,
            sweeps: 10,
            chains: 10_000,
            target_pearson: Some(target_pearson),
            ..Self::default()
        }
    }
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            negative: Negative::Persistent,
            posterior: PositivePhase::Sampled { sweeps: 3 },
            epochs: 100,
            batch_size: 50,
            learning_rate: 0.05,
            momentum: 0.0,
            l2: 1e-4,
            centre: false,
            sweeps: 3,
            chains: 100,
            target_pearson: None,
            seed: 0,
        }
    }
}
