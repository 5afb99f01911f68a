//! How the whole stack is fine-tuned by up-down.

use rbm_core::Schedule;
use serde::{Deserialize, Serialize};

/// Up-down fine-tuning of all layers, after greedy learning (Hinton, Osindero, Teh 2006, §5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpDown {
    /// How many times to go through the data.
    ///
    /// Range: 0 or more epochs. Used by: up-down.
    pub epochs: usize,
    /// Cases in a mini-batch.
    ///
    /// Range: 1 or more cases. Used by: up-down.
    pub batch_size: usize,
    /// The learning rate by epoch.
    ///
    /// Range: 0 or more; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Used by: up-down.
    pub learning_rate: Schedule,
    /// The momentum by epoch.
    ///
    /// Range: 0 to below 1; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Used by: up-down.
    pub momentum: Schedule,
    /// k, the Gibbs steps of the top machine between wake and sleep, by epoch.
    ///
    /// Range: 1 to 1000000 Gibbs steps; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Used by: up-down.
    pub steps: Schedule,
    /// L2 penalty of all weights.
    ///
    /// Range: 0 or more. Used by: up-down.
    pub l2: f64,
    /// Whether mini-batches are balanced over the classes.
    ///
    /// Range: true or false. Used by: data with labels.
    pub balanced: bool,
}

impl Default for UpDown {
    fn default() -> Self {
        Self {
            epochs: 300,
            batch_size: 100,
            learning_rate: Schedule::Ramp { from: 0.05, to: 0.0, curve: Default::default() },
            momentum: Schedule::Constant(0.0),
            steps: Schedule::Steps(vec![(0, 3.0), (100, 6.0), (200, 10.0)]),
            l2: 0.0,
            balanced: false,
        }
    }
}
