//! Belief nets beside numbers that were counted elsewhere, and gradients beside those of what was counted.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::MarkovField;
use candle_boltzmann::belief::learning::{
    BeliefLearner, BeliefLearning, BeliefMethod, OptimizerKind, RecognitionPhase,
};
use candle_boltzmann::belief::{BeliefNet, Helmholtz};
use candle_core::{DType, Device, Tensor};
use rbm_core::Units;
use rbm_core::learning::train::{Command, Step};
use rbm_core::model::ConditionalLayer;
use rbm_core::{Checkpoint, Observer, Rng};

const CPU: Device = Device::Cpu;

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() < tolerance, "{found}, expected {expected}");
}

/// `size` numbers uniform on [−scale, scale), from splitmix64.
fn uniform(seed: u64, shape: &[usize], scale: f64) -> Tensor {
    let number = |k: u64| {
        let mut z = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        scale * (2.0 * ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64 - 1.0)
    };
    let size: usize = shape.iter().product();
    Tensor::from_vec((0..size as u64).map(number).collect::<Vec<f64>>(), shape, &CPU).unwrap()
}

/// 3 → 4 → 5.
fn net() -> BeliefNet {
    let observed =
        ConditionalLayer::bernoulli(&uniform(21, &[4, 5], 2.0), &uniform(25, &[5], 1.0)).unwrap();
    let middle =
        ConditionalLayer::bernoulli(&uniform(22, &[3, 4], 2.0), &uniform(24, &[4], 1.0)).unwrap();
    BeliefNet::new(vec![observed, middle], &uniform(23, &[3], 1.0)).unwrap()
}

/// The net, and a recognition that is wrong.
fn machine() -> Helmholtz {
    let lower =
        ConditionalLayer::bernoulli(&uniform(31, &[5, 4], 1.0), &uniform(32, &[4], 1.0)).unwrap();
    let upper =
        ConditionalLayer::bernoulli(&uniform(33, &[4, 3], 1.0), &uniform(34, &[3], 1.0)).unwrap();
    Helmholtz { net: net(), recognition: vec![lower, upper] }
}

/// Configuration n of 5 units, unit i in bit i.
fn cases(numbers: impl IntoIterator<Item = u32>) -> Tensor {
    let rows: Vec<Vec<f64>> =
        numbers.into_iter().map(|n| (0..5).map(|i| f64::from(n >> i & 1)).collect()).collect();
    Tensor::new(rows, &CPU).unwrap()
}

fn host(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_net_of_three_layers_is_counted() {
    let counted = net().counted(&cases(0..32)).unwrap();
    let log_p = host(&counted.log_probability);
    close(log_p[0], -4.5677993975, 1e-9);
    close(log_p[11], -3.5869064558, 1e-9);
    close(log_p[31], -3.9962772952, 1e-9);
    close(log_p.iter().map(|x| x.exp()).sum(), 1.0, 1e-12);
    let middle = [0.849289696, 0.953957487, 0.146137196, 0.661338451];
    let top = [0.684556152, 0.545174686, 0.278486055];
    for (means, known) in counted.means.iter().zip([&middle[..], &top[..]]) {
        for (found, known) in host(&means.get(11).unwrap()).iter().zip(known) {
            close(*found, *known, 1e-9);
        }
    }
}

/// A net is a field of a clique for each unit and its causes: by elimination as by counting, and its samples as the field's.
#[test]
fn a_net_is_a_field() {
    let (net, numbers) = (net(), [0, 11, 31]);
    let field = MarkovField::of_belief_net(&net).unwrap();
    assert_eq!(field.states, [2; 12]);
    close(field.infer(1.0, &[]).unwrap().log_partition, 0.0, 1e-12);
    let counted = net.counted(&cases(numbers)).unwrap();
    let log_p = host(&counted.log_probability);
    for (row, number) in numbers.into_iter().enumerate() {
        let given: Vec<_> = (0..5).map(|unit| (unit, (number >> unit & 1) as usize)).collect();
        let found = field.infer(1.0, &given).unwrap();
        close(found.log_partition, log_p[row], 1e-12);
        let means = counted.means.iter().flat_map(|means| host(&means.get(row).unwrap()));
        for (marginal, mean) in found.marginals[5..].iter().zip(means) {
            close(marginal[1], mean, 1e-12);
        }
    }
    // Of all units together, so that no causes are mixed up.
    let all = net.sample(50, &mut Rng::new(1)).unwrap();
    let joint = host(&net.log_joint(&all).unwrap());
    for (row, log_p) in joint.into_iter().enumerate() {
        let states = all.iter().flat_map(|layer| host(&layer.get(row).unwrap()));
        let states: Vec<usize> = states.map(|state| state as usize).collect();
        close(field.log_potential(&states).unwrap(), log_p, 1e-12);
    }
    let wide = BeliefNet::zeros(&[3, 21], DType::F64).unwrap();
    let error = MarkovField::of_belief_net(&wide).unwrap_err().to_string();
    assert!(error.contains("at most 20 units"), "{error}");
}

/// The house jumps: by a truck or by an earthquake, and hardly by both (Hinton, Osindero, Teh 2006, fig. 2).
#[test]
fn a_truck_explains_an_earthquake_away() {
    let number = |x: &[f64], shape: (usize, usize)| Tensor::from_slice(x, shape, &CPU).unwrap();
    let bias = Tensor::new(&[-20.0f64], &CPU).unwrap();
    let jump = ConditionalLayer::bernoulli(&number(&[20.0, 20.0], (2, 1)), &bias).unwrap();
    let house =
        BeliefNet::new(vec![jump], &Tensor::new(&[-10.0f64, -10.0], &CPU).unwrap()).unwrap();
    let counted = house.counted(&number(&[1.0], (1, 1))).unwrap();
    close(host(&counted.log_probability)[0].exp(), 4.5399929669e-5, 1e-14);
    let hidden = house.hidden_configurations().unwrap();
    let all = [vec![number(&[1.0; 4], (4, 1))], hidden].concat();
    let posterior: Vec<f64> = host(&house.log_joint(&all).unwrap())
        .iter()
        .map(|joint| (joint - host(&counted.log_probability)[0]).exp())
        .collect();
    for (found, known) in
        posterior.iter().zip([4.539580774e-5, 0.4999546042, 0.4999546042, 4.539580774e-5])
    {
        close(*found, known, 1e-10);
    }
    let means = host(&counted.means[0]);
    close(means[0], 0.5, 1e-10);
    close(posterior[3] / means[1], 9.0791615e-5, 1e-11);
    let (a, b) = (means[0], means[1]);
    let correlation = (posterior[3] - a * b) / (a * (1.0 - a) * b * (1.0 - b)).sqrt();
    close(correlation, -0.9998184168, 1e-9);
}

/// Samples from the top down have the probabilities that are counted.
#[test]
fn samples_have_their_probabilities() {
    let (net, count) = (net(), 40_000);
    let drawn = net.sample(count, &mut Rng::new(1)).unwrap();
    assert_eq!(drawn.iter().map(|x| x.dim(1).unwrap()).collect::<Vec<_>>(), net.widths());
    let mut seen = [0.0; 32];
    for row in drawn[0].to_vec2::<f64>().unwrap() {
        seen[row.iter().enumerate().map(|(i, x)| (*x as usize) << i).sum::<usize>()] += 1.0;
    }
    let p: Vec<f64> = host(&net.counted(&cases(0..32)).unwrap().log_probability)
        .iter()
        .map(|x| x.exp())
        .collect();
    for (n, p) in p.iter().enumerate() {
        let error = (p * (1.0 - p) / count as f64).sqrt();
        close(seen[n] / count as f64, *p, 5.0 * error);
    }
}

/// Awake with all causes in the proportions of the posterior, the gradient is that of log p(v).
#[test]
fn the_gradient_awake_is_that_of_the_likelihood() {
    let net = net();
    let hidden = net.hidden_configurations().unwrap();
    let v = cases([11]).repeat((128, 1)).unwrap();
    let x = [vec![v], hidden].concat();
    let joint = net.log_joint(&x).unwrap();
    let log_p = joint.log_sum_exp(0).unwrap();
    let posterior = joint.broadcast_sub(&log_p).unwrap().exp().unwrap().detach();
    let gradients = log_p.backward().unwrap();
    let ascents = net.ascents(&x, &posterior).unwrap();
    for ((name, var), ascent) in net.parameters().into_iter().zip(&ascents) {
        let (found, known) = (ascent.tensor(var).unwrap(), gradients.get(var).unwrap());
        for (found, known) in host(&found).iter().zip(host(known)) {
            assert!((found - known).abs() < 1e-10, "{name}: {found}, expected {known}");
        }
    }
}

/// All configurations of all layers with their probabilities.
fn everything(machine: &Helmholtz) -> (Vec<Tensor>, Tensor) {
    let hidden = machine.net.hidden_configurations().unwrap();
    let mut x = vec![cases((0..32).flat_map(|n| std::iter::repeat_n(n, 128)))];
    x.extend(hidden.iter().map(|h| h.repeat((32, 1)).unwrap()));
    let p = machine.net.log_joint(&x).unwrap().exp().unwrap().detach();
    close(p.sum_all().unwrap().to_scalar().unwrap(), 1.0, 1e-12);
    (x, p)
}

/// Asleep over all dreams, the gradient is that of E[log q(h | v)].
#[test]
fn the_gradient_asleep_is_that_of_recognition() {
    let machine = machine();
    let (x, p) = everything(&machine);
    let expected = (machine.log_recognition(&x).unwrap() * &p).unwrap().sum_all().unwrap();
    let gradients = expected.backward().unwrap();
    let ascents = machine.recognition_ascents(&x, &p).unwrap();
    let parameters = machine.parameters();
    for ((name, var), ascent) in parameters[5..].iter().zip(&ascents) {
        let (found, known) = (ascent.tensor(var).unwrap(), gradients.get(var).unwrap());
        for (found, known) in host(&found).iter().zip(host(known)) {
            assert!((found - known).abs() < 1e-10, "{name}: {found}, expected {known}");
        }
    }
}

/// Mean and standard error of the numbers of all parameters over estimates of a gradient.
fn sampled(
    machine: &Helmholtz,
    learning: &BeliefLearning,
    v: &Tensor,
    times: usize,
) -> Vec<(f64, f64)> {
    let mut rng = Rng::new(5);
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for _ in 0..times {
        let ascents = learning.ascents(machine, v, &mut rng).unwrap();
        let parameters = machine.parameters();
        let numbers = parameters
            .iter()
            .zip(&ascents)
            .flat_map(|((_, var), ascent)| host(&ascent.tensor(var).unwrap()));
        let numbers: Vec<f64> = numbers.collect();
        sums.resize(numbers.len(), (0.0, 0.0));
        sums.iter_mut().zip(numbers).for_each(|(sum, x)| *sum = (sum.0 + x, sum.1 + x * x));
    }
    let n = times as f64;
    let of = |(sum, squares): (f64, f64)| {
        (sum / n, ((squares / n - (sum / n).powi(2)) / (n - 1.0)).sqrt())
    };
    sums.into_iter().map(of).collect()
}

/// What samples estimate: with one guess E_q of the gradient, reweighted with many that of log p(v), asleep that of E_p[log q].
#[test]
fn sampled_gradients_come_near_the_counted_ones() {
    let machine = machine();
    let hidden = machine.net.hidden_configurations().unwrap();
    let v = cases([11]);
    let x = [vec![v.repeat((128, 1)).unwrap()], hidden].concat();
    let joint = machine.net.log_joint(&x).unwrap();
    let q = machine.log_recognition(&x).unwrap().exp().unwrap().detach();
    let (of_p, of_q) = (joint.log_sum_exp(0).unwrap(), (joint * &q).unwrap().sum_all().unwrap());
    let (everything, p) = everything(&machine);
    let asleep = (machine.log_recognition(&everything).unwrap() * &p).unwrap().sum_all().unwrap();
    let gradient = |of: &Tensor, range: std::ops::Range<usize>| -> Vec<f64> {
        let gradients = of.backward().unwrap();
        machine.parameters()[range]
            .iter()
            .flat_map(|(_, var)| host(gradients.get(var).unwrap()))
            .collect()
    };
    let compare = |found: &[(f64, f64)], known: &[f64], bias: f64| {
        assert_eq!(found.len(), known.len());
        for ((mean, error), known) in found.iter().zip(known) {
            assert!(
                (mean - known).abs() < 4.0 * error + bias,
                "{mean} ± {error}, expected {known}"
            );
        }
    };
    let wake_sleep = BeliefLearning { samples: 4, ..BeliefLearning::of(BeliefMethod::WakeSleep) };
    let found = sampled(&machine, &wake_sleep, &v, 4000);
    let (net, recognition) = found.split_at(4 * 5 + 5 + 3 * 4 + 4 + 3);
    compare(net, &gradient(&of_q, 0..5), 1e-12);
    compare(recognition, &gradient(&asleep, 5..9), 1e-12);
    // The estimate is biased by O(1/samples).
    let reweighted =
        BeliefLearning { samples: 4000, ..BeliefLearning::of(BeliefMethod::Reweighted) };
    let found = sampled(&machine, &reweighted, &v, 60);
    compare(&found[..net.len()], &gradient(&of_p, 0..5), 1e-3);
    // Awake: the gradient of E[log q] under the posterior; both halves together.
    let posterior = machine.net.log_joint(&x).unwrap();
    let posterior = posterior.broadcast_sub(&of_p).unwrap().exp().unwrap().detach();
    let awake = (machine.log_recognition(&x).unwrap() * &posterior).unwrap().sum_all().unwrap();
    let both = ((awake + asleep).unwrap() * 0.5).unwrap();
    // Of 60 dreams a few parameters see hardly any: alone more of them.
    let reweighted = BeliefLearning { samples: 200, ..reweighted };
    let found = sampled(&machine, &reweighted, &v, 2000);
    compare(&found[net.len()..], &gradient(&both, 5..9), 1e-2);
}

/// One-sided, nearer with more samples, and at log p(v) with many.
#[test]
fn importance_weights_come_to_the_likelihood_from_below() {
    let machine = machine();
    let all = cases(0..32);
    let exact = host(&machine.net.counted(&all).unwrap().log_probability);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / 32.0;
    let of = |samples| {
        let found = machine.importance_weighted(&all, samples, &mut Rng::new(2), |_| true).unwrap();
        mean(&found)
    };
    let (one, ten, many) = (of(1), of(10), of(20_000));
    assert!(one < ten - 0.1 && ten < many - 0.01, "{one}, {ten}, {many}");
    close(many, mean(&exact), 0.01);
}

/// The lowest layer is drawn with the means that are said; above it they are those given the means below.
#[test]
fn what_recognition_makes_of_cases_has_its_means() {
    const SAMPLES: usize = 20_000;
    let machine = machine();
    let cases = cases([3, 9]);
    let means = machine.means(&cases).unwrap();
    let guesses = machine.guesses(&cases, SAMPLES, &mut Rng::new(5)).unwrap();
    let width = means[0].dim(1).unwrap();
    let drawn = guesses.configuration[1].reshape((SAMPLES, 2, width)).unwrap();
    for (found, mean) in host(&drawn.mean(0).unwrap()).into_iter().zip(host(&means[0])) {
        close(found, mean, 4.0 * (0.25 / SAMPLES as f64).sqrt());
    }
    let above = machine.recognition[1].mean(&means[0]).unwrap();
    assert_eq!((means.len(), host(&means[1])), (2, host(&above)));
}

/// Cases of the net are learned: log p(v), counted, rises to nearly what the net itself says of them.
#[test]
fn wake_sleep_and_reweighted_learn() {
    let data = net().sample(2000, &mut Rng::new(9)).unwrap()[0].clone();
    let own = net()
        .counted(&data)
        .unwrap()
        .log_probability
        .mean_all()
        .unwrap()
        .to_scalar::<f64>()
        .unwrap();
    let data = data.to_dtype(DType::F32).unwrap();
    let of = |method| {
        let learning = BeliefLearning {
            epochs: 40,
            batch_size: 50,
            learning_rate: 0.02,
            seed: 3,
            ..BeliefLearning::of(method)
        };
        let mut learner = BeliefLearner::new(&[4, 3], learning, &data).unwrap();
        let value = |learner: &BeliefLearner| {
            let counted = learner.machine().net.counted(&data).unwrap();
            counted.log_probability.mean_all().unwrap().to_scalar::<f64>().unwrap()
        };
        let before = value(&learner);
        assert!(learner.fit(&data, &mut ()).unwrap().is_continue());
        (before, value(&learner))
    };
    let (before, wake_sleep) = of(BeliefMethod::WakeSleep);
    let (_, reweighted) = of(BeliefMethod::Reweighted);
    assert!(wake_sleep > before + 0.05, "{before}, {wake_sleep}, {own}");
    assert!(
        reweighted > wake_sleep && reweighted > own - 0.03,
        "{wake_sleep}, {reweighted}, {own}"
    );
}

/// Stops after so many mini-batches, and keeps the checkpoint.
struct Stops<'a> {
    steps: usize,
    path: &'a std::path::Path,
}

impl Observer for Stops<'_> {
    fn step(&mut self, _: &Step) -> rbm_core::Result<Command> {
        self.steps -= 1;
        Ok(if self.steps == 0 { Command::Stop } else { Command::Continue })
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> rbm_core::Result<()> {
        checkpoint.save(self.path)
    }
}

/// What was stopped in the midst of an epoch and goes on ends as what never stopped, to the byte.
#[test]
fn learning_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("belief.safetensors");
    let data = cases(0..32).to_dtype(DType::F32).unwrap();
    for (method, optimizer, momentum) in [
        (BeliefMethod::WakeSleep, OptimizerKind::Sgd, 0.5),
        (BeliefMethod::Reweighted, OptimizerKind::Adam, 0.0),
    ] {
        let of = || {
            let learning = BeliefLearning {
                epochs: 4,
                batch_size: 6,
                optimizer,
                momentum,
                ..BeliefLearning::of(method)
            };
            BeliefLearner::new(&[4, 3], learning, &data).unwrap()
        };
        let (mut whole, mut first) = (of(), of());
        assert!(whole.fit(&data, &mut ()).unwrap().is_continue());
        assert!(first.fit(&data, &mut Stops { steps: 8, path: &path }).unwrap().is_break());
        let mut second = BeliefLearner::load(&path).unwrap();
        assert!(second.fit(&data, &mut ()).unwrap().is_continue());
        whole.save(&path).unwrap();
        let expected = std::fs::read(&path).unwrap();
        second.save(&path).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected, "{method:?}");
    }
}

#[test]
fn what_means_nothing_is_refused() {
    let data = cases(0..32).to_dtype(DType::F32).unwrap();
    let refused = |hidden: &[usize], learning| {
        BeliefLearner::new(hidden, learning, &data).unwrap_err().to_string()
    };
    let usual = BeliefLearning::of(BeliefMethod::WakeSleep);
    assert!(refused(&[], usual.clone()).contains("at least two layers"));
    assert!(refused(&[4, 0], usual.clone()).contains("each of a unit"));
    assert!(refused(&[4], BeliefLearning { samples: 0, ..usual.clone() }).contains("at least 1"));
    assert!(refused(&[4], BeliefLearning { momentum: 0.5, ..usual.clone() }).contains("Adam"));
    let awake = BeliefLearning { recognition: RecognitionPhase::Awake, ..usual.clone() };
    assert!(refused(&[4], awake).contains("reweighted"));
    let wide = BeliefNet::zeros(&[3, 17], DType::F64).unwrap();
    let said = wide.counted(&Tensor::zeros((1, 3), DType::F64, &CPU).unwrap()).unwrap_err();
    assert!(said.to_string().contains("65536"), "{said}");
    let narrow =
        ConditionalLayer::zeros(2, &Units::bernoulli(3), DType::F64, &Device::Cpu).unwrap();
    let top = Tensor::zeros(4, DType::F64, &CPU).unwrap();
    assert!(BeliefNet::new(vec![narrow], &top).unwrap_err().to_string().contains("from 4 units"));
    // A rate that is too high ends with an error, not with a machine.
    let learning = BeliefLearning { learning_rate: 1e30, epochs: 2, ..usual };
    assert!(BeliefLearner::new(&[4], learning, &data).unwrap().fit(&data, &mut ()).is_err());
}
