//! The laws of joint machines: the free energies of all labels are those of the joined rows, and the discriminative and
//! the hybrid gradient are the derivatives of their objectives.
//!
//! What they would catch: a data group that is left out of F, label rows that take the data's weights, a softmax over the
//! wrong axis, a mean over labels that forgets their probabilities, a data bias that moves, an α that counts twice, a fused
//! pass that overflows where its inputs are large, a merged outer product of two different left sides.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{Plain, assert_close, bits, flat, log_sum_exp, machine, matrix, normal, rows};
use rbm_core::estimate::log_likelihood;
use rbm_core::model::{pairwise_cgf, pairwise_statistics};
use rbm_core::{
    Averages, ClassRbm, Conditional, ContrastiveDivergence, Exact, Gradient, Hybrid, NegativePhase,
    Persistent, Phase, Rbm, Rng, Sgd, Stateful, Trainer,
};

const F64: DType = DType::F64;

/// Visible layers that end in a label of three classes.
const VISIBLE: [&str; 6] = [
    "bernoulli:3+potts(3):1",
    "spin:2+potts(3):1",
    "potts(2):2+potts(3):1",
    "gaussian-learned:3+potts(3):1",
    "binomial(2):2+multinomial(3):2+potts(3):1",
    "gaussian:1+relu:1+potts(3):1",
];

const HIDDEN: [&str; 8] = [
    "bernoulli:5",
    "spin:3",
    "binomial(2):3",
    "potts(3):2",
    "multinomial(2):3",
    "relu:3",
    "gaussian-learned:3",
    "bernoulli:2+gaussian-learned:1+spin:1",
];

/// Data of a joint machine, in the support of their units, without labels.
fn data(rbm: &Rbm, cases: usize) -> Tensor {
    let visible = rbm.sample_visible(
        &rbm.sample_hidden(
            &normal(cases, rbm.visible().units().width(), rbm.dtype(), 3),
            &mut Rng::new(4),
        )
        .unwrap(),
        &mut Rng::new(5),
    );
    let joint = ClassRbm::of(rbm).unwrap();
    joint.split(&visible.unwrap()).unwrap().0.contiguous().unwrap()
}

/// Labels 0, 1, 2, 0, … of `cases` cases.
fn labels(cases: usize, classes: usize, dtype: DType) -> Tensor {
    let row = |n: usize| (0..classes).map(|k| f64::from(u8::from(k == n % classes))).collect();
    matrix(&(0..cases).map(row).collect::<Vec<_>>(), dtype)
}

/// Data beside the labels 0, 1, 2, 0, ….
fn labelled(rbm: &Rbm, cases: usize) -> Tensor {
    let joint = ClassRbm::of(rbm).unwrap();
    joint.join(&data(rbm, cases), &labels(cases, joint.classes(), rbm.dtype())).unwrap()
}

/// The mean of log p(y | x) over `visible` as a graph: a softmax over the joined rows of every label.
fn log_conditional_graph(rbm: &Rbm, visible: &Tensor) -> Tensor {
    let joint = ClassRbm::of(rbm).unwrap();
    let (data, labels) = joint.split(visible).unwrap();
    let cases = data.dim(0).unwrap();
    let one = Tensor::eye(joint.classes(), visible.dtype(), visible.device()).unwrap();
    let of_class = |k: usize| {
        let label = one.narrow(0, k, 1).unwrap().repeat((cases, 1)).unwrap();
        rbm.free_energy(&joint.join(&data, &label).unwrap()).unwrap().neg().unwrap()
    };
    let scores = Tensor::stack(&(0..joint.classes()).map(of_class).collect::<Vec<_>>(), 1).unwrap();
    let log_z = scores.log_sum_exp(1).unwrap();
    ((scores * labels).unwrap().sum(1).unwrap() - log_z).unwrap().mean_all().unwrap()
}

fn gradient(rbm: &Rbm, visible: &Tensor, negative: &mut dyn NegativePhase) -> Gradient {
    let positive = Phase::of(rbm, visible).unwrap();
    let negative = negative.averages(rbm, &positive, &mut Rng::new(9)).unwrap();
    Gradient::of(Averages::of(rbm, &positive).unwrap(), negative).unwrap()
}

/// Every part of the gradient beside the same of `graph` by autograd.
fn assert_derivative(what: &str, rbm: &Rbm, gradient: &Gradient, graph: &Tensor, tolerance: f64) {
    let slopes = graph.backward().unwrap();
    for ((name, var), part) in rbm.parameters().into_iter().zip(gradient.tensors(rbm).unwrap()) {
        let expected = match slopes.get(var) {
            Some(slope) => flat(slope),
            None => vec![0.0; var.elem_count()],
        };
        assert_close(&format!("{what}: {name}"), &flat(&part), &expected, tolerance);
    }
}

#[test]
fn free_energies_are_those_of_the_joined_rows() {
    for (dtype, tolerance) in [(F64, 1e-12), (DType::F32, 2e-5)] {
        for (visible, hidden) in common::pairs(&VISIBLE, &HIDDEN) {
            let rbm = machine(visible, hidden, dtype, 1);
            let (joint, plain) = (ClassRbm::of(&rbm).unwrap(), Plain::of(&rbm));
            let data = data(&rbm, 5);
            let found = joint.free_energies(&data).unwrap();
            assert_eq!(found.dims(), [5, 3]);
            for k in 0..3 {
                let label = labels(3, 3, dtype).narrow(0, k, 1).unwrap().repeat((5, 1)).unwrap();
                let joined = joint.join(&data, &label).unwrap();
                let what = format!("{visible} {hidden} {dtype:?} class {k}");
                let same = flat(&rbm.free_energy(&joined).unwrap());
                assert_close(&what, &common::column(&found, k), &same, tolerance);
                let by_hand: Vec<_> = rows(&joined).iter().map(|v| plain.free_energy(v)).collect();
                assert_close(&what, &common::column(&found, k), &by_hand, tolerance);
            }
        }
    }
}

#[test]
fn log_probabilities_are_the_softmax_of_the_free_energies() {
    for (visible, hidden) in common::pairs(&VISIBLE, &HIDDEN) {
        let rbm = machine(visible, hidden, F64, 2);
        let joint = ClassRbm::of(&rbm).unwrap();
        let data = data(&rbm, 4);
        let found = rows(&joint.log_probabilities(&data).unwrap());
        for (found, energies) in found.iter().zip(rows(&joint.free_energies(&data).unwrap())) {
            let scores: Vec<_> = energies.iter().map(|f| -f).collect();
            let expected: Vec<_> = scores.iter().map(|s| s - log_sum_exp(&scores)).collect();
            assert_close(&format!("{visible} {hidden}"), found, &expected, 1e-12);
        }
    }
}

/// From inputs of order one to those of which no exponential function is finite, over all widths that the fused pass cuts up
/// differently: the scores of all labels are those of each label alone.
#[test]
fn binary_units_are_right_for_inputs_of_every_size() {
    for (dtype, tolerance) in [(F64, 1e-13), (DType::F32, 2e-6)] {
        for (width, factor) in [
            (1, 1.0),
            (31, 10.0),
            (32, 30.0),
            (33, 1.0),
            (64, 60.0),
            (70, 100.0),
            (500, 3.0),
            (200, 3000.0),
        ] {
            let rbm = machine("bernoulli:3+potts(4):1", &format!("bernoulli:{width}"), dtype, 6);
            let scaled = |x: &Tensor| (x * factor).unwrap();
            let (inputs, shifts) =
                (scaled(&normal(7, width, dtype, 7)), scaled(&normal(4, width, dtype, 8)));
            let weights = normal(7, 4, dtype, 9);
            let found = pairwise_cgf(rbm.hidden(), &inputs, &shifts).unwrap();
            let statistics = pairwise_statistics(rbm.hidden(), &inputs, &shifts, &weights).unwrap();
            let mut by_input = inputs.zeros_like().unwrap();
            for k in 0..4 {
                let sum = inputs.broadcast_add(&shifts.narrow(0, k, 1).unwrap()).unwrap();
                let what = format!("{dtype:?} {width} {factor} {k}");
                let alone = flat(&rbm.hidden().cgf(&sum).unwrap());
                // The sums are of numbers of either size: the error is that of the largest.
                assert_close(&what, &common::column(&found, k), &alone, tolerance);
                let mean = rbm.hidden().mean(&sum).unwrap();
                let weight = weights.narrow(1, k, 1).unwrap();
                by_input = (by_input + mean.broadcast_mul(&weight).unwrap()).unwrap();
                let by_shift = weight.t().unwrap().matmul(&mean).unwrap();
                let row = statistics.by_shift.narrow(0, k, 1).unwrap();
                assert_close(&what, &flat(&row), &flat(&by_shift), 10.0 * tolerance);
            }
            assert_close(
                "by input",
                &flat(&statistics.by_input[0]),
                &flat(&by_input),
                10.0 * tolerance,
            );
        }
    }
}

#[test]
fn what_is_not_a_number_is_not_lost() {
    for dtype in [DType::F32, F64] {
        let rbm = machine("bernoulli:3+potts(2):1", "bernoulli:40", dtype, 6);
        let hole = matrix(&[(0..40).map(|j| if j == 7 { f64::NAN } else { 0.0 }).collect()], dtype);
        let (inputs, shifts) = (normal(3, 40, dtype, 7), normal(2, 40, dtype, 8));
        let some = Tensor::cat(&[&inputs, &hole], 0).unwrap();
        let found = rows(&pairwise_cgf(rbm.hidden(), &some, &shifts).unwrap());
        assert!(found[3].iter().all(|x| x.is_nan()) && found[0].iter().all(|x| x.is_finite()));
        let some = Tensor::cat(&[&shifts, &hole], 0).unwrap();
        let found = rows(&pairwise_cgf(rbm.hidden(), &inputs, &some).unwrap());
        assert!(found.iter().all(|row| row[2].is_nan() && row[0].is_finite()));
    }
}

/// Catches a fused pass without a derivative, or with another's.
#[test]
fn free_energies_are_differentiable() {
    for hidden in HIDDEN {
        let rbm = machine("gaussian-learned:2+bernoulli:2+potts(3):1", hidden, F64, 3);
        let visible = labelled(&rbm, 6);
        let joint = ClassRbm::of(&rbm).unwrap();
        let (data, labels) = joint.split(&visible).unwrap();
        let chosen = (joint.free_energies(&data).unwrap() * &labels).unwrap().sum_all().unwrap();
        let slopes = chosen.backward().unwrap();
        let expected = rbm.free_energy(&visible).unwrap().sum_all().unwrap().backward().unwrap();
        for (name, var) in rbm.parameters() {
            let (found, expected) = (slopes.get(var).unwrap(), expected.get(var).unwrap());
            assert_close(&format!("{hidden} {name}"), &flat(found), &flat(expected), 1e-11);
        }
    }
}

#[test]
fn discriminative_learning_climbs_the_log_probability_of_the_labels() {
    for (visible, hidden) in common::pairs(&VISIBLE, &HIDDEN) {
        let rbm = machine(visible, hidden, F64, 10);
        let cases = labelled(&rbm, 7);
        let graph = log_conditional_graph(&rbm, &cases);
        let joint = ClassRbm::of(&rbm).unwrap();
        let (data, labels) = joint.split(&cases).unwrap();
        let own = (joint.log_probabilities(&data).unwrap() * labels).unwrap().sum_all().unwrap();
        assert_close("log p(y | x)", &flat(&(own / 7.0).unwrap()), &flat(&graph), 1e-12);
        let found = gradient(&rbm, &cases, &mut Conditional);
        assert_derivative(&format!("{visible} {hidden}"), &rbm, &found, &graph, 1e-11);
        // The data are the same in both phases, to the bit.
        let parts = found.visible.split_last().unwrap().1;
        assert!(parts.iter().all(|part| flat(part).iter().all(|&x| x == 0.0)), "{visible}");
    }
}

/// Central differences of log p(y | x) as plain loops: their errors are those of `gradient.rs`.
#[test]
fn discriminative_gradients_are_finite_differences() {
    const H: f64 = 1e-5;
    for (visible, hidden) in [
        ("bernoulli:3+potts(3):1", "bernoulli:4"),
        ("gaussian-learned:2+potts(3):1", "spin:3"),
        ("potts(3):1+potts(3):1", "binomial(3):2"),
        ("bernoulli:3+potts(3):1", "relu:2"),
    ] {
        let rbm = machine(visible, hidden, F64, 11);
        let cases = labelled(&rbm, 5);
        let width = ClassRbm::of(&rbm).unwrap().width();
        let objective = |rbm: &Rbm| -> f64 {
            let plain = Plain::of(rbm);
            let log_probability = |v: &Vec<f64>| {
                let score = |k: usize| {
                    let mut v = v.clone();
                    (0..3).for_each(|i| v[width + i] = f64::from(u8::from(i == k)));
                    -plain.free_energy(&v)
                };
                -plain.free_energy(v) - log_sum_exp(&[score(0), score(1), score(2)])
            };
            rows(&cases).iter().map(log_probability).sum::<f64>() / 5.0
        };
        let found = gradient(&rbm, &cases, &mut Conditional).tensors(&rbm).unwrap();
        for ((name, var), part) in rbm.parameters().into_iter().zip(&found) {
            let before = var.as_detached_tensor().copy().unwrap();
            let moved = |i: usize, by: f64| {
                let mut shift = vec![0.0; var.elem_count()];
                shift[i] = by;
                let shift = Tensor::from_vec(shift, var.shape(), &Device::Cpu).unwrap();
                var.set(&(&before + shift).unwrap()).unwrap();
                objective(&rbm)
            };
            let slopes: Vec<_> =
                (0..var.elem_count()).map(|i| (moved(i, H) - moved(i, -H)) / (2.0 * H)).collect();
            var.set(&before).unwrap();
            assert_close(&format!("{visible} {hidden} {name}"), &flat(part), &slopes, 1e-8);
        }
    }
}

/// The generative part exact, the whole is the derivative of the sum of both objectives, by 1 + α.
#[test]
fn hybrid_learning_climbs_both_objectives() {
    for hidden in ["bernoulli:4", "spin:3", "potts(3):1"] {
        let rbm = machine("bernoulli:3+potts(3):1", hidden, F64, 12);
        let cases = labelled(&rbm, 6);
        let all =
            rbm_core::units::enumerate::blocks(rbm.visible()).unwrap().next().unwrap().unwrap();
        for weight in [0.0, 0.01, 2.5] {
            let log_z = rbm.free_energy(&all).unwrap().neg().unwrap().log_sum_exp(0).unwrap();
            let energy = rbm.free_energy(&cases).unwrap().mean_all().unwrap().neg().unwrap();
            let log_likelihood_graph = (energy - log_z).unwrap();
            let value = log_likelihood(&rbm, &cases).unwrap();
            assert_close("log p(x, y)", &flat(&log_likelihood_graph), &[value], 1e-12);
            let graph = (log_conditional_graph(&rbm, &cases)
                + (log_likelihood_graph * weight).unwrap())
            .unwrap();
            let graph = (graph / (1.0 + weight)).unwrap();
            let mut hybrid = Hybrid::new(Box::new(Exact), weight).unwrap();
            let found = gradient(&rbm, &cases, &mut hybrid);
            assert_derivative(&format!("{hidden}, α {weight}"), &rbm, &found, &graph, 1e-11);
        }
    }
}

/// Drawn labels come as often as their probabilities say, with the inputs that they cause; together with the generative
/// part's configurations, weighted, they say what the averages say.
#[test]
fn fantasies_are_the_data_with_labels_of_their_own() {
    const REPEATS: usize = 4000;
    let rbm = machine("bernoulli:3+potts(3):1", "bernoulli:4", F64, 13);
    let joint = ClassRbm::of(&rbm).unwrap();
    let two = labelled(&rbm, 2);
    let positive = Phase::of(&rbm, &two.repeat((REPEATS, 1)).unwrap()).unwrap();
    let fantasy = Conditional.fantasy(&rbm, &positive, &mut Rng::new(14)).unwrap();
    let (data, drawn) = joint.split(&fantasy.visible).unwrap();
    assert_eq!(flat(&data), flat(&joint.split(&positive.visible).unwrap().0));
    let inputs = rbm.hidden_inputs(&fantasy.visible).unwrap();
    assert_close("inputs", &flat(&fantasy.hidden_inputs), &flat(&inputs), 1e-12);
    let probabilities =
        joint.log_probabilities(&joint.split(&two).unwrap().0).unwrap().exp().unwrap();
    for (case, probabilities) in rows(&probabilities).iter().enumerate() {
        for (k, &p) in probabilities.iter().enumerate() {
            let drawn: Vec<_> =
                common::column(&drawn, k).into_iter().skip(case).step_by(2).collect();
            common::assert_mean(&format!("case {case}, class {k}"), &drawn, p);
        }
    }
    let mut hybrid = Hybrid::new(Box::new(Exact), 0.5).unwrap();
    let positive = Phase::of(&rbm, &two).unwrap();
    let fantasy = hybrid.fantasy(&rbm, &positive, &mut Rng::new(15)).unwrap();
    let parts = [
        Conditional.fantasy(&rbm, &positive, &mut Rng::new(15)),
        Exact.fantasy(&rbm, &positive, &mut Rng::new(0)),
    ];
    let [conditional, generative] = parts.map(|phase| Averages::of(&rbm, &phase.unwrap()).unwrap());
    let expected =
        conditional.times(2.0 / 3.0).unwrap().plus(generative.times(1.0 / 3.0).unwrap()).unwrap();
    let multiplied = |averages: &Averages| {
        let weights = averages.couplings[0].tensor(rbm.weights()).unwrap();
        [weights]
            .iter()
            .chain(&averages.visible)
            .chain(&averages.hidden)
            .flat_map(flat)
            .collect::<Vec<_>>()
    };
    let found = Averages::of(&rbm, &fantasy).unwrap();
    assert_close("hybrid", &multiplied(&found), &multiplied(&expected), 1e-12);
}

/// Weights of the data's rows count in both phases: a row twice is a row of weight two.
#[test]
fn weighted_cases_count_by_their_weights() {
    let rbm = machine("bernoulli:3+potts(3):1", "bernoulli:4", F64, 16);
    let cases = labelled(&rbm, 3);
    let mut weighted = Phase::of(&rbm, &cases).unwrap();
    let logs = [2f64.ln() - 1e4, -1e4, -1e4];
    weighted.log_weights = Some(Tensor::new(&logs, &Device::Cpu).unwrap());
    let negative = Conditional.averages(&rbm, &weighted, &mut Rng::new(0)).unwrap();
    let found = Gradient::of(Averages::of(&rbm, &weighted).unwrap(), negative).unwrap();
    let twice = Tensor::cat(&[&cases, &cases.narrow(0, 0, 1).unwrap()], 0).unwrap();
    let expected = gradient(&rbm, &twice, &mut Conditional);
    let parts = |gradient: &Gradient| {
        gradient.tensors(&rbm).unwrap().iter().flat_map(flat).collect::<Vec<_>>()
    };
    assert_close("weighted", &parts(&found), &parts(&expected), 1e-11);
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    for dtype in [DType::F32, F64] {
        for hidden in ["bernoulli:70", "spin:5", "gaussian-learned:4"] {
            let rbm = machine("bernoulli:3+potts(3):1", hidden, dtype, 17);
            let inputs = normal(40, rbm.hidden().units().width(), dtype, 18);
            // One row far beyond what an exponential function can hold.
            let far = (inputs.narrow(0, 0, 1).unwrap() * 1e4).unwrap();
            let inputs = Tensor::cat(&[&far, &inputs], 0).unwrap();
            let joint = ClassRbm::of(&rbm).unwrap();
            let all = joint.log_probabilities_from(&inputs).unwrap();
            for row in [0, 1, 17, 40] {
                let alone = inputs.narrow(0, row, 1).unwrap();
                let alone = joint.log_probabilities_from(&alone).unwrap();
                assert_eq!(bits(&alone), bits(&all.narrow(0, row, 1).unwrap()), "{hidden} {row}");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let rbm = machine("bernoulli:300+potts(10):1", "bernoulli:700", DType::F32, 19);
    let cases = labelled(&rbm, 90);
    let of = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let parts =
            pool.install(|| gradient(&rbm, &cases, &mut Conditional).tensors(&rbm).unwrap());
        parts.iter().map(bits).collect::<Vec<_>>()
    };
    let one = of(1);
    assert!(of(2) == one && of(4) == one);
}

/// Left sides that are one tensor become one outer product, others stay apart.
#[test]
fn a_step_multiplies_the_data_out_once() {
    use rbm_core::ops::{Ascent, Outer, outer_sum};
    let (x, other) = (normal(4, 3, F64, 1), normal(4, 3, F64, 2));
    let y: Vec<_> = (3..6).map(|seed| normal(4, 2, F64, seed)).collect();
    let terms = vec![
        Outer::new(&x, &y[0], 0.5).unwrap(),
        Outer::new(&other, &y[1], 1.0).unwrap(),
        Outer::new(&x, &y[2], -2.0).unwrap(),
    ];
    let expected = flat(&outer_sum(&terms).unwrap());
    let parameter = Tensor::zeros((3, 2), F64, &Device::Cpu).unwrap();
    let ascent = Ascent::along(terms.clone()).unwrap();
    assert_close("merged", &flat(&ascent.tensor(&parameter).unwrap()), &expected, 1e-14);
    let vanished = vec![terms[0].clone().times(0.0), terms[2].clone()];
    let found = Ascent::along(vanished).unwrap().tensor(&parameter).unwrap();
    assert_close("zero first", &flat(&found), &flat(&outer_sum(&terms[2..]).unwrap()), 1e-14);
}

#[test]
fn machines_without_a_label_are_refused_by_name() {
    for visible in [
        "bernoulli:4",
        "potts(3):1",
        "potts(3):1+bernoulli:4",
        "bernoulli:4+potts(3):2",
        "bernoulli:4+multinomial(1):3",
    ] {
        let rbm = machine(visible, "bernoulli:2", F64, 20);
        let text = ClassRbm::of(&rbm).unwrap_err().to_string();
        assert!(text.contains("joint machine") && text.contains(visible), "{text}");
        let positive = Phase::of(&rbm, &normal(2, rbm.visible().units().width(), F64, 21)).unwrap();
        for negative in [
            &mut Conditional as &mut dyn NegativePhase,
            &mut Hybrid::new(Box::new(Exact), 1.0).unwrap(),
        ] {
            assert!(negative.averages(&rbm, &positive, &mut Rng::new(0)).is_err());
            assert!(negative.fantasy(&rbm, &positive, &mut Rng::new(0)).is_err());
        }
    }
    let rbm = machine("bernoulli:4+potts(3):1", "bernoulli:2", F64, 20);
    let joint = ClassRbm::of(&rbm).unwrap();
    assert!(joint.split(&normal(2, 6, F64, 22)).is_err(), "a column too few");
    for useless in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(Hybrid::new(Box::new(Exact), useless).is_err());
    }
}

/// What the generative part remembers is the state of the whole, and its steps are set.
#[test]
fn hybrid_hands_on_to_its_generative_part() {
    let rbm = machine("bernoulli:6+potts(3):1", "bernoulli:4", F64, 23);
    let cases = labelled(&rbm, 8);
    let trainer = |weight| {
        let hybrid = Hybrid::new(Box::new(Persistent::new(1, 5)), weight).unwrap();
        Trainer::new(hybrid, Sgd::new(0.05))
    };
    let (mut first, mut rng) = (trainer(0.3), Rng::new(24));
    (0..1000).for_each(|_| first.step(&rbm, &cases, &mut rng).unwrap());
    let (copy, mut second) = (rbm.try_clone().unwrap(), trainer(0.3));
    second.restore(&first.state()).unwrap();
    let mut same = rng;
    for _ in 0..5 {
        first.step(&rbm, &cases, &mut rng).unwrap();
        second.step(&copy, &cases, &mut same).unwrap();
    }
    assert_eq!(common::parameter_bits(&rbm), common::parameter_bits(&copy));
    assert!(first.negative.mixing().unwrap().is_some(), "the chains' mixing is handed on");
    let positive = Phase::of(&rbm, &cases).unwrap();
    let of_steps = |steps: usize| {
        let mut hybrid = Hybrid::new(Box::new(ContrastiveDivergence::new(1)), 1.0).unwrap();
        hybrid.set_steps(steps);
        let (mut alone, mut rng) = (ContrastiveDivergence::new(steps), Rng::new(25));
        let found = hybrid.averages(&rbm, &positive, &mut rng).unwrap();
        let expected = alone.averages(&rbm, &positive, &mut Rng::new(25)).unwrap();
        let conditional = Conditional.averages(&rbm, &positive, &mut Rng::new(0)).unwrap();
        let twice = (&found.hidden[0] * 2.0).unwrap();
        let sum = (&expected.hidden[0] + &conditional.hidden[0]).unwrap();
        assert_close(&format!("CD-{steps}"), &flat(&twice), &flat(&sum), 1e-12);
    };
    of_steps(1);
    of_steps(3);
}

/// A machine that cannot be wrong for long: two classes that one pixel tells apart.
#[test]
fn learning_finds_the_classes() {
    for weight in [None, Some(0.1)] {
        let rbm = machine("bernoulli:4+potts(2):1", "bernoulli:6", DType::F32, 26);
        let cases: Vec<Vec<f64>> = (0..16)
            .map(|n| {
                let pixel = |i: usize| f64::from(u8::from(n >> i & 1 == 1));
                vec![pixel(0), pixel(1), pixel(2), pixel(3), 1.0 - pixel(2), pixel(2)]
            })
            .collect();
        let cases = matrix(&cases, DType::F32);
        let negative: Box<dyn NegativePhase> = match weight {
            None => Box::new(Conditional),
            Some(weight) => {
                Box::new(Hybrid::new(Box::new(ContrastiveDivergence::new(1)), weight).unwrap())
            }
        };
        let (mut trainer, mut rng) = (Trainer::new(negative, Sgd::new(0.5)), Rng::new(27));
        let before = flat(&log_conditional_graph(&rbm, &cases))[0];
        (0..300).for_each(|_| trainer.step(&rbm, &cases, &mut rng).unwrap());
        let after = flat(&log_conditional_graph(&rbm, &cases))[0];
        assert!(before < -0.3 && after > -0.1, "{weight:?}: from {before} to {after}");
    }
}

/// Given its label, a joint machine is one of the data alone: F(x, y) is its F(x) less the label's bias, for every class, and the
/// hidden units answer alike. Catches a class's weights that are left out, or are another's.
#[test]
fn a_class_leaves_a_machine_of_the_data() {
    for (visible, hidden) in VISIBLE.iter().flat_map(|v| HIDDEN.iter().map(move |h| (v, h))) {
        let rbm = machine(visible, hidden, F64, 1);
        let joint = ClassRbm::of(&rbm).unwrap();
        let x = data(&rbm, 4);
        let all = rows(&joint.free_energies(&x).unwrap());
        let label = rbm.visible().biases().last().unwrap().0;
        let bias = flat(rbm.visible().vars()[label].1);
        for class in 0..joint.classes() {
            let given = joint.given(class as u32).unwrap();
            let alone = flat(&given.free_energy(&x).unwrap());
            let alone: Vec<f64> = alone.iter().map(|energy| energy - bias[class]).collect();
            let of_class: Vec<f64> = all.iter().map(|energies| energies[class]).collect();
            assert_close(visible, &alone, &of_class, 1e-9);
            let code = (0..joint.classes()).map(|k| f64::from(u8::from(k == class))).collect();
            let codes = matrix(&vec![code; 4], F64);
            let mean = rbm.hidden_mean(&joint.join(&x, &codes).unwrap()).unwrap();
            let alone = flat(&given.hidden_mean(&x).unwrap());
            assert_close(hidden, &alone, &flat(&mean), 1e-9);
        }
        assert!(joint.given(joint.classes() as u32).is_err());
    }
}
