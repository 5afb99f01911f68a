//! Chains side by side in vector lanes: the same machine as by any other sampler, and the same numbers in any company.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use rbm_core::model::{BinaryGraph, Boltzmann, Colouring, Machine};
use rbm_core::sampling::{GraphChains, SimulatedAnnealing, TemperedSearch};
use rbm_core::{Rng, Units};

const CPU: Device = Device::Cpu;

/// Seven units, each coupled with the next and with the one after that, around a ring; no two couplings or fields alike.
fn ring() -> (Vec<[u32; 2]>, Vec<f64>, Vec<f64>) {
    let pairs: Vec<_> = (0..7u32).flat_map(|i| [[i, (i + 1) % 7], [i, (i + 2) % 7]]).collect();
    let couplings = (0..14).map(|k| (k as f64 * 1.7).sin() * 0.6).collect();
    let fields = (0..7).map(|k| (k as f64 * 2.3).cos() * 0.4).collect();
    (pairs, couplings, fields)
}

/// The probability of each configuration, unit 0 the lowest bit.
fn exact(low: f64, (pairs, couplings, fields): &(Vec<[u32; 2]>, Vec<f64>, Vec<f64>)) -> Vec<f64> {
    let weight = |state: usize| -> f64 {
        let x = |unit: usize| if state >> unit & 1 == 1 { 1.0 } else { low };
        let pairs = pairs.iter().zip(couplings);
        let pairs: f64 = pairs.map(|([a, b], j)| j * x(*a as usize) * x(*b as usize)).sum();
        let fields: f64 = fields.iter().enumerate().map(|(unit, field)| field * x(unit)).sum();
        (pairs + fields).exp()
    };
    let weights: Vec<f64> = (0..128).map(weight).collect();
    let z: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / z).collect()
}

fn counts(configurations: &Tensor) -> Vec<f64> {
    let mut counts = vec![0.0; 128];
    for row in configurations.to_vec2::<f32>().unwrap() {
        let bits = row.iter().enumerate().map(|(unit, x)| usize::from(*x == 1.0) << unit);
        counts[bits.sum::<usize>()] += 1.0;
    }
    counts
}

/// χ² of independent chains that have forgotten their start, over all 128 configurations: 127 degrees of freedom. Catches a field
/// that is halved, a neighbour left out, a bias forgotten, lanes mixed up, words used twice.
#[test]
fn chains_come_to_every_configuration_as_often_as_it_is_probable() {
    let graph = ring();
    for low in [-1.0, 0.0] {
        let expected = exact(low, &graph);
        let binary = BinaryGraph::new(&graph.0, &graph.1, &graph.2, low as f32).unwrap();
        let count = 40_000;
        let mut rng = Rng::new(3);
        let mut chains = GraphChains::evenly(&binary, count, &mut rng).unwrap();
        chains.sweep(&[1.0; 40], &mut rng);
        let found = counts(&chains.configurations().unwrap());
        let square =
            |(found, p): (&f64, &f64)| (found - count as f64 * p).powi(2) / (count as f64 * p);
        let chi: f64 = found.iter().zip(&expected).map(square).sum();
        // 127 ± 4·√254.
        assert!((63.0..191.0).contains(&chi), "low {low}: χ² {chi}");
    }
}

/// Energies are kept by their changes: they stay those of the configurations.
#[test]
fn energies_are_those_of_the_configurations() {
    let (pairs, couplings, fields) = ring();
    let graph = BinaryGraph::new(&pairs, &couplings, &fields, -1.0).unwrap();
    let mut rng = Rng::new(1);
    let mut chains = GraphChains::evenly(&graph, 50, &mut rng).unwrap();
    chains.keep_best();
    chains.sweep(&[0.7; 500], &mut rng);
    let rows = chains.configurations().unwrap().to_vec2::<f32>().unwrap();
    for (row, energy) in rows.iter().zip(chains.energies()) {
        assert!((graph.energy(|unit| row[unit]) - energy).abs() < 1e-4);
        let sum: f32 = row.iter().sum();
        assert!(chains.sums().contains(&f64::from(sum)));
    }
    // The lowest ever seen is the lowest there is: 500 sweeps through 128 configurations.
    let all = (0..128u32)
        .map(|state| graph.energy(|unit| if state >> unit & 1 == 1 { 1.0 } else { -1.0 }));
    let lowest = all.fold(f64::INFINITY, f64::min);
    assert!(chains.lowest().iter().all(|found| (found - lowest).abs() < 1e-5));
    let again = GraphChains::at(&graph, &rows).unwrap();
    assert_eq!(again.configurations().unwrap().to_vec2::<f32>().unwrap(), rows);
}

/// A chain is the same however many run beside it, and however the graph is coloured: unit i of a sweep has its own random number.
#[test]
fn neither_company_nor_colours_change_a_chain() {
    let (pairs, couplings, fields) = ring();
    let run = |graph: &BinaryGraph, count| {
        let mut rng = Rng::new(8);
        let mut chains = GraphChains::evenly(graph, count, &mut rng).unwrap();
        chains.sweep(&[1.0; 25], &mut rng);
        chains.configurations().unwrap().to_vec2::<f32>().unwrap()
    };
    let units = Units::Spin { size: 7 };
    let greedy = Machine::on_graph(&units, &pairs, &couplings, &fields, DType::F32, &CPU).unwrap();
    let colours = Colouring { colours: (0..7).collect(), count: 7 };
    let each = Machine::coloured(&units, &pairs, &couplings, &fields, &colours, (DType::F32, &CPU));
    let [greedy, each] =
        [greedy, each.unwrap()].map(|machine| machine.binary_graph().unwrap().unwrap());
    let alone = run(&greedy, 5);
    assert_eq!(alone, run(&each, 5));
    assert_eq!(alone[..], run(&greedy, 70)[..5]);
    assert!(alone.iter().any(|row| row != &alone[0]), "lanes are not copies of each other");
}

/// Without fields, a configuration that single spins leave with difficulty: two rings of 20 spins, hardly coupled. Tempering with
/// clusters finds the ground state, and the configuration it names has that energy.
#[test]
fn tempering_finds_the_lowest_energy() {
    let mut pairs: Vec<_> = (0..40u32).map(|i| [i, i / 20 * 20 + (i + 1) % 20]).collect();
    pairs.push([0, 20]);
    let mut couplings = vec![1.0; 40];
    couplings.push(-0.01);
    let units = Units::Spin { size: 40 };
    for has_clusters in [false, true] {
        let machine = Machine::on_graph(&units, &pairs, &couplings, &[0.0; 40], DType::F32, &CPU);
        let machine = machine.unwrap();
        let search = TemperedSearch { coldest: 0.2, hottest: 3.0, sweeps: 400, has_clusters };
        let best = search.run(&machine, 3, &mut Rng::new(2), |_, _| true).unwrap();
        assert!(
            best.energies.0.iter().all(|energy| (energy + 40.01).abs() < 1e-4),
            "{:?}",
            best.energies
        );
        let energies = machine.energy(&best.rest, &best.last).unwrap().to_vec1::<f32>().unwrap();
        assert!(energies.iter().all(|energy| (energy + 40.01).abs() < 1e-3), "{energies:?}");
    }
}

/// The best configuration is the machine's mode, unit by unit, though its layers are colours.
#[test]
fn annealing_gives_configurations_in_the_machines_own_order() {
    let (pairs, couplings, fields) = ring();
    let units = Units::Bernoulli { size: 7 };
    let machine = Machine::on_graph(&units, &pairs, &couplings, &fields, DType::F64, &CPU).unwrap();
    let annealing = SimulatedAnnealing::between(2.0, 0.1, 200).unwrap();
    let best = annealing.run(&machine, 8, &mut Rng::new(0)).unwrap();
    let energies = machine.energy(&best.rest, &best.last).unwrap().to_vec1::<f64>().unwrap();
    for (found, energy) in best.energies.0.iter().zip(energies) {
        assert!((found - energy).abs() < 1e-5);
    }
    let p = exact(0.0, &(pairs, couplings, fields));
    let mode = (0..128).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
    let row = machine.configuration(&best.rest, &best.last).unwrap().get(0).unwrap();
    let row = row.to_vec1::<f64>().unwrap();
    let state: usize = row.iter().enumerate().map(|(unit, x)| usize::from(*x == 1.0) << unit).sum();
    assert_eq!(state, mode);
}

#[test]
fn what_is_no_graph_is_refused() {
    let wrong = [
        BinaryGraph::new(&[[0, 0]], &[1.0], &[0.0; 2], -1.0),
        BinaryGraph::new(&[[0, 2]], &[1.0], &[0.0; 2], -1.0),
        BinaryGraph::new(&[[0, 1]], &[], &[0.0; 2], -1.0),
        BinaryGraph::new(&[[0, 1]], &[1e39], &[0.0; 2], -1.0),
        BinaryGraph::new(&[[0, 1]], &[1.0], &[f64::NAN, 0.0], -1.0),
    ];
    assert!(wrong.iter().all(Result::is_err));
    let graph = BinaryGraph::new(&[[0, 1]], &[1.0], &[0.0; 2], -1.0).unwrap();
    assert!(GraphChains::evenly(&graph, 0, &mut Rng::new(0)).is_err());
    assert!(GraphChains::at(&graph, &[vec![1.0]]).is_err());
    let potts: Units = "potts(3):2".parse().unwrap();
    let machine = Machine::new(vec![potts.build(DType::F32, &CPU).unwrap()], vec![]).unwrap();
    assert!(machine.binary_graph().unwrap().is_none());
    let search = TemperedSearch { coldest: 0.2, hottest: 3.0, sweeps: 4, has_clusters: true };
    assert!(search.run(&machine, 1, &mut Rng::new(0), |_, _| true).is_err());
}
