//! The recipes of the published experiments on the embedded digits, with small layers: each learns by its own keys what it is for.
//!
//! They would catch a recipe whose rates diverge, a stage that undoes what the one before has learned, and a network that is not
//! the one that learned. ClassRBMs, label units and bounds have theirs in `classrbm.rs` and `joint.rs`.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::Device;
use common::Interrupter;
use dbn::training::Outcome;
use dbn::{Model, Part, Recipe, Training, datasets};

/// The model that the recipe `name` leaves of digits, and its validation part.
fn learned(name: &str, settings: &[&str]) -> (Model, Part) {
    let small = [
        "data.source=digits",
        "data.validate_one_in=5",
        "layers.*.hidden=120",
        "layers.*.epochs=10",
        "layers.*.batch_size=20",
    ];
    let settings: Vec<_> = small.iter().chain(settings).map(ToString::to_string).collect();
    let recipe = Recipe::named(name).unwrap().with(&settings).unwrap();
    let data = datasets::load("digits", &recipe.data_options().unwrap()).unwrap();
    let mut training = Training::new(recipe, data, &Device::Cpu).unwrap();
    let Outcome::Finished(model) = training.run(&mut Interrupter::default()).unwrap() else {
        panic!("nobody stopped it")
    };
    (*model, training.validation.unwrap())
}

/// Errors of a classifier on the validation part, percent.
fn error(name: &str, settings: &[&str]) -> f64 {
    let (model, part) = learned(name, settings);
    let (errors, _) = model.classifier.unwrap().errors_and_loss(&part).unwrap();
    100.0 * errors as f64 / part.len() as f64
}

#[test]
fn fine_tuned_recipes_learn_digits() {
    for name in ["backpropagation", "mnist", "dropout"] {
        let mut keys = vec!["classifier.epochs=30", "classifier.average_last=10"];
        if name == "dropout" {
            // Pictures of 64 values lie nearer to each other than those of 784.
            keys.push("classifier.virtual_adversarial=0.5");
        }
        let error = error(name, &keys);
        println!("{name}: {error:.2} %");
        // 285 cases: a standard deviation of one figure is 1.3 %.
        assert!(error < 9.0, "{name}: {error} %");
    }
}

/// More labels are fewer errors, and a hundred are worth much after pre-training on all cases.
#[test]
fn few_labels_are_enough_for_digits() {
    let errors = [100, 500].map(|count| {
        error("few-labels", &[&format!("classifier.train_on={count}"), "classifier.epochs=40"])
    });
    println!("100 labels: {:.2} %, 500 labels: {:.2} %", errors[0], errors[1]);
    assert!(errors[0] < 28.0 && errors[1] < 14.0 && errors[1] < errors[0], "{errors:?} %");
}
