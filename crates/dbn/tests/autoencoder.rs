//! The autoencoder: what goes up and down, what is climbed and by which gradient.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use candle_dbn::network::fine_tune::{Adversary, Batch, Dropout, FineTune};
use candle_dbn::{Autoencoder, Classifier, Dbn};
use rbm_core::ops::{self, Ascent};
use rbm_core::{ConjugateGradient, Rbm, Rng, Units};

/// Machines between these layers, with parameters from N(0, 0.7²); precisions are above zero.
fn stack(layers: &[&str], dtype: DType) -> Vec<Rbm> {
    let units: Vec<Units> = layers.iter().map(|units| units.parse().unwrap()).collect();
    let machine = |(i, pair): (usize, &[Units])| {
        let rbm = Rbm::new(&pair[0], &pair[1], dtype, &Device::Cpu).unwrap();
        let mut rng = Rng::new(10 + i as u64);
        for (name, var) in rbm.parameters() {
            let noise = ops::normal(var.shape(), dtype, &Device::Cpu, &mut rng).unwrap();
            let noise = (noise * 0.7).unwrap();
            let is_precision = name.contains("precision");
            var.set(&if is_precision { (noise.abs().unwrap() + 0.5).unwrap() } else { noise })
                .unwrap();
        }
        rbm
    };
    units.windows(2).enumerate().map(machine).collect()
}

/// Cases that such units can be.
fn cases(units: &str, count: usize, dtype: DType) -> Tensor {
    let units: Units = units.parse().unwrap();
    let layer = units.build(dtype, &Device::Cpu).unwrap();
    let inputs =
        ops::normal((count, units.width()), dtype, &Device::Cpu, &mut Rng::new(1)).unwrap();
    layer.sample(&inputs, &mut Rng::new(2)).unwrap()
}

fn rows(x: &Tensor) -> Vec<Vec<f64>> {
    x.detach().to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

fn flat(x: &Tensor) -> Vec<f64> {
    x.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Before it learns it is the stack's own way up and down. Catches layers of the decoder in the wrong order, the weights of the
/// way up used on the way down, and the biases of the wrong side.
#[test]
fn unrolled_it_is_the_stack_by_means() {
    let stack = stack(&["bernoulli:7", "spin:5", "relu:4", "gaussian:3"], DType::F32);
    let autoencoder = Autoencoder::unroll(&stack).unwrap();
    let dbn = Dbn::new(stack).unwrap();
    let v = cases("bernoulli:7", 6, DType::F32);
    assert_eq!(autoencoder.code_width(), 3);
    let code = autoencoder.encode(&v).unwrap();
    let close = |a: &Tensor, b: &Tensor| {
        // A product and its bias in one pass or in two: a few roundings of numbers of order ten.
        flat(a).iter().zip(flat(b)).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
    };
    close(&code, &dbn.up(&v).unwrap());
    close(&autoencoder.decode(&code).unwrap(), &dbn.down(&code).unwrap());
    close(&autoencoder.reconstruct(&v).unwrap(), &dbn.reconstruct(&v, 3).unwrap());

    // Its parameters are its own, and those of the two ways are two.
    let (before, there) = (rows(&dbn.up(&v).unwrap()), rows(&code));
    for layer in &autoencoder.decoder {
        layer.weights.set(&layer.weights.zeros_like().unwrap()).unwrap();
    }
    assert_eq!(rows(&autoencoder.encode(&v).unwrap()), there);
    for var in autoencoder.vars() {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    assert_eq!(rows(&dbn.up(&v).unwrap()), before);
}

/// A Gaussian code is linear in what is below it: no limit, no bend.
#[test]
fn a_gaussian_code_is_linear() {
    let stack = stack(&["bernoulli:5", "gaussian:2"], DType::F64);
    let autoencoder = Autoencoder::unroll(&stack).unwrap();
    let v = cases("bernoulli:5", 4, DType::F64);
    let expected = v.matmul(stack[0].weights()).unwrap();
    let expected = expected.broadcast_add(&stack[0].hidden().bias().unwrap()).unwrap();
    for (found, expected) in flat(&autoencoder.encode(&v).unwrap()).iter().zip(flat(&expected)) {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
}

/// Squared error and −log p by hand: the cross-entropy of grey values, and the normal density.
#[test]
fn errors_are_summed_over_the_values_of_a_case() {
    for (units, count) in [("bernoulli:5", 1300), ("gaussian:5", 7)] {
        let autoencoder =
            Autoencoder::unroll(&stack(&[units, "bernoulli:3", "gaussian:2"], DType::F64)).unwrap();
        // Grey values, and more than one block of cases.
        let v = match units {
            "bernoulli:5" => ops::uniform((count, 5), DType::F64, &Device::Cpu, &mut Rng::new(4)),
            _ => ops::normal((count, 5), DType::F64, &Device::Cpu, &mut Rng::new(4)),
        };
        let v = v.unwrap();
        let means = rows(&autoencoder.reconstruct(&v).unwrap());
        let (mut squares, mut nats) = (0.0, 0.0);
        for (x, mean) in rows(&v).concat().into_iter().zip(means.concat()) {
            squares += (x - mean).powi(2);
            nats += match units {
                "bernoulli:5" => -x * mean.ln() - (1.0 - x) * (1.0 - mean).ln(),
                _ => (x - mean).powi(2) / 2.0 + std::f64::consts::TAU.ln() / 2.0,
            };
        }
        let (error, loss) = autoencoder.errors(&v).unwrap();
        assert!((error - squares / count as f64).abs() < 1e-10, "{units}: {error} {squares}");
        assert!((loss - nats / count as f64).abs() < 1e-9, "{units}: {loss} {nats}");
        // What is climbed is what is measured.
        let batch = Batch {
            cases: &v,
            labels: None,
            targets: None,
            dropout: Dropout::default(),
            adversary: Adversary::None,
        };
        let (objective, _) = autoencoder.ascents(&batch, &mut Rng::new(0)).unwrap();
        assert!((objective.to_scalar::<f64>().unwrap() + loss).abs() < 1e-9, "{units}");
    }
}

/// Every ascent against central differences of the objective, for every kind of data and units between; with values and units
/// left out, always the same ones. Catches a gradient that belongs to the parameter next to it, a data layer whose gradient
/// stops at its mean, a code layer that is bent backwards and not forwards.
#[test]
fn gradients_are_finite_differences() {
    let networks: [&[&str]; 7] = [
        &["bernoulli:4", "bernoulli:3", "gaussian:2"],
        &["gaussian:4", "relu:3", "gaussian:2"],
        &["gaussian-learned:4", "bernoulli:3", "bernoulli:2"],
        &["binomial(3):4", "spin:3", "gaussian-learned:2"],
        &["potts(2):2", "potts(3):1", "gaussian:2"],
        &["multinomial(5):4", "bernoulli:3"],
        &["spin:2+bernoulli:2", "bernoulli:3", "gaussian:2"],
    ];
    for layers in networks {
        let autoencoder = Autoencoder::unroll(&stack(layers, DType::F64)).unwrap();
        let v = cases(layers[0], 9, DType::F64);
        for dropout in [Dropout::default(), Dropout { visible: 0.3, hidden: 0.3 }] {
            let batch = Batch {
                cases: &v,
                labels: None,
                targets: None,
                dropout,
                adversary: Adversary::None,
            };
            let objective = || {
                let (objective, _) = autoencoder.ascents(&batch, &mut Rng::new(5)).unwrap();
                objective.to_scalar::<f64>().unwrap()
            };
            let (_, ascents) = autoencoder.ascents(&batch, &mut Rng::new(5)).unwrap();
            let vars = autoencoder.vars();
            assert_eq!(ascents.len(), vars.len());
            for (k, (var, ascent)) in vars.into_iter().zip(&ascents).enumerate() {
                let found = flat(&ascent.tensor(var).unwrap());
                let here = flat(var);
                for (i, found) in found.into_iter().enumerate() {
                    let at = |step: f64| {
                        let mut there = here.clone();
                        there[i] += step;
                        var.set(&Tensor::from_vec(there, var.shape(), &Device::Cpu).unwrap())
                            .unwrap();
                        objective()
                    };
                    // The third derivative is of order one, the rounding of order 1e-15/1e-5.
                    let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                    at(0.0);
                    let what = format!("{layers:?} {dropout:?} parameter {k}, element {i}");
                    assert!((found - expected).abs() < 1e-7, "{what}: {found} {expected}");
                }
            }
        }
    }
}

#[test]
fn misfits_are_refused() {
    let autoencoder =
        Autoencoder::unroll(&stack(&["bernoulli:5", "gaussian:2"], DType::F32)).unwrap();
    let three = Tensor::zeros((4, 3), DType::F32, &Device::Cpu).unwrap();
    let message = autoencoder.decode(&three).unwrap_err().to_string();
    assert!(
        message.contains("the codes: expected 2 numbers") && message.contains("found 3"),
        "{message}"
    );
    let message = autoencoder.encode(&three).unwrap_err().to_string();
    assert!(message.contains("cases to encode: expected 5 numbers"), "{message}");
    assert!(Autoencoder::unroll(&[]).is_err());
    let mut broken = stack(&["bernoulli:5", "spin:4"], DType::F32);
    broken.extend(stack(&["spin:3", "gaussian:2"], DType::F32));
    let message = Autoencoder::unroll(&broken).unwrap_err().to_string();
    assert!(message.contains("spin:4") && message.contains("spin:3"), "{message}");
}

/// A step of each of the ways to learn brings a handful of cases nearer.
#[test]
fn it_learns_what_it_is_shown() {
    let autoencoder =
        Autoencoder::unroll(&stack(&["bernoulli:6", "bernoulli:8", "gaussian:2"], DType::F64))
            .unwrap();
    let v = cases("bernoulli:6", 4, DType::F64);
    let batch = Batch {
        cases: &v,
        labels: None,
        targets: None,
        dropout: Dropout::default(),
        adversary: Adversary::None,
    };
    let vars = autoencoder.vars();
    let mut rule = ConjugateGradient::new(200);
    rule.climb(&vars, &mut || look(&autoencoder, &batch)).unwrap();
    // Four cases of six values fit into two numbers.
    let (error, loss) = autoencoder.errors(&v).unwrap();
    assert!(error < 1e-3 && loss < 0.05, "{error} {loss}");
}

fn look(network: &dyn FineTune, batch: &Batch) -> rbm_core::Result<(f64, Vec<Tensor>)> {
    let (objective, ascents) = network.ascents(batch, &mut Rng::new(0))?;
    let gradient = network
        .vars()
        .into_iter()
        .zip(&ascents)
        .map(|(var, ascent): (&Var, &Ascent)| ascent.tensor(var));
    Ok((objective.to_scalar()?, gradient.collect::<rbm_core::Result<_>>()?))
}

/// Conjugate gradients in a small classifier go where they go by candle's own gradients of the same objective, written out
/// with plain operations: to rounding while they are few, and in the end to a place with no slope left.
#[test]
fn conjugate_gradients_go_where_autograd_says() {
    let stack = stack(&["bernoulli:5", "bernoulli:4"], DType::F64);
    let v = cases("bernoulli:5", 30, DType::F64);
    let labels: Vec<u32> = rows(&v).iter().map(|x| u32::from(x[0] + x[1] > 1.5)).collect();
    let batch = Batch {
        cases: &v,
        labels: Some(&labels),
        targets: None,
        dropout: Dropout::default(),
        adversary: Adversary::None,
    };
    let l2 = 0.01;
    let penalised = |(value, gradient): (f64, Vec<Tensor>), vars: &[&Var]| {
        let size: f64 = vars.iter().flat_map(|var| flat(var)).map(|w| w * w).sum();
        let gradient = gradient
            .into_iter()
            .zip(vars)
            .map(|(slope, var)| (slope - (var.as_detached_tensor() * l2).unwrap()).unwrap());
        (value - l2 / 2.0 * size, gradient.collect::<Vec<_>>())
    };
    let climbed = |searches: usize, is_plain: bool| {
        let classifier = Classifier::unroll(&stack, 2, &mut Rng::new(3)).unwrap();
        let vars = classifier.vars();
        let plain = || {
            let layer = &classifier.layers[0];
            let bias = layer.units.vars()[0].1;
            let h = v.matmul(&layer.weights).unwrap().broadcast_add(bias).unwrap();
            let h = ((h.neg().unwrap().exp().unwrap() + 1.0).unwrap()).recip().unwrap();
            let logits = h.matmul(&classifier.weights).unwrap();
            let logits = logits.broadcast_add(&classifier.bias).unwrap();
            let log_p = (logits
                .broadcast_sub(&logits.log_sum_exp(1).unwrap().unsqueeze(1).unwrap()))
            .unwrap();
            let rows = Tensor::new(&labels[..], &Device::Cpu).unwrap().unsqueeze(1).unwrap();
            let objective = log_p.gather(&rows, 1).unwrap().mean_all().unwrap();
            let slopes = objective.backward().unwrap();
            let slopes = vars.iter().map(|var| slopes.get(var).unwrap().detach()).collect();
            (objective.to_scalar::<f64>().unwrap(), slopes)
        };
        let mut rule = ConjugateGradient::new(searches);
        rule.climb(&vars, &mut || {
            let found = if is_plain { plain() } else { look(&classifier, &batch)? };
            Ok(penalised(found, &vars))
        })
        .unwrap();
        let (_, slope) = penalised(look(&classifier, &batch).unwrap(), &vars);
        let left = slope.iter().flat_map(flat).map(f64::abs).fold(0.0, f64::max);
        (vars.iter().flat_map(|var| flat(var)).collect::<Vec<_>>(), left)
    };
    let (ours, plain) = (climbed(5, false), climbed(5, true));
    for (ours, plain) in ours.0.iter().zip(plain.0) {
        assert!((ours - plain).abs() < 1e-9, "{ours} {plain}");
    }
    let (_, left) = climbed(400, false);
    assert!(left < 1e-6, "{left}");
}

/// What `candle_dbn::autoencoder` says of a model with one unit in the middle, without its help.
#[test]
fn a_network_of_single_units_by_hand() {
    let stack = stack(&["bernoulli:1", "gaussian:1"], DType::F64);
    let autoencoder = Autoencoder::unroll(&stack).unwrap();
    let number = |var: &Var| flat(var)[0];
    let (w, b) = (number(stack[0].weights()), flat(&stack[0].hidden().bias().unwrap())[0]);
    let c = flat(&stack[0].visible().bias().unwrap())[0];
    let v = Tensor::new(&[[0.25f64], [1.0]], &Device::Cpu).unwrap();
    for (x, found) in [0.25, 1.0].iter().zip(flat(&autoencoder.reconstruct(&v).unwrap())) {
        let expected = sigmoid(w * (w * x + b) + c);
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}
