//! What a published experiment is.

/// An experiment that can be reproduced.
#[derive(Debug, Clone, Copy)]
pub struct Experiment {
    /// What the user types.
    pub name: &'static str,
    /// What is measured, and on which data.
    pub what: &'static str,
    /// The recipe's name.
    pub recipe: &'static str,
    /// What is changed in it, as for `--set`.
    pub settings: &'static [&'static str],
    /// The data; `None` where the user must name a folder.
    pub data: Option<&'static str>,
    /// The published number and where it stands.
    pub theirs: &'static str,
    /// What ours is a number of.
    pub measure: Measure,
    /// What ours must reach at the least; `None` where that depends on the data.
    pub goal: Option<f64>,
    /// Whether the data are a whole population, of which nothing is held out.
    pub is_population: bool,
    /// Whether sizes and rates are chosen on the validation part first.
    pub is_chosen: bool,
    /// What `dbn evaluate` is told besides where log p(v) is measured: which bits, how much effort.
    pub evaluation: &'static [&'static str],
    /// How long it takes on two cores.
    pub takes: &'static str,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Mean log p(v), or a bound on it, in nats a case: the higher the better.
    LogLikelihood,
    /// Cases put into the wrong class, percent: the lower the better.
    Error,
    /// What an autoencoder makes of a case, summed over its values: the lower the better.
    SquaredError,
}

impl Measure {
    /// What the numbers are in.
    pub fn unit(self) -> &'static str {
        match self {
            Self::LogLikelihood => "nats",
            Self::Error => "%",
            Self::SquaredError => "squared error a case",
        }
    }

    /// On which side of a goal the numbers are to be.
    pub fn sign(self) -> &'static str {
        if self == Self::LogLikelihood { "≥" } else { "≤" }
    }

    /// Whether `ours` is as good as `goal`.
    pub fn reaches(self, ours: f64, goal: f64) -> bool {
        match self {
            Self::LogLikelihood => ours >= goal,
            Self::Error | Self::SquaredError => ours <= goal,
        }
    }
}
