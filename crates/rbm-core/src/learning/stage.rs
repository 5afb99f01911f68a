//! What a stage of a training learns, as a value and as the text that metrics and checkpoints have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What a stage of a training learns. In files it is its text: `layer 1`, …, `machine`, `belief net`, `up-down`, `classifier`, `regressor` or
/// `autoencoder`.
///
/// ```
/// use rbm_core::learning::train::StageKind;
///
/// assert_eq!(StageKind::Layer(0).to_string(), "layer 1");
/// assert_eq!("up-down".parse::<StageKind>()?, StageKind::UpDown);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub enum StageKind {
    /// One machine of a stack learns from what those below it make of the data; 0 is the lowest.
    Layer(usize),
    /// A machine learns that is no layer of a stack.
    #[default]
    Machine,
    /// A belief net and its recognition learn.
    BeliefNet,
    /// All layers learn together by up-down.
    UpDown,
    /// The unrolled network learns the classes by backpropagation.
    Classifier,
    /// The unrolled network learns to predict a measurement by backpropagation.
    Regressor,
    /// The network unrolled both ways learns to find each case again from its code, by backpropagation.
    Autoencoder,
}

const LAYER: &str = "layer ";

/// Those without a number, and their texts.
const NAMED: [(StageKind, &str); 6] = [
    (StageKind::Machine, "machine"),
    (StageKind::BeliefNet, "belief net"),
    (StageKind::UpDown, "up-down"),
    (StageKind::Classifier, "classifier"),
    (StageKind::Regressor, "regressor"),
    (StageKind::Autoencoder, "autoencoder"),
];

impl StageKind {
    /// Whether a network learns by backpropagation.
    pub fn is_network(self) -> bool {
        matches!(self, Self::Classifier | Self::Regressor | Self::Autoencoder)
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Layer(layer) = self {
            return f.pad(&format!("{LAYER}{}", layer + 1));
        }
        let named = NAMED.iter().find(|(kind, _)| kind == self);
        f.pad(named.map_or("", |(_, text)| text))
    }
}

impl FromStr for StageKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = text.strip_prefix(LAYER).and_then(|number| number.parse::<usize>().ok());
        let layer = number.and_then(|number| number.checked_sub(1)).map(Self::Layer);
        let named = NAMED.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind);
        layer.or(named).ok_or_else(|| {
            let names: Vec<_> = NAMED.iter().map(|(_, name)| *name).collect();
            Error::invalid("a stage of a training", format!("layer N, {}", names.join(", ")), text)
        })
    }
}

impl TryFrom<String> for StageKind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<StageKind> for String {
    fn from(kind: StageKind) -> Self {
        kind.to_string()
    }
}
