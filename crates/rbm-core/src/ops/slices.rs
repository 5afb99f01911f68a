//! How a fused operation gets at the numbers of its tensors.

use candle_core::{D, DType, Device, Layout, Result, Storage, Tensor};

use super::real::Real;
#[cfg(any(feature = "cuda", feature = "metal"))]
use crate::rng::{BLOCK, LANES};

/// Whether the operations on single elements are made for tensors like `x`: fused on the CPU, kernels elsewhere.
pub(super) fn has_kernel(x: &Tensor) -> bool {
    match x.device() {
        Device::Cpu | Device::Cuda(_) => matches!(x.dtype(), DType::F32 | DType::F64),
        Device::Metal(_) => x.dtype() == DType::F32,
    }
}

/// Whether the operations that are fused on the CPU alone are made for tensors like `x`.
pub(super) fn has_fused(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// Whether matrix products with `x` are made by operations of our own, and not by another library's.
pub(super) fn has_product(x: &Tensor) -> bool {
    has_fused(x) && !cfg!(any(feature = "mkl", feature = "accelerate"))
}

/// The numbers of a tensor that must lie in one piece.
pub(super) fn contiguous<'a, T>(x: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&x[start..end]),
        None => candle_core::bail!(
            "a fused operation needs contiguous tensors, got strides {:?}",
            layout.stride()
        ),
    }
}

/// The same of a tensor that may be changed.
pub(super) fn contiguous_mut<'a, T>(x: &'a mut [T], layout: &Layout) -> Result<&'a mut [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut x[start..end]),
        None => candle_core::bail!("update in place: the target must be contiguous"),
    }
}

/// The numbers of a tensor on the CPU that lies in one piece.
pub(super) fn numbers_of<'a, T: Real>(storage: &'a Storage, layout: &Layout) -> Result<&'a [T]> {
    match storage {
        Storage::Cpu(storage) => contiguous(T::numbers("a fused operation", storage)?, layout),
        _ => candle_core::bail!("a fused operation: all tensors must lie on the CPU"),
    }
}

/// The storage that `$make` gives when each `$x` is the numbers of the tensor of that name, all `f32` or all `f64`. It returns from
/// the calling operation `$name` with an error where the first is neither, or another is of another type.
macro_rules! with_numbers {
    ($name:expr, ($x:ident, $layout:expr) $(, ($y:ident, $y_layout:expr))* => $make:expr) => {
        match $x {
            candle_core::CpuStorage::F32($x) => {
                let $x = $crate::ops::slices::contiguous($x, $layout)?;
                $(let $y = $crate::ops::slices::contiguous(f32::numbers($name, $y)?, $y_layout)?;)*
                f32::storage($make)
            }
            candle_core::CpuStorage::F64($x) => {
                let $x = $crate::ops::slices::contiguous($x, $layout)?;
                $(let $y = $crate::ops::slices::contiguous(f64::numbers($name, $y)?, $y_layout)?;)*
                f64::storage($make)
            }
            other => return Err($crate::ops::real::unsupported($name, other)),
        }
    };
}
pub(super) use with_numbers;

/// What `$run` does with the numbers of `$x`, which may be changed, and of each `$y`, all `f32` or all `f64`. It returns from the calling
/// operation `$name` with an error as [`with_numbers`] does.
macro_rules! with_numbers_mut {
    ($name:expr, ($x:ident, $layout:expr) $(, ($y:ident, $y_layout:expr))* => $run:expr) => {
        match $x {
            candle_core::CpuStorage::F32($x) => {
                let $x = $crate::ops::slices::contiguous_mut($x, $layout)?;
                $(let $y = $crate::ops::slices::contiguous(f32::numbers($name, $y)?, $y_layout)?;)*
                $run
            }
            candle_core::CpuStorage::F64($x) => {
                let $x = $crate::ops::slices::contiguous_mut($x, $layout)?;
                $(let $y = $crate::ops::slices::contiguous(f64::numbers($name, $y)?, $y_layout)?;)*
                $run
            }
            other => return Err($crate::ops::real::unsupported($name, other)),
        }
    };
}
pub(super) use with_numbers_mut;

/// Errors unless both tensors have the same shape.
pub(super) fn check_same(name: &str, left: &Layout, right: &Layout) -> Result<()> {
    if left.dims() != right.dims() {
        candle_core::bail!("{name}: one shape, got {:?} and {:?}", left.dims(), right.dims());
    }
    Ok(())
}

/// How many numbers tensors have that must all have as many.
#[cfg(any(feature = "cuda", feature = "metal"))]
pub(super) fn same_count<const N: usize>(layouts: [&Layout; N]) -> Result<usize> {
    let counts = layouts.map(|layout| layout.shape().elem_count());
    if counts.iter().any(|&count| count != counts[0]) {
        candle_core::bail!(
            "an update in place: expected tensors of one size, found {counts:?} numbers"
        );
    }
    Ok(counts[0])
}

/// How many counters `n` values take: a thread each. The last block of values may be short, but has all its counters.
#[cfg(any(feature = "cuda", feature = "metal"))]
pub(super) fn counters(n: usize) -> usize {
    n.div_ceil(BLOCK) * LANES
}

/// Errors unless inputs are a matrix and the bias has its width.
pub(super) fn check_bias(name: &str, inputs: &Layout, bias: &Layout) -> Result<()> {
    let width = inputs.shape().dim(D::Minus1)?;
    if inputs.dims().len() != 2 || bias.dims() != [width] {
        candle_core::bail!(
            "{name}: inputs (batch, width) and bias (width,), got {:?} and {:?}",
            inputs.dims(),
            bias.dims()
        );
    }
    Ok(())
}
