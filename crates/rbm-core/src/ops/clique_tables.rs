//! Tables over the states of several units: the entries that configurations pick, without a product.
//!
//! Each row decodes its units once and adds up one run of numbers for each clique. Rows are shared among the threads.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Tensor, WithDType};
use rayon::prelude::*;

use super::cpu::numbers_of;
use super::real::Real;
use crate::{Error, Result};

/// The units that one axis of tables is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableAxis<'a> {
    /// Their layer `(rows, width)`; of the axis that is asked about nothing is read.
    pub x: &'a Tensor,
    /// The first column of the unit of each clique.
    pub first: &'a [u32],
    /// How many states a unit has.
    pub states: usize,
    /// The lower of two values, 1 being the other; `None` where each state has a column.
    pub low: Option<f64>,
}

impl TableAxis<'_> {
    /// Columns a unit.
    fn wide(&self) -> usize {
        if self.low.is_none() { self.states.max(1) } else { 1 }
    }
}

/// The inputs of the units of the axis `to` from `tables` `(cliques, states, …)` and the units of the other axes, `(rows, width)`. `None` where a unit
/// is in none of its states, as means are, and away from the CPU. A leaf.
///
/// # Errors
///
/// When shapes or types do not fit.
pub(crate) fn table_inputs(
    tables: &Tensor,
    axes: &[TableAxis],
    (to, width): (usize, usize),
) -> Result<Option<Tensor>> {
    match tables.dtype() {
        DType::F32 => inputs::<f32>(tables, axes, (to, width)),
        _ => inputs::<f64>(tables, axes, (to, width)),
    }
}

/// Where the entries of `tables` `(cliques, states, …)` lie that rows pick, `u32`, `(rows · cliques,)`. `None` as in [`table_inputs`].
///
/// # Errors
///
/// When shapes or types do not fit.
pub(crate) fn table_places(tables: &Tensor, axes: &[TableAxis]) -> Result<Option<Tensor>> {
    match tables.dtype() {
        DType::F32 => places::<f32>(tables, axes),
        _ => places::<f64>(tables, axes),
    }
}

/// How far apart the entries of neighbouring states lie, and how many entries a table has.
fn strides(tables: &Tensor, axes: &[TableAxis], rows: usize) -> Result<(Vec<usize>, usize)> {
    let dims = tables.dims();
    let fits = dims.len() == axes.len() + 1
        && axes.iter().zip(&dims[1..]).all(|(axis, states)| {
            let (wide, cliques) = (axis.wide(), dims[0]);
            axis.states == *states
                && axis.first.len() == cliques
                && axis.x.dims().len() == 2
                && axis.x.dims()[0] == rows
                && axis.first.iter().all(|first| {
                    (*first as usize).is_multiple_of(wide)
                        && *first as usize + wide <= axis.x.dims()[1]
                })
        });
    let size = dims.iter().skip(1).product::<usize>();
    if !fits || dims[0].saturating_mul(size) > u32::MAX as usize {
        return Err(Error::invalid("tables of cliques", "those of its units", format!("{dims:?}")));
    }
    let mut strides = vec![1; axes.len()];
    for axis in (1..axes.len()).rev() {
        strides[axis - 1] = strides[axis] * axes[axis].states;
    }
    Ok((strides, size))
}

/// The states of all units of a row, each times `stride`; `false` where one is in no state.
fn decode<T: Real>(row: &[T], axis: &TableAxis, stride: usize, out: &mut Vec<usize>) -> bool {
    let (zero, one) = (T::default(), <T as Real>::from_f64(1.0));
    out.clear();
    if let Some(low) = axis.low {
        let low = <T as Real>::from_f64(low);
        let mut is_state = true;
        out.extend(row.iter().map(|x| {
            is_state &= *x == low || *x == one;
            if *x == one { stride } else { 0 }
        }));
        return is_state;
    }
    let mut is_state = true;
    out.extend(row.chunks(axis.states.max(1)).map(|unit| {
        let (mut state, mut ones) = (0, 0);
        for (at, x) in unit.iter().enumerate() {
            is_state &= *x == zero || *x == one;
            if *x == one {
                (state, ones) = (at, ones + 1);
            }
        }
        is_state &= ones == 1;
        state * stride
    }));
    is_state
}

/// For each row the place in its table that each clique picks, the axis `but` in its first state; `each` is given the row's output.
fn for_rows<T: Real + WithDType, O: Copy + Default + Send>(
    axes: &[TableAxis],
    (strides, size): &(Vec<usize>, usize),
    but: Option<usize>,
    (rows, width): (usize, usize),
    each: impl Fn(usize, usize, &mut [O]) + Sync,
) -> Result<Option<Vec<O>>> {
    let others: Vec<usize> = (0..axes.len()).filter(|axis| Some(*axis) != but).collect();
    let storages: Vec<_> = others.iter().map(|axis| axes[*axis].x.storage_and_layout()).collect();
    let numbers = storages.iter().map(|(storage, layout)| Ok(numbers_of::<T>(storage, layout)?));
    let numbers = numbers.collect::<Result<Vec<&[T]>>>()?;
    // The number of each clique's unit among those of its layer.
    let units: Vec<Vec<usize>> = others
        .iter()
        .map(|axis| axes[*axis].first.iter().map(|x| *x as usize / axes[*axis].wide()).collect())
        .collect();
    let cliques = axes.first().map_or(0, |axis| axis.first.len());
    let is_state = AtomicBool::new(true);
    let mut out = vec![O::default(); rows * width];
    if width > 0 {
        out.par_chunks_mut(width).enumerate().for_each_init(
            || vec![Vec::new(); others.len()],
            |states, (row, out)| {
                for ((axis, x), states) in others.iter().zip(&numbers).zip(states.iter_mut()) {
                    let wide = x.len() / rows.max(1);
                    let x = &x[row * wide..][..wide];
                    if !decode(x, &axes[*axis], strides[*axis], states) {
                        is_state.store(false, Ordering::Relaxed);
                        return;
                    }
                }
                for clique in 0..cliques {
                    let of =
                        units.iter().zip(&*states).map(|(units, states)| states[units[clique]]);
                    each(clique, clique * size + of.sum::<usize>(), out);
                }
            },
        );
    }
    Ok(is_state.into_inner().then_some(out))
}

fn inputs<T: Real + WithDType>(
    tables: &Tensor,
    axes: &[TableAxis],
    (to, width): (usize, usize),
) -> Result<Option<Tensor>> {
    let Some(axis) = axes.get(to) else { return Ok(None) };
    let others = axes.iter().enumerate().filter(|(other, _)| *other != to).map(|(_, axis)| axis);
    let is_here = tables.device().is_cpu() && tables.is_contiguous();
    if !is_here || others.clone().any(|axis| !axis.x.is_contiguous()) {
        return Ok(None);
    }
    let rows = axis.x.dim(0)?;
    let strides = strides(tables, axes, rows)?;
    let (storage, layout) = tables.storage_and_layout();
    let (numbers, stride) = (numbers_of::<T>(&storage, layout)?, strides.0[to]);
    let scale = axis.low.map(|low| <T as Real>::from_f64(1.0 / (1.0 - low)));
    let out = for_rows::<T, T>(axes, &strides, Some(to), (rows, width), |clique, place, out| {
        let first = axis.first[clique] as usize;
        match scale {
            Some(scale) => out[first] += (numbers[place + stride] - numbers[place]) * scale,
            None => out[first..first + axis.states]
                .iter_mut()
                .enumerate()
                .for_each(|(state, out)| *out += numbers[place + state * stride]),
        }
    })?;
    let tensor = |out| Tensor::from_vec(out, (rows, width), &Device::Cpu);
    Ok(out.map(tensor).transpose()?)
}

fn places<T: Real + WithDType>(tables: &Tensor, axes: &[TableAxis]) -> Result<Option<Tensor>> {
    let Some(axis) = axes.first() else { return Ok(None) };
    if !tables.device().is_cpu() || axes.iter().any(|axis| !axis.x.is_contiguous()) {
        return Ok(None);
    }
    let (rows, cliques) = (axis.x.dim(0)?, axis.first.len());
    let strides = strides(tables, axes, rows)?;
    let shape = (rows, cliques);
    let out = for_rows::<T, u32>(axes, &strides, None, shape, |clique, place, out| {
        out[clique] = place as u32;
    })?;
    Ok(out.map(|out| Tensor::from_vec(out, rows * cliques, &Device::Cpu)).transpose()?)
}
