//! The up-pass through a network, and steps of its backpropagation: plain, with units left out, with adversarial and virtual adversarial examples.

use std::hint::black_box;

use anyhow::Result;
use candle_core::Tensor;
use candle_dbn::network::fine_tune::{Adversary, Batch, Dropout, FineTune};
use candle_dbn::{Classifier, Dbn};
use rbm_core::{Optimizer, Rbm, Rng, Sgd};

use super::fixtures::MeasuredBatches;
use super::plan::FineTuneKind;
use super::workloads::{Densities, Workload};

/// Classes of the network that is fine-tuned.
pub const CLASSES: usize = 10;
/// How far from a case adversarial examples are, in the Euclidean norm.
const DISTANCE: f64 = 1.0;

/// Steps of backpropagation with momentum.
pub struct FineTuningStep {
    classifier: Classifier,
    optimizer: Sgd,
    cases: MeasuredBatches,
    labels: Vec<u32>,
    /// A tensor `(batch, width)` for each layer above the data, for the products.
    above: Vec<Tensor>,
    kind: FineTuneKind,
    rng: Rng,
}

impl FineTuningStep {
    /// The stack under a softmax; the labels are arbitrary.
    pub fn new(
        rbms: &[Rbm],
        mut cases: MeasuredBatches,
        batch: usize,
        kind: FineTuneKind,
    ) -> Result<Self> {
        let mut rng = Rng::new(6);
        let classifier = Classifier::unroll(rbms, CLASSES, &mut rng)?;
        let mut above = activities(rbms, &cases.next())?;
        above.push(classifier.logits(&cases.next())?.detach());
        let labels = (0..batch).map(|i| (i % CLASSES) as u32).collect();
        let optimizer = Sgd { momentum: 0.9, ..Sgd::new(0.01) };
        Ok(Self { classifier, optimizer, cases, labels, above, kind, rng })
    }

    /// The products of one pass: up; the gradients of the weights; down, to the data too or not.
    fn pass(&self, cases: &Tensor, has_weights: bool, goes_to_data: bool) -> Result<()> {
        let layers = self.classifier.layers.iter().map(|layer| &layer.weights);
        let mut below = cases.clone();
        for (i, (weights, above)) in
            layers.chain([&self.classifier.weights]).zip(&self.above).enumerate()
        {
            let weights = weights.as_detached_tensor();
            black_box(below.matmul(&weights)?);
            if has_weights {
                black_box(below.t()?.matmul(above)?);
            }
            if i > 0 || goes_to_data {
                black_box(above.matmul(&weights.t()?)?);
            }
            below = above.clone();
        }
        Ok(())
    }
}

impl Workload for FineTuningStep {
    fn step(&mut self) -> Result<()> {
        // As in the `mnist` recipe.
        let dropout = match self.kind {
            FineTuneKind::Dropout => Dropout { visible: 0.2, hidden: 0.4 },
            _ => Dropout::default(),
        };
        let adversary = match self.kind {
            FineTuneKind::Adversarial => Adversary::Label(DISTANCE),
            FineTuneKind::Virtual => Adversary::Virtual(DISTANCE),
            _ => Adversary::None,
        };
        let (cases, labels) = (&self.cases.next(), Some(&self.labels[..]));
        let batch = Batch { cases, labels, targets: None, dropout, adversary };
        let (_, ascents) = FineTune::ascents(&self.classifier, &batch, &mut self.rng)?;
        Ok(self.optimizer.ascend(&self.classifier.vars(), &ascents)?)
    }

    /// One pass; with adversarial examples two, of which the first goes down to the data; with virtual ones another between them, which needs no
    /// gradient of the weights.
    fn products(&mut self) -> Result<()> {
        let cases = self.cases.next();
        match self.kind {
            FineTuneKind::Plain | FineTuneKind::Dropout => (),
            FineTuneKind::Adversarial => self.pass(&cases, true, true)?,
            FineTuneKind::Virtual => {
                self.pass(&cases, true, false)?;
                self.pass(&cases, false, true)?;
            }
        }
        self.pass(&cases, true, false)
    }

    fn data(&self) -> &str {
        &self.cases.name
    }

    fn densities(&mut self) -> Result<Densities> {
        Densities::of_data(&self.cases.next())
    }
}

/// The up-pass.
pub struct EmbeddingStep {
    dbn: Dbn,
    cases: MeasuredBatches,
    above: Vec<Tensor>,
}

impl EmbeddingStep {
    /// The stack as a network.
    pub fn new(rbms: Vec<Rbm>, mut cases: MeasuredBatches) -> Result<Self> {
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

impl Workload for EmbeddingStep {
    fn step(&mut self) -> Result<()> {
        black_box(self.dbn.up(&self.cases.next())?.detach());
        Ok(())
    }

    fn products(&mut self) -> Result<()> {
        let mut below = self.cases.next();
        for (rbm, above) in self.dbn.rbms().zip(&self.above) {
            black_box(below.matmul(&rbm.weights().as_detached_tensor())?);
            below = above.clone();
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
