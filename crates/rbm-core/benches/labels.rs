//! Discriminative and hybrid steps of a joint machine beside the matrix products that they cannot do without, on one core
//! where `RAYON_NUM_THREADS=1` says so.
//!
//! `cargo bench -p rbm-core --bench labels`; medians of interleaved rounds. The pictures are grey (`DBN_BENCH_DATA` as for the
//! other benchmarks); the labels are made up, since no time depends on them.

mod common;

use std::hint::black_box;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use common::{VISIBLE, grey, sgd};
use rbm_core::model::init::Init;
use rbm_core::{
    Conditional, ContrastiveDivergence, Hybrid, NegativePhase, Rbm, Result, Rng, Trainer, Units,
    ops,
};

const CLASSES: usize = 10;
/// Cases of an epoch of MNIST.
const EPOCH: f64 = 60_000.0;
const ROUNDS: usize = 100;

fn seconds(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Made-up labels beside the pictures, `(cases, VISIBLE + CLASSES)`.
fn labelled(rng: &mut Rng) -> Result<Tensor> {
    let pictures = grey(rng)?;
    let classes = (0..pictures.dim(0)?).flat_map(|n| (0..CLASSES).map(move |k| n % CLASSES == k));
    let labels = Tensor::from_iter(classes.map(|is| f32::from(u8::from(is))), &Device::Cpu)?;
    Ok(Tensor::cat(&[&pictures, &labels.reshape(((), CLASSES))?], 1)?)
}

/// The line of one method: medians of a step's time, and of its ratio to the products timed next to it. Generative learning
/// needs five products, discriminative learning two: up, and the sum of outer products.
fn compare(
    name: &str,
    is_generative: bool,
    (hidden, batch): (usize, usize),
    negative: impl Fn() -> Result<Box<dyn NegativePhase>>,
) -> Result<String> {
    let mut rng = Rng::new(1);
    let cases = labelled(&mut rng)?;
    let label = Units::Potts { sites: 1, states: CLASSES };
    let visible = Units::Concat { groups: vec![Units::bernoulli(VISIBLE), label] };
    let rbm = Rbm::new(&visible, &Units::bernoulli(hidden), DType::F32, &Device::Cpu)?;
    Init::default().apply(&rbm, &cases, &mut rng)?;
    let mut trainer = Trainer::new(negative()?, sgd());
    let count = cases.dim(0)? / batch;
    let batches = (0..count).map(|i| Ok(cases.narrow(0, i * batch, batch)?));
    let batches = batches.collect::<Result<Vec<_>>>()?;
    for batch in batches.iter().take(60.min(count)) {
        trainer.step(&rbm, batch, &mut rng)?;
    }
    let weights = rbm.weights().as_detached_tensor();
    let products = |batch: &Tensor| -> Result<()> {
        let up = black_box(batch.matmul(&weights)?);
        black_box(batch.t()?.matmul(&up)?);
        if is_generative {
            let down = black_box(up.matmul(&weights.t()?)?);
            let up = black_box(down.matmul(&weights)?);
            black_box(down.t()?.matmul(&up)?);
        }
        Ok(())
    };
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    for batch in batches.iter().cycle().take(ROUNDS) {
        let before = seconds(|| products(batch))?;
        let step = seconds(|| trainer.step(&rbm, batch, &mut rng))?;
        let after = seconds(|| products(batch))?;
        times.push(step);
        ratios.push(2.0 * step / (before + after));
    }
    let (step, ratio) = (median(times), median(ratios));
    Ok(format!(
        "{name} {VISIBLE}+{CLASSES}x{hidden} b{batch}: {:.0} us a step, {:.1} s an epoch of 60,000, ratio {ratio:.2}",
        step * 1e6,
        step * EPOCH / batch as f64,
    ))
}

fn main() -> Result<()> {
    ops::device::settle()?;
    for hidden in [500, 1500, 3000] {
        for batch in [100, 10, 1] {
            let shape = (hidden, batch);
            println!("{}", compare("discriminative", false, shape, || Ok(Box::new(Conditional)))?);
            let hybrid = || -> Result<Box<dyn NegativePhase>> {
                Ok(Box::new(Hybrid::new(Box::new(ContrastiveDivergence::new(1)), 0.01)?))
            };
            println!("{}", compare("hybrid", true, shape, hybrid)?);
        }
    }
    Ok(())
}
