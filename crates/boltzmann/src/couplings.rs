//! Which units of one layer are coupled with each other, as a value and as a word of recipes and of the command line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which units of one layer are coupled with each other. `Edges` says which pairs there are: `E` is a list of them, or in a recipe the graph's
/// name.
///
/// ```
/// use candle_boltzmann::Couplings;
///
/// let couplings: Couplings<String> = "edges:ising:4x4".parse()?;
/// assert_eq!(couplings, Couplings::Edges("ising:4x4".to_owned()));
/// assert!(couplings.is_within_visible() && !couplings.is_within_hidden());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "String",
    into = "String",
    bound = "Self: Clone + TryFrom<String, Error = String> + Into<String>"
)]
pub enum Couplings<E = Vec<[u32; 2]>> {
    /// The visible ones.
    #[default]
    Visible,
    /// The hidden ones.
    Hidden,
    /// Both.
    Lateral,
    /// None: a restricted machine.
    None,
    /// The visible ones that are neighbours in this graph.
    Edges(E),
}

/// What stands before the name of a graph.
const EDGES: &str = "edges:";

impl<E> Couplings<E> {
    /// Whether visible units are coupled with each other.
    pub fn is_within_visible(&self) -> bool {
        !matches!(self, Self::Hidden | Self::None)
    }

    /// Whether hidden units are.
    pub fn is_within_hidden(&self) -> bool {
        matches!(self, Self::Hidden | Self::Lateral)
    }

    /// Those that a machine without hidden units has.
    pub fn without_hidden(self) -> Self {
        match self {
            Self::Hidden => Self::None,
            Self::Lateral => Self::Visible,
            other => other,
        }
    }

    /// The same, its graph looked up by `look_up`.
    ///
    /// # Errors
    ///
    /// As `look_up`.
    pub fn try_map<F, X>(self, look_up: impl FnOnce(E) -> Result<F, X>) -> Result<Couplings<F>, X> {
        Ok(match self {
            Self::Visible => Couplings::Visible,
            Self::Hidden => Couplings::Hidden,
            Self::Lateral => Couplings::Lateral,
            Self::None => Couplings::None,
            Self::Edges(edges) => Couplings::Edges(look_up(edges)?),
        })
    }
}

impl FromStr for Couplings<String> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "visible" => Ok(Self::Visible),
            "hidden" => Ok(Self::Hidden),
            "lateral" => Ok(Self::Lateral),
            "none" => Ok(Self::None),
            _ => match text.strip_prefix(EDGES) {
                Some(graph) if !graph.is_empty() => Ok(Self::Edges(graph.to_owned())),
                _ => Err(format!(
                    "couplings: expected visible, hidden, lateral, none or edges:GRAPH, found {text:?}"
                )),
            },
        }
    }
}

impl TryFrom<String> for Couplings<String> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Couplings<String>> for String {
    fn from(couplings: Couplings<String>) -> Self {
        couplings.to_string()
    }
}

impl fmt::Display for Couplings<String> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Visible => f.write_str("visible"),
            Self::Hidden => f.write_str("hidden"),
            Self::Lateral => f.write_str("lateral"),
            Self::None => f.write_str("none"),
            Self::Edges(graph) => write!(f, "{EDGES}{graph}"),
        }
    }
}
