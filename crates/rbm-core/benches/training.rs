//! One learning step beside the five matrix products that it cannot do without, in the same run.
//!
//! `cargo bench -p rbm-core --bench training`; the last two lines are the medians of interleaved rounds.

use std::hint::black_box;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use criterion::Criterion;
use rbm_core::{
    ContrastiveDivergence, NegativePhase, Persistent, Rbm, Result, Rng, Sgd, Trainer, Units, ops,
};

const VISIBLE: usize = 784;
const HIDDEN: usize = 500;
const BATCH: usize = 100;
const ROUNDS: usize = 200;

/// A machine and a batch that look like thresholded MNIST: a fifth of the pixels on.
struct Shape {
    rbm: Rbm,
    batch: Tensor,
    hidden: Tensor,
    rng: Rng,
}

impl Shape {
    fn new() -> Result<Self> {
        let mut rng = Rng::new(1);
        let device = Device::Cpu;
        let rbm =
            Rbm::new(&Units::bernoulli(VISIBLE), &Units::bernoulli(HIDDEN), DType::F32, &device)?;
        let batch = ops::uniform((BATCH, VISIBLE), DType::F32, &device, &mut rng)?;
        let batch = batch.lt(0.2)?.to_dtype(DType::F32)?;
        rbm_core::init::Init::default().apply(&rbm, &batch, &mut rng)?;
        let hidden = rbm.sample_hidden(&batch, &mut rng)?;
        Ok(Self { rbm, batch, hidden, rng })
    }

    /// v⁺W, hWᵀ, v⁻W and both outer products, each with a fresh result, as candle does them.
    fn products(&self) -> Result<()> {
        let weights = self.rbm.weights().as_detached_tensor();
        black_box(self.batch.matmul(&weights)?);
        black_box(self.hidden.matmul(&weights.t()?)?);
        black_box(self.batch.matmul(&weights)?);
        black_box(self.batch.t()?.matmul(&self.hidden)?);
        black_box(self.batch.t()?.matmul(&self.hidden)?);
        Ok(())
    }
}

fn sgd() -> Sgd {
    Sgd { momentum: 0.5, ..Sgd::new(0.01) }
}

fn seconds(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median time of a step, and the median of its ratio to the products timed next to it.
fn compare<N: NegativePhase>(name: &str, negative: N) -> Result<String> {
    let mut shape = Shape::new()?;
    let mut trainer = Trainer::new(negative, sgd());
    let (mut steps, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + 20 {
        let products = (seconds(|| shape.products())? + seconds(|| shape.products())?) / 2.0;
        let step = seconds(|| trainer.step(&shape.rbm, &shape.batch, &mut shape.rng))?;
        if round >= 20 {
            steps.push(step);
            ratios.push(step / products);
        }
    }
    let (step, ratio) = (median(steps), median(ratios));
    let per_case = step * 1e6 / BATCH as f64;
    Ok(format!(
        "{name} {VISIBLE}x{HIDDEN} b{BATCH}: {:.0} us a step, {per_case:.1} us a case, products {:.0} us, ratio {ratio:.2}",
        step * 1e6,
        step * 1e6 / ratio
    ))
}

fn criterion_groups(criterion: &mut Criterion) -> Result<()> {
    let mut shape = Shape::new()?;
    let name = |what: &str| format!("{what}/{VISIBLE}x{HIDDEN}/b{BATCH}/f32");
    criterion.bench_function(&name("five-products"), |b| b.iter(|| shape.products().is_ok()));
    let mut cd = Trainer::new(ContrastiveDivergence::new(1), sgd());
    criterion.bench_function(&name("cd1-step"), |b| {
        b.iter(|| cd.step(&shape.rbm, &shape.batch, &mut shape.rng).is_ok())
    });
    let mut pcd = Trainer::new(Persistent::new(1, 0), sgd());
    criterion.bench_function(&name("pcd1-step"), |b| {
        b.iter(|| pcd.step(&shape.rbm, &shape.batch, &mut shape.rng).is_ok())
    });
    let inputs = shape.rbm.hidden_inputs(&shape.batch)?.detach();
    criterion.bench_function(&format!("bernoulli-sample/{BATCH}x{HIDDEN}/f32"), |b| {
        b.iter(|| shape.rbm.hidden().sample(&inputs, &mut shape.rng).is_ok())
    });
    criterion.bench_function(&format!("bernoulli-mean-and-sample/{BATCH}x{HIDDEN}/f32"), |b| {
        b.iter(|| shape.rbm.hidden().mean_and_sample(&inputs, &mut shape.rng).is_ok())
    });
    Ok(())
}

fn main() -> Result<()> {
    ops::threads::settle();
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    criterion_groups(&mut criterion)?;
    criterion.final_summary();
    let lines =
        [compare("CD-1", ContrastiveDivergence::new(1))?, compare("PCD-1", Persistent::new(1, 0))?];
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}
