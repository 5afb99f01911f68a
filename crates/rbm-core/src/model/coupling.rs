//! Couplings: terms of −E that are linear in each unit that takes part, so that what a unit hears is a derivative.
//!
//! Units of one layer that are coupled with each other are drawn one by one, each given all others as they are by then.

use candle_core::{DType, Device, Tensor, Var};
use rayon::prelude::*;

use crate::ops::device::to_host;
use crate::units::{States, Support};
use crate::{Error, Layer, Result, Rng, ops, stats};

/// What couples units of one layer or of two. Layers are numbered in the order of the machine.
#[derive(Debug)]
pub enum Coupling {
    /// Every unit of one layer with every unit of another: x_aᵀ W x_b.
    Dense {
        /// a and b.
        layers: [usize; 2],
        /// W, `(width of a, width of b)`.
        weights: Var,
    },
    /// The units of a layer with each other: ½·xᵀWx.
    Lateral {
        /// The layer.
        layer: usize,
        /// W, `(width, width)`: symmetric, zero on the diagonal and within a site of several columns.
        weights: Var,
    },
    /// Some units of one layer with some of another: Σ w·x_a·x_b over pairs of units.
    Edges {
        /// a and b.
        layers: [usize; 2],
        /// The column of a, and the column of b, of each pair: `u32`, `(pairs,)`.
        columns: [Tensor; 2],
        /// w, `(pairs,)`.
        weights: Var,
    },
}

impl Coupling {
    /// [`Coupling::Edges`] between the columns `pairs` of two layers, with their weights `(pairs,)`.
    ///
    /// # Errors
    ///
    /// When the columns cannot be copied to the weights' device.
    pub fn edges(layers: [usize; 2], pairs: &[[u32; 2]], weights: Var) -> Result<Self> {
        let side = |k: usize| Tensor::from_iter(pairs.iter().map(|pair| pair[k]), weights.device());
        Ok(Self::Edges { layers, columns: [side(0)?, side(1)?], weights })
    }

    /// The layers that it couples; twice the same for lateral ones.
    pub fn layers(&self) -> [usize; 2] {
        match self {
            Self::Dense { layers, .. } | Self::Edges { layers, .. } => *layers,
            Self::Lateral { layer, .. } => [*layer; 2],
        }
    }

    /// Its parameters.
    pub fn weights(&self) -> &Var {
        match self {
            Self::Dense { weights, .. }
            | Self::Lateral { weights, .. }
            | Self::Edges { weights, .. } => weights,
        }
    }

    /// The same with its own copy of the parameters.
    ///
    /// # Errors
    ///
    /// When the device refuses.
    pub fn try_clone(&self) -> Result<Self> {
        let weights = Var::from_tensor(&self.weights().as_detached_tensor().copy()?)?;
        Ok(match self {
            Self::Dense { layers, .. } => Self::Dense { layers: *layers, weights },
            Self::Lateral { layer, .. } => Self::Lateral { layer: *layer, weights },
            Self::Edges { layers, columns, .. } => {
                Self::Edges { layers: *layers, columns: columns.clone(), weights }
            }
        })
    }

    /// What `x` `(rows, width)` of the layer `from` says to each unit of the layer on the other side, `width` wide. Differentiable.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit.
    pub fn inputs(&self, from: usize, x: &Tensor, width: usize) -> Result<Tensor> {
        let is_forward = self.layers()[0] == from;
        match self {
            Self::Dense { weights, .. } if is_forward => ops::product(x, weights),
            Self::Dense { weights, .. } => ops::product_transposed(x, weights),
            Self::Lateral { weights, .. } => ops::product(x, weights),
            Self::Edges { columns: [a, b], weights, .. } => {
                let (own, other) = if is_forward { (a, b) } else { (b, a) };
                let said = x.index_select(own, 1)?.broadcast_mul(weights)?;
                let none = Tensor::zeros((x.dim(0)?, width), x.dtype(), x.device())?;
                Ok(none.index_add(other, &said, 1)?)
            }
        }
    }

    /// Errors unless it fits `layers`.
    pub(super) fn check(&self, layers: &[Box<dyn Layer>]) -> Result<()> {
        let [a, b] = self.layers();
        if a.max(b) >= layers.len() {
            let expected = format!("layers 0 to {}", layers.len().saturating_sub(1));
            return Err(Error::invalid("a coupling", expected, format!("{a} and {b}")));
        }
        if a == b && !matches!(self, Self::Lateral { .. }) {
            let expected = "two layers; a lateral coupling joins units of one";
            return Err(Error::invalid("a coupling", expected, format!("layer {a} twice")));
        }
        let widths = [a, b].map(|layer| layers[layer].units().width());
        let (expected, found) = match self {
            Self::Edges { columns, weights, .. } => {
                for (columns, width) in columns.iter().zip(widths) {
                    let columns = columns.to_vec1::<u32>()?;
                    if let Some(column) = columns.iter().find(|&&column| column as usize >= width) {
                        let expected = format!("a column below {width}");
                        return Err(Error::invalid("an edge", expected, column.to_string()));
                    }
                }
                (columns[0].dims().to_vec(), weights.dims().to_vec())
            }
            _ => (widths.to_vec(), self.weights().dims().to_vec()),
        };
        if expected != found {
            let expected = format!("weights {expected:?}");
            return Err(Error::invalid("a coupling", expected, format!("{found:?}")));
        }
        match self {
            Self::Lateral { weights, .. } => check_lateral(&*layers[a], weights),
            _ => Ok(()),
        }
    }
}

/// Errors unless the units of `layer` are drawn one by one, and `weights` `(n, n)` are symmetric, and zero within a unit.
fn check_lateral(layer: &dyn Layer, weights: &Tensor) -> Result<()> {
    let Some(support) = layer.discrete().map(|discrete| discrete.support()) else {
        return Err(no_lateral(layer));
    };
    if support.iter().any(|support| matches!(support.states, States::Draws(_))) {
        return Err(no_lateral(layer));
    }
    let units = first_columns(layer.units().width(), &support);
    let rows = to_host(&weights.detach())?.to_vec2::<f64>()?;
    for (i, row) in rows.iter().enumerate() {
        let is_own = |j: &usize| units[*j] == units[i] && row[*j] != 0.0;
        if let Some(j) = (0..=i).find(is_own) {
            // ½·W_ii·x² of a unit of zero and one is a bias W_ii/2, of a spin a constant.
            let expected = "0 between a unit and itself: a bias says the same";
            return Err(Error::invalid(format!("W[{i}][{j}]"), expected, row[j].to_string()));
        }
        if let Some(j) = (0..i).find(|&j| row[j] != rows[j][i]) {
            let expected = format!("that of W[{j}][{i}], {}", rows[j][i]);
            return Err(Error::invalid(format!("W[{i}][{j}]"), expected, row[j].to_string()));
        }
    }
    Ok(())
}

/// The first column of the unit that each of `width` columns is of.
pub(super) fn first_columns(width: usize, support: &[Support]) -> Vec<usize> {
    let mut units: Vec<usize> = (0..width).collect();
    for Support { columns, states } in support {
        if let States::OneOf(states) = states {
            columns.clone().for_each(|j| units[j] -= (j - columns.start) % (*states).max(1));
        }
    }
    units
}

fn no_lateral(layer: &dyn Layer) -> Error {
    let expected = "discrete units that are drawn one by one";
    Error::invalid("a lateral coupling", expected, layer.units().to_string())
}

/// Units of a layer that are coupled with each other.
#[derive(Debug, Clone, Copy)]
pub struct LateralUnits<'a> {
    /// W, `(width, width)`, symmetric, zero within a unit.
    pub weights: &'a Tensor,
    /// Their biases, `(width,)`.
    pub bias: &'a Tensor,
    /// What each unit can be.
    pub support: &'a [Support],
    /// 1 where a unit is drawn, 0 where it is held, `(rows, width)`; all are drawn where there is nothing.
    pub free: Option<&'a Tensor>,
}

/// `x` `(rows, width)` after every unit has been drawn once, in the order of the columns, from p(x_i | inputs, all others) at
/// the inverse temperature of its row (Geman and Geman 1984). `inputs` `(rows, width)` is what others say, tempered already;
/// `betas`, one a row, temper W alone. The arithmetic is that of `f64` on the host, whatever the type and the device.
///
/// # Errors
///
/// When shapes do not fit, and for units that share draws.
pub fn lateral_sweep(
    x: &Tensor,
    inputs: &Tensor,
    betas: &[f64],
    units: LateralUnits,
    rng: &mut Rng,
) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let fits = inputs.dims() == [rows, width]
        && units.weights.dims() == [width, width]
        && units.bias.dims() == [width]
        && betas.len() == rows;
    if !fits {
        let found = format!("{:?}, {:?}", inputs.dims(), units.weights.dims());
        let expected = format!("inputs ({rows}, {width}) and weights ({width}, {width})");
        return Err(Error::invalid("coupled units", expected, found));
    }
    if units.support.iter().any(|support| matches!(support.states, States::Draws(_))) {
        let expected = "units that are drawn one by one";
        return Err(Error::invalid("coupled units", expected, "units that share draws"));
    }
    let host = |x: &Tensor| -> Result<Vec<f64>> {
        Ok(to_host(&x.detach())?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    };
    let weights = to_host(&units.weights.detach())?.to_dtype(DType::F64)?.contiguous()?;
    let mut values = host(x)?;
    let state = Tensor::from_slice(&values, (rows, width), &Device::Cpu)?;
    let (said, weights) = (host(&ops::product(&state, &weights)?)?, host(&weights)?);
    let (inputs, bias) = (host(inputs)?, host(units.bias)?);
    let free = units.free.map(host).transpose()?;
    let chance = host(&ops::uniform((rows, width), DType::F64, &Device::Cpu, rng)?)?;
    values.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, values)| {
        let (start, beta) = (row * width, betas[row]);
        let field = (0..width).map(|j| inputs[start + j] + bias[j] + beta * said[start + j]);
        let mut row = LateralRow { values, field: field.collect(), weights: &weights, beta };
        let free = free.as_ref().map(|free| &free[start..start + width]);
        for support in units.support {
            row.draw(support, &chance[start..start + width], free);
        }
    });
    let drawn = Tensor::from_vec(values, (rows, width), &Device::Cpu)?;
    Ok(drawn.to_dtype(x.dtype())?.to_device(x.device())?)
}

/// One configuration, and what each of its columns is told by everything else.
struct LateralRow<'a> {
    values: &'a mut [f64],
    field: Vec<f64>,
    weights: &'a [f64],
    beta: f64,
}

impl LateralRow<'_> {
    fn draw(&mut self, support: &Support, chance: &[f64], free: Option<&[f64]>) {
        let is_free = |column: usize| free.is_none_or(|free| free[column] != 0.0);
        match &support.states {
            States::Values(values) => {
                for column in support.columns.clone().filter(|column| is_free(*column)) {
                    let field = self.field[column];
                    let logits = values.iter().map(|(value, ways)| field * value + ways);
                    let drawn = stats::categorical(logits, chance[column]);
                    self.set(column, values[drawn].0);
                }
            }
            States::OneOf(states) => {
                let sites = support.columns.clone().step_by((*states).max(1));
                for first in sites.filter(|first| is_free(*first)) {
                    let logits = self.field[first..first + states].iter().copied();
                    let drawn = first + stats::categorical(logits, chance[first]);
                    for column in first..first + states {
                        self.set(column, f64::from(u8::from(column == drawn)));
                    }
                }
            }
            States::Draws(_) => {}
        }
    }

    fn set(&mut self, column: usize, value: f64) {
        let change = self.beta * (value - self.values[column]);
        if value == self.values[column] {
            return;
        }
        self.values[column] = value;
        let weights = &self.weights[column * self.field.len()..][..self.field.len()];
        self.field.iter_mut().zip(weights).for_each(|(field, weight)| *field += change * weight);
    }
}
