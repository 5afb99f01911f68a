//! What a machine that has learned holds: units, biases, couplings, and the largest of these.

use std::collections::BTreeSet;
use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use rbm_core::model::{Boltzmann, Coupling};
use rbm_core::ops::device::to_host;
use rbm_core::units::first_columns;
use rbm_core::{Error, Layer, Result, Units};
use serde::Serialize;

use crate::learning::{Learner, Learning, Shape};
use crate::{Couplings, Graph};

/// A layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerSummary {
    /// `visible`, `hidden`, or `hidden 2` and so on in a deep machine.
    pub name: String,
    /// Its units.
    pub units: Units,
    /// The mean of their biases.
    pub mean_bias: f64,
    /// The root of the mean square of their biases.
    pub bias: f64,
}

/// Couplings between two layers or within one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CouplingSummary {
    /// `visible–hidden`, `within visible`, and so on.
    pub name: String,
    /// How many of them can be other than 0, each pair of units once.
    pub couplings: usize,
    /// The root of their mean square.
    pub root_mean_square: f64,
    /// The root of their sum of squares.
    pub norm: f64,
    /// The largest by their absolute values, the strongest first.
    pub largest: Vec<LargestCoupling>,
}

/// One coupling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LargestCoupling {
    /// The columns that it couples, of the first layer and of the second.
    pub columns: [usize; 2],
    /// Its value; above 0 it favours columns that are on together.
    pub value: f64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineSummary {
    /// Numbers that were learned.
    pub parameters: usize,
    /// The layers.
    pub layers: Vec<LayerSummary>,
    /// The couplings.
    pub couplings: Vec<CouplingSummary>,
    /// Of visible measurements that are coupled with each other, W_ij/√(γ_i·γ_j): how far two of them vary together, all else being given. The
    /// strongest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partial_correlations: Vec<LargestCoupling>,
}

/// What the layer with this number is called, from the bottom up.
fn layer_name(layer: usize) -> String {
    match layer {
        0 => "visible".to_owned(),
        1 => "hidden".to_owned(),
        _ => format!("hidden {layer}"),
    }
}

impl Learner {
    /// How many numbers are learned: those of the units, and each coupling once.
    pub fn parameters(&self) -> usize {
        let layers = self.machine().layers();
        let count = |(layer, _): &(&dyn Layer, Range<usize>)| {
            layer.vars().iter().map(|(_, var)| var.elem_count()).sum::<usize>()
        };
        let of = |coupling: &Coupling| match coupling {
            Coupling::Lateral { layer, .. } => {
                let units = first_columns(&layers[*layer].0.support());
                let (width, mut sizes) = (units.len(), vec![0usize; units.len()]);
                units.iter().for_each(|unit| sizes[*unit] += 1);
                (width * width - sizes.iter().map(|size| size * size).sum::<usize>()) / 2
            }
            other => other.weights().elem_count(),
        };
        let couplings = self.machine().couplings().iter().map(of);
        layers.iter().map(count).sum::<usize>() + couplings.sum::<usize>()
    }

    /// A machine that another program has learned: visible units that are coupled as those of `graph` are. Nothing is left for it to learn.
    ///
    /// # Errors
    ///
    /// For numbers that do not fit the graph, and for couplings within a unit.
    pub fn of_graph(graph: &Graph) -> Result<Self> {
        let counts = [graph.couplings.len(), graph.fields.len()];
        if graph.edges.is_empty() || counts != [graph.edges.len(), graph.units.width()] {
            let expected = "edges with a coupling each, and a field of each unit";
            let found = format!("{} edges, {} and {}", graph.edges.len(), counts[0], counts[1]);
            return Err(Error::invalid("a machine on a graph", expected, found));
        }
        let couplings = match graph.is_lateral() {
            true => Couplings::Visible,
            // By sites, where these have several columns.
            false => {
                let columns = match graph.units {
                    Units::Potts { states, .. } => states.max(1) as u32,
                    _ => 1,
                };
                let pairs = graph.edges.iter().map(|edge| {
                    let [a, b] = edge.map(|column| column / columns);
                    [a.min(b), a.max(b)]
                });
                let once: BTreeSet<_> = pairs.collect();
                Couplings::Edges(once.into_iter().collect())
            }
        };
        let visible = graph.units.clone();
        let shape = Shape { visible, hidden: Vec::new(), labels: None, couplings };
        let (machine, found) = (shape.machine()?, graph.lateral_machine(DType::F32, &Device::Cpu)?);
        for ((_, var), (_, found)) in machine.parameters().into_iter().zip(found.parameters()) {
            var.set(&found.as_detached_tensor())?;
        }
        let mut learner = Self::of_machine(shape, Learning::usual(0), machine)?;
        learner.finish();
        Ok(learner)
    }

    /// All units as one graph, visible before hidden, where both are of one kind.
    ///
    /// # Errors
    ///
    /// For visible and hidden units of different kinds, for units of other kinds than Bernoulli, spin and Potts, and for cliques.
    pub fn graph(&self) -> Result<Graph> {
        let layers = self.shape().layers();
        let width = layers.iter().map(|units| units.width()).sum();
        let visible = &self.shape().visible;
        if !matches!(visible, Units::Bernoulli { .. } | Units::Spin { .. } | Units::Potts { .. }) {
            let expected = "Bernoulli, spin or Potts units";
            return Err(Error::invalid("a machine as one graph", expected, visible.to_string()));
        }
        let kind = |units: &Units| std::mem::discriminant(units);
        if let Some(hidden) = layers.iter().find(|of| kind(of) != kind(&self.shape().visible)) {
            let expected = format!("hidden units as the visible ones, {}", self.shape().visible);
            return Err(Error::invalid("a machine as one graph", expected, hidden.to_string()));
        }
        let units = self.shape().visible.with_width(width)?;
        let host = |x: &Tensor| -> Result<Vec<f64>> {
            Ok(to_host(&x.detach())?.flatten_all()?.to_vec1()?)
        };
        let mut fields = Vec::new();
        for (layer, _) in self.machine().layers() {
            fields.extend(host(&layer.bias()?)?);
        }
        let widths = self.machine().layers().into_iter().map(|(layer, _)| layer.units().width());
        let offsets: Vec<u32> = widths
            .scan(0, |sum, width| Some(std::mem::replace(sum, *sum + width as u32)))
            .collect();
        let (mut edges, mut couplings) = (Vec::new(), Vec::new());
        for coupling in self.machine().couplings() {
            let &[a, b] = &coupling.layers()[..] else {
                let expected = "couplings between two units";
                return Err(Error::invalid("a machine as one graph", expected, "cliques of more"));
            };
            for ([i, j], weight) in coupling.pairs()? {
                edges.push([offsets[a] + i, offsets[b] + j]);
                couplings.push(weight);
            }
        }
        Ok(Graph { units, edges, couplings, fields, shape: None, names: Vec::new(), offset: 0.0 })
    }

    /// Units, biases and couplings, with the `largest` of these.
    ///
    /// # Errors
    ///
    /// When a parameter cannot be copied to the CPU.
    pub fn summary(&self, largest: usize) -> Result<MachineSummary> {
        let mut layers = Vec::new();
        let of_machine = self.machine().layers();
        let name_of_layer = |k| match self.shape().labels {
            Some(_) if k > self.shape().hidden.len() => "labels".to_owned(),
            _ => layer_name(k),
        };
        for (k, place) in self.shape().places().into_iter().enumerate() {
            let (layer, name) = (of_machine[place].0, name_of_layer(k));
            let bias = to_host(&layer.bias()?)?.to_vec1::<f64>()?;
            let count = bias.len().max(1) as f64;
            let squares: f64 = bias.iter().map(|x| x * x).sum();
            layers.push(LayerSummary {
                name,
                units: layer.units(),
                mean_bias: bias.iter().sum::<f64>() / count,
                bias: (squares / count).sqrt(),
            });
        }
        let mut couplings = Vec::new();
        for coupling in self.machine().couplings() {
            let &[a, b] = &coupling.layers()[..] else { continue };
            let places = self.shape().places();
            let name_of =
                |place| name_of_layer(places.iter().position(|of| *of == place).unwrap_or(0));
            let name = match a == b {
                true => format!("within {}", name_of(a)),
                false => format!("{}–{}", name_of(a), name_of(b)),
            };
            let weights = to_host(coupling.weights())?;
            let units = first_columns(&of_machine[a].0.support());
            let (_, columns) = weights.dims2()?;
            let mut all: Vec<LargestCoupling> = Vec::new();
            for (at, value) in weights.flatten_all()?.to_vec1::<f64>()?.into_iter().enumerate() {
                let [i, j] = [at / columns, at % columns];
                if a != b || i < j && units[i] != units[j] {
                    all.push(LargestCoupling { columns: [i, j], value });
                }
            }
            all.sort_by(|x, y| y.value.abs().total_cmp(&x.value.abs()));
            let squares: f64 = all.iter().map(|it| it.value * it.value).sum();
            let count = all.len();
            all.truncate(largest);
            couplings.push(CouplingSummary {
                name,
                couplings: count,
                root_mean_square: (squares / count.max(1) as f64).sqrt(),
                norm: squares.sqrt(),
                largest: all,
            });
        }
        Ok(MachineSummary {
            parameters: self.parameters(),
            layers,
            couplings,
            partial_correlations: self.partial_correlations(largest)?,
        })
    }

    /// The `largest` partial correlations of visible measurements.
    fn partial_correlations(&self, largest: usize) -> Result<Vec<LargestCoupling>> {
        let layers = self.machine().layers();
        let lateral = self.machine().couplings().iter().find_map(|coupling| match coupling {
            Coupling::Lateral { layer: 0, weights } => Some(weights),
            _ => None,
        });
        let Some(weights) = lateral else { return Ok(Vec::new()) };
        let precisions = layers[0].0.tails()?.into_iter().map(|tail| tail.precision);
        let precisions: Vec<f64> = precisions.collect();
        let mut all = Vec::new();
        for (i, row) in to_host(weights)?.to_vec2::<f64>()?.into_iter().enumerate() {
            for (j, weight) in row.into_iter().enumerate().skip(i + 1) {
                let scale = (precisions[i] * precisions[j]).sqrt();
                if scale.is_finite() {
                    all.push(LargestCoupling { columns: [i, j], value: weight / scale });
                }
            }
        }
        all.sort_by(|x, y| y.value.abs().total_cmp(&x.value.abs()));
        all.truncate(largest);
        Ok(all)
    }
}
