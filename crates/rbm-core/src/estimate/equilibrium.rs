//! Equilibrium samples of a machine by parallel tempering, and its partition function on the way.
//!
//! Where the way to equilibrium samples stands, as plain data.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Bridge, Estimate};
use crate::model::Boltzmann;
use crate::sampling::{AnnealingPath, Kernel, Replicas, SwapTotals, TARGET_ACCEPTANCE, Tempering};
use crate::state::{State, get_numbers, numbers, with_prefix, without_prefix};
use crate::{Error, Result, Rng};

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
