//! NumPy arrays by name in an .npz file, as `numpy.savez` and `numpy.savez_compressed` write it.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use rbm_core::{Error, Result};
use zip::ZipArchive;

use crate::bytes::{Bytes, Spool, spooling};
use crate::dataset::Examples;
use crate::formats::npy::{self, Header, Image, PREFIX};
use crate::labels::{self, Labels};
use crate::options::ReadOptions;

const FORM: &str = "a NumPy .npz file";

/// What the arrays of cases are called, of those to learn from and of those held out, each with its labels' names.
const TRAIN: [(&str, &str); 9] = [
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
    ("X_train", "y_train"),
    ("x", "y"),
    ("X", "y"),
    ("data", "target"),
    ("data", "labels"),
    ("images", "labels"),
    ("cases", "labels"),
];
const TEST: [(&str, &str); 3] =
    [("x_test", "y_test"), ("test_images", "test_labels"), ("X_test", "y_test")];

/// The cases in the file `path`, those that it holds out, the size of its pictures and the names of its classes.
type Read = (Examples, Option<Examples>, Image, Option<Vec<String>>);

/// Reads `x_train`, `y_train`, `x_test` and `y_test`, as Keras lays them out, or `x` and `y` and their like.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<Read> {
    let mut arrays = Arrays::open(path)?;
    let names = arrays.names();
    let has = |name: &str| names.iter().any(|known| known == name);
    let find = |all: &[(&'static str, &'static str)]| {
        let both = all.iter().find(|(cases, labels)| has(cases) && has(labels));
        both.or_else(|| all.iter().find(|(cases, _)| has(cases))).copied()
    };
    let only = match &names[..] {
        [only] => Some((only.as_str(), "")),
        _ => None,
    };
    let Some(train) = find(&TRAIN).or(only) else {
        let expected = "an array `x_train`, `x`, `data` or `images`, or only one array";
        return Err(Error::file(path, "arrays", expected, names.join(", ")));
    };
    let test = find(&TEST);
    // Before anything is read.
    let of_train = arrays.shape(train.0)?;
    for (cases, of_cases) in std::iter::once(train).chain(test) {
        let shape = arrays.shape(cases)?;
        if let (Some(count), true) = (shape.first(), has(of_cases) && options.labels.is_none()) {
            let labels = arrays.shape(of_cases)?;
            labels::check_count(path, labels.first().copied().unwrap_or(0), *count)?;
        }
        let width = |shape: &[usize]| shape.iter().skip(1).product::<usize>();
        if width(&shape) != width(&of_train) {
            let expected = format!("{} values a case, as for training", width(&of_train));
            return Err(Error::file(path, "the test part", expected, width(&shape).to_string()));
        }
    }
    let mut part = |(cases, of_cases): (&str, &str)| -> Result<(Examples, Image, Option<Labels>)> {
        let (part, image) = npy::parse(path, arrays.bytes(cases)?, options)?;
        if !has(of_cases) || options.labels.is_some() {
            return Ok((part, image, None));
        }
        let labels = npy::parse_labels(path, &arrays.bytes(of_cases)?)?;
        Ok((part, image, Some(labels)))
    };
    let (mut train, image, labels) = part(train)?;
    let mut test = test.map(&mut part).transpose()?;
    let class_names = match (labels, test.as_mut().and_then(|(.., labels)| labels.take())) {
        (Some(of_train), Some(of_test)) => {
            let (of_train, of_test, names) = labels::united(of_train, of_test);
            train.labels = Some(of_train);
            if let Some((test, ..)) = &mut test {
                test.labels = Some(of_test);
            }
            names
        }
        (Some((of_train, names)), None) => {
            train.labels = Some(of_train);
            names
        }
        (None, _) => None,
    };
    Ok((train, test.map(|(test, ..)| test), image, class_names))
}

/// The arrays of a file.
pub struct Arrays {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

/// Shape and numbers of an array, row after row, each as the nearest `f32`.
pub type Array = (Vec<usize>, Vec<f32>);

impl Arrays {
    /// Opens the file `path`.
    ///
    /// # Errors
    ///
    /// Where it is no archive.
    pub fn open(path: &Path) -> Result<Self> {
        let file = BufReader::new(File::open(path).map_err(|e| Error::io(path, e))?);
        let archive = ZipArchive::new(file)
            .map_err(|e| Error::file(path, "the file", FORM, e.to_string()))?;
        Ok(Self { path: path.to_owned(), archive })
    }

    /// The names of the arrays, in alphabetical order.
    fn names(&self) -> Vec<String> {
        let names = self.archive.file_names().flatten();
        let mut names: Vec<_> =
            names.map(|name| name.trim_end_matches(".npy").to_owned()).collect();
        names.sort();
        names
    }

    /// What the array `name` says of itself, which is as long as it says. Only its beginning is read. Errors where there is
    /// none, with the names that there are.
    fn header(&mut self, name: &str) -> Result<Header> {
        let (path, names) = (self.path.clone(), self.names());
        let place = format!("array {name:?}");
        let wrong = |e: String| Error::file(&path, &place, npy::FORM, e);
        let entry = match self.archive.by_name(&format!("{name}.npy")) {
            Ok(entry) => entry,
            Err(zip::result::ZipError::FileNotFound) => {
                return Err(wrong(format!("none of this name among {}", names.join(", "))));
            }
            Err(e) => return Err(wrong(e.to_string())),
        };
        let (length, mut first) = (entry.size(), Vec::new());
        entry.take(PREFIX as u64).read_to_end(&mut first).map_err(|e| wrong(e.to_string()))?;
        let header = Header::of(&first, length).map_err(|wrong| {
            Error::file(&path, format!("{place}, {}", wrong.place), wrong.expected, wrong.found)
        })?;
        let Some(declared) = header.bytes() else {
            return Err(Error::file(&path, &place, npy::TYPES, header.dtype.descr()));
        };
        if length.checked_sub(header.start as u64) != Some(declared as u64) {
            let expected = format!("{declared} bytes for shape {:?}", header.shape);
            let found = format!("{}", length.saturating_sub(header.start as u64));
            return Err(Error::file(&path, &place, expected, found));
        }
        Ok(header)
    }

    /// The bytes of the array `name`, a .npy file. Errors where they are not as many as its header says.
    fn bytes(&mut self, name: &str) -> Result<Bytes> {
        self.header(name)?;
        let path = self.path.clone();
        let wrong = |e: String| Error::file(&path, format!("array {name:?}"), npy::FORM, e);
        let mut spool = Spool::new();
        let entry =
            self.archive.by_name(&format!("{name}.npy")).map_err(|e| wrong(e.to_string()))?;
        let length = entry.size();
        // One more than there are, so that the end is seen and the checksum with it.
        let copied = io::copy(&mut entry.take(length + 1), &mut spool);
        match copied.map_err(|e| wrong(e.to_string()))? {
            copied if copied == length => spool.finish().map_err(spooling(&path)),
            copied => Err(wrong(format!("{copied} bytes or more of {length}"))),
        }
    }

    /// The shape of the array `name`.
    ///
    /// # Errors
    ///
    /// Where there is none, with the names that there are, or where it is not as long as that.
    pub fn shape(&mut self, name: &str) -> Result<Vec<usize>> {
        Ok(self.header(name)?.shape)
    }

    /// The array `name`.
    ///
    /// # Errors
    ///
    /// Where there is none, with the names that there are, or where it is damaged.
    pub fn get(&mut self, name: &str) -> Result<Array> {
        let Header { dtype, is_fortran, shape, start } = self.header(name)?;
        let Some(number) = npy::number(&dtype) else {
            let place = format!("array {name:?}");
            return Err(Error::file(&self.path, place, npy::TYPES, dtype.descr()));
        };
        let bytes = self.bytes(name)?;
        let mut values = Vec::with_capacity(shape.iter().product());
        number.append(&bytes[start..], &mut values);
        Ok(match (is_fortran, &shape[..]) {
            (true, &[rows, columns]) => {
                let order = (0..rows).flat_map(|i| (0..columns).map(move |j| j * rows + i));
                (shape, order.map(|at| values[at]).collect())
            }
            _ => (shape, values),
        })
    }
}
