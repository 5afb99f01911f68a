//! The units of the data layer: their kind is the recipe's, their number the data's.

use rbm_core::{Error, Result, Units};

use super::{Recipe, nearest};
use crate::datasets::{self, Part};

/// The kind that is found from the data.
const ONE_HOT: &str = "one-hot";
/// What the kinds are called, for advice on names that are not among them.
const KINDS: [&str; 9] = [
    "bernoulli",
    "spin",
    "binomial",
    "potts",
    "multinomial",
    "relu",
    "gaussian",
    "gaussian-learned",
    ONE_HOT,
];

impl Recipe {
    /// The units of the data layer for the cases of these parts, which `data.source` names and the network sees. Errors where
    /// such units cannot be as wide as the cases, and with `one-hot` for cases that are not zeros and ones.
    pub fn visible_units(&self, parts: &[&Part]) -> Result<Units> {
        if self.visible == ONE_HOT {
            return datasets::one_hot_units(&self.data.source, parts);
        }
        let width = parts.first().map_or(0, |part| part.width());
        self.visible_kind()?.with_width(width).map_err(|error| self.about_visible(error))
    }

    /// What kind of units the data layer has; their number is the data's.
    pub(crate) fn visible_kind(&self) -> Result<Units> {
        let kind = if self.visible == ONE_HOT { "bernoulli" } else { &self.visible };
        Units::of_kind(kind).map_err(|error| self.about_visible(error))
    }

    fn about_visible(&self, error: Error) -> Error {
        match error {
            Error::Invalid { expected, found, .. } => {
                let kind = self.visible.split(['(', ':', '+']).next().unwrap_or_default();
                let meant = nearest(kind, KINDS).filter(|meant| *meant != kind);
                let advice = meant.map_or_else(String::new, |it| format!(" (did you mean {it}?)"));
                let found = found + &advice;
                Error::invalid(format!("visible = {:?}", self.visible), expected, found)
            }
            other => other,
        }
    }
}
