//! Fine-tuning of an unrolled network by backpropagation, with early stopping on the validation part.

use std::ops::ControlFlow;
use std::time::Instant;

use candle_dbn_data::View;
use rbm_core::ops::device::to_host;
use rbm_core::train::Position;
use rbm_core::{Batches, Error, Result, Rng, Rows, init, monitor};

use super::backprop::Backprop;
use super::network::Network;
use super::record::Record;
use super::{Command, Figures, Observer, Stage, Step, Stream, Training};
use crate::Examples;
use crate::network::fine_tune::{Adversary, Batch, Dropout, FineTune};
use crate::network::missing;
use crate::recipe::{Backpropagation, Work};

/// The most cases that tell how large a loss can be.
const SEEN: usize = 1000;

/// An error that the training [locates](Training::locate).
fn diverged(what: String) -> Error {
    Error::Diverged { place: String::new(), what, hint: String::new() }
}

impl Training {
    /// Runs or goes on with the stage that fine-tunes a network.
    pub(super) fn finetune(
        &mut self,
        work: Work,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let span = tracing::info_span!("fine-tuning", %work);
        let _entered = span.enter();
        let recipe = match work {
            Work::Classifier => self.recipe.classifier.as_ref().map(|c| c.backpropagation()),
            Work::Regressor => self.recipe.regressor.clone(),
            _ => self.recipe.autoencoder.clone(),
        };
        let recipe = recipe.ok_or_else(|| {
            Error::invalid("fine-tuning", "a classifier or an autoencoder", "none")
        })?;
        tracing::info!(epochs = recipe.epochs, from = self.record.position.epoch, "fine-tuning");
        let network = match self.network.take() {
            Some(network) => network,
            None => {
                self.record.rng = self.stream(Stream::Learn);
                self.new_network(work)?
            }
        };
        let cases = self.learned_from()?;
        observer.stage(&self.network_stage(&network, recipe.epochs, cases.len()))?;
        let flow = self.backpropagate(&network, &recipe, &cases, observer);
        self.network = Some(network);
        flow
    }

    /// The numbers of the training cases that are learned from: all, or as many with labels as the recipe says.
    fn learned_from(&self) -> Result<Vec<u32>> {
        let all = (0..self.train.len() as u32).collect();
        match (&self.recipe.classifier, &self.train.labels) {
            (Some(recipe), Some(labels)) if recipe.train_on > 0 => {
                let mut rng = self.stream(Stream::Labelled);
                candle_dbn_data::choose_balanced(labels, recipe.train_on, &mut rng)
            }
            _ => Ok(all),
        }
    }

    /// In which order `cases` are learned from in an epoch, by their places in it; more often where they count more.
    fn order_of(&self, cases: &[u32], size: usize, shuffle: &mut Rng) -> Batches {
        let Some(weights) = &self.train.weights else {
            return Batches::new(cases.len(), size).shuffled(shuffle);
        };
        let weights: Vec<f32> = cases.iter().map(|&case| weights[case as usize]).collect();
        Batches::weighted(&weights, size, shuffle)
    }

    fn network_stage(&self, network: &Network, epochs: usize, cases: usize) -> Stage {
        let sizes = std::iter::once(self.train.width()).chain(network.widths());
        let sizes: Vec<_> = sizes.map(|size| size.to_string()).collect();
        let (name, from) = (self.stage_name(), self.record.position.epoch);
        Stage { name, shape: sizes.join(" → "), epochs, from, cases }
    }

    fn backpropagate(
        &mut self,
        network: &Network,
        recipe: &Backpropagation,
        cases: &[u32],
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let labels = self.train.labels.clone();
        let validation = self.complete_validation()?;
        let shuffle = self.stream(Stream::Shuffle);
        let classifier = self.recipe.classifier.as_ref();
        let (last_only, adversary) = classifier
            .map_or((0, Adversary::None), |recipe| (recipe.softmax_only, recipe.adversary()));
        let dropout = Dropout { visible: recipe.dropout_visible, hidden: recipe.dropout_hidden };
        let most = self.largest_loss(network)?;
        let mut backprop = Backprop::new(network.unrolled(), recipe, last_only);
        if !self.memory.is_empty() {
            backprop.restore(&self.memory)?;
        }
        let mut objectives = Vec::new();
        let has_stopped =
            |record: &Record| record.kept.has_stopped(record.position.epoch, Some(recipe.patience));
        while self.record.position.epoch < recipe.epochs && !has_stopped(&self.record) {
            let epoch = self.record.position.epoch;
            let (learning_rate, momentum) = backprop.start_epoch(epoch);
            let mut shuffle = shuffle.split(epoch as u64);
            let order = self.order_of(cases, recipe.batch_size, &mut shuffle);
            self.record.position.check(&order)?;
            let (clock, mut seen) = (Instant::now(), 0);
            for (i, places) in order.indices().enumerate().skip(self.record.position.batch) {
                let indices: Vec<_> = places.iter().map(|&place| cases[place as usize]).collect();
                let rows = self.train.cases.rows(&indices)?;
                let rows = match (&self.imputation, self.rbms.first()) {
                    (Some(imputation), Some(bottom)) => {
                        imputation.sample(bottom, &rows, &mut self.record.rng)?
                    }
                    _ => rows,
                };
                let rows = self.recipe.data.pass.of_probabilities(&rows, &mut self.record.rng)?;
                let classes = labels.as_ref().map(|labels| -> Vec<u32> {
                    indices.iter().map(|&case| labels[case as usize]).collect()
                });
                let labels = classes.as_deref();
                let wanted = self.train.targets.as_ref().map(|targets| -> Vec<f32> {
                    indices.iter().map(|&case| targets[case as usize]).collect()
                });
                let targets = wanted.as_deref();
                let batch = Batch { cases: &rows, labels, targets, dropout, adversary };
                let objective = backprop.learn(&batch, epoch, &mut self.record.rng)?;
                objectives.push((objective, indices.len()));
                self.record.position = Position { epoch, batch: i + 1 };
                seen += indices.len();
                if i + 1 == order.len() {
                    self.record.sum.take_in(&mut objectives)?;
                    let seconds = clock.elapsed().as_secs_f64();
                    let cases_per_second = seen as f64 / seconds.max(1e-9);
                    let figures = Figures {
                        seconds,
                        cases_per_second,
                        learning_rate,
                        momentum,
                        ..Figures::default()
                    };
                    let shown = (validation.as_ref(), most);
                    let closed = self.close_epoch(network, recipe, shown, figures)?;
                    observer.epoch(&closed)?;
                }
                let command = observer
                    .step(&Step { cases: indices.len(), position: self.record.position })?;
                if command != Command::Continue {
                    self.record.sum.take_in(&mut objectives)?;
                    self.check(network.unrolled())?;
                    observer.checkpoint(&self.checkpoint_with(Some(network), backprop.state()))?;
                }
                if command == Command::Stop {
                    self.memory = backprop.state();
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The validation part with what is missing at its conditional mean under the lowest machine.
    fn complete_validation(&self) -> Result<Option<Examples>> {
        match (&self.validation, &self.imputation, self.rbms.first()) {
            (Some(part), Some(imputation), Some(bottom)) => {
                let cases = missing::complete(&part.cases, imputation, bottom)?;
                Ok(Some(Examples { cases, ..part.clone() }))
            }
            (part, ..) => Ok(part.clone()),
        }
    }

    /// Moves on to the next epoch: what the last one came to, and what of it is kept.
    fn close_epoch(
        &mut self,
        network: &Network,
        recipe: &Backpropagation,
        (validation, most): (Option<&Examples>, f64),
        mut figures: Figures,
    ) -> Result<Figures> {
        let epoch = self.record.position.epoch + 1;
        self.record.position = Position { epoch, batch: 0 };
        self.record.epochs += 1;
        figures.stage = self.stage_name();
        (figures.epoch, figures.epochs) = (epoch, recipe.epochs);
        let loss = self.record.sum.take_mean();
        let check = |what: &str, loss: f64| match loss.is_nan() || loss.abs() > most {
            true => Err(diverged(format!("the mean loss{what} is {loss:.3e} nats a case"))),
            false => Ok(()),
        };
        check("", loss)?;
        figures.train_loss = Some(loss);
        let averages = epoch + recipe.average_last > recipe.epochs;
        let score = self.kept.close_epoch(network.unrolled(), averages, validation, epoch)?;
        if let Some(score) = score {
            check(" on the validation part", score.loss)?;
            match network {
                Network::Classifier(_) => figures.validation_error = Some(score.error),
                Network::Regressor(_) => figures.validation_rmse = Some(score.error),
                Network::Autoencoder(_) => figures.validation_squared_error = Some(score.error),
            }
            figures.validation_loss = Some(score.loss);
        } else if epoch == recipe.epochs {
            // Nothing else looks at what the last steps have made.
            let score = network.unrolled().score(&self.some_of_training()?)?;
            check(" on training cases", score.loss)?;
        }
        self.check(network.unrolled())?;
        self.record.kept = self.kept.counts;
        Ok(figures)
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

    /// Errors when a parameter is no longer finite or the weights have exploded: no checkpoint is taken of such a network.
    fn check(&self, network: &dyn FineTune) -> Result<()> {
        monitor::check_parameters(network.vars())
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
