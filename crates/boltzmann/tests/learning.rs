//! Boltzmann machines with lateral couplings learn: beside exact likelihoods, and what the restriction costs.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::learning::{Learner, Learning, Negative, Shape};
use candle_boltzmann::{Couplings, Graph, MarkovField, Start as Walkers, Walk};
use candle_core::{DType, Device, Tensor};
use rbm_core::learning::positive::Start;
use rbm_core::learning::train::{Command, Step};
use rbm_core::model::Boltzmann;
use rbm_core::{Checkpoint, Observer, PositivePhase, Result, Rng, Units};

const CPU: Device = Device::Cpu;

fn learning(negative: Negative, epochs: usize, learning_rate: f64) -> Learning {
    Learning {
        negative,
        epochs,
        batch_size: Some(100),
        learning_rate,
        l2: 0.0,
        sweeps: 2,
        chains: 100,
        seed: 1,
        posterior: PositivePhase::Sampled { sweeps: 2 },
        ..Learning::default()
    }
}

fn shape(visible: &str, hidden: Option<&str>, couples_hidden: bool) -> Shape {
    let units = |text: &str| text.parse::<Units>().unwrap();
    Shape {
        visible: units(visible),
        hidden: hidden.map(units).into_iter().collect(),
        labels: None,
        couplings: if couples_hidden { Couplings::Lateral } else { Couplings::Visible },
    }
}

/// Every bars-and-stripes picture of 3×3: 14 of them.
fn bars() -> Tensor {
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for bits in 0..8u32 {
        let on = |i: usize| (bits >> i & 1) as f32;
        rows.push((0..9).map(|cell| on(cell / 3)).collect());
        if (1..7).contains(&bits) {
            rows.push((0..9).map(|cell| on(cell % 3)).collect());
        }
    }
    Tensor::new(rows, &CPU).unwrap()
}

fn trained(shape: Shape, learning: Learning, cases: &Tensor) -> Learner {
    let mut learner = Learner::new(shape, learning, cases).unwrap();
    while learner.epoch() < learner.learning().epochs {
        learner.learn(cases).unwrap();
    }
    learner
}

/// Correlations of three spins that a machine of pairs has exactly: the exact gradient, the pseudo-likelihood and persistent chains all
/// come to the couplings that made the data.
#[test]
fn couplings_that_made_the_data_are_found() {
    // 5,000 cases in the proportions of p(x), E = −0.8·x0·x1 + 0.5·x1·x2 − 0.3·x0.
    let states: Vec<[f32; 3]> =
        (0..8u32).map(|n| [0, 1, 2].map(|i| if n >> i & 1 == 1 { 1.0 } else { -1.0 })).collect();
    let weight = |x: &[f32; 3]| (0.8 * x[0] * x[1] - 0.5 * x[1] * x[2] + 0.3 * x[0]).exp();
    let z: f32 = states.iter().map(weight).sum();
    let mut rows = Vec::new();
    for x in &states {
        rows.extend(std::iter::repeat_n(x.to_vec(), (5000.0 * weight(x) / z).round() as usize));
    }
    let cases = Tensor::new(rows, &CPU).unwrap();
    for (negative, tolerance) in [
        (Negative::Exact, 0.02),
        (Negative::PseudoLikelihood, 0.02),
        (Negative::Persistent, 0.08),
        (Negative::Tempered, 0.08),
        (Negative::Trajectory, 0.08),
    ] {
        let learner = trained(shape("spin:3", None, false), learning(negative, 12, 0.3), &cases);
        let graph = learner.graph().unwrap();
        let found = |pair: [u32; 2]| {
            graph.edges.iter().position(|edge| *edge == pair).map_or(0.0, |at| graph.couplings[at])
        };
        for (pair, known) in [([0, 1], 0.8), ([1, 2], -0.5), ([0, 2], 0.0)] {
            let coupling = found(pair);
            assert!((coupling - known).abs() < tolerance, "{negative:?} {pair:?}: {coupling}");
        }
        assert!((graph.fields[0] - 0.3).abs() < tolerance, "{negative:?}: {:?}", graph.fields);
    }
}

/// Bars and stripes, of which no machine can be more certain than log 1/14 = −2.639: pairs come near, and hidden units nearer.
#[test]
fn hidden_units_see_what_pairs_do_not() {
    let cases = bars();
    let of = |hidden| {
        let learner = trained(
            shape("bernoulli:9", hidden, false),
            learning(Negative::Exact, 2000, 0.5),
            &cases,
        );
        let found = learner.log_likelihood(&cases).unwrap();
        assert!(found.is_exact && found.error == 0.0 && found.value < -2.6390);
        found.value
    };
    let (pairs, both) = (of(None), of(Some("bernoulli:6")));
    assert!(pairs > -2.9 && both > pairs, "{pairs}, {both}");
    // So does the pseudo-likelihood, which has its maximum elsewhere: what it climbs is above that of pairs.
    let of = |hidden| {
        let learning = learning(Negative::PseudoLikelihood, 500, 0.1);
        let learner = trained(shape("bernoulli:9", hidden, false), learning, &cases);
        learner.pseudo_likelihoods(&cases).unwrap().unwrap().iter().sum::<f64>() / 14.0
    };
    let (pairs, both) = (of(None), of(Some("bernoulli:6")));
    assert!(both > pairs + 0.1, "{pairs}, {both}");
}

/// Of a machine that is too wide to be counted log p(v) comes with its standard error. Beside the exact one, by elimination, the distances of
/// twelve estimates are as errors say: each within four, and the sum of their squares between the quantiles 0.001 and 0.999 of χ².
#[test]
fn an_estimated_likelihood_knows_its_error() {
    let torus: Graph = "ising:5x6".parse().unwrap();
    let walk = Walk { chains: 200, burn_in: 200, sweeps: 4, start: Walkers::Even };
    let (_, cases) = torus.measure(4.0, &walk, &CPU, &mut Rng::new(5), |_| true).unwrap();
    let shape =
        Shape { couplings: Couplings::Edges(torus.edges.clone()), ..shape("spin:30", None, false) };
    let mut squares = 0.0;
    for seed in 0..12 {
        let learning = Learning { seed, ..learning(Negative::PseudoLikelihood, 5, 0.1) };
        let learner = trained(shape.clone(), learning, &cases);
        let found = learner.log_likelihood(&cases).unwrap();
        assert!(!found.is_exact && found.error > 0.0 && found.error < 0.1, "{found:?}");
        let graph = learner.graph().unwrap();
        let log_z = MarkovField::of_graph(&graph).unwrap().infer(1.0, &[]).unwrap().log_partition;
        let exact = -graph.energies(&cases).unwrap().iter().sum::<f64>() / 200.0 - log_z;
        let distance = (found.value - exact) / found.error;
        assert!(distance.abs() < 4.0, "{found:?}, exactly {exact}");
        squares += distance * distance;
    }
    assert!((2.2..32.9).contains(&squares), "{squares}");
}

/// Hidden units that are coupled with each other are drawn with the data held: the likelihood, counted, rises.
#[test]
fn coupled_hidden_units_learn() {
    let cases = bars();
    let of = |epochs| {
        let mut learning = learning(Negative::Persistent, epochs, 0.05);
        (learning.batch_size, learning.sweeps) = (Some(14), 3);
        let learner = trained(shape("bernoulli:9", Some("bernoulli:5"), true), learning, &cases);
        learner.log_likelihood(&cases).unwrap().value
    };
    let (before, after) = (of(1), of(400));
    assert!(before < -5.5 && after > before + 1.0, "{before}, {after}");
}

/// Potts units keep no couplings within a site, and the matrix stays symmetric.
#[test]
fn sites_are_not_coupled_with_themselves() {
    let row = |a: usize, b: usize| {
        (0..6).map(|i| f32::from(u8::from(i == a || i == 3 + b))).collect::<Vec<_>>()
    };
    let cases = Tensor::new(vec![row(0, 0), row(1, 1), row(2, 2), row(0, 0)], &CPU).unwrap();
    let learner = trained(
        shape("potts(3):2", None, false),
        learning(Negative::PseudoLikelihood, 50, 0.5),
        &cases,
    );
    let weights = learner.machine().couplings()[0].weights().to_vec2::<f32>().unwrap();
    for (i, weights_of) in weights.iter().enumerate() {
        for (j, weight) in weights_of.iter().enumerate() {
            assert_eq!(*weight, weights[j][i]);
            assert!(i / 3 != j / 3 || *weight == 0.0);
        }
    }
    assert!(weights[0][3] > 0.3 && weights[0][4] < 0.0);
    let likely = learner.pseudo_likelihoods(&cases).unwrap().unwrap();
    assert!(likely.iter().sum::<f64>() / likely.len() as f64 > -1.5);
}

/// What was stopped and goes on ends as what never stopped, to the bit, whatever it learns by and in the midst of an epoch too.
#[test]
fn learning_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("machine.safetensors");
    let cases = bars();
    let sampled = PositivePhase::Sampled { sweeps: 2 };
    let mean_field = PositivePhase::MeanField { steps: 20, tolerance: 1e-4, start: Start::Biases };
    for (negative, posterior) in [
        (Negative::Contrastive, sampled),
        (Negative::Persistent, sampled),
        (Negative::Persistent, mean_field),
        (Negative::Tempered, sampled),
        (Negative::Trajectory, mean_field),
        (Negative::Exact, sampled),
    ] {
        let of = || {
            let learning = Learning {
                posterior,
                batch_size: Some(5),
                momentum: 0.5,
                centre: true,
                ..learning(negative, 6, 0.05)
            };
            Learner::new(shape("bernoulli:9", Some("bernoulli:4"), true), learning, &cases).unwrap()
        };
        let (mut whole, mut first) = (of(), of());
        assert!(whole.fit(&cases, &mut ()).unwrap().is_continue());
        let mut stops = Stops { steps: 8, path: &path };
        assert!(first.fit(&cases, &mut stops).unwrap().is_break());
        let mut second = Learner::load(&path).unwrap();
        assert!(second.fit(&cases, &mut ()).unwrap().is_continue());
        whole.save(&path).unwrap();
        let expected = std::fs::read(&path).unwrap();
        second.save(&path).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected, "{negative:?} {posterior:?}");
    }
}

/// Stops after so many mini-batches, and keeps the checkpoint.
struct Stops<'a> {
    steps: usize,
    path: &'a std::path::Path,
}

impl Observer for Stops<'_> {
    fn step(&mut self, _: &Step) -> Result<Command> {
        self.steps -= 1;
        Ok(if self.steps == 0 { Command::Stop } else { Command::Continue })
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.save(self.path)
    }
}

/// Data of a chain of spins: couplings between neighbours are learned, others are not there.
#[test]
fn couplings_are_learned_on_a_graph_alone() {
    let mut rng = Rng::new(3);
    let chain: Graph = "ising:5x5".parse().unwrap();
    let none = Tensor::zeros((400, 25), DType::F32, &CPU).unwrap();
    let units = Units::Spin { size: 25 };
    let cases = units.build(DType::F32, &CPU).unwrap().sample(&none, &mut rng).unwrap();
    let shape =
        Shape { couplings: Couplings::Edges(chain.edges.clone()), ..shape("spin:25", None, false) };
    for negative in [Negative::PseudoLikelihood, Negative::Persistent] {
        let learner = trained(shape.clone(), learning(negative, 3, 0.1), &cases);
        let mut found = learner.graph().unwrap().edges;
        let mut expected = chain.edges.clone();
        expected.iter_mut().for_each(|edge| edge.sort_unstable());
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
    let wrong = Shape { couplings: Couplings::Edges(vec![[0, 25]]), ..shape };
    let said = Learner::new(wrong, learning(Negative::Persistent, 1, 0.1), &cases).unwrap_err();
    assert!(said.to_string().contains("below 25"), "{said}");
}

#[test]
fn what_cannot_learn_is_refused() {
    let cases = bars();
    let refused = |shape: Shape, learning: Learning| {
        Learner::new(shape, learning, &cases).unwrap_err().to_string()
    };
    let hidden = shape("bernoulli:9", Some("bernoulli:4"), false);
    let pseudo = || learning(Negative::PseudoLikelihood, 1, 0.1);
    let said = refused(shape("bernoulli:9", Some("bernoulli:4"), true), pseudo());
    assert!(
        said.contains("found bernoulli:9 visible units, 4 hidden units, coupled with each other"),
        "{said}"
    );
    let with_labels = Shape { labels: Some(3), couplings: Couplings::None, ..hidden.clone() };
    let labelled = Tensor::zeros((14, 12), DType::F32, &CPU).unwrap();
    let said = Learner::new(with_labels, pseudo(), &labelled);
    assert!(said.unwrap_err().to_string().contains("and labels"));
    let said = refused(shape("gaussian:9", Some("bernoulli:4"), false), pseudo());
    assert!(said.contains("one of several states") && said.ends_with("gaussian:9"), "{said}");
    let said = refused(shape("bernoulli:8", None, false), learning(Negative::Exact, 1, 0.1));
    assert!(said.contains("8 columns"), "{said}");
    let said = refused(shape("multinomial(2):9", None, false), learning(Negative::Exact, 1, 0.1));
    assert!(said.contains("share draws") && said.contains("multinomial"), "{said}");
    assert!(!refused(hidden, learning(Negative::Exact, 0, 0.1)).is_empty());
    let wide = Tensor::zeros((3, 20), DType::F32, &CPU).unwrap();
    let said =
        Learner::new(shape("bernoulli:20", None, false), learning(Negative::Exact, 1, 0.1), &wide);
    assert!(said.unwrap_err().to_string().contains("65536"));
    // A rate that is too high ends with an error, not with a machine.
    let mut learner = Learner::new(
        shape("bernoulli:9", None, false),
        learning(Negative::Persistent, 50, 1e7),
        &cases,
    )
    .unwrap();
    assert!((0..50).any(|_| learner.learn(&cases).is_err()));
    let _ = learner.samples(2, 1, &mut Rng::new(0));
}

/// Weights count in the biases and in the gradient of all cases at once.
#[test]
fn a_case_of_weight_two_is_learned_as_two_cases() -> Result<()> {
    let cases = |rows: &[[f32; 4]]| {
        Tensor::from_iter(rows.iter().flatten().copied(), &CPU)?.reshape((rows.len(), 4))
    };
    let (a, b, c) = ([1., 0., 1., 0.], [0., 1., 0., 1.], [1., 0., 0., 1.]);
    let (once, twice) = (cases(&[a, b, c])?, cases(&[a, b, b, c])?);
    let learned = |cases: &Tensor, weights: Option<[f32; 3]>, negative, batch_size| {
        let shape = Shape {
            visible: Units::Potts { sites: 2, states: 2 },
            hidden: vec![],
            labels: None,
            couplings: Couplings::Visible,
        };
        let learning = Learning { negative, epochs: 50, batch_size, ..Learning::default() };
        let mut learner = Learner::new(shape, learning, cases)?;
        if let Some(weights) = weights {
            learner.weigh(cases, weights.into())?;
        }
        assert!(learner.fit(cases, &mut ())?.is_continue());
        let energies = learner.machine().free_energy(&twice)?.detach();
        Result::Ok((&energies - energies.mean_keepdim(0)?.broadcast_as(4)?)?)
    };
    for negative in [Negative::Exact, Negative::PseudoLikelihood] {
        let weighted = learned(&once, Some([1., 2., 1.]), negative, None)?.to_vec1::<f32>()?;
        let repeated = learned(&twice, None, negative, None)?.to_vec1::<f32>()?;
        let plain = learned(&once, None, negative, None)?.to_vec1::<f32>()?;
        for (x, y) in weighted.iter().zip(&repeated) {
            assert!((x - y).abs() < 1e-4, "{negative:?}: {weighted:?} {repeated:?}");
        }
        assert!((weighted[0] - plain[0]).abs() > 1e-2, "{weighted:?} {plain:?}");
    }
    Ok(())
}

/// The end is a number of chains started anew, and it stays the end when the machine is read again.
#[test]
fn learning_ends_at_its_target() -> Result<()> {
    let rows: Vec<[f32; 6]> =
        (0..40)
            .map(|i| if i % 4 == 0 { [1., 0., 0., 1., 1., 0.] } else { [0., 1., 0., 1., 0., 1.] })
            .chain((0..40).map(|i| {
                if i % 3 == 0 { [1., 0., 1., 0., 1., 0.] } else { [0., 1., 1., 0., 0., 1.] }
            }))
            .collect();
    let cases = Tensor::from_iter(rows.iter().flatten().copied(), &CPU)?.reshape((80, 6))?;
    let shape = Shape {
        visible: Units::Potts { sites: 3, states: 2 },
        hidden: vec![],
        labels: None,
        couplings: Couplings::Visible,
    };
    let learning =
        Learning { chains: 500, learning_rate: 0.1, epochs: 2000, ..Learning::to_target(0.95) };
    let mut learner = Learner::new(shape.clone(), learning.clone(), &cases)?;
    assert!(learner.fit(&cases, &mut ())?.is_continue());
    let epochs = learner.epoch();
    assert!(learner.is_reached() && epochs < 2000 && epochs % 20 == 0, "{epochs}");
    let folder = tempfile::tempdir().unwrap();
    learner.save(folder.path().join("machine"))?;
    let mut again = Learner::load(folder.path().join("machine"))?;
    assert!(again.fit(&cases, &mut ())?.is_continue());
    assert_eq!(again.epoch(), epochs);
    let with_hidden = Shape { hidden: vec![Units::bernoulli(2)], ..shape };
    assert!(Learner::new(with_hidden, learning, &cases).is_err());
    Ok(())
}

/// Probabilities that are all zero or one are drawn as what they are; of others a case has other bits at every turn, with these means.
#[test]
fn probabilities_are_drawn_anew_at_every_turn() {
    use rbm_core::learning::trainer::{Pass, Shuffled};

    const TURNS: usize = 4000;
    let shares = Tensor::new(&[[0f32, 0.1, 0.25, 0.5, 0.9, 1.0]], &CPU).unwrap();
    let source = Shuffled { cases: &shares, batch_size: 1, shuffle: Rng::new(0) };
    let source = Pass::Sample.of_source(Box::new(source));
    let mut rng = Rng::new(1);
    let turns: Vec<Tensor> = (0..TURNS).map(|_| source.batch(&[0], &mut rng).unwrap()).collect();
    let row = |turn: &Tensor| turn.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(turns.iter().all(|turn| row(turn).iter().all(|x| [0.0, 1.0].contains(x))));
    assert!(turns[1..].iter().any(|turn| row(turn) != row(&turns[0])));
    let means = Tensor::cat(&turns, 0).unwrap().mean(0).unwrap().to_vec1::<f32>().unwrap();
    for (mean, share) in means.into_iter().zip(row(&shares)) {
        let error = (share * (1.0 - share) / TURNS as f32).sqrt();
        assert!((mean - share).abs() <= 4.0 * error, "{mean}, {share}");
    }
    // A machine learns from these, whose gradient is exact, what it learns from the means.
    let learned = |pass, cases: &Tensor| {
        let how = Learning { pass, ..learning(Negative::Exact, 200, 0.05) };
        let learner = trained(shape("bernoulli:9", None, false), how, cases);
        learner.machine().parameters()[0].1.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(learned(Pass::Sample, &bars()), learned(Pass::Mean, &bars()));
    let grey = (Tensor::ones((100, 9), DType::F32, &CPU).unwrap() * 0.25).unwrap();
    let (drawn, values) = (learned(Pass::Sample, &grey), learned(Pass::Mean, &grey));
    assert_ne!(drawn, values, "nothing was drawn");
    assert!(drawn.iter().zip(&values).all(|(a, b)| (a - b).abs() < 0.3), "{drawn:?} {values:?}");
    let refused = |visible: &str, target| {
        let how = Learning {
            pass: Pass::Sample,
            target_pearson: target,
            ..learning(Negative::Persistent, 1, 0.05)
        };
        let cases = Tensor::ones((4, 9), DType::F32, &CPU).unwrap();
        Learner::new(shape(visible, None, false), how, &cases).err().unwrap().to_string()
    };
    assert!(refused("spin:9", None).contains("data.pass"));
    assert!(refused("bernoulli:9", Some(0.9)).contains("data.pass"));
}

/// Which machines have a pseudo-likelihood: those whose hidden units can be summed out unit by unit. Each of its numbers is that of one case.
#[test]
fn pseudo_likelihoods_are_known_where_hidden_units_are_alone() {
    let cases = bars();
    let with = |hidden: &[&str], couplings, labels| Shape {
        visible: Units::bernoulli(9),
        hidden: hidden.iter().map(|text| text.parse().unwrap()).collect(),
        labels,
        couplings,
    };
    let is_known = |shape: Shape, cases: &Tensor| {
        let learner = Learner::new(shape, learning(Negative::Persistent, 1, 0.1), cases).unwrap();
        let found = learner.pseudo_likelihoods(cases).unwrap();
        assert_eq!(found.is_some(), learner.has_pseudo_likelihood());
        if let Some(found) = &found {
            assert_eq!(found.len(), cases.dim(0).unwrap());
            // Nothing has been learned: each unit is one of two values.
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            assert!((-9.0..-5.0).contains(&mean), "{mean}");
        }
        found.is_some()
    };
    for (hidden, couplings, expected) in [
        (&[][..], Couplings::Visible, true),
        (&["bernoulli:4"], Couplings::Visible, true),
        (&["bernoulli:4"], Couplings::None, true),
        (&["gaussian:2"], Couplings::Visible, true),
        (&["bernoulli:4"], Couplings::Lateral, false),
        (&["bernoulli:4"], Couplings::Hidden, false),
        (&["bernoulli:4", "bernoulli:2"], Couplings::None, false),
    ] {
        assert_eq!(is_known(with(hidden, couplings.clone(), None), &cases), expected, "{hidden:?}");
    }
    // Cases may come without their labels.
    let codes = Tensor::new(&[[1f32, 0.0]; 14], &CPU).unwrap();
    let labelled = Tensor::cat(&[&cases, &codes], 1).unwrap();
    assert!(!is_known(with(&["bernoulli:4"], Couplings::None, Some(2)), &labelled));
}
