//! One learning step beside the matrix products that it cannot do without, in the same run.
//!
//! `cargo bench -p rbm-core --bench training`; the last lines are the medians of interleaved rounds.

mod common;

use std::hint::black_box;
use std::time::Instant;

use candle_core::Tensor;
use common::{BATCH, HIDDEN, VISIBLE, Warm, sgd};
use criterion::Criterion;
use rbm_core::{ContrastiveDivergence, NegativePhase, Persistent, Result, Trainer, ops};

const ROUNDS: usize = 200;

/// v⁺W; hWᵀ and vW of each of `steps` Gibbs steps; both outer products, all with fresh results, as candle does them.
fn products(warm: &Warm, batch: &Tensor, steps: usize) -> Result<()> {
    let weights = warm.rbm.weights().as_detached_tensor();
    black_box(batch.matmul(&weights)?);
    for _ in 0..steps {
        black_box(warm.hidden.matmul(&weights.t()?)?);
        black_box(batch.matmul(&weights)?);
    }
    black_box(batch.t()?.matmul(&warm.hidden)?);
    black_box(batch.t()?.matmul(&warm.hidden)?);
    Ok(())
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
fn compare<N: NegativePhase>(name: &str, negative: N, steps: usize) -> Result<String> {
    let mut warm = Warm::new()?;
    let mut trainer = Trainer::new(negative, sgd());
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS / steps + 20 {
        let batch = warm.batch();
        let before = seconds(|| products(&warm, &batch, steps))?;
        let step = seconds(|| trainer.step(&warm.rbm, &batch, &mut warm.rng))?;
        let after = seconds(|| products(&warm, &batch, steps))?;
        if round >= 20 {
            times.push(step);
            ratios.push(2.0 * step / (before + after));
        }
    }
    let (step, ratio) = (median(times), median(ratios));
    let per_case = step * 1e6 / BATCH as f64;
    Ok(format!(
        "{name} {VISIBLE}x{HIDDEN} b{BATCH}: {:.0} us a step, {per_case:.1} us a case, products {:.0} us, ratio {ratio:.2}",
        step * 1e6,
        step * 1e6 / ratio
    ))
}

fn criterion_groups(criterion: &mut Criterion) -> Result<()> {
    let mut warm = Warm::new()?;
    println!("{}", warm.describe()?);
    let name = |what: &str| format!("{what}/{VISIBLE}x{HIDDEN}/b{BATCH}/f32");
    let batch = warm.batch();
    criterion
        .bench_function(&name("five-products"), |b| b.iter(|| products(&warm, &batch, 1).is_ok()));
    let mut cd = Trainer::new(ContrastiveDivergence::new(1), sgd());
    criterion.bench_function(&name("cd1-step"), |b| {
        b.iter(|| {
            let batch = warm.batch();
            cd.step(&warm.rbm, &batch, &mut warm.rng).is_ok()
        })
    });
    let mut pcd = Trainer::new(Persistent::new(1, None), sgd());
    criterion.bench_function(&name("pcd1-step"), |b| {
        b.iter(|| {
            let batch = warm.batch();
            pcd.step(&warm.rbm, &batch, &mut warm.rng).is_ok()
        })
    });
    Ok(())
}

fn main() -> Result<()> {
    ops::device::settle()?;
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    criterion_groups(&mut criterion)?;
    criterion.final_summary();
    let lines = [
        compare("CD-1", ContrastiveDivergence::new(1), 1)?,
        compare("PCD-1", Persistent::new(1, None), 1)?,
        compare("PCD-10", Persistent::new(10, None), 10)?,
    ];
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}
