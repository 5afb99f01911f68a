//! IDX files, the form of MNIST: a magic number, the dimensions, the bytes.

use std::path::{Path, PathBuf};

use rbm_core::{Error, Result};

use crate::bytes;
use crate::bytes::Bytes;
use crate::dataset::Examples;
use crate::labels;
use crate::matrix::{Element, ElementKind, MatrixLayout, RawMatrix};
use crate::view::View;

pub(crate) const LARGEST_PIXEL: f32 = 255.0;
const UNSIGNED_BYTE: u8 = 8;

/// The training and the test part of a folder, and the height and width of their pictures.
pub(crate) type IdxFolder = (Examples, Option<Examples>, (usize, usize));

/// The folder and what stands before `train-images…` in the names of its files, if `path` is a folder of such files of one name
/// only, or `FOLDER/NAME`: `emnist-letters-train-images-idx3-ubyte`. An error where the folder holds several.
pub(crate) fn find(path: &Path) -> Result<Option<(PathBuf, String)>> {
    if !path.is_dir() {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        let prefix = format!("{}-", name.to_string_lossy());
        let is_there = file(folder, &format!("{prefix}train"), PICTURES).is_ok();
        return Ok(is_there.then(|| (folder.to_owned(), prefix)));
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, e))?;
    let mut prefixes = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| Error::io(path, e))?.file_name();
        let name = name.to_string_lossy();
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        let stem = ["-", "."].iter().find_map(|mark| {
            stem.strip_suffix(&format!("train-{}{mark}idx{}-ubyte", PICTURES.word, PICTURES.rank))
        });
        prefixes.extend(stem.map(ToOwned::to_owned));
    }
    prefixes.sort();
    prefixes.dedup();
    if prefixes.len() > 1 {
        let names: Vec<_> = prefixes.iter().map(|prefix| prefix.trim_end_matches('-')).collect();
        let found = format!("those of {}", names.join(", "));
        let expected = "files of one name: choose one with FOLDER/NAME";
        return Err(Error::file(path, "folder of IDX files", expected, found));
    }
    Ok(prefixes.pop().map(|prefix| (path.to_owned(), prefix)))
}

/// The four files of MNIST in the folder `path`, or the two of its training part, whose names begin with `prefix`; pixels divided
/// by `scale` (255 if `None`).
pub(crate) fn read_folder(path: &Path, prefix: &str, scale: Option<f32>) -> Result<IdxFolder> {
    let (train, image) = read_part(path, &format!("{prefix}train"), scale)?;
    // EMNIST calls its test part so.
    let parts = ["t10k", "test"].map(|part| format!("{prefix}{part}"));
    let has =
        |part: &&String| file(path, part, PICTURES).is_ok() || file(path, part, LABELS).is_ok();
    let Some(part) = parts.iter().find(has) else {
        return Ok((train, None, image));
    };
    let (test, test_image) = read_part(path, part, scale)?;
    if test_image != image {
        let expected = format!("pictures of {} × {} pixels, as for training", image.0, image.1);
        let found = format!("{} × {}", test_image.0, test_image.1);
        return Err(Error::file(file(path, part, PICTURES)?, "dimensions", expected, found));
    }
    Ok((train, Some(test), image))
}

/// The labels in the IDX file `path`.
pub(crate) fn read_labels(path: &Path) -> Result<Vec<u32>> {
    let Idx { bytes, start, .. } = read(path, LABELS)?;
    Ok(bytes[start..].iter().copied().map(u32::from).collect())
}

fn read_part(
    folder: &Path,
    prefix: &str,
    scale: Option<f32>,
) -> Result<(Examples, (usize, usize))> {
    let pictures = file(folder, prefix, PICTURES)?;
    let label_file = file(folder, prefix, LABELS)?;
    let Idx { dimensions, bytes, start } = read(&pictures, PICTURES)?;
    let &[cases, height, width] = &dimensions[..] else {
        return Err(Error::file(pictures, "byte 3", "3 dimensions", dimensions.len().to_string()));
    };
    let classes = read_labels(&label_file)?;
    labels::check_count(&label_file, classes.len(), cases)?;
    let number = Element::little_endian(ElementKind::U8);
    let layout = MatrixLayout { start, count: cases, width: height * width, number };
    let scale = Some(scale.unwrap_or(LARGEST_PIXEL));
    let cases = View::from(RawMatrix::new(&pictures, bytes, layout, scale)?);
    Ok((Examples::of(cases, Some(classes))?, (height, width)))
}

/// What a file holds: the word for it in the file's name, and its number of dimensions.
#[derive(Clone, Copy)]
struct IdxKind {
    word: &'static str,
    rank: u8,
}

const PICTURES: IdxKind = IdxKind { word: "images", rank: 3 };
const LABELS: IdxKind = IdxKind { word: "labels", rank: 1 };

fn file(folder: &Path, prefix: &str, IdxKind { word, rank }: IdxKind) -> Result<PathBuf> {
    let stems = ["-", "."].map(|mark| format!("{prefix}-{word}{mark}idx{rank}-ubyte"));
    let names = stems.iter().flat_map(|stem| [stem.clone(), format!("{stem}.gz")]);
    names.map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        let expected = format!("a file {} or {}, plain or with .gz", stems[0], stems[1]);
        Error::file(folder, "folder of IDX files", expected, "no such file")
    })
}

struct Idx {
    dimensions: Vec<usize>,
    bytes: Bytes,
    /// Where the numbers begin.
    start: usize,
}

fn read(path: &Path, content: IdxKind) -> Result<Idx> {
    let form = format!("an IDX file of {}", content.word);
    let bytes = bytes::read_unzipped(path, &form)?;
    let start = dimensions_end(path, &bytes, content)?;
    let dimensions: Vec<_> = bytes[4..start].chunks_exact(4).map(big_endian).collect();
    if dimensions.contains(&0) {
        let found = format!("dimensions {dimensions:?}");
        return Err(Error::file(
            path,
            "byte 4",
            format!("at least one of the {}", content.word),
            found,
        ));
    }
    let declared = dimensions.iter().try_fold(1, |size: usize, &n| size.checked_mul(n));
    if declared != Some(bytes.len() - start) {
        let declared = declared.map_or("more".into(), |n| n.to_string());
        let expected = format!("{declared} bytes for dimensions {dimensions:?}");
        let found = format!("{} bytes", bytes.len() - start);
        return Err(Error::file(path, format!("byte {start}"), expected, found));
    }
    Ok(Idx { dimensions, bytes, start })
}

/// The length of the header of `file`, of which the magic number is checked here.
fn dimensions_end(path: &Path, file: &[u8], content: IdxKind) -> Result<usize> {
    let expected = [0, 0, UNSIGNED_BYTE, content.rank];
    let magic = file.get(..4).unwrap_or(file);
    if magic != expected {
        let expected =
            format!("the magic number {expected:02x?} of {} in unsigned bytes", content.word);
        return Err(Error::file(path, "byte 0", expected, format!("{magic:02x?}")));
    }
    let end = 4 + 4 * usize::from(content.rank);
    if file.len() < end {
        let found = format!("{} bytes: it is truncated", file.len());
        return Err(Error::file(path, "byte 4", format!("a header of {end} bytes"), found));
    }
    Ok(end)
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte))
}
