//! Labels: the class of each case, by its number or its name.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::Path;
use std::str::FromStr;

use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::columns::listed;

/// The largest label; a larger one is taken for a column that holds something else.
const MAX_LABEL: f64 = 65535.0;

/// So many classes may be given though some have no case.
const FEW: usize = 256;

/// The column of a table in which the labels stand. From text: `none`, `first`, `last`, or else a header's name or the column's
/// number from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum LabelColumn {
    /// No column: every column is data.
    None,
    /// The last column.
    Last,
    /// The first column.
    First,
    /// The column of this name in the header, or of this number from 1.
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

impl From<String> for LabelColumn {
    fn from(text: String) -> Self {
        let Ok(column) = text.parse();
        column
    }
}

impl From<LabelColumn> for String {
    fn from(column: LabelColumn) -> Self {
        match column {
            LabelColumn::None => "none".into(),
            LabelColumn::Last => "last".into(),
            LabelColumn::First => "first".into(),
            LabelColumn::Name(name) => name,
        }
    }
}

/// The class of every case, and what the classes are called where they are not just numbers from 0.
pub(crate) type NumberedLabels = (Vec<u32>, Option<Vec<String>>);

/// The classes of cases with the words `words` as labels, in alphabetical order.
pub(crate) fn of_words(words: &[String]) -> NumberedLabels {
    let names: BTreeSet<&String> = words.iter().collect();
    let places: BTreeMap<&String, u32> = names.iter().copied().zip(0..).collect();
    let classes = words.iter().map(|word| places[word]).collect();
    (classes, Some(names.into_iter().cloned().collect()))
}

/// The classes of cases with the labels `values`, which stand in `path`, and their names where they are not the numbers
/// themselves: whole numbers of which some are below 0 or above 65535 are classes in rising order.
///
/// # Errors
///
/// [`Error::File`] for the first label that is not a whole number, and for more than 65,536 different ones.
pub(crate) fn classes(path: &Path, values: &[f64]) -> Result<NumberedLabels> {
    let refused = |place: String, found: String| {
        let expected = "a label: a whole number (--target COLUMN predicts measurements in a table)";
        Err(Error::file(path, place, expected, found))
    };
    if let Some(at) = values.iter().position(|x| !x.is_finite() || x.fract() != 0.0) {
        return refused(format!("label {}", at + 1), values[at].to_string());
    }
    if values.iter().all(|x| (0.0..=MAX_LABEL).contains(x)) {
        return Ok((values.iter().map(|&x| x as u32).collect(), None));
    }
    let different: BTreeSet<i64> = values.iter().map(|&x| x as i64).collect();
    if different.len() > MAX_LABEL as usize + 1 {
        return refused("labels".into(), format!("{} different ones", different.len()));
    }
    let places: BTreeMap<i64, u32> = different.iter().copied().zip(0..).collect();
    let classes = values.iter().map(|&x| places[&(x as i64)]).collect();
    Ok((classes, Some(different.iter().map(ToString::to_string).collect())))
}

/// The classes of cases with the labels `labels` `(n,)`, as [`classes`] gives them.
pub(crate) fn of_tensor(labels: &Tensor) -> Result<NumberedLabels> {
    if labels.rank() != 1 {
        let found = format!("shape {:?}", labels.dims());
        return Err(Error::invalid("labels", "one a case, (n,)", found));
    }
    let values = labels.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    classes(Path::new("labels"), &values)
}

/// The labels of two parts with the classes of both: in rising order where all are numbers, else in alphabetical order.
pub(crate) fn united(
    first: NumberedLabels,
    second: NumberedLabels,
) -> (Vec<u32>, Vec<u32>, Option<Vec<String>>) {
    if first.1.is_none() && second.1.is_none() {
        return (first.0, second.0, None);
    }
    let words = |(labels, names): &NumberedLabels| -> Vec<String> {
        let name = |&label: &u32| match names.as_ref().and_then(|names| names.get(label as usize)) {
            Some(name) => name.clone(),
            None => label.to_string(),
        };
        labels.iter().map(name).collect()
    };
    let (first, second) = (words(&first), words(&second));
    let mut names: Vec<String> = first.iter().chain(&second).cloned().collect();
    let numbers: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
    match numbers {
        Some(_) => {
            let number = |name: &String| name.parse::<f64>().unwrap_or_default();
            names.sort_by(|a, b| number(a).total_cmp(&number(b)));
        }
        None => names.sort(),
    }
    names.dedup();
    let places: BTreeMap<&String, u32> = names.iter().zip(0..).collect();
    let classes = |words: &[String]| words.iter().map(|word| places[word]).collect();
    let (first, second) = (classes(&first), classes(&second));
    (first, second, Some(names))
}

/// Which of the columns of each row is the one, where every row of `values` `(n, width)` has a one and else zeros.
pub(crate) fn of_one_hot(values: &[f64], width: usize) -> Option<Vec<f64>> {
    let rows = values.chunks(width);
    let class = |row: &[f64]| {
        let is_code = row.iter().all(|x| *x == 0.0 || *x == 1.0) && row.iter().sum::<f64>() == 1.0;
        is_code.then(|| row.iter().position(|x| *x == 1.0))?.map(|at| at as f64)
    };
    rows.map(class).collect()
}

/// Gives the classes numbers without large gaps, from 0, where the labels are not so: `parts` are the labels of all parts. Returns
/// what the classes are called then.
pub(crate) fn compact(parts: &mut [&mut Vec<u32>], notes: &mut Vec<String>) -> Option<Vec<String>> {
    let present: BTreeSet<u32> = parts.iter().flat_map(|labels| labels.iter().copied()).collect();
    let classes = present.last().map_or(0, |&largest| largest as usize + 1);
    let is_compact = present.contains(&0) && classes <= FEW.max(2 * present.len());
    if present.is_empty() || is_compact {
        let empty: Vec<_> = (0..classes as u32).filter(|class| !present.contains(class)).collect();
        if !empty.is_empty() {
            notes.push(format!("no case has the label {}", listed(&empty)));
        }
        return None;
    }
    let places: BTreeMap<u32, u32> = present.iter().copied().zip(0..).collect();
    parts.iter_mut().flat_map(|labels| labels.iter_mut()).for_each(|label| *label = places[label]);
    let names: Vec<_> = present.iter().map(ToString::to_string).collect();
    notes.push(format!("the labels are {}: {} classes in this order", listed(&names), names.len()));
    Some(names)
}

/// The labels `found`, numbers or those of the names `names`, among the classes `known` of a model.
///
/// # Errors
///
/// [`Error::File`] for the first label that is none of these; `path` is the source.
pub(crate) fn known(
    path: &Path,
    found: &[u32],
    names: Option<&[String]>,
    known: &[String],
) -> Result<Vec<u32>> {
    let class = |(at, &label): (usize, &u32)| {
        let name = match names.and_then(|names| names.get(label as usize)) {
            Some(name) => name.clone(),
            None => label.to_string(),
        };
        let class = known.iter().position(|known| *known == name);
        class.map(|class| class as u32).ok_or_else(|| {
            let expected = format!("one of the classes {}, as the model learned", listed(known));
            Error::file(path, format!("label {}", at + 1), expected, format!("`{name}`"))
        })
    };
    found.iter().enumerate().map(class).collect()
}

/// Checks that the `labels` in `path` are as many as the `cases`.
pub(crate) fn check_count(path: &Path, labels: usize, cases: usize) -> Result<()> {
    if labels == cases {
        return Ok(());
    }
    let expected = format!("one for each of {cases} cases");
    Err(Error::file(path, "number of labels", expected, labels.to_string()))
}
