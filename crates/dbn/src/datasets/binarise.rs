//! Cases made of zeros and ones, as Bernoulli units and the literature's likelihoods want them.

use std::fmt;
use std::str::FromStr;

use rbm_core::{Error, Result};
use serde::{Deserialize, Serialize};

const FORMS: &str = "none, threshold:NUMBER or sample:SEED";

/// How the values of cases become zeros and ones. As text `none`, `threshold:0.5` or `sample:7`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Binarise {
    /// They stay as they are.
    #[default]
    None,
    /// 1 where the scaled value is above this.
    Threshold(f32),
    /// Each value, in [0, 1], is drawn once and for all: 1 with that probability (Salakhutdinov, Murray 2008). Which bits a
    /// case gets depends on this seed, on the part and on the case's place in its file alone.
    Sample(u64),
}

impl fmt::Display for Binarise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Threshold(threshold) => write!(f, "threshold:{threshold}"),
            Self::Sample(seed) => write!(f, "sample:{seed}"),
        }
    }
}

impl FromStr for Binarise {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = match text.split_once(':') {
            None if text == "none" => Some(Self::None),
            Some(("threshold", number)) => {
                let number = number.parse().ok().filter(|number: &f32| number.is_finite());
                number.map(Self::Threshold)
            }
            Some(("sample", seed)) => seed.parse().ok().map(Self::Sample),
            _ => None,
        };
        read.ok_or_else(|| Error::invalid("binarise", FORMS, format!("{text:?}")))
    }
}

impl TryFrom<String> for Binarise {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Binarise> for String {
    fn from(binarise: Binarise) -> Self {
        binarise.to_string()
    }
}
