//! The stack: what goes up, what comes down, and what a deep layer learns from.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use candle_dbn::learning::{LayerInput, Pass};
use candle_dbn::network::classifier::{Dropout, log_likelihood};
use candle_dbn::network::fine_tune::{Adversary, Batch, FineTune};
use candle_dbn::{Classifier, Dbn};
use rbm_core::learning::trainer::BatchSource;
use rbm_core::{Rbm, Rng, Units, ops};

/// A machine with weights and biases from N(0, deviation²).
fn machine(visible: usize, hidden: usize, deviation: f64, seed: u64) -> Rbm {
    let (visible, hidden) = (Units::bernoulli(visible), Units::bernoulli(hidden));
    let rbm = Rbm::new(&visible, &hidden, DType::F32, &Device::Cpu).unwrap();
    let mut rng = Rng::new(seed);
    for (_, var) in rbm.parameters() {
        let noise = ops::normal(var.shape(), DType::F32, &Device::Cpu, &mut rng).unwrap();
        var.set(&(noise * deviation).unwrap()).unwrap();
    }
    rbm
}

fn cases(n: usize, width: usize) -> Tensor {
    let uniform = ops::uniform((n, width), DType::F32, &Device::Cpu, &mut Rng::new(99)).unwrap();
    uniform.lt(0.4).unwrap().to_dtype(DType::F32).unwrap()
}

fn rows(x: &Tensor) -> Vec<Vec<f32>> {
    x.detach().to_vec2().unwrap()
}

/// All binary configurations of `width` units.
fn configurations(width: usize) -> Vec<Vec<f32>> {
    (0..1 << width).map(|n| (0..width).map(|i| (n >> i & 1) as f32).collect()).collect()
}

#[test]
fn neighbours_that_do_not_fit_are_refused() {
    let error = Dbn::new(vec![machine(4, 3, 0.1, 1), machine(5, 2, 0.1, 2)]).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("layer 2") && message.contains("bernoulli:3"), "{message}");
    assert!(Dbn::new(Vec::new()).is_err());
}

/// Catches a layer skipped, repeated or taken in the wrong order on the way up.
#[test]
fn features_are_the_up_pass_layer_by_layer() {
    let dbn = Dbn::new(vec![machine(6, 5, 1.0, 1), machine(5, 4, 1.0, 2)]).unwrap();
    let v = cases(3, 6);
    let features = dbn.features(&v).unwrap();
    let first = dbn.rbm(0).unwrap().hidden_mean(&v).unwrap();
    assert_eq!(rows(&features[0]), rows(&first));
    assert_eq!(rows(&features[1]), rows(&dbn.rbm(1).unwrap().hidden_mean(&first).unwrap()));
    assert_eq!(rows(&dbn.up(&v).unwrap()), rows(&features[1]));
    let down = dbn.down(&features[1]).unwrap();
    assert_eq!(rows(&dbn.reconstruct(&v, 2).unwrap()), rows(&down));
    let shallow = dbn.rbm(0).unwrap().visible_mean(&first).unwrap();
    assert_eq!(rows(&dbn.reconstruct(&v, 1).unwrap()), rows(&shallow));
}

/// The network's own distribution: the top machine's marginal over its visible units, then the directed layer down.
/// Catches a chain run in the wrong machine, a layer between that is not sampled, weights used the wrong way round.
#[test]
fn samples_have_the_means_of_the_enumerated_network() {
    let dbn = Dbn::new(vec![machine(5, 4, 1.0, 3), machine(4, 3, 1.0, 4)]).unwrap();
    let hidden = configurations(4);
    let flat: Vec<f32> = hidden.concat();
    let h = Tensor::from_vec(flat, (hidden.len(), 4), &Device::Cpu).unwrap();
    let free: Vec<f32> = dbn.top().free_energy(&h).unwrap().detach().to_vec1().unwrap();
    let weights: Vec<f64> = free.iter().map(|f| f64::from(-f).exp()).collect();
    let z: f64 = weights.iter().sum();
    let below = rows(&dbn.bottom().visible_mean(&h).unwrap());
    let moment = |unit: usize, power: i32| -> f64 {
        weights.iter().zip(&below).map(|(w, v)| w / z * f64::from(v[unit]).powi(power)).sum()
    };

    let n = 20_000;
    // 200 steps: with weights of order one the four units of the top machine forget their start within a few steps.
    let samples = rows(&dbn.sample(n, 200, &mut Rng::new(5)).unwrap());
    for unit in 0..5 {
        let mean = samples.iter().map(|v| f64::from(v[unit])).sum::<f64>() / n as f64;
        let sigma = ((moment(unit, 2) - moment(unit, 1).powi(2)) / n as f64).sqrt();
        assert!(
            (mean - moment(unit, 1)).abs() < 4.0 * sigma,
            "unit {unit}: {mean} for {}",
            moment(unit, 1)
        );
    }
}

/// Catches a feed whose order depends on anything but the epoch: a resumed training would see other cases.
#[test]
fn the_order_of_an_epoch_depends_on_the_epoch_alone() {
    let data = cases(50, 6);
    let feed = || LayerInput {
        imputation: None,
        labels: None,
        cases: &data,
        balance: None,
        weights: None,
        rbms: &[],
        passes: &[],
        data: Pass::Mean,
        batch_size: 8,
        shuffle: Rng::new(7),
    };
    let order = |epoch| feed().order(epoch).indices().flatten().copied().collect::<Vec<_>>();
    assert_eq!(order(3), order(3));
    assert_ne!(order(3), order(4));
    let mut sorted = order(3);
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<_>>());
}

/// Each value is drawn with its own probability, anew at every turn, and only where the data are drawn.
#[test]
fn drawn_data_are_bits_with_the_values_as_probabilities() {
    const TURNS: usize = 2000;
    let data = Tensor::new(&[[0f32, 0.25, 0.5, 0.9, 1.0]], &Device::Cpu).unwrap();
    let feed = LayerInput {
        imputation: None,
        labels: None,
        cases: &data,
        balance: None,
        weights: None,
        rbms: &[],
        passes: &[],
        data: Pass::Sample,
        batch_size: 1,
        shuffle: Rng::new(7),
    };
    let mut rng = Rng::new(8);
    let mut sums = [0f32; 5];
    for _ in 0..TURNS {
        for (sum, bit) in sums.iter_mut().zip(&rows(&feed.batch(&[0], &mut rng).unwrap())[0]) {
            assert!(*bit == 0.0 || *bit == 1.0);
            *sum += bit;
        }
    }
    for (sum, p) in sums.into_iter().zip([0f32, 0.25, 0.5, 0.9, 1.0]) {
        let (mean, error) = (sum / TURNS as f32, (p * (1.0 - p) / TURNS as f32).sqrt());
        assert!((mean - p).abs() <= 4.0 * error, "{p}: {mean}");
    }
    let (mean, _) = feed.moments().unwrap();
    assert_eq!(rows(&mean.unsqueeze(0).unwrap()), rows(&data), "a machine starts from the values");
    let means = LayerInput { data: Pass::Mean, ..feed };
    assert_eq!(rows(&means.batch(&[0], &mut rng).unwrap()), rows(&data));
}

#[test]
fn a_deep_layer_learns_from_what_is_below() {
    let data = cases(2500, 6);
    let lower = [machine(6, 5, 1.0, 1)];
    let feed = LayerInput {
        imputation: None,
        labels: None,
        cases: &data,
        balance: None,
        weights: None,
        rbms: &lower,
        passes: &[Pass::Mean],
        data: Pass::Mean,
        batch_size: 8,
        shuffle: Rng::new(7),
    };
    let whole = lower[0].hidden_mean(&data).unwrap();

    let batch = feed.batch(&[3, 1, 4], &mut Rng::new(1)).unwrap();
    let expected: Vec<_> = [3, 1, 4].map(|i| rows(&whole)[i].clone()).to_vec();
    for (row, expected) in rows(&batch).iter().flatten().zip(expected.iter().flatten()) {
        // One row's product may be summed in another order than the same row in a larger matrix.
        assert!((row - expected).abs() < 1e-6);
    }

    // 2500 cases are two blocks and a half: a block that is lost or counted twice shows.
    let (mean, variance) = feed.moments().unwrap();
    let (expected_mean, expected_variance) =
        rbm_core::model::init::moments(&whole.detach()).unwrap();
    for (found, expected) in [(mean, expected_mean), (variance, expected_variance)] {
        let pairs =
            found.to_vec1::<f32>().unwrap().into_iter().zip(expected.to_vec1::<f32>().unwrap());
        // f32 sums of 2500 numbers below one: relative rounding of at most 2500 · 6e-8.
        pairs.for_each(|(found, expected)| {
            assert!((found - expected).abs() < 1.5e-4 * expected.abs().max(1e-3))
        });
    }

    let sampled = LayerInput { passes: &[Pass::Sample], ..feed };
    let batch = sampled.batch(&[0, 1, 2, 3], &mut Rng::new(1)).unwrap();
    assert!(rows(&batch).iter().flatten().all(|&x| x == 0.0 || x == 1.0));
}

/// What is cached is what every mini-batch would be: catches a block written to the wrong rows, and a pass left out.
#[test]
fn all_that_arrives_is_each_case_in_its_place() {
    let data = cases(2500, 6);
    let lower = [machine(6, 5, 1.0, 1)];
    let feed = LayerInput {
        imputation: None,
        labels: None,
        cases: &data,
        balance: None,
        weights: None,
        rbms: &lower,
        passes: &[Pass::Mean],
        data: Pass::Mean,
        batch_size: 8,
        shuffle: Rng::new(7),
    };
    let found = rows(&feed.send_all_up(&mut Rng::new(1)).unwrap());
    let expected = rows(&lower[0].hidden_mean(&data).unwrap());
    assert_eq!(found.len(), 2500);
    // Blocks of a thousand rows may be summed in another order than all of them.
    let close = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(found.iter().zip(&expected).all(close));
    let sampled = LayerInput { passes: &[Pass::Sample], ..feed };
    let samples = rows(&sampled.send_all_up(&mut Rng::new(1)).unwrap());
    assert!(samples.iter().flatten().all(|&x| x == 0.0 || x == 1.0));
    assert_eq!(samples, rows(&sampled.send_all_up(&mut Rng::new(1)).unwrap()));
    assert_ne!(samples, rows(&sampled.send_all_up(&mut Rng::new(2)).unwrap()));
}

#[test]
fn the_unrolled_classifier_is_a_softmax_over_the_features() {
    let rbms = vec![machine(6, 5, 1.0, 1), machine(5, 4, 1.0, 2)];
    let classifier = Classifier::unroll(&rbms, 3, &mut Rng::new(3)).unwrap();
    let dbn = Dbn::new(rbms).unwrap();
    let v = cases(7, 6);
    let expected = dbn.up(&v).unwrap().matmul(&classifier.weights).unwrap();
    assert_eq!(rows(&classifier.logits(&v).unwrap()), rows(&expected));

    // Its parameters are its own: fine-tuning must leave the generative network alone.
    let before = rows(&dbn.up(&v).unwrap());
    for var in classifier.vars() {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    assert_eq!(rows(&dbn.up(&v).unwrap()), before);
    assert!(Classifier::unroll(&[], 3, &mut Rng::new(3)).is_err());
}

/// Catches units scaled by the wrong factor, or left out with the wrong probability.
#[test]
fn dropout_keeps_the_mean() {
    let classifier = Classifier::empty(1, &[], 1, DType::F32, &Device::Cpu).unwrap();
    classifier.weights.set(&Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap()).unwrap();
    let n = 100_000;
    let ones = Tensor::ones((n, 1), DType::F32, &Device::Cpu).unwrap();
    let dropout = Dropout { visible: 0.2, hidden: 0.0 };
    let out = classifier.logits_with_dropout(&ones, dropout, &mut Rng::new(1)).unwrap();
    let out: Vec<f32> = rows(&out).concat();
    assert!(out.iter().all(|&x| x == 0.0 || x == 1.25));
    let mean = out.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
    let sigma = (0.25 / n as f64).sqrt(); // variance of 1.25 · Bernoulli(0.8)
    assert!((mean - 1.0).abs() < 4.0 * sigma, "{mean}");
    let none = classifier.logits_with_dropout(&ones, Dropout::default(), &mut Rng::new(1)).unwrap();
    assert_eq!(rows(&none), rows(&ones));
}

#[test]
fn labels_beyond_the_classes_are_refused() {
    let classifier = Classifier::empty(4, &[], 3, DType::F32, &Device::Cpu).unwrap();
    let part = candle_dbn::Examples::new(cases(2, 4), Some(vec![0, 3])).unwrap();
    let message = classifier.errors_and_loss(&part).unwrap_err().to_string();
    assert!(message.contains("below 3") && message.contains("found 3"), "{message}");
}

/// A classifier of three classes whose logits depend on its cases.
fn classifier() -> Classifier {
    let rbms = vec![machine(6, 5, 2.0, 1), machine(5, 4, 2.0, 2)];
    let classifier = Classifier::unroll(&rbms, 3, &mut Rng::new(3)).unwrap();
    // The first softmax weights are so small that nothing would depend on the cases.
    classifier.weights.set(&(classifier.weights.as_tensor() * 10.0).unwrap()).unwrap();
    classifier
}

/// `v` and each row of `along`, brought to the length `distance`, down from it.
fn stepped(v: &Tensor, along: &Tensor, distance: f64) -> Tensor {
    let stepped = rows(v).into_iter().zip(rows(along)).map(|(v, along)| {
        let norm = along.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 1e-5, "a case that says nothing tests nothing: {norm}");
        let step = |along: f32| (distance * f64::from(along) / norm) as f32;
        v.iter().zip(along).map(|(v, along)| v - step(along)).collect()
    });
    Tensor::new(stepped.collect::<Vec<Vec<f32>>>(), &Device::Cpu).unwrap()
}

/// `objective` and its slope at `v`, as autograd has them.
fn slope_at(v: &Tensor, objective: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let there = candle_core::Var::from_tensor(v).unwrap();
    objective(&there).backward().unwrap().get(&there).unwrap().clone()
}

/// What `classifier` climbs on a batch, and its ascents in a row.
fn climbed(classifier: &Classifier, batch: &Batch, rng: &mut Rng) -> (f32, Vec<f32>) {
    let (objective, ascents) = FineTune::ascents(classifier, batch, rng).unwrap();
    let flat = ascents.iter().zip(classifier.vars()).map(|(ascent, var)| {
        let tensor = ascent.tensor(var).unwrap();
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    });
    (objective.to_scalar().unwrap(), flat.collect::<Vec<_>>().concat())
}

/// Three classes in turn.
const LABELS: [u32; 7] = [0, 1, 2, 0, 1, 2, 0];

/// Where adversarial cases lie.
const DISTANCE: f64 = 0.7;

/// What is climbed with moved cases is the mean of the objective where they are and of the same a step down its gradient, as
/// autograd has it. Catches a step up, of another length or along the sign, a mean with other weights, and other units left out
/// the second time.
#[test]
fn adversarial_cases_lie_where_the_objective_falls_fastest() {
    let (classifier, v) = (classifier(), cases(7, 6));
    for dropout in [Dropout::default(), Dropout { visible: 0.3, hidden: 0.4 }] {
        let slope = slope_at(&v, |v| {
            let logits = classifier.logits_with_dropout(v, dropout, &mut Rng::new(4)).unwrap();
            log_likelihood(&logits, &LABELS).unwrap()
        });
        let moved = stepped(&v, &slope, DISTANCE);
        let climbed = |cases, adversary| {
            let batch = Batch { cases, labels: Some(&LABELS), targets: None, dropout, adversary };
            climbed(&classifier, &batch, &mut Rng::new(4))
        };
        let (here, of_here) = climbed(&v, Adversary::None);
        let (away, of_away) = climbed(&moved, Adversary::None);
        assert!(away < here - 0.05, "{away} is no worse than {here}");
        let (both, of_both) = climbed(&v, Adversary::Label(DISTANCE));
        // Rounding of the moved cases, some 1e-7, through slopes of a few.
        assert!((both - 0.5 * (here + away)).abs() < 1e-5, "{both} for {here} and {away}");
        for ((both, here), away) in of_both.iter().zip(&of_here).zip(&of_away) {
            assert!((both - 0.5 * (here + away)).abs() < 1e-5, "{both} for {here} and {away}");
        }
    }
}

/// What is climbed with the network's own belief is the objective minus the divergence of the belief in the moved cases, which
/// lie up the gradient of that divergence at a random step. Catches the label asked for in place of the belief, a belief that
/// learns, a step down, one from where the cases are (where the divergence has no slope), and other units left out on the way.
#[test]
fn virtual_adversarial_cases_lie_where_the_belief_changes_fastest() {
    let (classifier, v) = (classifier(), cases(7, 6));
    for dropout in [Dropout::default(), Dropout { visible: 0.3, hidden: 0.4 }] {
        let mut rng = Rng::new(4);
        let noise = ops::normal(v.shape(), DType::F32, &Device::Cpu, &mut rng).unwrap();
        let after = rng;
        let logits =
            |v: &Tensor| classifier.logits_with_dropout(v, dropout, &mut after.clone()).unwrap();
        let beliefs = candle_nn::ops::softmax(&logits(&v), 1).unwrap().detach();
        let divergence = |v: &Tensor| {
            let believed = candle_nn::ops::softmax(&logits(v), 1).unwrap();
            let ratio = (beliefs.log().unwrap() - believed.log().unwrap()).unwrap();
            ((&beliefs * ratio).unwrap().sum_all().unwrap() / 7.0).unwrap()
        };
        let nearby = stepped(&v, &noise.neg().unwrap(), DISTANCE);
        let moved = stepped(&v, &slope_at(&nearby, divergence).neg().unwrap(), DISTANCE);
        let of_labels = Batch {
            cases: &v,
            labels: Some(&LABELS),
            targets: None,
            dropout,
            adversary: Adversary::None,
        };
        let (here, of_here) = climbed(&classifier, &of_labels, &mut after.clone());
        let lost = divergence(&moved);
        let slopes = lost.backward().unwrap();
        let of_lost = classifier.vars().into_iter().map(|var| {
            let slope = slopes.get(var).unwrap().flatten_all().unwrap();
            slope.to_vec1::<f32>().unwrap()
        });
        let of_lost = of_lost.collect::<Vec<_>>().concat();
        let lost = lost.to_scalar::<f32>().unwrap();
        assert!(lost > 0.05, "a belief that stays the same tests nothing: {lost}");
        let batch = Batch { adversary: Adversary::Virtual(DISTANCE), ..of_labels };
        let (both, of_both) = climbed(&classifier, &batch, &mut Rng::new(4));
        assert!((both - (here - lost)).abs() < 1e-5, "{both} for {here} and {lost}");
        for ((both, here), lost) in of_both.iter().zip(&of_here).zip(&of_lost) {
            assert!((both - (here - lost)).abs() < 1e-5, "{both} for {here} and {lost}");
        }
    }
}

/// Where nothing has a slope nothing is moved, and nothing is divided by zero. Catches a case without a slope that is moved all
/// the same: the ascent of the weights shows where the cases are.
#[test]
fn cases_without_a_slope_stay_where_they_are() {
    let flat = Classifier::empty(6, &[], 3, DType::F32, &Device::Cpu).unwrap();
    let (v, dropout) = (cases(7, 6), Dropout::default());
    let climbed = |adversary| {
        let batch = Batch { cases: &v, labels: Some(&LABELS), targets: None, dropout, adversary };
        climbed(&flat, &batch, &mut Rng::new(4))
    };
    let (objective, ascents) = climbed(Adversary::None);
    assert!((objective + 3f32.ln()).abs() < 1e-6, "{objective}");
    assert!(ascents.iter().any(|&x| x != 0.0), "cases that do not show test nothing");
    for adversary in [Adversary::Label(DISTANCE), Adversary::Virtual(DISTANCE)] {
        let (found, of_found) = climbed(adversary);
        assert!((found - objective).abs() < 1e-6, "{adversary:?}: {found} for {objective}");
        for (found, expected) in of_found.iter().zip(&ascents) {
            assert!((found - expected).abs() < 1e-6, "{adversary:?}: {found} for {expected}");
        }
    }
}

/// A belief of 0 counts as 0. Catches its logarithm, which times 0 is not a number.
#[test]
fn certain_beliefs_are_numbers() {
    let (classifier, v) = (classifier(), cases(7, 6));
    classifier.weights.set(&(classifier.weights.as_tensor() * 1e4).unwrap()).unwrap();
    let logits = classifier.logits(&v).unwrap();
    let beliefs = rows(&candle_nn::ops::softmax(&logits, 1).unwrap()).concat();
    assert!(beliefs.iter().filter(|&&q| q == 0.0).count() >= 7, "{beliefs:?}");
    let (adversary, dropout) = (Adversary::Virtual(DISTANCE), Dropout::default());
    let batch = Batch { cases: &v, labels: Some(&LABELS), targets: None, dropout, adversary };
    let (objective, ascents) = climbed(&classifier, &batch, &mut Rng::new(4));
    assert!(objective.is_finite(), "{objective}");
    assert!(ascents.iter().all(|x| x.is_finite()), "{ascents:?}");
}
