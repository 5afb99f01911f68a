//! Products of matrices of zeros and ones by sums of four rows: the method of the four Russians.
//!
//! Four neighbouring elements of x are one of sixteen patterns. For each the sum of the rows of w that it picks is made once, for all rows
//! of x: instead of up to four rows one sum is added (Arlazarov, Dinic, Kronrod and Faradžev 1970).

use std::ops::Range;

use rayon::prelude::*;

use super::aligned::Aligned;
use super::cpu::{Simd, is_small};
use super::real::Real;

/// Neighbouring elements that are a pattern together.
pub(super) const FOUR: usize = 4;

/// Patterns of four elements.
const PATTERNS: usize = 1 << FOUR;

/// Fours whose sums are in the cache together.
const STRIPE: usize = 32;

/// Sums of all patterns of a stripe.
const LINES: usize = STRIPE * PATTERNS;

/// Columns of the sums that are in the cache together.
const TABLE: usize = 32;

/// A matrix of zeros and ones, as the patterns of its fours that are not all zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fours {
    stripes: Vec<Stripe>,
    rows: usize,
    inner: usize,
}

/// [`STRIPE`] neighbouring fours of every row.
#[derive(Debug, Clone, PartialEq)]
struct Stripe {
    /// Row `i` has the sums `starts[i]..starts[i + 1]`.
    starts: Vec<u32>,
    /// Which sums are added: sixteen for each four, in the order of their patterns.
    sums: Vec<u16>,
}

impl Fours {
    /// Of `x`, row-major and `width` wide. `None` where something in it is neither zero nor one.
    pub(super) fn of<T: Real>(x: &[T], width: usize) -> Option<Self> {
        let rows = x.len().checked_div(width)?;
        let stripe = |first: usize| Stripe::of(x, width, first..width.min(first + STRIPE * FOUR));
        Some(Self { stripes: all_stripes(x.len(), width, stripe)?, rows, inner: width })
    }

    /// Of the transposed matrix: its fours are of neighbouring rows of `x`.
    pub(super) fn of_transposed<T: Real>(x: &[T], width: usize) -> Option<Self> {
        let inner = x.len().checked_div(width)?;
        let stripe = |first: usize| {
            let rows = first..inner.min(first + STRIPE * FOUR);
            Stripe::of_columns(&x[rows.start * width..rows.end * width], width)
        };
        Some(Self { stripes: all_stripes(x.len(), inner, stripe)?, rows: width, inner })
    }

    /// How many rows the matrix has.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// How many sums are added.
    pub(super) fn additions(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.sums.len()).sum()
    }

    /// sums ← sums + x·matrix in the columns `at..at + N` of `matrix`, which is `width` wide, of the rows of x from `first` on: N for each row,
    /// one after another. `table` is scratch.
    #[inline(always)]
    pub(super) fn add_to<T: Real, const N: usize>(
        &self,
        sums: &mut [T],
        first: usize,
        matrix: &[T],
        (width, at): (usize, usize),
        table: &mut Aligned<T>,
    ) {
        if N <= TABLE {
            return self.add_within::<T, N>(sums, (N, 0), first, matrix, (width, at), table);
        }
        for from in (0..N).step_by(TABLE) {
            let columns = (width, at + from);
            self.add_within::<T, TABLE>(sums, (N, from), first, matrix, columns, table);
        }
    }

    /// The same within rows of sums that are `pitch` long, from their element `from` on.
    #[inline(always)]
    fn add_within<T: Real, const N: usize>(
        &self,
        sums: &mut [T],
        (pitch, from): (usize, usize),
        first: usize,
        matrix: &[T],
        (width, at): (usize, usize),
        table: &mut Aligned<T>,
    ) {
        table.set_len(LINES * N);
        for (stripe, start) in self.stripes.iter().zip((0..).step_by(STRIPE * FOUR)) {
            let rows = start..self.inner.min(start + STRIPE * FOUR);
            make_sums::<T, N>(&matrix[rows.start * width..rows.end * width], width, at, table);
            let Some(lines) = table.as_chunks::<N>().0.first_chunk::<LINES>() else { return };
            // There are no more lines than that; with a mask the compiler knows it too.
            let line = |number: u16| &lines[usize::from(number) % LINES];
            for (row, sums) in (first..).zip(sums.chunks_exact_mut(pitch)) {
                let mut added = [T::default(); N];
                added.copy_from_slice(&sums[from..from + N]);
                // Two lines at a time: one addition less waits for the last.
                let (pairs, single) = stripe.row(row).as_chunks::<2>();
                for &[one, other] in pairs {
                    let (one, other) = (line(one), line(other));
                    for i in 0..N {
                        added[i] += one[i] + other[i];
                    }
                }
                for &single in single {
                    let line = line(single);
                    for i in 0..N {
                        added[i] += line[i];
                    }
                }
                sums[from..from + N].copy_from_slice(&added);
            }
        }
    }
}

/// The stripes of a matrix whose fours are cut from `inner` elements; `None` where a stripe has something that is neither zero nor one.
fn all_stripes(
    elements: usize,
    inner: usize,
    stripe: impl Fn(usize) -> Option<Stripe> + Sync,
) -> Option<Vec<Stripe>> {
    if elements > u32::MAX as usize {
        return None;
    }
    let firsts = (0..inner).step_by(STRIPE * FOUR);
    if is_small(elements) {
        firsts.map(stripe).collect()
    } else {
        firsts.collect::<Vec<_>>().into_par_iter().map(&stripe).collect()
    }
}

impl Stripe {
    /// Of the columns `columns` of `x`, `width` wide.
    fn of<T: Real>(x: &[T], width: usize, columns: Range<usize>) -> Option<Self> {
        let mut found = Self::with_room(x.len() / width, columns.len());
        let (mut bits, mut count) = (true, 0);
        Simd::best().run(
            #[inline(always)]
            || {
                let mut flags = [0; STRIPE * FOUR];
                for row in x.chunks_exact(width) {
                    let row = &row[columns.clone()];
                    bits &= mark_nonzero(row, &mut flags[..row.len()]);
                    let (fours, _) = flags.as_chunks::<FOUR>();
                    let mut patterns = [0; STRIPE];
                    for (pattern, four) in patterns.iter_mut().zip(fours) {
                        *pattern = pattern_of(*four);
                    }
                    found.push(patterns.into_iter(), &mut count);
                }
            },
        );
        bits.then(|| found.cut(count))
    }

    /// Of the columns of `x`, which has at most [`STRIPE`] fours of rows, `width` wide.
    fn of_columns<T: Real>(x: &[T], width: usize) -> Option<Self> {
        let rows = x.len() / width;
        let mut found = Self::with_room(width, rows);
        let (mut bits, mut count) = (true, 0);
        let mut patterns = vec![0u16; rows.div_ceil(FOUR) * width];
        Simd::best().run(
            #[inline(always)]
            || {
                let mut flags = vec![0; width];
                for (four, patterns) in x.chunks(FOUR * width).zip(patterns.chunks_exact_mut(width))
                {
                    for (i, row) in four.chunks_exact(width).enumerate() {
                        bits &= mark_nonzero(row, &mut flags);
                        for (pattern, &flag) in patterns.iter_mut().zip(&flags) {
                            *pattern |= u16::from(flag) << i;
                        }
                    }
                }
                for column in 0..width {
                    let patterns = patterns[column..].iter().step_by(width).copied();
                    found.push(patterns, &mut count);
                }
            },
        );
        bits.then(|| found.cut(count))
    }

    /// Room for `rows` rows of `elements` elements, and some to spare: `push` writes a pattern before it knows whether it is kept.
    fn with_room(rows: usize, elements: usize) -> Self {
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(0);
        Self { starts, sums: vec![0; rows * elements.div_ceil(FOUR) + STRIPE] }
    }

    /// The next row, from the patterns of its fours.
    #[inline(always)]
    fn push(&mut self, patterns: impl Iterator<Item = u16>, count: &mut usize) {
        let places = &mut self.sums[*count..];
        let mut new = 0;
        for (four, pattern) in patterns.enumerate() {
            places[new] = (four * PATTERNS) as u16 + pattern;
            new += usize::from(pattern != 0);
        }
        *count += new;
        self.starts.push(*count as u32);
    }

    fn cut(mut self, count: usize) -> Self {
        self.sums.truncate(count);
        self
    }

    #[inline(always)]
    fn row(&self, i: usize) -> &[u16] {
        &self.sums[self.starts[i] as usize..self.starts[i + 1] as usize]
    }
}

/// Sets a flag to one where x is not zero, else to zero; returns whether all are zero or one.
#[inline(always)]
pub(super) fn mark_nonzero<T: Real>(x: &[T], flags: &mut [u8]) -> bool {
    let mut others = 0;
    for (flag, &x) in flags.iter_mut().zip(x) {
        *flag = u8::from(x != T::default());
        others |= *flag & u8::from(x != T::from(true));
    }
    others == 0
}

/// Which of four flags are set, the first in the lowest bit.
#[inline(always)]
fn pattern_of(flags: [u8; FOUR]) -> u16 {
    let flags = u32::from_le_bytes(flags);
    ((flags | flags >> 7 | flags >> 14 | flags >> 21) & 15) as u16
}

/// The sums of all patterns of the fours of the rows of `matrix`, `width` wide, in its columns `at..at + N`.
#[inline(always)]
fn make_sums<T: Real, const N: usize>(matrix: &[T], width: usize, at: usize, table: &mut [T]) {
    let (lines, _) = table.as_chunks_mut::<N>();
    for (four, lines) in matrix.chunks(FOUR * width).zip(lines.chunks_exact_mut(PATTERNS)) {
        lines[0] = [T::default(); N];
        for (i, row) in four.chunks_exact(width).enumerate() {
            let mut added = [T::default(); N];
            added.copy_from_slice(&row[at..at + N]);
            let (without, with) = lines.split_at_mut(1 << i);
            for (with, without) in with.iter_mut().zip(without) {
                let mut sum = *without;
                for i in 0..N {
                    sum[i] += added[i];
                }
                *with = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zeros and ones, and small whole numbers, whose sums are exact in whatever order.
    fn example(rows: usize, inner: usize, width: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let x: Vec<f32> = (0..rows * inner).map(|i| f32::from((i * i + i / 3) % 5 < 2)).collect();
        let w: Vec<f32> = (0..inner * width).map(|i| (i * 7 % 23) as f32 - 11.0).collect();
        let mut product = vec![0.0; rows * width];
        for row in 0..rows {
            for (i, w) in w.chunks_exact(width).enumerate() {
                for (sum, w) in product[row * width..][..width].iter_mut().zip(w) {
                    *sum += x[row * inner + i] * w;
                }
            }
        }
        (x, w, product)
    }

    #[test]
    fn sums_are_the_product_whatever_is_left_over() -> Result<(), &'static str> {
        for (rows, inner) in [(1, 1), (3, 4), (5, 127), (2, 128), (7, 129), (90, 401)] {
            let width = 11;
            let (x, w, known) = example(rows, inner, width);
            let turned: Vec<f32> =
                (0..inner * rows).map(|i| x[i % rows * inner + i / rows]).collect();
            let fours = Fours::of(&x, inner).ok_or("zeros and ones")?;
            assert_eq!(Some(&fours), Fours::of_transposed(&turned, rows).as_ref());
            assert_eq!(fours.rows(), rows);
            let (mut sums, mut table) = (vec![0.0; (rows - rows / 2) * 8], Aligned::default());
            fours.add_to::<f32, 8>(&mut sums, rows / 2, &w, (width, 2), &mut table);
            let expected: Vec<f32> =
                (rows / 2..rows).flat_map(|row| known[row * width + 2..][..8].to_vec()).collect();
            assert_eq!(sums, expected, "{rows}x{inner}");
        }
        Ok(())
    }

    #[test]
    fn refuses_what_is_neither_zero_nor_one() {
        for odd in [0.5, -1.0, f64::NAN] {
            for place in [0, 200, 403] {
                let mut x = vec![1.0; 404];
                x[place] = odd;
                assert_eq!(Fours::of(&x, 101), None);
                assert_eq!(Fours::of_transposed(&x, 101), None);
            }
        }
        assert!(Fours::of(&[0.0f64, -0.0, 1.0], 3).is_some());
    }
}
