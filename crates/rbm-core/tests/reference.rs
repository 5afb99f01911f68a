//! The fused operations are the plain ones of `ops::reference`, and their derivatives are those of finite differences.
//!
//! What they would catch: a vectorised pass that skips or repeats a row's end, reads a strided tensor as if it were
//! contiguous, or draws other words than the plain pass; a backward pass with a lost factor.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::{assert_close, bits, flat, normal};
use rbm_core::ops::{self, reference};
use rbm_core::{Result, Rng};

const BOTH: [DType; 2] = [DType::F32, DType::F64];

/// What two correct roundings of a number of order one may differ by: in `f32` the plain sigmoid adds one to a tanh,
/// 2⁻²⁴, and each side is itself within 4e-7 of the truth.
fn rounding(dtype: DType) -> f64 {
    if dtype == DType::F32 { 1e-6 } else { 1e-15 }
}

/// Inputs of order four with a width that no vector or block divides, and a bias.
fn inputs(dtype: DType) -> (Tensor, Tensor) {
    let inputs = (normal(1000, 203, dtype, 1) * 4.0).unwrap();
    (inputs, normal(1, 203, dtype, 2).squeeze(0).unwrap())
}

/// Both sides compare the same uniform number with p. They may disagree only where it is within rounding of p; of
/// 203 000 draws 0.4 are within 1e-6 on average, and six or more with a chance of 4e-6.
#[test]
fn bernoulli_samples_are_the_same_to_the_bit() {
    for dtype in BOTH {
        let (inputs, bias) = inputs(dtype);
        let rng = Rng::new(3);
        let fused = ops::bernoulli_sample(&inputs, &bias, &mut rng.clone()).unwrap();
        let draw = rng.clone().draw();
        let (mean, plain) = reference::bernoulli_mean_and_sample(&inputs, &bias, draw).unwrap();
        let uniform = ops::uniform((1000, 203), dtype, &Device::Cpu, &mut rng.clone()).unwrap();
        let mut disagreements = 0;
        let (mean, uniform) = (flat(&mean), flat(&uniform));
        for (i, (fused, plain)) in flat(&fused).into_iter().zip(flat(&plain)).enumerate() {
            if (uniform[i] - mean[i]).abs() > 1e-6 {
                assert_eq!(fused, plain, "{dtype:?} {i}");
            } else if fused != plain {
                disagreements += 1;
            }
        }
        assert!(disagreements <= 5, "{dtype:?}: {disagreements}");
    }
}

/// At scale 30 many inputs are beyond ±88, where exp overflows in `f32`.
#[test]
fn means_and_softplus_are_the_same_to_rounding() {
    for (dtype, scale) in
        [(DType::F32, 1.0), (DType::F32, 30.0), (DType::F64, 1.0), (DType::F64, 300.0)]
    {
        let (inputs, bias) = inputs(dtype);
        let inputs = (inputs * scale).unwrap();
        let close = |what, fused: Result<Tensor>, plain: Result<Tensor>| {
            assert_close(what, &flat(&fused.unwrap()), &flat(&plain.unwrap()), rounding(dtype));
        };
        close("sigmoid", ops::sigmoid(&inputs), reference::sigmoid(&inputs));
        close("softplus", ops::softplus(&inputs), reference::softplus(&inputs));
        let plain = reference::bernoulli_mean(&inputs, &bias);
        close("mean", ops::bernoulli_mean(&inputs, &bias), plain);
        let (mean, _) = ops::bernoulli_mean_and_sample(&inputs, &bias, &mut Rng::new(4)).unwrap();
        assert_eq!(bits(&mean), bits(&ops::bernoulli_mean(&inputs, &bias).unwrap()));
        let sum = inputs.broadcast_add(&bias).map_err(Into::into);
        close("add_bias", ops::add_bias(&inputs, &bias), sum);
    }
}

/// A sum of n products is rounded by at most n·u·Σ|xy| whatever its order (Higham 2002, §3.1); twice that for two sums.
#[test]
fn outer_differences_and_sums_are_the_same_to_rounding() {
    for (dtype, u) in [(DType::F32, 2f64.powi(-24)), (DType::F64, 2f64.powi(-53))] {
        let [x, y] = [33, 17].map(|width| normal(61, width, dtype, width as u64));
        let [u_, w] = [33, 17].map(|width| normal(40, width, dtype, 100 + width as u64));
        let of = |difference: fn(_, _) -> Result<Tensor>, x, y, u, w| -> Vec<f64> {
            flat(&difference((x, y, 0.75), (u, w, 1.25)).unwrap())
        };
        let fused = of(ops::outer_difference, &x, &y, &u_, &w);
        let plain = of(reference::outer_difference, &x, &y, &u_, &w);
        let [x, y, u_, w] = [x, y, u_, w].map(|t| t.abs().unwrap());
        let sizes = reference::outer_difference((&x, &y, 0.75), (&u_, &w, -1.25)).unwrap();
        for ((fused, plain), size) in fused.iter().zip(plain).zip(flat(&sizes)) {
            assert!((fused - plain).abs() <= 2.0 * 103.0 * u * size, "{dtype:?}: {fused} {plain}");
        }
        let bound = 61.0 * u * flat(&x.sum_all().unwrap())[0];
        let sums = flat(&x.sum(0).unwrap());
        assert_close("sum_rows", &flat(&ops::sum_rows(&x).unwrap()), &sums, bound);
    }
}

/// Transposed and cut tensors are what their copies are.
#[test]
fn layout_does_not_matter() {
    for dtype in BOTH {
        let (whole, bias) = inputs(dtype);
        let (turned, cut) = (whole.t().unwrap(), whole.narrow(1, 3, 77).unwrap());
        let bias = bias.narrow(0, 5, 77).unwrap();
        for strided in [&turned, &cut] {
            let copy = strided.contiguous().unwrap().copy().unwrap();
            for op in [ops::sigmoid, ops::softplus] {
                assert_eq!(bits(&op(strided).unwrap()), bits(&op(&copy).unwrap()));
            }
        }
        let copies = (cut.copy().unwrap().contiguous().unwrap(), bias.copy().unwrap());
        let sample = |x, b| {
            let (mean, sample) = ops::bernoulli_mean_and_sample(x, b, &mut Rng::new(5)).unwrap();
            [bits(&mean), bits(&sample)]
        };
        assert_eq!(sample(&cut, &bias), sample(&copies.0, &copies.1));
        let outer = |x: &Tensor| bits(&ops::outer_difference((x, x, 1.0), (x, x, 0.5)).unwrap());
        assert_eq!(outer(&cut), outer(&copies.0));
    }
}

/// Σ r·f(x) with fixed random r, so that every output has a slope of its own. Central differences of step 1e-5 err by
/// 1e-10·f‴/6 and by rounding, 1e-14 / 1e-5.
fn slopes_are_finite_differences(what: &str, x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
    const H: f64 = 1e-5;
    let scalar = |x: &Tensor| {
        let y = f(x).unwrap();
        let count = y.elem_count();
        let r = normal(1, count, DType::F64, 6).reshape(y.shape()).unwrap();
        (y * r).unwrap().sum_all().unwrap()
    };
    let var = Var::from_tensor(x).unwrap();
    let slopes = scalar(&var).backward().unwrap();
    let differences = (0..x.elem_count()).map(|i| {
        let moved = |by: f64| {
            let mut values = flat(x);
            values[i] += by;
            flat(&scalar(&Tensor::from_vec(values, x.shape(), &Device::Cpu).unwrap()))[0]
        };
        (moved(H) - moved(-H)) / (2.0 * H)
    });
    let differences: Vec<_> = differences.collect();
    assert_close(what, &flat(slopes.get(&var).unwrap()), &differences, 1e-8);
}

#[test]
fn derivatives_are_finite_differences() {
    let (x, bias) = (normal(3, 5, DType::F64, 7), normal(1, 5, DType::F64, 8).squeeze(0).unwrap());
    slopes_are_finite_differences("sigmoid", &x, ops::sigmoid);
    slopes_are_finite_differences("softplus", &x, ops::softplus);
    slopes_are_finite_differences("mean by inputs", &x, |x| ops::bernoulli_mean(x, &bias));
    slopes_are_finite_differences("mean by bias", &bias, |b| ops::bernoulli_mean(&x, b));
    slopes_are_finite_differences("add_bias by x", &x, |x| ops::add_bias(x, &bias));
    slopes_are_finite_differences("add_bias by bias", &bias, |b| ops::add_bias(&x, b));
    slopes_are_finite_differences("sum_rows", &x, ops::sum_rows);
    slopes_are_finite_differences("sum_within_rows", &x, ops::sum_within_rows);
    slopes_are_finite_differences("plain sigmoid", &x, reference::sigmoid);
    slopes_are_finite_differences("plain softplus", &x, reference::softplus);
}

/// Shapes and types that do not fit are errors and not panics.
#[test]
fn misfits_are_errors() {
    let (inputs, bias) = inputs(DType::F32);
    let rng = &mut Rng::new(9);
    let narrow = bias.narrow(0, 0, 202).unwrap();
    let double = bias.to_dtype(DType::F64).unwrap();
    for wrong in [&narrow, &double] {
        assert!(ops::bernoulli_mean(&inputs, wrong).is_err());
        assert!(ops::bernoulli_sample(&inputs, wrong, rng).is_err());
        assert!(ops::bernoulli_mean_and_sample(&inputs, wrong, rng).is_err());
        assert!(ops::add_bias(&inputs, wrong).is_err());
    }
    let (short, double) = (inputs.narrow(0, 0, 10).unwrap(), inputs.to_dtype(DType::F64).unwrap());
    for wrong in [&short, &double] {
        assert!(ops::outer_difference((&inputs, wrong, 1.0), (&inputs, &inputs, 1.0)).is_err());
    }
}
