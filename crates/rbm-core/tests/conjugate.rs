//! The laws of line searches and conjugate gradients, on functions whose maxima are known.
//!
//! What they would catch: a step that does not meet its conditions, an interval that loses the maximum, a wrong sign or part
//! of the direction before, a first step that is not remembered, parameters that are left where nobody accepted them.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::{bits, flat};
use rbm_core::learning::optim::{LinePoint, LineSearch};
use rbm_core::{ConjugateGradient, Result, Stateful};

/// A function of the step, with its derivative.
type Line = fn(f64) -> (f64, f64);

/// The step, and how many places were looked at.
fn searched(search: &LineSearch, line: Line, first: f64) -> (Option<LinePoint<()>>, usize) {
    let mut looks = 0;
    let place = |step: f64| {
        let (value, slope) = line(step);
        LinePoint { step, value, slope, known: () }
    };
    let found = search.run(place(0.0), first, |step| {
        looks += 1;
        Ok(place(step))
    });
    (found.unwrap(), looks)
}

/// Both strong Wolfe conditions, whatever the first step: far too short, far too long, or where the line is not defined.
#[test]
fn a_step_meets_its_conditions() {
    let lines: [(&str, Line); 6] = [
        ("a parabola", |a| (-(a - 3.0).powi(2), -2.0 * (a - 3.0))),
        ("a flat top", |a| (-(a - 2.0).powi(4), -4.0 * (a - 2.0).powi(3))),
        ("many tops", |a| (a.sin(), a.cos())),
        ("an edge at 1", |a| (2.0 * a + (1.0 - a).ln(), 2.0 - 1.0 / (1.0 - a))),
        ("a valley on the way", |a| (a + 2.0 * (4.0 * a).sin(), 1.0 + 8.0 * (4.0 * a).cos())),
        ("a long way", |a| (-(a - 1e4).powi(2) * 1e-4, -2e-4 * (a - 1e4))),
    ];
    let strict = LineSearch { curvature: 1e-6, evaluations: 60, ..LineSearch::default() };
    for (name, line) in lines {
        let (height, slope) = line(0.0);
        for first in [1e-4, 0.05, 1.0, 7.0, 1e6] {
            for (search, most) in [(LineSearch::default(), 20), (strict, 60)] {
                let (found, looks) = searched(&search, line, first);
                let found = found.unwrap_or_else(|| panic!("{name} from {first}: nothing"));
                let least = height + search.increase * found.step * slope;
                assert!(found.step > 0.0 && found.value >= least, "{name} from {first}: {found:?}");
                let left = search.curvature * slope;
                assert!(found.slope.abs() <= left, "{name} from {first}: {found:?}");
                assert!(looks < most, "{name} from {first}: {looks} looks");
            }
        }
    }
    // What is not uphill anywhere has no step.
    let down: Line = |a| (-a, 1.0);
    assert!(searched(&LineSearch::default(), down, 1.0).0.is_none());
    // A parabola is known after one look; a second one is at its top.
    assert_eq!(searched(&strict, lines[0].1, 1.0).1, 2);
}

/// A symmetric matrix with eigenvalues between 1 and about 50, and a vector.
fn quadratic(n: usize) -> (Tensor, Tensor) {
    let noise = common::normal(n, n, DType::F64, 1);
    let square = noise.matmul(&noise.t().unwrap()).unwrap();
    let a = (square + Tensor::eye(n, DType::F64, &Device::Cpu).unwrap()).unwrap();
    (a, common::normal(n, 1, DType::F64, 2))
}

/// b·x − x·Ax/2 and its gradient.
fn look(a: &Tensor, b: &Tensor, x: &Var) -> Result<(f64, Vec<Tensor>)> {
    let x = x.as_detached_tensor();
    let ax = a.matmul(&x)?;
    let value = ((b - (&ax * 0.5)?)? * &x)?.sum_all()?.to_scalar::<f64>()?;
    Ok((value, vec![(b - ax)?]))
}

fn size(x: &Tensor) -> f64 {
    flat(x).iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The theorem of conjugate directions: with exact line searches the maximum of a quadratic function of n numbers is found by
/// the nth search, and not before. Two parameters are one point: the same in two pieces goes the same way.
#[test]
fn a_quadratic_function_takes_as_many_searches_as_it_has_dimensions() {
    let n = 8;
    let (a, b) = quadratic(n);
    let left = |searches: usize| {
        let x = Var::zeros((n, 1), DType::F64, &Device::Cpu).unwrap();
        let mut rule = ConjugateGradient::new(searches);
        rule.search.curvature = 1e-13;
        let before = rule.climb(&[&x], &mut || look(&a, &b, &x)).unwrap();
        assert_eq!(before, 0.0);
        size(&look(&a, &b, &x).unwrap().1[0]) / size(&b)
    };
    // Heights that differ by less than their rounding are one height: a search cannot come nearer than √ε = 1.5e-8 of its way,
    // and the eigenvalues stretch that by at most 50.
    assert!(left(n) < 1e-6, "{}", left(n));
    assert!(left(n - 1) > 1e-5, "{}", left(n - 1));

    let whole = Var::zeros((n, 1), DType::F64, &Device::Cpu).unwrap();
    let parts = [3, n - 3].map(|rows| Var::zeros((rows, 1), DType::F64, &Device::Cpu).unwrap());
    let (mut one, mut two) = (ConjugateGradient::new(4), ConjugateGradient::new(4));
    one.climb(&[&whole], &mut || look(&a, &b, &whole)).unwrap();
    two.climb(&[&parts[0], &parts[1]], &mut || {
        let x = Tensor::cat(&[parts[0].as_tensor(), parts[1].as_tensor()], 0)?;
        let (value, gradient) = look(&a, &b, &Var::from_tensor(&x)?)?;
        let gradient = &gradient[0];
        Ok((value, vec![gradient.narrow(0, 0, 3)?, gradient.narrow(0, 3, n - 3)?]))
    })
    .unwrap();
    let parts = [flat(&parts[0]), flat(&parts[1])].concat();
    common::assert_close("in two pieces", &parts, &flat(&whole), 1e-9);
}

/// Rosenbrock's valley, upside down: −(1 − x)² − 100·(y − x²)², from (−1.2, 1) to (1, 1).
fn valley(at: &Var) -> Result<(f64, Vec<Tensor>)> {
    let at = at.to_vec1::<f64>()?;
    let (x, y) = (at[0], at[1]);
    let value = -(1.0 - x).powi(2) - 100.0 * (y - x * x).powi(2);
    let slopes = [2.0 * (1.0 - x) + 400.0 * x * (y - x * x), -200.0 * (y - x * x)];
    Ok((value, vec![Tensor::new(&slopes, &Device::Cpu)?]))
}

#[test]
fn a_bent_valley_is_followed_to_its_end() {
    let at = Var::new(&[-1.2f64, 1.0], &Device::Cpu).unwrap();
    let mut rule = ConjugateGradient::new(60);
    let mut looks = 0;
    let mut heights = Vec::new();
    rule.climb(&[&at], &mut || {
        looks += 1;
        let found = valley(&at)?;
        heights.push(found.0);
        Ok(found)
    })
    .unwrap();
    let distance = flat(&at).iter().map(|x| (x - 1.0).powi(2)).sum::<f64>().sqrt();
    assert!(distance < 1e-6, "{distance} after {looks} looks");
    assert!(looks < 300, "{looks} looks");
    // Where it ends is the highest place that it has seen.
    let end = valley(&at).unwrap().0;
    assert!(heights.iter().all(|&height| height <= end), "{end}");

    // Also where the last look of a search was not its best.
    let mut is_last_best = Vec::new();
    for (x, y) in [(-1.2, 1.0), (0.0, 3.0), (2.0, -1.0), (-2.0, 0.0), (0.5, 0.5)] {
        let at = Var::new(&[x, y], &Device::Cpu).unwrap();
        let mut heights = Vec::new();
        let mut rule = ConjugateGradient::new(1);
        rule.search = LineSearch { evaluations: 4, curvature: 1e-9, ..LineSearch::default() };
        rule.climb(&[&at], &mut || {
            let found = valley(&at)?;
            heights.push(found.0);
            Ok(found)
        })
        .unwrap();
        let best = heights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert_eq!(valley(&at).unwrap().0, best, "({x}, {y}): {heights:?}");
        is_last_best.push(heights.last() == Some(&best));
    }
    assert!(is_last_best.contains(&false), "nothing was tested");
}

/// On top, and where no step leads up, nothing moves, to the bit.
#[test]
fn where_nothing_is_higher_nothing_moves() {
    let (a, b) = quadratic(3);
    let x = Var::ones((3, 1), DType::F64, &Device::Cpu).unwrap();
    let before = bits(&x);
    let mut rule = ConjugateGradient::new(3);
    rule.climb(&[&x], &mut || {
        let (value, gradient) = look(&a, &b, &x)?;
        Ok((value, vec![gradient[0].zeros_like()?]))
    })
    .unwrap();
    assert_eq!(bits(&x), before);
    // A gradient that points downhill, as a wrong one does; the search gives up while its steps are still long.
    rule.search.evaluations = 3;
    rule.climb(&[&x], &mut || {
        let (value, gradient) = look(&a, &b, &x)?;
        Ok((value, vec![gradient[0].neg()?]))
    })
    .unwrap();
    assert_eq!(bits(&x), before);
    let error = rule.climb(&[&x], &mut || Ok((0.0, vec![]))).unwrap_err().to_string();
    assert!(error.contains("one a parameter"), "{error}");
}

/// Other cases in every climb, as fine-tuning has them: with its memory saved and restored between any two, it goes the same way,
/// and without it another.
#[test]
fn climbs_continue_as_if_never_stopped() {
    let run = |is_kept: &dyn Fn(usize) -> bool| {
        let x = Var::zeros((5, 1), DType::F64, &Device::Cpu).unwrap();
        let mut rule = ConjugateGradient::new(2);
        for climb in 0..6 {
            let (a, _) = quadratic(5);
            let b = common::normal(5, 1, DType::F64, 10 + climb as u64);
            let memory = rule.state();
            rule = ConjugateGradient::new(2);
            if is_kept(climb) {
                rule.restore(&memory).unwrap();
            }
            rule.climb(&[&x], &mut || look(&a, &b, &x)).unwrap();
        }
        bits(&x)
    };
    let mut whole = ConjugateGradient::new(2);
    let x = Var::zeros((5, 1), DType::F64, &Device::Cpu).unwrap();
    for climb in 0..6 {
        let ((a, _), b) = (quadratic(5), common::normal(5, 1, DType::F64, 10 + climb));
        whole.climb(&[&x], &mut || look(&a, &b, &x)).unwrap();
    }
    assert_eq!(run(&|_| true), bits(&x));
    assert_ne!(run(&|climb| climb != 3), bits(&x));
}
