//! Sweeps of machines of any shape leave their distribution as it is: every coupling, every pair of discrete kinds of units. So do chains with
//! held units, replicas at every inverse temperature, and exchanges between machines of different couplings.
//!
//! Many chains start at exact samples, make a step, and are counted: χ² over all configurations. With the significance 10⁻⁶ for each
//! case a right program would fail for one seed in 10³ (the seeds are fixed).
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::model::{Boltzmann, Cliques, Coupling, Machine};
use rbm_core::sampling::trajectory::{Level, Trajectory};
use rbm_core::sampling::{AnnealingPath, Clamped, Tempering};
use rbm_core::units::{BaseUnits, States, Support};
use rbm_core::{Kernel, Layer, Rng, Units, ops};

const CPU: Device = Device::Cpu;
const CHAINS: usize = 100_000;
/// Chains at each level where there are several.
const REPLICAS: usize = 30_000;
/// The normal quantile of 1 − 10⁻⁶.
const SIGNIFICANT: f64 = 4.753;

/// Discrete kinds of units, few enough of each that all configurations can be counted.
const KINDS: [&str; 5] =
    ["bernoulli:2", "spin:2", "binomial(2):2", "potts(3):2", "multinomial(2):2"];

fn normal(shape: &[usize], seed: u64) -> Tensor {
    ops::normal(shape, DType::F64, &CPU, &mut Rng::new(seed)).unwrap()
}

/// All configurations of a layer.
fn configurations(layer: &dyn Layer) -> Vec<Vec<f64>> {
    let mut all = vec![Vec::new()];
    for support in layer.discrete().unwrap().support() {
        let units: Vec<Vec<Vec<f64>>> = match support.states {
            States::Values(values) => {
                vec![values.iter().map(|(value, _)| vec![*value]).collect(); support.columns.len()]
            }
            States::OneOf(states) => {
                let one = |k: usize| (0..states).map(|j| f64::from(u8::from(j == k))).collect();
                vec![(0..states).map(one).collect(); support.columns.len() / states]
            }
            States::Draws(draws) => {
                assert_eq!(support.columns.len(), 2);
                vec![(0..=draws).map(|k| vec![k as f64, (draws - k) as f64]).collect()]
            }
            States::Real => panic!("numbers are no configurations that can be counted"),
        };
        for unit in units {
            let longer = |row: &Vec<f64>| {
                unit.iter().map(|value| [&row[..], value].concat()).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
    }
    all
}

/// A machine with all its configurations, rest and last side by side, and how probable each is.
struct Counted {
    machine: Machine,
    width: usize,
    all: Vec<Vec<f64>>,
    p: Vec<f64>,
}

impl Counted {
    fn new(kinds: &[&str], couplings: impl Fn(&[Box<dyn Layer>]) -> Vec<Coupling>) -> Self {
        let build = |(i, kind): (usize, &&str)| {
            let layer = kind.parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
            for (_, var) in layer.vars() {
                var.set(&(normal(var.dims(), 90 + i as u64) * 0.5).unwrap()).unwrap();
            }
            layer
        };
        let layers: Vec<Box<dyn Layer>> = kinds.iter().enumerate().map(build).collect();
        let mut all = vec![Vec::new()];
        for layer in &layers {
            let of = configurations(&**layer);
            all = all
                .iter()
                .flat_map(|row: &Vec<f64>| of.iter().map(|more| [&row[..], more].concat()))
                .collect();
        }
        let couplings = couplings(&layers);
        let machine = Machine::new(layers, couplings).unwrap();
        let width = machine.rest().units().width();
        let (rest, last) = parts(&all, width);
        let log_p = machine.energy(&rest, &last).unwrap().neg().unwrap();
        let log_z = log_p.log_sum_exp(0).unwrap();
        let p = log_p.broadcast_sub(&log_z).unwrap().exp().unwrap().to_vec1().unwrap();
        Self { machine, width, all, p }
    }

    /// Exact samples.
    fn sample(&self) -> (Tensor, Tensor) {
        self.sample_of(&self.p, CHAINS, 77)
    }

    /// `count` samples, where each configuration is as probable as `p` says.
    fn sample_of(&self, p: &[f64], count: usize, seed: u64) -> (Tensor, Tensor) {
        let rows = picked(&self.all, p, count, seed);
        parts(&rows, self.width)
    }

    /// How far these configurations are from the distribution.
    fn drift(&self, rest: &Tensor, last: &Tensor) -> f64 {
        drift(&self.all, &self.p, &Tensor::cat(&[rest, last], 1).unwrap())
    }

    /// How probable each configuration is at the inverse temperature `beta` of `path`: the couplings count β times, and the fields of the
    /// path 1 − β times.
    fn probabilities_at(&self, path: &AnnealingPath, beta: f64) -> Vec<f64> {
        let (rest, last) = parts(&self.all, self.width);
        let machine = scaled(&self.machine, beta);
        let part = |x: &Tensor, base: &BaseUnits| {
            x.broadcast_mul(&base.field).unwrap().sum(1).unwrap().affine(1.0 - beta, 0.0).unwrap()
        };
        let fields = (part(&rest, &path.rest) + part(&last, &path.last)).unwrap();
        let log_p = (fields - machine.energy(&rest, &last).unwrap()).unwrap();
        let log_z = log_p.log_sum_exp(0).unwrap();
        log_p.broadcast_sub(&log_z).unwrap().exp().unwrap().to_vec1().unwrap()
    }

    /// The configurations of the rest, and how probable each is where whole configurations have the probabilities `p`.
    fn of_rest(&self, p: &[f64]) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut p = p.iter();
        let same = self.all.chunk_by(|a, b| a[..self.width] == b[..self.width]);
        same.map(|rows| (rows[0][..self.width].to_vec(), p.by_ref().take(rows.len()).sum::<f64>()))
            .unzip()
    }

    /// The drift after a sweep.
    fn swept(&self) -> f64 {
        let ((rest, last), mut rng) = (self.sample(), Rng::new(78));
        let rest = self.machine.draw_rest(Some(&rest), &last, None, &mut rng).unwrap();
        self.drift(&rest, &self.last(&rest, &mut rng))
    }

    fn last(&self, rest: &Tensor, rng: &mut Rng) -> Tensor {
        let inputs = self.machine.last_inputs(rest).unwrap();
        if inputs.dim(1).unwrap() == 0 {
            inputs
        } else {
            self.machine.last().sample(&inputs, rng).unwrap()
        }
    }
}

/// `count` of `all`, each as often as `p` says.
fn picked(all: &[Vec<f64>], p: &[f64], count: usize, seed: u64) -> Vec<Vec<f64>> {
    let chance = ops::uniform(count, DType::F64, &CPU, &mut Rng::new(seed)).unwrap();
    let at = |chance: &f64| {
        let mut left = *chance;
        let is_behind = |p: &f64| {
            left -= p;
            left < 0.0
        };
        p.iter().position(is_behind).unwrap_or(p.len() - 1)
    };
    chance.to_vec1::<f64>().unwrap().iter().map(|chance| all[at(chance)].clone()).collect()
}

/// χ² of so many degrees of freedom as a standard normal number (Wilson and Hilferty 1931).
fn standardised(square: f64, degrees: f64) -> f64 {
    let ninth = 2.0 / (9.0 * degrees);
    ((square / degrees).cbrt() - (1.0 - ninth)) / ninth.sqrt()
}

/// How far the counts of these configurations `(rows, width)` are from the probabilities `p` of `all`, as a standard normal number.
fn drift(all: &[Vec<f64>], p: &[f64], rows: &Tensor) -> f64 {
    let rows = rows.to_vec2::<f64>().unwrap();
    let bits = |row: &[f64]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let place: std::collections::HashMap<_, _> =
        all.iter().enumerate().map(|(i, row)| (bits(row), i)).collect();
    let mut counts = vec![0.0; all.len()];
    rows.iter().for_each(|row| counts[place[&bits(row)]] += 1.0);
    // Rare configurations are counted together.
    let (mut square, mut cells, mut rare) = (0.0, 0.0, [0.0, 0.0]);
    for (count, p) in counts.iter().zip(p) {
        let expected = p * rows.len() as f64;
        if expected < 10.0 {
            rare = [rare[0] + count, rare[1] + expected];
        } else {
            square += (count - expected).powi(2) / expected;
            cells += 1.0;
        }
    }
    if rare[1] >= 10.0 {
        square += (rare[0] - rare[1]).powi(2) / rare[1];
        cells += 1.0;
    }
    standardised(square, cells - 1.0)
}

/// A copy of the machine, its couplings `factor` times as strong.
fn scaled(machine: &Machine, factor: f64) -> Box<dyn Boltzmann> {
    let copy = machine.duplicate().unwrap();
    for weights in copy.coupling_weights() {
        weights.set(&(weights.as_detached_tensor() * factor).unwrap()).unwrap();
    }
    copy
}

/// Rows cut after `width` columns.
fn parts(rows: &[Vec<f64>], width: usize) -> (Tensor, Tensor) {
    let (all, of) = (Tensor::new(rows.to_vec(), &CPU).unwrap(), rows[0].len());
    let part = |start, len| all.narrow(1, start, len).unwrap().contiguous().unwrap();
    (part(0, width), part(width, of - width))
}

fn dense(layers: [usize; 2], of: &[Box<dyn Layer>], seed: u64) -> Coupling {
    let shape = layers.map(|layer| of[layer].units().width());
    Coupling::Dense { layers, weights: Var::from_tensor(&normal(&shape, seed)).unwrap() }
}

/// [`dense`] or [`edges`].
type Between = fn([usize; 2], &[Box<dyn Layer>], u64) -> Coupling;

/// Most of the pairs of columns of two layers.
fn edges(layers: [usize; 2], of: &[Box<dyn Layer>], seed: u64) -> Coupling {
    let [a, b] = layers.map(|layer| of[layer].units().width() as u32);
    let pairs = (0..a).flat_map(|i| (0..b).map(move |j| [i, j]));
    let pairs: Vec<_> = pairs.filter(|[i, j]| (i + j) % 3 != 2).collect();
    let weights = Var::from_tensor(&normal(&[pairs.len()], seed)).unwrap();
    Coupling::edges(layers, &pairs, weights).unwrap()
}

/// The first column of the unit that each column belongs to. Columns that share draws are one unit.
fn units_of_columns(layer: &dyn Layer) -> Vec<u32> {
    let of = |support: &Support| {
        let columns = match support.states {
            States::Values(_) | States::Real => 1,
            States::OneOf(states) => states,
            States::Draws(_) => support.columns.len(),
        };
        let start = support.columns.start;
        support.columns.clone().map(move |at| (start + (at - start) / columns * columns) as u32)
    };
    layer.discrete().unwrap().support().iter().flat_map(of).collect()
}

/// All units of a layer with each other; none where they share draws.
fn lateral(layer: usize, of: &[Box<dyn Layer>], seed: u64) -> Option<Coupling> {
    let width = of[layer].units().width();
    let support = of[layer].discrete().unwrap().support();
    if support.iter().any(|support| matches!(support.states, States::Draws(_))) {
        return None;
    }
    let site = units_of_columns(&*of[layer]);
    let rough = normal(&[width, width], seed).to_vec2::<f64>().unwrap();
    let weight =
        |i: usize, j: usize| if site[i] == site[j] { 0.0 } else { rough[i.min(j)][i.max(j)] };
    let weights: Vec<f64> = (0..width * width).map(|at| weight(at / width, at % width)).collect();
    let weights = Tensor::from_vec(weights, (width, width), &CPU).unwrap();
    Some(Coupling::Lateral { layer, weights: Var::from_tensor(&weights).unwrap() })
}

/// Machines of two layers of a pair of kinds, alone and with a third unit that both see, so that the first two are drawn one after the other;
/// with units of each layer coupled too, and without.
fn machines_of(a: &str, b: &str) -> Vec<(String, Counted)> {
    let between: [(&str, Between); 2] = [("dense", dense), ("edges", edges)];
    let mut all = Vec::new();
    for (name, couple) in between {
        for is_lateral in [false, true] {
            for kinds in [&[a, b][..], &[a, b, "bernoulli:1"]] {
                let counted = Counted::new(kinds, |layers| {
                    let pairs = [[0, 1], [0, 2], [1, 2]];
                    let pairs = pairs.iter().filter(|[_, to]| *to < layers.len());
                    let mut couplings: Vec<_> =
                        pairs.zip(20..).map(|(pair, seed)| couple(*pair, layers, seed)).collect();
                    if is_lateral {
                        couplings.extend(
                            (0..2).filter_map(|layer| lateral(layer, layers, 30 + layer as u64)),
                        );
                    }
                    couplings
                });
                let many = kinds.len();
                all.push((
                    format!("{a}, {b}, {many} layers, {name}, lateral: {is_lateral}"),
                    counted,
                ));
            }
        }
    }
    all
}

#[test]
fn sweeps_leave_the_distribution_as_it_is() {
    for a in KINDS {
        for b in KINDS {
            for (name, counted) in machines_of(a, b) {
                let drift = counted.swept();
                assert!(drift < SIGNIFICANT, "{name}: {drift}");
            }
        }
    }
}

/// A table for each pair of the first and the second unit of three layers with a unit of the last.
fn cliques(layers: &[Box<dyn Layer>], seed: u64) -> Coupling {
    let units: Vec<Units> = layers.iter().map(|layer| layer.units()).collect();
    let states = |units: &Units| match units {
        Units::Potts { states, .. } => *states,
        _ => 2,
    };
    let wide = |units: &Units| if let Units::Potts { states, .. } = units { *states } else { 1 };
    let first = |units: &Units, unit: usize| (unit * wide(units)) as u32;
    let pairs = [[0, 0], [1, 0], [1, 1]];
    let sites: Vec<_> = units
        .iter()
        .enumerate()
        .map(|(axis, units)| {
            let of = |pair: &[usize; 2]| first(units, pair.get(axis).copied().unwrap_or(0));
            (axis, units, pairs.iter().map(of).collect())
        })
        .collect();
    let mut shape = vec![pairs.len()];
    shape.extend(units.iter().map(states));
    let tables = Var::from_tensor(&normal(&shape, seed)).unwrap();
    Coupling::Cliques(Cliques::new(&sites, tables).unwrap())
}

/// Cliques of three units, of every kind that may be in one; with couplings of pairs beside them, and with a layer that is summed out.
#[test]
fn sweeps_of_cliques_leave_the_distribution_as_it_is() {
    let kinds = ["bernoulli:2", "spin:2", "potts(3):2"];
    for a in kinds {
        for b in kinds {
            for c in ["bernoulli:1", "spin:1", "potts(2):1"] {
                let alone = Counted::new(&[a, b, c], |layers| vec![cliques(layers, 50)]);
                let drift = alone.swept();
                assert!(drift < SIGNIFICANT, "{a}, {b}, {c}: {drift}");
            }
            let beside = Counted::new(&[a, b, "spin:1", "bernoulli:1"], |layers| {
                let mut all = vec![cliques(&layers[..3], 51), dense([0, 1], layers, 52)];
                all.extend([dense([0, 3], layers, 53), dense([2, 3], layers, 54)]);
                all.extend(lateral(0, layers, 55));
                all
            });
            assert_eq!(beside.machine.layers_of_rest(), 3);
            let drift = beside.swept();
            assert!(drift < SIGNIFICANT, "{a}, {b} and others: {drift}");
        }
    }
}

/// All units of a clique must have different colours. Drawn at once from what the others were, they come to another distribution.
#[test]
fn a_wrong_colouring_of_cliques_is_found() {
    for kinds in [["spin:2", "spin:2", "spin:1"], ["bernoulli:2", "potts(3):2", "spin:1"]] {
        let counted = Counted::new(&kinds, |layers| vec![cliques(layers, 56)]);
        let ((rest, last), mut rng) = (counted.sample(), Rng::new(57));
        let machine = &counted.machine;
        let deaf = machine.inputs_within(&rest).unwrap().unwrap();
        let deaf = machine.rest().sample(&deaf, &mut rng).unwrap();
        let drift = counted.drift(&deaf, &last);
        assert!(drift > SIGNIFICANT, "{kinds:?}: {drift}");
        assert!(counted.swept() < SIGNIFICANT, "{kinds:?}");
    }
    let units = Units::Spin { size: 2 };
    let tables = Var::from_tensor(&normal(&[1, 2, 2], 58)).unwrap();
    let sites = [(0, &units, vec![0]), (0, &units, vec![1])];
    let error = Cliques::new(&sites, tables).unwrap_err().to_string();
    assert!(error.contains("different layers") && error.contains("layer 0 twice"), "{error}");
}

/// Units that are coupled and of one colour, drawn at once from what they were, come to another distribution: χ² says so, and not
/// where the second hears what has become of the first.
#[test]
fn a_wrong_colouring_is_found() {
    for kinds in [["spin:2", "spin:2"], ["bernoulli:2", "potts(3):2"], ["binomial(2):2", "spin:2"]]
    {
        let counted = Counted::new(&kinds, |layers| vec![dense([0, 1], layers, 40)]);
        let ((rest, last), mut rng) = (counted.sample(), Rng::new(41));
        let drawn = counted.machine.draw_rest(Some(&rest), &last, None, &mut rng).unwrap();
        let deaf = counted.last(&rest, &mut rng);
        let drift = counted.drift(&drawn, &deaf);
        assert!(drift > SIGNIFICANT, "{kinds:?}: {drift}");
        let hearing = counted.last(&drawn, &mut rng);
        assert!(counted.drift(&drawn, &hearing) < SIGNIFICANT, "{kinds:?}");
    }
}

/// Pairs of kinds that differ in how many states a unit has, and in what these are worth.
const MIXED: [(&str, &str); 4] = [
    ("spin:2", "potts(3):2"),
    ("potts(3):2", "bernoulli:2"),
    ("binomial(2):2", "spin:2"),
    ("multinomial(2):2", "potts(3):1"),
];

/// Machines of these pairs, one of every pair, and machines of cliques of three units, alone and with couplings of pairs beside them.
fn mixed() -> Vec<(String, Counted)> {
    let mut all: Vec<_> = MIXED.iter().flat_map(|(a, b)| machines_of(a, b)).collect();
    // Of every pair the one that has most to it: three layers, and units of a layer coupled with each other.
    all.extend(KINDS.iter().flat_map(|a| KINDS.iter().filter_map(|b| machines_of(a, b).pop())));
    let kinds = ["bernoulli:2", "potts(3):2", "spin:1"];
    all.push(("cliques".into(), Counted::new(&kinds, |layers| vec![cliques(layers, 80)])));
    let beside = |layers: &[Box<dyn Layer>]| {
        let mut couplings = vec![cliques(layers, 81), dense([0, 1], layers, 82)];
        couplings.extend(lateral(1, layers, 83));
        couplings
    };
    all.push((
        "cliques and pairs".into(),
        Counted::new(&["spin:2", "potts(3):2", "bernoulli:1"], beside),
    ));
    all
}

/// Chains of which each holds other units, as they are in an exact sample: the held ones stay, and all together have the distribution still.
/// It would catch inputs of free units that come from what held ones would have been drawn as, and a site of which a part is held.
#[test]
fn chains_with_held_units_stay_at_the_distribution() {
    for (name, counted) in mixed() {
        let ((rest, _), mut rng) = (counted.sample(), Rng::new(61));
        let columns = units_of_columns(counted.machine.rest());
        let chance = ops::uniform(rest.dims(), DType::F64, &CPU, &mut Rng::new(62)).unwrap();
        let chance = chance.index_select(&Tensor::new(columns, &CPU).unwrap(), 1).unwrap();
        let held = chance.gt(0.5).unwrap().to_dtype(DType::F64).unwrap();
        let clamped = Clamped::new(&rest, &held).unwrap();
        let mut chains = clamped.init(&counted.machine, rest.clone(), &mut rng).unwrap();
        for step in 0..3 {
            let drift = counted.drift(&chains.visible, &chains.hidden);
            assert!(drift < SIGNIFICANT, "{name}, step {step}: {drift}");
            clamped.step(&counted.machine, &mut chains, &mut rng).unwrap();
        }
        let changed = (&chains.visible - &rest).unwrap().abs().unwrap();
        let sum = |x: Tensor| x.sum_all().unwrap().to_scalar::<f64>().unwrap();
        assert_eq!(sum((&changed * &held).unwrap()), 0.0, "{name}: held units moved");
        assert!(sum(changed) > 0.1 * CHAINS as f64, "{name}: free units hardly move");
    }
}

/// Replicas at three inverse temperatures, each level at its own distribution, under fields that stand in for the couplings: through swaps of
/// both gaps every level stays there. It would catch couplings within the rest that are left out of a swap's ratio or not tempered, and
/// hidden units that do not go with their replica.
#[test]
fn replicas_stay_at_the_distributions_of_their_levels() {
    for (name, counted) in mixed() {
        let machine = &counted.machine;
        let base =
            |layer: &dyn Layer, seed| BaseUnits::of_field(normal(&[layer.units().width()], seed));
        let path = AnnealingPath { rest: base(machine.rest(), 63), last: base(machine.last(), 64) };
        let (tempering, mut rng) = (Tempering::even(path.clone(), 3).unwrap(), Rng::new(65));
        let levels: Vec<Vec<f64>> =
            tempering.betas.iter().map(|beta| counted.probabilities_at(&path, *beta)).collect();
        let start = (66..).zip(&levels).map(|(seed, p)| counted.sample_of(p, REPLICAS, seed).0);
        let start = Tensor::cat(&start.collect::<Vec<_>>(), 0).unwrap();
        let mut replicas = tempering.init(machine, start, &mut rng).unwrap();
        for step in 0..3 {
            let swaps = tempering.step(machine, &mut replicas, &mut rng).unwrap();
            let acceptance = &swaps.acceptance;
            assert!(acceptance.iter().all(|a| *a > 0.05 && *a < 0.98), "{name}: {acceptance:?}");
            for (level, p) in levels.iter().enumerate() {
                let rows = [&replicas.rows.visible, &replicas.rows.hidden]
                    .map(|x| x.narrow(0, level * REPLICAS, REPLICAS).unwrap());
                let drift = drift(&counted.all, p, &Tensor::cat(&rows, 1).unwrap());
                assert!(drift < SIGNIFICANT, "{name}, step {step}, level {level}: {drift}");
            }
        }
    }
}

/// Machines of no couplings, half of them and all, each with exact samples, of which portions are moved and exchanged: every level stays at its
/// distribution, moves, and keeps the free energies of what it has. It would catch a ratio with a wrong sign or without the couplings within the
/// rest, and rows that are put back without their energies.
#[test]
fn exchanges_between_machines_leave_their_distributions() {
    for (name, counted) in mixed() {
        let path = AnnealingPath::from_biases(&counted.machine).unwrap();
        let mut rng = Rng::new(71);
        let factors = [0.0, 0.5, 1.0];
        let known = factors.map(|factor| counted.probabilities_at(&path, factor));
        let rows = |p, seed| counted.sample_of(p, 2 * REPLICAS, seed).0;
        let levels = factors.iter().zip(&known).zip(72..).map(|((factor, p), seed)| {
            Level::new(&*scaled(&counted.machine, *factor), rows(p, seed), REPLICAS).unwrap()
        });
        let mut trajectory = Trajectory::of(levels.collect(), REPLICAS).unwrap();
        for _ in 0..4 {
            let (gap, acceptance) = trajectory.visit(&mut rng).unwrap().unwrap();
            assert!(acceptance > 0.05 && acceptance < 0.98, "{name}, {gap}: {acceptance}");
        }
        for (number, (level, p)) in trajectory.levels().iter().zip(&known).enumerate() {
            let (all, p) = counted.of_rest(p);
            let drift = drift(&all, &p, &level.visible);
            assert!(drift < SIGNIFICANT, "{name}, level {number}: {drift}");
            let changed = level.visible.ne(&rows(&known[number], 72 + number as u64)).unwrap();
            let changed = changed.to_dtype(DType::F64).unwrap().mean_all().unwrap();
            assert!(changed.to_scalar::<f64>().unwrap() > 0.1, "{name}, level {number} stays");
            let free_energy = level.machine.free_energy(&level.visible).unwrap();
            let free_energy = free_energy.to_vec1::<f64>().unwrap();
            let pairs = free_energy.iter().zip(&level.free_energy);
            assert!(pairs.into_iter().all(|(x, y)| (x - y).abs() < 1e-9), "{name}, {number}");
        }
    }
}

/// Kinds of units that are numbers.
const REAL: [&str; 3] = ["gaussian:2", "gaussian-learned:2", "relu:2"];

/// A machine in which units that are numbers are no last colour, and one of the same couplings in which they are: there they are summed out, all else
/// is counted, and they are drawn given it.
struct Mixture {
    /// Discrete units, numbers, and where there is one a bit that is coupled with both.
    machine: Machine,
    /// The discrete units, and the numbers last.
    integrated: Machine,
    all: Vec<Vec<f64>>,
    p: Vec<f64>,
    /// Columns of the first layer and of the numbers.
    widths: [usize; 2],
}

impl Mixture {
    fn new(a: &str, b: &str, has_third: bool, is_dense: bool) -> Self {
        let build = |(kind, seed): (&str, u64)| {
            let layer = kind.parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
            for (name, var) in layer.vars() {
                let numbers = (normal(var.dims(), seed) * 0.5).unwrap();
                // Precisions, or their logarithms, stay near one.
                let numbers = if name == "bias" {
                    numbers
                } else {
                    (var.as_tensor() + numbers * 0.2).unwrap()
                };
                var.set(&numbers).unwrap();
            }
            layer
        };
        let third = ("bernoulli:1", 92);
        let apart = |kinds: Vec<(&str, u64)>| kinds.into_iter().map(build).collect::<Vec<_>>();
        let (mut layers, mut last) = (vec![(a, 90)], vec![(a, 90)]);
        layers.push((b, 91));
        if has_third {
            layers.push(third);
            last.push(third);
        }
        last.push((b, 91));
        let (layers, integrated) = (apart(layers), apart(last));
        let widths = [0, 1].map(|at: usize| layers[at].units().width());
        let couple = |layers: [usize; 2], weights: &Tensor| {
            let weights = (weights * 0.7).unwrap();
            if is_dense {
                return Coupling::Dense { layers, weights: Var::from_tensor(&weights).unwrap() };
            }
            let rows = weights.to_vec2::<f64>().unwrap();
            let pairs =
                (0..rows.len() as u32).flat_map(|i| (0..rows[0].len() as u32).map(move |j| [i, j]));
            let pairs: Vec<_> = pairs.filter(|[i, j]| (i + j) % 3 != 2).collect();
            let numbers: Vec<f64> =
                pairs.iter().map(|[i, j]| rows[*i as usize][*j as usize]).collect();
            Coupling::edges(layers, &pairs, Var::new(numbers, &CPU).unwrap()).unwrap()
        };
        let between = normal(&widths, 93);
        let end = integrated.len() - 1;
        let mut couplings = [vec![couple([0, 1], &between)], vec![couple([0, end], &between)]];
        if has_third {
            let [of_first, of_numbers] =
                [(widths[0], 94), (widths[1], 95)].map(|(width, seed)| normal(&[width, 1], seed));
            couplings[0].extend([couple([0, 2], &of_first), couple([1, 2], &of_numbers)]);
            couplings[1]
                .extend([couple([0, 1], &of_first), couple([1, 2], &of_numbers.t().unwrap())]);
        }
        couplings[0].extend(lateral(0, &layers, 96));
        couplings[1].extend(lateral(0, &integrated, 96));
        let mut all = vec![Vec::new()];
        for layer in &integrated[..end] {
            let of = configurations(&**layer);
            let longer = |row: &Vec<f64>| {
                of.iter().map(|more| [&row[..], more].concat()).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
        let [of_machine, of_integrated] = couplings;
        let machine = Machine::new(layers, of_machine).unwrap();
        let integrated = Machine::new(integrated, of_integrated).unwrap();
        assert_eq!(integrated.last().units().to_string(), b);
        assert_eq!(machine.last().units().to_string(), if has_third { third.0 } else { b });
        let log_p = integrated
            .free_energy(&Tensor::new(all.clone(), &CPU).unwrap())
            .unwrap()
            .neg()
            .unwrap();
        let log_z = log_p.log_sum_exp(0).unwrap();
        let p = log_p.broadcast_sub(&log_z).unwrap().exp().unwrap().to_vec1().unwrap();
        Self { machine, integrated, all, p, widths }
    }

    /// Exact samples, in the machine's rest and last colour.
    fn sample(&self, seed: u64) -> (Tensor, Tensor) {
        let mut rng = Rng::new(seed);
        let rows = picked(&self.all, &self.p, CHAINS, seed);
        let rows = Tensor::new(rows, &CPU).unwrap();
        let inputs = self.integrated.last_inputs(&rows).unwrap();
        let numbers = self.integrated.last().sample(&inputs, &mut rng).unwrap();
        let part = |from, width| rows.narrow(1, from, width).unwrap().contiguous().unwrap();
        let [first, _] = self.widths;
        match rows.dim(1).unwrap() - first {
            0 => (rows, numbers),
            more => (Tensor::cat(&[&part(0, first), &numbers], 1).unwrap(), part(first, more)),
        }
    }

    /// How far two sets of samples are apart: counts of what is discrete, and of numbers between quartiles, as a standard normal number.
    fn apart(&self, one: [&Tensor; 2], two: [&Tensor; 2]) -> f64 {
        let rows = |parts: [&Tensor; 2]| Tensor::cat(&parts, 1).unwrap().to_vec2::<f64>().unwrap();
        let (one, two) = (rows(one), rows(two));
        let [first, width] = self.widths;
        let numbers = first..first + width;
        let cuts = numbers.clone().map(|column| {
            let mut all: Vec<f64> = one.iter().map(|row| row[column]).collect();
            all.sort_by(f64::total_cmp);
            [1, 2, 3].map(|k| all[k * all.len() / 4])
        });
        let cuts: Vec<_> = cuts.collect();
        let cell = |row: &Vec<f64>| {
            let place = |(column, x): (usize, &f64)| match numbers.contains(&column) {
                true => cuts[column - first].iter().filter(|cut| x > cut).count() as u64,
                false => x.to_bits(),
            };
            row.iter().enumerate().map(place).collect::<Vec<_>>()
        };
        let mut counts = std::collections::HashMap::<_, [f64; 2]>::new();
        one.iter().for_each(|row| counts.entry(cell(row)).or_default()[0] += 1.0);
        two.iter().for_each(|row| counts.entry(cell(row)).or_default()[1] += 1.0);
        let (mut square, mut cells, mut rare) = (0.0, 0.0, [0.0, 0.0]);
        let mut add = |[a, b]: [f64; 2]| {
            square += (a - b).powi(2) / (a + b);
            cells += 1.0;
        };
        for [a, b] in counts.into_values() {
            match a + b < 20.0 {
                true => rare = [rare[0] + a, rare[1] + b],
                false => add([a, b]),
            }
        }
        if rare[0] + rare[1] >= 20.0 {
            add(rare);
        }
        standardised(square, cells - 1.0)
    }
}

/// Numbers beside discrete units of every kind, coupled by matrices and by pairs, summed out or between two colours: a sweep leaves exact samples as
/// other exact samples are. Where both layers are drawn from what the other was, it is seen.
#[test]
fn sweeps_leave_numbers_at_their_distribution() {
    for a in KINDS {
        for b in REAL {
            for (has_third, is_dense) in
                [(false, true), (false, false), (true, true), (true, false)]
            {
                let name = format!("{a}, {b}, third: {has_third}, dense: {is_dense}");
                let mixture = Mixture::new(a, b, has_third, is_dense);
                let machine = &mixture.machine;
                let ((rest, last), other) = (mixture.sample(97), mixture.sample(98));
                let same = mixture.apart([&rest, &last], [&other.0, &other.1]);
                assert!(same < SIGNIFICANT, "{name}: samples of other seeds: {same}");
                let mut rng = Rng::new(99);
                let swept = machine.draw_rest(Some(&rest), &last, None, &mut rng).unwrap();
                let drawn = |rest: &Tensor, rng: &mut Rng| {
                    machine.last().sample(&machine.last_inputs(rest).unwrap(), rng).unwrap()
                };
                let hearing = drawn(&swept, &mut rng);
                let drift = mixture.apart([&swept, &hearing], [&other.0, &other.1]);
                assert!(drift < SIGNIFICANT, "{name}: {drift}");
                let deaf = drawn(&rest, &mut rng);
                let drift = mixture.apart([&swept, &deaf], [&other.0, &other.1]);
                assert!(drift > SIGNIFICANT, "{name}: {drift} where both are drawn at once");
            }
        }
    }
}
