//! A training that is stopped and goes on, without a program around it. Kills and files are tested in `tests/cli`.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::Device;
use common::{Interrupter, bits};
use dbn::training::Outcome;
use dbn::{Model, Recipe, Training, datasets};

const TINY: [&str; 8] = [
    "layers.*.hidden=12",
    "layers.*.epochs=2",
    "layers.0.method=pcd",
    "layers.1.sparsity_cost=0.1",
    "layers.*.batch_size=200",
    "classifier.epochs=3",
    "classifier.batch_size=300",
    "classifier.average_last=2",
];

fn training(settings: &[&str]) -> Training {
    let settings: Vec<_> = TINY.iter().chain(settings).map(ToString::to_string).collect();
    let recipe = Recipe::named("digits").unwrap().with(&settings).unwrap();
    let data = datasets::load("digits", &recipe.data_options().unwrap()).unwrap();
    Training::new(recipe, data, &Device::Cpu).unwrap()
}

fn finish(training: &mut Training, watch: &mut Interrupter) -> (Model, usize) {
    for stops in 0.. {
        assert!(stops < 1000, "it never ends");
        if let Outcome::Finished(model) = training.run(watch).unwrap() {
            return (*model, stops);
        }
    }
    unreachable!()
}

/// Catches velocities, chains, running means or averages that are lost between two calls in one process.
#[test]
fn stopped_and_run_again_is_never_stopped() {
    let whole = finish(&mut training(&[]), &mut Interrupter::default()).0;
    for stride in [1, 3] {
        let mut watch = Interrupter { stride, ..Interrupter::default() };
        let (model, stops) = finish(&mut training(&[]), &mut watch);
        assert!(stops > 10, "only {stops} stops");
        assert_eq!(watch.epochs, 2 + 2 + 3);
        assert!(bits(&model) == bits(&whole), "stopping every {stride} steps changed the model");
    }
}

/// Samples that are passed up and kept for a whole layer: a training that goes on from a checkpoint in a new process must
/// draw the same ones. Catches a cache drawn with the generator of learning, or drawn anew at every start.
#[test]
fn a_cache_is_the_same_when_a_training_goes_on() {
    let words = ["cache=when-it-fits", "layers.*.pass=sample"];
    let whole = finish(&mut training(&words), &mut Interrupter::default()).0;
    let mut watch = Interrupter { stride: 3, ..Interrupter::default() };
    let mut stopped = training(&words);
    while let Outcome::Stopped = stopped.run(&mut watch).unwrap() {
        stopped = training(&words);
        stopped.restore(watch.last.clone().unwrap()).unwrap();
    }
    let mut last = training(&words);
    last.restore(watch.last.clone().unwrap()).unwrap();
    let (model, _) = finish(&mut last, &mut Interrupter::default());
    assert!(bits(&model) == bits(&whole), "going on changed the model");

    let never = finish(&mut training(&["layers.*.pass=sample"]), &mut Interrupter::default()).0;
    assert!(bits(&model) != bits(&never), "nothing was cached");
    // 12 values of 4 bytes a case, and one byte less.
    let size = 12 * 4 * last.train.len();
    for (bytes, is_cached) in [(size, true), (size - 1, false)] {
        let bytes = format!("cache_bytes={bytes}");
        let words = [words[0], words[1], &bytes];
        let model = finish(&mut training(&words), &mut Interrupter::default()).0;
        assert!(bits(&model) == bits(if is_cached { &whole } else { &never }), "{bytes}");
    }
}

/// An endless loop once: a mini-batch number beyond the end of the epoch.
#[test]
fn a_place_that_is_not_there_is_an_error() {
    let mut watch = Interrupter { stride: 1, ..Interrupter::default() };
    let mut first = training(&[]);
    while first.record().stage < 2 || first.record().position.batch < 2 {
        assert!(matches!(first.run(&mut watch).unwrap(), Outcome::Stopped));
    }
    let mut second = training(&["classifier.batch_size=1000"]);
    second.restore(watch.last.clone().unwrap()).unwrap();
    let message = second.run(&mut Interrupter::default()).unwrap_err().to_string();
    assert!(message.contains("below the epoch's 2"), "{message}");
}

#[test]
fn other_seeds_split_the_data_alike() {
    let (a, b) = (training(&[]), training(&["seed=1"]));
    let values = |t: &Training| {
        t.held_out.as_ref().unwrap().cases.tensor().unwrap().to_vec2::<f32>().unwrap()
    };
    assert_eq!(values(&a), values(&b));
    let labels = a.held_out.unwrap().labels.unwrap();
    let counts: Vec<_> = (0..10).map(|c| labels.iter().filter(|&&l| l == c).count()).collect();
    // A fifth of each class of 174 to 183 cases, rounded down.
    assert!(counts.iter().all(|&n| (34..=36).contains(&n)), "{counts:?}");
}

#[test]
fn too_few_cases_to_split_stay_together() {
    let recipe = Recipe { classifier: None, ..Recipe::named("digits").unwrap() };
    let mut data = datasets::load("digits", &recipe.data_options().unwrap()).unwrap();
    data.train = data.train.select(&[0, 1, 2, 3]).unwrap();
    let training = Training::new(recipe, data, &Device::Cpu).unwrap();
    assert_eq!((training.train.len(), training.held_out.is_none()), (4, true));
    assert!(training.validation.is_none());
}

/// Each layer's `pass` is about its own units, whatever the layers above say.
#[test]
fn every_layer_passes_up_as_it_says() {
    use dbn::greedy::{Below, Pass};
    use rbm_core::train::Feed;
    use rbm_core::{Rbm, Rng};
    let data = training(&[]).train.cases.tensor().unwrap();
    let mut rng = Rng::new(3);
    let first = Rbm::bernoulli(&data, 8, &mut rng).unwrap();
    let means = first.hidden_mean(&data).unwrap().detach();
    let second = Rbm::bernoulli(&means, 6, &mut rng).unwrap();
    let rbms = [first, second];
    for (passes, is_binary) in
        [([Pass::Mean, Pass::Sample], true), ([Pass::Sample, Pass::Mean], false)]
    {
        let feed = Below {
            labels: None,
            cases: &data,
            balance: None,
            rbms: &rbms,
            passes: &passes,
            batch_size: 8,
            shuffle: Rng::new(7),
        };
        let seen = feed.batch(&[0, 1, 2, 3], &mut Rng::new(1)).unwrap().to_vec2::<f32>().unwrap();
        let binary = seen.iter().flatten().all(|&x| x == 0.0 || x == 1.0);
        assert_eq!(binary, is_binary, "{passes:?}");
        // Sampling somewhere below must show: the generator is used exactly where a pass is a sample.
        let mut rng = Rng::new(1);
        feed.batch(&[0], &mut rng).unwrap();
        assert_eq!(rng.counter, 1, "{passes:?}");
    }
}
