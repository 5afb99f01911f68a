//! Machines that learn labels discriminatively, from the recipe to the errors, in small.
//!
//! They would catch: a method that the training does not use, a gradient that points away from the labels, drawn bits that are
//! other bits when a training goes on, a recipe whose numbers do not learn.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device};
use candle_dbn::training::Outcome;
use candle_dbn::{Inference, Model, Recipe, Training, data};
use common::{Interrupter, bits};
use rbm_core::Rng;

/// The recipe `name` on the embedded digits.
fn training(name: &str, settings: &[&str]) -> Training {
    let small = ["data.source=digits", "data.validate_one_in=5", "layers.0.hidden=100"];
    let settings: Vec<_> = small.iter().chain(settings).map(ToString::to_string).collect();
    let recipe = Recipe::named(name).unwrap().with(&settings).unwrap();
    let data = data::load("digits", &recipe.read_options()).unwrap();
    Training::new(recipe, data, &Device::Cpu).unwrap()
}

fn finish(training: &mut Training, watch: &mut Interrupter) -> Model {
    for stops in 0.. {
        assert!(stops < 1000, "it never ends");
        if let Outcome::Finished(model) = training.run(watch).unwrap() {
            return *model;
        }
    }
    unreachable!()
}

/// Errors on the validation part, percent.
fn error(name: &str, settings: &[&str]) -> f64 {
    let mut training = training(name, settings);
    let model = finish(&mut training, &mut Interrupter::default());
    let part = training.validation.unwrap();
    let errors = model.dbn.label_errors(&part, Inference::Means, &mut Rng::new(0)).unwrap();
    100.0 * errors as f64 / part.len() as f64
}

#[test]
fn both_recipes_learn_digits() {
    for name in ["classrbm", "hybrid"] {
        let error = error(name, &["layers.0.epochs=60"]);
        println!("{name}: {error:.2} %");
        assert!(error < 5.0, "{name}: {error} %");
    }
}

/// The biases of the data's units after one step from the same start, with the same draws.
fn data_biases(name: &str, settings: &[&str]) -> Vec<f64> {
    let one_step = ["layers.0.epochs=1", "layers.0.batch_size=2000", "data.pass=mean"];
    let settings: Vec<_> = one_step.iter().chain(settings).copied().collect();
    let model = finish(&mut training(name, &settings), &mut Interrupter::default());
    let parameters = model.dbn.rbm(0).unwrap().parameters();
    let (_, bias) = parameters.iter().find(|(name, _)| name == "visible_0.bias").unwrap();
    bias.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// What the data are like is learned by the generative part alone, and by as much of it as the recipe says.
#[test]
fn the_generative_part_counts_as_much_as_the_recipe_says() {
    let start = data_biases("hybrid", &["layers.0.learning_rate=0"]);
    assert_eq!(data_biases("classrbm", &[]), start);
    let way = |generative: &str| -> f64 {
        let setting = format!("layers.0.method.hybrid.generative={generative}");
        let end = data_biases("hybrid", &[&setting]);
        end.iter().zip(&start).map(|(end, start)| (end - start).powi(2)).sum::<f64>().sqrt()
    };
    assert_eq!(way("0"), 0.0);
    // α / (1 + α) is 1/5 and 1/2; biases of order one in f32.
    let ratio = way("1") / way("0.25");
    assert!((ratio - 2.5).abs() < 1e-3, "{ratio}");
}

#[test]
fn stopped_and_run_again_is_never_stopped() {
    for name in ["classrbm", "hybrid"] {
        let words = ["layers.0.epochs=2", "layers.0.batch_size=100", "data.pass=sample"];
        let whole = finish(&mut training(name, &words), &mut Interrupter::default());
        let mut watch = Interrupter { stride: 3, ..Interrupter::default() };
        let mut stopped = training(name, &words);
        while let Outcome::Stopped = stopped.run(&mut watch).unwrap() {
            stopped = training(name, &words);
            stopped.restore(watch.last.clone().unwrap()).unwrap();
        }
        let mut last = training(name, &words);
        last.restore(watch.last.clone().unwrap()).unwrap();
        let model = finish(&mut last, &mut Interrupter::default());
        assert!(bits(&model) == bits(&whole), "{name}: going on changed the model");
        let means = finish(
            &mut training(
                name,
                &["layers.0.epochs=2", "layers.0.batch_size=100", "data.pass=mean"],
            ),
            &mut Interrupter::default(),
        );
        assert!(bits(&means) != bits(&whole), "{name}: nothing was drawn");
    }
}
