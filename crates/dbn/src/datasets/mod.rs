//! Data sets: cases as the rows of a matrix, read from a file, a folder, or the program itself.
//!
//! | source | what is read |
//! | --- | --- |
//! | `digits` | 1,797 pictures of digits, 8×8, embedded in the program |
//! | `bars-and-stripes:4`, `shifting-bar:9`, `labelled-shifter:8` | whole populations, of which the best likelihood is known |
//! | a folder, or `FOLDER/NAME` | the IDX files of MNIST and its successors, plain or gzipped; of EMNIST, `NAME-train-images-idx3-ubyte` and so on |
//! | a folder | PNG files in a folder for each class, perhaps in folders `train` and `test` |
//! | a folder, or `FOLDER/NAME` | `NAME.train.data`, `NAME.valid.data`, `NAME.test.data`: zeros and ones, plain or gzipped |
//! | `*.npy` | NumPy: numbers or booleans, `(n, width)` or `(n, height, width)`, with one channel or none |
//! | `*.npz` | NumPy: arrays `x_train`, `y_train`, `x_test`, `y_test`, as Keras lays them out, or `x` and `y` |
//! | `*.csv`, `*.tsv`, `*.txt`, `*.data`, and with `.gz` | a table, a case a line, with or without a header: numbers and words |
//! | `*.parquet` | a table with named columns |
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
mod columns;
mod csv;
mod debd;
mod delimited;
mod digits;
mod encoding;
mod fasta;
mod form;
mod header;
mod idx;
mod label_file;
mod labels;
mod map;
mod npy;
mod npy_header;
mod npz;
mod number;
mod options;
mod origin;
pub mod parquet;
mod part;
mod pictures;
mod population;
mod safetensors;
mod sparse;
mod split;
mod stockholm;
mod stored;
mod suits;
mod survey;
mod svmlight;
mod thrift;
mod weights;

use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use rbm_core::{Error, Result, Rows};

pub use self::alphabet::Alphabet;
pub use self::binarise::Binarise;
pub use self::cases::Cases;
pub(crate) use self::codes::one_hot_units;
pub use self::columns::{Column, Columns, Content};
use self::columns::{Found, Profile, Wanted};
use self::encoding::Encoding;
pub(crate) use self::encoding::encoded;
use self::form::{Form, Source};
pub use self::form::{
    is_alignment, is_data, is_named, is_population, is_sparse, is_suite, is_table,
};
pub use self::labels::LabelColumn;
pub use self::map::end_on_bus_error;
pub(crate) use self::npz::Arrays;
pub(crate) use self::number::{Kind, Number};
pub use self::options::{Missing, Options};
pub use self::part::{Part, check_range};
pub use self::split::{Parts, choose_balanced, hold_out, split};
pub use self::suits::check_units;
pub(crate) use self::suits::check_values;
pub use self::weights::Weights;

const SOURCES: &str = "`digits`, a folder of IDX files or of PNG files by class, the name of three files NAME.train.data and so on, or a file ending in .npy, .npz, .csv, .tsv, .txt, .data, .parquet, .svm, .libsvm, .fasta, .fa, .a2m, .sto, .stk or .safetensors";

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
    /// Whether the cases are sparse rows of whole numbers of which some are above 1: counts.
    pub is_counts: bool,
    /// Whether the cases are all there are, and not a sample of them: nothing is held out then.
    pub is_population: bool,
    /// The number of classes, one more than the largest label; `None` where there are no labels.
    pub classes: Option<usize>,
    /// What the classes are called, one name each; `None` where they are called by their numbers.
    pub class_names: Option<Vec<String>>,
    /// What the column of the labels is called, if there is one.
    pub label: Option<String>,
    /// What the column of the target is called, if there is one.
    pub target: Option<String>,
    /// What the columns hold, where they have names or were told apart.
    pub columns: Option<Arc<Columns>>,
    /// What every number of the source was divided by.
    pub scale: f32,
    /// What the indices of sparse rows count from.
    pub first_index: Option<u32>,
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
    let (dataset, mut about) = read(&found, options)?;
    let mut dataset = Dataset { name: found.name(), ..dataset };
    dataset.notes.append(&mut about.notes);
    (dataset.label, dataset.target) = (about.label_name.take(), about.target_name.take());
    if let (Source::File(..), Some(file)) = (&found, &options.labels) {
        let (labels, names) = label_file::read(file)?;
        labels::check_count(file, labels.len(), dataset.train.len())?;
        (dataset.train.labels, about.class_names) = (Some(labels), names);
    }
    name_classes(Path::new(source), &mut dataset, about.class_names.take(), options)?;
    if options.missing != Missing::Refuse {
        dataset.parts_mut().for_each(|part| part.cases = part.cases.with_missing());
    }
    if let Source::File(_, form) = &found
        && form.is_matrix()
        && options.one_hot.is_none()
    {
        tell_columns(source, &mut dataset, &about, options, form.is_table())?;
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
    Ok(dataset)
}

/// Gives the classes numbers from 0 and, where they need some, names.
fn name_classes(
    path: &Path,
    dataset: &mut Dataset,
    names: Option<Vec<String>>,
    options: &Options,
) -> Result<()> {
    let mut notes = Vec::new();
    let named_in_file = names.clone();
    let mut labels: Vec<_> = dataset.parts_mut().filter_map(|part| part.labels.as_mut()).collect();
    let names = match &options.class_names {
        Some(known) => {
            for labels in &mut labels {
                **labels = labels::known(path, labels, names.as_deref(), known)?;
            }
            Some(known.to_vec())
        }
        None => names.or_else(|| labels::compact(&mut labels, &mut notes)),
    };
    let largest = labels.iter().flat_map(|labels| labels.iter()).max();
    let classes = largest.map(|&largest| largest as usize + 1);
    let named = names.as_ref().filter(|_| classes.is_some()).map(Vec::len);
    dataset.classes = named.or(classes);
    if let Some(names) = named_in_file.filter(|_| options.class_names.is_none()) {
        notes.push(format!("the classes are {}, in this order", columns::listed(&names)));
    }
    dataset.class_names = names;
    dataset.notes.append(&mut notes);
    Ok(())
}

/// Finds out what the columns of a matrix hold, and makes of them what the network sees.
fn tell_columns(
    source: &str,
    dataset: &mut Dataset,
    about: &Found,
    options: &Options,
    is_table: bool,
) -> Result<()> {
    let cases = &dataset.train.cases;
    let columns = match &options.columns {
        Some(known) if known.0.len() == cases.width() => known.clone(),
        Some(known) => {
            let expected = format!("{} values a case, as the model learned from", known.0.len());
            return Err(Error::file(source, "cases", expected, cases.width().to_string()));
        }
        None => {
            let is_binarised = options.binarise != Binarise::None;
            let profiles = match options.finds_kinds || !about.words.is_empty() {
                true => Profile::of(cases)?,
                false => Vec::new(),
            };
            if options.finds_kinds && options.scale.is_none() && about.words.is_empty() {
                divide_pixels(dataset, &profiles);
            }
            let is_divided = dataset.scale != 1.0;
            let words = |at: usize| about.words.get(&at).cloned();
            let columns =
                if !options.finds_kinds || is_binarised || is_divided && options.scale.is_none() {
                    let (_, high) = dataset.train.cases.extent().unwrap_or((0.0, f32::INFINITY));
                    let is_unit = is_binarised || high <= 1.0 && is_divided;
                    let plain = if is_unit { Content::Unit } else { Content::Number };
                    let name = |at: usize| Some(about.names.as_ref()?.get(at)?.clone());
                    let column = |at| Column {
                        name: name(at),
                        holds: words(at).map_or(plain.clone(), Content::Category),
                    };
                    Columns((0..dataset.train.cases.width()).map(column).collect())
                } else {
                    let wanted = Wanted {
                        categories: &options.categories,
                        numbers: &options.numbers,
                        finds_codes: is_table,
                    };
                    let names = about.names.as_deref();
                    let columns =
                        columns::columns_of(&profiles, dataset.train.len(), names, words, &wanted)?;
                    dataset.notes.push(format!("columns taken for {}", columns.description()));
                    let constant = (0..profiles.len()).filter(|&at| profiles[at].is_constant());
                    let constant: Vec<_> = constant.map(|at| columns.called(at)).collect();
                    if constant.len() == profiles.len() && dataset.train.len() > 1 {
                        let found = "columns that are the same in every case";
                        return Err(Error::file(source, "cases", "something that varies", found));
                    }
                    if !constant.is_empty() {
                        let listed = columns::listed(&constant);
                        dataset.notes.push(format!(
                            "the same in every case, so that they say nothing: {listed}"
                        ));
                    }
                    columns
                };
            Arc::new(columns)
        }
    };
    if !columns.is_plain() {
        dataset.image = None;
        for part in dataset.parts_mut() {
            part.apply(source, Encoding::Columns(columns.clone()))?;
        }
    }
    dataset.columns = Some(columns);
    Ok(())
}

/// Divides the numbers of a matrix of pictures, whole ones up to 255 or 16, and says so.
fn divide_pixels(dataset: &mut Dataset, profiles: &[Profile]) {
    let Some(largest) = columns::largest_pixel(profiles) else { return };
    let width = profiles.len();
    dataset.image = dataset.image.or(columns::square(width));
    let pictures = match dataset.image {
        Some((height, width)) => format!(", of pictures of {height} × {width}"),
        None => String::new(),
    };
    dataset.notes.push(format!(
        "whole numbers from 0 to {largest} in {width} columns: taken for pixels{pictures}, and divided by {largest} \
         (--scale 1 leaves them)"
    ));
    dataset.scale = largest;
    for part in dataset.parts_mut() {
        part.cases = part.cases.encoded(Encoding::Divided(largest));
    }
}

/// What the values of `source` are divided by unless options say otherwise.
pub fn scale_of(source: &str) -> f32 {
    match Source::of(source) {
        Ok(Source::Digits) => digits::LARGEST_PIXEL,
        Ok(Source::Folder(..)) => idx::LARGEST_PIXEL,
        Ok(Source::Pictures(_)) => pictures::LARGEST_PIXEL,
        _ => 1.0,
    }
}

/// The parts of `source`, and what reading told about them.
fn read(source: &Source, options: &Options) -> Result<(Dataset, Found)> {
    let scale = options.scale;
    let mut about = Found::default();
    let dataset = match source {
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
        Source::Folder(path, prefix) => {
            let (train, held_out, image) = idx::read_folder(path, prefix, scale)?;
            Dataset { held_out, image: Some(image), ..Dataset::of(train) }
        }
        Source::Pictures(path) => {
            let folder = pictures::read(path, scale)?;
            about.class_names = Some(folder.class_names);
            about.notes = folder.notes;
            let image = Some(folder.image);
            Dataset { held_out: folder.test, image, ..Dataset::of(folder.train) }
        }
        Source::File(path, Form::Npy) => {
            let (train, image) = npy::read(path, options)?;
            Dataset { image, ..Dataset::of(train) }
        }
        Source::File(path, Form::Npz) => {
            let (train, held_out, image, names) = npz::read(path, options)?;
            about.class_names = names;
            Dataset { held_out, image, ..Dataset::of(train) }
        }
        Source::File(path, Form::Csv) => {
            let (train, found) = csv::read(path, options)?;
            about = found;
            Dataset::of(train)
        }
        Source::File(path, Form::Parquet) => {
            let (train, found) = csv::read_columns(path, parquet::read(path)?, options)?;
            about = found;
            Dataset::of(train)
        }
        Source::File(path, Form::Svmlight) => {
            let (train, names, first) = svmlight::read(path, options)?;
            about.class_names = names;
            let is_counts = train.cases.are_counts();
            Dataset { is_counts, first_index: Some(first), ..Dataset::of(train) }
        }
        Source::File(path, Form::Alignment) => alignment::read(path, options)?,
        Source::File(path, Form::Safetensors) => {
            let (train, image, names) = safetensors::read(path, options)?;
            about.class_names = names;
            Dataset { image, ..Dataset::of(train) }
        }
    };
    let of_source = match source {
        Source::Digits => digits::LARGEST_PIXEL,
        Source::Folder(..) => idx::LARGEST_PIXEL,
        Source::Pictures(_) => pictures::LARGEST_PIXEL,
        _ => 1.0,
    };
    Ok((Dataset { scale: scale.unwrap_or(of_source), ..dataset }, about))
}

impl Dataset {
    /// The cases `train` to learn from, without a name, and nothing else.
    pub fn of(train: Part) -> Self {
        Self {
            name: String::new(),
            train,
            validation: None,
            held_out: None,
            is_counts: false,
            is_population: false,
            classes: None,
            class_names: None,
            label: None,
            target: None,
            columns: None,
            scale: 1.0,
            first_index: None,
            image: None,
            alphabet: None,
            notes: Vec::new(),
        }
    }

    /// The cases `(n, width)`, or pictures `(n, height, width)`, to learn from, and their `labels` `(n,)`, whole numbers, if they have
    /// any. They stay in memory, as `f32` on the CPU. Held-out cases of one's own are a field: [`Dataset::held_out`]; otherwise a
    /// training sets some apart.
    ///
    /// ```
    /// use candle_core::Tensor;
    /// use dbn::{Dataset, Part};
    ///
    /// let device = candle_core::Device::Cpu;
    /// let train = Tensor::new(&[[0f32, 1.0], [1.0, 0.0], [1.0, 1.0]], &device)?;
    /// let labels = Tensor::new(&[0u32, 1, 1], &device)?;
    /// let test = Part::new(Tensor::new(&[[0f32, 0.0]], &device)?, Some(vec![0]))?;
    /// let data = Dataset { held_out: Some(test), ..Dataset::from_tensors(&train, Some(&labels))? };
    /// assert_eq!((data.train.len(), data.classes), (3, Some(2)));
    /// # Ok::<(), dbn::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for other shapes, and for numbers that are not finite: what is missing has no place in a tensor (fill it in, or
    /// read a file).
    pub fn from_tensors(cases: &Tensor, labels: Option<&Tensor>) -> Result<Self> {
        let (cases, image) = match *cases.dims() {
            [count, height, width] => {
                (cases.reshape((count, height * width))?, Some((height, width)))
            }
            _ => (cases.clone(), None),
        };
        let labels = labels.map(labels::of_tensor).transpose()?;
        let (labels, mut class_names) = match labels {
            Some((labels, names)) => (Some(labels), names),
            None => (None, None),
        };
        let mut train = Part::new(cases, labels)?;
        if train.is_empty() || train.width() == 0 {
            let found = format!("{} of {} values", train.len(), train.width());
            return Err(Error::invalid("cases", "at least one with a value", found));
        }
        let expected = "finite numbers (what is missing: fill it in, or read a file)";
        let (low, high) = (f32::MIN, f32::MAX);
        train.check_values("cases", low, high, expected).map_err(|error| match error {
            Error::File { place, expected, found, .. } => {
                Error::invalid(format!("cases: {place}"), expected, found)
            }
            other => other,
        })?;
        let mut notes = Vec::new();
        if let (Some(labels), None) = (&mut train.labels, &class_names) {
            class_names = labels::compact(&mut [labels], &mut notes);
        }
        let largest = train.labels.iter().flatten().max();
        let classes = largest.map(|&largest| largest as usize + 1);
        Ok(Self { name: "tensors".into(), classes, class_names, image, notes, ..Self::of(train) })
    }

    /// All parts: those to learn from, held out and for validation, as far as there are any.
    fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        let others = [self.held_out.as_mut(), self.validation.as_mut()];
        std::iter::once(&mut self.train).chain(others.into_iter().flatten())
    }
}
