//! The difference of two averaged outer products: the gradient of the weights.

use candle_core::{CpuStorage, Storage, Tensor};
use gemm::Parallelism;

use super::memory::{contiguous, has_fused, unsupported};
use super::reference;
use crate::{Error, Result};

/// α·xᵀy − β·uᵀw, all matrices `(cases, width)`; `x`, `u` of one width, `y`, `w` of another. The result is
/// `(x's width, y's width)`, made in one buffer without temporaries. A leaf.
pub fn outer_difference(
    (x, y, alpha): (&Tensor, &Tensor, f64),
    (u, w, beta): (&Tensor, &Tensor, f64),
) -> Result<Tensor> {
    let plain = cfg!(any(feature = "mkl", feature = "accelerate")) || !has_fused(x);
    if plain {
        return reference::outer_difference((x, y, alpha), (u, w, beta));
    }
    let (rows, columns) = (x.dim(1)?, y.dim(1)?);
    let (x, y, u, w) = (x.contiguous()?, y.contiguous()?, u.contiguous()?, w.contiguous()?);
    for (name, t, shape) in [
        ("y", &y, (x.dim(0)?, columns)),
        ("u", &u, (u.dim(0)?, rows)),
        ("w", &w, (u.dim(0)?, columns)),
    ] {
        if t.dims2()? != shape || t.dtype() != x.dtype() {
            let expected = format!("{shape:?} {:?}", x.dtype());
            let found = format!("{:?} {:?}", t.dims(), t.dtype());
            return Err(Error::invalid(format!("outer_difference: {name}"), expected, found));
        }
    }
    let out = with_slices([&x, &y, &u, &w], |slices| match slices {
        Slices::F32([x, y, u, w]) => {
            let mut out = product(x, y, (rows, columns), alpha as f32);
            accumulate(&mut out, u, w, (rows, columns), -beta as f32);
            CpuStorage::F32(out)
        }
        Slices::F64([x, y, u, w]) => {
            let mut out = product(x, y, (rows, columns), alpha);
            accumulate(&mut out, u, w, (rows, columns), -beta);
            CpuStorage::F64(out)
        }
    })?;
    let none = candle_core::op::BackpropOp::none();
    Ok(Tensor::from_storage(Storage::Cpu(out), (rows, columns), none, false))
}

enum Slices<'a> {
    F32([&'a [f32]; 4]),
    F64([&'a [f64]; 4]),
}

fn with_slices<R>(tensors: [&Tensor; 4], body: impl FnOnce(Slices) -> R) -> candle_core::Result<R> {
    let held = tensors.map(Tensor::storage_and_layout);
    let cpu = |i: usize| match &*held[i].0 {
        Storage::Cpu(storage) => Ok((storage, held[i].1)),
        _ => candle_core::bail!("outer_difference: all tensors must lie on the CPU"),
    };
    let f32s = |i| match cpu(i)? {
        (CpuStorage::F32(x), layout) => contiguous(x, layout),
        (other, _) => Err(unsupported("outer_difference", other)),
    };
    let f64s = |i| match cpu(i)? {
        (CpuStorage::F64(x), layout) => contiguous(x, layout),
        (other, _) => Err(unsupported("outer_difference", other)),
    };
    Ok(match tensors[0].dtype() {
        candle_core::DType::F64 => body(Slices::F64([f64s(0)?, f64s(1)?, f64s(2)?, f64s(3)?])),
        _ => body(Slices::F32([f32s(0)?, f32s(1)?, f32s(2)?, f32s(3)?])),
    })
}

/// scale·xᵀy in a new buffer, with x `(cases, rows)` and y `(cases, columns)`, all row-major.
fn product<T: Copy + From<bool> + 'static>(
    x: &[T],
    y: &[T],
    shape: (usize, usize),
    scale: T,
) -> Vec<T> {
    let len = shape.0 * shape.1;
    let mut out = Vec::with_capacity(len);
    // SAFETY: the capacity holds a matrix of this shape. Without reading it, `gemm` writes every one of its elements,
    // also where there are no cases, so all of them are initialised when the length says so.
    unsafe {
        gemm_into(out.as_mut_ptr(), false, x, y, shape, scale);
        out.set_len(len);
    }
    out
}

/// out += scale·xᵀy.
fn accumulate<T: Copy + From<bool> + 'static>(
    out: &mut [T],
    x: &[T],
    y: &[T],
    shape: (usize, usize),
    scale: T,
) {
    assert_eq!(out.len(), shape.0 * shape.1);
    // SAFETY: `out` is a matrix of this shape, as asserted.
    unsafe { gemm_into(out.as_mut_ptr(), true, x, y, shape, scale) }
}

/// # Safety
///
/// `out` points to memory for a `(rows, columns)` matrix, initialised if it is to be added to.
unsafe fn gemm_into<T: Copy + From<bool> + 'static>(
    out: *mut T,
    add: bool,
    x: &[T],
    y: &[T],
    (rows, columns): (usize, usize),
    scale: T,
) {
    let cases = x.len().checked_div(rows).unwrap_or(0);
    assert!(x.len() == cases * rows && y.len() == cases * columns);
    // SAFETY: the assertion makes every index that these dimensions and strides reach lie inside its slice; the caller
    // vouches for `out`.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            cases,
            out,
            1,
            columns as isize,
            add,
            x.as_ptr(),
            rows as isize,
            1,
            y.as_ptr(),
            1,
            columns as isize,
            T::from(true),
            scale,
            false,
            false,
            false,
            Parallelism::Rayon(rayon::current_num_threads()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The buffer is not cleared before the first product, so nothing of it may survive.
    #[test]
    fn every_element_is_written() {
        for (rows, columns, cases) in [(1, 1, 1), (3, 5, 2), (64, 33, 7), (4, 3, 0)] {
            drop(vec![f32::NAN; rows * columns]);
            let (x, y) = (vec![1f32; cases * rows], vec![2f32; cases * columns]);
            let out = product(&x, &y, (rows, columns), 0.5);
            assert!(
                out.iter().all(|&o| o == cases as f32),
                "{rows}x{columns}, {cases} cases: {out:?}"
            );
        }
    }
}
