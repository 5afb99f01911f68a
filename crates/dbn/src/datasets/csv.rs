//! Comma-separated text: a case a line.

use std::io::Write;
use std::path::Path;

use csv::{Position, ReaderBuilder, StringRecord, Trim};
use rbm_core::{Error, Result};

use super::bytes::{Bytes, Spool, spooling};
use super::labels::{LabelColumn, label};
use super::number::{Kind, Number};
use super::stored::{Layout, Stored};
use super::{Cases, Part, bytes};

const FORM: &str = "comma-separated numbers, a case a line";
const BITS: &str = "zeros and ones between commas, a case a line, no header";
const NUMBER_NAME: &str = "row";
const LABEL_NAMES: [&str; 4] = ["label", "class", "target", "y"];

/// The numbers of a file, with the label column taken out.
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
}

impl Table {
    /// The part of which this is the text, each value divided by `scale`.
    pub(super) fn into_part(self, path: &Path, scale: Option<f32>) -> Result<Part> {
        let Self { values, number, count, width, labels } = self;
        let layout = Layout { start: 0, count, width, number };
        Part::of(Cases::stored(Stored::new(path, values, layout, scale)?), labels)
    }
}

/// The cases in the file `path`, plain or gzipped, with labels from `column`, or by default from the column that the
/// header calls label, class, target or y.
pub(super) fn read(path: &Path, column: Option<&LabelColumn>, scale: Option<f32>) -> Result<Part> {
    parse(path, bytes::read_unzipped(path, FORM)?, column)?.into_part(path, scale)
}

/// The cases in the file `path`, plain or gzipped, in which there is nothing but zeros and ones.
pub(super) fn read_bits(path: &Path, scale: Option<f32>) -> Result<Part> {
    let text = bytes::read_unzipped(path, BITS)?;
    table(path, &text, Content::Bits, Some(&LabelColumn::None))?.into_part(path, scale)
}

/// The numbers in `text`, which stands in `path`. The first line is a header unless it is all numbers.
pub(super) fn parse(path: &Path, text: Bytes, column: Option<&LabelColumn>) -> Result<Table> {
    table(path, &text, Content::Numbers, column)
}

/// What a file may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Finite numbers, perhaps below a header.
    Numbers,
    /// Zeros and ones.
    Bits,
}

impl Content {
    fn form(self) -> &'static str {
        match self {
            Self::Numbers => FORM,
            Self::Bits => BITS,
        }
    }
}

fn table(
    path: &Path,
    text: &Bytes,
    content: Content,
    column: Option<&LabelColumn>,
) -> Result<Table> {
    // `flexible`, so that a line of another length is reported in this module's words.
    let mut reader = ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true).trim(Trim::All);
    let mut reader = reader.from_reader(text.reader());
    let mut record = StringRecord::new();
    let mut next = |record: &mut StringRecord| {
        reader.read_record(record).map_err(|e| {
            let place = line(text, e.position());
            Error::file(path, place, content.form(), e.to_string())
        })
    };

    let mut is_there = next(&mut record)?;
    if !is_there {
        return Err(Error::file(path, "line 1", content.form(), "an empty file"));
    }
    let columns = record.len();
    let header = content == Content::Numbers && is_header(&record);
    let header = header.then(|| record.clone());
    let labelled = label_column(path, columns, header.as_ref(), column)?;
    let numbered = header.as_ref().is_some_and(|header| has_numbers_of_cases(header, labelled));
    if header.is_some() {
        is_there = next(&mut record)?;
        if !is_there {
            return Err(Error::file(
                path,
                "after the header",
                "at least one case",
                "the end of the file",
            ));
        }
    }

    let (mut values, mut count) = (Spool::new(), 0);
    let mut labels = labelled.map(|_| Vec::new());
    while is_there {
        let row = Row { path, text, record: &record };
        if record.len() != columns {
            let expected = format!("{columns} values, as in the first line");
            return Err(Error::file(path, row.line(), expected, record.len().to_string()));
        }
        for (at, cell) in record.iter().enumerate() {
            match &mut labels {
                Some(labels) if labelled == Some(at) => labels.push(row.label(at, cell)?),
                _ if numbered && at == 0 => {}
                _ => match content {
                    Content::Numbers => values.write_all(&row.number(at, cell)?.to_le_bytes()),
                    Content::Bits => values.write_all(&[row.bit(at, cell)?]),
                }
                .map_err(spooling(path))?,
            }
        }
        count += 1;
        is_there = next(&mut record)?;
    }
    let values = values.finish().map_err(spooling(path))?;
    let number = Number::little_endian(match content {
        Content::Numbers => Kind::F32,
        Content::Bits => Kind::Bool,
    });
    let width = columns - usize::from(labelled.is_some()) - usize::from(numbered);
    Ok(Table { values, number, count, width, labels })
}

// An empty cell does not make a header: that is a first case with a value missing, and is refused as one.
fn is_header(record: &StringRecord) -> bool {
    record.iter().any(|cell| !cell.is_empty() && cell.parse::<f32>().is_err())
}

/// Whether a table is one that `dbn embed` or `dbn encode` writes: before everything `row`, the number of the case in its source, and
/// after it, but for the labels, one column or columns that are counted, like `codes_0`, `codes_1`.
fn has_numbers_of_cases(header: &StringRecord, labelled: Option<usize>) -> bool {
    let mut names = header.iter().enumerate().filter(|(at, _)| labelled != Some(*at));
    let is_counted = |name: &str| {
        name.rsplit_once('_').is_some_and(|(_, number)| number.parse::<usize>().is_ok())
    };
    let is_numbered = names.next() == Some((0, NUMBER_NAME));
    let features: Vec<_> = names.map(|(_, name)| name).collect();
    is_numbered
        && (features.len() == 1
            || !features.is_empty() && features.iter().all(|name| is_counted(name)))
}

fn label_column(
    path: &Path,
    columns: usize,
    header: Option<&StringRecord>,
    column: Option<&LabelColumn>,
) -> Result<Option<usize>> {
    let find = |is: &dyn Fn(&str) -> bool| header.and_then(|names| names.iter().position(is));
    match column {
        None => Ok(find(&|name| LABEL_NAMES.contains(&name.to_lowercase().as_str()))),
        Some(LabelColumn::None) => Ok(None),
        Some(LabelColumn::First) => Ok(Some(0)),
        Some(LabelColumn::Last) => Ok(columns.checked_sub(1)),
        Some(LabelColumn::Name(wanted)) => {
            let at = find(&|name| name == wanted)
                .or_else(|| find(&|name| name.eq_ignore_ascii_case(wanted)));
            at.map(Some).ok_or_else(|| {
                let found = match header {
                    Some(names) => shortened(names),
                    None => "numbers, no header".into(),
                };
                Error::file(
                    path,
                    "line 1",
                    format!("a header with a column named `{wanted}`"),
                    found,
                )
            })
        }
    }
}

fn shortened(names: &StringRecord) -> String {
    let first: Vec<_> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
    match names.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
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

struct Row<'a> {
    path: &'a Path,
    text: &'a [u8],
    record: &'a StringRecord,
}

impl Row<'_> {
    fn line(&self) -> String {
        line(self.text, self.record.position())
    }

    fn number(&self, at: usize, cell: &str) -> Result<f32> {
        match cell.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.refused(at, "a finite number", cell)),
        }
    }

    fn bit(&self, at: usize, cell: &str) -> Result<u8> {
        match cell {
            "0" => Ok(0),
            "1" => Ok(1),
            _ => Err(self.refused(at, "0 or 1", cell)),
        }
    }

    fn label(&self, at: usize, cell: &str) -> Result<u32> {
        let Ok(value) = cell.parse::<f64>() else {
            return Err(self.refused(at, "a label: a whole number from 0 to 65535", cell));
        };
        label(self.path, || self.place(at), value)
    }

    fn place(&self, at: usize) -> String {
        format!("{}, column {}", self.line(), at + 1)
    }

    fn refused(&self, at: usize, expected: &str, cell: &str) -> Error {
        let found = if cell.is_empty() { "an empty cell".into() } else { format!("`{cell}`") };
        Error::file(self.path, self.place(at), expected, found)
    }
}
