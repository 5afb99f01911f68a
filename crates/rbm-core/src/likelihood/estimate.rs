//! A number with its error.

use serde::{Deserialize, Serialize};

use crate::kernel::relative_weights;

/// An estimate in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate itself.
    pub value: f64,
    /// Its standard error. It knows only of what the samples have seen: where few of them carry all the weight, the truth may
    /// lie much farther away.
    pub error: f64,
    /// How many samples of equal weight would be worth as much: (Σw)²/Σw² (Kong, Liu, Wong 1994). For a bridge, the number of
    /// independent chains.
    pub effective_samples: f64,
    /// How many samples there are.
    pub samples: usize,
}

impl Estimate {
    /// [`Estimate::of_log_weights`] of samples that only `chains` independent chains have given in turn: sample i is of chain
    /// i modulo `chains`. The error is that of the chains' means.
    pub fn of_chains(log_weights: &[f64], chains: usize) -> Self {
        let all = Self::of_log_weights(log_weights);
        if chains >= log_weights.len() || chains < 2 {
            return all;
        }
        let mut means = vec![(0.0, 0usize); chains];
        for (i, weight) in log_weights.iter().enumerate() {
            let (sum, count) = &mut means[i % chains];
            (*sum, *count) = (*sum + (weight - all.value).exp(), *count + 1);
        }
        let means: Vec<f64> = means.iter().map(|(sum, count)| sum / *count as f64).collect();
        let n = chains as f64;
        let mean = means.iter().sum::<f64>() / n;
        let variance = means.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { error: (variance / n).sqrt() / mean, ..all }
    }

    /// log of the mean of exp(`log_weights`), with the error of the logarithm by the delta method.
    pub fn of_log_weights(log_weights: &[f64]) -> Self {
        let n = log_weights.len() as f64;
        let (weights, highest) = relative_weights(log_weights);
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
