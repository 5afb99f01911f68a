//! Results on standard output: lines, tables, JSON.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width,
};
use console::{Term, measure_text_width};
use rbm_core::printable_lines;
use serde::Serialize;

/// The most characters of a note.
const MAX_NOTE_CHARACTERS: usize = 3000;
/// Columns of a table of texts where there is no terminal to ask.
const WIDTH: usize = 120;
/// Tables have a line below their header and no other.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

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

/// Errors where one of these options was given, which have no meaning here for the reason `why`.
pub fn refuse(options: &[(&str, bool)], why: &str) -> Result<()> {
    match options.iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(Usage::of(anyhow::anyhow!("{option}: {why}"))),
        None => Ok(()),
    }
}

/// Errors where any of the files `paths` is there already, unless they may be replaced.
pub fn check_free(paths: &[impl AsRef<Path>], force: bool) -> Result<()> {
    match paths.iter().map(AsRef::as_ref).find(|path| !force && path.exists()) {
        Some(path) => bail!("{}: exists already (--force replaces it)", path.display()),
        None => Ok(()),
    }
}

/// How names of files end that commands write into folders.
const FILES: [&str; 8] = ["csv", "fasta", "gif", "json", "npy", "png", "safetensors", "txt"];

/// Errors where a folder is to be and something else is, or a new one would have the name of a file.
pub fn check_folder(path: &Path) -> Result<()> {
    if path.exists() && !path.is_dir() {
        bail!("{}: expected a folder, or a name that is free, found a file", path.display());
    }
    check_folder_name(path)
}

/// Errors where a new folder would have the name of a file.
pub fn check_folder_name(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if FILES.contains(&ending) {
        let error = anyhow!(
            "{}: expected a folder, in which files are written, found the name of a file (.{ending})",
            path.display()
        );
        return Err(Usage::of(error));
    }
    Ok(())
}

/// Errors unless there are folders for these files.
pub fn check_folders(files: &[impl AsRef<Path>]) -> Result<()> {
    for file in files.iter().map(AsRef::as_ref) {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            bail!("{}: there is no folder {}", file.display(), folder.display());
        }
    }
    Ok(())
}

/// Makes the folder `path`, where it is not there yet.
pub fn make_folder(path: &Path) -> Result<()> {
    check_folder(path)?;
    std::fs::create_dir_all(path).with_context(|| path.display().to_string())
}

/// Whether notes are written as the log's JSON objects.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// From here on notes are JSON objects, as every line of the log.
pub fn note_as_json() {
    IS_JSON.store(true, Ordering::Relaxed);
}

/// Whether nothing is printed but errors and results.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// From here on [`note`] prints nothing.
pub fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// What [`note`] has printed.
static NOTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Tells the user something beside the results, once, unless they want nothing else.
pub fn note(text: impl AsRef<str>) {
    let is_new = NOTED.lock().is_ok_and(|mut noted| noted.insert(text.as_ref().to_owned()));
    if is_new && !IS_QUIET.load(Ordering::Relaxed) {
        error(text);
    }
}

/// Tells the user why a command ended. Perhaps nobody reads it. Names from files stand in it: of very long ones the beginning.
pub fn error(text: impl AsRef<str>) {
    let text = printable_lines(text.as_ref());
    let text = match text.char_indices().nth(MAX_NOTE_CHARACTERS) {
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

/// An error and its causes in one line, each once: many messages hold their cause already.
pub fn one_line(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| cause.to_string().trim().replace('\n', "; "));
    causes.fold(String::new(), |line, cause| match line.as_str() {
        "" => cause,
        line if line.ends_with(&cause) => line.to_owned(),
        line => format!("{line}: {cause}"),
    })
}

/// What is wrong with the arguments of `command`, in one line, of the several lines that say it.
pub fn of_arguments(text: &str, command: Option<&str>) -> String {
    let mut joined = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = line.strip_prefix("error: ").unwrap_or(line);
        if ["Usage:", "For more information"].iter().any(|start| line.starts_with(start)) {
            continue;
        }
        joined += match joined.chars().next_back() {
            None => "",
            Some(':') => " ",
            Some(_) if line.starts_with('[') => " ",
            Some(_) => "; ",
        };
        joined += line;
    }
    let command = command.map_or(String::new(), |command| format!(" {command}"));
    format!("{joined} (dbn{command} --help says more)")
}

/// Prints one JSON object.
pub fn json(value: &impl Serialize) -> Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// How the cells of a table's columns after the first stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cells {
    /// Words, from the left, broken between them where there is no room.
    Texts,
    /// From the right, never broken.
    Numbers,
}

/// A table whose first column is text and whose others are numbers. On a terminal that is too narrow, its rows come one under
/// another.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    arranged(header, &rows, terminal_width().unwrap_or(usize::MAX), Cells::Numbers)
}

/// A table of texts, as wide as the terminal at most. Where words would have to be cut, its rows come one under another.
pub fn texts(header: &[&str], rows: Vec<Vec<String>>) -> String {
    arranged(header, &rows, terminal_width().unwrap_or(WIDTH), Cells::Texts)
}

/// The columns of the terminal that standard output is, if it is one.
fn terminal_width() -> Option<usize> {
    let term = Term::stdout();
    term.size_checked().filter(|_| term.is_term()).map(|(_, columns)| usize::from(columns))
}

/// The rows beside each other, at most `width` wide. Else a block a row.
fn arranged(header: &[&str], rows: &[Vec<String>], width: usize, cells: Cells) -> String {
    let fits = |text: &String| text.lines().all(|line| measure_text_width(line) <= width);
    let whole = [3, 2, 1].into_iter().map(|gap| beside(header, rows, gap, cells, None)).find(fits);
    let broken = || {
        let gaps = [2, 1].into_iter().filter(|_| cells == Cells::Texts);
        gaps.map(|gap| beside(header, rows, gap, cells, Some(width))).find(fits)
    };
    whole.or_else(broken).unwrap_or_else(|| stacked(header, rows, width, cells))
}

/// The rows beside each other, with `gap` blanks between columns; broken into lines between words where there is a `width`.
fn beside(
    header: &[&str],
    rows: &[Vec<String>],
    gap: u16,
    cells: Cells,
    width: Option<usize>,
) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header).add_rows(rows);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        let gap = if i == 0 { 0 } else { gap };
        column.set_padding((gap, 0));
        if cells == Cells::Numbers && i > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if width.is_some() {
            let texts = rows.iter().filter_map(|row| row.get(i)).map(String::as_str);
            let words = texts.chain([header[i]]).flat_map(|text| text.split(' '));
            let longest = words.map(measure_text_width).max().unwrap_or(0) as u16 + gap;
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(longest)));
        }
    }
    table.trim_fmt()
}

/// A block a row: its first cell, and below it the other ones behind their headers; texts a line each.
fn stacked(header: &[&str], rows: &[Vec<String>], width: usize, cells: Cells) -> String {
    let block = |row: &Vec<String>| {
        let (first, others) = row.split_first().map_or(("", &[][..]), |(a, b)| (a.as_str(), b));
        let others = header.iter().skip(1).zip(others).filter(|(_, cell)| !cell.is_empty());
        let others: Vec<_> = others.map(|(name, cell)| format!("{name}: {cell}")).collect();
        let room = width.saturating_sub(2);
        let lines: Vec<_> = match cells {
            Cells::Texts => others.iter().flat_map(|text| wrapped(text, room)).collect(),
            Cells::Numbers => filled(others.iter().map(String::as_str), ", ", room),
        };
        let lines = lines.iter().map(|line| format!("\n  {line}")).collect::<String>();
        format!("{}{lines}", wrapped(first, width).join("\n"))
    };
    rows.iter().map(block).collect::<Vec<_>>().join("\n")
}

/// The text in lines, at most `width` wide where words allow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    filled(text.split(' '), " ", width)
}

/// Lines of such pieces, none of them broken, at most `width` wide where they allow.
fn filled<'a>(pieces: impl Iterator<Item = &'a str>, between: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line)
                if measure_text_width(line) + between.len() + measure_text_width(piece)
                    <= width =>
            {
                line.push_str(between);
                line.push_str(piece);
            }
            _ => lines.push(piece.to_owned()),
        }
    }
    lines
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

/// `-1.4532(12)`: the digits in brackets are the standard error in the last digits shown. Without an error, six places.
pub fn with_error(value: f64, error: f64) -> String {
    // An error that is what rounding makes of a value that never changes says nothing.
    let is_rounding = error <= 1e-12 * value.abs().max(1e-3);
    if is_rounding || !(error.is_finite() && value.is_finite()) {
        return number(value);
    }
    let places = (1.0 - error.log10().floor()).clamp(0.0, 12.0) as usize;
    let digits = (error * 10f64.powi(places as i32)).round();
    match digits < 1e6 && value.abs() < 1e15 {
        true => format!("{value:.places$}({digits})"),
        false => format!("{value:.6e} ± {error:.1e}"),
    }
}

/// With six places, or as a power of ten where that would be a row of digits or none.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e15 || (size < 1e-6 && size > 0.0) => format!("{value:.6e}"),
        _ => format!("{value:.6}"),
    }
}

/// An energy: a whole number as such, others with six places.
pub fn energy(value: f64) -> String {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => format!("{value:.0}"),
        false => number(value),
    }
}

/// How many there are, where double precision counts them one by one; else about how many.
pub fn counted(count: f64) -> String {
    match count {
        ..9e15 => format!("{count:.0}"),
        f64::INFINITY => "more than 1e308".to_owned(),
        _ => format!("about {count:.8e}"),
    }
}

/// As it would be typed: all digits, unless most of them are zeros.
pub fn short(value: f64) -> String {
    match value == 0.0 || (1e-6..1e15).contains(&value.abs()) {
        true => value.to_string(),
        false => format!("{value:e}"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches rows of three hundred digits, and numbers whose error hides them.
    #[test]
    fn numbers_are_short() {
        assert_eq!(with_error(-1.45321, 0.0012), "-1.4532(12)");
        assert_eq!(with_error(0.5, 0.0), "0.500000");
        assert_eq!(with_error(2e300, 1e299), "2.000000e300 ± 1.0e299");
        assert_eq!(
            (number(1e300), number(-2.5e-9)),
            ("1.000000e300".into(), "-2.500000e-9".into())
        );
        assert_eq!((short(2.5), short(1e-300)), ("2.5".into(), "1e-300".into()));
        assert_eq!((number(0.0), number(12.5)), ("0.000000".into(), "12.500000".into()));
    }

    /// Catches tables that a terminal of 60 columns breaks wherever a line ends.
    #[test]
    fn tables_fit_or_stack() {
        let header = ["layer", "reconstruction error", "pseudo-likelihood", "energy"];
        let row = |name: &str| [name, "0.1234", "-17.2", "-8.1"].map(str::to_owned).to_vec();
        let rows = vec![row("1: bernoulli"), row("2: gaussian")];
        for (width, is_stacked) in [(120, false), (80, false), (60, false), (57, true), (30, true)]
        {
            let text = arranged(&header, &rows, width, Cells::Numbers);
            assert_eq!(text.contains("\n  reconstruction error: 0.1234"), is_stacked, "{text}");
            assert!(is_stacked || text.lines().count() == 4, "{text}");
            let longest = text.lines().map(measure_text_width).max().unwrap_or(0);
            assert!(longest <= width, "{width}: {text}");
        }
        let long = vec![vec!["a name of more than twenty letters".to_owned(), "1".into()]];
        let text = arranged(&["result", "c1"], &long, 20, Cells::Numbers);
        assert!(text.lines().all(|line| measure_text_width(line) <= 20), "{text}");
        let texts =
            vec![vec!["mnist".to_owned(), "a sentence of several words, which is broken".into()]];
        let text = arranged(&["recipe", "for"], &texts, 30, Cells::Texts);
        assert!(text.lines().count() == 4 && text.contains("a sentence of several\n"), "{text}");
        assert!(text.lines().all(|line| measure_text_width(line) <= 30), "{text}");
    }
}
