//! Machines of units on a graph, and of variables in cliques: a layer for each colour.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use candle_core::{DType, Device, Tensor, Var};

use super::{Cliques, Colouring, Coupling, Machine};
use crate::{Error, Layer, Result, Units};

impl Machine {
    /// Units on a graph, E(x) = −Σ w_k·x_i·x_j − Σ b_i·x_i over the `pairs` (i, j): a layer for each colour of
    /// [`Colouring::greedy`]. `units` says of what kind they are, a column each.
    ///
    /// # Errors
    ///
    /// For pairs that are no graph of these units, and when there is not a weight for each pair and a bias for each unit.
    pub fn on_graph(
        units: &Units,
        pairs: &[[u32; 2]],
        weights: &[f64],
        biases: &[f64],
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let colouring = Colouring::of_units(units, pairs)?;
        Self::coloured(units, pairs, weights, biases, &colouring, (dtype, device))
    }

    /// [`Machine::on_graph`] with colours of one's own. Pairs within a colour are refused.
    ///
    /// # Errors
    ///
    /// As [`Machine::on_graph`], and for colours that are not proper.
    pub fn coloured(
        units: &Units,
        pairs: &[[u32; 2]],
        weights: &[f64],
        biases: &[f64],
        colouring: &Colouring,
        (dtype, device): (DType, &Device),
    ) -> Result<Self> {
        let count = units.width();
        let found = [weights.len(), biases.len(), colouring.colours.len()];
        if found != [pairs.len(), count, count] {
            let expected = format!("{} weights, {count} biases and {count} colours", pairs.len());
            return Err(Error::invalid("a machine on a graph", expected, format!("{found:?}")));
        }
        colouring.check(pairs)?;
        let mut order = Vec::with_capacity(count);
        let mut places = vec![0u32; count];
        let mut layers = Vec::new();
        for colour in 0..colouring.count {
            let of_colour: Vec<u32> = (0..count)
                .filter(|&unit| colouring.colours[unit] == colour)
                .map(|unit| unit as u32)
                .collect();
            let layer = units.with_width(of_colour.len())?.build(dtype, device)?;
            let bias: Vec<f64> = of_colour.iter().map(|&unit| biases[unit as usize]).collect();
            if let Some((_, var)) = layer.vars().first() {
                var.set(&Tensor::new(bias, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)?;
            }
            for (place, &unit) in of_colour.iter().enumerate() {
                places[unit as usize] = place as u32;
            }
            order.extend(of_colour);
            layers.push(layer);
        }
        // By the later colour, then by the earlier one.
        let mut joined: BTreeMap<[usize; 2], Vec<([u32; 2], f64)>> = BTreeMap::new();
        for (&pair, &weight) in pairs.iter().zip(weights) {
            let mut ends =
                pair.map(|unit| (colouring.colours[unit as usize], places[unit as usize]));
            ends.sort_unstable_by_key(|(colour, _)| *colour);
            let [(a, i), (b, j)] = ends;
            joined.entry([b, a]).or_default().push(([i, j], weight));
        }
        let mut couplings = Vec::new();
        for ([b, a], edges) in joined {
            let (pairs, strengths): (Vec<_>, Vec<f64>) = edges.into_iter().unzip();
            let strengths = Tensor::new(strengths, &Device::Cpu)?.to_dtype(dtype)?;
            let weights = Var::from_tensor(&strengths.to_device(device)?)?;
            couplings.push(Coupling::edges([a, b], &pairs, weights)?);
        }
        Ok(Self::new(layers, couplings)?.ordered(order))
    }

    /// Variables of so many `states` each, E(x) = −Σ log φ_c(x_c) over `cliques`, each the variables of its scope and log φ, the last variable
    /// fastest. A variable is a Potts site; there is a layer for each colour and number of states, and a coupling for all cliques of
    /// the same layers. Cliques of one variable are biases, and so is a number without a variable, in each state of the first one. The table of a
    /// scope that is there twice is their sum.
    ///
    /// # Errors
    ///
    /// For a variable without a state, a scope with a variable twice or one that there is not, a table of another size, and without any
    /// variable.
    pub fn of_cliques(
        states: &[usize],
        cliques: &[(&[usize], &[f64])],
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        if states.is_empty() {
            return Err(Error::invalid("a machine of cliques", "at least one variable", "none"));
        }
        let mut pairs = BTreeSet::new();
        for (number, (scope, table)) in cliques.iter().enumerate() {
            let place = || format!("clique {number}");
            if scope.iter().any(|variable| *variable >= states.len()) {
                let expected = format!("variables 0 to {}", states.len().saturating_sub(1));
                return Err(Error::invalid(place(), expected, format!("{scope:?}")));
            }
            let size: usize = scope.iter().map(|variable| states[*variable]).product();
            if table.len() != size {
                let expected = format!("a table of {size} numbers");
                return Err(Error::invalid(place(), expected, table.len().to_string()));
            }
            for (at, a) in scope.iter().enumerate() {
                for b in &scope[..at] {
                    pairs.insert([*a.min(b) as u32, *a.max(b) as u32]);
                }
            }
        }
        let pairs: Vec<_> = pairs.into_iter().collect();
        let colours = Colouring::greedy(states.len(), &pairs)?.colours;
        // The variables of each colour and number of states.
        let mut kinds: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (variable, colour) in colours.into_iter().enumerate() {
            kinds.entry((colour, states[variable])).or_default().push(variable);
        }
        let starts: Vec<usize> =
            states.iter().scan(0, |sum, of| Some(std::mem::replace(sum, *sum + of))).collect();
        // The layer of each variable, and its first column there.
        let mut places = vec![(0, 0); states.len()];
        let (mut layers, mut units, mut biases) = (Vec::new(), Vec::new(), Vec::new());
        let mut order = Vec::new();
        for (layer, ((_, of), variables)) in kinds.into_iter().enumerate() {
            units.push(Units::Potts { sites: variables.len(), states: of });
            biases.push(vec![0.0; variables.len() * of]);
            for (at, variable) in variables.into_iter().enumerate() {
                places[variable] = (layer, at * of);
                order.extend((starts[variable]..starts[variable] + of).map(|column| column as u32));
            }
        }
        let mut grouped: BTreeMap<Vec<usize>, CliqueTables> = BTreeMap::new();
        for (scope, table) in cliques {
            if scope.len() < 2 {
                let variable = scope.first().copied().unwrap_or_default();
                let (layer, first) = places[variable];
                let bias = &mut biases[layer][first..first + states[variable]];
                bias.iter_mut().zip(table.iter().cycle()).for_each(|(sum, x)| *sum += x);
                continue;
            }
            // In the order of the layers, so that what is alike comes together.
            let mut axes: Vec<usize> = (0..scope.len()).collect();
            axes.sort_by_key(|axis| places[scope[*axis]].0);
            let of = |axis: &usize| places[scope[*axis]];
            let key = axes.iter().map(|axis| of(axis).0).collect();
            let columns = axes.iter().map(|axis| of(axis).1 as u32).collect();
            let shape: Vec<usize> = scope.iter().map(|variable| states[*variable]).collect();
            grouped.entry(key).or_default().add(columns, transposed(table, &shape, &axes));
        }
        for (units, bias) in units.iter().zip(biases) {
            let layer: Box<dyn Layer> = units.build(dtype, device)?;
            if let Some((_, var)) = layer.vars().first() {
                var.set(&Tensor::new(bias, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)?;
            }
            layers.push(layer);
        }
        let couplings = grouped.into_iter().map(|(key, tables)| {
            let mut shape = vec![tables.0.len()];
            shape.extend(key.iter().map(|layer| match units[*layer] {
                Units::Potts { states, .. } => states,
                _ => 1,
            }));
            let (columns, tables): (Vec<_>, Vec<_>) = tables.0.into_iter().unzip();
            let tables = Tensor::from_vec(tables.concat(), shape, &Device::Cpu)?;
            let tables = Var::from_tensor(&tables.to_dtype(dtype)?.to_device(device)?)?;
            let sites: Vec<_> = key
                .iter()
                .enumerate()
                .map(|(axis, layer)| {
                    (*layer, &units[*layer], columns.iter().map(|of| of[axis]).collect())
                })
                .collect();
            Ok(Coupling::Cliques(Cliques::new(&sites, tables)?))
        });
        let couplings = couplings.collect::<Result<_>>()?;
        Ok(Self::new(layers, couplings)?.ordered(order))
    }
}

/// The first columns of each clique's units, and its table: each combination of units once.
#[derive(Debug, Default)]
struct CliqueTables(BTreeMap<Vec<u32>, Vec<f64>>);

impl CliqueTables {
    fn add(&mut self, columns: Vec<u32>, table: Vec<f64>) {
        match self.0.entry(columns) {
            Entry::Vacant(place) => drop(place.insert(table)),
            Entry::Occupied(mut there) => {
                there.get_mut().iter_mut().zip(table).for_each(|(sum, x)| *sum += x);
            }
        }
    }
}

/// A table of this shape, last axis fastest, with its `axes` in another order.
fn transposed(table: &[f64], shape: &[usize], axes: &[usize]) -> Vec<f64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let mut places = vec![0];
    for axis in axes {
        let stride = strides[*axis];
        let longer = |place: usize| (0..shape[*axis]).map(move |state| place + state * stride);
        places = places.into_iter().flat_map(longer).collect();
    }
    places.into_iter().map(|place| table[place]).collect()
}
