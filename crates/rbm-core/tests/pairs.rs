//! The laws of every pair of unit types: one machine, whatever its units are.
//!
//! What they would catch: a cumulant generating function or a base measure that is right on one side only; a gradient that
//! takes a statistic for another's; units that are the same by a change of variables and do not behave so.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{
    CONTINUOUS, DISCRETE, Plain, assert_close, flat, log_sum_exp, machine, matrix, pairs, support,
};
use rbm_core::estimate::{log_likelihood, log_partition};
use rbm_core::learning::transform::{Centre, Clip, Sparsity, WeightDecay};
use rbm_core::{Exact, Gradient, NegativePhase, Phase, Rbm, Rng, Sgd, Trainer, Units};

const F64: DType = DType::F64;

/// Rounding in `f64`, a thousand operations on numbers below 100: 1000 · 100 · 2⁻⁵³ is 1e-11.
const ROUNDING: f64 = 1e-10;

#[test]
fn free_energy_sums_the_hidden_units_out() {
    for (visible, hidden) in pairs(&[&DISCRETE[..], &CONTINUOUS].concat(), &DISCRETE) {
        let rbm = machine(visible, hidden, F64, 1);
        let plain = Plain::of(&rbm);
        let free = Tensor::zeros((10, rbm.visible().units().width()), F64, &Device::Cpu).unwrap();
        let v = rbm.visible().sample(&free, &mut Rng::new(2)).unwrap();
        let by_sum = |v: &Vec<f64>| {
            let all = support(&rbm.hidden().units());
            -log_sum_exp(&all.iter().map(|h| -plain.energy(v, h)).collect::<Vec<_>>())
        };
        let by_sum: Vec<_> = common::rows(&v).iter().map(by_sum).collect();
        let found = flat(&rbm.free_energy(&v).unwrap());
        assert_close(&format!("{visible} {hidden}"), &found, &by_sum, ROUNDING);
    }
}

#[test]
fn probabilities_sum_to_one_and_log_z_is_that_of_the_joint() {
    for (visible, hidden) in pairs(&DISCRETE, &DISCRETE) {
        let rbm = machine(visible, hidden, F64, 3);
        let (plain, what) = (Plain::of(&rbm), format!("{visible} {hidden}"));
        let (all, above) = [rbm.visible(), rbm.hidden()].map(|side| support(&side.units())).into();
        let joint = all.iter().flat_map(|v| above.iter().map(|h| -plain.energy(v, h)));
        let expected = log_sum_exp(&joint.collect::<Vec<_>>());
        let mirrored = log_partition(&rbm.mirror().unwrap()).unwrap();
        let log_z = log_partition(&rbm).unwrap();
        assert_close(&what, &[log_z, mirrored], &[expected; 2], ROUNDING);
        let free = flat(&rbm.free_energy(&matrix(&all, F64)).unwrap());
        let total: f64 = free.into_iter().map(|f| (-f - log_z).exp()).sum();
        assert_close(&what, &[total], &[1.0], ROUNDING);
    }
}

#[test]
fn the_exact_gradient_is_the_derivative_of_the_log_likelihood() {
    for (visible, hidden) in pairs(&DISCRETE, &[&DISCRETE[..], &CONTINUOUS].concat()) {
        let rbm = machine(visible, hidden, F64, 4);
        let all = matrix(&support(&rbm.visible().units()), F64);
        let free = Tensor::zeros((9, all.dim(1).unwrap()), F64, &Device::Cpu).unwrap();
        let cases = rbm.visible().sample(&free, &mut Rng::new(5)).unwrap();
        let log_z = rbm.free_energy(&all).unwrap().neg().unwrap().log_sum_exp(0).unwrap();
        let mean = rbm.free_energy(&cases).unwrap().mean_all().unwrap().neg().unwrap();
        let graph = (mean - log_z).unwrap();
        let value = log_likelihood(&rbm, &cases).unwrap();
        assert_close("log-likelihood", &flat(&graph), &[value], ROUNDING);
        let slopes = graph.backward().unwrap();
        let positive = Phase::of(&rbm, &cases).unwrap();
        let negative = Exact.fantasy(&rbm, &positive, &mut Rng::new(0)).unwrap();
        let gradient = Gradient::between(&rbm, &positive, &negative).unwrap();
        let parts = gradient.tensors(&rbm).unwrap();
        assert_eq!(parts.len(), rbm.parameters().len());
        for ((name, var), part) in rbm.parameters().into_iter().zip(&parts) {
            let what = format!("{visible} {hidden} {name}");
            assert_close(&what, &flat(part), &flat(slopes.get(var).unwrap()), 1e-9);
        }
    }
}

/// A machine of these units with the parameters given as plain numbers.
fn with(visible: &str, hidden: &str, weights: &[Vec<f64>], v: &[f64], h: &[f64]) -> Rbm {
    let [visible, hidden] = [visible, hidden].map(|units| units.parse::<Units>().unwrap());
    common::set(Rbm::new(&visible, &hidden, F64, &Device::Cpu).unwrap(), weights, v, h)
}

fn free_energies(rbm: &Rbm, v: &[Vec<f64>]) -> Vec<f64> {
    flat(&rbm.free_energy(&matrix(v, F64)).unwrap())
}

fn weights() -> Vec<Vec<f64>> {
    common::rows(&common::normal(4, 3, F64, 6))
}

const V: [f64; 4] = [0.3, -1.2, 0.7, 0.1];
const H: [f64; 3] = [-0.4, 0.9, 0.2];

/// Two states are one bit: what both columns say alike is a bias of the hidden units.
#[test]
fn potts_of_two_states_is_bernoulli() {
    let bernoulli = with("bernoulli:4", "bernoulli:3", &weights(), &V, &H);
    let shared = [0.5, -0.3, 0.8, 1.1];
    let both = |rows: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let pair = |(i, row): (usize, &Vec<f64>)| {
            let off: Vec<f64> = row.iter().map(|_| shared[i]).collect();
            [off, row.iter().map(|w| w + shared[i]).collect()]
        };
        rows.iter().enumerate().flat_map(pair).collect()
    };
    let bias: Vec<f64> = V.iter().zip(shared).flat_map(|(b, s)| [s, b + s]).collect();
    let h = H.map(|c| c - shared.iter().sum::<f64>());
    let potts = with("potts(2):4", "bernoulli:3", &both(&weights()), &bias, &h);
    let bits = common::binary(4);
    let sites = |v: &Vec<f64>| v.iter().flat_map(|x| [1.0 - x, *x]).collect();
    let encoded: Vec<Vec<f64>> = bits.iter().map(sites).collect();
    let log_p = |rbm: &Rbm, v: &[Vec<f64>]| -> Vec<f64> {
        let log_z = log_partition(rbm).unwrap();
        free_energies(rbm, v).into_iter().map(|f| -f - log_z).collect()
    };
    assert_close("log p", &log_p(&potts, &encoded), &log_p(&bernoulli, &bits), ROUNDING);
    let mean = |rbm: &Rbm| flat(&rbm.visible_mean(&matrix(&common::binary(3), F64)).unwrap());
    let ones: Vec<f64> = mean(&potts).chunks(2).map(|site| site[1]).collect();
    assert_close("mean", &ones, &mean(&bernoulli), ROUNDING);
}

/// s = 2x − 1: E(s) with (W, b, c) is E(x) with (4W, 2b − 2W·1, 2c − 2Wᵀ1) and a constant.
#[test]
fn spins_are_bernoulli_units_by_a_change_of_variables() {
    let (w, columns) = (weights(), [0, 1, 2]);
    let spin = with("spin:4", "spin:3", &w, &V, &H);
    let four: Vec<Vec<f64>> = w.iter().map(|row| row.iter().map(|w| 4.0 * w).collect()).collect();
    let v: Vec<f64> =
        V.iter().zip(&w).map(|(b, row)| 2.0 * b - 2.0 * row.iter().sum::<f64>()).collect();
    let h: Vec<f64> =
        columns.map(|j| 2.0 * H[j] - 2.0 * w.iter().map(|row| row[j]).sum::<f64>()).to_vec();
    let bernoulli = with("bernoulli:4", "bernoulli:3", &four, &v, &h);
    let constant = w.concat().iter().sum::<f64>() - V.iter().sum::<f64>() - H.iter().sum::<f64>();
    let bits = common::binary(4);
    let spins: Vec<Vec<f64>> =
        bits.iter().map(|v| v.iter().map(|x| 2.0 * x - 1.0).collect()).collect();
    let expected: Vec<f64> =
        free_energies(&bernoulli, &bits).into_iter().map(|f| f - constant).collect();
    assert_close("free energy", &free_energies(&spin, &spins), &expected, ROUNDING);
    let log_z = log_partition(&bernoulli).unwrap() + constant;
    assert_close("log Z", &[log_partition(&spin).unwrap()], &[log_z], ROUNDING);
    let mean = flat(&spin.hidden_mean(&matrix(&spins, F64)).unwrap());
    let means = flat(&bernoulli.hidden_mean(&matrix(&bits, F64)).unwrap());
    let means: Vec<f64> = means.into_iter().map(|p| 2.0 * p - 1.0).collect();
    assert_close("mean", &mean, &means, ROUNDING);
}

/// The same machine under another name: the same bits, drawn from the same random numbers.
#[test]
fn one_trial_is_bernoulli_and_one_draw_is_potts() {
    for (one, other, width) in
        [("binomial(1):4", "bernoulli:4", 4), ("multinomial(1):4", "potts(4):1", 4)]
    {
        let [a, b] = [one, other].map(|units| with(units, "bernoulli:3", &weights(), &V, &H));
        let v = support(&b.visible().units());
        assert_close(one, &free_energies(&a, &v), &free_energies(&b, &v), ROUNDING);
        assert_eq!(support(&a.visible().units()).len(), v.len());
        let inputs = common::normal(50, width, F64, 7);
        let sample = |rbm: &Rbm| flat(&rbm.visible().sample(&inputs, &mut Rng::new(8)).unwrap());
        assert_eq!(sample(&a), sample(&b));
    }
}

/// n copies of a Bernoulli unit that share bias and weights, summed over how they are arranged.
#[test]
fn a_binomial_unit_is_the_sum_of_its_copies() {
    let row = weights()[0].clone();
    let binomial = with("binomial(3):1", "bernoulli:3", std::slice::from_ref(&row), &V[..1], &H);
    let copies = with("bernoulli:3", "bernoulli:3", &vec![row; 3], &[V[0]; 3], &H);
    let found = free_energies(&binomial, &[vec![0.0], vec![1.0], vec![2.0], vec![3.0]]);
    let mut sums = vec![vec![]; 4];
    let bits = common::binary(3);
    for (v, free) in bits.iter().zip(free_energies(&copies, &bits)) {
        sums[v.iter().sum::<f64>() as usize].push(-free);
    }
    let expected: Vec<f64> = sums.iter().map(|weights| -log_sum_exp(weights)).collect();
    assert_close("free energy", &found, &expected, ROUNDING);
}

/// n sites that share biases and weights, summed over their order.
#[test]
fn multinomial_units_are_the_sum_of_their_draws() {
    let multinomial = with("multinomial(2):4", "bernoulli:3", &weights(), &V, &H);
    let twice = [weights(), weights()].concat();
    let sites = with("potts(4):2", "bernoulli:3", &twice, &[V, V].concat(), &H);
    let counts = support(&multinomial.visible().units());
    let ordered = support(&sites.visible().units());
    let free = free_energies(&sites, &ordered);
    let expected: Vec<f64> = counts
        .iter()
        .map(|count| {
            let is_one = |v: &Vec<f64>| (0..4).all(|i| v[i] + v[4 + i] == count[i]);
            let orders = ordered.iter().zip(&free).filter(|(v, _)| is_one(v));
            -log_sum_exp(&orders.map(|(_, free)| -free).collect::<Vec<_>>())
        })
        .collect();
    assert_close("free energy", &free_energies(&multinomial, &counts), &expected, ROUNDING);
    let log_z = log_partition(&sites).unwrap();
    assert_close("log Z", &[log_partition(&multinomial).unwrap()], &[log_z], ROUNDING);
}

/// Groups of one kind are that kind: the same steps of learning, whatever looks at biases or columns.
#[test]
fn a_layer_cut_in_two_learns_as_one() {
    let learned = |visible: &str, hidden: &str| -> Vec<Vec<f64>> {
        let rbm = with(visible, hidden, &weights(), &V, &H);
        let mut trainer = Trainer::new(Exact, Sgd { momentum: 0.5, ..Sgd::new(0.2) });
        trainer.transforms = vec![
            Box::new(Sparsity::new(0.1, 0.5)),
            Box::new(Centre::new(0.1)),
            Box::new(WeightDecay { l1: 0.01, l2: 0.02 }),
            Box::new(Clip { norm: 0.8 }),
        ];
        let cases = common::patterns("1110 0101 1000 0111", F64);
        for _ in 0..5 {
            trainer.step(&rbm, &cases, &mut Rng::new(9)).unwrap();
        }
        let layers = [rbm.visible(), rbm.hidden()];
        let biases = layers.map(|layer| flat(&layer.bias().unwrap()));
        [&[flat(rbm.weights())], &biases[..]].concat()
    };
    let whole = learned("bernoulli:4", "bernoulli:3");
    let cut = learned("bernoulli:1+bernoulli:3", "bernoulli:2+bernoulli:1");
    for ((whole, cut), what) in whole.iter().zip(&cut).zip(["weights", "visible", "hidden"]) {
        assert_close(what, cut, whole, ROUNDING);
    }
    assert!((whole[1][3] - V[3]).abs() > 0.01, "nothing was learned");
}
