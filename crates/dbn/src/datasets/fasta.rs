//! Alignments of proteins: FASTA, and the A2M of HMMER and HH-suite.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use rbm_core::{Error, Result};

use super::bytes::{Spool, read_unzipped, spooling};
use super::number::{Kind, Number};
use super::stored::{Layout, Stored};
use super::{Cases, Part};

const FORM: &str = "an alignment: lines that begin with >, each before its sequence";
/// The states of a site: a gap, then the amino acids by their letters.
const ALPHABET: &[u8] = b"-ACDEFGHIKLMNPQRSTVWY";
/// Letters for amino acids that are unknown, one of two or rare: they count as gaps.
const OTHERS: &[u8] = b"XBZJUO";
/// How many states a site has.
pub(super) const STATES: usize = ALPHABET.len();

/// The cases in the file `path`, plain or gzipped: a code from 0 (a gap) to 20 for each aligned column. Small letters and
/// dots are insertions between the columns and are left out.
pub(super) fn read(path: &Path) -> Result<Part> {
    let text = read_unzipped(path, FORM)?;
    let mut codes = Spool::new();
    let (mut count, mut width, mut of_this) = (0usize, None, 0usize);
    let mut reader = BufReader::new(text.reader());
    let (mut number, mut read) = (0, Vec::new());
    // Of the sequence that ends before line `next`.
    let end = |width: &mut Option<usize>, of_this: usize, next: usize| {
        let expected = width.get_or_insert(of_this);
        if *expected == of_this && of_this > 0 {
            return Ok(());
        }
        let expected = match *expected {
            0 => "a sequence of at least one column".into(),
            width => format!("{width} columns, as in the first sequence"),
        };
        let place = format!("the sequence before line {next}");
        Err(Error::file(path, place, expected, of_this.to_string()))
    };
    loop {
        read.clear();
        let length = reader.read_until(b'\n', &mut read).map_err(|e| Error::io(path, e))?;
        number += 1;
        let is_header = read.first() == Some(&b'>');
        if (is_header || length == 0) && count > 0 {
            end(&mut width, of_this, number)?;
            of_this = 0;
        }
        if length == 0 {
            break;
        }
        if is_header {
            count += 1;
            continue;
        }
        let line = read.trim_ascii();
        if count == 0 && !line.is_empty() {
            let found = String::from_utf8_lossy(&line[..line.len().min(20)]).into_owned();
            return Err(Error::file(path, format!("line {number}"), FORM, format!("`{found}`")));
        }
        for (at, letter) in line.iter().enumerate() {
            if letter.is_ascii_lowercase() || *letter == b'.' {
                continue;
            }
            let code = match ALPHABET.iter().position(|known| known == letter) {
                Some(code) => code as u8,
                None if OTHERS.contains(letter) => 0,
                None => {
                    let place = format!("line {number}, column {}", at + 1);
                    let expected = "the letter of an amino acid, or - for a gap";
                    let found = format!("`{}`", char::from(*letter).escape_default());
                    return Err(Error::file(path, place, expected, found));
                }
            };
            codes.write_all(&[code]).map_err(spooling(path))?;
            of_this += 1;
        }
    }
    let Some(width) = width else {
        return Err(Error::file(path, "line 1", FORM, "no sequence"));
    };
    let codes = codes.finish().map_err(spooling(path))?;
    let layout = Layout { start: 0, count, width, number: Number::little_endian(Kind::U8) };
    Part::of(Cases::stored(Stored::new(path, codes, layout, None)?), None)
}
