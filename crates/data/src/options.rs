//! What a source does not say about itself.

use std::path::PathBuf;
use std::sync::Arc;

use rbm_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::alphabet::Alphabet;
use crate::columns::Columns;
use crate::encoding::Binarise;
use crate::labels::LabelColumn;
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

/// What a source does not say about itself.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
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
