//! The fused operations are the plain ones of `ops::reference`, and their derivatives are those of finite differences.
//!
//! What they would catch: a vectorised pass that skips or repeats a row's end, reads a strided tensor as if it were
//! contiguous, or draws other words than the plain pass; a backward pass with a lost factor.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::{assert_close, bits, flat, normal};
use rbm_core::ops::{self, Ascent, Outer, Penalty, reference};
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

/// Both sides invert with the same uniform number. They may disagree only where it is within rounding of a boundary; of
/// 29 000 numbers among 7 states 0.4 are within 1e-6 of one on average.
#[test]
fn states_of_sites_are_the_same() {
    for dtype in BOTH {
        let (inputs, bias) = inputs(dtype);
        let rng = Rng::new(9);
        let fused = ops::multinomial_sample(&inputs, &bias, 7, 1, &mut rng.clone()).unwrap();
        let field = inputs.broadcast_add(&bias).unwrap();
        let plain = reference::categorical(&field, 7, rng.clone().draw()).unwrap();
        let sites = |x: &Tensor| flat(x).chunks(7).map(<[f64]>::to_vec).collect::<Vec<_>>();
        let (fused, plain) = (sites(&fused), sites(&plain));
        assert!(plain.iter().chain(&fused).all(|site| site.iter().sum::<f64>() == 1.0));
        let differing = fused.iter().zip(&plain).filter(|(a, b)| a != b).count();
        assert!(differing <= 5, "{dtype:?}: {differing}");
        let one = reference::categorical(&field, 1, rng.clone().draw()).unwrap();
        assert!(flat(&one).iter().all(|x| *x == 1.0));
    }
}

/// The tangent that stands in for the function has its value and its slope.
#[test]
fn rectified_units_are_the_same_by_tangent() {
    for dtype in BOTH {
        let field = Var::from_tensor(&inputs(dtype).0).unwrap();
        let slope = |y: &Tensor| {
            let slopes = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            flat(slopes.get(&field).unwrap())
        };
        for (fused, plain) in [
            (ops::rectified_cgf(&field), reference::rectified_cgf(&field)),
            (ops::rectified_mean(&field), reference::rectified_mean(&field)),
        ] {
            let (fused, plain) = (fused.unwrap(), plain.unwrap());
            assert_close("value", &flat(&plain), &flat(&fused), rounding(dtype));
            assert_close("slope", &slope(&plain), &slope(&fused), 10.0 * rounding(dtype));
        }
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
        let sum = inputs.broadcast_add(&bias).unwrap();
        close("add_bias", ops::add_bias(&inputs, &bias), Ok(sum.clone()));
        let plain = flat(&reference::softplus(&sum).unwrap().sum(1).unwrap());
        let cgf = flat(&ops::bernoulli_cgf(&inputs, &bias).unwrap());
        let bound = 203.0 * unit_roundoff(dtype);
        let pairs = cgf.iter().zip(&plain);
        assert!(pairs.clone().all(|(a, b)| (a / b - 1.0).abs() < bound), "{cgf:?} {plain:?}");
    }
}

/// The unit of rounding.
fn unit_roundoff(dtype: DType) -> f64 {
    if dtype == DType::F32 { 2f64.powi(-24) } else { 2f64.powi(-53) }
}

/// `(rows, width)`, of which about the share `density` is not zero: ones, or normal numbers.
fn sparse(rows: usize, width: usize, density: f64, ones: bool, dtype: DType) -> Tensor {
    let shape = (rows, width);
    let seed = (rows * width) as u64;
    let uniform = ops::uniform(shape, dtype, &Device::Cpu, &mut Rng::new(seed)).unwrap();
    let mask = uniform.lt(density).unwrap().to_dtype(dtype).unwrap();
    if ones { mask } else { (mask * normal(rows, width, dtype, seed + 1)).unwrap() }
}

/// Sums of n products, whatever their order, differ by at most 2·n·u·Σ|xy| (Higham 2002, §3.1).
fn assert_same_sums(what: &str, n: usize, found: &Tensor, plain: &Tensor, sizes: &Tensor) {
    let u = unit_roundoff(found.dtype());
    assert_eq!(found.dims(), plain.dims(), "{what}");
    for ((found, plain), size) in flat(found).into_iter().zip(flat(plain)).zip(flat(sizes)) {
        assert!((found - plain).abs() <= 2.0 * n as f64 * u * size, "{what}: {found} {plain}");
    }
}

/// Widths below, between and above the pieces that are kept in registers; densities on both sides of every choice.
#[test]
fn products_are_the_same_to_rounding() {
    for dtype in BOTH {
        for (cases, n, m) in [(1, 1, 1), (61, 203, 125), (3, 70, 7), (40, 17, 500), (150, 400, 64)]
        {
            let w = normal(n, m, dtype, 9);
            for (density, ones) in
                [(0.0, true), (0.1, true), (0.1, false), (0.45, true), (0.45, false), (1.0, false)]
            {
                let what = format!("{dtype:?} {cases}x{n}x{m} {density} {ones}");
                let abs = |x: &Tensor| x.abs().unwrap();
                let x = sparse(cases, n, density, ones, dtype);
                let sizes = abs(&x).matmul(&abs(&w)).unwrap();
                let up = ops::product(&x, &w).unwrap();
                assert_same_sums(&what, n, &up, &x.matmul(&w).unwrap(), &sizes);

                let y = sparse(cases, m, density, ones, dtype);
                let sizes = abs(&y).matmul(&abs(&w).t().unwrap()).unwrap();
                let plain = y.matmul(&w.t().unwrap()).unwrap();
                let down = ops::product_transposed(&y, &w).unwrap();
                assert_same_sums(&format!("{what} transposed"), m, &down, &plain, &sizes);
            }
        }
    }
}

fn outers(pairs: &[(&Tensor, &Tensor, f64)]) -> Vec<Outer> {
    pairs.iter().map(|(x, y, scale)| Outer::new(x, y, *scale).unwrap()).collect()
}

#[test]
fn sums_of_outer_products_and_of_rows_are_the_same_to_rounding() {
    for dtype in BOTH {
        let [x, y] = [33, 17].map(|width| normal(61, width, dtype, width as u64));
        let [u, w] = [33, 17].map(|width| normal(40, width, dtype, 100 + width as u64));
        let sum = outers(&[(&x, &y, 0.75), (&u, &w, -1.25)]);
        let (fused, plain) = (ops::outer_sum(&sum).unwrap(), reference::outer_sum(&sum).unwrap());
        let [x, y, u, w] = [x, y, u, w].map(|t| t.abs().unwrap());
        let sizes = reference::outer_sum(&outers(&[(&x, &y, 0.75), (&u, &w, 1.25)])).unwrap();
        assert_same_sums("outer sum", 103, &fused, &plain, &sizes);
        let bound = 61.0 * unit_roundoff(dtype) * flat(&x.sum_all().unwrap())[0];
        let sums = flat(&x.sum(0).unwrap());
        assert_close("sum_rows", &flat(&ops::sum_rows(&x).unwrap()), &sums, bound);
    }
}

/// The step in one pass against the same in plain candle: sparse, dense and mixed terms, with both penalties, and a
/// tensor. The step rounds six times more than the sum.
#[test]
fn a_momentum_step_is_the_same_to_rounding() {
    let (rate, momentum) = (0.3, 0.7);
    for dtype in BOTH {
        for (n, m) in [(203, 500), (1, 1), (64, 125)] {
            for densities in [
                [0.1, 0.1],
                [0.1, 0.9],
                [0.9, 0.2],
                [1.0, 1.0],
                [0.0, 0.0],
                [0.3, 0.3],
                [0.05, 0.3],
            ] {
                let [x, u] = densities.map(|density| sparse(61, n, density, density < 0.5, dtype));
                let [y, w] = [1, 2].map(|seed| normal(61, m, dtype, seed));
                let terms = outers(&[(&x, &y, 0.75), (&u, &w, -1.25)]);
                let sum = reference::outer_sum(&terms).unwrap();
                for (mut ascent, penalty) in [
                    (Ascent::from(terms.clone()), Penalty::default()),
                    (Ascent::from(terms.clone()), Penalty { l1: 0.01, l2: 0.1 }),
                    (Ascent::from(sum.clone()), Penalty { l1: 0.01, l2: 0.1 }),
                ] {
                    ascent.penalty = penalty;
                    let [parameter, velocity] = [3, 4].map(|seed| normal(n, m, dtype, seed));
                    let size = |x: &Tensor, y: &Tensor| {
                        x.abs().unwrap().t().unwrap().matmul(&y.abs().unwrap()).unwrap()
                    };
                    let sizes = ((size(&x, &y) * 0.75).unwrap() + (size(&u, &w) * 1.25).unwrap())
                        .and_then(|s| s + velocity.abs()?)
                        .and_then(|s| s + parameter.abs()?)
                        .unwrap();
                    let gradient = (&sum - (&parameter * penalty.l2).unwrap())
                        .and_then(|g| g - (parameter.sign()? * penalty.l1)?)
                        .unwrap();
                    let delta = (&velocity * momentum).unwrap() + (gradient * rate).unwrap();
                    let delta = delta.unwrap();
                    let moved = (&parameter + &delta).unwrap();
                    ops::momentum_step(&parameter, &velocity, &ascent, rate, momentum).unwrap();
                    let what = format!("{dtype:?} {n}x{m} {densities:?} {penalty:?}");
                    assert_same_sums(&what, 128, &velocity, &delta, &sizes);
                    assert_same_sums(&what, 128, &parameter, &moved, &sizes);
                }
            }
        }
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
        let outer = |x: &Tensor| bits(&ops::outer_sum(&outers(&[(x, x, 1.0)])).unwrap());
        assert_eq!(outer(&cut), outer(&copies.0));
        let w = normal(77, 30, dtype, 3);
        let up = |x: &Tensor| bits(&ops::product(x, &w).unwrap());
        assert_eq!(up(&cut), up(&copies.0));
        let down = |w: &Tensor| bits(&ops::product_transposed(&copies.0, w).unwrap());
        assert_eq!(down(&w.t().unwrap()), down(&w.t().unwrap().contiguous().unwrap()));
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
    slopes_are_finite_differences("cgf by x", &x, |x| ops::bernoulli_cgf(x, &bias));
    slopes_are_finite_differences("cgf by bias", &bias, |b| ops::bernoulli_cgf(&x, b));
    slopes_are_finite_differences("add_bias by x", &x, |x| ops::add_bias(x, &bias));
    slopes_are_finite_differences("add_bias by bias", &bias, |b| ops::add_bias(&x, b));
    slopes_are_finite_differences("sum_rows", &x, ops::sum_rows);
    let (w, turned) = (normal(5, 4, DType::F64, 9), normal(4, 5, DType::F64, 9));
    slopes_are_finite_differences("product by x", &x, |x| ops::product(x, &w));
    slopes_are_finite_differences("product by w", &w, |w| ops::product(&x, w));
    slopes_are_finite_differences("transposed by x", &x, |x| ops::product_transposed(x, &turned));
    slopes_are_finite_differences("transposed by w", &turned, |w| ops::product_transposed(&x, w));
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
        assert!(ops::bernoulli_cgf(&inputs, wrong).is_err());
    }
    assert!(ops::outer_sum(&[]).is_err());
    assert!(ops::product(&inputs, &inputs).is_err());
    assert!(ops::product_transposed(&inputs, &inputs.narrow(1, 0, 202).unwrap()).is_err());
    assert!(ops::product(&inputs, &inputs.t().unwrap().to_dtype(DType::F64).unwrap()).is_err());
    let ascent = Ascent::from(outers(&[(&inputs, &inputs, 1.0)]));
    for wrong in [&inputs, &bias] {
        assert!(ops::momentum_step(wrong, wrong, &ascent, 0.1, 0.5).is_err());
    }
    let (short, double) = (inputs.narrow(0, 0, 10).unwrap(), inputs.to_dtype(DType::F64).unwrap());
    for wrong in [&short, &double] {
        assert!(Outer::new(&inputs, wrong, 1.0).is_err());
    }
}

/// Rows of different inverse temperatures, cut up in the middle of a row by threads.
#[test]
fn tempering_is_the_plain_one() {
    for dtype in BOTH {
        let (x, _) = inputs(dtype);
        let (rows, width) = x.dims2().unwrap();
        let betas = normal(rows, 1, dtype, 31);
        let field = normal(1, width, dtype, 32).squeeze(0).unwrap();
        let fused = ops::interpolate_inputs(&x, &betas, &field).unwrap();
        let plain = reference::interpolate_inputs(&x, &betas, &field).unwrap();
        assert_close("temper", &flat(&fused), &flat(&plain), rounding(dtype) * 20.0);
        assert!(ops::interpolate_inputs(&x, &betas.t().unwrap(), &field).is_err());
    }
}

/// The words of both are the same, and a threshold in `f32` is the same in both.
#[test]
fn dropout_is_the_plain_one_and_its_own_derivative() {
    for dtype in BOTH {
        let (x, _) = inputs(dtype);
        let rng = &mut Rng::new(11);
        assert!(ops::DropoutMask::draw(0.0, rng).unwrap().is_none());
        let draw = rng.clone().draw();
        let dropout = ops::DropoutMask::draw(0.4, rng).unwrap().unwrap();
        let fused = dropout.apply(&x).unwrap();
        let plain = reference::dropout(&x, 0.4, draw).unwrap();
        assert_close("dropout", &flat(&fused), &flat(&plain), rounding(dtype) * 20.0);
        let kept = flat(&fused).iter().filter(|&&x| x != 0.0).count() as f64 / 203_000.0;
        assert!((kept - 0.6).abs() < 4.0 * (0.24f64 / 203_000.0).sqrt(), "{kept}");
        let (once, twice) = (dropout.apply(&x).unwrap(), dropout.apply(&fused).unwrap());
        assert_eq!(bits(&once), bits(&fused));
        assert_close("the same elements", &flat(&twice), &flat(&(once / 0.6).unwrap()), 1e-4);
    }
    for wrong in [1.0, -0.1, f64::NAN] {
        assert!(ops::DropoutMask::draw(wrong, &mut Rng::new(1)).is_err());
    }
}

/// Products in plain candle with the same elements left out, and what its autograd says of them.
#[test]
fn a_connection_and_its_derivatives_are_the_plain_ones() {
    for dtype in BOTH {
        let (x, w, bias) =
            (normal(7, 33, dtype, 1), normal(33, 18, dtype, 2), normal(1, 18, dtype, 3));
        let [x, w, bias] = [x, w, bias.squeeze(0).unwrap()].map(|t| Var::from_tensor(&t).unwrap());
        let dropout = ops::DropoutMask::draw(0.3, &mut Rng::new(5)).unwrap();
        let r = normal(7, 18, dtype, 4);
        for dropout in [None, dropout] {
            let plain_store = ops::Connection { dropout, ..ops::Connection::new(&w) };
            let deferred = ops::Deferred::default();
            let connection =
                ops::Connection { gradient: Some(deferred.clone()), ..plain_store.clone() };
            let mask = match dropout {
                Some(dropout) => dropout.apply(&x.ones_like().unwrap()).unwrap(),
                None => x.ones_like().unwrap(),
            };
            let inputs = (x.as_tensor() * mask).unwrap().matmul(&w).unwrap();
            let affine = inputs.broadcast_add(&bias).unwrap();
            let mean = reference::sigmoid(&affine).unwrap();
            type Way<'a> = &'a dyn Fn(&ops::Connection) -> Result<Tensor>;
            let ways: [(&str, Way, Tensor); 3] = [
                ("inputs", &|c| c.inputs(&x), inputs),
                ("affine", &|c| c.affine(&x, &bias), affine),
                ("sigmoid", &|c| c.sigmoid(&x, &bias), mean),
            ];
            for (what, way, plain) in ways {
                let fused = way(&connection).unwrap();
                let close = |name: &str, fused: &Tensor, plain: &Tensor| {
                    // Sums of at most 33 numbers of order ten.
                    let bound = 33.0 * 100.0 * unit_roundoff(dtype);
                    let what = format!("{what} {name} {dtype:?} {dropout:?}");
                    assert_close(&what, &flat(fused), &flat(plain), bound);
                };
                close("value", &fused, &plain);
                let slopes = |y: &Tensor| (y * &r).unwrap().sum_all().unwrap().backward().unwrap();
                let plain = slopes(&plain);
                assert!(deferred.take().is_empty());
                let fused = slopes(&fused);
                let outers = deferred.take();
                assert!(fused.get(&w).is_none(), "nothing is added up twice");
                close("by w", &ops::outer_sum(&outers).unwrap(), plain.get(&w).unwrap());
                let stored = slopes(&way(&plain_store).unwrap());
                close("by w, stored", stored.get(&w).unwrap(), plain.get(&w).unwrap());
                close("by x", fused.get(&x).unwrap(), plain.get(&x).unwrap());
                if what != "inputs" {
                    close("by bias", fused.get(&bias).unwrap(), plain.get(&bias).unwrap());
                }
            }
        }
    }
}

/// Columns of norms from 0 to 6 with 3 for the most: the long ones end at 3 and keep their direction, the others keep their
/// bits. Catches rows taken for columns, a column scaled by its neighbour's norm where a thread's piece begins in the middle of
/// a row, and a limit that is applied twice.
#[test]
fn columns_are_limited() {
    for dtype in BOTH {
        let (rows, columns) = (301, 203);
        let noise = normal(rows, columns, dtype, 6);
        let lengths = reference::sum_rows(&noise.sqr().unwrap()).unwrap().sqrt().unwrap();
        let wanted = Tensor::arange(0f64, columns as f64, &Device::Cpu).unwrap();
        let wanted = (wanted * (6.0 / columns as f64)).unwrap().to_dtype(dtype).unwrap();
        let weights = noise.broadcast_mul(&(wanted / lengths).unwrap()).unwrap();
        let limited = Var::from_tensor(&weights).unwrap();
        ops::limit_column_norms(&limited, 3.0).unwrap();
        let plain = reference::limited_column_norms(&weights, 3.0).unwrap();
        assert_close("fused and plain", &flat(&limited), &flat(&plain), rounding(dtype));
        for j in 0..columns {
            let (before, after) = (common::column(&weights, j), common::column(&limited, j));
            let norm = before.iter().map(|w| w * w).sum::<f64>().sqrt();
            let scale = if norm > 3.0 { 3.0 / norm } else { 1.0 };
            let expected: Vec<_> = before.iter().map(|w| w * scale).collect();
            // The squares of 301 numbers are added up, each sum rounded.
            let epsilon = if dtype == DType::F32 { 2f64.powi(-24) } else { 2f64.powi(-53) };
            let tolerance = if norm > 3.0 { 301.0 * epsilon } else { 0.0 };
            assert_close("a column", &after, &expected, tolerance);
        }
        let once = bits(&limited);
        ops::limit_column_norms(&limited, 3.0 + 1e-5).unwrap();
        assert_eq!(bits(&limited), once);
        assert!(ops::limit_column_norms(&limited, 0.0).is_err());
        assert!(ops::limit_column_norms(&limited, f64::NAN).is_err());
    }
}
