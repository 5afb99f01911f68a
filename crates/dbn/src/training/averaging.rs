//! Which parameters a fine-tuning keeps: those of its best epoch, or their average over the last epochs.
//!
//! Averages over epochs at a rate that still moves the parameters lie nearer the middle of the basin than any one of them
//! (Polyak and Juditsky 1992; Practical Guide §7).

use rbm_core::state::{State, with_prefix, without_prefix};
use rbm_core::{Result, ops};
use serde::{Deserialize, Serialize};

use crate::Examples;
use crate::network::fine_tune::{self, FineTune};

/// How a network does on the validation part after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
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
    pub best: Option<Score>,
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
    ) -> Result<Option<Score>> {
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
        let score = Score { epoch, error, loss };
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
