//! NumPy arrays by name in an .npz file, as `numpy.savez` and `numpy.savez_compressed` write it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use npyz::{NpyHeader, Order};
use rbm_core::{Error, Result};
use zip::ZipArchive;

use super::npy;

const FORM: &str = "a NumPy .npz file";

/// The arrays of a file.
pub(crate) struct Arrays {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

/// Shape and numbers of an array, row after row.
pub(crate) type Array = (Vec<usize>, Vec<f64>);

impl Arrays {
    /// Opens the file `path`. Errors where it is no archive.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = BufReader::new(File::open(path).map_err(|e| Error::io(path, e))?);
        let archive = ZipArchive::new(file)
            .map_err(|e| Error::file(path, "the file", FORM, e.to_string()))?;
        Ok(Self { path: path.to_owned(), archive })
    }

    /// The array `name`. Errors where there is none, with the names that there are, or where it is damaged.
    pub(crate) fn get(&mut self, name: &str) -> Result<Array> {
        let path = self.path.clone();
        let place = format!("array {name:?}");
        let mut names: Vec<_> =
            self.archive.file_names().flatten().map(|n| n.into_owned()).collect();
        names.sort();
        let wrong = |e: String| Error::file(&path, &place, npy::FORM, e);
        let mut bytes = Vec::new();
        match self.archive.by_name(&format!("{name}.npy")) {
            Ok(mut file) => file.read_to_end(&mut bytes).map_err(|e| wrong(e.to_string()))?,
            Err(zip::result::ZipError::FileNotFound) => {
                let names: Vec<_> =
                    names.iter().map(|name| name.trim_end_matches(".npy")).collect();
                return Err(wrong(format!("none of this name among {}", names.join(", "))));
            }
            Err(e) => return Err(wrong(e.to_string())),
        };
        npy::check_header(&path, &bytes)?;
        let mut rest: &[u8] = &bytes;
        let header = NpyHeader::from_reader(&mut rest).map_err(|e| wrong(e.to_string()))?;
        let Some(number) = npy::number(&header.dtype()) else {
            return Err(Error::file(&path, &place, npy::TYPES, header.dtype().descr()));
        };
        let shape: Vec<usize> = header.shape().iter().map(|&n| n as usize).collect();
        let expected = shape.iter().product::<usize>().checked_mul(number.size());
        if expected != Some(rest.len()) {
            let expected = format!("as many bytes as shape {shape:?} has");
            return Err(Error::file(&path, &place, expected, rest.len().to_string()));
        }
        let values = number.wide(rest);
        Ok(match (header.order(), &shape[..]) {
            (Order::Fortran, &[rows, columns]) => {
                let order = (0..rows).flat_map(|i| (0..columns).map(move |j| j * rows + i));
                (shape, order.map(|at| values[at]).collect())
            }
            _ => (shape, values),
        })
    }
}
