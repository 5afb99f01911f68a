//! The laws of the machine and of its exact likelihood.
//!
//! What they would catch: a sign or a transposed matrix in the energy; a free energy that does not sum the hidden units
//! out; a log Z that depends on the side it is summed over; a mirror that forgets a parameter; a sum of exponentials
//! that loses its scale (the golden machine is saturated); a pseudo-likelihood that flips the wrong unit.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::pydeep::{self, DATA, HIDDEN, LOG_Z, VISIBLE, WEIGHTS};
use common::{
    Plain, assert_close, assert_mean, binary, flat, log_sum_exp, machine, matrix, parameter_bits,
    patterns, rows, set,
};
use rbm_core::estimate::{
    log_likelihood, log_partition, pseudo_likelihood, stochastic_pseudo_likelihood,
};
use rbm_core::{Rbm, Rng, Units};

const F64: DType = DType::F64;

/// Rounding in `f64`, a hundred operations on numbers below 100: 100 · 100 · 2⁻⁵³ is 1e-12.
const ROUNDING: f64 = 1e-10;

#[test]
fn free_energy_sums_the_hidden_units_out() {
    for visible in ["bernoulli:5", "gaussian:5", "gaussian-learned:5"] {
        let rbm = machine(visible, "bernoulli:4", F64, 1);
        let plain = Plain::of(&rbm);
        let free = Tensor::zeros((10, 5), F64, &Device::Cpu).unwrap();
        let v = rbm.visible().sample(&free, &mut Rng::new(2)).unwrap();
        let by_sum = rows(&v).into_iter().map(|v| {
            let weights = binary(4).into_iter().map(|h| -plain.energy(&v, &h));
            -log_sum_exp(&weights.collect::<Vec<_>>())
        });
        let by_sum: Vec<_> = by_sum.collect();
        assert_close(visible, &flat(&rbm.free_energy(&v).unwrap()), &by_sum, ROUNDING);
    }
}

/// Neither way shares code with the other two; 6×3 sums over h, 3×6 over v.
#[test]
fn log_z_is_the_same_over_v_over_h_and_over_both() {
    for (visible, hidden) in [(6, 3), (3, 6), (4, 4)] {
        let units = [visible, hidden].map(|size| format!("bernoulli:{size}"));
        let rbm = machine(&units[0], &units[1], F64, 3);
        let plain = Plain::of(&rbm);
        let by_side = |plain: &Plain, width| {
            log_sum_exp(&binary(width).iter().map(|v| -plain.free_energy(v)).collect::<Vec<_>>())
        };
        let pairs = binary(visible)
            .into_iter()
            .flat_map(|v| binary(hidden).into_iter().map(move |h| (v.clone(), h)));
        let joint: Vec<_> = pairs.map(|(v, h)| -plain.energy(&v, &h)).collect();
        let expected = log_sum_exp(&joint);
        let log_z = log_partition(&rbm).unwrap();
        let others = [by_side(&plain, visible), by_side(&plain.mirror(), hidden), log_z];
        assert_close("log Z", &others, &[expected; 3], ROUNDING);
        let all = matrix(&binary(visible), F64);
        let probability =
            flat(&rbm.free_energy(&all).unwrap()).into_iter().map(|f| (-f - log_z).exp());
        assert_close("Σ p(v)", &[probability.sum()], &[1.0], ROUNDING);
    }
}

/// With Gaussian visible units log Z is a sum over h alone; here v is one unit, and the oracle integrates over it by
/// the trapezoid rule, which is exact for a sum of Gaussians much wider than its step.
#[test]
fn log_z_integrates_gaussian_units() {
    for visible in ["gaussian:1", "gaussian-learned:1"] {
        let rbm = machine(visible, "bernoulli:3", F64, 4);
        let plain = Plain::of(&rbm);
        let weights = (-960..=960).map(|i| -plain.free_energy(&[f64::from(i) / 16.0]));
        let expected = log_sum_exp(&weights.collect::<Vec<_>>()) - 16f64.ln();
        let mirrored = log_partition(&rbm.mirror().unwrap()).unwrap();
        assert_close(visible, &[log_partition(&rbm).unwrap(), mirrored], &[expected; 2], ROUNDING);
    }
}

#[test]
fn mirroring_exchanges_the_sides_and_twice_is_nothing() {
    for (visible, hidden) in [("bernoulli:5", "gaussian-learned:3"), ("gaussian:2", "bernoulli:7")]
    {
        let rbm = machine(visible, hidden, F64, 5);
        let (v, h) = (common::normal(6, rbm.visible().units().width(), F64, 6), 7);
        let h = common::normal(6, rbm.hidden().units().width(), F64, h);
        let mirror = rbm.mirror().unwrap();
        let energy = flat(&rbm.energy(&v, &h).unwrap());
        assert_close("energy", &flat(&mirror.energy(&h, &v).unwrap()), &energy, ROUNDING);
        let twice = mirror.mirror().unwrap();
        assert_eq!(parameter_bits(&twice), parameter_bits(&rbm));
        let units = |rbm: &Rbm| (rbm.visible().units(), rbm.hidden().units());
        assert_eq!(units(&twice), units(&rbm));
        rbm.weights().set(&rbm.weights().zeros_like().unwrap()).unwrap();
        assert_eq!(parameter_bits(&mirror.mirror().unwrap()), parameter_bits(&twice), "a copy");
    }
}

#[test]
fn energies_and_means_are_those_of_the_formula() {
    let rbm = machine("gaussian-learned:3", "bernoulli:4", F64, 8);
    let plain = Plain::of(&rbm);
    let (v, h) = (common::normal(5, 3, F64, 9), matrix(&binary(4)[4..9], F64));
    let pairs = rows(&v).into_iter().zip(rows(&h));
    let expected: Vec<_> = pairs.map(|(v, h)| plain.energy(&v, &h)).collect();
    assert_close("E(v, h)", &flat(&rbm.energy(&v, &h).unwrap()), &expected, ROUNDING);
    let inputs = |v: &Vec<f64>| plain.hidden_inputs(v).into_iter().zip(&plain.hidden.bias);
    let mean = |v: &Vec<f64>| inputs(v).map(|(i, b)| 1.0 / (1.0 + (-i - b).exp())).collect();
    let means: Vec<Vec<f64>> = rows(&v).iter().map(mean).collect();
    assert_close("E[h | v]", &flat(&rbm.hidden_mean(&v).unwrap()), &means.concat(), ROUNDING);
}

// The numbers that PyDeep's tests have for the machine `pydeep`; those below marked "again" were computed anew in 40 digits.
const STATES: &str = "0000 1010 0101 1100 0011 1111";
const ENERGIES: [f64; 6] = [0.0, 32.49137574, 32.50603837, 0.93641873, 0.91694445, 0.03276686];
const LOG_P_V: [f64; 6] =
    [58.28860656, 57.59545756, 57.59545757, 57.59545753, 57.59545756, 58.28860656];
const LOG_P_H: [f64; 6] =
    [57.00318742, 56.98879586, 56.98864114, 56.90941665, 56.90945961, 57.00333938];
const LOG_LIKELIHOOD: f64 = -1.7328699078025; // again; of the eight rows below

fn golden(dtype: DType, tolerance: f64) {
    let rbm = pydeep::machine(dtype);
    let states = patterns(STATES, dtype);
    let check = |what, got: &Tensor, expected: &[f64]| {
        assert_close(what, &flat(got), expected, tolerance);
    };
    check("E(v, h=v)", &rbm.energy(&states, &states).unwrap(), &ENERGIES);
    check("log p*(v)", &rbm.free_energy(&states).unwrap().neg().unwrap(), &LOG_P_V);
    let mirror = rbm.mirror().unwrap();
    check("log p*(h)", &mirror.free_energy(&states).unwrap().neg().unwrap(), &LOG_P_H);
    let log_z = [log_partition(&rbm).unwrap(), log_partition(&mirror).unwrap()];
    assert_close("log Z", &log_z, &[LOG_Z; 2], tolerance);
    let mean = log_likelihood(&rbm, &patterns(DATA, dtype)).unwrap();
    assert_close("log-likelihood", &[mean], &[LOG_LIKELIHOOD], tolerance);
    check(
        "P(h | v)",
        &rbm.hidden_mean(&patterns("0000 1111", dtype)).unwrap(),
        &[0.472138994, 1.0, 0.466719883, 9.76555e-15, 0.527945768, 1.6661e-25, 0.533398782, 1.0],
    );
    check(
        "P(v | h)",
        &rbm.visible_mean(&patterns("0000", dtype)).unwrap(),
        &[4.38973669e-09, 1.73832475e-06, 0.999998256, 1.0],
    );
}

/// 1e-8: the numbers are given to eight decimals.
#[test]
fn golden_numbers_of_pydeep() {
    golden(F64, 1e-8);
    let log_z = log_partition(&pydeep::machine(F64)).unwrap();
    assert_close("log Z", &[log_z], &[LOG_Z], 1e-13);
    let mean = log_likelihood(&pydeep::machine(F64), &patterns(DATA, F64)).unwrap();
    assert_close("log-likelihood", &[mean], &[LOG_LIKELIHOOD], 1e-13 * LOG_Z);
}

/// A sum of n numbers is rounded by at most n·2⁻²⁴·Σ|x| (Higham 2002, §3.1), and the machine's 24 parameters are all
/// that is ever summed; soft-plus and the sigmoid, of slope at most one, pass that on and add 4e-7 of their own.
/// Assertions are relative above one, so the bound is loose for log Z and binding for the log-likelihood.
#[test]
fn golden_numbers_of_pydeep_in_single_precision() {
    let sizes = WEIGHTS.concat().into_iter().chain(VISIBLE).chain(HIDDEN).map(f64::abs);
    golden(DType::F32, 24.0 * 2f64.powi(-24) * sizes.sum::<f64>());
}

/// PyDeep's Gaussian energy is Σ(v−b)²/2 − c·h − vWh, ours Σv²/2 − b·v − c·h − vWh: theirs is larger by Σb²/2, and
/// every log p* and log Z of theirs smaller by as much.
#[test]
fn golden_numbers_of_pydeep_gaussian() {
    let (b, c) = ([VISIBLE[0], VISIBLE[1]], [HIDDEN[0], HIDDEN[1]]);
    let weights = [WEIGHTS[0][..2].to_vec(), WEIGHTS[1][..2].to_vec()];
    let rbm = Rbm::new(&Units::gaussian(2), &Units::bernoulli(2), F64, &Device::Cpu).unwrap();
    let rbm = set(rbm, &weights, &b, &c);
    let shift = b.iter().map(|b| b * b / 2.0).sum::<f64>();
    let v = matrix(&[vec![0.98, -0.56], vec![-0.3, 0.8]], F64);
    let h = patterns("01 11", F64);
    let check = |what, got: Tensor, expected: &[f64]| {
        assert_close(what, &flat(&got), expected, 1e-10);
    };
    let energy = rbm.energy(&v, &h).unwrap();
    check("E(v, h)", (energy + shift).unwrap(), &[209.2323009933, 245.0670906117]);
    let free = rbm.free_energy(&v).unwrap();
    check("−log p*(v)", (free + shift).unwrap(), &[208.5907413865, 244.3811406613]);
    let free = rbm.mirror().unwrap().free_energy(&h).unwrap();
    check("−log p*(h)", (free + shift).unwrap(), &[-795.5691597013, -784.9917929862]);
    assert_close("log Z", &[log_partition(&rbm).unwrap() - shift], &[795.5691851873], 1e-12);
}

#[test]
fn a_machine_without_weights_knows_the_base_rates() {
    let rbm = machine("bernoulli:4", "bernoulli:3", F64, 10);
    rbm.weights().set(&rbm.weights().zeros_like().unwrap()).unwrap();
    let cases = matrix(&binary(4)[3..12], F64);
    let rates: Vec<f64> =
        Plain::of(&rbm).visible.bias.iter().map(|b| 1.0 / (1.0 + (-b).exp())).collect();
    let unit = |(v, p): (&f64, &f64)| if *v == 1.0 { p.ln() } else { (1.0 - p).ln() };
    let log_p =
        rows(&cases).iter().map(|v| v.iter().zip(&rates).map(unit).sum::<f64>()).sum::<f64>();
    let found = [log_likelihood(&rbm, &cases).unwrap(), pseudo_likelihood(&rbm, &cases).unwrap()];
    assert_close("log-likelihood and pseudo-likelihood", &found, &[log_p / 9.0; 2], ROUNDING);
}

/// log p(v_i | the rest) = log p(v) − log(p(v) + p(v with unit i flipped)).
#[test]
fn pseudo_likelihood_is_that_of_the_joint_table() {
    for hidden in ["bernoulli:3", "gaussian-learned:3"] {
        let rbm = machine("bernoulli:4", hidden, F64, 11);
        let plain = Plain::of(&rbm);
        let cases = &binary(4)[2..13];
        let per_unit = |v: &Vec<f64>, i: usize| {
            let mut flipped = v.clone();
            flipped[i] = 1.0 - v[i];
            let (own, other) = (-plain.free_energy(v), -plain.free_energy(&flipped));
            own - log_sum_exp(&[own, other])
        };
        let all: Vec<f64> =
            cases.iter().flat_map(|v| (0..4).map(|i| per_unit(v, i)).collect::<Vec<_>>()).collect();
        let expected = all.iter().sum::<f64>() / cases.len() as f64;
        let cases = matrix(cases, F64);
        let exact = pseudo_likelihood(&rbm, &cases).unwrap();
        assert_close(hidden, &[exact], &[expected], ROUNDING);
        let mut rng = Rng::new(12);
        let estimates: Vec<_> = (0..2000)
            .map(|_| stochastic_pseudo_likelihood(&rbm, &cases, &mut rng).unwrap())
            .collect();
        assert_mean(hidden, &estimates, expected);
    }
    let real = machine("gaussian:4", "bernoulli:3", F64, 13);
    let cases = matrix(&binary(4), F64);
    let message = pseudo_likelihood(&real, &cases).unwrap_err().to_string();
    assert!(message.contains("discrete") && message.contains("gaussian:4"), "{message}");
}

#[test]
fn a_machine_too_large_to_enumerate_is_an_error_that_names_the_limit() {
    let large = ["bernoulli:30", "gaussian:3"].map(|units| units.parse::<Units>().unwrap());
    for hidden in &large {
        let rbm = Rbm::new(&large[0], hidden, DType::F32, &Device::Cpu).unwrap();
        let message = log_partition(&rbm).unwrap_err().to_string();
        assert!(message.contains("25") && message.contains("bernoulli:30"), "{message}");
    }
    let wide = Rbm::new(&large[0], &Units::bernoulli(3), DType::F32, &Device::Cpu).unwrap();
    let expected = 33.0 * 2f64.ln();
    assert_close("one small side is enough", &[log_partition(&wide).unwrap()], &[expected], 1e-5);
}

#[test]
fn a_clone_shares_nothing() {
    let rbm = machine("gaussian-learned:3", "bernoulli:2", DType::F32, 14);
    let before = parameter_bits(&rbm);
    let clone = rbm.try_clone().unwrap();
    assert_eq!(parameter_bits(&clone), before);
    for (_, var) in clone.parameters() {
        rbm_core::ops::add_scaled(var, &var.ones_like().unwrap(), 1.0).unwrap();
    }
    assert_eq!(parameter_bits(&rbm), before);
    assert_ne!(parameter_bits(&clone), before);
}

/// W = diag(3, 2, 1e-10) between rotations by a third of a turn in two planes, and its transpose: the values are these, also the one
/// whose square is below what WᵀW can tell from zero.
#[test]
fn singular_values_are_those_of_the_weights() {
    let (c, s) = (0.5, 0.75f64.sqrt());
    let left = matrix(&[vec![c, s, 0.0], vec![-s, c, 0.0], vec![0.0, 0.0, 1.0]], F64);
    let right =
        matrix(&[vec![1.0, 0.0, 0.0, 0.0], vec![0.0, c, s, 0.0], vec![0.0, -s, c, 0.0]], F64);
    let middle = matrix(&[vec![3.0, 0.0, 0.0], vec![0.0, 2.0, 0.0], vec![0.0, 0.0, 1e-10]], F64);
    let weights = left.matmul(&middle).unwrap().matmul(&right).unwrap();
    let rbm = machine("bernoulli:3", "bernoulli:4", F64, 1);
    rbm.weights().set(&weights).unwrap();
    for rbm in [rbm.mirror().unwrap(), rbm] {
        let values = rbm_core::model::spectrum::singular_values(&rbm, 3).unwrap().unwrap();
        assert_close("singular values", &values[..2], &[3.0, 2.0], 1e-12);
        assert!((values[2] - 1e-10).abs() < 1e-14, "{values:?}");
        let largest = rbm_core::model::spectrum::singular_values(&rbm, 2).unwrap().unwrap();
        assert_eq!(largest, values[..2]);
    }
    let large = Rbm::new(&Units::bernoulli(1025), &Units::bernoulli(1025), F64, &Device::Cpu);
    assert!(rbm_core::model::spectrum::singular_values(&large.unwrap(), 2).unwrap().is_none());
}
