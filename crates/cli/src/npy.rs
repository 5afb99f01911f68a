//! Matrices as `.npy` files.

use std::io::Write;

use anyhow::Result;
use candle_core::{DType, Tensor};
use npyz::WriterBuilder;

/// A matrix as the bytes of a `.npy` file of `f32`.
pub fn bytes(matrix: &Tensor) -> Result<Vec<u8>> {
    let (rows, columns) = matrix.dims2()?;
    let mut bytes = Vec::with_capacity(128 + 4 * rows * columns);
    write(&mut bytes, (rows, columns), [Ok(matrix.clone())])?;
    Ok(bytes)
}

/// Writes a `.npy` file of `f32` of this shape, whose rows come in `blocks`.
pub fn write(
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
