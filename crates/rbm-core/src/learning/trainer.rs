//! One machine that learns: gradient, transforms, optimiser.

use std::ops::ControlFlow;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::negative::StepOutcome;
use super::train::{self, Cursor, EpochMetrics, Observer, Stage, StageStart};
use crate::estimate::monitor;
use crate::sampling::Imputation;
use crate::state::{State, get, with_prefix, without_prefix};
use crate::{
    Averages, Batches, Checkpoint, Gradient, NegativePhase, Optimizer, Phase, Rbm, Result, Rng,
    Rows, Schedule, Stateful, Transform,
};

/// Everything that learns: where fantasies come from, what is done to the gradient, how it becomes a step.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use rbm_core::learning::train::Cursor;
/// use rbm_core::learning::trainer::{Plan, Shuffled};
/// use rbm_core::learning::transform::WeightDecay;
/// use rbm_core::{ContrastiveDivergence, Rbm, Rng, Schedule, Sgd, Trainer};
///
/// let cases = Tensor::new(&[[1f32, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]], &Device::Cpu)?;
/// let mut rng = Rng::new(0);
/// let rbm = Rbm::bernoulli(&cases, 4, &mut rng)?;
/// let mut trainer = Trainer::new(ContrastiveDivergence::new(1), Sgd::new(0.1));
/// trainer.transforms.push(Box::new(WeightDecay { l1: 0.0, l2: 1e-4 }));
///
/// // A mini-batch at a time, by hand:
/// trainer.step(&rbm, &cases, &mut rng)?;
///
/// // Or epoch after epoch, watched by nobody:
/// let source = Shuffled { cases: &cases, batch_size: 2, shuffle: rng.split(1) };
/// let plan = Plan {
///     epochs: 10,
///     learning_rate: Schedule::Constant(0.1),
///     momentum: Schedule::Steps(vec![(0, 0.5), (5, 0.9)]),
///     steps: Schedule::Constant(1.0),
/// };
/// let mut cursor = Cursor::default();
/// let ended = trainer.fit(&rbm, &source, &plan, &mut cursor, &mut rng, &mut ())?;
/// assert!(ended.is_continue());
/// assert_eq!(cursor, Cursor { epoch: 10, batch: 0 });
/// # Ok::<(), rbm_core::Error>(())
/// ```
pub struct Trainer<N, O> {
    /// The source of the negative phase.
    pub negative: N,
    /// Applied to the gradient in this order.
    pub transforms: Vec<Box<dyn Transform>>,
    /// Turns the gradient into a step.
    pub optimizer: O,
    /// How values that are missing in cases, NaN, are drawn before each step; without it none may be missing.
    pub imputation: Option<Imputation>,
}

/// The numbers of a training: how long, in what portions, how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How many times to go through the data.
    pub epochs: usize,
    /// The learning rate.
    pub learning_rate: Schedule,
    /// The momentum.
    pub momentum: Schedule,
    /// k, the Gibbs steps of the negative phase.
    pub steps: Schedule,
}

/// Where the cases of each epoch come from.
pub trait BatchSource {
    /// Cases in an epoch.
    fn count(&self) -> usize;

    /// The mini-batches of `epoch`; they depend on its number alone.
    fn order(&self, epoch: usize) -> Batches;

    /// The visible configurations `(size, visible)` of the cases with these numbers.
    ///
    /// # Errors
    ///
    /// When the cases cannot be read.
    fn batch(&self, indices: &[u32], rng: &mut Rng) -> Result<Tensor>;
}

/// Cases, a tensor `(n, visible)` or any others, shuffled anew in every epoch.
#[derive(Debug, Clone)]
pub struct Shuffled<'a> {
    /// `(n, visible)`.
    pub cases: &'a dyn Rows,
    /// Cases in a mini-batch.
    pub batch_size: usize,
    /// Where the shuffles come from; it is split by the epoch's number.
    pub shuffle: Rng,
}

impl BatchSource for Shuffled<'_> {
    fn count(&self) -> usize {
        self.cases.count()
    }

    fn order(&self, epoch: usize) -> Batches {
        Batches::new(self.cases.count(), self.batch_size)
            .shuffled(&mut self.shuffle.split(epoch as u64))
    }

    fn batch(&self, indices: &[u32], _: &mut Rng) -> Result<Tensor> {
        self.cases.rows(indices)
    }
}

impl<N: NegativePhase, O: Optimizer> Trainer<N, O> {
    /// A trainer without transforms.
    pub fn new(negative: N, optimizer: O) -> Self {
        Self { negative, transforms: Vec::new(), optimizer, imputation: None }
    }

    /// One step of learning from `visible` `(cases, visible)`.
    ///
    /// # Errors
    ///
    /// When `visible` does not suit the machine.
    pub fn step(&mut self, rbm: &Rbm, visible: &Tensor, rng: &mut Rng) -> Result<()> {
        let visible = match &self.imputation {
            Some(imputation) => &imputation.sample(rbm, visible, rng)?,
            None => visible,
        };
        let positive = Phase::of(rbm, visible)?;
        let negative = self.negative.averages(rbm, &positive, rng)?;
        let mut gradient = Gradient::of(Averages::of(rbm, &positive)?, negative)?;
        for transform in &mut self.transforms {
            gradient = transform.apply(gradient, rbm, &positive)?;
        }
        self.optimizer.step(rbm, &gradient)?;
        if self.negative.after_step(rbm, &gradient, rng)? == StepOutcome::Undone {
            self.optimizer.forget();
        }
        Ok(())
    }

    /// Learns from `cursor` on until the plan's last epoch is done, or the observer stops it. `cursor` and `rng` are left where a later
    /// call goes on.
    ///
    /// # Errors
    ///
    /// When the weights diverge, and when the observer errs.
    pub fn fit(
        &mut self,
        rbm: &Rbm,
        source: &dyn BatchSource,
        plan: &Plan,
        cursor: &mut Cursor,
        rng: &mut Rng,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        train::run(&mut Fit::new(self, rbm, source, plan), cursor, rng, observer)
    }

    /// Goes back to where a [`Fit`] took `checkpoint`: the parameters of `rbm` and all that is remembered here. Gives the place and the
    /// generator to go on with.
    ///
    /// # Errors
    ///
    /// When it is not the checkpoint of such a machine and such a trainer.
    pub fn resume(&mut self, rbm: &Rbm, checkpoint: Checkpoint) -> Result<(Cursor, Rng)> {
        let Checkpoint { tensors, record: FitRecord { cursor, rng } } = checkpoint.typed()?;
        for (name, var) in rbm.parameters() {
            var.set(&get(&tensors, &format!("rbm.{name}"))?)?;
        }
        self.restore(&without_prefix("memory", &tensors))?;
        Ok((cursor, rng))
    }
}

/// Where a [`Fit`] goes on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct FitRecord {
    cursor: Cursor,
    rng: Rng,
}

/// The [`Stage`] of one machine that learns by a [`Trainer`].
pub struct Fit<'a, N, O> {
    trainer: &'a mut Trainer<N, O>,
    rbm: &'a Rbm,
    source: &'a dyn BatchSource,
    plan: &'a Plan,
    /// Mini-batches of the epoch.
    batches: usize,
    /// Mean |ΔW| / mean |W| of the epoch's last step.
    update_ratio: Option<f64>,
}

impl<'a, N: NegativePhase, O: Optimizer> Fit<'a, N, O> {
    /// `trainer` teaches `rbm` what `source` has.
    pub fn new(
        trainer: &'a mut Trainer<N, O>,
        rbm: &'a Rbm,
        source: &'a dyn BatchSource,
        plan: &'a Plan,
    ) -> Self {
        Self { trainer, rbm, source, plan, batches: 0, update_ratio: None }
    }

    /// What the trainer remembers.
    pub fn memory(&self) -> State {
        self.trainer.state()
    }
}

impl<N: NegativePhase, O: Optimizer> Stage for Fit<'_, N, O> {
    fn start(&self, from: usize) -> StageStart {
        let [visible, hidden] =
            [self.rbm.visible(), self.rbm.hidden()].map(|layer| layer.units().width());
        StageStart {
            name: "layer 1".into(),
            shape: format!("{visible} → {hidden}"),
            epochs: self.plan.epochs,
            from,
            cases: self.source.count(),
        }
    }

    fn is_over(&self, epochs: usize) -> bool {
        epochs >= self.plan.epochs
    }

    fn order(&self, epoch: usize) -> Batches {
        self.source.order(epoch)
    }

    fn start_epoch(&mut self, epoch: usize, batches: usize) -> Result<()> {
        let steps = self.plan.steps.steps_at(epoch, self.plan.epochs);
        self.trainer.negative.set_steps(steps);
        self.batches = batches;
        Ok(())
    }

    fn step(&mut self, indices: &[u32], at: Cursor, rng: &mut Rng) -> Result<()> {
        let Self { trainer, rbm, plan, .. } = self;
        let visible = self.source.batch(indices, rng)?;
        let before = match at.batch + 1 == self.batches {
            true => Some(rbm.weights().as_detached_tensor().copy()?),
            false => None,
        };
        let learning_rate = plan.learning_rate.at(at.epoch, plan.epochs);
        let momentum = plan.momentum.at(at.epoch, plan.epochs);
        trainer
            .optimizer
            .set_rates(learning_rate * trainer.negative.learning_rate_factor(), momentum);
        trainer.step(rbm, &visible, rng)?;
        let ratio = before.map(|before| monitor::update_ratio(&before, rbm.weights()));
        self.update_ratio = ratio.transpose()?;
        Ok(())
    }

    fn end_epoch(&mut self, metrics: EpochMetrics) -> Result<EpochMetrics> {
        let Self { trainer, rbm, plan, .. } = self;
        let (epoch, epochs) = (metrics.epoch - 1, plan.epochs);
        let mixing = trainer.negative.mixing()?;
        monitor::check(rbm)?;
        Ok(EpochMetrics {
            learning_rate: plan.learning_rate.at(epoch, epochs),
            momentum: plan.momentum.at(epoch, epochs),
            k: Some(plan.steps.steps_at(epoch, epochs)),
            update_ratio: self.update_ratio,
            mixing,
            ..metrics
        })
    }

    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint> {
        monitor::check(self.rbm)?;
        let parameters = self.rbm.parameters().into_iter();
        let parameters =
            parameters.map(|(name, var)| (format!("rbm.{name}"), var.as_detached_tensor()));
        let tensors = parameters.chain(with_prefix("memory", self.memory())).collect();
        Checkpoint { tensors, record: FitRecord { cursor, rng } }.untyped()
    }
}
impl<N: Stateful, O: Stateful> Stateful for Trainer<N, O> {
    fn state(&self) -> State {
        let transforms = self.transforms.iter().enumerate();
        with_prefix("negative", self.negative.state())
            .chain(with_prefix("optimizer", self.optimizer.state()))
            .chain(transforms.flat_map(|(i, transform)| {
                with_prefix(&format!("transform.{i}"), transform.state()).collect::<Vec<_>>()
            }))
            .collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.negative.restore(&without_prefix("negative", state))?;
        self.optimizer.restore(&without_prefix("optimizer", state))?;
        for (i, transform) in self.transforms.iter_mut().enumerate() {
            transform.restore(&without_prefix(&format!("transform.{i}"), state))?;
        }
        Ok(())
    }
}
