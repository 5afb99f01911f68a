//! What kind of units a layer has, as plain data.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use super::{Bernoulli, Gaussian, Layer};
use crate::{Error, Result};

/// The kind and number of a layer's units: what `config.json` holds and what a layer can be built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Units {
    /// Zero or one.
    Bernoulli {
        /// How many units.
        size: usize,
    },
    /// Real numbers.
    Gaussian {
        /// How many units.
        size: usize,
        /// Whether the variance is one or learned.
        variance: Variance,
    },
}

/// The conditional variance of Gaussian units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variance {
    /// One for every unit: for data scaled to unit variance (Practical Guide §13.2).
    #[default]
    Unit,
    /// A learned parameter of each unit.
    Learned,
}

impl Units {
    /// Bernoulli units.
    pub fn bernoulli(size: usize) -> Self {
        Self::Bernoulli { size }
    }

    /// Gaussian units of variance one.
    pub fn gaussian(size: usize) -> Self {
        Self::Gaussian { size, variance: Variance::Unit }
    }

    /// How many numbers describe a configuration of the layer: the width of its tensors.
    pub fn size(&self) -> usize {
        match self {
            Self::Bernoulli { size } | Self::Gaussian { size, .. } => *size,
        }
    }

    /// The same kind of units, `size` of them.
    pub fn with_size(&self, size: usize) -> Self {
        match self {
            Self::Bernoulli { .. } => Self::Bernoulli { size },
            Self::Gaussian { variance, .. } => Self::Gaussian { size, variance: *variance },
        }
    }

    /// The values that a unit or its mean can take, lowest and highest.
    pub fn range(&self) -> (f32, f32) {
        match self {
            Self::Bernoulli { .. } => (0.0, 1.0),
            Self::Gaussian { .. } => (f32::NEG_INFINITY, f32::INFINITY),
        }
    }

    /// The kind in one word, as [`Units::from_str`] reads it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bernoulli { .. } => "bernoulli",
            Self::Gaussian { variance: Variance::Unit, .. } => "gaussian",
            Self::Gaussian { variance: Variance::Learned, .. } => "gaussian-learned",
        }
    }

    /// A layer of these units with neutral parameters. Errors for an empty layer.
    pub fn build(&self, dtype: DType, device: &Device) -> Result<Box<dyn Layer>> {
        Ok(match self {
            Self::Bernoulli { size } => Box::new(Bernoulli::new(*size, dtype, device)?),
            Self::Gaussian { size, variance } => {
                Box::new(Gaussian::new(*size, *variance, dtype, device)?)
            }
        })
    }
}

/// `bernoulli:500`
impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.size())
    }
}

/// Reads `500` (Bernoulli units), `bernoulli:500`, `gaussian:784` or `gaussian-learned:784`.
impl FromStr for Units {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(
                "units",
                "KIND:SIZE with KIND bernoulli, gaussian or gaussian-learned",
                format!("{text:?}"),
            )
        };
        let (kind, size) = text.split_once(':').unwrap_or(("bernoulli", text));
        let size = size.trim().parse().ok().filter(|size| *size > 0).ok_or_else(wrong)?;
        match kind.trim() {
            "bernoulli" => Ok(Self::Bernoulli { size }),
            "gaussian" => Ok(Self::Gaussian { size, variance: Variance::Unit }),
            "gaussian-learned" => Ok(Self::Gaussian { size, variance: Variance::Learned }),
            _ => Err(wrong()),
        }
    }
}
