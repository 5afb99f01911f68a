//! The training loop: gradient, transforms, optimiser, over mini-batches and epochs.

use std::ops::ControlFlow;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::kernel::Imputation;
use crate::negative::Verdict;
use crate::state::{State, below, prefixed};
use crate::{
    Averages, Batches, Error, Gradient, Mixing, NegativePhase, Optimizer, Phase, Rbm, Result, Rng,
    Rows, Schedule, Stateful, Transform, monitor,
};

/// Everything that learns: where fantasies come from, what is done to the gradient, how it becomes a step.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use candle_core::{Device, Tensor};
/// use rbm_core::train::{Cases, Plan, Position};
/// use rbm_core::transform::WeightDecay;
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
/// // Or epoch after epoch, until what is called after every mini-batch breaks:
/// let feed = Cases { cases: &cases, batch_size: 2, shuffle: rng.split(1) };
/// let plan = Plan {
///     epochs: 10,
///     learning_rate: Schedule::Constant(0.1),
///     momentum: Schedule::Steps(vec![(0, 0.5), (5, 0.9)]),
///     steps: Schedule::Constant(1.0),
/// };
/// let mut position = Position::default();
/// let ended = trainer.fit(&rbm, &feed, &plan, &mut position, &mut rng, &mut |moment| {
///     if moment.ends_epoch() {
///         println!("epoch {}", moment.position.epoch);
///     }
///     Ok(if moment.position.epoch == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
/// })?;
/// assert!(ended.is_break());
/// assert_eq!(position, Position { epoch: 3, batch: 0 });
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

/// The next mini-batch to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Epochs done.
    pub epoch: usize,
    /// Mini-batches done in this epoch.
    pub batch: usize,
}

impl Position {
    /// Errors when the mini-batch is not one of `order`, as after a change of the batch size.
    pub fn check(&self, order: &Batches) -> Result<()> {
        if self.batch < order.len() {
            return Ok(());
        }
        let expected = format!("a mini-batch below the epoch's {}", order.len());
        Err(Error::invalid("the place to go on", expected, self.batch.to_string()))
    }
}

/// Where the cases of each epoch come from. An epoch's order must depend on the epoch alone, so that a training can go
/// on in the middle of it.
pub trait Feed {
    /// The mini-batches of `epoch`.
    fn order(&self, epoch: usize) -> Batches;

    /// The visible configurations `(size, visible)` of the cases with these numbers.
    fn batch(&self, indices: &[u32], rng: &mut Rng) -> Result<Tensor>;
}

/// Cases, a tensor `(n, visible)` or any others, shuffled anew in every epoch.
#[derive(Debug, Clone)]
pub struct Cases<'a> {
    /// `(n, visible)`.
    pub cases: &'a dyn Rows,
    /// Cases in a mini-batch.
    pub batch_size: usize,
    /// Where the shuffles come from; it is split by the epoch's number.
    pub shuffle: Rng,
}

impl Feed for Cases<'_> {
    fn order(&self, epoch: usize) -> Batches {
        Batches::new(self.cases.count(), self.batch_size)
            .shuffled(&mut self.shuffle.split(epoch as u64))
    }

    fn batch(&self, indices: &[u32], _: &mut Rng) -> Result<Tensor> {
        self.cases.rows(indices)
    }
}

/// What [`Trainer::fit`] tells after every mini-batch.
pub struct Moment<'a> {
    /// The machine as it is now.
    pub rbm: &'a Rbm,
    /// The trainer's memory.
    pub memory: &'a dyn Stateful,
    /// The generator as it is now.
    pub rng: Rng,
    /// What comes next: after the last mini-batch of an epoch, the beginning of the next epoch.
    pub position: Position,
    /// How many mini-batches the epoch has.
    pub batches: usize,
    /// Cases in the mini-batch just learned.
    pub cases: usize,
    /// Mean |ΔW| / mean |W| of the epoch's last step; known after it.
    pub update_ratio: Option<f64>,
    /// What the negative phase knows of its chains' mixing; known after the last mini-batch of an epoch.
    pub mixing: Option<&'a Mixing>,
}

impl Moment<'_> {
    /// Whether the mini-batch was the last one of an epoch.
    pub fn ends_epoch(&self) -> bool {
        self.position.batch == 0
    }
}

/// What is done after every mini-batch: nothing.
pub fn nothing(_: &Moment) -> Result<ControlFlow<()>> {
    Ok(ControlFlow::Continue(()))
}

impl<N: NegativePhase, O: Optimizer> Trainer<N, O> {
    /// A trainer without transforms.
    pub fn new(negative: N, optimizer: O) -> Self {
        Self { negative, transforms: Vec::new(), optimizer, imputation: None }
    }

    /// One step of learning from `visible` `(cases, visible)`.
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
        if self.negative.learned(rbm, &gradient, rng)? == Verdict::Undone {
            self.optimizer.forget();
        }
        Ok(())
    }

    /// Learns from `position` on until the plan's last epoch is done or `after_step`, which is called after every mini-batch, breaks;
    /// [`nothing`] never does. `position` and `rng` are left where a later call can go on. Errors when the weights diverge.
    pub fn fit(
        &mut self,
        rbm: &Rbm,
        feed: &dyn Feed,
        plan: &Plan,
        position: &mut Position,
        rng: &mut Rng,
        after_step: &mut dyn FnMut(&Moment) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        while position.epoch < plan.epochs {
            let epoch = position.epoch;
            let span = tracing::debug_span!("epoch", epoch);
            let _entered = span.enter();
            let learning_rate = plan.learning_rate.at(epoch, plan.epochs);
            let momentum = plan.momentum.at(epoch, plan.epochs);
            self.negative.set_steps(plan.steps.steps_at(epoch, plan.epochs));
            let order = feed.order(epoch);
            let last = order.len().saturating_sub(1);
            position.check(&order)?;
            for (i, indices) in order.indices().enumerate().skip(position.batch) {
                let visible = feed.batch(indices, rng)?;
                let before =
                    if i == last { Some(rbm.weights().as_detached_tensor().copy()?) } else { None };
                self.optimizer.set_rates(learning_rate * self.negative.pace(), momentum);
                self.step(rbm, &visible, rng)?;
                tracing::trace!(epoch, batch = i, "step");
                *position = if i == last {
                    Position { epoch: epoch + 1, batch: 0 }
                } else {
                    Position { epoch, batch: i + 1 }
                };
                let update_ratio = match &before {
                    Some(before) => Some(monitor::update_ratio(before, rbm.weights())?),
                    None => None,
                };
                let mixing = if i == last { self.negative.mixing()? } else { None };
                let moment = Moment {
                    rbm,
                    memory: &*self,
                    rng: *rng,
                    position: *position,
                    batches: order.len(),
                    cases: indices.len(),
                    update_ratio,
                    mixing: mixing.as_ref(),
                };
                if i == last {
                    monitor::check(rbm)?;
                    tracing::debug!(epoch, update_ratio, "epoch done");
                }
                if after_step(&moment)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl<N: Stateful, O: Stateful> Stateful for Trainer<N, O> {
    fn state(&self) -> State {
        let transforms = self.transforms.iter().enumerate();
        prefixed("negative", self.negative.state())
            .chain(prefixed("optimizer", self.optimizer.state()))
            .chain(transforms.flat_map(|(i, transform)| {
                prefixed(&format!("transform.{i}"), transform.state()).collect::<Vec<_>>()
            }))
            .collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.negative.restore(&below("negative", state))?;
        self.optimizer.restore(&below("optimizer", state))?;
        for (i, transform) in self.transforms.iter_mut().enumerate() {
            transform.restore(&below(&format!("transform.{i}"), state))?;
        }
        Ok(())
    }
}
