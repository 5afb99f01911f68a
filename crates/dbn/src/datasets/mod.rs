//! Data sets: cases as the rows of a matrix, read from a file, a folder, or the program itself.
//!
//! | source | what is read |
//! | --- | --- |
//! | `digits` | 1,797 pictures of digits, 8×8, embedded in the program |
//! | `bars-and-stripes:4`, `shifting-bar:9`, `labelled-shifter:8` | whole populations, of which the best likelihood is known |
//! | a folder | the IDX files of MNIST and its successors, plain or gzipped |
//! | a folder, or `FOLDER/NAME` | `NAME.train.data`, `NAME.valid.data`, `NAME.test.data`: zeros and ones, plain or gzipped |
//! | `*.npy` | NumPy: numbers or booleans, `(n, width)` or `(n, height, width)` |
//! | `*.csv`, `*.csv.gz`, `*.data`, `*.data.gz` | numbers between commas, a case a line, with or without a header |
//! | `*.svm`, `*.libsvm`, and with `.gz` | sparse rows, `label index:value …`: counts |
//! | `*.fasta`, `*.fa`, `*.a2m`, `*.afa`, `*.sto`, `*.stk`, and with `.gz` | an alignment of proteins, RNA or DNA: 21 or 5 states a column |
//! | `*.safetensors` | a tensor `cases`, `data`, `x`, `samples` or `images`, or the only matrix there is |
//!
//! Every reader refuses what it cannot vouch for with an error that names the file, the place, what should stand there
//! and what does.

mod alignment;
pub mod alphabet;
mod binarise;
mod bytes;
mod cases;
mod codes;
mod csv;
mod debd;
mod digits;
mod encoding;
mod fasta;
mod form;
mod idx;
mod label_file;
mod labels;
mod map;
mod npy;
mod npz;
mod number;
mod options;
mod origin;
pub mod parquet;
mod part;
mod population;
mod safetensors;
mod sparse;
mod split;
mod stockholm;
mod stored;
mod suits;
mod svmlight;
mod weights;

use rbm_core::Result;

pub use self::alphabet::Alphabet;
pub use self::binarise::Binarise;
pub use self::cases::Cases;
pub(crate) use self::codes::one_hot_units;
use self::form::{Form, Source};
pub use self::form::{is_alignment, is_data, is_named, is_suite};
pub use self::labels::LabelColumn;
pub(crate) use self::npz::Arrays;
pub use self::options::Options;
pub use self::part::{Part, check_range};
pub use self::split::{Parts, choose_balanced, hold_out, split};
pub use self::suits::check_units;
pub use self::weights::Weights;

const SOURCES: &str = "`digits`, a folder of IDX files, the name of three files NAME.train.data and so on, or a file ending in .npy, .csv, .csv.gz, .data, .data.gz, .svm, .libsvm, .fasta, .fa, .a2m, .sto, .stk or .safetensors";

/// A data set as it was read.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The source's own name, or that of its file or folder, without its ending.
    pub name: String,
    /// The cases to learn from.
    pub train: Part,
    /// The cases that the source itself sets apart for validation (`NAME.valid.data`).
    pub validation: Option<Part>,
    /// The cases that the source itself sets apart for testing (`NAME.test.data`, the `t10k` files of an IDX folder); else
    /// see [`Dataset::parts`].
    pub held_out: Option<Part>,
    /// Whether the cases are all there are, and not a sample of them: nothing is held out then.
    pub is_population: bool,
    /// The number of classes, one more than the largest label; `None` where there are no labels.
    pub classes: Option<usize>,
    /// Height and width in pixels, where the source says that its cases are pictures.
    pub image: Option<(usize, usize)>,
    /// The letters of the states, where the cases are aligned sequences.
    pub alphabet: Option<Alphabet>,
    /// What was guessed, left out or converted while reading, a sentence each: whoever reads says it once.
    pub notes: Vec<String>,
}

/// Reads a source: see the table above.
///
/// # Errors
///
/// [`File`] where there is no such source or its contents are damaged, empty, of a wrong shape or type, not finite, or where
/// labels and cases differ in number; [`Io`] where the operating system refuses to read; [`Invalid`]
/// for options that do not fit the source.
///
/// [`File`]: rbm_core::Error::File
/// [`Io`]: rbm_core::Error::Io
/// [`Invalid`]: rbm_core::Error::Invalid
pub fn load(source: &str, options: &Options) -> Result<Dataset> {
    let found = Source::of(source)?;
    options.check(source, &found)?;
    let mut dataset = Dataset { name: found.name(), ..read(&found, options)? };
    if let (Source::File(..), Some(file)) = (&found, &options.labels) {
        let labels = label_file::read(file)?;
        labels::check_count(file, labels.len(), dataset.train.len())?;
        dataset.train.labels = Some(labels);
    }
    let mut options = options.clone();
    options.one_hot = options.one_hot.or(dataset.alphabet.as_ref().map(Alphabet::states));
    let options = &options;
    // What was a picture before has more values now.
    dataset.image = dataset.image.filter(|_| options.one_hot.is_none());
    let parts = [Some(&mut dataset.train), dataset.held_out.as_mut(), dataset.validation.as_mut()];
    for (number, part) in parts.into_iter().enumerate() {
        if let Some(part) = part {
            part.encode(source, options, number as u64)?;
            part.weigh(options, &mut dataset.notes)?;
        }
    }
    let labels = [Some(&dataset.train), dataset.held_out.as_ref()].into_iter().flatten();
    let labels = labels.filter_map(|part| part.labels.as_ref()).flatten();
    dataset.classes = labels.max().map(|&largest| largest as usize + 1);
    Ok(dataset)
}

/// What the values of `source` are divided by unless options say otherwise.
pub fn scale_of(source: &str) -> f32 {
    match Source::of(source) {
        Ok(Source::Digits) => digits::LARGEST_PIXEL,
        Ok(Source::Folder(_)) => idx::LARGEST_PIXEL,
        _ => 1.0,
    }
}

fn read(source: &Source, options: &Options) -> Result<Dataset> {
    let scale = options.scale;
    Ok(match source {
        Source::Digits => {
            Dataset { image: Some(digits::IMAGE), ..Dataset::of(digits::load(scale)?) }
        }
        Source::Population(population) => Dataset {
            image: population.image(),
            is_population: true,
            ..Dataset::of(population.part()?)
        },
        Source::Suite(suite) => {
            let [train, validation, held_out] = suite.read(scale)?;
            Dataset { validation: Some(validation), held_out: Some(held_out), ..Dataset::of(train) }
        }
        Source::Folder(path) => {
            let (train, held_out, image) = idx::read_folder(path, scale)?;
            Dataset { held_out, image: Some(image), ..Dataset::of(train) }
        }
        Source::File(path, Form::Npy) => {
            let (train, image) = npy::read(path, scale)?;
            Dataset { image, ..Dataset::of(train) }
        }
        Source::File(path, Form::Csv) => {
            Dataset::of(csv::read(path, options.label_column.as_ref(), scale)?)
        }
        Source::File(path, Form::Svmlight) => Dataset::of(svmlight::read(path, options)?),
        Source::File(path, Form::Alignment) => alignment::read(path, options)?,
        Source::File(path, Form::Safetensors) => {
            let (train, image) = safetensors::read(path, scale)?;
            Dataset { image, ..Dataset::of(train) }
        }
    })
}

impl Dataset {
    fn of(train: Part) -> Self {
        Self {
            name: String::new(),
            train,
            validation: None,
            held_out: None,
            is_population: false,
            classes: None,
            image: None,
            alphabet: None,
            notes: Vec::new(),
        }
    }
}
