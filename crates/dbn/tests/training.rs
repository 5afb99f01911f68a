//! A training that is stopped and goes on, without a program around it. Kills and files are tested in `crates/cli/tests/cli`.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::Device;
use candle_dbn::training::Outcome;
use candle_dbn::{Model, Recipe, Training, data};
use common::{Interrupter, bits};
use rbm_core::Rng;

const TINY: [&str; 8] = [
    "layers.*.hidden=12",
    "layers.*.epochs=2",
    "layers.0.method=pcd",
    "layers.1.sparsity.cost=0.1",
    "layers.*.batch_size=200",
    "classifier.epochs=3",
    "classifier.batch_size=300",
    "classifier.average_last=2",
];

fn training(settings: &[&str]) -> Training {
    let settings: Vec<_> = TINY.iter().chain(settings).map(ToString::to_string).collect();
    let recipe = Recipe::named("digits").unwrap().with(&settings).unwrap();
    let data = data::load("digits", &recipe.read_options()).unwrap();
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

/// The stages of 2006: joint learning and up-down, stopped after every few steps and taken up from a checkpoint by a new training.
/// Catches generative weights that are lost or begin anew, labels of other cases, velocities left behind.
#[test]
fn joint_learning_and_up_down_go_on_too() {
    let joint = || {
        let words = [
            "layers.*.hidden=12",
            "layers.*.epochs=2",
            "layers.*.batch_size=200",
            "updown.epochs=3",
            "updown.batch_size=300",
            "updown.momentum=0.5",
            "updown.balanced=true",
        ];
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let recipe = Recipe::named("digits-joint").unwrap().with(&words).unwrap();
        let data = data::load("digits", &recipe.read_options()).unwrap();
        Training::new(recipe, data, &Device::Cpu).unwrap()
    };
    let whole = finish(&mut joint(), &mut Interrupter::default()).0;
    for stride in [1, 3] {
        let mut watch = Interrupter { stride, ..Interrupter::default() };
        let mut stopped = joint();
        while let Outcome::Stopped = stopped.run(&mut watch).unwrap() {
            stopped = joint();
            stopped.restore(watch.last.clone().unwrap()).unwrap();
        }
        let mut last = joint();
        last.restore(watch.last.clone().unwrap()).unwrap();
        let (model, _) = finish(&mut last, &mut Interrupter::default());
        assert!(bits(&model) == bits(&whole), "going on every {stride} steps changed the model");
        assert_eq!(watch.epochs, 2 + 2 + 2 + 3);
    }
    // The way down is not forgotten in the stage after, either.
    let deep = || {
        let words = [
            "labels=false",
            "layers.*.hidden=12",
            "layers.*.epochs=1",
            "layers.*.batch_size=200",
            "updown.epochs=1",
            "updown.batch_size=300",
        ];
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let recipe = Recipe::named("digits-joint").unwrap().with(&words).unwrap();
        let classifier = Recipe::named("digits").unwrap().classifier.unwrap();
        let mut classifier = classifier;
        classifier.backpropagation.epochs = 2;
        classifier.backpropagation.batch_size = 300;
        let recipe = Recipe { classifier: Some(classifier), ..recipe };
        let data = data::load("digits", &recipe.read_options()).unwrap();
        Training::new(recipe, data, &Device::Cpu).unwrap()
    };
    let unstopped = finish(&mut deep(), &mut Interrupter::default()).0;
    let mut watch = Interrupter { stride: 1, ..Interrupter::default() };
    let mut stopped = deep();
    while stopped.record().stage < 4 || stopped.record().cursor.batch < 2 {
        assert!(matches!(stopped.run(&mut watch).unwrap(), Outcome::Stopped));
    }
    let mut last = deep();
    last.restore(watch.last.clone().unwrap()).unwrap();
    let (model, _) = finish(&mut last, &mut Interrupter::default());
    assert!(bits(&model) == bits(&unstopped) && !model.dbn.generative.is_empty());
    // And the way down did learn something of its own.
    let (down, up) = (&whole.dbn.generative[0].weights, whole.dbn.rbm(0).unwrap().weights());
    let apart = (down.t().unwrap() - up.as_tensor()).unwrap().abs().unwrap().mean_all().unwrap();
    assert!(apart.to_scalar::<f32>().unwrap() > 1e-4);
}

/// A training of the digits as [`TINY`] says, with an autoencoder in the classifier's place.
fn autoencoding(settings: &[&str]) -> Training {
    let keys = ["autoencoder.epochs=3", "autoencoder.batch_size=300", "layers.1.hidden=gaussian:2"];
    let words = TINY.iter().filter(|key| key.starts_with("layers")).chain(&keys).chain(settings);
    let recipe = Recipe { classifier: None, ..Recipe::named("digits").unwrap() };
    let recipe = recipe.with(&words.map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let data = data::load("digits", &recipe.read_options()).unwrap();
    Training::new(recipe, data, &Device::Cpu).unwrap()
}

/// Each way to climb, in one process and in a new one after every stop. Catches moments, the promise of a line search or
/// averages that a checkpoint forgets.
#[test]
fn an_autoencoder_stopped_and_gone_on_with_is_never_stopped() {
    for rule in ["sgd", "adam", "cg"] {
        let rate = if rule == "sgd" { "autoencoder.learning_rate=0.01" } else { "seed=3" };
        let rule = format!("autoencoder.optimizer={rule}");
        let left_out = "autoencoder.dropout_hidden=0.2";
        let words = [&rule, rate, left_out, "autoencoder.average_last=2", "autoencoder.l2=1e-4"];
        let whole = finish(&mut autoencoding(&words), &mut Interrupter::default()).0;
        for stride in [1, 3] {
            let mut watch = Interrupter { stride, ..Interrupter::default() };
            let mut stopped = autoencoding(&words);
            while let Outcome::Stopped = stopped.run(&mut watch).unwrap() {
                if stride == 3 {
                    stopped = autoencoding(&words);
                    stopped.restore(watch.last.clone().unwrap()).unwrap();
                }
            }
            stopped = autoencoding(&words);
            stopped.restore(watch.last.clone().unwrap()).unwrap();
            let (model, _) = finish(&mut stopped, &mut Interrupter::default());
            assert!(bits(&model) == bits(&whole), "{rule}: stopping every {stride} steps");
            assert_eq!(watch.epochs, 2 + 2 + 3);
        }
    }
}

/// Line searches compare heights: every look of a mini-batch must leave out the same units, so that a step takes three draws, one
/// for each layer above the first, however often it looks.
#[test]
fn every_look_of_a_search_leaves_out_the_same_units() {
    let words = ["autoencoder.optimizer=cg", "autoencoder.dropout_hidden=0.2"];
    let mut training = autoencoding(&words);
    let mut watch = Interrupter { stride: 1, ..Interrupter::default() };
    while training.record().stage < 2 || training.record().cursor.batch < 2 {
        assert!(matches!(training.run(&mut watch).unwrap(), Outcome::Stopped));
    }
    let record = serde_json::to_value(training.record()).unwrap();
    assert_eq!(record["rng"]["counter"], 2 * 3, "{record}");
}

/// Catches classes that are not balanced, a case chosen twice, a choice that no seed decides, pre-training on the labelled cases
/// alone, and fine-tuning on the others too.
#[test]
fn few_labels_are_all_that_fine_tuning_sees() {
    let all = training(&[]).train.labels.unwrap();
    let chosen = |seed| data::choose_balanced(&all, 103, &mut Rng::new(seed)).unwrap();
    let of_class = |class| chosen(1).iter().filter(|&&case| all[case as usize] == class).count();
    let counts: Vec<_> = (0..10).map(of_class).collect();
    assert_eq!(counts.iter().sum::<usize>(), 103);
    assert!(counts.iter().all(|n| (10..=11).contains(n)), "{counts:?}");
    assert!(chosen(1).is_sorted_by(|a, b| a < b), "one twice: {:?}", chosen(1));
    assert!(chosen(1) == chosen(1) && chosen(1) != chosen(2));
    // A class that has too few leaves its share to the others.
    let uneven = data::choose_balanced(&[0, 0, 0, 0, 0, 1], 4, &mut Rng::new(1)).unwrap();
    assert!(uneven.len() == 4 && uneven.contains(&5), "{uneven:?}");

    let watched = |settings: &[&str]| {
        let mut watch = Interrupter::default();
        let (model, _) = finish(&mut training(settings), &mut watch);
        (bits(&model), watch)
    };
    let (whole, of_whole) = watched(&["classifier.batch_size=7"]);
    let (few, of_few) = watched(&["classifier.batch_size=7", "classifier.train_on=30"]);
    for ((name, whole), (_, few)) in whole.iter().zip(&few) {
        assert_eq!(whole == few, name.starts_with("rbms"), "{name}");
    }
    let cases = all.len();
    assert_eq!(of_whole.cases, [2 * cases, 2 * cases, 3 * cases]);
    assert_eq!(of_few.cases, [2 * cases, 2 * cases, 3 * 30]);

    // With the labels of other cases nine tenths would be wrong.
    let words = [
        "layers.*.hidden=50",
        "layers.*.epochs=10",
        "layers.*.batch_size=20",
        "layers.1.sparsity=none",
        "classifier.epochs=60",
        "classifier.batch_size=20",
        "classifier.train_on=200",
    ];
    let mut training = training(&words);
    let model = finish(&mut training, &mut Interrupter::default()).0;
    let seen = training.validation.as_ref().unwrap();
    let (errors, _) = model.classifier.unwrap().errors_and_loss(seen).unwrap();
    assert!(errors < seen.len() / 2, "{errors} of {}", seen.len());

    let error = data::choose_balanced(&[0, 1], 3, &mut Rng::new(1)).unwrap_err().to_string();
    assert!(error.contains("at most the 2 training cases"), "{error}");
}

/// Catches a limit that is applied to rows, before the step, or to some of the matrices.
#[test]
fn no_unit_has_weights_beyond_the_largest_norm() {
    let longest = |settings: &[&str]| {
        let model = finish(&mut training(settings), &mut Interrupter::default()).0;
        let tensors = model.tensors().unwrap().into_iter();
        let matrices =
            tensors.filter(|(name, _)| name.starts_with("classifier") && name.ends_with("weight"));
        let norms = matrices.map(|(_, w)| {
            // (out, in): the weights into a unit are a row.
            let norms = w.sqr().unwrap().sum(1).unwrap().sqrt().unwrap().to_vec1::<f32>().unwrap();
            norms.into_iter().fold(0.0, f32::max)
        });
        norms.collect::<Vec<_>>()
    };
    let sgd = ["classifier.average_last=none", "classifier.learning_rate=0.3"];
    let free = longest(&sgd);
    assert!(free.len() == 3 && free.iter().all(|norm| *norm > 0.05), "{free:?}");
    for rule in ["classifier.optimizer=sgd", "classifier.optimizer=cg"] {
        let bound = longest(&[sgd[0], sgd[1], rule, "classifier.max_norm=0.05"]);
        assert!(bound.iter().all(|norm| *norm <= 0.05 * (1.0 + 1e-5)), "{rule}: {bound:?}");
        assert!(bound.iter().all(|norm| *norm > 0.049), "{rule}: {bound:?}");
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
    while first.record().stage < 2 || first.record().cursor.batch < 2 {
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
    let mut data = data::load("digits", &recipe.read_options()).unwrap();
    data.train = data.train.select(&[0, 1, 2, 3]).unwrap();
    let training = Training::new(recipe, data, &Device::Cpu).unwrap();
    assert_eq!((training.train.len(), training.held_out.is_none()), (4, true));
    assert!(training.validation.is_none());
}

/// Each layer's `pass` is about its own units, whatever the layers above say.
#[test]
fn every_layer_passes_up_as_it_says() {
    use candle_dbn::learning::{LayerInput, Pass};
    use rbm_core::Rbm;
    use rbm_core::learning::trainer::BatchSource;
    let data = training(&[]).train.cases.tensor().unwrap();
    let mut rng = Rng::new(3);
    let first = Rbm::bernoulli(&data, 8, &mut rng).unwrap();
    let means = first.hidden_mean(&data).unwrap().detach();
    let second = Rbm::bernoulli(&means, 6, &mut rng).unwrap();
    let rbms = [first, second];
    for (passes, is_binary) in
        [([Pass::Mean, Pass::Sample], true), ([Pass::Sample, Pass::Mean], false)]
    {
        let feed = LayerInput {
            imputation: None,
            labels: None,
            cases: &data,
            balance: None,
            weights: None,
            rbms: &rbms,
            passes: &passes,
            data: Pass::Mean,
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

/// Fine-tuning, too, takes the data as `data.pass` says. Catches values where bits were asked for, and draws where there is nothing
/// to draw; greedy learning and dropout are left out, so nothing else can differ.
#[test]
fn fine_tuning_draws_its_data_as_the_recipe_says() {
    let tuned = |words: &[&str]| {
        let alone =
            ["layers.*.epochs=0", "classifier.dropout_visible=0", "classifier.dropout_hidden=0"];
        let words: Vec<_> = alone.iter().chain(words).copied().collect();
        bits(&finish(&mut training(&words), &mut Interrupter::default()).0)
    };
    assert!(tuned(&[]) != tuned(&["data.pass=sample"]), "nothing was drawn");
    let binary = "data.binarise=threshold:0.5";
    assert!(tuned(&[binary]) == tuned(&[binary, "data.pass=sample"]), "bits were drawn as others");
}

/// Drawn data, units left out and cases moved: a checkpoint anywhere knows enough to go on. Catches a second look at a mini-batch
/// that leaves out other units, for then more would be drawn.
#[test]
fn fine_tuning_on_drawn_and_moved_cases_goes_on_too() {
    // The data once, and the units of the data and two hidden layers once; where a belief is asked for, first steps too.
    for (moved, draws) in [("adversarial.label", 4), ("adversarial.virtual", 5)] {
        let moved = format!("classifier.{moved}=0.5");
        let words = [
            "data.pass=sample",
            "classifier.dropout_visible=0.2",
            "classifier.dropout_hidden=0.3",
            &moved,
        ];
        let whole = finish(&mut training(&words), &mut Interrupter::default()).0;
        let mut watch = Interrupter { stride: 1, ..Interrupter::default() };
        let mut stopped = training(&words);
        let mut counted = 0;
        while let Outcome::Stopped = stopped.run(&mut watch).unwrap() {
            let record = stopped.record();
            if record.stage == 2 {
                counted += 1;
                let steps = 5 * record.cursor.epoch + record.cursor.batch;
                let record = serde_json::to_value(record).unwrap();
                assert_eq!(record["rng"]["counter"], draws * steps, "{record}");
            }
            stopped = training(&words);
            stopped.restore(watch.last.clone().unwrap()).unwrap();
        }
        stopped = training(&words);
        stopped.restore(watch.last.clone().unwrap()).unwrap();
        let (model, _) = finish(&mut stopped, &mut Interrupter::default());
        assert!(counted >= 10, "only {counted} steps were looked at");
        assert!(bits(&model) == bits(&whole), "going on changed the model");
    }
}

/// The cases for validation are learned from where the recipe says so, whether they are split off or lie in a file of their own.
#[test]
fn what_is_kept_for_validation_can_be_learned_from() {
    let (kept, learned) = (training(&[]), training(&["data.learn_validation=true"]));
    let validation = kept.validation.as_ref().unwrap();
    assert!(learned.validation.is_none() && validation.len() > 100);
    assert_eq!(learned.train.len(), kept.train.len() + validation.len());
    let values =
        |part: &candle_dbn::Examples| part.cases.tensor().unwrap().to_vec2::<f32>().unwrap();
    let labels = |part: &candle_dbn::Examples| part.labels.clone().unwrap();
    assert_eq!(values(&learned.train), [values(&kept.train), values(validation)].concat());
    assert_eq!(labels(&learned.train), [labels(&kept.train), labels(validation)].concat());
    let held_out = [&kept, &learned].map(|training| values(training.held_out.as_ref().unwrap()));
    assert_eq!(held_out[0], held_out[1]);
}
