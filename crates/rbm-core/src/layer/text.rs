//! Units as text: `KIND:SIZE`, the kind with its number in brackets where it has one.

use std::fmt;
use std::str::FromStr;

use super::units::MOST;
use super::{Units, Variance};
use crate::{Error, Result};

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
            other => other.size(),
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
            (name.trim(), Some(number).filter(|number| (1..=MOST).contains(number)))
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
