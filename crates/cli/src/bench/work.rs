//! What is measured, each piece beside the products that it cannot do without. Only the libraries' public functions are
//! used, so that it is what a user's own program would get.

use std::hint::black_box;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use dbn::classifier::log_likelihood;
use dbn::{Classifier, Dbn};
use rbm_core::kernel::Chains;
use rbm_core::{
    ContrastiveDivergence, Gibbs, Kernel, NegativePhase, Optimizer, Persistent, Phase, Rbm, Rng,
    Sgd,
};
use serde::Serialize;

use super::measure::Work;
use super::plan::{Look, Row, Task};
use super::warm::{Cases, LEARNING_RATE, Learner, Warm, learner};
use crate::args::Method;

/// Classes of the network that is fine-tuned.
const CLASSES: usize = 10;
/// A learning rate at which a machine stays as it is.
const STANDSTILL: f64 = 1e-9;
/// Two neighbouring inverse temperatures of annealing.
const BETAS: [f64; 2] = [0.5, 0.501];

/// The fractions of units that are on (not zero).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Densities {
    /// Of the data.
    pub data: f64,
    /// Of the visible units of fantasies.
    pub fantasies: Option<f64>,
    /// Of samples of the hidden units, given the data or in the chains.
    pub hidden: Option<f64>,
}

/// Work that knows what it works on.
pub trait Subject: Work {
    /// The data's name.
    fn data(&self) -> &str;
    /// How many units are on, now that the work is done.
    fn densities(&mut self) -> Result<Densities>;
}

/// The work of `row`.
pub fn of(row: &Row, warm: &mut Warm) -> Result<Box<dyn Subject>> {
    Ok(match row.task {
        Task::Learn { method, steps, look } => {
            let shape = (row.widths[0], row.widths[1]);
            let mut cases = warm.cases(look, shape.0, row.batch)?;
            let rbm = warm.learned(&mut cases, look, shape)?;
            // Learning goes on while it is measured, so that no two updates are alike.
            let rate = if look == Look::Dense { STANDSTILL } else { LEARNING_RATE };
            Box::new(Learning::new(rbm, cases, (method, steps), rate)?)
        }
        Task::FineTune => {
            let cases = warm.cases(Look::Binary, row.widths[0], row.batch)?;
            Box::new(FineTuning::new(&warm.stack(3)?, cases, row.batch)?)
        }
        Task::Embed => {
            let cases = warm.cases(Look::Binary, row.widths[0], row.batch)?;
            Box::new(Embedding::new(warm.stack(3)?, cases)?)
        }
        Task::Anneal => {
            let cases = warm.cases(Look::Binary, row.widths[0], row.batch)?;
            Box::new(Annealing::new(warm.stack(1)?.swap_remove(0), cases)?)
        }
    })
}

fn density(x: &Tensor) -> Result<f64> {
    let on = x.detach().to_device(&Device::Cpu)?.ne(0.0)?;
    Ok(on.to_dtype(DType::F64)?.mean_all()?.to_scalar()?)
}

/// Updates by CD-k or PCD-k.
struct Learning {
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
    fn new(
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
        let batch = self.cases.next();
        let positive = Phase::of(&self.rbm, &batch)?;
        let fantasy = self.learner.negative.fantasy(&self.rbm, &positive, &mut self.rng)?;
        let hidden = self.rbm.hidden().sample(&positive.hidden_inputs, &mut self.rng)?;
        Ok(Densities {
            data: density(&batch)?,
            fantasies: Some(density(&fantasy.visible)?),
            hidden: Some(density(&hidden)?),
        })
    }
}

/// Steps of backpropagation with momentum.
struct FineTuning {
    classifier: Classifier,
    optimizer: Sgd,
    cases: Cases,
    labels: Vec<u32>,
    /// A tensor `(batch, width)` for each layer above the data, for the products.
    above: Vec<Tensor>,
}

impl FineTuning {
    fn new(rbms: &[Rbm], mut cases: Cases, batch: usize) -> Result<Self> {
        let classifier = Classifier::unroll(rbms, CLASSES, &mut Rng::new(6))?;
        let mut above = activities(rbms, &cases.next())?;
        above.push(classifier.logits(&cases.next())?.detach());
        let labels = (0..batch).map(|i| (i % CLASSES) as u32).collect();
        let optimizer = Sgd { momentum: 0.9, ..Sgd::new(0.01) };
        Ok(Self { classifier, optimizer, cases, labels, above })
    }
}

impl Work for FineTuning {
    fn step(&mut self) -> Result<()> {
        let logits = self.classifier.logits(&self.cases.next())?;
        let gradients = log_likelihood(&logits, &self.labels)?.backward()?;
        let vars = self.classifier.vars();
        let gradient = |var: &&candle_core::Var| -> Result<Tensor> {
            let gradient =
                gradients.get(var.as_tensor()).context("a parameter without gradient")?;
            Ok(gradient.detach().contiguous()?)
        };
        let ascent = vars.iter().map(gradient).collect::<Result<Vec<_>>>()?;
        Ok(self.optimizer.ascend(&vars, &ascent.iter().collect::<Vec<_>>())?)
    }

    /// For every layer: up, the gradient of the weights, and down but for the lowest.
    fn products(&mut self) -> Result<()> {
        let layers = self.classifier.layers.iter().map(|layer| &layer.weights);
        let mut below = self.cases.next();
        for (i, (weights, above)) in
            layers.chain([&self.classifier.weights]).zip(&self.above).enumerate()
        {
            let weights = weights.as_detached_tensor();
            black_box(below.matmul(&weights)?);
            black_box(below.t()?.matmul(above)?);
            if i > 0 {
                black_box(above.matmul(&weights.t()?)?);
            }
            below = above.clone();
        }
        Ok(())
    }
}

impl Subject for FineTuning {
    fn data(&self) -> &str {
        &self.cases.name
    }

    fn densities(&mut self) -> Result<Densities> {
        Ok(Densities { data: density(&self.cases.next())?, fantasies: None, hidden: None })
    }
}

/// The up-pass.
struct Embedding {
    dbn: Dbn,
    cases: Cases,
    above: Vec<Tensor>,
}

impl Embedding {
    fn new(rbms: Vec<Rbm>, mut cases: Cases) -> Result<Self> {
        let above = activities(&rbms, &cases.next())?;
        Ok(Self { dbn: Dbn::new(rbms)?, cases, above })
    }
}

/// The mean activities of every layer above `v`.
fn activities(rbms: &[Rbm], v: &Tensor) -> Result<Vec<Tensor>> {
    let mut activities: Vec<Tensor> = Vec::with_capacity(rbms.len());
    for rbm in rbms {
        activities.push(rbm.hidden_mean(activities.last().unwrap_or(v))?.detach());
    }
    Ok(activities)
}

impl Work for Embedding {
    fn step(&mut self) -> Result<()> {
        black_box(self.dbn.up(&self.cases.next())?.detach());
        Ok(())
    }

    fn products(&mut self) -> Result<()> {
        let mut below = self.cases.next();
        for (rbm, above) in self.dbn.rbms.iter().zip(&self.above) {
            black_box(below.matmul(&rbm.weights().as_detached_tensor())?);
            below = above.clone();
        }
        Ok(())
    }
}

impl Subject for Embedding {
    fn data(&self) -> &str {
        &self.cases.name
    }

    fn densities(&mut self) -> Result<Densities> {
        Ok(Densities { data: density(&self.cases.next())?, fantasies: None, hidden: None })
    }
}

/// A Gibbs step of every chain, and the part of its log-weight that depends on the chain.
struct Annealing {
    rbm: Rbm,
    chains: Chains,
    data: String,
    density: f64,
    rng: Rng,
}

impl Annealing {
    fn new(rbm: Rbm, mut cases: Cases) -> Result<Self> {
        let (batch, mut rng) = (cases.next(), Rng::new(7));
        let density = density(&batch)?;
        let chains = Gibbs::default().init(&rbm, batch, &mut rng)?;
        Ok(Self { rbm, chains, data: cases.name, density, rng })
    }
}

impl Work for Annealing {
    fn step(&mut self) -> Result<()> {
        Gibbs::default().step(&self.rbm, &mut self.chains, &mut self.rng)?;
        let [low, high] =
            BETAS.map(|beta| self.rbm.hidden().cgf(&(&self.chains.hidden_inputs * beta)?));
        black_box((high?.detach() - low?.detach())?);
        Ok(())
    }

    fn products(&mut self) -> Result<()> {
        let weights = self.rbm.weights().as_detached_tensor();
        black_box(self.chains.hidden.matmul(&weights.t()?)?);
        black_box(self.chains.visible.matmul(&weights)?);
        Ok(())
    }
}

impl Subject for Annealing {
    fn data(&self) -> &str {
        &self.data
    }

    fn densities(&mut self) -> Result<Densities> {
        let Chains { visible, hidden, .. } = &self.chains;
        let (fantasies, hidden) = (Some(density(visible)?), Some(density(hidden)?));
        Ok(Densities { data: self.density, fantasies, hidden })
    }
}
