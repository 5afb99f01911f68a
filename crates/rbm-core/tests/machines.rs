//! Laws of machines of any shape: exact numbers from elsewhere, stationarity, and what may not change the answer.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::numbered::{lateral, layer, numbers, symmetric, ten, with_hidden, word};
use rbm_core::estimate::{AisOptions, Annealing, BidirectionalAis, TemperingConfig, log_partition};
use rbm_core::model::{Boltzmann, Colouring, Coupling, Machine};
use rbm_core::sampling::{AnnealingPath, Clamped, SimulatedAnnealing, Tempering, beta_column};
use rbm_core::{Gibbs, Kernel, Rng, Units};

const CPU: Device = Device::Cpu;

/// The pairs of an L×L torus, each once.
fn torus(side: u32) -> Vec<[u32; 2]> {
    let at = |row: u32, column: u32| row % side * side + column % side;
    let sites = (0..side).flat_map(|row| (0..side).map(move |column| (row, column)));
    sites.flat_map(|(r, c)| [[at(r, c), at(r, c + 1)], [at(r, c), at(r + 1, c)]]).collect()
}

/// The Ising model on a torus, at the coupling K.
fn ising(side: u32, coupling: f64) -> Machine {
    let (pairs, spins) = (torus(side), (side * side) as usize);
    let units = Units::Spin { size: spins };
    let weights = vec![coupling; pairs.len()];
    Machine::on_graph(&units, &pairs, &weights, &vec![0.0; spins], DType::F64, &CPU).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

#[test]
fn the_generator_is_splitmix64() {
    let words = [0, 1, 2].map(|k| word(0, k));
    assert_eq!(words, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
}

#[test]
fn small_machines_have_their_partition_functions() {
    close(log_partition(&ten("bernoulli")).unwrap(), 9.2877612909, 1e-9);
    close(log_partition(&ten("spin")).unwrap(), 11.9486814725, 1e-9);
    close(log_partition(&with_hidden()).unwrap(), 8.0492553695, 1e-9);
}

/// log Z of the Ising model on a torus of 4×4 at couplings K, by Kaufman's formula (1949).
const FOUR_BY_FOUR: [(f64, f64); 6] = [
    (0.2, 11.7714703585),
    (0.3, 12.7855233257),
    (0.4, 14.5610930238),
    (0.44068679350977, 15.5219154588),
    (0.5, 17.1053671187),
    (0.6, 20.0565328843),
];

#[test]
fn the_ising_model_has_kaufmans_partition_function() {
    for (coupling, log_z) in FOUR_BY_FOUR {
        close(log_partition(&ising(4, coupling)).unwrap(), log_z, 1e-9);
    }
}

/// A torus of even sides has two colours, of which one is summed out; of odd sides it needs a third.
#[test]
fn colours_are_layers() {
    let widths = |machine: &Machine| -> Vec<usize> {
        machine.layers().iter().map(|(layer, _)| layer.units().width()).collect()
    };
    let even = ising(4, 0.4);
    assert_eq!((widths(&even), even.has_interaction()), (vec![8, 8], false));
    let odd = ising(3, 0.4);
    assert!(widths(&odd).len() > 2 && odd.has_interaction());
    assert_eq!(odd.rest().units().width() + odd.last().units().width(), 9);
}

/// However the units are coloured, the machine is the same: one colour for each unit against as few as can be.
#[test]
fn colours_do_not_change_the_machine() {
    let pairs: Vec<_> = torus(3);
    let (weights, biases) = (numbers(8, 18, 1.0), numbers(9, 9, 0.5));
    let units = Units::Spin { size: 9 };
    let few = Machine::on_graph(&units, &pairs, &weights, &biases, DType::F64, &CPU).unwrap();
    let each = Colouring { colours: (0..9).rev().collect(), count: 9 };
    let many =
        Machine::coloured(&units, &pairs, &weights, &biases, &each, (DType::F64, &CPU)).unwrap();
    close(log_partition(&few).unwrap(), log_partition(&many).unwrap(), 1e-10);
    let upper: Vec<f64> = (0..9u32)
        .flat_map(|i| (i + 1..9).map(move |j| (i, j)))
        .map(|(i, j)| {
            let is = |pair: &&[u32; 2]| **pair == [i, j] || **pair == [j, i];
            pairs.iter().position(|pair| is(&pair)).map_or(0.0, |k| weights[k])
        })
        .collect();
    let dense =
        Machine::new(vec![layer("spin:9", &biases)], vec![lateral(0, 9, &upper, 1)]).unwrap();
    close(log_partition(&few).unwrap(), log_partition(&dense).unwrap(), 1e-10);
}

/// A chain takes the same random numbers however many run beside it, whatever couples its units: value i of a draw is that of (seed, draw, i).
#[test]
fn the_company_of_a_chain_does_not_change_it() {
    let table: Vec<f64> = numbers(15, 12, 1.0);
    let cliques =
        Machine::of_cliques(&[2, 3, 2], &[(&[0, 1, 2], &table)], DType::F64, &CPU).unwrap();
    for machine in [ten("bernoulli"), with_hidden(), ising(3, 0.4), ising(4, 0.4), cliques] {
        let run = |chains: usize| {
            let mut rng = Rng::new(11);
            let zeros = Tensor::zeros((chains, machine.rest().units().width()), DType::F64, &CPU);
            let start = machine.rest().sample(&zeros.unwrap(), &mut rng).unwrap();
            let mut chains = Gibbs::default().init(&machine, start, &mut rng).unwrap();
            Gibbs::default().advance(&machine, &mut chains, 9, &mut rng).unwrap();
            let all = machine.configuration(&chains.visible, &chains.hidden).unwrap();
            all.to_vec2::<f64>().unwrap()
        };
        let few = run(5);
        assert_eq!(few[..], run(70)[..5], "{machine:?}");
        assert!(few.iter().any(|row| row != &few[0]), "all chains are alike");
    }
}

/// Marginals of 20,000 chains after `sweeps` sweeps from all zeros or all down, beside the exact ones.
fn means(machine: &Machine, start: f64, sweeps: usize) -> Vec<f64> {
    let mut rng = Rng::new(3);
    let shape = (20_000, machine.rest().units().width());
    let start = Tensor::full(start, shape, &CPU).unwrap();
    let mut chains = Gibbs::default().init(machine, start, &mut rng).unwrap();
    Gibbs::default().advance(machine, &mut chains, sweeps, &mut rng).unwrap();
    let all = machine.configuration(&chains.visible, &chains.hidden).unwrap();
    all.mean(0).unwrap().to_vec1().unwrap()
}

/// ⟨x⟩ of ten Bernoulli units that are all coupled, by enumeration in another language.
const BERNOULLI_MEANS: [f64; 10] = [
    0.817722114,
    0.601563522,
    0.508921936,
    0.748619164,
    0.353516198,
    0.567720509,
    0.756371227,
    0.698111021,
    0.433187941,
    0.783088029,
];

/// The same of ten spins.
const SPIN_MEANS: [f64; 10] = [
    0.653642613,
    0.150543673,
    -0.435625326,
    0.712954586,
    -0.573759951,
    -0.618184430,
    0.447842241,
    0.658530234,
    -0.379992882,
    0.459960308,
];

/// The same of six visible and four hidden units.
const HIDDEN_MEANS: [f64; 10] = [
    0.635122159,
    0.470103561,
    0.774561468,
    0.708186678,
    0.502823415,
    0.755178752,
    0.357796735,
    0.467593384,
    0.611194662,
    0.451139650,
];

#[test]
fn gibbs_sampling_finds_the_means_of_coupled_units() {
    // Four standard errors: 4·½/√20000 and 4·1/√20000.
    for (machine, start, exact, error) in [
        (ten("bernoulli"), 0.0, BERNOULLI_MEANS, 0.0142),
        (ten("spin"), -1.0, SPIN_MEANS, 0.0283),
        (with_hidden(), 0.0, HIDDEN_MEANS, 0.0142),
    ] {
        for (found, exact) in means(&machine, start, 60).into_iter().zip(exact) {
            close(found, exact, error);
        }
    }
}

/// Coupled units of one colour would be drawn at once, each given what the other was, and not follow p(x): they are refused, and
/// so are colours and pairs of which something is missing.
#[test]
fn colours_that_are_not_proper_are_refused() {
    let units = Units::Spin { size: 2 };
    let same = Colouring { colours: vec![0, 0], count: 1 };
    let error =
        Machine::coloured(&units, &[[0, 1]], &[1.0], &[0.0, 0.0], &same, (DType::F64, &CPU))
            .unwrap_err();
    assert!(error.to_string().contains("two colours at every edge"), "{error}");
    let refused = |pair: [u32; 2], colours: Vec<usize>, count| {
        let colouring = Colouring { colours, count };
        Machine::coloured(&units, &[pair], &[1.0], &[0.0; 2], &colouring, (DType::F64, &CPU))
            .unwrap_err()
            .to_string()
    };
    assert!(refused([0, 1], vec![0], 1).contains("2 colours"));
    assert!(refused([0, 2], vec![0, 1], 2).contains("edge 0: expected two of the units 0 to 1"));
    assert!(refused([0, 1], vec![0, 2], 3).contains("each of the colours 0 to 2"));
}

/// β·E for every β, above 1 too: what a temperature of statistical mechanics is.
#[test]
fn temperature_is_a_path() {
    let machine = ten("bernoulli");
    for (tau, log_z) in [(0.5, 13.4812377578), (2.0, 7.8422185115)] {
        let path = AnnealingPath::temperature(&machine).unwrap();
        let betas: Vec<f64> = (0..=2000).map(|i| i as f64 / 2000.0 / tau).collect();
        let mut rng = Rng::new(5);
        let mut annealing = Annealing::forward_to(&machine, path, betas, 200, &mut rng).unwrap();
        while !annealing.is_done() {
            annealing.step(&machine, &mut rng).unwrap();
        }
        let found = annealing.log_partition(&machine).unwrap();
        close(found.value, log_z, 0.03);
    }
}

/// ⟨E⟩ of chains at a temperature is −∂log Z/∂β there, of machines that are counted; within four standard errors of 400 independent chains.
#[test]
fn energies_along_the_temperature_are_derivatives_of_log_z() {
    const H: f64 = 1e-4;
    for (name, machine) in [("visible", ten("bernoulli")), ("with hidden units", with_hidden())] {
        for beta in [0.5, 1.0, 2.0] {
            let log_z = |beta: f64| {
                let colder = machine.duplicate().unwrap();
                for (_, var) in colder.parameters() {
                    var.set(&(var.as_detached_tensor() * beta).unwrap()).unwrap();
                }
                log_partition(&*colder).unwrap()
            };
            let expected = -(log_z(beta + H) - log_z(beta - H)) / (2.0 * H);
            let (path, mut rng) = (AnnealingPath::temperature(&machine).unwrap(), Rng::new(8));
            let betas = beta_column(&machine, &[beta; 400]).unwrap();
            let start = path.sample_at_zero(&machine, 400, &mut rng).unwrap();
            let mut chains = path.chains(&machine, start, &betas, &mut rng).unwrap();
            let mut sums = Tensor::zeros(400, DType::F64, &CPU).unwrap();
            for sweep in 0..400 {
                let from = (&chains.visible, &chains.hidden);
                chains = path.step(&machine, from, &betas, &mut rng).unwrap();
                if sweep >= 200 {
                    let energy = machine.energy(&chains.visible, &chains.hidden).unwrap();
                    sums = (sums + energy.detach()).unwrap();
                }
            }
            let of_chains = (sums / 200.0).unwrap().to_vec1::<f64>().unwrap();
            let (mean, error) = rbm_core::stats::mean_and_error(&of_chains);
            assert!(error < 0.05, "{name}, {beta}: ± {error}");
            close(mean, expected, 4.0 * error);
        }
    }
}

/// log Z of an Ising torus from both sides: each within 0.05 of the exact one, which lies between the two, and the bridge beside it; all three
/// within four of their standard errors.
fn both_sides(side: u32, k: f64, betas: usize, chains: usize, log_z: f64) {
    let machine = ising(side, k);
    let tempering = TemperingConfig { chains: 50, samples: 200, ..TemperingConfig::default() };
    let options = AisOptions { chains, betas, both: true, tempering, seed: 1 };
    let path = AnnealingPath::temperature(&machine).unwrap();
    let mut sides = BidirectionalAis::new(&machine, path, options).unwrap();
    while !sides.is_done() {
        sides.step().unwrap();
    }
    let found = sides.found();
    let bridge = found.bridge.unwrap();
    close(bridge.value, log_z, 4.0 * bridge.error);
    let [forward, reverse] = [found.forward, found.reverse].map(Option::unwrap);
    for estimate in [forward, reverse] {
        close(estimate.value, log_z, 0.05);
    }
    assert!(forward.value <= log_z + 4.0 * forward.error, "{side}, {k}: {forward:?}");
    assert!(reverse.value >= log_z - 4.0 * reverse.error, "{side}, {k}: {reverse:?}");
}

/// At all couplings of a torus that is counted as well.
#[test]
fn log_z_of_a_small_lattice_comes_from_both_sides() {
    for (k, log_z) in FOUR_BY_FOUR {
        both_sides(4, k, 300, 400, log_z);
    }
}

/// 64 and 256 spins, too many to go through: in order, without it and between; the larger torus where annealing is short.
#[test]
fn log_z_of_a_lattice_comes_from_both_sides() {
    for (k, betas, log_z) in [
        (0.2, 8000, 47.0101474224),
        (0.3, 8000, 50.6093304982),
        (0.4, 8000, 56.5993887604),
        (0.4406867935097715, 8000, 60.1417807891),
        (0.5, 16_000, 66.3445818792),
        (0.6, 64_000, 78.1416488576),
    ] {
        both_sides(8, k, betas, 400, log_z);
    }
    both_sides(16, 0.2, 8000, 400, 188.039887955983);
    both_sides(16, 0.3, 16_000, 400, 202.38323226254);
}

/// Near the critical coupling, of 256 spins.
#[test]
fn log_z_of_a_large_lattice_comes_from_both_sides() {
    both_sides(16, 0.4, 32_000, 400, 225.228846755876);
}

/// Tempering is the same for couplings within the rest: every level keeps its distribution.
#[test]
fn replicas_of_coupled_units_change_places() {
    let machine = with_hidden();
    let path = AnnealingPath::from_biases(&machine).unwrap();
    let (tempering, mut rng) = (Tempering::even(path, 3).unwrap(), Rng::new(4));
    let mut replicas = tempering.climb(&machine, 5_000, 5, &mut rng).unwrap();
    let mut sum = [0.0; 10];
    for _ in 0..20 {
        tempering.step(&machine, &mut replicas, &mut rng).unwrap();
        let top = tempering.top(&replicas).unwrap().mean(0).unwrap().to_vec1::<f64>().unwrap();
        sum.iter_mut().zip(top).for_each(|(sum, mean)| *sum += mean / 20.0);
    }
    close(sum[0], 0.635122159, 0.0142);
    close(sum[6], 0.357796735, 0.0142);
}

/// Three Potts sites coupled laterally: the means of all nine columns by enumeration, and by chains.
#[test]
fn coupled_sites_of_several_states_have_their_means() {
    let potts = layer("potts(3):3", &numbers(11, 9, 0.5));
    let machine = Machine::new(vec![potts], vec![lateral(0, 9, &numbers(10, 36, 1.0), 3)]).unwrap();
    let all = machine.rest().discrete().unwrap().configuration(0..27).unwrap();
    let log_p = machine.free_energy(&all).unwrap().neg().unwrap();
    let exact = averages(&shares(&log_p), &all);
    // All chains begin in the first state of each site.
    let mut rng = Rng::new(6);
    let start = all.narrow(0, 0, 1).unwrap().repeat((20_000, 1)).unwrap();
    let mut chains = Gibbs::default().init(&machine, start, &mut rng).unwrap();
    Gibbs::default().advance(&machine, &mut chains, 30, &mut rng).unwrap();
    for (found, exact) in chains.visible.mean(0).unwrap().to_vec1().unwrap().into_iter().zip(exact)
    {
        close(found, exact, 0.0142);
    }
}

#[test]
fn what_is_no_machine_is_refused_by_name() {
    let no = |pairs: &[[u32; 2]]| {
        let weights = vec![1.0; pairs.len()];
        let units = Units::Spin { size: 3 };
        Machine::on_graph(&units, pairs, &weights, &[0.0; 3], DType::F64, &CPU)
            .unwrap_err()
            .to_string()
    };
    assert!(no(&[[0, 1], [2, 2]]).contains("edge 1: expected two different units"));
    assert!(no(&[[0, 1], [1, 0]]).contains("edge 1: expected each edge once"));
    assert!(no(&[[0, 3]]).contains("edge 0: expected two of the units 0 to 2"));
    let made = |weights: Tensor| {
        let weights = Var::from_tensor(&weights).unwrap();
        let coupling = Coupling::Lateral { layer: 0, weights };
        Machine::new(vec![layer("spin:2", &[0.0; 2])], vec![coupling])
    };
    let refuse = |weights: Tensor| made(weights).unwrap_err().to_string();
    // What rounding makes of one number is one number: measurements learn from an inverse that is not symmetric to the bit.
    made(Tensor::new(&[[0f64, 1.0], [1.0 + 1e-8, 0.0]], &CPU).unwrap()).unwrap();
    let infinite = Tensor::new(&[[0f64, f64::INFINITY], [1.0, 0.0]], &CPU).unwrap();
    assert!(refuse(infinite).contains("W[1][0]"));
    assert!(refuse(Tensor::new(&[[1f64, 0.0], [0.0, 0.0]], &CPU).unwrap()).contains("W[0][0]"));
    assert!(refuse(Tensor::new(&[[0f64, 1.0], [0.5, 0.0]], &CPU).unwrap()).contains("W[1][0]"));
    // Two states of one site are never on together: what couples them would pull at draws, and at no energy.
    let within = Tensor::new(&[[0f64, 1.0], [1.0, 0.0]], &CPU).unwrap();
    let coupling = || Coupling::Lateral { layer: 0, weights: Var::from_tensor(&within).unwrap() };
    let site = Machine::new(vec![layer("potts(2):1", &[0.0; 2])], vec![coupling()]);
    assert!(
        site.unwrap_err().to_string().contains("W[1][0]: expected 0 between a unit and itself")
    );
    let twice = Machine::new(vec![layer("spin:2", &[0.0; 2])], vec![coupling(), coupling()]);
    assert!(twice.unwrap_err().to_string().contains("one lateral coupling of layer 0"));
    let draws = Machine::new(vec![layer("multinomial(3):2", &[0.0; 2])], vec![coupling()]);
    assert!(draws.unwrap_err().to_string().contains("one by one"));
}

/// ⟨h⟩ of four hidden units given that of six visible ones 0, 2 and 4 are on, by enumeration in another language.
const POSTERIOR_MEANS: [f64; 4] = [0.220049359, 0.344244107, 0.540537517, 0.370870606];

/// Ten units in two layers, all coupled; the visible ones held at 10101₂ from the left: the means of the hidden ones given them, by
/// enumeration. Catches a held unit that is drawn while others listen.
#[test]
fn units_that_are_held_count_as_they_are() {
    let machine = with_hidden();
    let rest = machine.rest().units().width();
    assert_eq!(rest, 10);
    let (count, mut rng) = (20_000, Rng::new(5));
    let row: Vec<f64> = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0].into_iter().chain([0.0; 4]).collect();
    let values = Tensor::new(row, &CPU).unwrap().unsqueeze(0).unwrap().repeat((count, 1)).unwrap();
    let mask: Vec<f64> = (0..10).map(|i| f64::from(u8::from(i < 6))).collect();
    let mask = Tensor::new(mask, &CPU).unwrap().unsqueeze(0).unwrap().repeat((count, 1)).unwrap();
    let clamped = Clamped::new(&values, &mask).unwrap();
    let mut chains = clamped.init(&machine, values, &mut rng).unwrap();
    clamped.advance(&machine, &mut chains, 30, &mut rng).unwrap();
    let means = chains.visible.mean(0).unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(means[..6], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    for (found, known) in means[6..].iter().zip(POSTERIOR_MEANS) {
        close(*found, known, 4.0 * (known * (1.0 - known) / count as f64).sqrt());
    }
}

/// A part of one layer held, its other units coupled with these: their means by enumeration of 2⁶ configurations. Catches a held unit
/// that is drawn within its layer and put back too late.
#[test]
fn units_of_one_layer_are_drawn_given_those_that_are_held() {
    let machine = ten("spin");
    let (count, mut rng) = (20_000, Rng::new(6));
    let held = [1.0, -1.0, 1.0, 1.0];
    let configuration = |free: u32| -> Vec<f64> {
        let sign = |i: u32| if free >> i & 1 == 1 { 1.0 } else { -1.0 };
        held.into_iter().chain((0..6).map(sign)).collect()
    };
    let all = Tensor::new((0..64).map(configuration).collect::<Vec<_>>(), &CPU).unwrap();
    let log_p = machine.free_energy(&all).unwrap().neg().unwrap().to_vec1::<f64>().unwrap();
    let z: f64 = log_p.iter().map(|log_p| log_p.exp()).sum();
    let start = all.get(0).unwrap().unsqueeze(0).unwrap().repeat((count, 1)).unwrap();
    let mask: Vec<f64> = (0..10).map(|i| f64::from(u8::from(i < 4))).collect();
    let mask = Tensor::new(mask, &CPU).unwrap().unsqueeze(0).unwrap().repeat((count, 1)).unwrap();
    let clamped = Clamped::new(&start, &mask).unwrap();
    let mut chains = clamped.init(&machine, start, &mut rng).unwrap();
    clamped.advance(&machine, &mut chains, 40, &mut rng).unwrap();
    let means = chains.visible.mean(0).unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(means[..4], held);
    for (i, found) in means[4..].iter().enumerate() {
        let known: f64 = log_p
            .iter()
            .zip(0u32..)
            .map(|(log_p, free)| log_p.exp() / z * if free >> i & 1 == 1 { 1.0 } else { -1.0 })
            .sum();
        close(*found, known, 4.0 * ((1.0 - known * known) / count as f64).sqrt());
    }
}

/// All configurations of `units` two-valued units; unit 0 is the lowest bit of a row's number.
fn all_configurations(units: u32, low: f64) -> Tensor {
    let value = |row: u32, unit: u32| if row >> unit & 1 == 1 { 1.0 } else { low };
    let all = (0..1 << units).map(|row| (0..units).map(|unit| value(row, unit)).collect());
    Tensor::new(all.collect::<Vec<Vec<f64>>>(), &CPU).unwrap()
}

/// −E of each configuration of a machine that sums nothing out, `(rows,)`. Differentiable.
fn log_weights(machine: &Machine, rows: &Tensor) -> Tensor {
    let none = Tensor::zeros((rows.dim(0).unwrap(), 0), DType::F64, &CPU).unwrap();
    machine.energy(rows, &none).unwrap().neg().unwrap()
}

/// The rows of all configurations of [`with_hidden`] in which its six visible units are this one.
fn with_visible(of_all: &Tensor, visible: u32) -> Tensor {
    let rows = (0..16).map(|hidden| visible + (hidden << 6)).collect::<Vec<u32>>();
    of_all.index_select(&Tensor::new(rows, &CPU).unwrap(), 0).unwrap()
}

/// −Σ p·log p.
fn entropy(p: &Tensor) -> f64 {
    let terms = (p * p.log().unwrap()).unwrap();
    -terms.sum_all().unwrap().to_scalar::<f64>().unwrap()
}

/// Σ p·x, column by column.
fn averages(p: &Tensor, x: &Tensor) -> Vec<f64> {
    p.unsqueeze(0).unwrap().matmul(x).unwrap().get(0).unwrap().to_vec1().unwrap()
}

/// Means, ⟨x₀x₁⟩, ⟨x₄x₉⟩, the entropy and the mode of ten units, summed over all configurations, beside numbers from another language. It
/// would catch a pair that counts twice in the energy, and couplings or biases of the wrong units.
#[test]
fn ten_coupled_units_have_their_averages_and_their_mode() {
    for (machine, low, known) in [
        (ten("bernoulli"), 0.0, BERNOULLI_MEANS),
        (ten("spin"), -1.0, SPIN_MEANS),
        (with_hidden(), 0.0, HIDDEN_MEANS),
    ] {
        let all = all_configurations(10, low);
        let found = averages(&shares(&log_weights(&machine, &all)), &all);
        found.into_iter().zip(known).for_each(|(found, known)| close(found, known, 1e-9));
    }
    let (machine, all) = (ten("bernoulli"), all_configurations(10, 0.0));
    let log_weights = log_weights(&machine, &all);
    let p = shares(&log_weights);
    let column = |unit| all.narrow(1, unit, 1).unwrap();
    for (a, b, known) in [(0, 1, 0.4970765731), (4, 9, 0.2530785324)] {
        close(averages(&p, &(column(a) * column(b)).unwrap())[0], known, 1e-9);
    }
    close(entropy(&p), 5.8751921689, 1e-9);
    let mode = log_weights.argmax(0).unwrap().to_scalar::<u32>().unwrap();
    let row = all.get(mode as usize).unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(row, [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
    close(log_weights.get(mode as usize).unwrap().to_scalar().unwrap(), 5.7765437468, 1e-9);
    // Annealing comes to it, in single precision.
    let annealing = SimulatedAnnealing::between(2.0, 0.1, 100).unwrap();
    let best = annealing.run(&machine, 10, &mut Rng::new(1)).unwrap();
    close(best.energies.lowest().unwrap(), -5.7765437468, 1e-5);
}

/// log p(v) of four visible configurations, and the posterior of one of them: sums over the hidden units beside numbers from another language.
#[test]
fn coupled_hidden_units_are_summed_out() {
    let (machine, all) = (with_hidden(), all_configurations(10, 0.0));
    let (weights, log_z) = (log_weights(&machine, &all), log_partition(&machine).unwrap());
    for (visible, known) in
        [(0, -5.5005051533), (1, -5.5852220740), (21, -4.9739829610), (63, -2.5629008701)]
    {
        let log_sum = with_visible(&weights, visible).log_sum_exp(0).unwrap();
        close(log_sum.to_scalar::<f64>().unwrap() - log_z, known, 1e-9);
    }
    let posterior = shares(&with_visible(&weights, 21));
    let hidden = with_visible(&all, 21).narrow(1, 6, 4).unwrap().contiguous().unwrap();
    let found = averages(&posterior, &hidden);
    found.into_iter().zip(POSTERIOR_MEANS).for_each(|(found, known)| close(found, known, 1e-9));
    close(entropy(&posterior), 2.4947162693, 1e-9);
}

/// The exact mean log-likelihood of the visible configurations 21 and 42 and its derivatives, by candle's differentiation.
#[test]
fn the_gradient_of_the_likelihood_is_exact() {
    let machine = with_hidden();
    let all = all_configurations(10, 0.0);
    let weights = log_weights(&machine, &all);
    let log_z = weights.log_sum_exp(0).unwrap();
    let of = |visible| with_visible(&weights, visible).log_sum_exp(0).unwrap();
    let mean = ((((of(21) + of(42)).unwrap() / 2.0).unwrap()) - log_z).unwrap();
    close(mean.to_scalar().unwrap(), -4.7328484465, 1e-9);
    let gradients = mean.backward().unwrap();
    let parameter = |name: &str| {
        let parameters = machine.parameters();
        parameters.iter().find(|(found, _)| found == name).map(|(_, var)| (*var).clone()).unwrap()
    };
    let matrix = |name: &str| gradients.get(&parameter(name)).unwrap().to_vec2::<f64>().unwrap();
    let vector = |name: &str| gradients.get(&parameter(name)).unwrap().to_vec1::<f64>().unwrap();
    close(matrix("couplings.0.weight")[0][0], -0.0830212663, 1e-9);
    // A lateral weight stands in the matrix twice.
    let [v, u] = ["couplings.1.weight", "couplings.2.weight"].map(matrix);
    close(v[0][1] + v[1][0], -0.2939177749, 1e-9);
    close(u[0][1] + u[1][0], -0.0393918406, 1e-9);
    close(vector("layers.0.bias")[0], -0.1351221593, 1e-9);
    close(vector("layers.1.bias")[0], -0.0188229236, 1e-9);
}

/// A machine whose parameters are β times those of `machine`: β·E.
fn scaled(machine: fn() -> Machine, beta: f64) -> Machine {
    let machine = machine();
    for (_, var) in machine.parameters() {
        var.set(&(var.as_tensor() * beta).unwrap()).unwrap();
    }
    machine
}

/// ⟨E⟩ at the inverse temperature β is −∂log Z/∂β: the sum over all configurations beside the difference quotient.
#[test]
fn energies_are_derivatives_of_log_z() {
    let machines: [(fn() -> Machine, f64); 3] =
        [(|| ten("bernoulli"), 0.0), (|| ten("spin"), -1.0), (with_hidden, 0.0)];
    for (machine, low) in machines {
        let all = all_configurations(10, low);
        for beta in [0.5, 1.0, 2.0] {
            let log_p = log_weights(&machine(), &all);
            let share = shares(&(&log_p * beta).unwrap());
            let mean = -(share * log_p).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
            let step = 1e-4;
            let log_z = |beta: f64| log_partition(&scaled(machine, beta)).unwrap();
            close(-(log_z(beta + step) - log_z(beta - step)) / (2.0 * step), mean, 1e-6);
        }
    }
    let log_p = log_weights(&ten("bernoulli"), &all_configurations(10, 0.0));
    let share = shares(&log_p);
    let mean = -(share * log_p).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    close(mean, -3.4125691219, 1e-9);
}

fn shares(log_weights: &Tensor) -> Tensor {
    let log_z = log_weights.log_sum_exp(0).unwrap();
    log_weights.broadcast_sub(&log_z).unwrap().exp().unwrap()
}

/// Units in another order, and a layer in two parts, are the same machine.
#[test]
fn neither_order_nor_layers_change_the_partition_function() {
    let (weights, bias) = (symmetric(10, &numbers(1, 45, 1.0)), numbers(2, 10, 0.5));
    for kind in ["bernoulli", "spin"] {
        let log_z = log_partition(&ten(kind)).unwrap();
        let order = [3u32, 9, 0, 7, 1, 8, 2, 6, 5, 4];
        let places = Tensor::new(&order, &CPU).unwrap();
        let turned = weights.index_select(&places, 0).unwrap().index_select(&places, 1).unwrap();
        let turned_bias: Vec<f64> = order.iter().map(|unit| bias[*unit as usize]).collect();
        let units = layer(&format!("{kind}:10"), &turned_bias);
        let coupling = Coupling::Lateral { layer: 0, weights: Var::from_tensor(&turned).unwrap() };
        let permuted = Machine::new(vec![units], vec![coupling]).unwrap();
        close(log_partition(&permuted).unwrap(), log_z, 1e-10);
        for first in [1, 4, 9] {
            let second = 10 - first;
            let block = |rows: (usize, usize), columns: (usize, usize)| {
                let block = weights.narrow(0, rows.0, rows.1).unwrap();
                let block = block.narrow(1, columns.0, columns.1).unwrap();
                Var::from_tensor(&block.contiguous().unwrap()).unwrap()
            };
            let layers = vec![
                layer(&format!("{kind}:{first}"), &bias[..first]),
                layer(&format!("{kind}:{second}"), &bias[first..]),
            ];
            let (a, b) = ((0, first), (first, second));
            let couplings = vec![
                Coupling::Lateral { layer: 0, weights: block(a, a) },
                Coupling::Dense { layers: [0, 1], weights: block(a, b) },
                Coupling::Lateral { layer: 1, weights: block(b, b) },
            ];
            let split = Machine::new(layers, couplings).unwrap();
            close(log_partition(&split).unwrap(), log_z, 1e-10);
        }
    }
}

/// Z is the sum over the values of a unit of Z without it, its couplings times the value added to the biases.
#[test]
fn a_unit_that_is_clamped_is_a_field() {
    let (weights, bias) = (symmetric(10, &numbers(1, 45, 1.0)), numbers(2, 10, 0.5));
    let weights = weights.to_vec2::<f64>().unwrap();
    for (kind, low) in [("bernoulli", 0.0), ("spin", -1.0)] {
        for clamped in [0, 4, 9] {
            let others: Vec<usize> = (0..10).filter(|unit| *unit != clamped).collect();
            let pairs = (0..9).flat_map(|i| (i + 1..9).map(move |j| (i, j)));
            let upper: Vec<f64> = pairs.map(|(i, j)| weights[others[i]][others[j]]).collect();
            let given = |value: f64| {
                let told = |unit: &usize| bias[*unit] + value * weights[clamped][*unit];
                let units =
                    layer(&format!("{kind}:9"), &others.iter().map(told).collect::<Vec<_>>());
                let without = Machine::new(vec![units], vec![lateral(0, 9, &upper, 1)]).unwrap();
                (log_partition(&without).unwrap() + value * bias[clamped]).exp()
            };
            close((given(low) + given(1.0)).ln(), log_partition(&ten(kind)).unwrap(), 1e-10);
        }
    }
}

/// ½·W_jj·x_j² of a unit of zero and one is a bias W_jj/2, and of a spin the constant W_jj/2: what a machine without a diagonal says, counted beside
/// energies with one.
#[test]
fn a_diagonal_is_a_bias_or_a_constant() {
    let (n, weights) = (5, numbers(61, 10, 0.9));
    let (bias, diagonal) = (numbers(62, 5, 0.7), numbers(63, 5, 1.1));
    for (units, values) in [("bernoulli:5", [0.0, 1.0]), ("spin:5", [-1.0, 1.0])] {
        let mut energies = Vec::new();
        for state in 0..1 << n {
            let x: Vec<f64> = (0..n).map(|i| values[state >> i & 1]).collect();
            let mut log_p: f64 =
                (0..n).map(|i| bias[i] * x[i] + 0.5 * diagonal[i] * x[i] * x[i]).sum();
            let mut pair = weights.iter();
            for i in 0..n {
                for j in i + 1..n {
                    log_p += pair.next().unwrap() * x[i] * x[j];
                }
            }
            energies.push(log_p);
        }
        let with_diagonal = energies.iter().map(|log_p| log_p.exp()).sum::<f64>().ln();
        let half: Vec<f64> = diagonal.iter().map(|w| 0.5 * w).collect();
        let (bias, constant): (Vec<f64>, f64) = match values[0] {
            0.0 => (bias.iter().zip(&half).map(|(b, w)| b + w).collect(), 0.0),
            _ => (bias.clone(), half.iter().sum()),
        };
        let couplings = vec![lateral(0, n, &weights, 1)];
        let machine = Machine::new(vec![layer(units, &bias)], couplings).unwrap();
        close(log_partition(&machine).unwrap() + constant, with_diagonal, 1e-10);
    }
}
