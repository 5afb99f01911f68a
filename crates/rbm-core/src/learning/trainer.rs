//! One machine that learns: gradient, transforms, optimiser.

use std::ops::ControlFlow;

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::negative::StepOutcome;
use super::positive::PositivePhase;
use super::train::{self, Cursor, EpochMetrics, Observer, Stage, StageKind, StageStart};
use crate::estimate::monitor;
use crate::model::Boltzmann;
use crate::sampling::Imputation;
use crate::state::{State, get, with_prefix, without_prefix};
use crate::{
    Averages, Batches, Checkpoint, Error, Gradient, Mixing, NegativePhase, Optimizer, Phase, Rbm,
    Result, Rng, Rows, Schedule, Stateful, Transform,
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
    /// How hidden units are found that are not summed out.
    pub posterior: PositivePhase,
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

    /// The logarithm of how much each of these cases counts, `(size,)`; without it all count alike.
    ///
    /// # Errors
    ///
    /// When there is no such case.
    fn log_weights(&self, _indices: &[u32]) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Whether every mini-batch is all cases, in their own order: then averages that depend on the data alone are taken once.
    fn is_whole(&self) -> bool {
        false
    }
}

/// All cases at each update, in their own order.
#[derive(Debug, Clone)]
pub struct Whole<'a> {
    /// `(n, visible)`.
    pub cases: &'a dyn Rows,
    /// How much each case counts, `n` of them, above 0; without them all count alike.
    pub weights: Option<&'a [f32]>,
}

impl BatchSource for Whole<'_> {
    fn count(&self) -> usize {
        self.cases.count()
    }

    fn order(&self, _: usize) -> Batches {
        Batches::new(self.cases.count(), self.cases.count())
    }

    fn batch(&self, _: &[u32], _: &mut Rng) -> Result<Tensor> {
        self.cases.block(0..self.cases.count())
    }

    fn log_weights(&self, _: &[u32]) -> Result<Option<Tensor>> {
        let Some(weights) = self.weights else { return Ok(None) };
        Ok(Some(Tensor::new(weights, &Device::Cpu)?.log()?))
    }

    fn is_whole(&self) -> bool {
        true
    }
}

/// As many draws as there are cases, in every epoch anew, each case as often as its share of the weights says.
#[derive(Debug, Clone)]
pub struct Drawn<'a> {
    /// `(n, visible)`.
    pub cases: &'a dyn Rows,
    /// How much each case counts, `n` of them, above 0.
    pub weights: &'a [f32],
    /// Cases in a mini-batch.
    pub batch_size: usize,
    /// Where the draws come from; it is split by the epoch's number.
    pub shuffle: Rng,
}

impl BatchSource for Drawn<'_> {
    fn count(&self) -> usize {
        self.cases.count()
    }

    fn order(&self, epoch: usize) -> Batches {
        Batches::weighted(self.weights, self.batch_size, &mut self.shuffle.split(epoch as u64))
    }

    fn batch(&self, indices: &[u32], _: &mut Rng) -> Result<Tensor> {
        self.cases.rows(indices)
    }
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

/// What of a layer's hidden units the next layer learns from; and of Bernoulli data, the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Their means, as in the code of Hinton and Salakhutdinov 2006.
    #[default]
    Mean,
    /// Samples.
    Sample,
}

impl Pass {
    /// Whether it is the means, or the values of data.
    pub fn is_mean(&self) -> bool {
        *self == Self::Mean
    }

    /// Mini-batches of `source`, of whose values this is taken.
    pub fn of_source<'a>(self, source: Box<dyn BatchSource + 'a>) -> Box<dyn BatchSource + 'a> {
        match self {
            Self::Mean => source,
            Self::Sample => {
                let map = move |batch: Tensor, rng: &mut Rng| self.of_probabilities(&batch, rng);
                Box::new(Mapped { source, map })
            }
        }
    }

    /// What is taken of units that are on with probabilities `v` `(batch, width)`: `v` itself, or zeros and ones drawn with them.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn of_probabilities(self, v: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        match self {
            Self::Mean => Ok(v.clone()),
            Self::Sample => {
                let uniform = crate::ops::uniform(v.shape(), v.dtype(), v.device(), rng)?;
                Ok(uniform.lt(v)?.to_dtype(v.dtype())?)
            }
        }
    }
}

/// Mini-batches of another source, of which something is made anew each time.
pub struct Mapped<'a, F> {
    /// Where they come from.
    pub source: Box<dyn BatchSource + 'a>,
    /// What is made of a mini-batch, `(size, width)`.
    pub map: F,
}

impl<F: Fn(Tensor, &mut Rng) -> Result<Tensor>> BatchSource for Mapped<'_, F> {
    fn count(&self) -> usize {
        self.source.count()
    }

    fn order(&self, epoch: usize) -> Batches {
        self.source.order(epoch)
    }

    fn batch(&self, indices: &[u32], rng: &mut Rng) -> Result<Tensor> {
        (self.map)(self.source.batch(indices, rng)?, rng)
    }

    fn log_weights(&self, indices: &[u32]) -> Result<Option<Tensor>> {
        self.source.log_weights(indices)
    }
}

impl<N: NegativePhase, O: Optimizer> Trainer<N, O> {
    /// A trainer without transforms.
    pub fn new(negative: N, optimizer: O) -> Self {
        Self {
            negative,
            transforms: Vec::new(),
            optimizer,
            imputation: None,
            posterior: PositivePhase::Summed,
        }
    }

    /// One step of learning from `visible` `(cases, visible)`.
    ///
    /// # Errors
    ///
    /// When `visible` does not fit the machine.
    pub fn step(&mut self, machine: &dyn Boltzmann, visible: &Tensor, rng: &mut Rng) -> Result<()> {
        let visible = match &self.imputation {
            Some(imputation) => &imputation.sample(machine, visible, rng)?,
            None => visible,
        };
        let positive = self.posterior.infer(machine, visible, rng)?;
        self.step_from(machine, &positive, None, rng)
    }

    /// One step of learning from a positive phase, and from its averages where these are known already.
    ///
    /// # Errors
    ///
    /// When they do not fit the machine.
    pub fn step_from(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        averages: Option<Averages>,
        rng: &mut Rng,
    ) -> Result<()> {
        let negative = self.negative.averages(machine, positive, rng)?;
        let averages = match averages {
            Some(averages) => averages,
            None => Averages::of(machine, positive)?,
        };
        let mut gradient = Gradient::of(averages, negative)?;
        for transform in &mut self.transforms {
            gradient = transform.apply(gradient, machine, positive)?;
        }
        self.optimizer.step(machine, &gradient)?;
        if self.negative.after_step(machine, &gradient, rng)? == StepOutcome::Undone {
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
        machine: &dyn Boltzmann,
        source: &dyn BatchSource,
        plan: &Plan,
        cursor: &mut Cursor,
        rng: &mut Rng,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        train::run(&mut Fit::new(self, machine, source, plan), cursor, rng, observer)
    }

    /// Goes back to where a [`Fit`] took `checkpoint`: the parameters of `machine` and all that is remembered here. Gives the place and the
    /// generator to go on with.
    ///
    /// # Errors
    ///
    /// When it is not the checkpoint of such a machine and such a trainer.
    pub fn resume(
        &mut self,
        machine: &dyn Boltzmann,
        checkpoint: Checkpoint,
    ) -> Result<(Cursor, Rng)> {
        let Checkpoint { tensors, record: FitRecord { cursor, rng } } = checkpoint.typed()?;
        for (name, var) in machine.parameters() {
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
    machine: &'a dyn Boltzmann,
    source: &'a dyn BatchSource,
    plan: &'a Plan,
    /// Mini-batches of the epoch.
    batches: usize,
    /// Mean |ΔW| / mean |W| of the epoch's last step.
    update_ratio: Option<f64>,
    /// The positive phase and its averages, where no step changes them.
    constant: Option<(Phase, Averages)>,
    /// Whether there was a warning that the chains have left equilibrium.
    has_left: bool,
}

impl<'a, N: NegativePhase, O: Optimizer> Fit<'a, N, O> {
    /// `trainer` teaches `machine` what `source` has.
    pub fn new(
        trainer: &'a mut Trainer<N, O>,
        machine: &'a dyn Boltzmann,
        source: &'a dyn BatchSource,
        plan: &'a Plan,
    ) -> Self {
        let (batches, update_ratio, constant, has_left) = (0, None, None, false);
        Self { trainer, machine, source, plan, batches, update_ratio, constant, has_left }
    }

    /// Says once that the chains no longer follow the machine.
    fn warn(&mut self, mixing: &Mixing, epoch: usize) {
        if mixing.left_equilibrium && !self.has_left {
            tracing::warn!(
                epoch,
                r_hat = mixing.r_hat,
                "training has left equilibrium: its chains no longer follow the machine; take more steps, a lower \
                 learning rate, or another method"
            );
        }
        self.has_left |= mixing.left_equilibrium;
    }

    /// What the trainer remembers.
    pub fn memory(&self) -> State {
        self.trainer.state()
    }
}

impl<N: NegativePhase, O: Optimizer> Stage for Fit<'_, N, O> {
    fn start(&self, from: usize) -> StageStart {
        let (kind, sign) = match Rbm::of(self.machine) {
            Some(_) => (StageKind::Layer(0), "→"),
            None => (StageKind::Machine, "+"),
        };
        let [rest, last] =
            [self.machine.rest(), self.machine.last()].map(|layer| layer.units().width());
        StageStart {
            kind,
            shape: format!("{rest} {sign} {last}"),
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
        let Self { trainer, machine, plan, .. } = self;
        let visible = match &self.constant {
            Some((phase, _)) => phase.visible.clone(),
            None => self.source.batch(indices, rng)?,
        };
        let before = match at.batch + 1 == self.batches {
            true => Some(first_weights(*machine)?.as_detached_tensor().copy()?),
            false => None,
        };
        let update = (at.batch, self.batches);
        let [learning_rate, momentum] = [&plan.learning_rate, &plan.momentum]
            .map(|schedule| schedule.at_update(at.epoch, update, plan.epochs));
        trainer
            .optimizer
            .set_rates(learning_rate * trainer.negative.learning_rate_factor(), momentum);
        let log_weights = self.source.log_weights(indices)?;
        let rest = machine.rest().units().width();
        // Of a machine that is observed as a whole the data say the same at each step.
        let is_constant = self.source.is_whole()
            && machine.last().units().width() == 0
            && visible.dim(1)? == rest;
        match (&log_weights, is_constant && trainer.imputation.is_none()) {
            (None, false) => trainer.step(*machine, &visible, rng)?,
            (_, is_constant) => {
                let constant = match self.constant.take() {
                    Some(constant) => constant,
                    None => {
                        let phase = trainer.posterior.infer(*machine, &visible, rng)?;
                        let phase = Phase { log_weights, ..phase };
                        let averages = Averages::of(*machine, &phase)?;
                        (phase, averages)
                    }
                };
                trainer.step_from(*machine, &constant.0, Some(constant.1.clone()), rng)?;
                self.constant = is_constant.then_some(constant);
            }
        }
        let after = first_weights(*machine)?;
        let ratio = before.map(|before| monitor::update_ratio(&before, after));
        self.update_ratio = ratio.transpose()?;
        Ok(())
    }

    fn end_epoch(&mut self, metrics: EpochMetrics) -> Result<EpochMetrics> {
        let Self { trainer, machine, plan, .. } = self;
        let (epoch, epochs) = (metrics.epoch - 1, plan.epochs);
        let mixing = trainer.negative.mixing()?;
        monitor::check(*machine)?;
        let metrics = EpochMetrics {
            learning_rate: plan.learning_rate.at(epoch, epochs),
            momentum: plan.momentum.at(epoch, epochs),
            k: Some(plan.steps.steps_at(epoch, epochs)),
            update_ratio: self.update_ratio,
            mixing,
            ..metrics
        };
        if let Some(mixing) = &metrics.mixing {
            self.warn(mixing, metrics.epoch);
        }
        Ok(metrics)
    }

    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint> {
        monitor::check(self.machine)?;
        let parameters = self.machine.parameters().into_iter();
        let parameters =
            parameters.map(|(name, var)| (format!("rbm.{name}"), var.as_detached_tensor()));
        let tensors = parameters.chain(with_prefix("memory", self.memory())).collect();
        Checkpoint { tensors, record: FitRecord { cursor, rng } }.untyped()
    }
}

/// The parameters of the first coupling.
fn first_weights(machine: &dyn Boltzmann) -> Result<&Var> {
    let first = machine.coupling_weights().into_iter().next();
    first.ok_or_else(|| Error::invalid("a machine that learns", "couplings", "none"))
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
