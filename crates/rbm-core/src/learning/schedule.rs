//! Numbers that change while a machine learns: learning rate, momentum, k.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number as a function of the epoch, counted from 0. In a recipe: `0.1`, `[[0, 0.5], [5, 0.9]]` or
/// `{ from = 0.1, to = 0.001, curve = "exponential" }`; and of the update within it with `per = "update"`.
///
/// ```
/// use rbm_core::Schedule;
/// use rbm_core::learning::schedule::{Curve, Per};
///
/// let momentum = Schedule::Steps(vec![(0, 0.5), (5, 0.9)]);
/// assert_eq!((momentum.at(4, 10), momentum.at(5, 10)), (0.5, 0.9));
/// let rate = Schedule::Ramp { from: 0.1, to: 0.001, curve: Curve::Exponential, per: Per::Epoch };
/// assert_eq!(rate.at(0, 3), 0.1);
/// assert!((rate.at(1, 3) - 0.01).abs() < 1e-12 && (rate.at(2, 3) - 0.001).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a number, [[epoch, number], ...] or { from, to, curve, per }"
)]
pub enum Schedule {
    /// Always the same.
    Constant(f64),
    /// From epoch `.0` on the value is `.1`, in rising order of epochs; before the first pair it is that pair's value.
    Steps(Vec<(usize, f64)>),
    /// From one value to another.
    Ramp {
        /// The value in the first epoch, or at the first update.
        from: f64,
        /// The value in the last epoch, or after the last update.
        to: f64,
        /// The way between them.
        #[serde(default)]
        curve: Curve,
        /// When it changes.
        #[serde(default, skip_serializing_if = "Per::is_epoch")]
        per: Per,
    },
}

/// How a [`Schedule::Ramp`] goes from one value to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// By equal differences.
    #[default]
    Linear,
    /// By equal factors; both values must be above zero.
    Exponential,
}

/// When a [`Schedule::Ramp`] changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// From epoch to epoch. The last one has the last value: one of 0 learns nothing in it.
    #[default]
    Epoch,
    /// From update to update. None has the last value; short trainings come further.
    Update,
}

impl Per {
    fn is_epoch(&self) -> bool {
        *self == Self::Epoch
    }
}

impl Schedule {
    /// From the first epoch's value to the last epoch's, by equal differences.
    pub const fn linear(from: f64, to: f64) -> Self {
        Self::Ramp { from, to, curve: Curve::Linear, per: Per::Epoch }
    }

    /// The value in `epoch` of `epochs`; of what changes at every update that at the first one.
    pub fn at(&self, epoch: usize, epochs: usize) -> f64 {
        self.at_update(epoch, (0, 1), epochs)
    }

    /// The value at update `.0` of the `.1` of `epoch`, both counted from 0, of `epochs`.
    pub fn at_update(&self, epoch: usize, (update, updates): (usize, usize), epochs: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Steps(steps) => {
                let current = steps.iter().rev().find(|(from, _)| *from <= epoch).or(steps.first());
                current.map_or(0.0, |(_, value)| *value)
            }
            Self::Ramp { from, to, curve, per } => {
                let t = match per {
                    Per::Epoch if epochs > 1 => epoch.min(epochs - 1) as f64 / (epochs - 1) as f64,
                    Per::Epoch => 0.0,
                    Per::Update => {
                        let done = epoch as f64 + update as f64 / updates.max(1) as f64;
                        (done / epochs.max(1) as f64).min(1.0)
                    }
                };
                match curve {
                    Curve::Linear => from + (to - from) * t,
                    Curve::Exponential => from * (to / from).powf(t),
                }
            }
        }
    }

    /// [`Schedule::at`] rounded to a whole number of at least 1: for k.
    pub fn steps_at(&self, epoch: usize, epochs: usize) -> usize {
        (self.at(epoch, epochs).round() as usize).max(1)
    }

    /// What is wrong with the schedule, if anything: an empty list, epochs out of order, numbers that are not finite, an
    /// exponential ramp through zero.
    pub fn problem(&self) -> Option<String> {
        let finite = |values: &[f64]| values.iter().all(|value| value.is_finite() && *value >= 0.0);
        match self {
            Self::Constant(value) if !finite(&[*value]) => {
                Some(format!("{value} is not a number of at least 0"))
            }
            Self::Steps(steps) if steps.is_empty() => Some("the list of steps is empty".into()),
            Self::Steps(steps) if !steps.is_sorted_by(|a, b| a.0 < b.0) => {
                Some("the epochs of the steps do not rise".into())
            }
            Self::Steps(steps) if !steps.iter().all(|(_, value)| finite(&[*value])) => {
                Some("a step's value is not a number of at least 0".into())
            }
            Self::Ramp { from, to, .. } if !finite(&[*from, *to]) => {
                Some(format!("{from} to {to} are not numbers of at least 0"))
            }
            Self::Ramp { from, to, curve: Curve::Exponential, .. }
                if *from <= 0.0 || *to <= 0.0 =>
            {
                Some("an exponential ramp needs values above 0".into())
            }
            _ => None,
        }
    }
}

/// As a recipe writes it: `0.1`, `[[0,0.5],[5,0.9]]`, `{from=0.1,to=0.001}`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value}"),
            Self::Steps(steps) => {
                let steps: Vec<_> =
                    steps.iter().map(|(epoch, value)| format!("[{epoch},{value}]")).collect();
                write!(f, "[{}]", steps.join(","))
            }
            Self::Ramp { from, to, curve, per } => {
                write!(f, "{{from={from},to={to}")?;
                if *curve == Curve::Exponential {
                    f.write_str(",curve=\"exponential\"")?;
                }
                if *per == Per::Update {
                    f.write_str(",per=\"update\"")?;
                }
                f.write_str("}")
            }
        }
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}
