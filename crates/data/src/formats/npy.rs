//! NumPy arrays, in .npy files and by name in .npz files.
//!
//! Of a header, a Python dictionary of type, order and shape, only what NumPy writes is read, from the left to the right and once.
//! A reader of any Python literal can be made to take a minute by 16 brackets (docs/upstream/npyz.md).
//!
//! NumPy arrays by name in an .npz file, as `numpy.savez` and `numpy.savez_compressed` write it.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

use npyz::{DType, Endianness, TypeChar};
use rbm_core::{Error, Result};
use zip::ZipArchive;

use crate::bytes;
use crate::bytes::{Bytes, Spool, spooling};
use crate::dataset::Examples;
use crate::labels::{self, NumberedLabels};
use crate::matrix::{Element, ElementKind, MatrixLayout, RawMatrix};
use crate::options::{Missing, ReadOptions};
use crate::view::View;

pub(crate) const FORM: &str = "a NumPy .npy file";
pub(crate) const TYPES: &str = "booleans, integers of 8 to 64 bits, float16, float32 or float64";
// NumPy itself reads no longer header from a file that it does not trust.
const MAX_HEADER: usize = 10_000;
/// So many bytes of a file have the whole of a header.
pub(crate) const PREFIX: usize = 12 + MAX_HEADER;
/// How much of a header an error shows.
const SHOWN: usize = 100;
/// How many bytes are turned from columns into rows at a time.
const PIECE: usize = 1 << 22;

/// Height and width of pictures.
pub(crate) type Image = Option<(usize, usize)>;

/// The cases in the file `path`, `(n, width)`, or `(n, height, width)` with their height and width as pictures, which may have
/// one channel: `(n, height, width, 1)` or `(n, 1, height, width)`.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<(Examples, Image)> {
    parse(path, bytes::read(path, FORM)?, options)
}

/// The same of `bytes`, which stand in `path`.
pub(crate) fn parse(path: &Path, bytes: Bytes, options: &ReadOptions) -> Result<(Examples, Image)> {
    let array = NpyArray::parse(path, &bytes)?;
    let (count, width, image) = match array.header.shape[..] {
        [count, width] => (count, width, None),
        [count, height, width] | [count, height, width, 1] | [count, 1, height, width] => {
            (count, height * width, Some((height, width)))
        }
        _ => {
            let expected = "(n, width) or (n, height, width), pictures with one channel or none";
            return Err(array.wrong_shape(expected));
        }
    };
    let (start, number) = (array.header.start, array.number()?);
    let (bytes, start) = match array.header.is_fortran {
        false => (bytes, start),
        true => (in_rows(path, &bytes, &array, number)?, 0),
    };
    let layout = MatrixLayout { start, count, width, number };
    let stored = match options.missing() {
        Missing::Refuse => RawMatrix::new(path, bytes, layout, options.scale)?,
        _ => RawMatrix::with_missing(path, bytes, layout, options.scale)?,
    };
    Ok((Examples::of(View::from(stored), None)?, image))
}

/// The labels in the file `path`: numbers or words `(n,)` or `(n, 1)`, or one-hot codes `(n, classes)`.
pub(crate) fn read_labels(path: &Path) -> Result<NumberedLabels> {
    parse_labels(path, &bytes::read(path, FORM)?)
}

/// The same of `bytes`, which stand in `path`.
pub(crate) fn parse_labels(path: &Path, bytes: &Bytes) -> Result<NumberedLabels> {
    let array = NpyArray::parse(path, bytes)?;
    let values = |array: &NpyArray| -> Result<Vec<f64>> {
        Ok(array.number()?.wide(&bytes[array.header.start..]))
    };
    match array.header.shape[..] {
        [_] | [_, 1] => match array.words()? {
            Some(words) => Ok(labels::of_words(&words)),
            None => labels::classes(path, &values(&array)?),
        },
        [_, width] if !array.header.is_fortran => {
            let expected = "(n,) or (n, 1) for labels, or one-hot codes (n, classes)";
            let classes = labels::of_one_hot(&values(&array)?, width);
            labels::classes(path, &classes.ok_or_else(|| array.wrong_shape(expected))?)
        }
        _ => Err(array.wrong_shape("(n,) or (n, 1) for labels, or one-hot codes (n, classes)")),
    }
}

struct NpyArray<'a> {
    path: &'a Path,
    bytes: &'a Bytes,
    header: Header,
}

impl<'a> NpyArray<'a> {
    fn parse(path: &'a Path, bytes: &'a Bytes) -> Result<Self> {
        let header = Header::of(&bytes[..bytes.len().min(PREFIX)], bytes.len() as u64)
            .map_err(|wrong| Error::file(path, wrong.place, wrong.expected, wrong.found))?;
        let array = Self { path, bytes, header };
        let shape = &array.header.shape;
        if shape.contains(&0) {
            return Err(array.wrong_shape("at least one case of at least one value"));
        }
        let found = bytes.len() - array.header.start;
        match array.header.bytes() {
            Some(declared) if declared == found => Ok(array),
            // Objects have no size, and a type that is read has one.
            None if array.header.dtype.num_bytes().is_none() => Err(array.wrong_type()),
            declared => {
                let declared = declared.map_or("more".into(), |n| n.to_string());
                let expected = format!("{declared} bytes for shape {shape:?}");
                let place = format!("byte {}", array.header.start);
                Err(Error::file(path, place, expected, format!("{found} bytes")))
            }
        }
    }

    /// The words of an array of text: NumPy's `str`, four bytes a letter.
    fn words(&self) -> Result<Option<Vec<String>>> {
        let DType::Plain(written) = &self.header.dtype else { return Ok(None) };
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
        Ok(Some(self.bytes[self.header.start..].chunks_exact(4 * letters).map(word).collect()))
    }

    fn wrong_type(&self) -> Error {
        Error::file(self.path, "type of the numbers", TYPES, self.header.dtype.descr())
    }

    fn wrong_shape(&self, expected: &str) -> Error {
        Error::file(self.path, "shape", expected, format!("{:?}", self.header.shape))
    }

    /// How the numbers lie in the file. Errors for other types than [`TYPES`], and for booleans that are neither 0 nor 1.
    fn number(&self) -> Result<Element> {
        let number = number(&self.header.dtype).ok_or_else(|| self.wrong_type())?;
        if number.kind == ElementKind::Bool {
            let (end, mut buffer) = (self.bytes.len(), Vec::new());
            for from in (self.header.start..end).step_by(PIECE) {
                let numbers = self.bytes.piece(from..end.min(from + PIECE), &mut buffer);
                let numbers = numbers.map_err(|e| Error::io(self.path, e))?;
                if let Some(at) = numbers.iter().position(|&x| x > 1) {
                    let place = format!("number {}", from - self.header.start + at + 1);
                    return Err(Error::file(self.path, place, TYPES, numbers[at].to_string()));
                }
            }
        }
        Ok(number)
    }
}

pub(crate) fn number(dtype: &DType) -> Option<Element> {
    let DType::Plain(written) = dtype else { return None };
    let kind = match (written.type_char(), written.size_field()) {
        (TypeChar::Bool, 1) => ElementKind::Bool,
        (TypeChar::Uint, 1) => ElementKind::U8,
        (TypeChar::Uint, 2) => ElementKind::U16,
        (TypeChar::Uint, 4) => ElementKind::U32,
        (TypeChar::Uint, 8) => ElementKind::U64,
        (TypeChar::Int, 1) => ElementKind::I8,
        (TypeChar::Int, 2) => ElementKind::I16,
        (TypeChar::Int, 4) => ElementKind::I32,
        (TypeChar::Int, 8) => ElementKind::I64,
        (TypeChar::Float, 2) => ElementKind::F16,
        (TypeChar::Float, 4) => ElementKind::F32,
        (TypeChar::Float, 8) => ElementKind::F64,
        _ => return None,
    };
    Some(Element { kind, is_big_endian: written.endianness() == Endianness::Big })
}

/// The numbers of an array that lies column after column, row after row.
fn in_rows(path: &Path, bytes: &Bytes, array: &NpyArray<'_>, number: Element) -> Result<Bytes> {
    let (count, size) = (array.header.shape[0], number.size());
    let (height, width) = match array.header.shape[1..] {
        [height, width] | [height, width, 1] | [1, height, width] => (height, width),
        _ => (1, array.header.shape[1]),
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
            let from = array.header.start + (column * count + first) * size;
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

/// What stands before the numbers.
pub(crate) struct Header {
    pub dtype: DType,
    pub is_fortran: bool,
    pub shape: Vec<usize>,
    /// The byte at which the numbers begin.
    pub start: usize,
}

/// What is wrong with a header.
pub(crate) struct Wrong {
    pub place: &'static str,
    pub expected: String,
    pub found: String,
}

impl Header {
    /// The header of a file that begins with the bytes `file`, [`PREFIX`] of them if it has so many; `length` is that of the
    /// whole file. The product of the shape is one of `usize`.
    pub(crate) fn of(file: &[u8], length: u64) -> std::result::Result<Self, Wrong> {
        let refused = |place, expected: String, found: String| Wrong { place, expected, found };
        if !file.starts_with(b"\x93NUMPY") {
            let found = format!("{:02x?}", &file[..file.len().min(6)]);
            return Err(refused("byte 0", "the magic number of a NumPy .npy file".into(), found));
        }
        let (start, size) = match *file {
            [_, _, _, _, _, _, 1, 0, a, b, ..] => (10, u32::from_le_bytes([a, b, 0, 0]) as usize),
            [_, _, _, _, _, _, 2 | 3, 0, a, b, c, d, ..] => {
                (12, u32::from_le_bytes([a, b, c, d]) as usize)
            }
            _ => {
                let found = format!("{:02x?}", &file[6..file.len().min(12)]);
                let expected = "version 1, 2 or 3 and the length of a header";
                return Err(refused("byte 6", expected.into(), found));
            }
        };
        let header = file.get(start..).and_then(|rest| rest.get(..size));
        let Some(header) = header.filter(|_| size <= MAX_HEADER) else {
            let expected =
                format!("a header of at most {MAX_HEADER} bytes, all of them in the file");
            let found = format!("{size} bytes in a file of {length}");
            return Err(refused("header", expected, found));
        };
        let text = String::from_utf8_lossy(header);
        let shown = || text.trim().chars().take(SHOWN).collect::<String>();
        let Some(Dictionary { descr, order, shape }) = dictionary(&text) else {
            let expected = format!(
                "{FORM}'s {{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4)}}, with one type for all numbers"
            );
            return Err(refused("header", expected, shown()));
        };
        let dtype = descr
            .parse()
            .map(DType::new_scalar)
            .map_err(|_| refused("type of the numbers", TYPES.into(), format!("'{descr}'")))?;
        let sizes = shape.iter().map(|size| size.parse::<usize>().ok());
        let shape = sizes.collect::<Option<Vec<_>>>().filter(|sizes| {
            let all = sizes.iter().try_fold(1, |all: usize, size| all.checked_mul((*size).max(1)));
            all.is_some()
        });
        let shape = shape.ok_or_else(|| {
            refused("shape", "whole numbers whose product fits in memory".into(), shown())
        })?;
        Ok(Self { dtype, is_fortran: order == "True", shape, start: start + size })
    }

    /// How many bytes the numbers are. `None` where a number has no size, or they are more than there can be.
    pub(crate) fn bytes(&self) -> Option<usize> {
        self.shape.iter().product::<usize>().checked_mul(self.dtype.num_bytes()?)
    }
}

/// A dictionary as it is written.
struct Dictionary<'a> {
    descr: &'a str,
    order: &'a str,
    shape: Vec<&'a str>,
}

/// Reads `{'descr': '…', 'fortran_order': …, 'shape': (…)}`, the keys in any order, each once.
fn dictionary(text: &str) -> Option<Dictionary<'_>> {
    let (mut descr, mut order, mut shape) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        let is_new = match key {
            "descr" => {
                let (text, after) = quoted(value)?;
                rest = after;
                descr.replace(text).is_none()
            }
            "fortran_order" => {
                let word = ["False", "True"].into_iter().find(|word| value.starts_with(word))?;
                rest = &value[word.len()..];
                order.replace(word).is_none()
            }
            "shape" => {
                let (inside, after) = value.strip_prefix('(')?.split_once(')')?;
                rest = after;
                let sizes = inside.split(',').map(str::trim);
                // Python 2 wrote long numbers with an L.
                let sizes = sizes.map(|size| size.strip_suffix('L').unwrap_or(size));
                let mut sizes: Vec<_> = sizes.collect();
                if sizes.last() == Some(&"") {
                    sizes.pop();
                }
                shape.replace(sizes).is_none()
            }
            _ => false,
        };
        if !is_new {
            return None;
        }
        rest = rest.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(Dictionary { descr: descr?, order: order?, shape: shape? })
}

/// A word between quotes at the beginning of `text`, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| "'\"".contains(*quote))?;
    text[1..].split_once(quote)
}

const NPZ: &str = "a NumPy .npz file";

/// What the arrays of cases are called, of those to learn from and of those held out, each with its labels' names.
const TRAIN: [(&str, &str); 9] = [
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
    ("X_train", "y_train"),
    ("x", "y"),
    ("X", "y"),
    ("data", "target"),
    ("data", "labels"),
    ("images", "labels"),
    ("cases", "labels"),
];
const TEST: [(&str, &str); 3] =
    [("x_test", "y_test"), ("test_images", "test_labels"), ("X_test", "y_test")];

/// The cases in the file `path`, those that it holds out, the size of its pictures and the names of its classes.
type NpzParts = (Examples, Option<Examples>, Image, Option<Vec<String>>);

/// Reads `x_train`, `y_train`, `x_test` and `y_test`, as Keras lays them out, or `x` and `y` and their like.
pub(crate) fn read_npz(path: &Path, options: &ReadOptions) -> Result<NpzParts> {
    let mut arrays = Arrays::open(path)?;
    let names = arrays.names();
    let has = |name: &str| names.iter().any(|known| known == name);
    let find = |all: &[(&'static str, &'static str)]| {
        let both = all.iter().find(|(cases, labels)| has(cases) && has(labels));
        both.or_else(|| all.iter().find(|(cases, _)| has(cases))).copied()
    };
    let only = match &names[..] {
        [only] => Some((only.as_str(), "")),
        _ => None,
    };
    let Some(train) = find(&TRAIN).or(only) else {
        let expected = "an array `x_train`, `x`, `data` or `images`, or only one array";
        return Err(Error::file(path, "arrays", expected, names.join(", ")));
    };
    let test = find(&TEST);
    // Before anything is read.
    let of_train = arrays.shape(train.0)?;
    for (cases, of_cases) in std::iter::once(train).chain(test) {
        let shape = arrays.shape(cases)?;
        if let (Some(count), true) = (shape.first(), has(of_cases) && options.labels.is_none()) {
            let labels = arrays.shape(of_cases)?;
            labels::check_count(path, labels.first().copied().unwrap_or(0), *count)?;
        }
        let width = |shape: &[usize]| shape.iter().skip(1).product::<usize>();
        if width(&shape) != width(&of_train) {
            let expected = format!("{} values a case, as for training", width(&of_train));
            return Err(Error::file(path, "the test part", expected, width(&shape).to_string()));
        }
    }
    let mut part =
        |(cases, of_cases): (&str, &str)| -> Result<(Examples, Image, Option<NumberedLabels>)> {
            let (part, image) = parse(path, arrays.bytes(cases)?, options)?;
            if !has(of_cases) || options.labels.is_some() {
                return Ok((part, image, None));
            }
            let labels = parse_labels(path, &arrays.bytes(of_cases)?)?;
            Ok((part, image, Some(labels)))
        };
    let (mut train, image, labels) = part(train)?;
    let mut test = test.map(&mut part).transpose()?;
    let class_names = match (labels, test.as_mut().and_then(|(.., labels)| labels.take())) {
        (Some(of_train), Some(of_test)) => {
            let (of_train, of_test, names) = labels::united(of_train, of_test);
            train.labels = Some(of_train);
            if let Some((test, ..)) = &mut test {
                test.labels = Some(of_test);
            }
            names
        }
        (Some((of_train, names)), None) => {
            train.labels = Some(of_train);
            names
        }
        (None, _) => None,
    };
    Ok((train, test.map(|(test, ..)| test), image, class_names))
}

/// The arrays of a file.
pub struct Arrays {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

/// Shape and numbers of an array, row after row, each as the nearest `f32`.
pub type Array = (Vec<usize>, Vec<f32>);

impl Arrays {
    /// Opens the file `path`.
    ///
    /// # Errors
    ///
    /// Where it is no archive.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = BufReader::new(File::open(path).map_err(|e| Error::io(path, e))?);
        let archive =
            ZipArchive::new(file).map_err(|e| Error::file(path, "the file", NPZ, e.to_string()))?;
        Ok(Self { path: path.to_owned(), archive })
    }

    /// The names of the arrays, in alphabetical order.
    fn names(&self) -> Vec<String> {
        let names = self.archive.file_names().flatten();
        let mut names: Vec<_> =
            names.map(|name| name.trim_end_matches(".npy").to_owned()).collect();
        names.sort();
        names
    }

    /// What the array `name` says of itself, which is as long as it says. Only its beginning is read. Errors where there is
    /// none, with the names that there are.
    fn header(&mut self, name: &str) -> Result<Header> {
        let (path, names) = (self.path.clone(), self.names());
        let place = format!("array {name:?}");
        let wrong = |e: String| Error::file(&path, &place, FORM, e);
        let entry = match self.archive.by_name(&format!("{name}.npy")) {
            Ok(entry) => entry,
            Err(zip::result::ZipError::FileNotFound) => {
                return Err(wrong(format!("none of this name among {}", names.join(", "))));
            }
            Err(e) => return Err(wrong(e.to_string())),
        };
        let (length, mut first) = (entry.size(), Vec::new());
        entry.take(PREFIX as u64).read_to_end(&mut first).map_err(|e| wrong(e.to_string()))?;
        let header = Header::of(&first, length).map_err(|wrong| {
            Error::file(&path, format!("{place}, {}", wrong.place), wrong.expected, wrong.found)
        })?;
        let Some(declared) = header.bytes() else {
            return Err(Error::file(&path, &place, TYPES, header.dtype.descr()));
        };
        if length.checked_sub(header.start as u64) != Some(declared as u64) {
            let expected = format!("{declared} bytes for shape {:?}", header.shape);
            let found = format!("{}", length.saturating_sub(header.start as u64));
            return Err(Error::file(&path, &place, expected, found));
        }
        Ok(header)
    }

    /// The bytes of the array `name`, a .npy file. Errors where they are not as many as its header says.
    fn bytes(&mut self, name: &str) -> Result<Bytes> {
        self.header(name)?;
        let path = self.path.clone();
        let wrong = |e: String| Error::file(&path, format!("array {name:?}"), FORM, e);
        let mut spool = Spool::new();
        let entry =
            self.archive.by_name(&format!("{name}.npy")).map_err(|e| wrong(e.to_string()))?;
        let length = entry.size();
        // One more than there are, so that the end is seen and the checksum with it.
        let copied = io::copy(&mut entry.take(length + 1), &mut spool);
        match copied.map_err(|e| wrong(e.to_string()))? {
            copied if copied == length => spool.finish().map_err(spooling(&path)),
            copied => Err(wrong(format!("{copied} bytes or more of {length}"))),
        }
    }

    /// The shape of the array `name`.
    ///
    /// # Errors
    ///
    /// Where there is none, with the names that there are, or where it is not as long as that.
    pub fn shape(&mut self, name: &str) -> Result<Vec<usize>> {
        Ok(self.header(name)?.shape)
    }

    /// The array `name`.
    ///
    /// # Errors
    ///
    /// Where there is none, with the names that there are, or where it is damaged.
    pub fn get(&mut self, name: &str) -> Result<Array> {
        let Header { dtype, is_fortran, shape, start } = self.header(name)?;
        let Some(number) = number(&dtype) else {
            let place = format!("array {name:?}");
            return Err(Error::file(&self.path, place, TYPES, dtype.descr()));
        };
        let bytes = self.bytes(name)?;
        let mut values = Vec::with_capacity(shape.iter().product());
        number.append(&bytes[start..], &mut values);
        Ok(match (is_fortran, &shape[..]) {
            (true, &[rows, columns]) => {
                let order = (0..rows).flat_map(|i| (0..columns).map(move |j| j * rows + i));
                (shape, order.map(|at| values[at]).collect())
            }
            _ => (shape, values),
        })
    }
}
