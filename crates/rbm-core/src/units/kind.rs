//! What kind of units a layer has, as plain data.
//!
//! Units as text: `KIND:SIZE`, the kind with its number in brackets where it has one.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most that a number in brackets may be: trials, states or draws.
pub(super) const MAX_IN_BRACKETS: usize = 1 << 20;

/// The kind and number of a layer's units: what `config.json` holds and what a layer can be built from.
///
/// ```
/// use rbm_core::Units;
///
/// let sites: Units = "potts(21):48".parse()?; // 48 sites of 21 states, a column a state
/// assert_eq!((&sites, sites.width()), (&Units::Potts { sites: 48, states: 21 }, 48 * 21));
/// let both: Units = "bernoulli:784+potts(10):1".parse()?; // pictures with their labels
/// assert_eq!((both.width(), both.to_string().as_str()), (794, "bernoulli:784+potts(10):1"));
/// assert!("potts:48".parse::<Units>().is_err());
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Units {
    /// Zero or one.
    Bernoulli {
        /// How many units.
        size: usize,
    },
    /// Minus one or one.
    Spin {
        /// How many units.
        size: usize,
    },
    /// A number from 0 to `trials`: copies of a Bernoulli unit that share its weights, counted.
    Binomial {
        /// How many units.
        size: usize,
        /// How many copies each is.
        trials: usize,
    },
    /// One of `states` states, written as a one in one of so many columns.
    Potts {
        /// How many sites: the layer is `sites · states` wide.
        sites: usize,
        /// How many states each has.
        states: usize,
    },
    /// How often each of `size` categories was drawn.
    Multinomial {
        /// How many categories.
        size: usize,
        /// How many draws, the sum of a configuration; 0 where each configuration has its own.
        draws: usize,
    },
    /// Real numbers of at least zero: noisy rectified units.
    Relu {
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
    /// Units of several kinds side by side in one layer.
    Concat {
        /// The groups from the first column on; a group may itself be several, as where the layers of a machine lie side by side.
        groups: Vec<Units>,
    },
    /// A [`Layer`](super::layer::Layer) of somebody's own. It can only be named: it is not built from this, and no file holds it.
    #[serde(skip)]
    Other {
        /// The name of its type.
        name: String,
        /// How many columns it has.
        size: usize,
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
    pub fn width(&self) -> usize {
        match self {
            Self::Bernoulli { size }
            | Self::Spin { size }
            | Self::Binomial { size, .. }
            | Self::Multinomial { size, .. }
            | Self::Relu { size }
            | Self::Gaussian { size, .. }
            | Self::Other { size, .. } => *size,
            Self::Potts { sites, states } => sites.saturating_mul(*states),
            Self::Concat { groups } => {
                groups.iter().map(Self::width).fold(0, usize::saturating_add)
            }
        }
    }

    /// The same kind of units, as many as make a layer `width` wide.
    ///
    /// # Errors
    ///
    /// Where no number of them does.
    pub fn with_width(&self, width: usize) -> Result<Self> {
        let size = width;
        let misfit = |expected: String| {
            Err(Error::invalid(format!("{} units", self.kind()), expected, width.to_string()))
        };
        Ok(match self {
            Self::Bernoulli { .. } => Self::Bernoulli { size },
            Self::Spin { .. } => Self::Spin { size },
            Self::Binomial { trials, .. } => Self::Binomial { size, trials: *trials },
            Self::Multinomial { draws, .. } => Self::Multinomial { size, draws: *draws },
            Self::Relu { .. } => Self::Relu { size },
            Self::Gaussian { variance, .. } => Self::Gaussian { size, variance: *variance },
            Self::Potts { states, .. } if *states > 0 && width.is_multiple_of(*states) => {
                Self::Potts { sites: width / states, states: *states }
            }
            Self::Potts { states, .. } => return misfit(format!("a multiple of {states} columns")),
            Self::Concat { .. } | Self::Other { .. } if self.width() == width => self.clone(),
            Self::Concat { .. } | Self::Other { .. } => {
                return misfit(format!("{} columns", self.width()));
            }
        })
    }

    /// The groups of units of one kind, each with its columns.
    pub fn groups(&self) -> Vec<(Range<usize>, &Self)> {
        let groups = self.alike();
        let mut start = 0usize;
        let place = |units: &'_ Self| {
            let columns = start..start.saturating_add(units.width());
            start = columns.end;
            columns
        };
        let columns: Vec<_> = groups.iter().copied().map(place).collect();
        columns.into_iter().zip(groups).collect()
    }

    /// Units of one kind each, group after group, however deep groups lie in groups.
    fn alike(&self) -> Vec<&Self> {
        match self {
            Self::Concat { groups } => groups.iter().flat_map(Self::alike).collect(),
            other => vec![other],
        }
    }

    /// The values that a unit or its mean can take, lowest and highest.
    pub fn range(&self) -> (f32, f32) {
        match self {
            Self::Bernoulli { .. } | Self::Potts { .. } => (0.0, 1.0),
            Self::Spin { .. } => (-1.0, 1.0),
            Self::Binomial { trials, .. } => (0.0, *trials as f32),
            Self::Multinomial { draws: 0, .. } => (0.0, f32::INFINITY),
            Self::Multinomial { draws, .. } => (0.0, *draws as f32),
            Self::Relu { .. } => (0.0, f32::INFINITY),
            Self::Gaussian { .. } | Self::Other { .. } => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Concat { groups } => {
                let widest = |(low, high): (f32, f32), units: &Self| {
                    let range = units.range();
                    (low.min(range.0), high.max(range.1))
                };
                groups.iter().fold((f32::INFINITY, f32::NEG_INFINITY), widest)
            }
        }
    }
}

/// What an error says of the kinds that there are.
const KINDS: &str = "bernoulli, spin, binomial(TRIALS), potts(STATES), multinomial(DRAWS), multinomial, relu, gaussian or gaussian-learned";

impl Units {
    /// The kind without the size, as [`Units::of_kind`] reads it: `bernoulli`, `potts(21)`. Several kinds side by side keep
    /// the sizes of all groups.
    pub fn kind(&self) -> String {
        match self {
            Self::Bernoulli { .. } => "bernoulli".into(),
            Self::Spin { .. } => "spin".into(),
            Self::Binomial { trials, .. } => format!("binomial({trials})"),
            Self::Potts { states, .. } => format!("potts({states})"),
            Self::Multinomial { draws: 0, .. } => "multinomial".into(),
            Self::Multinomial { draws, .. } => format!("multinomial({draws})"),
            Self::Relu { .. } => "relu".into(),
            Self::Gaussian { variance: Variance::Unit, .. } => "gaussian".into(),
            Self::Gaussian { variance: Variance::Learned, .. } => "gaussian-learned".into(),
            Self::Concat { groups } => {
                groups.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
            }
            Self::Other { name, .. } => name.clone(),
        }
    }

    /// One unit of the kind that `text` names, to be given its size by [`Units::with_width`]; several kinds side by side
    /// (`bernoulli:784+potts(10):1`) have theirs.
    ///
    /// # Errors
    ///
    /// For a text that names no kind.
    pub fn of_kind(text: &str) -> Result<Self> {
        if text.contains('+') {
            return text.parse();
        }
        sized(text, 1)
            .ok_or_else(|| Error::invalid("the kind of units", KINDS, format!("{text:?}")))
    }
}

/// `bernoulli:500`, `potts(21):48`, `bernoulli:784+potts(10):1`
impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match self {
            Self::Potts { sites, .. } => *sites,
            other => other.width(),
        };
        match self {
            Self::Concat { .. } => f.write_str(&self.kind()),
            _ => write!(f, "{}:{size}", self.kind()),
        }
    }
}

/// Reads `500` (Bernoulli units) or `KIND:SIZE`: `spin:20`, `binomial(5):20`, `potts(21):48` (48 sites of 21 states),
/// `multinomial(100):2000` (100 draws among 2000 categories), `multinomial:2000` (each configuration with as many draws as it has), `gaussian:784`; several with `+` between them side by side.
impl FromStr for Units {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.contains('+') {
            let groups = text.split('+').map(Self::from_str).collect::<Result<_>>()?;
            return Ok(Self::Concat { groups });
        }
        let (kind, size) = text.split_once(':').unwrap_or(("bernoulli", text));
        let size = size.trim().parse().ok().filter(|size| *size > 0);
        size.and_then(|size| sized(kind, size)).ok_or_else(|| {
            Error::invalid(
                "units",
                format!(
                    "a number of units or KIND:SIZE (several with + between) with KIND {KINDS}"
                ),
                format!("{text:?}"),
            )
        })
    }
}

/// `size` units, sites or categories of a kind, if there is such a kind.
fn sized(kind: &str, size: usize) -> Option<Units> {
    let kind = kind.trim();
    let (name, number) = match kind.split_once('(') {
        None => (kind, None),
        Some((name, rest)) => {
            let number = rest.strip_suffix(')')?.trim().parse::<usize>().ok()?;
            (name.trim(), Some(number).filter(|number| (1..=MAX_IN_BRACKETS).contains(number)))
        }
    };
    Some(match (name, number) {
        ("bernoulli", None) => Units::Bernoulli { size },
        ("spin", None) => Units::Spin { size },
        ("binomial", Some(trials)) => Units::Binomial { size, trials },
        ("potts", Some(states)) => Units::Potts { sites: size, states },
        ("multinomial", Some(draws)) => Units::Multinomial { size, draws },
        ("multinomial", None) => Units::Multinomial { size, draws: 0 },
        ("relu", None) => Units::Relu { size },
        ("gaussian", None) => Units::Gaussian { size, variance: Variance::Unit },
        ("gaussian-learned", None) => Units::Gaussian { size, variance: Variance::Learned },
        _ => return None,
    })
}
