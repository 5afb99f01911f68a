//! Text in columns: a case a line, its values between commas, semicolons, tabs, bars or blanks.
//!
//! Such files rarely say what they are. What is taken for the separator, a header, an index or a category is decided by the
//! whole file, and said.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use csv::{Position, ReaderBuilder, StringRecord, Trim};
use rbm_core::{Error, Result};

use super::bytes::{Bytes, Spool, spooling};
use super::columns::{Columns, Content, Found, listed};
use super::labels::{self, LabelColumn};
use super::number::{Kind, Number};
use super::options::{Missing, Options};
use super::parquet::{Column, Values};
use super::stored::{Layout, Stored};
use super::{Cases, Part, bytes};

const FORM: &str = "comma-separated numbers, a case a line";
const BITS: &str = "zeros and ones between commas, a case a line, no header";
const NUMBER_NAME: &str = "row";
const LABEL_NAMES: [&str; 7] = ["label", "labels", "class", "classes", "target", "targets", "y"];
/// What stands where nothing is known, in the tables of pandas, R and UCI.
const MISSING: [&str; 11] =
    ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "#N/A"];
/// The most different words of a column that are categories; of more, it names the cases.
const MOST_WORDS: usize = 256;
/// How much of a text is looked at to find its separator and its header.
const SAMPLE: usize = 1 << 16;
const SAMPLED: usize = 200;

/// The values of a file, with the columns of labels and of the target taken out.
pub(super) struct Table {
    /// Row after row.
    values: Bytes,
    number: Number,
    /// The number of rows.
    count: usize,
    /// The number of values of a row.
    pub width: usize,
    /// One for each row, if there is a label column.
    pub labels: Option<Vec<u32>>,
    /// One for each row, if there is a column of a continuous target.
    targets: Option<Vec<f32>>,
    /// What was found out besides.
    pub found: Found,
}

impl Table {
    /// The part of which this is the text, each value divided by `scale`.
    pub(super) fn into_part(self, path: &Path, scale: Option<f32>) -> Result<(Part, Found)> {
        let Self { values, number, count, width, labels, targets, found } = self;
        let layout = Layout { start: 0, count, width, number };
        // What may be missing has been looked at, and everything else is finite.
        let stored = Stored::with_missing(path, values, layout, scale)?;
        let part = Part::of(Cases::stored(stored), labels)?;
        Ok((Part { targets, ..part }, found))
    }
}

/// The cases in the file `path`, plain or gzipped, with labels or a target from the columns that `options` or the header name.
pub(super) fn read(path: &Path, options: &Options) -> Result<(Part, Found)> {
    let text = bytes::read_unzipped(path, FORM)?;
    parse(path, text, options)?.into_part(path, options.scale)
}

/// The cases in the file `path`, of which these are the columns: as in a text with a header. Columns of other values than numbers,
/// words and truths are left out.
pub(super) fn read_columns(
    path: &Path,
    columns: Vec<Column>,
    options: &Options,
) -> Result<(Part, Found)> {
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
    let text = Text { path, bytes: &bytes, separator: Separator::Mark(b','), form: FORM };
    let mut table = table(&text, true, options)?;
    for Column { name, values } in others {
        if let Values::Other(kind) = values {
            table.found.notes.push(format!("column `{name}` holds {kind}: it is left out"));
        }
    }
    table.into_part(path, options.scale)
}

/// The cases in the file `path`, plain or gzipped, in which there is nothing but zeros and ones.
pub(super) fn read_bits(path: &Path, scale: Option<f32>) -> Result<Part> {
    let text = bytes::read_unzipped(path, BITS)?;
    let text = Text { path, bytes: &text, separator: Separator::Mark(b','), form: BITS };
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
    let layout = Layout { start: 0, count, width, number: Number::little_endian(Kind::Bool) };
    Part::of(Cases::stored(Stored::new(path, values, layout, scale)?), None)
}

/// The values in `bytes`, the text of `path`.
pub(super) fn parse(path: &Path, bytes: Bytes, options: &Options) -> Result<Table> {
    let text = Text { path, bytes: &bytes, separator: Separator::of(&bytes), form: FORM };
    table(&text, false, options)
}

/// The values in `text`, whose first line is known to be a header or is looked at.
fn table(text: &Text, has_header: bool, options: &Options) -> Result<Table> {
    let head = Head::of(text, has_header, options)?;
    let mut notes = head.notes.clone();
    let survey = Survey::of(text, &head)?;
    let plan = Plan::of(text, &head, &survey, options, &mut notes)?;
    plan.read(text, &head, notes)
}

/// What stands between the values of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    Mark(u8),
    /// One blank or several, tabs among them.
    Blanks,
}

impl Separator {
    const MARKS: [u8; 4] = [b'\t', b';', b'|', b','];

    /// The one by which all first lines of `text` have as many values; or else the one that most of them have.
    fn of(text: &[u8]) -> Self {
        let sample = &text[..text.len().min(SAMPLE)];
        let whole = match sample.iter().rposition(|byte| *byte == b'\n') {
            Some(end) if sample.len() < text.len() => &sample[..end],
            _ => sample,
        };
        let lines = |text: &[u8]| -> Vec<Vec<u8>> {
            let lines = text.split(|byte| *byte == b'\n').map(|line| line.trim_ascii().to_vec());
            lines.filter(|line| !line.is_empty()).take(SAMPLED).collect()
        };
        let lines = lines(whole);
        let is_table = |lengths: &[usize]| {
            // The header of R's tables has no name for the names of the cases.
            let rows = lengths.get(1..).filter(|rows| !rows.is_empty()).unwrap_or(lengths);
            rows.windows(2).all(|pair| pair[0] == pair[1])
                && rows.first().is_some_and(|&n| n > 1)
                && (lengths[0] == rows[0] || lengths[0] + 1 == rows[0])
        };
        let marked = Self::MARKS.into_iter().find(|&mark| {
            let mut reader = ReaderBuilder::new();
            let mut reader =
                reader.has_headers(false).flexible(true).delimiter(mark).from_reader(whole);
            let records = reader.byte_records().take(SAMPLED).map_while(|record| record.ok());
            is_table(&records.map(|record| record.len()).collect::<Vec<_>>())
        });
        if let Some(mark) = marked {
            return Self::Mark(mark);
        }
        let words =
            |line: &Vec<u8>| line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).count();
        let lengths: Vec<_> = lines.iter().map(words).collect();
        let has = |mark: u8| lines.iter().filter(|line| line.contains(&mark)).count();
        if has(b',') == 0 && !lengths.is_empty() && is_table(&lengths) {
            return Self::Blanks;
        }
        // No separator fits: the errors are about the most frequent one.
        let most = Self::MARKS.into_iter().max_by_key(|&mark| (has(mark), mark == b','));
        Self::Mark(most.unwrap_or(b','))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mark(b'\t') => "tabs",
            Self::Mark(b';') => "semicolons",
            Self::Mark(b'|') => "bars",
            Self::Mark(_) => "commas",
            Self::Blanks => "blanks",
        }
    }
}

/// A text and how its lines are taken apart.
struct Text<'a> {
    path: &'a Path,
    bytes: &'a Bytes,
    separator: Separator,
    form: &'static str,
}

impl Text<'_> {
    /// Shows every record, with its number from 0, to `visit`, until that says `false`.
    fn records(&self, mut visit: impl FnMut(usize, &StringRecord) -> Result<bool>) -> Result<()> {
        let mut record = StringRecord::new();
        let mut number = 0;
        match self.separator {
            Separator::Mark(mark) => {
                // `flexible`, so that a line of another length is reported in this module's words.
                let mut reader = ReaderBuilder::new();
                let reader =
                    reader.has_headers(false).flexible(true).trim(Trim::All).delimiter(mark);
                let mut reader = reader.from_reader(self.bytes.reader());
                loop {
                    let is_there = reader.read_record(&mut record).map_err(|e| {
                        Error::file(
                            self.path,
                            line(self.bytes, e.position()),
                            self.form,
                            e.to_string(),
                        )
                    })?;
                    if !is_there || !visit(number, &record)? {
                        return Ok(());
                    }
                    number += 1;
                }
            }
            Separator::Blanks => {
                let mut reader = BufReader::new(self.bytes.reader());
                let (mut read, mut start) = (Vec::new(), 0u64);
                loop {
                    read.clear();
                    let length = reader.read_until(b'\n', &mut read);
                    let length = length.map_err(|e| Error::io(self.path, e))?;
                    if length == 0 {
                        return Ok(());
                    }
                    let mut position = Position::new();
                    position.set_byte(start);
                    start += length as u64;
                    let text = std::str::from_utf8(&read).map_err(|e| {
                        let place = line(self.bytes, Some(&position));
                        Error::file(self.path, place, self.form, e.to_string())
                    })?;
                    let words: Vec<_> =
                        text.split_ascii_whitespace().map(|word| word.trim_matches('"')).collect();
                    if words.is_empty() {
                        continue;
                    }
                    record = StringRecord::from(words);
                    record.set_position(Some(position));
                    if !visit(number, &record)? {
                        return Ok(());
                    }
                    number += 1;
                }
            }
        }
    }

    fn empty(&self) -> Error {
        Error::file(self.path, "line 1", self.form, "an empty file")
    }

    fn place(&self, record: &StringRecord, at: usize) -> String {
        format!("{}, column {}", line(self.bytes, record.position()), at + 1)
    }

    fn refused(&self, record: &StringRecord, at: usize, expected: &str, cell: &str) -> Error {
        let found = if cell.is_empty() { "an empty cell".into() } else { format!("`{cell}`") };
        Error::file(self.path, self.place(record, at), expected, found)
    }

    fn check_length(&self, record: &StringRecord, columns: usize) -> Result<()> {
        if record.len() == columns {
            return Ok(());
        }
        let expected = format!("{columns} values, as in the first line");
        let place = line(self.bytes, record.position());
        Err(Error::file(self.path, place, expected, record.len().to_string()))
    }
}

/// The line of `text` on which what begins at `position` stands, from 1. The reader's own count lags behind after blank
/// lines and where lines end in CR LF, because a record begins for it right behind the one before.
fn line(text: &[u8], position: Option<&Position>) -> String {
    let start = position.map_or(0, |position| position.byte() as usize).min(text.len());
    let blank = text[start..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
    let before = text[..start + blank].iter().filter(|&&byte| byte == b'\n').count();
    format!("line {}", before + 1)
}

fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell)
}

/// What the first lines say of all others.
struct Head {
    columns: usize,
    /// The name of every column, if there is a header; empty where the header leaves one out.
    names: Option<Vec<String>>,
    /// Whether numbers have a comma before their decimals.
    has_decimal_commas: bool,
    notes: Vec<String>,
}

impl Head {
    fn of(text: &Text, has_header: bool, options: &Options) -> Result<Self> {
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
        if !has_header && !head.is_header(first, rest, options.columns.as_deref()) {
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
        let mut seen = HashMap::new();
        for name in &mut names {
            let before = seen.entry(name.clone()).or_insert(0usize);
            *before += 1;
            if *before > 1 && !name.is_empty() {
                *name = format!("{name}.{}", *before - 1);
            }
        }
        head.names = Some(names);
        Ok(head)
    }

    fn number(&self, cell: &str) -> Option<f64> {
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

    /// What the column `at` is called in a message.
    fn called(&self, at: usize) -> String {
        match self.names.as_ref().map(|names| names[at].as_str()) {
            Some(name) if !name.is_empty() => format!("column `{name}`"),
            _ => format!("column {}", at + 1),
        }
    }

    /// Whether the record with this number is a case.
    fn is_case(&self, number: usize) -> bool {
        number > 0 || self.names.is_none()
    }

    /// The column of this name, or of this number from 1.
    fn find(&self, wanted: &str) -> Option<usize> {
        let names = self.names.as_deref().unwrap_or_default();
        let is = |same: &dyn Fn(&str) -> bool| names.iter().position(|name| same(name));
        is(&|name| name == wanted)
            .or_else(|| is(&|name| name.eq_ignore_ascii_case(wanted)))
            .or_else(|| {
                wanted.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < self.columns)
            })
    }

    /// The column of this name or number; an error with those that there are.
    fn found(&self, text: &Text, wanted: &str) -> Result<usize> {
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

    fn label_column(&self, text: &Text, options: &Options) -> Result<Option<usize>> {
        match &options.label_column {
            None => {
                let names = self.names.as_deref().unwrap_or_default();
                let is_label =
                    |name: &String| LABEL_NAMES.contains(&name.trim().to_lowercase().as_str());
                Ok(names.iter().position(is_label))
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
struct Cells {
    numbers: usize,
    words: usize,
    missing: usize,
    /// Whether there is a number that is not whole.
    has_fractions: bool,
    /// The number of its first cell, as long as every cell is one more than the one before.
    counts_from: Option<f64>,
}

/// What stands in the cells of all columns.
struct Survey {
    cases: usize,
    columns: Vec<Cells>,
}

impl Survey {
    fn of(text: &Text, head: &Head) -> Result<Self> {
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
                        cells.has_fractions |= x.fract() != 0.0;
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
    fn is_of_words(&self, at: usize) -> bool {
        self.columns[at].words > self.columns[at].numbers
    }

    /// Whether the column counts the cases, from 0 or 1.
    fn is_count(&self, at: usize) -> bool {
        let Cells { numbers, counts_from, .. } = self.columns[at];
        numbers == self.cases && self.cases > 1 && matches!(counts_from, Some(0.0 | 1.0))
    }
}

/// The different words in each of the columns `of`, in alphabetical order.
fn words(text: &Text, head: &Head, of: &[usize]) -> Result<BTreeMap<usize, Vec<String>>> {
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

/// What is read of a file: which columns, as what, in which order.
struct Plan {
    cases: usize,
    /// The columns of the file that are features, in the order of these.
    features: Vec<usize>,
    /// The words of those columns that have some, by the column of the file.
    words: BTreeMap<usize, Vec<String>>,
    label: Option<usize>,
    /// The names of the classes, where they are words.
    classes: Option<Vec<String>>,
    target: Option<usize>,
    /// Why an empty cell is refused, if it is.
    refused: Option<String>,
}

impl Plan {
    fn of(
        text: &Text,
        head: &Head,
        survey: &Survey,
        options: &Options,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let mut label = head.label_column(text, options)?;
        let mut target = match &options.target {
            Some(wanted) => Some(head.found(text, wanted)?),
            None => options.known_target.as_deref().and_then(|name| head.find(name)),
        };
        if target.is_some() && label == target {
            label = None;
        }
        // Measurements under a heading like `target` are no classes.
        let is_measured = |at: usize| {
            let Cells { has_fractions, words, .. } = survey.columns[at];
            has_fractions && words == 0
        };
        if let Some(at) = label.filter(|&at| options.label_column.is_none() && is_measured(at)) {
            notes.push(format!(
                "{} holds measurements: it is a target, not a label",
                head.called(at)
            ));
            (label, target) = (None, target.or(Some(at)));
        }
        let mut dropped = BTreeSet::new();
        for wanted in &options.drop {
            dropped.insert(head.found(text, wanted)?);
        }
        let is_feature =
            |at: usize| Some(at) != label && Some(at) != target && !dropped.contains(&at);
        let candidates: Vec<_> = (0..head.columns).filter(|&at| is_feature(at)).collect();
        let features = match options.columns.as_deref() {
            Some(known) => in_known_order(text, head, known, &candidates, notes)?,
            None => without_indices(head, survey, &candidates, label, notes),
        };
        let known_words = |feature: usize| match options.columns.as_deref()?.0.get(feature)?.holds {
            Content::Category(ref words) => Some(words.clone()),
            _ => None,
        };
        let of_words: Vec<_> = match options.columns {
            Some(_) => Vec::new(),
            None => features.iter().copied().filter(|&at| survey.is_of_words(at)).collect(),
        };
        let is_named = label.filter(|&at| survey.columns[at].words > 0);
        let looked_at: Vec<_> = of_words.iter().copied().chain(is_named).collect();
        let mut found = words(text, head, &looked_at)?;
        let classes = is_named.and_then(|at| found.remove(&at));
        for (feature, &at) in features.iter().enumerate() {
            if let Some(words) = known_words(feature) {
                found.insert(at, words);
            }
        }
        let mut kept = features;
        if options.columns.is_none() {
            kept.retain(|at| {
                let Some(words) = found.get(at) else { return true };
                let is_name = words.len() > MOST_WORDS || words.len() > 20.max(survey.cases / 2);
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
        let missing: Vec<_> =
            kept.iter().copied().filter(|&at| survey.columns[at].missing > 0).collect();
        let refused = (options.missing == Missing::Refuse && !missing.is_empty()).then(|| {
            let cells: usize = missing.iter().map(|&at| survey.columns[at].missing).sum();
            let columns: Vec<_> = missing.iter().map(|&at| head.called(at)).collect();
            format!(
                "a finite number or a word in every cell ({cells} cells of {} cases are empty, in {}: learn from the others \
                 with --missing gibbs or --missing mean, or leave columns out with --drop)",
                survey.cases,
                listed(&columns)
            )
        });
        let cases = survey.cases;
        Ok(Self { cases, features: kept, words: found, label, classes, target, refused })
    }

    fn read(self, text: &Text, head: &Head, notes: Vec<String>) -> Result<Table> {
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
                        None => {
                            let known: Vec<_> = self.words[&at].iter().map(|w| format!("`{w}`")).collect();
                            let expected = format!("one of {}, as the model learned", listed(&known));
                            return Err(text.refused(record, at, &expected, cell));
                        }
                    },
                    (None, Some(x)) if (x as f32).is_finite() => x as f32,
                    _ => return Err(text.refused(record, at, "a finite number", cell)),
                };
                values.write_all(&value.to_le_bytes()).map_err(spooling(path))?;
            }
            if let Some(at) = self.label {
                match &classes {
                    Some(classes) => match classes.get(cell(at)) {
                        Some(&class) => named.push(class),
                        None => return Err(text.refused(record, at, "a label", cell(at))),
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
                match head.number(cell(at)).map(|x| x as f32).filter(|x| x.is_finite()) {
                    Some(x) => targets.push(x),
                    None => return Err(text.refused(record, at, "a finite number to predict", cell(at))),
                }
            }
            Ok(true)
        })?;
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
        let names = head.names.as_ref().map(|names| {
            let named = |&at: &usize| match names[at].as_str() {
                "" => format!("column {}", at + 1),
                name => name.to_owned(),
            };
            self.features.iter().map(named).collect()
        });
        let target_name = self.target.map(|at| match &head.names {
            Some(names) => names[at].clone(),
            None => (at + 1).to_string(),
        });
        let found = Found { names, words, class_names, target_name, notes };
        Ok(Table {
            values,
            number: Number::little_endian(Kind::F32),
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
    text: &Text,
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
    let place = |name: &str| candidates.iter().copied().find(|&at| names[at] == name);
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

/// The columns among `candidates` but for those that only count the cases.
fn without_indices(
    head: &Head,
    survey: &Survey,
    candidates: &[usize],
    label: Option<usize>,
    notes: &mut Vec<String>,
) -> Vec<usize> {
    let Some(names) = &head.names else { return candidates.to_vec() };
    let is_index = |at: usize| {
        let name = names[at].as_str();
        (name.is_empty() || name.starts_with("Unnamed: ")) && at == 0 && survey.is_count(at)
    };
    let mut kept = candidates.to_vec();
    if let Some(&at) = candidates.iter().find(|&&at| is_index(at)) {
        notes.push(format!("{} counts the cases: it is left out", head.called(at)));
        kept.retain(|&other| other != at);
    }
    if has_numbers_of_cases(names, label) {
        kept.retain(|&at| at != 0);
    }
    kept
}

/// Whether a table is one that `dbn embed` or `dbn encode` writes: before everything `row`, the number of the case in its source, and
/// after it, but for the labels, one column or columns that are counted, like `codes_0`, `codes_1`.
fn has_numbers_of_cases(names: &[String], labelled: Option<usize>) -> bool {
    let mut names = names.iter().enumerate().filter(|(at, _)| labelled != Some(*at));
    let is_counted = |name: &str| {
        name.rsplit_once('_').is_some_and(|(_, number)| number.parse::<usize>().is_ok())
    };
    let is_numbered = names.next().is_some_and(|(at, name)| at == 0 && name == NUMBER_NAME);
    let features: Vec<_> = names.map(|(_, name)| name).collect();
    is_numbered
        && (features.len() == 1
            || !features.is_empty() && features.iter().all(|name| is_counted(name)))
}
