//! All cells of a text in columns, gone through once: what each column is made of.

use std::collections::{BTreeMap, BTreeSet};

use rbm_core::Result;

use crate::formats::delimited::Text;
use crate::formats::header::{Head, is_missing};

/// What stands in the cells of a column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cells {
    pub numbers: usize,
    pub words: usize,
    pub missing: usize,
    /// Numbers that are not whole.
    pub fractions: usize,
    /// The number of its first cell, as long as every cell is one more than the one before.
    pub counts_from: Option<f64>,
}

/// What stands in the cells of all columns.
pub(crate) struct Survey {
    pub cases: usize,
    pub columns: Vec<Cells>,
}

impl Survey {
    /// Goes through all cases of `text` once.
    pub(crate) fn of(text: &Text, head: &Head) -> Result<Self> {
        let mut survey = Self { cases: 0, columns: vec![Cells::default(); head.columns] };
        text.records(|number, record| {
            if !head.is_case(number) {
                return Ok(true);
            }
            text.check_length(record, head.columns)?;
            for (cells, cell) in survey.columns.iter_mut().zip(record) {
                match head.number(cell) {
                    _ if is_missing(cell) => cells.missing += 1,
                    Some(x) => {
                        cells.numbers += 1;
                        cells.fractions += usize::from(x.fract() != 0.0);
                        let case = survey.cases as f64;
                        if survey.cases == 0 {
                            cells.counts_from = Some(x);
                        }
                        cells.counts_from = cells.counts_from.filter(|from| from + case == x);
                    }
                    None => cells.words += 1,
                }
            }
            survey.cases += 1;
            Ok(true)
        })?;
        Ok(survey)
    }

    /// Whether the column is one of words: a few words among numbers are mistakes.
    pub(crate) fn is_of_words(&self, at: usize) -> bool {
        self.columns[at].words > self.columns[at].numbers
    }

    /// Whether the column holds whole numbers and nothing else.
    pub(crate) fn is_whole(&self, at: usize) -> bool {
        let Cells { numbers, fractions, .. } = self.columns[at];
        numbers == self.cases && fractions == 0
    }

    /// Whether the column counts the cases, from 0 or 1.
    pub(crate) fn is_count(&self, at: usize) -> bool {
        let Cells { numbers, counts_from, .. } = self.columns[at];
        numbers == self.cases && self.cases > 1 && matches!(counts_from, Some(0.0 | 1.0))
    }
}

/// The different words in each of the columns `of`, in alphabetical order.
pub(crate) fn words(
    text: &Text,
    head: &Head,
    of: &[usize],
) -> Result<BTreeMap<usize, Vec<String>>> {
    if of.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut found: BTreeMap<usize, BTreeSet<String>> =
        of.iter().map(|&at| (at, BTreeSet::new())).collect();
    text.records(|number, record| {
        if head.is_case(number) {
            for (&at, words) in &mut found {
                let cell = record.get(at).unwrap_or_default();
                if !is_missing(cell) && !words.contains(cell) {
                    words.insert(cell.to_owned());
                }
            }
        }
        Ok(true)
    })?;
    Ok(found.into_iter().map(|(at, words)| (at, words.into_iter().collect())).collect())
}
