//! Learning of machines of any shape: gradients against enumeration and differentiation, whatever the couplings.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::Range;

use candle_core::{DType, Device, Tensor, Var};
use common::numbered::{lateral, layer, matrix, numbers, ten, with_hidden};
use rbm_core::estimate::monitor::Monitor;
use rbm_core::estimate::{
    has_pseudo_likelihood, pseudo_likelihoods, stochastic_pseudo_likelihood,
    visible_pseudo_likelihoods,
};
use rbm_core::learning::positive::{Start, best_mean_field, lower_bounds, mean_field};
use rbm_core::learning::transform::Centre;
use rbm_core::model::init::Init;
use rbm_core::model::{Boltzmann, Cliques, Coupling, Machine};
use rbm_core::units::{States, Support};
use rbm_core::{
    Averages, Discrete, Exact, Gradient, Layer, NegativePhase, Phase, PositivePhase,
    PseudoLikelihood, Rbm, Rng, Transform, Units,
};

const CPU: Device = Device::Cpu;

/// Machines with couplings of every kind, between units of several kinds.
fn machines() -> Vec<(&'static str, Machine)> {
    let dense = |a: usize, b: usize, rows: usize, columns: usize, seed: u64| {
        let weights = matrix(numbers(seed, (rows * columns) as u64, 0.7), rows, columns);
        Coupling::Dense { layers: [a, b], weights }
    };
    let edges = |layers, pairs: &[[u32; 2]], seed| {
        let weights = Tensor::new(numbers(seed, pairs.len() as u64, 0.9), &CPU).unwrap();
        Coupling::edges(layers, pairs, Var::from_tensor(&weights).unwrap()).unwrap()
    };
    let cliques = |sites: &[(usize, &str, Vec<u32>)], shape: &[usize], seed| {
        let units: Vec<Units> = sites.iter().map(|(_, units, _)| units.parse().unwrap()).collect();
        let sites: Vec<_> =
            sites.iter().zip(&units).map(|((at, _, of), units)| (*at, units, of.clone())).collect();
        let size = shape.iter().product::<usize>() as u64;
        let tables = Tensor::from_vec(numbers(seed, size, 0.9), shape, &CPU).unwrap();
        Coupling::Cliques(Cliques::new(&sites, Var::from_tensor(&tables).unwrap()).unwrap())
    };
    let machine = |layers, couplings| Machine::new(layers, couplings).unwrap();
    vec![
        ("both layers coupled", with_hidden()),
        (
            "visible sites of three states, spins beside them",
            machine(
                vec![
                    layer("potts(3):2", &numbers(31, 6, 0.5)),
                    layer("spin:3", &numbers(32, 3, 0.5)),
                ],
                vec![dense(0, 1, 6, 3, 33), lateral(0, 6, &numbers(34, 15, 0.8), 3)],
            ),
        ),
        (
            "a deep machine with edges",
            machine(
                vec![
                    layer("bernoulli:4", &numbers(41, 4, 0.5)),
                    layer("spin:3", &numbers(42, 3, 0.5)),
                    layer("bernoulli:2", &numbers(43, 2, 0.5)),
                ],
                vec![
                    dense(0, 1, 4, 3, 44),
                    dense(1, 2, 3, 2, 45),
                    edges([0, 2], &[[0, 1], [3, 0], [2, 1]], 46),
                ],
            ),
        ),
        (
            "cliques of three and four units of every kind, and hidden units",
            machine(
                vec![
                    layer("potts(3):2", &numbers(61, 6, 0.5)),
                    layer("spin:2", &numbers(62, 2, 0.5)),
                    layer("bernoulli:2", &numbers(63, 2, 0.5)),
                    layer("potts(2):1", &numbers(64, 2, 0.5)),
                    layer("bernoulli:2", &numbers(65, 2, 0.5)),
                ],
                vec![
                    dense(0, 4, 6, 2, 66),
                    cliques(
                        &[
                            (0, "potts(3):2", vec![3, 0, 3]),
                            (2, "bernoulli:2", vec![0, 0, 1]),
                            (1, "spin:2", vec![1, 0, 1]),
                        ],
                        &[3, 3, 2, 2],
                        67,
                    ),
                    cliques(
                        &[
                            (3, "potts(2):1", vec![0]),
                            (1, "spin:2", vec![1]),
                            (0, "potts(3):2", vec![0]),
                            (2, "bernoulli:2", vec![1]),
                        ],
                        &[1, 2, 2, 3, 2],
                        68,
                    ),
                    cliques(
                        &[(1, "spin:2", vec![0, 1]), (2, "bernoulli:2", vec![1, 1])],
                        &[2, 2, 2],
                        69,
                    ),
                ],
            ),
        ),
    ]
}

/// What a part of the rest says to the last colour and hears from it, wherever the part begins: within a layer, at its end, and of all.
#[test]
fn parts_of_the_rest_say_and_hear_their_part() {
    let (restricted, mut rng) = (
        Rbm::new(
            &"bernoulli:5".parse().unwrap(),
            &"bernoulli:3".parse().unwrap(),
            DType::F64,
            &CPU,
        )
        .unwrap(),
        Rng::new(4),
    );
    Init { weight_deviation: 1.0, hidden_bias: 0.0 }.draw_weights(&restricted, &mut rng).unwrap();
    let machines = machines();
    let all = machines.iter().map(|(name, machine)| (*name, machine as &dyn Boltzmann));
    for (name, machine) in all.chain([("restricted", &restricted as &dyn Boltzmann)]) {
        let width = machine.rest().units().width();
        let rest = Tensor::from_vec(numbers(81, 2 * width as u64, 1.0), (2, width), &CPU).unwrap();
        let whole = machine.last_inputs(&rest).unwrap();
        let last = whole.ones_like().unwrap();
        let heard = machine.rest_inputs(&last).unwrap();
        for from in 0..width {
            let zeros = rest.narrow(1, from, width - from).unwrap().zeros_like().unwrap();
            let before = Tensor::cat(&[&rest.narrow(1, 0, from).unwrap(), &zeros], 1).unwrap();
            let part = rest.narrow(1, from, width - from).unwrap().contiguous().unwrap();
            let sum = (machine.last_inputs(&before).unwrap()
                + machine.last_inputs_of(from, &part).unwrap())
            .unwrap();
            assert_close(name, &flat(&sum), &flat(&whole), 1e-13);
            let known = heard.narrow(1, from, width - from).unwrap();
            let found = machine.rest_inputs_from(from, &last).unwrap();
            assert_close(name, &flat(&found), &flat(&known), 1e-13);
        }
    }
}

/// All configurations of a layer, `(count, width)`.
fn all(layer: &dyn Layer) -> Tensor {
    let discrete: &dyn Discrete = layer.discrete().unwrap();
    discrete.configuration(0..discrete.configurations().unwrap()).unwrap()
}

fn flat(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= tolerance, "{what} {i}: {x} is not {y}");
    }
}

/// The derivatives of `objective` by every parameter; of a lateral matrix those of W_ij and W_ji together, and none within a unit.
fn derivatives(machine: &Machine, objective: &Tensor) -> Vec<Vec<f64>> {
    let gradients = objective.backward().unwrap();
    let couplings = machine.couplings();
    machine
        .parameters()
        .into_iter()
        .enumerate()
        .map(|(k, (_, var))| {
            let found =
                gradients.get(var).map_or_else(|| var.zeros_like().unwrap(), Tensor::detach);
            let Some(Coupling::Lateral { weights, .. }) = couplings.get(k) else {
                return flat(&found);
            };
            let both = flat(&(&found + found.t().unwrap()).unwrap());
            let is_coupled = flat(weights);
            both.into_iter().zip(is_coupled).map(|(x, w)| if w == 0.0 { 0.0 } else { x }).collect()
        })
        .collect()
}

fn tensors(machine: &Machine, gradient: &Gradient) -> Vec<Vec<f64>> {
    gradient.tensors(machine).unwrap().iter().map(flat).collect()
}

/// A phase of random configurations of the rest.
fn phase(machine: &Machine, rows: usize, seed: u64) -> Phase {
    let shape = (rows, machine.rest().units().width());
    let none = Tensor::zeros(shape, DType::F64, &CPU).unwrap();
    Phase::of(machine, &machine.rest().sample(&none, &mut Rng::new(seed)).unwrap()).unwrap()
}

/// What a phase says is the derivative of its mean free energy, whatever couples the units.
#[test]
fn averages_are_derivatives_of_free_energies() {
    for (name, machine) in machines() {
        let [one, two] = [5, 7].map(|seed| phase(&machine, 9, seed));
        let gradient = Gradient::between(&machine, &one, &two).unwrap();
        let mean = |phase: &Phase| {
            machine.free_energy(&phase.visible).unwrap().mean_all().unwrap().neg().unwrap()
        };
        let expected = derivatives(&machine, &(mean(&one) - mean(&two)).unwrap());
        for (found, expected) in tensors(&machine, &gradient).iter().zip(&expected) {
            assert_close(name, found, expected, 1e-12);
        }
        let total: f64 = expected.iter().flatten().map(|x| x.abs()).sum();
        assert!(total > 1.0, "{name}: nothing to compare");
    }
}

/// The exact negative phase is the derivative of log Z, and rows count by their weights.
#[test]
fn the_exact_phase_is_the_derivative_of_log_z() {
    for (name, machine) in machines() {
        let log_z = machine.free_energy(&all(machine.rest())).unwrap().neg().unwrap();
        let expected = derivatives(&machine, &log_z.log_sum_exp(0).unwrap());
        let positive = phase(&machine, 2, 1);
        let averages = Exact.averages(&machine, &positive, &mut Rng::new(0)).unwrap();
        let fantasy = Exact.fantasy(&machine, &positive, &mut Rng::new(0)).unwrap();
        for averages in [averages, Averages::of(&machine, &fantasy).unwrap()] {
            let parts = averages.couplings.iter().zip(machine.coupling_weights());
            let couplings = parts.map(|(ascent, w)| flat(&ascent.tensor(w).unwrap()));
            let others = averages.visible.iter().chain(&averages.hidden).map(flat);
            for (found, expected) in couplings.chain(others).zip(&expected) {
                assert_close(name, &found, expected, 1e-10);
            }
        }
    }
}

/// ⟨v₀h₀⟩, ⟨v₀v₁⟩ and ⟨h₀h₁⟩ of six visible and four hidden units, by enumeration in another language: what the exact phase says of them.
#[test]
fn averages_of_pairs_are_known() {
    let machine = with_hidden();
    let averages = Exact.averages(&machine, &phase(&machine, 1, 1), &mut Rng::new(0)).unwrap();
    let of = |k: usize| averages.couplings[k].tensor(machine.coupling_weights()[k]).unwrap();
    for (k, row, column, known) in
        [(0, 0, 0, 0.193_045_945_8), (1, 0, 1, 0.293_917_774_9), (2, 0, 1, 0.160_362_707_4)]
    {
        let found = of(k).get(row).unwrap().get(column).unwrap().to_scalar::<f64>().unwrap();
        assert!((found - known).abs() < 1e-9, "coupling {k}: {found}, not {known}");
    }
}

/// What the units of the rest hear is the derivative of what their couplings take from the energy, at means too.
#[test]
fn inputs_are_derivatives_of_interactions() {
    for (name, machine) in machines() {
        let states = machine.rest().sample(
            &Tensor::zeros((7, machine.rest().units().width()), DType::F64, &CPU).unwrap(),
            &mut Rng::new(4),
        );
        let means = (states.unwrap() * 0.7).unwrap();
        let rest = Var::from_tensor(&(means + 0.1).unwrap()).unwrap();
        let interaction = machine.interaction(&rest).unwrap().unwrap();
        let gradients = interaction.sum_all().unwrap().backward().unwrap();
        let inputs = machine.inputs_within(&rest).unwrap().unwrap();
        assert_close(name, &flat(&inputs), &flat(gradients.get(&rest).unwrap()), 1e-12);
    }
}

/// A table that learns from data comes to what the data say: p of each combination of four units is as often as it is there.
#[test]
fn a_table_of_four_units_learns_how_often_each_combination_is() {
    let machine = Machine::of_cliques(&[2; 4], &[(&[0, 1, 2, 3], &[0.0; 16])], DType::F64, &CPU);
    let machine = machine.unwrap();
    // Each combination as often as its number says, of 136.
    let rows: Vec<Vec<f64>> = (0..16usize)
        .flat_map(|k| std::iter::repeat_n(k, k + 1))
        .map(|k| {
            (0..4).rev().flat_map(|i| [1 - (k >> i & 1), k >> i & 1]).map(|x| x as f64).collect()
        })
        .collect();
    let cases = Tensor::new(rows, &CPU).unwrap();
    let positive = Phase::of(&machine, &cases).unwrap();
    for _ in 0..3000 {
        let negative = Exact.averages(&machine, &positive, &mut Rng::new(0)).unwrap();
        let gradient = Gradient::of(Averages::of(&machine, &positive).unwrap(), negative).unwrap();
        for ((_, var), step) in machine.parameters().iter().zip(gradient.tensors(&machine).unwrap())
        {
            var.set(&(var.as_detached_tensor() + (step * 0.8).unwrap()).unwrap()).unwrap();
        }
    }
    let log_z = rbm_core::estimate::log_partition(&machine).unwrap();
    let log_p = (machine.free_energy(&cases).unwrap().neg().unwrap() - log_z).unwrap();
    for (row, log_p) in (0..16).flat_map(|k| std::iter::repeat_n(k, k + 1)).zip(flat(&log_p)) {
        assert!((log_p.exp() - (row + 1) as f64 / 136.0).abs() < 1e-4, "{row}: {}", log_p.exp());
    }
}

/// Six visible and four hidden units, two cases: numbers by enumeration in another language.
#[test]
fn the_gradient_of_a_machine_with_coupled_hidden_units_is_known() {
    let machine = with_hidden();
    let hidden = all(machine.layers()[1].0);
    let mut rows = Vec::new();
    for case in [21u32, 42] {
        let visible: Vec<f64> = (0..6).map(|i| f64::from(case >> i & 1)).collect();
        for hidden in hidden.to_vec2::<f64>().unwrap() {
            rows.push(visible.iter().copied().chain(hidden).collect::<Vec<_>>());
        }
    }
    let rest = Tensor::new(rows, &CPU).unwrap();
    let energies = flat(&machine.free_energy(&rest).unwrap());
    // p(h | v) of each case, and each case counts alike.
    let log_sum = |energies: &[f64]| energies.iter().map(|e| (-e).exp()).sum::<f64>().ln();
    let sums: Vec<f64> = energies.chunks(16).map(log_sum).collect();
    let log_weights: Vec<f64> =
        energies.iter().enumerate().map(|(row, e)| -e - sums[row / 16]).collect();
    let log_z = rbm_core::estimate::log_partition(&machine).unwrap();
    assert!((sums.iter().sum::<f64>() / 2.0 - log_z + 4.732_848_446_5).abs() < 1e-9);
    let positive = Phase {
        log_weights: Some(Tensor::new(log_weights, &CPU).unwrap()),
        ..Phase::of(&machine, &rest).unwrap()
    };
    let negative = Exact.averages(&machine, &positive, &mut Rng::new(0)).unwrap();
    let gradient = Gradient::of(Averages::of(&machine, &positive).unwrap(), negative).unwrap();
    let found = tensors(&machine, &gradient);
    let at = [found[0][0], found[1][1], found[2][1], found[3][0], found[4][0]];
    let known =
        [-0.083_021_266_3, -0.293_917_774_9, -0.039_391_840_6, -0.135_122_159_3, -0.018_822_923_6];
    assert_close("the gradient", &at, &known, 1e-9);
}

/// The posterior means of the same machine given the units 0, 2 and 4: mean field by iteration, and Gibbs sampling within its noise.
#[test]
fn posteriors_of_coupled_hidden_units_are_known() {
    let machine = with_hidden();
    let case = Tensor::new(&[[1f64, 0.0, 1.0, 0.0, 1.0, 0.0]], &CPU).unwrap();
    let mean_field =
        PositivePhase::MeanField { steps: 500, tolerance: 1e-13, start: Start::Biases };
    let found = mean_field.infer(&machine, &case, &mut Rng::new(0)).unwrap();
    let known = [0.215_965_523, 0.338_795_844, 0.542_186_135, 0.368_965_300];
    assert_close("mean field", &flat(&found.visible)[6..], &known, 1e-9);
    assert_eq!(flat(&found.visible)[..6], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    let log_z = rbm_core::estimate::log_partition(&machine).unwrap();
    let bound = lower_bounds(&machine, &found, 6).unwrap()[0] - log_z;
    assert!((bound + 5.000_060_398_1).abs() < 1e-9, "{bound}");
    let many = case.broadcast_as((20_000, 6)).unwrap().contiguous().unwrap();
    let drawn =
        PositivePhase::Sampled { sweeps: 20 }.infer(&machine, &many, &mut Rng::new(1)).unwrap();
    let means = flat(&drawn.visible.mean(0).unwrap());
    // Four standard errors of 20,000 draws.
    let known = [0.220_049_359, 0.344_244_107, 0.540_537_517, 0.370_870_606];
    assert_close("sampled", &means[6..], &known, 4.0 * 0.5 / 20_000f64.sqrt());
}

/// The gradient of the pseudo-likelihood is its derivative, of units of two states, of several, and of numbers with their precisions.
#[test]
fn the_gradient_of_the_pseudo_likelihood_is_its_derivative() {
    let machine = |units: &str, states: usize| {
        let couplings = vec![lateral(0, 6, &numbers(4, 15, 0.8), states)];
        Machine::new(vec![layer(units, &numbers(6, 6, 0.5))], couplings).unwrap()
    };
    let kinds = [
        ("bernoulli:6", 1),
        ("spin:6", 1),
        ("potts(3):2", 3),
        ("gaussian:6", 1),
        ("gaussian-learned:6", 1),
    ];
    for (units, states) in kinds {
        let machine = machine(units, states);
        let positive = phase(&machine, 8, 3);
        let negative = PseudoLikelihood.averages(&machine, &positive, &mut Rng::new(0)).unwrap();
        let gradient = Gradient::of(Averages::of(&machine, &positive).unwrap(), negative).unwrap();
        let objective = visible_pseudo_likelihoods(&machine, &positive.visible).unwrap();
        let expected = derivatives(&machine, &objective.mean_all().unwrap());
        for (found, expected) in tensors(&machine, &gradient).iter().zip(&expected) {
            assert_close(units, found, expected, 1e-12);
        }
    }
    let cliques =
        Machine::of_cliques(&[2; 3], &[(&[0, 1, 2], &[0.0; 8])], DType::F64, &CPU).unwrap();
    let refused = PseudoLikelihood.averages(&cliques, &phase(&cliques, 2, 1), &mut Rng::new(0));
    assert!(refused.unwrap_err().to_string().contains("found cliques"));
}

/// Beside hidden units too, whatever couples the observed ones, and however the cases count: the derivative of what the table of all configurations says.
/// Between a fantasy and the data it is that of the mean over units.
#[test]
fn beside_hidden_units_the_gradient_of_the_pseudo_likelihood_is_its_derivative() {
    for (name, machine) in machines().into_iter().take(3).chain([("several values", several())]) {
        let cases = all(machine.rest());
        let scores = machine.free_energy(&cases).unwrap().neg().unwrap();
        let rows = cases.to_vec2::<f64>().unwrap();
        let sites = sites(&machine);
        let weights = numbers(91, rows.len() as u64, 1.0);
        let total: f64 = weights.iter().map(|w| w.exp()).sum();
        let mut terms = Vec::new();
        for (i, case) in rows.iter().enumerate() {
            for site in &sites {
                let agrees = |other: &[f64]| {
                    (0..case.len()).all(|i| site.contains(&i) || other[i] == case[i])
                };
                let others: Vec<u32> =
                    (0..rows.len() as u32).filter(|&at| agrees(&rows[at as usize])).collect();
                let own = scores.narrow(0, i, 1).unwrap().squeeze(0).unwrap();
                let index = Tensor::new(others, &CPU).unwrap();
                let all = scores.index_select(&index, 0).unwrap().log_sum_exp(0).unwrap();
                terms.push(((own - all).unwrap() * (weights[i].exp() / total)).unwrap());
            }
        }
        let objective = Tensor::stack(&terms, 0).unwrap().sum_all().unwrap();
        let expected = derivatives(&machine, &objective);
        let positive = Phase::of(&machine, &cases).unwrap();
        let log_weights = Some(Tensor::new(weights, &CPU).unwrap());
        let positive = Phase { log_weights, ..positive };
        let of_data = Averages::of(&machine, &positive).unwrap();
        let negative = PseudoLikelihood.averages(&machine, &positive, &mut Rng::new(0)).unwrap();
        let gradient = Gradient::of(of_data, negative).unwrap();
        let fantasy = PseudoLikelihood.fantasy(&machine, &positive, &mut Rng::new(0)).unwrap();
        let mean = Gradient::between(&machine, &positive, &fantasy).unwrap();
        let (found, mean) = (tensors(&machine, &gradient), tensors(&machine, &mean));
        assert_eq!(found.len(), expected.len());
        for ((found, mean), expected) in found.iter().zip(&mean).zip(&expected) {
            assert_close(name, found, expected, 1e-11);
            let of_sum: Vec<f64> = mean.iter().map(|x| x * sites.len() as f64).collect();
            // Where nothing is summed out a fantasy is drawn.
            if machine.last().units().width() > 0 {
                assert_close(name, &of_sum, expected, 1e-11);
            }
        }
    }
}

/// Three units of four values, coupled with each other and with two hidden ones.
fn several() -> Machine {
    let layers =
        vec![layer("binomial(3):3", &numbers(71, 3, 0.5)), layer("bernoulli:2", &[0.3, -0.2])];
    let weights = matrix(numbers(72, 6, 0.7), 3, 2);
    let couplings =
        vec![Coupling::Dense { layers: [0, 1], weights }, lateral(0, 3, &numbers(73, 3, 0.4), 1)];
    Machine::new(layers, couplings).unwrap()
}

/// The columns of each unit of the rest.
fn sites(machine: &Machine) -> Vec<Range<usize>> {
    let of = |support: Support| {
        let width = if let States::OneOf(states) = support.states { states } else { 1 };
        support.columns.step_by(width).map(move |start| start..start + width)
    };
    machine.rest().support().into_iter().flat_map(of).collect()
}

/// Catches couplings among the cases' units that the pseudo-likelihood forgets, or counts for the unit itself; what hidden units say; the exact way
/// of machines without hidden units beside the way of those with them.
#[test]
fn pseudo_likelihoods_are_those_of_the_table() {
    let others = [("visible", ten("spin")), ("several values", several())];
    for (name, machine) in machines().into_iter().take(3).chain(others) {
        assert!(has_pseudo_likelihood(&machine), "{name}");
        let rest = machine.rest();
        let cases = all(rest);
        let (rows, scores) = (cases.to_vec2::<f64>().unwrap(), machine.free_energy(&cases));
        let scores: Vec<f64> = flat(&scores.unwrap()).into_iter().map(|free| -free).collect();
        let sites = sites(&machine);
        let of_case = |case: &Vec<f64>, score: f64| {
            let of_site = |site: &Range<usize>| {
                let agrees = |other: &[f64]| {
                    (0..case.len()).all(|i| site.contains(&i) || other[i] == case[i])
                };
                let ways = rows.iter().zip(&scores).filter(|(other, _)| agrees(other));
                score - ways.map(|(_, score)| score.exp()).sum::<f64>().ln()
            };
            sites.iter().map(of_site).sum::<f64>()
        };
        let expected: Vec<f64> =
            rows.iter().zip(&scores).map(|(case, score)| of_case(case, *score)).collect();
        let found = pseudo_likelihoods(&machine, &cases).unwrap();
        assert_close(name, &found, &expected, 1e-10);
        // One unit of each case, often enough: what is drawn has all units of all cases in its mean.
        let mean = expected.iter().sum::<f64>() / expected.len() as f64;
        let mut rng = Rng::new(1);
        let draws: Vec<f64> = (0..400)
            .map(|_| stochastic_pseudo_likelihood(&machine, &cases, &mut rng).unwrap())
            .collect();
        let average = draws.iter().sum::<f64>() / 400.0;
        let variance = draws.iter().map(|x| (x - average).powi(2)).sum::<f64>() / 399.0;
        let error = (variance / 400.0).sqrt().max(1e-12);
        assert!((average - mean).abs() < 4.0 * error, "{name}: {average} is not {mean} ± {error}");
    }
    let cliques = machines().remove(3).1;
    assert!(!has_pseudo_likelihood(&cliques));
    let monitor = Monitor { train: all(cliques.rest()), held_out: None, rng: Rng::new(0) };
    assert_eq!(monitor.report(&cliques).unwrap().pseudo_likelihood, None);
    let wide = Tensor::zeros((2, 11), DType::F64, &CPU).unwrap();
    let refused = pseudo_likelihoods(&ten("spin"), &wide).unwrap_err();
    assert!(refused.to_string().contains("10 columns"), "{refused}");
    let refused = pseudo_likelihoods(&cliques, &all(cliques.rest())).unwrap_err();
    assert!(refused.to_string().contains("found cliques"), "{refused}");
}

/// A machine of two layers is watched as the restricted one that it is; couplings among the visible units are part of what they are.
#[test]
fn machines_are_watched_as_restricted_ones_are() {
    let (bias, hidden) = (numbers(6, 6, 0.5), numbers(7, 4, 0.5));
    let weights = || matrix(numbers(3, 24, 1.0), 6, 4);
    let layers = || (layer("bernoulli:6", &bias), layer("bernoulli:4", &hidden));
    let rbm = Rbm::from_parts(layers().0, layers().1, weights()).unwrap();
    let machine = |couplings| Machine::new(vec![layers().0, layers().1], couplings).unwrap();
    let dense = || Coupling::Dense { layers: [0, 1], weights: weights() };
    let cases = all(rbm.visible());
    let held_out = cases.narrow(0, 5, 9).unwrap();
    let monitor = Monitor { train: cases.clone(), held_out: Some(held_out), rng: Rng::new(3) };
    let [found, expected] = [&machine(vec![dense()]) as &dyn Boltzmann, &rbm].map(|machine| {
        let report = monitor.report(machine).unwrap();
        report.check(machine, &[]).unwrap();
        [
            report.reconstruction_error,
            report.pseudo_likelihood.unwrap(),
            report.free_energy,
            report.free_energy_gap.unwrap(),
            report.hidden_activity,
            report.mean_weight,
        ]
    });
    assert_close("two layers", &found, &expected, 1e-12);
    // A pair that is nearly always alike: each is reconstructed from the other.
    let mut upper = vec![0.0; 15];
    upper[0] = 20.0;
    let pair = machine(vec![dense(), lateral(0, 6, &upper, 1)]);
    let report = monitor.report(&pair).unwrap();
    assert!(report.reconstruction_error > found[0] + 1e-3 && report.free_energy < found[2]);
    let none = Monitor { train: all(ten("spin").rest()), held_out: None, rng: Rng::new(3) };
    let report = none.report(&ten("spin")).unwrap();
    assert_eq!((report.dead_units, report.hidden_activity), (0, 0.0));
    assert!(report.pseudo_likelihood.unwrap() < 0.0);
}

fn centred(machine: &dyn Boltzmann, cases: &Tensor) -> Gradient {
    let positive = Phase::of(machine, cases).unwrap();
    let negative = Exact.averages(machine, &positive, &mut Rng::new(0)).unwrap();
    let gradient = Gradient::of(Averages::of(machine, &positive).unwrap(), negative).unwrap();
    Centre::new(0.0).apply(gradient, machine, &positive).unwrap()
}

/// A machine of two layers is a restricted one: the centred gradient is the same by both ways.
#[test]
fn centring_a_machine_of_two_layers_is_centring_a_restricted_one() {
    let cases = Tensor::new(&[[1f64, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], &CPU).unwrap();
    let units = Units::bernoulli(3);
    let rbm = Rbm::new(&units, &Units::bernoulli(2), DType::F64, &CPU).unwrap();
    Init::default().apply(&rbm, &cases, &mut Rng::new(1)).unwrap();
    let weights = Var::from_tensor(&rbm.weights().as_detached_tensor()).unwrap();
    let couplings = vec![Coupling::Dense { layers: [0, 1], weights }];
    let layers = vec![rbm.visible().try_clone().unwrap(), rbm.hidden().try_clone().unwrap()];
    let machine = Machine::new(layers, couplings).unwrap();
    let [found, expected] = [&machine as &dyn Boltzmann, &rbm]
        .map(|machine| centred(machine, &cases).tensors(machine).unwrap());
    for (found, expected) in found.iter().zip(&expected) {
        assert_close("centred", &flat(found), &flat(expected), 1e-12);
    }
}

/// Which of its two values a unit calls 1 changes nothing that a machine with lateral couplings learns by the centred gradient.
#[test]
fn centring_does_not_depend_on_what_is_called_one() {
    let (n, bias, upper) = (4, numbers(51, 4, 0.5), numbers(52, 6, 0.8));
    let machine = Machine::new(vec![layer("bernoulli:4", &bias)], vec![lateral(0, n, &upper, 1)]);
    let machine = machine.unwrap();
    let weights = flat(machine.coupling_weights()[0]);
    // Unit 0 the other way round.
    let sign = |i: usize, j: usize| if (i == 0) != (j == 0) { -1.0 } else { 1.0 };
    let turned: Vec<f64> = (0..n * n).map(|at| sign(at / n, at % n) * weights[at]).collect();
    let other: Vec<f64> =
        (0..n).map(|i| if i == 0 { -bias[0] } else { bias[i] + weights[i] }).collect();
    let couplings = vec![Coupling::Lateral { layer: 0, weights: matrix(turned, n, n) }];
    let flipped = Machine::new(vec![layer("bernoulli:4", &other)], couplings).unwrap();
    let rows = [[1f64, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]];
    let cases = Tensor::new(&rows, &CPU).unwrap();
    let turned_rows = rows.map(|row| [1.0 - row[0], row[1], row[2], row[3]]);
    let turned_cases = Tensor::new(&turned_rows, &CPU).unwrap();
    let step = tensors(&machine, &centred(&machine, &cases));
    let turned_step = tensors(&flipped, &centred(&flipped, &turned_cases));
    let expected: Vec<f64> = (0..n * n).map(|at| sign(at / n, at % n) * step[0][at]).collect();
    assert_close("weights", &turned_step[0], &expected, 1e-12);
    let expected: Vec<f64> =
        (0..n).map(|i| if i == 0 { -step[1][0] } else { step[1][i] + step[0][i] }).collect();
    assert_close("biases", &turned_step[1], &expected, 1e-12);
}

/// Couplings outside a mask are not learned, and a machine that has some is refused.
#[test]
fn masks_hold_couplings_at_zero() {
    let machine = || {
        let couplings = vec![lateral(0, 4, &[0.5, 0.0, 0.0, 0.4, 0.0, 0.3], 1)];
        Machine::new(vec![layer("bernoulli:4", &[0.0; 4])], couplings).unwrap()
    };
    let mask = |pairs: &[(usize, usize)]| {
        let is = |i, j| pairs.contains(&(i, j)) || pairs.contains(&(j, i));
        let cells = (0..16).map(|at| f64::from(u8::from(is(at / 4, at % 4))));
        Tensor::from_vec(cells.collect::<Vec<_>>(), (4, 4), &CPU).unwrap()
    };
    let chain = mask(&[(0, 1), (1, 2), (2, 3)]);
    let masked = machine().with_mask(0, &chain).unwrap();
    let gradient = tensors(&masked, &centred(&masked, &phase(&masked, 5, 2).visible));
    for (at, (gradient, mask)) in gradient[0].iter().zip(flat(&chain)).enumerate() {
        assert_eq!(*gradient != 0.0, mask != 0.0, "{at}");
    }
    assert!(machine().with_mask(0, &mask(&[(0, 1), (1, 2)])).is_err());
    assert!(machine().with_mask(1, &chain).is_err());
}

/// Five visible units, four hidden ones above them, three above these: even layers first, so that the one between is summed out.
fn deep() -> Machine {
    let layers = vec![
        layer("bernoulli:5", &numbers(13, 5, 0.5)),
        layer("bernoulli:3", &numbers(15, 3, 0.5)),
        layer("bernoulli:4", &numbers(14, 4, 0.5)),
    ];
    let couplings = vec![
        Coupling::Dense { layers: [0, 2], weights: matrix(numbers(11, 20, 1.2), 5, 4) },
        Coupling::Dense { layers: [2, 1], weights: matrix(numbers(12, 12, 1.2), 4, 3) },
    ];
    Machine::new(layers, couplings).unwrap()
}

/// A deep machine: log Z, log p(v), mean field and its bound, by enumeration in another language.
#[test]
fn a_deep_machine_has_its_numbers() {
    let machine = deep();
    assert!(!machine.has_interaction() && machine.last().units().width() == 4);
    let log_z = rbm_core::estimate::log_partition(&machine).unwrap();
    assert!((log_z - 11.604_217_943_8).abs() < 1e-9, "{log_z}");
    let above = all(machine.layers()[1].0);
    let log_p = |number: u32| {
        let v: Vec<f64> = (0..5).map(|i| f64::from(number >> i & 1)).collect();
        let v = Tensor::new(v, &CPU).unwrap().unsqueeze(0).unwrap();
        let rest = Tensor::cat(&[&v.broadcast_as((8, 5)).unwrap(), &above], 1).unwrap();
        let scores = machine.free_energy(&rest).unwrap().neg().unwrap();
        (scores.log_sum_exp(0).unwrap().to_scalar::<f64>().unwrap() - log_z, v)
    };
    for (number, known) in [(0, -5.678_609_990_2), (11, -5.220_429_164_3), (31, -3.039_370_113_4)] {
        assert!((log_p(number).0 - known).abs() < 1e-9, "{number}");
    }
    let (exact, v) = log_p(11);
    let (phase, steps) = mean_field(&machine, &v, 1000, 1e-14).unwrap();
    assert!(steps < 1000);
    let top = [0.466_046_935, 0.934_623_351, 0.345_267_702];
    assert_close("the top", &flat(&phase.visible)[5..], &top, 1e-9);
    let middle = machine.last().mean(&phase.hidden_inputs).unwrap();
    let known = [0.625_886_778, 0.790_592_255, 0.494_772_387, 0.721_689_494];
    assert_close("the middle", &flat(&middle), &known, 1e-9);
    let bound = lower_bounds(&machine, &phase, 5).unwrap()[0] - log_z;
    assert!((bound + 5.333_854_659_9).abs() < 1e-9 && bound <= exact, "{bound}");
    let averages = Exact.averages(&machine, &phase, &mut Rng::new(0)).unwrap();
    let known = [0.744_399_924, 0.918_921_363, 0.559_494_659, 0.686_838_519];
    assert_close("⟨h₁⟩", &flat(&averages.hidden[0]), &known, 1e-9);
    let known = [0.496_376_327, 0.932_182_850, 0.312_656_018];
    assert_close("⟨h₂⟩", &flat(averages.visible.last().unwrap()), &known, 1e-9);
}

/// A deep machine is the restricted one of its stacked even and odd layers.
#[test]
fn a_deep_machine_is_a_restricted_one() {
    let machine = deep();
    let units: Units = "bernoulli:5+bernoulli:3".parse().unwrap();
    let rbm = Rbm::new(&units, &Units::bernoulli(4), DType::F64, &CPU).unwrap();
    let [w1, w2] = [0, 1].map(|k| machine.coupling_weights()[k].as_detached_tensor());
    let stacked = Tensor::cat(&[w1, w2.t().unwrap()], 0).unwrap();
    rbm.weights().set(&stacked.contiguous().unwrap()).unwrap();
    let biases = machine.layers().into_iter().map(|(layer, _)| layer.bias().unwrap());
    for ((_, var), bias) in rbm.parameters().into_iter().skip(1).zip(biases) {
        var.set(&bias).unwrap();
    }
    let [one, two] = [&machine as &dyn Boltzmann, &rbm]
        .map(|machine| rbm_core::estimate::log_partition(machine).unwrap());
    assert!((one - two).abs() < 1e-12, "{one} {two}");
}

/// One unit of data, and beside it `units` with these couplings among them, `(width, width)` from its upper triangle.
fn beside(units: &str, bias: &[f64], upper: &[f64], states: usize) -> Machine {
    let layers = vec![layer("bernoulli:1", &[0.0]), layer(units, bias)];
    Machine::observing(layers, vec![lateral(1, bias.len(), upper, states)], 1).unwrap()
}

/// Without couplings the bound is the value itself, whatever the units.
#[test]
fn uncoupled_units_leave_no_gap() {
    let (bias, none) = (numbers(8, 6, 2.0), [0.0; 15]);
    let case = Tensor::new(&[[0f64]], &CPU).unwrap();
    for (units, states) in [("spin:6", 1), ("potts(3):2", 3), ("bernoulli:6", 1)] {
        let machine = beside(units, &bias, &none, states);
        let (_, bounds, _) = best_mean_field(&machine, &case, 10, 0.0).unwrap();
        let values = all(machine.layers()[1].0);
        let energies = machine.layers()[1].0.energy(&values).unwrap().neg().unwrap();
        let exact = energies.log_sum_exp(0).unwrap().to_scalar::<f64>().unwrap();
        assert!((bounds[0] - exact).abs() < 1e-12, "{units}: {} {exact}", bounds[0]);
    }
}

/// Two spins that pull each other strongly: started evenly they would stay at mean 0, where the bound is far too low. Spins that push each
/// other away come to rest too, though all move together.
#[test]
fn the_better_start_is_taken_and_all_comes_to_rest() {
    let case = Tensor::new(&[[0f64]], &CPU).unwrap();
    let pull = beside("spin:2", &[1e-9, 1e-9], &[3.0], 1);
    let (_, bounds, _) = best_mean_field(&pull, &case, 1000, 1e-12).unwrap();
    let exact = (2.0 * 3f64.exp() + 2.0 * (-3f64).exp()).ln();
    assert!(bounds[0] <= exact && bounds[0] > exact - 0.8, "{} {exact}", bounds[0]);
    let push = beside("spin:6", &numbers(9, 6, 0.3), &[-2.0; 15], 1);
    let (_, bounds, steps) = best_mean_field(&push, &case, 1000, 1e-9).unwrap();
    assert!(steps < 1000 && bounds[0].is_finite(), "{steps}");
}
