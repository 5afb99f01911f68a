//! The learning algorithms by their names in a recipe, each with the settings that it alone has.

use candle_dbn_data::settings::or_auto;
use rbm_core::sampling::VisibleStep;
use rbm_core::{
    Conditional, ContrastiveDivergence, Exact, FastPersistent, Hybrid, MeanField, NegativePhase,
    ParallelTrajectory, Persistent, Result, TemperedPersistent,
};
use serde::{Deserialize, Serialize};

use super::values::NamedChoice;

/// Where fantasies come from. In a recipe it is a name, `"pcd"`, or a name with settings, `{ pcd = { chains = 100 } }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Contrastive divergence.
    Cd(Cd),
    /// Persistent contrastive divergence.
    Pcd(PersistentChains),
    /// Persistent contrastive divergence with fast weights.
    Fpcd(FastWeights),
    /// Persistent chains with replicas at a ladder of inverse temperatures: parallel tempering.
    Pt(TemperedChains),
    /// Persistent chains on a ladder of what learning has passed through: parallel trajectory tempering.
    Ptt(PersistentChains),
    /// Mean-field contrastive divergence.
    MeanField(Damping),
    /// Enumeration of the configurations of the smaller side.
    Exact,
    /// The labels that the machine believes in, exactly: only how they follow from the data is learned. For a layer that
    /// learns labels.
    Discriminative,
    /// That, and a part of contrastive divergence.
    Hybrid(HybridParts),
}

/// Settings of contrastive divergence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cd {
    /// Whether the visible units of each Gibbs step are samples or means.
    ///
    /// Range: "sample" or "mean". Used by: `method = "cd"`.
    pub visible_step: VisibleStep,
}

/// Settings of persistent chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersistentChains {
    /// The number of persistent chains; `"auto"` means as many as a mini-batch has cases.
    ///
    /// Range: 1 to 1048576 chains, or "auto". Used by: this method.
    #[serde(with = "or_auto")]
    pub chains: Option<usize>,
}

/// Settings of persistent chains with fast weights (Tieleman and Hinton 2009).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FastWeights {
    /// The number of persistent chains; `"auto"` means as many as a mini-batch has cases.
    ///
    /// Range: 1 to 1048576 chains, or "auto". Used by: `method = "fpcd"`.
    #[serde(with = "or_auto")]
    pub chains: Option<usize>,
    /// The learning rate of the fast weights.
    ///
    /// Range: 0 or more. Used by: `method = "fpcd"`.
    pub rate: f64,
    /// What is left of the fast weights after each update.
    ///
    /// Range: 0 to below 1. Used by: `method = "fpcd"`.
    pub decay: f64,
}

impl Default for FastWeights {
    fn default() -> Self {
        Self { chains: None, rate: 0.05, decay: 0.95 }
    }
}

/// Settings of parallel tempering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemperedChains {
    /// The number of persistent chains; `"auto"` means as many as a mini-batch has cases.
    ///
    /// Range: 1 to 1048576 chains, or "auto". Used by: `method = "pt"`.
    #[serde(with = "or_auto")]
    pub chains: Option<usize>,
    /// The replicas of each chain, one a level of the ladder; `"auto"` leaves the number to the swaps.
    ///
    /// Range: 2 to 1000 levels, or "auto". Used by: `method = "pt"`.
    #[serde(with = "or_auto")]
    pub replicas: Option<usize>,
}

/// Settings of mean-field contrastive divergence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Damping {
    /// How much of the last means each mean-field iteration keeps.
    ///
    /// Range: 0 to below 1. Used by: `method = "mean-field"`.
    pub damping: f64,
}

impl Default for Damping {
    fn default() -> Self {
        Self { damping: 0.5 }
    }
}

/// Settings of hybrid learning (Larochelle and Bengio 2008).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HybridParts {
    /// Whether the visible units of each Gibbs step of its contrastive divergence are samples or means.
    ///
    /// Range: "sample" or "mean". Used by: `method = "hybrid"`.
    pub visible_step: VisibleStep,
    /// How much log p(x, y) counts, where log p(y | x) counts as one.
    ///
    /// Range: 0 or more. Used by: `method = "hybrid"`.
    pub generative: f64,
}

impl Default for HybridParts {
    fn default() -> Self {
        Self { visible_step: VisibleStep::Sample, generative: 0.01 }
    }
}

/// This file, from whose comments the keys are described.
pub(super) const SOURCE: &str = include_str!("method.rs");

impl Default for Method {
    fn default() -> Self {
        Self::Cd(Cd::default())
    }
}

impl NamedChoice for Method {
    const EXAMPLE: &'static str = "{ pcd = { chains = 100 } }";

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "cd" => Self::Cd(Cd::default()),
            "pcd" => Self::Pcd(PersistentChains::default()),
            "fpcd" => Self::Fpcd(FastWeights::default()),
            "pt" => Self::Pt(TemperedChains::default()),
            "ptt" => Self::Ptt(PersistentChains::default()),
            "mean-field" => Self::MeanField(Damping::default()),
            "exact" => Self::Exact,
            "discriminative" => Self::Discriminative,
            "hybrid" => Self::Hybrid(HybridParts::default()),
            _ => return None,
        })
    }
}

impl Method {
    /// Its name in a recipe.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cd(_) => "cd",
            Self::Pcd(_) => "pcd",
            Self::Fpcd(_) => "fpcd",
            Self::Pt(_) => "pt",
            Self::Ptt(_) => "ptt",
            Self::MeanField(_) => "mean-field",
            Self::Exact => "exact",
            Self::Discriminative => "discriminative",
            Self::Hybrid(_) => "hybrid",
        }
    }

    /// Whether fantasies come from chains that are never started again, which must keep pace with learning.
    pub(super) fn is_persistent(&self) -> bool {
        matches!(self, Self::Pcd(_) | Self::Fpcd(_) | Self::Pt(_) | Self::Ptt(_))
    }

    /// Whether the machine must learn labels for it.
    pub(super) fn needs_labels(&self) -> bool {
        matches!(self, Self::Discriminative | Self::Hybrid(_))
    }

    /// Whether its visible units are means rather than samples.
    pub(super) fn takes_means(&self) -> bool {
        let (Self::Cd(Cd { visible_step }) | Self::Hybrid(HybridParts { visible_step, .. })) = self
        else {
            return matches!(self, Self::MeanField(_));
        };
        *visible_step == VisibleStep::Mean
    }

    /// The negative phase; its number of Gibbs steps is set in every epoch.
    ///
    /// # Errors
    ///
    /// When a setting is out of its range.
    pub fn negative(&self) -> Result<Box<dyn NegativePhase>> {
        let contrastive = |visible| ContrastiveDivergence { steps: 1, visible };
        Ok(match *self {
            Self::Cd(Cd { visible_step }) => Box::new(contrastive(visible_step)),
            Self::Pcd(PersistentChains { chains }) => Box::new(Persistent::new(1, chains)),
            Self::Fpcd(FastWeights { chains, rate, decay }) => {
                let mut fast = FastPersistent::new(1, chains, rate);
                fast.decay = decay;
                Box::new(fast)
            }
            Self::Pt(TemperedChains { chains, replicas }) => {
                Box::new(TemperedPersistent::new(1, chains, replicas))
            }
            Self::Ptt(PersistentChains { chains }) => Box::new(ParallelTrajectory::new(1, chains)),
            Self::MeanField(Damping { damping }) => Box::new(MeanField { steps: 1, damping }),
            Self::Exact => Box::new(Exact),
            Self::Discriminative => Box::new(Conditional),
            Self::Hybrid(HybridParts { visible_step, generative }) => {
                Box::new(Hybrid::new(Box::new(contrastive(visible_step)), generative)?)
            }
        })
    }
}
