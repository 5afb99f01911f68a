//! Chains that are started anew, independently of those with which a machine has learned: what says whether it has learned.
//!
//! Persistent chains may agree with the data although the machine does not: they have left equilibrium (Decelle, Furtlehner, Seoane 2021).

use candle_core::Tensor;
use rbm_core::estimate::{Correlations, exact_samples};
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::sampling::{AnnealingPath, Chains, GraphChains};
use rbm_core::state::State;
use rbm_core::{Error, Gibbs, Kernel, Result, Rng, Rows, Units};
use serde::Serialize;

/// Where the chains of the training are in what it remembers.
const CHAINS: &str = "negative.rests";

/// How far chains that were started at the biases of the units alone agree with the data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Resampled {
    /// Pearson's correlation between connected correlations, after all sweeps.
    pub pearson: f64,
    /// The same after half of them: where it differs, the chains have not come to rest.
    pub pearson_halfway: f64,
    /// What a machine with exactly the correlations of the data would be expected to have: so many chains know their correlations to an error.
    pub attainable: f64,
}

impl Resampled {
    /// That of so many chains, after so many sweeps, of `machine`, whose first layer is `visible`, beside `data`.
    ///
    /// # Errors
    ///
    /// When shapes do not fit, or memory is short.
    pub fn of(
        machine: &Machine,
        visible: &Units,
        data: &Correlations,
        [chains, sweeps]: [usize; 2],
        rng: &mut Rng,
    ) -> Result<Self> {
        let seen = |rest: &Tensor| -> Result<Tensor> {
            Ok(rest.narrow(1, 0, visible.width())?.contiguous()?)
        };
        let agreement = |rest: &Tensor| -> Result<f64> {
            Correlations::of(visible, &seen(rest)?, None)?.pearson(data)
        };
        if let Some(exact) = exact_samples(machine, chains, rng)? {
            let (pearson, attainable) = (agreement(&exact)?, attainable(visible, &seen(&exact)?)?);
            return Ok(Self { pearson, pearson_halfway: pearson, attainable });
        }
        let start = AnnealingPath::from_biases(machine)?.sample_at_zero(machine, chains, rng)?;
        let half = walked(machine, start, sweeps / 2, rng, &mut |_| true)?;
        let pearson_halfway = agreement(&half)?;
        let end = walked(machine, half, sweeps - sweeps / 2, rng, &mut |_| true)?;
        let (pearson, attainable) = (agreement(&end)?, attainable(visible, &seen(&end)?)?);
        Ok(Self { pearson, pearson_halfway, attainable })
    }

    /// How much of `own`, which the chains of a training have, chains started anew lack although their number is allowed for. A training follows
    /// the noise of its own chains, so that these agree with the data the better for it.
    pub fn behind(&self, own: f64) -> f64 {
        own - self.pearson / self.attainable
    }
}

/// The correlations that a training to a target is to come to.
///
/// # Errors
///
/// As [`Correlations::of`], and where nothing varies together.
pub(crate) fn aim(
    visible: &Units,
    cases: &dyn Rows,
    weights: Option<&[f32]>,
) -> Result<Correlations> {
    let data = Correlations::of(visible, cases, weights)?;
    match data.pearson(&data)? == 0.0 {
        true => {
            let expected = "cases whose columns vary together";
            Err(Error::invalid("target_pearson", expected, "none that do"))
        }
        false => Ok(data),
    }
}

/// Pearson's correlation that is expected between the correlations of so many `samples` `(chains, width)` and those of the machine itself: both
/// halves of the samples have the same signal S and each twice the noise N, r = S/(S + 2N), and S/√(S·(S + N)) is asked for.
fn attainable(visible: &Units, samples: &Tensor) -> Result<f64> {
    let (count, half) = (samples.dim(0)?, samples.dim(0)? / 2);
    if half == 0 {
        return Ok(1.0);
    }
    let of = |from: usize, count: usize| -> Result<Correlations> {
        Correlations::of(visible, &samples.narrow(0, from, count)?.contiguous()?, None)
    };
    let between = of(0, half)?.pearson(&of(half, count - half)?)?;
    // Where the halves have nothing in common nothing can be said: then nothing is allowed for.
    let noise = if between > 0.0 { 0.5 * (1.0 / between - 1.0) } else { 0.0 };
    Ok(1.0 / (1.0 + noise).sqrt())
}

/// `count` configurations of the first `width` units of the rest of `machine`, its visible ones, after so many sweeps from where units are
/// by their biases alone: `(count, width)`. Where measurements can be integrated samples are exact, without sweeps. `watch` is called now and then with how many sweeps are done, and ends the walk where it answers no.
///
/// # Errors
///
/// When shapes do not fit, or memory is short.
pub fn samples(
    machine: &Machine,
    width: usize,
    [count, sweeps]: [usize; 2],
    rng: &mut Rng,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<Tensor> {
    if let Some(exact) = exact_samples(machine, count, rng)? {
        return Ok(exact.narrow(1, 0, width)?.contiguous()?);
    }
    let start = AnnealingPath::from_biases(machine)?.sample_at_zero(machine, count, rng)?;
    let after = walked(machine, start, sweeps, rng, watch)?;
    Ok(after.narrow(1, 0, width)?.contiguous()?)
}

/// The rest of `machine` after so many sweeps from `start` `(chains, rest)`, or fewer where `watch` ends them.
fn walked(
    machine: &Machine,
    start: Tensor,
    sweeps: usize,
    rng: &mut Rng,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<Tensor> {
    let has_last = machine.last().units().width() > 0;
    if let (Some(graph), false) = (machine.binary_graph()?, has_last) {
        let mut chains = GraphChains::at(&graph, &start.to_vec2::<f32>()?)?;
        chains.sweep_with(&vec![1.0; sweeps], rng, watch);
        return chains.configurations();
    }
    let gibbs = Gibbs::default();
    let mut chains: Chains = gibbs.init(machine, start, rng)?;
    for done in 1..=sweeps {
        gibbs.advance(machine, &mut chains, 1, rng)?;
        if !watch(done) {
            break;
        }
    }
    Ok(chains.visible)
}

/// How far the persistent chains agree with `data` that are in what a training remembers; nothing where there are none.
pub(crate) fn own_pearson(
    memory: &State,
    units: &Units,
    data: &Correlations,
) -> Result<Option<f64>> {
    let chains = memory.get(CHAINS);
    chains.map(|chains| Correlations::of(units, chains, None)?.pearson(data)).transpose()
}
