//! The learning algorithms by their names in a recipe.

use rbm_core::{
    Conditional, ContrastiveDivergence, Exact, FastPersistent, Hybrid, MeanField, NegativePhase,
    ParallelTrajectory, Persistent, Result, Tempered,
};
use serde::{Deserialize, Serialize};

use super::Layer;

/// Where fantasies come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Contrastive divergence.
    #[default]
    Cd,
    /// Persistent contrastive divergence.
    Pcd,
    /// Persistent contrastive divergence with fast weights.
    Fpcd,
    /// Persistent chains with replicas at a ladder of inverse temperatures: parallel tempering.
    Pt,
    /// Persistent chains on a ladder of what learning has passed through: parallel trajectory tempering.
    Ptt,
    /// Mean-field contrastive divergence.
    MeanField,
    /// Enumeration of the configurations of the smaller side.
    Exact,
    /// The labels that the machine believes in, exactly: only how they follow from the data is learned. For a layer that
    /// learns labels.
    Discriminative,
    /// That, and a part of contrastive divergence.
    Hybrid,
}

impl Method {
    /// Whether fantasies come from chains that are never started again, which must keep pace with learning.
    pub(super) fn is_persistent(self) -> bool {
        matches!(self, Self::Pcd | Self::Fpcd | Self::Pt | Self::Ptt)
    }

    /// Its name in a recipe, if the machine must learn labels for it.
    pub(super) fn of_labels(self) -> Option<&'static str> {
        match self {
            Self::Discriminative => Some("discriminative"),
            Self::Hybrid => Some("hybrid"),
            _ => None,
        }
    }
}

impl Layer {
    /// Where the machine's fantasies come from.
    pub fn negative(&self) -> Result<Box<dyn NegativePhase>> {
        let contrastive = ContrastiveDivergence { steps: 1, visible: self.visible_step };
        Ok(match self.method {
            Method::Cd => Box::new(contrastive),
            Method::Pcd => Box::new(Persistent::new(1, self.chains)),
            Method::Fpcd => {
                let mut fast = FastPersistent::new(1, self.chains, self.fast_rate);
                fast.decay = self.fast_decay;
                Box::new(fast)
            }
            Method::Pt => Box::new(Tempered::new(1, self.chains, self.replicas)),
            Method::Ptt => Box::new(ParallelTrajectory::new(1, self.chains)),
            Method::MeanField => Box::new(MeanField { steps: 1, damping: self.damping }),
            Method::Exact => Box::new(Exact),
            Method::Discriminative => Box::new(Conditional),
            Method::Hybrid => Box::new(Hybrid::new(Box::new(contrastive), self.generative)?),
        })
    }
}
