//! A Boltzmann machine of any shape: layers, and couplings between them or within them.
//!
//! Ackley, Hinton, Sejnowski 1985. A layer is still units that are independent once their inputs are given, unless a lateral
//! coupling joins them: then they are drawn one after the other.

use std::any::Any;
use std::ops::Range;

use candle_core::{DType, Device, Tensor, Var};

use super::boltzmann::{after_zeros, columns_from, keep_held};
use super::cliques::part_of;
use super::coupling::{between_units, check_couplings, first_summed_out, one_by_one};
use super::spectrum::check_precisions;
use super::{BinaryGraph, Boltzmann, Coupling, Tempered};
use crate::ops::Ascent;
use crate::ops::device::to_host;
use crate::units::{Concat, NoUnits, Tail};
use crate::{Error, Layer, Result, Rng, Units, ops};

/// Layers and couplings, E(x) = Σ E_layer(x) − Σ couplings. The layers are drawn in their order; as many of the last ones as are
/// not coupled with each other are summed out.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use rbm_core::estimate::log_partition;
/// use rbm_core::model::{Coupling, Machine};
/// use rbm_core::Units;
///
/// // Two spins that pull each other the same way: Z = 2·e + 2/e.
/// let spins = Units::Spin { size: 2 }.build(DType::F64, &Device::Cpu)?;
/// let weights = Var::new(&[[0f64, 1.0], [1.0, 0.0]], &Device::Cpu)?;
/// let machine = Machine::new(vec![spins], vec![Coupling::Lateral { layer: 0, weights }])?;
/// let z = 2.0 * 1f64.exp() + 2.0 * (-1f64).exp();
/// assert!((log_partition(&machine)? - z.ln()).abs() < 1e-12);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Machine {
    rest: Concat,
    last: Last,
    couplings: Vec<Coupling>,
    /// Of each layer with a lateral coupling, 1 between columns that may be coupled and 0 where the coupling stays 0, as within a unit,
    /// `(width, width)`.
    between: Vec<Option<Tensor>>,
    /// How many layers the rest has.
    first_of_last: usize,
    /// The columns of each layer among those of the rest, or of the last colour.
    columns: Vec<Range<usize>>,
    /// The unit of a graph that each column is, rest first; `None` where columns have no other order than that of the layers.
    order: Option<Vec<u32>>,
    dtype: DType,
    device: Device,
}

/// The layers that are summed out.
#[derive(Debug)]
enum Last {
    Layers(Concat),
    None(NoUnits),
}

impl Machine {
    /// A machine of these layers and couplings.
    ///
    /// # Errors
    ///
    /// Without layers, for couplings that do not fit them, and for lateral couplings of units that cannot be drawn one by one.
    pub fn new(layers: Vec<Box<dyn Layer>>, couplings: Vec<Coupling>) -> Result<Self> {
        Self::observing(layers, couplings, 1)
    }

    /// [`Machine::new`] where the first `observed` layers, at least one, are where data will be. They are never summed out.
    ///
    /// # Errors
    ///
    /// As [`Machine::new`].
    pub fn observing(
        layers: Vec<Box<dyn Layer>>,
        couplings: Vec<Coupling>,
        observed: usize,
    ) -> Result<Self> {
        check_couplings(&couplings, &layers)?;
        let vars: Vec<Var> = layers
            .iter()
            .flat_map(|layer| layer.vars())
            .map(|(_, var)| var.clone())
            .chain(couplings.iter().map(|coupling| coupling.weights().clone()))
            .collect();
        let Some(dtype) = vars.first().map(|var| var.dtype()) else {
            return Err(Error::invalid("a machine", "at least one layer", "none"));
        };
        if let Some(other) = vars.iter().find(|var| var.dtype() != dtype) {
            let found = format!("{:?}", other.dtype());
            return Err(Error::invalid("a machine's parameters", format!("{dtype:?}"), found));
        }
        let observed = observed.min(layers.len());
        let first_of_last = first_summed_out(layers.len(), &couplings).max(observed);
        Self::assembled(layers, couplings, first_of_last)
    }

    /// A machine of what has been checked.
    fn assembled(
        layers: Vec<Box<dyn Layer>>,
        couplings: Vec<Coupling>,
        first_of_last: usize,
    ) -> Result<Self> {
        let (dtype, device) = match layers.first().map(|layer| layer.vars()) {
            Some(vars) if !vars.is_empty() => (vars[0].1.dtype(), vars[0].1.device().clone()),
            _ => return Err(Error::invalid("a machine", "a layer with a parameter", "none")),
        };
        let mut between = vec![None; layers.len()];
        for coupling in &couplings {
            if let Coupling::Lateral { layer, .. } = coupling {
                between[*layer] = Some(between_units(&*layers[*layer], dtype, &device)?);
            }
        }
        let mut rest = layers;
        let last = rest.split_off(first_of_last);
        let last = match last.is_empty() {
            true => Last::None(NoUnits::new(dtype, &device)?),
            false => Last::Layers(Concat::new(last)?),
        };
        let rest = Concat::new(rest)?;
        let columns = Vec::new();
        let new = Self {
            rest,
            last,
            couplings,
            between,
            first_of_last,
            columns,
            order: None,
            dtype,
            device,
        };
        let columns = new.layers().into_iter().map(|(_, columns)| columns).collect();
        Ok(Self { columns, ..new })
    }

    /// The same, where lateral couplings of a layer learn between some columns alone: `mask` `(width, width)`, symmetric, is 1 there and 0
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// Unless the layer has a lateral coupling, which is 0 where the mask is, and the mask has its shape.
    pub fn with_mask(mut self, layer: usize, mask: &Tensor) -> Result<Self> {
        let refused = |found: &str| {
            let expected = "that of a lateral coupling, which is 0 where the mask is";
            Error::invalid(format!("the mask of layer {layer}"), expected, found)
        };
        let Some(weights) = self.lateral(layer) else { return Err(refused("no such coupling")) };
        if weights.dims() != mask.dims() {
            return Err(refused(&format!("{:?}", mask.dims())));
        }
        let mask = mask.to_dtype(self.dtype)?.to_device(&self.device)?;
        let weights = weights.as_detached_tensor();
        let outside = (&weights - (&weights * &mask)?)?.abs()?.sum_all()?;
        if to_host(&outside)?.to_scalar::<f64>()? != 0.0 {
            return Err(refused("couplings elsewhere"));
        }
        if let Some(Some(between)) = self.between.get_mut(layer) {
            *between = (&*between * &mask)?;
        }
        Ok(self)
    }

    /// Of a layer with a lateral coupling, 1 between columns that may be coupled and 0 elsewhere, `(width, width)`.
    pub fn mask(&self, layer: usize) -> Option<&Tensor> {
        self.between.get(layer)?.as_ref()
    }

    /// The same, with the unit that each column is of a graph: those of the rest first.
    pub(super) fn ordered(self, order: Vec<u32>) -> Self {
        Self { order: Some(order), ..self }
    }

    /// The layers in their order, and the columns that each has among those of the rest or of the last colour.
    pub fn layers(&self) -> Vec<(&dyn Layer, Range<usize>)> {
        let last = match &self.last {
            Last::Layers(last) => last.layers(),
            Last::None(_) => Vec::new(),
        };
        self.rest.layers().into_iter().chain(last).collect()
    }

    /// How many of the layers are of the rest; the others are summed out.
    pub fn layers_of_rest(&self) -> usize {
        self.first_of_last
    }

    /// The couplings.
    pub fn couplings(&self) -> &[Coupling] {
        &self.couplings
    }

    /// Whole configurations `(rows, units)` from rest and last: in the order of the graph's units, or of the layers.
    ///
    /// # Errors
    ///
    /// When there are not as many columns as units.
    pub fn configuration(&self, rest: &Tensor, last: &Tensor) -> Result<Tensor> {
        let both = match &self.last {
            Last::Layers(_) => Tensor::cat(&[rest, last], 1)?,
            Last::None(_) => rest.clone(),
        };
        let Some(order) = &self.order else { return Ok(both) };
        Ok(both.index_select(&Tensor::new(inverse(order), both.device())?, 1)?)
    }

    /// `x`, whose columns are those of these layers, all of the rest or of the last colour, layer by layer.
    fn parts(&self, layers: Range<usize>, x: &Tensor) -> Result<Vec<Tensor>> {
        let before = self.columns.get(layers.start).map_or(0, |first| first.start);
        let of = |columns: &Range<usize>| {
            x.narrow(1, columns.start - before, columns.len())?.contiguous()
        };
        Ok(self.columns[layers].iter().map(of).collect::<candle_core::Result<_>>()?)
    }

    /// The inputs of layer `to` from the layers from `first` on, as they are in `parts`; `None` where none of them is coupled with it.
    fn layer_inputs(&self, first: usize, parts: &[Tensor], to: usize) -> Result<Option<Tensor>> {
        let width = self.columns[to].len();
        let of = part_of(first, parts);
        let inputs = self.couplings.iter().map(|coupling| coupling.inputs(&of, to, width));
        sum_of(inputs)
    }

    /// What the layers in `from` say to those in `to`, side by side.
    fn inputs(&self, from: Range<usize>, x: &Tensor, to: Range<usize>) -> Result<Tensor> {
        let zeros = |width: usize| Tensor::zeros((x.dim(0)?, width), x.dtype(), x.device());
        let (first, parts) = (from.start, self.parts(from, x)?);
        let parts = to.map(|layer| match self.layer_inputs(first, &parts, layer)? {
            Some(inputs) => Ok(inputs),
            None => Ok(zeros(self.columns[layer].len())?),
        });
        match parts.collect::<Result<Vec<_>>>()? {
            none if none.is_empty() => Ok(zeros(0)?),
            parts => side_by_side(parts),
        }
    }

    /// The layer of the rest that begins with this column.
    fn layer_at(&self, column: usize) -> Option<usize> {
        self.columns[..self.first_of_last].iter().position(|columns| columns.start == column)
    }

    /// The lateral coupling of a layer.
    fn lateral(&self, layer: usize) -> Option<&Var> {
        self.couplings.iter().find_map(|coupling| match coupling {
            Coupling::Lateral { layer: of, weights } if *of == layer => Some(weights),
            _ => None,
        })
    }

    /// The rest drawn anew, layer by layer; where `free` is 0 units stay as they were.
    fn sweep(
        &self,
        rest: Option<&Tensor>,
        last: &Tensor,
        tempered: Option<Tempered>,
        free: Option<&Tensor>,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        let from_last = self.rest_inputs(last)?.detach();
        let from_last = self.parts(0..self.first_of_last, &from_last)?;
        // A layer of the rest that is coupled with no other is drawn whatever it was.
        let mut now = match rest {
            Some(rest) => self.parts(0..self.first_of_last, &rest.detach())?,
            None if !self.has_interaction() => from_last.clone(),
            None => {
                let expected = "how the units were that are coupled with each other";
                return Err(Error::invalid("a sweep", expected, "nothing"));
            }
        };
        for (layer, (units, columns)) in self.rest.layers().into_iter().enumerate() {
            let mut inputs = from_last[layer].clone();
            let within = {
                let (of, width) = (part_of(0, &now), columns.len());
                sum_of(self.couplings.iter().map(|c| c.inputs_of_states(&of, layer, width)))?
            };
            if let Some(within) = within {
                inputs = (inputs + within)?;
            }
            let base = match tempered {
                Some(tempered) => Some((tempered, tempered.base.narrow(&columns)?)),
                None => None,
            };
            let free = match free {
                Some(free) => Some(free.narrow(1, columns.start, columns.len())?.contiguous()?),
                None => None,
            };
            let drawn = match self.lateral(layer) {
                Some(weights) => {
                    let (mut betas, mut shares) = (vec![1.0; inputs.dim(0)?], None);
                    if let Some((tempered, base)) = &base {
                        (betas, shares) = (tempered.values()?, base.precision_shares());
                        inputs = base.inputs(&inputs, tempered.betas)?;
                    }
                    let (bias, support) = (units.bias()?, units.support());
                    let (free, units) = (free.as_ref(), one_by_one(units, &support, shares)?);
                    let lateral = ops::Lateral { weights, bias: &bias, units, free };
                    ops::lateral_sweep(&now[layer], &inputs, &betas, &lateral, rng)?
                }
                None => match base {
                    Some((tempered, base)) => base.sample(units, &inputs, tempered.betas, rng)?,
                    None => units.sample(&inputs, rng)?,
                },
            };
            now[layer] = match &free {
                Some(free) => keep_held(&now[layer], &drawn, free)?,
                None => drawn,
            };
        }
        side_by_side(now)
    }
}

/// The place of each number in `order`.
fn inverse(order: &[u32]) -> Vec<u32> {
    let mut places = vec![0; order.len()];
    for (place, &number) in order.iter().enumerate() {
        places[number as usize] = place as u32;
    }
    places
}

/// The sum of what there is.
fn sum_of(terms: impl Iterator<Item = Result<Option<Tensor>>>) -> Result<Option<Tensor>> {
    let mut sum: Option<Tensor> = None;
    for term in terms {
        if let Some(term) = term? {
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
    }
    Ok(sum)
}

/// Tensors `(rows, …)` side by side, at least one.
fn side_by_side(parts: Vec<Tensor>) -> Result<Tensor> {
    match &parts[..] {
        [one] => Ok(one.clone()),
        parts => Ok(Tensor::cat(parts, 1)?),
    }
}

impl Boltzmann for Machine {
    fn rest(&self) -> &dyn Layer {
        &self.rest
    }

    fn last(&self) -> &dyn Layer {
        match &self.last {
            Last::Layers(last) => last,
            Last::None(none) => none,
        }
    }

    /// `couplings.0.weight` and so on, then `layers.0.bias`.
    fn parameters(&self) -> Vec<(String, &Var)> {
        let layers = self.layers().into_iter().enumerate().flat_map(|(i, (layer, _))| {
            layer.vars().into_iter().map(move |(name, var)| (format!("layers.{i}.{name}"), var))
        });
        let weights = self.couplings.iter().enumerate();
        let weights = weights.map(|(i, c)| (format!("couplings.{i}.{}", c.name()), c.weights()));
        weights.chain(layers).collect()
    }

    fn coupling_weights(&self) -> Vec<&Var> {
        self.couplings.iter().map(Coupling::weights).collect()
    }

    fn couples_pairs(&self) -> Vec<bool> {
        self.couplings.iter().map(|coupling| coupling.ends().is_some()).collect()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn duplicate(&self) -> Result<Box<dyn Boltzmann>> {
        let layers = self.layers().into_iter().map(|(layer, _)| layer.try_clone());
        let couplings = self.couplings.iter().map(Coupling::try_clone);
        let layers = layers.collect::<Result<_>>()?;
        let copy = Self::assembled(layers, couplings.collect::<Result<_>>()?, self.first_of_last)?;
        let (order, between) = (self.order.clone(), self.between.clone());
        Ok(Box::new(Self { order, between, ..copy }))
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn last_inputs(&self, rest: &Tensor) -> Result<Tensor> {
        self.inputs(0..self.first_of_last, rest, self.first_of_last..self.columns.len())
    }

    fn rest_inputs(&self, last: &Tensor) -> Result<Tensor> {
        self.inputs(self.first_of_last..self.columns.len(), last, 0..self.first_of_last)
    }

    fn last_inputs_of(&self, from: usize, part: &Tensor) -> Result<Tensor> {
        match self.layer_at(from) {
            Some(first) => {
                let all = self.columns.len();
                self.inputs(first..self.first_of_last, part, self.first_of_last..all)
            }
            None => self.last_inputs(&after_zeros(from, part)?),
        }
    }

    fn rest_inputs_from(&self, from: usize, last: &Tensor) -> Result<Tensor> {
        match self.layer_at(from) {
            Some(first) => {
                self.inputs(self.first_of_last..self.columns.len(), last, first..self.first_of_last)
            }
            None => columns_from(from, &self.rest_inputs(last)?),
        }
    }

    fn has_interaction(&self) -> bool {
        let is_within = |coupling: &Coupling| {
            coupling.layers().into_iter().all(|layer| layer < self.first_of_last)
        };
        self.couplings.iter().any(is_within)
    }

    fn interaction(&self, rest: &Tensor) -> Result<Option<Tensor>> {
        if !self.has_interaction() {
            return Ok(None);
        }
        let parts = self.parts(0..self.first_of_last, rest)?;
        let of = part_of(0, &parts);
        sum_of(self.couplings.iter().map(|coupling| coupling.interaction(&of)))
    }

    fn inputs_within(&self, rest: &Tensor) -> Result<Option<Tensor>> {
        if !self.has_interaction() {
            return Ok(None);
        }
        let parts = self.parts(0..self.first_of_last, rest)?;
        let inputs = (0..self.first_of_last).map(|layer| {
            let inputs = match self.layer_inputs(0, &parts, layer)? {
                Some(inputs) => inputs,
                None => parts[layer].zeros_like()?,
            };
            match self.lateral(layer) {
                Some(weights) => Ok((inputs + ops::product(&parts[layer], weights)?)?),
                None => Ok(inputs),
            }
        });
        Ok(Some(side_by_side(inputs.collect::<Result<_>>()?)?))
    }

    fn coupling_averages(
        &self,
        rest: &Tensor,
        last: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Vec<Ascent>> {
        let mut parts = self.parts(0..self.first_of_last, rest)?;
        parts.extend(self.parts(self.first_of_last..self.columns.len(), last)?);
        let average = |c: &Coupling| c.average(&parts, weights, &self.between);
        self.couplings.iter().map(average).collect()
    }

    fn draw_rest(
        &self,
        rest: Option<&Tensor>,
        last: &Tensor,
        tempered: Option<Tempered>,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        self.sweep(rest, last, tempered, None, rng)
    }

    /// Each layer has the held units of the others as they are, and units of its own one by one.
    fn draw_rest_held(
        &self,
        rest: &Tensor,
        last: &Tensor,
        free: &Tensor,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        self.sweep(Some(rest), last, None, Some(free), rng)
    }

    fn binary_graph(&self) -> Result<Option<BinaryGraph>> {
        let layers = self.layers();
        let low = match layers[0].0.units() {
            Units::Spin { .. } => -1.0,
            Units::Bernoulli { .. } => 0.0,
            _ => return Ok(None),
        };
        let kind = std::mem::discriminant(&layers[0].0.units());
        let is_alike =
            |(layer, _): &(&dyn Layer, _)| std::mem::discriminant(&layer.units()) == kind;
        let is_of_pairs = self.couplings.iter().all(|coupling| coupling.ends().is_some());
        if !self.device.is_cpu() || !layers.iter().all(is_alike) || !is_of_pairs {
            return Ok(None);
        }
        // The unit that a column of a layer is: the layers lie side by side, the rest first.
        let widths = self.columns.iter().map(Range::len);
        let starts: Vec<usize> =
            widths.scan(0, |sum, width| Some(std::mem::replace(sum, *sum + width))).collect();
        let count = self.columns.iter().map(Range::len).sum();
        let columns: Vec<u32> = match &self.order {
            None => (0..count as u32).collect(),
            Some(order) => inverse(order),
        };
        let unit = |layer: usize, column: usize| match &self.order {
            None => (starts[layer] + column) as u32,
            Some(order) => order[starts[layer] + column],
        };
        let host = |x: &Tensor| -> Result<Vec<f64>> {
            Ok(to_host(&x.detach())?.flatten_all()?.to_vec1()?)
        };
        let mut biases = vec![0.0; count];
        for (layer, (units, columns)) in layers.iter().enumerate() {
            for (column, bias) in (0..columns.len()).zip(host(&units.bias()?)?) {
                biases[unit(layer, column) as usize] = bias;
            }
        }
        let (mut pairs, mut couplings) = (Vec::new(), Vec::new());
        for coupling in &self.couplings {
            let Some([a, b]) = coupling.ends() else { continue };
            for ([i, j], weight) in coupling.pairs()? {
                pairs.push([unit(a, i as usize), unit(b, j as usize)]);
                couplings.push(weight);
            }
        }
        Ok(Some(BinaryGraph::new(&pairs, &couplings, &biases, low)?.with_columns(columns)))
    }

    /// Bounded units always are one; those without bounds where their couplings are weak beside their precisions.
    fn check_normalisable(&self) -> Result<()> {
        let (layers, mut unbounded) = (self.layers(), Vec::new());
        // The number of each unbounded column among all of them.
        let mut numbers = Vec::with_capacity(layers.len());
        for (layer, _) in &layers {
            let number = |tail: Tail| {
                tail.precision.is_finite().then(|| {
                    unbounded.push(tail);
                    unbounded.len() - 1
                })
            };
            numbers.push(layer.tails()?.into_iter().map(number).collect::<Vec<_>>());
        }
        let has = |layer: usize| numbers[layer].iter().any(Option::is_some);
        let mut pairs = Vec::new();
        for coupling in &self.couplings {
            // Cliques are of bounded units.
            let Some([a, b]) = coupling.ends().filter(|ends| ends.iter().all(|end| has(*end)))
            else {
                continue;
            };
            for ([i, j], weight) in coupling.pairs()? {
                let (i, j) = (numbers[a][i as usize], numbers[b][j as usize]);
                pairs.extend(i.zip(j).map(|(i, j)| ([i, j], weight)));
            }
        }
        let units = layers.iter().map(|(layer, _)| layer.units().to_string());
        check_precisions(&units.collect::<Vec<_>>().join(" and "), &unbounded, pairs)
    }
}
