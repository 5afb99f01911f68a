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
use rbm_core::{Layer, Rbm, Rng, Units, enumerate};

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
    bernoulli "bernoulli:4" gaussian "gaussian:4" gaussian_learned "gaussian-learned:4";
    [
        mean_is_the_slope_of_the_cgf
        cgf_is_the_log_of_the_sum
        expected_statistics_are_sample_averages
        sample_variance_is_the_slope_of_the_mean
        derivatives_of_the_cgf_are_expected_statistics
        samples_lie_in_the_support_and_are_leaves
        a_row_does_not_depend_on_its_batch
        saturated_inputs_stay_finite
        energy_is_what_the_formula_says
        mean_and_sample_are_the_mean_and_the_sample
        single_precision_agrees_with_double
        fitted_moments_are_the_units_moments
        configurations_are_all_there_once
        no_units_are_an_error
        units_survive_text_and_json
    ]
}

fn layer(units: &str, dtype: DType) -> Box<dyn Layer> {
    let layer = units.parse::<Units>().unwrap().build(dtype, &Device::Cpu).unwrap();
    scatter(layer.vars(), 1);
    layer
}

/// Inputs of order two.
fn inputs(rows: usize, dtype: DType) -> Tensor {
    (normal(rows, 4, dtype, 2) * 2.0).unwrap()
}

/// The row `inputs` repeated.
fn repeated(inputs: &Tensor, n: usize) -> Tensor {
    inputs.broadcast_as((n, 4)).unwrap().contiguous().unwrap()
}

fn mean_is_the_slope_of_the_cgf(units: &str) {
    let (layer, inputs) = (layer(units, DType::F64), Var::from_tensor(&inputs(7, DType::F64)));
    let inputs = inputs.unwrap();
    let slopes = layer.cgf(&inputs).unwrap().sum_all().unwrap().backward().unwrap();
    let mean = layer.mean(&inputs).unwrap();
    assert_close("mean", &flat(&mean), &flat(slopes.get(&inputs).unwrap()), ROUNDING);
}

/// Units are independent and E(0) = 0, so the sum over the layer is a product over units, each summed alone. The
/// trapezoid rule on a Gaussian errs by exp(−2π²σ²/step²): nothing, with σ ≥ 0.7 and a step of 1/16; beyond ±40 lies
/// less than exp(−300) of it.
fn cgf_is_the_log_of_the_sum(units: &str) {
    let layer = layer(units, DType::F64);
    let (points, log_step) = match layer.units() {
        Units::Bernoulli { .. } => (vec![0.0, 1.0], 0.0),
        _ => ((-640..=640).map(|i| f64::from(i) / 16.0).collect(), (1.0f64 / 16.0).ln()),
    };
    let inputs = inputs(5, DType::F64);
    let by_sum = rows(&inputs).into_iter().map(|inputs| {
        let unit = |i: usize| {
            let alone = |x: &f64| (0..4).map(|j| if i == j { *x } else { 0.0 }).collect();
            let x = common::matrix(&points.iter().map(alone).collect::<Vec<_>>(), DType::F64);
            let energies = flat(&layer.energy(&x).unwrap());
            let exponents = points.iter().zip(energies).map(|(x, energy)| inputs[i] * x - energy);
            common::log_sum_exp(&exponents.collect::<Vec<_>>()) + log_step
        };
        (0..4).map(unit).sum()
    });
    let by_sum: Vec<f64> = by_sum.collect();
    assert_close("cgf", &flat(&layer.cgf(&inputs).unwrap()), &by_sum, ROUNDING);
}

fn expected_statistics_are_sample_averages(units: &str) {
    for dtype in BOTH {
        let (layer, inputs) = (layer(units, dtype), repeated(&inputs(1, dtype), 100_000));
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
        let (layer, row) = (layer(units, dtype), Var::from_tensor(&inputs(1, dtype)).unwrap());
        let mean = layer.mean(&row).unwrap();
        let slopes = mean.sum_all().unwrap().backward().unwrap();
        let slopes = flat(slopes.get(&row).unwrap());
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
    let (layer, inputs) = (layer(units, DType::F64), inputs(7, DType::F64));
    let slopes = layer.cgf(&inputs).unwrap().sum_all().unwrap().backward().unwrap();
    let expected = layer.expected_statistics(&inputs).unwrap();
    assert_eq!(expected.len(), layer.vars().len());
    for ((name, var), expected) in layer.vars().into_iter().zip(expected) {
        let slope = flat(slopes.get(var).unwrap());
        assert_close(name, &flat(&expected.sum(0).unwrap()), &slope, ROUNDING);
    }
}

fn samples_lie_in_the_support_and_are_leaves(units: &str) {
    for dtype in BOTH {
        let (layer, inputs) = (layer(units, dtype), Var::from_tensor(&inputs(300, dtype)).unwrap());
        let sample = layer.sample(&inputs, &mut Rng::new(5)).unwrap();
        let (low, high) = layer.units().range();
        let in_range = |x: &f64| x.is_finite() && (f64::from(low)..=f64::from(high)).contains(x);
        assert!(flat(&sample).iter().all(in_range));
        if let Units::Bernoulli { .. } = layer.units() {
            assert!(flat(&sample).iter().all(|x| *x == 0.0 || *x == 1.0));
        }
        assert_eq!((sample.dims(), sample.dtype()), (inputs.dims(), dtype));
        assert!(!sample.track_op(), "a sample is a leaf of the autograd graph");
    }
}

fn a_row_does_not_depend_on_its_batch(units: &str) {
    for dtype in BOTH {
        let (layer, batch) = (layer(units, dtype), inputs(37, dtype));
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
        let far = Tensor::new(&[[1e4f64, 1e4, -1e4, -1e4], [0.0, 1e4, 90.0, -90.0]], &Device::Cpu);
        let inputs = Var::from_tensor(&far.unwrap().to_dtype(dtype).unwrap()).unwrap();
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
    let (layer, x) = (layer(units, DType::F64), inputs(9, DType::F64));
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
        let (layer, inputs) = (layer(units, dtype), inputs(300, dtype));
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
        let (layer, inputs) = (layer(units, dtype), inputs(50, dtype));
        let mut all = layer.expected_statistics(&inputs).unwrap();
        all.extend([layer.cgf(&inputs).unwrap(), layer.energy(&inputs).unwrap()]);
        assert!(all.iter().all(|x| x.dtype() == dtype));
        all.iter().flat_map(flat).collect::<Vec<_>>()
    });
    let largest = double.iter().fold(1.0f64, |a, b| a.max(b.abs()));
    let share = |values: Vec<f64>| values.into_iter().map(|x| x / largest).collect::<Vec<_>>();
    assert_close("f32", &share(single), &share(double), 1e-6);
}

/// The first two units are constant.
fn fitted_moments_are_the_units_moments(units: &str) {
    for dtype in BOTH {
        let layer = layer(units, dtype);
        let moments = |x: [f64; 4]| Tensor::new(&x, &Device::Cpu).unwrap();
        let (mean, variance) = ([0.0, 1.0, 0.25, 0.5], [0.0, 0.0, 0.1875, 0.25]);
        layer.fit_moments(&moments(mean), &moments(variance)).unwrap();
        let free = Tensor::zeros((1, 4), dtype, &Device::Cpu).unwrap();
        // Bernoulli biases are kept at log-odds of at most 999 : 1; f32 rounds their exponential to 1e-6.
        let least = if matches!(layer.units(), Units::Bernoulli { .. }) { 1e-3 } else { 0.0 };
        let expected = mean.map(|m: f64| m.clamp(least, 1.0 - least));
        assert_close("mean", &flat(&layer.mean(&free).unwrap()), &expected, 1e-6);
        if let Some((_, precision)) = layer.vars().get(1) {
            assert_close("precision", &flat(precision), &[1.0, 1.0, 16.0 / 3.0, 4.0], 1e-6);
        }
    }
}

fn configurations_are_all_there_once(units: &str) {
    let layer = units.parse::<Units>().unwrap().with_size(13).build(DType::F32, &Device::Cpu);
    let layer = layer.unwrap();
    let Some(count) = layer.configurations() else {
        assert!(layer.configuration(0..1).is_err() && enumerate::blocks(&*layer).is_err());
        return;
    };
    assert_eq!(count, 1 << 13);
    let blocks: Vec<Vec<u64>> =
        enumerate::blocks(&*layer).unwrap().map(|block| bits(&block.unwrap())).collect();
    assert!(blocks.len() > 1, "more than one block, so that their seam is tested");
    let all = blocks.concat();
    assert_eq!(all.chunks(13).collect::<HashSet<_>>().len(), 1 << 13);
    assert!(all.iter().all(|x| [0.0f64, 1.0].contains(&f64::from_bits(*x))));
    assert_eq!(bits(&layer.configuration(70..75).unwrap()), all[70 * 13..75 * 13]);
}

fn no_units_are_an_error(units: &str) {
    let none = units.parse::<Units>().unwrap().with_size(0);
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
