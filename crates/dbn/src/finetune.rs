//! Fine-tuning of the unrolled network by backpropagation, with early stopping on the validation part.

use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::{DType, Tensor, Var};
use rbm_core::state::State;
use rbm_core::train::Position;
use rbm_core::{Batches, Error, Optimizer, Result, Rng, Stateful, data, ops};
use serde::{Deserialize, Serialize};

use crate::classifier::{Dropout, log_likelihood};
use crate::training::{Command, Figures, Stage, Step, Stream, Training, Watch};
use crate::{Classifier, Part, recipe};

/// The best epoch so far by errors on the validation part, then by cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    epoch: usize,
    errors: usize,
    loss: f64,
}

impl Best {
    pub(crate) fn epoch(&self) -> usize {
        self.epoch
    }
}

/// What has been added up since the epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sum {
    loss: f64,
    cases: usize,
}

/// Runs or goes on with the classifier's stage of `training`.
pub(crate) fn run(training: &mut Training, watch: &mut dyn Watch) -> Result<ControlFlow<()>> {
    let Some(recipe) = training.recipe.classifier.clone() else {
        return Ok(ControlFlow::Continue(()));
    };
    let span = tracing::info_span!("classifier");
    let _entered = span.enter();
    let Some(labels) = training.train.labels.clone() else {
        return Err(Error::invalid("fine-tuning", "labels", "none"));
    };
    let mut optimizer = recipe.optimizer.optimizer();
    let classifier = match training.classifier.take() {
        Some(classifier) => classifier,
        None => {
            *training.rng() = training.stream(Stream::Learn);
            training.new_classifier()?
        }
    };
    if let Some(memory) = training.memory.take().filter(|memory| !memory.is_empty()) {
        optimizer.restore(&memory)?;
    }
    let sizes = classifier.layers.iter().map(|layer| layer.units.units().size());
    let sizes: Vec<_> = sizes.chain([classifier.classes()]).map(|size| size.to_string()).collect();
    watch.stage(&Stage {
        name: training.stage_name(),
        shape: format!("{} → {}", training.train.width(), sizes.join(" → ")),
        epochs: recipe.epochs,
        from: training.record().position.epoch,
        cases: training.train.len(),
    })?;
    training.classifier = Some(classifier);
    let shuffle = training.stream(Stream::Shuffle);
    while training.record().position.epoch < recipe.epochs && !exhausted(training, &recipe) {
        let epoch = training.record().position.epoch;
        let rates = (
            recipe.learning_rate.at(epoch, recipe.epochs),
            recipe.momentum.at(epoch, recipe.epochs),
        );
        optimizer.set_rates(rates.0, rates.1);
        let order = Batches::new(training.train.len(), recipe.batch_size)
            .shuffled(&mut shuffle.split(epoch as u64));
        let (clock, first) = (Instant::now(), training.record().position.batch);
        for (i, indices) in order.indices().enumerate().skip(first) {
            let batch = data::rows(&training.train.cases, indices)?;
            let classes: Vec<u32> = indices.iter().map(|&i| labels[i as usize]).collect();
            let mut rng = *training.rng();
            let step = BackpropStep { recipe: &recipe, softmax_only: epoch < recipe.softmax_only };
            let loss = match &training.classifier {
                Some(classifier) => {
                    step.learn(classifier, &mut *optimizer, &batch, &classes, &mut rng)?
                }
                None => 0.0,
            };
            *training.rng() = rng;
            let sum = training.sum();
            sum.loss += loss * indices.len() as f64;
            sum.cases += indices.len();
            let last = i + 1 == order.len();
            if last {
                let seconds = clock.elapsed().as_secs_f64();
                let here: usize = order.indices().skip(first).map(<[u32]>::len).sum();
                let figures = Figures {
                    stage: training.stage_name(),
                    epoch: epoch + 1,
                    epochs: recipe.epochs,
                    seconds,
                    cases_per_second: here as f64 / seconds.max(1e-9),
                    learning_rate: rates.0,
                    momentum: rates.1,
                    ..Figures::default()
                };
                let figures = finish_epoch(training, figures)?;
                watch.epoch(&figures)?;
            }
            training.record.position = if last {
                Position { epoch: epoch + 1, batch: 0 }
            } else {
                Position { epoch, batch: i + 1 }
            };
            let command =
                watch.step(&Step { cases: indices.len(), position: training.record.position })?;
            if command != Command::Continue {
                check(training)?;
                watch.checkpoint(&training.checkpoint(optimizer.state()))?;
            }
            if command == Command::Stop {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Whether the validation error has not improved for as long as the recipe waits.
fn exhausted(training: &Training, recipe: &recipe::Classifier) -> bool {
    let epoch = training.record().position.epoch;
    training.best_epoch().is_some_and(|best| epoch >= best + recipe.patience.max(1))
}

/// Closes an epoch: validation, the best parameters so far, the sums.
fn finish_epoch(training: &mut Training, mut figures: Figures) -> Result<Figures> {
    let sum = std::mem::take(training.sum());
    figures.train_loss = Some(sum.loss / sum.cases.max(1) as f64);
    check(training)?;
    training.record.epochs += 1;
    let (Some(classifier), Some(validation)) = (&training.classifier, &training.validation) else {
        return Ok(figures);
    };
    let (errors, loss) = errors_and_loss(classifier, validation)?;
    figures.validation_error = Some(100.0 * errors as f64 / validation.len() as f64);
    figures.validation_loss = Some(loss);
    let best = Best { epoch: figures.epoch, errors, loss };
    let better = |old: &Best| (errors, loss) < (old.errors, old.loss);
    if training.best_so_far().is_none_or(|old| better(&old)) {
        let mut vars = State::new();
        for (i, var) in classifier.vars().into_iter().enumerate() {
            vars.insert(i.to_string(), var.as_detached_tensor().copy()?);
        }
        training.best_vars = vars;
        *training.best() = Some(best);
    }
    Ok(figures)
}

/// How many cases are put into the wrong class, and their mean cross-entropy in nats.
pub(crate) fn errors_and_loss(classifier: &Classifier, part: &Part) -> Result<(usize, f64)> {
    let Some(labels) = &part.labels else {
        return Err(Error::invalid("evaluation", "labels", "none"));
    };
    let errors = classifier.errors(&part.cases, labels)?;
    let mut loss = 0.0;
    for (i, labels) in labels.chunks(1000).enumerate() {
        let logits = classifier.logits(&part.cases.narrow(0, i * 1000, labels.len())?)?.detach();
        let mean = log_likelihood(&logits, labels)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        loss -= mean * labels.len() as f64;
    }
    Ok((errors, loss / labels.len().max(1) as f64))
}

fn check(training: &Training) -> Result<()> {
    let finite = |var: &Var| -> Result<bool> {
        let total =
            var.as_detached_tensor().abs()?.mean_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        Ok(total.is_finite())
    };
    for var in training.classifier.iter().flat_map(Classifier::vars) {
        if !finite(var)? {
            return Err(Error::Diverged {
                place: "fine-tuning".into(),
                what: "the classifier's parameters are no longer finite".into(),
                hint: "lower classifier.learning_rate".into(),
            });
        }
    }
    Ok(())
}

struct BackpropStep<'a> {
    recipe: &'a recipe::Classifier,
    softmax_only: bool,
}

impl BackpropStep<'_> {
    /// One step of backpropagation; returns the mean cross-entropy before it, in nats.
    fn learn(
        &self,
        classifier: &Classifier,
        optimizer: &mut dyn Optimizer,
        batch: &Tensor,
        classes: &[u32],
        rng: &mut Rng,
    ) -> Result<f64> {
        let dropout =
            Dropout { visible: self.recipe.dropout_visible, hidden: self.recipe.dropout_hidden };
        let logits = classifier.logits_with_dropout(batch, dropout, rng)?;
        let objective = log_likelihood(&logits, classes)?;
        let gradients = objective.backward()?;
        let vars = classifier.vars();
        let softmax = vars.len() - 2;
        let mut ascent = Vec::with_capacity(vars.len());
        for (i, var) in vars.iter().enumerate() {
            let learns = i >= softmax || !self.softmax_only;
            let gradient = match gradients.get(var.as_tensor()).filter(|_| learns) {
                Some(gradient) => gradient.contiguous()?,
                None => var.as_detached_tensor().zeros_like()?,
            };
            if self.recipe.l2 > 0.0 && var.rank() == 2 && learns {
                ops::add_scaled(&gradient, &var.as_detached_tensor(), -self.recipe.l2)?;
            }
            ascent.push(gradient);
        }
        optimizer.ascend(&vars, &ascent.iter().collect::<Vec<_>>())?;
        Ok(-objective.to_dtype(DType::F64)?.to_scalar::<f64>()?)
    }
}
