//! Sweeps through units that are all coupled with each other: sequential Gibbs sampling at the cost of one matrix product.
//!
//! The columns are taken in panels. What all units say to a panel is one product; within the panel the units are drawn one by
//! one, and what each then says is passed on to the others of the panel alone. Chains lie in the lanes of vector registers.
//! How the work is cut up depends on shapes alone, so the bits are the same for any number of threads.

use std::ops::Range;

use candle_core::{DType, Device, Tensor, WithDType};
use rayon::prelude::*;

use super::aligned::Aligned;
use super::cpu::{Simd, numbers_of};
use super::lateral_unit::{Lanes, LateralStates, LateralUnit, UnitColumns, choose};
use super::product::{Matrix, multiply_alone};
use super::random::{block_words, unit as unit_of};
use super::real::Real;
use super::sparse::{NonzeroRow, PIECE, add_rows};
use super::transpose::transpose;
use crate::rng::{BLOCK, Draw, LANES};
use crate::{Error, Result, Rng};

/// Columns of a panel, unless one unit has more.
pub(super) const PANEL: usize = PIECE;
/// Columns a unit from which on adding up the picked rows is faster than the dense product. Measured (docs/design/boltzmann.md).
const GATHERED: usize = 3;

/// Rows of a packed panel that all chains of a group go through before the next ones: 20 KiB of `f32` stay in the first cache.
const IN_CACHE: usize = 80;

/// Units that are coupled with each other, a layer of them.
#[derive(Debug)]
pub(crate) struct Lateral<'a> {
    /// W, `(width, width)`, symmetric, zero within a unit.
    pub weights: &'a Tensor,
    /// Their biases, `(width,)`.
    pub bias: &'a Tensor,
    /// The units in the order in which they are drawn; their columns follow each other and are all that there are.
    pub units: Vec<LateralUnit<'a>>,
    /// Not 0 where a unit is drawn, 0 where it is held, `(rows, width)`; all are drawn where there is nothing.
    pub free: Option<&'a Tensor>,
}

/// `x` `(rows, width)` after every unit has been drawn once, in their order, from p(x_i | inputs, all others) at the inverse
/// temperature of its row (Geman and Geman 1984). `inputs` `(rows, width)` is what others say, tempered already; `betas`, one a
/// row, temper W alone. A unit takes its word in a [`uniform`](super::uniform) draw of the shape `(rows, units)`; real numbers are of
/// a second draw.
///
/// The arithmetic is `f32` where `x` is, else `f64`; it is done on the CPU, wherever the tensors lie.
///
/// # Errors
///
/// When shapes do not fit.
pub(crate) fn lateral_sweep(
    x: &Tensor,
    inputs: &Tensor,
    betas: &[f64],
    lateral: &Lateral,
    rng: &mut Rng,
) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let is_free_fit = lateral.free.is_none_or(|free| free.dims() == [rows, width]);
    let fits = inputs.dims() == [rows, width]
        && lateral.weights.dims() == [width, width]
        && lateral.bias.dims() == [width]
        && betas.len() == rows
        && is_free_fit;
    if !fits {
        let found = format!("{:?}, {:?}", inputs.dims(), lateral.weights.dims());
        let expected = format!("inputs ({rows}, {width}) and weights ({width}, {width})");
        return Err(Error::invalid("coupled units", expected, found));
    }
    let mut next = 0;
    for LateralUnit { columns, .. } in &lateral.units {
        if columns.start != next || columns.is_empty() {
            let expected = format!("a unit from column {next} on");
            return Err(Error::invalid("coupled units", expected, format!("{columns:?}")));
        }
        next = columns.end;
    }
    if next != width {
        return Err(Error::invalid("coupled units", format!("{width} columns"), next.to_string()));
    }
    let draw = rng.draw();
    let is_real = |unit: &LateralUnit| matches!(unit.states, LateralStates::Real { .. });
    let draws = match lateral.units.iter().any(is_real) {
        true => [draw, rng.draw()],
        false => [draw; 2],
    };
    let drawn = match x.dtype() {
        DType::F32 => swept::<f32>(x, inputs, betas, lateral, draws)?,
        _ => swept::<f64>(x, inputs, betas, lateral, draws)?,
    };
    Ok(drawn.to_dtype(x.dtype())?.to_device(x.device())?)
}

fn swept<T: Real + WithDType>(
    x: &Tensor,
    inputs: &Tensor,
    betas: &[f64],
    lateral: &Lateral,
    [draw, real_draw]: [Draw; 2],
) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let host = |x: &Tensor| -> Result<Tensor> {
        Ok(x.detach().to_device(&Device::Cpu)?.to_dtype(T::DTYPE)?.contiguous()?)
    };
    let free = lateral.free.map(host).transpose()?;
    let [x, inputs, weights, bias] =
        [host(x)?, host(inputs)?, host(lateral.weights)?, host(lateral.bias)?];
    let (x, inputs, weights, bias) = (
        x.storage_and_layout(),
        inputs.storage_and_layout(),
        weights.storage_and_layout(),
        bias.storage_and_layout(),
    );
    let free = free.as_ref().map(Tensor::storage_and_layout);
    let weights = numbers_of(&weights.0, weights.1)?;
    let units: Vec<UnitColumns<T>> = lateral.units.iter().map(UnitColumns::of).collect();
    let panels = Panel::all(&units, width);
    let is_gathered = units.iter().all(|unit| unit.values.is_empty() && unit.width >= GATHERED);
    let sweep = Sweep {
        width,
        x: numbers_of(&x.0, x.1)?,
        inputs: numbers_of(&inputs.0, inputs.1)?,
        weights,
        bias: numbers_of(&bias.0, bias.1)?,
        free: free.as_ref().map(|free| numbers_of(&free.0, free.1)).transpose()?,
        packed: is_gathered.then(|| Packed::new(weights, width, &panels)),
        units: &units,
        panels: &panels,
        betas,
        draw,
        real_draw,
    };
    let mut out = vec![T::default(); rows * width];
    if width > 0 {
        let groups = out.par_chunks_mut(LANES * width).enumerate();
        groups.for_each(|(group, out)| sweep.group(group, out));
    }
    Ok(Tensor::from_vec(out, (rows, width), &Device::Cpu)?)
}

/// Units whose inputs from the others are one product.
struct Panel {
    units: Range<usize>,
    columns: Range<usize>,
}

impl Panel {
    fn all<T>(units: &[UnitColumns<T>], width: usize) -> Vec<Self> {
        let mut panels: Vec<Self> = Vec::with_capacity(width.div_ceil(PANEL));
        for (at, unit) in units.iter().enumerate() {
            let end = unit.first + unit.width;
            match panels.last_mut() {
                Some(Self { units, columns }) if end - columns.start <= PANEL => {
                    (units.end, columns.end) = (at + 1, end);
                }
                _ => panels.push(Self { units: at..at + 1, columns: unit.first..end }),
            }
        }
        panels
    }
}

/// The columns of W of each panel, side by side in whole pieces.
struct Packed<T> {
    weights: Aligned<T>,
    pitch: usize,
}

impl<T: Real> Packed<T> {
    fn new(weights: &[T], width: usize, panels: &[Panel]) -> Self {
        let widest = panels.iter().map(|panel| panel.columns.len()).max().unwrap_or(0);
        let pitch = widest.next_multiple_of(PIECE);
        let mut packed = Aligned::zeros(panels.len() * width * pitch);
        let each = packed.par_chunks_mut((width * pitch).max(1)).zip(panels);
        each.for_each(|(packed, Panel { columns, .. })| {
            let rows = weights.chunks_exact(width).zip(packed.chunks_exact_mut(pitch));
            rows.for_each(|(row, out)| out[..columns.len()].copy_from_slice(&row[columns.clone()]));
        });
        Self { weights: packed, pitch }
    }
}

/// What all groups of chains share.
struct Sweep<'a, T> {
    width: usize,
    x: &'a [T],
    inputs: &'a [T],
    weights: &'a [T],
    bias: &'a [T],
    free: Option<&'a [T]>,
    /// Where rows of W are picked and added up.
    packed: Option<Packed<T>>,
    units: &'a [UnitColumns<T>],
    panels: &'a [Panel],
    betas: &'a [f64],
    draw: Draw,
    /// Of real numbers.
    real_draw: Draw,
}

impl<T: Real> Sweep<'_, T> {
    /// Draws the chains number `group`, as many as there are lanes, into their rows `out`.
    fn group(&self, group: usize, out: &mut [T]) {
        let (width, rows) = (self.width, out.len() / self.width);
        let elements = group * LANES * width..(group * LANES + rows) * width;
        let mut betas = [T::default(); LANES];
        for (beta, of_row) in betas.iter_mut().zip(&self.betas[group * LANES..][..rows]) {
            *beta = T::from_f64(*of_row);
        }
        let units = self.units.len();
        let words = words(self.draw, group * LANES * units..(group * LANES + rows) * units);
        let mut chains = ChainLanes {
            first: group * LANES,
            rows,
            betas,
            x: vec![[T::default(); LANES]; width],
            words: &words,
            inputs: &self.inputs[elements.clone()],
            free: self.free.map(|free| &free[elements.clone()]),
            picked: None,
        };
        let simd = Simd::best();
        simd.run(
            #[inline(always)]
            || {
                let x = &self.x[elements.clone()];
                to_lanes(x, width, &mut chains.x);
                chains.picked = self.packed.as_ref().and_then(|_| self.picked(x));
            },
        );
        let mut buffers = self.buffers();
        for (at, panel) in self.panels.iter().enumerate() {
            if chains.picked.is_none() {
                let field = &mut buffers.field[..panel.columns.len()];
                say(self.weights, panel.columns.clone(), &chains.x, field);
            }
            simd.run(
                #[inline(always)]
                || {
                    self.set_field(at, &chains, &mut buffers);
                    for unit in panel.units.clone() {
                        self.draw_unit(unit, &panel.columns, &mut chains, &mut buffers);
                    }
                },
            );
        }
        from_lanes(&chains.x, width, out);
    }

    fn buffers(&self) -> Buffers<T> {
        let widest = self.panels.iter().map(|panel| panel.columns.len()).max().unwrap_or(0);
        let states = self.units.iter().map(UnitColumns::states).max().unwrap_or(0);
        let none = [T::default(); LANES];
        Buffers {
            rows: vec![T::default(); LANES * widest],
            inputs: vec![none; widest],
            sums: Aligned::zeros(LANES * PIECE),
            field: vec![none; widest],
            logits: vec![none; states],
            changes: vec![none; self.units.iter().map(|unit| unit.width).max().unwrap_or(0)],
        }
    }

    /// The column that each site of each of the chains `x` is in, chain by chain; `None` unless all are in one.
    #[inline(always)]
    fn picked(&self, x: &[T]) -> Option<Vec<u32>> {
        let mut picked = Vec::with_capacity(x.len() / self.width * self.units.len());
        for row in x.chunks_exact(self.width) {
            for unit in self.units {
                let (mut ones, mut others, mut column) = (0u32, 0u32, 0u32);
                for (at, x) in row[unit.first..unit.first + unit.width].iter().enumerate() {
                    let is_one = u32::from(*x == T::from(true));
                    ones += is_one;
                    others += u32::from(*x != T::default()) - is_one;
                    column += is_one * at as u32;
                }
                if ones != 1 || others != 0 {
                    return None;
                }
                picked.push(unit.first as u32 + column);
            }
        }
        Some(picked)
    }

    /// Sets the field of panel `at` to bias + inputs + β·(inputs from all units). The last is there already unless rows are picked.
    #[inline(always)]
    fn set_field(&self, at: usize, chains: &ChainLanes<T>, buffers: &mut Buffers<T>) {
        let columns = &self.panels[at].columns;
        let (of, bias) = (columns.len(), &self.bias[columns.clone()]);
        let Buffers { rows: buffer, inputs: by_lanes, sums, field, .. } = buffers;
        let by_rows = &mut buffer[..chains.rows * of];
        for (row, out) in by_rows.chunks_exact_mut(of).enumerate() {
            let inputs = &chains.inputs[row * self.width + columns.start..][..of];
            for ((out, input), bias) in out.iter_mut().zip(inputs).zip(bias) {
                *out = *input + *bias;
            }
        }
        let (Some(packed), Some(picked)) = (&self.packed, &chains.picked) else {
            to_lanes(by_rows, of, by_lanes);
            for (field, input) in field[..of].iter_mut().zip(by_lanes) {
                for i in 0..LANES {
                    field[i] = input[i] + chains.betas[i] * field[i];
                }
            }
            return;
        };
        let (sites, pitch) = (self.units.len(), packed.pitch);
        let weights = &packed.weights[at * self.width * pitch..][..self.width * pitch];
        let sums = sums.as_chunks_mut::<PIECE>().0;
        let together = (IN_CACHE * sites / self.width).max(1);
        for piece in (0..of).step_by(PIECE) {
            sums.fill([T::default(); PIECE]);
            for start in (0..sites).step_by(together) {
                let end = sites.min(start + together);
                for (row, sums) in sums[..chains.rows].iter_mut().enumerate() {
                    let columns = &picked[row * sites + start..row * sites + end];
                    add_rows(sums, NonzeroRow { columns, values: &[] }, weights, pitch, piece);
                }
            }
            for ((out, sums), beta) in by_rows.chunks_exact_mut(of).zip(&*sums).zip(chains.betas) {
                for (out, sum) in out[piece..].iter_mut().zip(sums) {
                    *out += beta * *sum;
                }
            }
        }
        to_lanes(by_rows, of, field);
    }

    /// Draws a unit of the panel `columns`, and adds what has changed to the fields of those after it in the panel.
    #[inline(always)]
    fn draw_unit(
        &self,
        at: usize,
        columns: &Range<usize>,
        chains: &mut ChainLanes<T>,
        buffers: &mut Buffers<T>,
    ) {
        let UnitColumns { first, width, values, real } = &self.units[at];
        let (own, rows) = (*first - columns.start..*first - columns.start + width, chains.rows);
        let mut is_free = [u32::from(true); LANES];
        if let Some(free) = chains.free {
            for (row, is_free) in is_free[..rows].iter_mut().enumerate() {
                *is_free = u32::from(free[row * self.width + first] != T::default());
            }
        }
        let mut chance = [T::default(); LANES];
        for (row, chance) in chance[..rows].iter_mut().enumerate() {
            *chance = T::from(unit_of(chains.words[row * self.units.len() + at]));
        }
        let Buffers { field, logits, changes, .. } = buffers;
        let (inputs, after) = field[own.start..columns.len()].split_at_mut(*width);
        let logits = &mut logits[..if values.is_empty() { *width } else { values.len() }];
        if values.is_empty() {
            logits.copy_from_slice(inputs);
        } else {
            for (logits, (value, ways)) in logits.iter_mut().zip(values) {
                for i in 0..LANES {
                    logits[i] = inputs[0][i] * *value + *ways;
                }
            }
        }
        let drawn = if real.is_none() { choose(logits, &chance) } else { [0; LANES] };
        let (changes, mut has_changed) = (&mut changes[..*width], false);
        for (column, change) in changes.iter_mut().enumerate() {
            let x = &mut chains.x[first + column];
            let mut new = [T::default(); LANES];
            if let Some(real) = real {
                for (row, new) in new[..rows].iter_mut().enumerate() {
                    let row_of_all = chains.first + row;
                    let i = (row_of_all * self.units.len() + at) as u64;
                    let (input, beta) = (inputs[0][row].to_f64(), self.betas[row_of_all]);
                    *new = T::from_f64(real.number(self.real_draw, i, input, beta));
                }
            } else if values.is_empty() {
                for i in 0..LANES {
                    new[i] = T::from(drawn[i] == column as u32);
                }
            }
            for (state, (value, _)) in values.iter().enumerate() {
                for i in 0..LANES {
                    new[i] = if drawn[i] == state as u32 { *value } else { new[i] };
                }
            }
            if chains.free.is_some() {
                for i in 0..LANES {
                    new[i] = if is_free[i] == 1 { new[i] } else { x[i] };
                }
            }
            // A loop each, which the compiler vectorises.
            let mut changed = 0;
            for i in 0..LANES {
                changed += u32::from(new[i] != x[i]);
            }
            for i in 0..LANES {
                change[i] = chains.betas[i] * (new[i] - x[i]);
            }
            has_changed |= changed > 0;
            *x = new;
        }
        if has_changed && !after.is_empty() {
            let weights = &self.weights[first * self.width + first + width..];
            pass_on(after, weights, self.width, changes);
        }
        if let Some(picked) = &mut chains.picked {
            let sites = self.units.len();
            for row in (0..rows).filter(|row| is_free[*row] == 1) {
                picked[row * sites + at] = *first as u32 + drawn[row];
            }
        }
    }
}

/// As many chains as lanes, or fewer at the end: their lanes are what they are, and nobody looks at them.
struct ChainLanes<'a, T> {
    /// The number of the first of them.
    first: usize,
    rows: usize,
    betas: Lanes<T>,
    /// The value of each column.
    x: Vec<Lanes<T>>,
    /// `(rows, units)`.
    words: &'a [u32],
    /// `(rows, width)`, as the next is.
    inputs: &'a [T],
    free: Option<&'a [T]>,
    /// Where the ones are, `(rows, sites)`, if they are looked for.
    picked: Option<Vec<u32>>,
}

/// Memory for a panel.
struct Buffers<T> {
    /// Row by row.
    rows: Vec<T>,
    /// Bias and inputs of each column.
    inputs: Vec<Lanes<T>>,
    /// A piece of the sums of picked rows for each chain.
    sums: Aligned<T>,
    /// The input of each column from everything else.
    field: Vec<Lanes<T>>,
    logits: Vec<Lanes<T>>,
    /// By how much each column of a unit changes, times β.
    changes: Vec<Lanes<T>>,
}

/// The words of these values of a draw.
fn words(draw: Draw, values: Range<usize>) -> Vec<u32> {
    let mut words = Vec::with_capacity(values.len() + 2 * BLOCK);
    let blocks = values.start / BLOCK..values.end.div_ceil(BLOCK);
    blocks.clone().for_each(|block| words.extend(block_words(draw, block as u64)));
    words.drain(..values.start - blocks.start * BLOCK);
    words.truncate(values.len());
    words
}

/// out ← W·x for the units `columns`, with W symmetric, `x` a row of chains for each unit, and `out` one for each of these.
pub(super) fn say<T: Real>(
    weights: &[T],
    columns: Range<usize>,
    x: &[Lanes<T>],
    out: &mut [Lanes<T>],
) {
    let width = x.len();
    let weights = &weights[columns.start * width..columns.end * width];
    let (weights, x) = (Matrix::new(weights, width), Matrix::new(x.as_flattened(), LANES));
    multiply_alone(out.as_flattened_mut(), weights, x);
}

/// field ← field + Σ weight·change over the columns that change, for each of those behind them: the weights of the next column lie `pitch` further.
/// All lanes of a sum stay in registers; column by column, the compiler does not vectorise it.
#[inline(always)]
pub(super) fn pass_on<T: Real>(
    field: &mut [Lanes<T>],
    weights: &[T],
    pitch: usize,
    changes: &[Lanes<T>],
) {
    for (at, field) in field.iter_mut().enumerate() {
        let mut sums = *field;
        for (column, change) in changes.iter().enumerate() {
            let weight = weights[column * pitch + at];
            for i in 0..LANES {
                sums[i] += weight * change[i];
            }
        }
        *field = sums;
    }
}

/// `rows`, `width` wide, into the lanes of `out`, a row of lanes for each column.
fn to_lanes<T: Real>(rows: &[T], width: usize, out: &mut [Lanes<T>]) {
    transpose(rows, width, out.as_flattened_mut(), LANES);
}

/// The first lanes of `x` back into `out`, a row for each.
fn from_lanes<T: Real>(x: &[Lanes<T>], width: usize, out: &mut [T]) {
    if out.len() == LANES * width {
        return transpose(x.as_flattened(), LANES, out, width);
    }
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        out.iter_mut().zip(x).for_each(|(out, lanes)| *out = lanes[row]);
    }
}
