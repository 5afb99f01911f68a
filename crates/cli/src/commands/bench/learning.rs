//! Updates of a machine, beside the five products of CD-1, or the more of CD-k.

use std::hint::black_box;

use anyhow::Result;
use candle_core::Tensor;
use rbm_core::{ContrastiveDivergence, NegativePhase, Persistent, Phase, Rbm, Rng};

use super::fixtures::{BenchLearner, MeasuredBatches, learner};
use super::plan::BenchMethod;
use super::workloads::{Densities, Workload, density};

/// Cases over which densities are averaged, as long as that takes at most [`MOST_LOOKS`] mini-batches.
const LOOKED_AT: usize = 2000;
const MOST_LOOKS: usize = 20;

/// Updates by CD-k or PCD-k.
pub struct LearningStep {
    rbm: Rbm,
    /// The machine as it is when a round begins.
    start: Rbm,
    method: BenchMethod,
    rate: f64,
    learner: BenchLearner,
    cases: MeasuredBatches,
    steps: usize,
    rng: Rng,
    /// Hidden samples of a mini-batch, and a fantasy with its hidden samples, for the products.
    hidden: Tensor,
    chains: [Tensor; 2],
}

impl LearningStep {
    /// CD-`steps` or PCD-`steps` with as many chains as cases, at the learning rate `rate`.
    pub fn new(
        rbm: Rbm,
        mut cases: MeasuredBatches,
        (method, steps): (BenchMethod, usize),
        rate: f64,
    ) -> Result<Self> {
        let (mut rng, start) = (Rng::new(5), rbm.try_clone()?);
        let mut learner = learner_by(method, steps, rate);
        let positive = Phase::of(&rbm, &cases.next())?;
        let hidden = rbm.hidden().sample(&positive.hidden_inputs, &mut rng)?;
        let fantasy = learner.negative.fantasy(&rbm, &positive, &mut rng)?;
        let above = rbm.hidden().sample(&fantasy.hidden_inputs, &mut rng)?;
        let chains = [fantasy.visible, above];
        Ok(Self { rbm, start, method, rate, learner, cases, steps, rng, hidden, chains })
    }
}

fn learner_by(method: BenchMethod, steps: usize, rate: f64) -> BenchLearner {
    match method {
        BenchMethod::Cd => learner(ContrastiveDivergence::new(steps), rate),
        BenchMethod::Pcd => learner(Persistent::new(steps, None), rate),
    }
}

impl Workload for LearningStep {
    /// A machine that learns the same cases for ever ends with units that never change, and with numbers so small that processors are slow at them.
    fn begin(&mut self) -> Result<()> {
        self.rbm.set(&self.start)?;
        self.learner = learner_by(self.method, self.steps, self.rate);
        // What is made at first use.
        self.step()
    }

    fn step(&mut self) -> Result<()> {
        Ok(self.learner.step(&self.rbm, &self.cases.next(), &mut self.rng)?)
    }

    /// v⁺W; hWᵀ and vW of every Gibbs step, the last of which is v⁻W; both outer products. CD-1: five.
    fn products(&mut self) -> Result<()> {
        let weights = self.rbm.weights().as_detached_tensor();
        let ([v, h], batch) = (&self.chains, self.cases.next());
        black_box(batch.matmul(&weights)?);
        for _ in 0..self.steps {
            black_box(h.matmul(&weights.t()?)?);
            black_box(v.matmul(&weights)?);
        }
        black_box(batch.t()?.matmul(&self.hidden)?);
        black_box(v.t()?.matmul(h)?);
        Ok(())
    }

    fn data(&self) -> &str {
        &self.cases.name
    }

    fn densities(&mut self) -> Result<Densities> {
        let looks = (LOOKED_AT / self.hidden.dim(0)?).clamp(1, MOST_LOOKS);
        let mut sums = [0.0; 3];
        for _ in 0..looks {
            let positive = Phase::of(&self.rbm, &self.cases.next())?;
            let fantasy = self.learner.negative.fantasy(&self.rbm, &positive, &mut self.rng)?;
            let hidden = self.rbm.hidden().sample(&positive.hidden_inputs, &mut self.rng)?;
            for (sum, x) in sums.iter_mut().zip([&positive.visible, &fantasy.visible, &hidden]) {
                *sum += density(x)?;
            }
        }
        let [data, fantasies, hidden] = sums.map(|sum| sum / looks as f64);
        Ok(Densities { data, fantasies: Some(fantasies), hidden: Some(hidden) })
    }
}
