//! What a table of features has: its columns, and what they are called.

use anyhow::Result;
use candle_core::{DType, Tensor};

/// The column with the numbers of the cases.
pub(super) const ROW: &str = "row";
/// The one with their classes, where they have any.
pub(super) const LABEL: &str = "label";
/// The one with what they are called, where the source says it.
pub(super) const NAME: &str = "name";
/// What stands beside the features.
pub const BESIDE: [&str; 3] = [ROW, LABEL, NAME];

/// What the numbers of a feature are called.
pub enum Columns {
    /// By their numbers from 0, behind the feature's name; alone, by the feature's name.
    Numbered(usize),
    /// By these names, behind the feature's name.
    Named(Vec<String>),
    /// By the feature's name: each is the number of a class, and where classes have names, is written as its name.
    Class,
}

impl Columns {
    /// How many numbers there are.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Numbered(width) => *width,
            Self::Named(names) => names.len(),
            Self::Class => 1,
        }
    }
}

/// What is written beside the features, and what they are called.
pub struct Table<'a> {
    /// The name of every feature, and what its numbers are called.
    pub named: Vec<(String, Columns)>,
    /// The number of every case in its source, from 0.
    pub rows: &'a [u32],
    /// The class of every case.
    pub labels: Option<&'a [u32]>,
    /// What every case is called.
    pub names: Option<&'a [String]>,
    /// What the classes are called, where they are not called by their numbers.
    pub class_names: Option<&'a [String]>,
}

impl Table<'_> {
    /// How many numbers a case has.
    pub(super) fn width(&self) -> usize {
        self.named.iter().map(|(_, columns)| columns.width()).sum()
    }

    /// A name for each of them: `layer2_0`, `layer2_1`, …, or the feature's own where it has one number.
    pub(super) fn columns(&self) -> impl Iterator<Item = String> {
        self.named.iter().flat_map(|(name, columns)| -> Vec<String> {
            match columns {
                Columns::Numbered(1) | Columns::Class => vec![name.clone()],
                Columns::Numbered(width) => (0..*width).map(|i| format!("{name}_{i}")).collect(),
                Columns::Named(names) => names.iter().map(|of| format!("{name}_{of}")).collect(),
            }
        })
    }

    /// Whether each of the numbers of a case stands for a class that has a name.
    pub(super) fn is_class(&self) -> Vec<bool> {
        let columns = self.named.iter();
        let is_class = columns.flat_map(|(_, columns)| {
            let is_class = matches!(columns, Columns::Class) && self.class_names.is_some();
            std::iter::repeat_n(is_class, columns.width())
        });
        is_class.collect()
    }

    /// What the class with this number is called.
    pub(super) fn class(&self, class: u32) -> String {
        let name = self.class_names.and_then(|names| names.get(class as usize));
        name.cloned().unwrap_or_else(|| class.to_string())
    }
}

/// The numbers of a matrix, row after row.
pub(super) fn values(matrix: &Tensor) -> Result<Vec<f32>> {
    Ok(matrix.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
