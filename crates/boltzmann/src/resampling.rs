//! Chains that are started anew, independently of those with which a machine has learned: what says whether it has learned.
//!
//! Persistent chains may agree with the data although the machine does not: they have left equilibrium (Decelle, Furtlehner, Seoane 2021).

use candle_core::Tensor;
use rbm_core::estimate::{Correlations, exact_samples};
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::sampling::{AnnealingPath, Chains, GraphChains};
use rbm_core::state::State;
use rbm_core::{Gibbs, Kernel, Result, Rng, Units};
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
}

impl Resampled {
    /// So many chains and sweeps of `machine`, whose first layer is `visible`, beside `data`.
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
        if let Some(exact) = exact_samples(machine, chains, rng)? {
            let seen = exact.narrow(1, 0, visible.width())?.contiguous()?;
            let pearson = Correlations::of(visible, &seen, None)?.pearson(data)?;
            return Ok(Self { pearson, pearson_halfway: pearson });
        }
        let start = AnnealingPath::from_biases(machine)?.sample_at_zero(machine, chains, rng)?;
        let agreement = |rest: &Tensor| -> Result<f64> {
            let seen = rest.narrow(1, 0, visible.width())?.contiguous()?;
            Correlations::of(visible, &seen, None)?.pearson(data)
        };
        let half = walked(machine, start, sweeps / 2, rng, &mut |_| true)?;
        let pearson_halfway = agreement(&half)?;
        let end = walked(machine, half, sweeps - sweeps / 2, rng, &mut |_| true)?;
        Ok(Self { pearson: agreement(&end)?, pearson_halfway })
    }
}

/// `count` configurations of the first `width` units of the rest of `machine`, its visible ones, after so many sweeps from where units are
/// that nobody tells anything: `(count, width)`. Where measurements can be integrated samples are exact, without sweeps. `watch` is told now and then how many sweeps are done, and ends the walk where it answers no.
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
