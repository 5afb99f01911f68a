//! The table `[data]` of a recipe: which cases there are, and which of them are learned from.

use candle_dbn_data::keyed::{self, Keyed, OrNone};
use candle_dbn_data::optional::or_none;
use candle_dbn_data::{Dataset, Parts, ReadOptions};
use rbm_core::Result;
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize};

use crate::learning::greedy::Pass;

/// Where the cases come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Data {
    /// What [`data::load`](candle_dbn_data::load) reads: `digits`, `bars-and-stripes:4` and the like, a folder, or a file.
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

impl Data {
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
}

impl Default for Data {
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

impl Keyed for Data {
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

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        keyed::deserialize(deserializer)
    }
}
