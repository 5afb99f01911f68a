//! Simulated annealing: chains of a machine whose temperature falls, and the lowest energies that they have seen.

use candle_core::Tensor;
use serde::Serialize;

use super::{AnnealingPath, Chains, GraphChains, beta_column};
use crate::model::{BinaryGraph, Boltzmann};
use crate::ops::device::to_host;
use crate::{Error, Result, Rng};

/// A sweep at each of these inverse temperatures (Kirkpatrick, Gelatt, Vecchi 1983). It is the walk of annealed importance
/// sampling along [`AnnealingPath::temperature`], without weights; so the part of a layer's energy that is not learned does not
/// feel the temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedAnnealing {
    /// β = 1/τ of each sweep.
    pub betas: Vec<f64>,
}

/// The best of each read.
#[derive(Debug, Clone)]
pub struct Best {
    /// The units of the rest, `(reads, rest)`.
    pub rest: Tensor,
    /// The units of the last colour, `(reads, last)`.
    pub last: Tensor,
    /// The lowest energy of each read.
    pub energies: LowestEnergies,
}

/// The lowest energy that each read has seen on its way.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct LowestEnergies(pub Vec<f64>);

impl LowestEnergies {
    /// The lowest energy of all reads.
    pub fn lowest(&self) -> Option<f64> {
        self.best().map(|read| self.0[read])
    }

    /// How many reads came to within `tolerance` of `energy`.
    pub fn hits(&self, energy: f64, tolerance: f64) -> usize {
        self.0.iter().filter(|found| **found <= energy + tolerance).count()
    }

    /// How many reads it takes until one comes to within `tolerance` of `energy` with the probability `sure`: at least 1, and `None` where
    /// no read did.
    pub fn repeats(&self, energy: f64, tolerance: f64, sure: f64) -> Option<f64> {
        let success = self.hits(energy, tolerance) as f64 / self.0.len() as f64;
        (success > 0.0).then(|| match success >= sure {
            true => 1.0,
            false => (1.0 - sure).ln() / (1.0 - success).ln(),
        })
    }

    /// The read with the lowest, the first of several.
    pub fn best(&self) -> Option<usize> {
        (0..self.0.len()).min_by(|a, b| self.0[*a].total_cmp(&self.0[*b]))
    }

    /// The mean of all reads.
    pub fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().sum::<f64>() / self.0.len() as f64)
    }
}

/// The coldest temperature: with energies up to 1e100, E/τ has a square that double precision holds.
pub const COLDEST: f64 = 1e-50;

/// Whether `tau` is a temperature: finite, and not below [`COLDEST`].
pub fn is_temperature(tau: f64) -> bool {
    tau >= COLDEST && tau.is_finite()
}

impl SimulatedAnnealing {
    /// `sweeps` sweeps from the temperature `from` down to `to`, each by the same factor colder than the one before.
    ///
    /// # Errors
    ///
    /// Without a sweep, and for temperatures that do not fall or are below [`COLDEST`].
    pub fn between(from: f64, to: f64, sweeps: usize) -> Result<Self> {
        let falls = is_temperature(from) && is_temperature(to) && to <= from;
        if !falls || sweeps == 0 {
            let found = format!("{from:?} to {to:?} in {sweeps} sweeps");
            let expected = format!("temperatures of at least {COLDEST:e} that fall, and a sweep");
            return Err(Error::invalid("annealing", expected, found));
        }
        let share = |i: usize| i as f64 / (sweeps.max(2) - 1) as f64;
        let betas = (0..sweeps).map(|i| (from / to).powf(share(i)) / from);
        Ok(Self { betas: betas.collect() })
    }

    /// `reads` independent chains, from configurations drawn evenly; the best of each, not the last.
    ///
    /// # Errors
    ///
    /// Without a read, when the machine cannot be normalised, and when shapes or types do not fit it.
    pub fn run(&self, machine: &dyn Boltzmann, reads: usize, rng: &mut Rng) -> Result<Best> {
        self.run_with(machine, reads, rng, |_| true)
    }

    /// The same, telling `watch` after each sweep how many are done; it ends early where that answers no.
    ///
    /// # Errors
    ///
    /// As [`SimulatedAnnealing::run`].
    pub fn run_with(
        &self,
        machine: &dyn Boltzmann,
        reads: usize,
        rng: &mut Rng,
        mut watch: impl FnMut(usize) -> bool,
    ) -> Result<Best> {
        machine.check_normalisable()?;
        let Some(&first) = self.betas.first().filter(|_| reads > 0) else {
            return Err(Error::invalid("annealing", "a sweep and a read", "none"));
        };
        // Couplings grow with β, and precisions do not.
        let is_unbounded = || -> Result<bool> {
            Ok(machine.rest().tails()?.iter().any(|tail| tail.precision.is_finite()))
        };
        if self.betas.iter().any(|beta| *beta > 1.0) && machine.has_interaction() && is_unbounded()?
        {
            let found = machine.rest().units().to_string();
            return Err(Error::invalid("temperatures below 1", "units with bounds", found));
        }
        if let Some(graph) = machine.binary_graph()? {
            let mut chains = GraphChains::evenly(&graph, reads, rng)?;
            chains.keep_best();
            chains.sweep_with(&self.betas, rng, watch);
            return Best::on_graph(&graph, chains.best()?, chains.lowest(), machine);
        }
        let path = AnnealingPath::temperature(machine)?;
        let column = |beta: f64| beta_column(machine, &vec![beta; reads]);
        let start = path.sample_at_zero(machine, reads, rng)?;
        let mut chains = path.chains(machine, start, &column(first)?, rng)?;
        let energies = |chains: &Chains| -> Result<Vec<f64>> {
            let Chains { visible, hidden_inputs, hidden } = chains;
            let energies = machine.energy_given(visible, hidden_inputs, hidden)?;
            Ok(to_host(&energies.detach())?.to_vec1()?)
        };
        let mut best = Best {
            energies: LowestEnergies(energies(&chains)?),
            rest: chains.visible.clone(),
            last: chains.hidden.clone(),
        };
        for (sweep, &beta) in self.betas.iter().enumerate() {
            let from = (&chains.visible, &chains.hidden);
            chains = path.step(machine, from, &column(beta)?, rng)?;
            best.take(&chains, &energies(&chains)?)?;
            if !watch(sweep + 1) {
                break;
            }
        }
        Ok(best)
    }
}

impl Best {
    /// Configurations `(reads, units)` in the order of the machine's graph.
    pub(super) fn on_graph(
        graph: &BinaryGraph,
        best: Tensor,
        energies: Vec<f64>,
        machine: &dyn Boltzmann,
    ) -> Result<Self> {
        let columns =
            best.index_select(&graph.units_of_columns()?, 1)?.to_dtype(machine.dtype())?;
        let first = machine.rest().units().width();
        let last = columns.narrow(1, first, graph.len() - first)?;
        let rest = columns.narrow(1, 0, first)?;
        Ok(Self {
            rest: rest.contiguous()?,
            last: last.contiguous()?,
            energies: LowestEnergies(energies),
        })
    }

    /// Keeps what is lower.
    fn take(&mut self, chains: &Chains, energies: &[f64]) -> Result<()> {
        let LowestEnergies(lowest) = &mut self.energies;
        let reads = lowest.len();
        let is_lower = |read: usize| energies[read] < lowest[read];
        if !(0..reads).any(is_lower) {
            return Ok(());
        }
        let rows = (0..reads).map(|read| (read + if is_lower(read) { reads } else { 0 }) as u32);
        let rows = Tensor::from_iter(rows, chains.visible.device())?;
        for (best, new) in [(&mut self.rest, &chains.visible), (&mut self.last, &chains.hidden)] {
            if best.elem_count() > 0 {
                *best = Tensor::cat(&[&*best, new], 0)?.index_select(&rows, 0)?;
            }
        }
        lowest.iter_mut().zip(energies).for_each(|(best, new)| *best = best.min(*new));
        Ok(())
    }
}
