//! What it takes to form a mini-batch of 100 cases of 784 values, as a training asks for them: from files that stay in
//! memory, and from files that are too large for that.
//!
//! `cargo bench -p candle-dbn --bench rows`
#![allow(clippy::unwrap_used)]

#[path = "../tests/generated/mod.rs"]
mod generated;

use criterion::{Criterion, criterion_group, criterion_main};
use generated::Form;
use rbm_core::{Batches, Rng, Rows};

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("rows");
    for (name, form, count) in [
        ("u8 small 100x784", Form::Idx, 60_000),
        ("u8 large 100x784", Form::Idx, 300_000),
        ("f32 small 100x784", Form::Npy, 40_000),
        ("f32 large 100x784", Form::Npy, 100_000),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let source = generated::write(dir.path(), form, count);
        let set = candle_dbn::data::load(source.to_str().unwrap(), &Default::default()).unwrap();
        let cases = set.train.cases;
        let batches = Batches::new(count, 100).shuffled(&mut Rng::new(1));
        let mut indices = batches.indices().collect::<Vec<_>>().into_iter().cycle();
        group.bench_function(name, |b| b.iter(|| cases.rows(indices.next().unwrap()).unwrap()));
        if name.starts_with("u8 small") {
            let tensor = cases.tensor().unwrap();
            let name = "tensor 100x784";
            group
                .bench_function(name, |b| b.iter(|| tensor.rows(indices.next().unwrap()).unwrap()));
        }
    }
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
