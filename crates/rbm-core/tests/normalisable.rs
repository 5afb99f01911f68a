//! Machines that are no distributions are refused, by name, and others are not.
//!
//! What it would catch: a condition with the precisions the wrong way round or without their roots; bounded units that
//! count; a rectified unit that is held responsible for couplings that only push.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{assert_close, flat, machine, matrix};
use rbm_core::Rbm;
use rbm_core::estimate::log_partition;
use rbm_core::estimate::monitor;

const F64: DType = DType::F64;

fn with(visible: &str, hidden: &str, weights: &[Vec<f64>]) -> Rbm {
    let rbm = machine(visible, hidden, F64, 1);
    rbm.weights().set(&matrix(weights, F64)).unwrap();
    rbm
}

/// The free energy far out says which way it goes: F(v) ≈ γ_v·v²/2 − (W·v)²/(2γ_h), whatever the biases.
#[test]
fn one_unit_a_side_is_refused_where_its_free_energy_falls_without_bound() {
    let kinds = ["gaussian:1", "gaussian-learned:1", "relu:1"];
    for (visible, hidden) in common::pairs(&kinds, &kinds) {
        for sign in [1.0, -1.0] {
            let precision = |layer: &dyn rbm_core::Layer| layer.tails().unwrap()[0].precision;
            let unit = with(visible, hidden, &[vec![sign]]);
            let edge = (precision(unit.visible()) * precision(unit.hidden())).sqrt();
            for share in [0.98, 1.02] {
                let rbm = with(visible, hidden, &[vec![sign * edge * share]]);
                let far = if visible == "relu:1" { vec![1e4] } else { vec![1e4, -1e4] };
                let far: Vec<_> = far.into_iter().map(|x| vec![x]).collect();
                let free = flat(&rbm.free_energy(&matrix(&far, F64)).unwrap());
                let falls = free.iter().any(|&free| free < 0.0);
                let what = format!("{visible} and {hidden}, {sign} · {share}: {free:?}");
                assert_eq!(rbm.check_normalisable().is_err(), falls, "{what}");
                assert_eq!(monitor::check(&rbm).is_err(), falls, "{what}");
                if sign > 0.0 {
                    assert_close(&what, &[rbm.coupling().unwrap()], &[share], 1e-9);
                }
            }
        }
    }
}

/// W = Σ σ·u·vᵀ with orthogonal u and v.
#[test]
fn the_coupling_is_the_largest_singular_value() {
    let (u, v) = ([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0]], [[0.0, 1.0], [1.0, 0.0]]);
    let weights = |sigma: [f64; 2]| -> Vec<Vec<f64>> {
        let entry = |i: usize, j: usize| (0..2).map(|k| sigma[k] * u[k][i] * v[k][j]).sum();
        (0..3).map(|i| (0..2).map(|j| entry(i, j)).collect()).collect()
    };
    for (sigma, largest) in [([0.3, 0.9], 0.9), ([-1.5, 0.2], 1.5), ([0.7, 0.7], 0.7)] {
        let rbm = with("gaussian:3", "gaussian:2", &weights(sigma));
        assert_close("coupling", &[rbm.coupling().unwrap()], &[largest], 1e-7);
        assert_eq!(rbm.check_normalisable().is_ok(), largest < 1.0);
    }
    let none = with("gaussian:3", "gaussian:2", &weights([0.0, 0.0]));
    assert_eq!(none.coupling().unwrap(), 0.0);
}

/// Rectified units: two that push each other apart are harmless however hard they push.
#[test]
fn couplings_that_push_do_not_count_between_rectified_units() {
    let push = [vec![0.5, -7.0], vec![-9.0, 0.5]];
    let rbm = with("relu:2", "relu:2", &push);
    assert_close("coupling", &[rbm.coupling().unwrap()], &[0.5], 1e-7);
    assert!(with("gaussian:2", "relu:2", &push).check_normalisable().is_err());
    assert!(with("relu:2", "gaussian:2", &push).check_normalisable().is_err());
}

#[test]
fn bounded_units_are_never_refused() {
    let strong = vec![vec![50.0; 3]; 3];
    for (visible, hidden) in
        [("gaussian:3", "spin:3"), ("potts(3):1", "relu:3"), ("binomial(2):3", "gaussian:3")]
    {
        assert!(with(visible, hidden, &strong).check_normalisable().is_ok());
    }
    let mixed = "bernoulli:1+gaussian:1+relu:1";
    let mut weights = vec![vec![0.1, 0.1, 0.1]; 3];
    (weights[0], weights[2][0]) = (vec![50.0; 3], 50.0);
    assert!(with(mixed, mixed, &weights).check_normalisable().is_ok());
    weights[2][1] = 1.5;
    let message = with(mixed, mixed, &weights).check_normalisable().unwrap_err().to_string();
    assert!(message.contains(mixed) && message.contains("1.5"), "{message}");
}

#[test]
fn refusals_name_the_units_and_the_value() {
    let rbm = with("gaussian:1", "relu:1", &[vec![1.25]]);
    let likelihood = log_partition(&rbm).unwrap_err().to_string();
    let training = monitor::check(&rbm).unwrap_err().to_string();
    for message in [&likelihood, &training] {
        assert!(message.contains("gaussian:1 and relu:1"), "{message}");
        assert!(message.contains("1.2500") && message.contains("below 1"), "{message}");
    }
    assert!(training.contains("diverged"), "{training}");
    let single = machine("gaussian:2", "gaussian:2", DType::F32, 2);
    let large = Tensor::new(&[[2f32, 0.0], [0.0, 0.1]], &Device::Cpu).unwrap();
    single.weights().set(&large).unwrap();
    assert_close("f32", &[single.coupling().unwrap()], &[2.0], 1e-7);
}
