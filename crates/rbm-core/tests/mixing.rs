//! The laws of mixing: what is said of chains is what is known of them.
//!
//! What they would catch: a time that is off by a factor of two (1 + 2Σρ or ½ + Σρ), a window that never closes or closes at
//! once, chains that stay apart and yet count as mixed, halves that are compared with their own chain alone, traces that
//! grow without end or change what they follow.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{assert_close, bernoulli, parameter_bits, patterns};
use rbm_core::sampling::mixing::{Traces, autocorrelation_time, effective_sample_size, r_hat};
use rbm_core::{
    NegativePhase, Persistent, Phase, Rbm, Rng, State, Stateful, TemperedPersistent, ops,
};

/// `count` stationary chains x ← φ·x + √(1 − φ²)·noise.
fn autoregressive(phi: f64, count: usize, length: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Rng::new(seed);
    let mut normal =
        || common::flat(&ops::normal(length, DType::F64, &Device::Cpu, &mut rng).unwrap());
    let chain = |noise: Vec<f64>| {
        let mut x = noise[0];
        let step = |noise: &f64| {
            x = phi * x + (1.0 - phi * phi).sqrt() * noise;
            x
        };
        noise.iter().map(step).collect()
    };
    (0..count).map(|_| chain(normal())).collect()
}

/// τ = (1 + φ)/(1 − φ). Its standard error with a window of M lags is τ·√(2(2M + 1)/n) (Madras and Sokal 1988), and the
/// window leaves out 2·φ^(M + 1)/(1 − φ).
#[test]
fn the_time_of_an_autoregressive_chain_is_known() {
    for (i, phi) in [0.0, 0.5, 0.9, -0.5].into_iter().enumerate() {
        let exact = (1.0 + phi) / (1.0 - phi);
        let (count, length) = (4, 100_000);
        let found = autoregressive(phi, count, length, i as u64 + 1);
        let time = autocorrelation_time(&found).unwrap().unwrap();
        let window = (5.0 * exact).max(1.0);
        let n = (count * length) as f64;
        let tolerance = 4.0 * exact.max(1.0) * (2.0 * (2.0 * window + 1.0) / n).sqrt()
            + 2.0 * f64::abs(phi).powf(window) / (1.0 - phi);
        assert!((time - exact).abs() < tolerance, "φ = {phi}: {time}, not {exact} ± {tolerance}");
        let effective = effective_sample_size(&found).unwrap().unwrap();
        assert_close("effective", &[effective], &[n / time], 1e-12);
    }
}

/// Of chains that remember longer than a window of lags, and of chains that stay apart: neither takes time as the square of the length, in which
/// this would go on for hours.
#[test]
fn long_memories_are_known_too() {
    let phi = 0.99;
    let exact = (1.0 + phi) / (1.0 - phi);
    let (count, length) = (8, 100_000);
    let mut chains = autoregressive(phi, count, length, 5);
    let time = autocorrelation_time(&chains).unwrap().unwrap();
    let n = (count * length) as f64;
    let tolerance = 4.0 * exact * (2.0 * (10.0 * exact + 1.0) / n).sqrt() + 0.02 * exact;
    assert!((time - exact).abs() < tolerance, "{time}, not {exact} ± {tolerance}");
    chains[3].iter_mut().for_each(|x| *x += 100.0);
    let stuck = autocorrelation_time(&chains).unwrap().unwrap();
    assert!(stuck > 0.1 * length as f64, "{stuck}");
}

/// By hand: halves 1 2 | 3 6 and 1 1 | 2 2, means 1.5 4.5 1 2 with variance 2.4166…, variances within 0.5 4.5 0 0.
#[test]
fn r_hat_is_what_its_definition_says() {
    let chains = [vec![1.0, 2.0, 3.0, 6.0], vec![1.0, 1.0, 2.0, 2.0]];
    let between = [-0.75f64, 2.25, -1.25, -0.25].iter().map(|x| x * x).sum::<f64>() / 3.0;
    let expected = (0.5 + between / 1.25).sqrt();
    assert_close("R̂", &[r_hat(&chains).unwrap().unwrap()], &[expected], 1e-14);
    // Of an odd length the middle is left out.
    let odd = [vec![1.0, 2.0, 9.0, 3.0, 6.0], vec![1.0, 1.0, 9.0, 2.0, 2.0]];
    assert_close("odd", &[r_hat(&odd).unwrap().unwrap()], &[expected], 1e-14);
    assert_eq!(r_hat(&[vec![2.0; 8], vec![2.0; 8]]).unwrap(), None);
    assert_eq!(r_hat(&[vec![2.0; 8], vec![3.0; 8]]).unwrap(), Some(f64::INFINITY));
    assert_eq!(autocorrelation_time(&[vec![2.0; 8]]).unwrap(), None);
    for unequal in [&[][..], &[vec![1.0; 8], vec![1.0; 7]], &[vec![1.0; 3]]] {
        assert!(r_hat(unequal).is_err());
    }
}

/// Of n independent values a half the means vary by 1/n; R̂² is 1 with a standard deviation of √(2/(m − 1))/n for m halves.
#[test]
fn r_hat_tells_chains_that_mix_from_chains_that_do_not() {
    let mut chains = autoregressive(0.0, 16, 2000, 7);
    let (n, m) = (1000.0, 32.0);
    let mixed = r_hat(&chains).unwrap().unwrap().powi(2);
    let error = (2.0f64 / (m - 1.0)).sqrt() / n;
    assert!((mixed - 1.0).abs() < 4.0 * error, "{mixed} ± {error}");
    // A drift that all share is a difference between halves.
    let drifting: Vec<Vec<f64>> = chains
        .iter()
        .map(|c| c.iter().enumerate().map(|(i, x)| x + i as f64 / 1000.0).collect())
        .collect();
    assert!(r_hat(&drifting).unwrap().unwrap() > 1.1);
    // One of sixteen stays two deviations apart.
    chains[5].iter_mut().for_each(|x| *x += 2.0);
    assert!(r_hat(&chains).unwrap().unwrap() > 1.1);
    let time = autocorrelation_time(&chains).unwrap().unwrap();
    assert!(time > 100.0, "chains that stay apart remember: {time}");
}

/// Two patterns that a strong unit keeps apart, each as likely: Gibbs chains stay where they begin.
fn two_valleys(units: usize, strength: f64) -> Rbm {
    let weights = vec![vec![strength]; units];
    let hidden = [-strength * units as f64 / 2.0];
    bernoulli(&weights, &vec![-strength / 2.0; units], &hidden, DType::F32)
}

/// One case in each.
fn both(rbm: &Rbm) -> Phase {
    let units = rbm.visible().units().width();
    let cases = format!("{} {}", "1".repeat(units), "0".repeat(units));
    Phase::of(rbm, &patterns(&cases, DType::F32)).unwrap()
}

#[test]
fn traces_tell_chains_that_are_stuck() {
    for (strength, is_stuck) in [(0.5, false), (6.0, true)] {
        let rbm = two_valleys(8, strength);
        let positive = both(&rbm);
        let (mut persistent, mut rng) = (Persistent::new(1, 20), Rng::new(8));
        assert_eq!(persistent.mixing().unwrap(), None, "nothing is known yet");
        (0..1200).for_each(|_| drop(persistent.fantasy(&rbm, &positive, &mut rng).unwrap()));
        let mixing = persistent.mixing().unwrap().unwrap();
        assert_eq!(mixing.left_equilibrium, is_stuck, "{strength}: {mixing:?}");
        assert_eq!(mixing.r_hat.unwrap() > 1.1, is_stuck);
        let time = mixing.autocorrelation_time.unwrap();
        assert!((time > 100.0) == is_stuck, "{strength}: {time} updates");
    }
}

/// Where Gibbs chains are stuck, replicas on a ladder that is fine enough are not: half of them are in each valley. A ladder of
/// two levels, over which nothing can jump, says so.
#[test]
fn tempering_goes_where_chains_are_stuck() {
    let rbm = two_valleys(40, 3.0);
    let positive = both(&rbm);
    for (levels, is_left) in [(None, false), (Some(2), true)] {
        let (mut tempered, mut rng) = (TemperedPersistent::new(1, 40, levels), Rng::new(11));
        let mut shares = vec![0.0; 40];
        for round in 0..2000 {
            let fantasy = tempered.fantasy(&rbm, &positive, &mut rng).unwrap();
            if round >= 500 {
                let up = common::rows(&fantasy.visible);
                shares.iter_mut().zip(up).for_each(|(share, v)| *share += v[0] / 1500.0);
            }
        }
        let mixing = tempered.mixing().unwrap().unwrap();
        assert_eq!(mixing.left_equilibrium, is_left, "{levels:?} levels: {mixing:?}");
        if !is_left {
            // The valleys' shares; a unit that is off in the upper one is as rare as one that is on in the lower one.
            common::assert_mean("the upper valley", &shares, 0.5);
            assert!(mixing.round_trips.unwrap() > 40, "{mixing:?}");
        }
    }
}

/// The machine moves, and all its chains' free energies with it: that alone is no reason for a warning.
#[test]
fn a_drift_in_common_is_left_out() {
    let rbm = two_valleys(8, 0.5);
    let bias = rbm.hidden().vars()[0].1;
    let (mut traces, mut persistent, mut rng) =
        (Traces::default(), Persistent::new(3, 20), Rng::new(9));
    let positive = both(&rbm);
    for _ in 0..1100 {
        bias.set(&(bias.as_detached_tensor() + 0.02).unwrap()).unwrap();
        let fantasy = persistent.fantasy(&rbm, &positive, &mut rng).unwrap();
        traces.follow(&rbm, &fantasy.visible, &fantasy.hidden_inputs).unwrap();
    }
    let mixing = traces.report().unwrap().unwrap();
    assert!(!mixing.left_equilibrium, "{mixing:?}");
}

/// Looking draws nothing, is bounded, and goes on to the bit from its state.
#[test]
fn traces_change_nothing_and_are_bounded() {
    let rbm = two_valleys(8, 1.0);
    let before = parameter_bits(&rbm);
    let positive = Phase::of(&rbm, &patterns("11110000 00001111 10101010", DType::F32)).unwrap();
    let run = |ask: bool, stop: bool| {
        let (mut persistent, mut rng) = (Persistent::new(1, 40), Rng::new(10));
        let mut last = None;
        for i in 1..=6000 {
            persistent.fantasy(&rbm, &positive, &mut rng).unwrap();
            if ask && i % 1500 == 0 {
                last = persistent.mixing().unwrap();
            }
            if stop && i % 97 == 0 {
                let state: State =
                    persistent.state().into_iter().map(|(k, v)| (k, v.copy().unwrap())).collect();
                persistent = Persistent::new(1, 40);
                persistent.restore(&state).unwrap();
            }
        }
        let sizes: usize = persistent.state().values().map(Tensor::elem_count).sum();
        assert!(sizes < 40 + 3 + 2 * 16 * 64 + 40, "{sizes} numbers are kept");
        (common::bits(&persistent.state.as_ref().unwrap().hidden), rng, last)
    };
    let (whole, never) = (run(true, false), run(false, false));
    assert_eq!((&whole.0, whole.1), (&never.0, never.1));
    assert!(whole.2.is_some());
    assert_eq!(whole, run(true, true));
    assert_eq!(parameter_bits(&rbm), before);
}
