//! The header of a NumPy array: a Python dictionary of its type, order and shape.
//!
//! Only what NumPy writes is read, from the left to the right and once. A reader of any Python literal can be made to take a
//! minute by 16 brackets (docs/upstream/npyz.md).

use npyz::DType;

pub(crate) const FORM: &str = "a NumPy .npy file";
pub(crate) const TYPES: &str = "booleans, integers of 8 to 64 bits, float16, float32 or float64";
// NumPy itself reads no longer header from a file that it does not trust.
const LONGEST: usize = 10_000;
/// So many bytes of a file have the whole of a header.
pub(crate) const PREFIX: usize = 12 + LONGEST;
/// How much of a header an error shows.
const SHOWN: usize = 100;

/// What is said before the numbers.
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
    pub(crate) fn of(file: &[u8], length: u64) -> Result<Self, Wrong> {
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
        let Some(header) = header.filter(|_| size <= LONGEST) else {
            let expected = format!("a header of at most {LONGEST} bytes, all of them in the file");
            let found = format!("{size} bytes in a file of {length}");
            return Err(refused("header", expected, found));
        };
        let text = String::from_utf8_lossy(header);
        let shown = || text.trim().chars().take(SHOWN).collect::<String>();
        let Some(Written { descr, order, shape }) = dictionary(&text) else {
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
struct Written<'a> {
    descr: &'a str,
    order: &'a str,
    shape: Vec<&'a str>,
}

/// Reads `{'descr': '…', 'fortran_order': …, 'shape': (…)}`, the keys in any order, each once.
fn dictionary(text: &str) -> Option<Written<'_>> {
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
    Some(Written { descr: descr?, order: order?, shape: shape? })
}

/// A word between quotes at the beginning of `text`, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| "'\"".contains(*quote))?;
    text[1..].split_once(quote)
}
