//! What a machine that learns consists of: its units, and which of them are coupled.

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::model::{Coupling, Machine};
use rbm_core::units::first_columns;
use rbm_core::{Error, Layer, Result, Units};
use serde::{Deserialize, Deserializer, Serialize};

use crate::couplings::Couplings;

/// The layers and couplings of a machine that learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "ShapeInFile", into = "ShapeInFile")]
pub struct Shape {
    /// The units of the data, of any kind but those that share draws; of several side by side.
    pub visible: Units,
    /// Hidden layers from the bottom up, each coupled with its neighbours: none, one, or those of a deep machine.
    pub hidden: Vec<Units>,
    /// How many classes the label unit has that is observed beside the data and coupled with the top hidden layer, where there is one.
    pub labels: Option<usize>,
    /// Which units of one layer are coupled with each other. Pairs of visible units are counted in the order of their columns; a site is one unit.
    pub couplings: Couplings,
}

/// A [`Shape`] as it stands in a file.
#[derive(Serialize, Deserialize)]
struct ShapeInFile {
    visible: Units,
    #[serde(deserialize_with = "layers_of")]
    hidden: Vec<Units>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<usize>,
    couples_visible: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edges: Option<Vec<[u32; 2]>>,
    couples_hidden: bool,
}

impl From<ShapeInFile> for Shape {
    fn from(file: ShapeInFile) -> Self {
        let ShapeInFile { visible, hidden, labels, couples_visible, edges, couples_hidden } = file;
        let couplings = match (couples_visible, couples_hidden, edges) {
            (true, false, Some(edges)) => Couplings::Edges(edges),
            (true, true, _) => Couplings::Lateral,
            (true, false, None) => Couplings::Visible,
            (false, true, _) => Couplings::Hidden,
            (false, false, _) => Couplings::None,
        };
        Self { visible, hidden, labels, couplings }
    }
}

impl From<Shape> for ShapeInFile {
    fn from(shape: Shape) -> Self {
        let Shape { visible, hidden, labels, couplings } = shape;
        let (couples_visible, couples_hidden) =
            (couplings.is_within_visible(), couplings.is_within_hidden());
        let edges = match couplings {
            Couplings::Edges(edges) => Some(edges),
            _ => None,
        };
        Self { visible, hidden, labels, couples_visible, edges, couples_hidden }
    }
}

/// Layers, or what a file of one hidden layer had: its units, or nothing.
fn layers_of<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<Units>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Layers {
        Many(Vec<Units>),
        One(Option<Units>),
    }
    Ok(match Layers::deserialize(deserializer)? {
        Layers::Many(layers) => layers,
        Layers::One(layer) => layer.into_iter().collect(),
    })
}

impl Shape {
    /// A machine of this shape without couplings or biases, on the CPU.
    ///
    /// # Errors
    ///
    /// For units that cannot be coupled so, and where nothing couples anything.
    pub fn machine(&self) -> Result<Machine> {
        let layers = self.layers();
        if self.labels.is_some() {
            self.check_labels()?;
        }
        if self.hidden.len() > 1 && self.couplings.is_within_hidden() {
            let expected = "hidden layers that are coupled with their neighbours alone";
            let found = "couplings within them";
            return Err(Error::invalid("a deep Boltzmann machine", expected, found));
        }
        self.check_kinds()?;
        let zeros =
            |rows: usize, columns: usize| Var::zeros((rows, columns), DType::F32, &Device::Cpu);
        let mut couplings = Vec::new();
        let places = self.places();
        for (pair, places) in layers.windows(2).zip(places.windows(2)) {
            let weights = zeros(pair[0].width(), pair[1].width())?;
            couplings.push(Coupling::Dense { layers: [places[0], places[1]], weights });
        }
        for (layer, units) in layers.iter().enumerate() {
            let is_coupled = match layer {
                0 => self.couplings.is_within_visible(),
                _ => self.couplings.is_within_hidden(),
            };
            if is_coupled {
                let weights = zeros(units.width(), units.width())?;
                couplings.push(Coupling::Lateral { layer, weights });
            }
        }
        if couplings.is_empty() {
            return Err(Error::invalid("a Boltzmann machine", "couplings among its units", "none"));
        }
        let mut ordered: Vec<_> = places.into_iter().zip(&layers).collect();
        ordered.sort_by_key(|(place, _)| *place);
        let build = ordered.into_iter().map(|(_, units)| units.build(DType::F32, &Device::Cpu));
        let machine = Machine::new(build.collect::<Result<_>>()?, couplings)?;
        self.masked(machine)
    }

    /// Errors for kinds whose sums over hidden units are not known.
    fn check_kinds(&self) -> Result<()> {
        let refused = |expected: &str, units: &Units| {
            Err(Error::invalid("a Boltzmann machine that learns", expected, units.to_string()))
        };
        for units in &self.layers() {
            if units.groups().iter().any(|(_, of)| matches!(of, Units::Multinomial { .. })) {
                return refused("units that do not share draws", units);
            }
        }
        for units in self.hidden.iter().filter(|_| self.draws_hidden()) {
            let is_known = |of: &Units| match of {
                Units::Bernoulli { .. } | Units::Spin { .. } | Units::Potts { .. } => true,
                // Means of measurements that are coupled with each other have no bounds.
                Units::Gaussian { .. } => !self.couplings.is_within_hidden(),
                _ => false,
            };
            if !units.groups().iter().all(|(_, of)| is_known(of)) {
                let expected = "Bernoulli, spin or Potts units where hidden ones are coupled with each other, or Gaussian layers of a deep machine";
                return refused(expected, units);
            }
        }
        Ok(())
    }

    /// The units of every layer, from the bottom up; labels are the last one.
    pub fn layers(&self) -> Vec<Units> {
        let labels = self.labels.map(|states| Units::Potts { sites: 1, states });
        std::iter::once(&self.visible).chain(&self.hidden).cloned().chain(labels).collect()
    }

    /// Where each layer is in the machine. What is observed comes first, then hidden layers of even numbers: given these, all others are
    /// independent, and summed out.
    pub fn places(&self) -> Vec<usize> {
        let (hidden, observed) = (self.hidden.len(), self.observed_layers());
        let place = |k: usize| match k {
            0 => 0,
            k if k > hidden => 1,
            k if k % 2 == 0 => observed + k / 2 - 1,
            k => observed + hidden / 2 + k / 2,
        };
        (0..hidden + observed).map(place).collect()
    }

    /// How many of the machine's first layers are observed.
    pub(crate) fn observed_layers(&self) -> usize {
        1 + usize::from(self.labels.is_some())
    }

    /// How many columns a case has: those of the data, then one for each class of the labels.
    pub fn observed(&self) -> usize {
        self.visible.width() + self.labels.unwrap_or(0)
    }

    /// The name in a file of the machine's parameter `name`: there layers are counted from the bottom up.
    pub(crate) fn name_in_file(&self, name: &str) -> String {
        let place = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
        let found = place.and_then(|(place, rest)| {
            let layer = self.places().iter().position(|of| place.parse() == Ok(*of))?;
            Some(format!("layers.{layer}.{rest}"))
        });
        found.unwrap_or_else(|| name.to_owned())
    }

    /// `machine` with visible couplings between the pairs of [`Couplings::Edges`] alone, where these are named.
    pub(crate) fn masked(&self, machine: Machine) -> Result<Machine> {
        let Couplings::Edges(edges) = &self.couplings else { return Ok(machine) };
        let mask = mask_of(edges, machine.layers()[0].0)?;
        machine.with_mask(0, &mask)
    }

    /// Whether hidden units must be drawn given the data, because they are coupled with each other.
    pub(crate) fn draws_hidden(&self) -> bool {
        self.hidden.len() > 1
            || !self.hidden.is_empty()
                && (self.couplings.is_within_hidden() || self.labels.is_some())
    }

    /// Errors unless labels can stand above these layers.
    fn check_labels(&self) -> Result<()> {
        if self.labels.is_some_and(|classes| classes < 2) {
            let found = self.labels.unwrap_or(0).to_string();
            return Err(Error::invalid("labels", "at least two classes", found));
        }
        if self.hidden.is_empty() || self.couplings != Couplings::None {
            let expected = "hidden layers that are coupled with their neighbours alone";
            let found = if self.hidden.is_empty() { "none" } else { "couplings within layers" };
            return Err(Error::invalid("a machine with labels", expected, found));
        }
        Ok(())
    }
}

/// 1 where visible columns may be coupled, `(visible, visible)`: between the units of these pairs, counted in the order of their columns.
fn mask_of(edges: &[[u32; 2]], visible: &dyn Layer) -> Result<Tensor> {
    let firsts = first_columns(&visible.support());
    let width = firsts.len();
    let starts: Vec<usize> = (0..width).filter(|j| firsts[*j] == *j).collect();
    let columns = |unit: u32| {
        let end = starts.get(unit as usize + 1).copied().unwrap_or(width);
        starts.get(unit as usize).map(|start| *start..end)
    };
    let mut cells = vec![0f32; width * width];
    for [a, b] in edges {
        let (Some(of_a), Some(of_b), true) = (columns(*a), columns(*b), a != b) else {
            let expected = format!("two different units below {}", starts.len());
            return Err(Error::invalid(
                "a pair of coupled units",
                expected,
                format!("{a} and {b}"),
            ));
        };
        for (from, to) in [(of_a.clone(), of_b.clone()), (of_b, of_a)] {
            from.for_each(|column| cells[column * width..][to.clone()].fill(1.0));
        }
    }
    Ok(Tensor::from_vec(cells, (width, width), &Device::Cpu)?)
}
