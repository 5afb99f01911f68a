//! Missing values: drawn from the exact conditional distribution, and learned from without harm.
//!
//! It would catch: known values that move, missing ones that are drawn given nothing, chains that never leave their start, sites
//! of which only some columns are free, and learning from the filled-in start in place of a draw.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{Plain, assert_close, machine, matrix, rows, support};
use rbm_core::model::init::Init;
use rbm_core::sampling::Imputation;
use rbm_core::{Exact, Rng, Sgd, Trainer, estimate};

const CHAINS: usize = 20_000;

/// What is known of a case, and the exact conditional means of all its values.
fn conditional_means(plain: &Plain, all: &[Vec<f64>], known: &[f64]) -> Vec<f64> {
    let fits = |v: &&Vec<f64>| v.iter().zip(known).all(|(v, known)| known.is_nan() || v == known);
    let probabilities = plain.probabilities(all);
    let of: Vec<(&Vec<f64>, f64)> =
        all.iter().zip(probabilities).filter(|(v, _)| fits(v)).collect();
    let total: f64 = of.iter().map(|(_, p)| p).sum();
    (0..known.len()).map(|j| of.iter().map(|(v, p)| v[j] * p).sum::<f64>() / total).collect()
}

#[test]
fn missing_values_follow_the_known_ones() {
    const N: f64 = f64::NAN;
    for (units, known) in [
        ("bernoulli:4", vec![N, 1.0, N, 0.0]),
        ("spin:3", vec![-1.0, N, N]),
        ("potts(3):2+bernoulli:1", vec![N, N, N, 0.0, 1.0, 0.0, N]),
    ] {
        let rbm = machine(units, "bernoulli:3", DType::F64, 5);
        let all = support(&rbm.visible().units());
        let expected = conditional_means(&Plain::of(&rbm), &all, &known);
        let cases = matrix(&vec![known.clone(); CHAINS], DType::F64);
        let start = Tensor::full(0.3, known.len(), &Device::Cpu).unwrap();
        let imputation = Imputation::new(&start, 40).unwrap();
        let drawn = imputation.sample(&rbm, &cases, &mut Rng::new(1)).unwrap();
        let mean = drawn.mean(0).unwrap().to_vec1::<f64>().unwrap();
        // A value's variance is at most one, that of a spin.
        let error = 5.0 / (CHAINS as f64).sqrt();
        assert_close(units, &mean, &expected, error);
        for (j, known) in known.iter().enumerate().filter(|(_, known)| !known.is_nan()) {
            assert_eq!((mean[j], rows(&drawn)[7][j]), (*known, *known), "{units}, value {j}");
        }
        let few = matrix(&vec![known.clone(); 200], DType::F64);
        let means = imputation.mean(&rbm, &few, 200, &mut Rng::new(2)).unwrap();
        // 200 chains of 200 dependent draws: at worst as many as the chains are independent.
        let mean = means.mean(0).unwrap().to_vec1::<f64>().unwrap();
        assert_close(units, &mean, &expected, 5.0 / 200f64.sqrt() / 2.0);
    }
}

#[test]
fn complete_cases_are_as_they_were() {
    let rbm = machine("bernoulli:3", "bernoulli:2", DType::F64, 5);
    let cases = matrix(&[vec![1.0, 0.0, 1.0], vec![0.0, 0.0, 1.0]], DType::F64);
    let imputation =
        Imputation::new(&Tensor::zeros(2, DType::F64, &Device::Cpu).unwrap(), 1).unwrap();
    let mut rng = Rng::new(3);
    let drawn = imputation.sample(&rbm, &cases, &mut rng).unwrap();
    assert_eq!((rows(&drawn), rng), (rows(&cases), Rng::new(3)), "nothing is drawn");
    assert!(Imputation::new(&imputation.start, 0).is_err());
}

/// log p of the complete cases after learning by the exact gradient from `cases`.
fn learned(cases: &Tensor, complete: &Tensor, imputation: Option<Imputation>) -> f64 {
    let rbm = machine("bernoulli:6", "bernoulli:4", DType::F64, 9);
    let mut rng = Rng::new(4);
    let init = Init::default();
    init.apply(&rbm, complete, &mut rng).unwrap();
    let mut trainer = Trainer::new(Exact, Sgd::new(0.3));
    trainer.imputation = imputation;
    for _ in 0..1500 {
        trainer.step(&rbm, cases, &mut rng).unwrap();
    }
    estimate::log_likelihood(&rbm, complete).unwrap()
}

#[test]
fn a_fifth_missing_costs_little() {
    // Two patterns of six bits, of which a twentieth is turned.
    let mut bits = Rng::new(11);
    let mut uniform = |count: usize| {
        let drawn = rbm_core::ops::uniform((400, count), DType::F64, &Device::Cpu, &mut bits);
        rows(&drawn.unwrap())
    };
    let (which, turned, gone) = (uniform(1), uniform(6), uniform(6));
    let value = |i: usize, j: usize| {
        let bit = (j < 3) == (which[i][0] < 0.5);
        f64::from(u8::from(bit != (turned[i][j] < 0.05)))
    };
    let complete: Vec<Vec<f64>> = (0..400).map(|i| (0..6).map(|j| value(i, j)).collect()).collect();
    let holed: Vec<Vec<f64>> = (0..400)
        .map(|i| (0..6).map(|j| if gone[i][j] < 0.2 { f64::NAN } else { value(i, j) }).collect())
        .collect();
    let (complete, holed) = (matrix(&complete, DType::F64), matrix(&holed, DType::F64));
    let start = Tensor::full(0.5, 6, &Device::Cpu).unwrap();
    let imputation = Imputation::new(&start, 5).unwrap();
    let filled = imputation.started(&holed).unwrap();
    let best = learned(&complete, &complete, None);
    let drawn = learned(&holed, &complete, Some(imputation));
    let mean = learned(&filled, &complete, None);
    assert!(drawn > best - 0.1, "complete {best}, drawn {drawn}");
    assert!(mean < drawn - 0.1, "means {mean}, drawn {drawn}");
}
