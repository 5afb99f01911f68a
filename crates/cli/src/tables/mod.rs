//! Numbers of every case, in a file for other programs: side by side in `.npy`, by name and with labels in `.safetensors`,
//! in columns in `.parquet` and `.csv`.
//!
//! A block of cases is written while the next one is computed; no more than a few blocks, or a group of rows of a `.parquet`
//! file, are in memory at once.

mod table;

mod csv;
mod parquet;
mod safetensors;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use rbm_core::state::write_whole_by;

pub use self::table::{BESIDE, Columns, Table};
use crate::{npy, output};

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
