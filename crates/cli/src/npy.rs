//! Matrices as `.npy` files.

use anyhow::Result;
use candle_core::{DType, Tensor};
use npyz::WriterBuilder;

/// A matrix as the bytes of a `.npy` file of `f32`.
pub fn bytes(matrix: &Tensor) -> Result<Vec<u8>> {
    let (rows, columns) = matrix.dims2()?;
    let mut bytes = Vec::with_capacity(128 + 4 * rows * columns);
    let options = npyz::WriteOptions::new().default_dtype().shape(&[rows as u64, columns as u64]);
    let mut writer = options.writer(&mut bytes).begin_nd()?;
    writer.extend(matrix.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)?;
    writer.finish()?;
    Ok(bytes)
}
