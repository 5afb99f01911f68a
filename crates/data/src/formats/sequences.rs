//! The sequences of an alignment, letter for letter.

use std::path::Path;

use rbm_core::Error;

use crate::alphabet::{Alphabet, GAP};
use crate::bytes::Bytes;

/// The aligned sequences of a file, letter for letter.
pub(crate) struct Sequences {
    /// One sequence after the other.
    pub letters: Bytes,
    /// Where they end and what they are called.
    pub rows: Vec<Row>,
}

/// A sequence.
pub(crate) struct Row {
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
pub(crate) fn is_letter(letter: u8, alphabet: Option<&Alphabet>) -> bool {
    letter.is_ascii_alphabetic()
        || [GAP, b'.'].contains(&letter)
        || alphabet.is_some_and(|alphabet| alphabet.code(letter).is_some())
}

/// Errors for the letter in this place, from 1, of `line` of the file.
pub(crate) fn no_letter(path: &Path, line: usize, column: usize, letter: u8) -> Error {
    let place = format!("line {line}, column {column}");
    let expected = "the letter of an amino acid or a nucleotide, or - for a gap";
    Error::file(path, place, expected, format!("`{}`", char::from(letter).escape_default()))
}
