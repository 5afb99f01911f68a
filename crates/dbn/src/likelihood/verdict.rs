//! Whether a likelihood may be quoted.

use std::fmt;

use rbm_core::likelihood::{Estimate, Found};
use serde::Serialize;

/// What the numbers are worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Verdict {
    /// By enumeration: nothing was estimated.
    Exact,
    /// Both sides agree.
    Agree {
        /// How far they are apart, in nats.
        within: f64,
    },
    /// The two sides disagree: neither is to be quoted.
    Disagree {
        /// Mean log p(v), or log Z, by annealing forwards.
        forward: f64,
        /// The same by annealing backwards.
        reverse: f64,
    },
    /// Fewer replicas came up from β = 0 than samples were wanted: what the reverse side starts from is not known to be in
    /// equilibrium, and is not to be quoted.
    Unmixed {
        /// How many came up.
        arrivals: usize,
    },
    /// Only one side was looked at: not to be quoted.
    OneSided,
}

impl Verdict {
    /// Of numbers that follow from the two sides of log Z that were `found`: they agree where they are at most `tolerance` nats
    /// apart.
    pub fn of(forward: Option<f64>, reverse: Option<f64>, found: &Found, tolerance: f64) -> Self {
        let (Some(forward), Some(reverse)) = (forward, reverse) else { return Self::OneSided };
        let within = (forward - reverse).abs();
        // How many equilibrium samples the reverse side has started from.
        let samples = found.reverse.map_or(0, |estimate| estimate.samples);
        if within > tolerance || within.is_nan() {
            Self::Disagree { forward, reverse }
        } else if !found.ladder.is_empty() && found.arrivals < samples {
            Self::Unmixed { arrivals: found.arrivals }
        } else {
            Self::Agree { within }
        }
    }

    /// Of log Z itself.
    pub fn of_log_partition(found: &Found, tolerance: f64) -> Self {
        let value = |side: Option<Estimate>| side.map(|estimate| estimate.value);
        Self::of(value(found.forward), value(found.reverse), found, tolerance)
    }

    /// Whether what it is of may be quoted.
    pub fn may_be_quoted(&self) -> bool {
        matches!(self, Self::Exact | Self::Agree { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => write!(f, "exact"),
            Self::Agree { within } => write!(f, "agree within {within:.2} nats"),
            Self::Disagree { forward, reverse } => {
                write!(f, "DISAGREE: forward {forward:.2}, reverse {reverse:.2}: do not quote")
            }
            Self::Unmixed { arrivals } => {
                write!(
                    f,
                    "UNMIXED: {arrivals} replicas came up, too few: do not quote (give more sweeps)"
                )
            }
            Self::OneSided => {
                write!(f, "ONE-SIDED: forward annealing overstates, if anything: do not quote")
            }
        }
    }
}
