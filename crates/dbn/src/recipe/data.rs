//! The table `[data]` of a recipe: which cases there are, which of them are learned from, and what units the layer of the data has for
//! them.

use std::path::Path;

use candle_dbn_data as data;
use candle_dbn_data::settings::{Keyed, OrNone, or_none, read_keyed};
use candle_dbn_data::{Alphabet, Columns, Dataset, Examples, Parts, ReadOptions, Scaling};
use rbm_core::{Error, Result, Units};
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize};

use super::Recipe;
use super::visible::VisibleKind;
use crate::learning::Pass;

/// Where the cases come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataRecipe {
    /// What is read: `digits`, `bars-and-stripes:4` and the like, a folder, or a file.
    ///
    /// Range: a name, a file or a folder. Used by: all data.
    pub source: String,
    /// How they are read.
    #[serde(flatten)]
    pub read: ReadOptions,
    /// What learning takes of Bernoulli data: `mean`, the values themselves, or `sample`, zeros and ones drawn anew with the values as
    /// their probabilities whenever a case has its turn, which keeps a network from learning cases by heart. An
    /// autoencoder is to give back what was drawn. Errors are always measured on the values.
    ///
    /// Range: "mean" or "sample". Used by: Bernoulli data.
    pub pass: Pass,
    /// Where the source has no test part of its own, every so many-th case (of each class) is held out; `"none"` holds none out.
    ///
    /// Range: 2 or more cases, or "none". Used by: data without a test part.
    #[serde(with = "or_none")]
    pub hold_out_one_in: Option<usize>,
    /// Where it has no validation part either, every so many-th of the others (of each class) is that: it decides when to stop, and
    /// is not learned from. `"none"` keeps none, and fine-tuning runs all its epochs.
    ///
    /// Range: 2 or more cases, or "none". Used by: data without a validation part.
    #[serde(with = "or_none")]
    pub validate_one_in: Option<usize>,
    /// Whether the cases for validation are learned from as the others are, once everything has been chosen by them: then none are
    /// left to decide when to stop, and fine-tuning runs all its epochs.
    ///
    /// Range: true or false. Used by: data with validation cases.
    pub learn_validation: bool,
    /// The most cases that are learned from, as many of each class as can be; `"none"` for all. Cases for validation and those held
    /// out stay.
    ///
    /// Range: 1 or more cases, or "none". Used by: all data.
    #[serde(with = "or_none")]
    pub limit: Option<usize>,
}

/// This file, from whose comments the keys are described.
pub(super) const SOURCE: &str = include_str!("data.rs");

impl DataRecipe {
    /// The parts of `dataset` as this training takes them.
    ///
    /// # Errors
    ///
    /// As [`Dataset::parts`] and [`Parts::learning_all`].
    pub fn parts(&self, dataset: Dataset) -> Result<Parts> {
        let parts = dataset.parts(self.hold_out_one_in, self.validate_one_in)?;
        let parts = if self.learn_validation { parts.learning_all()? } else { parts };
        match self.limit {
            None => Ok(parts),
            Some(limit) => Ok(Parts { train: parts.train.limited(limit)?, ..parts }),
        }
    }

    /// The same with the names of files and folders in place of the paths of one machine.
    pub fn without_paths(mut self) -> Self {
        if !data::is_named(&self.source) {
            self.source = file_name(&self.source);
        }
        let labels = self.read.labels.take();
        self.read.labels = labels.map(|path| file_name(path).into());
        self
    }
}

/// The last part of a path.
pub(super) fn file_name(path: impl AsRef<Path>) -> String {
    let name = path.as_ref().file_name().unwrap_or_default();
    Path::new(name).display().to_string()
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            source: "digits".into(),
            read: ReadOptions::default(),
            pass: Pass::Mean,
            hold_out_one_in: Some(5),
            validate_one_in: Some(10),
            learn_validation: false,
            limit: None,
        }
    }
}

impl Keyed for DataRecipe {
    const TABLE: &'static str = "the table [data]";
    const KEYS: &'static [&'static [&'static str]] = &[
        &["source", "pass", "hold_out_one_in", "validate_one_in", "learn_validation", "limit"],
        ReadOptions::KEYS[0],
    ];

    fn read_key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        table: &mut A,
    ) -> std::result::Result<(), A::Error> {
        match key {
            "source" => self.source = table.next_value()?,
            "pass" => self.pass = table.next_value()?,
            "hold_out_one_in" => self.hold_out_one_in = table.next_value::<OrNone<_>>()?.0,
            "validate_one_in" => self.validate_one_in = table.next_value::<OrNone<_>>()?.0,
            "learn_validation" => self.learn_validation = table.next_value()?,
            "limit" => self.limit = table.next_value::<OrNone<_>>()?.0,
            of_reading => self.read.read_key(of_reading, table)?,
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for DataRecipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        read_keyed(deserializer)
    }
}

impl Recipe {
    /// The units of the data layer for the cases of these parts, which `data.source` names and the network sees, and
    /// whose columns hold `columns`, where that is known.
    ///
    /// # Errors
    ///
    /// Where such units cannot be as wide as the cases, and with `one-hot` for cases that are not zeros and ones.
    pub fn visible_units(&self, parts: &[&Examples], columns: Option<&Columns>) -> Result<Units> {
        if let Some(columns) = columns.filter(|_| self.visible == VisibleKind::Auto) {
            return Ok(match self.standardise {
                Scaling::MinMax => columns.min_max_units(),
                _ => columns.units(),
            });
        }
        if self.visible == VisibleKind::OneHot {
            return data::one_hot_units(&self.data.source, parts);
        }
        let width = parts.first().map_or(0, |part| part.width());
        self.visible_kind().with_width(width).map_err(|error| match error {
            Error::Invalid { expected, found, .. } => {
                let what = format!("visible = {:?}", self.visible.to_string());
                Error::invalid(what, expected, found)
            }
            other => other,
        })
    }

    /// Keeps the letters that aligned sequences were read by, if they are any, so that others are read by the same ones; and gives
    /// codes, theirs or others, units of as many states where none are named. Gives a note of that.
    pub(crate) fn set_code_units(&mut self, alphabet: Option<&Alphabet>) -> Option<String> {
        if let Some(alphabet) = alphabet {
            self.data.read.alphabet = Some(alphabet.clone());
        }
        let coded = self.data.read.one_hot;
        let is_found = self.visible == VisibleKind::Auto;
        let states = coded.or(alphabet.map(Alphabet::states)).filter(|_| is_found)?;
        self.visible = VisibleKind::Of(Units::Potts { sites: 1, states });
        let what = if alphabet.is_some() { "an alignment" } else { "codes" };
        Some(format!("{what}: visible = \"{}\" (--visible decides otherwise)", self.visible))
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

    /// What kind of units the data layer has, Bernoulli units until it is found; their number is the data's.
    pub(crate) fn visible_kind(&self) -> Units {
        match &self.visible {
            VisibleKind::Of(units) => units.clone(),
            VisibleKind::Auto | VisibleKind::OneHot => Units::bernoulli(1),
        }
    }
}
