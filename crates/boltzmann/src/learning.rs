//! Learning of Boltzmann machines with lateral couplings: among the visible units, among the hidden ones, between both.
//!
//! Ackley, Hinton, Sejnowski 1985: the gradient of the log-likelihood is what the machine is with the data clamped, less what it is when
//! it runs freely. Phases, optimiser and loop are those of every machine in `rbm_core::learning`.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rbm_core::estimate::monitor::Activity;
use rbm_core::estimate::{Correlations, pseudo_likelihoods, stochastic_pseudo_likelihood};
use rbm_core::learning::negative::NegativePhase;
use rbm_core::learning::schedule::Schedule;
use rbm_core::learning::train::{
    self, Cursor, EpochMetrics, MachineReport, Observer, Stage, StageKind, StageStart,
};
use rbm_core::learning::trainer::{BatchSource, Fit, Plan};
use rbm_core::model::{Boltzmann, Coupling, Machine};
use rbm_core::rows::Fingerprint;
use rbm_core::state::{State, get, with_prefix, without_prefix};
use rbm_core::{Batches, Checkpoint, Error, Rbm, Result, Rng, Rows, Sgd, Stateful, Trainer};
use serde::{Deserialize, Serialize};

use crate::activity::look;
use crate::pretraining::{Greedy, PretrainingProgress, compose};
use crate::resampling::{self, Resampled, own_pearson};
pub use crate::settings::{Learning, Negative};
use crate::settings::{data_of, has_pseudo_likelihood};
pub use crate::shape::Shape;
use crate::start;

/// Cases that are looked at after every epoch.
const MEASURED: usize = 1000;
/// Epochs between two looks at the target; the most chains that are started anew for it, and their sweeps.
const CHECKED: usize = 20;
const RESAMPLED: usize = 2000;
const RESAMPLED_SWEEPS: usize = 500;
/// The stream that chooses whose pseudo-likelihood is looked at.
const PSEUDO_LIKELIHOOD: u64 = 7;
const MODEL: &str = "boltzmann";
/// What stands before the names of what a training remembers.
const MEMORY: &str = "memory";

/// A machine in training: what goes on is all in here.
pub struct Learner {
    shape: Shape,
    learning: Learning,
    machine: Machine,
    /// The layers that learn one by one, until they are composed.
    greedy: Option<Greedy>,
    trainer: Trainer<Box<dyn NegativePhase>, Sgd>,
    rng: Rng,
    cursor: Cursor,
    /// How much each case counts.
    weights: Option<Arc<[f32]>>,
    /// What it began with; files of earlier versions do not say it.
    data: Option<Fingerprint>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Fingerprint>,
    #[serde(default)]
    is_reached: bool,
    /// Layers that have learned, while layers learn one by one: epoch and mini-batch are then of the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pretrained: Option<usize>,
}

/// What a training is of, beside the numbers that it has learned.
#[derive(Clone, Copy)]
struct Setup<'a> {
    shape: &'a Shape,
    learning: &'a Learning,
    data: &'a Option<Fingerprint>,
    is_reached: bool,
}

impl Learner {
    /// A machine whose visible biases are those of the means of `cases` `(n, visible)`, with small random weights to hidden units. Couplings of
    /// measurements begin at those of a normal distribution.
    ///
    /// # Errors
    ///
    /// For shapes that do not fit, settings that mean nothing, and methods that the shape does not allow.
    pub fn new(shape: Shape, learning: Learning, cases: &dyn Rows) -> Result<Self> {
        learning.check(&shape)?;
        let width = shape.observed();
        if cases.count() == 0 || cases.width() != width {
            let found = format!("{} of {}", cases.count(), cases.width());
            return Err(Error::invalid("cases", format!("at least one of {width} columns"), found));
        }
        let machine = shape.machine()?;
        let mut rng = Rng::new(learning.seed);
        start::fit_observed(&machine, &shape, cases, None)?;
        start::draw_weights(&machine, &shape, &mut rng)?;
        let data = Some(Fingerprint::of(cases)?);
        Ok(Self { rng, data, ..Self::of_machine(shape, learning, machine)? })
    }

    /// One of `machine` as it is.
    pub(crate) fn of_machine(shape: Shape, learning: Learning, machine: Machine) -> Result<Self> {
        let trainer = learning.trainer(&shape, &machine)?;
        let greedy = match learning.pretraining_epochs {
            0 => None,
            _ => Some(Greedy::new(&shape, &learning)?),
        };
        let (rng, cursor) = (Rng::new(learning.seed), Cursor::default());
        let (weights, data, is_reached) = (None, None, false);
        Ok(Self {
            shape,
            learning,
            machine,
            greedy,
            trainer,
            rng,
            cursor,
            weights,
            data,
            is_reached,
        })
    }

    /// Takes all epochs for done.
    pub(crate) fn finish(&mut self) {
        self.cursor = Cursor { epoch: self.learning.epochs, batch: 0 };
    }

    /// Begins at `lowest`, a restricted machine that has learned, in its two lowest layers: couplings above these begin near 0 and biases at 0, so
    /// that p(v) is nearly that of `lowest`.
    ///
    /// # Errors
    ///
    /// Unless the units are those of `lowest`, coupled with each other alone, and nothing has been learned or is to be pre-trained.
    pub fn begin_at(&mut self, lowest: &Rbm) -> Result<()> {
        if self.greedy.is_some() || self.cursor != Cursor::default() {
            let expected = "a machine that has learned nothing, and pretraining_epochs = 0";
            return Err(Error::invalid("where a deep machine begins", expected, "another"));
        }
        start::begin_at(&self.machine, &self.shape, lowest, &mut self.rng)?;
        self.trainer = self.learning.trainer(&self.shape, &self.machine)?;
        Ok(())
    }

    /// Errors unless `cases`, and how much they count, are what it began with; from now on, where a file did not say it.
    ///
    /// # Errors
    ///
    /// Then, and where the cases cannot be read.
    pub fn check_cases(&mut self, cases: &dyn Rows, weights: Option<&[f32]>) -> Result<()> {
        data_of(cases, weights)?.check_or_keep(&mut self.data)
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
        self.data = Some(data_of(cases, Some(&weights))?);
        if self.epochs_in_all() == 0 && self.cursor == Cursor::default() {
            start::fit_observed(&self.machine, &self.shape, cases, Some(&weights))?;
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

    /// Learns on to so many epochs: with the rates of a training that is so long.
    pub fn set_epochs(&mut self, epochs: usize) {
        self.learning.epochs = epochs;
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

    /// Epochs of all layers together that are done.
    pub fn epoch(&self) -> usize {
        self.cursor.epoch
    }

    /// Epochs that are done, those of pre-training too.
    pub fn epochs_in_all(&self) -> usize {
        match &self.greedy {
            Some(greedy) => greedy.epochs(&self.learning),
            None => self.learning.pretraining_epochs * self.shape.hidden.len() + self.cursor.epoch,
        }
    }

    /// One more time through `cases` `(n, observed)`, or to the end of the epoch; of one layer, while layers learn one by one.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`] when a parameter is no longer a number or too large; when memory is short.
    pub fn learn(&mut self, cases: &dyn Rows) -> Result<()> {
        match self.greedy.is_some() {
            true => self.pretrain(cases, Some(1), &mut ()).map(|_| ()),
            false => self.go_on(cases, self.cursor.epoch + 1, &mut ()).map(|_| ()),
        }
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
        while self.greedy.is_some() {
            if self.pretrain(cases, None, observer)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.go_on(cases, self.learning.epochs, observer)
    }

    /// The next layer learns, for so many epochs or to its end. When all have learned they are composed.
    fn pretrain(
        &mut self,
        cases: &dyn Rows,
        epochs: Option<usize>,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let source = self.learning.source(cases, self.weights.as_deref())?;
        let Self { shape, learning, machine, greedy, trainer, rng, data, .. } = self;
        let Some(layers) = greedy else { return Ok(ControlFlow::Continue(())) };
        let how = Setup { shape, learning, data, is_reached: false };
        let kept = |progress: PretrainingProgress, cursor, rng| {
            checkpoint(machine, how, State::new(), Some(progress), cursor, rng)?.untyped()
        };
        let ended =
            layers.learn((shape, learning), (cases, source), epochs, rng, observer, &kept)?;
        if let Some(machines) = layers.finished() {
            machine.copy_from(&compose(shape, machines)?)?;
            // Nothing of what was remembered before holds for the new parameters.
            *trainer = learning.trainer(shape, machine)?;
            *greedy = None;
        }
        Ok(ended)
    }

    fn go_on(
        &mut self,
        cases: &dyn Rows,
        until: usize,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let Learning { epochs, momentum, sweeps, target_pearson: target, .. } = self.learning;
        let plan = Plan {
            epochs,
            learning_rate: self.learning.rate(),
            momentum: Schedule::Constant(momentum),
            steps: Schedule::Constant(sweeps as f64),
        };
        let weights = self.weights.as_deref();
        let source = self.learning.source(cases, weights)?;
        let visible = &self.shape.visible;
        let data = target.map(|_| resampling::aim(visible, cases, weights)).transpose()?;
        let Self {
            shape,
            learning,
            machine,
            trainer,
            rng,
            cursor,
            data: began_with,
            is_reached,
            ..
        } = self;
        let measured: Vec<u32> = (0..cases.count().min(MEASURED) as u32).collect();
        let mut stage = LearnerStage {
            measured: learning
                .pass
                .of_probabilities(&cases.rows(&measured)?, &mut Rng::new(learning.seed).split(5))?,
            fit: Fit::new(trainer, machine, &*source, &plan),
            source: &*source,
            data,
            began_with,
            is_reached,
            machine,
            shape,
            learning,
            until,
        };
        train::run(&mut stage, cursor, rng, observer)
    }

    /// Σ_i log p(x_i | all other observed units) of each case `(n, visible)`, nats: hidden units are summed out. None where these are
    /// coupled with each other, for measurements beside hidden units, and for machines that learn labels.
    ///
    /// # Errors
    ///
    /// For cases of another width.
    pub fn pseudo_likelihoods(&self, cases: &Tensor) -> Result<Option<Vec<f64>>> {
        match self.has_pseudo_likelihood() {
            true => Ok(Some(pseudo_likelihoods(&self.machine, cases)?)),
            false => Ok(None),
        }
    }

    /// Whether [`Learner::pseudo_likelihoods`] has any.
    pub fn has_pseudo_likelihood(&self) -> bool {
        has_pseudo_likelihood(&self.machine, &self.shape)
    }

    /// `count` configurations of the visible units after so many sweeps from their own biases, `(count, visible)`.
    ///
    /// # Errors
    ///
    /// When memory is short.
    pub fn samples(&self, count: usize, sweeps: usize, rng: &mut Rng) -> Result<Tensor> {
        let width = self.shape.visible.width();
        resampling::samples(&self.machine, width, [count, sweeps], rng, &mut |_| true)
    }

    /// Writes everything to one file, whole or not at all: `layers.{i}.bias`, `couplings.{k}.weight`, chains, and what is needed to go on.
    ///
    /// # Errors
    ///
    /// For numbers that are not finite, and when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let Self { shape, learning, data, is_reached, .. } = self;
        let how = Setup { shape, learning, data, is_reached: *is_reached };
        let (progress, cursor) = match &self.greedy {
            Some(greedy) => (Some(greedy.progress()), greedy.cursor()),
            None => (None, self.cursor),
        };
        let memory = self.trainer.state();
        checkpoint(&self.machine, how, memory, progress, cursor, self.rng)?.save(path)
    }

    /// Reads what [`Learner::save`] wrote, or a checkpoint; it goes on as if it had never stopped.
    ///
    /// # Errors
    ///
    /// When the file is missing, damaged, or of another model.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let Checkpoint { tensors, record } = Checkpoint::<MachineRecord>::load(path, &Device::Cpu)?;
        let MachineRecord {
            model,
            shape,
            learning,
            rng,
            epoch,
            batch,
            data,
            is_reached,
            pretrained,
        } = record;
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
        let mut trainer = learning.trainer(&shape, &machine)?;
        let (cursor, memory) = (Cursor { epoch, batch }, without_prefix(MEMORY, &tensors));
        let (cursor, greedy) = match pretrained {
            Some(layers) => {
                let at = (layers, cursor);
                let greedy = Greedy::restored(&shape, &learning, at, &tensors, &memory)?;
                (Cursor::default(), Some(greedy))
            }
            None => {
                trainer.restore(&memory)?;
                (cursor, None)
            }
        };
        Ok(Self {
            shape,
            learning,
            machine,
            greedy,
            trainer,
            rng,
            cursor,
            weights: None,
            data,
            is_reached,
        })
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
    began_with: &'a Option<Fingerprint>,
    is_reached: &'a mut bool,
    /// The epochs after which it is over for now.
    until: usize,
}

impl Stage for LearnerStage<'_> {
    fn start(&self, from: usize) -> StageStart {
        let widths = self.shape.layers().into_iter().map(|units| units.width().to_string());
        let shape = widths.collect::<Vec<_>>().join(" + ");
        StageStart { kind: StageKind::Machine, shape, ..self.fit.start(from) }
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
        let metrics = self.fit.end_epoch(metrics)?;
        let has_chains =
            !matches!(self.learning.negative, Negative::Exact | Negative::PseudoLikelihood);
        let pseudo_log_likelihood = match has_pseudo_likelihood(self.machine, self.shape) {
            true => {
                // The same units of the same cases at every epoch.
                let mut rng = Rng::new(self.learning.seed).split(PSEUDO_LIKELIHOOD);
                Some(stochastic_pseudo_likelihood(self.machine, &self.measured, &mut rng)?)
            }
            false => None,
        };
        let (mean_free_energy, hidden_layers) =
            look(self.machine, self.shape, self.learning.posterior, &self.measured)?;
        let [pearson, resampled_pearson] = self.agreement(metrics.epoch)?;
        let machine = MachineReport {
            pseudo_log_likelihood,
            mean_free_energy,
            hidden_layers,
            pearson,
            resampled_pearson,
        };
        let is_last = *self.is_reached || metrics.epoch >= metrics.epochs;
        let warnings = if is_last { self.warnings(&machine.hidden_layers) } else { Vec::new() };
        let k = metrics.k.filter(|_| has_chains);
        Ok(EpochMetrics { k, machine: Some(machine), warnings, ..metrics })
    }

    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint> {
        let Self { shape, learning, began_with: data, is_reached, .. } = &*self;
        let how = Setup { shape, learning, data, is_reached: **is_reached };
        checkpoint(self.machine, how, self.fit.memory(), None, cursor, rng)?.untyped()
    }
}

impl LearnerStage<'_> {
    /// What is wrong with the hidden layers, a sentence each.
    fn warnings(&self, layers: &[Activity]) -> Vec<String> {
        let name = |k: usize| match layers.len() {
            1 => "hidden units".to_owned(),
            _ => format!("units of hidden layer {}", k + 1),
        };
        let layers = layers.iter().zip(&self.shape.hidden).enumerate();
        layers.flat_map(|(k, (layer, units))| layer.warnings(&name(k), units.width())).collect()
    }

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

/// Everything: `layers.{i}.bias`, `couplings.{k}.weight`, and what is needed to go on.
fn checkpoint(
    machine: &Machine,
    Setup { shape, learning, data, is_reached }: Setup,
    memory: State,
    progress: Option<PretrainingProgress>,
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
        data: data.clone(),
        is_reached,
        pretrained: progress.as_ref().map(|progress| progress.layers),
    };
    let (greedy, memory) = match progress {
        Some(progress) => (progress.parameters, progress.memory),
        None => (State::new(), memory),
    };
    let tensors = parameters.chain(greedy).chain(with_prefix(MEMORY, memory)).collect();
    Ok(Checkpoint { tensors, record })
}
