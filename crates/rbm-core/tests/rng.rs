//! The laws of random numbers: the same bits on every machine and for any number of threads, and the distribution they
//! claim.
//!
//! What they would catch: a generator whose words are dealt out in another order, a pass cut up by the number of
//! threads, a transform with the wrong scale or tail, a uniform that reaches 0 or 1.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{bits, flat, normal, parameter_bits};
use rand::seq::SliceRandom;
use rbm_core::model::init::Init;
use rbm_core::ops::{self, Outer};
use rbm_core::{Batches, ContrastiveDivergence, Rbm, Rng, Sgd, Trainer, Units};

fn hex(x: &Tensor) -> Vec<u32> {
    flat(x).into_iter().map(|x| (x as f32).to_bits()).collect()
}

// The first values for seed 42. To change any of these is a breaking change: every seeded training of every user gives
// another machine. It goes into CHANGELOG.md and the version number.

#[test]
fn uniform_values_are_pinned() {
    let x = ops::uniform(8, DType::F32, &Device::Cpu, &mut Rng::new(42)).unwrap();
    assert_eq!(
        format!("{:08x?}", hex(&x)),
        "[3f1ceaf1, 3f7cdb21, 3f536c03, 3f3ac705, 3ea72046, 3ea133b2, 3e66e4c4, 3eb77b06]"
    );
}

#[test]
fn normal_values_are_pinned() {
    let x = ops::normal(8, DType::F32, &Device::Cpu, &mut Rng::new(42)).unwrap();
    assert_eq!(
        format!("{:08x?}", hex(&x)),
        "[bf785e5c, bd95e033, beac8641, bec26ce8, 3f4b5141, bed1f5cf, bd985e6a, bf99a317]"
    );
}

#[test]
fn bernoulli_values_are_pinned() {
    let inputs = Tensor::zeros((8, 8), DType::F32, &Device::Cpu).unwrap();
    let bias = Tensor::arange(-4f32, 4.0, &Device::Cpu).unwrap();
    let x = ops::bernoulli_sample(&inputs, &bias, &mut Rng::new(42)).unwrap();
    let digits: String = flat(&x).iter().map(|x| if *x == 1.0 { '1' } else { '0' }).collect();
    assert_eq!(digits, "0000111100001111000011010000111100000111000011110001011100010001");
}

#[test]
fn shuffles_are_pinned() {
    let mut order: Vec<u32> = (0..12).collect();
    order.shuffle(&mut Rng::new(42));
    assert_eq!(format!("{order:?}"), "[8, 3, 2, 10, 6, 5, 1, 11, 0, 9, 4, 7]");
    let batches = Batches::new(12, 12).shuffled(&mut Rng::new(42));
    assert_eq!(batches.indices().next().unwrap(), order);
    let labels: Vec<u32> = (0..12).map(|i| i % 3).collect();
    let balanced = Batches::new(12, 12).balanced(&labels, &mut Rng::new(42));
    assert_eq!(
        format!("{:?}", balanced.indices().next().unwrap()),
        "[3, 10, 8, 6, 1, 2, 0, 4, 5, 9, 7, 11]"
    );
}

#[test]
fn splits_are_pinned() {
    let split = |label| Rng::new(42).split(label).seed;
    assert_eq!(format!("{:016x?}", [split(0), split(1)]), "[ae68697699cf4594, 0a29dfcc6dc58e3e]");
}

/// A draw takes one step, whatever its size and dtype; both dtypes hold the same numbers.
#[test]
fn a_draw_is_one_step_of_the_counter() {
    let mut rng = Rng::new(1);
    for (i, size) in [1, 127, 128, 129, 100_000].into_iter().enumerate() {
        let x = ops::normal(size, DType::F32, &Device::Cpu, &mut rng.clone()).unwrap();
        let y = ops::normal(size, DType::F64, &Device::Cpu, &mut rng).unwrap();
        assert_eq!(bits(&x), bits(&y));
        assert_eq!(rng.counter, i as u64 + 1);
    }
    // A longer draw begins with the shorter one: value i is a function of the place and i alone.
    let long = ops::uniform(1000, DType::F32, &Device::Cpu, &mut Rng::new(2)).unwrap();
    let short = ops::uniform(300, DType::F32, &Device::Cpu, &mut Rng::new(2)).unwrap();
    assert_eq!(bits(&short), bits(&long)[..300]);
}

/// The result of `work` in pools of 1, 2, 3 and 4 threads must be one and the same. Tensors of 50 000 values are cut
/// into chunks; smaller ones are not.
fn same_for_any_threads(what: &str, work: impl Fn() -> Vec<u64> + Sync) {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&work)
    };
    let one = on(1);
    for threads in 2..=4 {
        assert!(on(threads) == one, "{what}: {threads} threads give other bits than one");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for dtype in [DType::F32, DType::F64] {
        let (inputs, other) = (normal(100, 500, dtype, 1), normal(100, 784, dtype, 2));
        let bias = normal(1, 500, dtype, 3).squeeze(0).unwrap();
        same_for_any_threads("bernoulli_sample", || {
            bits(&ops::bernoulli_sample(&inputs, &bias, &mut Rng::new(4)).unwrap())
        });
        same_for_any_threads("bernoulli_mean_and_sample", || {
            let rng = &mut Rng::new(4);
            let (mean, sample) = ops::bernoulli_mean_and_sample(&inputs, &bias, rng).unwrap();
            [bits(&mean), bits(&sample)].concat()
        });
        same_for_any_threads("bernoulli_mean", || {
            bits(&ops::bernoulli_mean(&inputs, &bias).unwrap())
        });
        same_for_any_threads("binomial_sample", || {
            bits(&ops::binomial_sample(&inputs, &bias, 7, &mut Rng::new(4)).unwrap())
        });
        for (states, draws) in [(5, 1), (125, 1), (500, 40)] {
            same_for_any_threads(&format!("multinomial_sample of {states} and {draws}"), || {
                let rng = &mut Rng::new(4);
                bits(&ops::multinomial_sample(&inputs, &bias, states, draws, rng).unwrap())
            });
        }
        same_for_any_threads("rectified_sample", || {
            bits(&ops::rectified_sample(&inputs, &mut Rng::new(4)).unwrap())
        });
        same_for_any_threads("rectified_mean", || bits(&ops::rectified_mean(&inputs).unwrap()));
        same_for_any_threads("log_gamma", || {
            bits(&ops::log_gamma(&inputs.sqr().unwrap()).unwrap())
        });
        same_for_any_threads("normal", || bits(&normal(100, 500, dtype, 5)));
        same_for_any_threads("softplus", || bits(&ops::softplus(&inputs).unwrap()));
        same_for_any_threads("sigmoid", || bits(&ops::sigmoid(&inputs).unwrap()));
        let outer = |x: &Tensor| Outer::new(x, &inputs, 0.5).unwrap();
        same_for_any_threads("outer_sum", || bits(&ops::outer_sum(&[outer(&other)]).unwrap()));
        let weights = normal(784, 500, dtype, 6);
        let sparse = |x: &Tensor| (x * x.ge(1.0).unwrap().to_dtype(dtype).unwrap()).unwrap();
        // Two in five are one: sums of fours.
        let ones = |x: &Tensor| x.ge(0.25).unwrap().to_dtype(dtype).unwrap();
        for (name, other, inputs) in [
            ("dense", &other, &inputs),
            ("sparse", &sparse(&other), &sparse(&inputs)),
            ("ones", &ones(&other), &ones(&inputs)),
        ] {
            same_for_any_threads(name, || {
                let up = bits(&ops::product(other, &weights).unwrap());
                [up, bits(&ops::product_transposed(inputs, &weights).unwrap())].concat()
            });
            same_for_any_threads(&format!("momentum_step, {name}"), || {
                let (w, delta) = (weights.copy().unwrap(), weights.copy().unwrap());
                let ascent = vec![outer(other), outer(other)].into();
                ops::momentum_step(&w, &delta, &ascent, 0.1, 0.9).unwrap();
                [bits(&w), bits(&delta)].concat()
            });
        }
    }
}

#[test]
fn threads_do_not_change_a_step_of_learning() {
    let cases = normal(100, 784, DType::F32, 6).ge(0.8).unwrap().to_dtype(DType::F32).unwrap();
    same_for_any_threads("CD-1", || {
        let units = [Units::bernoulli(784), Units::bernoulli(500)];
        let rbm = Rbm::new(&units[0], &units[1], DType::F32, &Device::Cpu).unwrap();
        let mut rng = Rng::new(7);
        Init::default().apply(&rbm, &cases, &mut rng).unwrap();
        let mut trainer = Trainer::new(ContrastiveDivergence::new(1), Sgd::new(0.1));
        for _ in 0..2 {
            trainer.step(&rbm, &cases, &mut rng).unwrap();
        }
        parameter_bits(&rbm).concat()
    });
}

/// The largest distance between the empirical distribution of `values` and `cdf`, times √n. Kolmogorov: it exceeds c
/// with probability 2·exp(−2c²), 1e-4 at c = 2.23. Values that share a bin of width 2⁻²³ add n·2⁻²³/√n < 1e-4.
fn kolmogorov_smirnov(mut values: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let gap = |(i, x): (usize, &f64)| {
        let p = cdf(*x);
        (p - i as f64 / n).max((i + 1) as f64 / n - p)
    };
    values.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt()
}

const KOLMOGOROV: f64 = 2.23;

fn moments(values: &[f64], powers: [(i32, f64); 4]) {
    for (power, expected) in powers {
        let powered: Vec<_> = values.iter().map(|x| x.powi(power)).collect();
        common::assert_mean(&format!("moment {power}"), &powered, expected);
    }
}

#[test]
fn normal_numbers_are_normal() {
    let x = flat(&normal(1, 100_000, DType::F64, 8));
    moments(&x, [(1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)]);
    let distance = kolmogorov_smirnov(x, |x| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2));
    assert!(distance < KOLMOGOROV, "{distance}");
}

#[test]
fn uniform_numbers_are_uniform_and_inside() {
    let x = ops::uniform(100_000, DType::F64, &Device::Cpu, &mut Rng::new(9)).unwrap();
    let x = flat(&x);
    assert!(x.iter().all(|x| 0.0 < *x && *x < 1.0));
    moments(&x, [(1, 1.0 / 2.0), (2, 1.0 / 3.0), (3, 1.0 / 4.0), (4, 1.0 / 5.0)]);
    let distance = kolmogorov_smirnov(x, |x| x);
    assert!(distance < KOLMOGOROV, "{distance}");
}

/// From where half of it is missing to where next to nothing is left: P(X > x) = Φ(f − x)/Φ(f).
#[test]
fn rectified_numbers_are_normal_above_zero() {
    for field in [-30.0, -3.0, -0.2, 0.0, 0.4, 3.0] {
        let fields = Tensor::full(field, 100_000, &Device::Cpu).unwrap();
        let x = flat(&ops::rectified_sample(&fields, &mut Rng::new(11)).unwrap());
        let beyond = |x: f64| libm::erfc((x - field) / std::f64::consts::SQRT_2);
        let distance = kolmogorov_smirnov(x, |x| 1.0 - beyond(x) / beyond(0.0));
        assert!(distance < KOLMOGOROV, "{field}: {distance}");
    }
}

/// Neighbours within a draw, across the lanes of a block, and the same place in successive draws are uncorrelated.
#[test]
fn numbers_are_independent_of_each_other() {
    let mut rng = Rng::new(10);
    let mut draw = || flat(&ops::normal(50_000, DType::F64, &Device::Cpu, &mut rng).unwrap());
    let (x, next) = (draw(), draw());
    for lag in [1, 31, 32, 64, 96, 128] {
        let products: Vec<_> = x.iter().zip(&x[lag..]).map(|(x, y)| x * y).collect();
        common::assert_mean(&format!("lag {lag}"), &products, 0.0);
    }
    let products: Vec<_> = x.iter().zip(&next).map(|(x, y)| x * y).collect();
    common::assert_mean("successive draws", &products, 0.0);
    let squares: Vec<_> = x.iter().zip(&x[32..]).map(|(x, y)| x * x * y * y).collect();
    common::assert_mean("squares of a pair", &squares, 1.0);
}
