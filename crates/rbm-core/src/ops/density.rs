//! How much of a matrix is not zero, seen in a part of its rows.

use super::cpu::Simd;
use super::fours::{FOUR, mark_nonzero};
use super::real::Real;

/// Elements of a matrix of which a few rows are worth looking at before all.
const LOOK_FIRST: usize = 16_384;

/// How much of a matrix is not zero, as a part of its rows says; which part that is depends on its shape alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Density {
    /// The share of elements.
    pub elements: f64,
    /// The share of fours of neighbours, in the direction that is summed, of which at least one is not zero.
    pub fours: f64,
    /// Whether everything that was seen is zero or one.
    pub are_bits: bool,
}

impl Density {
    /// Nothing is not zero.
    pub(super) const NONE: Self = Self { elements: 0.0, fours: 0.0, are_bits: true };

    /// Of zeros and ones that lie at random, of which this share is one.
    pub(super) fn of_bits(share: f64) -> Self {
        let fours = 1.0 - (1.0 - share).powi(FOUR as i32);
        Self { elements: share, fours, are_bits: true }
    }

    /// Of `x`, row-major and `width` wide, with fours along its rows.
    pub(super) fn along_rows<T: Real>(x: &[T], width: usize) -> Self {
        Self::of(x, width, false)
    }

    /// The same with fours along its columns.
    pub(super) fn along_columns<T: Real>(x: &[T], width: usize) -> Self {
        Self::of(x, width, true)
    }

    fn of<T: Real>(x: &[T], width: usize, down: bool) -> Self {
        const EVERY: usize = 8;
        let every = if x.len() > LOOK_FIRST { EVERY } else { 1 };
        let (mut seen, mut elements, mut fours, mut all_fours) = (0, 0u64, 0u64, 0);
        let mut are_bits = true;
        // Of whole fours: what is left over of a row stays zero.
        let mut flags = vec![0; width.next_multiple_of(FOUR)];
        let mut any = flags.clone();
        Simd::best().run(
            #[inline(always)]
            || {
                for band in x.chunks(FOUR * width.max(1)).step_by(every) {
                    seen += band.len();
                    any.fill(0);
                    for row in band.chunks_exact(width) {
                        are_bits &= mark_nonzero(row, &mut flags[..width]);
                        elements += u64::from(count(&flags));
                        if down {
                            any.iter_mut().zip(&flags).for_each(|(any, flag)| *any |= flag);
                        } else {
                            let (whole, _) = flags.as_chunks::<FOUR>();
                            let is_any = |&four| u32::from(u32::from_le_bytes(four) != 0);
                            fours += u64::from(whole.iter().map(is_any).sum::<u32>());
                            all_fours += whole.len();
                        }
                    }
                    if down {
                        fours += u64::from(count(&any));
                        all_fours += width;
                    }
                }
            },
        );
        let share = |of: u64, all: usize| of as f64 / all.max(1) as f64;
        Self { elements: share(elements, seen), fours: share(fours, all_fours), are_bits }
    }
}

/// How many flags are set.
#[inline(always)]
fn count(flags: &[u8]) -> u32 {
    flags.iter().map(|&flag| u32::from(flag)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_matrices_are_counted_whole() {
        // Five rows of six: fours along a row are of four and of two, down a column of four and of one.
        let mut x = vec![0.0f32; 30];
        for place in [0, 1, 6, 29] {
            x[place] = 1.0;
        }
        let (elements, are_bits) = (4.0 / 30.0, true);
        let rows = Density { elements, fours: 3.0 / 10.0, are_bits };
        let columns = Density { elements, fours: 3.0 / 12.0, are_bits };
        assert_eq!((Density::along_rows(&x, 6), Density::along_columns(&x, 6)), (rows, columns));
        x[7] = 0.5;
        assert!(!Density::along_rows(&x, 6).are_bits && !Density::along_columns(&x, 6).are_bits);
    }

    #[test]
    fn large_ones_are_seen_in_bands_of_four_rows() {
        let (width, rows) = (512, 64);
        let row_is_one = |row: usize| row % 32 < 4;
        let x: Vec<f64> = (0..rows * width).map(|i| f64::from(row_is_one(i / width))).collect();
        let all = Density { elements: 1.0, fours: 1.0, are_bits: true };
        assert_eq!((Density::along_rows(&x, width), Density::along_columns(&x, width)), (all, all));
    }
}
