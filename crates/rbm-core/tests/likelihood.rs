//! The partition function estimated from both sides, and replicas that change places.
//!
//! What it would catch: weights collected at the wrong inverse temperature or before the wrong step; a reverse estimate
//! with the sign or the average of the forward one (PyDeep), or the mean of log-weights reported as log Z (PGM); a ladder
//! whose levels do not keep their distribution; swaps that accept with the wrong ratio, or move visible units without the
//! products that belong to them; a bridge that confuses the two ends of a gap; an error bar that does not cover.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{Plain, assert_close, binary, flat, machine, matrix, patterns, rows};
use rand::RngExt;
use rbm_core::estimate::{
    self, AisEstimates, Annealing, Bridge, Equilibrium, Estimate, TemperingConfig, betas,
};
use rbm_core::sampling::{AnnealingPath, Tempering};
use rbm_core::{Gibbs, Kernel, Rbm, Rng, Stateful, Units};

/// `count` binary rows drawn from the distribution `p` over [`binary`].
fn exact_sample(p: &[f64], count: usize, dtype: DType, seed: u64) -> Tensor {
    let (mut rng, all) = (Rng::new(seed), binary(p.len().ilog2() as usize));
    let mut draw = || {
        let mut left: f64 = rng.random();
        let index = p.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        all[index.unwrap_or(p.len() - 1)].clone()
    };
    matrix(&(0..count).map(|_| draw()).collect::<Vec<_>>(), dtype)
}

/// A path with fields that are not zero.
fn path(rbm: &Rbm) -> AnnealingPath {
    let (v, h) = rbm.weights().dims2().unwrap();
    let means = |n: usize, seed: u64| {
        let uniform = rbm_core::ops::uniform(n, rbm.dtype(), &Device::Cpu, &mut Rng::new(seed));
        uniform.unwrap().affine(0.8, 0.1).unwrap()
    };
    AnnealingPath::from_means(rbm, &means(v, 21), &means(h, 22)).unwrap()
}

/// The machine whose distribution is that of `path` at `beta`.
fn at(rbm: &Rbm, path: &AnnealingPath, beta: f64) -> Rbm {
    let new = rbm.try_clone().unwrap();
    new.weights().set(&(rbm.weights().as_detached_tensor() * beta).unwrap()).unwrap();
    for (layer, base) in [(new.visible(), &path.rest), (new.hidden(), &path.last)] {
        let field = &base.field;
        let bias = layer.vars()[0].1;
        bias.set(&(bias.as_detached_tensor() + (field * (1.0 - beta)).unwrap()).unwrap()).unwrap();
    }
    new
}

/// The total variation between binary rows and `p`, in units of its Monte-Carlo floor.
fn drift(x: &Tensor, p: &[f64]) -> f64 {
    let mut counts = vec![0.0; p.len()];
    for row in rows(x) {
        let index: usize = row.iter().enumerate().map(|(i, &bit)| (bit as usize) << i).sum();
        counts[index] += 1.0;
    }
    let n = counts.iter().sum::<f64>();
    let distance: f64 = counts.iter().zip(p).map(|(c, p)| (c / n - p).abs()).sum();
    distance / p.iter().map(|p| (p * (1.0 - p) / n).sqrt()).sum::<f64>()
}

fn anneal(rbm: &Rbm, mut annealing: Annealing, rng: &mut Rng) -> Estimate {
    while !annealing.is_done() {
        annealing.step(rbm, rng).unwrap();
    }
    annealing.log_partition(rbm).unwrap()
}

fn assert_covered(what: &str, estimate: &Estimate, truth: f64) {
    let Estimate { value, error, .. } = *estimate;
    assert!((value - truth).abs() <= 4.0 * error, "{what}: {value} ± {error}, exact {truth}");
    assert!(error > 0.0 && error < 0.2, "{what}: an error of {error} says nothing");
}

#[test]
fn a_path_joins_independent_units_to_the_machine() {
    for dtype in [DType::F32, DType::F64] {
        let tolerance = if dtype == DType::F32 { 1e-4 } else { 1e-10 };
        let rbm = machine("bernoulli:5", "bernoulli:4", dtype, 1);
        let path = path(&rbm);
        let v = matrix(&binary(5), dtype);
        let products = rbm.hidden_inputs(&v).unwrap();
        let exact = |beta: f64| estimate::log_partition(&at(&rbm, &path, beta)).unwrap();
        assert_close(
            "β = 0",
            &[path.log_partition_at_zero(&rbm).unwrap()],
            &[exact(0.0)],
            tolerance,
        );
        for beta in [0.0, 0.3, 1.0] {
            let betas = rbm_core::sampling::beta_column(&rbm, &[beta; 32]).unwrap();
            let [weight] = path.log_weights(&rbm, &v, &products, [&betas]).unwrap();
            let log_p = (weight - rbm.visible().energy(&v).unwrap()).unwrap();
            let expected = at(&rbm, &path, beta).free_energy(&v).unwrap().neg().unwrap();
            assert_close("−F", &flat(&log_p), &flat(&expected), tolerance);
        }
    }
}

#[test]
fn base_rates_are_those_of_the_cases() {
    let rbm = machine("bernoulli:6", "bernoulli:3", DType::F64, 2);
    let cases = patterns("110100 100100 110010 100001", DType::F64);
    let path = AnnealingPath::from_cases(&rbm, &cases).unwrap();
    let start = at(&rbm, &path, 0.0);
    let nothing = Tensor::zeros((1, 3), DType::F64, &Device::Cpu).unwrap();
    let mean = start.visible_mean(&nothing).unwrap();
    assert_close("base rates", &flat(&mean), &[0.999, 0.5, 0.001, 0.5, 0.25, 0.25], 1e-9);
    let nothing = Tensor::zeros((1, 6), DType::F64, &Device::Cpu).unwrap();
    let expected = rbm.hidden_mean(&cases).unwrap().mean(0).unwrap();
    assert_close("hidden", &flat(&start.hidden_mean(&nothing).unwrap()), &flat(&expected), 1e-9);
}

/// From exact samples both ways cover the truth, also with so few steps that the weights are far from even.
#[test]
fn both_directions_cover_the_exact_value() {
    for (visible, hidden, seed) in [
        ("bernoulli:6", "bernoulli:5", 3),
        ("bernoulli:8", "gaussian:3", 4),
        ("bernoulli:5", "bernoulli:9", 5),
    ] {
        for dtype in [DType::F32, DType::F64] {
            let rbm = machine(visible, hidden, dtype, seed);
            let scaled = (rbm.weights().as_detached_tensor() * 0.5).unwrap();
            rbm.weights().set(&scaled).unwrap();
            let truth = estimate::log_partition(&rbm).unwrap();
            let p = Plain::of(&rbm).visible_probabilities();
            for count in [8, 40] {
                let (mut rng, path) = (Rng::new(seed), path(&rbm));
                let forward =
                    Annealing::forward(&rbm, path.clone(), betas(count), 4000, &mut rng).unwrap();
                assert_covered("forward", &anneal(&rbm, forward, &mut rng), truth);
                let samples = exact_sample(&p, 4000, dtype, seed);
                let reverse = Annealing::reverse(&rbm, path, betas(count), samples).unwrap();
                assert_covered("reverse", &anneal(&rbm, reverse, &mut rng), truth);
            }
        }
    }
}

/// Jensen's inequality, over 40 short runs with few chains: forwards too low, backwards too high.
#[test]
fn the_directions_err_on_opposite_sides() {
    let rbm = machine("bernoulli:8", "bernoulli:6", DType::F64, 6);
    let truth = estimate::log_partition(&rbm).unwrap();
    let p = Plain::of(&rbm).visible_probabilities();
    let errors = |reverse: bool| -> Vec<f64> {
        let run = |seed: u64| {
            let (mut rng, path) = (Rng::new(seed), AnnealingPath::from_biases(&rbm).unwrap());
            let annealing = if reverse {
                let samples = exact_sample(&p, 3, DType::F64, seed);
                Annealing::reverse(&rbm, path, betas(4), samples).unwrap()
            } else {
                Annealing::forward(&rbm, path, betas(4), 3, &mut rng).unwrap()
            };
            anneal(&rbm, annealing, &mut rng).value - truth
        };
        (100..140).map(run).collect()
    };
    for (reverse, sign) in [(false, -1.0), (true, 1.0)] {
        let errors = errors(reverse);
        let mean = errors.iter().sum::<f64>() / 40.0;
        let variance = errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / 39.0;
        let significant = sign * mean > 4.0 * (variance / 40.0).sqrt();
        assert!(significant, "reverse {reverse}: {mean} ± {}", (variance / 40.0).sqrt());
    }
}

/// PyDeep's machine of 2×2 bars and stripes, with its own tolerances; weights of ±60.
#[test]
fn annealing_knows_the_golden_partition_function() {
    let truth = common::pydeep::LOG_Z;
    for dtype in [DType::F32, DType::F64] {
        let rbm = common::pydeep::machine(dtype);
        let cases = patterns(common::pydeep::DATA, dtype);
        for (count, tolerance) in [(100, 0.5), (1000, 0.05), (10_000, 0.005)] {
            let mut rng = Rng::new(8);
            let path = AnnealingPath::from_cases(&rbm, &cases).unwrap();
            let forward =
                Annealing::forward(&rbm, path.clone(), betas(count), 100, &mut rng).unwrap();
            let forward = anneal(&rbm, forward, &mut rng).value;
            let samples = cases.repeat((13, 1)).unwrap();
            let reverse = Annealing::reverse(&rbm, path, betas(count), samples).unwrap();
            let reverse = anneal(&rbm, reverse, &mut rng).value;
            assert!((forward - truth).abs() < tolerance, "{count}: forward {forward}");
            assert!((reverse - truth).abs() < tolerance, "{count}: reverse {reverse}");
        }
    }
}

#[test]
fn annealing_goes_on_where_it_was_stopped() {
    let rbm = machine("bernoulli:6", "bernoulli:5", DType::F32, 9);
    let mut rng = Rng::new(10);
    let start = Annealing::forward(&rbm, path(&rbm), betas(20), 50, &mut rng).unwrap();
    let (mut whole, mut halves, mut other) = (start.clone(), start, rng);
    while !whole.is_done() {
        whole.step(&rbm, &mut rng).unwrap();
    }
    for _ in 0..7 {
        halves.step(&rbm, &mut other).unwrap();
    }
    let state = halves.state();
    let mut rest = Annealing::forward(&rbm, path(&rbm), betas(20), 50, &mut Rng::new(99)).unwrap();
    rest.restore(&state).unwrap();
    assert_eq!(rest.progress(), (8, 20));
    assert!(rest.log_partition(&rbm).is_err(), "an estimate before the end");
    while !rest.is_done() {
        rest.step(&rbm, &mut other).unwrap();
    }
    assert_eq!(whole.log_weights(), rest.log_weights());
}

#[test]
fn inverse_temperatures_that_do_not_climb_from_0_to_1_are_refused() {
    let rbm = machine("bernoulli:3", "bernoulli:2", DType::F32, 1);
    for wrong in [vec![], vec![0.0], vec![0.0, 0.5], vec![0.1, 1.0], vec![0.0, 0.5, 0.5, 1.0]] {
        let path = AnnealingPath::from_biases(&rbm).unwrap();
        assert!(Annealing::forward(&rbm, path, wrong, 10, &mut Rng::new(1)).is_err());
    }
    for count in [2, 3, 100, 14_503] {
        let betas = betas(count);
        assert_eq!((betas.len(), betas[0], betas[count - 1]), (count, 0.0, 1.0));
        assert!(betas.windows(2).all(|pair| pair[0] < pair[1]), "{count}");
    }
}

/// Every level keeps its own distribution.
#[test]
fn replicas_at_their_distributions_stay_there() {
    const CHAINS: usize = 40_000;
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 11);
    let tempering = Tempering { path: path(&rbm), betas: vec![0.0, 0.4, 0.8, 1.0] };
    let distributions: Vec<Vec<f64>> = tempering
        .betas
        .iter()
        .map(|beta| Plain::of(&at(&rbm, &tempering.path, *beta)).visible_probabilities())
        .collect();
    let start =
        distributions.iter().zip(30..).map(|(p, seed)| exact_sample(p, CHAINS, DType::F32, seed));
    let start = Tensor::cat(&start.collect::<Vec<_>>(), 0).unwrap();
    let mut rng = Rng::new(12);
    let mut replicas = tempering.init(&rbm, start, &mut rng).unwrap();
    for step in 0..6 {
        let swaps = tempering.step(&rbm, &mut replicas, &mut rng).unwrap();
        assert!(swaps.acceptance.iter().all(|a| *a > 0.3 && *a < 0.99), "{:?}", swaps.acceptance);
        for (level, p) in distributions.iter().enumerate() {
            let rows = replicas.rows.visible.narrow(0, level * CHAINS, CHAINS).unwrap();
            let drift = drift(&rows, p);
            assert!(drift < 4.0, "step {step}, level {level}: drift {drift}");
        }
        let products = rbm.hidden_inputs(&replicas.rows.visible).unwrap();
        assert_close("products", &flat(&replicas.rows.hidden_inputs), &flat(&products), 1e-5);
    }
}

/// Twelve units that like to be equal, all on three times as probable as all off: two modes with nothing between them.
fn bimodal() -> Rbm {
    let (visible, hidden) = (12, 1);
    let coupling: f64 = 12.0;
    let rbm = common::bernoulli(
        &vec![vec![coupling; hidden]; visible],
        &vec![-coupling / 2.0; visible],
        &[-coupling * 6.0],
        DType::F32,
    );
    // At h = 1 a unit is on with odds e⁶, at h = 0 off with the same odds; the hidden bias sets the modes' weights.
    let bias = rbm.hidden().vars()[0].1;
    bias.set(
        &Tensor::new(&[-coupling * 6.0 + 3f64.ln()], &Device::Cpu)
            .unwrap()
            .to_dtype(DType::F32)
            .unwrap(),
    )
    .unwrap();
    rbm
}

/// Gibbs sampling never leaves the mode it starts in; tempering finds both, with their weights.
#[test]
fn tempering_finds_the_weights_of_two_modes() {
    let rbm = bimodal();
    let p = Plain::of(&rbm).visible_probabilities();
    let is_up = |row: &[f64]| row.iter().sum::<f64>() > 6.0;
    let truth: f64 = binary(12).iter().zip(&p).filter(|(v, _)| is_up(v)).map(|(_, p)| p).sum();
    assert!((truth - 0.75).abs() < 0.01, "{truth}");

    let mut rng = Rng::new(13);
    let (gibbs, down) = (Gibbs::default(), Tensor::zeros((100, 12), DType::F32, &Device::Cpu));
    let mut chains = gibbs.init(&rbm, down.unwrap(), &mut rng).unwrap();
    for _ in 0..200 {
        gibbs.step(&rbm, &mut chains, &mut rng).unwrap();
    }
    assert!(rows(&chains.visible).iter().filter(|row| is_up(row)).count() < 5, "Gibbs is stuck");

    let chains = 200;
    let half = |n: usize| (Tensor::ones(n, DType::F32, &Device::Cpu).unwrap() * 0.5).unwrap();
    let path = AnnealingPath::from_means(&rbm, &half(12), &half(1)).unwrap();
    let mut tempering = Tempering::even(path, 8).unwrap();
    let mut replicas = tempering.climb(&rbm, chains, 5, &mut rng).unwrap();
    for _ in 0..6 {
        let mut acceptance = vec![0.0; tempering.betas.len() - 1];
        for _ in 0..20 {
            let swaps = tempering.step(&rbm, &mut replicas, &mut rng).unwrap();
            acceptance.iter_mut().zip(swaps.acceptance).for_each(|(sum, a)| *sum += a / 20.0);
        }
        let spaced = tempering.respaced(&acceptance, None, 0.5);
        replicas = spaced.move_over(&rbm, &tempering, &replicas, &mut rng).unwrap();
        tempering = spaced;
    }
    let gaps = tempering.betas.len() - 1;
    let (mut bridge, mut arrivals, sweeps) = (Bridge::new(gaps, chains), 0, 200);
    let mut shares = vec![0.0; chains];
    let mut acceptance = vec![0.0; gaps];
    for _ in 0..sweeps {
        let swaps = tempering.step(&rbm, &mut replicas, &mut rng).unwrap();
        bridge.push(&swaps.up, &swaps.down).unwrap();
        arrivals += swaps.arrivals;
        acceptance.iter_mut().zip(&swaps.acceptance).for_each(|(sum, a)| *sum += a / sweeps as f64);
        let top = tempering.top(&replicas).unwrap();
        for (share, row) in shares.iter_mut().zip(rows(&top)) {
            *share += f64::from(u8::from(is_up(&row))) / sweeps as f64;
        }
    }
    // The chains are independent of each other, so their shares are independent numbers.
    common::assert_mean("the share of the upper mode", &shares, truth);
    assert!(acceptance.iter().all(|a| (0.25..0.75).contains(a)), "evenly spaced: {acceptance:?}");
    assert!(arrivals > chains, "every chain has been renewed more than once: {arrivals}");
    let ratio = bridge.log_ratio().unwrap();
    let at_zero = tempering.path.log_partition_at_zero(&rbm).unwrap();
    let estimate = Estimate { value: ratio.value + at_zero, ..ratio };
    assert_covered("bridge", &estimate, estimate::log_partition(&rbm).unwrap());
}

/// Without any data: ten spins of bias 0.03 that one Gaussian unit joins by 0.8 have two modes, all up and all down; a ladder that
/// begins at the units' own biases finds how much each weighs. A model that another program has made is tempered so.
#[test]
fn a_path_from_the_biases_finds_both_modes() {
    let (bias, coupling) = (0.03, 0.8);
    let units = |text: &str| text.parse::<Units>().unwrap();
    let rbm = Rbm::new(&units("spin:10"), &units("gaussian:1"), DType::F32, &Device::Cpu).unwrap();
    rbm.weights()
        .set(&(rbm.weights().as_detached_tensor().ones_like().unwrap() * coupling).unwrap())
        .unwrap();
    let biases = rbm.visible().vars()[0].1;
    biases.set(&(biases.as_detached_tensor().ones_like().unwrap() * bias).unwrap()).unwrap();
    // With the Gaussian unit summed out p(v) ∝ exp(b·s + (w·s)²/2), where s is the sum of the spins.
    let weight = |up: i32| {
        let s = f64::from(2 * up - 10);
        let ways: f64 = (0..up).map(|i| f64::from(10 - i) / f64::from(i + 1)).product();
        ways * (bias * s + (coupling * s).powi(2) / 2.0).exp()
    };
    let all: f64 = (0..=10).map(weight).sum();
    let truth = ((6..=10).map(weight).sum::<f64>() + weight(5) / 2.0) / all;
    assert!((0.6..0.7).contains(&truth), "{truth}");
    let shares: Vec<f64> = (0..30)
        .map(|seed| {
            let mut rng = Rng::new(seed);
            let tempering =
                TemperingConfig { samples: 50, sweeps: 500, ..TemperingConfig::default() };
            let path = AnnealingPath::from_biases(&rbm).unwrap();
            let mut equilibrium = Equilibrium::new(&rbm, path, tempering, &mut rng).unwrap();
            while !equilibrium.is_done() {
                equilibrium.step(&rbm, &mut rng).unwrap();
            }
            let samples = rows(&equilibrium.samples().unwrap());
            let up = samples.iter().map(|row| match row.iter().sum::<f64>() {
                s if s > 0.5 => 1.0,
                s if s < -0.5 => 0.0,
                _ => 0.5,
            });
            up.sum::<f64>() / samples.len() as f64
        })
        .collect();
    common::assert_mean("the share of the upper mode", &shares, truth);
    assert!(shares.iter().all(|share| (0.2..0.98).contains(share)), "stuck in a mode: {shares:?}");
}

/// Two coins: the exact log-ratio, an error that is that of repeated experiments, and no bias from where chains correlate.
#[test]
fn a_bridge_covers_the_exact_ratio() {
    // p*(x) = 1 for both x below, and (1, 7) above: log-ratio log 8 − log 2.
    let (truth, upper, chains) = (4f64.ln(), [1.0, 7.0f64], 50);
    let mut standardised = Vec::new();
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut bridge = Bridge::new(1, chains);
        let mut stuck = vec![(false, false); chains];
        for sweep in 0..20 {
            for state in &mut stuck {
                // Every draw is kept for four sweeps.
                if sweep % 4 == 0 {
                    *state = (rng.random_bool(0.5), rng.random_bool(7.0 / 8.0));
                }
            }
            let weight = |on: bool| upper[usize::from(on)].ln();
            let up: Vec<_> = stuck.iter().map(|(below, _)| weight(*below)).collect();
            let down: Vec<_> = stuck.iter().map(|(_, above)| -weight(*above)).collect();
            bridge.push(&up, &down).unwrap();
        }
        let estimate = bridge.log_ratio().unwrap();
        standardised.push((estimate.value - truth) / estimate.error);
    }
    common::assert_mean("standardised error", &standardised, 0.0);
    let squares: Vec<_> = standardised.iter().map(|z| z * z).collect();
    // Student's t with 49 degrees of freedom has variance 49/47.
    common::assert_mean("its square", &squares, 49.0 / 47.0);
    assert!(
        Bridge::new(1, 1).log_ratio().is_err()
            && Bridge::new(2, 3).push(&[0.0; 5], &[0.0; 6]).is_err()
    );
}

#[test]
fn the_log_of_a_mean_is_not_the_mean_of_logs() {
    let estimate = Estimate::of_log_weights(&[0.0, 3f64.ln(), 1000.0 - 1000.0, 3f64.ln()]);
    assert_close("value", &[estimate.value, estimate.effective_samples], &[2f64.ln(), 3.2], 1e-12);
    // Weights 1 and 3: standard deviation 2/√3, of the mean 1/√3, relative to 2.
    assert_close("error", &[estimate.error], &[0.5 / 3f64.sqrt()], 1e-12);
    let shifted = Estimate::of_log_weights(&[-1e4, -1e4 + 3f64.ln(), -1e4, -1e4 + 3f64.ln()]);
    assert_close(
        "far away",
        &[shifted.value + 1e4, shifted.error],
        &[2f64.ln(), estimate.error],
        1e-9,
    );
}

/// Ten samples of each of fifty chains, all the same within a chain: the error is that of fifty, not of five hundred.
#[test]
fn samples_of_one_chain_are_not_independent() {
    let mut standardised = Vec::new();
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let chains: Vec<f64> = (0..50).map(|_| rng.random_range(0.5f64..1.5).ln()).collect();
        let all: Vec<f64> = (0..500).map(|i| chains[i % 50]).collect();
        let estimate = Estimate::of_chains(&all, 50);
        standardised.push(estimate.value / estimate.error);
        assert_close("value", &[estimate.value], &[Estimate::of_log_weights(&all).value], 1e-12);
    }
    let squares: Vec<_> = standardised.iter().map(|z| z * z).collect();
    common::assert_mean("the square of the standardised error", &squares, 49.0 / 47.0);
}

/// What is quoted of log Z is what is known best: the bridge, or the middle of both sides, whose error is no less than half of what is between.
#[test]
fn log_z_is_quoted_as_it_is_known_best() {
    let of = |value: f64, error: f64| {
        Some(Estimate { value, error, effective_samples: 10.0, samples: 100 })
    };
    let found = |forward, bridge, reverse| {
        AisEstimates { forward, bridge, reverse, ..AisEstimates::default() }.best()
    };
    assert_eq!(found(of(1.0, 0.1), of(2.0, 0.05), of(3.0, 0.1)), Some([2.0, 0.05]));
    // The sides are near each other: their errors, together and halved.
    assert_eq!(found(of(1.0, 0.03), of(2.0, 0.5), of(1.01, 0.04)), Some([1.005, 0.025]));
    // They are not.
    assert_eq!(found(of(1.0, 0.001), of(2.0, 2.0), of(3.0, 0.001)), Some([2.0, 1.0]));
    assert_eq!(found(of(1.0, 0.1), None, None), None);
    assert_eq!(found(of(1.0, 0.1), of(2.0, 0.3), None), Some([2.0, 0.3]));
    assert_eq!(found(of(f64::NAN, 0.1), of(2.0, 0.3), of(2.0, 0.1)), Some([2.0, 0.3]));
    assert_eq!(found(None, of(2.0, f64::INFINITY), None), None);
}
