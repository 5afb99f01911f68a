//! Numbers of every case, in a file for other programs: side by side in `.npy`, by name and with labels in `.safetensors`,
//! in columns in `.parquet` and `.csv`; samples of alignments as sequences.
//!
//! A block of cases is written while the next one is computed; no more than a few blocks, or a group of rows of a `.parquet`
//! file, are in memory at once.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, mpsc};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use candle_dbn::Examples;
use candle_dbn::data::{Alphabet, Columns};
use npyz::WriterBuilder;
use parquet::basic::{LogicalType, Repetition, Type as Kind};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use rbm_core::ops::device::is_finite;
use rbm_core::state::write_whole_by;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::output;

/// The column with the numbers of the cases.
const ROW: &str = "row";
/// The one with their classes, where they have any.
const LABEL: &str = "label";
/// The one with what they are called, where the source says it.
const NAME: &str = "name";
/// What stands beside the features.
pub const BESIDE: [&str; 3] = [ROW, LABEL, NAME];

/// What the numbers of a feature are called.
pub enum FeatureNames {
    /// By their numbers from 0, behind the feature's name; alone, by the feature's name.
    Numbered(usize),
    /// By these names, behind the feature's name.
    Named(Vec<String>),
    /// By the feature's name: each is the number of a class, and where classes have names, is written as its name.
    Class,
}

impl FeatureNames {
    /// How many numbers there are.
    fn width(&self) -> usize {
        match self {
            Self::Numbered(width) => *width,
            Self::Named(names) => names.len(),
            Self::Class => 1,
        }
    }
}

/// What is written beside the features, and what they are called.
pub struct FeatureTable<'a> {
    /// The name of every feature, and what its numbers are called.
    pub named: Vec<(String, FeatureNames)>,
    /// The number of every case in its source, from 0.
    pub rows: &'a [u32],
    /// The class of every case.
    pub labels: Option<&'a [u32]>,
    /// What every case is called.
    pub names: Option<&'a [String]>,
    /// What the classes are called, where they are not called by their numbers.
    pub class_names: Option<&'a [String]>,
}

impl<'a> FeatureTable<'a> {
    /// The features `named` of these cases, with what the data call them; `rows` are the cases' numbers, `class_names` what the model calls
    /// classes.
    pub fn of(
        named: Vec<(String, FeatureNames)>,
        rows: &'a [u32],
        cases: &'a Examples,
        class_names: Option<&'a [String]>,
    ) -> Self {
        let (labels, names) = (cases.labels.as_deref(), cases.names.as_deref());
        Self { named, rows, labels, names, class_names }
    }

    /// How many numbers a case has.
    fn width(&self) -> usize {
        self.named.iter().map(|(_, columns)| columns.width()).sum()
    }

    /// A name for each of them: `layer2_0`, `layer2_1`, …, or the feature's own where it has one number.
    fn columns(&self) -> impl Iterator<Item = String> {
        self.named.iter().flat_map(|(name, columns)| -> Vec<String> {
            match columns {
                FeatureNames::Numbered(1) | FeatureNames::Class => vec![name.clone()],
                FeatureNames::Numbered(width) => {
                    (0..*width).map(|i| format!("{name}_{i}")).collect()
                }
                FeatureNames::Named(names) => {
                    names.iter().map(|of| format!("{name}_{of}")).collect()
                }
            }
        })
    }

    /// Whether each of the numbers of a case stands for a class that has a name.
    fn is_class(&self) -> Vec<bool> {
        let columns = self.named.iter();
        let is_class = columns.flat_map(|(_, columns)| {
            let is_class = matches!(columns, FeatureNames::Class) && self.class_names.is_some();
            std::iter::repeat_n(is_class, columns.width())
        });
        is_class.collect()
    }

    /// What the class with this number is called.
    fn class(&self, class: u32) -> String {
        let name = self.class_names.and_then(|names| names.get(class as usize));
        name.cloned().unwrap_or_else(|| class.to_string())
    }
}

/// The numbers of a matrix, row after row.
fn values(matrix: &Tensor) -> Result<Vec<f32>> {
    Ok(matrix.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// Numbers of cases as a column `(n, 1)`.
pub fn column(numbers: &[f64]) -> Result<Tensor> {
    let column = Tensor::from_slice(numbers, (numbers.len(), 1), &Device::Cpu)?;
    ensure!(
        is_finite(&column)?,
        "expected values like those that the model learned from, found some whose energies are infinite"
    );
    Ok(column.to_dtype(DType::F32)?)
}

/// The files that can be written.
#[derive(Clone, Copy)]
enum TableForm {
    Npy,
    Safetensors,
    Parquet,
    Csv,
}

impl TableForm {
    fn of(path: &Path) -> Result<Self> {
        Ok(match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Self::Npy,
            Some("safetensors") => Self::Safetensors,
            Some("parquet") => Self::Parquet,
            Some("csv") => Self::Csv,
            _ => bail!(
                "--out: expected a name ending in .npy, .safetensors, .parquet or .csv, found {}",
                path.display()
            ),
        })
    }
}

/// Errors unless the file that `--out` names can be one of these, and is not there yet or may be replaced.
pub fn check(out: &Path, force: bool) -> Result<()> {
    TableForm::of(out)?;
    output::check_folders(&[out])?;
    output::check_free(&[out], force)
}

/// Writes the features of `table`, a matrix for each in every block of cases, to `path`. What to say of it.
pub fn write(
    path: &Path,
    table: &FeatureTable<'_>,
    blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
) -> Result<String> {
    let form = TableForm::of(path)?;
    write_whole_by(path, |file| {
        std::thread::scope(|scope| {
            let (send, received) = mpsc::sync_channel(2);
            let writer = scope.spawn(move || write_blocks(form, file, table, received));
            for block in blocks {
                // The channel is closed where writing has failed, and then the writer says why.
                if send.send(block?).is_err() {
                    break;
                }
            }
            drop(send);
            let written = writer.join();
            let written = written.unwrap_or_else(|_| bail!("the thread that writes has panicked"));
            written.with_context(|| path.display().to_string())
        })
    })?;
    let widths = table.named.iter().map(|(_, columns)| columns.width().to_string());
    let widths: Vec<_> = widths.collect();
    let cases = output::grouped(table.rows.len() as u64);
    Ok(format!("{}: {cases} cases x {} features", path.display(), widths.join(" + ")))
}

/// Writes the same as comma-separated values to standard output.
pub fn print(
    table: &FeatureTable<'_>,
    blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
) -> Result<()> {
    let matrices = blocks.map(|features| Ok(Tensor::cat(&features?, 1)?));
    write_csv(std::io::stdout().lock(), table, matrices).context("standard output")
}

fn write_blocks(
    form: TableForm,
    file: &mut File,
    table: &FeatureTable<'_>,
    blocks: mpsc::Receiver<Vec<Tensor>>,
) -> Result<()> {
    let buffered = |file| BufWriter::with_capacity(1 << 20, file);
    let shape = (table.rows.len(), table.width());
    match form {
        TableForm::Npy => write_npy(buffered(file), shape, side_by_side(blocks)),
        TableForm::Safetensors => write_safetensors(file, table, blocks),
        TableForm::Parquet => write_parquet(buffered(file), table, side_by_side(blocks)),
        TableForm::Csv => write_csv(buffered(file), table, side_by_side(blocks)),
    }
}

/// All features of every block as one matrix.
fn side_by_side(blocks: mpsc::Receiver<Vec<Tensor>>) -> impl Iterator<Item = Result<Tensor>> {
    blocks.into_iter().map(|features| Ok(Tensor::cat(&features, 1)?))
}

/// Samples `(n, sites * states)` as sequences in FASTA: at each site the letter of the state that is on.
pub fn fasta(samples: &Tensor, letters: &Alphabet) -> Result<String> {
    let mut text = String::new();
    let of = letters.letters().as_bytes();
    for (number, sample) in samples.to_vec2::<f32>()?.iter().enumerate() {
        text.push_str(&format!(">sample{number}\n"));
        for site in sample.chunks(of.len()) {
            let on = (0..site.len()).max_by(|&a, &b| site[a].total_cmp(&site[b]).then(b.cmp(&a)));
            text.push(char::from(of[on.unwrap_or(0)]));
        }
        text.push('\n');
    }
    Ok(text)
}

/// Samples `(n, width)` as the table has its cases: a header, and categories by their words.
pub fn csv_of(samples: &Tensor, columns: &Columns) -> Result<String> {
    ensure!(
        samples.dim(1)? == columns.width(),
        "the columns of the table: expected {} values, as the machine has, found {}",
        samples.dim(1)?,
        columns.width()
    );
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = columns.0.iter().enumerate().map(|(at, column)| match &column.name {
        Some(name) => name.clone(),
        None => format!("column{}", at + 1),
    });
    writer.write_record(names)?;
    for row in samples.to_vec2::<f32>()? {
        writer.write_record(columns.texts(&row))?;
    }
    Ok(String::from_utf8(writer.into_inner().map_err(|error| error.into_error())?)?)
}

/// A matrix as the bytes of a `.npy` file of `f32`.
pub fn npy_bytes(matrix: &Tensor) -> Result<Vec<u8>> {
    let (rows, columns) = matrix.dims2()?;
    let mut bytes = Vec::with_capacity(128 + 4 * rows * columns);
    write_npy(&mut bytes, (rows, columns), [Ok(matrix.clone())])?;
    Ok(bytes)
}

/// Writes a `.npy` file of `f32` of this shape, whose rows come in `blocks`.
fn write_npy(
    out: impl Write,
    (rows, columns): (usize, usize),
    blocks: impl IntoIterator<Item = Result<Tensor>>,
) -> Result<()> {
    let options = npyz::WriteOptions::new().default_dtype().shape(&[rows as u64, columns as u64]);
    let mut writer = options.writer(out).begin_nd()?;
    for block in blocks {
        writer.extend(block?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)?;
    }
    Ok(writer.finish()?)
}

/// Writes the columns `row`, `label` where there are labels, `name` where there are names, and one for each number, as few digits as tell it from others.
fn write_csv(
    out: impl Write,
    table: &FeatureTable<'_>,
    blocks: impl Iterator<Item = Result<Tensor>>,
) -> Result<()> {
    let mut out = csv::Writer::from_writer(out);
    let label = table.labels.map(|_| LABEL.to_owned());
    let name = table.names.map(|_| NAME.to_owned());
    let beside = [ROW.to_owned()].into_iter().chain(label).chain(name);
    out.write_record(beside.chain(table.columns()))?;
    let mut numbers = table.rows.iter();
    let mut labels = table.labels.unwrap_or_default().iter();
    let mut names = table.names.unwrap_or_default().iter();
    let (mut text, is_class) = (String::new(), table.is_class());
    for block in blocks {
        for features in values(&block?)?.chunks(table.width().max(1)) {
            if let Some(number) = numbers.next() {
                out.write_field(number.to_string())?;
            }
            if let Some(label) = labels.next() {
                out.write_field(table.class(*label))?;
            }
            if let Some(name) = names.next() {
                out.write_field(name)?;
            }
            for (feature, is_class) in features.iter().zip(&is_class) {
                text.clear();
                match is_class {
                    true => text.push_str(&table.class(*feature as u32)),
                    false => write!(text, "{feature}")?,
                }
                out.write_field(&text)?;
            }
            out.write_record(None::<&[u8]>)?;
        }
    }
    Ok(out.flush()?)
}

/// Writes `rows` and, where there are labels, `labels`, as 64-bit integers, which every reader of the format knows, and a tensor of
/// `f32` for each feature.
fn write_safetensors(
    file: &mut File,
    table: &FeatureTable<'_>,
    blocks: impl IntoIterator<Item = Vec<Tensor>>,
) -> Result<()> {
    let count = table.rows.len();
    let (mut tensors, mut end) = (Vec::new(), 0);
    let mut place = |name: &str, dtype: Dtype, shape: Vec<usize>| {
        let start = end;
        end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
        tensors.push((name.to_owned(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
        start as u64
    };
    let numbers = [("rows", Some(table.rows)), ("labels", table.labels)];
    for (name, _) in numbers.iter().filter(|(_, numbers)| numbers.is_some()) {
        place(name, Dtype::I64, vec![count]);
    }
    let named = table.named.iter();
    let mut starts: Vec<u64> = named
        .map(|(name, columns)| place(name, Dtype::F32, vec![count, columns.width()]))
        .collect();
    let mut header = serde_json::to_vec(&Metadata::new(None, tensors)?)?;
    // Numbers begin at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for numbers in numbers.into_iter().filter_map(|(_, numbers)| numbers) {
        let bytes = numbers.iter().flat_map(|&number| i64::from(number).to_le_bytes());
        file.write_all(&bytes.collect::<Vec<_>>())?;
    }
    let data = 8 + header.len() as u64;
    for block in blocks {
        for (features, start) in block.iter().zip(&mut starts) {
            let bytes: Vec<u8> = values(features)?.into_iter().flat_map(f32::to_le_bytes).collect();
            file.seek(SeekFrom::Start(data + *start))?;
            file.write_all(&bytes)?;
            *start += bytes.len() as u64;
        }
    }
    Ok(())
}

/// How many numbers are held until their columns are written: 64 MiB.
const GROUP: usize = 1 << 24;

/// Writes the columns `row` and, where there are labels, `label`, as `INT64`, `name` as text where there are names, and one `FLOAT`
/// for each number; classes that have names are text. None has gaps, and none is compressed.
fn write_parquet(
    out: impl Write + Send,
    table: &FeatureTable<'_>,
    blocks: impl Iterator<Item = Result<Tensor>>,
) -> Result<()> {
    let column = |name: &str, kind| -> Result<Arc<Type>> {
        let column = Type::primitive_type_builder(name, kind);
        let text = (kind == Kind::BYTE_ARRAY).then_some(LogicalType::String);
        let column = column.with_repetition(Repetition::REQUIRED).with_logical_type(text);
        Ok(Arc::new(column.build()?))
    };
    let of_classes = |kind| if table.class_names.is_some() { Kind::BYTE_ARRAY } else { kind };
    let mut columns = vec![column(ROW, Kind::INT64)?];
    if table.labels.is_some() {
        columns.push(column(LABEL, of_classes(Kind::INT64))?);
    }
    if table.names.is_some() {
        columns.push(column(NAME, Kind::BYTE_ARRAY)?);
    }
    for (name, is_class) in table.columns().zip(table.is_class()) {
        columns.push(column(&name, if is_class { Kind::BYTE_ARRAY } else { Kind::FLOAT })?);
    }
    let schema = Type::group_type_builder("features").with_fields(columns).build()?;
    // Hardly any feature stands there twice: a dictionary of them would only be read beside them.
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
    let width = table.width();
    let (mut first, mut held) = (0, Vec::new());
    for block in blocks {
        held.extend(values(&block?)?);
        if held.len() >= GROUP {
            first = write_group(file.next_row_group()?, table, first, &held, width)?;
            held.clear();
        }
    }
    if !held.is_empty() {
        write_group(file.next_row_group()?, table, first, &held, width)?;
    }
    file.close()?;
    Ok(())
}

/// Writes the cases from number `first` on whose features are `features`; the number of the next one.
fn write_group(
    mut group: SerializedRowGroupWriter<'_, impl Write + Send>,
    table: &FeatureTable<'_>,
    first: usize,
    features: &[f32],
    width: usize,
) -> Result<usize> {
    let next = first + features.len() / width.max(1);
    let whole =
        |numbers: &[u32]| numbers[first..next].iter().map(|&n| n.into()).collect::<Vec<i64>>();
    let names = |classes: &mut dyn Iterator<Item = u32>| -> Vec<ByteArray> {
        classes.map(|class| table.class(class).into_bytes().into()).collect()
    };
    write_column::<Int64Type>(&mut group, &whole(table.rows))?;
    match table.labels {
        Some(labels) if table.class_names.is_some() => {
            let names = names(&mut labels[first..next].iter().copied());
            write_column::<ByteArrayType>(&mut group, &names)?;
        }
        Some(labels) => write_column::<Int64Type>(&mut group, &whole(labels))?,
        None => {}
    }
    if let Some(names) = table.names {
        let names: Vec<_> =
            names[first..next].iter().map(|it| ByteArray::from(it.as_str())).collect();
        write_column::<ByteArrayType>(&mut group, &names)?;
    }
    let mut column = Vec::with_capacity(next - first);
    for (at, is_class) in table.is_class().into_iter().enumerate() {
        column.clear();
        column.extend(features.iter().skip(at).step_by(width));
        if is_class {
            let names = names(&mut column.iter().map(|class| *class as u32));
            write_column::<ByteArrayType>(&mut group, &names)?;
        } else {
            write_column::<FloatType>(&mut group, &column)?;
        }
    }
    group.close()?;
    Ok(next)
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &[T::T],
) -> Result<()> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, None, None)?;
        column.close()?;
    }
    Ok(())
}
