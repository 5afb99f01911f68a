//! Equilibrium samples of a machine by parallel tempering, and its partition function on the way, by Bennett's acceptance ratio.
//!
//! Bennett 1976: from samples of two neighbours, the ratio of their partition functions with the least variance. Summed up a
//! ladder that begins at independent units it gives log Z, from both sides of every gap at once.
//!
//! Where the way to equilibrium samples stands is plain data.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::model::Boltzmann;
use crate::sampling::{AnnealingPath, Kernel, Replicas, SwapTotals, TARGET_ACCEPTANCE, Tempering};
use crate::state::{State, get_numbers, numbers, with_prefix, without_prefix};
use crate::stats::{mean_and_error, relative_weights};
use crate::{Error, Result, Rng};

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

/// Levels of the first ladder.
const FIRST_LEVELS: usize = 12;
/// Gibbs steps at every level on the first climb.
const CLIMB: usize = 10;
/// How often the ladder is spaced anew, and after how many sweeps.
const ROUNDS: usize = 10;
const ROUND: usize = 30;
/// The most sweeps whose log-weights are kept for the bridge.
const MOST_KEPT: usize = 1000;

/// Replicas of a machine on their way to equilibrium, and samples of it.
#[derive(Debug, Clone)]
pub struct Equilibrium {
    config: TemperingConfig,
    tempering: Tempering,
    replicas: Replicas,
    progress: TemperingProgress,
    bridge: Bridge,
    /// Rows at β = 1, taken evenly over the sampling.
    samples: Vec<Tensor>,
}

impl Equilibrium {
    /// Replicas that have climbed from β = 0 once.
    ///
    /// # Errors
    ///
    /// For fewer than 2 levels, and when the path is of another machine.
    pub fn new(
        machine: &dyn Boltzmann,
        path: AnnealingPath,
        config: TemperingConfig,
        rng: &mut Rng,
    ) -> Result<Self> {
        let tempering = Tempering::even(path, FIRST_LEVELS.min(config.levels))?;
        let replicas = tempering.climb(machine, config.chains, CLIMB, rng)?;
        let progress = TemperingProgress {
            phase: TemperingPhase::Ladder,
            swaps: SwapTotals::default(),
            round: 0,
            stride: 1,
            bridge_stride: 1,
            betas: tempering.betas.clone(),
        };
        let mut new = Self {
            config,
            tempering,
            replicas,
            progress,
            bridge: Bridge::new(0, config.chains),
            samples: Vec::new(),
        };
        new.enter(TemperingPhase::Ladder);
        Ok(new)
    }

    /// What has been done so far.
    pub fn progress(&self) -> &TemperingProgress {
        &self.progress
    }

    /// Whether everything has been taken.
    pub fn is_done(&self) -> bool {
        self.progress.phase == TemperingPhase::Done
    }

    /// Roughly how much of the work is done, from 0 to 1.
    pub fn share_done(&self) -> f64 {
        let TemperingProgress { swaps: SwapTotals { sweeps, arrivals, .. }, round, .. } =
            self.progress;
        let by = |wanted: usize| {
            let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
            share(sweeps, self.config.sweeps).max(share(arrivals, wanted)).min(1.0)
        };
        match self.progress.phase {
            TemperingPhase::Ladder => 0.2 * round as f64 / ROUNDS as f64,
            TemperingPhase::BurnIn => 0.2 + 0.3 * by(self.wanted()),
            TemperingPhase::Sampling => 0.5 + 0.5 * by(self.wanted()),
            TemperingPhase::Done => 1.0,
        }
    }

    /// How many replicas must come up in this phase.
    fn wanted(&self) -> usize {
        let TemperingConfig { chains, samples, .. } = self.config;
        2 * if self.progress.phase == TemperingPhase::BurnIn { chains } else { samples }
    }

    fn enter(&mut self, phase: TemperingPhase) {
        let gaps = self.tempering.betas.len() - 1;
        self.progress.phase = phase;
        self.progress.betas.clone_from(&self.tempering.betas);
        self.progress.swaps = SwapTotals::default();
        if phase == TemperingPhase::Sampling {
            self.bridge = Bridge::new(gaps, self.config.chains);
        }
    }

    /// One sweep of all replicas, and what follows from it. Nothing happens when all is done.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn step(&mut self, machine: &dyn Boltzmann, rng: &mut Rng) -> Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let swaps = self.tempering.step(machine, &mut self.replicas, rng)?;
        self.progress.swaps.count(&swaps);
        let SwapTotals { sweeps, arrivals, .. } = self.progress.swaps;
        let is_over = sweeps >= self.config.sweeps || arrivals >= self.wanted();
        let is_enough = is_over && sweeps >= self.rows_kept();
        match self.progress.phase {
            TemperingPhase::Ladder if sweeps == ROUND => self.respace(machine, rng)?,
            TemperingPhase::BurnIn if is_enough => self.enter(TemperingPhase::Sampling),
            TemperingPhase::Sampling => {
                self.take(&swaps.up, &swaps.down)?;
                if is_enough {
                    self.progress.phase = TemperingPhase::Done;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A new ladder from the acceptance over the old one; the last round begins the burning in.
    fn respace(&mut self, machine: &dyn Boltzmann, rng: &mut Rng) -> Result<()> {
        let acceptance = self.acceptance();
        let free = self.tempering.respaced(&acceptance, None, TARGET_ACCEPTANCE);
        let spaced = match free.betas.len() > self.config.levels {
            true => {
                self.tempering.respaced(&acceptance, Some(self.config.levels), TARGET_ACCEPTANCE)
            }
            false => free,
        };
        self.replicas = spaced.move_over(machine, &self.tempering, &self.replicas, rng)?;
        self.tempering = spaced;
        self.progress.round += 1;
        let phase = if self.progress.round == ROUNDS {
            TemperingPhase::BurnIn
        } else {
            TemperingPhase::Ladder
        };
        self.enter(phase);
        Ok(())
    }

    /// Keeps the sweep for the bridge, and the rows at β = 1, both thinned as the sampling grows longer.
    fn take(&mut self, up: &[f64], down: &[f64]) -> Result<()> {
        if self.progress.swaps.sweeps.is_multiple_of(self.progress.bridge_stride) {
            self.bridge.push(up, down)?;
        }
        if self.bridge.sweeps() == 2 * MOST_KEPT {
            self.bridge.halve();
            self.progress.bridge_stride *= 2;
        }
        if self.progress.swaps.sweeps.is_multiple_of(self.progress.stride) {
            self.samples.push(self.tempering.top(&self.replicas)?.copy()?);
        }
        if self.samples.len() == 2 * self.rows_kept() {
            // Every second one: those of the sweeps that the doubled stride divides.
            let mut number = 0;
            self.samples.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.progress.stride *= 2;
        }
        Ok(())
    }

    /// How many sweeps' rows make up the samples wanted.
    fn rows_kept(&self) -> usize {
        self.config.samples.div_ceil(self.config.chains).max(1)
    }

    /// The acceptance over each gap, on average over this phase.
    pub fn acceptance(&self) -> Vec<f64> {
        self.progress.swaps.acceptance()
    }

    /// The samples wanted, `(samples, visible)`, spread over the sampling. Errors before there are enough.
    ///
    /// # Errors
    ///
    /// Before the sampling is done.
    pub fn samples(&self) -> Result<Tensor> {
        let wanted = self.rows_kept();
        if self.samples.len() < wanted {
            let found = format!("{} of {wanted} times chains", self.samples.len());
            return Err(Error::invalid("equilibrium samples", "a finished sampling", found));
        }
        let every: Vec<_> =
            (1..=wanted).map(|i| &self.samples[i * self.samples.len() / wanted - 1]).collect();
        Ok(Tensor::cat(&every, 0)?.narrow(0, 0, self.config.samples)?)
    }

    /// log Z by Bennett's ratio over the ladder. Errors before there is a sample.
    ///
    /// # Errors
    ///
    /// With fewer than two chains, and before the first sweep of the sampling.
    pub fn log_partition(&self, machine: &dyn Boltzmann) -> Result<Estimate> {
        let ratio = self.bridge.log_ratio()?;
        let at_zero = self.tempering.path.log_partition_at_zero(machine)?;
        Ok(Estimate { value: ratio.value + at_zero, ..ratio })
    }

    /// Everything that is needed to go on: tensors by name, and the rest.
    ///
    /// # Errors
    ///
    /// When a tensor cannot be copied to the CPU.
    pub fn checkpoint(&self) -> Result<(State, TemperingProgress)> {
        let (up, down) = self.bridge.collected();
        let mut state: State = with_prefix("replicas", self.replicas.state()).collect();
        state.extend([numbers("up", up), numbers("down", down)].into_iter().flatten());
        if !self.samples.is_empty() {
            state.insert("samples".to_owned(), Tensor::cat(&self.samples, 0)?);
        }
        Ok((state, self.progress.clone()))
    }

    /// Goes on from what [`Equilibrium::checkpoint`] gave, with the same path and configuration.
    ///
    /// # Errors
    ///
    /// When tensors are missing.
    pub fn resume(
        path: AnnealingPath,
        config: TemperingConfig,
        state: &State,
        progress: TemperingProgress,
    ) -> Result<Self> {
        let gaps = progress.betas.len().saturating_sub(1);
        let mut bridge = Bridge::new(gaps, config.chains);
        let (up, down) = (get_numbers(state, "up")?, get_numbers(state, "down")?);
        let sweep = (gaps * config.chains).max(1);
        for (up, down) in up.chunks(sweep).zip(down.chunks(sweep)) {
            bridge.push(up, down)?;
        }
        let samples = match state.get("samples") {
            Some(samples) => samples.chunk(samples.dim(0)? / config.chains.max(1), 0)?,
            None => Vec::new(),
        };
        let replicas = Replicas::restored(&without_prefix("replicas", state))?;
        let tempering = Tempering { path, betas: progress.betas.clone() };
        Ok(Self { config, tempering, replicas, progress, bridge, samples })
    }
}

/// How long to temper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemperingConfig {
    /// Independent chains, each with a replica at every level.
    pub chains: usize,
    /// How many samples of the machine are wanted.
    pub samples: usize,
    /// The most sweeps, of burning in and sampling each.
    pub sweeps: usize,
    /// The most levels of the ladder.
    pub levels: usize,
}

impl Default for TemperingConfig {
    fn default() -> Self {
        Self { chains: 20, samples: 100, sweeps: 5000, levels: 100 }
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TemperingPhase {
    /// The ladder is spaced.
    Ladder,
    /// Replicas forget where they started: until as many have come up from β = 0 as there are chains, twice.
    BurnIn,
    /// Samples are taken: until twice as many replicas as samples have come up.
    Sampling,
    /// Everything has been taken.
    Done,
}

/// Where the work stands: everything that is not a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemperingProgress {
    /// What is being done.
    pub phase: TemperingPhase,
    /// Swaps of this phase, or of this round of spacing.
    pub swaps: SwapTotals,
    /// Rounds of spacing the ladder.
    pub(super) round: usize,
    /// Sweeps from one sample of a chain to the next.
    pub(super) stride: usize,
    /// Sweeps from one that is kept for the bridge to the next.
    pub(super) bridge_stride: usize,
    /// The ladder.
    pub betas: Vec<f64>,
}
