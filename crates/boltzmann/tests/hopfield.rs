//! Hopfield networks beside exact chances, the theory of their capacity, and what energies may not do.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::hopfield::{
    Hopfield, RecallEnd, Rule, Updates, disturbed, overlap, overlap_in_theory, random_patterns,
};
use candle_core::{DType, Device, Tensor};
use rbm_core::estimate::log_partition;
use rbm_core::model::Boltzmann;
use rbm_core::sampling::GraphChains;
use rbm_core::stats::mean_and_error;
use rbm_core::{Rbm, Rng};

fn word(seed: u64, k: u64) -> u64 {
    let z = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Three patterns of twelve units.
fn three_patterns() -> Vec<Vec<f64>> {
    let sign = |k: u64| if word(41, k) >> 63 == 1 { 1.0 } else { -1.0 };
    (0..3).map(|mu| (0..12).map(|i| sign(12 * mu + i)).collect()).collect()
}

/// The energies of the patterns, the ground state and the partition function by going through all states.
#[test]
fn a_small_network_has_its_energies_and_partition_function() {
    let patterns = three_patterns();
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

/// A network is a restricted machine of spins and a Gaussian unit for each pattern, whose weights are √(β/N) times the patterns. Its log Z is larger by
/// the diagonal of W, βp/2, and by what Gaussian units have alone, ½·log 2π each.
#[test]
fn a_network_is_a_restricted_machine_with_gaussian_units() {
    let patterns = three_patterns();
    let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
    for (beta, log_z) in [(0.5, 12.0644128666), (1.0, 13.8815472672), (2.0, 20.1760540407)] {
        let [spins, gaussian] = ["spin:12", "gaussian:3"].map(|units| units.parse().unwrap());
        let rbm = Rbm::new(&spins, &gaussian, DType::F64, &Device::Cpu).unwrap();
        let rows = Tensor::new(patterns.clone(), &Device::Cpu).unwrap();
        let weights = (rows.t().unwrap() * f64::sqrt(beta / 12.0)).unwrap().contiguous().unwrap();
        rbm.weights().set(&weights).unwrap();
        let found = log_partition(&rbm).unwrap();
        assert!((found - log_z).abs() < 1e-9, "{beta}: {found}");
        let mut graph = network.graph();
        graph.couplings.iter_mut().for_each(|coupling| *coupling *= beta);
        let lateral = log_partition(&graph.machine(DType::F64, &Device::Cpu).unwrap()).unwrap();
        let more = 1.5 * beta + 1.5 * std::f64::consts::TAU.ln();
        assert!((found - lateral - more).abs() < 1e-9, "{beta}: {found}, {lateral}");
    }
}

/// The chance that a stored bit is unstable. Its crosstalk with the other patterns is a sum of (N − 1)·(p − 1) independent signs, which turns it over
/// where it is below −(N − 1), the part of the pattern itself; where both are as strong the bit stays.
fn chance_of_an_unstable_bit(size: usize, count: usize) -> f64 {
    let throws = (size - 1) * (count - 1);
    let log_factorials: Vec<f64> = (0..=throws)
        .scan(0.0, |sum, i| {
            *sum += (i.max(1) as f64).ln();
            Some(*sum)
        })
        .collect();
    let log_p = |k: usize| {
        let ways = log_factorials[throws] - log_factorials[k] - log_factorials[throws - k];
        ways - throws as f64 * std::f64::consts::LN_2
    };
    (0..(throws - (size - 1)).div_ceil(2)).map(|k| log_p(k).exp()).sum()
}

/// As often as that chance says, from a few units to many and from loads that are held to loads far above what can be: 16 networks of each, of
/// which 20 patterns are looked at. Bits of one network are not independent, so the error is that of the networks' shares.
#[test]
fn stored_bits_are_as_unstable_as_the_binomial_says() {
    const NETWORKS: usize = 16;
    for (size, count, chance) in [
        (100, 10, 3.992072e-4),
        (200, 20, 5.704504e-4),
        (1000, 50, 3.092719e-6),
        (1000, 100, 7.368243e-4),
        (1000, 138, 3.435027e-3),
        (1000, 185, 9.900413e-3),
        (1000, 370, 4.977488e-2),
    ] {
        let exact = chance_of_an_unstable_bit(size, count);
        assert!((exact / chance - 1.0).abs() < 1e-6, "{size}, {count}: {exact}");
        let seen = count.min(20);
        let mut rng = Rng::new(1);
        let share = |_| {
            let patterns = random_patterns(count, size, &mut rng);
            let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
            let recalls = network.recall_all(&patterns[..seen], Updates::Synchronous, 1).unwrap();
            let pairs = recalls.iter().zip(&patterns);
            let changed: usize = pairs
                .map(|(after, x)| after.result().iter().zip(x).filter(|(a, b)| a != b).count())
                .sum();
            changed as f64 / (seen * size) as f64
        };
        let (found, error) = mean_and_error(&(0..NETWORKS).map(share).collect::<Vec<_>>());
        // No less than that of independent bits: of a rare event 16 networks may have seen none.
        let error = error.max((chance / (NETWORKS * seen * size) as f64).sqrt());
        let is_near = (found - chance).abs() < 4.0 * error;
        assert!(is_near, "{size}, {count}: {found} ± {error}, not {chance}");
    }
}

/// Below the capacity nearly all of a pattern is held, above it most patterns are lost: 1000 units that begin at a pattern, one unit at a time until
/// none changes. The known means, with their standard errors, are of another program.
#[test]
fn a_network_forgets_beyond_its_capacity() {
    for (count, known, known_error, known_share) in [
        (100, 0.9982, 0.0002, 1.0),
        (120, 0.9919, 0.0013, 1.0),
        (130, 0.986, 0.004, 0.98),
        (138, 0.938, 0.014, 0.91),
        (150, 0.891, 0.020, 0.79),
        (170, 0.640, 0.029, 0.40f64),
    ] {
        let mut rng = Rng::new(2);
        let held = |_| {
            let patterns = random_patterns(count, 1000, &mut rng);
            let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
            let recalls = network.recall_all(&patterns[..6], Updates::Asynchronous, 500).unwrap();
            assert!(recalls.iter().all(|recall| recall.end == RecallEnd::FixedPoint));
            recalls.iter().zip(&patterns).map(|(r, x)| overlap(r.result(), x)).collect::<Vec<_>>()
        };
        let overlaps: Vec<Vec<f64>> = (0..8).map(held).collect();
        let means: Vec<f64> = overlaps.iter().map(|of| of.iter().sum::<f64>() / 6.0).collect();
        let (found, error) = mean_and_error(&means);
        // How many are held nearly whole: 48 patterns here, 100 there. One that is lost takes others of its network with it.
        let share = overlaps.iter().flatten().filter(|m| **m > 0.9).count() as f64 / 48.0;
        let spread = (known_share * (1.0 - known_share)).max(0.02) * (1.0 / 48.0 + 1.0 / 100.0);
        assert!((share - known_share).abs() < 4.0 * spread.sqrt(), "{count}: {share}");
        let is_near = (found - known).abs() < 4.0 * error.hypot(known_error);
        assert!(is_near, "{count}: {found} ± {error}, not {known} ± {known_error}");
    }
}

#[test]
fn the_theory_of_capacity_has_its_numbers() {
    let known = [
        (0.05, 0.9999922281),
        (0.08, 0.9995573816),
        (0.1, 0.9979992663),
        (0.12, 0.9932227318),
        (0.13, 0.9872118908),
        (0.135, 0.9807913206),
        (0.137, 0.9754441294),
    ];
    for (load, m) in known {
        assert!((overlap_in_theory(load).unwrap() - m).abs() < 1e-9, "{load}");
    }
    // The largest load of which there is a root, and the overlap there.
    assert!(overlap_in_theory(0.1379055).is_some_and(|m| (m - 0.96751).abs() < 1e-4));
    assert_eq!(overlap_in_theory(0.1379056), None);
    assert_eq!(overlap_in_theory(0.0), Some(1.0));
}

/// Rows 1, 2 and 4 of Sylvester's matrix of 64, and their mixture.
fn walsh_patterns() -> ([Vec<f64>; 3], Vec<f64>) {
    let row = |r: u32| -> Vec<f64> {
        (0..64u32)
            .map(|i| if (r & i).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 })
            .collect()
    };
    let patterns = [row(1), row(2), row(4)];
    let mixture =
        (0..64).map(|i| patterns.iter().map(|pattern| pattern[i]).sum::<f64>().signum()).collect();
    (patterns, mixture)
}

/// Each pattern is at −30.5; their mixture, which was never stored, is stable at −22.5.
#[test]
fn mixtures_of_patterns_are_stable_too() {
    let (patterns, mixture) = walsh_patterns();
    let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
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

/// Chains leave it at τ = 0.4, for one of the patterns, and stay where they are at τ = 0.05: 256 chains of 200 sweeps. Another program has all of them at
/// patterns there, and all at the mixture at τ = 0.1.
#[test]
fn chains_leave_mixtures_for_patterns() {
    let (patterns, mixture) = walsh_patterns();
    let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
    let machine = network.graph().machine(DType::F32, &Device::Cpu).unwrap();
    let graph = machine.binary_graph().unwrap().unwrap();
    let start = vec![mixture.iter().map(|x| *x as f32).collect::<Vec<_>>(); 256];
    for (temperature, leaves) in [(0.4, true), (0.05, false)] {
        let mut chains = GraphChains::at(&graph, &start).unwrap();
        chains.sweep(&[1.0 / temperature; 200], &mut Rng::new(0));
        for x in chains.configurations().unwrap().to_vec2::<f32>().unwrap() {
            let x: Vec<f64> = x.into_iter().map(f64::from).collect();
            let nearest =
                patterns.iter().map(|pattern| overlap(&x, pattern).abs()).fold(0.0, f64::max);
            let from_mixture = overlap(&x, &mixture);
            assert_eq!(
                (nearest > 0.8, from_mixture.abs() < 0.75),
                (leaves, leaves),
                "τ = {temperature}"
            );
        }
    }
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

/// Fields of patterns stored by Hebb's rule are whole numbers over N: what whole numbers say of every unit, ties kept, is what it does.
#[test]
fn units_without_a_field_stay() {
    let (size, count) = (100, 10);
    let mut ties = 0;
    for seed in 0..8 {
        let patterns = random_patterns(count, size, &mut Rng::new(seed));
        let network = Hopfield::store(&patterns, Rule::Hebb).unwrap();
        for x in &patterns {
            let whole = |a: &Vec<f64>, b: &Vec<f64>| -> i64 {
                a.iter().zip(b).map(|(a, b)| (a * b) as i64).sum()
            };
            let overlaps: Vec<i64> = patterns.iter().map(|pattern| whole(pattern, x)).collect();
            let after = |unit: usize| {
                let terms = patterns.iter().zip(&overlaps);
                let sum: i64 = terms.map(|(pattern, m)| pattern[unit] as i64 * m).sum();
                match sum - count as i64 * x[unit] as i64 {
                    0 => (x[unit], 1),
                    field => (field.signum() as f64, 0),
                }
            };
            let expected: Vec<_> = (0..size).map(after).collect();
            ties += expected.iter().map(|(_, tie)| tie).sum::<usize>();
            let found = network.recall(x, Updates::Synchronous, 1).unwrap();
            let states: Vec<f64> = expected.into_iter().map(|(state, _)| state).collect();
            assert_eq!(found.result(), states);
        }
    }
    assert!(ties > 0, "nothing was tried");
    // A projection onto all patterns that there can be has no couplings, and holds every one.
    for (count, size) in [(2, 3), (40, 16), (16, 16), (12, 16)] {
        let patterns = random_patterns(count, size, &mut Rng::new(3));
        let network = Hopfield::store(&patterns, Rule::PseudoInverse).unwrap();
        for x in &patterns {
            let found = network.recall(x, Updates::Asynchronous, 5).unwrap();
            assert_eq!(found.result(), x, "{count} of {size}");
        }
    }
}
