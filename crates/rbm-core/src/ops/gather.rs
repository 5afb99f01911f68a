//! Sums of the rows of a matrix that a sparse vector picks: a product whose left side is mostly zeros.

use std::ops::Range;

use super::nonzeros::Row;
use super::real::Real;

/// Columns whose sums are kept in registers: half of those that AVX2 has in `f32`, all in `f64`.
pub(super) const PIECE: usize = 64;

/// acc ← acc + Σ valueᵢ·matrix[columnᵢ], of the columns `at..at + N` of a row-major matrix `width` wide.
#[inline(always)]
pub(super) fn add_rows<T: Real, const N: usize>(
    acc: &mut [T; N],
    picked: Row<T>,
    matrix: &[T],
    width: usize,
    at: usize,
) {
    let piece = |row: u32| -> &[T] { &matrix[row as usize * width + at..][..N] };
    let mut sums = *acc;
    if picked.values.is_empty() {
        for &row in picked.columns {
            let piece = piece(row);
            for i in 0..N {
                sums[i] += piece[i];
            }
        }
    } else {
        for (&row, &value) in picked.columns.iter().zip(picked.values) {
            let piece = piece(row);
            for i in 0..N {
                sums[i] += value * piece[i];
            }
        }
    }
    *acc = sums;
}

/// What is done to every piece of some columns.
pub(super) trait Pass {
    /// The columns `at..at + N`.
    fn piece<const N: usize>(&mut self, at: usize);
}

/// Cuts `columns` into pieces, the wide ones first, whose widths the compiler knows.
#[inline(always)]
pub(super) fn in_pieces(columns: Range<usize>, pass: &mut impl Pass) {
    let Range { start: mut at, end } = columns;
    macro_rules! pieces {
        ($($width:expr),*) => {$(
            while end - at >= $width {
                pass.piece::<{ $width }>(at);
                at += $width;
            }
        )*};
    }
    pieces!(PIECE, 32, 16, 8, 4, 1);
}
