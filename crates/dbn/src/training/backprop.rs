//! The network that a training fine-tunes, one step of its backpropagation, and which parameters are kept.
//!
//! A step is one along gradients, or one of line searches. Kept are the parameters of the best epoch, or their average over the last
//! epochs. Averages over epochs at a rate that still moves the parameters lie nearer the middle of the basin than any one of them
//! (Polyak and Juditsky 1992; Practical Guide §7).

use candle_core::Tensor;
use rbm_core::learning::train::StageKind;
use rbm_core::ops::device::to_host;
use rbm_core::ops::{self, Ascent};
use rbm_core::state::{State, with_prefix, without_prefix};
use rbm_core::{Adam, ConjugateGradient, Error, Optimizer, Result, Rng, Schedule, Sgd, Stateful};
use serde::{Deserialize, Serialize};

use crate::network::classifier::Regressor;
use crate::network::fine_tune::{self, Batch, FineTune};
use crate::recipe::{Backpropagation, FinetuneRule, Searches};
use crate::{Autoencoder, Classifier, Examples};

/// What has been added up since the epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sum {
    loss: f64,
    cases: usize,
}

impl Sum {
    /// Adds the mini-batches whose mean objective is still on the device, with how many cases each had; nothing is left of
    /// them. Only here is waited for the device.
    pub(super) fn take_in(&mut self, objectives: &mut Vec<(Tensor, usize)>) -> Result<()> {
        if objectives.is_empty() {
            return Ok(());
        }
        let (means, cases): (Vec<_>, Vec<_>) = std::mem::take(objectives).into_iter().unzip();
        let means = to_host(&Tensor::stack(&means, 0)?)?.to_vec1::<f64>()?;
        for (mean, cases) in means.iter().zip(cases) {
            self.loss -= mean * cases as f64;
            self.cases += cases;
        }
        Ok(())
    }

    pub(super) fn take_mean(&mut self) -> f64 {
        let Self { loss, cases } = std::mem::take(self);
        loss / cases.max(1) as f64
    }
}

/// What moves the parameters.
enum StepRule {
    Steps(Box<dyn Optimizer>),
    Searches(ConjugateGradient),
}

/// What makes one step of backpropagation.
pub(super) struct Backprop<'a> {
    network: &'a dyn FineTune,
    recipe: &'a Backpropagation,
    rule: StepRule,
    /// In so many of the first epochs only the last matrix and its bias learn.
    last_only: usize,
}

impl<'a> Backprop<'a> {
    pub(super) fn new(
        network: &'a dyn FineTune,
        recipe: &'a Backpropagation,
        last_only: usize,
    ) -> Self {
        let rule = match recipe.optimizer {
            FinetuneRule::Sgd => StepRule::Steps(Box::new(Sgd::new(0.0))),
            FinetuneRule::Adam => StepRule::Steps(Box::new(Adam::new(0.0))),
            FinetuneRule::Cg(Searches { line_searches }) => {
                StepRule::Searches(ConjugateGradient::new(line_searches))
            }
        };
        Self { network, recipe, rule, last_only }
    }

    /// What must be remembered to go on.
    pub(super) fn state(&self) -> State {
        match &self.rule {
            StepRule::Steps(optimizer) => optimizer.state(),
            StepRule::Searches(searches) => searches.state(),
        }
    }

    pub(super) fn restore(&mut self, state: &State) -> Result<()> {
        match &mut self.rule {
            StepRule::Steps(optimizer) => optimizer.restore(state),
            StepRule::Searches(searches) => searches.restore(state),
        }
    }

    /// Sets learning rate and momentum: those of update `.0` of the `.1` of `epoch`.
    pub(super) fn set_rates(&mut self, epoch: usize, update: (usize, usize)) -> (f64, f64) {
        let Backpropagation { epochs, learning_rate, momentum, .. } = self.recipe;
        let at = |schedule: &Schedule| schedule.at_update(epoch, update, *epochs);
        let rates = (at(learning_rate), at(momentum));
        if let StepRule::Steps(optimizer) = &mut self.rule {
            optimizer.set_rates(rates.0, rates.1);
        }
        rates
    }

    /// One step; returns the mean objective before it, in nats, on the device.
    pub(super) fn learn(&mut self, batch: &Batch, epoch: usize, rng: &mut Rng) -> Result<Tensor> {
        let vars = self.network.vars();
        let first = if epoch < self.last_only { vars.len().saturating_sub(2) } else { 0 };
        let recipe = self.recipe;
        let look = |rng: &mut Rng| -> Result<(Tensor, Vec<Ascent>)> {
            let (objective, mut ascents) = self.network.ascents(batch, rng)?;
            for (i, (var, ascent)) in vars.iter().zip(&mut ascents).enumerate() {
                if i < first {
                    *ascent = var.as_detached_tensor().zeros_like()?.into();
                } else if var.rank() == 2 {
                    ascent.penalty.l2 = recipe.l2;
                }
            }
            Ok((objective, ascents))
        };
        let objective = match &mut self.rule {
            StepRule::Steps(optimizer) => {
                let (objective, ascents) = look(rng)?;
                optimizer.ascend(&vars, &ascents)?;
                objective
            }
            StepRule::Searches(searches) => {
                // Every look leaves out the same units.
                let before = *rng;
                let mut found = None;
                searches.climb(&vars, &mut || {
                    *rng = before;
                    let (objective, ascents) = look(rng)?;
                    let mut value = to_host(&objective)?.to_scalar::<f64>()?;
                    found.get_or_insert(objective);
                    let mut gradient = Vec::with_capacity(vars.len());
                    for (var, ascent) in vars.iter().zip(&ascents) {
                        let l2 = ascent.penalty.l2;
                        if l2 != 0.0 {
                            let squares = to_host(&var.as_detached_tensor().sqr()?.sum_all()?)?;
                            value -= 0.5 * l2 * squares.to_scalar::<f64>()?;
                        }
                        gradient.push(ascent.tensor(var)?);
                    }
                    Ok((value, gradient))
                })?;
                found.ok_or_else(|| Error::invalid("a search", "at least one look", "none"))?
            }
        };
        if let Some(max_norm) = recipe.max_norm {
            for var in vars.iter().skip(first).filter(|var| var.rank() == 2) {
                ops::limit_column_norms(var, max_norm)?;
            }
        }
        self.network.constrain()?;
        Ok(objective)
    }
}

/// What comes of the stack by backpropagation.
#[derive(Debug)]
pub(super) enum Network {
    Classifier(Classifier),
    Regressor(Regressor),
    Autoencoder(Autoencoder),
}

impl Network {
    /// What backpropagation knows of it.
    pub(super) fn unrolled(&self) -> &dyn FineTune {
        match self {
            Self::Classifier(classifier) => classifier,
            Self::Regressor(regressor) => regressor,
            Self::Autoencoder(autoencoder) => autoencoder,
        }
    }

    /// The stage that it belongs to.
    pub(super) fn kind(&self) -> StageKind {
        match self {
            Self::Classifier(_) => StageKind::Classifier,
            Self::Regressor(_) => StageKind::Regressor,
            Self::Autoencoder(_) => StageKind::Autoencoder,
        }
    }

    /// The widths of its layers behind the data.
    pub(super) fn widths(&self) -> Vec<usize> {
        let (layers, classes): (Vec<_>, _) = match self {
            Self::Classifier(network) => (network.layers.iter().collect(), Some(network.classes())),
            Self::Regressor(Regressor { network, .. }) => {
                (network.layers.iter().collect(), Some(1))
            }
            Self::Autoencoder(network) => (network.layers().collect(), None),
        };
        layers.iter().map(|layer| layer.units.units().width()).chain(classes).collect()
    }
}

/// How a network does on the validation part after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochScore {
    pub epoch: usize,
    /// As [`fine_tune::Score`] has it.
    pub error: f64,
    /// Mean −log p, nats.
    pub loss: f64,
}

/// What is known of the kept parameters besides their values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// The best epoch by its error, then by its loss.
    pub best: Option<EpochScore>,
    /// Epochs in the average.
    pub averaged: usize,
}

impl Counts {
    /// Whether nothing has been better than the best for `patience` epochs after this many.
    pub fn has_stopped(&self, epochs: usize, patience: Option<usize>) -> bool {
        let last = self.best.zip(patience);
        last.is_some_and(|(best, patience)| epochs >= best.epoch + patience.max(1))
    }
}

/// Parameters by their number in [`FineTune::vars`].
#[derive(Debug, Default)]
pub struct BestWeights {
    pub counts: Counts,
    /// What the finished model gets; empty while nothing is better than the last parameters.
    best: State,
    average: State,
}

impl BestWeights {
    /// Takes in the parameters after an epoch, averaged with earlier ones if `averages`. With a validation part they are
    /// kept if they are the best so far, and their score is returned; without one an average is always kept.
    ///
    /// # Errors
    ///
    /// When the network cannot be scored on the validation part.
    pub fn close_epoch(
        &mut self,
        network: &dyn FineTune,
        averages: bool,
        validation: Option<&Examples>,
        epoch: usize,
    ) -> Result<Option<EpochScore>> {
        let now = copy(network)?;
        if averages {
            self.average_in(&now)?;
        }
        let Some(validation) = validation else {
            if averages {
                self.best = copied(&self.average)?;
            }
            return Ok(None);
        };
        let candidate = copied(if averages { &self.average } else { &now })?;
        set(network, &candidate)?;
        let scored = network.score(validation);
        set(network, &now)?;
        let fine_tune::Score { error, loss } = scored?;
        let score = EpochScore { epoch, error, loss };
        if self.counts.best.is_none_or(|best| (error, loss) < (best.error, best.loss)) {
            (self.counts.best, self.best) = (Some(score), candidate);
        }
        Ok(Some(score))
    }

    fn average_in(&mut self, now: &State) -> Result<()> {
        self.counts.averaged += 1;
        if self.average.is_empty() {
            self.average = copied(now)?;
        }
        let keep = 1.0 - 1.0 / self.counts.averaged as f64;
        for (name, average) in &self.average {
            if let Some(now) = now.get(name) {
                ops::average_in(average, now, keep)?;
            }
        }
        Ok(())
    }

    /// Begins a new average, of later epochs. Where nobody knows which parameters are best, the last ones are.
    pub fn forget_average(&mut self, is_validated: bool) {
        (self.counts.averaged, self.average) = (0, State::new());
        if !is_validated {
            self.best = State::new();
        }
    }

    /// Gives the network what was kept, if anything was.
    ///
    /// # Errors
    ///
    /// When what was kept is of another network.
    pub fn apply(&self, network: &dyn FineTune) -> Result<()> {
        set(network, &self.best)
    }

    /// Everything as named tensors.
    pub fn state(&self) -> State {
        with_prefix("best", self.best.clone())
            .chain(with_prefix("average", self.average.clone()))
            .collect()
    }

    /// The way back from [`BestWeights::state`].
    pub fn restored(state: &State, counts: Counts) -> Self {
        Self {
            counts,
            best: without_prefix("best", state),
            average: without_prefix("average", state),
        }
    }
}

fn copy(network: &dyn FineTune) -> Result<State> {
    let vars = network.vars().into_iter().enumerate();
    vars.map(|(i, var)| Ok((i.to_string(), var.as_detached_tensor().copy()?))).collect()
}

fn copied(state: &State) -> Result<State> {
    state.iter().map(|(name, tensor)| Ok((name.clone(), tensor.copy()?))).collect()
}

fn set(network: &dyn FineTune, parameters: &State) -> Result<()> {
    for (i, var) in network.vars().into_iter().enumerate() {
        if let Some(tensor) = parameters.get(&i.to_string()) {
            var.set(tensor)?;
        }
    }
    Ok(())
}
