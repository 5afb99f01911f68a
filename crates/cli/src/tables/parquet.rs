//! Features as a table of Apache Parquet.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use candle_core::Tensor;
use parquet::basic::{LogicalType, Repetition, Type as Kind};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::table::{LABEL, NAME, ROW, Table, values};

/// How many numbers are held until their columns are written: 64 MiB.
const GROUP: usize = 1 << 24;

/// Writes the columns `row` and, where there are labels, `label`, as `INT64`, `name` as text where there are names, and one `FLOAT`
/// for each number; classes that have names are text. None has gaps, and none is compressed.
pub fn write(
    out: impl Write + Send,
    table: &Table<'_>,
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
    table: &Table<'_>,
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
