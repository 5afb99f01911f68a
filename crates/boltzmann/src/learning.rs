//! Learning of Boltzmann machines with lateral couplings: among the visible units, among the hidden ones, between both.
//!
//! Ackley, Hinton, Sejnowski 1985: the gradient of the log-likelihood is −⟨∂E⟩ with the data clamped plus ⟨∂E⟩ of the free machine. Here
//! it is taken by differentiating energies, so that it is the same for units of every discrete kind.

use candle_core::{DType, Device, Tensor, TensorId, Var};
use rbm_core::learning::schedule::{Curve, Schedule};
use rbm_core::model::init::moments;
use rbm_core::model::{Boltzmann, Coupling, Machine};
use rbm_core::ops::device::to_host;
use rbm_core::sampling::{AnnealingPath, Chains, Clamped, GraphChains};
use rbm_core::state::{State, get};
use rbm_core::{Batches, Checkpoint, Error, Gibbs, Kernel, Layer, Result, Rng, Rows, Units};
use serde::{Deserialize, Serialize};

use crate::Graph;

/// The most configurations that are counted one by one.
const MOST_COUNTED: u64 = 1 << 16;
/// The largest parameter: one of it alone makes a state e^10000 times as probable as another.
const MOST: f32 = 1e4;
const MODEL: &str = "boltzmann";

/// The layers and couplings of a machine that learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// The units of the data: Bernoulli, spin or Potts.
    pub visible: Units,
    /// Hidden units, or none.
    pub hidden: Option<Units>,
    /// Whether visible units are coupled with each other.
    pub couples_visible: bool,
    /// Whether hidden units are coupled with each other.
    pub couples_hidden: bool,
}

/// Where the machine's own averages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negative {
    /// Chains that start at the data at every update.
    Contrastive,
    /// Chains that go on from update to update (Younes 1989, Tieleman 2008).
    Persistent,
    /// All configurations, where there are at most 2¹⁶.
    Exact,
    /// None: each unit is predicted from all others (Besag 1975). For machines without hidden units; deterministic, and convex.
    PseudoLikelihood,
}

/// How to learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learning {
    /// Where the machine's own averages come from.
    pub negative: Negative,
    /// Times through the data.
    pub epochs: usize,
    /// Cases between updates.
    pub batch_size: usize,
    /// Of the first epoch; it falls to a tenth over the training.
    pub learning_rate: f64,
    /// Weight decay.
    pub l2: f64,
    /// Sweeps of the chains between updates, and of hidden units that are coupled with each other given the data.
    pub sweeps: usize,
    /// Persistent chains.
    pub chains: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// A machine in training: what goes on is all in here.
#[derive(Debug)]
pub struct Learner {
    shape: Shape,
    learning: Learning,
    machine: Machine,
    /// All configurations of its rest, where they are counted.
    all: Option<Tensor>,
    /// Of each lateral matrix, by its variable, 1 between columns of different units and 0 within one.
    between: Vec<(TensorId, Tensor)>,
    /// Chains of the free machine, `(chains, rest)`; nothing before the first update.
    fantasies: Option<Tensor>,
    rng: Rng,
    epoch: usize,
}

/// What stands beside the tensors in a file.
#[derive(Debug, Serialize, Deserialize)]
struct MachineRecord {
    model: String,
    shape: Shape,
    learning: Learning,
    rng: Rng,
    epoch: usize,
}

impl Shape {
    /// A machine of this shape without couplings or biases, on the CPU.
    ///
    /// # Errors
    ///
    /// For units of other kinds, and where nothing couples anything.
    pub fn machine(&self) -> Result<Machine> {
        let layers: Vec<&Units> =
            [Some(&self.visible), self.hidden.as_ref()].into_iter().flatten().collect();
        for units in &layers {
            if !matches!(units, Units::Bernoulli { .. } | Units::Spin { .. } | Units::Potts { .. })
            {
                let expected = "Bernoulli, spin or Potts units";
                return Err(Error::invalid(
                    "a Boltzmann machine that learns",
                    expected,
                    units.to_string(),
                ));
            }
        }
        let zeros =
            |rows: usize, columns: usize| Var::zeros((rows, columns), DType::F32, &Device::Cpu);
        let mut couplings = Vec::new();
        if let Some(hidden) = &self.hidden {
            let weights = zeros(self.visible.width(), hidden.width())?;
            couplings.push(Coupling::Dense { layers: [0, 1], weights });
        }
        for (layer, units) in layers.iter().enumerate() {
            let is_coupled = if layer == 0 { self.couples_visible } else { self.couples_hidden };
            if is_coupled {
                let weights = zeros(units.width(), units.width())?;
                couplings.push(Coupling::Lateral { layer, weights });
            }
        }
        if couplings.is_empty() {
            return Err(Error::invalid("a Boltzmann machine", "couplings among its units", "none"));
        }
        let build = |units: &&Units| units.build(DType::F32, &Device::Cpu);
        Machine::new(layers.iter().map(build).collect::<Result<_>>()?, couplings)
    }

    /// Whether hidden units must be drawn given the data, because they are coupled with each other.
    pub(crate) fn draws_hidden(&self) -> bool {
        self.hidden.is_some() && self.couples_hidden
    }
}

impl Learner {
    /// A machine whose visible biases are those of the means of `cases` `(n, visible)`, with small random weights to hidden units.
    ///
    /// # Errors
    ///
    /// For shapes that do not fit, settings that mean nothing, and methods that the shape does not allow.
    pub fn new(shape: Shape, learning: Learning, cases: &dyn Rows) -> Result<Self> {
        let refused =
            |what: &str, expected: &str, found: String| Err(Error::invalid(what, expected, found));
        let Learning { epochs, batch_size, learning_rate, sweeps, chains, .. } = learning;
        if [epochs, batch_size, sweeps, chains].contains(&0) {
            return refused(
                "learning",
                "epochs, cases, sweeps and chains of at least 1",
                format!("{learning:?}"),
            );
        }
        if !(learning_rate > 0.0
            && learning_rate.is_finite()
            && learning.l2 >= 0.0
            && learning.l2.is_finite())
        {
            return refused(
                "learning",
                "a rate above 0 and a decay of at least 0",
                format!("{learning_rate}, {}", learning.l2),
            );
        }
        if learning.negative == Negative::PseudoLikelihood && shape.hidden.is_some() {
            return refused(
                "the pseudo-likelihood",
                "a machine without hidden units",
                "hidden units".into(),
            );
        }
        if cases.count() == 0 || cases.width() != shape.visible.width() {
            let found = format!("{} of {}", cases.count(), cases.width());
            return refused(
                "cases",
                &format!("at least one of {} columns", shape.visible.width()),
                found,
            );
        }
        let machine = shape.machine()?;
        let mut rng = Rng::new(learning.seed);
        let (mean, variance) = moments(cases)?;
        machine.layers()[0].0.fit_moments(&mean, &variance)?;
        for coupling in machine.couplings() {
            if let Coupling::Dense { weights, .. } = coupling {
                let normal = rbm_core::ops::normal(
                    weights.shape().clone(),
                    DType::F32,
                    &Device::Cpu,
                    &mut rng,
                )?;
                weights.set(&(normal * 0.01)?)?;
            }
        }
        Self::with(
            MachineRecord { model: MODEL.into(), shape, learning, rng, epoch: 0 },
            machine,
            None,
        )
    }

    /// What is derived from the machine is made once.
    fn with(record: MachineRecord, machine: Machine, fantasies: Option<Tensor>) -> Result<Self> {
        let MachineRecord { shape, learning, rng, epoch, .. } = record;
        let all = match learning.negative {
            Negative::Exact => Some(configurations(&machine)?),
            _ => None,
        };
        let mut between = Vec::new();
        for coupling in machine.couplings() {
            if let Coupling::Lateral { layer, weights } = coupling {
                between.push((weights.id(), between_units(machine.layers()[*layer].0)?));
            }
        }
        Ok(Self { shape, learning, machine, all, between, fantasies, rng, epoch })
    }

    /// The machine as it is.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// How it learns.
    pub fn learning(&self) -> &Learning {
        &self.learning
    }

    /// Epochs that are done.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// One time through `cases`, in an order of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`] when a parameter is no longer a number or above 10⁴; when memory is short.
    pub fn learn(&mut self, cases: &dyn Rows) -> Result<()> {
        let Learning { epochs, batch_size, learning_rate: from, .. } = self.learning;
        let curve = Curve::Exponential;
        let rate = Schedule::Ramp { from, to: 0.1 * from, curve }.at(self.epoch, epochs);
        for batch in Batches::new(cases.count(), batch_size).shuffled(&mut self.rng).of(cases) {
            self.update(&batch?, rate)?;
        }
        for (name, var) in self.machine.parameters() {
            let largest = var.as_detached_tensor().abs()?.max_all()?.to_scalar::<f32>()?;
            if largest.is_nan() || largest > MOST {
                return Err(Error::Diverged {
                    place: format!("epoch {}", self.epoch + 1),
                    what: format!("{name} has come to {largest}"),
                    hint: "a smaller learning rate".into(),
                });
            }
        }
        self.epoch += 1;
        Ok(())
    }

    fn update(&mut self, batch: &Tensor, rate: f64) -> Result<()> {
        let loss = match self.learning.negative {
            Negative::PseudoLikelihood => self.log_pseudo_likelihood(batch)?.mean_all()?.neg()?,
            _ => {
                let positive = self.clamped(batch)?;
                let positive = self.machine.free_energy(&positive)?.mean_all()?;
                match &self.all {
                    // log Z, whose derivative is minus the mean of ∂F over all configurations.
                    Some(all) => {
                        (positive + self.machine.free_energy(all)?.neg()?.log_sum_exp(0)?)?
                    }
                    None => {
                        let fantasies = self.negative(batch)?;
                        (positive - self.machine.free_energy(&fantasies)?.mean_all()?)?
                    }
                }
            }
        };
        let gradients = loss.backward()?;
        for (name, var) in self.machine.parameters() {
            let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
            let mut step = gradient.detach();
            if let Some((_, between)) = self.between.iter().find(|(id, _)| *id == var.id()) {
                // W_ij and W_ji are one parameter, and a unit is not coupled with itself.
                step = ((&step + step.t()?)? * between)?;
            }
            if name.starts_with("couplings.") && self.learning.l2 > 0.0 {
                step = (step + (var.as_detached_tensor() * self.learning.l2)?)?;
            }
            var.set(&(var.as_detached_tensor() - (step * rate)?)?)?;
        }
        Ok(())
    }

    /// The rest of the machine with the data clamped.
    fn clamped(&mut self, batch: &Tensor) -> Result<Tensor> {
        if !self.shape.draws_hidden() {
            return Ok(batch.clone());
        }
        let hidden = self.machine.layers()[1].0;
        let (rows, width) = (batch.dim(0)?, hidden.units().width());
        let start = hidden
            .sample(&Tensor::zeros((rows, width), DType::F32, &Device::Cpu)?, &mut self.rng)?;
        let values = Tensor::cat(&[batch, &start], 1)?;
        let held = Tensor::cat(&[batch.ones_like()?, start.zeros_like()?], 1)?;
        let clamped = Clamped::new(&values, &held)?;
        let mut chains = clamped.init(&self.machine, values, &mut self.rng)?;
        clamped.advance(&self.machine, &mut chains, self.learning.sweeps, &mut self.rng)?;
        Ok(chains.visible)
    }

    /// Configurations of the free machine, from chains.
    fn negative(&mut self, batch: &Tensor) -> Result<Tensor> {
        let goes_on = self.learning.negative == Negative::Persistent;
        let start = match self.fantasies.take() {
            Some(fantasies) => fantasies,
            None if goes_on => {
                // At the first cases, again and again if there are too few.
                let rows = (0..self.learning.chains).map(|i| (i % batch.dims()[0]) as u32);
                let rows = Tensor::from_iter(rows, &Device::Cpu)?;
                let start = batch.index_select(&rows, 0)?;
                self.clamped(&start)?
            }
            None => self.clamped(batch)?,
        };
        let after = walked(&self.machine, start, self.learning.sweeps, &mut self.rng)?;
        self.fantasies = goes_on.then(|| after.clone());
        Ok(after)
    }

    /// Σ_i log p(x_i | all others) of each case `(n, visible)`, nats; differentiable. Of a machine without hidden units.
    ///
    /// # Errors
    ///
    /// For a machine with hidden units, and cases of another width.
    pub fn log_pseudo_likelihood(&self, cases: &Tensor) -> Result<Tensor> {
        if self.shape.hidden.is_some() {
            return Err(Error::invalid(
                "the pseudo-likelihood",
                "a machine without hidden units",
                "hidden units",
            ));
        }
        // Given all others, each unit is one of an independent layer that is told so much.
        let mut inputs = cases.zeros_like()?;
        for coupling in self.machine.couplings() {
            inputs = (inputs + coupling.inputs(0, cases, cases.dim(1)?)?)?;
        }
        let visible = self.machine.layers()[0].0;
        let own = ((cases * &inputs)?.sum(1)? - visible.energy(cases)?)?;
        Ok((own - visible.cgf(&inputs)?)?)
    }

    /// F of each case `(n, visible)`, nats; of hidden units that are coupled with each other E where these are at their biases.
    ///
    /// # Errors
    ///
    /// For cases of another width.
    pub fn free_energy(&self, cases: &Tensor) -> Result<Tensor> {
        if !self.shape.draws_hidden() {
            return self.machine.free_energy(cases);
        }
        let hidden = self.machine.layers()[1].0;
        let width = hidden.units().width();
        let none = Tensor::zeros((cases.dim(0)?, width), DType::F32, &Device::Cpu)?;
        self.machine.free_energy(&Tensor::cat(&[cases, &hidden.mean(&none)?.detach()], 1)?)
    }

    /// `count` configurations of the visible units after so many sweeps from their own biases, `(count, visible)`.
    ///
    /// # Errors
    ///
    /// When memory is short.
    pub fn samples(&self, count: usize, sweeps: usize, rng: &mut Rng) -> Result<Tensor> {
        let start =
            AnnealingPath::from_biases(&self.machine)?.sample_at_zero(&self.machine, count, rng)?;
        let after = walked(&self.machine, start, sweeps, rng)?;
        Ok(after.narrow(1, 0, self.shape.visible.width())?.contiguous()?)
    }

    /// All units as one graph, visible before hidden, where both are of one kind.
    ///
    /// # Errors
    ///
    /// For visible and hidden units of different kinds.
    pub fn graph(&self) -> Result<Graph> {
        let width = self.shape.visible.width() + self.shape.hidden.as_ref().map_or(0, Units::width);
        let kind = |units: &Units| std::mem::discriminant(units);
        if let Some(hidden) =
            self.shape.hidden.as_ref().filter(|hidden| kind(hidden) != kind(&self.shape.visible))
        {
            let expected = format!("hidden units as the visible ones, {}", self.shape.visible);
            return Err(Error::invalid("a machine as one graph", expected, hidden.to_string()));
        }
        let units = self.shape.visible.with_width(width)?;
        let host = |x: &Tensor| -> Result<Vec<f64>> {
            Ok(to_host(&x.detach())?.flatten_all()?.to_vec1()?)
        };
        let mut fields = Vec::new();
        for (layer, _) in self.machine.layers() {
            fields.extend(host(&layer.bias()?)?);
        }
        let offsets = [0, self.shape.visible.width()];
        let (mut edges, mut couplings) = (Vec::new(), Vec::new());
        for coupling in self.machine.couplings() {
            let [a, b] = coupling.layers();
            let (_, columns) = coupling.weights().dims2()?;
            for (at, weight) in host(coupling.weights())?.into_iter().enumerate() {
                let (i, j) = (at / columns, at % columns);
                if weight != 0.0 && (a != b || i < j) {
                    edges.push([(offsets[a] + i) as u32, (offsets[b] + j) as u32]);
                    couplings.push(weight);
                }
            }
        }
        Ok(Graph { units, edges, couplings, fields, shape: None })
    }

    /// Writes everything to one file, whole or not at all: `layers.{i}.bias`, `couplings.{k}.weight`, chains, and what is needed to go on.
    ///
    /// # Errors
    ///
    /// For numbers that are not finite, and when the file cannot be written.
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        let parameters = self.machine.parameters().into_iter();
        let mut tensors: State =
            parameters.map(|(name, var)| (name, var.as_detached_tensor())).collect();
        if let Some(fantasies) = &self.fantasies {
            tensors.insert("fantasies".into(), fantasies.clone());
        }
        let record = MachineRecord {
            model: MODEL.into(),
            shape: self.shape.clone(),
            learning: self.learning.clone(),
            rng: self.rng,
            epoch: self.epoch,
        };
        Checkpoint { tensors, record }.save(path)
    }

    /// Reads what [`Learner::save`] wrote; it goes on as if it had never stopped.
    ///
    /// # Errors
    ///
    /// When the file is missing, damaged, or of another model.
    pub fn load(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let Checkpoint { tensors, record } = Checkpoint::<MachineRecord>::load(path, &Device::Cpu)?;
        let MachineRecord { model, shape, learning, rng, epoch } = record;
        if model != MODEL {
            return Err(Error::file(path, "record", "a Boltzmann machine", format!("{model:?}")));
        }
        let empty = shape.machine()?;
        for (name, var) in empty.parameters() {
            let found = get(&tensors, &name)?;
            if found.dims() != var.dims() || found.dtype() != DType::F32 {
                let expected = format!("{:?} of f32", var.dims());
                return Err(Error::file(path, name, expected, format!("{found:?}")));
            }
            var.set(&found)?;
        }
        // Made anew, so that couplings are checked.
        let layers = empty.layers().into_iter().map(|(layer, _)| layer.try_clone());
        let couplings = empty.couplings().iter().map(|coupling| -> Result<Coupling> {
            let weights = Var::from_tensor(&coupling.weights().as_detached_tensor())?;
            Ok(match coupling {
                Coupling::Lateral { layer, .. } => Coupling::Lateral { layer: *layer, weights },
                other => Coupling::Dense { layers: other.layers(), weights },
            })
        });
        let machine =
            Machine::new(layers.collect::<Result<_>>()?, couplings.collect::<Result<_>>()?)?;
        let fantasies = tensors.get("fantasies").cloned();
        if let Some(fantasies) = &fantasies
            && fantasies.dims() != [learning.chains, machine.rest().units().width()]
        {
            let expected =
                format!("{} chains of {}", learning.chains, machine.rest().units().width());
            return Err(Error::file(path, "fantasies", expected, format!("{fantasies:?}")));
        }
        Self::with(MachineRecord { model, shape, learning, rng, epoch }, machine, fantasies)
    }
}

/// All configurations of the rest of `machine`, `(count, rest)`.
fn configurations(machine: &Machine) -> Result<Tensor> {
    let discrete = machine.rest().discrete();
    let count = discrete.and_then(|discrete| discrete.configurations());
    match (discrete, count.filter(|count| *count <= MOST_COUNTED)) {
        (Some(discrete), Some(count)) => discrete.configuration(0..count),
        _ => {
            let expected = format!("at most {MOST_COUNTED} configurations");
            let found = count.map_or("more".to_owned(), |count| count.to_string());
            Err(Error::invalid("counting", expected, found))
        }
    }
}

/// 1 between columns of different units of a layer, 0 within one, `(width, width)`.
fn between_units(layer: &dyn Layer) -> Result<Tensor> {
    let (width, states) = match layer.units() {
        Units::Potts { sites, states } => (sites * states, states.max(1)),
        units => (units.width(), 1),
    };
    let cells = (0..width * width).map(|at| at / width / states != at % width / states);
    let cells: Vec<f32> = cells.map(|is_between| f32::from(u8::from(is_between))).collect();
    Ok(Tensor::from_vec(cells, (width, width), &Device::Cpu)?)
}

/// The rest of `machine` after so many sweeps from `start` `(chains, rest)`.
fn walked(machine: &Machine, start: Tensor, sweeps: usize, rng: &mut Rng) -> Result<Tensor> {
    let has_last = machine.last().units().width() > 0;
    if let (Some(graph), false) = (machine.binary_graph()?, has_last) {
        let mut chains = GraphChains::at(&graph, &start.to_vec2::<f32>()?)?;
        chains.sweep(&vec![1.0; sweeps], rng);
        return chains.configurations();
    }
    let gibbs = Gibbs::default();
    let mut chains: Chains = gibbs.init(machine, start, rng)?;
    gibbs.advance(machine, &mut chains, sweeps, rng)?;
    Ok(chains.visible)
}
