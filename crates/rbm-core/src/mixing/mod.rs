//! How well chains mix: how long they remember, and whether they have all been to the same places.
//!
//! Chains are traces of a number, one value a step, all of the same length.

mod traces;

use serde::Serialize;

pub use traces::Traces;

use crate::{Error, Result};

/// How many autocorrelation times the sum over lags takes in (Sokal 1997).
const WINDOW: f64 = 5.0;

/// R̂ above which chains count as not mixed (Gelman and Rubin 1992).
pub const MOST_R_HAT: f64 = 1.1;

/// What is known of the mixing of a training's chains.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
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

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// The variance of `values` about their mean, with one degree of freedom taken off.
fn variance(values: &[f64]) -> f64 {
    let centre = mean(values.iter().copied());
    let squares: f64 = values.iter().map(|x| (x - centre).powi(2)).sum();
    squares / (values.len() - 1) as f64
}

/// The integrated autocorrelation time τ = 1 + 2·Σ ρ(lag), in steps: an average over the chains is as good as one over τ
/// times fewer independent values. The sum ends at the first lag of at least 5τ (Sokal's self-consistent window). Deviations
/// are from the mean of all chains together, so that chains which stay apart remember for ever. None where nothing varies.
///
/// Above a tenth of the length it is no more than a lower bound.
pub fn autocorrelation_time(chains: &[Vec<f64>]) -> Result<Option<f64>> {
    let length = check(chains, 2)?;
    let centre = mean(chains.iter().map(|chain| mean(chain.iter().copied())));
    let covariance = |lag: usize| -> f64 {
        let of = |chain: &Vec<f64>| -> f64 {
            let pairs = chain.iter().zip(&chain[lag..]);
            pairs.map(|(a, b)| (a - centre) * (b - centre)).sum()
        };
        chains.iter().map(of).sum::<f64>() / (length - lag) as f64
    };
    let at_zero = covariance(0);
    if at_zero.is_nan() || at_zero <= 0.0 {
        return Ok(None);
    }
    let mut time = 1.0;
    for lag in 1..length {
        time += 2.0 * covariance(lag) / at_zero;
        if lag as f64 >= WINDOW * time {
            break;
        }
    }
    Ok(Some(time.max(1.0 / length as f64)))
}

/// How many independent values the chains are worth: all their values over [`autocorrelation_time`].
pub fn effective_sample_size(chains: &[Vec<f64>]) -> Result<Option<f64>> {
    let values = (chains.len() * check(chains, 2)?) as f64;
    Ok(autocorrelation_time(chains)?.map(|time| values / time))
}

/// Split-R̂ (Gelman and Rubin 1992; Gelman et al. 2013): every chain is cut into halves, and the spread between the halves'
/// means is set against the spread within them: √((1 − 1/n) + between/within). One where all have been to the same places;
/// infinite where none moves and they differ. None where nothing varies.
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
