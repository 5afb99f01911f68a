//! Results on standard output: lines, tables, JSON.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use rbm_core::printable_lines;
use serde::Serialize;

/// The most characters of a note.
const LONGEST: usize = 3000;
/// Columns of a table of texts where there is no terminal to ask.
const WIDTH: u16 = 120;

/// What was typed, or what stands in a recipe, is wrong: the program ends as after wrong arguments.
#[derive(Debug)]
pub struct Usage(anyhow::Error);

impl Usage {
    /// The exit code.
    pub const CODE: u8 = 2;

    /// Says that `error` is one of usage.
    pub fn of(error: impl Into<anyhow::Error>) -> anyhow::Error {
        anyhow::Error::new(Self(error.into()))
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.0))
    }
}

impl std::error::Error for Usage {}

/// Prints a line.
pub fn line(text: impl AsRef<str>) -> Result<()> {
    let written = writeln!(io::stdout().lock(), "{}", printable_lines(text.as_ref()));
    written.context("standard output")
}

/// Errors where any of the files `paths` is there already, unless they may be replaced.
pub fn check_free(paths: &[impl AsRef<Path>], force: bool) -> Result<()> {
    match paths.iter().map(AsRef::as_ref).find(|path| !force && path.exists()) {
        Some(path) => bail!("{}: exists already (--force replaces it)", path.display()),
        None => Ok(()),
    }
}

/// Whether notes are written as the log's JSON objects.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// From here on notes are JSON objects, as every line of the log.
pub fn note_as_json() {
    IS_JSON.store(true, Ordering::Relaxed);
}

/// Tells the user something beside the results. Perhaps nobody reads it. Names from files stand in it: of very long ones the
/// beginning.
pub fn note(text: impl AsRef<str>) {
    let text = printable_lines(text.as_ref());
    let text = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} more bytes)", &text[..end], text.len() - end),
        None => text,
    };
    let _ = match IS_JSON.load(Ordering::Relaxed) {
        false => writeln!(io::stderr().lock(), "{text}"),
        true => {
            let timestamp = jiff::Timestamp::now().to_string();
            let event = serde_json::json!({
                "timestamp": timestamp, "level": "NOTE", "fields": { "message": text }, "target": "dbn"
            });
            writeln!(io::stderr().lock(), "{event}")
        }
    };
}

/// An error and its causes in one line, each said once: many messages hold their cause already.
pub fn one_line(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| cause.to_string().trim().replace('\n', "; "));
    causes.fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        said if said.ends_with(&cause) => said.to_owned(),
        said => format!("{said}: {cause}"),
    })
}

/// Prints one JSON object.
pub fn json(value: &impl Serialize) -> Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// A table whose first column is text and whose others are numbers.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// A table of texts, as wide as the terminal.
pub fn texts(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header).add_rows(rows);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !io::stdout().is_terminal() {
        table.set_width(WIDTH);
    }
    table.to_string()
}

/// Whether `error` says that nobody reads our output any more.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| {
        let of_csv = cause.downcast_ref::<csv::Error>().and_then(|error| match error.kind() {
            csv::ErrorKind::Io(io) => Some(io),
            _ => None,
        });
        of_csv.or_else(|| cause.downcast_ref::<io::Error>())
    });
    io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
}

/// 12345678 as 12,345,678.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}
