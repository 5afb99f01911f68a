//! Data sets: cases as the rows of a matrix, read from a file, a folder, or the program itself.
//!
//! | source | what is read |
//! | --- | --- |
//! | `digits` | 1,797 pictures of digits, 8×8, embedded in the program |
//! | a folder | the IDX files of MNIST and its successors, plain or gzipped |
//! | `*.npy` | NumPy: numbers or booleans, `(n, width)` or `(n, height, width)` |
//! | `*.csv`, `*.csv.gz`, `*.data`, `*.data.gz` | numbers between commas, a case a line, with or without a header |
//! | `*.safetensors` | a tensor `cases`, `data`, `x`, `samples` or `images`, or the only matrix there is |
//!
//! Every reader refuses what it cannot vouch for with an error that names the file, the place, what should stand there
//! and what does.

mod bytes;
mod cases;
mod csv;
mod digits;
mod idx;
mod label_file;
mod labels;
mod map;
mod npy;
mod number;
mod part;
mod safetensors;
mod split;
mod stored;

use std::path::{Path, PathBuf};

use rbm_core::{Error, Result};

pub use self::cases::Cases;
pub use self::labels::LabelColumn;
pub use self::part::{Part, check_range};
pub use self::split::{hold_out, split};

const SOURCES: &str = "`digits`, a folder of IDX files, or a file ending in .npy, .csv, .csv.gz, .data, .data.gz or .safetensors";

/// A data set as it was read.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// `digits`, or the name of the file or folder, without its ending.
    pub name: String,
    /// The cases to learn from.
    pub train: Part,
    /// The cases that the source itself sets apart for testing (the `t10k` files of an IDX folder); else see [`hold_out`].
    pub held_out: Option<Part>,
    /// The number of classes, one more than the largest label; `None` where there are no labels.
    pub classes: Option<usize>,
    /// Height and width in pixels, where the source says that its cases are pictures.
    pub image: Option<(usize, usize)>,
}

/// What a source does not say about itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Every value as the source has it is divided by this; finite and above 0. `None`: by 16 for `digits` and by 255 for
    /// IDX files, which then lie in [0, 1], and by nothing for all others.
    pub scale: Option<f32>,
    /// Labels in a file of their own: `.npy`, IDX (a name with `idx` in it), or one whole number a line in `.csv` or
    /// `.txt`; the latter two plain or gzipped. Not for `digits` and IDX folders, which have their own.
    pub labels: Option<PathBuf>,
    /// The column of the labels in a CSV file. `None`: the one that the header calls label, class, target or y.
    pub label_column: Option<LabelColumn>,
}

/// Reads `digits`, a folder of IDX files, or a `.npy`, `.csv`, `.csv.gz`, `.data`, `.data.gz` or `.safetensors` file.
///
/// # Errors
///
/// [`Error::File`] where there is no such source or its contents are damaged, empty, of a wrong shape or type, not finite,
/// or where labels and cases differ in number; [`Error::Io`] where the operating system refuses to read; [`Error::Invalid`]
/// for options that do not fit the source.
pub fn load(source: &str, options: &Options) -> Result<Dataset> {
    options.check(source)?;
    if source == digits::NAME {
        let train = digits::load(options.scale)?;
        return Ok(Dataset::new(digits::NAME.into(), train, None, Some(digits::IMAGE)));
    }
    let path = Path::new(source);
    if !path.try_exists().map_err(|e| Error::io(path, e))? {
        return Err(Error::file(
            path,
            "source of the data",
            SOURCES,
            "no file or folder of this name",
        ));
    }
    if path.is_dir() {
        let (train, held_out, image) = idx::read_folder(path, options.scale)?;
        return Ok(Dataset::new(name_of(path), train, held_out, Some(image)));
    }
    let (mut train, image) = match Form::of(path)? {
        Form::Npy => npy::read(path, options.scale)?,
        Form::Csv => (csv::read(path, options.label_column.as_ref(), options.scale)?, None),
        Form::Safetensors => safetensors::read(path, options.scale)?,
    };
    if let Some(file) = &options.labels {
        let labels = label_file::read(file)?;
        labels::check_count(file, labels.len(), train.len())?;
        train.labels = Some(labels);
    }
    Ok(Dataset::new(name_of(path), train, None, image))
}

impl Dataset {
    fn new(
        name: String,
        train: Part,
        held_out: Option<Part>,
        image: Option<(usize, usize)>,
    ) -> Self {
        let parts = [Some(&train), held_out.as_ref()];
        let labels = parts.into_iter().flatten().filter_map(|part| part.labels.as_ref()).flatten();
        let classes = labels.max().map(|&largest| largest as usize + 1);
        Self { name, train, held_out, classes, image }
    }
}

impl Options {
    fn check(&self, source: &str) -> Result<()> {
        if let Some(scale) = self.scale
            && !(scale.is_finite() && scale > 0.0)
        {
            return Err(Error::invalid("scale", "a finite number above 0", scale.to_string()));
        }
        let path = Path::new(source);
        let has_its_own = source == digits::NAME || path.is_dir();
        if let (Some(file), true) = (&self.labels, has_its_own) {
            let expected = format!("none for `{source}`, which has labels of its own");
            return Err(Error::invalid("file of labels", expected, file.display().to_string()));
        }
        let Some(column) =
            self.label_column.as_ref().filter(|&column| *column != LabelColumn::None)
        else {
            return Ok(());
        };
        if self.labels.is_some() {
            return Err(Error::invalid(
                "labels",
                "one place to take them from",
                "a column and a file",
            ));
        }
        if has_its_own || matches!(Form::of(path), Ok(Form::Npy | Form::Safetensors)) {
            let expected = format!("none for `{source}`: only a CSV file has one");
            return Err(Error::invalid("label column", expected, format!("{column:?}")));
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Form {
    Npy,
    Csv,
    Safetensors,
}

impl Form {
    const ENDINGS: [(&str, Form); 6] = [
        (".npy", Form::Npy),
        (".csv", Form::Csv),
        (".csv.gz", Form::Csv),
        (".data", Form::Csv),
        (".data.gz", Form::Csv),
        (".safetensors", Form::Safetensors),
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
    let ending =
        Form::ENDINGS.iter().map(|(ending, _)| ending).find(|ending| lower.ends_with(**ending));
    match ending.and_then(|ending| name.get(..name.len() - ending.len())) {
        Some(stem) => stem.to_owned(),
        None => name,
    }
}
