//! How well chains mix: how long they remember, and whether they have all been to the same places.
//!
//! Chains are traces of a number, one value a step, all of the same length.
//!
//! What a training's persistent chains have been through lately.

use std::borrow::Cow;
use std::collections::VecDeque;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::state::{State, get};
use crate::stats::{mean, variance};
use crate::{Error, Result, Stateful, ops};

/// How many autocorrelation times the sum over lags takes in (Sokal 1997).
const WINDOW: f64 = 5.0;
/// The most lags that it takes in of chains as they are, or as their blocks are.
const MOST_LAGS: usize = 256;

/// R̂ above which chains count as not mixed (Gelman and Rubin 1992).
pub const MOST_R_HAT: f64 = 1.1;

/// What is known of the mixing of a training's chains.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mixing {
    /// The integrated autocorrelation time of the slowest summary of the chains, in updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autocorrelation_time: Option<f64>,
    /// R̂ of the worst summary of the chains, their fluctuation in common left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r_hat: Option<f64>,
    /// How probable swaps were over each gap of a ladder, on average since the last report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_acceptance: Option<Vec<f64>>,
    /// How many replicas have come from the bottom of the ladder to its top since the last report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trips: Option<usize>,
    /// How many updates were undone since the last report, because they went too far for the chains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone: Option<usize>,
    /// The part of the learning rate that is made use of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<f64>,
    /// Whether the fantasies are no longer samples of the machine: see the negative phase for how it tells.
    pub left_equilibrium: bool,
}

/// Errors unless there are chains, all of the same length of at least `least`.
fn check(chains: &[Vec<f64>], least: usize) -> Result<usize> {
    let length = chains.first().map_or(0, Vec::len);
    if length < least || chains.iter().any(|chain| chain.len() != length) {
        let expected = format!("at least one, all of the same length of at least {least}");
        let found = format!("{:?}", chains.iter().map(Vec::len).collect::<Vec<_>>());
        return Err(Error::invalid("chains", expected, found));
    }
    Ok(length)
}

/// The integrated autocorrelation time τ = 1 + 2·Σ ρ(lag), in steps: an average over the chains is as good as one over τ
/// times fewer independent values. The sum ends at the first lag of at least 5τ (Sokal's self-consistent window). Deviations
/// are from the mean of all chains together, so that chains which stay apart remember for ever. None where nothing varies.
///
/// Where the window takes more than 256 lags, two neighbours at a time are replaced by their mean: the variance of the
/// mean of a long chain stays as it was (Flyvbjerg and Petersen 1989). It takes time in proportion to the length.
///
/// Above a tenth of the length it is no more than a lower bound.
///
/// # Errors
///
/// Without chains, and when they are too short or of different lengths.
pub fn autocorrelation_time(chains: &[Vec<f64>]) -> Result<Option<f64>> {
    let length = check(chains, 2)?;
    let centre = mean(chains.iter().map(|chain| mean(chain.iter().copied())));
    let variance = covariance(chains, centre, 0);
    if variance.is_nan() || variance <= 0.0 {
        return Ok(None);
    }
    let (mut blocks, mut size) = (Cow::Borrowed(chains), 1.0);
    loop {
        let at_zero = covariance(&blocks, centre, 0);
        let length_of_blocks = blocks[0].len();
        let (mut time, mut is_closed) = (1.0, false);
        for lag in 1..length_of_blocks.min(MOST_LAGS) {
            time += 2.0 * covariance(&blocks, centre, lag) / at_zero;
            is_closed = lag as f64 >= WINDOW * time;
            if is_closed {
                break;
            }
        }
        if is_closed || length_of_blocks <= MOST_LAGS {
            // As much variance of a mean of all, in steps of the chains themselves.
            let time = size * time * at_zero / variance;
            return Ok(Some(time.max(1.0 / length as f64)));
        }
        let halved = |chain: &Vec<f64>| {
            chain.chunks_exact(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect()
        };
        (blocks, size) = (Cow::Owned(blocks.iter().map(halved).collect()), 2.0 * size);
    }
}

/// The mean over all chains and steps of what two values so far apart have in common, about `centre`, times the number of chains.
fn covariance(chains: &[Vec<f64>], centre: f64, lag: usize) -> f64 {
    let of = |chain: &Vec<f64>| -> f64 {
        let pairs = chain.iter().zip(&chain[lag..]);
        pairs.map(|(a, b)| (a - centre) * (b - centre)).sum()
    };
    chains.iter().map(of).sum::<f64>() / (chains[0].len() - lag) as f64
}

/// How many independent values the chains are worth: all their values over [`autocorrelation_time`].
///
/// # Errors
///
/// Without chains, and when they are too short or of different lengths.
pub fn effective_sample_size(chains: &[Vec<f64>]) -> Result<Option<f64>> {
    let values = (chains.len() * check(chains, 2)?) as f64;
    Ok(autocorrelation_time(chains)?.map(|time| values / time))
}

/// Split-R̂ (Gelman and Rubin 1992; Gelman et al. 2013): every chain is cut into halves, and the spread between the halves'
/// means is set against the spread within them: √((1 − 1/n) + between/within). One where all have been to the same places;
/// infinite where none moves and they differ. None where nothing varies.
///
/// # Errors
///
/// Without chains, and when they are too short or of different lengths.
///
/// ```
/// use rbm_core::sampling::mixing::{MOST_R_HAT, r_hat};
///
/// let wave = |phase: usize| (0..100).map(|i| ((i + phase) as f64).sin()).collect::<Vec<_>>();
/// let apart = |by: f64| wave(1).into_iter().map(|x| x + by).collect::<Vec<_>>();
/// let mixed = r_hat(&[wave(0), wave(3)])?;
/// let stuck = r_hat(&[wave(0), apart(10.0)])?;
/// assert!(mixed.is_some_and(|r| r < MOST_R_HAT) && stuck.is_some_and(|r| r > MOST_R_HAT));
/// # Ok::<(), rbm_core::Error>(())
/// ```
pub fn r_hat(chains: &[Vec<f64>]) -> Result<Option<f64>> {
    let half = check(chains, 4)? / 2;
    let halves: Vec<&[f64]> =
        chains.iter().flat_map(|chain| [&chain[..half], &chain[chain.len() - half..]]).collect();
    let means: Vec<f64> = halves.iter().map(|half| mean(half.iter().copied())).collect();
    let (between, within) = (variance(&means), mean(halves.iter().map(|half| variance(half))));
    if between == 0.0 && within == 0.0 {
        return Ok(None);
    }
    Ok(Some((1.0 - 1.0 / half as f64 + between / within).sqrt()))
}

/// The most chains that are followed.
const CHAINS: usize = 16;
/// The most values of each that are kept.
const KEPT: usize = 64;
/// The fewest values that say anything.
const FEWEST: usize = 32;
/// The fewest updates from one value to the next: looking must cost next to nothing.
const APART: usize = 16;

const VALUES: &str = "values";
const COUNTS: &str = "counts";

/// Free energies and sums of the visible units of a few persistent chains, every few updates, the oldest forgotten: enough
/// for the last epoch, or for the last thousand updates where that is more. Looking draws nothing and changes no chain.
///
/// What fluctuates in common is left out before τ and R̂ are computed: while it learns, the machine moves the free energies
/// of all chains together. R̂ above 1.1 counts as having left equilibrium: after all that time, chains that follow the same
/// machine differ by more than any of them changes, so they still stand for where they began.
#[derive(Debug, Clone)]
pub struct Traces {
    /// `(2, chains)` each: free energies, sums.
    values: VecDeque<Tensor>,
    /// Updates from one value to the next.
    apart: usize,
    /// Updates until the next value.
    wait: usize,
    /// Updates since the last report.
    updates: usize,
}

impl Default for Traces {
    fn default() -> Self {
        Self { values: VecDeque::new(), apart: APART, wait: 0, updates: 0 }
    }
}

impl Traces {
    /// Looks at chains after an update: `visible` `(chains, visible)` with the products `hidden_inputs` vW.
    ///
    /// # Errors
    ///
    /// When the numbers cannot be read.
    pub fn follow(
        &mut self,
        machine: &dyn Boltzmann,
        visible: &Tensor,
        hidden_inputs: &Tensor,
    ) -> Result<()> {
        self.updates += 1;
        if self.wait > 0 {
            self.wait -= 1;
            return Ok(());
        }
        self.wait = self.apart - 1;
        let chains = visible.dim(0)?.min(CHAINS);
        let visible = visible.narrow(0, 0, chains)?;
        let hidden_inputs = hidden_inputs.narrow(0, 0, chains)?;
        let free_energy = machine.free_energy_given(&visible, &hidden_inputs)?.detach();
        let sum = ops::sum_within_rows(&visible)?.detach();
        if self.values.len() == KEPT {
            self.values.pop_front();
        }
        self.values.push_back(Tensor::stack(&[free_energy, sum], 0)?);
        Ok(())
    }

    /// What the chains have been like, at the end of an epoch; none where they have not been followed for long enough, or
    /// where there is only one. How often values are taken from now on follows from the epoch's length.
    ///
    /// # Errors
    ///
    /// As [`r_hat`].
    pub fn report(&mut self) -> Result<Option<Mixing>> {
        let apart = self.apart as f64;
        let longer = std::mem::take(&mut self.updates).div_ceil(KEPT).max(APART);
        let mixing = match self.values.front() {
            Some(first) if self.values.len() >= FEWEST && first.dim(1)? > 1 => {
                Some(self.look(apart)?)
            }
            _ => None,
        };
        if longer != self.apart {
            // Values at other distances do not make a series with those to come.
            *self = Self { apart: longer, ..Self::default() };
        }
        Ok(mixing)
    }

    fn look(&self, apart: f64) -> Result<Mixing> {
        let values: Vec<_> = self.values.iter().collect();
        let values = to_host(&Tensor::stack(&values, 0)?)?;
        let values = values.broadcast_sub(&values.mean_keepdim(2)?)?;
        let mut mixing = Mixing::default();
        for summary in 0..2 {
            let chains = values.narrow(1, summary, 1)?.squeeze(1)?.t()?.to_vec2::<f64>()?;
            let time = autocorrelation_time(&chains)?.map(|time| time * apart);
            mixing.autocorrelation_time = largest(mixing.autocorrelation_time, time);
            mixing.r_hat = largest(mixing.r_hat, r_hat(&chains)?);
        }
        mixing.left_equilibrium = mixing.r_hat.is_some_and(|r_hat| r_hat > MOST_R_HAT);
        Ok(mixing)
    }
}

fn largest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).max_by(f64::total_cmp)
}

impl Stateful for Traces {
    fn state(&self) -> State {
        let values: Vec<_> = self.values.iter().collect();
        let counts = [self.apart, self.wait, self.updates].map(|count| count as f32);
        let counts = Tensor::new(&counts, &Device::Cpu);
        let values = Tensor::stack(&values, 0).ok().map(|values| (VALUES.to_owned(), values));
        values.into_iter().chain(counts.ok().map(|counts| (COUNTS.to_owned(), counts))).collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        *self = Self::default();
        if state.is_empty() {
            return Ok(());
        }
        let counts = get(state, COUNTS)?.to_vec1::<f32>()?;
        let [apart, wait, updates] = counts[..] else {
            let found = format!("{} numbers", counts.len());
            return Err(Error::invalid(format!("state {COUNTS:?}"), "3 numbers", found));
        };
        (self.apart, self.wait) = ((apart as usize).max(1), wait as usize);
        self.updates = updates as usize;
        if state.contains_key(VALUES) {
            let values = get(state, VALUES)?;
            self.values = (0..values.dim(0)?).map(|i| Ok(values.get(i)?)).collect::<Result<_>>()?;
        }
        Ok(())
    }
}
