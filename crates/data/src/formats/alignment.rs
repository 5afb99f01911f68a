//! Alignments of sequences: what their letters, small letters, dots and names mean.

use std::io::Write;
use std::path::Path;

use rbm_core::{Error, Result};

use crate::alphabet::{Alphabet, GAP};
use crate::bytes::{self, Bytes, Spool, spooling};
use crate::dataset::Dataset;
use crate::dtype::{Element, ElementKind};
use crate::examples::Examples;
use crate::formats::fasta;
use crate::formats::sequences::{Row, Sequences};
use crate::formats::stockholm;
use crate::matrix::{Layout, RawMatrix};
use crate::options::ReadOptions;
use crate::view::View;

/// What small letters and dots are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Small {
    /// Insertions between the columns, as in A2M: they are left out.
    Insertions,
    /// Letters like any others, and gaps: a file that is masked, or written small.
    Letters,
}

/// What is counted while letters become states.
#[derive(Default)]
struct Counts {
    insertions: u64,
    raised: u64,
    converted: u64,
    unknown: Vec<(u8, u64)>,
}

/// The cases in the file `path`, plain or gzipped: FASTA (and the A2M of HMMER and HH-suite), or Stockholm. Each is a code from 0 for
/// each aligned column, by the alphabet that `options` name or the one that the letters are most probably of. Letters that are none
/// of it become gaps. The data set's notes say what was taken for what.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<Dataset> {
    let extra = options.alphabet.as_ref();
    let text = bytes::read_unzipped(path, fasta::FORM)?;
    let sequences = match stockholm::is_meant_by(&text) || stockholm::is_named(path) {
        true => stockholm::read(path, &text, extra)?,
        false => fasta::read(path, &text, extra)?,
    };
    let mut notes = Vec::new();
    let (small, width) = meaning_of_small(path, &sequences, &mut notes)?;
    let alphabet = match &options.alphabet {
        Some(alphabet) => {
            let found = Alphabet::of_counts(&letters_of(&sequences.letters, small));
            let is_nucleic = |it: &Alphabet| *it == Alphabet::dna() || *it == Alphabet::rna();
            if is_nucleic(&found) && !is_nucleic(alphabet) {
                let expected = format!("the letters of {alphabet}");
                let found = format!("nothing but those of {found}");
                return Err(Error::file(path, "sequences", expected, found));
            }
            alphabet.clone()
        }
        None => {
            let found = Alphabet::of_counts(&letters_of(&sequences.letters, small));
            notes.push(format!(
                "read as {found}: each column is one of {} states, {} (--alphabet decides otherwise)",
                found.states(),
                found.letters()
            ));
            found
        }
    };
    let codes = encode(path, &sequences.letters, small, &alphabet, &mut notes)?;
    let count = sequences.rows.len();
    let layout = Layout { start: 0, count, width, number: Element::little_endian(ElementKind::U8) };
    let mut train = Examples::of(View::from(RawMatrix::new(path, codes, layout, None)?), None)?;
    train.names = Some(sequences.rows.into_iter().map(|row| row.name).collect());
    Ok(Dataset { alphabet: Some(alphabet), notes, ..Dataset::of(train) })
}

/// What the small letters are, by which all sequences are of one length, and that length. Errors where they are of different
/// ones either way.
fn meaning_of_small(
    path: &Path,
    sequences: &Sequences,
    notes: &mut Vec<String>,
) -> Result<(Small, usize)> {
    let rows = &sequences.rows;
    let has = |is: fn(&u8) -> bool| sequences.letters.iter().any(is);
    let same = |of: fn(&Row) -> usize| {
        let first = rows.first().map_or(0, of);
        (first > 0 && rows.iter().all(|row| of(row) == first)).then_some(first)
    };
    if has(u8::is_ascii_lowercase) {
        if let Some(width) = same(|row| row.aligned).filter(|_| has(u8::is_ascii_uppercase)) {
            return Ok((Small::Insertions, width));
        }
        if let Some(width) = same(|row| row.length) {
            let why = match has(u8::is_ascii_uppercase) {
                true => "small letters stand in columns like capitals (a masked alignment)",
                false => "there are small letters only",
            };
            notes.push(format!("{why}: they are read as capitals"));
            return Ok((Small::Letters, width));
        }
    } else if let Some(width) = same(|row| row.length) {
        // Without insertions there is nothing for dots to stand beside.
        return Ok((Small::Letters, width));
    }
    let of: fn(&Row) -> usize = match has(u8::is_ascii_lowercase) {
        true => |row| row.aligned,
        false => |row| row.length,
    };
    let first = rows.first().map_or(0, of);
    let wrong = rows.iter().find(|row| of(row) == 0 || of(row) != first);
    let expected = match first {
        0 => "a sequence of at least one column".into(),
        width => format!("{width} columns, as in the first sequence (sequences must be aligned)"),
    };
    let (place, found) = wrong.map_or(("the file".into(), 0), |row| (row.place.clone(), of(row)));
    Err(Error::file(path, place, expected, found.to_string()))
}

/// How often each letter stands in an aligned column, as a capital.
fn letters_of(letters: &[u8], small: Small) -> [u64; 256] {
    let mut counts = [0; 256];
    for letter in letters {
        if small == Small::Letters || !letter.is_ascii_lowercase() {
            counts[usize::from(letter.to_ascii_uppercase())] += 1;
        }
    }
    counts
}

/// The state of every aligned letter, a byte each.
fn encode(
    path: &Path,
    letters: &[u8],
    small: Small,
    alphabet: &Alphabet,
    notes: &mut Vec<String>,
) -> Result<Bytes> {
    let mut codes = Spool::new();
    let mut counts = Counts::default();
    for piece in letters.chunks(1 << 16) {
        let states: Vec<u8> =
            piece.iter().filter_map(|letter| counts.state(*letter, small, alphabet)).collect();
        codes.write_all(&states).map_err(spooling(path))?;
    }
    counts.say(alphabet, notes);
    codes.finish().map_err(spooling(path))
}

impl Counts {
    /// The state of a letter; none of an insertion.
    fn state(&mut self, letter: u8, small: Small, alphabet: &Alphabet) -> Option<u8> {
        if letter == b'.' || letter.is_ascii_lowercase() {
            if small == Small::Insertions {
                self.insertions += u64::from(letter != b'.');
                return None;
            }
            self.raised += u64::from(letter != b'.');
        }
        let letter = match letter {
            b'.' => GAP,
            letter => letter.to_ascii_uppercase(),
        };
        if let Some(code) = alphabet.code(letter) {
            return Some(code);
        }
        if let Some(code) = alphabet.counterpart(letter) {
            self.converted += 1;
            return Some(code);
        }
        // A gap is no unknown letter, even where the alphabet has none.
        if letter != GAP {
            match self.unknown.iter_mut().find(|(known, _)| *known == letter) {
                Some((_, count)) => *count += 1,
                None => self.unknown.push((letter, 1)),
            }
        }
        Some(alphabet.gap())
    }

    fn say(mut self, alphabet: &Alphabet, notes: &mut Vec<String>) {
        if self.insertions > 0 {
            notes.push(format!(
                "{} small letters are insertions between the columns (A2M) and are left out",
                self.insertions
            ));
        }
        if self.converted > 0 {
            let (from, to) = if alphabet.code(b'U').is_some() { ('T', 'U') } else { ('U', 'T') };
            notes.push(format!("{} times {from} is read as {to}", self.converted));
        }
        self.unknown.sort_by_key(|(letter, count)| (std::cmp::Reverse(*count), *letter));
        let all: u64 = self.unknown.iter().map(|(_, count)| count).sum();
        if all > 0 {
            let of: Vec<_> = self
                .unknown
                .iter()
                .map(|(letter, count)| format!("{} {count} times", char::from(*letter)))
                .collect();
            notes.push(format!(
                "{all} letters that are no state of {alphabet} are read as gaps: {}",
                of.join(", ")
            ));
        }
    }
}
