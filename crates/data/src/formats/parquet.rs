//! Apache Parquet: a table of named columns.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::parquet::basic::{Encoding, LogicalType, Type as Physical};
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;
use bytes::Bytes;
use rbm_core::{Error, Result};

use crate::formats::thrift::{check_structure, page_sizes};

const FORM: &str = "a Parquet file";
/// The values that any file may have, and those for each byte of a file. A small file can claim any number of values that are
/// all the same.
const ALWAYS: u64 = 1 << 24;
const A_BYTE: u64 = 256;
/// How many values are read at once.
const AT_ONCE: usize = 1 << 13;

/// A column by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedColumn {
    /// Its name; the parts of a nested one with points between them.
    pub name: String,
    /// What stands in it, a value a row.
    pub values: Values,
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers; a missing one is NaN.
    Numbers(Vec<f64>),
    /// True, false, or nothing.
    Booleans(Vec<Option<bool>>),
    /// Text, or nothing.
    Strings(Vec<Option<String>>),
    /// Values of another kind, such as dates or lists: the kind's name. They are not read.
    Other(String),
}

impl Values {
    /// How many values there are; none of a kind that is not read.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Booleans(values) => values.len(),
            Self::Strings(values) => values.len(),
            Self::Other(_) => 0,
        }
    }

    /// The value of this row as text; empty where it is missing.
    pub(crate) fn text(&self, row: usize) -> String {
        match self {
            Self::Numbers(values) => match values.get(row) {
                Some(x) if !x.is_nan() => x.to_string(),
                _ => String::new(),
            },
            Self::Booleans(values) => {
                let value = values.get(row).copied().flatten();
                // As pandas writes them into text.
                let word = |value| if value { "True" } else { "False" };
                value.map_or_else(String::new, |value| word(value).to_owned())
            }
            Self::Strings(values) => values.get(row).cloned().flatten().unwrap_or_default(),
            Self::Other(_) => String::new(),
        }
    }
}

/// What the values of a column mean.
#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    Plain,
    /// A whole number that is never negative.
    Unsigned,
    /// A whole number of so many decimal places.
    Decimal(i32),
    Half,
    Text,
    Other,
}

/// The columns of the file `path`, in its order.
///
/// # Errors
///
/// [`Error::File`] where the file is none of this format, is damaged, or is compressed in a way that this program does not read;
/// [`Error::Io`] where it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<NamedColumn>> {
    let path = path.as_ref();
    // What is known to make the `parquet` crate panic is refused before (docs/upstream/parquet.md); it may know more.
    let read = std::panic::catch_unwind(|| read_columns(path));
    read.unwrap_or_else(|_| {
        let found = "something that its reader gives up on: the file is damaged";
        Err(Error::file(path, "pages", FORM, found))
    })
}

/// The same; the reader beneath may panic.
fn read_columns(path: &Path) -> Result<Vec<NamedColumn>> {
    let wrong = |place: &str| {
        let place = place.to_owned();
        move |error: ParquetError| Error::file(path, place.clone(), FORM, error.to_string())
    };
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
    let is_checked = Arc::new(AtomicBool::new(false));
    let file = Pages { file, length, is_checked: is_checked.clone() };
    check_end(&file).map_err(wrong("the end of the file"))?;
    let reader = SerializedFileReader::new(file).map_err(wrong("the end of the file"))?;
    check(path, reader.metadata(), length)?;
    is_checked.store(true, Ordering::Relaxed);
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let mut columns: Vec<_> =
        schema.columns().iter().map(|column| empty(column)).collect::<Vec<_>>();
    for group in 0..reader.num_row_groups() {
        let rows = reader.get_row_group(group).map_err(wrong("a group of rows"))?;
        for (i, (column, of)) in columns.iter_mut().zip(schema.columns()).enumerate() {
            if matches!(column.values, Values::Other(_)) {
                continue;
            }
            let place = wrong(&format!("column {:?}", column.name));
            let pages = rows.get_column_page_reader(i).map_err(&place)?;
            let pages = Box::new(WithDictionary { pages, has_dictionary: false });
            extend(&mut column.values, get_column_reader(of.clone(), pages), of).map_err(&place)?;
        }
    }
    let count = |column: &NamedColumn| match &column.values {
        Values::Numbers(values) => Some(values.len()),
        Values::Booleans(values) => Some(values.len()),
        Values::Strings(values) => Some(values.len()),
        Values::Other(_) => None,
    };
    let rows = usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
    for column in &columns {
        if let Some(found) = count(column).filter(|found| *found != rows) {
            let place = format!("column {:?}", column.name);
            let expected = format!("a value for each of {rows} rows");
            return Err(Error::file(path, place, expected, found.to_string()));
        }
    }
    Ok(columns)
}

/// What the end of a file says has its length before it, and a mark after that. The `parquet` crate makes room for any list that it
/// claims.
fn check_end(file: &Pages) -> std::result::Result<(), ParquetError> {
    let Some(mark) = file.length.checked_sub(8) else { return Ok(()) };
    let bytes = file.get_bytes(mark, 8)?;
    let length = bytes.first_chunk().map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
    match mark.checked_sub(length) {
        Some(start) if bytes.ends_with(b"PAR1") => {
            check_structure(&file.get_bytes(start, length as usize)?).map_err(ParquetError::General)
        }
        // The crate says what is wrong.
        _ => Ok(()),
    }
}

/// The `parquet` crate takes offsets, lengths and counts for granted, and panics at a negative one (docs/upstream/parquet.md).
/// So what the end of the file of `length` bytes says is checked before a column is read.
fn check(path: &Path, metadata: &ParquetMetaData, length: u64) -> Result<()> {
    let (all, mut rows) = (metadata.file_metadata().num_rows(), 0i64);
    let counted = |counts: &[i64]| counts.iter().all(|count| *count >= 0);
    for (i, group) in metadata.row_groups().iter().enumerate() {
        for column in group.columns() {
            let first = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let size = column.compressed_size();
            let end = first.checked_add(size);
            let is_there = counted(&[first, size, column.data_page_offset()])
                && end.is_some_and(|end| end as u64 <= length);
            if !is_there {
                let place =
                    format!("group {} of rows, column {:?}", i + 1, column.column_path().string());
                let found = format!("{size} bytes from byte {first} on");
                let expected = format!("bytes of the file, which has {length}");
                return Err(Error::file(path, place, expected, found));
            }
        }
        rows = rows.saturating_add(group.num_rows().max(0));
    }
    if rows != all || !counted(&[all]) {
        let expected = format!("{all} rows in its groups, as the file says");
        return Err(Error::file(path, "the end of the file", expected, rows.to_string()));
    }
    let columns = metadata.file_metadata().schema_descr().num_columns() as u64;
    let most = ALWAYS.max(length.saturating_mul(A_BYTE));
    match (all as u64).checked_mul(columns) {
        Some(values) if values <= most => Ok(()),
        _ => {
            let expected = format!(
                "at most {most} values in a file of this size (2^24, or {A_BYTE} a byte; a larger table is read if it is written without a dictionary)"
            );
            let found = format!("{all} rows of {columns} columns");
            Err(Error::file(path, "the end of the file", expected, found))
        }
    }
}

/// A file as the `parquet` crate reads it: the header of a page, then its bytes. The crate allocates what a header claims, and goes on
/// behind the end of the file as if there were something (docs/upstream/parquet.md).
struct Pages {
    file: File,
    length: u64,
    /// Whether what is read begins with the header of a page.
    is_checked: Arc<AtomicBool>,
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Pages {
    type T = BufReader<UntilEnd>;

    fn get_read(&self, start: u64) -> std::result::Result<Self::T, ParquetError> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        let mut read = BufReader::new(UntilEnd(file));
        if self.is_checked.load(Ordering::Relaxed) {
            check_page(read.fill_buf()?).map_err(ParquetError::General)?;
        }
        Ok(read)
    }

    fn get_bytes(&self, start: u64, length: usize) -> std::result::Result<Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            let found = format!("{length} bytes from byte {start} on in a file of {}", self.length);
            return Err(ParquetError::EOF(found));
        }
        self.file.get_bytes(start, length)
    }
}

/// Reading behind the end is an error.
struct UntilEnd(File);

impl Read for UntilEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// Snappy makes at most 64 bytes of 3.
const MOST_INFLATED: i64 = 32;

/// Checks the sizes with which the header of a page begins. The error is what was found.
fn check_page(header: &[u8]) -> std::result::Result<(), String> {
    let (bytes, compressed) = page_sizes(header).ok_or("a page without its sizes")?;
    if compressed < 0 || !(0..=MOST_INFLATED * compressed + 1024).contains(&bytes) {
        return Err(format!("a page of {bytes} bytes in {compressed} compressed ones"));
    }
    Ok(())
}

/// The pages of a column. Values by their places in a dictionary come after it: the `parquet` crate panics where there is none.
struct WithDictionary {
    pages: Box<dyn PageReader>,
    has_dictionary: bool,
}

impl PageReader for WithDictionary {
    fn get_next_page(&mut self) -> std::result::Result<Option<Page>, ParquetError> {
        let page = self.pages.get_next_page()?;
        match &page {
            Some(Page::DictionaryPage { .. }) => self.has_dictionary = true,
            Some(page) => {
                let is_by_place = matches!(
                    page.encoding(),
                    Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY
                );
                if is_by_place && !self.has_dictionary {
                    return Err(ParquetError::General(
                        "values of a dictionary that is not there".into(),
                    ));
                }
            }
            None => {}
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> std::result::Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> std::result::Result<(), ParquetError> {
        self.pages.skip_next_page()
    }
}

impl Iterator for WithDictionary {
    type Item = std::result::Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// A column without rows.
fn empty(column: &ColumnDescriptor) -> NamedColumn {
    let meaning = meaning(column);
    let values = match (column.physical_type(), meaning) {
        _ if column.max_rep_level() > 0 => Values::Other("lists".into()),
        (Physical::BOOLEAN, _) => Values::Booleans(Vec::new()),
        (Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY, Meaning::Text) => {
            Values::Strings(Vec::new())
        }
        (Physical::FIXED_LEN_BYTE_ARRAY, Meaning::Half)
        | (
            Physical::INT32 | Physical::INT64,
            Meaning::Plain | Meaning::Unsigned | Meaning::Decimal(_),
        )
        | (Physical::FLOAT | Physical::DOUBLE, _) => Values::Numbers(Vec::new()),
        (physical, _) => Values::Other(match column.logical_type_ref() {
            Some(LogicalType::Date | LogicalType::Timestamp(..) | LogicalType::Time(..)) => {
                "dates".into()
            }
            Some(logical) => format!("{logical:?}"),
            None => physical.to_string(),
        }),
    };
    NamedColumn { name: column.path().string(), values }
}

fn meaning(column: &ColumnDescriptor) -> Meaning {
    use ::parquet::basic::ConvertedType as Converted;

    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Integer(kind)), _) if !kind.is_signed => Meaning::Unsigned,
        (Some(LogicalType::Integer(_)), _) => Meaning::Plain,
        (Some(LogicalType::Decimal(kind)), _) => Meaning::Decimal(kind.scale),
        (Some(LogicalType::Float16), _) => Meaning::Half,
        (Some(LogicalType::String | LogicalType::Enum | LogicalType::Json), _) => Meaning::Text,
        (Some(_), _) => Meaning::Other,
        (
            None,
            Converted::UINT_8 | Converted::UINT_16 | Converted::UINT_32 | Converted::UINT_64,
        ) => Meaning::Unsigned,
        (None, Converted::UTF8 | Converted::ENUM | Converted::JSON) => Meaning::Text,
        (None, Converted::DECIMAL) => Meaning::Decimal(column.type_scale()),
        (
            None,
            Converted::NONE
            | Converted::INT_8
            | Converted::INT_16
            | Converted::INT_32
            | Converted::INT_64,
        ) => Meaning::Plain,
        (None, _) => Meaning::Other,
    }
}

/// Reads a group's part of a column.
fn extend(
    values: &mut Values,
    from: ColumnReader,
    column: &ColumnDescriptor,
) -> std::result::Result<(), ParquetError> {
    let (meaning, level) = (meaning(column), column.max_def_level());
    let scale = match meaning {
        Meaning::Decimal(places) => 10f64.powi(-places),
        _ => 1.0,
    };
    let number = |of: &mut Values, value: Option<f64>| {
        if let Values::Numbers(values) = of {
            values.push(value.unwrap_or(f64::NAN));
        }
    };
    match from {
        ColumnReader::BoolColumnReader(from) => each(from, level, |value: Option<&bool>| {
            if let Values::Booleans(values) = values {
                values.push(value.copied());
            }
        }),
        ColumnReader::Int32ColumnReader(from) => each(from, level, |value: Option<&i32>| {
            let read = |x: i32| match meaning {
                Meaning::Unsigned => f64::from(x as u32),
                _ => f64::from(x) * scale,
            };
            number(values, value.map(|x| read(*x)));
        }),
        ColumnReader::Int64ColumnReader(from) => each(from, level, |value: Option<&i64>| {
            let read = |x: i64| match meaning {
                Meaning::Unsigned => x as u64 as f64,
                _ => x as f64 * scale,
            };
            number(values, value.map(|x| read(*x)));
        }),
        ColumnReader::FloatColumnReader(from) => {
            each(from, level, |value: Option<&f32>| number(values, value.map(|x| f64::from(*x))))
        }
        ColumnReader::DoubleColumnReader(from) => {
            each(from, level, |value: Option<&f64>| number(values, value.copied()))
        }
        ColumnReader::ByteArrayColumnReader(from) => {
            each(from, level, |value: Option<&ByteArray>| text(values, value.map(ByteArray::data)))
        }
        ColumnReader::FixedLenByteArrayColumnReader(from) => each(from, level, |value| {
            let bytes = value.map(|value| value.data());
            match (meaning, bytes) {
                (Meaning::Half, Some([low, high])) => {
                    let half = half::f16::from_le_bytes([*low, *high]);
                    number(values, Some(half.to_f64()));
                }
                (Meaning::Half, _) => number(values, None),
                _ => text(values, bytes),
            }
        }),
        ColumnReader::Int96ColumnReader(_) => Ok(()),
    }
}

fn text(values: &mut Values, bytes: Option<&[u8]>) {
    if let Values::Strings(values) = values {
        values.push(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    }
}

/// Gives every value of a column that is no list to `take`, and `None` where one is missing: where its level is below `present`.
fn each<T: DataType>(
    mut from: ColumnReaderImpl<T>,
    present: i16,
    mut take: impl FnMut(Option<&T::T>),
) -> std::result::Result<(), ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    loop {
        values.clear();
        levels.clear();
        let defined = (present > 0).then_some(&mut levels);
        let (records, ..) = from.read_records(AT_ONCE, defined, None, &mut values)?;
        if records == 0 {
            return Ok(());
        }
        if present == 0 {
            values.iter().for_each(|value| take(Some(value)));
            continue;
        }
        let mut values = values.iter();
        for level in &levels {
            take(if *level == present { values.next() } else { None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check_page;

    #[test]
    fn a_page_is_not_larger_than_its_bytes_can_be() {
        let whole = check_page(&[0x15, 0x00, 0x15, 0x80, 0x02, 0x15, 0x10, 0x2c]);
        assert_eq!(whole, Ok(()));
        // 2 GiB in eight bytes, less than nothing, and no sizes.
        let found = check_page(&[0x15, 0x00, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15, 0x10]);
        assert_eq!(found, Err("a page of 2147483647 bytes in 8 compressed ones".into()));
        assert!(check_page(&[0x15, 0x00, 0x15, 0x02, 0x15, 0x01]).is_err());
        assert!(check_page(&[0x15, 0x00, 0x15, 0x01, 0x15, 0x02]).is_err());
        for header in [&[][..], &[0x15], &[0x25, 0x00], &[0x15, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(check_page(header), Err("a page without its sizes".into()));
        }
    }
}
