//! Hopfield networks beside exact chances, the theory of their capacity, and what energies may not do.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::hopfield::{
    Hopfield, RecallEnd, Rule, Updates, disturbed, overlap, overlap_in_theory, random_patterns,
};
use candle_core::{DType, Device};
use rbm_core::Rng;
use rbm_core::estimate::log_partition;

fn word(seed: u64, k: u64) -> u64 {
    let z = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Three patterns of twelve units; their energies, the ground state and the partition function by going through all states.
#[test]
fn a_small_network_has_its_energies_and_partition_function() {
    let sign = |k: u64| if word(41, k) >> 63 == 1 { 1.0 } else { -1.0 };
    let patterns: Vec<Vec<f64>> =
        (0..3).map(|mu| (0..12).map(|i| sign(12 * mu + i)).collect()).collect();
    let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
    for (pattern, energy) in patterns.iter().zip([-37.0 / 6.0, -14.0 / 3.0, -6.0]) {
        assert!((network.energy(pattern).unwrap() - energy).abs() < 1e-12);
    }
    let states = (0..4096u32).map(|n| -> Vec<f64> {
        (0..12).map(|i| if n >> i & 1 == 1 { 1.0 } else { -1.0 }).collect()
    });
    let recalls = states.map(|x| network.recall(&x, Updates::Asynchronous, 1).unwrap());
    let stable: Vec<f64> =
        recalls.filter(|r| r.end == RecallEnd::FixedPoint).map(|r| r.energies[0]).collect();
    assert_eq!(stable.len(), 6);
    assert_eq!(stable.iter().filter(|energy| **energy < -6.1).count(), 2);
    for (beta, log_z) in [(0.5, 8.5575972670), (1.0, 9.6247316675), (2.0, 14.4192384411)] {
        let mut graph = network.graph();
        graph.couplings.iter_mut().for_each(|coupling| *coupling *= beta);
        let machine = graph.machine(DType::F64, &Device::Cpu).unwrap();
        assert!((log_partition(&machine).unwrap() - log_z).abs() < 1e-9);
    }
}

/// The chance that a stored bit is unstable, from a binomial distribution: 7.368243e-4 for 1000 units and 100 patterns. Ties keep the bit.
#[test]
fn stored_bits_are_as_unstable_as_the_binomial_says() {
    let (size, count, chance) = (1000, 100, 7.368243e-4);
    let patterns = random_patterns(count, size, &mut Rng::new(1));
    let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
    let changed: usize = patterns
        .iter()
        .map(|pattern| {
            let after = network.recall(pattern, Updates::Synchronous, 1).unwrap();
            after.result().iter().zip(pattern).filter(|(a, b)| a != b).count()
        })
        .sum();
    let expected = (size * count) as f64 * chance;
    // Bits of one network are not independent: five deviations of independent ones.
    assert!((changed as f64 - expected).abs() < 5.0 * expected.sqrt(), "{changed}, {expected}");
}

#[test]
fn the_theory_of_capacity_has_its_numbers() {
    let known = [
        (0.05, 0.9999922281),
        (0.08, 0.9995573816),
        (0.1, 0.9979992663),
        (0.12, 0.9932227318),
        (0.137, 0.9754441294),
    ];
    for (load, m) in known {
        assert!((overlap_in_theory(load).unwrap() - m).abs() < 1e-9, "{load}");
    }
    assert!(overlap_in_theory(0.1379).is_some_and(|m| (m - 0.9675).abs() < 1e-3));
    assert_eq!(overlap_in_theory(0.138), None);
    assert_eq!(overlap_in_theory(0.0), Some(1.0));
}

/// Rows 1, 2 and 4 of Sylvester's matrix of 64: each at −30.5; their mixture, which was never stored, is stable at −22.5.
#[test]
fn mixtures_of_patterns_are_stable_too() {
    let row = |r: u32| -> Vec<f64> {
        (0..64u32)
            .map(|i| if (r & i).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 })
            .collect()
    };
    let patterns = [row(1), row(2), row(4)];
    let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
    let mixture: Vec<f64> =
        (0..64).map(|i| patterns.iter().map(|pattern| pattern[i]).sum::<f64>().signum()).collect();
    for (x, energy) in patterns.iter().map(|x| (x, -30.5)).chain([(&mixture, -22.5)]) {
        let mirrored: Vec<f64> = x.iter().map(|x| -x).collect();
        for x in [x, &mirrored] {
            let recall = network.recall(x, Updates::Asynchronous, 10).unwrap();
            assert_eq!((recall.end, recall.states.len()), (RecallEnd::FixedPoint, 1));
            assert!((recall.energies[0] - energy).abs() < 1e-9);
        }
    }
    assert!(patterns.iter().all(|pattern| overlap(pattern, &mixture) == 0.5));
}

/// One unit at a time the energy never rises; all at once it ends in a fixed point or goes to and fro between two states.
#[test]
fn energies_fall_and_synchronous_updates_end_in_pairs() {
    let mut rng = Rng::new(4);
    let patterns = random_patterns(30, 60, &mut rng);
    let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
    let mut cycles = 0;
    for cue in random_patterns(50, 60, &mut rng) {
        let recall = network.recall(&cue, Updates::Asynchronous, 1000).unwrap();
        assert_eq!(recall.end, RecallEnd::FixedPoint);
        assert!(recall.energies.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9));
        let recall = network.recall(&cue, Updates::Synchronous, 1000).unwrap();
        assert_ne!(recall.end, RecallEnd::Unsettled);
        cycles += usize::from(recall.end == RecallEnd::TwoCycle);
    }
    assert!(cycles > 0);
    // Two units that repel each other, both up: for ever.
    let pair = Hopfield::new(2, vec![0.0, -1.0, -1.0, 0.0]).unwrap();
    assert_eq!(
        pair.recall(&[1.0, 1.0], Updates::Synchronous, 100).unwrap().end,
        RecallEnd::TwoCycle
    );
}

/// Patterns that are alike confuse Hebb's rule, and not the projection.
#[test]
fn the_pseudo_inverse_holds_patterns_that_are_alike() {
    let mut rng = Rng::new(9);
    let mother = random_patterns(1, 100, &mut rng).remove(0);
    let mut patterns: Vec<_> = (0..20).map(|_| disturbed(&mother, 0.15, &mut rng)).collect();
    patterns.push(patterns[0].clone()); // one of them twice
    let held = |rule| {
        let network = Hopfield::store(&patterns, rule).unwrap();
        let is_stable = |x: &&Vec<f64>| {
            network.recall(x, Updates::Asynchronous, 1).unwrap().end == RecallEnd::FixedPoint
        };
        patterns.iter().filter(is_stable).count()
    };
    assert_eq!(held(Rule::PseudoInverse), 21);
    assert!(held(Rule::Hebb) < 5);
}

#[test]
fn what_is_no_pattern_is_refused() {
    assert!(Hopfield::store(&[], Rule::Hebb).is_err());
    assert!(Hopfield::store(&[vec![1.0, 0.5]], Rule::Hebb).is_err());
    assert!(Hopfield::store(&[vec![1.0, 1.0], vec![1.0]], Rule::Hebb).is_err());
    let network = Hopfield::store(&[vec![1.0, -1.0]], Rule::Hebb).unwrap();
    assert!(network.recall(&[1.0], Updates::Asynchronous, 1).is_err());
    assert!(Hopfield::new(2, vec![0.0, 1.0, 2.0, 0.0]).is_err());
    assert!(Hopfield::new(2, vec![1.0, 1.0, 1.0, 0.0]).is_err());
    assert!("other".parse::<Rule>().is_err());
}
