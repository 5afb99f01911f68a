//! The recipes of the published experiments on the embedded digits, with small layers: each learns by its own keys what it is for.
//!
//! They would catch a recipe whose rates diverge, a stage that undoes what the one before has learned, a network that is not the one
//! that learned, and one that a stop has changed. ClassRBMs, label units and bounds have theirs in `classrbm.rs` and `joint.rs`.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::Device;
use candle_dbn::training::Outcome;
use candle_dbn::{Examples, Model, Recipe, Training, data};
use common::{Interrupter, bits};

/// The model that the recipe `name` leaves of digits when it is stopped after every `stride` steps (0 for never) and goes on from
/// its checkpoint in another training, and its validation part.
fn learned(name: &str, settings: &[&str], stride: usize) -> (Model, Examples) {
    let small = [
        "data.source=digits",
        "data.validate_one_in=5",
        "layers.*.hidden=120",
        "layers.*.epochs=10",
        "layers.*.batch_size=20",
    ];
    let settings: Vec<_> = small.iter().chain(settings).map(ToString::to_string).collect();
    let recipe = Recipe::named(name).unwrap().with(&settings).unwrap();
    let data = data::load("digits", &recipe.read_options()).unwrap();
    let mut watch = Interrupter { stride, ..Interrupter::default() };
    for stops in 0.. {
        assert!(stops < 100, "it never ends");
        let mut training = Training::new(recipe.clone(), data.clone(), &Device::Cpu).unwrap();
        if let Some(checkpoint) = watch.last.take() {
            training.restore(checkpoint).unwrap();
        }
        if let Outcome::Finished(model) = training.run(&mut watch).unwrap() {
            return (*model, training.validation.unwrap());
        }
    }
    unreachable!()
}

/// Errors of a classifier on the validation part, percent.
fn error((model, part): &(Model, Examples)) -> f64 {
    let (errors, _) = model.classifier.as_ref().unwrap().errors_and_loss(part).unwrap();
    100.0 * errors as f64 / part.len() as f64
}

#[test]
fn fine_tuned_recipes_learn_digits() {
    for name in ["backpropagation", "mnist", "dropout"] {
        let mut keys = vec!["classifier.epochs=30", "classifier.average_last=10"];
        if name == "dropout" {
            // Pictures of 64 values lie nearer to each other than those of 784.
            keys.push("classifier.adversarial.virtual=0.5");
        }
        let learned = [0, 700].map(|stride| learned(name, &keys, stride));
        let error = error(&learned[0]);
        println!("{name}: {error:.2} %");
        // 285 cases: a standard deviation of one figure is 1.3 %.
        assert!(error < 9.0, "{name}: {error} %");
        assert!(bits(&learned[0].0) == bits(&learned[1].0), "{name}: going on changed the model");
    }
}

/// More labels are fewer errors, and a hundred are worth much after pre-training on all cases.
#[test]
fn few_labels_are_enough_for_digits() {
    let errors = [100, 500].map(|count| {
        let keys = [&format!("classifier.train_on={count}"), "classifier.epochs=40"];
        error(&learned("few-labels", &keys, 0))
    });
    println!("100 labels: {:.2} %, 500 labels: {:.2} %", errors[0], errors[1]);
    assert!(errors[0] < 28.0 && errors[1] < 14.0 && errors[1] < errors[0], "{errors:?} %");
}

/// Eight numbers say more of a digit than its means do: catches an autoencoder that answers every picture with the average one.
#[test]
fn the_autoencoder_learns_digits() {
    let keys = ["layers.3.hidden=gaussian:8", "autoencoder.epochs=40", "autoencoder.batch_size=20"];
    let (model, part) = learned("autoencoder", &keys, 0);
    let (error, _) = model.autoencoder.unwrap().errors(&part.cases).unwrap();
    let cases = part.cases.tensor().unwrap();
    let off = cases.broadcast_sub(&cases.mean_keepdim(0).unwrap()).unwrap().sqr().unwrap();
    let of_means = off.sum_all().unwrap().to_scalar::<f32>().unwrap() / part.len() as f32;
    println!("squared error {error:.3}, of the average picture {of_means:.3}");
    assert!(error < 0.4 * f64::from(of_means), "{error} for {of_means}");
}
