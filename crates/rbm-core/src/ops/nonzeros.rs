//! Where a matrix of zeros and ones, or of mostly zeros, is not zero.

use rayon::prelude::*;

use super::cpu::{Simd, is_small};
use super::real::Real;

/// Elements that are looked at together: a chunk without a one costs a single comparison.
const CHUNK: usize = 16;

/// Elements of a matrix of which a few rows are worth looking at before all.
const LOOK_FIRST: usize = 16_384;

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
        if x.len() > LOOK_FIRST && looks_denser(x, width, most) {
            return None;
        }
        let rows = x.len() / width;
        let mut parts: Vec<Self> = if is_small(x.len()) {
            vec![Self::of_rows(x, width)]
        } else {
            let rows = rows.div_ceil(rayon::current_num_threads());
            x.par_chunks(rows * width).map(|x| Self::of_rows(x, width)).collect()
        };
        let count: usize = parts.iter().map(Self::len).sum();
        if count as f64 > most * x.len() as f64 {
            return None;
        }
        let one = T::from(true);
        if parts.iter().all(|part| part.values.iter().all(|&value| value == one)) {
            parts.iter_mut().for_each(|part| part.values = vec![]);
        }
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

    fn of_rows(x: &[T], width: usize) -> Self {
        let zero = T::default();
        let mut starts = Vec::with_capacity(x.len() / width + 1);
        // One place more than can be needed, so that an element can be written before it is known to count.
        let mut columns = vec![0; x.len() + 1];
        let mut values = vec![zero; x.len() + 1];
        let mut count = 0;
        starts.push(0);
        for row in x.chunks_exact(width) {
            for (i, chunk) in row.chunks(CHUNK).enumerate() {
                if chunk.iter().fold(true, |zeros, &x| zeros & (x == zero)) {
                    continue;
                }
                for (j, &x) in chunk.iter().enumerate() {
                    columns[count] = (i * CHUNK + j) as u32;
                    values[count] = x;
                    count += usize::from(x != zero);
                }
            }
            starts.push(count as u32);
        }
        columns.truncate(count);
        values.truncate(count);
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

/// Whether some of the rows are so much denser than `most` that all need not be looked at. Which are looked at depends on
/// the shape alone.
fn looks_denser<T: Real>(x: &[T], width: usize, most: f64) -> bool {
    const EVERY: usize = 8;
    const MARGIN: f64 = 1.15;
    let (mut nonzero, mut seen) = (0u32, 0);
    Simd::best().run(
        #[inline(always)]
        || {
            for row in x.chunks_exact(width).step_by(EVERY) {
                for &x in row {
                    nonzero += u32::from(x != T::default());
                }
                seen += row.len();
            }
        },
    );
    f64::from(nonzero) > MARGIN * most * seen as f64
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
