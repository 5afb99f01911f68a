//! Sweeps through two-valued units on a graph, many chains side by side: a unit at a time, a chain in each vector lane.

use super::cpu::Simd;
use super::random::{block_words, unit};
use super::real::exp;
use crate::rng::{BLOCK, Draw, LANES};

/// Units whose words come from one block.
const UNITS: usize = BLOCK / LANES;

/// The neighbours of each unit, and what lies between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbours<'a> {
    /// Where the neighbours of each unit begin, and behind them the end of the last.
    pub starts: &'a [usize],
    /// The other unit of each coupling.
    pub others: &'a [u32],
    /// Its strength.
    pub couplings: &'a [f32],
    /// The bias of each unit.
    pub biases: &'a [f32],
    /// The lower of the two values; the upper is 1.
    pub low: f32,
}

/// Draws every unit of [`LANES`] chains once, in the order of the units, each given all others as they are by then. `x` is a row
/// of chains for each unit, `betas` the inverse temperature of each chain. What the energies change by is added to `change`.
///
/// Unit u of the chains number `block` takes word u·LANES + lane of their part of the draw, whatever else is drawn.
pub(crate) fn graph_sweep(
    graph: Neighbours,
    x: &mut [[f32; LANES]],
    betas: &[f32; LANES],
    (draw, block): (Draw, u64),
    change: &mut [f32; LANES],
) {
    let first = block * x.len().div_ceil(UNITS) as u64;
    let simd = Simd::best();
    for start in (0..x.len()).step_by(UNITS) {
        let words = block_words(draw, first + (start / UNITS) as u64);
        let units = start..(start + UNITS).min(x.len());
        simd.run(
            #[inline(always)]
            || {
                for (unit, words) in units.zip(words.as_chunks().0) {
                    draw_unit(graph, x, unit, betas, words, change);
                }
            },
        );
    }
}

#[inline(always)]
fn draw_unit(
    Neighbours { starts, others, couplings, biases, low }: Neighbours,
    x: &mut [[f32; LANES]],
    at: usize,
    betas: &[f32; LANES],
    words: &[u32; LANES],
    change: &mut [f32; LANES],
) {
    let mut field = [biases[at]; LANES];
    let range = starts[at]..starts[at + 1];
    for (&other, &coupling) in others[range.clone()].iter().zip(&couplings[range]) {
        let other = &x[other as usize];
        for i in 0..LANES {
            field[i] += coupling * other[i];
        }
    }
    let (old, gap) = (x[at], 1.0 - low);
    let mut new = [low; LANES];
    for i in 0..LANES {
        // u < 1 / (1 + exp(−β·gap·field)), without the division.
        let is_up = unit(words[i]) * (1.0 + exp(-gap * betas[i] * field[i])) < 1.0;
        new[i] = if is_up { 1.0 } else { low };
    }
    for i in 0..LANES {
        change[i] -= (new[i] - old[i]) * field[i];
    }
    x[at] = new;
}

/// Calls `up` on half of the values of `x`, chosen evenly, for the chains number `block`.
pub(crate) fn even_words(draw: Draw, block: u64, x: &mut [[f32; LANES]], up: impl Fn(&mut f32)) {
    let first = block * x.len().div_ceil(UNITS) as u64;
    for (group, units) in x.chunks_mut(UNITS).enumerate() {
        let words = block_words(draw, first + group as u64);
        let values = units.iter_mut().flatten().zip(words);
        values.filter(|(_, word)| word >> 31 == 1).for_each(|(value, _)| up(value));
    }
}
