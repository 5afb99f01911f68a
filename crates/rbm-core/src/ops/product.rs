//! Matrix products with a left side that may be mostly zeros, as configurations of binary units are.
//!
//! Where few elements are not zero, the rows of the right side that they pick are added up; where all are zeros and ones, sums of four
//! rows may be added; else the product is dense. Which of these is quickest was measured (docs/design/operations.md). They agree to
//! rounding: the last bits of a row may depend on how dense its batch is. Where the product is not dense, what is not finite in w counts
//! only where x is not zero.
//!
//! Products of dense matrices, into memory that is already there.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use gemm::Parallelism;
use rayon::prelude::*;

use super::aligned::Aligned;
use super::cpu::{Simd, has_product, with_numbers};
use super::density::Density;
use super::fours::Fours;
use super::processor::{Processor, Way};
use super::real::Real;
use super::sparse::{Nonzeros, PIECE, RowPass, add_rows, in_pieces};
use super::transpose::transpose;
use crate::Result;

/// Additions that are not worth a second thread.
const SMALL: usize = 200_000;

/// x·w, with x `(batch, n)` and w `(n, m)`: `(batch, m)`. Differentiable.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn product(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    apply(x, w, false)
}

/// x·wᵀ, with x `(batch, m)` and w `(n, m)`: `(batch, n)`. Differentiable.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn product_transposed(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    apply(x, w, true)
}

fn apply(x: &Tensor, w: &Tensor, transposed: bool) -> Result<Tensor> {
    if !has_product(x) || x.rank() != 2 || w.rank() != 2 {
        return Ok(if transposed { x.matmul(&w.t()?)? } else { x.matmul(w)? });
    }
    Ok(x.contiguous()?.apply_op2(&w.contiguous()?, Product { transposed })?)
}

struct Product {
    /// Whether the right side is meant transposed.
    transposed: bool,
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        if self.transposed { "product-transposed" } else { "product" }
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let ((rows, inner), (n, m)) = (x_layout.shape().dims2()?, w_layout.shape().dims2()?);
        let (expected, width) = if self.transposed { (m, n) } else { (n, m) };
        if inner != expected {
            candle_core::bail!("{}: ({rows}, {inner}) and ({n}, {m}) do not fit", self.name());
        }
        let shape = (rows, inner, width);
        let out = with_numbers!(self.name(), (x, x_layout), (w, w_layout)
            => multiply(x, w, shape, self.transposed));
        Ok((out, (rows, width).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (x, w) = (x.detach(), w.detach());
        if self.transposed {
            Ok((Some(grad.matmul(&w)?), Some(grad.t()?.matmul(&x)?)))
        } else {
            Ok((Some(grad.matmul(&w.t()?)?), Some(x.t()?.matmul(grad)?)))
        }
    }
}

/// x·w or x·wᵀ, with x `(rows, inner)` and the result `(rows, width)`.
pub(super) fn multiply<T: Real>(
    x: &[T],
    w: &[T],
    shape: (usize, usize, usize),
    transposed: bool,
) -> Vec<T> {
    let way = |density| Processor::here().way_of_product(shape, transposed, density);
    if way(Density::NONE) == Way::Dense {
        return dense(x, w, shape, transposed);
    }
    multiply_by(way, x, w, shape, transposed)
}

/// The same, by the way that is named for x's density.
pub(super) fn multiply_by<T: Real>(
    way: impl Fn(Density) -> Way,
    x: &[T],
    w: &[T],
    shape: (usize, usize, usize),
    transposed: bool,
) -> Vec<T> {
    let (_, inner, width) = shape;
    if x.is_empty() || w.is_empty() {
        return dense(x, w, shape, transposed);
    }
    let density = Density::along_rows(x, inner);
    match (Picked::of(x, inner, way(density), density), transposed) {
        (Some(x), false) => gathered(&x, w, width),
        (Some(x), true) => gathered_transposed(&x, w, inner),
        (None, _) => dense(x, w, shape, transposed),
    }
}

/// The same as a product of dense matrices.
fn dense<T: Real>(
    x: &[T],
    w: &[T],
    (rows, inner, width): (usize, usize, usize),
    transposed: bool,
) -> Vec<T> {
    if x.is_empty() || w.is_empty() {
        return vec![T::default(); rows * width];
    }
    let right = if transposed { Matrix::new(w, inner).t() } else { Matrix::new(w, width) };
    Matrix::new(x, inner).times(right)
}

/// A row-major matrix whose columns are made by different threads.
struct SharedColumns<T> {
    start: *mut T,
    width: usize,
    len: usize,
}

// SAFETY: it only writes what the caller of `set` vouches to be its own.
unsafe impl<T: Send> Sync for SharedColumns<T> {}

impl<T: Copy> SharedColumns<T> {
    /// Sets the elements from `column` on in `row`.
    ///
    /// # Safety
    ///
    /// The memory is there, and no other thread writes or reads these elements.
    unsafe fn set(&self, row: usize, column: usize, values: &[T]) {
        assert!(column + values.len() <= self.width && (row + 1) * self.width <= self.len);
        // SAFETY: inside the matrix, as asserted; alone, as the caller vouches.
        unsafe {
            let start = self.start.add(row * self.width + column);
            std::ptr::copy_nonoverlapping(values.as_ptr(), start, values.len());
        }
    }
}

/// What a thread needs beside the matrix that it makes blocks of: made once, and used for all its blocks.
#[derive(Default)]
struct Scratch<T> {
    /// Rows of w, transposed.
    turned: Aligned<T>,
    /// What fours add up to in a piece, row by row.
    sums: Aligned<T>,
    /// The sums of fours.
    table: Aligned<T>,
}

/// A matrix of `rows` rows, `width` wide, made a block of columns at a time: `pass(columns, out, scratch)` must set these in all rows,
/// and no others.
///
/// # Safety
///
/// `pass` does so: what it leaves out would be read uninitialised.
unsafe fn by_blocks<T: Real>(
    (rows, width): (usize, usize),
    work: usize,
    pass: impl Fn(Range<usize>, &SharedColumns<T>, &mut Scratch<T>) + Sync,
) -> Vec<T> {
    let mut out = Vec::with_capacity(rows * width);
    let columns = SharedColumns { start: out.as_mut_ptr(), width, len: rows * width };
    let blocks = (0..width).step_by(PIECE).map(|at| at..width.min(at + PIECE));
    if work <= SMALL || rayon::current_num_threads() == 1 {
        let mut scratch = Scratch::default();
        blocks.for_each(|block| pass(block, &columns, &mut scratch));
    } else {
        let blocks = blocks.collect::<Vec<_>>().into_par_iter();
        blocks.for_each_init(Scratch::default, |scratch, block| pass(block, &columns, scratch));
    }
    // SAFETY: the blocks cover all columns, and `pass` sets every row of its block.
    unsafe { out.set_len(rows * width) };
    out
}

/// x·w, with w `m` wide.
fn gathered<T: Real>(x: &Picked<T>, w: &[T], m: usize) -> Vec<T> {
    let pass = |block, out: &SharedColumns<T>, scratch: &mut Scratch<T>| {
        // SAFETY: every block is passed once, by one thread, while the matrix is being made.
        unsafe { add_block(x, (w, m, 0), block, out, [&mut scratch.sums, &mut scratch.table]) }
    };
    // SAFETY: `add_block` sets all rows of its block.
    unsafe { by_blocks((x.rows(), m), x.additions() * m, pass) }
}

/// Writes the columns `block` of `out` as sums of rows of `w`, `width` wide, which holds `out`'s column `offset` in its first.
///
/// # Safety
///
/// The memory of `out` is there, and no other thread writes or reads these columns.
unsafe fn add_block<T: Real>(
    x: &Picked<T>,
    (w, width, offset): (&[T], usize, usize),
    block: Range<usize>,
    out: &SharedColumns<T>,
    [sums, table]: [&mut Aligned<T>; 2],
) {
    struct AddPicked<'a, T> {
        x: &'a Picked<T>,
        w: &'a [T],
        width: usize,
        offset: usize,
        out: &'a SharedColumns<T>,
        sums: &'a mut Aligned<T>,
        table: &'a mut Aligned<T>,
    }
    impl<T: Real> RowPass for AddPicked<'_, T> {
        #[inline(always)]
        fn piece<const N: usize>(&mut self, at: usize) {
            let from = at - self.offset;
            match self.x {
                Picked::Rows(x) => {
                    for row in 0..x.rows() {
                        let mut sums = [T::default(); N];
                        add_rows(&mut sums, x.row(row), self.w, self.width, from);
                        // SAFETY: as `add_block`'s caller vouches.
                        unsafe { self.out.set(row, at, &sums) };
                    }
                }
                Picked::Fours(x) => {
                    self.sums.set_zeros(x.rows() * N);
                    let columns = (self.width, from);
                    x.add_to::<T, N>(self.sums, 0, self.w, columns, self.table);
                    for (row, sums) in self.sums.chunks_exact(N).enumerate() {
                        // SAFETY: as `add_block`'s caller vouches.
                        unsafe { self.out.set(row, at, sums) };
                    }
                }
            }
        }
    }
    let mut pass = AddPicked { x, w, width, offset, out, sums, table };
    Simd::best().run(
        #[inline(always)]
        || in_pieces(block, &mut pass),
    );
}

/// x·wᵀ, with w `m` wide: each block of w's rows is transposed into the cache first.
fn gathered_transposed<T: Real>(x: &Picked<T>, w: &[T], m: usize) -> Vec<T> {
    let n = w.len() / m;
    let pass = |block: Range<usize>, out: &SharedColumns<T>, scratch: &mut Scratch<T>| {
        let Scratch { turned, sums, table } = scratch;
        turned.set_len(m * PIECE);
        transpose(&w[block.start * m..block.end * m], m, turned, PIECE);
        // SAFETY: every block is passed once, by one thread, while the matrix is being made.
        unsafe { add_block(x, (&*turned, PIECE, block.start), block, out, [sums, table]) }
    };
    // SAFETY: `add_block` sets all rows of its block.
    unsafe { by_blocks((x.rows(), n), (x.additions() + m) * n, pass) }
}

/// A matrix that is only read: row-major, or the transpose of one.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// `data` row by row, each `columns` long.
    pub(super) fn new(data: &'a [T], columns: usize) -> Self {
        let rows = data.len().checked_div(columns).unwrap_or(0);
        assert_eq!(data.len(), rows * columns, "a matrix has whole rows");
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same numbers with rows and columns exchanged.
    pub(super) fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// self · right.
    pub(super) fn times(self, right: Self) -> Vec<T> {
        let mut out = vec![T::default(); self.rows * right.columns];
        multiply_into(&mut out, T::default(), T::from(true), self, right);
        out
    }
}

/// out ← keep·out + scale·left·right, with `out` row-major. With `keep` zero, what was in `out` does not matter.
pub(super) fn multiply_into<T: Real>(
    out: &mut [T],
    keep: T,
    scale: T,
    left: Matrix<T>,
    right: Matrix<T>,
) {
    let parallelism = Parallelism::Rayon(rayon::current_num_threads());
    multiply_on(parallelism, out, keep, scale, left, right);
}

/// out ← left·right on the calling thread alone, with `out` row-major: for what is cut up among threads already.
pub(super) fn multiply_alone<T: Real>(out: &mut [T], left: Matrix<T>, right: Matrix<T>) {
    multiply_on(Parallelism::None, out, T::default(), T::from(true), left, right);
}

fn multiply_on<T: Real>(
    parallelism: Parallelism,
    out: &mut [T],
    keep: T,
    scale: T,
    left: Matrix<T>,
    right: Matrix<T>,
) {
    assert!(left.columns == right.rows && out.len() == left.rows * right.columns);
    // SAFETY: the assertion and the constructor of `Matrix` make every index that these dimensions and strides reach lie
    // inside its slice.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            out.as_mut_ptr(),
            1,
            right.columns as isize,
            keep != T::default(),
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            keep,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// A matrix whose product with another is sums of rows of the other.
#[derive(Debug)]
pub(super) enum Picked<T> {
    /// Of single rows.
    Rows(Nonzeros<T>),
    /// Of sums of four.
    Fours(Fours),
}

impl<T: Real> Picked<T> {
    /// `x`, row-major and `width` wide, for the way `way`. `None` where that is the dense one, or where `x` is not what its `density` promised.
    pub(super) fn of(x: &[T], width: usize, way: Way, density: Density) -> Option<Self> {
        match way {
            Way::Dense => None,
            Way::Rows => Nonzeros::of(x, width, most(density)).map(Self::Rows),
            Way::Fours => Fours::of(x, width).map(Self::Fours),
        }
    }

    /// The same of the transposed matrix.
    pub(super) fn of_transposed(x: &[T], width: usize, way: Way, density: Density) -> Option<Self> {
        match way {
            Way::Dense => None,
            Way::Rows => Nonzeros::of(x, width, most(density))
                .map(|nonzeros| Self::Rows(nonzeros.transposed(width))),
            Way::Fours => Fours::of_transposed(x, width).map(Self::Fours),
        }
    }

    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.rows(),
            Self::Fours(fours) => fours.rows(),
        }
    }

    /// How many rows, or sums of them, are added.
    pub(super) fn additions(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Fours(fours) => fours.additions(),
        }
    }
}

/// The share that may be not zero after all where `density` was seen in some of the rows: beyond it, their lists are not worth having.
fn most(density: Density) -> f64 {
    (1.5 * density.elements + 0.02).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_of_bits_is_picked_as_it_is_asked() {
        let x: Vec<f32> = (0..200).map(|i| f32::from(i % 5 == 0)).collect();
        let (along, down) = (Density::along_rows(&x, 20), Density::along_columns(&x, 20));
        for (way, is_it) in [
            (Way::Rows, (|found| matches!(found, Some(Picked::Rows(_)))) as fn(_) -> bool),
            (Way::Fours, |found| matches!(found, Some(Picked::Fours(_)))),
            (Way::Dense, |found| found.is_none()),
        ] {
            assert!(is_it(Picked::of(&x, 20, way, along)), "{way:?}");
            assert!(is_it(Picked::of_transposed(&x, 20, way, down)), "{way:?}");
        }
    }

    /// Without `keep` nothing that was in the buffer may survive, also where there is nothing to add up.
    #[test]
    fn overwrites_or_adds() {
        for (rows, columns, inner) in [(1, 1, 1), (3, 5, 2), (64, 33, 7), (4, 3, 0)] {
            let (x, y) = (vec![1f32; inner * rows], vec![2f32; inner * columns]);
            let x = Matrix { rows, columns: inner, row_stride: 1, column_stride: rows, data: &x };
            let y = Matrix { columns, ..Matrix::new(&y, columns) };
            let mut out = vec![f32::NAN; rows * columns];
            multiply_into(&mut out, 0.0, 0.5, x, y);
            assert!(out.iter().all(|&o| o == inner as f32), "{rows}x{columns}, {inner}: {out:?}");
            multiply_into(&mut out, 3.0, -0.5, x, y);
            assert!(out.iter().all(|&o| o == 2.0 * inner as f32), "{rows}x{columns}: {out:?}");
        }
    }

    /// A matrix of which a share `density` is one.
    fn bits<T: Real>(len: usize, density: f64) -> Vec<T> {
        let is_one = |i: usize| ((i * 7919 + i / 13) % 1000) as f64 / 1000.0 < density;
        (0..len).map(|i| T::from(is_one(i))).collect()
    }

    /// Every way to a product gives the same sums: of small whole numbers they are exact.
    #[test]
    fn every_way_agrees() {
        fn check<T: Real + PartialEq + std::fmt::Debug>() {
            for (rows, n, m) in [(1, 1, 1), (61, 203, 125), (3, 70, 7), (40, 17, 500)] {
                let w: Vec<T> = (0..n * m).map(|i| T::from_f64((i % 17) as f64 - 8.0)).collect();
                for density in [0.0, 0.1, 0.25, 0.45, 1.0] {
                    for transposed in [false, true] {
                        let (inner, width) = if transposed { (m, n) } else { (n, m) };
                        let x: Vec<T> = bits(rows * inner, density);
                        let shape = (rows, inner, width);
                        let of = |way: Way| multiply_by(|_| way, &x, &w, shape, transposed);
                        let known = of(Way::Dense);
                        for row in 0..rows {
                            for column in 0..width {
                                let at = |i: usize| {
                                    if transposed { column * m + i } else { i * m + column }
                                };
                                let picked =
                                    (0..inner).filter(|i| x[row * inner + i] != T::default());
                                let sum = picked.fold(T::default(), |sum, i| sum + w[at(i)]);
                                assert_eq!(known[row * width + column], sum);
                            }
                        }
                        for way in Way::ALL {
                            assert_eq!(of(way), known, "{way:?}: {shape:?} {density} {transposed}");
                        }
                    }
                }
            }
        }
        check::<f32>();
        check::<f64>();
    }

    /// What was not seen in some of the rows: values beside one, or more of them than were promised.
    #[test]
    fn rows_that_were_not_seen_count_too() {
        let (rows, inner, width) = (64, 512, 40);
        let shape = (rows, inner, width);
        let w: Vec<f32> = (0..inner * width).map(|i| (i % 17) as f32 - 8.0).collect();
        let few: Vec<f32> = bits(rows * inner, 0.1);
        let mut half = few.clone();
        half[5 * inner + 7] = 0.5;
        let mut full = few.clone();
        full[4 * inner..32 * inner].fill(1.0);
        for x in [few, half, full] {
            for way in Way::ALL {
                let found = multiply_by(|_| way, &x, &w, shape, false);
                assert_eq!(found, dense(&x, &w, shape, false), "{way:?}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_counts_only_where_it_is_picked() {
        let (rows, inner, width) = (9, 30, 70);
        let mut x: Vec<f32> = bits(rows * inner, 0.5);
        x.iter_mut().skip(5).step_by(inner).for_each(|x| *x = 0.0);
        let mut w = vec![1.0f32; inner * width];
        w[5 * width..6 * width].fill(f32::NAN);
        for way in [Way::Rows, Way::Fours] {
            let found = multiply_by(|_| way, &x, &w, (rows, inner, width), false);
            assert!(found.iter().all(|x| x.is_finite()), "{way:?}");
        }
    }
}
