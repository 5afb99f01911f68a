//! The stage of up-down: the whole stack learns together.

use std::ops::ControlFlow;
use std::time::Instant;

use rbm_core::train::{Feed, Position};
use rbm_core::{Error, Result, Rng, Sgd, monitor};

use super::record::{checkpoint_of, generative_tensors};
use super::{Command, Figures, Kept, Observer, Stage, Step, Stream, Training};
use crate::learning::greedy::LayerInput;
use crate::learning::up_down;
use crate::network::labels;
use crate::{ConditionalLayer, Dbn, Inference, UpDown, recipe};

/// Errors when the top machine is none any more, or what is below it has diverged.
fn check(dbn: &Dbn) -> Result<()> {
    monitor::check(dbn.top())?;
    monitor::check_parameters(up_down::parameters(dbn))
}

impl Training {
    /// Runs or goes on with the stage of up-down.
    pub(super) fn updown(&mut self, observer: &mut dyn Observer) -> Result<ControlFlow<()>> {
        let span = tracing::info_span!("up-down");
        let _entered = span.enter();
        let Some(recipe) = self.recipe.updown.clone() else {
            return Err(Error::invalid("up-down", "a part of the recipe", "none"));
        };
        tracing::info!(epochs = recipe.epochs, from = self.record.position.epoch, "up-down");
        if self.record.position == Position::default() {
            self.record.rng = self.stream(Stream::Learn);
            let below = &self.rbms[..self.rbms.len().saturating_sub(1)];
            self.generative =
                below.iter().map(ConditionalLayer::downwards).collect::<Result<_>>()?;
        }
        let dbn = self.take_dbn()?;
        let sizes = dbn.rbms.iter().map(|rbm| rbm.hidden().units().size().to_string());
        let sizes: Vec<_> = std::iter::once(dbn.width().to_string()).chain(sizes).collect();
        observer.stage(&Stage {
            name: self.stage_name(),
            shape: sizes.join(" ⇄ "),
            epochs: recipe.epochs,
            from: self.record.position.epoch,
            cases: self.train.len(),
        })?;
        let flow = self.wake_and_sleep(&dbn, &recipe, observer);
        (self.rbms, self.generative) = (dbn.rbms, dbn.generative);
        flow
    }

    fn wake_and_sleep(
        &mut self,
        dbn: &Dbn,
        recipe: &recipe::UpDown,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let cases = self.train.cases.clone();
        let of_cases = self.train.labels.clone();
        let feed = LayerInput {
            imputation: None,
            cases: &cases,
            balance: of_cases.as_deref().filter(|_| recipe.balanced),
            weights: self.train.weights.as_deref(),
            rbms: &[],
            passes: &[],
            data: self.recipe.data.pass,
            labels: None,
            batch_size: recipe.batch_size,
            shuffle: self.stream(Stream::Shuffle),
        };
        let mut updown = UpDown { steps: 1, l2: recipe.l2, optimizer: Box::new(Sgd::new(0.0)) };
        if !self.memory.is_empty() {
            updown.optimizer.restore(&self.memory)?;
        }
        while self.record.position.epoch < recipe.epochs {
            let epoch = self.record.position.epoch;
            let learning_rate = recipe.learning_rate.at(epoch, recipe.epochs);
            let momentum = recipe.momentum.at(epoch, recipe.epochs);
            updown.steps = recipe.steps.steps_at(epoch, recipe.epochs);
            updown.optimizer.set_rates(learning_rate, momentum);
            let order = feed.order(epoch);
            self.record.position.check(&order)?;
            let (clock, mut seen) = (Instant::now(), 0);
            for (i, indices) in order.indices().enumerate().skip(self.record.position.batch) {
                let v = feed.batch(indices, &mut self.record.rng)?;
                let codes = match (dbn.classes, &of_cases) {
                    (Some(classes), Some(labels)) => {
                        let labels: Vec<u32> =
                            indices.iter().map(|&i| labels[i as usize]).collect();
                        Some(labels::codes(&labels, classes, v.dtype(), v.device())?)
                    }
                    _ => None,
                };
                updown.step(dbn, &v, codes.as_ref(), &mut self.record.rng)?;
                seen += indices.len();
                self.record.position = Position { epoch, batch: i + 1 };
                if i + 1 == order.len() {
                    check(dbn)?;
                    self.record.position = Position { epoch: epoch + 1, batch: 0 };
                    self.record.epochs += 1;
                    let seconds = clock.elapsed().as_secs_f64();
                    observer.epoch(&Figures {
                        stage: self.stage_name(),
                        epoch: epoch + 1,
                        epochs: recipe.epochs,
                        seconds,
                        cases_per_second: seen as f64 / seconds.max(1e-9),
                        learning_rate,
                        momentum,
                        k: Some(updown.steps),
                        validation_error: self.error_of(dbn)?,
                        ..Figures::default()
                    })?;
                }
                let command = observer
                    .step(&Step { cases: indices.len(), position: self.record.position })?;
                if command != Command::Continue {
                    check(dbn)?;
                    let memory = updown.optimizer.state();
                    let kept = Kept::default();
                    let mut checkpoint =
                        checkpoint_of(&dbn.rbms, None, &kept, memory, &self.record);
                    checkpoint.tensors.extend(generative_tensors(&dbn.generative));
                    observer.checkpoint(&checkpoint)?;
                }
                if command == Command::Stop {
                    self.memory = updown.optimizer.state();
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// How many of the validation cases, in percent, are taken for another class than theirs.
    fn error_of(&self, dbn: &Dbn) -> Result<Option<f64>> {
        let is_asked = self.monitor && dbn.classes.is_some();
        let Some(part) = self.validation.as_ref().filter(|_| is_asked) else { return Ok(None) };
        let errors = dbn.label_errors(part, Inference::Means, &mut Rng::new(0))?;
        Ok(Some(100.0 * errors as f64 / part.len().max(1) as f64))
    }
}
