//! What a source does not say about itself.

use std::path::PathBuf;

use rbm_core::{Error, Result};

use super::form::{Form, Source};
use super::{Alphabet, Binarise, LabelColumn, Weights};

/// The most states of a code.
const MOST_STATES: usize = 1 << 16;

/// What a source does not say about itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Every value as the source has it is divided by this; finite and above 0. `None`: by 16 for `digits` and by 255 for
    /// IDX files, which then lie in [0, 1], and by nothing for all others.
    pub scale: Option<f32>,
    /// Labels in a file of their own: `.npy`, IDX (a name with `idx` in it), or one whole number a line in `.csv` or
    /// `.txt`; the latter two plain or gzipped. Only for single files of cases.
    pub labels: Option<PathBuf>,
    /// The column of the labels in a CSV file. `None`: the one that the header calls label, class, target or y.
    pub label_column: Option<LabelColumn>,
    /// How the values become zeros and ones.
    pub binarise: Binarise,
    /// Every value is a code, a whole number below this, and becomes so many values of which one is 1: for Potts units.
    /// `None`: 21 for alignments, and codes of no other source.
    pub one_hot: Option<usize>,
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
        if let (Some(file), Source::Digits | Source::Folder(_)) = (&self.labels, source) {
            let expected = format!("none for `{name}`, which has labels of its own");
            return Err(Error::invalid("file of labels", expected, file.display().to_string()));
        }
        if let (Some(file), Source::Population(_) | Source::Suite(_)) = (&self.labels, source) {
            let expected = format!("none for `{name}`, which has no labels");
            return Err(Error::invalid("file of labels", expected, file.display().to_string()));
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
        if !matches!(source, Source::File(_, Form::Csv)) {
            let expected = format!("none for `{name}`: only a CSV file has one");
            return Err(Error::invalid("label column", expected, format!("{column:?}")));
        }
        Ok(())
    }
}
