//! A text in columns before it is read: whether there is a header and what it says, and what each column is made of.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use csv::StringRecord;
use rbm_core::{Error, Result};

use crate::columns::{Columns, listed};
use crate::formats::delimited::{DelimitedText, SAMPLED, Separator};
use crate::labels::LabelColumn;
use crate::options::ReadOptions;

const LABEL_NAMES: [&str; 7] = ["label", "labels", "class", "classes", "target", "targets", "y"];
/// What stands where nothing is known, in the tables of pandas, R and UCI.
const MISSING: [&str; 12] =
    ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A"];

/// Whether nothing is known where this stands.
pub(crate) fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell)
}

/// What the first lines say of all others.
pub(crate) struct Head {
    pub columns: usize,
    /// The name of every column, if there is a header; empty where the header leaves one out.
    pub names: Option<Vec<String>>,
    /// Whether numbers have a comma before their decimals.
    has_decimal_commas: bool,
    pub notes: Vec<String>,
}

impl Head {
    /// Looks at the first lines of `text`, of which the first may be known to be a header.
    pub(crate) fn of(
        text: &DelimitedText,
        has_header: bool,
        options: &ReadOptions,
    ) -> Result<Self> {
        let mut sample = Vec::new();
        text.records(|_, record| {
            sample.push(record.clone());
            Ok(sample.len() <= SAMPLED)
        })?;
        let Some((first, rest)) = sample.split_first() else { return Err(text.empty()) };
        let mut notes = Vec::new();
        if text.separator != Separator::Mark(b',') {
            notes.push(format!("the values of a line are separated by {}", text.separator.name()));
        }
        let is_decimal = |cell: &str| {
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let parts = cell.trim_start_matches(['-', '+']).split_once(',');
            parts.is_some_and(|(whole, part)| digits(whole) && digits(part))
        };
        let cells = || rest.iter().flat_map(StringRecord::iter);
        let has_decimal_commas = text.separator != Separator::Mark(b',')
            && cells().any(is_decimal)
            && !cells().any(|cell| cell.contains('.') && cell.parse::<f32>().is_ok());
        if has_decimal_commas {
            notes.push("numbers with a comma (1,5) are read as decimals".into());
        }
        let mut head = Self { columns: first.len(), names: None, has_decimal_commas, notes };
        if !has_header && !head.is_header(first, rest, options.known.columns.as_deref()) {
            head.notes.push("there is no header: the first line is a case".into());
            return Ok(head);
        }
        let mut names: Vec<_> = first.iter().map(ToOwned::to_owned).collect();
        if let Some(name) = names.first_mut() {
            // NumPy's `savetxt` writes the header as a comment.
            *name = name.trim_start_matches('#').trim().to_owned();
        }
        let Some(next) = rest.first() else {
            let (place, expected) = ("after the header", "at least one case");
            return Err(Error::file(text.path, place, expected, "the end of the file"));
        };
        if names.len() + 1 == next.len() {
            names.insert(0, String::new());
        }
        head.columns = names.len();
        let is_count = names.iter().all(|name| name.is_empty() || name.parse::<f32>().is_ok());
        if is_count && !has_header {
            head.notes.push("the first line counts the columns: it is taken for a header".into());
        }
        let mut taken: HashSet<String> = names.iter().cloned().collect();
        let (mut seen, mut renamed) = (HashSet::new(), Vec::new());
        for name in &mut names {
            if name.is_empty() || seen.insert(name.clone()) {
                continue;
            }
            // A name that no other column has: with `a`, `a.1`, `a` the last is `a.2`.
            let mut free = (1..).map(|number| format!("{name}.{number}"));
            if let Some(other) = free.find(|other| taken.insert(other.clone())) {
                *name = other;
                renamed.push(format!("`{name}`"));
            }
        }
        if !renamed.is_empty() {
            head.notes.push(format!("columns of one name are told apart as {}", listed(&renamed)));
        }
        head.names = Some(names);
        Ok(head)
    }

    /// The number in a cell.
    pub(crate) fn number(&self, cell: &str) -> Option<f64> {
        match self.has_decimal_commas {
            true => cell.replacen(',', ".", 1).parse().ok(),
            false => cell.parse().ok(),
        }
    }

    /// The nearest single-precision number.
    pub(crate) fn value(&self, cell: &str) -> Option<f32> {
        match self.has_decimal_commas {
            true => cell.replacen(',', ".", 1).parse().ok(),
            false => cell.parse().ok(),
        }
    }

    /// Whether `first` names the columns of the cases `rest`.
    fn is_header(
        &self,
        first: &StringRecord,
        rest: &[StringRecord],
        known: Option<&Columns>,
    ) -> bool {
        if let Some(names) = known.and_then(Columns::names)
            && names.iter().all(|name| first.iter().any(|cell| cell == *name))
        {
            return true;
        }
        let is_word = |cell: &str| !is_missing(cell) && self.number(cell).is_none();
        if !first.iter().any(is_word) {
            return self.is_count(first, rest);
        }
        let mut recurs = false;
        for (at, cell) in first.iter().enumerate().filter(|(_, cell)| is_word(cell)) {
            let below =
                || rest.iter().filter_map(|row| row.get(at)).filter(|cell| !is_missing(cell));
            if below().next().is_some() && below().all(|cell| !is_word(cell)) {
                return true;
            }
            recurs |= below().any(|other| other == cell);
        }
        !recurs && first.iter().all(|cell| cell.is_empty() || is_word(cell))
    }

    /// Whether `first` counts the columns from 0, perhaps behind an empty cell, as pandas names what has no names.
    fn is_count(&self, first: &StringRecord, rest: &[StringRecord]) -> bool {
        let counted: Vec<_> =
            first.iter().enumerate().filter(|(at, cell)| *at > 0 || !cell.is_empty()).collect();
        let is_count = counted.len() >= 3
            && counted.iter().enumerate().all(|(i, (_, cell))| **cell == i.to_string());
        let mut cells = rest.iter().flat_map(StringRecord::iter);
        let mut has_fractions =
            || cells.any(|cell| self.number(cell).is_some_and(|x| x.fract() != 0.0));
        is_count && (counted.len() < first.len() || counted.len() >= 8 || has_fractions())
    }

    /// The name of the column `at`, by which a model knows it; made up where the header leaves it out.
    pub(crate) fn name(&self, at: usize) -> Option<String> {
        Some(match self.names.as_ref()?[at].as_str() {
            "" => format!("column {}", at + 1),
            name => name.to_owned(),
        })
    }

    /// What the column `at` is called in a message.
    pub(crate) fn called(&self, at: usize) -> String {
        match self.names.as_ref().map(|names| names[at].as_str()) {
            Some(name) if !name.is_empty() => format!("column `{name}`"),
            _ => format!("column {}", at + 1),
        }
    }

    /// Whether the record with this number is a case.
    pub(crate) fn is_case(&self, number: usize) -> bool {
        number > 0 || self.names.is_none()
    }

    /// The column of this name, or of this number from 1.
    pub(crate) fn find(&self, wanted: &str) -> Option<usize> {
        let names = self.names.as_deref().unwrap_or_default();
        let is = |same: &dyn Fn(&str) -> bool| names.iter().position(|name| same(name));
        is(&|name| name == wanted)
            .or_else(|| is(&|name| name.eq_ignore_ascii_case(wanted)))
            .or_else(|| {
                wanted.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < self.columns)
            })
    }

    /// The column of this name or number; an error with those that there are.
    pub(crate) fn found(&self, text: &DelimitedText, wanted: &str) -> Result<usize> {
        self.find(wanted).ok_or_else(|| {
            let found = match &self.names {
                Some(names) => {
                    listed(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
                }
                None => "numbers, no header".into(),
            };
            let expected = format!("a header with a column named `{wanted}`");
            Error::file(text.path, "line 1", expected, found)
        })
    }

    /// The column of the labels: the one that `options` or the header name.
    pub(crate) fn label_column(
        &self,
        text: &DelimitedText,
        options: &ReadOptions,
    ) -> Result<Option<usize>> {
        match &options.label_column {
            // What a model learned from says which column is none of the others.
            None if options.known.columns.is_some() => {
                Ok(options.known.label.as_deref().and_then(|name| self.find(name)))
            }
            None => {
                let names = self.names.as_deref().unwrap_or_default();
                let is = |name: &String, wanted: &str| name.trim().to_lowercase() == wanted;
                let found = |wanted: &&str| names.iter().position(|name| is(name, wanted));
                Ok(LABEL_NAMES.iter().find_map(found))
            }
            Some(LabelColumn::None) => Ok(None),
            Some(LabelColumn::First) => Ok(Some(0)),
            Some(LabelColumn::Last) => Ok(self.columns.checked_sub(1)),
            Some(LabelColumn::Name(wanted)) => self.found(text, wanted).map(Some),
        }
    }
}

/// What stands in the cells of a column.
#[derive(Debug, Clone, Default)]
pub(crate) struct CellCounts {
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
    pub columns: Vec<CellCounts>,
}

impl Survey {
    /// Goes through all cases of `text` once.
    pub(crate) fn of(text: &DelimitedText, head: &Head) -> Result<Self> {
        let mut survey = Self { cases: 0, columns: vec![CellCounts::default(); head.columns] };
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
        let CellCounts { numbers, fractions, .. } = self.columns[at];
        numbers == self.cases && fractions == 0
    }

    /// Whether the column counts the cases, from 0 or 1.
    pub(crate) fn is_count(&self, at: usize) -> bool {
        let CellCounts { numbers, counts_from, .. } = self.columns[at];
        numbers == self.cases && self.cases > 1 && matches!(counts_from, Some(0.0 | 1.0))
    }
}

/// The different words in each of the columns `of`, in alphabetical order.
pub(crate) fn words(
    text: &DelimitedText,
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
