//! The no-drift law: chains that start exactly at the machine's distribution stay there.
//!
//! It would catch: a conditional sampled with the wrong inputs (transposed or stale), a sampler of the wrong noise, a
//! hidden sample that is reused where a fresh one is due, a mean in place of a sample. TemperingProgress still is stationary too:
//! therefore the second law, that chains started elsewhere move as the transition matrix says.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;

use candle_core::{DType, Tensor};
use common::{
    CONTINUOUS, DISCRETE, Plain, assert_mean, binary, column, log_sum_exp, machine, matrix, pairs,
    rows, support,
};
use rbm_core::learning::negative::ChainState;
use rbm_core::sampling::VisibleStep;
use rbm_core::{
    ContrastiveDivergence, FastPersistent, Gibbs, Gradient, Kernel, NegativePhase, Persistent,
    Phase, Rbm, Rng, Stateful, TemperedPersistent,
};

const CHAINS: usize = 100_000;

/// A generator that has nothing to do with the crate's (Steele, Lea, Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) >> 11) as f64 / 2f64.powi(53)
    }

    /// An index drawn from `probabilities` by inverting their cumulated sum.
    fn index(&mut self, probabilities: &[f64]) -> usize {
        let mut left = self.uniform();
        let below = |p: &f64| {
            left -= p;
            left < 0.0
        };
        probabilities.iter().position(below).unwrap_or(probabilities.len() - 1)
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Binary rows drawn from the distribution `p` over [`binary`].
fn exact_sample(p: &[f64], seed: u64) -> Tensor {
    sample_of(&binary(p.len().ilog2() as usize), p, CHAINS, seed)
}

/// `count` rows of `all` drawn with the probabilities `p`.
fn sample_of(all: &[Vec<f64>], p: &[f64], count: usize, seed: u64) -> Tensor {
    let mut random = SplitMix(seed);
    let drawn: Vec<_> = (0..count).map(|_| all[random.index(p)].clone()).collect();
    matrix(&drawn, DType::F32)
}

/// The total variation between binary rows and `p`, in units of its Monte-Carlo floor Σ√(p(1−p)/n)/2. The expected
/// value for exact samples is √(2/π) = 0.8 with a spread well below one.
fn drift(x: &Tensor, p: &[f64]) -> f64 {
    drift_over(&binary(p.len().ilog2() as usize), x, p)
}

/// [`drift`] of rows that are among `all`, whose probabilities are `p`.
fn drift_over(all: &[Vec<f64>], x: &Tensor, p: &[f64]) -> f64 {
    let key = |row: &[f64]| row.iter().map(|x| *x as i32).collect::<Vec<_>>();
    let place: HashMap<_, _> = all.iter().enumerate().map(|(i, row)| (key(row), i)).collect();
    let mut counts = vec![0.0; p.len()];
    for row in rows(x) {
        counts[place[&key(&row)]] += 1.0;
    }
    let n = counts.iter().sum::<f64>();
    let distance: f64 = counts.iter().zip(p).map(|(c, p)| (c / n - p).abs()).sum();
    distance / p.iter().map(|p| (p * (1.0 - p) / n).sqrt()).sum::<f64>()
}

const LIMIT: f64 = 4.0;

#[test]
fn chains_at_the_distribution_stay_there() {
    for hidden in ["bernoulli:3", "gaussian:3", "gaussian-learned:3"] {
        let rbm = machine("bernoulli:4", hidden, DType::F32, 1);
        let p = Plain::of(&rbm).visible_probabilities();
        let (gibbs, mut rng) = (Gibbs::default(), Rng::new(2));
        let mut chains = gibbs.init(&rbm, exact_sample(&p, 3), &mut rng).unwrap();
        for step in 1..=5 {
            gibbs.step(&rbm, &mut chains, &mut rng).unwrap();
            let drift = drift(&chains.visible, &p);
            assert!(drift < LIMIT, "{hidden}, step {step}: drift {drift}");
        }
    }
}

/// Every discrete kind below every kind that can stand above it. Parameters are halved, so that chains do not stick.
#[test]
fn chains_of_every_discrete_pair_stay_at_the_distribution() {
    for (visible, hidden) in pairs(&DISCRETE, &[&DISCRETE[..], &CONTINUOUS].concat()) {
        let rbm = mild(visible, hidden, 21);
        let all = support(&rbm.visible().units());
        let p = Plain::of(&rbm).probabilities(&all);
        let (gibbs, mut rng) = (Gibbs::default(), Rng::new(22));
        let start = sample_of(&all, &p, CHAINS / 5, 23);
        let mut chains = gibbs.init(&rbm, start, &mut rng).unwrap();
        for step in 0..=3 {
            let drift = drift_over(&all, &chains.visible, &p);
            assert!(drift < LIMIT, "{visible} and {hidden}, step {step}: drift {drift}");
            gibbs.step(&rbm, &mut chains, &mut rng).unwrap();
        }
    }
}

/// A machine whose biases and weights are halved, so that chains do not stick.
fn mild(visible: &str, hidden: &str, seed: u64) -> Rbm {
    let rbm = machine(visible, hidden, DType::F32, seed);
    for (_, var) in rbm.parameters().iter().filter(|(name, _)| !name.ends_with("precision")) {
        var.set(&(var.as_detached_tensor() * 0.5).unwrap()).unwrap();
    }
    rbm
}

/// Continuous units below discrete ones: the hidden units' distribution, and the first two moments of each visible unit,
/// whose exact values are derivatives of the oracle's cumulant generating function. Central differences of step 1e-3 err
/// by 1e-6, a thousandth of the standard error.
#[test]
fn chains_of_continuous_units_below_discrete_ones_stay_too() {
    const H: f64 = 1e-3;
    for (visible, hidden) in pairs(&CONTINUOUS, &DISCRETE) {
        let rbm = mild(visible, hidden, 24);
        let mirror = Plain::of(&rbm).mirror();
        let all = support(&rbm.hidden().units());
        let p = mirror.probabilities(&all);
        let moments = |i: usize| -> (f64, f64) {
            let of = |h: &Vec<f64>| {
                let inputs = mirror.hidden_inputs(h);
                let cgf = |by: f64| {
                    let mut inputs = inputs.clone();
                    inputs[i] += by;
                    mirror.hidden.cgf(&inputs)
                };
                let [low, middle, high] = [-H, 0.0, H].map(cgf);
                let mean = (high - low) / (2.0 * H);
                (mean, (high - 2.0 * middle + low) / (H * H) + mean * mean)
            };
            let weighted = p.iter().zip(&all).map(|(p, h)| (p, of(h)));
            weighted.fold((0.0, 0.0), |sum, (p, of)| (sum.0 + p * of.0, sum.1 + p * of.1))
        };
        let exact: Vec<_> = (0..2).map(moments).collect();
        let (gibbs, mut rng) = (Gibbs::default(), Rng::new(25));
        let start = sample_of(&all, &p, CHAINS / 5, 26);
        let mut chains = gibbs.step_from(&rbm, &start, &mut rng).unwrap();
        for step in 0..=3 {
            let what = format!("{visible} and {hidden}, step {step}");
            let drift = drift_over(&all, &chains.hidden, &p);
            assert!(drift < LIMIT, "{what}: drift {drift}");
            for (i, (mean, square)) in exact.iter().enumerate() {
                let v = column(&chains.visible, i);
                assert_mean(&what, &v, *mean);
                assert_mean(&what, &v.iter().map(|v| v * v).collect::<Vec<_>>(), *square);
            }
            gibbs.step(&rbm, &mut chains, &mut rng).unwrap();
        }
    }
}

/// Continuous units on both sides, one of each. Chains start on a grid of step 1/256 with the weights exp(−F): where the
/// density is smooth that errs by far less than the standard error of 1/300.
#[test]
fn chains_of_continuous_pairs_stay_too() {
    const ONE: [&str; 3] = ["gaussian:1", "gaussian-learned:1", "relu:1"];
    for (visible, hidden) in pairs(&ONE, &ONE) {
        let rbm = mild(visible, hidden, 27);
        let weight = rbm.weights().affine(0.0, 0.4).unwrap();
        rbm.weights().set(&weight).unwrap();
        let plain = Plain::of(&rbm);
        // The middles of cells, so that half of none lies below zero.
        let low = if visible == "relu:1" { 0 } else { -4096 };
        let grid: Vec<_> = (low..4096).map(|i| vec![(f64::from(i) + 0.5) / 256.0]).collect();
        let p = plain.probabilities(&grid);
        let exact = |power| p.iter().zip(&grid).map(|(p, v)| p * v[0].powi(power)).sum::<f64>();
        let (gibbs, mut rng) = (Gibbs::default(), Rng::new(28));
        let mut chains = gibbs.init(&rbm, sample_of(&grid, &p, CHAINS, 29), &mut rng).unwrap();
        for step in 0..=3 {
            let v = column(&chains.visible, 0);
            for power in 1..=3 {
                let what = format!("{visible} and {hidden}, step {step}: E[v^{power}]");
                let powers: Vec<_> = v.iter().map(|v| v.powi(power)).collect();
                assert_mean(&what, &powers, exact(power));
            }
            gibbs.step(&rbm, &mut chains, &mut rng).unwrap();
        }
    }
}

/// E[v] and E[v²] of the exact mixture over h, and the hidden units' own distribution.
#[test]
fn gaussian_chains_at_the_distribution_stay_there() {
    for visible in ["gaussian:3", "gaussian-learned:3"] {
        let rbm = machine(visible, "bernoulli:4", DType::F32, 4);
        let mirror = Plain::of(&rbm).mirror();
        let p = mirror.visible_probabilities();
        let precision = mirror.hidden.precision.clone().unwrap();
        let mean = |h: &Vec<f64>| -> Vec<f64> {
            let fields = mirror.hidden_inputs(h).into_iter().zip(&mirror.hidden.bias);
            fields.zip(&precision).map(|((i, b), precision)| (i + b) / precision).collect()
        };
        let means: Vec<_> = binary(4).iter().map(mean).collect();
        let mut random = SplitMix(5);
        let start: Vec<Vec<f64>> = (0..CHAINS)
            .map(|_| {
                let mean = &means[random.index(&p)];
                let unit = |(m, g): (&f64, &f64)| m + random.normal() / g.sqrt();
                mean.iter().zip(&precision).map(unit).collect()
            })
            .collect();
        let (gibbs, mut rng) = (Gibbs::default(), Rng::new(6));
        let mut chains = gibbs.init(&rbm, matrix(&start, DType::F32), &mut rng).unwrap();
        for step in 0..=5 {
            let drift = drift(&chains.hidden, &p);
            assert!(drift < LIMIT, "{visible}, step {step}: drift {drift} of the hidden units");
            for i in 0..3 {
                let exact = |f: &dyn Fn(f64) -> f64| -> f64 {
                    p.iter().zip(&means).map(|(p, mean)| p * f(mean[i])).sum()
                };
                let v = column(&chains.visible, i);
                let squares: Vec<_> = v.iter().map(|v| v * v).collect();
                let what = format!("{visible}, step {step}, unit {i}");
                assert_mean(&what, &v, exact(&|m| m));
                assert_mean(&what, &squares, exact(&|m| m * m + 1.0 / precision[i]));
            }
            gibbs.step(&rbm, &mut chains, &mut rng).unwrap();
        }
    }
}

/// p(v′) after one step from the distribution `p`, by the loops Σ_v Σ_h p(v)·p(h | v)·p(v′ | h).
fn stepped(plain: &Plain, p: &[f64]) -> Vec<f64> {
    let conditionals = |plain: &Plain, given: &[f64]| -> Vec<f64> {
        let field = plain.hidden_inputs(given).into_iter().zip(&plain.hidden.bias);
        let on: Vec<f64> = field.map(|(i, b)| 1.0 / (1.0 + (-i - b).exp())).collect();
        let unit = |(x, on): (&f64, &f64)| if *x == 1.0 { *on } else { 1.0 - on };
        binary(on.len()).iter().map(|x| x.iter().zip(&on).map(unit).product()).collect()
    };
    let through = |plain: &Plain, p: &[f64], given: &[Vec<f64>]| -> Vec<f64> {
        let mut next = vec![0.0; 1 << plain.hidden.bias.len()];
        for (p, given) in p.iter().zip(given) {
            next.iter_mut().zip(conditionals(plain, given)).for_each(|(next, q)| *next += p * q);
        }
        next
    };
    let (visible, hidden) = (plain.visible.bias.len(), plain.hidden.bias.len());
    let hidden_p = through(plain, p, &binary(visible));
    through(&plain.mirror(), &hidden_p, &binary(hidden))
}

/// All chains start at 0000: after each step they are distributed as the transition matrix says.
#[test]
fn chains_from_elsewhere_move_as_the_transition_matrix_says() {
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 1);
    let plain = Plain::of(&rbm);
    let (gibbs, mut rng) = (Gibbs::default(), Rng::new(7));
    let mut p = vec![0.0; 16];
    p[0] = 1.0;
    let start = Tensor::zeros((CHAINS, 4), DType::F32, rbm.device()).unwrap();
    let mut chains = gibbs.init(&rbm, start, &mut rng).unwrap();
    for step in 1..=3 {
        p = stepped(&plain, &p);
        gibbs.step(&rbm, &mut chains, &mut rng).unwrap();
        let drift = drift(&chains.visible, &p);
        assert!(drift < LIMIT, "step {step}: drift {drift}");
    }
    let stationary = plain.visible_probabilities();
    common::assert_close("stationary", &stepped(&plain, &stationary), &stationary, 1e-12);
}

/// A chain's parts belong together: the inputs are those of its visible units, its hidden units a sample given them.
#[test]
fn the_joint_distribution_of_a_chain_is_exact() {
    let rbm = machine("bernoulli:3", "bernoulli:2", DType::F32, 8);
    let plain = Plain::of(&rbm);
    let pairs = binary(5).into_iter().map(|x| -plain.energy(&x[..3], &x[3..]));
    let weights: Vec<_> = pairs.collect();
    let log_z = log_sum_exp(&weights);
    let joint: Vec<_> = weights.into_iter().map(|w| (w - log_z).exp()).collect();
    let (gibbs, mut rng) = (Gibbs::default(), Rng::new(9));
    let start = exact_sample(&plain.visible_probabilities(), 10);
    let mut chains = gibbs.init(&rbm, start, &mut rng).unwrap();
    for step in 0..=3 {
        let both = Tensor::cat(&[&chains.visible, &chains.hidden], 1).unwrap();
        let drift = drift(&both, &joint);
        assert!(drift < LIMIT, "step {step}: drift {drift}");
        let inputs = rbm.hidden_inputs(&chains.visible).unwrap();
        assert_eq!(common::bits(&inputs), common::bits(&chains.hidden_inputs));
        gibbs.step(&rbm, &mut chains, &mut rng).unwrap();
    }
}

/// Fantasies of data that are the machine's own distribution are the machine's own distribution.
#[test]
fn fantasies_stay_at_the_distribution() {
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 11);
    let p = Plain::of(&rbm).visible_probabilities();
    let positive = Phase::of(&rbm, &exact_sample(&p, 12)).unwrap();
    let mut rng = Rng::new(13);
    let mut phases: Vec<Box<dyn NegativePhase>> = vec![
        Box::new(ContrastiveDivergence::new(1)),
        Box::new(ContrastiveDivergence::new(3)),
        Box::new(Persistent::new(1, None)),
        Box::new(Persistent::new(2, CHAINS / 2)),
        Box::new(FastPersistent::new(2, None, 0.1)),
    ];
    for (i, phase) in phases.iter_mut().enumerate() {
        for round in 0..3 {
            let fantasy = phase.fantasy(&rbm, &positive, &mut rng).unwrap();
            let drift = drift(&fantasy.visible, &p);
            assert!(drift < LIMIT, "negative phase {i}, round {round}: drift {drift}");
        }
    }
}

/// Replicas find the distribution by themselves, whatever the data are; the ladder is spaced anew while they do.
#[test]
fn tempered_fantasies_come_to_the_distribution() {
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 21);
    let p = Plain::of(&rbm).visible_probabilities();
    let few = Phase::of(&rbm, &common::patterns("1010 0110", DType::F32)).unwrap();
    for levels in [None, Some(4)] {
        let (mut phase, mut rng) = (TemperedPersistent::new(1, CHAINS / 20, levels), Rng::new(22));
        for round in 0..=201 {
            let fantasy = phase.fantasy(&rbm, &few, &mut rng).unwrap();
            if round >= 100 && round % 20 < 2 {
                let drift = drift(&fantasy.visible, &p);
                assert!(drift < LIMIT, "{levels:?} levels, round {round}: drift {drift}");
                let inputs = rbm.hidden_inputs(&fantasy.visible).unwrap();
                assert_eq!(common::bits(&inputs), common::bits(&fantasy.hidden_inputs));
            }
        }
        let mixing = phase.mixing().unwrap().unwrap();
        let acceptance = mixing.swap_acceptance.clone().unwrap();
        assert_eq!(acceptance.len() + 1, phase.ladder().unwrap().len());
        assert!(
            mixing.round_trips.unwrap() > CHAINS / 20 && !mixing.left_equilibrium,
            "{mixing:?}"
        );
        if levels.is_none() {
            // Two levels cannot be fewer: one gap is accepted as often as it is.
            assert!(acceptance.len() == 1 || acceptance.iter().all(|a| *a > 0.3), "{acceptance:?}");
        }
    }
}

/// With fast weights the chains are those of the machine with the fast parts added, which are by hand: decay·fast +
/// rate·gradient, without the penalty; its fantasies' hidden inputs are the machine's own.
#[test]
fn fast_chains_stay_at_the_distribution_with_the_fast_weights() {
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 16);
    let sum = machine("bernoulli:4", "bernoulli:3", DType::F32, 16);
    let other = machine("bernoulli:4", "bernoulli:3", DType::F32, 17);
    let mut gradient = Gradient {
        couplings: vec![other.weights().as_detached_tensor().into()],
        visible: vec![other.visible().vars()[0].1.as_detached_tensor()],
        hidden: vec![other.hidden().vars()[0].1.as_detached_tensor()],
    };
    gradient.couplings[0].penalty.l2 = 9.0;
    let new = || {
        let mut fast = FastPersistent::new(1, None, 0.4);
        fast.decay = 0.5;
        fast
    };
    let mut fast = new();
    let few = Phase::of(&rbm, &common::patterns("1010 0110", DType::F32)).unwrap();
    fast.fantasy(&rbm, &few, &mut Rng::new(18)).unwrap();
    fast.after_step(&rbm, &gradient, &mut Rng::new(0)).unwrap();
    fast.after_step(&rbm, &gradient, &mut Rng::new(0)).unwrap();
    for ((_, to), (_, from)) in sum.parameters().into_iter().zip(other.parameters()) {
        let part = (from.as_detached_tensor() * (0.4 * 0.5 + 0.4)).unwrap();
        to.set(&(to.as_detached_tensor() + part).unwrap()).unwrap();
    }
    let p = Plain::of(&sum).visible_probabilities();
    let apart: f64 =
        p.iter().zip(Plain::of(&rbm).visible_probabilities()).map(|(p, q)| (p - q).abs()).sum();
    assert!(apart > 0.1, "the fast weights make no difference: {apart}");
    let mut rng = Rng::new(19);
    let start = exact_sample(&p, 20);
    let hidden = sum.sample_hidden(&start, &mut rng).unwrap();
    fast.state = Some(ChainState { hidden, visible: None });
    let state = fast.state();
    let mut copy = new();
    copy.restore(&state).unwrap();
    let mut again = rng;
    for round in 0..3 {
        let fantasy = fast.fantasy(&rbm, &few, &mut rng).unwrap();
        let drift = drift(&fantasy.visible, &p);
        assert!(drift < LIMIT, "round {round}: drift {drift}");
        let inputs = rbm.hidden_inputs(&fantasy.visible).unwrap();
        assert_eq!(common::bits(&inputs), common::bits(&fantasy.hidden_inputs));
        let restored = copy.fantasy(&rbm, &few, &mut again).unwrap();
        assert_eq!(common::bits(&restored.visible), common::bits(&fantasy.visible));
    }
}

/// The hidden units are binary whichever way the visible ones are set, so the same measure serves both: these tests can
/// fail.
#[test]
fn chains_of_means_do_drift() {
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 1);
    let plain = Plain::of(&rbm);
    let p = plain.mirror().visible_probabilities();
    for (visible, stays) in [(VisibleStep::Sample, true), (VisibleStep::Mean, false)] {
        let (gibbs, mut rng) = (Gibbs { visible }, Rng::new(14));
        let start = exact_sample(&plain.visible_probabilities(), 15);
        let mut chains = gibbs.init(&rbm, start, &mut rng).unwrap();
        for _ in 0..5 {
            gibbs.step(&rbm, &mut chains, &mut rng).unwrap();
        }
        let drift = drift(&chains.hidden, &p);
        assert_eq!(drift < LIMIT, stays, "{visible:?}: drift {drift}");
    }
}
