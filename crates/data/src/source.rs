//! What a source's name means.

use std::path::{Path, PathBuf};

use rbm_core::{Error, Result};

use crate::built_in::{DIGITS, Population};
use crate::formats::debd::Suite;
use crate::formats::idx;
use crate::formats::pictures;

/// What a name of a source may be.
pub(crate) const SOURCES: &str = "`digits`, a folder of IDX files or of PNG files by class, the name of three files NAME.train.data and so on, or a file ending in .npy, .npz, .csv, .tsv, .txt, .data, .parquet, .svm, .libsvm, .fasta, .fa, .a2m, .sto, .stk or .safetensors";

/// Where the cases are.
pub(crate) enum Source<'a> {
    Digits,
    Population(Population),
    /// A folder of IDX files, or what the names of its files begin with.
    Folder(PathBuf, String),
    /// A folder of pictures, in a folder for each class.
    Pictures(&'a Path),
    Suite(Suite),
    File(&'a Path, SourceForm),
}

/// How a file of cases is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceForm {
    Npy,
    Npz,
    Csv,
    Parquet,
    Safetensors,
    Svmlight,
    /// FASTA or Stockholm.
    Alignment,
}

/// Whether `source` names a data set that is part of the program, and not a file or folder.
pub fn is_named(source: &str) -> bool {
    source == DIGITS || Population::is_named(source)
}

/// Whether `source` names a whole population, of which nothing is held out.
pub fn is_population(source: &str) -> bool {
    Population::is_named(source)
}

/// Whether `source` is a file of rows of numbers, a table or arrays, whose columns are told apart.
pub fn is_table(source: &str) -> bool {
    matches!(Source::of(source), Ok(Source::File(_, form)) if form.is_matrix())
}

/// Whether `source` is a folder or the beginning of the names of three files, `NAME.train.data` and its like.
pub fn is_suite(source: &str) -> bool {
    !is_named(source) && matches!(Suite::find(Path::new(source)), Ok(Some(_)) | Err(_))
}

/// Whether `source` is a file of sparse rows, which do not say how wide they are.
pub fn is_sparse(source: &str) -> bool {
    matches!(Source::of(source), Ok(Source::File(_, SourceForm::Svmlight)))
}

/// Whether `source` is a file of aligned sequences.
pub fn is_alignment(source: &str) -> bool {
    matches!(Source::of(source), Ok(Source::File(_, SourceForm::Alignment)))
}

/// Whether data are called or lie where `source` says, as far as names tell: a model's file is none.
pub fn is_data(source: &str) -> bool {
    let path = Path::new(source);
    if path.file_name().is_some_and(|name| name == "model.safetensors") {
        return false;
    }
    match Source::of(source) {
        Ok(Source::Folder(..)) => holds_idx(path),
        found => found.is_ok(),
    }
}

/// Whether there is any IDX file in the folder `path`.
fn holds_idx(path: &Path) -> bool {
    let entries = path.read_dir().into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().to_lowercase());
    names.any(|name| name.trim_end_matches(".gz").ends_with("-ubyte"))
}

impl<'a> Source<'a> {
    pub(crate) fn of(source: &'a str) -> Result<Self> {
        if source == DIGITS {
            return Ok(Self::Digits);
        }
        if Population::is_named(source) {
            return Ok(Self::Population(source.parse()?));
        }
        let path = Path::new(source);
        if let Some(suite) = Suite::find(path)? {
            return Ok(Self::Suite(suite));
        }
        if let Some((folder, prefix)) = idx::find(path)? {
            return Ok(Self::Folder(folder, prefix));
        }
        if !path.try_exists().map_err(|e| Error::io(path, e))? {
            let found = "no file or folder of this name";
            return Err(Error::file(path, "source of the data", SOURCES, found));
        }
        Ok(match path.is_dir() {
            true if pictures::is_folder(path) => Self::Pictures(path),
            true if !holds_idx(path) => return Err(pictures::not_a_folder(path)),
            true => Self::Folder(path.to_owned(), String::new()),
            false => Self::File(path, SourceForm::of(path)?),
        })
    }

    /// What the data set is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Digits => DIGITS.into(),
            Self::Population(population) => population.to_string(),
            Self::Suite(suite) => suite.name.clone(),
            Self::Folder(path, prefix) if prefix.is_empty() => name_of(path),
            Self::Folder(_, prefix) => prefix.trim_end_matches('-').to_owned(),
            Self::Pictures(path) | Self::File(path, _) => name_of(path),
        }
    }
}

impl SourceForm {
    /// Whether the file has columns with names and kinds of their own.
    pub(crate) fn is_table(self) -> bool {
        matches!(self, Self::Csv | Self::Parquet)
    }

    /// Whether what the values of a file are is not known from its form.
    pub(crate) fn is_matrix(self) -> bool {
        matches!(self, Self::Csv | Self::Parquet | Self::Npy | Self::Npz | Self::Safetensors)
    }

    const ENDINGS: &[(&str, SourceForm)] = &[
        (".npy", SourceForm::Npy),
        (".npz", SourceForm::Npz),
        (".parquet", SourceForm::Parquet),
        (".tsv", SourceForm::Csv),
        (".tsv.gz", SourceForm::Csv),
        (".txt", SourceForm::Csv),
        (".txt.gz", SourceForm::Csv),
        (".csv", SourceForm::Csv),
        (".csv.gz", SourceForm::Csv),
        (".data", SourceForm::Csv),
        (".data.gz", SourceForm::Csv),
        (".safetensors", SourceForm::Safetensors),
        (".svm", SourceForm::Svmlight),
        (".svm.gz", SourceForm::Svmlight),
        (".libsvm", SourceForm::Svmlight),
        (".libsvm.gz", SourceForm::Svmlight),
        (".fasta", SourceForm::Alignment),
        (".fasta.gz", SourceForm::Alignment),
        (".fa", SourceForm::Alignment),
        (".fa.gz", SourceForm::Alignment),
        (".a2m", SourceForm::Alignment),
        (".a2m.gz", SourceForm::Alignment),
        (".a3m", SourceForm::Alignment),
        (".a3m.gz", SourceForm::Alignment),
        (".afa", SourceForm::Alignment),
        (".afa.gz", SourceForm::Alignment),
        (".sto", SourceForm::Alignment),
        (".sto.gz", SourceForm::Alignment),
        (".stk", SourceForm::Alignment),
        (".stk.gz", SourceForm::Alignment),
    ];

    fn of(path: &Path) -> Result<Self> {
        let name =
            path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let form = Self::ENDINGS.iter().find(|(ending, _)| name.ends_with(ending));
        form.map(|&(_, form)| form).ok_or_else(|| {
            let found = match path.extension() {
                Some(extension) => format!(".{}", extension.to_string_lossy()),
                None => "no ending".into(),
            };
            Error::file(path, "ending of the name", SOURCES, found)
        })
    }
}

fn name_of(path: &Path) -> String {
    // `.` and `..` have no name of their own until they are resolved.
    let resolved = path.file_name().is_none().then(|| path.canonicalize().ok()).flatten();
    let path = resolved.as_deref().unwrap_or(path);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.is_dir() {
        return name;
    }
    let lower = name.to_lowercase();
    let ending = SourceForm::ENDINGS
        .iter()
        .map(|(ending, _)| ending)
        .find(|ending| lower.ends_with(**ending));
    match ending.and_then(|ending| name.get(..name.len() - ending.len())) {
        Some(stem) => stem.to_owned(),
        None => name,
    }
}
