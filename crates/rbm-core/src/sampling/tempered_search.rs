//! The search for ground states by parallel tempering: all temperatures of a ladder side by side, and clusters that two replicas
//! change for each other.

use candle_core::Tensor;
use rand::RngExt;
use rayon::prelude::*;

use super::acceptance;
use super::anneal::Best;
use super::graph_chains::{Block, GraphChains};
use crate::model::{BinaryGraph, Boltzmann};
use crate::rng::LANES;
use crate::{Error, Result, Rng};

/// Attempted draws of a ladder between two looks at the watch.
const SLICE: usize = 1 << 19;

/// Parallel tempering (Swendsen and Wang 1986) of machines that are a [`BinaryGraph`], for the lowest energy, not for samples of one
/// temperature. Where spins have no fields, each temperature has two replicas, and the connected clusters in which they differ are
/// exchanged (Houdayer 2001): the sum of both energies stays, and barriers that single spins do not cross are crossed.
#[derive(Debug, Clone, PartialEq)]
pub struct TemperedSearch {
    /// The coldest and the hottest temperature; those between are as many as fit, each by the same factor hotter.
    pub coldest: f64,
    /// The hottest.
    pub hottest: f64,
    /// Sweeps of each replica.
    pub sweeps: usize,
    /// Whether clusters are exchanged where that is exact.
    pub has_clusters: bool,
}

/// The replicas of one search: lanes that change their temperatures.
struct Ladder {
    block: Block,
    /// The temperatures' lanes, the hottest first; where there are two replicas, those of the second in the upper half.
    lane_of: [usize; LANES],
    betas: [f32; LANES],
    rng: Rng,
    lowest: f64,
    best: Vec<f32>,
}

impl TemperedSearch {
    /// The temperatures of a ladder of so many, the hottest first, each by the same factor colder.
    pub fn temperatures(&self, levels: usize) -> Vec<f64> {
        let step = (self.coldest / self.hottest).powf(1.0 / (levels.max(2) - 1) as f64);
        (0..levels).map(|at| self.hottest * step.powi(at as i32)).collect()
    }

    /// Errors unless there is something to do.
    ///
    /// # Errors
    ///
    /// Without a search or a sweep, and for temperatures that do not rise from above 0.
    pub fn check(&self, searches: usize) -> Result<()> {
        let is_ladder =
            self.coldest > 0.0 && self.hottest.is_finite() && self.coldest <= self.hottest;
        if is_ladder && self.sweeps > 0 && searches > 0 {
            return Ok(());
        }
        let found = format!(
            "{} to {}, {searches} times {} sweeps",
            self.coldest, self.hottest, self.sweeps
        );
        let expected = "temperatures above 0 that rise, at least one sweep and one search";
        Err(Error::invalid("tempering", expected, found))
    }

    /// `searches` independent ladders of 32 replicas; the best of each. `watch` is called now and then with how many sweeps are done and
    /// the lowest energy so far, and ends the search where it answers no.
    ///
    /// # Errors
    ///
    /// As [`TemperedSearch::check`], and for machines that are no [`BinaryGraph`].
    pub fn run(
        &self,
        machine: &dyn Boltzmann,
        searches: usize,
        rng: &mut Rng,
        mut watch: impl FnMut(usize, f64) -> bool,
    ) -> Result<Best> {
        self.check(searches)?;
        let Some(graph) = machine.binary_graph()? else {
            let found = machine.rest().units().to_string();
            let expected = "a machine of spins or of Bernoulli units alone, on the CPU";
            return Err(Error::invalid("the search by tempering", expected, found));
        };
        let is_paired = self.has_clusters && graph.low() < 0.0 && graph.is_without_fields();
        let levels = if is_paired { LANES / 2 } else { LANES };
        let ladder = self.temperatures(levels);
        let betas: [f32; LANES] = std::array::from_fn(|at| (1.0 / ladder[at % levels]) as f32);
        let chains = GraphChains::evenly(&graph, searches * LANES, rng)?;
        let ladders = chains.into_blocks().into_iter().enumerate();
        let mut ladders: Vec<_> =
            ladders.map(|(i, block)| Ladder::new(block, betas, rng.split(i as u64))).collect();
        rng.draw();
        let slice = (SLICE / (graph.len() * LANES)).max(1);
        let mut done = 0;
        while done < self.sweeps {
            let now = slice.min(self.sweeps - done);
            ladders.par_iter_mut().for_each(|ladder| {
                for sweep in done..done + now {
                    ladder.step(&graph, levels, sweep);
                }
            });
            done += now;
            let lowest = ladders.iter().map(|ladder| ladder.lowest).fold(f64::INFINITY, f64::min);
            if !watch(done, lowest) {
                break;
            }
        }
        let width = graph.len();
        let energies =
            ladders.iter().map(|ladder| graph.energy(|unit| ladder.best[unit])).collect();
        let best: Vec<f32> = ladders.into_iter().flat_map(|ladder| ladder.best).collect();
        let best = Tensor::from_vec(best, (searches, width), &candle_core::Device::Cpu)?;
        Best::on_graph(&graph, best, energies, machine)
    }
}

impl Ladder {
    fn new(block: Block, betas: [f32; LANES], rng: Rng) -> Self {
        let best = block.x.iter().map(|lanes| lanes[0]).collect();
        let lowest = block.energies[0];
        let mut new =
            Self { block, lane_of: std::array::from_fn(|lane| lane), betas, rng, lowest, best };
        new.take();
        new
    }

    /// A sweep, clusters between the replicas of each temperature, and exchanges of neighbouring temperatures.
    fn step(&mut self, graph: &BinaryGraph, levels: usize, sweep: usize) {
        let mut betas = [0.0; LANES];
        for (at, &lane) in self.lane_of.iter().enumerate() {
            betas[lane] = self.betas[at];
        }
        let draw = self.rng.draw();
        self.block.sweep(graph, &betas, draw);
        self.take();
        if levels < LANES {
            for level in 0..levels {
                let (a, b) = (self.lane_of[level], self.lane_of[level + levels]);
                self.exchange_cluster(graph, a, b);
            }
            self.take();
        }
        for first in (0..LANES).step_by(levels) {
            for at in (first + sweep % 2..first + levels - 1).step_by(2) {
                let (a, b) = (self.lane_of[at], self.lane_of[at + 1]);
                let energies = &self.block.energies;
                let gap = f64::from(self.betas[at + 1]) - f64::from(self.betas[at]);
                let ratio = gap * (energies[b] - energies[a]);
                if self.chance() < acceptance(ratio) {
                    self.lane_of.swap(at, at + 1);
                }
            }
        }
    }

    /// A number on [0, 1).
    fn chance(&mut self) -> f64 {
        self.rng.random::<f64>()
    }

    /// Exchanges between two lanes the units that differ and are joined by others that differ, around a unit chosen evenly.
    fn exchange_cluster(&mut self, graph: &BinaryGraph, a: usize, b: usize) {
        let x = &self.block.x;
        let differing: Vec<usize> = (0..x.len()).filter(|&unit| x[unit][a] != x[unit][b]).collect();
        // A cluster of more than half is as good as its complement, which the mirror image of one replica would exchange.
        if differing.is_empty() || 2 * differing.len() > x.len() {
            return;
        }
        let chosen = (self.chance() * differing.len() as f64) as usize;
        let x = &mut self.block.x;
        let mut cluster = vec![differing[chosen.min(differing.len() - 1)]];
        let mut is_in = vec![false; x.len()];
        is_in[cluster[0]] = true;
        let (mut next, mut change) = (0, 0.0);
        while let Some(&unit) = cluster.get(next) {
            next += 1;
            for (other, coupling) in graph.neighbours_of(unit) {
                if x[other][a] == x[other][b] {
                    // Across the border of the cluster, which all of its units but none of these are in.
                    change += 2.0 * f64::from(coupling * x[unit][a] * x[other][a]);
                } else if !is_in[other] {
                    is_in[other] = true;
                    cluster.push(other);
                }
            }
        }
        for unit in cluster {
            x[unit].swap(a, b);
        }
        self.block.energies[a] += change;
        self.block.energies[b] -= change;
    }

    /// Keeps what is lower.
    fn take(&mut self) {
        let lanes =
            (0..LANES).min_by(|a, b| self.block.energies[*a].total_cmp(&self.block.energies[*b]));
        if let Some(lane) = lanes.filter(|lane| self.block.energies[*lane] < self.lowest) {
            self.lowest = self.block.energies[lane];
            self.best.iter_mut().zip(&self.block.x).for_each(|(best, lanes)| *best = lanes[lane]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::categorical;

    /// Pairs of replicas at one temperature, of which exact samples exchange clusters: each replica stays at its distribution, χ² says, and its
    /// energy is that of its spins. It would catch a cluster that ends too early, and a border counted twice.
    #[test]
    fn exchanged_clusters_leave_the_distribution() -> Result<()> {
        const UNITS: usize = 8;
        const LADDERS: usize = 2000;
        let mut rng = Rng::new(1);
        let pairs: Vec<[u32; 2]> =
            (0..UNITS as u32).flat_map(|i| [[i, (i + 1) % 8], [i, (i + 3) % 8]]).collect();
        let couplings: Vec<f64> = pairs.iter().map(|_| 2.0 * rng.random::<f64>() - 1.0).collect();
        let graph = BinaryGraph::new(&pairs, &couplings, &[0.0; UNITS], -1.0)?;
        let spin = |state: usize, unit: usize| if state >> unit & 1 == 1 { 1.0 } else { -1.0 };
        let log_p = |state: usize| -graph.energy(|unit| spin(state, unit));
        let shares: Vec<f64> = (0..1 << UNITS).map(|state| log_p(state).exp()).collect();
        let z: f64 = shares.iter().sum();
        let (mut counts, mut moved) = (vec![0.0; 1 << UNITS], 0);
        for number in 0..LADDERS {
            let states: [usize; LANES] = std::array::from_fn(|_| {
                categorical((0..1 << UNITS).map(log_p), rng.random::<f64>())
            });
            let x = (0..UNITS).map(|unit| states.map(|state| spin(state, unit))).collect();
            let block = Block::new(&graph, number as u64, x);
            let mut ladder = Ladder::new(block, [1.0; LANES], rng.split(number as u64));
            for _ in 0..3 {
                (0..LANES / 2).for_each(|a| ladder.exchange_cluster(&graph, a, a + LANES / 2));
            }
            for (lane, before) in states.into_iter().enumerate() {
                let x = &ladder.block.x;
                let state = (0..UNITS).map(|unit| usize::from(x[unit][lane] > 0.0) << unit).sum();
                counts[state] += 1.0;
                moved += usize::from(state != before);
                let energy = -log_p(state);
                assert!((ladder.block.energies[lane] - energy).abs() < 1e-5, "{energy}");
            }
        }
        let all = (LADDERS * LANES) as f64;
        assert!(moved as f64 > 0.05 * all, "{moved}");
        let expected = shares.iter().map(|share| all * share / z);
        let terms = counts.iter().zip(expected).map(|(n, e)| (n - e) * (n - e) / e);
        // Of 255 degrees of freedom, by Wilson and Hilferty.
        let (square, k): (f64, f64) = (terms.sum(), (counts.len() - 1) as f64);
        let ninth = 2.0 / (9.0 * k);
        let drift = ((square / k).cbrt() - (1.0 - ninth)) / ninth.sqrt();
        assert!(drift < 4.753, "{drift}");
        Ok(())
    }
}
