//! Where a matrix of zeros and ones, or of mostly zeros, is not zero.

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
pub(super) struct Row<'a, T> {
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
        let (nonzero, other) = census(x);
        if nonzero as f64 > most * x.len() as f64 {
            return None;
        }
        let keep_values = other > 0;
        let rows = x.len() / width;
        let parts: Vec<Self> = if is_small(x.len()) {
            vec![Self::of_rows(x, width, keep_values)]
        } else {
            let rows = rows.div_ceil(rayon::current_num_threads());
            x.par_chunks(rows * width).map(|x| Self::of_rows(x, width, keep_values)).collect()
        };
        let mut parts = parts.into_iter();
        let mut all = parts.next()?;
        for part in parts {
            let offset = all.columns.len() as u32;
            all.starts.extend(part.starts[1..].iter().map(|start| start + offset));
            all.columns.extend(part.columns);
            all.values.extend(part.values);
        }
        Some(all)
    }

    fn of_rows(x: &[T], width: usize, keep_values: bool) -> Self {
        let zero = T::default();
        let rows = x.len() / width;
        let mut starts = Vec::with_capacity(rows + 1);
        // One place more than can be needed, so that a column can be written before it is known to count.
        let mut columns = vec![0; x.len() + 1];
        let mut count = 0;
        starts.push(0);
        for row in x.chunks_exact(width) {
            for (i, chunk) in row.chunks(CHUNK).enumerate() {
                if chunk.iter().fold(true, |zeros, &x| zeros & (x == zero)) {
                    continue;
                }
                for (j, &x) in chunk.iter().enumerate() {
                    columns[count] = (i * CHUNK + j) as u32;
                    count += usize::from(x != zero);
                }
            }
            starts.push(count as u32);
        }
        columns.truncate(count);
        let values =
            if keep_values { x.iter().copied().filter(|&x| x != zero).collect() } else { vec![] };
        Self { starts, columns, values }
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
            let Row { columns: from, values: held } = self.row(row);
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

    /// How many elements there are.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Row `i`.
    #[inline(always)]
    pub(super) fn row(&self, i: usize) -> Row<'_, T> {
        let range = self.starts[i] as usize..self.starts[i + 1] as usize;
        let values = if self.values.is_empty() { &[] } else { &self.values[range.clone()] };
        Row { columns: &self.columns[range], values }
    }
}

/// How many elements are not zero, and how many are neither zero nor one.
fn census<T: Real>(x: &[T]) -> (usize, usize) {
    let (zero, one) = (T::default(), T::from(true));
    let count = |x: &[T]| {
        let (mut nonzero, mut other) = (0u32, 0u32);
        for &x in x {
            nonzero += u32::from(x != zero);
            other += u32::from((x != zero) & (x != one));
        }
        (nonzero as usize, other as usize)
    };
    let mut counts = (0, 0);
    Simd::best().run(
        #[inline(always)]
        || {
            for x in x.chunks(1 << 20) {
                let (nonzero, other) = count(x);
                counts = (counts.0 + nonzero, counts.1 + other);
            }
        },
    );
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists<T: Real>(nonzeros: &Nonzeros<T>) -> Vec<(Vec<u32>, Vec<T>)> {
        let row = |i| {
            let Row { columns, values } = nonzeros.row(i);
            (columns.to_vec(), values.to_vec())
        };
        (0..nonzeros.rows()).map(row).collect()
    }

    #[test]
    fn finds_every_element_of_every_row() {
        for (rows, width) in [(1, 1), (3, 16), (5, 17), (400, 203)] {
            let is_one = |i: usize| i * 7 % 5 == 0;
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
    fn transposing_twice_changes_nothing_and_keeps_values() {
        let x = [0.0, 0.5, 1.0, 0.0, 0.0, -2.0];
        let nonzeros = Nonzeros::of(&x, 3, 1.0).unwrap();
        assert_eq!(lists(&nonzeros), [(vec![1, 2], vec![0.5, 1.0]), (vec![2], vec![-2.0])]);
        let turned = nonzeros.transposed(3);
        let columns = [(vec![], vec![]), (vec![0], vec![0.5]), (vec![0, 1], vec![1.0, -2.0])];
        assert_eq!(lists(&turned), columns);
        assert_eq!(turned.transposed(2), nonzeros);
    }

    #[test]
    fn refuses_what_is_denser_than_asked_and_takes_a_nan_for_a_value() {
        assert!(Nonzeros::of(&[1.0, 0.0, 0.0, 0.0], 2, 0.25).is_some());
        assert!(Nonzeros::of(&[1.0, 0.0, f32::NAN, 0.0], 2, 0.25).is_none());
        let nan = Nonzeros::of(&[0.0, f32::NAN], 2, 0.5).unwrap();
        assert!(nan.row(0).values[0].is_nan());
    }
}
