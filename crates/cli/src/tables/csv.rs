//! Features as text: a header, then a line a case.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use candle_core::Tensor;

use super::table::{LABEL, NAME, ROW, Table, values};

/// Writes the columns `row`, `label` where there are labels, `name` where there are names, and one for each number, as few digits as tell it from others.
pub fn write(
    out: impl Write,
    table: &Table<'_>,
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
