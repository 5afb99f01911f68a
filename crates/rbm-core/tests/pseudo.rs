//! The pseudo-likelihood of every discrete kind of visible units is that of the joint table.
//!
//! What it would catch: an alternative that is left out or counted twice, a measure that is forgotten, a site that begins in
//! another's columns, a draw that is taken from an empty category, an estimate that weighs units unevenly.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{DISCRETE, Plain, assert_close, assert_mean, log_sum_exp, machine, matrix, support};
use rbm_core::estimate::monitor::Monitor;
use rbm_core::estimate::{
    pseudo_likelihood, pseudo_likelihood_stride, stochastic_pseudo_likelihood,
};
use rbm_core::{Rng, Units};

const F64: DType = DType::F64;
const ROUNDING: f64 = 1e-10;

/// Every way to write multinomial counts as draws in order, one after the other; all else as it is.
fn ordered(units: &Units) -> Option<Vec<(Vec<usize>, Vec<f64>)>> {
    let Units::Multinomial { size, draws } = units else { return None };
    let all = (0..size.pow(*draws as u32)).map(|number| {
        let draw = |d: usize| number / size.pow(d as u32) % size;
        let drawn: Vec<usize> = (0..*draws).map(draw).collect();
        let count = |k: usize| drawn.iter().filter(|d| **d == k).count() as f64;
        let counts = (0..*size).map(count).collect();
        (drawn, counts)
    });
    Some(all.collect())
}

/// Σ over units of log p(unit | rest), by the joint table: rows that agree with `v` in all other columns.
fn by_table(plain: &Plain, v: &[f64]) -> f64 {
    let units = plain.visible.units.clone();
    if let Some(ordered) = ordered(&units) {
        // Counts less the ways to order them: what a sequence of draws weighs.
        let weight = |counts: &[f64]| {
            let ways = plain.visible.energy(counts)
                + counts.iter().zip(&plain.visible.bias).map(|(x, b)| x * b).sum::<f64>();
            -plain.free_energy(counts) + ways
        };
        let (drawn, _) = ordered.iter().find(|(_, counts)| counts == v).unwrap();
        let unit = |d: usize| {
            let agrees =
                |other: &Vec<usize>| (0..drawn.len()).all(|i| i == d || other[i] == drawn[i]);
            let rows = ordered.iter().filter(|(other, _)| agrees(other));
            weight(v) - log_sum_exp(&rows.map(|(_, counts)| weight(counts)).collect::<Vec<_>>())
        };
        return (0..drawn.len()).map(unit).sum();
    }
    let all = support(&units);
    let mut total = 0.0;
    for (columns, units) in units.groups() {
        let width = if let Units::Potts { states, .. } = units { *states } else { 1 };
        for start in columns.step_by(width) {
            let agrees = |other: &&Vec<f64>| {
                (0..v.len()).all(|i| (start..start + width).contains(&i) || other[i] == v[i])
            };
            let weights: Vec<_> =
                all.iter().filter(agrees).map(|other| -plain.free_energy(other)).collect();
            assert!(weights.len() > 1, "a unit has more than one value");
            total += -plain.free_energy(v) - log_sum_exp(&weights);
        }
    }
    total
}

#[test]
fn it_is_that_of_the_joint_table() {
    for (visible, hidden) in common::pairs(&DISCRETE, &["bernoulli:3", "relu:2", "potts(3):2"]) {
        let rbm = machine(visible, hidden, F64, 1);
        let (plain, what) = (Plain::of(&rbm), format!("{visible} {hidden}"));
        let free = Tensor::zeros((12, rbm.visible().units().width()), F64, &Device::Cpu).unwrap();
        let cases = rbm.visible().sample(&free, &mut Rng::new(2)).unwrap();
        let rows = common::rows(&cases);
        let expected = rows.iter().map(|v| by_table(&plain, v)).sum::<f64>() / rows.len() as f64;
        let exact = pseudo_likelihood(&rbm, &cases).unwrap();
        assert_close(&what, &[exact], &[expected], ROUNDING);
        let mut rng = Rng::new(3);
        let estimate = |_| stochastic_pseudo_likelihood(&rbm, &cases, &mut rng).unwrap();
        assert_mean(&what, &(0..1000).map(estimate).collect::<Vec<_>>(), expected);
    }
}

/// In a group of its own beside others, draws count as many units.
#[test]
fn draws_beside_other_units_are_estimated_without_bias() {
    let rbm = machine("spin:2+multinomial(4):3+potts(3):1", "bernoulli:3", F64, 4);
    let free = Tensor::zeros((12, 8), F64, &Device::Cpu).unwrap();
    let cases = rbm.visible().sample(&free, &mut Rng::new(5)).unwrap();
    let exact = pseudo_likelihood(&rbm, &cases).unwrap();
    let mut rng = Rng::new(6);
    let estimate = |_| stochastic_pseudo_likelihood(&rbm, &cases, &mut rng).unwrap();
    assert_mean("mixed", &(0..4000).map(estimate).collect::<Vec<_>>(), exact);
}

#[test]
fn the_nearest_configuration_is_what_grey_values_are_read_as() {
    for (units, x, expected) in [
        ("bernoulli:3", vec![0.2, 0.5, 0.9], vec![0.0, 1.0, 1.0]),
        ("spin:3", vec![-0.2, 0.0, 0.9], vec![-1.0, 1.0, 1.0]),
        ("binomial(4):3", vec![-0.2, 2.4, 7.0], vec![0.0, 2.0, 4.0]),
        ("potts(3):2", vec![0.3, 0.4, 0.3, 0.5, 0.0, 0.5], vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0]),
        ("multinomial(5):4", vec![1.7, 2.2, 0.6, 0.5], vec![2.0, 2.0, 1.0, 0.0]),
        ("spin:1+multinomial(2):3", vec![-3.0, 0.9, 0.8, 0.3], vec![-1.0, 1.0, 1.0, 0.0]),
        ("gaussian:2", vec![0.3, -7.5], vec![0.3, -7.5]),
    ] {
        for dtype in [DType::F32, F64] {
            let layer = units.parse::<Units>().unwrap().build(dtype, &Device::Cpu).unwrap();
            let units = layer.units();
            let nearest = units.nearest(&matrix(std::slice::from_ref(&x), dtype)).unwrap();
            assert_eq!(nearest.dtype(), dtype);
            let expected = matrix(std::slice::from_ref(&expected), dtype);
            assert_eq!(common::flat(&nearest), common::flat(&expected), "{units}");
            let own = layer.sample(&nearest, &mut Rng::new(7)).unwrap();
            assert_eq!(common::bits(&units.nearest(&own).unwrap()), common::bits(&own), "{units}");
        }
    }
}

/// The monitor reports it where there is one, and none where a number would be wrong.
#[test]
fn the_monitor_has_it_for_discrete_units_only() {
    let report = |visible: &str, hidden: &str| {
        let rbm = machine(visible, hidden, DType::F32, 8);
        let free = Tensor::zeros((9, rbm.visible().units().width()), DType::F32, &Device::Cpu);
        let train = rbm.visible().sample(&free.unwrap(), &mut Rng::new(9)).unwrap();
        Monitor { train, held_out: None, rng: Rng::new(10) }.report(&rbm).unwrap()
    };
    for visible in DISCRETE {
        let value = report(visible, "bernoulli:3").pseudo_likelihood.unwrap();
        assert!(value < 0.0 && value.is_finite(), "{visible}: {value}");
    }
    for visible in ["gaussian:2", "relu:2", "bernoulli:3+gaussian:1"] {
        assert_eq!(report(visible, "bernoulli:3").pseudo_likelihood, None, "{visible}");
    }
}

/// Without weights a hidden unit's mean is its bias' own: at the edges of the range it is dead or stuck, of whatever range.
#[test]
fn dead_and_stuck_units_are_those_at_the_edges_of_their_range() {
    for (hidden, bias, dead, stuck) in [
        ("bernoulli:3", vec![-9.0, 9.0, 0.0], 1, 1),
        ("spin:3", vec![-9.0, -9.0, 9.0], 2, 1),
        ("binomial(7):3", vec![-9.0, 9.0, 9.0], 1, 2),
        ("potts(3):2", vec![0.0, 0.0, -9.0, 9.0, -9.0, -9.0], 3, 1),
        ("multinomial(50):4", vec![0.0, 0.0, 0.0, -9.0], 1, 0),
        ("potts(300):1", vec![0.0; 300], 0, 0),
        ("gaussian:3", vec![-9.0, 0.0, 9.0], 0, 0),
        ("relu:3", vec![-9.0, 0.0, 9.0], 0, 0),
        ("gaussian:1+spin:2", vec![-9.0, 9.0, -9.0], 1, 1),
    ] {
        let rbm = machine("bernoulli:2", hidden, F64, 11);
        rbm.weights().set(&rbm.weights().zeros_like().unwrap()).unwrap();
        let vars = rbm.hidden().vars();
        for (k, columns) in rbm.hidden().biases() {
            vars[k].1.set(&Tensor::new(&bias[columns], &Device::Cpu).unwrap()).unwrap();
        }
        let train = matrix(&common::binary(2), F64);
        let report = Monitor { train, held_out: None, rng: Rng::new(12) }.report(&rbm).unwrap();
        assert_eq!((report.dead_units, report.stuck_units), (dead, stuck), "{hidden}");
    }
}

/// Of very many categories not every case is looked at; the estimate is still that of all of them, here of equal ones.
#[test]
fn some_cases_stand_for_all_where_there_are_many_categories() {
    let rbm = machine("multinomial(2):20000", "bernoulli:100", DType::F32, 7);
    assert_eq!([10, 268, 1000].map(|rows| pseudo_likelihood_stride(&rbm, rows)), [1, 1, 4]);
    let row = Tensor::zeros((1, 20000), DType::F32, &Device::Cpu).unwrap();
    let two = Tensor::full(2f32, (1, 1), &Device::Cpu).unwrap();
    let case = Tensor::cat(&[&two, &row.narrow(1, 1, 19999).unwrap()], 1).unwrap();
    let alone = stochastic_pseudo_likelihood(&rbm, &case, &mut Rng::new(1)).unwrap();
    let all = case.broadcast_as((300, 20000)).unwrap().contiguous().unwrap();
    assert_eq!(pseudo_likelihood_stride(&rbm, 300), 2);
    let found = stochastic_pseudo_likelihood(&rbm, &all, &mut Rng::new(1)).unwrap();
    assert!((found - alone).abs() < 1e-3 * alone.abs(), "{found} {alone}");
}
