//! Sums of exponentials that do not overflow, and means with their standard errors.

/// log Σ exp(wᵢ) of numbers that come one by one: the sum is kept in units of the greatest of them.
///
/// ```
/// use rbm_core::stats::LogSumExp;
///
/// let mut sum = LogSumExp::default();
/// [-1000.0, -1000.0].into_iter().for_each(|log_weight| sum.push(log_weight));
/// assert!((sum.value() - (2f64.ln() - 1000.0)).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogSumExp {
    highest: f64,
    /// Σ exp(wᵢ − highest).
    total: f64,
}

impl Default for LogSumExp {
    /// Of no numbers: −∞.
    fn default() -> Self {
        Self { highest: f64::NEG_INFINITY, total: 0.0 }
    }
}

impl LogSumExp {
    /// Takes in one more number.
    pub fn push(&mut self, log_weight: f64) {
        self.raise(log_weight);
        self.total += (log_weight - self.highest).exp();
    }

    /// Sums in units of exp(`log_weight`) from now on, where that is above the unit so far. The factor by which everything that has
    /// been summed in the old unit shrinks; `None` where the unit stays.
    pub fn raise(&mut self, log_weight: f64) -> Option<f64> {
        if log_weight > self.highest {
            let factor = (self.highest - log_weight).exp();
            self.total *= factor;
            self.highest = log_weight;
            return Some(factor);
        }
        None
    }

    /// Takes in a part of the sum that is in the present unit already.
    pub fn add(&mut self, part: f64) {
        self.total += part;
    }

    /// The logarithm of the unit: the greatest number so far.
    pub fn highest(&self) -> f64 {
        self.highest
    }

    /// The sum in this unit.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// log Σ exp(wᵢ).
    pub fn value(&self) -> f64 {
        self.highest + self.total.ln()
    }
}

/// exp of log-weights, in units of the greatest of them, and the logarithm of that one: nothing overflows.
pub fn relative_weights(log_weights: &[f64]) -> (Vec<f64>, f64) {
    let highest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (log_weights.iter().map(|w| (w - highest).exp()).collect(), highest)
}

/// The mean of `values`; not a number where there are none.
pub fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// The variance of `values` about their mean, with one degree of freedom taken off.
pub fn variance(values: &[f64]) -> f64 {
    variance_about(mean(values.iter().copied()), values)
}

fn variance_about(centre: f64, values: &[f64]) -> f64 {
    let squares: f64 = values.iter().map(|x| (x - centre).powi(2)).sum();
    squares / (values.len() as f64 - 1.0)
}

/// The mean of `values` and its standard error, where they are independent.
pub fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let mean = mean(values.iter().copied());
    (mean, (variance_about(mean, values) / values.len() as f64).sqrt())
}

/// [`mean_and_error`] of values that count as much as their weights say: as if they were so many independent ones as the weights sum
/// to, and at least two. Without weights each counts once.
pub fn weighted_mean_and_error(values: &[f64], weights: Option<&[f32]>) -> (f64, f64) {
    let weight = |i: usize| weights.map_or(1.0, |weights| f64::from(weights[i]));
    let n: f64 = (0..values.len()).map(weight).sum();
    let mean = values.iter().enumerate().map(|(i, x)| weight(i) * x).sum::<f64>() / n;
    let squares =
        values.iter().enumerate().map(|(i, x)| weight(i) * (x - mean).powi(2)).sum::<f64>();
    (mean, (squares / (n - 1.0).max(1.0) / n).sqrt())
}

/// The number of the state that `chance`, uniform on (0, 1), picks by the logarithms of the states' weights.
pub fn categorical(logits: impl Iterator<Item = f64> + Clone, chance: f64) -> usize {
    let highest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    let mut left = chance * logits.clone().map(|logit| (logit - highest).exp()).sum::<f64>();
    let mut last = 0;
    for (state, logit) in logits.enumerate() {
        last = state;
        left -= (logit - highest).exp();
        if left < 0.0 {
            break;
        }
    }
    last
}
