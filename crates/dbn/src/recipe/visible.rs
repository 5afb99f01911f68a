//! The units of the data layer: their kind is the recipe's, their number the data's.

use candle_dbn_data as data;
use candle_dbn_data::{Alphabet, Columns, Examples, Scaling};
use rbm_core::{Error, Result, Units};

use super::{Recipe, nearest};
use crate::learning::greedy::Pass;

/// The kind of zeros and ones whose one-hot codes are found from the data.
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
/// The kinds that are those of the data's columns.
pub const AUTO: &str = "auto";

impl Recipe {
    /// The units of the data layer for the cases of these parts, which `data.source` names and the network sees, and
    /// whose columns hold `columns`, where that is known.
    ///
    /// # Errors
    ///
    /// Where such units cannot be as wide as the cases, and with `one-hot` for cases that are not zeros and ones.
    pub fn visible_units(&self, parts: &[&Examples], columns: Option<&Columns>) -> Result<Units> {
        if let Some(columns) = columns.filter(|_| self.visible == AUTO) {
            return Ok(match self.standardise {
                Scaling::MinMax => columns.min_max_units(),
                _ => columns.units(),
            });
        }
        if self.visible == ONE_HOT {
            return data::one_hot_units(&self.data.source, parts);
        }
        let width = parts.first().map_or(0, |part| part.width());
        self.visible_kind()?.with_width(width).map_err(|error| self.about_visible(error))
    }

    /// Keeps the letters that aligned sequences were read by, if they are any, so that others are read by the same ones; and gives
    /// codes, theirs or others, units of as many states where nobody has named any. Says that.
    pub(crate) fn suit_codes(&mut self, alphabet: Option<&Alphabet>) -> Option<String> {
        if let Some(alphabet) = alphabet {
            self.data.read.alphabet = Some(alphabet.clone());
        }
        let coded = self.data.read.one_hot;
        let states = coded.or(alphabet.map(Alphabet::states)).filter(|_| self.visible == AUTO)?;
        self.visible = format!("potts({states})");
        let what = if alphabet.is_some() { "an alignment" } else { "codes" };
        Some(format!("{what}: visible = {:?} (--visible decides otherwise)", self.visible))
    }

    /// What is done to the columns of data that `visible` units learn: never [`Scaling::Auto`].
    ///
    /// # Errors
    ///
    /// Where measurements are to be standardised and no unit is for such, and where units that are drawn from the data's
    /// probabilities find none.
    pub fn scaling(&self, visible: &Units) -> Result<Scaling> {
        let has = |is: fn(&Units) -> bool| visible.groups().into_iter().any(|(_, units)| is(units));
        let is_gaussian = has(|units| matches!(units, Units::Gaussian { .. }));
        let scaling = match self.standardise {
            Scaling::Auto if is_gaussian => Scaling::Standardise,
            Scaling::Auto => Scaling::None,
            chosen => chosen,
        };
        let is_for = is_gaussian || has(|units| matches!(units, Units::Relu { .. }));
        if scaling == Scaling::Standardise && !is_for {
            let expected = "false for units that are no measurements (choose --visible gaussian)";
            return Err(Error::invalid("standardise", expected, format!("true for {visible}")));
        }
        let is_drawn = self.data.pass == Pass::Sample;
        if is_drawn && has(|units| !matches!(units, Units::Bernoulli { .. })) {
            let expected = "mean, unless for Bernoulli data that are not standardised";
            return Err(Error::invalid("data.pass", expected, format!("sample for {visible}")));
        }
        Ok(scaling)
    }

    /// What kind of units the data layer has; their number is the data's.
    pub(crate) fn visible_kind(&self) -> Result<Units> {
        let is_found = [ONE_HOT, AUTO].contains(&self.visible.as_str());
        let kind = if is_found { "bernoulli" } else { &self.visible };
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
