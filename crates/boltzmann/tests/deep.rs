//! Deep Boltzmann machines: their layers in order, pre-training and what it composes, labels, and the bound by mean field.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::learning::{Learner, Learning, Negative, Shape};
use candle_boltzmann::pretraining::{compose, restricted_machines};
use candle_boltzmann::unrolled::{seen, unrolled};
use candle_boltzmann::{Couplings, Summation};
use candle_core::{DType, Device, Tensor};
use rbm_core::estimate::log_partition;
use rbm_core::learning::positive::{self, Start};
use rbm_core::learning::train::{Command, EpochMetrics, Step};
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::{Checkpoint, Observer, PositivePhase, Rbm, Result, Rng, Units, ops};

const CPU: Device = Device::Cpu;

fn shape(visible: usize, hidden: &[usize], labels: Option<usize>) -> Shape {
    Shape {
        visible: Units::bernoulli(visible),
        hidden: hidden.iter().map(|size| Units::bernoulli(*size)).collect(),
        labels,
        couplings: Couplings::None,
    }
}

fn learning(epochs: usize, pretraining_epochs: usize) -> Learning {
    Learning {
        negative: Negative::Persistent,
        posterior: PositivePhase::MeanField {
            steps: 50,
            tolerance: 1e-6,
            start: if pretraining_epochs > 0 { Start::UpPass } else { Start::Biases },
        },
        epochs,
        pretraining_epochs,
        batch_size: Some(5),
        learning_rate: 0.1,
        centre: true,
        sweeps: 2,
        chains: 20,
        seed: 4,
        ..Learning::default()
    }
}

/// Every bars-and-stripes picture of 3×3; beside it, where there are labels, whether it is of bars or of stripes.
fn bars(is_labelled: bool) -> Tensor {
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for bits in 0..8u32 {
        let on = |i: usize| (bits >> i & 1) as f32;
        let codes = |of: [f32; 2]| if is_labelled { of.to_vec() } else { Vec::new() };
        rows.push((0..9).map(|cell| on(cell / 3)).chain(codes([1.0, 0.0])).collect());
        if (1..7).contains(&bits) {
            rows.push((0..9).map(|cell| on(cell % 3)).chain(codes([0.0, 1.0])).collect());
        }
    }
    Tensor::new(rows, &CPU).unwrap()
}

fn trained(shape: Shape, learning: Learning, cases: &Tensor) -> Learner {
    let mut learner = Learner::new(shape, learning, cases).unwrap();
    assert!(learner.fit(cases, &mut ()).unwrap().is_continue());
    learner
}

/// Gives every parameter numbers of its own.
fn scatter<'a>(vars: impl IntoIterator<Item = &'a candle_core::Var>, rng: &mut Rng) {
    for var in vars {
        var.set(&ops::normal(var.shape(), DType::F32, &CPU, rng).unwrap()).unwrap();
    }
}

fn bits(number: usize, count: usize) -> Vec<f64> {
    (0..count).map(|i| (number >> i & 1) as f64).collect()
}

fn matrix(x: &Tensor) -> Vec<Vec<f64>> {
    x.detach().to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

fn vector(x: &Tensor) -> Vec<f64> {
    x.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// log Z is that of −E = Σ b·x + Σ x_k W_k x_{k+1} over a chain of layers, whatever their places in the machine.
#[test]
fn layers_are_a_chain() {
    for (hidden, labels) in
        [(&[3, 2][..], None), (&[2, 3, 2], Some(3)), (&[3, 2], Some(2)), (&[3], Some(2))]
    {
        let shape = shape(4, hidden, labels);
        let machine = shape.machine().unwrap();
        scatter(machine.parameters().into_iter().map(|(_, var)| var), &mut Rng::new(7));
        let layers = machine.layers();
        let biases: Vec<_> = shape
            .places()
            .into_iter()
            .map(|place| vector(&layers[place].0.bias().unwrap()))
            .collect();
        let weights: Vec<_> = machine.couplings().iter().map(|c| matrix(c.weights())).collect();
        let units: usize = 4 + hidden.iter().sum::<usize>();
        let mut sum = 0.0;
        for number in 0..1 << units {
            let all = bits(number, units);
            for class in 0..labels.unwrap_or(1) {
                let (mut parts, mut at) = (Vec::new(), 0);
                for width in std::iter::once(&4).chain(hidden) {
                    parts.push(all[at..at + width].to_vec());
                    at += width;
                }
                if let Some(classes) = labels {
                    parts.push((0..classes).map(|k| f64::from(u8::from(k == class))).collect());
                }
                let own: f64 = parts.iter().zip(&biases).map(|(x, b)| dot(x, b)).sum();
                let pairs = parts.windows(2).zip(&weights);
                let between: f64 = pairs
                    .map(|(pair, weights)| {
                        pair[0]
                            .iter()
                            .zip(weights)
                            .map(|(x, row)| x * dot(row, &pair[1]))
                            .sum::<f64>()
                    })
                    .sum();
                sum += (own + between).exp();
            }
        }
        let found = log_partition(&machine).unwrap();
        assert!((found - sum.ln()).abs() < 1e-5, "{hidden:?} {labels:?}: {found} {}", sum.ln());
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// What the deep machine tells a layer is the mean of what the restricted machines on both sides tell it, and at the ends what the one there does:
/// log odds, biases and all.
#[test]
fn a_composed_machine_is_the_geometric_mean_of_its_parts() {
    for hidden in [&[4, 3][..], &[4, 3, 2], &[3, 2, 3, 2]] {
        let shape = shape(5, hidden, None);
        let machines = restricted_machines(&shape).unwrap();
        let mut rng = Rng::new(2);
        let vars =
            |rbm: &Rbm| rbm.parameters().into_iter().map(|(_, v)| v.clone()).collect::<Vec<_>>();
        machines.iter().for_each(|rbm| scatter(&vars(rbm), &mut rng));
        let deep = compose(&shape, &machines).unwrap();
        let places = shape.places();
        // A configuration of all layers.
        let widths: Vec<usize> = std::iter::once(&5).chain(hidden).copied().collect();
        let states: Vec<Tensor> = widths
            .iter()
            .map(|width| {
                let uniform = ops::uniform((1, *width), DType::F32, &CPU, &mut rng).unwrap();
                uniform.gt(0.5).unwrap().to_dtype(DType::F32).unwrap()
            })
            .collect();
        let energy = |states: &[Tensor]| -> f64 {
            let mut ordered: Vec<_> = places.iter().zip(states).collect();
            ordered.sort_by_key(|(place, _)| **place);
            let first = deep.layers_of_rest();
            let cat = |part: &[(&usize, &Tensor)]| {
                Tensor::cat(&part.iter().map(|(_, x)| *x).collect::<Vec<_>>(), 1).unwrap()
            };
            let (rest, last) = (cat(&ordered[..first]), cat(&ordered[first..]));
            vector(&deep.energy(&rest, &last).unwrap())[0]
        };
        let top = hidden.len();
        for layer in 0..=top {
            let told_by_below = (layer > 0).then(|| {
                let rbm = &machines[layer - 1];
                let copies = if layer == 1 { 2.0 } else { 1.0 };
                let inputs = rbm.hidden_inputs(&(&states[layer - 1] * copies).unwrap()).unwrap();
                vector(&inputs.broadcast_add(&rbm.hidden().bias().unwrap()).unwrap())
            });
            let told_by_above = (layer < top).then(|| {
                let rbm = &machines[layer];
                let copies = if layer + 1 == top { 2.0 } else { 1.0 };
                let inputs = rbm.visible_inputs(&(&states[layer + 1] * copies).unwrap()).unwrap();
                vector(&inputs.broadcast_add(&rbm.visible().bias().unwrap()).unwrap())
            });
            for unit in 0..widths[layer] {
                let of = |told: &Option<Vec<f64>>| told.as_ref().map(|told| told[unit]);
                let expected = match (of(&told_by_below), of(&told_by_above)) {
                    (Some(below), Some(above)) => 0.5 * (below + above),
                    (one, other) => one.or(other).unwrap(),
                };
                let with = |value: f32| {
                    let mut states = states.clone();
                    let mut row = states[layer].to_vec2::<f32>().unwrap();
                    row[0][unit] = value;
                    states[layer] = Tensor::new(row, &CPU).unwrap();
                    energy(&states)
                };
                let found = with(0.0) - with(1.0);
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{hidden:?} {layer} {unit}: {found} {expected}"
                );
            }
        }
        let others = restricted_machines(&self::shape(5, &[4, 2], None)).unwrap();
        assert!(compose(&shape, &others).is_err());
    }
}

/// Mean field after one pass up is begun by what the pre-trained machines say of the data.
#[test]
fn mean_field_begins_as_pretraining_says() {
    let shape = shape(5, &[4, 3], None);
    let machines = restricted_machines(&shape).unwrap();
    let mut rng = Rng::new(8);
    for rbm in &machines {
        let weights = ops::normal(rbm.weights().shape(), DType::F32, &CPU, &mut rng).unwrap();
        rbm.weights().set(&weights).unwrap();
    }
    let deep = compose(&shape, &machines).unwrap();
    let cases = Tensor::new(&[[1f32, 0.0, 1.0, 1.0, 0.0], [0.0; 5]], &CPU).unwrap();
    let first = machines[0].hidden_mean(&(&cases * 2.0).unwrap()).unwrap();
    // Of both copies, so half of it.
    let second = (machines[1].hidden_mean(&first).unwrap() * 0.5).unwrap();
    // One iteration: the first layer hears both sides, and the second that.
    let both = unrolled_inputs(&deep, &cases, &second);
    let expected = (machines[1].hidden_mean(&both).unwrap() * 0.5).unwrap();
    let one = PositivePhase::MeanField { steps: 1, tolerance: 0.0, start: Start::UpPass };
    let found = one.infer(&deep, &cases, &mut rng).unwrap().visible.narrow(1, 5, 3).unwrap();
    for (found, expected) in matrix(&found).iter().flatten().zip(matrix(&expected).iter().flatten())
    {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

/// The means of the first layer between `cases` and the second one.
fn unrolled_inputs(deep: &Machine, cases: &Tensor, second: &Tensor) -> Tensor {
    let inputs = deep.last_inputs(&Tensor::cat(&[cases, second], 1).unwrap()).unwrap();
    deep.last().mean(&inputs).unwrap()
}

/// After pre-training alone, and a step of next to nothing, the machine knows more of the data than one that begins at random; and learning
/// goes on from there.
#[test]
fn pretraining_is_a_start() {
    let cases = bars(false);
    let of = |pretraining_epochs, epochs, learning_rate| {
        let learning = Learning {
            learning_rate,
            pretraining_rate: 0.05,
            sweeps: 5,
            ..learning(epochs, pretraining_epochs)
        };
        let learner = trained(shape(9, &[8, 6], None), learning, &cases);
        assert_eq!(learner.epochs_in_all(), 2 * pretraining_epochs + epochs);
        learner.log_likelihood(&cases).unwrap().value
    };
    let (random, pretrained, both) = (of(0, 1, 1e-9), of(300, 1, 1e-9), of(300, 300, 0.1));
    assert!(pretrained > random + 0.3 && both > pretrained + 0.3, "{random} {pretrained} {both}");
}

/// Stops after so many mini-batches.
struct Stops<'a> {
    steps: usize,
    path: &'a std::path::Path,
    stages: Vec<String>,
}

impl Observer for Stops<'_> {
    fn step(&mut self, _: &Step) -> Result<Command> {
        self.steps -= 1;
        Ok(if self.steps == 0 { Command::Stop } else { Command::Continue })
    }

    fn epoch(&mut self, metrics: &EpochMetrics) -> Result<()> {
        self.stages.push(metrics.stage.to_string());
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.save(self.path)
    }
}

/// Wherever it is stopped, in a layer, at its end or when all learn together, the bytes in the end are the same.
#[test]
fn pretraining_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("machine.safetensors");
    for labels in [None, Some(2)] {
        let cases = bars(labels.is_some());
        // Three mini-batches an epoch, two epochs a layer.
        let of = || Learner::new(shape(9, &[4, 3, 3], labels), learning(3, 2), &cases).unwrap();
        let mut whole = of();
        assert!(whole.fit(&cases, &mut ()).unwrap().is_continue());
        whole.save(&path).unwrap();
        let expected = std::fs::read(&path).unwrap();
        for steps in [1, 5, 6, 8, 12, 16, 18, 20, 24] {
            let mut first = of();
            let mut stops = Stops { steps, path: &path, stages: Vec::new() };
            assert!(first.fit(&cases, &mut stops).unwrap().is_break());
            assert_eq!(stops.stages.len(), steps / 3);
            assert!(stops.stages.iter().take(2).all(|stage| stage == "layer 1"));
            let mut second = Learner::load(&path).unwrap();
            assert_eq!(second.epochs_in_all(), steps / 3);
            assert!(second.fit(&cases, &mut ()).unwrap().is_continue());
            second.save(&path).unwrap();
            assert!(std::fs::read(&path).unwrap() == expected, "{labels:?} {steps}");
        }
        // Epoch by epoch, kept after each.
        let mut slow = of();
        while slow.epoch() < 3 {
            slow.learn(&cases).unwrap();
            slow.save(&path).unwrap();
            slow = Learner::load(&path).unwrap();
        }
        assert!(std::fs::read(&path).unwrap() == expected, "{labels:?}");
    }
}

/// Mean field is never above log p(v) or log p(v, y), counted, and near; and what is counted of the labels is Bayes' rule.
#[test]
fn labels_are_learned_and_bounded() {
    let (cases, labelled) = (bars(false), bars(true));
    for hidden in [&[6, 4][..], &[5, 4, 3], &[6]] {
        let learner = trained(shape(9, hidden, Some(2)), learning(300, 0), &labelled);
        let log_z = log_partition(learner.machine()).unwrap();
        for cases in [&cases, &labelled] {
            let posterior = learner.posterior(cases).unwrap();
            let is_summed_out = learner.machine().rest().units().width() == cases.dim(1).unwrap();
            let bounds = match is_summed_out {
                true => posterior.free_energies.iter().map(|free_energy| -free_energy).collect(),
                false => positive::best_mean_field(learner.machine(), cases, 1000, 1e-7).unwrap().1,
            };
            assert_eq!(posterior.summation, Summation::Exact);
            let means = posterior.means.unwrap();
            assert_eq!(means.dims(), [14, hidden.iter().sum::<usize>()]);
            let mut sum = 0.0;
            for (bound, free_energy) in bounds.iter().zip(&posterior.free_energies) {
                assert!(*bound <= -free_energy + 1e-4, "{hidden:?}: {bound} {free_energy}");
                assert!(*bound > -free_energy - 1.0, "{hidden:?}: {bound} {free_energy}");
                sum += -free_energy - log_z;
            }
            let counted = learner.log_likelihood(cases).unwrap();
            assert!(counted.is_exact && (counted.value - sum / 14.0).abs() < 1e-4);
        }
        let probabilities = matrix(&learner.label_probabilities(&cases).unwrap());
        let mut errors = 0;
        for (row, found) in probabilities.iter().enumerate() {
            let of =
                |x: &Tensor| learner.log_likelihood(&x.narrow(0, row, 1).unwrap()).unwrap().value;
            let truth = (of(&labelled) - of(&cases)).exp();
            let own = matrix(&labelled)[row][10] as usize;
            assert!((found[own] - truth).abs() < 1e-3, "{found:?} {truth}");
            errors += usize::from(found[own] < 0.4);
        }
        assert!(errors <= 1, "{hidden:?}: {errors} {probabilities:?}");
    }
}

/// Before fine-tuning the hidden layers of the network are those of mean field at its fixed point, and so it is told what the machine is.
#[test]
fn a_network_begins_as_mean_field() {
    let cases = bars(false);
    // 2^11 configurations of the second layer, which are not counted.
    let learner = trained(shape(9, &[5, 11], None), learning(40, 0), &cases);
    let posterior = learner.posterior(&cases).unwrap();
    assert!(matches!(posterior.summation, Summation::MeanField { unsettled: 0, .. }));
    let means = matrix(&posterior.means.unwrap());
    let rbms = unrolled(&learner).unwrap();
    let input = seen(&learner, &cases, |_| {}).unwrap();
    assert_eq!(input.dims(), [14, 9 + 11]);
    let first = rbms[0].hidden_mean(&input).unwrap();
    let second = rbms[1].hidden_mean(&first).unwrap();
    let (first, second) = (matrix(&first), matrix(&second));
    for (row, means) in means.iter().enumerate() {
        for (found, mean) in first[row].iter().chain(&second[row]).zip(means) {
            assert!((found - mean).abs() < 1e-4, "{row}: {found} {mean}");
        }
    }
    let flat = trained(shape(9, &[4], None), learning(1, 0), &cases);
    assert!(unrolled(&flat).unwrap_err().to_string().contains("two hidden layers"));
    assert!(seen(&flat, &cases, |_| {}).is_err());
}

#[test]
fn what_cannot_be_pretrained_or_labelled_is_refused() {
    let cases = bars(false);
    let refused = |shape: Shape, learning: Learning, cases: &Tensor| {
        Learner::new(shape, learning, cases).unwrap_err().to_string()
    };
    let said = refused(shape(9, &[4], None), learning(1, 1), &cases);
    assert!(said.contains("pre-training") && said.contains("two hidden layers"), "{said}");
    let spins = Shape { hidden: vec![Units::Spin { size: 3 }; 2], ..shape(9, &[], None) };
    assert!(refused(spins, learning(1, 1), &cases).contains("Bernoulli units"));
    let wrong = Learning { pretraining_rate: 0.0, ..learning(1, 1) };
    assert!(refused(shape(9, &[4, 3], None), wrong, &cases).contains("pretraining_rate"));
    let wrong = Learning { final_learning_rate: Some(0.0), ..learning(1, 1) };
    assert!(refused(shape(9, &[4, 3], None), wrong, &cases).contains("final_learning_rate"));
    let said = refused(shape(9, &[4, 3], Some(2)), learning(1, 0), &cases);
    assert!(said.contains("11 columns"), "{said}");
    for wrong in [
        shape(9, &[], Some(2)),
        Shape { couplings: Couplings::Visible, ..shape(9, &[3], Some(2)) },
        shape(9, &[3], Some(1)),
    ] {
        let cases = bars(true).narrow(1, 0, wrong.observed()).unwrap();
        assert!(refused(wrong, learning(1, 0), &cases).contains("labels"));
    }
    let learner = Learner::new(shape(9, &[4, 3], None), learning(1, 0), &cases).unwrap();
    assert!(learner.label_probabilities(&cases).unwrap_err().to_string().contains("labels"));
}

/// A deep machine that begins at a restricted one has its p(v), and goes on from there: what is above it adds to the likelihood. Weights that
/// are set transposed, or biases of another layer, would change p(v).
#[test]
fn a_deep_machine_begins_at_a_restricted_one() {
    let cases = bars(false);
    let lowest = Rbm::new(&Units::bernoulli(9), &Units::bernoulli(6), DType::F32, &CPU).unwrap();
    let of_lowest = Shape {
        visible: Units::bernoulli(9),
        hidden: vec![Units::bernoulli(6)],
        labels: None,
        couplings: Couplings::None,
    };
    // It has learned little: there is something to add.
    let exact = Learning { negative: Negative::Exact, pretraining_epochs: 0, ..learning(250, 0) };
    let mut restricted = Learner::new(of_lowest, exact.clone(), &cases).unwrap();
    assert!(restricted.fit(&cases, &mut ()).unwrap().is_continue());
    let [machine, rbm] = [restricted.machine().parameters(), lowest.parameters()];
    let value = |end: &str| {
        let found = machine.iter().find(|(name, _)| name.ends_with(end));
        found.unwrap().1.as_detached_tensor()
    };
    for (name, var) in rbm {
        let own = match &*name {
            "weights" => "couplings.0.weight",
            name if name.starts_with("visible") => "layers.0.bias",
            _ => "layers.1.bias",
        };
        var.set(&value(own)).unwrap();
    }
    let before = restricted.log_likelihood(&cases).unwrap().value;

    let mut deep = Learner::new(shape(9, &[6, 4], None), learning(1000, 0), &cases).unwrap();
    deep.begin_at(&lowest).unwrap();
    let begun = deep.log_likelihood(&cases).unwrap().value;
    assert!((begun - before).abs() < 0.02, "{begun} {before}");
    assert!(deep.fit(&cases, &mut ()).unwrap().is_continue());
    let learned = deep.log_likelihood(&cases).unwrap().value;
    assert!(learned > begun + 0.2, "{learned} {begun}");
    // Not of a machine that has learned, of other units, or whose layers are to learn one by one.
    assert!(deep.begin_at(&lowest).is_err());
    let other = |shape, learning| Learner::new(shape, learning, &cases).unwrap().begin_at(&lowest);
    let said = other(shape(9, &[5, 4], None), learning(1, 0)).unwrap_err().to_string();
    assert!(said.contains("bernoulli:6") && said.contains("bernoulli:5"), "{said}");
    assert!(other(shape(9, &[6, 4], None), learning(1, 3)).is_err());
}

/// An epoch shows the free energy of the cases and how active each hidden layer is: near what counting finds, and not below it. Layers in another
/// order, or means of one that stand for another's, would be far from it. Units that are always off are said in the end.
#[test]
fn an_epoch_shows_how_active_hidden_layers_are() {
    struct Last(EpochMetrics);
    impl Observer for Last {
        fn epoch(&mut self, metrics: &EpochMetrics) -> Result<()> {
            self.0 = metrics.clone();
            Ok(())
        }
    }

    let (cases, mut last) = (bars(false), Last(EpochMetrics::default()));
    let mut learner = Learner::new(shape(9, &[6, 4], None), learning(200, 0), &cases).unwrap();
    // Layers that differ in how active they are.
    let of_top = |learner: &Learner, bias: f32| {
        let place = learner.shape().places()[2];
        let (layer, _) = learner.machine().layers()[place];
        layer.vars()[0].1.set(&Tensor::new(vec![bias; 4], &CPU).unwrap()).unwrap();
    };
    of_top(&learner, -1.5);
    assert!(learner.fit(&cases, &mut last).unwrap().is_continue());
    let shown = last.0.machine.clone().unwrap();
    let exact = learner.posterior(&cases).unwrap();
    assert_eq!(exact.summation, Summation::Exact);
    let energy = exact.free_energies.iter().sum::<f64>() / exact.free_energies.len() as f64;
    let gap = shown.mean_free_energy - energy;
    assert!((-1e-4..0.5).contains(&gap), "{gap}");
    let means = exact.means.unwrap();
    for (layer, (from, width)) in shown.hidden_layers.iter().zip([(0, 6), (6, 4)]) {
        let mean = means.narrow(1, from, width).unwrap().mean_all().unwrap();
        let mean = f64::from(mean.to_scalar::<f32>().unwrap());
        assert!((layer.mean - mean).abs() < 0.05, "{} {mean}", layer.mean);
    }
    let [lower, upper] = [0, 1].map(|k| shown.hidden_layers[k].mean);
    assert!((lower - upper).abs() > 0.1, "{lower} {upper}: a test that tells layers apart");
    assert!(last.0.warnings.is_empty(), "{:?}", last.0.warnings);

    of_top(&learner, -40.0);
    learner.set_epochs(201);
    assert!(learner.fit(&cases, &mut last).unwrap().is_continue());
    let [warning] = &last.0.warnings[..] else { panic!("{:?}", last.0.warnings) };
    assert!(warning.contains("4 of 4 units of hidden layer 2 are dead"), "{warning}");
}
