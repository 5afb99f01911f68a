//! How a fused operation gets at the numbers of its tensors, and how a pass over CPU memory is cut up: vector width and threads.

use std::ops::Range;

use candle_core::{D, DType, Device, Layout, Result, Storage, Tensor};
use rayon::prelude::*;

use super::real::Real;
use crate::rng::BLOCK;

#[cfg(any(feature = "cuda", feature = "metal"))]
use crate::rng::LANES;

/// Elements a thread takes at a time: small enough for two cores to share a mini-batch, large enough to be worth it.
const CHUNK: usize = 32 * BLOCK;
/// Elements that are not worth a second thread.
const SMALL: usize = 128 * BLOCK;

/// The vector instructions that a pass may use. Only [`Simd::best`] and [`Simd::available`] make one, so holding one
/// proves that the machine has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Simd(SimdLevel);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SimdLevel {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Simd {
    /// The widest that pays. AVX-512 was measured and is not faster here (docs/design/random-numbers.md).
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self(SimdLevel::Avx2);
        }
        Self(SimdLevel::Baseline)
    }

    /// Every level of this machine, for tests that compare them.
    #[cfg(test)]
    pub(super) fn available() -> Vec<Self> {
        let mut levels = vec![Self(SimdLevel::Baseline)];
        if Self::best() != levels[0] {
            levels.push(Self::best());
        }
        levels
    }

    /// Runs `pass` compiled for this level; `pass` must be inlined into the wrapper for that to have an effect.
    #[inline]
    pub(super) fn run(self, pass: impl FnOnce()) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        #[inline(never)]
        fn avx2(pass: impl FnOnce()) {
            pass();
        }
        match self.0 {
            SimdLevel::Baseline => pass(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Simd` of this level exists only where AVX2 was detected.
            SimdLevel::Avx2 => unsafe { avx2(pass) },
        }
    }
}

/// Whether an elementwise pass over so many elements is not worth a second thread, or there is none.
pub(super) fn is_small(elements: usize) -> bool {
    elements <= SMALL || rayon::current_num_threads() == 1
}

/// Calls `pass(offset, chunk)` for consecutive chunks of `out`, on as many threads as rayon has. What a chunk is may
/// depend on their number, so `pass` must treat every element alike.
pub(super) fn for_chunks<T: Send>(out: &mut [T], pass: impl Fn(usize, &mut [T]) + Sync) {
    if is_small(out.len()) {
        pass(0, out);
    } else {
        out.par_chunks_mut(CHUNK).enumerate().for_each(|(i, chunk)| pass(i * CHUNK, chunk));
    }
}

/// [`for_chunks`] over two buffers of the same length in step.
pub(super) fn for_chunks2<T: Send>(
    left: &mut [T],
    right: &mut [T],
    pass: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    if is_small(left.len()) {
        pass(0, left, right);
    } else {
        let chunks = left.par_chunks_mut(CHUNK).zip(right.par_chunks_mut(CHUNK)).enumerate();
        chunks.for_each(|(i, (left, right))| pass(i * CHUNK, left, right));
    }
}

/// Calls `pass(block, values)` for every block of [`BLOCK`] values of `out`; the last may be shorter.
pub(super) fn for_blocks<T: Send>(out: &mut [T], pass: impl Fn(usize, &mut [T]) + Sync) {
    for_chunks(out, |offset, chunk| {
        for (i, block) in chunk.chunks_mut(BLOCK).enumerate() {
            pass(offset / BLOCK + i, block);
        }
    });
}

/// A part of one row of a matrix, within consecutive elements of it.
pub(super) struct RowRun {
    /// Which row it is of.
    pub(super) row: usize,
    /// Its columns.
    pub(super) columns: Range<usize>,
    /// Where it lies among these elements.
    pub(super) place: Range<usize>,
}

/// Goes along the rows of a row-major matrix `width` wide, over its `len` elements from element `start` on, a run for each row.
#[inline(always)]
pub(super) fn row_runs(start: usize, len: usize, width: usize) -> impl Iterator<Item = RowRun> {
    let width = width.max(1);
    RowRuns { row: start / width, column: start % width, done: 0, len, width }
}

struct RowRuns {
    row: usize,
    column: usize,
    done: usize,
    len: usize,
    width: usize,
}

impl Iterator for RowRuns {
    type Item = RowRun;

    #[inline(always)]
    fn next(&mut self) -> Option<RowRun> {
        let len = (self.width - self.column).min(self.len - self.done);
        if len == 0 {
            return None;
        }
        let (row, columns) = (self.row, self.column..self.column + len);
        let place = self.done..self.done + len;
        (self.row, self.column, self.done) = (row + 1, 0, place.end);
        Some(RowRun { row, columns, place })
    }
}

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
                let $x = $crate::ops::cpu::contiguous($x, $layout)?;
                $(let $y = $crate::ops::cpu::contiguous(f32::numbers($name, $y)?, $y_layout)?;)*
                f32::storage($make)
            }
            candle_core::CpuStorage::F64($x) => {
                let $x = $crate::ops::cpu::contiguous($x, $layout)?;
                $(let $y = $crate::ops::cpu::contiguous(f64::numbers($name, $y)?, $y_layout)?;)*
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
                let $x = $crate::ops::cpu::contiguous_mut($x, $layout)?;
                $(let $y = $crate::ops::cpu::contiguous(f32::numbers($name, $y)?, $y_layout)?;)*
                $run
            }
            candle_core::CpuStorage::F64($x) => {
                let $x = $crate::ops::cpu::contiguous_mut($x, $layout)?;
                $(let $y = $crate::ops::cpu::contiguous(f64::numbers($name, $y)?, $y_layout)?;)*
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a run that crosses the end of its row, and elements that are left out or come twice.
    #[test]
    fn runs_are_the_elements_row_by_row() {
        for (start, len, width) in
            [(0, 12, 4), (3, 10, 4), (5, 2, 4), (7, 1, 4), (2, 6, 1), (9, 0, 3)]
        {
            let mut found = Vec::new();
            for RowRun { row, columns, place } in row_runs(start, len, width) {
                assert_eq!((columns.len(), place.start), (place.len(), found.len()));
                found.extend(columns.map(|column| row * width + column));
            }
            assert_eq!(found, (start..start + len).collect::<Vec<_>>());
        }
        assert_eq!(row_runs(0, 0, 0).count(), 0);
    }
}
