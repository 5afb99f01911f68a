//! The stage of up-down: the whole stack learns together.

use std::ops::ControlFlow;

use rbm_core::estimate::monitor;
use rbm_core::learning::train::{self, Cursor, EpochMetrics, Observer, Stage, StageStart};
use rbm_core::learning::trainer::BatchSource;
use rbm_core::{Batches, Checkpoint, Error, Result, Rng, Sgd};

use super::averaging::BestWeights;
use super::state::{checkpoint_of, generative_tensors};
use super::{Stream, Training};
use crate::learning::LayerInput;
use crate::learning::up_down_parameters;
use crate::network::dbn::label_codes;
use crate::recipe::{self, StageKind};
use crate::{ConditionalLayer, Dbn, Inference, UpDown};

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
        let dbn = self.take_dbn()?;
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
        };
        let flow = train::run(&mut stage, &mut cursor, &mut rng, observer);
        let memory = stage.learner.optimizer.state();
        self.record.move_to(cursor, rng);
        self.memory = memory;
        (self.rbms, self.generative) = (dbn.rbms, dbn.generative);
        flow
    }

    /// The data themselves, as the stack learns from them.
    fn whole_input(&self, recipe: &recipe::UpDown) -> LayerInput<'_> {
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
    recipe: &'a recipe::UpDown,
    input: LayerInput<'a>,
    learner: UpDown,
    /// Learning rate and momentum of the epoch.
    rates: (f64, f64),
}

impl UpDownStage<'_> {
    /// Errors when the top machine is none any more, or what is below it has diverged.
    fn check(&self) -> Result<()> {
        monitor::check(self.dbn.top())?;
        monitor::check_parameters(up_down_parameters(self.dbn))
    }

    /// How many of the validation cases, in percent, are taken for another class than theirs.
    fn validation_error(&self) -> Result<Option<f64>> {
        let Training { validation, monitor, .. } = self.training;
        let is_asked = *monitor && self.dbn.classes.is_some();
        let Some(part) = validation.as_ref().filter(|_| is_asked) else { return Ok(None) };
        let errors = self.dbn.label_errors(part, Inference::Means, &mut Rng::new(0))?;
        Ok(Some(100.0 * errors as f64 / part.len().max(1) as f64))
    }
}

impl Stage for UpDownStage<'_> {
    fn start(&self, from: usize) -> StageStart {
        let sizes = self.dbn.rbms.iter().map(|rbm| rbm.hidden().units().width().to_string());
        let sizes: Vec<_> = std::iter::once(self.dbn.width().to_string()).chain(sizes).collect();
        StageStart {
            name: StageKind::UpDown.to_string(),
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

    fn start_epoch(&mut self, epoch: usize, _: usize) -> Result<()> {
        let recipe::UpDown { epochs, learning_rate, momentum, steps, .. } = self.recipe;
        self.rates = (learning_rate.at(epoch, *epochs), momentum.at(epoch, *epochs));
        self.learner.steps = steps.steps_at(epoch, *epochs);
        self.learner.optimizer.set_rates(self.rates.0, self.rates.1);
        Ok(())
    }

    fn step(&mut self, indices: &[u32], _: Cursor, rng: &mut Rng) -> Result<()> {
        let v = self.input.batch(indices, rng)?;
        let codes = match (self.dbn.classes, &self.training.train.labels) {
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
        let mut checkpoint = checkpoint_of(&self.dbn.rbms, None, &kept, memory, record);
        checkpoint.tensors.extend(generative_tensors(&self.dbn.generative));
        checkpoint.untyped()
    }
}
