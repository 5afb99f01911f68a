//! NumPy arrays in .npy files.

use std::io::Write;
use std::path::Path;

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use rbm_core::{Error, Result};

use super::bytes::{Bytes, Spool, spooling};
use super::labels::{self, Labels};
use super::number::{Kind, Number};
use super::stored::{Layout, Stored};
use super::{Cases, Missing, Options, Part, bytes};

pub(super) const FORM: &str = "a NumPy .npy file";
pub(super) const TYPES: &str = "booleans, integers of 8 to 64 bits, float16, float32 or float64";
// NumPy itself reads no longer header from a file that it does not trust.
const LONGEST_HEADER: usize = 10_000;
const DEEPEST_HEADER: usize = 16;
/// How many bytes are turned from columns into rows at a time.
const PIECE: usize = 1 << 22;

/// Height and width of pictures.
pub(super) type Image = Option<(usize, usize)>;

/// The cases in the file `path`, `(n, width)`, or `(n, height, width)` with their height and width as pictures, which may have
/// one channel: `(n, height, width, 1)` or `(n, 1, height, width)`.
pub(super) fn read(path: &Path, options: &Options) -> Result<(Part, Image)> {
    parse(path, bytes::read(path, FORM)?, options)
}

/// The same of `bytes`, which stand in `path`.
pub(super) fn parse(path: &Path, bytes: Bytes, options: &Options) -> Result<(Part, Image)> {
    let array = Array::parse(path, &bytes)?;
    let (count, width, image) = match array.shape[..] {
        [count, width] => (count, width, None),
        [count, height, width] | [count, height, width, 1] | [count, 1, height, width] => {
            (count, height * width, Some((height, width)))
        }
        _ => {
            let expected = "(n, width) or (n, height, width), pictures with one channel or none";
            return Err(array.wrong_shape(expected));
        }
    };
    let (start, number) = (array.start, array.number()?);
    let (bytes, start) = match array.header.order() {
        Order::C => (bytes, start),
        Order::Fortran => (in_rows(path, &bytes, &array, number)?, 0),
    };
    let layout = Layout { start, count, width, number };
    let stored = match options.missing {
        Missing::Refuse => Stored::new(path, bytes, layout, options.scale)?,
        _ => Stored::with_missing(path, bytes, layout, options.scale)?,
    };
    Ok((Part::of(Cases::stored(stored), None)?, image))
}

/// The labels in the file `path`: numbers or words `(n,)` or `(n, 1)`, or one-hot codes `(n, classes)`.
pub(super) fn read_labels(path: &Path) -> Result<Labels> {
    parse_labels(path, &bytes::read(path, FORM)?)
}

/// The same of `bytes`, which stand in `path`.
pub(super) fn parse_labels(path: &Path, bytes: &Bytes) -> Result<Labels> {
    let array = Array::parse(path, bytes)?;
    let values =
        |array: &Array| -> Result<Vec<f64>> { Ok(array.number()?.wide(&bytes[array.start..])) };
    match array.shape[..] {
        [_] | [_, 1] => match array.words()? {
            Some(words) => Ok(labels::of_words(&words)),
            None => labels::classes(path, &values(&array)?),
        },
        [_, width] if array.header.order() == Order::C => {
            let expected = "(n,) or (n, 1) for labels, or one-hot codes (n, classes)";
            let classes = labels::of_one_hot(&values(&array)?, width);
            labels::classes(path, &classes.ok_or_else(|| array.wrong_shape(expected))?)
        }
        _ => Err(array.wrong_shape("(n,) or (n, 1) for labels, or one-hot codes (n, classes)")),
    }
}

struct Array<'a> {
    path: &'a Path,
    bytes: &'a Bytes,
    header: NpyHeader,
    shape: Vec<usize>,
    /// The byte at which the numbers begin.
    start: usize,
}

impl<'a> Array<'a> {
    fn parse(path: &'a Path, bytes: &'a Bytes) -> Result<Self> {
        check_header(path, bytes)?;
        let mut data: &[u8] = bytes;
        let header = NpyHeader::from_reader(&mut data)
            .map_err(|e| Error::file(path, "header", FORM, e.to_string()))?;
        let shape = header.shape().iter().map(|&n| n as usize).collect();
        let array = Self { path, bytes, header, shape, start: bytes.len() - data.len() };
        if array.shape.contains(&0) {
            return Err(array.wrong_shape("at least one case of at least one value"));
        }
        // `check_header` has seen to it that the shape does not overflow.
        let size = array.header.dtype().num_bytes().unwrap_or(0);
        let declared = (array.header.len() as usize).checked_mul(size);
        if declared != Some(data.len()) && !array.header.uses_pickled_array() {
            let declared = declared.map_or("more".into(), |n| n.to_string());
            let expected = format!("{declared} bytes for shape {:?}", array.shape);
            let place = format!("byte {}", array.start);
            return Err(Error::file(path, place, expected, format!("{} bytes", data.len())));
        }
        Ok(array)
    }

    /// The words of an array of text: NumPy's `str`, four bytes a letter.
    fn words(&self) -> Result<Option<Vec<String>>> {
        let DType::Plain(written) = self.header.dtype() else { return Ok(None) };
        if written.type_char() != TypeChar::UnicodeStr {
            return Ok(None);
        }
        let letters = written.size_field() as usize;
        let is_big_endian = written.endianness() == Endianness::Big;
        let word = |bytes: &[u8]| -> String {
            let (letters, _) = bytes.as_chunks::<4>();
            let letters = letters.iter().map(|letter| match is_big_endian {
                true => u32::from_be_bytes(*letter),
                false => u32::from_le_bytes(*letter),
            });
            let letters = letters.take_while(|letter| *letter != 0);
            letters
                .map(|letter| char::from_u32(letter).unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        };
        if letters == 0 {
            return Err(Error::file(self.path, "type of the labels", "words", "empty ones"));
        }
        Ok(Some(self.bytes[self.start..].chunks_exact(4 * letters).map(word).collect()))
    }

    fn wrong_shape(&self, expected: &str) -> Error {
        Error::file(self.path, "shape", expected, format!("{:?}", self.shape))
    }

    /// How the numbers lie in the file. Errors for other types than [`TYPES`], and for booleans that are neither 0 nor 1.
    fn number(&self) -> Result<Number> {
        let Some(number) = number(&self.header.dtype()) else {
            let found = self.header.dtype().descr();
            return Err(Error::file(self.path, "type of the numbers", TYPES, found));
        };
        if number.kind == Kind::Bool {
            let (end, mut buffer) = (self.bytes.len(), Vec::new());
            for from in (self.start..end).step_by(PIECE) {
                let numbers = self.bytes.piece(from..end.min(from + PIECE), &mut buffer);
                let numbers = numbers.map_err(|e| Error::io(self.path, e))?;
                if let Some(at) = numbers.iter().position(|&x| x > 1) {
                    let place = format!("number {}", from - self.start + at + 1);
                    return Err(Error::file(self.path, place, TYPES, numbers[at].to_string()));
                }
            }
        }
        Ok(number)
    }
}

pub(super) fn number(dtype: &DType) -> Option<Number> {
    let DType::Plain(written) = dtype else { return None };
    let kind = match (written.type_char(), written.size_field()) {
        (TypeChar::Bool, 1) => Kind::Bool,
        (TypeChar::Uint, 1) => Kind::U8,
        (TypeChar::Uint, 2) => Kind::U16,
        (TypeChar::Uint, 4) => Kind::U32,
        (TypeChar::Uint, 8) => Kind::U64,
        (TypeChar::Int, 1) => Kind::I8,
        (TypeChar::Int, 2) => Kind::I16,
        (TypeChar::Int, 4) => Kind::I32,
        (TypeChar::Int, 8) => Kind::I64,
        (TypeChar::Float, 2) => Kind::F16,
        (TypeChar::Float, 4) => Kind::F32,
        (TypeChar::Float, 8) => Kind::F64,
        _ => return None,
    };
    Some(Number { kind, is_big_endian: written.endianness() == Endianness::Big })
}

/// The numbers of an array that lies column after column, row after row.
fn in_rows(path: &Path, bytes: &Bytes, array: &Array<'_>, number: Number) -> Result<Bytes> {
    let (count, size) = (array.shape[0], number.size());
    let (height, width) = match array.shape[1..] {
        [height, width] | [height, width, 1] | [1, height, width] => (height, width),
        _ => (1, array.shape[1]),
    };
    // Of the values of a case, the first index runs fastest, as the number of the case does among all.
    let columns: Vec<usize> =
        (0..height).flat_map(|y| (0..width).map(move |x| x * height + y)).collect();
    let (row, mut spool) = (columns.len() * size, Spool::new());
    let rows = (PIECE / row).clamp(1, count);
    let (mut piece, mut buffer) = (vec![0; rows * row], Vec::new());
    for first in (0..count).step_by(rows) {
        let rows = rows.min(count - first);
        for (at, column) in columns.iter().enumerate() {
            let from = array.start + (column * count + first) * size;
            let numbers = bytes.piece(from..from + rows * size, &mut buffer);
            let numbers = numbers.map_err(|e| Error::io(path, e))?.chunks_exact(size);
            for (case, number) in numbers.enumerate() {
                let to = case * row + at * size;
                piece[to..to + size].copy_from_slice(number);
            }
        }
        spool.write_all(&piece[..rows * row]).map_err(spooling(path))?;
    }
    spool.finish().map_err(spooling(path))
}

/// `npyz` trusts a header's length, depth and shape: it allocates the first, recurses into the second and multiplies out
/// the third (in which it adds up sums) unchecked. So all three are checked before it sees them.
pub(super) fn check_header(path: &Path, file: &[u8]) -> Result<()> {
    let refused = |place: &str, expected: String, found: String| {
        Err(Error::file(path, place, expected, found))
    };
    if !file.starts_with(b"\x93NUMPY") {
        let found = format!("{:02x?}", &file[..file.len().min(6)]);
        return refused("byte 0", "the magic number of a NumPy .npy file".into(), found);
    }
    let (start, length) = match *file {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (10, u32::from_le_bytes([a, b, 0, 0]) as usize),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => {
            (12, u32::from_le_bytes([a, b, c, d]) as usize)
        }
        _ => {
            let found = format!("{:02x?}", &file[6..file.len().min(12)]);
            return refused("byte 6", "version 1, 2 or 3 and the length of a header".into(), found);
        }
    };
    let (Some(header), true) =
        (file.get(start..).and_then(|rest| rest.get(..length)), length <= LONGEST_HEADER)
    else {
        let expected =
            format!("a header of at most {LONGEST_HEADER} bytes, all of them in the file");
        return refused("header", expected, format!("{length} bytes in a file of {}", file.len()));
    };
    let text = String::from_utf8_lossy(header);
    let brackets = text.chars().filter(|c| "([{".contains(*c)).count();
    if brackets > DEEPEST_HEADER || text.contains(['+', '-']) {
        let expected = format!("no sums and at most {DEEPEST_HEADER} opening brackets");
        return refused("header", expected, format!("{brackets} brackets in {length} bytes"));
    }
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let sizes = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let mut sizes = sizes.map(|size| size.parse::<usize>().ok().map(|n| n.max(1)));
    match sizes.try_fold(1, |product: usize, size| product.checked_mul(size?)) {
        Some(_) => Ok(()),
        None => refused(
            "shape",
            "whole numbers whose product fits in memory".into(),
            text.trim().into(),
        ),
    }
}
