//! Lattices beside exact numbers: ground states by transfer matrices, partition functions by Kaufman's formula, averages by counting.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_boltzmann::lattice::{Boundary, ising, plus_minus};
use candle_boltzmann::{Estimate, Graph, MarkovField, Measurement, Start, Walk, exact};
use candle_core::{DType, Device};
use rbm_core::estimate::{AisOptions, BidirectionalAis, TemperingConfig};
use rbm_core::sampling::AnnealingPath;
use rbm_core::sampling::SimulatedAnnealing;
use rbm_core::{Rng, Units};

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

/// ½·ln(1 + √2), where an infinite lattice orders.
const CRITICAL: f64 = 0.44068679350977;

/// The Ising model on a torus: its side, K, log Z, ⟨E⟩/N, the heat capacity a spin.
type Torus = (usize, f64, f64, f64, f64);

/// By Kaufman's formula (1949), which was compared with the full transfer matrix.
const TORI: [Torus; 19] = [
    (4, 0.2, 11.7714703585, -0.456135369543, 0.119546188787),
    (8, 0.2, 47.0101474224, -0.428368058944, 0.097914171980),
    (16, 0.2, 188.039887955983, -0.428228838712, 0.097652199902),
    (4, 0.3, 12.7855233257, -0.844054073624, 0.440992653577),
    (8, 0.3, 50.6093304982, -0.712467372672, 0.311378350384),
    (16, 0.3, 202.38323226254, -0.704532670859, 0.286518996544),
    (4, 0.4, 14.5610930238, -1.37911648226, 0.812515229440),
    (8, 0.4, 56.5993887604, -1.22232064325, 1.100475889360),
    (16, 0.4, 225.228846755876, -1.13131798441, 1.064976882850),
    (4, CRITICAL, 15.5219154588, -1.56562378764, 0.783266825929),
    (8, CRITICAL, 60.1417807891, -1.49158910744, 1.145559239890),
    (16, CRITICAL, 238.642256635133, -1.45306485281, 1.498704959400),
    (32, CRITICAL, 952.648079548543, -1.43365846615, 1.846767590040),
    (4, 0.5, 17.1053671187, -1.75538028878, 0.605532657210),
    (8, 0.5, 66.3445818792, -1.74568317029, 0.714122602855),
    (16, 0.5, 263.296210434021, -1.74553066899, 0.725508767737),
    (4, 0.6, 20.0565328843, -1.90806952783, 0.315553797074),
    (8, 0.6, 78.1416488576, -1.90906742976, 0.313719899046),
    (16, 0.6, 310.487038589865, -1.90908617485, 0.313445457455),
];

/// Of the tori of 4×4 and 8×8, ⟨|m|⟩, ⟨m²⟩ and Binder's cumulant at the same couplings, by transfer matrices.
const ORDER: [(usize, f64, [f64; 3]); 12] = [
    (4, 0.2, [0.3427656276, 0.1751994781, 0.2078597651]),
    (8, 0.2, [0.1696065801, 0.0446732508, 0.0568999266]),
    (4, 0.3, [0.5203580030, 0.3576467969, 0.4120282912]),
    (8, 0.3, [0.2739808143, 0.1115727169, 0.1827128752]),
    (4, 0.4, [0.7647123932, 0.6548257569, 0.5815276591]),
    (8, 0.4, [0.6031289794, 0.4320990786, 0.5241228559]),
    (4, CRITICAL, [0.8438604448, 0.7613589086, 0.6171993184]),
    (8, CRITICAL, [0.7773310928, 0.6469115750, 0.6130453849]),
    (4, 0.5, [0.9189432674, 0.8689216816, 0.6448107912]),
    (8, 0.5, [0.9114522661, 0.8416711846, 0.6546186493]),
    (4, 0.6, [0.9728674502, 0.9528980580, 0.6607535638]),
    (8, 0.6, [0.9735877286, 0.9494241850, 0.6647374993]),
];

fn order_of(side: usize, k: f64) -> [f64; 3] {
    ORDER.iter().find(|(of, at, _)| (*of, *at) == (side, k)).unwrap().2
}

/// All 2¹⁶ configurations of the torus of 4×4. It would catch a bond that is counted twice, or is not there.
#[test]
fn a_small_torus_is_counted() {
    let graph = ising(4, 4).unwrap();
    let mut counts = BTreeMap::<(i32, i32), f64>::new();
    for state in 0..1u32 << 16 {
        let x: Vec<f64> = (0..16).map(|i| f64::from(state >> i & 1) * 2.0 - 1.0).collect();
        let of = (graph.energy(&x).unwrap() as i32, x.iter().sum::<f64>() as i32);
        *counts.entry(of).or_default() += 1.0;
    }
    for (_, k, log_z, energy, heat_capacity) in TORI.into_iter().filter(|torus| torus.0 == 4) {
        let weight = |e: i32| (-k * f64::from(e)).exp();
        let z: f64 = counts.iter().map(|((e, _), count)| count * weight(*e)).sum();
        let mean = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            let terms = counts.iter().map(|((e, m), count)| {
                count * weight(*e) / z * of(f64::from(*e), f64::from(*m) / 16.0)
            });
            terms.sum()
        };
        close(z.ln(), log_z, 1e-9);
        let u = mean(&|e, _| e);
        close(u / 16.0, energy, 1e-10);
        close(k * k * mean(&|e, _| (e - u).powi(2)) / 16.0, heat_capacity, 1e-10);
        let (square, fourth) = (mean(&|_, m| m * m), mean(&|_, m| m.powi(4)));
        let found = [mean(&|_, m| m.abs()), square, 1.0 - fourth / (3.0 * square * square)];
        found.into_iter().zip(order_of(4, k)).for_each(|(found, known)| close(found, known, 1e-9));
    }
}

/// Kaufman's formula and its derivatives. Of 8×8 by elimination too, where ⟨E⟩ comes
/// from the beliefs about pairs.
#[test]
fn tori_have_kaufmans_numbers() {
    let field = MarkovField::of_graph(&ising(8, 8).unwrap()).unwrap();
    for (side, k, log_z, energy, heat_capacity) in TORI {
        close(exact::log_partition(side, side, k).unwrap(), log_z, 1e-9);
        let found = exact::energy_and_heat_capacity(side, side, 1.0 / k).unwrap();
        close(found.0, energy, 1e-10);
        close(found.1, heat_capacity, 1e-8);
        if side == 8 {
            let found = field.infer(1.0 / k, &[]).unwrap();
            close(found.log_partition, log_z, 1e-9);
            let alike = found.cliques.iter().map(|p| p[0] - p[1] - p[2] + p[3]);
            close(-alike.sum::<f64>() / 64.0, energy, 1e-10);
        }
    }
    assert!(exact::log_partition(2, 4, 0.4).is_err() && exact::log_partition(4, 4, 0.0).is_err());
}

/// log Z of a large torus less N times what it is a spin of the infinite lattice (Onsager 1944): nothing where it is disordered, log 2 where there
/// are two phases, and between them log(2^¼ + 2^−½) (Ferdinand and Fisher 1969).
#[test]
fn large_tori_come_to_the_infinite_lattice() {
    let critical = (2f64.powf(0.25) + 0.5f64.sqrt()).ln();
    for (k, a_spin, left, tolerance) in [
        (0.2, 0.734530812276, 0.0, 1e-7),
        (0.4, 0.879363820775, 0.0, 1e-7),
        // The next term is of the order of 1/N.
        (CRITICAL, 0.929695398342, critical, 1e-5),
        (0.5, 1.025792812695, 2f64.ln(), 1e-7),
        (0.6, 1.210132388288, 2f64.ln(), 1e-7),
    ] {
        let log_z = exact::log_partition(256, 256, k).unwrap();
        close(log_z - 65_536.0 * a_spin, left, tolerance);
        let (energy, _) = exact::energy_and_heat_capacity(256, 256, 1.0 / k).unwrap();
        let tolerance = if k == CRITICAL { 1e-2 } else { 1e-6 };
        close(energy, exact::energy_of_infinite_lattice(1.0 / k), tolerance);
    }
    close(exact::energy_of_infinite_lattice(exact::CRITICAL_TEMPERATURE), -(2f64.sqrt()), 1e-6);
    for (k, m) in [(0.5, 0.911319377877), (0.6, 0.973608667440)] {
        close(exact::magnetisation_of_infinite_lattice(1.0 / k), m, 1e-11);
    }
    assert_eq!(exact::magnetisation_of_infinite_lattice(2.3), 0.0);
}

/// Averages of a torus over so many chains of so many sweeps after as many that do not count.
fn measured(
    side: usize,
    k: f64,
    [chains, sweeps]: [usize; 2],
    start: Start,
    seed: u64,
) -> Measurement {
    let walk = Walk { chains, burn_in: sweeps, sweeps, start };
    let graph = ising(side, side).unwrap();
    graph.measure(1.0 / k, &walk, &Device::Cpu, &mut Rng::new(seed), |_| true).unwrap().0
}

/// Chains of 16, 64 and 256 spins, within four standard errors of what is exact: energy, heat capacity, magnetisation, susceptibility and
/// Binder's cumulant.
#[test]
fn walks_measure_what_is_exact() {
    for (side, k, _, energy, heat_capacity) in TORI.into_iter().filter(|torus| torus.0 < 32) {
        // Where it orders, a large torus that cools may be left with two domains.
        let start = if k > CRITICAL { Start::Alike } else { Start::Even };
        let found = measured(side, k, [64, 3000], start, 1);
        let mut all = vec![(found.energy, energy), (found.heat_capacity, heat_capacity)];
        if side < 16 {
            let [m, square, binder] = order_of(side, k);
            let susceptibility = k * (side * side) as f64 * (square - m * m);
            all.extend([
                (found.magnetisation, m),
                (found.susceptibility, susceptibility),
                (found.binder, binder),
            ]);
        }
        for (number, (Estimate { value, error }, known)) in all.into_iter().enumerate() {
            let is_near = error > 0.0 && (value - known).abs() < 4.0 * error;
            assert!(is_near, "{side}, {k}, number {number}: {value} ± {error}, not {known}");
        }
    }
}

/// Of 200 short walks at the critical point, as many are within two of their standard errors of the exact energy and magnetisation as those of 16
/// independent chains are: 93.6 % by Student's distribution, within four deviations of 200 throws. Errors that took all sweeps for
/// independent would be far too small: less than 60 % of the walks would be so near.
#[test]
fn errors_know_how_slowly_chains_forget() {
    let (side, walks, chains, sweeps) = (8, 200, 16, 400);
    let (_, k, _, energy, _) = TORI[10];
    let magnetisation = order_of(side, k)[0];
    let (mut corrected, mut naive) = ([0.0; 2], [0.0; 2]);
    for seed in 0..walks {
        let found = measured(side, k, [chains, sweeps], Start::Even, seed);
        let (spins, draws) = ((side * side) as f64, (chains * sweeps) as f64);
        let variances =
            [found.heat_capacity.value / (k * k * spins), found.susceptibility.value / (k * spins)];
        let both = [(found.energy, energy), (found.magnetisation, magnetisation)];
        for (i, (estimate, known)) in both.into_iter().enumerate() {
            let distance = (estimate.value - known).abs();
            let is_within = |error: f64| f64::from(u8::from(distance < 2.0 * error)) / walks as f64;
            corrected[i] += is_within(estimate.error);
            naive[i] += is_within((variances[i] / draws).sqrt());
        }
    }
    let deviation = (0.936f64 * 0.064 / walks as f64).sqrt();
    for (corrected, naive) in corrected.into_iter().zip(naive) {
        close(corrected, 0.936, 4.0 * deviation);
        assert!(naive < 0.6, "independent sweeps would do: {naive}");
    }
}

/// The same problem for units of 0 and 1, s = 2x − 1.
fn in_zeros_and_ones(spins: &Graph) -> Graph {
    let mut fields: Vec<f64> = spins.fields.iter().map(|field| 2.0 * field).collect();
    for (edge, coupling) in spins.edges.iter().zip(&spins.couplings) {
        edge.iter().for_each(|unit| fields[*unit as usize] -= 2.0 * coupling);
    }
    Graph {
        units: Units::Bernoulli { size: fields.len() },
        couplings: spins.couplings.iter().map(|coupling| 4.0 * coupling).collect(),
        fields,
        ..spins.clone()
    }
}

/// At the coldest temperature of a glass it is in one of its ground states more often than not, exactly: their number times their weight, over Z.
/// Else a large glass would hardly come there, however slowly it is annealed. So it is in other units of energy, and where units are 0 and 1.
#[test]
fn the_coldest_temperature_is_that_of_ground_states() {
    for side in [8, 12, 16] {
        let spins = plus_minus(side, side, Boundary::Open, 1).unwrap();
        let mut scaled = spins.clone();
        scaled.couplings.iter_mut().for_each(|coupling| *coupling *= 1000.0);
        for (name, graph) in
            [("0 and 1", &in_zeros_and_ones(&spins)), ("spins", &spins), ("scaled", &scaled)]
        {
            let [hottest, coldest] = graph.temperatures().unwrap();
            let field = MarkovField::of_graph(graph).unwrap();
            let mode = field.mode(&[]).unwrap();
            let log_p = |tau: f64| {
                mode.log_potential / tau + mode.count.ln()
                    - field.infer(tau, &[]).unwrap().log_partition
            };
            assert!(log_p(coldest) > 0.5f64.ln(), "{side}, {name}: {}", log_p(coldest).exp());
            // And the way begins where they are not seen.
            assert!(log_p(hottest) < 1e-3f64.ln(), "{side}, {name}: {}", log_p(hottest).exp());
        }
    }
}

/// The lowest energy of `reads` reads, and the energy of the configuration that is said to have it.
fn annealed(graph: &Graph, sweeps: usize, reads: usize) -> (f64, f64) {
    let machine = graph.machine(DType::F32, &Device::Cpu).unwrap();
    let annealing = SimulatedAnnealing::between(3.0, 0.1, sweeps).unwrap();
    let best = annealing.run(&machine, reads, &mut Rng::new(0)).unwrap();
    let lowest = best.energies.lowest().unwrap();
    let row = best.energies.best().unwrap();
    let all = machine.configuration(&best.rest, &best.last).unwrap().get(row).unwrap();
    let x = all.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    (lowest, graph.energy(&x).unwrap())
}

/// The optima of open and cylindrical ±J lattices, each by going through all rows of the lattice (min-plus transfer).
#[test]
fn annealing_finds_ground_states() {
    let known = [
        (4, 1, -18.0, -20.0),
        (4, 2, -18.0, -20.0),
        (4, 3, -20.0, -22.0),
        (8, 1, -76.0, -80.0),
        (8, 2, -84.0, -86.0),
        (8, 3, -86.0, -88.0),
    ];
    for (side, seed, open, cylinder) in known {
        for (boundary, energy) in [(Boundary::Open, open), (Boundary::Cylinder, cylinder)] {
            let glass = plus_minus(side, side, boundary, seed).unwrap();
            let found = annealed(&glass, 300, 50);
            assert_eq!(found, (energy, energy), "{side}, {seed}, {boundary:?}");
        }
    }
}

/// All spins alike: two bonds a spin.
#[test]
fn the_ising_model_orders() {
    let ising: Graph = "ising:6x8".parse().unwrap();
    assert_eq!(ising.edges.len(), 96);
    assert_eq!(annealed(&ising, 200, 20), (-96.0, -96.0));
}

#[test]
fn names_are_read_or_refused() {
    let glass: Graph = "pmj:3x5:seed=7:torus".parse().unwrap();
    assert_eq!(glass, plus_minus(3, 5, Boundary::Torus, 7).unwrap());
    assert_eq!("pmj:2x2".parse::<Graph>().unwrap().edges.len(), 4);
    for wrong in [
        "ising",
        "ising:4",
        "ising:4xx",
        "ising:4x4:seed=1",
        "ising:4x4:open",
        "pmj:4x4:seed=",
        "pmj:4x4:torus:open",
        "potts:4x4",
        "ising:-1x4",
        "ising:2x4",
        "ising:0x0",
        "ising:99999x99999",
        "pmj:2x4:torus",
        "",
    ] {
        let error = wrong.parse::<Graph>().unwrap_err().to_string();
        assert!(error.contains("expected"), "{wrong}: {error}");
    }
}

/// All pairs of 25 spins are coupled: the first table has 2²⁵ numbers, more than marginals are counted with.
#[test]
fn ground_states_are_counted_where_marginals_are_not() {
    let graph: Graph = "sk:25:seed=1".parse().unwrap();
    let field = MarkovField::of_graph(&graph).unwrap();
    assert!(field.infer(1.0, &[]).is_err());
    let mode = field.mode(&[]).unwrap();
    assert_eq!(mode.count, 2.0);
    let x: Vec<f64> = mode.states.iter().map(|state| 2.0 * *state as f64 - 1.0).collect();
    assert!((graph.energy(&x).unwrap() - mode.energy()).abs() < 1e-9);
    let (lowest, _) = annealed(&graph, 200, 100);
    assert!((lowest - mode.energy()).abs() < 1e-3, "{lowest}, {}", mode.energy());
    let wider: Graph = "sk:26:seed=1".parse().unwrap();
    let error = MarkovField::of_graph(&wider).unwrap().mode(&[]).unwrap_err().to_string();
    assert!(error.contains("2^25") && error.contains("2^26.0"), "{error}");
}

/// log Z of 256 spins at the critical coupling and where they order, from both sides: each within 0.05 of what is exact, and what is exact between
/// the two, up to four of their standard errors.
#[test]
fn log_z_of_an_ordered_lattice_comes_from_both_sides() {
    let tori = TORI.into_iter().filter(|torus| torus.0 == 16 && torus.1 >= CRITICAL);
    for (side, k, log_z, ..) in tori {
        let graph = ising(side, side).unwrap();
        let graph = Graph { couplings: vec![k; graph.edges.len()], ..graph };
        let machine = graph.machine(DType::F32, &Device::Cpu).unwrap();
        let tempering = TemperingConfig { chains: 50, samples: 200, ..TemperingConfig::default() };
        let options = AisOptions { chains: 400, betas: 16_000, both: true, tempering, seed: 1 };
        let path = AnnealingPath::temperature(&machine).unwrap();
        let mut sides = BidirectionalAis::new(&machine, path, options).unwrap();
        while !sides.is_done() {
            sides.step().unwrap();
        }
        let found = sides.found();
        let bridge = found.bridge.unwrap();
        close(bridge.value, log_z, 4.0 * bridge.error);
        assert!(bridge.error < 0.1, "{k}: {bridge:?}");
        let [forward, reverse] = [found.forward, found.reverse].map(Option::unwrap);
        assert!(forward.value <= log_z + 4.0 * forward.error, "{k}: {forward:?}");
        assert!(reverse.value >= log_z - 4.0 * reverse.error, "{k}: {reverse:?}");
        close(forward.value, log_z, 0.05);
        close(reverse.value, log_z, 0.05);
    }
}
