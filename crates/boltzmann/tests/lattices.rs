//! Lattices beside exact numbers: ground states by transfer matrices, partition functions by Kaufman's formula.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::Graph;
use candle_boltzmann::lattice::{Boundary, plus_minus};
use candle_core::{DType, Device};
use rbm_core::Rng;
use rbm_core::sampling::SimulatedAnnealing;

/// The lowest energy of `reads` reads, and the energy of the configuration that is said to have it.
fn annealed(graph: &Graph, sweeps: usize, reads: usize) -> (f64, f64) {
    let machine = graph.machine(DType::F32, &Device::Cpu).unwrap();
    let annealing = SimulatedAnnealing::between(3.0, 0.1, sweeps).unwrap();
    let best = annealing.run(&machine, reads, &mut Rng::new(0)).unwrap();
    let lowest = best.lowest().unwrap();
    let row = best.energies.iter().position(|energy| *energy == lowest).unwrap();
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
