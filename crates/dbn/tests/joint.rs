//! Networks with label units, against enumeration: recognition, generation, the bound, up-down.
//!
//! They would catch: label columns in the wrong place or not taken off on the way down, a free energy without the label's bias, a
//! clamped unit that moves or a free one that does not, an entropy left out of the bound or of the wrong sign, generation used
//! where recognition belongs.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use candle_dbn::estimate::bound::Bound;
use candle_dbn::learning;
use candle_dbn::network::inference::{Condition, ConditionalSampler};
use candle_dbn::network::labels::{join_labels, label_codes, with_label_units};
use candle_dbn::{ConditionalLayer, Dbn, Inference, PerClass, UpDown};
use rbm_core::model::conditional_layer::delta_rule;
use rbm_core::{ContrastiveDivergence, Gradient, NegativePhase, Phase, Rbm, Rng, Sgd, Units, ops};

const CLASSES: usize = 3;

/// Every parameter from N(0, deviation²).
fn scatter<'a>(vars: impl IntoIterator<Item = &'a candle_core::Var>, deviation: f64, seed: u64) {
    let mut rng = Rng::new(seed);
    for var in vars {
        let noise = ops::normal(var.shape(), var.dtype(), &Device::Cpu, &mut rng).unwrap();
        var.set(&(noise * deviation).unwrap()).unwrap();
    }
}

fn machine(visible: &Units, hidden: &Units, seed: u64) -> Rbm {
    let rbm = Rbm::new(visible, hidden, DType::F64, &Device::Cpu).unwrap();
    scatter(rbm.parameters().into_iter().map(|(_, var)| var), 0.8, seed);
    rbm
}

/// Data of four bits, perhaps three hidden layers, labels on top.
fn stack(sizes: &[usize], classes: Option<usize>) -> Dbn {
    let mut rbms = Vec::new();
    for (i, pair) in sizes.windows(2).enumerate() {
        let visible = Units::bernoulli(pair[0]);
        let visible = match classes {
            Some(classes) if i + 2 == sizes.len() => with_label_units(&visible, classes),
            _ => visible,
        };
        rbms.push(machine(&visible, &Units::bernoulli(pair[1]), i as u64));
    }
    match classes {
        Some(classes) => Dbn::with_labels(rbms, classes).unwrap(),
        None => Dbn::new(rbms).unwrap(),
    }
}

/// All configurations of `width` bits, `(2^width, width)`.
fn bits(width: usize) -> Tensor {
    let bits = (0..1 << width).flat_map(|n| (0..width).map(move |i| f64::from(n >> i & 1)));
    Tensor::from_iter(bits, &Device::Cpu).unwrap().reshape((1 << width, width)).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f64> {
    x.detach().flatten_all().unwrap().to_vec1().unwrap()
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    highest + values.iter().map(|x| (x - highest).exp()).sum::<f64>().ln()
}

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{i}: found {a}, expected {b}");
    }
}

fn one_hot(label: u32, rows: usize) -> Tensor {
    label_codes(&vec![label; rows], CLASSES, DType::F64, &Device::Cpu).unwrap()
}

/// p(v, y) `[y][v]` of a joint machine alone, by its free energies.
fn joint_shares(rbm: &Rbm, width: usize) -> Vec<Vec<f64>> {
    let v = bits(width);
    let free = |label| {
        let joined = join_labels(&v, &one_hot(label, 1 << width)).unwrap();
        numbers(&rbm.free_energy(&joined).unwrap().neg().unwrap())
    };
    let all: Vec<Vec<f64>> = (0..CLASSES as u32).map(free).collect();
    let log_z = log_sum_exp(&all.concat());
    all.into_iter().map(|row| row.into_iter().map(|f| (f - log_z).exp()).collect()).collect()
}

#[test]
fn stacks_without_label_units_are_refused_as_joint_ones() {
    let plain = machine(&Units::bernoulli(4), &Units::bernoulli(3), 1);
    let message = Dbn::with_labels(vec![plain], 3).unwrap_err().to_string();
    assert!(message.contains("potts(3):1") && message.contains("bernoulli:4"), "{message}");
    let below = machine(&Units::bernoulli(4), &Units::bernoulli(5), 1);
    let top = machine(&with_label_units(&Units::bernoulli(6), 3), &Units::bernoulli(3), 2);
    let message = Dbn::with_labels(vec![below, top], 3).unwrap_err().to_string();
    assert!(message.contains("layer 2"), "{message}");
    let error = label_codes(&[0, 3], 3, DType::F32, &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("below the model's 3 classes") && error.contains("found 3"), "{error}");
}

#[test]
fn labels_are_found_as_enumeration_finds_them() {
    let dbn = stack(&[4, 5], Some(CLASSES));
    assert_eq!((dbn.width(), dbn.visible_units()), (4, Units::bernoulli(4)));
    let shares = joint_shares(dbn.top(), 4);
    let given = |v: usize, y: usize| shares[y][v] / (0..CLASSES).map(|y| shares[y][v]).sum::<f64>();
    let expected: Vec<f64> =
        (0..16).flat_map(|v| (0..CLASSES).map(move |y| (v, y))).map(|(v, y)| given(v, y)).collect();
    let mut rng = Rng::new(1);
    let mut by = |how| numbers(&dbn.label_probabilities(&bits(4), how, &mut rng).unwrap());
    assert_near(&by(Inference::Means), &expected, 1e-12);
    assert_near(&by(Inference::Samples(3)), &expected, 1e-12);
    // 20,000 steps of a chain that forgets within a few: four standard errors of 1/√(4·5,000).
    assert_near(&by(Inference::Gibbs(20_000)), &expected, 0.03);
    // Summed over the labels: what the hidden units of the whole do, and F(v).
    let hidden: Vec<f64> = (0..16)
        .flat_map(|v| {
            let row = bits(4).narrow(0, v, 1).unwrap();
            let means: Vec<Vec<f64>> = (0..CLASSES as u32)
                .map(|y| {
                    numbers(
                        &dbn.top()
                            .hidden_mean(&join_labels(&row, &one_hot(y, 1)).unwrap())
                            .unwrap(),
                    )
                })
                .collect();
            (0..5)
                .map(|j| (0..CLASSES).map(|y| given(v, y) * means[y][j]).sum())
                .collect::<Vec<f64>>()
        })
        .collect();
    assert_near(&numbers(&dbn.up(&bits(4)).unwrap()), &hidden, 1e-12);
    let free = numbers(&dbn.free_energy(&bits(4)).unwrap().neg().unwrap());
    let log_z = log_sum_exp(&free);
    let marginal: Vec<f64> = free.iter().map(|f| (f - log_z).exp()).collect();
    let expected: Vec<f64> = (0..16).map(|v| (0..CLASSES).map(|y| shares[y][v]).sum()).collect();
    assert_near(&marginal, &expected, 1e-12);
}

/// Sampled up-passes make another mixture than the means: the average over many is that over all configurations below.
#[test]
fn sampled_recognition_averages_over_what_may_arrive() {
    let dbn = stack(&[4, 3, 5], Some(CLASSES));
    let v = bits(4);
    let arriving = dbn.below_top()[0].hidden_mean(&v).unwrap().to_vec2::<f64>().unwrap();
    let by_state = dbn.class_rbm().unwrap().log_probabilities(&bits(3)).unwrap().exp().unwrap();
    let by_state = by_state.to_vec2::<f64>().unwrap();
    let states = bits(3).to_vec2::<f64>().unwrap();
    let expected: Vec<f64> = arriving
        .iter()
        .flat_map(|mean| {
            let share = |state: &[f64]| -> f64 {
                state.iter().zip(mean).map(|(s, p)| if *s == 1.0 { *p } else { 1.0 - p }).product()
            };
            (0..CLASSES)
                .map(|y| states.iter().zip(&by_state).map(|(s, p)| share(s) * p[y]).sum::<f64>())
                .collect::<Vec<_>>()
        })
        .collect();
    let found = dbn.label_probabilities(&v, Inference::Samples(20_000), &mut Rng::new(2)).unwrap();
    // At most ½ of spread: four standard errors of 0.5/√20,000.
    assert_near(&numbers(&found), &expected, 0.0142);
}

/// Chains with a label held, and with half of the data held, end where p(v | y) and p(v | its half) say.
#[test]
fn what_is_free_follows_what_is_held() {
    const CHAINS: usize = 40_000;
    let dbn = stack(&[4, 5], Some(CLASSES));
    let shares = joint_shares(dbn.top(), 4);
    let frequencies = |given: Condition| {
        let mut rng = Rng::new(3);
        let chains = dbn.start_chains(CHAINS, &mut rng).unwrap();
        let mut generator = ConditionalSampler::new(&dbn, given, chains, &mut rng).unwrap();
        for _ in 0..60 {
            generator.step(&mut rng).unwrap();
        }
        let mut counts = [0.0; 16];
        for row in generator.chains.visible.to_vec2::<f64>().unwrap() {
            let number = (0..4).map(|i| (row[i] as usize) << i).sum::<usize>();
            counts[number] += 1.0 / CHAINS as f64;
        }
        counts.to_vec()
    };
    for (label, shares) in shares.iter().enumerate() {
        let total: f64 = shares.iter().sum();
        let expected: Vec<f64> = shares.iter().map(|p| p / total).collect();
        let given = Condition { labels: Some(vec![label as u32; CHAINS]), data: None };
        // Four standard errors at most.
        assert_near(&frequencies(given), &expected, 4.0 * 0.5 / (CHAINS as f64).sqrt());
    }
    // The first two bits are 1 and 0; the values of the free columns are no numbers, and no one looks at them.
    let of = |row: [f64; 4]| {
        Tensor::new(&[row], &Device::Cpu)
            .unwrap()
            .broadcast_as((CHAINS, 4))
            .unwrap()
            .contiguous()
            .unwrap()
    };
    let data = Some((of([1.0, 0.0, f64::NAN, f64::NAN]), of([1.0, 1.0, 0.0, 0.0])));
    let marginal: Vec<f64> = (0..16).map(|v| (0..CLASSES).map(|y| shares[y][v]).sum()).collect();
    let fits = |v: usize| v & 3 == 1;
    let total: f64 = (0..16).filter(|v| fits(*v)).map(|v| marginal[v]).sum();
    let expected: Vec<f64> =
        (0..16).map(|v| if fits(v) { marginal[v] / total } else { 0.0 }).collect();
    let found = frequencies(Condition { labels: None, data });
    assert_near(&found, &expected, 4.0 * 0.5 / (CHAINS as f64).sqrt());
}

/// What is given in a deep network stays in the picture, and what comes down is of the data's width.
#[test]
fn given_values_stay_in_the_pictures_of_a_deep_network() {
    let dbn = stack(&[4, 6, 5], Some(CLASSES));
    let mut rng = Rng::new(4);
    let chains = dbn.start_chains(7, &mut rng).unwrap();
    let values = Tensor::ones((7, 4), DType::F64, &Device::Cpu).unwrap();
    let mask = Tensor::new(&[[1.0, 0.0, 0.0, 1.0]], &Device::Cpu)
        .unwrap()
        .broadcast_as((7, 4))
        .unwrap()
        .contiguous()
        .unwrap();
    let given = Condition { labels: Some(vec![1; 7]), data: Some((values, mask)) };
    let mut generator = ConditionalSampler::new(&dbn, given, chains, &mut rng).unwrap();
    for _ in 0..5 {
        generator.step(&mut rng).unwrap();
        let picture = generator.picture(false, &mut rng).unwrap().to_vec2::<f64>().unwrap();
        assert!(picture.iter().all(|row| row.len() == 4 && row[0] == 1.0 && row[3] == 1.0));
        assert!(picture.iter().all(|row| row[1] > 0.0 && row[1] < 1.0));
        let labels =
            generator.chains.visible.narrow(1, 6, CLASSES).unwrap().to_vec2::<f64>().unwrap();
        assert!(labels.iter().all(|row| row == &[0.0, 1.0, 0.0]));
    }
    let chains = dbn.start_chains(3, &mut rng).unwrap();
    let few = Condition { labels: Some(vec![1; 2]), data: None };
    assert!(
        ConditionalSampler::new(&dbn, few, chains.clone(), &mut rng)
            .unwrap_err()
            .to_string()
            .contains("3, one for each chain")
    );
    let plain = stack(&[4, 3], None);
    let chains = plain.start_chains(1, &mut rng).unwrap();
    let asked = Condition { labels: Some(vec![1]), data: None };
    assert!(
        ConditionalSampler::new(&plain, asked, chains, &mut rng)
            .unwrap_err()
            .to_string()
            .contains("label units")
    );
}

/// log p(v) of all `v`, by enumeration of every layer: the sum over h of p(v | h)·p(h) by the top machine.
fn exact(dbn: &Dbn, width: usize, above: usize) -> Vec<f64> {
    let h = bits(above);
    let log_p = numbers(&dbn.top().free_energy(&h).unwrap().neg().unwrap());
    let log_z = log_sum_exp(&log_p);
    let means = match dbn.generative.first() {
        Some(layer) => layer.mean(&h).unwrap(),
        None => dbn.bottom().visible_mean(&h).unwrap(),
    };
    let means = means.to_vec2::<f64>().unwrap();
    let v = bits(width).to_vec2::<f64>().unwrap();
    let of = |v: &Vec<f64>| {
        let each = means.iter().zip(&log_p).map(|(mean, log_p)| {
            let bit = |(x, p): (&f64, &f64)| if *x == 1.0 { p.ln() } else { (1.0 - p).ln() };
            log_p - log_z + v.iter().zip(mean).map(bit).sum::<f64>()
        });
        log_sum_exp(&each.collect::<Vec<_>>())
    };
    v.iter().map(of).collect()
}

/// The bound lies below log p(v) by no less than nothing, the weighted estimate between the two, and nearer with more passes.
#[test]
fn the_bound_lies_below_the_exact_likelihood() {
    let mut dbn = stack(&[4, 3, 5], None);
    for is_untied in [false, true] {
        if is_untied {
            dbn.untie().unwrap();
            scatter(dbn.generative[0].parameters().into_iter().map(|(_, var)| var), 0.6, 9);
        }
        let exact = exact(&dbn, 4, 3);
        let log_z = rbm_core::estimate::log_partition(dbn.top()).unwrap();
        let many = Bound::of(&dbn, &bits(4), 4000, &mut Rng::new(5)).unwrap();
        let error = many.error.unwrap();
        let few = Bound::of(&dbn, &bits(4), 3, &mut Rng::new(6)).unwrap();
        let average = |values: &[f64]| values.iter().sum::<f64>() / 16.0 - log_z;
        let (bound, weighted) = (average(&many.mean), average(&many.weighted));
        let truth = exact.iter().sum::<f64>() / 16.0;
        assert!(bound + 4.0 * error < truth, "{bound} ± {}, exact {truth}", error);
        // The mean of exp w is p(v)·Z, to a thousandth with so many passes.
        assert!((weighted - truth).abs() < 0.01, "{weighted}, exact {truth}");
        let between = average(&few.weighted);
        assert!(bound < between && between < truth + 0.05, "{bound}, {between}, {truth}");
        // The bound itself, by its definition: every h weighed by q(h | v).
        let q = dbn.bottom().hidden_mean(&bits(4)).unwrap().to_vec2::<f64>().unwrap();
        let h = bits(3).to_vec2::<f64>().unwrap();
        let top = numbers(&dbn.top().free_energy(&bits(3)).unwrap().neg().unwrap());
        let means = match dbn.generative.first() {
            Some(layer) => layer.mean(&bits(3)).unwrap(),
            None => dbn.bottom().visible_mean(&bits(3)).unwrap(),
        }
        .to_vec2::<f64>()
        .unwrap();
        let log_of = |x: &[f64], p: &[f64]| {
            x.iter()
                .zip(p)
                .map(|(x, p)| if *x == 1.0 { p.ln() } else { (1.0 - p).ln() })
                .sum::<f64>()
        };
        let mut expected = 0.0;
        for (v, q) in bits(4).to_vec2::<f64>().unwrap().iter().zip(&q) {
            for (i, h) in h.iter().enumerate() {
                let log_q = log_of(h, q);
                expected += log_q.exp() * (log_of(v, &means[i]) + top[i] - log_q) / 16.0;
            }
        }
        assert!(
            (bound + log_z - expected).abs() < 4.0 * error,
            "{bound}, expected {}",
            expected - log_z
        );
    }
}

/// The greedy theorem: a layer above that begins as the machine below it upside down leaves the bound where it was, at log p(v) of
/// that machine, whatever is sampled.
#[test]
fn a_layer_with_the_transposed_weights_leaves_the_bound_where_it_was() {
    let below = machine(&Units::bernoulli(4), &Units::bernoulli(3), 1);
    let free = numbers(&below.free_energy(&bits(4)).unwrap().neg().unwrap());
    let log_z = rbm_core::estimate::log_partition(&below).unwrap();
    let above = below.mirror().unwrap();
    assert!((rbm_core::estimate::log_partition(&above).unwrap() - log_z).abs() < 1e-10);
    let dbn = Dbn::new(vec![below, above]).unwrap();
    // The same above more units than it needs, and with them it is no worse a start than what they add.
    let wide = machine(&Units::bernoulli(3), &Units::bernoulli(6), 7);
    rbm_core::model::init::mirror(dbn.bottom(), &wide).unwrap();
    let narrow = machine(&Units::bernoulli(3), &Units::bernoulli(4), 7);
    rbm_core::model::init::mirror(dbn.bottom(), &narrow).unwrap();
    let flat = |x: &Tensor| numbers(&x.contiguous().unwrap());
    assert_eq!(flat(narrow.weights()), flat(dbn.top().weights()));
    assert_eq!(flat(&wide.weights().narrow(1, 0, 4).unwrap()), flat(dbn.top().weights()));
    for (mirrored, exact) in [(&narrow, true), (&wide, false)] {
        let energies = numbers(&mirrored.free_energy(&bits(3)).unwrap());
        let expected = numbers(&dbn.top().free_energy(&bits(3)).unwrap());
        assert_eq!(energies.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-10), exact);
    }
    let small = machine(&Units::bernoulli(3), &Units::bernoulli(3), 7);
    let message = rbm_core::model::init::mirror(dbn.bottom(), &small).unwrap_err().to_string();
    assert!(message.contains("bernoulli:4") && message.contains("bernoulli:3"), "{message}");
    for seed in 0..5 {
        let weights = dbn.log_weights(&bits(4), &mut Rng::new(seed)).unwrap();
        assert_near(&numbers(&weights), &free, 1e-10);
    }
}

/// The delta rule is the gradient of log p(x | below), for units with one parameter and with two.
#[test]
fn the_delta_rule_is_the_gradient_of_the_conditional() {
    let inputs = bits(3);
    for units in ["bernoulli:4", "spin:4", "potts(2):2", "binomial(3):4", "gaussian-learned:4"] {
        let units: Units = units.parse().unwrap();
        let layer = ConditionalLayer::zeros(3, &units, DType::F64, &Device::Cpu).unwrap();
        scatter(layer.parameters().into_iter().map(|(_, var)| var), 0.5, 3);
        layer.units.constrain().unwrap();
        let x = layer.sample(&inputs, &mut Rng::new(8)).unwrap();
        let of = layer.inputs(&inputs).unwrap();
        let along = (&of * &x).unwrap().sum(1).unwrap();
        let energy = layer.units.energy(&x).unwrap();
        let log_p = ((along - energy).unwrap() - layer.units.cgf(&of).unwrap()).unwrap();
        let slopes = log_p.mean_all().unwrap().backward().unwrap();
        let ascents = delta_rule(&layer.weights, &*layer.units, &inputs, &x).unwrap();
        for ((name, var), ascent) in layer.parameters().into_iter().zip(ascents) {
            let found = numbers(&ascent.tensor(var).unwrap());
            assert!(found.iter().any(|x| x.abs() > 1e-3), "{units} {name}");
            assert_near(&found, &numbers(slopes.get(var).unwrap()), 1e-10);
        }
    }
}

/// With nothing below the top machine, up-down is contrastive divergence.
#[test]
fn up_down_of_one_machine_is_contrastive_divergence() {
    let (mut first, second) = (stack(&[4, 5], Some(CLASSES)), stack(&[4, 5], Some(CLASSES)));
    first.untie().unwrap();
    let codes = label_codes(&[0, 1, 2, 1], CLASSES, DType::F64, &Device::Cpu).unwrap();
    let v = bits(4).narrow(0, 3, 4).unwrap();
    let mut updown = UpDown { steps: 3, l2: 0.0, optimizer: Box::new(Sgd::new(0.1)) };
    updown.step(&first, &v, Some(&codes), &mut Rng::new(7)).unwrap();
    let (top, mut rng) = (second.top(), Rng::new(7));
    let positive = Phase::of(top, &join_labels(&v, &codes).unwrap()).unwrap();
    let negative = ContrastiveDivergence::new(3).fantasy(top, &positive, &mut rng).unwrap();
    let gradient = Gradient::between(top, &positive, &negative).unwrap().tensors(top).unwrap();
    for (((_, var), (_, before)), slope) in
        first.top().parameters().into_iter().zip(top.parameters()).zip(gradient)
    {
        let expected = (before.as_tensor() + (slope * 0.1).unwrap()).unwrap();
        assert_near(&numbers(var.as_tensor()), &numbers(&expected), 1e-12);
    }
    assert!(updown.step(&first, &v, None, &mut Rng::new(7)).is_err(), "labels are missing");
    let deep = stack(&[4, 3, 5], None);
    let message = updown.step(&deep, &v, None, &mut Rng::new(7)).unwrap_err().to_string();
    assert!(message.contains("of their own"), "{message}");
}

/// Up-down on whole data raises what it climbs: the bound on log p(v). Wrong phases, or generation taught by the sleep states,
/// would not.
#[test]
fn up_down_raises_the_bound() {
    let mut dbn = stack(&[6, 4, 4], None);
    dbn.untie().unwrap();
    // Two patterns and their neighbours.
    let v = Tensor::new(
        &[
            [1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
            [1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
        ],
        &Device::Cpu,
    )
    .unwrap();
    let bound = |dbn: &Dbn| {
        let found = Bound::of(dbn, &v, 500, &mut Rng::new(1)).unwrap();
        let log_z = rbm_core::estimate::log_partition(dbn.top()).unwrap();
        found.mean.iter().sum::<f64>() / 4.0 - log_z
    };
    let before = bound(&dbn);
    let vars = learning::up_down_parameters(&dbn).len();
    // Weights and two biases on top; below it two of recognition and two of generation.
    assert_eq!(vars, 3 + 4);
    let mut updown = UpDown { steps: 5, l2: 0.0, optimizer: Box::new(Sgd::new(0.1)) };
    let (mut rng, batch) = (Rng::new(2), Tensor::cat(&[&v, &v, &v, &v, &v], 0).unwrap());
    for _ in 0..3000 {
        updown.step(&dbn, &batch, None, &mut rng).unwrap();
    }
    let after = bound(&dbn);
    // The best is log ¼ = −1.39.
    assert!(before < -4.0 && after > -1.8, "{before} → {after}");
}

/// Offsets make up for the log Z that free energies lack: machines of known log Z get these back, whatever is added to them.
#[test]
fn offsets_stand_for_log_z() {
    let rbms: Vec<Rbm> =
        (0..3).map(|seed| machine(&Units::bernoulli(4), &Units::bernoulli(3), seed)).collect();
    let log_z: Vec<f64> =
        rbms.iter().map(|rbm| rbm_core::estimate::log_partition(rbm).unwrap()).collect();
    // Cases in numbers proportional to p(v | y), each class as often.
    let (mut cases, mut labels) = (Vec::new(), Vec::new());
    for (class, (rbm, log_z)) in rbms.iter().zip(&log_z).enumerate() {
        for (v, f) in bits(4)
            .to_vec2::<f64>()
            .unwrap()
            .iter()
            .zip(numbers(&rbm.free_energy(&bits(4)).unwrap()))
        {
            let count = (20_000.0 * (-f - log_z).exp()).round() as usize;
            cases.extend(std::iter::repeat_n(v.clone(), count).flatten().map(|x| x as f32));
            labels.extend(std::iter::repeat_n(class as u32, count));
        }
    }
    let rows = Tensor::from_vec(cases, (labels.len(), 4), &Device::Cpu).unwrap();
    // Parts are of f32; so are their machines.
    let rbms: Vec<Rbm> = rbms
        .iter()
        .map(|rbm| {
            let single =
                Rbm::new(&rbm.visible().units(), &rbm.hidden().units(), DType::F32, &Device::Cpu)
                    .unwrap();
            for ((_, to), (_, from)) in single.parameters().into_iter().zip(rbm.parameters()) {
                to.set(&from.to_dtype(DType::F32).unwrap()).unwrap();
            }
            single
        })
        .collect();
    let network = PerClass::new(rbms).unwrap();
    let part = candle_dbn::Examples::new(rows, Some(labels)).unwrap();
    let before = network.errors(&part).unwrap();
    network.fit_offsets(&part).unwrap();
    assert!(network.errors(&part).unwrap() <= before);
    let offsets = network.offsets.to_vec1::<f32>().unwrap();
    for (a, b) in [(0, 1), (1, 2)] {
        let (found, expected) = (f64::from(offsets[a] - offsets[b]), log_z[b] - log_z[a]);
        // Counts are rounded to whole cases of 20,000 a class.
        assert!((found - expected).abs() < 0.01, "{found}, expected {expected}");
    }
    let unknown =
        candle_dbn::Examples::new(bits(4).to_dtype(DType::F32).unwrap(), Some(vec![5; 16]))
            .unwrap();
    assert!(network.errors(&unknown).unwrap_err().to_string().contains("classes below 3"));
    let missing =
        candle_dbn::Examples::new(bits(4).to_dtype(DType::F32).unwrap(), Some(vec![0; 16]))
            .unwrap();
    assert!(network.fit_offsets(&missing).unwrap_err().to_string().contains("cases of class 1"));
}

/// The small recipe learns its digits, and up-down does better than greedy learning alone.
#[test]
fn the_recipe_in_small_learns() {
    use candle_dbn::training::{EpochMetrics, Observer, Outcome};
    /// The last validation error of each stage.
    struct Last(std::collections::BTreeMap<String, f64>);
    impl Observer for Last {
        fn epoch(&mut self, metrics: &EpochMetrics) -> candle_dbn::Result<()> {
            if let Some(error) = metrics.validation_error {
                self.0.insert(metrics.stage.to_string(), error);
            }
            Ok(())
        }
    }
    let words =
        ["layers.*.epochs=60", "updown.epochs=30", "data.validate_one_in=3", "layers.*.hidden=100"];
    let words: Vec<_> = words.iter().map(ToString::to_string).collect();
    let recipe = candle_dbn::Recipe::named("digits-joint").unwrap().with(&words).unwrap();
    let data = candle_dbn::data::load("digits", &recipe.read_options()).unwrap();
    let mut training = candle_dbn::Training::new(recipe, data, &Device::Cpu).unwrap();
    let mut last = Last(Default::default());
    assert!(matches!(training.run(&mut last).unwrap(), Outcome::Finished(_)));
    let (greedy, fine) = (last.0["layer 3"], last.0["up-down"]);
    assert!(greedy < 25.0 && fine < 12.0 && fine < greedy, "{greedy} → {fine}");
}
