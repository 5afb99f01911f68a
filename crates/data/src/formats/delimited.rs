//! Lines of text taken apart: which separator, which records, where they stand.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::path::Path;

use csv::{ErrorKind, Position, ReaderBuilder, StringRecord, Trim};
use rbm_core::{Error, Result};

use crate::bytes::Bytes;

/// What marks a text as UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";
const NOT_UTF8: &str = "invalid UTF-8: letters of another encoding (save it as UTF-8, or: iconv -f WINDOWS-1252 -t UTF-8)";
/// How much of a text is looked at to find its separator.
const SAMPLE: usize = 1 << 16;
/// The most letters of a cell that an error shows.
const LONGEST_CELL: usize = 60;
/// So many of its first lines are looked at.
pub(crate) const SAMPLED: usize = 200;

/// What stands between the values of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    Mark(u8),
    /// One blank or several, tabs among them.
    Blanks,
}

impl Separator {
    const MARKS: [u8; 4] = [b'\t', b';', b'|', b','];

    /// The one by which all first lines of `text` have as many values; or else the one that most of them have.
    pub(crate) fn of(text: &[u8]) -> Self {
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

    /// The number of values in a line.
    fn fields(self, line: &[u8]) -> usize {
        match self {
            Self::Mark(mark) => {
                let mut reader = ReaderBuilder::new();
                let reader = reader.has_headers(false).delimiter(mark).from_reader(line);
                reader.into_byte_records().find_map(|record| record.ok()).map_or(0, |r| r.len())
            }
            Self::Blanks => {
                let line = line.strip_prefix(b"#").unwrap_or(line);
                line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count()
            }
        }
    }

    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
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
pub(crate) struct DelimitedText<'a> {
    pub path: &'a Path,
    pub bytes: &'a Bytes,
    /// Where its first record begins.
    pub start: usize,
    pub separator: Separator,
    /// What an error expects.
    pub form: &'static str,
    /// How many records of those that were shown last had cells of several lines.
    pub broken: Cell<usize>,
}

impl<'a> DelimitedText<'a> {
    /// A text whose separator and beginning are found out, and what was passed over.
    pub(crate) fn of(
        path: &'a Path,
        bytes: &'a Bytes,
        form: &'static str,
    ) -> Result<(Self, Vec<String>)> {
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            let found = "UTF-16 (save it as UTF-8, or: iconv -f UTF-16 -t UTF-8)";
            return Err(Error::file(path, "byte 0", form, found));
        }
        let mut notes = Vec::new();
        let begin = if bytes.starts_with(BOM) { BOM.len() } else { 0 };
        let end_of_line = |start: usize| {
            let rest = &bytes[start..];
            start + rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1)
        };
        // Excel says in a first line of its own what separates the values.
        let first = &bytes[begin..end_of_line(begin)];
        if let [b's', b'e', b'p', b'=', mark] = *first.trim_ascii_end() {
            let (start, separator) = (end_of_line(begin), Separator::Mark(mark));
            return Ok((Self { path, bytes, start, separator, form, broken: Cell::new(0) }, notes));
        }
        let (mut start, mut last_comment) = (begin, None);
        while bytes[start..].first() == Some(&b'#') {
            last_comment = Some(start);
            start = end_of_line(start);
        }
        let separator = Separator::of(&bytes[start..]);
        // A header may be written as a comment: it has a name for every value.
        if let Some(header) = last_comment {
            let fields = |start: usize| separator.fields(&bytes[start..end_of_line(start)]);
            let is_header =
                start < bytes.len() && fields(header) == fields(start) && fields(start) > 1;
            start = match start == bytes.len() {
                // Every line begins so: these are no comments.
                true => begin,
                false if is_header => header,
                false => start,
            };
        }
        let comments = bytes[begin..start]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .count();
        if comments > 0 {
            notes.push(format!("lines of comments (#) before the table, passed over: {comments}"));
        }
        Ok((Self { path, bytes, start, separator, form, broken: Cell::new(0) }, notes))
    }

    /// Shows every record, with its number from 0, to `visit`, until that says `false`.
    pub(crate) fn records(
        &self,
        mut visit: impl FnMut(usize, &StringRecord) -> Result<bool>,
    ) -> Result<()> {
        let mut record = StringRecord::new();
        let mut number = 0;
        self.broken.set(0);
        match self.separator {
            Separator::Mark(mark) => {
                // `flexible`, so that a line of another length is reported in this module's words.
                let mut reader = ReaderBuilder::new();
                let reader =
                    reader.has_headers(false).flexible(true).trim(Trim::All).delimiter(mark);
                let mut reader = reader.from_reader(self.bytes.reader_from(self.start));
                // The reader counts from where it began.
                let in_file = |position: Option<&Position>| {
                    let mut position = position.cloned()?;
                    position.set_byte(position.byte() + self.start as u64);
                    Some(position)
                };
                loop {
                    let is_there = reader.read_record(&mut record).map_err(|e| {
                        let place = line(self.bytes, in_file(e.position()).as_ref());
                        let found = match e.kind() {
                            ErrorKind::Utf8 { .. } => NOT_UTF8.to_owned(),
                            _ => e.to_string(),
                        };
                        Error::file(self.path, place, self.form, found)
                    })?;
                    let position = in_file(record.position());
                    record.set_position(position.clone());
                    if !is_there {
                        return Ok(());
                    }
                    if record.iter().any(|cell| cell.contains('\n')) {
                        // Only the last one can hold a mark that is never closed: the others need not be looked through.
                        if reader.position().byte() as usize + self.start >= self.bytes.len() {
                            self.check_quotes(&record)?;
                        }
                        record = in_one_line(&record);
                        record.set_position(position);
                        self.broken.set(self.broken.get() + 1);
                    }
                    if !visit(number, &record)? {
                        return Ok(());
                    }
                    number += 1;
                }
            }
            Separator::Blanks => {
                let mut reader = BufReader::new(self.bytes.reader_from(self.start));
                let (mut read, mut start) = (Vec::new(), self.start as u64);
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
                    let text = std::str::from_utf8(&read).map_err(|_| {
                        let place = line(self.bytes, Some(&position));
                        Error::file(self.path, place, self.form, NOT_UTF8)
                    })?;
                    // A header that is written as a comment.
                    let text = if number == 0 { text.trim_start_matches('#') } else { text };
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

    /// Errors where the last cell of the last `record`, which goes over several lines, begins with a quotation mark that is never
    /// closed: the csv reader takes all lines to the end of the file for one cell.
    fn check_quotes(&self, record: &StringRecord) -> Result<()> {
        let start = record.position().map_or(0, |position| position.byte() as usize);
        let rest = &self.bytes[start.min(self.bytes.len())..];
        let marks = rest.iter().filter(|byte| **byte == b'"').count();
        if marks % 2 == 1 {
            let at = record.len().saturating_sub(1);
            let expected = "a closing quotation mark";
            let found = "the end of the file: it is opened here and never closed";
            return Err(Error::file(self.path, self.place(record, at), expected, found));
        }
        Ok(())
    }

    /// There is no record.
    pub(crate) fn empty(&self) -> Error {
        Error::file(self.path, "line 1", self.form, "an empty file")
    }

    /// The words for a cell of a record.
    fn place(&self, record: &StringRecord, at: usize) -> String {
        format!("{}, column {}", line(self.bytes, record.position()), at + 1)
    }

    /// A cell that is not what is `expected`.
    pub(crate) fn refused(
        &self,
        record: &StringRecord,
        at: usize,
        expected: &str,
        cell: &str,
    ) -> Error {
        let found = match cell.char_indices().nth(LONGEST_CELL) {
            _ if cell.is_empty() => "an empty cell".into(),
            None => format!("`{cell}`"),
            Some((end, _)) => format!("`{}…`, {} bytes", &cell[..end], cell.len()),
        };
        Error::file(self.path, self.place(record, at), expected, found)
    }

    /// Errors unless the record has so many values.
    pub(crate) fn check_length(&self, record: &StringRecord, columns: usize) -> Result<()> {
        if record.len() == columns {
            return Ok(());
        }
        let expected = format!("{columns} values, as in the first line");
        let place = line(self.bytes, record.position());
        Err(Error::file(self.path, place, expected, record.len().to_string()))
    }
}

/// The record with blanks in place of the ends of lines within its cells.
fn in_one_line(record: &StringRecord) -> StringRecord {
    let cell = |cell: &str| cell.split_whitespace().collect::<Vec<_>>().join(" ");
    record.iter().map(cell).collect()
}

/// The line of `text` on which what begins at `position` stands, from 1. The reader's own count lags behind after blank
/// lines and where lines end in CR LF, because a record begins for it right behind the one before.
fn line(text: &[u8], position: Option<&Position>) -> String {
    let start = position.map_or(0, |position| position.byte() as usize).min(text.len());
    let blank = text[start..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
    let before = text[..start + blank].iter().filter(|&&byte| byte == b'\n').count();
    format!("line {}", before + 1)
}
