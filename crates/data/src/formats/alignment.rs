//! Alignments of sequences in FASTA, in the A2M of HMMER and HH-suite, and in Stockholm, the form of Pfam and Rfam: what their letters, small
//! letters, dots and names mean.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use rbm_core::{Error, Result};

use crate::alphabet::{Alphabet, GAP};
use crate::bytes::{self, Bytes, Spool, spooling};
use crate::dataset::{Dataset, Examples};
use crate::matrix::{Element, ElementKind, MatrixLayout, RawMatrix};
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
struct LetterCounts {
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
    let text = bytes::read_unzipped(path, FASTA)?;
    let sequences = match is_stockholm(&text) || is_named_stockholm(path) {
        true => read_stockholm(path, &text, extra)?,
        false => read_fasta(path, &text, extra)?,
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
    let layout =
        MatrixLayout { start: 0, count, width, number: Element::little_endian(ElementKind::U8) };
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
    let same = |of: fn(&Sequence) -> usize| {
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
    let of: fn(&Sequence) -> usize = match has(u8::is_ascii_lowercase) {
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
    let mut counts = LetterCounts::default();
    for piece in letters.chunks(1 << 16) {
        let states: Vec<u8> =
            piece.iter().filter_map(|letter| counts.state(*letter, small, alphabet)).collect();
        codes.write_all(&states).map_err(spooling(path))?;
    }
    counts.say(alphabet, notes);
    codes.finish().map_err(spooling(path))
}

impl LetterCounts {
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

/// The aligned sequences of a file, letter for letter.
struct Sequences {
    /// One sequence after the other.
    pub letters: Bytes,
    /// Where they end and what they are called.
    pub rows: Vec<Sequence>,
}

/// A sequence.
struct Sequence {
    /// What stands before it in the file.
    pub name: String,
    /// Where it ends in the file, for errors.
    pub place: String,
    /// How many letters, gaps and dots it has.
    pub length: usize,
    /// How many of these are capitals and gaps: the aligned columns where small letters and dots are insertions.
    pub aligned: usize,
}

/// Whether a sequence may hold this letter.
fn is_letter(letter: u8, alphabet: Option<&Alphabet>) -> bool {
    letter.is_ascii_alphabetic()
        || [GAP, b'.'].contains(&letter)
        || alphabet.is_some_and(|alphabet| alphabet.code(letter).is_some())
}

/// Errors for the letter in this place, from 1, of `line` of the file.
fn no_letter(path: &Path, line: usize, column: usize, letter: u8) -> Error {
    let place = format!("line {line}, column {column}");
    let expected = "the letter of an amino acid or a nucleotide, or - for a gap";
    Error::file(path, place, expected, format!("`{}`", char::from(letter).escape_default()))
}

const FASTA: &str = "an alignment: lines that begin with >, each before its sequence";

/// The sequences in `text`, which stands in the file `path`; of `alphabet` those letters too that are no letters elsewhere.
fn read_fasta(path: &Path, text: &Bytes, alphabet: Option<&Alphabet>) -> Result<Sequences> {
    let (mut letters, mut rows) = (Spool::new(), Vec::<Sequence>::new());
    let mut reader = BufReader::new(text.reader());
    let (mut number, mut read) = (0, Vec::new());
    loop {
        read.clear();
        let length = reader.read_until(b'\n', &mut read).map_err(|e| Error::io(path, e))?;
        number += 1;
        let header = read.strip_prefix(b">");
        if let Some(row) = rows.last_mut().filter(|_| header.is_some() || length == 0) {
            row.place = match row.name.split_whitespace().next() {
                Some(name) => format!("the sequence {name}, before line {number}"),
                None => format!("the sequence before line {number}"),
            };
        }
        if length == 0 {
            break;
        }
        if let Some(name) = header {
            let name = String::from_utf8_lossy(name.trim_ascii()).into_owned();
            rows.push(Sequence { name, place: String::new(), length: 0, aligned: 0 });
            continue;
        }
        let line = read.trim_ascii();
        let Some(row) = rows.last_mut() else {
            if line.is_empty() {
                continue;
            }
            let found = String::from_utf8_lossy(&line[..line.len().min(20)]).into_owned();
            return Err(Error::file(path, format!("line {number}"), FASTA, format!("`{found}`")));
        };
        if let Some(at) = line.iter().position(|letter| !is_letter(*letter, alphabet)) {
            return Err(no_letter(path, number, at + 1, line[at]));
        }
        row.length += line.len();
        row.aligned += line.iter().filter(|c| !c.is_ascii_lowercase() && **c != b'.').count();
        letters.write_all(line).map_err(spooling(path))?;
    }
    if rows.is_empty() {
        return Err(Error::file(path, "line 1", FASTA, "no sequence"));
    }
    Ok(Sequences { letters: letters.finish().map_err(spooling(path))?, rows })
}

const STOCKHOLM: &str = "an alignment in Stockholm's form: # STOCKHOLM 1.0, then lines of a name and a sequence, then //";
const BEGINNING: &[u8] = b"# STOCKHOLM";

/// Whether the text is one, whatever its file is called.
fn is_stockholm(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(BEGINNING)
}

/// Whether the file is called so.
fn is_named_stockholm(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let name = name.unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.ends_with(".sto") || name.ends_with(".stk")
}

/// The sequences in `text`, which stands in the file `path`, in the order in which their names first come. Lines of remarks (`#=GF`
/// and the like) are passed over. Errors for a file of several alignments.
fn read_stockholm(path: &Path, text: &Bytes, alphabet: Option<&Alphabet>) -> Result<Sequences> {
    let wrong = |line: usize, found: &[u8]| {
        let found = String::from_utf8_lossy(&found[..found.len().min(40)]).into_owned();
        Error::file(path, format!("line {line}"), STOCKHOLM, format!("`{found}`"))
    };
    let mut of_name: HashMap<Vec<u8>, usize> = HashMap::new();
    let (mut sequences, mut rows) = (Vec::<Vec<u8>>::new(), Vec::<Sequence>::new());
    let (mut number, mut read, mut is_open, mut is_closed) = (0, Vec::new(), false, false);
    let mut reader = BufReader::new(text.reader());
    loop {
        read.clear();
        if reader.read_until(b'\n', &mut read).map_err(|e| Error::io(path, e))? == 0 {
            break;
        }
        number += 1;
        let line = read.trim_ascii();
        if line.starts_with(BEGINNING) {
            if is_closed {
                let found = "another alignment behind the first (split the file)";
                return Err(Error::file(path, format!("line {number}"), "one alignment", found));
            }
            is_open = true;
            continue;
        }
        if !is_open && !line.is_empty() {
            return Err(wrong(number, line));
        }
        if line == b"//" {
            is_closed = true;
        }
        if line.is_empty() || line.starts_with(b"#") || line == b"//" {
            continue;
        }
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (Some(name), Some(letters), None) = (words.next(), words.next(), words.next()) else {
            return Err(wrong(number, line));
        };
        if let Some(at) = letters.iter().position(|letter| !is_letter(*letter, alphabet)) {
            let column = line.len() - letters.len() + at + 1;
            return Err(no_letter(path, number, column, letters[at]));
        }
        let at = *of_name.entry(name.to_vec()).or_insert_with(|| {
            let name = String::from_utf8_lossy(name).into_owned();
            rows.push(Sequence {
                place: format!("sequence {name:?}"),
                name,
                length: 0,
                aligned: 0,
            });
            sequences.push(Vec::new());
            rows.len() - 1
        });
        let (row, sequence) = (&mut rows[at], &mut sequences[at]);
        row.length += letters.len();
        row.aligned += letters.iter().filter(|c| !c.is_ascii_lowercase() && **c != b'.').count();
        sequence.extend_from_slice(letters);
    }
    if rows.is_empty() {
        return Err(Error::file(path, format!("line {}", number.max(1)), STOCKHOLM, "no sequence"));
    }
    if !is_closed {
        let found = "the end of the file (is it whole?)";
        return Err(Error::file(path, format!("line {number}"), "// at the end", found));
    }
    let mut letters = Spool::new();
    for sequence in &sequences {
        letters.write_all(sequence).map_err(spooling(path))?;
    }
    Ok(Sequences { letters: letters.finish().map_err(spooling(path))?, rows })
}
