//! Graphs whose partition functions are known in closed form: rings, trees, the model of Curie and Weiss, Potts on a torus.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::lattice::{ising, potts};
use candle_boltzmann::learning::Learner;
use candle_boltzmann::{Graph, MarkovField, Start, Walk, measure_energy, set_temperature};
use candle_core::{DType, Device, Tensor, Var};
use rand::RngExt;
use rbm_core::estimate::log_partition;
use rbm_core::model::{Boltzmann, Coupling, Machine};
use rbm_core::sampling::GraphChains;
use rbm_core::{Rbm, Rng, Units};

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

/// Spins with one coupling along all edges, and one field.
fn spins(size: usize, edges: Vec<[u32; 2]>, coupling: f64, field: f64) -> Graph {
    Graph {
        units: Units::Spin { size },
        couplings: vec![coupling; edges.len()],
        fields: vec![field; size],
        edges,
        shape: None,
        names: Vec::new(),
        offset: 0.0,
    }
}

fn eliminated(graph: &Graph, tau: f64) -> f64 {
    MarkovField::of_graph(graph).unwrap().infer(tau, &[]).unwrap().log_partition
}

/// Z = 2·(2 cosh K)ⁿ⁻¹ of a chain, however long it is and however its spins are numbered; given one of them it is half of that. Time as the square of the
/// length would be minutes.
#[test]
fn long_chains_are_counted_whatever_their_numbers() {
    let (size, k) = (20_000u32, 0.5f64);
    let number = |i: u32| (u64::from(i) * 7919 % u64::from(size)) as u32;
    let edges = (1..size).map(|i| [number(i - 1), number(i)]).collect();
    let field = MarkovField::of_graph(&spins(size as usize, edges, k, 0.0)).unwrap();
    let log_z = 2f64.ln() + f64::from(size - 1) * (2.0 * k.cosh()).ln();
    for (given, log_z) in [(&[][..], log_z), (&[(5, 1)], log_z - 2f64.ln())] {
        let found = field.infer(1.0, given).unwrap();
        close(found.log_partition, log_z, 1e-7);
        // The neighbours of one that is up are up with e²ᴷ to 1.
        let neighbour = (0..size).find(|i| number(*i) == 5).map(|i| number(i - 1)).unwrap();
        let known = if given.is_empty() { 0.5 } else { 1.0 / (1.0 + (-2.0 * k).exp()) };
        close(found.marginals[neighbour as usize][1], known, 1e-9);
    }
    assert_eq!(field.mode(&[]).unwrap().count, 2.0);
}

/// A tree of n spins has the partition function of a chain; one in which each spin hangs from any of those before it, and a star.
#[test]
fn large_trees_are_counted() {
    let (size, k) = (6000u32, 0.3f64);
    let mut rng = Rng::new(3);
    let mut parent = |i: u32| rng.random_range(0..i);
    let tree = (1..size).map(|i| [parent(i), i]).collect();
    let star = (1..size).map(|i| [0, i]).collect();
    let log_z = 2f64.ln() + f64::from(size - 1) * (2.0 * k.cosh()).ln();
    for edges in [tree, star] {
        close(eliminated(&spins(size as usize, edges, k, 0.0), 1.0), log_z, 1e-7);
    }
}

/// A walk that is ended before anything is measured is an error, at once and not at the end of its burn-in.
#[test]
fn a_walk_ends_in_its_burn_in() {
    let graph = ising(8, 8).unwrap();
    let walk = Walk { chains: 8, burn_in: 1_000_000, sweeps: 1000, start: Start::Even };
    let mut looks = 0;
    let mut once = |_: usize| {
        looks += 1;
        false
    };
    let ended = graph.measure(2.0, &walk, &Device::Cpu, &mut Rng::new(0), &mut once);
    assert!(ended.is_err_and(|error| error.to_string().contains("after the burn-in")));
    let field = MarkovField::of_graph(&graph).unwrap();
    let ended = field.measure(2.0, [8, 1_000_000, 1000], &mut Rng::new(0), &mut once);
    assert!(ended.is_err_and(|error| error.to_string().contains("after the burn-in")));
    assert_eq!(looks, 2);
}

/// Z = λ₊ⁿ + λ₋ⁿ, λ± = eᴷ·cosh h ± √(e²ᴷ·sinh² h + e⁻²ᴷ) (Ising 1925).
#[test]
fn rings_have_isings_partition_function() {
    let edges: Vec<_> = (0..100).map(|i| [i, (i + 1) % 100]).collect();
    for (field, log_z) in [(0.0, 112.6928011043), (0.1, 115.9884919422)] {
        let (k, h): (f64, f64) = (1.0, field);
        let root = ((2.0 * k).exp() * h.sinh().powi(2) + (-2.0 * k).exp()).sqrt();
        let [up, down] = [1.0, -1.0].map(|sign| k.exp() * h.cosh() + sign * root);
        close(100.0 * up.ln() + (down / up).powi(100).ln_1p(), log_z, 1e-9);
        close(eliminated(&spins(100, edges.clone(), k, h), 1.0), log_z, 1e-9);
    }
}

/// Z = 2·(2·cosh K)ⁿ⁻¹, whatever the tree.
#[test]
fn trees_of_as_many_spins_have_one_partition_function() {
    let path = |i: u32| i;
    let star = |_: u32| 0;
    let binary = |i: u32| i / 2;
    let ragged = |i: u32| i * 7 % 5 * i / 5;
    let parents: [fn(u32) -> u32; 4] = [path, star, binary, ragged];
    for parent in parents {
        let edges = (0..30).map(|i| [parent(i), i + 1]).collect();
        close(eliminated(&spins(31, edges, 0.7, 0.0), 1.0), 28.3056694781, 1e-9);
    }
}

/// log Z and ⟨m²⟩ of n spins of which every two are coupled by K/n: a sum over how many are up.
fn curie_weiss(n: u32, k: f64) -> (f64, f64) {
    let log_factorials: Vec<f64> = (0..=n)
        .scan(0.0, |sum, i| {
            *sum += f64::from(i.max(1)).ln();
            Some(*sum)
        })
        .collect();
    let m = |up: u32| f64::from(2 * up) / f64::from(n) - 1.0;
    let weight = |up: u32| {
        let ways = log_factorials[n as usize]
            - log_factorials[up as usize]
            - log_factorials[(n - up) as usize];
        ways + 0.5 * k * (f64::from(n) * m(up).powi(2) - 1.0)
    };
    let weights: Vec<f64> = (0..=n).map(weight).collect();
    let highest = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_z = highest + weights.iter().map(|w| (w - highest).exp()).sum::<f64>().ln();
    let squares = (0..=n).zip(&weights).map(|(up, weight)| m(up).powi(2) * (weight - log_z).exp());
    (log_z, squares.sum())
}

/// The exact sum, and ⟨m²⟩ of chains through a graph that is all couplings. Chains are independent, so the spread of their
/// means is an error that knows how slowly they move: 4 of them.
#[test]
fn spins_that_all_pull_each_other() {
    let known = [
        (0.5, 69.4088552399, 0.0196174472),
        (1.0, 70.2862767637, 0.1144810462),
        (1.5, 81.0406876289, 0.7245204947),
    ];
    let pairs: Vec<_> = (0..100u32).flat_map(|i| (i + 1..100).map(move |j| [i, j])).collect();
    for (k, log_z, square) in known {
        let (exact_log_z, exact_square) = curie_weiss(100, k);
        close(exact_log_z, log_z, 1e-9);
        close(exact_square, square, 1e-9);
        let graph = spins(100, pairs.clone(), k / 100.0, 0.0);
        let machine = graph.machine(DType::F32, &Device::Cpu).unwrap();
        let binary = machine.binary_graph().unwrap().unwrap();
        let (chains, mut rng) = (256, Rng::new(4));
        let mut walk = GraphChains::evenly(&binary, chains, &mut rng).unwrap();
        walk.sweep(&vec![1.0; 1000], &mut rng);
        let sums = walk.trace(&vec![1.0; 1000], &mut rng).sums;
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let means: Vec<f64> = sums
            .iter()
            .map(|sums| mean(&sums.iter().map(|sum| (sum / 100.0).powi(2)).collect::<Vec<_>>()))
            .collect();
        let found = mean(&means);
        let spread = means.iter().map(|x| (x - found).powi(2)).sum::<f64>() / (chains - 1) as f64;
        close(found, square, 4.0 * (spread / chains as f64).sqrt());
    }
}

/// Eight Potts sites, all pairs of whose columns are coupled, or those of neighbours alone: one layer that is coupled with itself, a layer for each
/// colour, elimination and the machine that is imported are one distribution.
#[test]
fn a_graph_is_one_machine_however_it_is_made() {
    let units = Units::Potts { sites: 8, states: 3 };
    let graph = |is_dense: bool| {
        let site = |column: u32| column / 3;
        let pairs = (0..24u32).flat_map(|a| (a + 1..24).map(move |b| [a, b]));
        let is_coupled = |[a, b]: &[u32; 2]| match site(*b) - site(*a) {
            0 => false,
            1 => true,
            _ => is_dense,
        };
        let edges: Vec<[u32; 2]> = pairs.filter(is_coupled).collect();
        let number = |k: usize| ((k * 37 + 11) % 29) as f64 / 20.0 - 0.7;
        Graph {
            units: units.clone(),
            couplings: (0..edges.len()).map(number).collect(),
            edges,
            fields: (0..24).map(|k| number(k + 5)).collect(),
            shape: None,
            names: Vec::new(),
            offset: 0.0,
        }
    };
    for is_dense in [true, false] {
        let graph = graph(is_dense);
        let known = eliminated(&graph, 1.0);
        let machine = graph.machine(DType::F64, &Device::Cpu).unwrap();
        let is_lateral = matches!(machine.couplings(), [Coupling::Lateral { .. }]);
        assert_eq!(is_lateral, is_dense);
        close(log_partition(&machine).unwrap(), known, 1e-9);
        let Graph { units, edges, couplings, fields, .. } = &graph;
        let coloured =
            Machine::on_graph(units, edges, couplings, fields, DType::F64, &Device::Cpu).unwrap();
        assert!(coloured.layers().len() > 1);
        close(log_partition(&coloured).unwrap(), known, 1e-9);

        let imported = Learner::of_graph(&graph).unwrap();
        close(log_partition(imported.machine()).unwrap(), known, 1e-4);
        let again = imported.graph().unwrap();
        for state in [0usize, 1, 77, 6560] {
            let x: Vec<f64> = (0..24usize)
                .map(|column| {
                    let of_site = state / 3usize.pow(column as u32 / 3) % 3;
                    f64::from(u8::from(of_site == column % 3))
                })
                .collect();
            close(again.energy(&x).unwrap(), graph.energy(&x).unwrap(), 1e-5);
        }
    }
}

/// Sixteen sites of q states; with two states they are spins, coupled half as strongly.
#[test]
fn potts_models_on_a_torus() {
    let critical = (1.0 + 3f64.sqrt()).ln();
    let known = [
        (3, 0.5, 23.9013453106),
        (3, critical, 34.1726081378),
        (3, 1.5, 49.1890324581),
        (4, 0.5, 27.0215157476),
    ];
    for (states, k, log_z) in known {
        close(eliminated(&potts(4, 4, states).unwrap(), 1.0 / k), log_z, 1e-9);
    }
    for k in [0.3, 0.8, 1.7] {
        let two = potts(4, 4, 2).unwrap();
        let bonds = 32.0;
        let spins = eliminated(&ising(4, 4).unwrap(), 2.0 / k);
        close(eliminated(&two, 1.0 / k), spins + 0.5 * k * bonds, 1e-9);
        // The machine's own sum, at temperature 1.
        let mut scaled = two;
        scaled.couplings.iter_mut().for_each(|coupling| *coupling *= k);
        let machine = scaled.machine(DType::F64, &Device::Cpu).unwrap();
        close(log_partition(&machine).unwrap(), spins + 0.5 * k * bonds, 1e-9);
    }
}

/// Spins, Bernoulli units and Potts sites that are coupled with hidden Potts sites, and a restricted machine: ⟨E⟩ is −∂log Z/∂β at every
/// temperature, and C its derivative. A machine at a temperature has its parameters divided by it; a part of an energy that is not learned
/// would stay, and such units are refused.
#[test]
fn energies_of_machines_of_several_kinds_are_derivatives_of_log_z() {
    let mut rng = Rng::new(3);
    let layer = |units: &str| {
        let units: Units = units.parse().unwrap();
        units.build(DType::F64, &Device::Cpu).unwrap()
    };
    let drawn = |shape: (usize, usize), rng: &mut Rng| {
        let numbers = rbm_core::ops::normal(shape, DType::F64, &Device::Cpu, rng).unwrap();
        Var::from_tensor(&(numbers * 0.7).unwrap()).unwrap()
    };
    let mixed = {
        let layers = vec![layer("bernoulli:2+spin:2+potts(3):1"), layer("potts(2):2")];
        let weights = drawn((7, 4), &mut rng);
        Machine::new(layers, vec![Coupling::Dense { layers: [0, 1], weights }]).unwrap()
    };
    let restricted = |visible: &str, hidden: &str| {
        let [visible, hidden] = [visible, hidden].map(|units| units.parse::<Units>().unwrap());
        Rbm::new(&visible, &hidden, DType::F64, &Device::Cpu).unwrap()
    };
    let rbm = restricted("bernoulli:4", "spin:3");
    rbm.weights().set(&drawn((4, 3), &mut rng)).unwrap();
    let machines: [&dyn Boltzmann; 2] = [&mixed, &rbm];
    for machine in machines {
        for (name, var) in machine.parameters() {
            let numbers = rbm_core::ops::normal(var.shape(), DType::F64, &Device::Cpu, &mut rng);
            if name.ends_with("bias") {
                var.set(&(numbers.unwrap() * 0.5).unwrap()).unwrap();
            }
        }
        // Both have seven of them.
        let units = 7.0;
        let log_z = |beta: f64| {
            set_temperature(machine, 1.0 / beta).unwrap();
            let found = log_partition(machine).unwrap();
            set_temperature(machine, beta).unwrap();
            found
        };
        for tau in [0.5, 1.0, 2.5] {
            let (beta, step) = (1.0 / tau, 1e-3);
            let [before, at, after] = [beta - step, beta, beta + step].map(log_z);
            let energy = -(after - before) / (2.0 * step) / units;
            let heat = beta * beta * (after - 2.0 * at + before) / (step * step) / units;
            let (found, ends) =
                measure_energy(machine, tau, [64, 100, 2000], &mut rng, |_| true).unwrap();
            for (found, expected) in [(found.energy, energy), (found.heat_capacity, heat)] {
                let error = (found.value - expected).abs();
                assert!(error < 4.0 * found.error + 1e-5, "{found:?} {expected} at {tau}");
                assert!(found.error < 0.05 * expected.abs().max(0.1), "{found:?}");
            }
            assert_eq!(ends.dims(), [64, machine.rest().units().width()]);
        }
    }
    // Two wells, one of them deeper by 2 in 20: chains that begin at the biases are all in the other. It would catch a walk that does not cool.
    let wells = restricted("bernoulli:2", "bernoulli:1");
    let weights = Tensor::new(&[[20.0], [-18.0]], &Device::Cpu).unwrap();
    wells.weights().set(&weights).unwrap();
    wells.visible().vars()[0].1.set(&Tensor::new(&[-10.0, 8.0], &Device::Cpu).unwrap()).unwrap();
    let before = wells.weights().copy().unwrap();
    let (found, _) = measure_energy(&wells, 1.0, [200, 8000, 400], &mut rng, |_| true).unwrap();
    // Of v = (1, 0), h = 1: −10. Of v = (0, 1), h = 0: −8.
    assert!((3.0 * found.energy.value + 9.76).abs() < 0.2, "{found:?}");
    let same = (wells.weights().as_tensor() - before).unwrap().abs().unwrap();
    assert_eq!(same.sum_all().unwrap().to_scalar::<f64>().unwrap(), 0.0);
    for tau in [1e-300, 1e300, 0.0, f64::NAN] {
        assert!(measure_energy(&wells, tau, [8, 4, 4], &mut rng, |_| true).is_err(), "{tau}");
    }
    // There are two ways to one of two trials, which is no energy.
    let binomial = restricted("bernoulli:2", "binomial(2):2");
    let refused = measure_energy(&binomial, 1.0, [8, 0, 4], &mut rng, |_| true).unwrap_err();
    assert!(refused.to_string().contains("binomial"), "{refused}");
    let gaussian = restricted("gaussian:2", "bernoulli:2");
    let refused = set_temperature(&gaussian, 2.0).unwrap_err().to_string();
    assert!(refused.contains("gaussian"), "{refused}");
}
