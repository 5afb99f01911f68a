//! Reading a data set: what its name means, what its file holds, and what becomes of that.

use std::path::Path;
use std::sync::Arc;

use rbm_core::{Error, Result, Rows};

use crate::alphabet::Alphabet;
use crate::built_in::{self, DIGITS_IMAGE, LARGEST_PIXEL};
use crate::bytes;
use crate::columns::{self, Column, Columns, Content, Findings, Profile, Wanted};
use crate::dataset::Dataset;
use crate::encoding::{Binarise, Encoding};
use crate::formats::{alignment, csv, idx, npy, parquet, pictures, safetensors, svmlight};
use crate::labels::{self, LabelColumn, NumberedLabels};
use crate::options::{Missing, ReadOptions};
use crate::source::{Source, SourceForm};
use crate::weights::Weights;

/// The most states of a code.
const MOST_STATES: usize = 1 << 16;

/// Reads a source: see the table in [the crate's documentation](crate).
///
/// A table, whose label is the column that its header calls so:
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use candle_dbn_data::{ReadOptions, load};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("flowers.csv");
/// std::fs::write(&path, "length,width,class\n5.1,3.5,setosa\n6.2,2.9,virginica\n")?;
/// let flowers = load(&path.to_string_lossy(), &ReadOptions::default())?;
/// assert_eq!((flowers.train.len(), flowers.train.width()), (2, 2));
/// assert_eq!(flowers.class_names, Some(vec!["setosa".into(), "virginica".into()]));
/// # Ok(())
/// # }
/// ```
///
/// A folder of IDX files, as MNIST has them, plain or gzipped; pixels come between 0 and 1:
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = |name: &str| folder.path().join(name);
/// let (pictures, labels) = ([0, 0, 8, 3], [0, 0, 8, 1]);            // bytes, three dimensions and one
/// let head = |magic: [u8; 4], sizes: &[u32]| {
///     [magic.to_vec(), sizes.iter().flat_map(|n| n.to_be_bytes()).collect()].concat()
/// };
/// std::fs::write(
///     file("train-images-idx3-ubyte"),
///     [head(pictures, &[2, 1, 2]), vec![0, 255, 51, 0]].concat(),
/// )?;
/// std::fs::write(file("train-labels-idx1-ubyte"), [head(labels, &[2]), vec![1, 0]].concat())?;
/// let set = candle_dbn_data::load(&folder.path().to_string_lossy(), &Default::default())?;
/// assert_eq!(set.image, Some((1, 2)));
/// assert_eq!(set.train.labels, Some(vec![1, 0]));
/// assert_eq!(set.train.cases.tensor()?.to_vec2::<f32>()?, [[0.0, 1.0], [0.2, 0.0]]);
/// # Ok(())
/// # }
/// ```
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
pub fn load(source: &str, options: &ReadOptions) -> Result<Dataset> {
    let found = Source::of(source)?;
    check(options, source, &found)?;
    let (dataset, mut about) = read(&found, options)?;
    let mut dataset = Dataset { name: found.name(), ..dataset };
    dataset.notes.append(&mut about.notes);
    (dataset.label, dataset.target) = (about.label_name.take(), about.target_name.take());
    if let (Source::File(..), Some(file)) = (&found, &options.labels) {
        let (labels, names) = read_label_file(file)?;
        labels::check_count(file, labels.len(), dataset.train.len())?;
        (dataset.train.labels, about.class_names) = (Some(labels), names);
    }
    name_classes(Path::new(source), &mut dataset, about.class_names.take(), options)?;
    if options.missing() != Missing::Refuse {
        dataset.parts_mut().for_each(|part| part.cases = part.cases.with_missing());
    }
    if let Source::File(_, form) = &found
        && form.is_matrix()
        && options.one_hot.is_none()
    {
        find_columns(source, &mut dataset, &about, options, form.is_table())?;
    }
    let mut options = options.clone();
    options.one_hot = options.one_hot.or(dataset.alphabet.as_ref().map(Alphabet::states));
    let options = &options;
    // What was a picture before has more values now.
    dataset.image = dataset.image.filter(|_| options.one_hot.is_none());
    let parts = [Some(&mut dataset.train), dataset.held_out.as_mut(), dataset.validation.as_mut()];
    for (number, part) in parts.into_iter().enumerate() {
        if let Some(part) = part {
            if let Some(encoding) = Encoding::of(options.one_hot, options.binarise(), number as u64)
            {
                part.encode(source, encoding)?;
            }
            if let Some(states) = options.one_hot {
                options.weights().give_to(part, states, &mut dataset.notes)?;
            }
        }
    }
    Ok(dataset)
}

/// Gives the classes numbers from 0 and, where they need some, names.
fn name_classes(
    path: &Path,
    dataset: &mut Dataset,
    names: Option<Vec<String>>,
    options: &ReadOptions,
) -> Result<()> {
    let mut notes = Vec::new();
    let named_in_file = names.clone();
    let mut labels: Vec<_> = dataset.parts_mut().filter_map(|part| part.labels.as_mut()).collect();
    let names = match &options.known.class_names {
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
    if let Some(names) = named_in_file.filter(|_| options.known.class_names.is_none()) {
        notes.push(format!("the classes are {}, in this order", columns::listed(&names)));
    }
    dataset.class_names = names;
    dataset.notes.append(&mut notes);
    Ok(())
}

/// Finds out what the columns of a matrix hold, and makes of them what the network sees.
fn find_columns(
    source: &str,
    dataset: &mut Dataset,
    about: &Findings,
    options: &ReadOptions,
    is_table: bool,
) -> Result<()> {
    let cases = &dataset.train.cases;
    let columns = match &options.known.columns {
        Some(known) if known.0.len() == cases.width() => known.clone(),
        Some(known) => {
            let expected = format!("{} values a case, as the model learned from", known.0.len());
            return Err(Error::file(source, "cases", expected, cases.width().to_string()));
        }
        None => {
            let is_binarised = options.binarise() != Binarise::None;
            let profiles = match options.finds_kinds || !about.words.is_empty() {
                true => Profile::of(cases)?,
                false => Vec::new(),
            };
            if options.finds_kinds && options.scale.is_none() && about.words.is_empty() {
                divide_pixels(dataset, &profiles);
            }
            let is_divided = dataset.scale != 1.0;
            let words = |at: usize| about.words.get(&at).cloned();
            let columns = if !options.finds_kinds
                || is_binarised
                || is_divided && options.scale.is_none()
            {
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
                for (at, number) in
                    profiles.iter().enumerate().filter_map(|(at, of)| Some((at, of.lone()?)))
                {
                    dataset.notes.push(format!(
                        "warning: {} holds {number:e}, a million times any other of its numbers: beside it these are all the same",
                        columns.called(at)
                    ));
                }
                if !constant.is_empty() {
                    let listed = columns::listed(&constant);
                    dataset.notes.push(format!(
                            "the same in every case, to the seven digits of f32, so that they say nothing: {listed}"
                        ));
                }
                columns
            };
            Arc::new(columns)
        }
    };
    let has_words = columns.0.iter().any(|column| matches!(column.holds, Content::Category(_)));
    if let Some(scale) = options.scale.filter(|scale| *scale != 1.0 && has_words) {
        // Words are numbered, and their numbers would be divided.
        let expected = "no scale of a table with words: measurements are standardised (--drop leaves columns out)";
        return Err(Error::invalid("scale", expected, scale.to_string()));
    }
    if !columns.is_plain() {
        dataset.image = None;
        for part in dataset.parts_mut() {
            part.encode(source, Encoding::Columns(columns.clone()))?;
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
        Ok(Source::Digits) => LARGEST_PIXEL,
        Ok(Source::Folder(..)) => idx::LARGEST_PIXEL,
        Ok(Source::Pictures(_)) => pictures::LARGEST_PIXEL,
        _ => 1.0,
    }
}

/// The parts of `source`, and what reading found out about them.
fn read(source: &Source, options: &ReadOptions) -> Result<(Dataset, Findings)> {
    let scale = options.scale;
    let mut about = Findings::default();
    let dataset = match source {
        Source::Digits => {
            Dataset { image: Some(DIGITS_IMAGE), ..Dataset::of(built_in::digits(scale)?) }
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
        Source::File(path, SourceForm::Npy) => {
            let (train, image) = npy::read(path, options)?;
            Dataset { image, ..Dataset::of(train) }
        }
        Source::File(path, SourceForm::Npz) => {
            let (train, held_out, image, names) = npy::read_npz(path, options)?;
            about.class_names = names;
            Dataset { held_out, image, ..Dataset::of(train) }
        }
        Source::File(path, SourceForm::Csv) => {
            let (train, found) = csv::read(path, options)?;
            about = found;
            Dataset::of(train)
        }
        Source::File(path, SourceForm::Parquet) => {
            let (train, found) = csv::read_columns(path, parquet::read(path)?, options)?;
            about = found;
            Dataset::of(train)
        }
        Source::File(path, SourceForm::Svmlight) => {
            let (dataset, names) = svmlight::read(path, options)?;
            about.class_names = names;
            dataset
        }
        Source::File(path, SourceForm::Alignment) => alignment::read(path, options)?,
        Source::File(path, SourceForm::Safetensors) => {
            let (train, image, names) = safetensors::read(path, options)?;
            about.class_names = names;
            Dataset { image, ..Dataset::of(train) }
        }
    };
    let of_source = match source {
        Source::Digits => LARGEST_PIXEL,
        Source::Folder(..) => idx::LARGEST_PIXEL,
        Source::Pictures(_) => pictures::LARGEST_PIXEL,
        _ => 1.0,
    };
    Ok((Dataset { scale: scale.unwrap_or(of_source), ..dataset }, about))
}

/// Errors for `options` that do not fit `source`, which is called `name`, or each other.
fn check(options: &ReadOptions, name: &str, source: &Source) -> Result<()> {
    let must = |holds: bool, what: &str, expected: String, found: String| {
        if holds { Ok(()) } else { Err(Error::invalid(what, expected, found)) }
    };
    let is_alignment = matches!(source, Source::File(_, SourceForm::Alignment));
    if let Some(scale) = options.scale {
        let (found, is_valid) = (scale.to_string(), scale.is_finite() && scale > 0.0);
        must(is_valid, "scale", "a finite number above 0".into(), found.clone())?;
        let expected = format!("none for `{name}`, which is no measurement");
        must(!matches!(source, Source::Population(_)) && !is_alignment, "scale", expected, found)?;
    }
    if let Some(states) = options.one_hot {
        let (expected, found) = (format!("from 2 to {MOST_STATES} states"), states.to_string());
        must((2..=MOST_STATES).contains(&states), "one_hot", expected, found)?;
    }
    let is_of_codes = is_alignment || options.one_hot.is_some();
    if is_of_codes {
        let number = options.one_hot.map_or_else(String::new, |states| format!("{states} "));
        let expected = format!("none for codes, each of which becomes {number}zeros and ones");
        let is_plain = options.binarise() == Binarise::None;
        must(is_plain, "binarise", expected, options.binarise().to_string())?;
    }
    if let Some(alphabet) = &options.alphabet {
        let expected = format!("none for `{name}`, which is no alignment");
        must(is_alignment, "alphabet", expected, alphabet.to_string())?;
    }
    let expected = format!("none for `{name}`: only codes agree or do not (--one-hot, alignments)");
    let is_weighed = options.weights() != Weights::None;
    must(is_of_codes || !is_weighed, "weights", expected, options.weights().to_string())?;
    if let Some(width) = options.width {
        let expected = format!("none for `{name}`: only sparse rows do not say theirs");
        let is_sparse = matches!(source, Source::File(_, SourceForm::Svmlight));
        must(is_sparse, "width", expected, width.to_string())?;
    }
    if let (Some(file), Source::Digits | Source::Folder(..) | Source::Pictures(_)) =
        (&options.labels, source)
    {
        let expected = format!("none for `{name}`, which has labels of its own");
        return Err(Error::invalid("file of labels", expected, file.display().to_string()));
    }
    if let (Some(file), Source::Population(_) | Source::Suite(_)) = (&options.labels, source) {
        let expected = format!("none for `{name}`, which has no labels");
        return Err(Error::invalid("file of labels", expected, file.display().to_string()));
    }
    let is_table = matches!(source, Source::File(_, form) if form.is_table());
    let lists = [
        ("drop", &options.drop),
        ("categories", &options.categories),
        ("numbers", &options.numbers),
    ];
    for (what, list) in lists {
        let expected = format!("none for `{name}`: only tables have columns");
        must(is_table || list.is_empty(), what, expected, list.join(", "))?;
    }
    if let Some(target) = &options.target {
        let expected = format!("none for `{name}`: only tables have one");
        must(is_table, "target", expected, target.clone())?;
    }
    let Some(column) = options.label_column.as_ref().filter(|&column| *column != LabelColumn::None)
    else {
        return Ok(());
    };
    if options.labels.is_some() {
        return Err(Error::invalid("labels", "one place to take them from", "a column and a file"));
    }
    if !is_table {
        let expected = format!("none for `{name}`: only a table has one");
        return Err(Error::invalid("label column", expected, format!("{column:?}")));
    }
    Ok(())
}

const LABEL_FORMS: &str = "labels in a .npy file, an IDX file (idx in its name) or a .csv or .txt file, the last two plain or .gz";

/// The labels in the file `path`, in its order, and the names of the classes where they are no numbers from 0.
fn read_label_file(path: &Path) -> Result<NumberedLabels> {
    if !path.try_exists().map_err(|e| Error::io(path, e))? {
        return Err(Error::file(path, "file of labels", LABEL_FORMS, "no file of this name"));
    }
    let name =
        path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    if name.ends_with(".npy") {
        npy::read_labels(path)
    } else if plain.ends_with(".csv") || plain.ends_with(".txt") {
        read_label_lines(path)
    } else if name.contains("idx") {
        Ok((idx::read_labels(path)?, None))
    } else {
        let found = path
            .extension()
            .map_or("no ending".into(), |ending| format!(".{}", ending.to_string_lossy()));
        Err(Error::file(path, "ending of the name", LABEL_FORMS, found))
    }
}

fn read_label_lines(path: &Path) -> Result<NumberedLabels> {
    let form = "one label a line";
    let options = ReadOptions { label_column: Some(LabelColumn::First), ..ReadOptions::default() };
    let table = csv::parse(path, bytes::read_unzipped(path, form)?, &options)?;
    match table.labels {
        Some(labels) if table.width == 0 => Ok((labels, table.found.class_names)),
        _ => Err(Error::file(path, "line 1", form, format!("{} values", table.width + 1))),
    }
}
