//! The kind of the data layer's units, as a recipe names it.

use std::fmt;
use std::str::FromStr;

use rbm_core::{Error, Units};
use serde::{Deserialize, Serialize};

use super::text::nearest;

const AUTO: &str = "auto";
const ONE_HOT: &str = "one-hot";

/// What the kinds are called, for advice on names that are not among them.
const KINDS: [&str; 10] = [
    "bernoulli",
    "spin",
    "binomial",
    "potts",
    "multinomial",
    "relu",
    "gaussian",
    "gaussian-learned",
    ONE_HOT,
    AUTO,
];

/// The kind of the data layer's units; their number is the data's. A recipe may say a size, as those of earlier versions do: it is not looked at.
///
/// ```
/// use candle_dbn::recipe::VisibleKind;
/// use rbm_core::Units;
///
/// assert_eq!("auto".parse::<VisibleKind>()?, VisibleKind::Auto);
/// assert_eq!(VisibleKind::Of(Units::Potts { sites: 1, states: 21 }).to_string(), "potts(21)");
/// assert!("gausian".parse::<VisibleKind>().unwrap_err().contains("did you mean gaussian?"));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum VisibleKind {
    /// Found from the data: the kinds of a table's columns, Bernoulli units for pictures.
    #[default]
    Auto,
    /// Potts units for the one-hot codes that are found among columns of zeros and ones, Bernoulli units for the others.
    OneHot,
    /// This kind; several side by side have their sizes too.
    Of(Units),
}

impl FromStr for VisibleKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            AUTO => Ok(Self::Auto),
            ONE_HOT => Ok(Self::OneHot),
            kind => Units::of_kind(kind).map(Self::Of).map_err(|error| {
                let Error::Invalid { expected, .. } = error else { return error.to_string() };
                let kind = text.split(['(', ':', '+']).next().unwrap_or_default();
                let meant = nearest(kind, KINDS).filter(|meant| *meant != kind);
                let advice = meant.map_or_else(String::new, |it| format!(" (did you mean {it}?)"));
                format!(
                    "visible = {text:?}: expected {expected}; {AUTO} or {ONE_HOT}, found {text:?}{advice}"
                )
            }),
        }
    }
}

impl TryFrom<String> for VisibleKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().or_else(|error| text.parse().map(Self::Of).map_err(|_| error))
    }
}

impl From<VisibleKind> for String {
    fn from(kind: VisibleKind) -> Self {
        kind.to_string()
    }
}

impl fmt::Display for VisibleKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            Self::OneHot => f.write_str(ONE_HOT),
            Self::Of(units) => f.write_str(&units.kind()),
        }
    }
}
