//! A number with its error.

use serde::{Deserialize, Serialize};

/// An estimate in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate itself.
    pub value: f64,
    /// Its standard error. It knows only of what the samples have seen: where few of them carry all the weight, the truth may
    /// lie much farther away.
    pub error: f64,
    /// How many samples of equal weight would be worth as much: (Σw)²/Σw² (Kong, Liu, Wong 1994).
    pub effective_samples: f64,
    /// How many samples there are.
    pub samples: usize,
}

impl Estimate {
    /// log of the mean of exp(`log_weights`), with the error of the logarithm by the delta method.
    pub fn of_log_weights(log_weights: &[f64]) -> Self {
        let n = log_weights.len() as f64;
        let highest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = log_weights.iter().map(|w| (w - highest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mean = sum / n;
        let variance = weights.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self {
            value: highest + mean.ln(),
            error: (variance / n).sqrt() / mean,
            effective_samples: sum * sum / weights.iter().map(|w| w * w).sum::<f64>(),
            samples: log_weights.len(),
        }
    }
}
