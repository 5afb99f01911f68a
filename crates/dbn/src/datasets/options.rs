//! What a source does not say about itself.

use std::path::PathBuf;
use std::sync::Arc;

use rbm_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::form::{Form, Source};
use super::{Alphabet, Binarise, Columns, LabelColumn, Weights};

/// The most states of a code.
const MOST_STATES: usize = 1 << 16;

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

/// What a source does not say about itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Every value as the source has it is divided by this; finite and above 0. `None`: by 16 for `digits` and by 255 for
    /// IDX files, which then lie in [0, 1], and by nothing for all others.
    pub scale: Option<f32>,
    /// Labels in a file of their own: `.npy`, IDX (a name with `idx` in it), or one whole number a line in `.csv` or
    /// `.txt`; the latter two plain or gzipped. Only for single files of cases.
    pub labels: Option<PathBuf>,
    /// The column of the labels in a table. `None`: the one that the header calls label, class, target or y, or their plurals.
    pub label_column: Option<LabelColumn>,
    /// The column of a table that holds measurements to be predicted, by its name or its number from 1.
    pub target: Option<String>,
    /// Columns of a table that are left out, by their names or numbers.
    pub drop: Vec<String>,
    /// What becomes of missing values.
    pub missing: Missing,
    /// Whether the columns of a table are told apart: numbers, zeros and ones, categories. Words are categories in any case.
    pub finds_kinds: bool,
    /// Columns that are categories though they hold numbers, by their names or numbers.
    pub categories: Vec<String>,
    /// Columns that are numbers though they look like codes.
    pub numbers: Vec<String>,
    /// The column of the labels of the table that a model learned from, which another table may have or lack.
    pub known_label: Option<String>,
    /// The column that a model predicts, which a table may have or lack.
    pub known_target: Option<String>,
    /// The columns that a model learned from: those of the table are brought into their order, by name where there are names.
    pub columns: Option<Arc<Columns>>,
    /// The classes that a model learned, by name: labels are theirs.
    pub class_names: Option<Arc<[String]>>,
    /// How the values become zeros and ones.
    pub binarise: Binarise,
    /// Every value is a code, a whole number below this, and becomes so many values of which one is 1: for Potts units.
    /// `None`: 21 for alignments, and codes of no other source.
    pub one_hot: Option<usize>,
    /// What the indices of a sparse file count from, 0 or 1. `None`: 0 where there is an index 0.
    pub first_index: Option<u32>,
    /// The values of a case in a sparse file, at least its largest index. `None`: that.
    pub width: Option<usize>,
    /// The letters of the states of an alignment. `None`: those that its letters are most probably of.
    pub alphabet: Option<Alphabet>,
    /// How much each case counts; by identity only where values are codes.
    pub weights: Weights,
}

impl Options {
    /// Errors for options that do not fit `source`, which is called `name`, or each other.
    pub(super) fn check(&self, name: &str, source: &Source) -> Result<()> {
        let must = |holds: bool, what: &str, expected: String, found: String| {
            if holds { Ok(()) } else { Err(Error::invalid(what, expected, found)) }
        };
        let is_alignment = matches!(source, Source::File(_, Form::Alignment));
        if let Some(scale) = self.scale {
            let (found, is_valid) = (scale.to_string(), scale.is_finite() && scale > 0.0);
            must(is_valid, "scale", "a finite number above 0".into(), found.clone())?;
            let expected = format!("none for `{name}`, which is no measurement");
            must(
                !matches!(source, Source::Population(_)) && !is_alignment,
                "scale",
                expected,
                found,
            )?;
        }
        if let Some(states) = self.one_hot {
            let (expected, found) = (format!("from 2 to {MOST_STATES} states"), states.to_string());
            must((2..=MOST_STATES).contains(&states), "one_hot", expected, found)?;
        }
        let is_of_codes = is_alignment || self.one_hot.is_some();
        if is_of_codes {
            let number = self.one_hot.map_or_else(String::new, |states| format!("{states} "));
            let expected = format!("none for codes, each of which becomes {number}zeros and ones");
            let is_plain = self.binarise == Binarise::None;
            must(is_plain, "binarise", expected, self.binarise.to_string())?;
        }
        if let Some(alphabet) = &self.alphabet {
            let expected = format!("none for `{name}`, which is no alignment");
            must(is_alignment, "alphabet", expected, alphabet.to_string())?;
        }
        let expected =
            format!("none for `{name}`: only codes agree or do not (--one-hot, alignments)");
        let is_weighed = self.weights != Weights::None;
        must(is_of_codes || !is_weighed, "weights", expected, self.weights.to_string())?;
        if let Some(width) = self.width {
            let expected = format!("none for `{name}`: only sparse rows do not say theirs");
            let is_sparse = matches!(source, Source::File(_, Form::Svmlight));
            must(is_sparse, "width", expected, width.to_string())?;
        }
        if let (Some(file), Source::Digits | Source::Folder(..) | Source::Pictures(_)) =
            (&self.labels, source)
        {
            let expected = format!("none for `{name}`, which has labels of its own");
            return Err(Error::invalid("file of labels", expected, file.display().to_string()));
        }
        if let (Some(file), Source::Population(_) | Source::Suite(_)) = (&self.labels, source) {
            let expected = format!("none for `{name}`, which has no labels");
            return Err(Error::invalid("file of labels", expected, file.display().to_string()));
        }
        let is_table = matches!(source, Source::File(_, form) if form.is_table());
        let lists =
            [("drop", &self.drop), ("categories", &self.categories), ("numbers", &self.numbers)];
        for (what, list) in lists {
            let expected = format!("none for `{name}`: only tables have columns");
            must(is_table || list.is_empty(), what, expected, list.join(", "))?;
        }
        if let Some(target) = &self.target {
            let expected = format!("none for `{name}`: only tables have one");
            must(is_table, "target", expected, target.clone())?;
        }
        let Some(column) =
            self.label_column.as_ref().filter(|&column| *column != LabelColumn::None)
        else {
            return Ok(());
        };
        if self.labels.is_some() {
            return Err(Error::invalid(
                "labels",
                "one place to take them from",
                "a column and a file",
            ));
        }
        if !is_table {
            let expected = format!("none for `{name}`: only a table has one");
            return Err(Error::invalid("label column", expected, format!("{column:?}")));
        }
        Ok(())
    }
}
