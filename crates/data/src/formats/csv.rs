//! Text in columns: a case a line, its values between commas, semicolons, tabs, bars or blanks.
//!
//! Such files rarely say what they are. What is taken for the separator, a header, an index or a category is decided by the
//! whole file, and noted.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;

use rbm_core::{Error, Result};

use crate::bytes;
use crate::bytes::{Bytes, Spool, spooling};
use crate::columns::{Columns, Content, Findings, listed};
use crate::dataset::Examples;
use crate::formats::delimited::{DelimitedText, Separator};
use crate::formats::header::{CellCounts, Head, Survey, is_missing, words};
use crate::formats::parquet::{NamedColumn, Values};
use crate::labels;
use crate::matrix::{Element, ElementKind, MatrixLayout, RawMatrix};
use crate::options::{Missing, ReadOptions};
use crate::view::View;

const FORM: &str = "comma-separated numbers, a case a line";
const BITS: &str = "zeros and ones between commas, a case a line, no header";
const NUMBER_NAME: &str = "row";
/// So many different labels are never taken for measurements.
const FEW_CLASSES: usize = 20;
/// The most different words of a column that are categories; of more, it names the cases.
const MOST_WORDS: usize = 256;

/// The values of a file, with the columns of labels and of the target taken out.
pub(crate) struct CsvTable {
    /// Row after row.
    values: Bytes,
    number: Element,
    /// The number of rows.
    count: usize,
    /// The number of values of a row.
    pub width: usize,
    /// One for each row, if there is a label column.
    pub labels: Option<Vec<u32>>,
    /// One for each row, if there is a column of a continuous target.
    targets: Option<Vec<f32>>,
    /// What was found out besides.
    pub found: Findings,
}

impl CsvTable {
    /// The part of which this is the text, each value divided by `scale`.
    pub(crate) fn into_part(self, path: &Path, scale: Option<f32>) -> Result<(Examples, Findings)> {
        let Self { values, number, count, width, labels, targets, found } = self;
        let layout = MatrixLayout { start: 0, count, width, number };
        // What may be missing has been looked at, and everything else is finite.
        let stored = RawMatrix::with_missing(path, values, layout, scale)?;
        let part = Examples::of(View::from(stored), labels)?;
        Ok((Examples { targets, ..part }, found))
    }
}

/// The cases in the file `path`, plain or gzipped, with labels or a target from the columns that `options` or the header name.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<(Examples, Findings)> {
    let text = bytes::read_unzipped(path, FORM)?;
    parse(path, text, options)?.into_part(path, options.scale)
}

/// The cases in the file `path`, of which these are the columns: as in a text with a header. Columns of other values than numbers,
/// words and truths are left out.
pub(crate) fn read_columns(
    path: &Path,
    columns: Vec<NamedColumn>,
    options: &ReadOptions,
) -> Result<(Examples, Findings)> {
    let (others, columns): (Vec<_>, Vec<_>) =
        columns.into_iter().partition(|column| matches!(column.values, Values::Other(_)));
    let mut text = csv::Writer::from_writer(Spool::new());
    let wrong = |e: csv::Error| spooling(path)(std::io::Error::other(e));
    text.write_record(columns.iter().map(|column| &column.name)).map_err(wrong)?;
    let cases = columns.iter().map(|column| column.values.len()).max().unwrap_or(0);
    let mut record = Vec::with_capacity(columns.len());
    for case in 0..cases {
        record.clear();
        record.extend(columns.iter().map(|column| column.values.text(case)));
        text.write_record(&record).map_err(wrong)?;
    }
    let spool = text.into_inner().map_err(|e| spooling(path)(e.into_error()))?;
    let bytes = spool.finish().map_err(spooling(path))?;
    let text = DelimitedText {
        path,
        bytes: &bytes,
        start: 0,
        separator: Separator::Mark(b','),
        form: FORM,
        broken: Cell::new(0),
    };
    let mut table = table(&text, true, Vec::new(), options)?;
    for NamedColumn { name, values } in others {
        if let Values::Other(kind) = values {
            table.found.notes.push(format!("column `{name}` holds {kind}: it is left out"));
        }
    }
    table.into_part(path, options.scale)
}

/// The cases in the file `path`, plain or gzipped, in which there is nothing but zeros and ones.
pub(crate) fn read_bits(path: &Path, scale: Option<f32>) -> Result<Examples> {
    let text = bytes::read_unzipped(path, BITS)?;
    let text = DelimitedText {
        path,
        bytes: &text,
        start: 0,
        separator: Separator::Mark(b','),
        form: BITS,
        broken: Cell::new(0),
    };
    let (mut values, mut count, mut columns) = (Spool::new(), 0, None);
    text.records(|_, record| {
        let columns = *columns.get_or_insert(record.len());
        text.check_length(record, columns)?;
        for (at, cell) in record.iter().enumerate() {
            let bit = match cell {
                "0" => 0,
                "1" => 1,
                _ => return Err(text.refused(record, at, "0 or 1", cell)),
            };
            values.write_all(&[bit]).map_err(spooling(path))?;
        }
        count += 1;
        Ok(true)
    })?;
    let width = columns.ok_or_else(|| text.empty())?;
    let values = values.finish().map_err(spooling(path))?;
    let layout =
        MatrixLayout { start: 0, count, width, number: Element::little_endian(ElementKind::Bool) };
    Examples::of(View::from(RawMatrix::new(path, values, layout, scale)?), None)
}

/// The values in `bytes`, the text of `path`.
pub(crate) fn parse(path: &Path, bytes: Bytes, options: &ReadOptions) -> Result<CsvTable> {
    let (text, notes) = DelimitedText::of(path, &bytes, FORM)?;
    table(&text, false, notes, options)
}

/// The values in `text`, whose first line is known to be a header or is looked at.
fn table(
    text: &DelimitedText,
    has_header: bool,
    mut notes: Vec<String>,
    options: &ReadOptions,
) -> Result<CsvTable> {
    let head = Head::of(text, has_header, options)?;
    notes.extend(head.notes.iter().cloned());
    let survey = Survey::of(text, &head)?;
    if text.broken.get() > 0 {
        notes.push(format!(
            "cells of several lines are read as one line; records that have such: {} (is a quotation mark not closed?)",
            text.broken.get()
        ));
    }
    let plan = ColumnPlan::of(text, &head, &survey, options, &mut notes)?;
    plan.read(text, &head, notes)
}

/// Whether a word is a number as people write it: `1.037,05`, `$3.50`, `12 %`.
fn is_written_number(word: &str) -> bool {
    let rest = word.trim_start_matches(['-', '+']);
    let is_part = |c: char| c.is_ascii_digit() || ".,%$€£ '\u{a0}".contains(c);
    rest.chars().any(|c| c.is_ascii_digit()) && rest.chars().all(is_part)
}

/// What is read of a file: which columns, as what, in which order.
struct ColumnPlan {
    cases: usize,
    /// The columns of the file that are features, in the order of these.
    features: Vec<usize>,
    /// The words of those columns that have some, by the column of the file.
    words: BTreeMap<usize, Vec<String>>,
    label: Option<usize>,
    /// The names of the classes, where they are words.
    classes: Option<Vec<String>>,
    target: Option<usize>,
    /// Whether words that a model never saw are missing values for it.
    takes_unknown: bool,
    /// Why an empty cell is refused, if it is.
    refused: Option<String>,
}

impl ColumnPlan {
    fn of(
        text: &DelimitedText,
        head: &Head,
        survey: &Survey,
        options: &ReadOptions,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let mut label = head.label_column(text, options)?;
        let is_guessed = options.label_column.is_none() && options.known.columns.is_none();
        let mut target = match &options.target {
            Some(wanted) => Some(head.found(text, wanted)?),
            None => options.known.target.as_deref().and_then(|name| head.find(name)),
        };
        // Whoever predicts a column learns from all others, also from one that is called `class`.
        let predicts_other = options.target.is_some() && is_guessed;
        if target.is_some() && (label == target || predicts_other) {
            label = None;
        }
        // Measurements under a heading like `target` are no classes.
        let is_measured = |at: usize| {
            let CellCounts { numbers, fractions, words, .. } = survey.columns[at];
            // A few of them among labels are mistakes.
            words == 0 && fractions > 0 && 10 * fractions >= numbers
        };
        // Nor are whole numbers of which hardly any comes again.
        let is_measured_whole = |at: usize| -> Result<bool> {
            let CellCounts { words: of_words, .. } = survey.columns[at];
            if of_words > 0 || survey.cases < 3 * FEW_CLASSES {
                return Ok(false);
            }
            let different = words(text, head, &[at])?.remove(&at).map_or(0, |words| words.len());
            Ok(different > FEW_CLASSES && 3 * different > survey.cases)
        };
        let is_target = match label.filter(|_| is_guessed) {
            Some(at) => is_measured(at) || is_measured_whole(at)?,
            None => false,
        };
        if let Some(at) = label.filter(|_| is_target) {
            notes.push(format!(
                "{} holds measurements: it is a target, not a label",
                head.called(at)
            ));
            (label, target) = (None, target.or(Some(at)));
        } else if let Some(at) = label.filter(|_| options.labels.is_some()) {
            notes.push(format!(
                "{} is left out: the labels are those of the file that --labels names",
                head.called(at)
            ));
        } else if let Some(at) = label.filter(|_| target.is_some()) {
            notes.push(format!(
                "{} is the label, and no feature of those that predict the target",
                head.called(at)
            ));
        } else if let Some(at) = label.filter(|_| is_guessed && survey.cases > 0) {
            notes.push(format!(
                "{} is the label (--label-column decides otherwise)",
                head.called(at)
            ));
        }
        let mut dropped = BTreeSet::new();
        for wanted in &options.drop {
            let at = head.found(text, wanted)?;
            if Some(at) == target || Some(at) == label && !is_guessed {
                let expected = format!("a column besides {}, which is learned", head.called(at));
                return Err(Error::invalid("--drop", expected, wanted.clone()));
            }
            dropped.insert(at);
        }
        label = label.filter(|at| !dropped.contains(at));
        let is_feature =
            |at: usize| Some(at) != label && Some(at) != target && !dropped.contains(&at);
        let candidates: Vec<_> = (0..head.columns).filter(|&at| is_feature(at)).collect();
        let features = match options.known.columns.as_deref() {
            Some(known) => {
                let is_known = |at: usize| {
                    let name = head.name(at);
                    name.is_none() || known.0.iter().any(|column| column.name == name)
                };
                let is_taken = |at: &usize| is_known(*at) || !is_index(head, survey, *at);
                let candidates: Vec<_> = candidates.into_iter().filter(is_taken).collect();
                in_known_order(text, head, known, &candidates, notes)?
            }
            None => without_indices(text, head, survey, &candidates, label, notes)?,
        };
        let known_words =
            |feature: usize| match options.known.columns.as_deref()?.0.get(feature)?.holds {
                Content::Category(ref words) => Some(words.clone()),
                _ => None,
            };
        let of_words: Vec<_> = match options.known.columns {
            Some(_) => Vec::new(),
            None => features.iter().copied().filter(|&at| survey.is_of_words(at)).collect(),
        };
        let is_named = label.filter(|&at| survey.columns[at].words > 0);
        let looked_at: Vec<_> = of_words.iter().copied().chain(is_named).collect();
        let mut found = words(text, head, &looked_at)?;
        for &at in &of_words {
            let words = found.get(&at).map_or(&[][..], |words| &words[..]);
            let written: Vec<_> = words.iter().filter(|word| is_written_number(word)).collect();
            if 2 * written.len() > words.len() {
                let expected = "numbers as in 1234.5 (without marks between thousands, signs of currency or %)";
                let found = format!(
                    "`{}` (leave the column out with --drop, or write it otherwise)",
                    written[0]
                );
                return Err(Error::file(text.path, head.called(at), expected, found));
            }
        }
        let classes = is_named.and_then(|at| found.remove(&at));
        for (feature, &at) in features.iter().enumerate() {
            if let Some(words) = known_words(feature) {
                found.insert(at, words);
            }
        }
        let mut kept = features;
        if options.known.columns.is_none() {
            kept.retain(|at| {
                if survey.columns[*at].missing == survey.cases {
                    notes.push(format!(
                        "{} is empty in every case: it is left out",
                        head.called(*at)
                    ));
                    return false;
                }
                let Some(words) = found.get(at) else { return true };
                let is_name = words.len() > MOST_WORDS
                    || words.len() > 20.max((survey.cases - survey.columns[*at].missing) / 2);
                let why = match words.len() {
                    0 => "has no values".to_owned(),
                    1 => format!("is `{}` in every case", words[0]),
                    n if is_name => {
                        format!("has {n} different words in {} cases: it names cases", survey.cases)
                    }
                    _ => return true,
                };
                notes.push(format!("{} {why}: it is left out", head.called(*at)));
                false
            });
            found.retain(|at, _| kept.contains(at));
        }
        if label.is_none() && target.is_none() && is_guessed {
            let is_class =
                |at: &usize| found.get(at).is_some_and(|words| words.len() <= FEW_CLASSES);
            if let Some(&at) = kept.iter().rev().find(|at| is_class(at)) {
                notes.push(format!(
                    "no column is called label, class, target or y: if {} is the label, say --label-column {}",
                    head.called(at),
                    head.name(at).unwrap_or_else(|| (at + 1).to_string())
                ));
            }
        }
        if kept.is_empty() && head.columns > 1 {
            let expected = "at least one column to learn from";
            let found = match notes.is_empty() {
                true => "none".to_owned(),
                false => format!("none: {}", notes.join("; ")),
            };
            return Err(Error::file(text.path, "columns", expected, found));
        }
        let missing: Vec<_> =
            kept.iter().copied().filter(|&at| survey.columns[at].missing > 0).collect();
        let refused = (options.missing() == Missing::Refuse && !missing.is_empty()).then(|| {
            let cells: usize = missing.iter().map(|&at| survey.columns[at].missing).sum();
            let columns: Vec<_> = missing.iter().map(|&at| head.called(at)).collect();
            format!(
                "a finite number or a word in every cell ({cells} empty {} in {} cases, in {}: {})",
                if cells == 1 { "cell" } else { "cells" },
                survey.cases,
                listed(&columns),
                match options.known.columns {
                    None => {
                        "leave columns out with --drop; a network learns from the others with --missing gibbs or --missing mean"
                    }
                    Some(_) => "the model learned from complete cases; train one with --missing gibbs or mean",
                }
            )
        });
        let cases = survey.cases;
        let takes_unknown = options.known.columns.is_some() && options.missing() != Missing::Refuse;
        Ok(Self {
            cases,
            features: kept,
            words: found,
            label,
            classes,
            target,
            takes_unknown,
            refused,
        })
    }

    fn read(self, text: &DelimitedText, head: &Head, notes: Vec<String>) -> Result<CsvTable> {
        let path = text.path;
        let states: BTreeMap<usize, HashMap<&str, usize>> = self
            .words
            .iter()
            .map(|(&at, words)| {
                (at, words.iter().enumerate().map(|(state, word)| (word.as_str(), state)).collect())
            })
            .collect();
        let classes: Option<HashMap<&str, u32>> = self.classes.as_ref().map(|words| {
            words.iter().enumerate().map(|(class, word)| (word.as_str(), class as u32)).collect()
        });
        let (mut unknown, mut notes) = (0usize, notes);
        let (mut values, mut labels) = (Spool::new(), Vec::new());
        let (mut named, mut targets) = (Vec::new(), Vec::new());
        text.records(|number, record| {
            if !head.is_case(number) {
                return Ok(true);
            }
            let cell = |at: usize| record.get(at).unwrap_or_default();
            for &at in &self.features {
                let cell = cell(at);
                let value = match (states.get(&at), head.number(cell)) {
                    _ if is_missing(cell) => match &self.refused {
                        Some(expected) => return Err(text.refused(record, at, expected, cell)),
                        None => f32::NAN,
                    },
                    (Some(states), _) => match states.get(cell) {
                        Some(&state) => state as f32,
                        None if self.takes_unknown => {
                            unknown += 1;
                            f32::NAN
                        }
                        None => {
                            let known: Vec<_> = self.words[&at].iter().map(|w| format!("`{w}`")).collect();
                            let expected = format!("one of {}, as the model learned", listed(&known));
                            return Err(text.refused(record, at, &expected, cell));
                        }
                    },
                    (None, Some(_)) => match head.value(cell).filter(|x| x.is_finite()) {
                        Some(x) => x,
                        None => return Err(text.refused(record, at, "a finite number", cell)),
                    },
                    _ => return Err(text.refused(record, at, "a finite number", cell)),
                };
                values.write_all(&value.to_le_bytes()).map_err(spooling(path))?;
            }
            if let Some(at) = self.label {
                match &classes {
                    Some(classes) => match classes.get(cell(at)) {
                        Some(&class) => named.push(class),
                        None => {
                            let expected = "a label (leave cases without one out, or learn without labels: --drop the column)";
                            return Err(text.refused(record, at, expected, cell(at)));
                        }
                    },
                    None => match head.number(cell(at)).filter(|x| x.is_finite()) {
                        Some(label) if label.fract() == 0.0 => labels.push(label),
                        _ => {
                            let expected = "a label: a whole number or a word (--target COLUMN predicts measurements)";
                            return Err(text.refused(record, at, expected, cell(at)));
                        }
                    },
                }
            }
            if let Some(at) = self.target {
                match head.value(cell(at)).filter(|x| x.is_finite()) {
                    Some(x) => targets.push(x),
                    None => return Err(text.refused(record, at, "a finite number to predict", cell(at))),
                }
            }
            Ok(true)
        })?;
        if unknown > 0 {
            notes.push(format!("{unknown} words that the model never saw are taken for missing"));
        }
        let values = values.finish().map_err(spooling(path))?;
        let (labels, class_names) = match (self.label, self.classes) {
            (None, _) => (None, None),
            (Some(_), Some(words)) => (Some(named), Some(words)),
            (Some(_), None) => {
                let (labels, names) = labels::classes(path, &labels)?;
                (Some(labels), names)
            }
        };
        let mut words = BTreeMap::new();
        for (feature, at) in self.features.iter().enumerate() {
            if let Some(of) = self.words.get(at) {
                words.insert(feature, of.clone());
            }
        }
        let names = self.features.iter().map(|&at| head.name(at)).collect();
        let label_name = self.label.and_then(|at| head.name(at));
        let target_name = self.target.map(|at| match &head.names {
            Some(names) => names[at].clone(),
            None => (at + 1).to_string(),
        });
        let found = Findings { names, words, class_names, target_name, label_name, notes };
        Ok(CsvTable {
            values,
            number: Element::little_endian(ElementKind::F32),
            count: self.cases,
            width: self.features.len(),
            labels,
            targets: self.target.map(|_| targets),
            found,
        })
    }
}

/// The columns among `candidates` that hold what `known` holds, in its order.
fn in_known_order(
    text: &DelimitedText,
    head: &Head,
    known: &Columns,
    candidates: &[usize],
    notes: &mut Vec<String>,
) -> Result<Vec<usize>> {
    let (Some(wanted), Some(names)) = (known.names(), &head.names) else {
        if candidates.len() == known.0.len() {
            return Ok(candidates.to_vec());
        }
        let expected = format!("{} values a case, as the model learned from", known.0.len());
        return Err(Error::file(text.path, "line 1", expected, candidates.len().to_string()));
    };
    let place =
        |name: &str| candidates.iter().copied().find(|&at| head.name(at).as_deref() == Some(name));
    let absent: Vec<_> = wanted
        .iter()
        .filter(|name| place(name).is_none())
        .map(|name| format!("`{name}`"))
        .collect();
    if !absent.is_empty() {
        let found: Vec<_> = candidates.iter().map(|&at| format!("`{}`", names[at])).collect();
        let expected = format!(
            "the columns that the model learned from, also {} (a file without a header is taken in its order)",
            listed(&absent)
        );
        return Err(Error::file(text.path, "line 1", expected, listed(&found)));
    }
    let order: Vec<_> = wanted.iter().filter_map(|name| place(name)).collect();
    let others: Vec<_> =
        candidates.iter().filter(|at| !order.contains(at)).map(|&at| head.called(at)).collect();
    if !others.is_empty() {
        notes.push(format!(
            "left out, because the model did not learn from it: {}",
            listed(&others)
        ));
    }
    if !order.is_sorted() {
        notes.push("the columns are brought into the order that the model learned from".into());
    }
    Ok(order)
}

/// Whether a column may be the index that pandas writes: whole numbers without a name.
fn is_index(head: &Head, survey: &Survey, at: usize) -> bool {
    let name = head.names.as_ref().and_then(|names| names.get(at));
    let is_unnamed = name.is_some_and(|name| {
        name.is_empty() || name.starts_with("Unnamed: ") || name.starts_with("__index_level_")
    });
    is_unnamed && survey.is_whole(at)
}

/// The columns among `candidates` but for those that only count the cases.
fn without_indices(
    text: &DelimitedText,
    head: &Head,
    survey: &Survey,
    candidates: &[usize],
    label: Option<usize>,
    notes: &mut Vec<String>,
) -> Result<Vec<usize>> {
    let Some(names) = &head.names else { return Ok(candidates.to_vec()) };
    let mut kept = candidates.to_vec();
    for &at in candidates.iter().filter(|&&at| is_index(head, survey, at)) {
        // Shuffled or thinned out it numbers the cases still.
        let different = words(text, head, &[at])?.remove(&at).map_or(0, |words| words.len());
        if survey.is_count(at) || survey.cases > 1 && different == survey.cases {
            notes.push(format!("{} counts the cases: it is left out", head.called(at)));
            kept.retain(|&other| other != at);
        }
    }
    if has_numbers_of_cases(names, label) && kept.contains(&0) {
        notes.push(format!(
            "{} stands before columns that dbn embed wrote, and numbers the cases: it is left out (another name keeps it)",
            head.called(0)
        ));
        kept.retain(|&at| at != 0);
    }
    Ok(kept)
}

/// Whether a table is one that `dbn embed` or `dbn encode` writes: before everything `row`, the number of the case in its source, and
/// after it, but for the labels, one column or columns that are counted, like `codes_0`, `codes_1`.
fn has_numbers_of_cases(names: &[String], labelled: Option<usize>) -> bool {
    let mut names = names.iter().enumerate().filter(|(at, _)| labelled != Some(*at));
    let is_counted = |name: &str| {
        let is_other = ["prediction", "classes", "name"].contains(&name);
        let is_numbered = || name.rsplit_once('_').is_some_and(|(_, n)| n.parse::<usize>().is_ok());
        is_other || name.starts_with("probability_") || name.starts_with("data_") || is_numbered()
    };
    let is_numbered = names.next().is_some_and(|(at, name)| at == 0 && name == NUMBER_NAME);
    let features: Vec<_> = names.map(|(_, name)| name).collect();
    is_numbered
        && (features.len() == 1
            || !features.is_empty() && features.iter().all(|name| is_counted(name)))
}
