//! Features as tensors by name, each written where it belongs as its blocks arrive.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use anyhow::Result;
use candle_core::Tensor;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::table::{Table, values};

/// Writes `rows` and, where there are labels, `labels`, as 64-bit integers, which every reader of the format knows, and a tensor of
/// `f32` for each feature.
pub fn write(
    file: &mut File,
    table: &Table<'_>,
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
