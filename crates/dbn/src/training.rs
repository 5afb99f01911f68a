//! The whole way from data to a model: layer after layer, then the classifier; it can stop anywhere and go on.

use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::Device;
use rbm_core::monitor::{self, Monitor};
use rbm_core::state::{State, below, prefixed, take};
use rbm_core::train::{Moment, Observer, Plan, Position};
use rbm_core::{Error, Rbm, Result, Rng, Stateful, Trainer};
use serde::{Deserialize, Serialize};

use crate::finetune::{self, Best};
use crate::greedy::Below;
use crate::store::Standardise;
use crate::{Classifier, Dataset, Dbn, Model, Part, Recipe, datasets};

/// A training's checkpoint.
pub type Checkpoint = rbm_core::Checkpoint<Record>;

/// The most cases that are looked at after each epoch.
const MONITORED: usize = 1000;
const VERSION: u32 = 1;

/// Independent streams of random numbers, one a purpose and stage.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Init,
    Learn,
    Shuffle,
    Monitor,
}

/// Where a training stands: 0 is the lowest layer, then the layers above, then the classifier, then the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// The part of the work that is going on.
    pub stage: usize,
    /// The next mini-batch of it.
    pub position: Position,
    /// Epochs done in all stages together.
    pub epochs: u64,
    rng: Rng,
    best: Option<Best>,
    sum: finetune::Sum,
    data: Fingerprint,
}

/// Enough of the data to notice that they are no longer the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fingerprint {
    cases: usize,
    width: usize,
    sum: f32,
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
    /// The next mini-batch of the stage.
    pub position: Position,
}

/// A part of the work that begins.
#[derive(Debug, Clone)]
pub struct Stage {
    /// `layer 1`, … or `classifier`.
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
    /// `layer 1`, … or `classifier`.
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
    /// What the machine looks like.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub report: Option<monitor::Report>,
    /// Mean cross-entropy of the classifier on the training cases while learning, nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Errors on the validation part, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_error: Option<f64>,
    /// Mean cross-entropy on the validation part, nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
}

/// Someone who watches a training, keeps its checkpoints, and may stop it. Nothing that a watcher does changes the result.
pub trait Watch {
    /// A stage begins.
    fn stage(&mut self, stage: &Stage) -> Result<()>;
    /// A mini-batch was learned.
    fn step(&mut self, step: &Step) -> Result<Command>;
    /// An epoch is done. It comes before the [`Watch::step`] of its last mini-batch.
    fn epoch(&mut self, figures: &Figures) -> Result<()>;
    /// A checkpoint was asked for, or a stage is done.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()>;
}

/// How a call of [`Training::run`] ended.
#[derive(Debug)]
pub enum Outcome {
    /// With the trained model.
    Finished(Box<Model>),
    /// Because the watcher said so.
    Stopped,
}

/// Data, a recipe, and how far the work has come.
#[derive(Debug)]
pub struct Training {
    /// What is done.
    pub recipe: Recipe,
    /// What is learned from, as the network sees it.
    pub train: Part,
    /// What decides when to stop; never learned from.
    pub validation: Option<Part>,
    /// What no decision sees: untouched values, for one evaluation at the end.
    pub held_out: Option<Part>,
    /// Whether to look at the machines after every epoch.
    pub monitor: bool,
    pub(crate) device: Device,
    pub(crate) rbms: Vec<Rbm>,
    pub(crate) classifier: Option<Classifier>,
    pub(crate) best_vars: State,
    pub(crate) memory: Option<State>,
    pub(crate) record: Record,
    classes: Option<usize>,
    image: Option<(usize, usize)>,
    standardise: Option<Standardise>,
}

impl Training {
    /// A training at its beginning. Splits off held-out and validation cases, standardises if the recipe says so, and
    /// checks that the values suit the units. Errors for data that do not fit the recipe.
    pub fn new(recipe: Recipe, dataset: Dataset, device: &Device) -> Result<Self> {
        let Dataset { name, train, held_out, classes, image } = dataset;
        let one_in = recipe.data.hold_out_one_in;
        let (train, held_out) = match held_out {
            Some(held_out) => (train, Some(held_out)),
            None if one_in > 1 => {
                let (train, held_out) = datasets::hold_out(&train, one_in)?;
                (train, Some(held_out))
            }
            None => (train, None),
        };
        if recipe.classifier.is_some() && train.labels.is_none() {
            let advice = "labels for the classifier (name their column or file, or drop the classifier with --unsupervised)";
            return Err(Error::invalid(
                format!("the data {name:?}"),
                advice,
                "cases without labels",
            ));
        }
        let validate =
            recipe.classifier.as_ref().map_or(10, |classifier| classifier.validate_one_in);
        let (train, validation) = if validate > 1 && train.len() >= 2 * validate {
            let (train, validation) = datasets::hold_out(&train, validate)?;
            (train, Some(validation))
        } else {
            (train, None)
        };
        let standardise =
            if recipe.standardise { Some(Standardise::of(&train.cases)?) } else { None };
        let units = recipe.visible_units(train.width())?;
        let (low, high) = units.range();
        let place = |part: Part| -> Result<Part> {
            let cases =
                standardise.as_ref().map_or(Ok(part.cases.clone()), |s| s.apply(&part.cases))?;
            let part = Part { cases, ..part };
            datasets::check_range(&name, &part, low, high, units.kind())?;
            Ok(Part { cases: part.cases.to_device(device)?, ..part })
        };
        let (train, validation) = (place(train)?, validation.map(place).transpose()?);
        let data = Fingerprint {
            cases: train.len(),
            width: train.width(),
            sum: train.cases.sum_all()?.to_scalar::<f32>()?,
        };
        let rng = Rng::new(recipe.seed);
        let record = Record {
            version: VERSION,
            stage: 0,
            position: Position::default(),
            epochs: 0,
            rng,
            best: None,
            sum: finetune::Sum::default(),
            data,
        };
        Ok(Self {
            recipe,
            train,
            validation,
            held_out,
            monitor: true,
            device: device.clone(),
            rbms: Vec::new(),
            classifier: None,
            best_vars: State::new(),
            memory: None,
            record,
            classes,
            image,
            standardise: standardise
                .map(|s| -> Result<_> {
                    Ok(Standardise {
                        mean: s.mean.to_device(device)?,
                        deviation: s.deviation.to_device(device)?,
                    })
                })
                .transpose()?,
        })
    }

    /// Where the training stands.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How many stages there are: the layers, and the classifier if there is one.
    pub fn stages(&self) -> usize {
        self.recipe.layers.len() + usize::from(self.recipe.classifier.is_some())
    }

    /// Goes back to where `checkpoint` was taken. Errors when it belongs to other data or another recipe.
    pub fn restore(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let Checkpoint { tensors, record } = checkpoint;
        if record.version != VERSION {
            let found = format!("version {}", record.version);
            return Err(Error::invalid("the checkpoint", format!("version {VERSION}"), found));
        }
        if record.data != self.record.data {
            let describe = |d: &Fingerprint| {
                format!("{} cases of width {} that sum to {}", d.cases, d.width, d.sum)
            };
            return Err(Error::invalid(
                "the data",
                describe(&record.data),
                describe(&self.record.data),
            ));
        }
        self.rbms.clear();
        let trained = self.recipe.layers.len().min(record.stage + 1);
        for i in 0..trained {
            let rbm = self.new_rbm(i)?;
            for (name, var) in rbm.parameters() {
                var.set(&self.fitting(&tensors, &format!("rbms.{i}.{name}"), var.dims())?)?;
            }
            self.rbms.push(rbm);
        }
        if tensors.contains_key("classifier.0") {
            let classifier = self.new_classifier()?;
            for (i, var) in classifier.vars().into_iter().enumerate() {
                var.set(&self.fitting(&tensors, &format!("classifier.{i}"), var.dims())?)?;
            }
            self.classifier = Some(classifier);
        }
        self.best_vars = below("best", &tensors);
        self.memory = Some(below("memory", &tensors));
        self.record = record;
        Ok(())
    }

    fn fitting(&self, tensors: &State, name: &str, shape: &[usize]) -> Result<candle_core::Tensor> {
        let tensor = take(tensors, name)?;
        if tensor.dims() != shape {
            let what = format!("the checkpoint's tensor {name:?}");
            return Err(Error::invalid(
                what,
                format!("shape {shape:?} as the recipe says"),
                format!("{:?}", tensor.dims()),
            ));
        }
        Ok(tensor.to_device(&self.device)?)
    }

    /// Works until everything is done or the watcher stops it. Errors for divergence name the stage and epoch; the last
    /// checkpoint was taken before it.
    pub fn run(&mut self, watch: &mut dyn Watch) -> Result<Outcome> {
        while self.record.stage < self.stages() {
            let name = self.stage_name();
            let flow = if self.record.stage < self.recipe.layers.len() {
                self.pretrain(watch)
            } else {
                self.finetune(watch)
            };
            if flow.map_err(|e| self.locate(e, &name))?.is_break() {
                return Ok(Outcome::Stopped);
            }
            self.record.stage += 1;
            self.record.position = Position::default();
            self.memory = None;
            watch.checkpoint(&self.checkpoint(State::new()))?;
        }
        Ok(Outcome::Finished(Box::new(self.model()?)))
    }

    /// `layer 1`, … or `classifier`.
    pub(crate) fn stage_name(&self) -> String {
        let stage = self.record.stage;
        if stage < self.recipe.layers.len() {
            format!("layer {}", stage + 1)
        } else {
            "classifier".into()
        }
    }

    fn locate(&self, error: Error, stage: &str) -> Error {
        match error {
            Error::Diverged { what, hint, .. } => {
                let place = format!("{stage}, epoch {}", self.record.position.epoch.max(1));
                Error::Diverged { place, what, hint }
            }
            other => other,
        }
    }

    pub(crate) fn stream(&self, purpose: Stream) -> Rng {
        Rng::new(self.recipe.seed).split(self.record.stage as u64).split(purpose as u64)
    }

    fn new_rbm(&self, layer: usize) -> Result<Rbm> {
        let visible = match layer {
            0 => self.recipe.visible_units(self.train.width())?,
            _ => self.recipe.layers[layer - 1].units()?,
        };
        Rbm::new(
            &visible,
            &self.recipe.layers[layer].units()?,
            self.train.cases.dtype(),
            &self.device,
        )
    }

    pub(crate) fn new_classifier(&self) -> Result<Classifier> {
        let classes = self.classes.ok_or_else(|| Error::invalid("the data", "labels", "none"))?;
        let dbn = Dbn::new(self.rbms.iter().map(Rbm::try_clone).collect::<Result<_>>()?)?;
        Classifier::unroll(&dbn, classes, &mut self.stream(Stream::Init))
    }

    /// Everything that is needed to go on; `memory` is that of the stage's trainer or optimiser.
    pub(crate) fn checkpoint(&self, memory: State) -> Checkpoint {
        let mut tensors = rbm_tensors(&self.rbms);
        if let Some(classifier) = &self.classifier {
            let vars = classifier.vars().into_iter().enumerate();
            tensors
                .extend(vars.map(|(i, var)| (format!("classifier.{i}"), var.as_detached_tensor())));
        }
        tensors.extend(prefixed("best", self.best_vars.clone()));
        tensors.extend(prefixed("memory", memory));
        Checkpoint { tensors, record: self.record.clone() }
    }

    fn pretrain(&mut self, watch: &mut dyn Watch) -> Result<ControlFlow<()>> {
        let stage = self.record.stage;
        let layer = self.recipe.layers[stage].clone();
        let span = tracing::info_span!("layer", number = stage + 1, hidden = %layer.hidden);
        let _entered = span.enter();
        let is_new = self.rbms.len() == stage;
        if is_new {
            self.rbms.push(self.new_rbm(stage)?);
            self.record.rng = self.stream(Stream::Learn);
        }
        let Some((rbm, lower)) = self.rbms.split_last() else {
            return Err(Error::invalid("pre-training", "a layer", "none"));
        };
        let feed = Below {
            cases: &self.train.cases,
            balance: self.train.labels.as_deref().filter(|_| layer.balanced),
            rbms: lower,
            pass: stage
                .checked_sub(1)
                .map(|below| self.recipe.layers[below].pass)
                .unwrap_or_default(),
            batch_size: layer.batch_size,
            shuffle: self.stream(Stream::Shuffle),
        };
        if is_new {
            feed.init(rbm, &layer.init(), &mut self.stream(Stream::Init))?;
        }
        let mut trainer = Trainer::new(layer.negative(), layer.optimizer.optimizer());
        trainer.transforms = layer.transforms()?;
        if let Some(memory) = self.memory.take().filter(|memory| !memory.is_empty()) {
            trainer.restore(&memory)?;
        }
        let plan = Plan {
            epochs: layer.epochs,
            learning_rate: layer.learning_rate.clone(),
            momentum: layer.momentum.clone(),
            steps: layer.steps.clone(),
        };
        watch.stage(&Stage {
            name: format!("layer {}", stage + 1),
            shape: format!("{} → {}", rbm.visible().units().size(), rbm.hidden().units().size()),
            epochs: layer.epochs,
            from: self.record.position.epoch,
            cases: self.train.len(),
        })?;
        let monitor = if self.monitor { Some(self.monitor(&feed)?) } else { None };
        let (mut position, mut rng) = (self.record.position, self.record.rng);
        let mut observer = LayerObserver {
            watch,
            monitor,
            lower,
            plan: &plan,
            record: self.record.clone(),
            clock: Instant::now(),
            cases: 0,
        };
        let flow = trainer.fit(rbm, &feed, &plan, &mut position, &mut rng, &mut observer);
        let epochs = observer.record.epochs;
        (self.record.position, self.record.rng, self.record.epochs) = (position, rng, epochs);
        flow
    }

    fn monitor(&self, feed: &Below) -> Result<Monitor> {
        let first = |part: &Part| -> Result<_> {
            let cases = part.cases.narrow(0, 0, part.len().min(MONITORED))?;
            Ok(crate::dbn::up(feed.rbms, &cases)?.detach())
        };
        let held_out = self.validation.as_ref().map(first).transpose()?;
        Ok(Monitor { train: first(&self.train)?, held_out, rng: self.stream(Stream::Monitor) })
    }

    fn finetune(&mut self, watch: &mut dyn Watch) -> Result<ControlFlow<()>> {
        finetune::run(self, watch)
    }

    /// The model as it stands.
    fn model(&mut self) -> Result<Model> {
        if let Some(classifier) = &self.classifier {
            for (i, var) in classifier.vars().into_iter().enumerate() {
                if let Some(best) = self.best_vars.get(&i.to_string()) {
                    var.set(best)?;
                }
            }
        }
        let dbn = Dbn::new(std::mem::take(&mut self.rbms))?;
        Ok(Model {
            dbn,
            classifier: self.classifier.take(),
            standardise: self.standardise.clone(),
            image: self.image,
        })
    }

    pub(crate) fn best_so_far(&self) -> Option<Best> {
        self.record.best
    }

    pub(crate) fn best_epoch(&self) -> Option<usize> {
        self.record.best.map(|best| best.epoch())
    }

    pub(crate) fn best(&mut self) -> &mut Option<Best> {
        &mut self.record.best
    }

    pub(crate) fn rng(&mut self) -> &mut Rng {
        &mut self.record.rng
    }

    pub(crate) fn sum(&mut self) -> &mut finetune::Sum {
        &mut self.record.sum
    }
}

fn rbm_tensors<'a>(rbms: impl IntoIterator<Item = &'a Rbm>) -> State {
    let tensors = rbms.into_iter().enumerate().flat_map(|(i, rbm)| {
        let parameters = rbm.parameters().into_iter();
        parameters.map(move |(name, var)| (format!("rbms.{i}.{name}"), var.as_detached_tensor()))
    });
    tensors.collect()
}

/// Turns what happens inside a layer's training into figures, commands and checkpoints.
struct LayerObserver<'a> {
    watch: &'a mut dyn Watch,
    monitor: Option<Monitor>,
    lower: &'a [Rbm],
    plan: &'a Plan,
    record: Record,
    clock: Instant,
    cases: usize,
}

impl Observer for LayerObserver<'_> {
    fn epoch(&mut self, moment: &Moment) -> Result<ControlFlow<()>> {
        self.record.epochs += 1;
        let epochs = self.plan.epochs;
        let epoch = moment.position.epoch - 1;
        let seconds = self.clock.elapsed().as_secs_f64();
        let cases = self.cases + moment.cases;
        self.watch.epoch(&Figures {
            stage: format!("layer {}", self.lower.len() + 1),
            epoch: epoch + 1,
            epochs,
            seconds,
            cases_per_second: cases as f64 / seconds.max(1e-9),
            learning_rate: self.plan.learning_rate.at(epoch, epochs),
            momentum: self.plan.momentum.at(epoch, epochs),
            k: Some(self.plan.steps.steps_at(epoch, epochs)),
            update_ratio: moment.update_ratio,
            report: self.monitor.as_ref().map(|monitor| monitor.report(moment.rbm)).transpose()?,
            ..Figures::default()
        })?;
        Ok(ControlFlow::Continue(()))
    }

    fn step(&mut self, moment: &Moment) -> Result<ControlFlow<()>> {
        self.cases += moment.cases;
        if moment.position.batch == 0 {
            (self.cases, self.clock) = (0, Instant::now());
        }
        let command = self.watch.step(&Step { cases: moment.cases, position: moment.position })?;
        if command == Command::Continue {
            return Ok(ControlFlow::Continue(()));
        }
        monitor::check(moment.rbm)?;
        (self.record.position, self.record.rng) = (moment.position, moment.rng);
        let mut tensors = rbm_tensors(self.lower.iter().chain([moment.rbm]));
        tensors.extend(prefixed("memory", moment.memory.state()));
        self.watch.checkpoint(&Checkpoint { tensors, record: self.record.clone() })?;
        Ok(if command == Command::Stop {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }
}
