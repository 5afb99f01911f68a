//! What is measured: one step of learning, of annealing, of embedding and of fine-tuning, beside the dense products that each cannot do without.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use candle_dbn::network::classifier::Dropout;
use candle_dbn::{Classifier, Dbn};
use rbm_core::sampling::Chains;
use rbm_core::{
    ContrastiveDivergence, Gibbs, Kernel, NegativePhase, Optimizer, Persistent, Phase, Rbm, Rng,
    Sgd,
};
use serde::Serialize;

use super::fixtures::{BenchLearner, Fixtures, LEARNING_RATE, MeasuredBatches, learner};
use super::plan::{BenchData, BenchMethod, BenchRow, Task};

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

/// How long one side of a round takes at least, so that clock and synchronisation do not count.
const ROUND: Duration = Duration::from_millis(2);
/// The fewest rounds, whatever time they take.
const FEWEST: usize = 5;
/// The most repetitions in a round.
const MOST_REPEATS: f64 = 10_000.0;

/// Something to be timed, beside the dense matrix products that it cannot do without.
pub trait Workload {
    /// Goes back to where it began, before a round.
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }
    /// Does it once.
    fn step(&mut self) -> Result<()>;
    /// Does its products once, dense and with fresh results.
    fn products(&mut self) -> Result<()>;
    /// The data's name.
    fn data(&self) -> &str;
    /// How many units are on, now that the work is done.
    fn densities(&mut self) -> Result<Densities>;
}

/// Medians over the rounds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Of one step.
    pub step: f64,
    /// Of the step's products, in seconds.
    pub products: f64,
    /// Of the step's time divided by the time of the products next to it.
    pub ratio: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

/// Measures `work` on `device` for about `seconds`.
pub fn times(work: &mut dyn Workload, device: &Device, seconds: f64) -> Result<Times> {
    // Once for what is made at first use, and once more to see how long it takes.
    let mut repeats = [0, 0];
    for (side, repeats) in repeats.iter_mut().enumerate() {
        timed(work, side, 1, device)?;
        let once = timed(work, side, 1, device)?;
        *repeats = (ROUND.as_secs_f64() / once).clamp(1.0, MOST_REPEATS).ceil() as usize;
    }
    let start = Instant::now();
    let mut rounds: Vec<[f64; 2]> = Vec::new();
    while rounds.len() < FEWEST || start.elapsed().as_secs_f64() < seconds {
        work.begin()?;
        let mut round = [0.0; 2];
        // Each side goes first in every second round, so that neither always finds the other's leavings in the cache.
        let first = rounds.len() % 2;
        for side in [first, 1 - first] {
            round[side] = timed(work, side, repeats[side], device)?;
        }
        rounds.push(round);
    }
    Ok(Times {
        step: median(rounds.iter().map(|round| round[0])),
        products: median(rounds.iter().map(|round| round[1])),
        ratio: median(rounds.iter().map(|round| round[0] / round[1])),
        rounds: rounds.len(),
    })
}

/// The mean time in seconds of `repeats` steps (side 0) or of as many times their products (side 1).
fn timed(work: &mut dyn Workload, side: usize, repeats: usize, device: &Device) -> Result<f64> {
    device.synchronize()?;
    let start = Instant::now();
    for _ in 0..repeats {
        if side == 0 { work.step()? } else { work.products()? }
    }
    device.synchronize()?;
    Ok(start.elapsed().as_secs_f64().max(1e-9) / repeats as f64)
}

/// The median of `values`; NaN of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The fraction of the values of `x` that are not zero.
pub fn density(x: &Tensor) -> Result<f64> {
    let on = x.detach().to_device(&Device::Cpu)?.ne(0.0)?;
    Ok(on.to_dtype(DType::F64)?.mean_all()?.to_scalar()?)
}

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

/// Two neighbouring inverse temperatures.
const BETAS: [f64; 2] = [0.5, 0.501];

/// A Gibbs step of every chain, and the part of its log-weight that depends on the chain.
pub struct AnnealingStep {
    rbm: Rbm,
    chains: Chains,
    data: String,
    density: f64,
    rng: Rng,
}

impl AnnealingStep {
    /// A chain for each case of a mini-batch.
    pub fn new(rbm: Rbm, mut cases: MeasuredBatches) -> Result<Self> {
        let (batch, mut rng) = (cases.next(), Rng::new(7));
        let density = density(&batch)?;
        let chains = Gibbs::default().init(&rbm, batch, &mut rng)?;
        Ok(Self { rbm, chains, data: cases.name, density, rng })
    }
}

impl Workload for AnnealingStep {
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

    fn data(&self) -> &str {
        &self.data
    }

    fn densities(&mut self) -> Result<Densities> {
        let Chains { visible, hidden, .. } = &self.chains;
        let (fantasies, hidden) = (Some(density(visible)?), Some(density(hidden)?));
        Ok(Densities { data: self.density, fantasies, hidden })
    }
}

/// Classes of the network that is fine-tuned.
pub const CLASSES: usize = 10;

/// Steps of backpropagation with momentum.
pub struct FineTuningStep {
    classifier: Classifier,
    optimizer: Sgd,
    cases: MeasuredBatches,
    labels: Vec<u32>,
    /// A tensor `(batch, width)` for each layer above the data, for the products.
    above: Vec<Tensor>,
    dropout: Dropout,
    rng: Rng,
}

impl FineTuningStep {
    /// The stack under a softmax; the labels are arbitrary.
    pub fn new(
        rbms: &[Rbm],
        mut cases: MeasuredBatches,
        batch: usize,
        dropout: Dropout,
    ) -> Result<Self> {
        let mut rng = Rng::new(6);
        let classifier = Classifier::unroll(rbms, CLASSES, &mut rng)?;
        let mut above = activities(rbms, &cases.next())?;
        above.push(classifier.logits(&cases.next())?.detach());
        let labels = (0..batch).map(|i| (i % CLASSES) as u32).collect();
        let optimizer = Sgd { momentum: 0.9, ..Sgd::new(0.01) };
        Ok(Self { classifier, optimizer, cases, labels, above, dropout, rng })
    }
}

impl Workload for FineTuningStep {
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

    fn data(&self) -> &str {
        &self.cases.name
    }

    fn densities(&mut self) -> Result<Densities> {
        Ok(Densities { data: density(&self.cases.next())?, fantasies: None, hidden: None })
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
        Ok(Densities { data: density(&self.cases.next())?, fantasies: None, hidden: None })
    }
}

/// A learning rate at which a machine stays as it is.
const NEGLIGIBLE_RATE: f64 = 1e-9;

/// The work of `row`.
pub fn of(row: &BenchRow, warm: &mut Fixtures) -> Result<Box<dyn Workload>> {
    Ok(match row.task {
        Task::Learn { method, steps, look } => {
            let shape = (row.widths[0], row.widths[1]);
            let mut cases = warm.cases(look, shape.0, row.batch)?;
            let rbm = warm.learned(&mut cases, look, shape)?;
            // Learning goes on in a round, so that no two updates are alike.
            let rate = if look == BenchData::Dense { NEGLIGIBLE_RATE } else { LEARNING_RATE };
            Box::new(LearningStep::new(rbm, cases, (method, steps), rate)?)
        }
        Task::FineTune { dropout } => {
            let cases = warm.cases(BenchData::Binary, row.widths[0], row.batch)?;
            // As in the `mnist` recipe.
            let visible_and_hidden = if dropout { (0.2, 0.4) } else { (0.0, 0.0) };
            let dropout = Dropout { visible: visible_and_hidden.0, hidden: visible_and_hidden.1 };
            Box::new(FineTuningStep::new(&warm.stack(3)?, cases, row.batch, dropout)?)
        }
        Task::Embed => {
            let cases = warm.cases(BenchData::Binary, row.widths[0], row.batch)?;
            Box::new(EmbeddingStep::new(warm.stack(3)?, cases)?)
        }
        Task::Anneal => {
            let cases = warm.cases(BenchData::Binary, row.widths[0], row.batch)?;
            Box::new(AnnealingStep::new(warm.stack(1)?.swap_remove(0), cases)?)
        }
    })
}
