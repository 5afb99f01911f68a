//! FASTA, and the A2M of HMMER and HH-suite.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use rbm_core::{Error, Result};

use crate::alphabet::Alphabet;
use crate::bytes::{Bytes, Spool, spooling};
use crate::formats::sequences::{Row, Sequences, is_letter, no_letter};

pub(crate) const FORM: &str = "an alignment: lines that begin with >, each before its sequence";

/// The sequences in `text`, which stands in the file `path`; of `alphabet` those letters too that are no letters elsewhere.
pub(crate) fn read(path: &Path, text: &Bytes, alphabet: Option<&Alphabet>) -> Result<Sequences> {
    let (mut letters, mut rows) = (Spool::new(), Vec::<Row>::new());
    let mut reader = BufReader::new(text.reader());
    let (mut number, mut read) = (0, Vec::new());
    loop {
        read.clear();
        let length = reader.read_until(b'\n', &mut read).map_err(|e| Error::io(path, e))?;
        number += 1;
        let header = read.strip_prefix(b">");
        if let Some(row) = rows.last_mut().filter(|_| header.is_some() || length == 0) {
            row.place = format!("the sequence before line {number}");
        }
        if length == 0 {
            break;
        }
        if let Some(name) = header {
            let name = String::from_utf8_lossy(name.trim_ascii()).into_owned();
            rows.push(Row { name, place: String::new(), length: 0, aligned: 0 });
            continue;
        }
        let line = read.trim_ascii();
        let Some(row) = rows.last_mut() else {
            if line.is_empty() {
                continue;
            }
            let found = String::from_utf8_lossy(&line[..line.len().min(20)]).into_owned();
            return Err(Error::file(path, format!("line {number}"), FORM, format!("`{found}`")));
        };
        if let Some(at) = line.iter().position(|letter| !is_letter(*letter, alphabet)) {
            return Err(no_letter(path, number, at + 1, line[at]));
        }
        row.length += line.len();
        row.aligned += line.iter().filter(|c| !c.is_ascii_lowercase() && **c != b'.').count();
        letters.write_all(line).map_err(spooling(path))?;
    }
    if rows.is_empty() {
        return Err(Error::file(path, "line 1", FORM, "no sequence"));
    }
    Ok(Sequences { letters: letters.finish().map_err(spooling(path))?, rows })
}
