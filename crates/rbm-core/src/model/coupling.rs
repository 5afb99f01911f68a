//! Couplings: terms of −E that are linear in each unit that takes part, so that what a unit hears is a derivative.

use candle_core::{Tensor, Var};

use crate::ops::device::to_host;
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
        /// The column of a and the column of b of each pair.
        pairs: Vec<[u32; 2]>,
        /// w, `(pairs,)`.
        weights: Var,
    },
}

impl Coupling {
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
            Self::Edges { pairs, weights, .. } => {
                let side = |k: usize| -> Result<Tensor> {
                    Ok(Tensor::from_iter(pairs.iter().map(|pair| pair[k]), x.device())?)
                };
                let (own, other) = if is_forward { (0, 1) } else { (1, 0) };
                let said = x.index_select(&side(own)?, 1)?.broadcast_mul(weights)?;
                let none = Tensor::zeros((x.dim(0)?, width), x.dtype(), x.device())?;
                Ok(none.index_add(&side(other)?, &said, 1)?)
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
            Self::Edges { pairs, weights, .. } => {
                let is_out = |pair: &[u32; 2]| (0..2).any(|k| pair[k] as usize >= widths[k]);
                if let Some(pair) = pairs.iter().find(|pair| is_out(pair)) {
                    let expected = format!("columns below {} and {}", widths[0], widths[1]);
                    return Err(Error::invalid("an edge", expected, format!("{pair:?}")));
                }
                (vec![pairs.len()], weights.dims().to_vec())
            }
            _ => (widths.to_vec(), self.weights().dims().to_vec()),
        };
        if expected != found {
            let expected = format!("weights {expected:?}");
            return Err(Error::invalid("a coupling", expected, format!("{found:?}")));
        }
        match self {
            Self::Lateral { weights, .. } => check_symmetric(weights),
            _ => Ok(()),
        }
    }
}

/// Errors unless `weights` `(n, n)` are symmetric and zero on the diagonal.
fn check_symmetric(weights: &Tensor) -> Result<()> {
    let rows = to_host(&weights.detach())?.to_vec2::<f64>()?;
    for (i, row) in rows.iter().enumerate() {
        if row[i] != 0.0 {
            // ½·W_ii·x² of a unit of zero and one is a bias W_ii/2, of a spin a constant.
            let expected = "0 between a unit and itself: a bias says the same";
            return Err(Error::invalid(format!("W[{i}][{i}]"), expected, row[i].to_string()));
        }
        if let Some(j) = (0..i).find(|&j| row[j] != rows[j][i]) {
            let expected = format!("that of W[{j}][{i}], {}", rows[j][i]);
            return Err(Error::invalid(format!("W[{i}][{j}]"), expected, row[j].to_string()));
        }
    }
    Ok(())
}
