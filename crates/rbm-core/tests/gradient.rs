//! The laws of the gradient: it is the derivative of the log-likelihood, and transforms do to it what they say.
//!
//! What they would catch: a phase of the wrong sign or divisor, means where samples' statistics are due, weights that
//! are not normalised, a parameter whose statistic is another's, chains that are started again; a decay that decays
//! biases; a clip that touches small gradients.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{assert_close, bernoulli, binary, flat, machine, matrix, patterns};
use rbm_core::estimate::log_likelihood;
use rbm_core::learning::transform::{Centre, Clip, Sparsity, WeightDecay};
use rbm_core::{
    Averages, ContrastiveDivergence, Exact, Gradient, MeanField, NegativePhase, Optimizer,
    Persistent, Phase, Rbm, Rng, Sgd, State, Stateful, Transform, ops,
};

const F64: DType = DType::F64;

/// The mean log-likelihood of `cases` as a graph, log Z over every visible configuration.
fn log_likelihood_graph(rbm: &Rbm, cases: &Tensor) -> Tensor {
    let all = matrix(&binary(cases.dim(1).unwrap()), F64);
    let log_z = rbm.free_energy(&all).unwrap().neg().unwrap().log_sum_exp(0).unwrap();
    (rbm.free_energy(cases).unwrap().mean_all().unwrap().neg().unwrap() - log_z).unwrap()
}

/// Every part of the gradient, one after the other.
fn parts(rbm: &Rbm, gradient: &Gradient) -> Vec<f64> {
    gradient.tensors(rbm).unwrap().iter().flat_map(flat).collect()
}

fn exact(rbm: &Rbm, cases: &Tensor) -> Gradient {
    let positive = Phase::of(rbm, cases).unwrap();
    let negative = Exact.averages(rbm, &positive, &mut Rng::new(0)).unwrap();
    Gradient::of(Averages::of(rbm, &positive).unwrap(), negative).unwrap()
}

fn cases() -> Tensor {
    patterns("1110 0101 1000 0101 0011 1111 0110", F64)
}

#[test]
fn exact_is_the_derivative_of_the_log_likelihood() {
    // Of the first, the hidden side is gone through, of the others the visible one.
    for hidden in ["bernoulli:3", "bernoulli:5", "gaussian:3", "gaussian-learned:3"] {
        let rbm = machine("bernoulli:4", hidden, F64, 1);
        let graph = log_likelihood_graph(&rbm, &cases());
        if hidden.starts_with("bernoulli") {
            let value = log_likelihood(&rbm, &cases()).unwrap();
            assert_close("log-likelihood", &flat(&graph), &[value], 1e-12);
        }
        let slopes = graph.backward().unwrap();
        let gradient = exact(&rbm, &cases());
        assert_eq!(gradient.tensors(&rbm).unwrap().len(), rbm.parameters().len());
        for ((name, var), part) in
            rbm.parameters().into_iter().zip(&gradient.tensors(&rbm).unwrap())
        {
            assert_eq!(part.dims(), var.dims(), "{hidden} {name}");
            assert_close(&name, &flat(part), &flat(slopes.get(var).unwrap()), 1e-9);
        }
    }
}

/// Central differences err by h²·f‴/6, with h = 1e-5 and third derivatives of order ten 2e-10, and by the rounding of
/// f / h, 1e-15 / 1e-5.
#[test]
fn exact_is_the_finite_difference_of_the_log_likelihood() {
    const H: f64 = 1e-5;
    for (visible, hidden) in [
        ("bernoulli:4", "bernoulli:3"),
        ("bernoulli:4", "bernoulli:5"),
        ("gaussian-learned:4", "bernoulli:3"),
        ("bernoulli:4", "bernoulli:1+potts(3):1"),
        ("bernoulli:2+bernoulli:2", "bernoulli:3+gaussian:2"),
    ] {
        let rbm = machine(visible, hidden, F64, 2);
        let gradient = exact(&rbm, &cases());
        for ((name, var), part) in
            rbm.parameters().into_iter().zip(&gradient.tensors(&rbm).unwrap())
        {
            let before = var.as_detached_tensor().copy().unwrap();
            let count = var.elem_count();
            let moved = |i: usize, by: f64| {
                let mut shift = vec![0.0; count];
                shift[i] = by;
                let shift = Tensor::from_vec(shift, var.shape(), &Device::Cpu).unwrap();
                var.set(&(&before + shift).unwrap()).unwrap();
                log_likelihood(&rbm, &cases()).unwrap()
            };
            let slopes: Vec<_> =
                (0..count).map(|i| (moved(i, H) - moved(i, -H)) / (2.0 * H)).collect();
            var.set(&before).unwrap();
            assert_close(&format!("{visible} {hidden} {name}"), &flat(part), &slopes, 1e-8);
        }
    }
}

/// Catches sums over blocks of configurations (of 4,096) that are not brought to the same weight: the likeliest ones are
/// in the last block, then in the first.
#[test]
fn exact_averages_are_those_of_all_configurations_at_once() {
    for (bias, factor, hidden) in [
        (4.0, 1.0, "bernoulli:15"),
        (-4.0, 1.0, "bernoulli:15"),
        // Inputs of hundreds, then of thousands, of which exp is not finite.
        (4.0, 20.0, "bernoulli:15"),
        (4.0, 200.0, "bernoulli:15"),
        (4.0, 1.0, "gaussian:3"),
    ] {
        let rbm = machine("bernoulli:14", hidden, F64, 11);
        rbm.visible().vars()[0].1.set(&vector(&[bias; 14])).unwrap();
        rbm.weights().set(&(rbm.weights().as_detached_tensor() * factor).unwrap()).unwrap();
        let cases = matrix(&binary(14)[..5], F64);
        let positive = Phase::of(&rbm, &cases).unwrap();
        let negative = Exact.fantasy(&rbm, &positive, &mut Rng::new(0)).unwrap();
        assert_eq!(negative.visible.dims(), [1 << 14, 14]);
        let at_once = Gradient::between(&rbm, &positive, &negative).unwrap();
        // Sums of 2^14 numbers of order one in another order: 2^14 · 2^-53, and a little of the products.
        assert_close(hidden, &parts(&rbm, &exact(&rbm, &cases)), &parts(&rbm, &at_once), 1e-11);
    }
}

#[test]
fn averages_of_binary_units_are_the_same_for_any_number_of_threads_and_know_log_z() {
    for (visible, hidden) in [("bernoulli:13", "bernoulli:14"), ("bernoulli:3", "bernoulli:40")] {
        let rbm = machine(visible, hidden, F64, 12);
        let [side, other] = [rbm.visible(), rbm.hidden()].map(|layer| flat(layer.vars()[0].1));
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| ops::binary_averages(&flat(rbm.weights()), &side, &other)).unwrap()
        };
        let averages = of(1);
        assert_eq!(of(2), averages);
        assert_eq!(of(4), averages);
        let log_z = rbm_core::estimate::log_partition(&rbm).unwrap();
        assert_close("log Z", &[averages.log_partition], &[log_z], 1e-12);
    }
    assert_eq!(ops::binary_averages(&[f64::NAN], &[0.0], &[0.0]), None);
    assert_eq!(ops::binary_averages(&[1e9], &[0.0], &[0.0]), None);
}

/// One visible Gaussian unit with a learned precision: the negative phase is a fine grid weighted by exp(−F), the
/// trapezoid rule, which is exact for Gaussians much wider than its step. The oracle is autograd of log Z as a sum over
/// the hidden units.
#[test]
fn gaussian_units_gradient_is_the_derivative_too() {
    let rbm = machine("gaussian-learned:1", "bernoulli:3", F64, 3);
    let grid: Vec<Vec<f64>> = (-960..=960).map(|i| vec![f64::from(i) / 16.0]).collect();
    let mut negative = Phase::of(&rbm, &matrix(&grid, F64)).unwrap();
    negative.log_weights =
        Some(rbm.free_energy(&negative.visible).unwrap().neg().unwrap().detach());
    let cases = matrix(&[vec![0.3], vec![-1.2], vec![2.5]], F64);
    let positive = Phase::of(&rbm, &cases).unwrap();
    let gradient = Gradient::between(&rbm, &positive, &negative).unwrap();

    let h = matrix(&binary(3), F64);
    let log_weights = rbm.visible().cgf(&rbm.visible_inputs(&h).unwrap()).unwrap();
    let log_z = (log_weights - rbm.hidden().energy(&h).unwrap()).unwrap().log_sum_exp(0).unwrap();
    let mean = rbm.free_energy(&cases).unwrap().mean_all().unwrap().neg().unwrap();
    let slopes = (mean - log_z).unwrap().backward().unwrap();
    for ((name, var), part) in rbm.parameters().into_iter().zip(&gradient.tensors(&rbm).unwrap()) {
        assert_close(&name, &flat(part), &flat(slopes.get(var).unwrap()), 1e-9);
    }
}

/// The machine stands still, so the chains sample it and their gradient is exact on average. Steps are correlated:
/// the error comes from the spread of the means of 40 batches of 100 steps, each much longer than the memory of the
/// chains. Of 19 numbers one leaves four standard errors of 39 degrees of freedom with a chance of 0.5 %.
#[test]
fn persistent_chains_average_to_the_exact_gradient() {
    let rbm = machine("bernoulli:4", "bernoulli:3", F64, 4);
    let positive = Phase::of(&rbm, &cases()).unwrap();
    let (mut persistent, mut rng) = (Persistent::new(1, 50), Rng::new(5));
    let mut step = || {
        let negative = persistent.fantasy(&rbm, &positive, &mut rng).unwrap();
        parts(&rbm, &Gradient::between(&rbm, &positive, &negative).unwrap())
    };
    (0..100).for_each(|_| drop(step()));
    let batches: Vec<Vec<f64>> = (0..40)
        .map(|_| {
            let mut sum = step();
            (1..100).for_each(|_| sum.iter_mut().zip(step()).for_each(|(sum, x)| *sum += x));
            sum.into_iter().map(|x| x / 100.0).collect()
        })
        .collect();
    for (i, expected) in parts(&rbm, &exact(&rbm, &cases())).into_iter().enumerate() {
        let means: Vec<_> = batches.iter().map(|batch| batch[i]).collect();
        common::assert_mean(&format!("parameter {i}"), &means, expected);
    }
}

/// The shortest chains are biased, or the test above would be no test: CD-1's mean gradient is not the exact one.
#[test]
fn one_step_chains_do_not() {
    let rbm = machine("bernoulli:4", "bernoulli:3", F64, 4);
    let positive = Phase::of(&rbm, &cases()).unwrap();
    let mut rng = Rng::new(6);
    let mut mean = vec![0.0; 19];
    for _ in 0..1000 {
        let negative = ContrastiveDivergence::new(1).fantasy(&rbm, &positive, &mut rng).unwrap();
        let gradient = parts(&rbm, &Gradient::between(&rbm, &positive, &negative).unwrap());
        mean.iter_mut().zip(gradient).for_each(|(mean, x)| *mean += x / 1000.0);
    }
    // 7000 chains: the standard error of each number is at most 1/√7000 = 0.012.
    let gap =
        parts(&rbm, &exact(&rbm, &cases())).into_iter().zip(&mean).map(|(a, b)| (a - b).abs());
    assert!(gap.fold(0.0, f64::max) > 0.05);
}

/// PyDeep's vectors: v = {1110, 0101}, h = {0101, 0110}, summed.
#[test]
fn golden_outer_product_of_pydeep() {
    let (v, h) = (patterns("1110 0101", F64), patterns("0101 0110", F64));
    let weights = ops::outer_sum(&[ops::Outer::new(&v, &h, 1.0).unwrap()]).unwrap();
    let expected = patterns("0101 0211 0101 0110", F64).to_dtype(F64).unwrap();
    assert_eq!(flat(&weights), flat(&expected));
    assert_eq!(flat(&ops::sum_rows(&v).unwrap()), [1.0, 2.0, 1.0, 1.0]);
    assert_eq!(flat(&ops::sum_rows(&h).unwrap()), [0.0, 2.0, 1.0, 1.0]);
}

fn vector(values: &[f64]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

/// A gradient of a 2×2 machine.
fn two_by_two(weights: [[f64; 2]; 2], visible: [f64; 2], hidden: [f64; 2]) -> Gradient {
    Gradient {
        couplings: vec![matrix(&weights.map(|row| row.to_vec()), F64).into()],
        visible: vec![vector(&visible)],
        hidden: vec![vector(&hidden)],
    }
}

fn log_odds(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

/// PyDeep's trainer vectors: weight 1, target 0.01, mean activities 0.6 and 0.7 turn the hidden biases' (−3, 3) into
/// (−3.59, 2.31). The second step checks the running mean by hand: q ← 0.9·q + 0.1·mean.
#[test]
fn golden_sparsity_of_pydeep() {
    let rbm = bernoulli(&[vec![0.0; 2], vec![0.0; 2]], &[0.0; 2], &[0.0; 2], F64);
    let phase = |p: [f64; 2]| Phase {
        visible: patterns("10", F64),
        hidden_inputs: matrix(&[p.map(log_odds).to_vec()], F64),
        log_weights: None,
    };
    let plain = || two_by_two([[0.4, 0.0], [0.5, 0.6]], [1.0, 5.0], [-3.0, 3.0]);
    let mut sparsity = Sparsity { weights: false, ..Sparsity::new(0.01, 1.0) };
    let first = sparsity.apply(plain(), &rbm, &phase([0.6, 0.7])).unwrap();
    let expected = [0.4, 0.0, 0.5, 0.6, 1.0, 5.0, -3.59, 2.31];
    assert_close("first step", &parts(&rbm, &first), &expected, 1e-14);
    sparsity.weights = true;
    let second = sparsity.apply(plain(), &rbm, &phase([0.2, 0.9])).unwrap();
    let pull = [0.01 - (0.9 * 0.6 + 0.1 * 0.2), 0.01 - (0.9 * 0.7 + 0.1 * 0.9)];
    let [a, b] = pull;
    let expected = [0.4 + a, b, 0.5, 0.6, 1.0, 5.0, a - 3.0, b + 3.0];
    assert_close("second step, with weights", &parts(&rbm, &second), &expected, 1e-14);
}

#[test]
fn decay_is_the_derivative_of_its_penalty_and_spares_the_biases() {
    let w = [[2.0, -3.0], [0.0, 0.5]];
    let rbm = bernoulli(&w.map(|row| row.to_vec()), &[7.0; 2], &[9.0; 2], F64);
    let positive = Phase::of(&rbm, &patterns("10", F64)).unwrap();
    let mut decay = WeightDecay { l1: 0.25, l2: 0.125 };
    let gradient = two_by_two([[1.0; 2]; 2], [4.0; 2], [5.0; 2]);
    let decayed = decay.apply(gradient, &rbm, &positive).unwrap();
    let by_hand = |w: f64| 1.0 - 0.125 * w - 0.25 * if w == 0.0 { 0.0 } else { w.signum() };
    let mut expected: Vec<_> = w.concat().into_iter().map(by_hand).collect();
    expected.extend([4.0, 4.0, 5.0, 5.0]);
    assert_eq!(parts(&rbm, &decayed), expected, "powers of two: exact");
    assert_eq!(flat(rbm.weights()), w.concat());
}

#[test]
fn clip_scales_large_gradients_and_leaves_small_ones_alone() {
    let rbm = machine("bernoulli:4", "bernoulli:3", F64, 7);
    let positive = Phase::of(&rbm, &cases()).unwrap();
    let gradient = exact(&rbm, &cases());
    let (before, norm) = (parts(&rbm, &gradient), gradient.norm(&rbm).unwrap());
    assert_close("norm", &[norm], &[before.iter().map(|x| x * x).sum::<f64>().sqrt()], 1e-14);
    let clip = |norm: f64| {
        let clipped = Clip::new(norm).unwrap().apply(gradient.clone(), &rbm, &positive).unwrap();
        (parts(&rbm, &clipped), clipped.norm(&rbm).unwrap())
    };
    assert_eq!(clip(norm).0, before, "at the limit");
    assert_eq!(clip(2.0 * norm).0, before, "below the limit");
    let (clipped, new_norm) = clip(norm / 3.0);
    assert_close("norm", &[new_norm / norm], &[1.0 / 3.0], 1e-14);
    let thirds: Vec<_> = before.iter().map(|x| x / 3.0).collect();
    assert_close("direction", &clipped, &thirds, 1e-14);
    for useless in [0.0, -1.0, f64::NAN] {
        assert!(Clip::new(useless).is_err());
    }
}

/// What is clipped is the whole direction: outer products, the sparsity's rank-one pull, and the penalty.
#[test]
fn clip_scales_what_other_transforms_have_added() {
    let rbm = machine("bernoulli:4", "bernoulli:3", F64, 7);
    let positive = Phase::of(&rbm, &cases()).unwrap();
    let mut gradient = exact(&rbm, &cases());
    let plain = parts(&rbm, &gradient);
    gradient = WeightDecay { l1: 0.3, l2: 0.7 }.apply(gradient, &rbm, &positive).unwrap();
    gradient = Sparsity::new(0.1, 0.5).apply(gradient, &rbm, &positive).unwrap();
    let (whole, norm) = (parts(&rbm, &gradient), gradient.norm(&rbm).unwrap());
    let change: Vec<_> = whole.iter().zip(&plain).map(|(a, b)| (a - b).abs()).collect();
    assert!(change[..12].iter().all(|&x| x > 1e-3), "{change:?}");
    let clipped = Clip::new(norm / 4.0).unwrap().apply(gradient, &rbm, &positive).unwrap();
    let quarters: Vec<_> = whole.iter().map(|x| x / 4.0).collect();
    assert_close("direction", &parts(&rbm, &clipped), &quarters, 1e-14);
}

/// Each phase is divided by its own size: repeating a phase changes nothing but rounding.
#[test]
fn phases_may_be_of_different_sizes() {
    let rbm = machine("bernoulli:4", "gaussian-learned:3", F64, 8);
    let seven = Phase::of(&rbm, &cases()).unwrap();
    let three = Phase::of(&rbm, &patterns("1100 0110 1011", F64)).unwrap();
    let six = Phase::of(&rbm, &patterns("1100 0110 1011 1100 0110 1011", F64)).unwrap();
    let of =
        |positive, negative| parts(&rbm, &Gradient::between(&rbm, positive, negative).unwrap());
    assert_close("negative repeated", &of(&seven, &six), &of(&seven, &three), 1e-14);
    assert_close("positive repeated", &of(&six, &seven), &of(&three, &seven), 1e-14);
    assert_close("equal phases", &of(&six, &three), &[0.0; 22], 1e-14);
}

/// Weights are unnormalised logarithms: a constant is nothing, log 2 is a second copy, −∞ is absence.
#[test]
fn log_weights_weigh() {
    let rbm = machine("bernoulli:4", "gaussian-learned:3", F64, 9);
    let positive = Phase::of(&rbm, &cases()).unwrap();
    let phase = |text: &str, log_weights: Option<&[f64]>| {
        let mut phase = Phase::of(&rbm, &patterns(text, F64)).unwrap();
        phase.log_weights = log_weights.map(vector);
        parts(&rbm, &Gradient::between(&rbm, &positive, &phase).unwrap())
    };
    let plain = phase("1100 0110 1011", None);
    for constant in [0.0, -1e5, 1e5] {
        assert_close("constant", &phase("1100 0110 1011", Some(&[constant; 3])), &plain, 1e-14);
    }
    let doubled = phase("1100 0110", Some(&[-1e5 + 2f64.ln(), -1e5]));
    assert_close("doubled", &doubled, &phase("1100 0110 1100", None), 1e-10);
    let absent = phase("1100 0110 1011", Some(&[0.0, f64::NEG_INFINITY, 0.0]));
    assert_close("absent", &absent, &phase("1100 1011", None), 1e-14);
}

#[test]
fn a_gradient_is_a_leaf_and_moves_nothing() {
    let rbm = machine("gaussian-learned:4", "gaussian:3", F64, 10);
    let before = common::parameter_bits(&rbm);
    let phase = Phase::of(&rbm, &cases()).unwrap();
    let gradient = Gradient::between(&rbm, &phase, &phase).unwrap();
    assert!(gradient.tensors(&rbm).unwrap().iter().all(|part| !part.track_op()));
    assert_eq!(common::parameter_bits(&rbm), before);
    // Seven products below ten, of which half are fused with their additions: 7 · 10 · 2⁻⁵³.
    assert_close(
        "equal phases cancel",
        &flat(&gradient.tensors(&rbm).unwrap()[0]),
        &[0.0; 12],
        1e-14,
    );
}

/// PyDeep's trainer vectors: the two phases' difference and offsets that stand still, and the plain gradient they become.
#[test]
fn golden_centring_of_pydeep() {
    let rbm = bernoulli(&[vec![0.0; 2], vec![0.0; 2]], &[0.0; 2], &[0.0; 2], F64);
    let positive = Phase::of(&rbm, &patterns("10", F64)).unwrap();
    let centred = |plain: Gradient, mu: [f64; 2], lambda: [f64; 2]| {
        let (visible, lambda) = (Some(vector(&mu)), Some(vector(&lambda)));
        let mut centre = Centre { rate: 0.0, visible, hidden: lambda };
        parts(&rbm, &centre.apply(plain, &rbm, &positive).unwrap())
    };
    let plain = two_by_two([[0.4, 0.0], [0.5, 0.6]], [1.0, 5.0], [-3.0, 3.0]);
    let first = [2.5, -2.6, 0.5, -1.9, 0.77, 5.23, -5.25, 6.03];
    assert_close("first", &centred(plain, [0.8, 0.5], [0.3, 0.2]), &first, 1e-14);
    let plain = two_by_two([[0.3, 0.5], [-0.4, 0.8]], [2.0, 4.0], [-2.0, -1.0]);
    let second = [1.1, 0.6, 0.2, 0.5, 1.77, 3.88, -2.65, -1.55];
    assert_close("second", &centred(plain, [0.5, 0.5], [0.1, 0.2]), &second, 1e-14);
}

/// The machine whose visible units `v` and hidden units `h` call 1 what this one calls 0.
fn flipped(rbm: &Rbm, v: &[bool], h: &[bool]) -> Rbm {
    let mut weights = common::rows(rbm.weights());
    let mut b = flat(rbm.visible().vars()[0].1);
    let mut c = flat(rbm.hidden().vars()[0].1);
    for i in (0..v.len()).filter(|&i| v[i]) {
        c.iter_mut().zip(&weights[i]).for_each(|(c, w)| *c += w);
        weights[i].iter_mut().for_each(|w| *w = -*w);
        b[i] = -b[i];
    }
    for j in (0..h.len()).filter(|&j| h[j]) {
        for (b, row) in b.iter_mut().zip(&mut weights) {
            *b += row[j];
            row[j] = -row[j];
        }
        c[j] = -c[j];
    }
    bernoulli(&weights, &b, &c, F64)
}

/// Ten steps of exact learning with momentum, offsets moving: the flipped machine on flipped data stays the flipped
/// machine. Numbers of order one lose at most some hundred roundings on the way.
#[test]
fn centred_learning_does_not_depend_on_what_is_called_one() {
    let (v, h) = ([true, false, true, false], [false, true, true]);
    let flips = matrix(&[v.map(|flip| f64::from(u8::from(flip))).to_vec()], F64);
    let turned = cases().broadcast_sub(&flips).unwrap().abs().unwrap();
    let differ = |centred: bool| {
        let rbm = machine("bernoulli:4", "bernoulli:3", F64, 12);
        let twin = flipped(&rbm, &v, &h);
        let learn = |rbm: &Rbm, cases: &Tensor| {
            let mut centre = Centre::new(0.1);
            let mut sgd = Sgd { momentum: 0.5, ..Sgd::new(0.2) };
            for _ in 0..10 {
                let mut gradient = exact(rbm, cases);
                if centred {
                    let positive = Phase::of(rbm, cases).unwrap();
                    gradient = centre.apply(gradient, rbm, &positive).unwrap();
                }
                sgd.step(rbm, &gradient).unwrap();
            }
        };
        learn(&rbm, &cases());
        learn(&twin, &turned);
        let numbers = |rbm: &Rbm| -> Vec<f64> {
            rbm.parameters().into_iter().flat_map(|(_, var)| flat(var)).collect()
        };
        let gaps = numbers(&flipped(&rbm, &v, &h)).into_iter().zip(numbers(&twin));
        gaps.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(differ(true) < 1e-12, "centred: {}", differ(true));
    assert!(differ(false) > 0.01, "plain: {}", differ(false));
}

/// Factors and a tensor are two ways to write the same direction; the offsets go with the mini-batches' means and come
/// back from their state to the bit.
#[test]
fn centring_keeps_the_gradient_factored_and_its_offsets() {
    let rbm = machine("bernoulli:4", "gaussian-learned:3", F64, 13);
    let positive = Phase::of(&rbm, &cases()).unwrap();
    let negative = Phase::of(&rbm, &patterns("1100 0110 1011", F64)).unwrap();
    let gradient = Gradient::between(&rbm, &positive, &negative).unwrap();
    let written = gradient.tensors(&rbm).unwrap().swap_remove(0);
    let dense = Gradient { couplings: vec![written.into()], ..gradient.clone() };
    let mut centre = Centre::new(0.25);
    let first = parts(&rbm, &centre.clone().apply(dense, &rbm, &positive).unwrap());
    let again = parts(&rbm, &centre.apply(gradient.clone(), &rbm, &positive).unwrap());
    assert_close("factored", &again, &first, 1e-13);
    let mean = flat(&cases().mean(0).unwrap());
    assert_close("μ begins", &flat(&centre.state()["visible"]), &mean, 1e-15);

    let mut copy = Centre::new(0.25);
    copy.restore(&centre.state()).unwrap();
    let one = Phase::of(&rbm, &patterns("1001", F64)).unwrap();
    let next =
        |centre: &mut Centre| parts(&rbm, &centre.apply(gradient.clone(), &rbm, &one).unwrap());
    assert_eq!(next(&mut copy), next(&mut centre));
    let moved: Vec<_> =
        mean.iter().zip([1.0, 0.0, 0.0, 1.0]).map(|(m, v)| 0.75 * m + 0.25 * v).collect();
    assert_close("μ follows", &flat(&centre.state()["visible"]), &moved, 1e-15);
    assert!(copy.restore(&State::from([("visible".to_owned(), vector(&[0.0]))])).is_err());
    // Where a machine that is newly initialised stands, its units' means are the data's.
    let rbm = Rbm::bernoulli(&cases(), 3, &mut Rng::new(14)).unwrap();
    assert_close(
        "μ of a machine",
        &flat(&Centre::of(&rbm, 0.0).unwrap().state()["visible"]),
        &mean,
        1e-9,
    );
}

/// The naive mean-field free energy ⟨E⟩ − entropy of independent binary units with these means.
fn mean_field_free_energy(plain: &common::Plain, v: &[f64], h: &[f64]) -> f64 {
    let entropy = |p: &f64| -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
    plain.energy(v, h) - v.iter().chain(h).map(entropy).sum::<f64>()
}

/// After many iterations the means solve v = E[v | h], h = E[h | v], and their side of the gradient is the slope of the
/// mean-field free energy there: its errors are those of central differences, as above.
#[test]
fn mean_field_fantasies_settle_where_the_mean_field_free_energy_is_flat() {
    const H: f64 = 1e-5;
    let rbm = machine("bernoulli:4", "bernoulli:3", F64, 15);
    let positive = Phase::of(&rbm, &patterns("1010", F64)).unwrap();
    let settled = |rbm: &Rbm| {
        let mut rng = Rng::new(0);
        let phase = MeanField::new(500).fantasy(rbm, &positive, &mut rng).unwrap();
        assert_eq!(rng, Rng::new(0), "nothing is drawn");
        (phase.visible.clone(), rbm.hidden().mean(&phase.hidden_inputs).unwrap())
    };
    let (v, h) = settled(&rbm);
    assert_close("v", &flat(&rbm.visible_mean(&h).unwrap()), &flat(&v), 1e-12);
    let slopes: Vec<f64> = rbm
        .parameters()
        .into_iter()
        .flat_map(|(_, var)| {
            let before = var.as_detached_tensor().copy().unwrap();
            let moved = |i: usize, by: f64| {
                let mut shift = vec![0.0; var.elem_count()];
                shift[i] = by;
                let shift = Tensor::from_vec(shift, var.shape(), &Device::Cpu).unwrap();
                var.set(&(&before + shift).unwrap()).unwrap();
                let (v, h) = settled(&rbm);
                mean_field_free_energy(&common::Plain::of(&rbm), &flat(&v), &flat(&h))
            };
            let slope = |i| (moved(i, H) - moved(i, -H)) / (2.0 * H);
            let slopes: Vec<_> = (0..var.elem_count()).map(slope).collect();
            var.set(&before).unwrap();
            slopes
        })
        .collect();
    let outer = v.t().unwrap().matmul(&h).unwrap();
    let statistics = [flat(&outer), flat(&v), flat(&h)].concat();
    let down: Vec<_> = statistics.iter().map(|x| -x).collect();
    assert_close("−∂F", &slopes, &down, 1e-8);

    // One iteration, half the way.
    let phase = MeanField::new(1).fantasy(&rbm, &positive, &mut Rng::new(0)).unwrap();
    let start = rbm.hidden().mean(&positive.hidden_inputs).unwrap();
    let full = flat(&rbm.visible_mean(&start).unwrap());
    let half: Vec<_> = full.iter().zip([1.0, 0.0, 1.0, 0.0]).map(|(v, d)| (v + d) / 2.0).collect();
    assert_close("half the way", &flat(&phase.visible), &half, 1e-15);
}

/// Where the centred, decayed gradient is zero, the means of the machine are those of the data: with the plain bias gradient
/// Δb₀, the transformed one is Δb₀ − (ΔW − l2·W − l1·sign W)·λ, so that it vanishes together with Δb₀ and the rest.
#[test]
fn decay_is_centred_too() {
    let dtype = DType::F64;
    let rbm = machine("bernoulli:5", "bernoulli:4", dtype, 61);
    let positive = Phase::of(&rbm, &patterns("10110 01101 11100 00111", dtype)).unwrap();
    let negative = Phase::of(&rbm, &patterns("11010 00110 10001 01011", dtype)).unwrap();
    let plain = Gradient::between(&rbm, &positive, &negative).unwrap();
    let decayed = WeightDecay { l1: 0.2, l2: 0.3 }.apply(plain.clone(), &rbm, &positive).unwrap();
    let mut centre = Centre::new(0.0);
    let centred = centre.apply(decayed, &rbm, &positive).unwrap();
    let [plain, centred] = [plain, centred].map(|gradient| gradient.tensors(&rbm).unwrap());
    let offset = |name: &str| centre.state()[name].unsqueeze(1).unwrap();
    let visible = centred[0].matmul(&offset("hidden")).unwrap().squeeze(1).unwrap();
    let hidden = centred[0].t().unwrap().matmul(&offset("visible")).unwrap().squeeze(1).unwrap();
    for (i, back) in [(1, visible), (2, hidden)] {
        let expected = (&plain[i] - back).unwrap();
        assert_close("Δb", &flat(&centred[i]), &flat(&expected), 1e-12);
    }
}
