//! Chains that are started anew, independently of those with which a machine has learned: what says whether it has learned.
//!
//! Persistent chains may agree with the data although the machine does not: they have left equilibrium (Decelle, Furtlehner, Seoane 2021).

use candle_core::Tensor;
use rbm_core::estimate::Correlations;
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::sampling::{AnnealingPath, Chains, GraphChains};
use rbm_core::{Gibbs, Kernel, Result, Rng, Units};
use serde::Serialize;

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
        let start = AnnealingPath::from_biases(machine)?.sample_at_zero(machine, chains, rng)?;
        let agreement = |rest: &Tensor| -> Result<f64> {
            let seen = rest.narrow(1, 0, visible.width())?.contiguous()?;
            Correlations::of(visible, &seen, None)?.pearson(data)
        };
        let half = walked(machine, start, sweeps / 2, rng)?;
        let pearson_halfway = agreement(&half)?;
        let end = walked(machine, half, sweeps - sweeps / 2, rng)?;
        Ok(Self { pearson: agreement(&end)?, pearson_halfway })
    }
}

/// The rest of `machine` after so many sweeps from `start` `(chains, rest)`.
pub(crate) fn walked(
    machine: &Machine,
    start: Tensor,
    sweeps: usize,
    rng: &mut Rng,
) -> Result<Tensor> {
    let has_last = machine.last().units().width() > 0;
    if let (Some(graph), false) = (machine.binary_graph()?, has_last) {
        let mut chains = GraphChains::at(&graph, &start.to_vec2::<f32>()?)?;
        chains.sweep(&vec![1.0; sweeps], rng);
        return chains.configurations();
    }
    let gibbs = Gibbs::default();
    let mut chains: Chains = gibbs.init(machine, start, rng)?;
    gibbs.advance(machine, &mut chains, sweeps, rng)?;
    Ok(chains.visible)
}
