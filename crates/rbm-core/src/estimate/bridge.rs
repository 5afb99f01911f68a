//! Bennett's acceptance ratio over a ladder of machines.
//!
//! Bennett 1976: from samples of two neighbours, the ratio of their partition functions with the least variance. Summed up a
//! ladder that begins at independent units it gives log Z, from both sides of every gap at once.
//!
//! A number with its error.

use serde::{Deserialize, Serialize};

use crate::stats::{mean_and_error, relative_weights};
use crate::{Error, Result};

/// The most halvings of an interval of log-ratios: past rounding for any `f64`.
const HALVINGS: usize = 200;

/// log-weights of samples at the two ends of every gap of a ladder, collected sweep by sweep from chains that are independent
/// of each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Bridge {
    gaps: usize,
    chains: usize,
    /// Sweep by sweep, gap by gap, chain by chain: log p*(above) − log p*(below) of samples of the lower end.
    up: Vec<f64>,
    /// The same of log p*(below) − log p*(above), of samples of the upper end.
    down: Vec<f64>,
}

impl Bridge {
    /// Nothing collected yet, for a ladder of `gaps` gaps and `chains` independent chains.
    pub fn new(gaps: usize, chains: usize) -> Self {
        Self { gaps, chains, up: Vec::new(), down: Vec::new() }
    }

    /// Takes in a sweep: `up` and `down` as [`Swaps`](crate::sampling::Swaps) has them.
    ///
    /// # Errors
    ///
    /// When they are of another ladder.
    pub fn push(&mut self, up: &[f64], down: &[f64]) -> Result<()> {
        let expected = self.gaps * self.chains;
        if up.len() != expected || down.len() != expected {
            let found = format!("{} and {}", up.len(), down.len());
            return Err(Error::invalid("a sweep's log-weights", expected.to_string(), found));
        }
        self.up.extend(up);
        self.down.extend(down);
        Ok(())
    }

    /// Keeps every second sweep, the latter of each two.
    pub fn halve(&mut self) {
        let sweep = (self.gaps * self.chains).max(1);
        for numbers in [&mut self.up, &mut self.down] {
            let kept = numbers.chunks(sweep).skip(1).step_by(2).flatten().copied();
            *numbers = kept.collect();
        }
    }

    /// Everything collected, `up` and then `down`: what a checkpoint needs.
    pub fn collected(&self) -> (&[f64], &[f64]) {
        (&self.up, &self.down)
    }

    /// How many sweeps have been taken in.
    pub fn sweeps(&self) -> usize {
        self.up.len() / (self.gaps * self.chains).max(1)
    }

    /// log Z(top) − log Z(bottom). The error is that of the mean over chains, whose sweeps may be correlated.
    ///
    /// # Errors
    ///
    /// With fewer than two chains, or before the first sweep.
    pub fn log_ratio(&self) -> Result<Estimate> {
        if self.chains < 2 || self.up.is_empty() {
            let found = format!("{} chains, {} sweeps", self.chains, self.sweeps());
            return Err(Error::invalid("Bennett's ratio", "at least 2 chains and a sweep", found));
        }
        let mut total = 0.0;
        let mut influence = vec![0.0; self.chains];
        for gap in 0..self.gaps {
            let (up, down) = (self.gap(&self.up, gap), self.gap(&self.down, gap));
            let step = solve(&up, &down);
            total += step;
            // How far each chain alone would move the solution (infinitesimal jackknife).
            let slope: f64 = up.iter().flatten().map(|w| slope(w - step)).sum::<f64>()
                + down.iter().flatten().map(|w| slope(w + step)).sum::<f64>();
            for (chain, influence) in influence.iter_mut().enumerate() {
                let residual: f64 = up[chain].iter().map(|w| fermi(w - step)).sum::<f64>()
                    - down[chain].iter().map(|w| fermi(w + step)).sum::<f64>();
                *influence += residual / slope.max(f64::MIN_POSITIVE);
            }
        }
        let n = self.chains as f64;
        let variance = influence.iter().map(|x| x * x).sum::<f64>() * n / (n - 1.0);
        let samples = self.chains * self.sweeps();
        Ok(Estimate { value: total, error: variance.sqrt(), effective_samples: n, samples })
    }

    /// The numbers of one gap, chain by chain.
    fn gap(&self, numbers: &[f64], gap: usize) -> Vec<Vec<f64>> {
        let sweeps = numbers.chunks(self.gaps * self.chains);
        let of_gap: Vec<_> =
            sweeps.map(|sweep| &sweep[gap * self.chains..][..self.chains]).collect();
        (0..self.chains).map(|chain| of_gap.iter().map(|sweep| sweep[chain]).collect()).collect()
    }
}

/// 1 / (1 + exp(−x)).
fn fermi(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn slope(x: f64) -> f64 {
    fermi(x) * fermi(-x)
}

/// The Δ with Σ fermi(up − Δ) = Σ fermi(down + Δ), by halving: the left side falls with Δ, the right side rises.
fn solve(up: &[Vec<f64>], down: &[Vec<f64>]) -> f64 {
    let all = up.iter().flatten().copied().chain(down.iter().flatten().map(|w| -w));
    let (low, high) =
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let excess = |step: f64| {
        let left: f64 = up.iter().flatten().map(|w| fermi(w - step)).sum();
        left - down.iter().flatten().map(|w| fermi(w + step)).sum::<f64>()
    };
    let (mut low, mut high) = (low - 1.0, high + 1.0);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if excess(middle) > 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

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
        let (mean, error) = mean_and_error(&means);
        Self { error: error / mean, ..all }
    }

    /// log of the mean of exp(`log_weights`), with the error of the logarithm by the delta method.
    pub fn of_log_weights(log_weights: &[f64]) -> Self {
        let (weights, highest) = relative_weights(log_weights);
        let sum: f64 = weights.iter().sum();
        let (mean, error) = mean_and_error(&weights);
        Self {
            value: highest + mean.ln(),
            error: error / mean,
            effective_samples: sum * sum / weights.iter().map(|w| w * w).sum::<f64>(),
            samples: log_weights.len(),
        }
    }
}
