//! The laws of every unit type, one battery for all of them.
//!
//! A new unit type joins by one line of [`battery!`]. What each law would catch: a slope, a derivative or an integral
//! that disagrees with the energy (a lost factor, a sign, a forgotten E₀); a sampler with the wrong mean or width; a
//! mean that depends on the other rows; an overflow at saturated inputs; a fused pass that draws other bits than the
//! plain one.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;

use candle_core::{DType, Device, Tensor, Var};
use common::{Side, assert_close, assert_mean, bits, column, flat, normal, rows, scatter};
use rbm_core::units::enumerate;
use rbm_core::{Layer, Rbm, Rng, Units};

const BOTH: [DType; 2] = [DType::F32, DType::F64];

/// Rounding in `f64`, a dozen operations on numbers below 100: 12 · 100 · 2⁻⁵³ is 1e-13.
const ROUNDING: f64 = 1e-10;

macro_rules! battery {
    (@one $kind:ident $units:literal [$($law:ident)*]) => {
        mod $kind { $(#[test] fn $law() { super::$law($units) })* }
    };
    ($($kind:ident $units:literal)*; $laws:tt) => { $(battery! { @one $kind $units $laws })* };
}

battery! {
    bernoulli "bernoulli:4" spin "spin:4" binomial "binomial(3):4" potts "potts(3):2"
    multinomial "multinomial(4):3" relu "relu:4" gaussian "gaussian:4" gaussian_learned "gaussian-learned:4"
    concat "bernoulli:2+gaussian-learned:1+potts(3):1+relu:1"
    concat_of_discrete "spin:1+potts(3):1+binomial(2):1+multinomial(2):2";
    [
        mean_is_the_slope_of_the_cgf
        cgf_is_the_log_of_the_sum
        expected_statistics_are_sample_averages
        sample_variance_is_the_slope_of_the_mean
        derivatives_of_the_cgf_are_expected_statistics
        samples_lie_in_the_support_and_are_leaves
        every_sample_is_a_new_one
        a_row_does_not_depend_on_its_batch
        saturated_inputs_stay_finite
        energy_is_what_the_formula_says
        mean_and_sample_are_the_mean_and_the_sample
        single_precision_agrees_with_double
        fitted_moments_are_the_units_moments
        extreme_moments_are_safe
        the_bias_for_a_mean_gives_that_mean
        configurations_are_all_there_once
        too_many_configurations_are_not_counted
        no_units_are_an_error
        units_survive_text_and_json
    ]
}

fn layer(units: &str, dtype: DType) -> Box<dyn Layer> {
    let layer = units.parse::<Units>().unwrap().build(dtype, &Device::Cpu).unwrap();
    scatter(layer.vars(), 1);
    layer
}

/// The width of the units' tensors.
fn width(units: &str) -> usize {
    units.parse::<Units>().unwrap().width()
}

/// Inputs of order two.
fn inputs(units: &str, rows: usize, dtype: DType) -> Tensor {
    (normal(rows, width(units), dtype, 2) * 2.0).unwrap()
}

/// The row `inputs` repeated.
fn repeated(inputs: &Tensor, n: usize) -> Tensor {
    inputs.broadcast_as((n, inputs.dim(1).unwrap())).unwrap().contiguous().unwrap()
}

/// Values that the units can have.
fn samples(units: &str, rows: usize) -> Tensor {
    let layer = layer(units, DType::F64);
    layer.sample(&inputs(units, rows, DType::F64), &mut Rng::new(8)).unwrap()
}

fn mean_is_the_slope_of_the_cgf(units: &str) {
    let (layer, inputs) =
        (layer(units, DType::F64), Var::from_tensor(&inputs(units, 7, DType::F64)));
    let inputs = inputs.unwrap();
    let slopes = layer.cgf(&inputs).unwrap().sum_all().unwrap().backward().unwrap();
    let mean = layer.mean(&inputs).unwrap();
    assert_close("mean", &flat(&mean), &flat(slopes.get(&inputs).unwrap()), ROUNDING);
}

/// Discrete units are summed over every configuration, with the energy of the crate. Continuous ones are independent and
/// E(0) = 0, so that the integral is a product over units, each alone: the trapezoid rule on a Gaussian errs by
/// exp(−2π²σ²/step²): nothing, with σ ≥ 0.7 and a step of 1/16; beyond ±40 lies less than exp(−300) of it.
fn cgf_is_the_log_of_the_sum(units: &str) {
    let layer = layer(units, DType::F64);
    let (inputs, width) = (inputs(units, 5, DType::F64), width(units));
    let sum = |inputs: &[f64], x: &[Vec<f64>]| {
        let energies = flat(&layer.energy(&common::matrix(x, DType::F64)).unwrap());
        let inward = |x: &Vec<f64>| inputs.iter().zip(x).map(|(i, x)| i * x).sum::<f64>();
        common::log_sum_exp(&x.iter().zip(energies).map(|(x, e)| inward(x) - e).collect::<Vec<_>>())
    };
    let by_sum = |inputs: Vec<f64>| -> f64 {
        if configurations(&*layer).is_some() {
            return sum(&inputs, &common::support(&layer.units()));
        }
        if let Units::Relu { .. } | Units::Concat { .. } = layer.units() {
            // The oracle is an integral of its own.
            return Side::of(&*layer).cgf(&inputs);
        }
        let unit = |i: usize| {
            let alone = |x: i32| {
                let x = f64::from(x) / 16.0;
                (0..width).map(|j| if i == j { x } else { 0.0 }).collect()
            };
            let points: Vec<_> = (-640..=640).map(alone).collect();
            sum(&inputs, &points) + (1.0f64 / 16.0).ln()
        };
        (0..width).map(unit).sum()
    };
    let by_sum: Vec<f64> = rows(&inputs).into_iter().map(by_sum).collect();
    assert_close("cgf", &flat(&layer.cgf(&inputs).unwrap()), &by_sum, ROUNDING);
    let side = Side::of(&*layer);
    let by_hand: Vec<_> = rows(&inputs).iter().map(|inputs| side.cgf(inputs)).collect();
    assert_close("the oracle's cgf", &by_hand, &by_sum, ROUNDING);
}

fn expected_statistics_are_sample_averages(units: &str) {
    for dtype in BOTH {
        let (layer, inputs) = (layer(units, dtype), repeated(&inputs(units, 1, dtype), 100_000));
        let samples = layer.sample(&inputs, &mut Rng::new(3)).unwrap();
        let expected = layer.expected_statistics(&inputs.narrow(0, 0, 1).unwrap()).unwrap();
        for (k, statistic) in layer.statistics(&samples).unwrap().iter().enumerate() {
            for (unit, expected) in flat(&expected[k]).into_iter().enumerate() {
                let what = format!("{units} {dtype:?}: statistic {k} of unit {unit}");
                assert_mean(&what, &column(statistic, unit), expected);
            }
        }
    }
}

/// Var[x | I] = ∂²cgf/∂I²: the mean alone would not notice noise of the wrong width.
fn sample_variance_is_the_slope_of_the_mean(units: &str) {
    for dtype in BOTH {
        let (layer, row) =
            (layer(units, dtype), Var::from_tensor(&inputs(units, 1, dtype)).unwrap());
        let mean = layer.mean(&row).unwrap();
        // Of each unit with respect to its own input: those of a site are not independent.
        let slope = |unit: usize| {
            let slopes = mean.narrow(1, unit, 1).unwrap().sum_all().unwrap().backward().unwrap();
            flat(slopes.get(&row).unwrap())[unit]
        };
        let slopes: Vec<_> = (0..width(units)).map(slope).collect();
        let inputs = repeated(&row.detach(), 100_000);
        let samples = layer.sample(&inputs, &mut Rng::new(4)).unwrap();
        for (unit, (mean, variance)) in flat(&mean).into_iter().zip(slopes).enumerate() {
            let squares: Vec<_> =
                column(&samples, unit).iter().map(|x| (x - mean).powi(2)).collect();
            assert_mean(&format!("{units} {dtype:?}: variance of {unit}"), &squares, variance);
        }
    }
}

fn derivatives_of_the_cgf_are_expected_statistics(units: &str) {
    let (layer, inputs) = (layer(units, DType::F64), inputs(units, 7, DType::F64));
    let slopes = layer.cgf(&inputs).unwrap().sum_all().unwrap().backward().unwrap();
    let expected = layer.expected_statistics(&inputs).unwrap();
    assert_eq!(expected.len(), layer.vars().len());
    for ((name, var), expected) in layer.vars().into_iter().zip(expected) {
        let slope = flat(slopes.get(var).unwrap());
        assert_close(&name, &flat(&expected.sum(0).unwrap()), &slope, ROUNDING);
    }
}

fn samples_lie_in_the_support_and_are_leaves(units: &str) {
    for dtype in BOTH {
        let (layer, inputs) =
            (layer(units, dtype), Var::from_tensor(&inputs(units, 300, dtype)).unwrap());
        let sample = layer.sample(&inputs, &mut Rng::new(5)).unwrap();
        let (low, high) = layer.units().range();
        let in_range = |x: &f64| x.is_finite() && (f64::from(low)..=f64::from(high)).contains(x);
        assert!(flat(&sample).iter().all(in_range));
        if configurations(&*layer).is_some() {
            let support = common::support(&layer.units());
            assert!(rows(&sample).iter().all(|x| support.contains(x)), "{sample}");
        }
        assert_eq!((sample.dims(), sample.dtype()), (inputs.dims(), dtype));
        assert!(!sample.track_op(), "a sample is a leaf of the autograd graph");
    }
}

/// Of one generator, two samples of 300 rows with inputs of order two are never the same; of equal generators they are.
fn every_sample_is_a_new_one(units: &str) {
    let (layer, inputs) = (layer(units, DType::F32), inputs(units, 300, DType::F32));
    let mut rng = Rng::new(10);
    let mut sample = || bits(&layer.sample(&inputs, &mut rng).unwrap());
    let (first, second) = (sample(), sample());
    assert_ne!(first, second);
    assert_eq!(bits(&layer.sample(&inputs, &mut Rng::new(10)).unwrap()), first);
}

fn a_row_does_not_depend_on_its_batch(units: &str) {
    for dtype in BOTH {
        let (layer, batch) = (layer(units, dtype), inputs(units, 37, dtype));
        for i in 0..37 {
            let row = |x: &Tensor| bits(&x.narrow(0, i, 1).unwrap());
            let alone = batch.narrow(0, i, 1).unwrap();
            let of = |inputs: &Tensor| (layer.mean(inputs).unwrap(), layer.cgf(inputs).unwrap());
            let ((mean, cgf), (mean_alone, cgf_alone)) = (of(&batch), of(&alone));
            assert_eq!(row(&mean), bits(&mean_alone), "{dtype:?} mean of row {i}");
            assert_eq!(row(&cgf), bits(&cgf_alone), "{dtype:?} cgf of row {i}");
        }
    }
}

fn saturated_inputs_stay_finite(units: &str) {
    for dtype in BOTH {
        let layer = layer(units, dtype);
        let far = [1e4, 1e4, -1e4, -1e4, 0.0, 1e4, 90.0, -90.0, 12.0];
        let far = |i: usize| (0..width(units)).map(|j| far[(5 * i + j) % far.len()]).collect();
        let far: Vec<Vec<f64>> = (0..9).map(far).collect();
        let inputs = Var::from_tensor(&common::matrix(&far, dtype)).unwrap();
        let (cgf, mean) = (layer.cgf(&inputs).unwrap(), layer.mean(&inputs).unwrap());
        let (_, sample) = layer.mean_and_sample(&inputs, &mut Rng::new(6)).unwrap();
        let slopes = cgf.sum_all().unwrap().backward().unwrap();
        let slopes = layer.vars().into_iter().map(|(_, var)| slopes.get(var).unwrap().clone());
        let curvature = mean.sum_all().unwrap().backward().unwrap().get(&inputs).unwrap().clone();
        let all = [cgf, mean, sample, curvature].into_iter().chain(slopes);
        let all = all.chain(layer.expected_statistics(&inputs).unwrap());
        for (i, tensor) in all.enumerate() {
            assert!(flat(&tensor).iter().all(|x| x.is_finite()), "{dtype:?} {i}: {tensor}");
        }
    }
}

fn energy_is_what_the_formula_says(units: &str) {
    let (layer, x) = (layer(units, DType::F64), samples(units, 9));
    let by_hand: Vec<_> = rows(&x).iter().map(|x| Side::of(&*layer).energy(x)).collect();
    assert_close("energy", &flat(&layer.energy(&x).unwrap()), &by_hand, ROUNDING);
    let mut rest = flat(&layer.base_energy(&x).unwrap());
    for ((_, theta), statistic) in layer.vars().into_iter().zip(layer.statistics(&x).unwrap()) {
        let theta = flat(theta);
        for (rest, statistic) in rest.iter_mut().zip(rows(&statistic)) {
            *rest -= statistic.iter().zip(&theta).map(|(t, theta)| t * theta).sum::<f64>();
        }
    }
    assert_close("E₀ − Σθ·T", &rest, &by_hand, ROUNDING);
}

fn mean_and_sample_are_the_mean_and_the_sample(units: &str) {
    for dtype in BOTH {
        let (layer, inputs) = (layer(units, dtype), inputs(units, 300, dtype));
        let (mut together, mut apart) = (Rng::new(7), Rng::new(7));
        let (mean, sample) = layer.mean_and_sample(&inputs, &mut together).unwrap();
        assert_eq!(bits(&mean), bits(&layer.mean(&inputs).unwrap()));
        assert_eq!(bits(&sample), bits(&layer.sample(&inputs, &mut apart).unwrap()));
        assert_eq!(together, apart, "both take the same number of draws");
    }
}

/// A dozen roundings of 2⁻²⁴ in sums of up to eight terms below 100 come to 1e-6 of the largest.
fn single_precision_agrees_with_double(units: &str) {
    let [single, double] = BOTH.map(|dtype| {
        let (layer, inputs) = (layer(units, dtype), inputs(units, 50, dtype));
        let x = samples(units, 50).to_dtype(dtype).unwrap();
        let mut all = layer.expected_statistics(&inputs).unwrap();
        all.extend([layer.cgf(&inputs).unwrap(), layer.energy(&x).unwrap()]);
        assert!(all.iter().all(|x| x.dtype() == dtype));
        all.iter().flat_map(flat).collect::<Vec<_>>()
    });
    let largest = double.iter().fold(1.0f64, |a, b| a.max(b.abs()));
    let share = |values: Vec<f64>| values.into_iter().map(|x| x / largest).collect::<Vec<_>>();
    assert_close("f32", &share(single), &share(double), 1e-6);
}

/// What another layer of the kind has, of order one.
fn fitted_moments_are_the_units_moments(units: &str) {
    for dtype in BOTH {
        let (other, fitted) = (layer(units, dtype), layer(units, dtype));
        scatter(other.vars(), 9);
        let free = Tensor::zeros((1, width(units)), dtype, &Device::Cpu).unwrap();
        let mean = other.mean(&free).unwrap();
        let mut variance = vec![1.0; width(units)];
        let side = Side::of(&*other);
        let mut start = 0;
        for group in if side.groups.is_empty() { vec![side] } else { side.groups } {
            for (i, precision) in group.precision.iter().flatten().enumerate() {
                variance[start + i] = 1.0 / precision;
            }
            start += group.bias.len();
        }
        let variance = Tensor::new(&variance[..], &Device::Cpu).unwrap();
        fitted.fit_moments(&mean.squeeze(0).unwrap().detach(), &variance).unwrap();
        assert_close("mean", &flat(&fitted.mean(&free).unwrap()), &flat(&mean), 2e-6);
        let both = fitted.vars().into_iter().zip(other.vars());
        for ((name, found), (_, expected)) in both.filter(|((n, _), _)| n.ends_with("precision")) {
            assert_close(&name, &flat(found), &flat(expected), 2e-6);
        }
    }
}

/// Constant columns, states that never occur, means at the edge of what is possible: finite, and as near as is allowed.
fn extreme_moments_are_safe(units: &str) {
    for dtype in BOTH {
        let fitted = layer(units, dtype);
        let free = Tensor::zeros((1, width(units)), dtype, &Device::Cpu).unwrap();
        for is_high in [false, true] {
            let units = fitted.units();
            let (mut mean, mut allowed) = (vec![], vec![]);
            for (columns, units) in units.groups() {
                let (low, high) = units.range();
                let (low, high) = (f64::from(low).max(-1.0), f64::from(high).min(1e3));
                // One state of a site, all draws in one category; every unit of the others.
                let states = match units {
                    Units::Potts { states, .. } => *states,
                    Units::Multinomial { size, .. } => *size,
                    _ => 1,
                };
                let is_one =
                    |i: usize| if states == 1 { is_high } else { i.is_multiple_of(states) };
                mean.extend((0..columns.len()).map(|i| if is_one(i) { high } else { low }));
                // 1/1000 of the range.
                allowed.extend(vec![1.1e-3 * (high - low); columns.len()]);
            }
            let mean = Tensor::new(&mean[..], &Device::Cpu).unwrap();
            fitted.fit_moments(&mean, &mean.zeros_like().unwrap()).unwrap();
            let all = fitted.vars().into_iter().flat_map(|(_, var)| flat(var));
            // Not so far out that learning could not bring them back: a mean of 1000 is the furthest asked for.
            let far: Vec<_> = all.filter(|theta| theta.is_nan() || theta.abs() > 1001.0).collect();
            assert!(far.is_empty(), "{dtype:?}: {far:?}");
            let found = flat(&fitted.mean(&free).unwrap());
            for ((found, mean), allowed) in found.iter().zip(flat(&mean)).zip(allowed) {
                assert!((found - mean).abs() <= allowed, "{dtype:?}: {found} for {mean}");
            }
        }
    }
}

fn the_bias_for_a_mean_gives_that_mean(units: &str) {
    for dtype in BOTH {
        let layer = layer(units, dtype);
        let free = Tensor::zeros((1, width(units)), dtype, &Device::Cpu).unwrap();
        let mean = layer.mean(&free).unwrap().detach();
        let bias = layer.bias_for_mean(&mean.squeeze(0).unwrap()).unwrap();
        assert_eq!((bias.dtype(), bias.dims()), (dtype, &[width(units)][..]));
        let found = layer.mean(&(bias - layer.bias().unwrap()).unwrap().unsqueeze(0).unwrap());
        assert_close("mean", &flat(&found.unwrap()), &flat(&mean), 2e-6);
    }
}

fn configurations(layer: &dyn Layer) -> Option<u64> {
    layer.discrete()?.configurations()
}

fn configurations_are_all_there_once(text: &str) {
    let small = layer(text, DType::F32);
    if configurations(&*small).is_none() {
        assert!(small.discrete().is_none() && enumerate::blocks(&*small).is_err());
        return;
    }
    let all = |layer: &dyn Layer| -> Vec<Vec<f64>> {
        enumerate::blocks(layer).unwrap().flat_map(|block| rows(&block.unwrap())).collect()
    };
    let mut found = all(&*small);
    let mut expected = common::support(&small.units());
    found.sort_by(|a, b| a.partial_cmp(b).unwrap());
    expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(found, expected);

    // More than one block of 4096, so that their seam is tested.
    let mut large = small;
    while configurations(&*large).unwrap() <= 5000 {
        large = larger(&large.units(), 1).build(DType::F32, &Device::Cpu).unwrap();
    }
    let all = all(&*large);
    let bits = |x: &Vec<f64>| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(all.iter().map(bits).collect::<HashSet<_>>().len(), all.len());
    assert_eq!(all.len() as u64, configurations(&*large).unwrap());
    let large = large.discrete().unwrap();
    assert_eq!(rows(&large.configuration(4090..4100).unwrap()), all[4090..4100]);
    assert_eq!(rows(&large.configuration(70..75).unwrap()), all[70..75]);
}

/// The same kind of units, `more` of them more (of several kinds, of the first).
fn larger(units: &Units, more: usize) -> Units {
    match units {
        Units::Potts { states, .. } => units.with_width(units.width() + more * states).unwrap(),
        Units::Concat { groups } => {
            let mut groups = groups.clone();
            groups[0] = larger(&groups[0], more);
            Units::Concat { groups }
        }
        _ => units.with_width(units.width() + more).unwrap(),
    }
}

fn too_many_configurations_are_not_counted(units: &str) {
    let large = larger(&units.parse().unwrap(), 600_000);
    assert_eq!(configurations(&*large.build(DType::F32, &Device::Cpu).unwrap()), None);
}

/// `units` with no units, in the last group.
fn none_of(units: &str) -> Units {
    let mut json = serde_json::to_value(units.parse::<Units>().unwrap()).unwrap();
    let group = match json.get_mut("groups").and_then(|groups| groups.as_array_mut()?.last_mut()) {
        Some(group) => group.clone(),
        None => json.clone(),
    };
    let mut none = group;
    for key in ["size", "sites"] {
        if let Some(size) = none.get_mut(key) {
            *size = 0.into();
        }
    }
    match json.get_mut("groups").and_then(|groups| groups.as_array_mut()?.last_mut()) {
        Some(group) => *group = none,
        None => json = none,
    }
    serde_json::from_value(json).unwrap()
}

fn no_units_are_an_error(units: &str) {
    let none = none_of(units);
    assert!(none.build(DType::F32, &Device::Cpu).is_err());
    assert!(none.to_string().parse::<Units>().is_err());
    let some = Units::bernoulli(3);
    assert!(Rbm::new(&none, &some, DType::F32, &Device::Cpu).is_err());
    assert!(Rbm::new(&some, &none, DType::F32, &Device::Cpu).is_err());
}

fn units_survive_text_and_json(text: &str) {
    let units: Units = text.parse().unwrap();
    assert_eq!(units.to_string(), text);
    let json = serde_json::to_string(&units).unwrap();
    assert_eq!(serde_json::from_str::<Units>(&json).unwrap(), units);
    assert_eq!(units.build(DType::F64, &Device::Cpu).unwrap().units(), units);
}

/// A recipe names the kind, the data give the width.
#[test]
fn kinds_are_given_a_width() {
    for (kind, width, expected) in [
        ("spin", 5, "spin:5"),
        ("binomial(7)", 5, "binomial(7):5"),
        (" potts( 3 ) ", 6, "potts(3):2"),
        ("multinomial(9)", 5, "multinomial(9):5"),
        ("gaussian-learned", 5, "gaussian-learned:5"),
    ] {
        let units = Units::of_kind(kind).unwrap().with_width(width).unwrap();
        assert_eq!((units.to_string().as_str(), units.width()), (expected, width));
        assert!(units.kind().parse::<Units>().is_err(), "a kind has no size");
        assert_eq!(Units::of_kind(&units.kind()).unwrap().with_width(width).unwrap(), units);
    }
    let message = Units::of_kind("potts(3)").unwrap().with_width(7).unwrap_err().to_string();
    assert!(message.contains("multiple of 3") && message.contains('7'), "{message}");
    for wrong in ["potts", "potts(0)", "potts()", "spin(2)", "binomial(-1)", "potts(3", "sigmoid"] {
        let message = Units::of_kind(wrong).unwrap_err().to_string();
        assert!(message.contains("potts(STATES)"), "{message}");
        assert!(format!("{wrong}:4").parse::<Units>().is_err(), "{wrong}");
    }
}

#[test]
fn several_kinds_have_their_sizes() {
    let text = "bernoulli:4+potts(3):2";
    let units = Units::of_kind(text).unwrap();
    assert_eq!((units.width(), units.to_string()), (10, text.to_owned()));
    assert_eq!(units.kind(), text);
    assert_eq!(units.with_width(10).unwrap(), units);
    let message = units.with_width(11).unwrap_err().to_string();
    assert!(message.contains("10 columns") && message.contains("11"), "{message}");
    let columns: Vec<_> = units.groups().into_iter().map(|(columns, _)| columns).collect();
    assert_eq!(columns, [0..4, 4..10]);
    for wrong in ["bernoulli:4+", "+", "bernoulli:4+potts(3)", "spin:2+relu:0"] {
        assert!(wrong.parse::<Units>().is_err() && Units::of_kind(wrong).is_err(), "{wrong}");
    }
    // Groups in groups, as the layers of a machine are: each parameter belongs to its own columns.
    let nested = Units::Concat { groups: vec![Units::bernoulli(1), units.clone()] };
    let columns: Vec<_> = nested.groups().into_iter().map(|(columns, _)| columns).collect();
    assert_eq!(columns, [0..1, 1..5, 5..11]);
    let layer = nested.build(DType::F32, &Device::Cpu).unwrap();
    let biases: Vec<_> = layer.biases();
    assert_eq!(biases, [(0, 0..1), (1, 1..5), (2, 5..11)]);
    let inputs = Tensor::zeros((2, 11), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(layer.mean(&inputs).unwrap().dims(), [2, 11]);
    assert_eq!(layer.sample(&inputs, &mut Rng::new(0)).unwrap().dims(), [2, 11]);
    assert!(Units::Concat { groups: vec![] }.build(DType::F32, &Device::Cpu).is_err());
    let layer = "spin:2+gaussian-learned:1".parse::<Units>().unwrap();
    let layer = layer.build(DType::F32, &Device::Cpu).unwrap();
    let names: Vec<_> = layer.vars().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["0.bias", "1.bias", "1.precision"]);
}

/// Configurations written by the first version.
#[test]
fn old_files_load() {
    for (json, text) in [
        (r#"{"kind":"bernoulli","size":3}"#, "bernoulli:3"),
        (r#"{"kind":"gaussian","size":3,"variance":"learned"}"#, "gaussian-learned:3"),
    ] {
        assert_eq!(serde_json::from_str::<Units>(json).unwrap().to_string(), text);
    }
}
