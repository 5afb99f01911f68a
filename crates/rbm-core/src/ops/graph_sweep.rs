//! Sweeps through two-valued units on a graph, many chains side by side: a unit at a time, a chain in each vector lane.

use std::ops::Range;

use super::cpu::Simd;
use super::lateral_sweep::{PANEL, pass_on, say};
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
    /// All couplings as a symmetric matrix, row by row, where products with it are faster than going through the neighbours.
    pub matrix: Option<&'a [f32]>,
    /// The lower of the two values; the upper is 1.
    pub low: f32,
}

/// Whether products with the whole matrix are faster, for so many pairs of so many units. Measured (docs/design/boltzmann.md).
pub(crate) fn is_dense(units: usize, pairs: usize) -> bool {
    const LEAST: usize = 2 * PANEL;
    const SHARE: f64 = 0.75;
    units >= LEAST && pairs as f64 >= SHARE * 0.5 * (units * (units - 1)) as f64
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
    if let Some(matrix) = graph.matrix {
        let mut fields = [[0f32; LANES]; PANEL];
        for start in (0..x.len()).step_by(PANEL) {
            let panel = start..(start + PANEL).min(x.len());
            let fields = &mut fields[..panel.len()];
            say(matrix, panel.clone(), x, fields);
            let words = (panel.start / UNITS..panel.end.div_ceil(UNITS))
                .map(|at| block_words(draw, first + at as u64));
            let words: [_; PANEL / UNITS] = collected(words);
            let words = words.as_flattened().as_chunks().0;
            simd.run(
                #[inline(always)]
                || draw_panel(graph, matrix, panel, (x, fields), betas, words, change),
            );
        }
        return;
    }
    for start in (0..x.len()).step_by(UNITS) {
        let words = block_words(draw, first + (start / UNITS) as u64);
        let units = start..(start + UNITS).min(x.len());
        simd.run(
            #[inline(always)]
            || {
                for (unit, words) in units.zip(words.as_chunks().0) {
                    let field = field_of(graph, x, unit);
                    let gap = 1.0 - graph.low;
                    draw_unit(&mut x[unit], &field, (graph.low, gap), betas, words, change);
                }
            },
        );
    }
}

/// The first numbers of `words`; zeros behind them.
fn collected<const N: usize>(words: impl Iterator<Item = [u32; BLOCK]>) -> [[u32; BLOCK]; N] {
    let mut all = [[0; BLOCK]; N];
    all.iter_mut().zip(words).for_each(|(all, words)| *all = words);
    all
}

/// Draws the units `panel`, whose fields without their biases are `fields`, and passes on what has changed to those after them.
#[inline(always)]
fn draw_panel(
    Neighbours { biases, low, .. }: Neighbours,
    matrix: &[f32],
    panel: Range<usize>,
    (x, fields): (&mut [[f32; LANES]], &mut [[f32; LANES]]),
    betas: &[f32; LANES],
    words: &[[u32; LANES]],
    change: &mut [f32; LANES],
) {
    let width = x.len();
    for (at, words) in panel.clone().zip(words) {
        let (own, after) = fields[at - panel.start..].split_at_mut(1);
        let (mut field, old) = (own[0], x[at]);
        field.iter_mut().for_each(|field| *field += biases[at]);
        draw_unit(&mut x[at], &field, (low, 1.0 - low), betas, words, change);
        let mut news = [0f32; LANES];
        for i in 0..LANES {
            news[i] = x[at][i] - old[i];
        }
        if news != [0.0; LANES] {
            let (after, weights) =
                (&mut after[..panel.end - at - 1], &matrix[at * width + at + 1..]);
            pass_on(after, weights, width, std::slice::from_ref(&news));
        }
    }
}

/// The field of a unit: its bias, and its neighbours one after the other.
#[inline(always)]
fn field_of(graph: Neighbours, x: &[[f32; LANES]], at: usize) -> [f32; LANES] {
    let mut field = [graph.biases[at]; LANES];
    let range = graph.starts[at]..graph.starts[at + 1];
    for (&other, &coupling) in graph.others[range.clone()].iter().zip(&graph.couplings[range]) {
        let other = &x[other as usize];
        for i in 0..LANES {
            field[i] += coupling * other[i];
        }
    }
    field
}

#[inline(always)]
fn draw_unit(
    x: &mut [f32; LANES],
    field: &[f32; LANES],
    (low, gap): (f32, f32),
    betas: &[f32; LANES],
    words: &[u32; LANES],
    change: &mut [f32; LANES],
) {
    let old = *x;
    let mut new = [low; LANES];
    for i in 0..LANES {
        // u < 1 / (1 + exp(−β·gap·field)), without the division.
        let is_up = unit(words[i]) * (1.0 + exp(-gap * betas[i] * field[i])) < 1.0;
        new[i] = if is_up { 1.0 } else { low };
    }
    for i in 0..LANES {
        change[i] -= (new[i] - old[i]) * field[i];
    }
    *x = new;
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
