//! Stockholm, the form of Pfam and Rfam.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use rbm_core::{Error, Result};

use crate::alphabet::Alphabet;
use crate::bytes::{Bytes, Spool, spooling};
use crate::formats::sequences::{Row, Sequences, is_letter, no_letter};

const FORM: &str = "an alignment in Stockholm's form: # STOCKHOLM 1.0, then lines of a name and a sequence, then //";
const BEGINNING: &[u8] = b"# STOCKHOLM";

/// Whether the text is one, whatever its file is called.
pub(crate) fn is_meant_by(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(BEGINNING)
}

/// Whether the file is called so.
pub(crate) fn is_named(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let name = name.unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.ends_with(".sto") || name.ends_with(".stk")
}

/// The sequences in `text`, which stands in the file `path`, in the order in which their names first come. Lines of remarks (`#=GF`
/// and the like) are passed over. Errors for a file of several alignments.
pub(crate) fn read(path: &Path, text: &Bytes, alphabet: Option<&Alphabet>) -> Result<Sequences> {
    let wrong = |line: usize, found: &[u8]| {
        let found = String::from_utf8_lossy(&found[..found.len().min(40)]).into_owned();
        Error::file(path, format!("line {line}"), FORM, format!("`{found}`"))
    };
    let mut of_name: HashMap<Vec<u8>, usize> = HashMap::new();
    let (mut sequences, mut rows) = (Vec::<Vec<u8>>::new(), Vec::<Row>::new());
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
            rows.push(Row { place: format!("sequence {name:?}"), name, length: 0, aligned: 0 });
            sequences.push(Vec::new());
            rows.len() - 1
        });
        let (row, sequence) = (&mut rows[at], &mut sequences[at]);
        row.length += letters.len();
        row.aligned += letters.iter().filter(|c| !c.is_ascii_lowercase() && **c != b'.').count();
        sequence.extend_from_slice(letters);
    }
    if rows.is_empty() {
        return Err(Error::file(path, format!("line {}", number.max(1)), FORM, "no sequence"));
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
