//! How a training is watched: what it tells, and what it may be told.

use rbm_core::train::Position;
use rbm_core::{Mixing, Result, monitor};
use serde::Serialize;

use super::Checkpoint;

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
    /// The next mini-batch of the stage.
    pub position: Position,
}

/// A part of the work that begins.
#[derive(Debug, Clone)]
pub struct Stage {
    /// `layer 1`, …, `classifier` or `autoencoder`.
    pub name: String,
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
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// `layer 1`, …, `classifier` or `autoencoder`.
    pub stage: String,
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

/// Someone who watches a training, keeps its checkpoints, and may stop it. Nothing that an observer does changes the result.
///
/// Every method may be left out. `()` is nobody.
///
/// ```
/// use candle_core::Device;
/// use dbn::training::{Command, Figures, Observer, Outcome, Step};
/// use dbn::{Recipe, Training};
///
/// /// A line an epoch; stops after so many mini-batches.
/// struct Lines { batches: usize }
///
/// impl Observer for Lines {
///     fn step(&mut self, _: &Step) -> dbn::Result<Command> {
///         self.batches -= 1;
///         Ok(if self.batches == 0 { Command::Stop } else { Command::Continue })
///     }
///
///     fn epoch(&mut self, figures: &Figures) -> dbn::Result<()> {
///         println!("{}: epoch {} of {}", figures.stage, figures.epoch, figures.epochs);
///         Ok(())
///     }
/// }
///
/// # fn main() -> dbn::Result<()> {
/// let digits = dbn::data::load("digits", &Default::default())?;
/// let mut training = Training::new(Recipe::named("digits")?, digits, &Device::Cpu)?;
/// assert!(matches!(training.run(&mut Lines { batches: 5 })?, Outcome::Stopped));
/// # Ok(())
/// # }
/// ```
pub trait Observer {
    /// A stage begins.
    fn stage(&mut self, stage: &Stage) -> Result<()> {
        let _ = stage;
        Ok(())
    }

    /// A mini-batch was learned. What it wants next; [`Command::Continue`] unless it says otherwise.
    fn step(&mut self, step: &Step) -> Result<Command> {
        let _ = step;
        Ok(Command::Continue)
    }

    /// An epoch is done. It comes before the [`Observer::step`] of its last mini-batch.
    fn epoch(&mut self, figures: &Figures) -> Result<()> {
        let _ = figures;
        Ok(())
    }

    /// A checkpoint was asked for, or a stage is done.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let _ = checkpoint;
        Ok(())
    }
}

/// Nobody watches.
impl Observer for () {}
