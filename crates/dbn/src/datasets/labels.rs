//! Labels: the class of each case, a whole number from 0 to 65535.

use std::convert::Infallible;
use std::path::Path;
use std::str::FromStr;

use rbm_core::{Error, Result};

/// The largest label; a larger one is taken for a column that holds something else.
const LARGEST: f64 = 65535.0;

/// The column of a CSV file in which the labels stand. From text: `none`, `first`, `last`, or else a header's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelColumn {
    /// No column: every column is data.
    None,
    /// The last column.
    Last,
    /// The first column.
    First,
    /// The column of this name in the header.
    Name(String),
}

impl FromStr for LabelColumn {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "none" => Self::None,
            "last" => Self::Last,
            "first" => Self::First,
            name => Self::Name(name.to_owned()),
        })
    }
}

/// The label that stands at `place` of `path` as the number `value`.
pub(super) fn label(path: &Path, place: impl FnOnce() -> String, value: f64) -> Result<u32> {
    if value.fract() == 0.0 && (0.0..=LARGEST).contains(&value) {
        return Ok(value as u32);
    }
    Err(Error::file(
        path,
        place(),
        format!("a label: a whole number from 0 to {LARGEST}"),
        value.to_string(),
    ))
}

/// The labels that stand in `path` as `values`.
pub(super) fn labels(path: &Path, values: impl IntoIterator<Item = f64>) -> Result<Vec<u32>> {
    let numbered = values.into_iter().enumerate();
    numbered.map(|(at, value)| label(path, || format!("label {}", at + 1), value)).collect()
}

/// Checks that the `labels` in `path` are as many as the `cases`.
pub(super) fn check_count(path: &Path, labels: usize, cases: usize) -> Result<()> {
    if labels == cases {
        return Ok(());
    }
    let expected = format!("one for each of {cases} cases");
    Err(Error::file(path, "number of labels", expected, labels.to_string()))
}
