//! Cliques of equal shape: tables over the states of several units, one unit of each of several layers.
//!
//! A unit is described by its state: of a Potts site a one in one of its columns, of a two-valued unit how near it is to each of its
//! values. So −E is linear in each unit, and a unit's input is the table with all its other axes summed out.

use candle_core::{Device, Tensor, Var};

use crate::ops::{TableAxis, table_inputs, table_places};
use crate::{Error, Layer, Result, Units};

/// Tables log φ over k units each, `(cliques, states of the first unit, …, states of the last)`: −E is the sum of the entries of the
/// states that the units have (Hammersley and Clifford 1971; Koller and Friedman 2009, chapter 4).
///
/// State 0 of a Bernoulli unit or spin is its lower value, state 1 is the value 1. The units of a clique are of different layers, because
/// they are drawn one after the other.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use rbm_core::Units;
/// use rbm_core::estimate::log_partition;
/// use rbm_core::model::{Cliques, Coupling, Machine};
///
/// // Three spins whose product should be 1: the table is +1 for an even number of spins that are down.
/// let units = Units::Spin { size: 1 };
/// let layers = (0..3).map(|_| units.build(DType::F64, &Device::Cpu)).collect::<Result<_, _>>()?;
/// let table = [-1f64, 1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0];
/// let table = Var::from_tensor(&Tensor::new(&table, &Device::Cpu)?.reshape((1, 2, 2, 2))?)?;
/// let sites: Vec<_> = (0..3).map(|layer| (layer, &units, vec![0])).collect();
/// let machine = Machine::new(layers, vec![Coupling::Cliques(Cliques::new(&sites, table)?)])?;
/// let z = 4.0 * 1f64.exp() + 4.0 * (-1f64).exp();
/// assert!((log_partition(&machine)? - z.ln()).abs() < 1e-12);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cliques {
    axes: Vec<CliqueAxis>,
    log_potential: Var,
}

/// The units that one axis of the tables is of.
#[derive(Debug, Clone)]
struct CliqueAxis {
    layer: usize,
    /// The kind, with one unit or site.
    unit: Units,
    /// How many states it has.
    states: usize,
    /// The lower of two values; `None` where each state has a column.
    low: Option<f64>,
    /// The first column of the unit of each clique.
    first: Vec<u32>,
    /// All columns of these units, those of one side by side.
    columns: Tensor,
}

impl CliqueAxis {
    fn new(layer: usize, units: &Units, first: &[u32], device: &Device) -> Result<Self> {
        let (states, low, unit) = match units {
            Units::Potts { states, .. } => {
                (*states, None, Units::Potts { sites: 1, states: *states })
            }
            Units::Bernoulli { .. } => (2, Some(0.0), Units::Bernoulli { size: 1 }),
            Units::Spin { .. } => (2, Some(-1.0), Units::Spin { size: 1 }),
            _ => {
                let expected = "Potts, Bernoulli or spin units";
                return Err(Error::invalid("a clique", expected, units.to_string()));
            }
        };
        let wide = if low.is_none() { states as u32 } else { 1 };
        if let Some(column) = first.iter().find(|column| *column % wide.max(1) != 0) {
            let expected = format!("the first of the {wide} columns of a site");
            return Err(Error::invalid("a clique", expected, format!("column {column}")));
        }
        let columns = first.iter().flat_map(|first| *first..first + wide);
        let columns = Tensor::from_iter(columns, device)?;
        Ok(Self { layer, unit, states, low, first: first.to_vec(), columns })
    }

    fn cliques(&self) -> usize {
        self.first.len()
    }

    /// How much of each state there is in `x` `(rows, width)`, `(cliques, rows, states)`.
    fn codes(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, picked) = (x.dim(0)?, x.index_select(&self.columns, 1)?);
        let codes = match self.low {
            None => picked.reshape((rows, self.cliques(), self.states))?,
            Some(low) => {
                let up = picked.affine(1.0 / (1.0 - low), -low / (1.0 - low))?;
                Tensor::stack(&[up.affine(-1.0, 1.0)?, up], 2)?
            }
        };
        Ok(codes.transpose(0, 1)?.contiguous()?)
    }

    /// What `potentials` `(cliques, rows, states)` of the states say to the columns, added up, `(rows, width)`.
    fn to_columns(&self, potentials: &Tensor, width: usize) -> Result<Tensor> {
        let (cliques, rows, states) = potentials.dims3()?;
        let inputs = match self.low {
            None => potentials.transpose(0, 1)?.reshape((rows, cliques * states))?,
            Some(low) => {
                let of = |state| potentials.narrow(2, state, 1)?.squeeze(2);
                ((of(1)? - of(0)?)? / (1.0 - low))?.t()?.contiguous()?
            }
        };
        let none = Tensor::zeros((rows, width), inputs.dtype(), inputs.device())?;
        Ok(none.index_add(&self.columns, &inputs, 1)?)
    }
}

impl Cliques {
    /// `sites` says for each axis of the tables in which layer the units are, of what kind this layer is, and the first column of the unit
    /// of each clique; `log_potential` is `(cliques, states, …)`.
    ///
    /// # Errors
    ///
    /// For fewer than two axes, a layer twice, other kinds of units, columns that begin within a site, and a table of another shape.
    pub fn new(sites: &[(usize, &Units, Vec<u32>)], log_potential: Var) -> Result<Self> {
        let axes = sites.iter().map(|(layer, units, first)| {
            CliqueAxis::new(*layer, units, first, log_potential.device())
        });
        let axes = axes.collect::<Result<Vec<_>>>()?;
        if axes.len() < 2 {
            let expected = "at least two units: a table of one says what a bias says";
            return Err(Error::invalid("a clique", expected, axes.len().to_string()));
        }
        for (at, CliqueAxis { layer, .. }) in axes.iter().enumerate() {
            if axes[..at].iter().any(|earlier| earlier.layer == *layer) {
                let expected =
                    "units of different layers, since they are drawn one after the other";
                return Err(Error::invalid("a clique", expected, format!("layer {layer} twice")));
            }
        }
        let cliques = axes[0].cliques();
        let shape: Vec<usize> =
            std::iter::once(cliques).chain(axes.iter().map(|axis| axis.states)).collect();
        let is_alike = axes.iter().all(|axis| axis.cliques() == cliques);
        if !is_alike || log_potential.dims() != shape {
            let expected = format!("tables {shape:?}, with a unit of each axis for each clique");
            return Err(Error::invalid("cliques", expected, format!("{:?}", log_potential.dims())));
        }
        Ok(Self { axes, log_potential })
    }

    /// The layer of each axis.
    pub fn layers(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.layer).collect()
    }

    /// log φ, `(cliques, states, …)`.
    pub fn log_potential(&self) -> &Var {
        &self.log_potential
    }

    /// The first column of the unit of each clique, on an axis.
    pub fn columns(&self, axis: usize) -> Option<&[u32]> {
        self.axes.get(axis).map(|axis| &axis.first[..])
    }

    /// The same with its own copy of the tables.
    pub(super) fn try_clone(&self) -> Result<Self> {
        let log_potential = Var::from_tensor(&self.log_potential.as_detached_tensor().copy()?)?;
        Ok(Self { axes: self.axes.clone(), log_potential })
    }

    /// Errors unless the units are those of `layers`.
    pub(super) fn check(&self, layers: &[Box<dyn Layer>]) -> Result<()> {
        for CliqueAxis { layer, unit, columns, .. } in &self.axes {
            let Some(units) = layers.get(*layer).map(|layer| layer.units()) else {
                let expected = format!("layers 0 to {}", layers.len().saturating_sub(1));
                return Err(Error::invalid("a clique", expected, layer.to_string()));
            };
            if units.with_width(unit.width()).ok().as_ref() != Some(unit) {
                let expected = format!("layer {layer} of {}", unit.kind());
                return Err(Error::invalid("a clique", expected, units.to_string()));
            }
            let columns = columns.to_vec1::<u32>()?;
            if let Some(column) = columns.iter().find(|&&column| column as usize >= units.width()) {
                let expected = format!("a column below {}", units.width());
                return Err(Error::invalid("a clique", expected, column.to_string()));
            }
        }
        Ok(())
    }

    /// What the other units of the cliques say to the layer `to` of `width` columns, `(rows, width)`; `x` is each layer, `(rows, its
    /// width)`. `None` where no axis is of that layer, and where one of the others is not among `x`. Differentiable.
    pub(super) fn inputs(
        &self,
        x: impl Fn(usize) -> Option<Tensor>,
        to: usize,
        width: usize,
    ) -> Result<Option<Tensor>> {
        let Some(axis) = self.axis_of(to) else { return Ok(None) };
        match self.potentials(x, axis)? {
            Some(potentials) => Ok(Some(self.axes[axis].to_columns(&potentials, width)?)),
            None => Ok(None),
        }
    }

    /// [`Cliques::inputs`] as a leaf, and faster where all units are in one of their states.
    pub(super) fn inputs_of_states(
        &self,
        x: impl Fn(usize) -> Option<Tensor>,
        to: usize,
        width: usize,
    ) -> Result<Option<Tensor>> {
        let Some(axis) = self.axis_of(to) else { return Ok(None) };
        if let Some(layers) = self.layers_among(&x) {
            let axes = self.axes_in(&layers);
            let tables = self.log_potential.as_detached_tensor();
            if let Some(inputs) = table_inputs(&tables, &axes, (axis, width))? {
                return Ok(Some(inputs));
            }
        }
        Ok(self.inputs(x, to, width)?.map(|inputs| inputs.detach()))
    }

    /// The axis whose units are of this layer.
    fn axis_of(&self, layer: usize) -> Option<usize> {
        self.axes.iter().position(|axis| axis.layer == layer)
    }

    /// The axes for the kernels, each with its layer as it is.
    fn axes_in<'a>(&'a self, layers: &'a [Tensor]) -> Vec<TableAxis<'a>> {
        let table_axis = |(axis, x): (&'a CliqueAxis, &'a Tensor)| TableAxis {
            x,
            first: &axis.first,
            states: axis.states,
            low: axis.low,
        };
        self.axes.iter().zip(layers).map(table_axis).collect()
    }

    /// The layer of each axis, where all are there.
    fn layers_among(&self, x: impl Fn(usize) -> Option<Tensor>) -> Option<Vec<Tensor>> {
        self.axes.iter().map(|axis| x(axis.layer)).collect()
    }

    /// −E of configurations of the layers, `(rows,)`. Differentiable.
    pub(super) fn interaction(
        &self,
        x: impl Fn(usize) -> Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        // Of samples the entries of their states are picked; where derivatives by them are asked for, tables are summed out.
        if let Some(layers) = self.layers_among(&x).filter(|x| !x.iter().any(Tensor::track_op)) {
            let axes = self.axes_in(&layers);
            if let Some(places) = table_places(&self.log_potential, &axes)? {
                let picked = self.log_potential.flatten_all()?.index_select(&places, 0)?;
                let rows = layers.first().map_or(Ok(0), |x| x.dim(0))?;
                return Ok(Some(picked.reshape((rows, ()))?.sum(1)?));
            }
        }
        let (Some(own), Some(potentials)) = (x(self.axes[0].layer), self.potentials(&x, 0)?) else {
            return Ok(None);
        };
        Ok(Some((potentials * self.axes[0].codes(&own)?)?.sum((0, 2))?))
    }

    /// log φ of each state of the units of `axis`, given those of the others, `(cliques, rows, states)`.
    fn potentials(
        &self,
        x: impl Fn(usize) -> Option<Tensor>,
        axis: usize,
    ) -> Result<Option<Tensor>> {
        let others: Vec<usize> = (0..self.axes.len()).filter(|other| *other != axis).collect();
        let mut order = vec![0];
        order.extend(others.iter().chain([&axis]).map(|axis| axis + 1));
        let mut left = self.log_potential.permute(order)?;
        for (at, other) in others.into_iter().enumerate() {
            let axis = &self.axes[other];
            let Some(x) = x(axis.layer) else { return Ok(None) };
            let (cliques, rows, codes) = (axis.cliques(), x.dim(0)?, axis.codes(&x)?);
            left = if at == 0 {
                codes.matmul(&left.reshape((cliques, axis.states, ()))?)?
            } else {
                let left = left.reshape((cliques, rows, axis.states, ()))?;
                left.broadcast_mul(&codes.unsqueeze(3)?)?.sum(2)?
            };
        }
        Ok(Some(left))
    }

    /// How often each combination of states is there: the sum over the rows of all layers, each times its weight, `(cliques, states, …)`.
    pub(super) fn counts(&self, x: &[Tensor], weights: Option<&Tensor>) -> Result<Tensor> {
        let (last, first) = match self.axes.split_last() {
            Some((last, first)) => (last, first),
            None => return Ok(self.log_potential.zeros_like()?),
        };
        let mut product: Option<Tensor> = None;
        for axis in first {
            let codes = axis.codes(&x[axis.layer])?;
            product = Some(match product {
                None => codes,
                Some(product) => {
                    let (cliques, rows, _) = product.dims3()?;
                    let both = product.unsqueeze(3)?.broadcast_mul(&codes.unsqueeze(2)?)?;
                    both.reshape((cliques, rows, ()))?
                }
            });
        }
        let mut codes = last.codes(&x[last.layer])?;
        if let Some(weights) = weights {
            codes = codes.broadcast_mul(&weights.unsqueeze(0)?)?;
        }
        let counts = match product {
            Some(product) => product.transpose(1, 2)?.contiguous()?.matmul(&codes)?,
            None => codes.sum(1)?,
        };
        Ok(counts.reshape(self.log_potential.shape())?.detach())
    }
}

/// Parts of a configuration by the number of their layer.
pub(super) fn part_of(first: usize, parts: &[Tensor]) -> impl Fn(usize) -> Option<Tensor> {
    move |layer| parts.get(layer.checked_sub(first)?).cloned()
}
