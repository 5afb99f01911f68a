//! Machines that learn measurements, alone and beside categories, whose couplings and likelihoods are those of normal distributions.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::learning::{Learner, Learning, Negative, Shape};
use candle_boltzmann::{ColumnFindings, Couplings, column_findings};
use candle_core::{DType, Device, Tensor};
use nalgebra::DMatrix;
use rbm_core::model::Boltzmann;
use rbm_core::{Rng, ops};

const CPU: Device = Device::Cpu;

fn shape(visible: &str) -> Shape {
    Shape {
        visible: visible.parse().unwrap(),
        hidden: Vec::new(),
        labels: None,
        couplings: Couplings::Visible,
    }
}

fn settings(negative: Negative, epochs: usize) -> Learning {
    Learning {
        negative,
        epochs,
        l2: 0.0,
        batch_size: None,
        learning_rate: 0.02,
        ..Learning::default()
    }
}

/// So many cases of three measurements, correlated, and of a class of three, which shifts them.
fn cases(count: usize) -> (Vec<Vec<f64>>, Vec<usize>) {
    let mut rng = Rng::new(3);
    let noise = ops::normal((count, 3), DType::F64, &CPU, &mut rng).unwrap();
    let shifts = [[0.0, 1.5, -0.5], [1.0, -1.0, 0.0], [-2.0, 0.5, 0.3]];
    let rows = noise.to_vec2::<f64>().unwrap().into_iter().enumerate().map(|(i, z)| {
        let class = if i % 5 == 0 { 2 } else { i % 2 };
        let shift = shifts[class];
        let x = [z[0], 0.9 * z[0] + 0.5 * z[1], 0.3 * z[0] - 0.6 * z[1] + 0.7 * z[2]];
        (x.iter().zip(shift).map(|(x, shift)| x + shift).collect(), class)
    });
    rows.unzip()
}

/// The covariances about the means of each class, and these: what is most probable of the model.
fn within(rows: &[Vec<f64>], classes: &[usize], count: usize) -> (DMatrix<f64>, Vec<Vec<f64>>) {
    let means: Vec<Vec<f64>> = (0..count)
        .map(|class| {
            let own: Vec<_> = rows.iter().zip(classes).filter(|(_, of)| **of == class).collect();
            (0..3).map(|j| own.iter().map(|(x, _)| x[j]).sum::<f64>() / own.len() as f64).collect()
        })
        .collect();
    let mut covariance = DMatrix::zeros(3, 3);
    for (x, class) in rows.iter().zip(classes) {
        let off = |j: usize| x[j] - means[*class][j];
        (0..9).for_each(|at| covariance[(at / 3, at % 3)] += off(at / 3) * off(at % 3));
    }
    (covariance / rows.len() as f64, means)
}

/// The mean log p(x, class) at its highest: by the covariances within classes.
fn highest(rows: &[Vec<f64>], classes: &[usize], count: usize) -> f64 {
    let (covariance, _) = within(rows, classes, count);
    let share = |class: usize| {
        classes.iter().filter(|of| **of == class).count() as f64 / classes.len() as f64
    };
    let of_classes =
        classes.iter().map(|class| share(*class).ln()).sum::<f64>() / rows.len() as f64;
    let log_norm = 3.0 * std::f64::consts::TAU.ln() + covariance.determinant().ln();
    of_classes - 0.5 * log_norm - 1.5
}

fn tensor(rows: &[Vec<f64>], classes: Option<&[usize]>) -> Tensor {
    let code = |i: usize| {
        let class = classes.map(|classes| classes[i]);
        (0..3).filter_map(move |k| class.map(|class| f64::from(u8::from(class == k))))
    };
    let rows = rows.iter().enumerate().map(|(i, row)| row.iter().copied().chain(code(i)).collect());
    let rows: Vec<Vec<f64>> = rows.collect();
    Tensor::new(rows, &CPU).unwrap().to_dtype(DType::F32).unwrap()
}

/// Measurements alone begin at the normal distribution that is most probable, but for the ridge.
#[test]
fn measurements_begin_at_their_own_normal_distribution() {
    let (rows, _) = cases(500);
    let values = tensor(&rows, None);
    let best = highest(&rows, &vec![0; rows.len()], 1);
    let learner =
        Learner::new(shape("gaussian-learned:3"), settings(Negative::Exact, 1), &values).unwrap();
    let found = learner.log_likelihood(&values).unwrap();
    assert!(found.is_exact && found.value < best + 1e-4, "{} {best}", found.value);
    assert!(best - found.value < 1e-3, "{} {best}", found.value);
}

/// Beside a category they begin near what is most probable, and the exact gradient leads there: couplings are those of the inverse of the
/// covariances within classes.
#[test]
fn measurements_and_a_category_learn_what_is_most_probable() {
    let (rows, classes) = cases(500);
    let values = tensor(&rows, Some(&classes));
    let best = highest(&rows, &classes, 3);
    let shape = shape("gaussian-learned:3+potts(3):1");
    let mut learner = Learner::new(shape, settings(Negative::Exact, 400), &values).unwrap();
    let begun = learner.log_likelihood(&values).unwrap().value;
    assert!(begun < best + 1e-4 && best - begun < 0.02, "{begun} {best}");
    while learner.epoch() < learner.learning().epochs {
        learner.learn(&values).unwrap();
    }
    let learned = learner.log_likelihood(&values).unwrap().value;
    assert!(learned < best + 1e-4 && best - learned < 2e-3, "{learned} {best}");
    assert!(learned > begun - 1e-5, "{learned} {begun}");
    let inverse = within(&rows, &classes, 3).0.try_inverse().unwrap();
    let weights = learner.machine().couplings()[0].weights().to_vec2::<f32>().unwrap();
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        let (found, expected) = (f64::from(weights[i][j]), -inverse[(i, j)]);
        assert!((found - expected).abs() < 0.02 * inverse[(i, i)], "{i}{j}: {found} {expected}");
    }
}

/// Samples have the data's means and covariances, and what counts twice counts as two.
#[test]
fn samples_are_as_the_data() {
    let (rows, classes) = cases(400);
    let values = tensor(&rows, Some(&classes));
    let shape = shape("gaussian-learned:3+potts(3):1");
    let learner = Learner::new(shape.clone(), settings(Negative::Exact, 1), &values).unwrap();
    let samples = learner.samples(4000, 1, &mut Rng::new(5)).unwrap();
    let moment = |x: &Tensor, i: usize, j: usize| {
        let both = (x.narrow(1, i, 1).unwrap() * x.narrow(1, j, 1).unwrap()).unwrap();
        both.mean_all().unwrap().to_scalar::<f32>().unwrap()
    };
    for i in 0..6 {
        for j in i..6 {
            let (found, expected) = (moment(&samples, i, j), moment(&values, i, j));
            // The standard error of 4,000 products of the size of 4 is 0.06.
            assert!((found - expected).abs() < 0.25, "{i} {j}: {found} {expected}");
        }
    }
    let mut weighed = Learner::new(shape.clone(), settings(Negative::Exact, 1), &values).unwrap();
    let weights: Vec<f32> = (0..400).map(|i| if i < 100 { 2.0 } else { 1.0 }).collect();
    weighed.weigh(&values, weights.into()).unwrap();
    let twice = Tensor::cat(&[&values, &values.narrow(0, 0, 100).unwrap()], 0).unwrap();
    let copied = Learner::new(shape, settings(Negative::Exact, 1), &twice).unwrap();
    let both = [&weighed, &copied].map(|of| {
        of.machine().couplings()[0].weights().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    });
    for (a, b) in both[0].iter().zip(&both[1]) {
        assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{a} {b}");
    }
}

/// Chains instead of the integral learn the same, and hidden units may stand beside.
#[test]
fn chains_learn_measurements_too() {
    let (rows, classes) = cases(500);
    let values = tensor(&rows, Some(&classes));
    let best = highest(&rows, &classes, 3);
    let shape = Shape {
        hidden: vec!["bernoulli:2".parse().unwrap()],
        ..shape("gaussian-learned:3+potts(3):1")
    };
    let mut learner = Learner::new(shape, settings(Negative::Persistent, 400), &values).unwrap();
    // From couplings half as strong, so that there is something to learn.
    for (name, parameter) in learner.machine().parameters() {
        if name.starts_with("couplings") {
            parameter.set(&(parameter.as_detached_tensor() * 0.5).unwrap()).unwrap();
        }
    }
    let begun = learner.log_likelihood(&values).unwrap().value;
    assert!(begun < best - 0.5, "{begun} {best}");
    while learner.epoch() < learner.learning().epochs {
        learner.learn(&values).unwrap();
    }
    let learned = learner.log_likelihood(&values).unwrap();
    assert!(learned.is_exact && learned.value > best - 2.5, "{} {best}", learned.value);
}

/// A column that follows from others, and one that is constant, are no reason to stop.
#[test]
fn columns_that_follow_from_others_are_learned() {
    let (rows, _) = cases(200);
    let rows: Vec<Vec<f64>> =
        rows.into_iter().map(|x| vec![x[0], x[1], x[0] + x[1], 7.0, x[2]]).collect();
    let values = Tensor::new(rows, &CPU).unwrap().to_dtype(DType::F32).unwrap();
    let how = Learning { learning_rate: 0.01, ..settings(Negative::Exact, 50) };
    let mut learner = Learner::new(shape("gaussian-learned:5"), how, &values).unwrap();
    let begun = learner.log_likelihood(&values).unwrap().value;
    while learner.epoch() < learner.learning().epochs {
        learner.learn(&values).unwrap();
    }
    let learned = learner.log_likelihood(&values).unwrap().value;
    assert!(begun.is_finite() && learned >= begun - 0.01, "{begun} {learned}");
    let found = column_findings(&"gaussian-learned:5".parse().unwrap(), &values).unwrap();
    assert_eq!(
        (&found.constant[..], &found.dependent[..]),
        (&[3][..], &[0, 1, 2][..]),
        "{found:?}"
    );
    assert!(found.ridge > 0.0 && found.largest_variance > 1.0);
    let (rows, classes) = cases(200);
    let plain = tensor(&rows, Some(&classes));
    let units = "gaussian-learned:3+potts(3):1".parse().unwrap();
    let found = column_findings(&units, &plain).unwrap();
    let ColumnFindings { largest_variance, constant, dependent, ridge } = &found;
    assert!(constant.is_empty() && dependent.is_empty() && *ridge == 0.0, "{found:?}");
    // Between the largest variance of a column and the sum of all.
    let columns = plain.to_dtype(DType::F64).unwrap();
    let mean = columns.mean_keepdim(0).unwrap();
    let variances = columns.broadcast_sub(&mean).unwrap().sqr().unwrap().mean(0).unwrap();
    let variances = variances.to_vec1::<f64>().unwrap();
    let most = variances.iter().fold(0.0, |a: f64, b| a.max(*b));
    assert!((most..variances.iter().sum()).contains(largest_variance), "{found:?} {variances:?}");
}

/// Hidden units whose sums are not known are refused before anything is learned.
#[test]
fn kinds_that_cannot_be_summed_are_refused() {
    let refused = |visible: &str, hidden: &[&str], couples_hidden: bool| {
        let hidden = hidden.iter().map(|units| units.parse().unwrap()).collect();
        let couplings = if couples_hidden { Couplings::Hidden } else { Couplings::None };
        let shape = Shape { hidden, couplings, ..shape(visible) };
        shape.machine().is_err()
    };
    assert!(refused("multinomial(5):4", &["bernoulli:2"], false));
    assert!(refused("bernoulli:4", &["relu:3"], true));
    assert!(refused("bernoulli:4", &["gaussian:3"], true));
    assert!(refused("bernoulli:4", &["relu:3", "bernoulli:2"], false));
    assert!(!refused("bernoulli:4", &["gaussian:3", "bernoulli:2"], false));
    assert!(
        !refused("gaussian:4", &["relu:3"], false) || !refused("bernoulli:4", &["relu:3"], false)
    );
}

/// One-hot columns at random, whose covariances are singular but for their ridge, and other columns at other scales: the couplings that are begun with are
/// symmetric to the bit, and what is written is read.
#[test]
fn couplings_begin_symmetric_however_columns_follow_from_each_other() {
    let (sites, states, cases) = (9, 5, 400);
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let drawn = ops::uniform(&[cases, sites], DType::F32, &CPU, &mut rng).unwrap();
        let codes = drawn.to_vec2::<f32>().unwrap().concat().into_iter().flat_map(|x| {
            let at = (x * states as f32) as usize;
            (0..states).map(move |state| f32::from(u8::from(state == at)))
        });
        let codes = Tensor::from_vec(codes.collect::<Vec<_>>(), (cases, sites * states), &CPU);
        let scales = ops::uniform(&[1, sites * states], DType::F32, &CPU, &mut rng).unwrap();
        let codes = codes.unwrap().broadcast_mul(&(scales + 0.5).unwrap()).unwrap();
        let learner =
            Learner::new(shape("gaussian-learned:45"), settings(Negative::Exact, 1), &codes);
        let learner = learner.unwrap();
        let weights = learner.machine().couplings()[0].weights().to_vec2::<f32>().unwrap();
        for (i, row) in weights.iter().enumerate() {
            for (j, weight) in row.iter().enumerate() {
                assert_eq!(weight.to_bits(), weights[j][i].to_bits(), "seed {seed}: {i}, {j}");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        learner.save(folder.path().join("machine")).unwrap();
        Learner::load(folder.path().join("machine")).unwrap();
    }
}
