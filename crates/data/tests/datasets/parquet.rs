//! Tables of Apache Parquet, column by column.

use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use candle_dbn_data::parquet::{NamedColumn, Values, read};

use super::{Outcome, assert_refused};

const SCHEMA: &str = "message table {
    REQUIRED INT64 whole;
    OPTIONAL DOUBLE real;
    OPTIONAL BOOLEAN yes;
    OPTIONAL BYTE_ARRAY word (UTF8);
    REQUIRED INT32 small (UINT_8);
    REQUIRED INT32 day (DATE);
    REQUIRED INT32 price (DECIMAL(9, 2));
}";

#[test]
fn columns_are_read_by_name_and_kind() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.parquet");
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let file = std::fs::File::create(&path)?;
    let mut writer = SerializedFileWriter::new(
        file,
        Arc::new(parse_message_type(SCHEMA)?),
        Arc::new(properties),
    )?;
    // Two groups of rows, of three and one.
    for rows in [0..3usize, 3..4] {
        let n = rows.len();
        let levels: Vec<i16> = rows.clone().map(|row| i16::from(row != 1)).collect();
        let mut group = writer.next_row_group()?;
        macro_rules! column {
            ($kind:ty, $values:expr, $levels:expr) => {{
                let values: Vec<_> = $values;
                let mut column = group.next_column()?.ok_or("a column")?;
                column.typed::<$kind>().write_batch(&values, $levels, None)?;
                column.close()?;
            }};
        }
        let present = || rows.clone().filter(|&row| row != 1);
        column!(Int64Type, rows.clone().map(|row| row as i64 - 1).collect(), None);
        column!(DoubleType, present().map(|row| row as f64 / 2.0).collect(), Some(&levels));
        column!(BoolType, present().map(|row| row == 2).collect(), Some(&levels));
        let words = present().map(|row| ByteArray::from(format!("w{row}").as_str()));
        column!(ByteArrayType, words.collect(), Some(&levels));
        column!(Int32Type, vec![200; n], None);
        column!(Int32Type, vec![19000; n], None);
        column!(Int32Type, vec![1250; n], None);
        group.close()?;
    }
    writer.close()?;
    let columns = read(&path)?;
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["whole", "real", "yes", "word", "small", "day", "price"]);
    let Values::Numbers(real) = &columns[1].values else { panic!("{columns:?}") };
    assert_eq!([real[0], real[2], real[3]], [0.0, 1.0, 1.5]);
    assert!(real[1].is_nan());
    let is = |at: usize, values: Values| {
        let NamedColumn { name, values: found } = &columns[at];
        assert_eq!(*found, values, "{name}");
    };
    is(0, Values::Numbers(vec![-1.0, 0.0, 1.0, 2.0]));
    is(2, Values::Booleans(vec![Some(false), None, Some(true), Some(false)]));
    let word = |row: usize| Some(format!("w{row}"));
    is(3, Values::Strings(vec![word(0), None, word(2), word(3)]));
    is(4, Values::Numbers(vec![200.0; 4]));
    is(6, Values::Numbers(vec![12.5; 4]));
    assert!(matches!(&columns[5].values, Values::Other(kind) if kind == "dates"), "{columns:?}");

    // Cut off anywhere, it is refused by name.
    let whole = std::fs::read(&path)?;
    for end in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..end])?;
        assert_refused(read(&path), &path, ["", "a Parquet file", ""]);
    }
    Ok(())
}

/// Files that claim what is not there: an offset before their beginning, as many rows as they like.
#[test]
fn what_a_file_says_of_itself_is_checked() -> Outcome {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/parquet");
    let path = corpus.join("found-negative");
    assert_refused(
        read(&path),
        &path,
        ["group 1 of rows, column", "bytes of the file", "from byte"],
    );
    // The same word, a hundred million times.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.parquet");
    let file = std::fs::File::create(&path)?;
    let schema = Arc::new(parse_message_type("message table { REQUIRED INT32 x; }")?);
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default())?;
    let mut group = writer.next_row_group()?;
    let mut column = group.next_column()?.ok_or("a column")?;
    let same = vec![1; 1 << 20];
    for _ in 0..17 {
        column.typed::<Int32Type>().write_batch(&same, None, None)?;
    }
    column.close()?;
    group.close()?;
    writer.close()?;
    assert!(std::fs::metadata(&path)?.len() < 50_000);
    let expected = ["the end of the file", "at most 16777216 values", "17825792 rows"];
    assert_refused(read(&path), &path, expected);
    Ok(())
}
