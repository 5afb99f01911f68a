//! Fine-tuning of an unrolled network by backpropagation, with early stopping on the validation part.

use std::ops::ControlFlow;

use candle_core::Tensor;
use candle_dbn_data::View;
use rbm_core::estimate::monitor;
use rbm_core::learning::train::{
    self, Cursor, EpochMetrics, Observer, Stage, StageKind, StageStart,
};
use rbm_core::model::init;
use rbm_core::ops::device::to_host;
use rbm_core::{Batches, Checkpoint, Error, Result, Rng, Rows};

use super::backprop::{Backprop, BestWeights, Network, Sum};
use super::state::TrainingState;
use super::{Stream, Training};
use crate::network::classifier::Target;
use crate::network::fine_tune::{Adversary, Batch, Dropout};
use crate::network::model::complete;
use crate::recipe::{self, Backpropagation};
use crate::{Autoencoder, Classifier, Examples, Regressor};

/// The most cases that tell how large a loss can be.
const SEEN: usize = 1000;

/// An error that the training [locates](Training::locate).
fn diverged(what: String) -> Error {
    Error::Diverged { place: String::new(), what, hint: String::new() }
}

impl Training {
    /// Runs or goes on with the stage that fine-tunes a network.
    pub(super) fn fine_tune(
        &mut self,
        kind: StageKind,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let span = tracing::info_span!("fine-tuning", %kind);
        let _entered = span.enter();
        let recipe = self.recipe.backpropagation(kind).cloned();
        let recipe = recipe.ok_or_else(|| {
            Error::invalid("fine-tuning", "a classifier or an autoencoder", "none")
        })?;
        tracing::info!(epochs = recipe.epochs, from = self.record.cursor.epoch, "fine-tuning");
        let network = match self.network.take() {
            Some(network) => network,
            None => {
                self.record.rng = self.stream(Stream::Learn);
                self.new_network(kind)?
            }
        };
        let cases = self.learned_from()?;
        let (mut cursor, mut rng) = (self.record.cursor, self.record.rng);
        let kept = std::mem::take(&mut self.kept);
        let mut stage = FineTuning::new(self, &network, &recipe, cases, kept)?;
        let flow = train::run(&mut stage, &mut cursor, &mut rng, observer);
        let FineTuning { backprop, kept, sum, .. } = stage;
        let memory = backprop.state();
        self.record.move_to(cursor, rng);
        (self.record.kept, self.record.sum) = (kept.counts, sum);
        (self.memory, self.kept) = (memory, kept);
        self.network = Some(network);
        flow
    }

    /// The network that `kind` fine-tunes, as pre-training leaves it. Errors for a stage that fine-tunes none.
    pub(super) fn new_network(&self, kind: StageKind) -> Result<Network> {
        match kind {
            StageKind::Classifier => {
                let classes = self.classes;
                let classes =
                    classes.ok_or_else(|| Error::invalid("the data", "labels", "none"))?;
                let mut rng = self.stream(Stream::Init);
                Ok(Network::Classifier(Classifier::unroll(&self.rbms, classes, &mut rng)?))
            }
            StageKind::Regressor => {
                let targets = self.train.targets.as_deref().zip(self.target.as_deref());
                let Some((values, name)) = targets else {
                    return Err(Error::invalid("the data", "a target (--target COLUMN)", "none"));
                };
                let target = Target::of(name, values);
                let mut rng = self.stream(Stream::Init);
                Ok(Network::Regressor(Regressor::unroll(&self.rbms, target, &mut rng)?))
            }
            StageKind::Autoencoder => Ok(Network::Autoencoder(Autoencoder::unroll(&self.rbms)?)),
            other => Err(Error::invalid("fine-tuning", "an unrolled network", other.to_string())),
        }
    }

    /// The numbers of the training cases that are learned from: all, or as many with labels as the recipe says.
    fn learned_from(&self) -> Result<Vec<u32>> {
        let all = (0..self.train.len() as u32).collect();
        match (&self.recipe.classifier, &self.train.labels) {
            (Some(recipe::ClassifierRecipe { train_on: Some(count), .. }), Some(labels)) => {
                let mut rng = self.stream(Stream::Labelled);
                candle_dbn_data::choose_balanced(labels, *count, &mut rng)
            }
            _ => Ok(all),
        }
    }

    /// The validation part with what is missing at its conditional mean under the lowest machine.
    fn complete_validation(&self) -> Result<Option<Examples>> {
        match (&self.validation, &self.imputation, self.rbms.first()) {
            (Some(part), Some(imputation), Some(bottom)) => {
                let cases = complete(&part.cases, imputation, bottom)?;
                Ok(Some(Examples { cases, ..part.clone() }))
            }
            (part, ..) => Ok(part.clone()),
        }
    }

    /// Training cases from all over them, a thousand at most, with what is missing as it begins.
    fn some_of_training(&self) -> Result<Examples> {
        let part = self.train.select(&self.train.cases.spread(SEEN))?;
        match &self.imputation {
            Some(imputation) => {
                let cases = View::of(&imputation.started(&part.cases.tensor()?)?)?;
                Ok(Examples { cases: cases.to_device(&self.device)?, ..part })
            }
            None => Ok(part),
        }
    }

    /// The loss above which the network means nothing, in nats a case: a thousand times what it takes to know nothing.
    fn largest_loss(&self, network: &Network) -> Result<f64> {
        let nothing = match network {
            Network::Classifier(network) => (network.classes() as f64).ln(),
            // Of a standardised target.
            Network::Regressor(_) => 0.5,
            Network::Autoencoder(_) => {
                let (_, variance) = init::moments(&self.some_of_training()?.cases)?;
                let width = self.train.width() as f64;
                width + to_host(&variance.sum_all()?)?.to_scalar::<f64>()?
            }
        };
        Ok(1e3 * nothing.max(1.0))
    }
}

/// A network that is fine-tuned, as [`train::run`] sees it.
struct FineTuning<'a> {
    training: &'a Training,
    network: &'a Network,
    recipe: &'a Backpropagation,
    backprop: Backprop<'a>,
    /// The numbers of the cases that are learned from.
    cases: Vec<u32>,
    /// Complete: nothing is missing in it.
    validation: Option<Examples>,
    dropout: Dropout,
    adversary: Adversary,
    /// The loss above which the network means nothing.
    most: f64,
    shuffle: Rng,
    kept: BestWeights,
    sum: Sum,
    /// Mean objectives of mini-batches that are still on the device, with their numbers of cases.
    objectives: Vec<(Tensor, usize)>,
    /// Learning rate and momentum of the epoch.
    rates: (f64, f64),
    /// Mini-batches of the epoch.
    batches: usize,
}

impl<'a> FineTuning<'a> {
    fn new(
        training: &'a Training,
        network: &'a Network,
        recipe: &'a Backpropagation,
        cases: Vec<u32>,
        kept: BestWeights,
    ) -> Result<Self> {
        let classifier = training.recipe.classifier.as_ref();
        let (last_only, adversary) = classifier
            .map_or((0, Adversary::None), |recipe| (recipe.softmax_only, recipe.adversarial));
        let mut backprop = Backprop::new(network.unrolled(), recipe, last_only);
        if !training.memory.is_empty() {
            backprop.restore(&training.memory)?;
        }
        Ok(Self {
            training,
            network,
            recipe,
            backprop,
            cases,
            validation: training.complete_validation()?,
            dropout: Dropout { visible: recipe.dropout_visible, hidden: recipe.dropout_hidden },
            adversary,
            most: training.largest_loss(network)?,
            shuffle: training.stream(Stream::Shuffle),
            kept,
            sum: training.record.sum,
            objectives: Vec::new(),
            rates: (0.0, 0.0),
            batches: 0,
        })
    }

    /// Errors for a loss that means nothing.
    fn check_loss(&self, what: &str, loss: f64) -> Result<()> {
        match loss.is_nan() || loss.abs() > self.most {
            true => Err(diverged(format!("the mean loss{what} is {loss:.3e} nats a case"))),
            false => Ok(()),
        }
    }

    /// Errors when a parameter is no longer finite or the weights have exploded: no checkpoint is taken of such a network.
    fn check(&self) -> Result<()> {
        monitor::check_parameters(self.network.unrolled().vars())
    }
}

impl Stage for FineTuning<'_> {
    fn start(&self, from: usize) -> StageStart {
        let sizes = std::iter::once(self.training.train.width()).chain(self.network.widths());
        let sizes: Vec<_> = sizes.map(|size| size.to_string()).collect();
        StageStart {
            kind: self.network.kind(),
            shape: sizes.join(" → "),
            epochs: self.recipe.epochs,
            from,
            cases: self.cases.len(),
        }
    }

    fn is_over(&self, epochs: usize) -> bool {
        epochs >= self.recipe.epochs
            || self.kept.counts.has_stopped(epochs, Some(self.recipe.patience))
    }

    /// By the places of cases among those that are learned from; more often where they count more.
    fn order(&self, epoch: usize) -> Batches {
        let (cases, size) = (&self.cases, self.recipe.batch_size);
        let mut shuffle = self.shuffle.split(epoch as u64);
        let Some(weights) = &self.training.train.weights else {
            return Batches::new(cases.len(), size).shuffled(&mut shuffle);
        };
        let weights: Vec<f32> = cases.iter().map(|&case| weights[case as usize]).collect();
        Batches::weighted(&weights, size, &mut shuffle)
    }

    fn start_epoch(&mut self, epoch: usize, batches: usize) -> Result<()> {
        self.rates = self.backprop.set_rates(epoch, (0, batches));
        self.batches = batches;
        Ok(())
    }

    fn step(&mut self, places: &[u32], at: Cursor, rng: &mut Rng) -> Result<()> {
        let Self { training, dropout, adversary, .. } = *self;
        let train = &training.train;
        let indices: Vec<_> = places.iter().map(|&place| self.cases[place as usize]).collect();
        let rows = train.cases.rows(&indices)?;
        let rows = match (&training.imputation, training.rbms.first()) {
            (Some(imputation), Some(bottom)) => imputation.sample(bottom, &rows, rng)?,
            _ => rows,
        };
        let rows = training.recipe.data.pass.of_probabilities(&rows, rng)?;
        let classes = train.labels.as_ref().map(|labels| -> Vec<u32> {
            indices.iter().map(|&case| labels[case as usize]).collect()
        });
        let labels = classes.as_deref();
        let wanted = train.targets.as_ref().map(|targets| -> Vec<f32> {
            indices.iter().map(|&case| targets[case as usize]).collect()
        });
        let targets = wanted.as_deref();
        let batch = Batch { cases: &rows, labels, targets, dropout, adversary };
        self.backprop.set_rates(at.epoch, (at.batch, self.batches));
        let objective = self.backprop.learn(&batch, at.epoch, rng)?;
        self.objectives.push((objective, indices.len()));
        Ok(())
    }

    /// What of the network is kept is decided here, too.
    fn end_epoch(&mut self, metrics: EpochMetrics) -> Result<EpochMetrics> {
        let (learning_rate, momentum) = self.rates;
        let mut metrics = EpochMetrics { learning_rate, momentum, ..metrics };
        self.sum.take_in(&mut self.objectives)?;
        let loss = self.sum.take_mean();
        self.check_loss("", loss)?;
        metrics.train_loss = Some(loss);
        let network = self.network.unrolled();
        let (epoch, epochs) = (metrics.epoch, self.recipe.epochs);
        let averages = epoch + self.recipe.average_last.unwrap_or_default() > epochs;
        let score = self.kept.close_epoch(network, averages, self.validation.as_ref(), epoch)?;
        if let Some(score) = score {
            self.check_loss(" on the validation part", score.loss)?;
            match self.network {
                Network::Classifier(_) => metrics.validation_error = Some(score.error),
                Network::Regressor(_) => metrics.validation_rmse = Some(score.error),
                Network::Autoencoder(_) => metrics.validation_squared_error = Some(score.error),
            }
            metrics.validation_loss = Some(score.loss);
        } else if epoch == epochs {
            // Nothing else looks at what the last steps have made.
            let score = network.score(&self.training.some_of_training()?)?;
            self.check_loss(" on training cases", score.loss)?;
        }
        self.check()?;
        Ok(metrics)
    }

    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint> {
        self.sum.take_in(&mut self.objectives)?;
        self.check()?;
        let (kept, sum) = (self.kept.counts, self.sum);
        let record = TrainingState { kept, sum, ..self.training.record.at(cursor, rng) };
        let memory = self.backprop.state();
        self.training.checkpoint_with(Some(self.network), &self.kept, memory, record).untyped()
    }
}
