//! Updates of one machine.

use std::hint::black_box;

use anyhow::Result;
use candle_core::Tensor;
use rbm_core::{ContrastiveDivergence, NegativePhase, Persistent, Phase, Rbm, Rng};

use super::measure::Work;
use super::subject::{Densities, Subject, density};
use super::warm::{Cases, Learner, learner};
use crate::args::Method;

/// Cases over which densities are averaged, as long as that takes at most [`MOST_LOOKS`] mini-batches.
const LOOKED_AT: usize = 2000;
const MOST_LOOKS: usize = 20;

/// Updates by CD-k or PCD-k.
pub struct Learning {
    rbm: Rbm,
    learner: Learner,
    cases: Cases,
    steps: usize,
    rng: Rng,
    /// Hidden samples of a mini-batch, and a fantasy with its hidden samples, for the products.
    hidden: Tensor,
    chains: [Tensor; 2],
}

impl Learning {
    /// CD-`steps` or PCD-`steps` with as many chains as cases, at the learning rate `rate`.
    pub fn new(
        rbm: Rbm,
        mut cases: Cases,
        (method, steps): (Method, usize),
        rate: f64,
    ) -> Result<Self> {
        let mut rng = Rng::new(5);
        let mut learner = match method {
            Method::Cd => learner(ContrastiveDivergence::new(steps), rate),
            Method::Pcd => learner(Persistent::new(steps, 0), rate),
        };
        let positive = Phase::of(&rbm, &cases.next())?;
        let hidden = rbm.hidden().sample(&positive.hidden_inputs, &mut rng)?;
        let fantasy = learner.negative.fantasy(&rbm, &positive, &mut rng)?;
        let above = rbm.hidden().sample(&fantasy.hidden_inputs, &mut rng)?;
        Ok(Self { rbm, learner, cases, steps, rng, hidden, chains: [fantasy.visible, above] })
    }
}

impl Work for Learning {
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
}

impl Subject for Learning {
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
