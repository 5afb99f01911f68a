//! Annealed importance sampling, from independent units to the machine and back.
//!
//! Neal 2001; for restricted Boltzmann machines Salakhutdinov and Murray 2008. A chain walks along a [`AnnealingPath`] while its
//! weight collects how much more probable each of its configurations becomes with the next step. Forwards, from exact
//! samples of β = 0, the mean of the weights is Z₁/Z₀ and the logarithm of an average falls short on average: log Z is
//! underestimated, and a likelihood overestimated. Backwards, from equilibrium samples of the machine, the mean is Z₀/Z₁, and
//! everything errs the other way (Grosse, Ghahramani, Adams 2015; Burda, Grosse, Salakhutdinov 2015).

use candle_core::{Device, Tensor};

use super::equilibrium::Estimate;
use crate::model::{BinaryGraph, Boltzmann};
use crate::ops::device::to_host;
use crate::sampling::{AnnealingPath, GraphChains, beta_column};
use crate::state::{State, get};
use crate::{Error, Result, Rng, Stateful};

/// Which way the weights are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From β = 0 to β = 1.
    Forward,
    /// From β = 1 to β = 0.
    Reverse,
}

/// Chains on their way along a path, with their weights: every row is one chain, and all share each product.
#[derive(Debug, Clone)]
pub struct Annealing {
    path: AnnealingPath,
    /// The inverse temperatures in the order in which they are visited.
    betas: Vec<f64>,
    direction: Direction,
    /// How many of `betas` have been weighed.
    weighed: usize,
    /// `(chains, visible)`.
    visible: Tensor,
    /// vW, `(chains, hidden)`.
    products: Tensor,
    log_weights: Vec<f64>,
    /// From how many independent chains the rows are.
    independent: usize,
    /// The machine as a graph, where the path is that of its temperature: then chains are moved through it, many inverse temperatures a step.
    graph: Option<BinaryGraph>,
}

/// Attempted draws of a step through a graph.
const SLICE: usize = 1 << 22;

impl Annealing {
    /// `chains` chains from β = 0 upwards; `betas` ascend from 0 to 1.
    ///
    /// # Errors
    ///
    /// For a machine without a partition function, for inverse temperatures that do not ascend from 0 to 1, and for fewer than 2 chains.
    pub fn forward(
        machine: &dyn Boltzmann,
        path: AnnealingPath,
        betas: Vec<f64>,
        chains: usize,
        rng: &mut Rng,
    ) -> Result<Self> {
        check_ladder(&betas, Some(1.0))?;
        Self::forward_to(machine, path, betas, chains, rng)
    }

    /// The same to another end: `betas` ascend from 0 to the inverse temperature at which log Z is wanted.
    ///
    /// # Errors
    ///
    /// For a machine without a partition function, for inverse temperatures that do not ascend from 0, and for fewer than 2 chains.
    pub fn forward_to(
        machine: &dyn Boltzmann,
        path: AnnealingPath,
        betas: Vec<f64>,
        chains: usize,
        rng: &mut Rng,
    ) -> Result<Self> {
        check_ladder(&betas, None)?;
        machine.check_normalisable()?;
        let visible = path.sample_at_zero(machine, chains, rng)?;
        Self::new(machine, path, betas, Direction::Forward, visible)
    }

    /// A chain from each of `samples` `(chains, visible)` downwards; they must be samples of the machine in equilibrium,
    /// or the estimate means nothing. `betas` ascend from 0 to 1, as forwards.
    ///
    /// # Errors
    ///
    /// For inverse temperatures that do not ascend from 0 to 1, and for fewer than 2 samples or samples of another width.
    pub fn reverse(
        machine: &dyn Boltzmann,
        path: AnnealingPath,
        mut betas: Vec<f64>,
        samples: Tensor,
    ) -> Result<Self> {
        check_ladder(&betas, Some(1.0))?;
        betas.reverse();
        Self::new(machine, path, betas, Direction::Reverse, samples)
    }

    fn new(
        machine: &dyn Boltzmann,
        path: AnnealingPath,
        betas: Vec<f64>,
        direction: Direction,
        visible: Tensor,
    ) -> Result<Self> {
        if visible.dim(0)? < 2 {
            let found = visible.dim(0)?.to_string();
            return Err(Error::invalid("annealed importance sampling", "at least 2 chains", found));
        }
        let products = machine.last_inputs(&visible)?.detach();
        let log_weights = vec![0.0; visible.dim(0)?];
        let independent = log_weights.len();
        let graph = match path.is_temperature(machine)? {
            true => machine.binary_graph()?,
            false => None,
        };
        let weighed = 1;
        Ok(Self {
            path,
            betas,
            direction,
            weighed,
            visible,
            products,
            log_weights,
            independent,
            graph,
        })
    }

    /// The same, knowing that its samples are of `chains` independent chains in turn (row i of chain i modulo `chains`), which
    /// its error must not forget.
    pub fn of_chains(self, chains: usize) -> Self {
        Self { independent: chains, ..self }
    }

    /// How many inverse temperatures have been visited, and how many there are.
    pub fn progress(&self) -> (usize, usize) {
        (self.weighed, self.betas.len())
    }

    /// Whether every inverse temperature has been visited.
    pub fn is_done(&self) -> bool {
        self.weighed == self.betas.len()
    }

    /// Weighs the chains against the next inverse temperature, or the next few, and moves them there by one Gibbs step each, unless it is
    /// the last. Nothing happens when all is done.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn step(&mut self, machine: &dyn Boltzmann, rng: &mut Rng) -> Result<()> {
        if self.is_done() {
            return Ok(());
        }
        if let Some(graph) = self.graph.take() {
            let moved = self.step_through(&graph, machine, rng);
            self.graph = Some(graph);
            return moved;
        }
        let chains = self.log_weights.len();
        let [here, there] = [self.weighed - 1, self.weighed]
            .map(|i| beta_column(machine, &vec![self.betas[i]; chains]));
        let (here, there) = (here?, there?);
        let ends = [&here, &there];
        let [before, after] =
            self.path.log_weights(machine, &self.visible, &self.products, ends)?;
        let gain = to_host(&(after - before)?)?.to_vec1::<f64>()?;
        self.log_weights.iter_mut().zip(gain).for_each(|(weight, gain)| *weight += gain);
        self.weighed += 1;
        if !self.is_done() {
            let hidden = self.path.sample_hidden(machine, &self.products, &there, rng)?;
            (self.visible, self.products) =
                self.path.reconstruct(machine, (&self.visible, &hidden), &there, rng)?;
        }
        Ok(())
    }

    /// The same through the machine as a `graph`, whose units are drawn one after the other. The last colour is not summed out.
    fn step_through(
        &mut self,
        graph: &BinaryGraph,
        machine: &dyn Boltzmann,
        rng: &mut Rng,
    ) -> Result<()> {
        let (chains, from) = (self.log_weights.len(), self.weighed);
        let here = beta_column(machine, &vec![self.betas[from - 1]; chains])?;
        let last = self.path.sample_hidden(machine, &self.products, &here, rng)?;
        let mut walk = GraphChains::at(graph, &graph.rows(&self.visible, &last)?)?;
        let left = self.betas.len() - from;
        let count = (SLICE / (graph.len() * chains).max(1)).clamp(1, left);
        // After the last one chains stay.
        let moves = &self.betas[from..from + count - usize::from(count == left)];
        let first = walk.energies();
        let trace = walk.trace(moves, rng);
        for (chain, weight) in self.log_weights.iter_mut().enumerate() {
            let energies = std::iter::once(&first[chain]).chain(&trace.energies[chain]);
            let steps = self.betas[from - 1..].windows(2).take(count);
            *weight += energies.zip(steps).map(|(e, step)| (step[0] - step[1]) * e).sum::<f64>();
        }
        let all = walk.configurations()?.index_select(&graph.units_of_columns()?, 1)?;
        let rest = all.narrow(1, 0, self.visible.dim(1)?)?.contiguous()?;
        self.visible = rest.to_dtype(self.visible.dtype())?;
        self.products = machine.last_inputs(&self.visible)?.detach();
        self.weighed += count;
        Ok(())
    }

    /// The logarithms of the chains' weights so far.
    pub fn log_weights(&self) -> &[f64] {
        &self.log_weights
    }

    /// The chains' visible configurations, `(chains, visible)`; forwards and done, samples of the machine that count by their
    /// weights.
    pub fn visible(&self) -> &Tensor {
        &self.visible
    }

    /// log Z of the machine at the inverse temperature reached: the log of the mean weight forwards, its negative
    /// backwards.
    ///
    /// # Errors
    ///
    /// Unless all is done.
    pub fn log_partition(&self, machine: &dyn Boltzmann) -> Result<Estimate> {
        if !self.is_done() {
            let (weighed, all) = self.progress();
            let found = format!("{weighed} of {all} inverse temperatures visited");
            return Err(Error::invalid("annealed importance sampling", "all visited", found));
        }
        let ratio = Estimate::of_chains(&self.log_weights, self.independent);
        let at_zero = self.path.log_partition_at_zero(machine)?;
        Ok(match self.direction {
            Direction::Forward => Estimate { value: at_zero + ratio.value, ..ratio },
            Direction::Reverse => Estimate { value: at_zero - ratio.value, ..ratio },
        })
    }
}

/// Errors unless `betas` ascend from 0, to `end` where that is given.
fn check_ladder(betas: &[f64], end: Option<f64>) -> Result<()> {
    let (first, last) = (betas.first().copied(), betas.last().copied());
    let ascends = betas.len() > 1 && betas.windows(2).all(|pair| pair[1] > pair[0]);
    if ascends && first == Some(0.0) && end.is_none_or(|end| last == Some(end)) {
        return Ok(());
    }
    let found = format!("{} numbers from {first:?} to {last:?}", betas.len());
    let expected = match end {
        Some(end) => format!("numbers that ascend from 0 to {end}"),
        None => "numbers that ascend from 0".to_owned(),
    };
    Err(Error::invalid("inverse temperatures", expected, found))
}

impl Stateful for Annealing {
    fn state(&self) -> State {
        let weights = Tensor::new(&self.log_weights[..], &Device::Cpu);
        let weighed = Tensor::new(self.weighed as u32, &Device::Cpu);
        let numbers = [("log_weights", weights), ("weighed", weighed)];
        let numbers = numbers.into_iter().filter_map(|(name, x)| Some((name.to_owned(), x.ok()?)));
        numbers
            .chain(
                [("visible", &self.visible), ("products", &self.products)]
                    .map(|(name, x)| (name.to_owned(), x.clone())),
            )
            .collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let weighed = get(state, "weighed")?.to_scalar::<u32>()? as usize;
        let log_weights = get(state, "log_weights")?.to_vec1::<f64>()?;
        let (visible, products) = (get(state, "visible")?, get(state, "products")?);
        let fits = (1..=self.betas.len()).contains(&weighed)
            && log_weights.len() == self.log_weights.len()
            && visible.dims() == self.visible.dims()
            && products.dims() == self.products.dims();
        if !fits {
            let found = format!("{:?} after {weighed} inverse temperatures", visible.dims());
            let expected = format!("{:?}, at most {}", self.visible.dims(), self.betas.len());
            return Err(Error::invalid("the chains of a checkpoint", expected, found));
        }
        let device = self.visible.device().clone();
        self.visible = visible.to_device(&device)?;
        self.products = products.to_device(&device)?;
        (self.weighed, self.log_weights) = (weighed, log_weights);
        Ok(())
    }
}

/// `count` inverse temperatures of `path`, or one less: [`betas`], but half of them where precisions change, by steps at which the lowest
/// precision grows by the same factor each. A weight on the way back has no variance where a step makes it half of what it was.
pub fn betas_along(path: &AnnealingPath, count: usize) -> Vec<f64> {
    let shares = [&path.rest, &path.last].into_iter().filter_map(|base| base.precision_shares());
    let least = shares.flatten().copied().fold(1.0, f64::min);
    let steps = count / 2;
    if least >= 1.0 || steps < 2 {
        return betas(count);
    }
    let at = |step: usize| (least.powf(1.0 - step as f64 / steps as f64) - least) / (1.0 - least);
    let mut all = betas(count - steps);
    all.extend((1..steps).map(at));
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// `count` inverse temperatures from 0 to 1, closer together the nearer they are to 1: in the proportions of Salakhutdinov and
/// Murray 2008, 1/29 of them up to 0.5, 8/29 up to 0.9, 20/29 above. At least two.
pub fn betas(count: usize) -> Vec<f64> {
    let steps = count.max(2) - 1;
    let pieces = [(0.0, 0.0), (1.0 / 29.0, 0.5), (9.0 / 29.0, 0.9), (1.0, 1.0)];
    let at = |share: f64| {
        let inside = pieces.windows(2).find(|pair| share <= pair[1].0).unwrap_or(&pieces[2..]);
        let ((x0, y0), (x1, y1)) = (inside[0], inside[1]);
        y0 + (share - x0) / (x1 - x0) * (y1 - y0)
    };
    let mut betas: Vec<_> = (0..=steps).map(|i| at(i as f64 / steps as f64)).collect();
    betas[steps] = 1.0;
    betas
}
