//! The laws of mini-batches: every case once an epoch, in an order that its generator alone decides.
//!
//! What they would catch: a last batch dropped or filled up, cases lost when classes are spread, a class that comes all
//! at once, a generator that is not used.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::flat;
use rbm_core::learning::trainer::{BatchSource, Shuffled};
use rbm_core::{Batches, Rng};

fn order(batches: &Batches) -> Vec<u32> {
    batches.indices().flatten().copied().collect()
}

/// Labels of 103 cases, class c about 2c + 1 times as often as class 0.
fn labels(classes: u32) -> Vec<u32> {
    (0..103u32)
        .map(|i| (f64::from(i * 7919 % 103) / 103.0).sqrt() * f64::from(classes))
        .map(|x| x as u32)
        .collect()
}

#[test]
fn every_case_comes_once() {
    for size in [1, 7, 10, 103, 500] {
        let (new, rng) = (|| Batches::new(103, size), &mut Rng::new(1));
        for batches in [new(), new().shuffled(rng), new().balanced(&labels(4), rng)] {
            let mut sorted = order(&batches);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..103).collect::<Vec<_>>());
            let sizes: Vec<_> = batches.indices().map(<[u32]>::len).collect();
            let (last, full) = sizes.split_last().unwrap();
            assert!(full.iter().all(|n| *n == size), "all but the last are full");
            assert_eq!(*last, 103 - full.len() * size, "the last holds the rest");
            assert_eq!(batches.len(), sizes.len());
        }
    }
}

#[test]
fn the_generator_decides_the_order() {
    let shuffled = |seed| order(&Batches::new(103, 10).shuffled(&mut Rng::new(seed)));
    let balanced = |seed| order(&Batches::new(103, 10).balanced(&labels(4), &mut Rng::new(seed)));
    assert_eq!(order(&Batches::new(103, 10)), (0..103).collect::<Vec<_>>());
    for order in [shuffled, balanced] as [fn(u64) -> Vec<u32>; 2] {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
    let rng = &mut Rng::new(3);
    let [first, second] = [(); 2].map(|()| order(&Batches::new(103, 10).shuffled(rng)));
    assert_ne!(first, second, "the generator moves on");
}

/// Every place is as likely for every case: 4 cases, 24 orders, 24 000 shuffles. Each order's count is binomial with
/// mean 1000 and deviation 31; of 24 counts one leaves four deviations with a chance of 0.15 %.
#[test]
fn shuffles_are_uniform() {
    let mut counts = std::collections::HashMap::new();
    let rng = &mut Rng::new(4);
    for _ in 0..24_000 {
        *counts.entry(order(&Batches::new(4, 2).shuffled(rng))).or_insert(0.0) += 1.0;
    }
    assert_eq!(counts.len(), 24);
    let deviation = (1000.0f64 * 23.0 / 24.0).sqrt();
    assert!(counts.values().all(|n: &f64| (n - 1000.0).abs() < 4.0 * deviation), "{counts:?}");
}

/// A class that is a share p of all is in a batch of n cases p·n times, give or take one for its own rounding and p for
/// that of each of the other classes: 1 + p·(classes − 2), which is one for two classes.
#[test]
fn balanced_batches_hold_each_class_in_its_share() {
    for classes in [1, 2, 4, 10] {
        let labels = labels(classes);
        let batches = Batches::new(103, 20).balanced(&labels, &mut Rng::new(5));
        for class in 0..classes {
            let count =
                |cases: &mut dyn Iterator<Item = u32>| cases.filter(|l| *l == class).count() as f64;
            let share = count(&mut labels.iter().copied()) / 103.0;
            for batch in batches.indices() {
                let found = count(&mut batch.iter().map(|case| labels[*case as usize]));
                let expected = share * batch.len() as f64;
                let most = 1.0 + share * (f64::from(classes) - 2.0).max(0.0);
                assert!(
                    (found - expected).abs() <= most,
                    "class {class} of {classes}: {found} for {expected}"
                );
            }
        }
    }
    // Ten equal classes come in turn: each exactly twice in every batch of twenty.
    let labels: Vec<u32> = (0..100).map(|i| i % 10).collect();
    let batches = Batches::new(100, 20).balanced(&labels, &mut Rng::new(6));
    for batch in batches.indices() {
        let mut found: Vec<_> = batch.iter().map(|case| labels[*case as usize]).collect();
        found.sort_unstable();
        assert_eq!(found, (0..10).flat_map(|class| [class; 2]).collect::<Vec<_>>());
    }
}

#[test]
fn rows_are_those_of_the_indices() {
    let cases = Tensor::arange(0f32, 206.0, &Device::Cpu).unwrap().reshape((103, 2)).unwrap();
    let batches = Batches::new(103, 10).shuffled(&mut Rng::new(7));
    for (indices, rows) in batches.indices().zip(batches.of(&cases)) {
        let expected: Vec<_> =
            indices.iter().flat_map(|&i| [f64::from(2 * i), f64::from(2 * i + 1)]).collect();
        assert_eq!(flat(&rows.unwrap()), expected);
    }
}

/// A training that goes on in the middle of an epoch needs the same order again.
#[test]
fn an_epochs_order_depends_on_the_epoch_alone() {
    let cases = Tensor::zeros((103, 2), DType::F32, &Device::Cpu).unwrap();
    let feed = Shuffled { cases: &cases, batch_size: 10, shuffle: Rng::new(8) };
    assert_eq!(order(&feed.order(3)), order(&feed.order(3)));
    assert_ne!(order(&feed.order(3)), order(&feed.order(4)));
}

#[test]
fn no_cases_are_no_batches() {
    let none = Batches::new(0, 10).shuffled(&mut Rng::new(9));
    assert!(none.is_empty() && none.indices().next().is_none());
    assert_eq!(none.len(), 0);
    assert_eq!(Batches::new(3, 0).len(), 3, "a batch has at least one case");
    let balanced = Batches::new(0, 10).balanced(&[], &mut Rng::new(9));
    assert!(balanced.is_empty());
}

/// Each case as often as it counts, and whatever rounding there is comes out even over its offsets.
#[test]
fn weighted_draws_are_as_many_as_the_weights_say() {
    let weights = [0.5f32, 2.0, 0.1, 1.4, 0.0];
    let mut totals = [0usize; 5];
    for step in 0..100 {
        let batches = Batches::drawn(&weights, 8, 3, (f64::from(step) + 0.5) / 100.0);
        let all: Vec<u32> = batches.indices().flatten().copied().collect();
        assert_eq!((all.len(), batches.len()), (8, 3));
        for (case, &weight) in weights.iter().enumerate() {
            let count = all.iter().filter(|&&drawn| drawn as usize == case).count();
            let share = 8.0 * f64::from(weight) / 4.0;
            assert!((count as f64 - share).abs() < 1.0, "{step}: {case}: {count} of {share}");
            totals[case] += count;
        }
    }
    assert_eq!(totals, [100, 400, 20, 280, 0]);
    let mut drawn: Vec<u32> =
        Batches::weighted(&[1.0; 6], 2, &mut Rng::new(1)).indices().flatten().copied().collect();
    drawn.sort_unstable();
    assert_eq!(drawn, [0, 1, 2, 3, 4, 5]);
}
