//! Sparse rows as text, the form of SVMlight and LIBSVM: `label index:value index:value …`, a case a line.

use std::io::{BufRead, BufReader};
use std::path::Path;

use rbm_core::{Error, Result};

use crate::bytes::{Bytes, read_unzipped};
use crate::dataset::{Dataset, Examples};
use crate::labels::{self, LabelColumn, NumberedLabels};
use crate::matrix::SparseMatrix;
use crate::options::ReadOptions;
use crate::view::View;

const FORM: &str = "lines of a label and of index:value pairs";
/// The largest index, and the most values a case: what a recipe allows for the units of a layer. Rows are sparse in memory, but
/// a machine has weights for each value.
const MAX_INDEX: u32 = 1 << 20;

/// The cases in the file `path`, plain or gzipped, as wide as the largest index or as `options` say.
///
/// Indices count from 1, or from 0 if there is an index 0, unless a model knows. What follows a `#` and `qid:` pairs are passed over. Labels are
/// whole numbers, -1 and 1 among them; where they are all the same there are none.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<(Dataset, Option<Vec<String>>)> {
    let text = read_unzipped(path, FORM)?;
    let lines = Lines::of(path, &text, options.scale.unwrap_or(1.0))?;
    let first = match options.known.first_index {
        // A file of few cases may lack the index 0 that others have.
        Some(known) if known == 0 || !lines.has_index_0 => known,
        _ => {
            if lines.has_index_0 {
                0
            } else {
                1
            }
        }
    };
    let needed = (lines.largest.index + 1).saturating_sub(first) as usize;
    let width = options.width.unwrap_or(needed);
    if width < needed {
        let expected = format!("at most {width} values a case");
        let place = line(lines.largest.line);
        let found = format!("index {}, counted from {first}", lines.largest.index);
        return Err(Error::file(path, place, expected, found));
    }
    if width > MAX_INDEX as usize {
        let expected = format!("at most {MAX_INDEX} values a case");
        return Err(Error::file(path, "width", expected, width.to_string()));
    }
    if width == 0 {
        return Err(Error::file(path, "cases", "at least one value", "none"));
    }
    let columns = lines.indices.into_iter().map(|index| index - first).collect();
    let is_unlabelled = options.labels.is_some() || options.label_column == Some(LabelColumn::None);
    let classes = if is_unlabelled { None } else { classes(path, &lines.labels, &lines.numbers)? };
    let sparse = SparseMatrix::new(width, lines.starts, columns, lines.values);
    let (classes, names) = classes.unzip();
    let is_counts = sparse.are_counts();
    let train = Examples::of(View::from(sparse), classes)?;
    let dataset = Dataset { is_counts, first_index: Some(first), ..Dataset::of(train) };
    Ok((dataset, names.flatten()))
}

/// What the lines of a file say.
struct Lines {
    labels: Vec<f64>,
    /// The number of each case's line, from 1.
    numbers: Vec<usize>,
    starts: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
    has_index_0: bool,
    largest: Largest,
}

/// The largest index, and the line of it.
struct Largest {
    index: u32,
    line: usize,
}

impl Lines {
    fn of(path: &Path, text: &Bytes, scale: f32) -> Result<Self> {
        let mut lines = Self {
            labels: Vec::new(),
            numbers: Vec::new(),
            starts: vec![0],
            indices: Vec::new(),
            values: Vec::new(),
            has_index_0: false,
            largest: Largest { index: 0, line: 1 },
        };
        let mut reader = BufReader::new(text.reader());
        let (mut number, mut read) = (0, Vec::new());
        loop {
            read.clear();
            if reader.read_until(b'\n', &mut read).map_err(|e| Error::io(path, e))? == 0 {
                break;
            }
            number += 1;
            let refused = |expected: &str, found: &str| {
                Error::file(path, line(number), expected, format!("`{found}`"))
            };
            let text = std::str::from_utf8(&read)
                .map_err(|e| Error::file(path, line(number), FORM, e.to_string()))?;
            let text = text.split('#').next().unwrap_or_default();
            let mut words = text.split_ascii_whitespace();
            let Some(label) = words.next() else { continue };
            match label.parse::<f64>() {
                Ok(label) if label.is_finite() => lines.labels.push(label),
                _ => return Err(refused("a label: a number", label)),
            }
            lines.numbers.push(number);
            let mut least = 0;
            for word in words.filter(|word| !word.starts_with("qid:")) {
                let pair = word.split_once(':');
                let index = pair.and_then(|(index, _)| index.parse::<u32>().ok());
                let value = pair.and_then(|(_, value)| value.parse::<f32>().ok());
                let value = value.map(|value| value / scale).filter(|value| value.is_finite());
                let (Some(index), Some(value)) = (index, value) else {
                    return Err(refused("index:value with a finite number", word));
                };
                if index < least || index > MAX_INDEX {
                    let expected =
                        format!("an index from {least} to {MAX_INDEX}, in ascending order");
                    return Err(refused(&expected, word));
                }
                least = index + 1;
                lines.has_index_0 |= index == 0;
                if index > lines.largest.index {
                    lines.largest = Largest { index, line: number };
                }
                lines.indices.push(index);
                lines.values.push(value);
            }
            lines.starts.push(lines.indices.len());
        }
        if lines.labels.is_empty() {
            return Err(Error::file(path, "line 1", FORM, "an empty file"));
        }
        Ok(lines)
    }
}

fn line(number: usize) -> String {
    format!("line {number}")
}

fn classes(path: &Path, found: &[f64], numbers: &[usize]) -> Result<Option<NumberedLabels>> {
    if found.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(None);
    }
    if let Some(at) = found.iter().position(|label| label.fract() != 0.0) {
        let expected = "a label: a whole number";
        return Err(Error::file(path, line(numbers[at]), expected, found[at].to_string()));
    }
    labels::classes(path, found).map(Some)
}
