//! The units of the data layer: their kind is the recipe's, their number the data's.

use rbm_core::{Error, Result, Units};

use super::Recipe;
use crate::datasets::{self, Part};

/// The kind that is found from the data.
const ONE_HOT: &str = "one-hot";

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
                Error::invalid(format!("visible = {:?}", self.visible), expected, found)
            }
            other => other,
        }
    }
}
