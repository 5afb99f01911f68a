//! The training loop, written once: epochs, mini-batches, an observer, checkpoints.
//!
//! A training is one [`Stage`] after the other: a layer that learns, backpropagation, up-down. [`run`] takes a stage from a
//! [`Cursor`] to its end, tells an [`Observer`] of every mini-batch and epoch, and takes checkpoints when it asks for them.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::estimate::monitor::{self, Activity};
use crate::{Batches, Checkpoint, Error, Mixing, Result, Rng};

/// The next mini-batch to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// Epochs done.
    pub epoch: usize,
    /// Mini-batches done in this epoch.
    pub batch: usize,
}

impl Cursor {
    /// # Errors
    ///
    /// When the mini-batch is not one of `order`, as after a change of the batch size.
    fn check(&self, order: &Batches) -> Result<()> {
        if self.batch < order.len() {
            return Ok(());
        }
        let expected = format!("a mini-batch below the epoch's {}", order.len());
        Err(Error::invalid("the place to go on", expected, self.batch.to_string()))
    }
}

/// One part of a training: a layer that learns, up-down, backpropagation.
pub trait Stage {
    /// What an observer gets before it begins, or goes on from epoch `from`.
    fn start(&self, from: usize) -> StageStart;

    /// Whether nothing is left to do after so many epochs.
    fn is_over(&self, epochs: usize) -> bool;

    /// The mini-batches of `epoch`. They depend on the epoch's number alone, so that a training can go on in the middle of it.
    fn order(&self, epoch: usize) -> Batches;

    /// Sets the rates of an epoch of so many mini-batches.
    ///
    /// # Errors
    ///
    /// When the rates cannot be set.
    fn start_epoch(&mut self, epoch: usize, batches: usize) -> Result<()>;

    /// Learns from the cases with the numbers `indices`, mini-batch `at.batch` of epoch `at.epoch`.
    ///
    /// # Errors
    ///
    /// When the cases cannot be read, or do not fit what learns.
    fn step(&mut self, indices: &[u32], at: Cursor, rng: &mut Rng) -> Result<()>;

    /// What the epoch came to whose last mini-batch has been learned. `metrics` has its number and its time.
    ///
    /// # Errors
    ///
    /// When what learns has diverged.
    fn end_epoch(&mut self, metrics: EpochMetrics) -> Result<EpochMetrics>;

    /// All that is needed to go on from `cursor` with the generator `rng`.
    ///
    /// # Errors
    ///
    /// When what learns has diverged: no checkpoint is taken of that.
    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint>;
}

/// Takes `stage` from `cursor` on to its end, or until the observer stops it: then it breaks. `cursor` and `rng` are left where a later
/// call goes on.
///
/// # Errors
///
/// When the stage or the observer errs, and when `cursor` is no place of the stage.
pub fn run(
    stage: &mut dyn Stage,
    cursor: &mut Cursor,
    rng: &mut Rng,
    observer: &mut dyn Observer,
) -> Result<ControlFlow<()>> {
    let start = stage.start(cursor.epoch);
    observer.stage(&start)?;
    while !stage.is_over(cursor.epoch) {
        let epoch = cursor.epoch;
        let span = tracing::debug_span!("epoch", epoch);
        let _entered = span.enter();
        let order = stage.order(epoch);
        cursor.check(&order)?;
        stage.start_epoch(epoch, order.len())?;
        let (clock, mut seen) = (Instant::now(), 0);
        for (batch, indices) in order.indices().enumerate().skip(cursor.batch) {
            stage.step(indices, Cursor { epoch, batch }, rng)?;
            tracing::trace!(epoch, batch, "step");
            seen += indices.len();
            *cursor = Cursor { epoch, batch: batch + 1 };
            if cursor.batch == order.len() {
                *cursor = Cursor { epoch: epoch + 1, batch: 0 };
                let seconds = clock.elapsed().as_secs_f64();
                let metrics = stage.end_epoch(EpochMetrics {
                    stage: start.kind,
                    epoch: epoch + 1,
                    epochs: start.epochs,
                    seconds,
                    cases_per_second: seen as f64 / seconds.max(1e-9),
                    ..EpochMetrics::default()
                })?;
                tracing::debug!(epoch, update_ratio = metrics.update_ratio, "epoch done");
                observer.epoch(&metrics)?;
            }
            let command = observer.step(&Step { cases: indices.len(), cursor: *cursor })?;
            if command != Command::Continue {
                observer.checkpoint(&stage.checkpoint(*cursor, *rng)?)?;
            }
            if command == Command::Stop {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// What the observer of a training wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Nothing: go on.
    Continue,
    /// A checkpoint, then go on.
    Checkpoint,
    /// A checkpoint, then stop.
    Stop,
}

/// The step that has just been made.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Cases in the mini-batch.
    pub cases: usize,
    /// The next mini-batch of the stage: after the last one of an epoch, the first of the next epoch.
    pub cursor: Cursor,
}

/// A stage that begins or goes on.
#[derive(Debug, Clone, Default)]
pub struct StageStart {
    /// What learns.
    pub kind: StageKind,
    /// `64 → 256`.
    pub shape: String,
    /// The most epochs it takes.
    pub epochs: usize,
    /// The first epoch, when a training goes on.
    pub from: usize,
    /// Cases in an epoch.
    pub cases: usize,
}

/// What an epoch came to: a line of `metrics.jsonl`. What was not measured is left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EpochMetrics {
    /// [`StageStart::kind`].
    pub stage: StageKind,
    /// Epochs done in this stage.
    pub epoch: usize,
    /// The most epochs of this stage.
    pub epochs: usize,
    /// Wall-clock seconds of the part of the epoch that ran in this process.
    pub seconds: f64,
    /// Cases learned from per second.
    pub cases_per_second: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The momentum.
    pub momentum: f64,
    /// The Gibbs steps of the negative phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// Mean |ΔW| / mean |W| of the last step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_ratio: Option<f64>,
    /// The largest singular values of W, now and then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub singular_values: Option<Vec<f64>>,
    /// What the machine looks like.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub report: Option<monitor::Report>,
    /// What a machine looks like that is not restricted.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineReport>,
    /// The mean over training cases of an importance-weighted estimate of log p(v) of a belief net, nats; in expectation a lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance_weighted: Option<f64>,
    /// What is wrong with a layer that has learned, in its last epoch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How well the chains mix that fantasies come from.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub mixing: Option<Mixing>,
    /// Mean −log p of what the fine-tuned network learns to say, on the training cases while learning, nats; with what units are
    /// left out and how cases are moved, so more than the same of cases as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Errors of the classifier on the validation part, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_error: Option<f64>,
    /// Root of the mean squared error of the regressor on the validation part, in the units of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_rmse: Option<f64>,
    /// Squared error of the autoencoder on the validation part, summed over a case's values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_squared_error: Option<f64>,
    /// Mean −log p on the validation part, nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
}

/// How far a machine of any shape has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineReport {
    /// The mean of Σ log p(x_i | all other observed units) over training cases, nats, where it is known. Exact without hidden units; beside
    /// them an unbiased estimate by one unit of each case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudo_log_likelihood: Option<f64>,
    /// The mean free energy of training cases, nats; where hidden units are coupled with each other what mean field finds, which is not below it.
    pub mean_free_energy: f64,
    /// How active each hidden layer is over training cases, from the bottom up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden_layers: Vec<Activity>,
    /// Pearson's correlation between connected correlations of two units among the data and among the chains of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pearson: Option<f64>,
    /// The same of chains that were started anew, independently of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resampled_pearson: Option<f64>,
}

/// Someone who watches a training, keeps its checkpoints, and may stop it. Nothing that an observer does changes the result.
///
/// Every method may be left out. `()` is nobody.
///
/// ```
/// use rbm_core::learning::train::{Command, EpochMetrics, Observer, Step};
///
/// /// A line an epoch; stops after so many mini-batches.
/// struct Lines { batches: usize }
///
/// impl Observer for Lines {
///     fn step(&mut self, _: &Step) -> rbm_core::Result<Command> {
///         self.batches -= 1;
///         Ok(if self.batches == 0 { Command::Stop } else { Command::Continue })
///     }
///
///     fn epoch(&mut self, metrics: &EpochMetrics) -> rbm_core::Result<()> {
///         println!("{}: epoch {} of {}", metrics.stage, metrics.epoch, metrics.epochs);
///         Ok(())
///     }
/// }
/// ```
pub trait Observer {
    /// A stage begins.
    ///
    /// # Errors
    ///
    /// Whatever stops the training.
    fn stage(&mut self, start: &StageStart) -> Result<()> {
        let _ = start;
        Ok(())
    }

    /// A mini-batch was learned. What it wants next; [`Command::Continue`] unless it says otherwise.
    ///
    /// # Errors
    ///
    /// Whatever stops the training.
    fn step(&mut self, step: &Step) -> Result<Command> {
        let _ = step;
        Ok(Command::Continue)
    }

    /// An epoch is done. It comes before the [`Observer::step`] of its last mini-batch.
    ///
    /// # Errors
    ///
    /// Whatever stops the training.
    fn epoch(&mut self, metrics: &EpochMetrics) -> Result<()> {
        let _ = metrics;
        Ok(())
    }

    /// A checkpoint was asked for, or a stage is done.
    ///
    /// # Errors
    ///
    /// Whatever stops the training.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let _ = checkpoint;
        Ok(())
    }
}

/// Nobody watches.
impl Observer for () {}

/// What a stage of a training learns. In files it is its text: `layer 1`, …, `machine`, `belief net`, `up-down`, `classifier`, `regressor` or
/// `autoencoder`.
///
/// ```
/// use rbm_core::learning::train::StageKind;
///
/// assert_eq!(StageKind::Layer(0).to_string(), "layer 1");
/// assert_eq!("up-down".parse::<StageKind>()?, StageKind::UpDown);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub enum StageKind {
    /// One machine of a stack learns from what those below it make of the data; 0 is the lowest.
    Layer(usize),
    /// A machine learns that is no layer of a stack.
    #[default]
    Machine,
    /// A belief net and its recognition learn.
    BeliefNet,
    /// All layers learn together by up-down.
    UpDown,
    /// The unrolled network learns the classes by backpropagation.
    Classifier,
    /// The unrolled network learns to predict a measurement by backpropagation.
    Regressor,
    /// The network unrolled both ways learns to find each case again from its code, by backpropagation.
    Autoencoder,
}

const LAYER: &str = "layer ";

/// Those without a number, and their texts.
const NAMED: [(StageKind, &str); 6] = [
    (StageKind::Machine, "machine"),
    (StageKind::BeliefNet, "belief net"),
    (StageKind::UpDown, "up-down"),
    (StageKind::Classifier, "classifier"),
    (StageKind::Regressor, "regressor"),
    (StageKind::Autoencoder, "autoencoder"),
];

impl StageKind {
    /// Whether a network learns by backpropagation.
    pub fn is_network(self) -> bool {
        matches!(self, Self::Classifier | Self::Regressor | Self::Autoencoder)
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Layer(layer) = self {
            return f.pad(&format!("{LAYER}{}", layer + 1));
        }
        let named = NAMED.iter().find(|(kind, _)| kind == self);
        f.pad(named.map_or("", |(_, text)| text))
    }
}

impl FromStr for StageKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = text.strip_prefix(LAYER).and_then(|number| number.parse::<usize>().ok());
        let layer = number.and_then(|number| number.checked_sub(1)).map(Self::Layer);
        let named = NAMED.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind);
        layer.or(named).ok_or_else(|| {
            let names: Vec<_> = NAMED.iter().map(|(_, name)| *name).collect();
            Error::invalid("a stage of a training", format!("layer N, {}", names.join(", ")), text)
        })
    }
}

impl TryFrom<String> for StageKind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<StageKind> for String {
    fn from(kind: StageKind) -> Self {
        kind.to_string()
    }
}
