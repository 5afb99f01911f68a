//! Learning of Helmholtz machines, by wake-sleep and by reweighted wake-sleep, in the loop of all machines.

use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::estimate::monitor;
use rbm_core::learning::schedule::{Curve, Per, Schedule};
use rbm_core::learning::train::{
    self, Cursor, EpochMetrics, Observer, Stage, StageKind, StageStart,
};
use rbm_core::learning::trainer::{BatchSource, Pass, Shuffled};
use rbm_core::model::init::moments;
use rbm_core::ops::{self, Ascent};
use rbm_core::rows::Fingerprint;
use rbm_core::state::{State, get, with_prefix, without_prefix};
use rbm_core::{Adam, Batches, Checkpoint, Error, Optimizer, Result, Rng, Rows, Sgd, Stateful};
use serde::{Deserialize, Serialize};

use super::helmholtz::Helmholtz;

/// Cases that are looked at after every epoch, and guesses of each.
const MEASURED: usize = 500;
const LOOKS: usize = 10;
const MODEL: &str = "belief";
/// What stands before the names of what a training remembers.
const MEMORY: &str = "memory";
/// The most layers, and the most units of one, that a file may say.
const MOST_LAYERS: usize = 100;
const MOST_UNITS: usize = 1 << 24;

/// What the net learns from, awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BeliefMethod {
    /// All guesses count alike (Hinton, Dayan, Frey, Neal 1995).
    WakeSleep,
    /// Each counts by its weight among those of the same case (Bornschein and Bengio 2015).
    Reweighted,
}

/// When recognition learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecognitionPhase {
    /// From fantasies: samples of the net, in the sleep phase.
    Asleep,
    /// From its own reweighted guesses for real cases.
    Awake,
    /// From both, half and half.
    Both,
}

/// How a gradient becomes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam.
    Adam,
    /// Plain ascent, with momentum.
    #[serde(alias = "momentum")]
    Sgd,
}

/// How a belief net and its recognition learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeliefLearning {
    /// What the net learns from.
    pub method: BeliefMethod,
    /// When recognition learns.
    pub recognition: RecognitionPhase,
    /// Guesses for each case.
    pub samples: usize,
    /// How a gradient becomes a step.
    #[serde(alias = "optimiser")]
    pub optimizer: OptimizerKind,
    /// Times through the data.
    pub epochs: usize,
    /// Cases between updates.
    pub batch_size: usize,
    /// Of the first epoch; it falls to a tenth over the training.
    pub learning_rate: f64,
    /// The fraction of the last step that is repeated; Adam has its own.
    pub momentum: f64,
    /// What is taken of the data: their values, or zeros and ones with these probabilities, drawn anew at every turn.
    #[serde(default, skip_serializing_if = "Pass::is_mean")]
    pub pass: Pass,
    /// Seed of everything random.
    pub seed: u64,
}

impl BeliefLearning {
    /// The usual settings. Wake-sleep has one guess, and recognition learns from fantasies. Reweighted wake-sleep has five guesses, and
    /// recognition learns from these too. 100 epochs of Adam at 0.003.
    pub fn of(method: BeliefMethod) -> Self {
        let (samples, recognition) = match method {
            BeliefMethod::WakeSleep => (1, RecognitionPhase::Asleep),
            BeliefMethod::Reweighted => (5, RecognitionPhase::Both),
        };
        Self {
            method,
            recognition,
            samples,
            optimizer: OptimizerKind::Adam,
            epochs: 100,
            batch_size: 50,
            learning_rate: 0.003,
            momentum: 0.0,
            pass: Pass::Mean,
            seed: 0,
        }
    }

    /// One estimate of the gradient from `cases` `(n, observed)`, for each of [`Helmholtz::parameters`]. Reweighted, and with ever more
    /// samples, that of the net is the gradient of the mean log p(v).
    ///
    /// # Errors
    ///
    /// For cases of another width.
    pub fn ascents(
        &self,
        machine: &Helmholtz,
        cases: &Tensor,
        rng: &mut Rng,
    ) -> Result<Vec<Ascent>> {
        let guesses = machine.guesses(cases, self.samples, rng)?;
        let shares = guesses.shares(self.method == BeliefMethod::Reweighted)?;
        let mut ascents = machine.net.ascents(&guesses.configuration, &shares)?;
        if self.recognition == RecognitionPhase::Awake {
            ascents.extend(machine.recognition_ascents(&guesses.configuration, &shares)?);
            return Ok(ascents);
        }
        let count = cases.dim(0)?;
        let mut learned = machine.net.sample(count, rng)?;
        let share = Tensor::full(1.0 / count as f64, count, &Device::Cpu)?;
        let mut weights = share.to_dtype(shares.dtype())?;
        if self.recognition == RecognitionPhase::Both {
            for (fantasies, guesses) in learned.iter_mut().zip(&guesses.configuration) {
                *fantasies = Tensor::cat(&[&*fantasies, guesses], 0)?;
            }
            weights = (Tensor::cat(&[weights, shares], 0)? * 0.5)?;
        }
        ascents.extend(machine.recognition_ascents(&learned, &weights)?);
        Ok(ascents)
    }

    /// # Errors
    ///
    /// For settings that mean nothing.
    fn check(&self) -> Result<()> {
        let Self { samples, epochs, batch_size, learning_rate, momentum, .. } = *self;
        if [samples, epochs, batch_size].contains(&0) {
            let expected = "samples, epochs and cases of at least 1";
            let found = format!("{samples}, {epochs} and {batch_size}");
            return Err(Error::invalid("learning", expected, found));
        }
        let is_rate = learning_rate > 0.0 && learning_rate.is_finite();
        if !(is_rate && (0.0..1.0).contains(&momentum)) {
            let expected = "a rate above 0, and a momentum of at least 0 and below 1";
            return Err(Error::invalid(
                "learning",
                expected,
                format!("{learning_rate} and {momentum}"),
            ));
        }
        if self.optimizer == OptimizerKind::Adam && momentum != 0.0 {
            let expected = "none with Adam, which has its own";
            return Err(Error::invalid("momentum", expected, momentum.to_string()));
        }
        let learns_awake = self.recognition != RecognitionPhase::Asleep;
        if learns_awake && (self.method == BeliefMethod::WakeSleep || samples == 1) {
            let expected = "reweighted guesses, at least 2 a case: of alike ones it learns nothing";
            return Err(Error::invalid("recognition that learns awake", expected, "others"));
        }
        Ok(())
    }

    fn optimizer(&self) -> Box<dyn Optimizer> {
        match self.optimizer {
            OptimizerKind::Adam => Box::new(Adam::new(self.learning_rate)),
            OptimizerKind::Sgd => Box::new(Sgd::new(self.learning_rate)),
        }
    }

    fn rate(&self, epoch: usize) -> f64 {
        let from = self.learning_rate;
        let ramp =
            Schedule::Ramp { from, to: 0.1 * from, curve: Curve::Exponential, per: Per::Epoch };
        ramp.at(epoch, self.epochs)
    }
}

/// A Helmholtz machine in training: what goes on is all in here.
pub struct BeliefLearner {
    learning: BeliefLearning,
    machine: Helmholtz,
    optimizer: Box<dyn Optimizer>,
    rng: Rng,
    cursor: Cursor,
    /// What it began with; files of earlier versions do not say it.
    data: Option<Fingerprint>,
}

/// What stands beside the tensors in a file.
#[derive(Debug, Serialize, Deserialize)]
struct BeliefRecord {
    model: String,
    /// Of each layer, from the observed one up.
    widths: Vec<usize>,
    learning: BeliefLearning,
    rng: Rng,
    epoch: usize,
    /// Mini-batches done in the epoch.
    batch: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Fingerprint>,
}

impl BeliefLearner {
    /// A machine with hidden layers of these widths from below up. The biases of the observed units are those of the means of `cases`
    /// `(n, observed)`, weights are drawn from N(0, 1/(units on both sides)).
    ///
    /// # Errors
    ///
    /// For no cases, no hidden layer, and settings that mean nothing.
    pub fn new(hidden: &[usize], learning: BeliefLearning, cases: &dyn Rows) -> Result<Self> {
        learning.check()?;
        let widths: Vec<usize> =
            std::iter::once(cases.width()).chain(hidden.iter().copied()).collect();
        let machine = Helmholtz::zeros(&widths, DType::F32)?;
        let mut rng = Rng::new(learning.seed);
        let (mean, variance) = moments(cases)?;
        machine.net.layers[0].units.fit_moments(&mean, &variance)?;
        for layer in machine.net.layers.iter().chain(&machine.recognition) {
            let (from, width) = layer.weights.dims2()?;
            let normal = ops::normal((from, width), DType::F32, &Device::Cpu, &mut rng)?;
            layer.weights.set(&(normal / ((from + width) as f64).sqrt())?)?;
        }
        let (optimizer, data) = (learning.optimizer(), Some(Fingerprint::of(cases)?));
        Ok(Self { learning, machine, optimizer, rng, cursor: Cursor::default(), data })
    }

    /// Errors unless `cases` are what it began with; from now on, where a file did not say it.
    ///
    /// # Errors
    ///
    /// Then, and where the cases cannot be read.
    pub fn check_cases(&mut self, cases: &dyn Rows) -> Result<()> {
        Fingerprint::of(cases)?.check_or_keep(&mut self.data)
    }

    /// The machine as it is.
    pub fn machine(&self) -> &Helmholtz {
        &self.machine
    }

    /// How it learns.
    pub fn learning(&self) -> &BeliefLearning {
        &self.learning
    }

    /// Learns on to so many epochs: with the rates of a training that is so long.
    pub fn set_epochs(&mut self, epochs: usize) {
        self.learning.epochs = epochs;
    }

    /// Epochs that are done.
    pub fn epoch(&self) -> usize {
        self.cursor.epoch
    }

    /// Learns `cases` `(n, observed)` until the last epoch is done, or the observer stops it. The checkpoints that the observer is given
    /// are what [`BeliefLearner::load`] reads.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`] when a parameter is no longer a number or too large; when memory is short, and when the observer errs.
    pub fn fit(
        &mut self,
        cases: &dyn Rows,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let Self { learning, machine, optimizer, rng, cursor, data } = self;
        let (batch_size, shuffle) = (learning.batch_size, Rng::new(learning.seed).split(1));
        let measured: Vec<u32> = (0..cases.count().min(MEASURED) as u32).collect();
        let mut stage = BeliefStage {
            measured: learning
                .pass
                .of_probabilities(&cases.rows(&measured)?, &mut Rng::new(learning.seed).split(3))?,
            source: learning.pass.of_source(Box::new(Shuffled { cases, batch_size, shuffle })),
            learning,
            data,
            machine,
            optimizer,
            batches: 0,
            update_ratio: None,
        };
        train::run(&mut stage, cursor, rng, observer)
    }

    /// Writes everything to one file, whole or not at all: the parameters by name, and what is needed to go on.
    ///
    /// # Errors
    ///
    /// For numbers that are not finite, and when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let Self { learning, machine, optimizer, rng, cursor, data } = self;
        checkpoint(machine, optimizer.state(), (learning, data), *cursor, *rng).save(path)
    }

    /// Reads what [`BeliefLearner::save`] wrote, or a checkpoint; it goes on as if it had never stopped.
    ///
    /// # Errors
    ///
    /// When the file is missing, damaged, or of another model.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let Checkpoint { tensors, record } = Checkpoint::<BeliefRecord>::load(path, &Device::Cpu)?;
        let BeliefRecord { model, widths, learning, rng, epoch, batch, data } = record;
        if model != MODEL {
            return Err(Error::file(path, "record", "a belief net", format!("{model:?}")));
        }
        if widths.len() > MOST_LAYERS || widths.iter().any(|width| *width > MOST_UNITS) {
            return Err(Error::file(path, "record", "widths of layers", format!("{widths:?}")));
        }
        learning.check()?;
        // Before so much memory is taken as the record says.
        let found: Vec<(String, [usize; 2])> = widths
            .windows(2)
            .enumerate()
            .map(|(l, pair)| (format!("layers.{l}.weight"), [pair[1], pair[0]]))
            .collect();
        for (name, shape) in found {
            let tensor = get(&tensors, &name)?;
            if tensor.dims() != shape {
                return Err(Error::file(path, name, format!("{shape:?}"), format!("{tensor:?}")));
            }
        }
        let machine = Helmholtz::zeros(&widths, DType::F32)?;
        for (name, var) in machine.parameters() {
            let tensor = get(&tensors, &name)?;
            if tensor.dims() != var.dims() || tensor.dtype() != DType::F32 {
                let expected = format!("{:?} of f32", var.dims());
                return Err(Error::file(path, name, expected, format!("{tensor:?}")));
            }
            var.set(&tensor)?;
        }
        let mut optimizer = learning.optimizer();
        optimizer.restore(&without_prefix(MEMORY, &tensors))?;
        Ok(Self { learning, machine, optimizer, rng, cursor: Cursor { epoch, batch }, data })
    }
}

impl std::fmt::Debug for BeliefLearner {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("BeliefLearner")
            .field("widths", &self.machine.net.widths())
            .field("learning", &self.learning)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

/// A [`BeliefLearner`] in the loop of training.
struct BeliefStage<'a> {
    source: Box<dyn BatchSource + 'a>,
    measured: Tensor,
    learning: &'a BeliefLearning,
    data: &'a Option<Fingerprint>,
    machine: &'a Helmholtz,
    optimizer: &'a mut Box<dyn Optimizer>,
    /// Mini-batches of the epoch.
    batches: usize,
    /// Mean |ΔW| / mean |W| of the epoch's last step, of the weights to the observed units.
    update_ratio: Option<f64>,
}

impl Stage for BeliefStage<'_> {
    fn start(&self, from: usize) -> StageStart {
        let widths: Vec<String> = self.machine.net.widths().iter().map(usize::to_string).collect();
        StageStart {
            kind: StageKind::BeliefNet,
            shape: widths.join(" ← "),
            epochs: self.learning.epochs,
            from,
            cases: self.source.count(),
        }
    }

    fn is_over(&self, epochs: usize) -> bool {
        epochs >= self.learning.epochs
    }

    fn order(&self, epoch: usize) -> Batches {
        self.source.order(epoch)
    }

    fn start_epoch(&mut self, _: usize, batches: usize) -> Result<()> {
        self.batches = batches;
        Ok(())
    }

    fn step(&mut self, indices: &[u32], at: Cursor, rng: &mut Rng) -> Result<()> {
        let cases = self.source.batch(indices, rng)?;
        let ascents = self.learning.ascents(self.machine, &cases, rng)?;
        let weights = &self.machine.net.layers[0].weights;
        let before = match at.batch + 1 == self.batches {
            true => Some(weights.as_detached_tensor().copy()?),
            false => None,
        };
        self.optimizer.set_rates(self.learning.rate(at.epoch), self.learning.momentum);
        let parameters = parameters(self.machine);
        self.optimizer.ascend(&parameters, &ascents)?;
        let ratio = before.map(|before| monitor::update_ratio(&before, weights));
        self.update_ratio = ratio.transpose()?;
        Ok(())
    }

    fn end_epoch(&mut self, metrics: EpochMetrics) -> Result<EpochMetrics> {
        monitor::check_parameters(parameters(self.machine))?;
        // Of its own, so that looking changes nothing.
        let mut rng = Rng::new(self.learning.seed).split(2).split(metrics.epoch as u64);
        let found = self.machine.importance_weighted(&self.measured, LOOKS, &mut rng, |_| true)?;
        let mean = found.iter().sum::<f64>() / found.len().max(1) as f64;
        Ok(EpochMetrics {
            learning_rate: self.learning.rate(metrics.epoch - 1),
            momentum: self.learning.momentum,
            update_ratio: self.update_ratio,
            importance_weighted: Some(mean),
            ..metrics
        })
    }

    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint> {
        monitor::check_parameters(parameters(self.machine))?;
        let how = (self.learning, self.data);
        checkpoint(self.machine, self.optimizer.state(), how, cursor, rng).untyped()
    }
}

/// Every parameter, in the order of their names.
fn parameters(machine: &Helmholtz) -> Vec<&Var> {
    machine.parameters().into_iter().map(|(_, var)| var).collect()
}

/// Everything: the parameters by name, and what is needed to go on.
fn checkpoint(
    machine: &Helmholtz,
    memory: State,
    (learning, data): (&BeliefLearning, &Option<Fingerprint>),
    cursor: Cursor,
    rng: Rng,
) -> Checkpoint<BeliefRecord> {
    let parameters = machine.parameters().into_iter();
    let parameters = parameters.map(|(name, var)| (name, var.as_detached_tensor()));
    let record = BeliefRecord {
        model: MODEL.into(),
        widths: machine.net.widths(),
        learning: learning.clone(),
        rng,
        epoch: cursor.epoch,
        batch: cursor.batch,
        data: data.clone(),
    };
    Checkpoint { tensors: parameters.chain(with_prefix(MEMORY, memory)).collect(), record }
}
