//! What a source does not say about itself.

use std::path::PathBuf;
use std::sync::Arc;

use rbm_core::{Error, Result};
use serde::de::{Error as _, MapAccess};
use serde::{Deserialize, Deserializer, Serialize};

use crate::alphabet::Alphabet;
use crate::columns::Columns;
use crate::encoding::Binarise;
use crate::labels::LabelColumn;
use crate::settings::{Keyed, OrAuto, OrDefault, OrNone, or_auto, or_default, or_none, read_keyed};
use crate::weights::Weights;

/// What becomes of values that are not known: empty cells, `NA`, `?`, NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// They are an error that counts them.
    #[default]
    Refuse,
    /// Each is the mean of its column over the training cases.
    Mean,
    /// Each is drawn given the known values of its case, anew whenever the case has its turn (Practical Guide, §17).
    Gibbs,
}

impl std::str::FromStr for Missing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "mean" => Ok(Self::Mean),
            "gibbs" => Ok(Self::Gibbs),
            _ => Err(Error::invalid("missing", "refuse, mean or gibbs", format!("{text:?}"))),
        }
    }
}

/// How to read a data set: what its source does not say about itself.
///
/// Arguments of the program, the table `[data]` of a recipe and what a model asks of other data are this one struct.
///
/// ```
/// use candle_dbn_data::{Binarise, ReadOptions, load};
///
/// let options = ReadOptions { binarise: Some(Binarise::Threshold(0.5)), ..Default::default() };
/// let digits = load("digits", &options)?;
/// let pixels = digits.train.cases.thinned(10)?.flatten_all()?.to_vec1::<f32>()?;
/// assert!(pixels.iter().all(|pixel| *pixel == 0.0 || *pixel == 1.0));
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Data"))]
pub struct ReadOptions {
    /// Every value is divided by this: `"auto"` leaves the choice to the format.
    ///
    /// By 16 for `digits` and by 255 for IDX files and pictures, which then lie in [0, 1], and by nothing for all others.
    ///
    /// Range: a number above 0, or "auto". Used by: all data but tables of columns of several kinds.
    #[serde(with = "or_auto")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "NUMBER", help = "Divide every value by this (default: 16 for digits, 255 for IDX files, else 1)", long_help = None::<&str>))]
    pub scale: Option<f32>,
    /// A file with the labels; `"none"` for none.
    ///
    /// `.npy`, IDX (a name with `idx` in it), or one whole number a line in `.csv` or `.txt`; the latter two plain or gzipped. Only for
    /// single files of cases.
    ///
    /// Range: a path, or "none". Used by: arrays and tables.
    #[serde(with = "or_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE", help = "Labels in a file of their own: .npy, IDX, or .csv/.txt with one a line", long_help = None::<&str>))]
    pub labels: Option<PathBuf>,
    /// The column of the labels in a table: `none`, `first`, `last`, a name or a number from 1; `"auto"` leaves the choice to the header:
    /// the one that is called label, class, target or y, or their plurals.
    ///
    /// Range: a column, or "auto". Used by: tables.
    #[serde(with = "or_auto")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "COLUMN", help = "The column of the labels in a table: first, last, none, a header's name or a number from 1 (default: label, class, target or y, if the header has one)", long_help = None::<&str>))]
    pub label_column: Option<LabelColumn>,
    /// The column of a table that holds measurements to be predicted, by its name or number; `"none"` for none.
    ///
    /// Range: a column, or "none". Used by: tables.
    #[serde(with = "or_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "COLUMN", help = "The column of a table that holds measurements to be predicted, by its name or number", long_help = None::<&str>))]
    pub target: Option<String>,
    /// Columns of a table that are left out, by their names or numbers.
    ///
    /// Range: a list of columns. Used by: tables.
    #[cfg_attr(feature = "clap", arg(long, value_name = "COLUMN,...", value_delimiter = ',', help = "Columns of a table to leave out, by their names or numbers", long_help = None::<&str>))]
    pub drop: Vec<String>,
    /// Columns that are categories though they hold numbers.
    ///
    /// Range: a list of columns. Used by: tables.
    #[cfg_attr(feature = "clap", arg(long, value_name = "COLUMN,...", value_delimiter = ',', help = "Columns of a table that are categories though they hold numbers", long_help = None::<&str>))]
    pub categories: Vec<String>,
    /// Columns that are numbers though they look like codes of categories.
    ///
    /// Range: a list of columns. Used by: tables.
    #[cfg_attr(feature = "clap", arg(long, value_name = "COLUMN,...", value_delimiter = ',', help = "Columns of a table that are numbers though they look like codes of categories", long_help = None::<&str>))]
    pub numbers: Vec<String>,
    /// What becomes of missing values: `refuse`, `mean` or `gibbs`.
    ///
    /// Range: "refuse", "mean" or "gibbs". Used by: tables and arrays.
    #[serde(with = "or_default")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "HOW", help = "What becomes of missing values (empty cells, NA, ?, NaN): refuse counts them, mean takes the column's mean, gibbs draws them given the others while learning", long_help = None::<&str>))]
    pub missing: Option<Missing>,
    /// How the scaled values become zeros and ones: `none`, `threshold:0.5` (1 above it) or `sample:SEED` (each is drawn once, 1 with
    /// the value as its probability).
    ///
    /// Range: "none", "threshold:NUMBER" or "sample:SEED". Used by: values from 0 to 1.
    #[serde(with = "or_default")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "HOW", help = "Make zeros and ones of the scaled values: none, threshold:NUMBER (1 above it), or sample:SEED (drawn once, 1 with the value as its probability)", long_help = None::<&str>))]
    pub binarise: Option<Binarise>,
    /// Every value is a code, a whole number below this, and becomes so many values of which one is 1: for Potts units. `"auto"`
    /// leaves the choice to the format: the states of an alignment, else none.
    ///
    /// Range: 2 or more, or "auto". Used by: integer codes.
    #[serde(with = "or_auto")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "Q", help = "Every value is a code from 0 to Q-1, and becomes Q values of which one is 1: for --visible \"potts(Q)\" (default: the states of an alignment)", long_help = None::<&str>))]
    pub one_hot: Option<usize>,
    /// The values of a case in a sparse file; `"auto"` leaves it to the largest index.
    ///
    /// Range: 1 or more values, or "auto". Used by: sparse rows.
    #[serde(with = "or_auto")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help = "Values of a case in a sparse file (default: the largest index)", long_help = None::<&str>))]
    pub width: Option<usize>,
    /// The letters of an alignment's states: `protein`, `rna`, `dna`, or the letters themselves; `"auto"` leaves the choice to what
    /// stands in the file.
    ///
    /// Range: "protein", "rna", "dna", letters, or "auto". Used by: alignments.
    #[serde(with = "or_auto")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ALPHABET", help = "The letters of an alignment's states: protein, rna, dna, or the letters themselves, as -ACGU (default: those that stand in the file are most probably of)", long_help = None::<&str>))]
    pub alphabet: Option<Alphabet>,
    /// How much each case counts: `none`, all as much, or `identity:0.8`, one over the number of sequences that agree with it in at
    /// least 80 % of the columns.
    ///
    /// Range: "none", or "identity:SHARE". Used by: alignments and codes.
    #[serde(with = "or_default")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "HOW", help = "How much each case counts: none (all as much), or identity:SHARE, one over the number of cases that have the same code in at least this share of the columns; for alignments identity:0.8", long_help = None::<&str>))]
    pub weights: Option<Weights>,
    /// Whether the columns of a table are told apart: numbers, zeros and ones, categories. Words are categories in any case.
    #[serde(skip)]
    #[cfg_attr(feature = "clap", arg(skip))]
    pub finds_kinds: bool,
    /// What a model knows that reads these data as those that it learned from.
    #[serde(skip)]
    #[cfg_attr(feature = "clap", arg(skip))]
    pub known: Known,
}

/// What a model knows of the data that it learned from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// What the column of the labels is called, which another table may have or lack.
    pub label: Option<String>,
    /// The column that the model predicts, which a table may have or lack.
    pub target: Option<String>,
    /// The columns: those of the table are brought into their order, by name where there are names.
    pub columns: Option<Arc<Columns>>,
    /// The classes by name: labels are theirs.
    pub class_names: Option<Arc<[String]>>,
    /// What the indices of a sparse file count from, 0 or 1. `None`: 0 where there is an index 0.
    pub first_index: Option<u32>,
}

/// This file, from whose comments the keys of a recipe are described.
pub const SOURCE_OF_OPTIONS: &str = include_str!("options.rs");

impl ReadOptions {
    /// What becomes of missing values.
    pub fn missing(&self) -> Missing {
        self.missing.unwrap_or_default()
    }

    /// How values become zeros and ones.
    pub fn binarise(&self) -> Binarise {
        self.binarise.unwrap_or_default()
    }

    /// How much each case counts.
    pub fn weights(&self) -> Weights {
        self.weights.unwrap_or_default()
    }

    /// These options, and those of `others` where these say nothing.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        let list =
            |of: Vec<String>, other: &[String]| if of.is_empty() { other.into() } else { of };
        Self {
            scale: self.scale.or(others.scale),
            labels: self.labels.or_else(|| others.labels.clone()),
            label_column: self.label_column.or_else(|| others.label_column.clone()),
            target: self.target.or_else(|| others.target.clone()),
            drop: list(self.drop, &others.drop),
            categories: list(self.categories, &others.categories),
            numbers: list(self.numbers, &others.numbers),
            missing: self.missing.or(others.missing),
            binarise: self.binarise.or(others.binarise),
            one_hot: self.one_hot.or(others.one_hot),
            width: self.width.or(others.width),
            alphabet: self.alphabet.or_else(|| others.alphabet.clone()),
            weights: self.weights.or(others.weights),
            finds_kinds: self.finds_kinds || others.finds_kinds,
            known: self.known,
        }
    }
}

impl Keyed for ReadOptions {
    const TABLE: &'static str = "a table of options";
    const KEYS: &'static [&'static [&'static str]] = &[&[
        "scale",
        "labels",
        "label_column",
        "target",
        "drop",
        "categories",
        "numbers",
        "missing",
        "binarise",
        "one_hot",
        "width",
        "alphabet",
        "weights",
    ]];

    fn read_key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        table: &mut A,
    ) -> std::result::Result<(), A::Error> {
        match key {
            "scale" => self.scale = table.next_value::<OrAuto<_>>()?.0,
            "labels" => self.labels = table.next_value::<OrNone<_>>()?.0,
            "label_column" => self.label_column = table.next_value::<OrAuto<_>>()?.0,
            "target" => self.target = table.next_value::<OrNone<_>>()?.0,
            "drop" => self.drop = table.next_value()?,
            "categories" => self.categories = table.next_value()?,
            "numbers" => self.numbers = table.next_value()?,
            "missing" => self.missing = table.next_value::<OrDefault<_>>()?.0,
            "binarise" => self.binarise = table.next_value::<OrDefault<_>>()?.0,
            "one_hot" => self.one_hot = table.next_value::<OrAuto<_>>()?.0,
            "width" => self.width = table.next_value::<OrAuto<_>>()?.0,
            "alphabet" => self.alphabet = table.next_value::<OrAuto<_>>()?.0,
            "weights" => self.weights = table.next_value::<OrDefault<_>>()?.0,
            other => return Err(A::Error::custom(format_args!("unknown field `{other}`"))),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for ReadOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        read_keyed(deserializer)
    }
}
