//! Learning of Boltzmann machines with lateral couplings: among the visible units, among the hidden ones, between both.
//!
//! Ackley, Hinton, Sejnowski 1985: the gradient of the log-likelihood is what the machine is with the data clamped, less what it is when
//! it runs freely. Phases, optimiser and loop are those of every machine in `rbm_core::learning`.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rbm_core::estimate::Correlations;
use rbm_core::learning::negative::NegativePhase;
use rbm_core::learning::schedule::{Curve, Schedule};
use rbm_core::learning::train::{
    self, Cursor, EpochMetrics, MachineReport, Observer, Stage, StageStart,
};
use rbm_core::learning::trainer::{BatchSource, Drawn, Fit, Plan, Shuffled, Whole};
use rbm_core::learning::transform::{Centre, WeightDecay};
use rbm_core::model::init::{moments, moments_of_weighted_blocks};
use rbm_core::model::{Boltzmann, Coupling, Machine};
use rbm_core::ops::device::to_host;
use rbm_core::rows::BLOCK;
use rbm_core::sampling::AnnealingPath;
use rbm_core::state::{State, get, with_prefix, without_prefix};
use rbm_core::units::enumerate;
use rbm_core::{
    Batches, Checkpoint, ContrastiveDivergence, Error, Exact, ParallelTrajectory, Persistent,
    PseudoLikelihood, Result, Rng, Rows, Sgd, Stateful, TemperedPersistent, Trainer, Units,
};
use serde::{Deserialize, Serialize};

use crate::Graph;
use crate::resampling::{Resampled, walked};
pub use crate::settings::{Learning, Negative};
pub use crate::shape::Shape;

/// The most configurations that are counted one by one.
const MOST_COUNTED: u64 = 1 << 16;
/// Cases that are looked at after every epoch.
const MEASURED: usize = 1000;
/// The standard deviation of first weights of a machine that is not deep.
const SMALL: f64 = 0.01;
/// Epochs between two looks at the target; the most chains that are started anew for it, and their sweeps.
const CHECKED: usize = 20;
const RESAMPLED: usize = 2000;
const RESAMPLED_SWEEPS: usize = 500;
/// Where the chains of the training are in what it remembers.
const CHAINS: &str = "negative.rests";
const MODEL: &str = "boltzmann";
/// What stands before the names of what a training remembers.
const MEMORY: &str = "memory";

/// A machine in training: what goes on is all in here.
pub struct Learner {
    shape: Shape,
    learning: Learning,
    machine: Machine,
    trainer: Trainer<Box<dyn NegativePhase>, Sgd>,
    rng: Rng,
    cursor: Cursor,
    /// How much each case counts.
    weights: Option<Arc<[f32]>>,
    /// Whether the target is reached.
    is_reached: bool,
}

/// What stands beside the tensors in a file.
#[derive(Debug, Serialize, Deserialize)]
struct MachineRecord {
    model: String,
    shape: Shape,
    learning: Learning,
    rng: Rng,
    epoch: usize,
    /// Mini-batches done in the epoch.
    #[serde(default)]
    batch: usize,
    #[serde(default)]
    is_reached: bool,
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
        let Learning { epochs, learning_rate, momentum, l2, sweeps, chains, .. } = learning;
        if [epochs, sweeps, chains].contains(&0) {
            return refused(
                "learning",
                "epochs, sweeps and chains of at least 1",
                format!("{learning:?}"),
            );
        }
        let is_rate = learning_rate > 0.0 && learning_rate.is_finite();
        if !(is_rate && (0.0..1.0).contains(&momentum) && l2 >= 0.0 && l2.is_finite()) {
            return refused(
                "learning",
                "a rate above 0, a momentum of at least 0 and below 1, and a decay of at least 0",
                format!("{learning_rate}, {momentum} and {l2}"),
            );
        }
        if learning.negative == Negative::PseudoLikelihood && !shape.hidden.is_empty() {
            return refused(
                "the pseudo-likelihood",
                "a machine without hidden units",
                "hidden units".into(),
            );
        }
        if let Some(target) = learning.target_pearson {
            if !(target > 0.0 && target < 1.0) {
                let found = target.to_string();
                return refused("the target of Pearson's correlation", "above 0, below 1", found);
            }
            if !shape.hidden.is_empty() {
                let expected = "a machine without hidden units";
                return refused("a target of learning", expected, "hidden units".into());
            }
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
                let scale = match shape.hidden.len() {
                    ..2 => SMALL,
                    // Upper layers that begin near zero are told next to nothing, and stay there for long.
                    _ => 1.0 / (weights.dim(0)?.max(1) as f64).sqrt(),
                };
                weights.set(&(normal * scale)?)?;
            }
        }
        Self::with(shape, learning, machine, rng, Cursor::default())
    }

    /// What learns `machine` is made once.
    fn with(
        shape: Shape,
        learning: Learning,
        machine: Machine,
        rng: Rng,
        cursor: Cursor,
    ) -> Result<Self> {
        let Learning { sweeps, chains, learning_rate, .. } = learning;
        let negative: Box<dyn NegativePhase> = match learning.negative {
            Negative::Contrastive => Box::new(ContrastiveDivergence::new(sweeps)),
            Negative::Persistent => Box::new(Persistent::new(sweeps, chains)),
            Negative::Tempered => Box::new(TemperedPersistent::new(sweeps, chains, 0)),
            Negative::Trajectory => Box::new(ParallelTrajectory::new(sweeps, chains)),
            Negative::Exact => {
                check_countable(&machine)?;
                Box::new(Exact)
            }
            Negative::PseudoLikelihood => Box::new(PseudoLikelihood),
        };
        let mut trainer = Trainer::new(negative, Sgd::new(learning_rate));
        if shape.draws_hidden() {
            trainer.posterior = learning.posterior;
        }
        if learning.l2 > 0.0 {
            trainer.transforms.push(Box::new(WeightDecay { l1: 0.0, l2: learning.l2 }));
        }
        if learning.centre {
            trainer.transforms.push(Box::new(Centre::of(&machine, 0.01)?));
        }
        let (weights, is_reached) = (None, false);
        Ok(Self { shape, learning, machine, trainer, rng, cursor, weights, is_reached })
    }

    /// Lets each of `cases` `(n, visible)` count as much as its weight says, from now on; a file does not keep it. A machine that has learned
    /// nothing yet gets the biases of the weighted means.
    ///
    /// # Errors
    ///
    /// Unless there is a finite weight above 0 for each case.
    pub fn weigh(&mut self, cases: &dyn Rows, weights: Arc<[f32]>) -> Result<()> {
        let is_right = |weight: &f32| *weight > 0.0 && weight.is_finite();
        if weights.len() != cases.count() || !weights.iter().all(is_right) {
            let expected = format!("{} finite numbers above 0", cases.count());
            return Err(Error::invalid("weights of cases", expected, weights.len().to_string()));
        }
        if self.cursor == Cursor::default() {
            let blocks = || {
                rbm_core::rows::blocks(cases)
                    .zip(weights.chunks(BLOCK))
                    .map(|(block, weights)| Ok((block?, Some(weights.to_vec()))))
            };
            let (mean, variance) = moments_of_weighted_blocks(blocks)?;
            self.machine.layers()[0].0.fit_moments(&mean, &variance)?;
        }
        self.weights = Some(weights);
        Ok(())
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

    /// Whether the target is reached, where there is one.
    pub fn is_reached(&self) -> bool {
        self.is_reached
    }

    /// How far the persistent chains of the training agree with `data`; nothing where there are none.
    ///
    /// # Errors
    ///
    /// For the correlations of other units.
    pub fn own_pearson(&self, data: &Correlations) -> Result<Option<f64>> {
        own_pearson(&self.trainer.state(), &self.shape.visible, data)
    }

    /// Epochs that are done.
    pub fn epoch(&self) -> usize {
        self.cursor.epoch
    }

    /// One more time through `cases` `(n, visible)`, or to the end of the epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`] when a parameter is no longer a number or too large; when memory is short.
    pub fn learn(&mut self, cases: &dyn Rows) -> Result<()> {
        self.go_on(cases, self.cursor.epoch + 1, &mut ()).map(|_| ())
    }

    /// Learns `cases` `(n, visible)` until the last epoch is done, or the observer stops it. The checkpoints that the observer is given
    /// are what [`Learner::load`] reads.
    ///
    /// # Errors
    ///
    /// As [`Learner::learn`], and when the observer errs.
    pub fn fit(
        &mut self,
        cases: &dyn Rows,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        self.go_on(cases, self.learning.epochs, observer)
    }

    fn go_on(
        &mut self,
        cases: &dyn Rows,
        until: usize,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let Learning { epochs, batch_size, learning_rate: from, momentum, sweeps, seed, .. } =
            self.learning;
        let (curve, target) = (Curve::Exponential, self.learning.target_pearson);
        let to = if target.is_some() { from } else { 0.1 * from };
        let plan = Plan {
            epochs,
            learning_rate: Schedule::Ramp { from, to, curve },
            momentum: Schedule::Constant(momentum),
            steps: Schedule::Constant(sweeps as f64),
        };
        let shuffle = Rng::new(seed).split(1);
        let weights = self.weights.as_deref();
        if weights.is_some_and(|weights| weights.len() != cases.count()) {
            return Err(Error::invalid(
                "cases",
                "those that were weighed",
                cases.count().to_string(),
            ));
        }
        let source: Box<dyn BatchSource> = match weights {
            _ if batch_size == 0 => Box::new(Whole { cases, weights }),
            Some(weights) => Box::new(Drawn { cases, weights, batch_size, shuffle }),
            None => Box::new(Shuffled { cases, batch_size, shuffle }),
        };
        let visible = &self.shape.visible;
        let data = target.map(|_| Correlations::of(visible, cases, weights)).transpose()?;
        let Self { shape, learning, machine, trainer, rng, cursor, is_reached, .. } = self;
        let measured: Vec<u32> = (0..cases.count().min(MEASURED) as u32).collect();
        let mut stage = LearnerStage {
            measured: cases.rows(&measured)?,
            fit: Fit::new(trainer, machine, &*source, &plan),
            source: &*source,
            data,
            is_reached,
            machine,
            shape,
            learning,
            until,
        };
        train::run(&mut stage, cursor, rng, observer)
    }

    /// Σ_i log p(x_i | all others) of each case `(n, visible)`, nats; differentiable. Of a machine without hidden units.
    ///
    /// # Errors
    ///
    /// For a machine with hidden units, and cases of another width.
    pub fn log_pseudo_likelihood(&self, cases: &Tensor) -> Result<Tensor> {
        PseudoLikelihood::log_likelihoods(&self.machine, cases)
    }

    /// F of each case `(n, visible)`, nats; of hidden units that are coupled with each other E where these are at their biases.
    ///
    /// # Errors
    ///
    /// For cases of another width.
    pub fn free_energy(&self, cases: &Tensor) -> Result<Tensor> {
        free_energy(&self.machine, &self.shape, cases)
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
        let layers = self.shape.layers();
        let width = layers.iter().map(|units| units.width()).sum();
        let kind = |units: &Units| std::mem::discriminant(units);
        if let Some(hidden) = layers.iter().find(|of| kind(of) != kind(&self.shape.visible)) {
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
        let widths = self.machine.layers().into_iter().map(|(layer, _)| layer.units().width());
        let offsets: Vec<u32> = widths
            .scan(0, |sum, width| Some(std::mem::replace(sum, *sum + width as u32)))
            .collect();
        let (mut edges, mut couplings) = (Vec::new(), Vec::new());
        for coupling in self.machine.couplings() {
            let &[a, b] = &coupling.layers()[..] else { continue };
            for ([i, j], weight) in coupling.pairs()? {
                edges.push([offsets[a] + i, offsets[b] + j]);
                couplings.push(weight);
            }
        }
        Ok(Graph { units, edges, couplings, fields, shape: None })
    }

    /// Writes everything to one file, whole or not at all: `layers.{i}.bias`, `couplings.{k}.weight`, chains, and what is needed to go on.
    ///
    /// # Errors
    ///
    /// For numbers that are not finite, and when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let memory = self.trainer.state();
        let how = (&self.shape, &self.learning, self.is_reached);
        checkpoint(&self.machine, memory, how, self.cursor, self.rng)?.save(path)
    }

    /// Reads what [`Learner::save`] wrote, or a checkpoint; it goes on as if it had never stopped.
    ///
    /// # Errors
    ///
    /// When the file is missing, damaged, or of another model.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let Checkpoint { tensors, record } = Checkpoint::<MachineRecord>::load(path, &Device::Cpu)?;
        let MachineRecord { model, shape, learning, rng, epoch, batch, is_reached } = record;
        if model != MODEL {
            return Err(Error::file(path, "record", "a Boltzmann machine", format!("{model:?}")));
        }
        let empty = shape.machine()?;
        for (name, var) in empty.parameters() {
            let name = shape.name_in_file(&name);
            let found = get(&tensors, &name)?;
            if found.dims() != var.dims() || found.dtype() != DType::F32 {
                let expected = format!("{:?} of f32", var.dims());
                return Err(Error::file(path, name, expected, format!("{found:?}")));
            }
            var.set(&found)?;
        }
        // Made anew, so that couplings are checked.
        let layers = empty.layers().into_iter().map(|(layer, _)| layer.try_clone());
        let couplings = empty.couplings().iter().map(Coupling::try_clone);
        let machine =
            Machine::new(layers.collect::<Result<_>>()?, couplings.collect::<Result<_>>()?)?;
        let machine = shape.masked(machine)?;
        let width = machine.rest().units().width();
        for (name, found) in without_prefix(MEMORY, &tensors) {
            let is_chain = ["negative.rests", "negative.replicas.visible"].contains(&&*name);
            if is_chain && found.dims().last() != Some(&width) {
                let expected = format!("chains of {width}");
                return Err(Error::file(path, name, expected, format!("{found:?}")));
            }
        }
        let mut learner = Self::with(shape, learning, machine, rng, Cursor { epoch, batch })?;
        learner.is_reached = is_reached;
        learner.trainer.restore(&without_prefix(MEMORY, &tensors))?;
        Ok(learner)
    }
}

impl std::fmt::Debug for Learner {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Learner")
            .field("shape", &self.shape)
            .field("learning", &self.learning)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

/// A [`Learner`] in the loop of training.
struct LearnerStage<'a> {
    fit: Fit<'a, Box<dyn NegativePhase>, Sgd>,
    source: &'a dyn BatchSource,
    machine: &'a Machine,
    shape: &'a Shape,
    learning: &'a Learning,
    measured: Tensor,
    /// What the data are like, where there is a target.
    data: Option<Correlations>,
    is_reached: &'a mut bool,
    /// The epochs after which it is over for now.
    until: usize,
}

impl Stage for LearnerStage<'_> {
    fn start(&self, from: usize) -> StageStart {
        let widths = self.shape.layers().into_iter().map(|units| units.width().to_string());
        let shape = widths.collect::<Vec<_>>().join(" + ");
        StageStart { name: "machine".into(), shape, ..self.fit.start(from) }
    }

    fn is_over(&self, epochs: usize) -> bool {
        *self.is_reached || epochs >= self.until
    }

    fn order(&self, epoch: usize) -> Batches {
        self.source.order(epoch)
    }

    fn start_epoch(&mut self, epoch: usize, batches: usize) -> Result<()> {
        self.fit.start_epoch(epoch, batches)
    }

    fn step(&mut self, indices: &[u32], at: Cursor, rng: &mut Rng) -> Result<()> {
        self.fit.step(indices, at, rng)
    }

    fn end_epoch(&mut self, metrics: EpochMetrics) -> Result<EpochMetrics> {
        let mean = |x: Tensor| -> Result<f64> {
            Ok(to_host(&x.detach().mean_all()?)?.to_scalar::<f64>()?)
        };
        let metrics = self.fit.end_epoch(metrics)?;
        let pseudo_log_likelihood = match self.shape.hidden.is_empty() {
            true => Some(mean(PseudoLikelihood::log_likelihoods(self.machine, &self.measured)?)?),
            false => None,
        };
        let mean_free_energy = mean(free_energy(self.machine, self.shape, &self.measured)?)?;
        let [pearson, resampled_pearson] = self.agreement(metrics.epoch)?;
        let machine = Some(MachineReport {
            pseudo_log_likelihood,
            mean_free_energy,
            pearson,
            resampled_pearson,
        });
        Ok(EpochMetrics { machine, ..metrics })
    }

    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint> {
        let how = (self.shape, self.learning, *self.is_reached);
        checkpoint(self.machine, self.fit.memory(), how, cursor, rng)?.untyped()
    }
}

impl LearnerStage<'_> {
    /// How far the data and the chains of the training agree, now and then; where that is as far as the target, how far chains do that are
    /// started anew. What learns is not changed by it.
    fn agreement(&mut self, epoch: usize) -> Result<[Option<f64>; 2]> {
        let (Some(data), Some(target)) = (&self.data, self.learning.target_pearson) else {
            return Ok([None; 2]);
        };
        if !epoch.is_multiple_of(CHECKED) {
            return Ok([None; 2]);
        }
        let units = &self.shape.visible;
        let own = own_pearson(&self.fit.memory(), units, data)?;
        if own.is_some_and(|own| own < target) {
            return Ok([own, None]);
        }
        let mut rng = Rng::new(self.learning.seed).split(2).split(epoch as u64);
        let count = self.learning.chains.min(RESAMPLED);
        let found = Resampled::of(self.machine, units, data, [count, RESAMPLED_SWEEPS], &mut rng)?;
        *self.is_reached = found.pearson >= target;
        Ok([own, Some(found.pearson)])
    }
}

fn own_pearson(memory: &State, units: &Units, data: &Correlations) -> Result<Option<f64>> {
    let chains = memory.get(CHAINS);
    chains.map(|chains| Correlations::of(units, chains, None)?.pearson(data)).transpose()
}

/// Everything: `layers.{i}.bias`, `couplings.{k}.weight`, and what is needed to go on.
fn checkpoint(
    machine: &Machine,
    memory: State,
    (shape, learning, is_reached): (&Shape, &Learning, bool),
    cursor: Cursor,
    rng: Rng,
) -> Result<Checkpoint<MachineRecord>> {
    let parameters = machine.parameters().into_iter();
    let parameters =
        parameters.map(|(name, var)| (shape.name_in_file(&name), var.as_detached_tensor()));
    let record = MachineRecord {
        model: MODEL.into(),
        shape: shape.clone(),
        learning: learning.clone(),
        rng,
        epoch: cursor.epoch,
        batch: cursor.batch,
        is_reached,
    };
    Ok(Checkpoint { tensors: parameters.chain(with_prefix(MEMORY, memory)).collect(), record })
}

/// F of each case `(n, visible)`, nats; of hidden units that are coupled with each other E where these are at their biases.
fn free_energy(machine: &Machine, shape: &Shape, cases: &Tensor) -> Result<Tensor> {
    if !shape.draws_hidden() {
        return machine.free_energy(cases);
    }
    let (visible, rest) = (shape.visible.width(), machine.rest().units().width());
    let none = Tensor::zeros((cases.dim(0)?, rest), DType::F32, &Device::Cpu)?;
    let hidden = machine.rest().mean(&none)?.detach().narrow(1, visible, rest - visible)?;
    machine.free_energy(&Tensor::cat(&[cases, &hidden], 1)?)
}

/// Errors unless the rest of `machine` has few enough configurations.
fn check_countable(machine: &Machine) -> Result<()> {
    let count = enumerate::count(machine.rest());
    if count.is_some_and(|count| count <= MOST_COUNTED) {
        return Ok(());
    }
    let expected = format!("at most {MOST_COUNTED} configurations");
    let found = count.map_or("more".to_owned(), |count| count.to_string());
    Err(Error::invalid("counting", expected, found))
}
