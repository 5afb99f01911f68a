//! Chains between independent units and a machine, and the mean field of a deep one.

use std::hint::black_box;

use anyhow::Result;
use candle_core::{Tensor, Var};
use rbm_core::estimate::{Annealing, betas};
use rbm_core::learning::positive::mean_field;
use rbm_core::model::{Coupling, Machine};
use rbm_core::sampling::{AnnealingPath, Chains, Gibbs, Replicas, Tempering};
use rbm_core::{Kernel, Rbm, Rng, Units};

use super::fixtures::MeasuredBatches;
use super::workloads::{Densities, Workload, density};

/// What is measured, and its two dense products of every Gibbs step: hWᵀ and vW.
struct Products {
    weights: Tensor,
    rows: Chains,
}

impl Products {
    fn of(rbm: &Rbm, visible: Tensor, rng: &mut Rng) -> Result<Self> {
        let rows = Gibbs::default().init(rbm, visible, rng)?;
        Ok(Self { weights: rbm.weights().as_detached_tensor(), rows })
    }

    fn make(&self) -> Result<()> {
        black_box(self.rows.hidden.matmul(&self.weights.t()?)?);
        black_box(self.rows.visible.matmul(&self.weights)?);
        Ok(())
    }
}

/// Annealed importance sampling from the data's means to the machine, all of it.
pub struct AnnealingRun {
    rbm: Rbm,
    path: AnnealingPath,
    betas: Vec<f64>,
    batch: usize,
    products: Products,
    /// Configurations at the end.
    visible: Tensor,
    data: String,
    density: f64,
    rng: Rng,
}

impl AnnealingRun {
    /// As many chains as cases of a mini-batch, through `count` inverse temperatures.
    pub fn new(rbm: Rbm, mut cases: MeasuredBatches, count: usize) -> Result<Self> {
        let (batch, mut rng) = (cases.next(), Rng::new(7));
        let path = AnnealingPath::from_cases(&rbm, &batch)?;
        let products = Products::of(&rbm, batch.clone(), &mut rng)?;
        let density = density(&batch)?;
        let (data, betas, rows) = (cases.name, betas(count), batch.dim(0)?);
        Ok(Self { rbm, path, betas, batch: rows, products, visible: batch, data, density, rng })
    }
}

impl Workload for AnnealingRun {
    fn step(&mut self) -> Result<()> {
        let (path, betas) = (self.path.clone(), self.betas.clone());
        let mut annealing = Annealing::forward(&self.rbm, path, betas, self.batch, &mut self.rng)?;
        while !annealing.is_done() {
            annealing.step(&self.rbm, &mut self.rng)?;
        }
        black_box(annealing.log_partition(&self.rbm)?);
        self.visible = annealing.visible().clone();
        Ok(())
    }

    /// vW of the beginning, and both products of every inverse temperature between the first and the last.
    fn products(&mut self) -> Result<()> {
        black_box(self.products.rows.visible.matmul(&self.products.weights)?);
        (1..self.betas.len() - 1).try_for_each(|_| self.products.make())
    }

    fn data(&self) -> &str {
        &self.data
    }

    fn densities(&mut self) -> Result<Densities> {
        let hidden = self.rbm.sample_hidden(&self.visible, &mut self.rng)?;
        let (fantasies, hidden) = (Some(density(&self.visible)?), Some(density(&hidden)?));
        Ok(Densities { data: self.density, fantasies, hidden })
    }
}

/// A step of parallel tempering: a Gibbs step of every replica, and the swaps.
pub struct TemperingStep {
    rbm: Rbm,
    kernel: Tempering,
    replicas: Replicas,
    products: Products,
    data: String,
    density: f64,
    rng: Rng,
}

impl TemperingStep {
    /// As many replicas of `levels` inverse temperatures as there are cases in a mini-batch, after a hundred steps.
    pub fn new(rbm: Rbm, mut cases: MeasuredBatches, levels: usize) -> Result<Self> {
        const BEFORE: usize = 100;
        let (batch, mut rng) = (cases.next(), Rng::new(7));
        let kernel = Tempering::even(AnnealingPath::from_cases(&rbm, &batch)?, levels)?;
        let mut replicas = kernel.init(&rbm, batch.clone(), &mut rng)?;
        for _ in 0..BEFORE {
            kernel.step(&rbm, &mut replicas, &mut rng)?;
        }
        let products = Products::of(&rbm, batch.clone(), &mut rng)?;
        let (data, density) = (cases.name, density(&batch)?);
        Ok(Self { rbm, kernel, replicas, products, data, density, rng })
    }
}

impl Workload for TemperingStep {
    fn step(&mut self) -> Result<()> {
        black_box(self.kernel.step(&self.rbm, &mut self.replicas, &mut self.rng)?);
        Ok(())
    }

    fn products(&mut self) -> Result<()> {
        self.products.make()
    }

    fn data(&self) -> &str {
        &self.data
    }

    fn densities(&mut self) -> Result<Densities> {
        let Chains { visible, hidden, .. } = &self.replicas.rows;
        let (fantasies, hidden) = (Some(density(visible)?), Some(density(hidden)?));
        Ok(Densities { data: self.density, fantasies, hidden })
    }
}

/// Mean field of a deep Boltzmann machine of two hidden layers: what each mini-batch of its learning begins with.
pub struct MeanFieldRun {
    machine: Machine,
    /// Between the data and the first hidden layer, and between that and the second.
    weights: [Tensor; 2],
    steps: usize,
    cases: MeasuredBatches,
    /// `(batch, width)` of both hidden layers.
    above: [Tensor; 2],
}

impl MeanFieldRun {
    /// `steps` iterations from the biases.
    pub fn new(below: &Rbm, above: &Rbm, mut cases: MeasuredBatches, steps: usize) -> Result<Self> {
        let [first, second] = [below, above].map(|rbm| rbm.weights().as_detached_tensor());
        let widths = [first.dim(0)?, first.dim(1)?, second.dim(1)?];
        let bernoulli = |width: usize| Units::bernoulli(width).build(first.dtype(), first.device());
        // The first hidden layer has input from both sides, half from each.
        let halved = |weights: &Tensor| Var::from_tensor(&(weights * 0.5)?);
        let couplings = vec![
            Coupling::Dense { layers: [0, 2], weights: halved(&first)? },
            Coupling::Dense { layers: [2, 1], weights: halved(&second)? },
        ];
        let layers = [widths[0], widths[2], widths[1]].map(bernoulli);
        let machine =
            Machine::new(layers.into_iter().collect::<rbm_core::Result<_>>()?, couplings)?;
        let one = below.hidden_mean(&cases.next())?.detach();
        let two = above.hidden_mean(&one)?.detach();
        Ok(Self { machine, weights: [first, second], steps, cases, above: [one, two] })
    }
}

impl Workload for MeanFieldRun {
    fn step(&mut self) -> Result<()> {
        black_box(mean_field(&self.machine, &self.cases.next(), self.steps, 0.0)?);
        Ok(())
    }

    /// The data's input to the first hidden layer; that layer's to the second and back at the beginning and at every iteration.
    fn products(&mut self) -> Result<()> {
        let ([first, second], [one, two]) = (&self.weights, &self.above);
        black_box(self.cases.next().matmul(first)?);
        black_box(two.matmul(&second.t()?)?);
        for _ in 0..self.steps {
            black_box(one.matmul(second)?);
            black_box(two.matmul(&second.t()?)?);
        }
        Ok(())
    }

    fn data(&self) -> &str {
        &self.cases.name
    }

    fn densities(&mut self) -> Result<Densities> {
        Densities::of_data(&self.cases.next())
    }
}
