//! Chains of two-valued units on a graph, 32 side by side in the lanes of vector registers.
//!
//! The units are drawn one after the other, so that no colours are needed: the chains are what is done at once.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::model::BinaryGraph;
use crate::ops::{even_words, graph_sweep};
use crate::rng::{Draw, LANES};
use crate::{Error, Result, Rng};

/// Attempted draws after which a walk looks up, to be watched or ended.
const SLICE: usize = 1 << 25;

/// Chains of Gibbs sampling (Geman and Geman 1984) through a [`BinaryGraph`]. Arithmetic is that of `f32`; energies are `f64`.
///
/// ```
/// use rbm_core::Rng;
/// use rbm_core::model::BinaryGraph;
/// use rbm_core::sampling::GraphChains;
///
/// // Two spins that pull each other the same way at τ = 1 are alike with a chance of e/(e + 1/e) = 0.88.
/// let graph = BinaryGraph::new(&[[0, 1]], &[1.0], &[0.0, 0.0], -1.0)?;
/// let mut rng = Rng::new(0);
/// let mut chains = GraphChains::evenly(&graph, 4096, &mut rng)?;
/// chains.sweep(&[1.0; 20], &mut rng);
/// let mean = chains.energies().iter().sum::<f64>() / 4096.0;
/// assert!((mean + 1f64.tanh()).abs() < 0.05);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GraphChains<'a> {
    graph: &'a BinaryGraph,
    count: usize,
    blocks: Vec<Block>,
    keeps_best: bool,
}

/// What chains were after each sweep: a row for each chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// E.
    pub energies: Vec<Vec<f64>>,
    /// The sum of the values of all units.
    pub sums: Vec<Vec<f64>>,
}

/// As many chains as lanes.
#[derive(Debug, Clone)]
pub(super) struct Block {
    number: u64,
    /// The value of each unit in each chain.
    pub(super) x: Vec<[f32; LANES]>,
    pub(super) energies: [f64; LANES],
    /// The lowest energy that each chain has had after a sweep, and its configuration then: empty where it is not kept.
    pub(super) lowest: [f64; LANES],
    best: Vec<[f32; LANES]>,
}

impl<'a> GraphChains<'a> {
    /// `count` chains that start at configurations drawn evenly.
    ///
    /// # Errors
    ///
    /// Without a chain, and without a unit.
    pub fn evenly(graph: &'a BinaryGraph, count: usize, rng: &mut Rng) -> Result<Self> {
        if count == 0 || graph.is_empty() {
            let found = format!("{count} chains of {} units", graph.len());
            return Err(Error::invalid("chains on a graph", "at least one of each", found));
        }
        let draw = rng.draw();
        let blocks = (0..count.div_ceil(LANES) as u64).into_par_iter();
        let blocks = blocks.map(|number| {
            let mut x = vec![[graph.low(); LANES]; graph.len()];
            even_words(draw, number, &mut x, |value| *value = 1.0);
            Block::new(graph, number, x)
        });
        Ok(Self { graph, count, blocks: blocks.collect(), keeps_best: false })
    }

    /// Chains that stand at the rows of `x` `(chains, units)`.
    ///
    /// # Errors
    ///
    /// When there are not as many columns as units, and for no row.
    pub fn at(graph: &'a BinaryGraph, x: &[Vec<f32>]) -> Result<Self> {
        if let Some(row) = x.iter().find(|row| row.len() != graph.len()) {
            let expected = format!("{} units", graph.len());
            return Err(Error::invalid("a configuration", expected, row.len().to_string()));
        }
        if x.is_empty() || graph.is_empty() {
            return Err(Error::invalid("chains on a graph", "at least one, of a unit", "none"));
        }
        let blocks = x.chunks(LANES).enumerate().map(|(number, rows)| {
            let mut lanes = vec![[graph.low(); LANES]; graph.len()];
            for (lane, row) in rows.iter().enumerate() {
                row.iter().zip(&mut lanes).for_each(|(value, lanes)| lanes[lane] = *value);
            }
            Block::new(graph, number as u64, lanes)
        });
        Ok(Self { graph, count: x.len(), blocks: blocks.collect(), keeps_best: false })
    }

    /// Keeps from now on the configuration of the lowest energy that each chain has after a sweep.
    pub fn keep_best(&mut self) {
        self.keeps_best = true;
        for block in &mut self.blocks {
            (block.best, block.lowest) = (block.x.clone(), block.energies);
        }
    }

    /// A sweep of all chains at each of these inverse temperatures.
    pub fn sweep(&mut self, betas: &[f64], rng: &mut Rng) {
        self.sweep_with(betas, rng, |_| true);
    }

    /// The same, telling `watch` now and then how many sweeps are done; it ends early where that answers no.
    pub fn sweep_with(
        &mut self,
        betas: &[f64],
        rng: &mut Rng,
        mut watch: impl FnMut(usize) -> bool,
    ) {
        let draws = steps(betas, rng);
        let each = self.graph.len() * self.blocks.len() * LANES;
        let slice = (SLICE / each.max(1)).max(1);
        for (i, slice_of) in draws.chunks(slice).enumerate() {
            self.blocks.par_iter_mut().for_each(|block| {
                for &step in slice_of {
                    block.step(self.graph, step, self.keeps_best);
                }
            });
            if !watch((i * slice + slice_of.len()).min(betas.len())) {
                return;
            }
        }
    }

    /// A sweep at each of these inverse temperatures, and what each chain was after every one.
    pub fn trace(&mut self, betas: &[f64], rng: &mut Rng) -> Trace {
        let draws = steps(betas, rng);
        let traces = self.blocks.par_iter_mut().map(|block| {
            let step = |&step: &(f32, Draw)| {
                block.step(self.graph, step, self.keeps_best);
                (block.energies, block.sums())
            };
            draws.iter().map(step).collect::<Vec<_>>()
        });
        let traces: Vec<_> = traces.collect();
        let of = |chain: usize| traces[chain / LANES].iter().map(move |step| (step, chain % LANES));
        Trace {
            energies: (0..self.count)
                .map(|i| of(i).map(|(step, lane)| step.0[lane]).collect())
                .collect(),
            sums: (0..self.count)
                .map(|i| of(i).map(|(step, lane)| f64::from(step.1[lane])).collect())
                .collect(),
        }
    }

    /// E of each chain.
    pub fn energies(&self) -> Vec<f64> {
        self.lanes(|block, lane| block.energies[lane])
    }

    /// The sum of the values of all units of each chain.
    pub fn sums(&self) -> Vec<f64> {
        let sums: Vec<_> = self.blocks.par_iter().map(Block::sums).collect();
        (0..self.count).map(|chain| f64::from(sums[chain / LANES][chain % LANES])).collect()
    }

    /// The lowest energies that the chains have had since [`GraphChains::keep_best`], each counted anew from its configuration.
    pub fn lowest(&self) -> Vec<f64> {
        self.lanes(|block, lane| self.graph.energy(|unit| block.best[unit][lane]))
    }

    /// Those configurations, `(chains, units)`.
    ///
    /// # Errors
    ///
    /// When memory is short.
    pub fn best(&self) -> Result<Tensor> {
        self.table(|block| &block.best)
    }

    /// The configurations, `(chains, units)`.
    ///
    /// # Errors
    ///
    /// When memory is short.
    pub fn configurations(&self) -> Result<Tensor> {
        self.table(|block| &block.x)
    }

    /// The chains, 32 together.
    pub(super) fn into_blocks(self) -> Vec<Block> {
        self.blocks
    }

    fn lanes(&self, of: impl Fn(&Block, usize) -> f64) -> Vec<f64> {
        (0..self.count).map(|chain| of(&self.blocks[chain / LANES], chain % LANES)).collect()
    }

    fn table(&self, of: impl Fn(&Block) -> &[[f32; LANES]]) -> Result<Tensor> {
        let mut values = Vec::with_capacity(self.count * self.graph.len());
        for chain in 0..self.count {
            let block = of(&self.blocks[chain / LANES]);
            values.extend(block.iter().map(|lanes| lanes[chain % LANES]));
        }
        Ok(Tensor::from_vec(values, (self.count, self.graph.len()), &Device::Cpu)?)
    }
}

/// What each sweep takes: its inverse temperature, and its random numbers.
fn steps(betas: &[f64], rng: &mut Rng) -> Vec<(f32, Draw)> {
    betas.iter().map(|beta| (*beta as f32, rng.draw())).collect()
}

impl Block {
    pub(super) fn new(graph: &BinaryGraph, number: u64, x: Vec<[f32; LANES]>) -> Self {
        let energies = std::array::from_fn(|lane| graph.energy(|unit| x[unit][lane]));
        Self { number, x, energies, lowest: energies, best: Vec::new() }
    }

    /// A sweep, all chains at the inverse temperature `beta`.
    fn step(&mut self, graph: &BinaryGraph, (beta, draw): (f32, Draw), keeps_best: bool) {
        self.sweep(graph, &[beta; LANES], draw);
        if keeps_best {
            self.take();
        }
    }

    /// A sweep, each chain at its own inverse temperature.
    pub(super) fn sweep(&mut self, graph: &BinaryGraph, betas: &[f32; LANES], draw: Draw) {
        let mut change = [0f32; LANES];
        graph_sweep(graph.neighbours(), &mut self.x, betas, (draw, self.number), &mut change);
        self.energies.iter_mut().zip(change).for_each(|(sum, change)| *sum += f64::from(change));
    }

    /// The sum over all units of each chain: whole numbers of at most 2²⁴ are exact.
    fn sums(&self) -> [f32; LANES] {
        let mut sums = [0f32; LANES];
        for values in &self.x {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        sums
    }

    /// Keeps what is lower.
    fn take(&mut self) {
        let is_lower: [bool; LANES] = std::array::from_fn(|i| self.energies[i] < self.lowest[i]);
        if !is_lower.contains(&true) {
            return;
        }
        for (best, now) in self.best.iter_mut().zip(&self.x) {
            for i in 0..LANES {
                best[i] = if is_lower[i] { now[i] } else { best[i] };
            }
        }
        for i in 0..LANES {
            self.lowest[i] = self.lowest[i].min(self.energies[i]);
        }
    }
}
