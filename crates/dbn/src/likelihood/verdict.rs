//! Whether a likelihood may be quoted.

use std::fmt;

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
        /// Mean log p(v) by annealing forwards.
        forward: f64,
        /// Mean log p(v) by annealing backwards.
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
