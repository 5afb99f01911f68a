//! Density estimation: three files of zeros and ones, the form of the twenty data sets of that literature.
//!
//! `NAME.train.data`, `NAME.valid.data` and `NAME.test.data`, plain or with `.gz`: a case a line, commas between its zeros
//! and ones, no header (Lowd, Davis 2010; Van Haaren, Davis 2012). Log-likelihoods of the test part, in nats, are comparable
//! with everyone's.

use std::path::{Path, PathBuf};

use rbm_core::{Error, Result};

use crate::dataset::Examples;
use crate::formats::csv;

/// What the names of the files of each part end in.
const PARTS: [&str; 3] = [".train.data", ".valid.data", ".test.data"];

/// Three files of one name in a folder.
pub(crate) struct Suite {
    folder: PathBuf,
    pub(crate) name: String,
}

impl Suite {
    /// The files that `path` means: `FOLDER/NAME`, or the folder where it holds those of one name only. `None` where there is
    /// no training part of such a name; an error where the folder holds several.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>> {
        if !path.is_dir() {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                return Ok(None);
            };
            let suite = Self { folder: folder.into(), name: name.to_string_lossy().into_owned() };
            return Ok(suite.file(PARTS[0]).is_ok().then_some(suite));
        }
        let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, e))?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| Error::io(path, e))?.file_name();
            let name = name.to_string_lossy();
            let plain = name.strip_suffix(".gz").unwrap_or(&name);
            names.extend(plain.strip_suffix(PARTS[0]).map(str::to_owned));
        }
        names.sort();
        names.dedup();
        if names.len() > 1 {
            let found = format!("those of {}", names.join(", "));
            let expected = "files of one name: choose one with FOLDER/NAME";
            return Err(Error::file(path, "folder of *.train.data", expected, found));
        }
        Ok(names.pop().map(|name| Self { folder: path.into(), name }))
    }

    /// The training, validation and test part, each value divided by `scale`.
    pub(crate) fn read(&self, scale: Option<f32>) -> Result<[Examples; 3]> {
        let paths = PARTS.map(|ending| self.file(ending));
        let [train, validation, test] = paths.map(|path| -> Result<_> {
            let path = path?;
            Ok((csv::read_bits(&path, scale)?, path))
        });
        let ((train, _), others) = (train?, [validation?, test?]);
        for (part, path) in &others {
            if part.width() != train.width() {
                let expected = format!("{} values, as for training", train.width());
                return Err(Error::file(path, "line 1", expected, part.width().to_string()));
            }
        }
        let [(validation, _), (test, _)] = others;
        Ok([train, validation, test])
    }

    fn file(&self, ending: &str) -> Result<PathBuf> {
        let name = format!("{}{ending}", self.name);
        let names = [name.clone(), format!("{name}.gz")];
        let found =
            names.map(|name| self.folder.join(name)).into_iter().find(|path| path.is_file());
        found.ok_or_else(|| {
            let expected = format!("a file {name}, plain or with .gz");
            Error::file(&self.folder, "folder of three parts", expected, "no such file")
        })
    }
}
