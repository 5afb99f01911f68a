//! Labels in a file of their own.

use std::path::Path;

use rbm_core::{Error, Result};

use crate::bytes;
use crate::formats::csv;
use crate::formats::idx;
use crate::formats::npy;
use crate::labels::{LabelColumn, Labels};
use crate::options::ReadOptions;

const FORMS: &str = "labels in a .npy file, an IDX file (idx in its name) or a .csv or .txt file, the last two plain or .gz";

/// The labels in the file `path`, in its order, and the names of the classes where they are no numbers from 0.
pub(crate) fn read(path: &Path) -> Result<Labels> {
    if !path.try_exists().map_err(|e| Error::io(path, e))? {
        return Err(Error::file(path, "file of labels", FORMS, "no file of this name"));
    }
    let name =
        path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    if name.ends_with(".npy") {
        npy::read_labels(path)
    } else if plain.ends_with(".csv") || plain.ends_with(".txt") {
        read_lines(path)
    } else if name.contains("idx") {
        Ok((idx::read_labels(path)?, None))
    } else {
        let found = path
            .extension()
            .map_or("no ending".into(), |ending| format!(".{}", ending.to_string_lossy()));
        Err(Error::file(path, "ending of the name", FORMS, found))
    }
}

fn read_lines(path: &Path) -> Result<Labels> {
    let form = "one label a line";
    let options = ReadOptions { label_column: Some(LabelColumn::First), ..ReadOptions::default() };
    let table = csv::parse(path, bytes::read_unzipped(path, form)?, &options)?;
    match table.labels {
        Some(labels) if table.width == 0 => Ok((labels, table.found.class_names)),
        _ => Err(Error::file(path, "line 1", form, format!("{} values", table.width + 1))),
    }
}
