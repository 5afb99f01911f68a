//! Numbers of every case, in a file for other programs: side by side in `.npy`, by name and with labels in `.safetensors`.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use dbn::Part;
use rbm_core::checkpoint::{write_whole, write_whole_by};

use crate::{npy, output};

/// Errors unless the file that `--out` names can be one of these, and is not there yet or may be replaced.
pub fn check(out: &Path, force: bool) -> Result<()> {
    let name = out.display();
    is_npy(out)?;
    ensure!(force || !out.exists(), "{name}: exists already (--force replaces it)");
    Ok(())
}

/// Writes the features with these names and widths, a matrix for each in every block of cases, to `path`. What to say of it.
pub fn write(
    path: &Path,
    named: &[(String, usize)],
    blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
    part: &Part,
) -> Result<String> {
    if is_npy(path)? {
        let width = named.iter().map(|(_, width)| width).sum();
        write_npy(path, (part.len(), width), blocks)?;
    } else {
        write_safetensors(path, named, blocks, part)?;
    }
    let widths: Vec<_> = named.iter().map(|(_, width)| width.to_string()).collect();
    let cases = output::grouped(part.len() as u64);
    Ok(format!("{}: {cases} cases x {} features", path.display(), widths.join(" + ")))
}

fn is_npy(path: &Path) -> Result<bool> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => Ok(true),
        Some("safetensors") => Ok(false),
        _ => {
            bail!("--out: expected a name ending in .npy or .safetensors, found {}", path.display())
        }
    }
}

/// All features side by side. A block is written while the next one is computed.
fn write_npy(
    path: &Path,
    shape: (usize, usize),
    blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
) -> Result<()> {
    write_whole_by(path, |file| {
        std::thread::scope(|scope| {
            let (send, received) = mpsc::sync_channel(2);
            let writer = scope.spawn(move || {
                npy::write(BufWriter::with_capacity(1 << 20, file), shape, received)
            });
            for block in blocks {
                // The channel is closed where writing has failed, and then the writer says why.
                if send.send(Tensor::cat(&block?, 1)?).is_err() {
                    break;
                }
            }
            drop(send);
            let written = writer.join();
            let written = written.unwrap_or_else(|_| bail!("the thread that writes has panicked"));
            written.with_context(|| path.display().to_string())
        })
    })
}

/// A tensor for each feature, and the labels as 64-bit integers, which every reader of the format knows.
fn write_safetensors(
    path: &Path,
    named: &[(String, usize)],
    blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
    part: &Part,
) -> Result<()> {
    let blocks = blocks.collect::<Result<Vec<_>>>()?;
    let mut tensors = BTreeMap::new();
    for (i, (name, _)) in named.iter().enumerate() {
        let column: Vec<_> = blocks.iter().map(|features| &features[i]).collect();
        tensors.insert(name.clone(), Tensor::cat(&column, 0)?);
    }
    if let Some(labels) = &part.labels {
        let labels = labels.iter().map(|&label| i64::from(label));
        tensors.insert("labels".into(), Tensor::from_iter(labels, &Device::Cpu)?);
    }
    Ok(write_whole(path, &safetensors::serialize(&tensors, None).context("features")?)?)
}
