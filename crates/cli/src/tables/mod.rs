//! Numbers of every case, in a file for other programs: side by side in `.npy`, by name and with labels in `.safetensors`,
//! in columns in `.parquet` and `.csv`.
//!
//! A block of cases is written while the next one is computed; no more than a few blocks, or a group of rows of a `.parquet`
//! file, are in memory at once.

mod csv;
mod parquet;
mod safetensors;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor};
use rbm_core::state::write_whole_by;

use crate::{npy, output};

/// The column with the numbers of the cases.
const ROW: &str = "row";
/// The one with their classes, where they have any.
const LABEL: &str = "label";
/// The one with what they are called, where the source says it.
const NAME: &str = "name";
/// What stands beside the features.
pub const BESIDE: [&str; 3] = [ROW, LABEL, NAME];

/// The files that can be written.
#[derive(Clone, Copy)]
enum Form {
    Npy,
    Safetensors,
    Parquet,
    Csv,
}

impl Form {
    fn of(path: &Path) -> Result<Self> {
        Ok(match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Self::Npy,
            Some("safetensors") => Self::Safetensors,
            Some("parquet") => Self::Parquet,
            Some("csv") => Self::Csv,
            _ => bail!(
                "--out: expected a name ending in .npy, .safetensors, .parquet or .csv, found {}",
                path.display()
            ),
        })
    }
}

/// What the numbers of a feature are called.
pub enum Columns {
    /// By their numbers from 0, behind the feature's name; alone, by the feature's name.
    Numbered(usize),
    /// By these names, behind the feature's name.
    Named(Vec<String>),
    /// By the feature's name: each is the number of a class, and where classes have names, is written as its name.
    Class,
}

impl Columns {
    /// How many numbers there are.
    fn width(&self) -> usize {
        match self {
            Self::Numbered(width) => *width,
            Self::Named(names) => names.len(),
            Self::Class => 1,
        }
    }
}

/// What is written beside the features, and what they are called.
pub struct Table<'a> {
    /// The name of every feature, and what its numbers are called.
    pub named: Vec<(String, Columns)>,
    /// The number of every case in its source, from 0.
    pub rows: &'a [u32],
    /// The class of every case.
    pub labels: Option<&'a [u32]>,
    /// What every case is called.
    pub names: Option<&'a [String]>,
    /// What the classes are called, where they are not called by their numbers.
    pub class_names: Option<&'a [String]>,
}

impl Table<'_> {
    /// How many numbers a case has.
    fn width(&self) -> usize {
        self.named.iter().map(|(_, columns)| columns.width()).sum()
    }

    /// A name for each of them: `layer2_0`, `layer2_1`, …, or the feature's own where it has one number.
    fn columns(&self) -> impl Iterator<Item = String> {
        self.named.iter().flat_map(|(name, columns)| -> Vec<String> {
            match columns {
                Columns::Numbered(1) | Columns::Class => vec![name.clone()],
                Columns::Numbered(width) => (0..*width).map(|i| format!("{name}_{i}")).collect(),
                Columns::Named(names) => names.iter().map(|of| format!("{name}_{of}")).collect(),
            }
        })
    }

    /// Whether each of the numbers of a case stands for a class that has a name.
    fn is_class(&self) -> Vec<bool> {
        let columns = self.named.iter();
        let is_class = columns.flat_map(|(_, columns)| {
            let is_class = matches!(columns, Columns::Class) && self.class_names.is_some();
            std::iter::repeat_n(is_class, columns.width())
        });
        is_class.collect()
    }

    /// What the class with this number is called.
    fn class(&self, class: u32) -> String {
        let name = self.class_names.and_then(|names| names.get(class as usize));
        name.cloned().unwrap_or_else(|| class.to_string())
    }
}

/// Errors unless the file that `--out` names can be one of these, and is not there yet or may be replaced.
pub fn check(out: &Path, force: bool) -> Result<()> {
    Form::of(out)?;
    output::check_free(&[out], force)
}

/// Writes the features of `table`, a matrix for each in every block of cases, to `path`. What to say of it.
pub fn write(
    path: &Path,
    table: &Table<'_>,
    blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
) -> Result<String> {
    let form = Form::of(path)?;
    write_whole_by(path, |file| {
        std::thread::scope(|scope| {
            let (send, received) = mpsc::sync_channel(2);
            let writer = scope.spawn(move || write_blocks(form, file, table, received));
            for block in blocks {
                // The channel is closed where writing has failed, and then the writer says why.
                if send.send(block?).is_err() {
                    break;
                }
            }
            drop(send);
            let written = writer.join();
            let written = written.unwrap_or_else(|_| bail!("the thread that writes has panicked"));
            written.with_context(|| path.display().to_string())
        })
    })?;
    let widths = table.named.iter().map(|(_, columns)| columns.width().to_string());
    let widths: Vec<_> = widths.collect();
    let cases = output::grouped(table.rows.len() as u64);
    Ok(format!("{}: {cases} cases x {} features", path.display(), widths.join(" + ")))
}

/// Writes the same as comma-separated values to standard output.
pub fn print(table: &Table<'_>, blocks: impl Iterator<Item = Result<Vec<Tensor>>>) -> Result<()> {
    let matrices = blocks.map(|features| Ok(Tensor::cat(&features?, 1)?));
    csv::write(std::io::stdout().lock(), table, matrices).context("standard output")
}

fn write_blocks(
    form: Form,
    file: &mut File,
    table: &Table<'_>,
    blocks: mpsc::Receiver<Vec<Tensor>>,
) -> Result<()> {
    let buffered = |file| BufWriter::with_capacity(1 << 20, file);
    let shape = (table.rows.len(), table.width());
    match form {
        Form::Npy => npy::write(buffered(file), shape, side_by_side(blocks)),
        Form::Safetensors => safetensors::write(file, table, blocks),
        Form::Parquet => parquet::write(buffered(file), table, side_by_side(blocks)),
        Form::Csv => csv::write(buffered(file), table, side_by_side(blocks)),
    }
}

/// All features of every block as one matrix.
fn side_by_side(blocks: mpsc::Receiver<Vec<Tensor>>) -> impl Iterator<Item = Result<Tensor>> {
    blocks.into_iter().map(|features| Ok(Tensor::cat(&features, 1)?))
}

/// The numbers of a matrix, row after row.
fn values(matrix: &Tensor) -> Result<Vec<f32>> {
    Ok(matrix.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
