//! Fine-tuning of the unrolled network by backpropagation, with early stopping on the validation part.

use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::{DType, Tensor};
use rbm_core::train::Position;
use rbm_core::{Batches, Error, Optimizer, Result, Rng, Rows};
use serde::{Deserialize, Serialize};

use super::record::{Record, checkpoint_of};
use super::{Command, Figures, Stage, Step, Stream, Training, Watch};
use crate::classifier::Dropout;
use crate::{Classifier, recipe};

/// What has been added up since the epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sum {
    loss: f64,
    cases: usize,
}

impl Sum {
    fn add(&mut self, mean_loss: f64, cases: usize) {
        self.loss += mean_loss * cases as f64;
        self.cases += cases;
    }

    fn take_mean(&mut self) -> f64 {
        let Self { loss, cases } = std::mem::take(self);
        loss / cases.max(1) as f64
    }
}

impl Record {
    /// Whether the validation error has not improved for as long as the recipe waits.
    fn is_exhausted(&self, recipe: &recipe::Classifier) -> bool {
        self.kept
            .best
            .is_some_and(|best| self.position.epoch >= best.epoch + recipe.patience.max(1))
    }
}

impl Training {
    /// Runs or goes on with the classifier's stage.
    pub(super) fn finetune(&mut self, watch: &mut dyn Watch) -> Result<ControlFlow<()>> {
        let span = tracing::info_span!("classifier");
        let _entered = span.enter();
        let Some(recipe) = self.recipe.classifier.clone() else {
            return Err(Error::invalid("fine-tuning", "a classifier", "none"));
        };
        tracing::info!(epochs = recipe.epochs, from = self.record.position.epoch, "fine-tuning");
        let classifier = match self.classifier.take() {
            Some(classifier) => classifier,
            None => {
                self.record.rng = self.stream(Stream::Learn);
                self.new_classifier()?
            }
        };
        watch.stage(&self.classifier_stage(&classifier, recipe.epochs))?;
        let flow = self.backpropagate(&classifier, &recipe, watch);
        self.classifier = Some(classifier);
        flow
    }

    fn classifier_stage(&self, classifier: &Classifier, epochs: usize) -> Stage {
        let sizes = classifier.layers.iter().map(|layer| layer.units.units().size());
        let sizes = std::iter::once(self.train.width()).chain(sizes).chain([classifier.classes()]);
        let sizes: Vec<_> = sizes.map(|size| size.to_string()).collect();
        Stage {
            name: self.stage_name(),
            shape: sizes.join(" → "),
            epochs,
            from: self.record.position.epoch,
            cases: self.train.len(),
        }
    }

    fn backpropagate(
        &mut self,
        classifier: &Classifier,
        recipe: &recipe::Classifier,
        watch: &mut dyn Watch,
    ) -> Result<ControlFlow<()>> {
        let labels = self.train.labels.clone();
        let labels = labels.ok_or_else(|| Error::invalid("fine-tuning", "labels", "none"))?;
        let shuffle = self.stream(Stream::Shuffle);
        let mut backprop = Backprop { recipe, classifier, optimizer: recipe.optimizer.optimizer() };
        if !self.memory.is_empty() {
            backprop.optimizer.restore(&self.memory)?;
        }
        while self.record.position.epoch < recipe.epochs && !self.record.is_exhausted(recipe) {
            let epoch = self.record.position.epoch;
            let (learning_rate, momentum) = backprop.start_epoch(epoch);
            let order = Batches::new(self.train.len(), recipe.batch_size);
            let order = order.shuffled(&mut shuffle.split(epoch as u64));
            self.record.position.check(&order)?;
            let (clock, mut seen) = (Instant::now(), 0);
            for (i, indices) in order.indices().enumerate().skip(self.record.position.batch) {
                let batch = self.train.cases.rows(indices)?;
                let classes: Vec<u32> = indices.iter().map(|&i| labels[i as usize]).collect();
                let loss = backprop.learn(&batch, &classes, epoch, &mut self.record.rng)?;
                self.record.sum.add(loss, indices.len());
                self.record.position = Position { epoch, batch: i + 1 };
                seen += indices.len();
                if i + 1 == order.len() {
                    let seconds = clock.elapsed().as_secs_f64();
                    let cases_per_second = seen as f64 / seconds.max(1e-9);
                    let figures = Figures {
                        seconds,
                        cases_per_second,
                        learning_rate,
                        momentum,
                        ..Figures::default()
                    };
                    watch.epoch(&self.close_epoch(classifier, recipe, figures)?)?;
                }
                let command =
                    watch.step(&Step { cases: indices.len(), position: self.record.position })?;
                if command != Command::Continue {
                    check(classifier)?;
                    let memory = backprop.optimizer.state();
                    watch.checkpoint(&checkpoint_of(
                        &self.rbms,
                        classifier,
                        &self.kept,
                        memory,
                        &self.record,
                    ))?;
                }
                if command == Command::Stop {
                    self.memory = backprop.optimizer.state();
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Moves on to the next epoch: what the last one came to, and what of it is kept.
    fn close_epoch(
        &mut self,
        classifier: &Classifier,
        recipe: &recipe::Classifier,
        mut figures: Figures,
    ) -> Result<Figures> {
        check(classifier)?;
        let epoch = self.record.position.epoch + 1;
        self.record.position = Position { epoch, batch: 0 };
        self.record.epochs += 1;
        figures.stage = self.stage_name();
        (figures.epoch, figures.epochs) = (epoch, recipe.epochs);
        figures.train_loss = Some(self.record.sum.take_mean());
        let averages = epoch + recipe.average_last > recipe.epochs;
        let validation = self.validation.as_ref();
        if let Some(score) = self.kept.close_epoch(classifier, averages, validation, epoch)? {
            let cases = validation.map_or(1, crate::Part::len).max(1);
            figures.validation_error = Some(100.0 * score.errors as f64 / cases as f64);
            figures.validation_loss = Some(score.loss);
        }
        self.record.kept = self.kept.counts;
        Ok(figures)
    }
}

/// Errors when a parameter is no longer finite.
fn check(classifier: &Classifier) -> Result<()> {
    for var in classifier.vars() {
        let size =
            var.as_detached_tensor().abs()?.mean_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !size.is_finite() {
            return Err(Error::Diverged {
                place: "classifier".into(),
                what: "the parameters are no longer finite".into(),
                hint: "lower classifier.learning_rate".into(),
            });
        }
    }
    Ok(())
}

/// What makes one step of backpropagation.
struct Backprop<'a> {
    recipe: &'a recipe::Classifier,
    classifier: &'a Classifier,
    optimizer: Box<dyn Optimizer>,
}

impl Backprop<'_> {
    /// Sets the rates of `epoch`: learning rate and momentum.
    fn start_epoch(&mut self, epoch: usize) -> (f64, f64) {
        let recipe::Classifier { epochs, learning_rate, momentum, .. } = self.recipe;
        let rates = (learning_rate.at(epoch, *epochs), momentum.at(epoch, *epochs));
        self.optimizer.set_rates(rates.0, rates.1);
        rates
    }

    /// One step; returns the mean cross-entropy before it, in nats.
    fn learn(
        &mut self,
        batch: &Tensor,
        classes: &[u32],
        epoch: usize,
        rng: &mut Rng,
    ) -> Result<f64> {
        let recipe = self.recipe;
        let dropout = Dropout { visible: recipe.dropout_visible, hidden: recipe.dropout_hidden };
        let (objective, mut ascents) = self.classifier.ascents(batch, classes, dropout, rng)?;
        let vars = self.classifier.vars();
        let learning = if epoch < recipe.softmax_only { vars.len() - 2.. } else { 0.. };
        for (i, (var, ascent)) in vars.iter().zip(&mut ascents).enumerate() {
            if !learning.contains(&i) {
                *ascent = var.as_detached_tensor().zeros_like()?.into();
            } else if var.rank() == 2 {
                ascent.penalty.l2 = recipe.l2;
            }
        }
        self.optimizer.ascend(&vars, &ascents)?;
        Ok(-objective)
    }
}
