//! Products of dense matrices, into memory that is already there.

use gemm::Parallelism;

use super::real::Real;

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
            Parallelism::Rayon(rayon::current_num_threads()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
