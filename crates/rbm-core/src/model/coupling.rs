//! Couplings: terms of −E that are linear in each unit that takes part, so that a unit's input is a derivative.

use candle_core::{DType, Device, Tensor, Var};

use super::Cliques;
use crate::ops::device::to_host;
use crate::ops::{Ascent, LateralStates, LateralUnit, Outer, outer_sum};
use crate::units::{States, Support, Tail, first_columns};
use crate::{Error, Layer, Result, ops};

/// What couples units of one layer or of several. Layers are numbered in the order of the machine.
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
    /// Units of two or more layers by a table over their states. Their layers are never summed out.
    Cliques(Cliques),
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
    pub fn layers(&self) -> Vec<usize> {
        match self {
            Self::Cliques(cliques) => cliques.layers(),
            _ => self.ends().map(Vec::from).unwrap_or_default(),
        }
    }

    /// Both ends of what couples pairs of units.
    pub(super) fn ends(&self) -> Option<[usize; 2]> {
        match self {
            Self::Dense { layers, .. } | Self::Edges { layers, .. } => Some(*layers),
            Self::Lateral { layer, .. } => Some([*layer; 2]),
            Self::Cliques(_) => None,
        }
    }

    /// Its parameters.
    pub fn weights(&self) -> &Var {
        match self {
            Self::Dense { weights, .. }
            | Self::Lateral { weights, .. }
            | Self::Edges { weights, .. } => weights,
            Self::Cliques(cliques) => cliques.log_potential(),
        }
    }

    /// What its parameters are called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Cliques(_) => "log_potential",
            _ => "weight",
        }
    }

    /// The same with its own copy of the parameters.
    ///
    /// # Errors
    ///
    /// When the device refuses.
    pub fn try_clone(&self) -> Result<Self> {
        let copy = || -> Result<Var> {
            Ok(Var::from_tensor(&self.weights().as_detached_tensor().copy()?)?)
        };
        Ok(match self {
            Self::Dense { layers, .. } => Self::Dense { layers: *layers, weights: copy()? },
            Self::Lateral { layer, .. } => Self::Lateral { layer: *layer, weights: copy()? },
            Self::Edges { layers, columns, .. } => {
                Self::Edges { layers: *layers, columns: columns.clone(), weights: copy()? }
            }
            Self::Cliques(cliques) => Self::Cliques(cliques.try_clone()?),
        })
    }

    /// What the other layers say to each unit of the layer `to`, `(rows, width)`; `x` is each of them, `(rows, its width)`. `None` where it
    /// does not couple that layer with others, and where one of the others is not among `x`. Differentiable.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit.
    pub(super) fn inputs(
        &self,
        x: impl Fn(usize) -> Option<Tensor>,
        to: usize,
        width: usize,
    ) -> Result<Option<Tensor>> {
        let from = match (self, self.ends()) {
            (Self::Cliques(cliques), _) => return cliques.inputs(x, to, width),
            (_, Some([a, b])) if a == to && b != to => b,
            (_, Some([a, b])) if b == to && a != to => a,
            _ => return Ok(None),
        };
        x(from).map(|x| self.across(from, &x, width)).transpose()
    }

    /// [`Coupling::inputs`] as a leaf.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit.
    pub(super) fn inputs_of_states(
        &self,
        x: impl Fn(usize) -> Option<Tensor>,
        to: usize,
        width: usize,
    ) -> Result<Option<Tensor>> {
        match self {
            Self::Cliques(cliques) => cliques.inputs_of_states(x, to, width),
            _ => Ok(self.inputs(x, to, width)?.map(|inputs| inputs.detach())),
        }
    }

    /// What it takes from the energy, `(rows,)`; `x` is each layer, `(rows, its width)`. `None` where one that it couples is not among `x`.
    /// Differentiable.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit.
    pub(super) fn interaction(
        &self,
        x: impl Fn(usize) -> Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        let [a, b] = match (self, self.ends()) {
            (Self::Cliques(cliques), _) => return cliques.interaction(x),
            (_, Some(ends)) => ends,
            _ => return Ok(None),
        };
        let (Some(from), Some(to)) = (x(a), x(b)) else { return Ok(None) };
        let term = (self.across(a, &from, to.dim(1)?)? * to)?.sum(1)?;
        Ok(Some(if a == b { (term / 2.0)? } else { term }))
    }

    /// What `x` `(rows, width)` of the layer `from` says to each unit of the layer at the other end of pairs, `width` wide.
    fn across(&self, from: usize, x: &Tensor, width: usize) -> Result<Tensor> {
        let is_forward = self.ends().is_none_or(|ends| ends[0] == from);
        match self {
            Self::Dense { weights, .. } if is_forward => ops::product(x, weights),
            Self::Dense { weights, .. } => ops::product_transposed(x, weights),
            Self::Lateral { weights, .. } => ops::product(x, weights),
            Self::Edges { columns: [a, b], weights, .. } => {
                let (own, other) = if is_forward { (a, b) } else { (b, a) };
                let along_edges = x.index_select(own, 1)?.broadcast_mul(weights)?;
                let none = Tensor::zeros((x.dim(0)?, width), x.dtype(), x.device())?;
                Ok(none.index_add(other, &along_edges, 1)?)
            }
            Self::Cliques(_) => Err(no_pairs("pairs of units")),
        }
    }

    /// ⟨∂(−E)/∂w⟩ over the rows of all layers `x`, each `(rows, its width)`; the rows count by `weights` `(rows, 1)`, which sum to one, or all
    /// alike. What is lateral is symmetric, and 0 where `between` `(width, width)` is: W_ij and W_ji are one parameter.
    pub(super) fn average(
        &self,
        x: &[Tensor],
        weights: Option<&Tensor>,
        between: &[Option<Tensor>],
    ) -> Result<Ascent> {
        let scale = match (weights, x.first()) {
            (None, Some(x)) => 1.0 / x.dim(0)? as f64,
            _ => 1.0,
        };
        let [from, to] = match (self, self.ends()) {
            (Self::Cliques(cliques), _) => return Ok((cliques.counts(x, weights)? * scale)?.into()),
            (_, Some(ends)) => ends,
            _ => return Err(no_pairs("pairs of units")),
        };
        let (between, from) = (between[from].as_ref(), &x[from]);
        let to = match weights {
            Some(weights) => &x[to].broadcast_mul(weights)?,
            None => &x[to],
        };
        match self {
            Self::Lateral { .. } => {
                let sum = outer_sum(&[Outer::new(from, to, 0.5 * scale)?])?;
                let both = (&sum + sum.t()?)?;
                Ok(match between {
                    Some(between) => (both * between)?.into(),
                    None => both.into(),
                })
            }
            Self::Edges { columns: [a, b], .. } => {
                let both = (from.index_select(a, 1)? * to.index_select(b, 1)?)?;
                Ok((ops::sum_rows(&both.detach())? * scale)?.into())
            }
            _ => Ok(vec![Outer::new(from, to, scale)?].into()),
        }
    }

    /// Every pair of columns of both layers that is coupled, with its coupling; lateral pairs once, the lower column first.
    ///
    /// # Errors
    ///
    /// When the parameters cannot be read, and for cliques, which are no pairs.
    pub fn pairs(&self) -> Result<Vec<([u32; 2], f64)>> {
        if let Self::Cliques(_) = self {
            return Err(no_pairs("couplings of pairs of units"));
        }
        let weights: Vec<f64> =
            to_host(&self.weights().as_detached_tensor())?.flatten_all()?.to_vec1()?;
        if let Self::Edges { columns: [a, b], .. } = self {
            let ends = a.to_vec1::<u32>()?.into_iter().zip(b.to_vec1::<u32>()?);
            return Ok(ends.map(|(i, j)| [i, j]).zip(weights).collect());
        }
        let width = self.weights().dim(1)?.max(1);
        let is_lateral = matches!(self, Self::Lateral { .. });
        let pairs = weights.into_iter().enumerate();
        let pairs = pairs.map(|(at, weight)| ([(at / width) as u32, (at % width) as u32], weight));
        Ok(pairs.filter(|([i, j], weight)| *weight != 0.0 && (!is_lateral || i < j)).collect())
    }

    /// Errors unless it fits `layers`.
    fn check(&self, layers: &[Box<dyn Layer>]) -> Result<()> {
        let [a, b] = match (self, self.ends()) {
            (Self::Cliques(cliques), _) => return cliques.check(layers),
            (_, Some(ends)) => ends,
            _ => return Ok(()),
        };
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

/// Errors unless the couplings fit `layers`, and none has two lateral ones.
pub(super) fn check_couplings(couplings: &[Coupling], layers: &[Box<dyn Layer>]) -> Result<()> {
    for coupling in couplings {
        coupling.check(layers)?;
    }
    let mut lateral = vec![0; layers.len()];
    for coupling in couplings {
        if let Coupling::Lateral { layer, .. } = coupling {
            lateral[*layer] += 1;
        }
    }
    if let Some((layer, count)) = lateral.into_iter().enumerate().find(|(_, count)| *count > 1) {
        let expected = format!("one lateral coupling of layer {layer}");
        return Err(Error::invalid("a machine", expected, count.to_string()));
    }
    Ok(())
}

/// How far W_ij and W_ji may be apart, as a share of the larger: what rounding makes of one number that is found in two ways.
const ROUNDING: f64 = 1e-5;

/// Errors unless the units of `layer` are drawn one by one, and `weights` `(n, n)` are symmetric, and zero within a unit.
fn check_lateral(layer: &dyn Layer, weights: &Tensor) -> Result<()> {
    let support = layer.support();
    one_by_one(layer, &support, None)?;
    let units = first_columns(&support);
    let rows = to_host(&weights.detach())?.to_vec2::<f64>()?;
    for (i, row) in rows.iter().enumerate() {
        let is_own = |j: &usize| units[*j] == units[i] && row[*j] != 0.0;
        if let Some(j) = (0..=i).find(is_own) {
            // ½·W_ii·x² of a unit of zero and one is a bias W_ii/2, of a spin a constant, of a real number part of its precision.
            let expected = match support_of(&support, i) {
                Some(States::Real) => "0 between a unit and itself: its precision says the same",
                _ => "0 between a unit and itself: a bias says the same",
            };
            return Err(Error::invalid(format!("W[{i}][{j}]"), expected, row[j].to_string()));
        }
        let differs = |j: &usize| {
            let (own, other) = (row[*j], rows[*j][i]);
            let is_far = (own - other).abs() > ROUNDING * own.abs().max(other.abs());
            own != other && (is_far || !own.is_finite() || !other.is_finite())
        };
        if let Some(j) = (0..i).find(differs) {
            let expected = format!("that of W[{j}][{i}], {}", rows[j][i]);
            return Err(Error::invalid(format!("W[{i}][{j}]"), expected, row[j].to_string()));
        }
    }
    Ok(())
}

fn no_pairs(expected: &str) -> Error {
    Error::invalid("a coupling", expected, "cliques")
}

/// What the unit of this column can be.
fn support_of(support: &[Support], column: usize) -> Option<&States> {
    support.iter().find(|of| of.columns.contains(&column)).map(|of| &of.states)
}

/// The units of `layer`, whose support is `support`, one by one.
///
/// # Errors
///
/// For units that share draws, and for those of which it is not said what they can be.
pub(super) fn one_by_one<'a>(
    layer: &dyn Layer,
    support: &'a [Support],
    precision_shares: Option<&[f64]>,
) -> Result<Vec<LateralUnit<'a>>> {
    let refused = || {
        let expected = "units that can be drawn one by one: Bernoulli, spin, binomial, Potts, Gaussian or rectified ones";
        Error::invalid("a lateral coupling", expected, layer.units().to_string())
    };
    let (tails, mut units) = (layer.tails()?, Vec::new());
    for Support { columns, states } in support {
        let width = if let States::OneOf(states) = states { (*states).max(1) } else { 1 };
        for first in columns.clone().step_by(width) {
            let states = match states {
                States::Values(values) => LateralStates::Values(values),
                States::OneOf(_) => LateralStates::OneOf,
                States::Draws(_) => return Err(refused()),
                States::Real => match tails.get(first) {
                    Some(&Tail { precision, is_nonnegative }) if precision.is_finite() => {
                        let share = precision_shares.and_then(|shares| shares.get(first));
                        let share = share.copied().unwrap_or(1.0);
                        LateralStates::Real { precision, share, is_nonnegative }
                    }
                    _ => return Err(refused()),
                },
            };
            units.push(LateralUnit { columns: first..first + width, states });
        }
    }
    Ok(units)
}

/// 1 between columns of different units of a layer, 0 within one, `(width, width)`.
pub(super) fn between_units(layer: &dyn Layer, dtype: DType, device: &Device) -> Result<Tensor> {
    let width = layer.units().width();
    let units = first_columns(&layer.support());
    let cells = (0..width * width).map(|at| units[at / width] != units[at % width]);
    let cells: Vec<f32> = cells.map(|is_between| f32::from(u8::from(is_between))).collect();
    Ok(Tensor::from_vec(cells, (width, width), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
}

/// The first of the last layers that are not coupled with each other, and have no cliques; at least one layer is left before it.
pub(super) fn first_summed_out(layers: usize, couplings: &[Coupling]) -> usize {
    let earlier = couplings.iter().filter_map(|coupling| match coupling {
        Coupling::Cliques(cliques) => cliques.layers().into_iter().max(),
        pairs => pairs.layers().into_iter().min(),
    });
    earlier.max().map_or(1, |last| last + 1).min(layers)
}
