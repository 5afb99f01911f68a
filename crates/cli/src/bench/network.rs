//! The stack as a whole: backpropagation, and the up-pass.

use std::hint::black_box;

use anyhow::Result;
use candle_core::Tensor;
use candle_dbn::network::classifier::Dropout;
use candle_dbn::{Classifier, Dbn};
use rbm_core::{Optimizer, Rbm, Rng, Sgd};

use super::measure::Work;
use super::subject::{Densities, Subject, density};
use super::warm::Cases;

/// Classes of the network that is fine-tuned.
pub const CLASSES: usize = 10;

/// Steps of backpropagation with momentum.
pub struct FineTuning {
    classifier: Classifier,
    optimizer: Sgd,
    cases: Cases,
    labels: Vec<u32>,
    /// A tensor `(batch, width)` for each layer above the data, for the products.
    above: Vec<Tensor>,
    dropout: Dropout,
    rng: Rng,
}

impl FineTuning {
    /// The stack under a softmax; the labels are arbitrary.
    pub fn new(rbms: &[Rbm], mut cases: Cases, batch: usize, dropout: Dropout) -> Result<Self> {
        let mut rng = Rng::new(6);
        let classifier = Classifier::unroll(rbms, CLASSES, &mut rng)?;
        let mut above = activities(rbms, &cases.next())?;
        above.push(classifier.logits(&cases.next())?.detach());
        let labels = (0..batch).map(|i| (i % CLASSES) as u32).collect();
        let optimizer = Sgd { momentum: 0.9, ..Sgd::new(0.01) };
        Ok(Self { classifier, optimizer, cases, labels, above, dropout, rng })
    }
}

impl Work for FineTuning {
    fn step(&mut self) -> Result<()> {
        let (_, ascents) = self.classifier.ascents(
            &self.cases.next(),
            &self.labels,
            self.dropout,
            &mut self.rng,
        )?;
        Ok(self.optimizer.ascend(&self.classifier.vars(), &ascents)?)
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
pub struct Embedding {
    dbn: Dbn,
    cases: Cases,
    above: Vec<Tensor>,
}

impl Embedding {
    /// The stack as a network.
    pub fn new(rbms: Vec<Rbm>, mut cases: Cases) -> Result<Self> {
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
