//! Where a matrix of zeros and ones, or of mostly zeros, is not zero.
//!
//! Sums of the rows of a matrix that a sparse vector picks: a product whose left side is mostly zeros.

use std::ops::Range;

use rayon::prelude::*;

use super::cpu::{Simd, is_small};
use super::real::Real;

/// Elements that are looked at together: a chunk without a one costs a single comparison.
const CHUNK: usize = 16;

/// The elements of a matrix that are not zero, row by row. Their values are kept only where one of them is not one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Nonzeros<T> {
    /// Row `i` has the elements `starts[i]..starts[i + 1]`.
    starts: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<T>,
}

/// The elements of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct NonzeroRow<'a, T> {
    /// In which columns, ascending.
    pub columns: &'a [u32],
    /// Their values; empty when all are one.
    pub values: &'a [T],
}

impl<T: Real> Nonzeros<T> {
    /// Of `x`, row-major and `width` wide. `None` when a larger share of it than `most` is not zero.
    pub(super) fn of(x: &[T], width: usize, most: f64) -> Option<Self> {
        if x.is_empty() || width == 0 || x.len() > u32::MAX as usize {
            return None;
        }
        let (rows, most) = (x.len() / width, (most * x.len() as f64) as usize);
        let parts: Vec<Option<NonzeroColumns>> = if is_small(x.len()) {
            vec![NonzeroColumns::of(x, width, most)]
        } else {
            let rows = rows.div_ceil(rayon::current_num_threads());
            x.par_chunks(rows * width).map(|x| NonzeroColumns::of(x, width, most)).collect()
        };
        let mut found = Self { starts: vec![0], columns: Vec::with_capacity(most), values: vec![] };
        let mut ones = true;
        for part in parts {
            let part = part?;
            let offset = found.columns.len() as u32;
            found.starts.extend(part.ends.iter().map(|end| end + offset));
            found.columns.extend(part.columns);
            ones &= part.ones;
        }
        if found.len() > most {
            return None;
        }
        if !ones {
            found.values.reserve_exact(found.len());
            for (row, x) in x.chunks_exact(width).enumerate() {
                let columns = &found.columns[found.range(row)];
                found.values.extend(columns.iter().map(|&column| x[column as usize]));
            }
        }
        Some(found)
    }

    /// Of the transposed matrix, where this one is `width` wide.
    pub(super) fn transposed(&self, width: usize) -> Self {
        let mut starts = vec![0u32; width + 1];
        for &column in &self.columns {
            starts[column as usize + 1] += 1;
        }
        for i in 0..width {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut values = vec![T::default(); self.values.len()];
        for row in 0..self.rows() {
            let NonzeroRow { columns: from, values: held } = self.row(row);
            for (i, &column) in from.iter().enumerate() {
                let place = &mut next[column as usize];
                columns[*place as usize] = row as u32;
                if let Some(&value) = held.get(i) {
                    values[*place as usize] = value;
                }
                *place += 1;
            }
        }
        Self { starts, columns, values }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    #[inline(always)]
    fn range(&self, row: usize) -> Range<usize> {
        self.starts[row] as usize..self.starts[row + 1] as usize
    }

    /// How many elements there are.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Row `i`.
    #[inline(always)]
    pub(super) fn row(&self, i: usize) -> NonzeroRow<'_, T> {
        let range = self.range(i);
        let values = if self.values.is_empty() { &[] } else { &self.values[range.clone()] };
        NonzeroRow { columns: &self.columns[range], values }
    }
}

/// Where some rows are not zero.
struct NonzeroColumns {
    /// Where each row's columns end.
    ends: Vec<u32>,
    columns: Vec<u32>,
    /// Whether everything that is not zero is one.
    ones: bool,
}

impl NonzeroColumns {
    /// `None` when more than `most` elements, and a chunk, are not zero.
    fn of<T: Real>(x: &[T], width: usize, most: usize) -> Option<Self> {
        let mut found = None;
        Simd::best().run(
            #[inline(always)]
            || found = Self::look(x, width, most),
        );
        found
    }

    #[inline(always)]
    fn look<T: Real>(x: &[T], width: usize, most: usize) -> Option<Self> {
        let (zero, one) = (T::default(), T::from(true));
        let mut ends = Vec::with_capacity(x.len() / width);
        // Room for a chunk more than can be needed: a column is written before it is known to count.
        let mut columns = vec![0; most.min(x.len()) + CHUNK];
        let (mut count, mut ones) = (0, true);
        for row in x.chunks_exact(width) {
            for (i, chunk) in row.chunks(CHUNK).enumerate() {
                let (mut zeros, mut bits) = (true, true);
                for &x in chunk {
                    zeros &= x == zero;
                    bits &= (x == zero) | (x == one);
                }
                if zeros {
                    continue;
                }
                ones &= bits;
                let places = columns.get_mut(count..)?.get_mut(..CHUNK)?;
                let mut new = 0;
                for (j, &x) in chunk.iter().enumerate() {
                    places[new] = (i * CHUNK + j) as u32;
                    new += usize::from(x != zero);
                }
                count += new;
            }
            ends.push(count as u32);
        }
        columns.truncate(count);
        Some(Self { ends, columns, ones })
    }
}

/// Columns whose sums are kept in registers: half of those that AVX2 has in `f32`, all in `f64`.
pub(super) const PIECE: usize = 64;

/// acc ← acc + Σ valueᵢ·matrix[columnᵢ], of the columns `at..at + N` of a row-major matrix `width` wide.
#[inline(always)]
pub(super) fn add_rows<T: Real, const N: usize>(
    acc: &mut [T; N],
    picked: NonzeroRow<T>,
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
pub(super) trait RowPass {
    /// The columns `at..at + N`.
    fn piece<const N: usize>(&mut self, at: usize);
}

/// Cuts `columns` into pieces, the wide ones first, whose widths the compiler knows.
#[inline(always)]
pub(super) fn in_pieces(columns: Range<usize>, pass: &mut impl RowPass) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lists<T: Real>(nonzeros: &Nonzeros<T>) -> Vec<(Vec<u32>, Vec<T>)> {
        let row = |i| {
            let NonzeroRow { columns, values } = nonzeros.row(i);
            (columns.to_vec(), values.to_vec())
        };
        (0..nonzeros.rows()).map(row).collect()
    }

    #[test]
    fn finds_every_element_of_every_row() {
        for (rows, width) in [(1, 1), (3, 16), (5, 17), (400, 203)] {
            let is_one = |i: usize| (i * 7).is_multiple_of(5);
            let x: Vec<f32> = (0..rows * width).map(|i| f32::from(is_one(i) as u8)).collect();
            let found = Nonzeros::of(&x, width, 1.0).map(|n| lists(&n));
            let expected: Vec<_> = (0..rows)
                .map(|r| (0..width).filter(|c| is_one(r * width + c)).map(|c| c as u32).collect())
                .map(|columns: Vec<u32>| (columns, vec![]))
                .collect();
            assert_eq!(found, Some(expected), "{rows}x{width}");
        }
    }

    #[test]
    fn transposing_twice_changes_nothing_and_keeps_values() -> Result<(), &'static str> {
        let x = [0.0, 0.5, 1.0, 0.0, 0.0, -2.0];
        let nonzeros = Nonzeros::of(&x, 3, 1.0).ok_or("too dense")?;
        assert_eq!(lists(&nonzeros), [(vec![1, 2], vec![0.5, 1.0]), (vec![2], vec![-2.0])]);
        let turned = nonzeros.transposed(3);
        let columns = [(vec![], vec![]), (vec![0], vec![0.5]), (vec![0, 1], vec![1.0, -2.0])];
        assert_eq!(lists(&turned), columns);
        assert_eq!(turned.transposed(2), nonzeros);
        Ok(())
    }

    #[test]
    fn refuses_what_is_denser_than_asked_and_takes_a_nan_for_a_value() -> Result<(), &'static str> {
        assert!(Nonzeros::of(&[1.0, 0.0, 0.0, 0.0], 2, 0.25).is_some());
        assert!(Nonzeros::of(&[1.0, 0.0, f32::NAN, 0.0], 2, 0.25).is_none());
        let nan = Nonzeros::of(&[0.0, f32::NAN], 2, 0.5).ok_or("too dense")?;
        assert!(nan.row(0).values[0].is_nan());
        Ok(())
    }
}
