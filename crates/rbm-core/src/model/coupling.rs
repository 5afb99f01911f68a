//! Couplings: terms of −E that are linear in each unit that takes part, so that what a unit hears is a derivative.

use candle_core::{Tensor, Var};

use crate::ops::LateralUnit;
use crate::ops::device::to_host;
use crate::units::{States, Support};
use crate::{Error, Layer, Result, ops};

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
    // The first column of the unit that each column is of.
    let mut units: Vec<usize> = (0..layer.units().width()).collect();
    let supports = layer.discrete().map(|discrete| discrete.support());
    for Support { columns, states } in supports.iter().flatten() {
        match states {
            States::Values(_) => {}
            States::OneOf(states) => {
                columns.clone().for_each(|j| units[j] -= (j - columns.start) % (*states).max(1));
            }
            States::Draws(_) => return Err(no_lateral(layer)),
        }
    }
    if supports.is_none() {
        return Err(no_lateral(layer));
    }
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

fn no_lateral(layer: &dyn Layer) -> Error {
    let expected = "discrete units that are drawn one by one";
    Error::invalid("a lateral coupling", expected, layer.units().to_string())
}

/// The units of `support`, one by one.
///
/// # Errors
///
/// For units that share draws.
pub(super) fn one_by_one(support: &[Support]) -> Result<Vec<LateralUnit<'_>>> {
    let mut units = Vec::new();
    for Support { columns, states } in support {
        let (states, values): (usize, &[_]) = match states {
            States::Values(values) => (1, values),
            States::OneOf(states) => ((*states).max(1), &[]),
            States::Draws(_) => {
                let expected = "units that are drawn one by one";
                return Err(Error::invalid("coupled units", expected, "units that share draws"));
            }
        };
        let first = columns.clone().step_by(states);
        units.extend(first.map(|first| LateralUnit { columns: first..first + states, values }));
    }
    Ok(units)
}
