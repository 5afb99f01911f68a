//! The stages in which machines learn: one layer, from what the ones below make of the data; and up-down, the whole stack together.

use std::ops::ControlFlow;

use candle_core::{D, Tensor};
use rbm_core::estimate::monitor::{self, Monitor};
use rbm_core::learning::train::{
    self, Cursor, EpochMetrics, Observer, Stage, StageKind, StageStart,
};
use rbm_core::learning::trainer::{BatchSource, Fit, Plan};
use rbm_core::model::{init, spectrum};
use rbm_core::{
    Batches, Checkpoint, ClassRbm, Error, NegativePhase, Optimizer, Rbm, Result, Rng, Schedule,
    Sgd, Stateful, Trainer, rows,
};

use super::backprop::BestWeights;
use super::state::{checkpoint_of, generative_tensors, warm_tensors};
use super::{Stream, Training};
use crate::learning::{Caching, Labels, LayerInput, Pass, up_down_parameters};
use crate::network::labels::label_codes;
use crate::recipe;
use crate::{ConditionalLayer, Dbn, Examples, Inference, UpDown};

/// The most cases that are looked at after each epoch.
const MONITORED: usize = 1000;
/// How often in a layer's training the singular values are looked at, and how many of them.
const SPECTRA: usize = 50;
const SINGULAR_VALUES: usize = 20;
/// What the fantasies are called in what a trainer remembers.
const CHAINS: [&str; 2] = ["negative.chains", "replicas.hidden"];

impl Training {
    /// Runs or goes on with the stage of the layer with this number.
    pub(super) fn pretrain(
        &mut self,
        stage: usize,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let layer = self.recipe.layers[stage].clone();
        let span = tracing::info_span!("layer", number = stage + 1, hidden = %layer.hidden);
        let _entered = span.enter();
        let is_new = self.rbms.len() == stage;
        tracing::info!(epochs = layer.epochs, from = self.record.cursor.epoch, "pre-training");
        if is_new {
            self.rbms.push(self.new_rbm(stage)?);
            self.record.rng = self.stream(Stream::Learn);
        }
        let Some((rbm, lower)) = self.rbms.split_last() else {
            return Err(Error::invalid("pre-training", "a layer", "none"));
        };
        let passes: Vec<Pass> =
            self.recipe.layers[..stage].iter().map(|layer| layer.pass).collect();
        let feed = LayerInput {
            cases: &self.train.cases,
            balance: self.train.labels.as_deref().filter(|_| layer.balanced),
            weights: self.train.weights.as_deref(),
            rbms: lower,
            passes: &passes,
            data: self.recipe.data.pass,
            imputation: self.imputation.as_ref(),
            labels: self.labels_of(&self.train, stage),
            batch_size: layer.batch_size,
            shuffle: self.stream(Stream::Shuffle),
        };
        if is_new {
            feed.init(rbm, &layer.init(), &mut self.stream(Stream::Init))?;
            if let Some(below) = lower.last().filter(|_| layer.mirror) {
                init::mirror(below, rbm)?;
            }
            self.warm(stage, rbm)?;
        }
        let cached = self.cached(&feed)?;
        let learned = match &cached {
            Some(cases) => LayerInput {
                cases,
                rbms: &[],
                passes: &[],
                data: Pass::Mean,
                imputation: None,
                ..feed.clone()
            },
            None => feed.clone(),
        };
        let mut trainer = Trainer::new(layer.method.negative()?, layer.optimizer.optimizer());
        trainer.transforms = layer.transforms(rbm)?;
        // The cases of deep layers are complete.
        trainer.imputation = self.imputation.clone().filter(|_| stage == 0);
        if !self.memory.is_empty() {
            trainer.restore(&self.memory)?;
        }
        let (learning_rate, momentum) = layer.rates()?;
        let plan =
            Plan { epochs: layer.epochs, learning_rate, momentum, steps: layer.steps.clone() };
        let mut stage = LayerStage {
            fit: Fit::new(&mut trainer, rbm, &learned, &plan),
            training: self,
            rbm,
            lower,
            epochs: plan.epochs,
            monitor: self.monitor(&feed)?,
            recognised: self.recognised(stage, lower)?,
        };
        let (mut cursor, mut rng) = (self.record.cursor, self.record.rng);
        let flow = train::run(&mut stage, &mut cursor, &mut rng, observer);
        let memory = trainer.state();
        self.record.move_to(cursor, rng);
        self.memory = memory;
        flow
    }

    /// The cases of a deep layer, where the recipe wants them computed once. They are no part of a checkpoint: they follow from
    /// the machines below and from a stream of random numbers of their own, and are the same when a training goes on.
    fn cached(&self, feed: &LayerInput) -> Result<Option<Tensor>> {
        let Some(below) = feed.rbms.last() else { return Ok(None) };
        if self.recipe.cache == Caching::Never {
            return Ok(None);
        }
        let bytes = 4 * feed.cases.count() as u64 * below.hidden().units().width() as u64;
        let (allowed, fits) = (self.recipe.cache_bytes, bytes <= self.recipe.cache_bytes);
        tracing::info!(bytes, allowed, fits, "cache of the cases of a layer");
        fits.then(|| feed.send_all_up(&mut self.stream(Stream::Cache))).transpose()
    }

    fn monitor(&self, feed: &LayerInput) -> Result<Monitor> {
        let means = vec![Pass::Mean; feed.rbms.len()];
        let some = |part: &Examples| -> Result<_> {
            let labels = self.labels_of(part, feed.rbms.len());
            let below = LayerInput {
                cases: &part.cases,
                labels,
                passes: &means,
                data: Pass::Mean,
                balance: None,
                weights: None,
                ..feed.clone()
            };
            let cases = below.batch(&part.representative(MONITORED), &mut Rng::new(0))?;
            match &self.imputation {
                // In the lowest layer: the machine that would draw them is still learning.
                Some(imputation) => imputation.started(&cases),
                None => Ok(cases),
            }
        };
        let held_out = self.validation.as_ref().map(some).transpose()?;
        Ok(Monitor { train: some(&self.train)?, held_out, rng: self.stream(Stream::Monitor) })
    }

    /// The labels of `part` that the machine with this number learns, if it does.
    fn labels_of<'a>(&self, part: &'a Examples, layer: usize) -> Option<Labels<'a>> {
        let (of_cases, classes) = (part.labels.as_deref()?, self.classes?);
        self.recipe.is_joint(layer).then_some(Labels { of_cases, classes })
    }

    /// The validation cases sent up to the joint machine with this number, above `below`; none where nobody looks.
    fn recognised(&self, layer: usize, below: &[Rbm]) -> Result<Option<Recognised<'_>>> {
        let part = self.validation.as_ref().filter(|_| self.monitor);
        let Some((part, labels)) = part.and_then(|part| Some((part, self.labels_of(part, layer)?)))
        else {
            return Ok(None);
        };
        let cases = rows::blocks(&part.cases).map(|block| {
            let block = match &self.imputation {
                Some(imputation) => imputation.started(&block?)?,
                None => block?,
            };
            Ok(crate::network::dbn::up(below, &block)?.detach())
        });
        let cases = Tensor::cat(&cases.collect::<Result<Vec<_>>>()?, 0)?;
        Ok(Some(Recognised { cases, labels }))
    }
}

/// One machine of the stack that learns, as [`train::run`] sees it.
struct LayerStage<'a> {
    fit: Fit<'a, Box<dyn NegativePhase>, Box<dyn Optimizer>>,
    training: &'a Training,
    rbm: &'a Rbm,
    lower: &'a [Rbm],
    epochs: usize,
    /// Looks for divergence in the last epoch also where metrics do not tell what it sees.
    monitor: Monitor,
    /// The validation cases whose labels the machine is to find.
    recognised: Option<Recognised<'a>>,
}

impl LayerStage<'_> {
    /// What the machine looks like. Errors where it has diverged.
    fn report(&self) -> Result<monitor::Report> {
        let report = self.monitor.report(self.rbm)?;
        let memory = self.fit.memory();
        let is_chains = |name: &str| CHAINS.iter().any(|end| name.ends_with(end));
        let chains = memory.iter().filter(|(name, _)| is_chains(name));
        report.check(self.rbm, chains.map(|(_, chains)| chains))?;
        Ok(report)
    }

    /// The largest singular values after this epoch, if it is one of those in which they are looked at.
    fn singular_values(&self, epoch: usize) -> Result<Option<Vec<f64>>> {
        let apart = self.epochs.div_ceil(SPECTRA).max(1);
        if !self.training.monitor || (!epoch.is_multiple_of(apart) && epoch != self.epochs) {
            return Ok(None);
        }
        spectrum::singular_values(self.rbm, SINGULAR_VALUES)
    }
}

impl Stage for LayerStage<'_> {
    fn start(&self, from: usize) -> StageStart {
        StageStart { kind: StageKind::Layer(self.lower.len()), ..self.fit.start(from) }
    }

    fn is_over(&self, epochs: usize) -> bool {
        self.fit.is_over(epochs)
    }

    fn order(&self, epoch: usize) -> Batches {
        self.fit.order(epoch)
    }

    fn start_epoch(&mut self, epoch: usize, batches: usize) -> Result<()> {
        self.fit.start_epoch(epoch, batches)
    }

    fn step(&mut self, indices: &[u32], at: Cursor, rng: &mut Rng) -> Result<()> {
        self.fit.step(indices, at, rng)
    }

    fn end_epoch(&mut self, metrics: EpochMetrics) -> Result<EpochMetrics> {
        let metrics = self.fit.end_epoch(metrics)?;
        let is_last = metrics.epoch == self.epochs;
        let is_monitored = self.training.monitor;
        let report = (is_monitored || is_last).then(|| self.report()).transpose()?;
        let warnings = match &report {
            Some(report) if is_last => report.warnings(&self.rbm.hidden().units()),
            _ => Vec::new(),
        };
        let recognised = self.recognised.as_ref();
        Ok(EpochMetrics {
            singular_values: self.singular_values(metrics.epoch)?,
            report: report.filter(|_| is_monitored),
            warnings,
            validation_error: recognised.map(|part| part.error(self.rbm)).transpose()?,
            ..metrics
        })
    }

    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint> {
        monitor::check(self.rbm)?;
        let rbms = self.lower.iter().chain([self.rbm]);
        let record = self.training.record.at(cursor, rng);
        let kept = BestWeights::default();
        let mut checkpoint = checkpoint_of(rbms, None, &kept, self.fit.memory(), record);
        checkpoint.tensors.extend(warm_tensors(&self.training.warm));
        checkpoint.untyped()
    }
}

/// The validation cases sent up to a joint machine, by means, and their labels.
struct Recognised<'a> {
    cases: Tensor,
    labels: Labels<'a>,
}

impl Recognised<'_> {
    /// How many of them, in percent, `top` takes for another class than theirs.
    fn error(&self, top: &Rbm) -> Result<f64> {
        let Labels { of_cases, .. } = self.labels;
        let mut found = Vec::with_capacity(of_cases.len());
        for block in rows::blocks(&self.cases) {
            let probable = ClassRbm::of(top)?.log_probabilities(&block?)?.argmax(D::Minus1)?;
            found.extend(probable.to_vec1::<u32>()?);
        }
        let errors = found.iter().zip(of_cases).filter(|(a, b)| a != b).count();
        Ok(100.0 * errors as f64 / of_cases.len().max(1) as f64)
    }
}

impl Training {
    /// Runs or goes on with the stage of up-down.
    pub(super) fn up_down(&mut self, observer: &mut dyn Observer) -> Result<ControlFlow<()>> {
        let span = tracing::info_span!("up-down");
        let _entered = span.enter();
        let Some(recipe) = self.recipe.updown.clone() else {
            return Err(Error::invalid("up-down", "a part of the recipe", "none"));
        };
        tracing::info!(epochs = recipe.epochs, from = self.record.cursor.epoch, "up-down");
        if self.record.cursor == Cursor::default() {
            self.record.rng = self.stream(Stream::Learn);
            let below = &self.rbms[..self.rbms.len().saturating_sub(1)];
            self.generative =
                below.iter().map(ConditionalLayer::downwards).collect::<Result<_>>()?;
        }
        let mut dbn = self.take_dbn()?;
        let mut learner = UpDown { steps: 1, l2: recipe.l2, optimizer: Box::new(Sgd::new(0.0)) };
        if !self.memory.is_empty() {
            learner.optimizer.restore(&self.memory)?;
        }
        let (mut cursor, mut rng) = (self.record.cursor, self.record.rng);
        let input = self.whole_input(&recipe);
        let mut stage = UpDownStage {
            training: self,
            dbn: &dbn,
            recipe: &recipe,
            input,
            learner,
            rates: (0.0, 0.0),
            batches: 0,
        };
        let flow = train::run(&mut stage, &mut cursor, &mut rng, observer);
        let memory = stage.learner.optimizer.state();
        self.record.move_to(cursor, rng);
        self.memory = memory;
        self.generative = std::mem::take(&mut dbn.generative);
        self.rbms = dbn.into_rbms();
        flow
    }

    /// The data themselves, as the stack learns from them.
    fn whole_input(&self, recipe: &recipe::UpDownRecipe) -> LayerInput<'_> {
        LayerInput {
            imputation: None,
            cases: &self.train.cases,
            balance: self.train.labels.as_deref().filter(|_| recipe.balanced),
            weights: self.train.weights.as_deref(),
            rbms: &[],
            passes: &[],
            data: self.recipe.data.pass,
            labels: None,
            batch_size: recipe.batch_size,
            shuffle: self.stream(Stream::Shuffle),
        }
    }
}

/// A stack that learns by up-down, as [`train::run`] sees it.
struct UpDownStage<'a> {
    training: &'a Training,
    dbn: &'a Dbn,
    recipe: &'a recipe::UpDownRecipe,
    input: LayerInput<'a>,
    learner: UpDown,
    /// Learning rate and momentum of the epoch.
    rates: (f64, f64),
    /// Mini-batches of the epoch.
    batches: usize,
}

impl UpDownStage<'_> {
    /// Learning rate and momentum at update `.0` of the `.1` of `epoch`.
    fn rates(&self, epoch: usize, update: (usize, usize)) -> (f64, f64) {
        let recipe::UpDownRecipe { epochs, learning_rate, momentum, .. } = self.recipe;
        let at = |schedule: &Schedule| schedule.at_update(epoch, update, *epochs);
        (at(learning_rate), at(momentum))
    }

    /// Errors when the top machine is none any more, or what is below it has diverged.
    fn check(&self) -> Result<()> {
        monitor::check(self.dbn.top())?;
        monitor::check_parameters(up_down_parameters(self.dbn))
    }

    /// How many of the validation cases, in percent, are taken for another class than theirs.
    fn validation_error(&self) -> Result<Option<f64>> {
        let Training { validation, monitor, .. } = self.training;
        let is_asked = *monitor && self.dbn.classes().is_some();
        let Some(part) = validation.as_ref().filter(|_| is_asked) else { return Ok(None) };
        let errors = self.dbn.label_errors(part, Inference::Means, &mut Rng::new(0))?;
        Ok(Some(100.0 * errors as f64 / part.len().max(1) as f64))
    }
}

impl Stage for UpDownStage<'_> {
    fn start(&self, from: usize) -> StageStart {
        let sizes = self.dbn.rbms().map(|rbm| rbm.hidden().units().width().to_string());
        let sizes: Vec<_> = std::iter::once(self.dbn.width().to_string()).chain(sizes).collect();
        StageStart {
            kind: StageKind::UpDown,
            shape: sizes.join(" ⇄ "),
            epochs: self.recipe.epochs,
            from,
            cases: self.input.count(),
        }
    }

    fn is_over(&self, epochs: usize) -> bool {
        epochs >= self.recipe.epochs
    }

    fn order(&self, epoch: usize) -> Batches {
        self.input.order(epoch)
    }

    fn start_epoch(&mut self, epoch: usize, batches: usize) -> Result<()> {
        let recipe::UpDownRecipe { epochs, steps, .. } = self.recipe;
        self.batches = batches;
        self.rates = self.rates(epoch, (0, batches));
        self.learner.steps = steps.steps_at(epoch, *epochs);
        Ok(())
    }

    fn step(&mut self, indices: &[u32], at: Cursor, rng: &mut Rng) -> Result<()> {
        let (learning_rate, momentum) = self.rates(at.epoch, (at.batch, self.batches));
        self.learner.optimizer.set_rates(learning_rate, momentum);
        let v = self.input.batch(indices, rng)?;
        let codes = match (self.dbn.classes(), &self.training.train.labels) {
            (Some(classes), Some(labels)) => {
                let labels: Vec<u32> = indices.iter().map(|&i| labels[i as usize]).collect();
                Some(label_codes(&labels, classes, v.dtype(), v.device())?)
            }
            _ => None,
        };
        self.learner.step(self.dbn, &v, codes.as_ref(), rng)
    }

    fn end_epoch(&mut self, metrics: EpochMetrics) -> Result<EpochMetrics> {
        self.check()?;
        let (learning_rate, momentum) = self.rates;
        let (k, validation_error) = (Some(self.learner.steps), self.validation_error()?);
        Ok(EpochMetrics { learning_rate, momentum, k, validation_error, ..metrics })
    }

    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint> {
        self.check()?;
        let record = self.training.record.at(cursor, rng);
        let (memory, kept) = (self.learner.optimizer.state(), BestWeights::default());
        let mut checkpoint = checkpoint_of(self.dbn.rbms(), None, &kept, memory, record);
        checkpoint.tensors.extend(generative_tensors(&self.dbn.generative));
        checkpoint.untyped()
    }
}
