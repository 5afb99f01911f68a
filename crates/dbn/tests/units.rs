//! Every kind of units from data to a saved model: trained, stopped and gone on with, written and read.
//!
//! What it would catch: a parameter that a checkpoint or a file forgets, a layer above that does not know the kind below, a
//! transform that takes the first group for the whole layer.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{Device, Tensor};
use candle_dbn::training::Outcome;
use candle_dbn::{Dataset, Evaluation, Examples, Inference, Model, Recipe, Training};
use common::{Interrupter, bits};
use rbm_core::{Rng, Units};

/// A recipe of two layers with everything that looks at biases.
const RECIPE: &str = r#"
seed = 3
[[layers]]
epochs = 2
batch_size = 20
learning_rate = 0.01
sparsity = { cost = 0.01 }
centre = true
[[layers]]
hidden = 5
epochs = 1
batch_size = 20
method = "pcd"
learning_rate = 0.01
"#;

/// What the stack becomes.
const FINE: [&str; 2] = ["classifier", "autoencoder"];

/// What the data are and what the first hidden layer is.
const NETWORKS: [(&str, &str); 9] = [
    ("spin:6", "spin:4"),
    ("binomial(3):6", "binomial(4):4"),
    ("potts(3):2", "potts(2):3"),
    ("multinomial(7):6", "multinomial(3):4"),
    ("gaussian:6", "relu:4"),
    ("gaussian-learned:6", "relu:2+spin:2"),
    ("relu:6", "bernoulli:4"),
    ("bernoulli:6", "gaussian-learned:4"),
    ("bernoulli:2+potts(3):1+gaussian-learned:1", "spin:2+potts(2):2+relu:2"),
];

fn dataset(units: &str) -> Dataset {
    let units: Units = units.parse().unwrap();
    let layer = units.build(candle_core::DType::F32, &Device::Cpu).unwrap();
    let inputs = rbm_core::ops::normal(
        (60, units.width()),
        candle_core::DType::F32,
        &Device::Cpu,
        &mut Rng::new(1),
    );
    let cases: Tensor = layer.sample(&inputs.unwrap(), &mut Rng::new(2)).unwrap();
    let labels = (0..60).map(|i| i % 2).collect();
    let train = Examples::new(cases, Some(labels)).unwrap();
    Dataset { name: "made up".into(), classes: Some(2), ..Dataset::of(train) }
}

fn training(visible: &str, hidden: &str, fine: &str) -> Training {
    let kind = visible.parse::<Units>().unwrap().kind();
    let settings = [
        format!("visible={kind}"),
        format!("layers.0.hidden={hidden}"),
        format!("{fine}.epochs=2"),
        format!("{fine}.batch_size=20"),
    ];
    let recipe = Recipe::parse(RECIPE).unwrap().with(&settings).unwrap();
    Training::new(recipe, dataset(visible), &Device::Cpu).unwrap()
}

fn finished(training: &mut Training) -> Model {
    match training.run(&mut Interrupter::default()).unwrap() {
        Outcome::Finished(model) => *model,
        Outcome::Stopped => panic!("nobody stopped it"),
    }
}

#[test]
fn a_network_of_any_units_learns_stops_goes_on_and_is_read_again() {
    let networks = NETWORKS.into_iter().flat_map(|network| FINE.map(|fine| (network, fine)));
    for ((visible, hidden), fine) in networks {
        let what = format!("{visible} and {hidden}, {fine}");
        let whole = finished(&mut training(visible, hidden, fine));
        assert!(whole.tensors().unwrap().len() >= 5, "{what}");

        // In a new process after every stop.
        let mut watch = Interrupter { stride: 2, ..Interrupter::default() };
        let mut stopped = training(visible, hidden, fine);
        let model = loop {
            match stopped.run(&mut watch).unwrap() {
                Outcome::Finished(model) => break *model,
                Outcome::Stopped => {
                    stopped = training(visible, hidden, fine);
                    stopped.restore(watch.last.clone().unwrap()).unwrap();
                }
            }
        };
        assert!(watch.steps > 6, "{what}: {} steps", watch.steps);
        assert!(bits(&model) == bits(&whole), "{what}: stopping changed the model");

        let dir = tempfile::tempdir().unwrap();
        whole.save(dir.path()).unwrap();
        let loaded = Model::load(dir.path(), &Device::Cpu).unwrap();
        assert_eq!(loaded.config(), whole.config(), "{what}");
        assert!(bits(&loaded) == bits(&whole), "{what}: read otherwise than written");
        assert_eq!(loaded.dbn.bottom().visible().units().to_string(), visible);
        assert_eq!(loaded.dbn.bottom().hidden().units().to_string(), hidden);

        let part = dataset(visible).train;
        let evaluation = Evaluation::of(&loaded, &part, Inference::default(), 0).unwrap();
        let found = evaluation.layers[0].report.as_ref().unwrap();
        let is_discrete = !["gaussian", "relu"].iter().any(|kind| visible.contains(kind));
        assert_eq!(found.pseudo_likelihood.is_some(), is_discrete, "{what}");
        let error = evaluation.squared_error;
        assert_eq!(error.is_some_and(f64::is_finite), fine == "autoencoder", "{what}: {error:?}");
        assert_eq!(evaluation.errors.is_some(), fine == "classifier", "{what}");
        let samples = loaded.dbn.sample(7, 5, &mut Rng::new(4)).unwrap();
        let values = samples.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|x| x.is_finite()), "{what}");
        let units: Units = visible.parse().unwrap();
        let drawn = loaded.dbn.start_chains(7, &mut Rng::new(5)).unwrap();
        let drawn = loaded.dbn.ancestral_sample(&drawn.hidden, &mut Rng::new(6)).unwrap();
        candle_dbn::data::check_units("samples", &Examples::new(drawn, None).unwrap(), &units)
            .unwrap();
    }
}

/// A machine that cannot be normalised is stopped, and the message says which and why.
#[test]
fn a_training_that_leaves_what_can_be_normalised_is_stopped() {
    let settings = [
        "visible=gaussian".to_owned(),
        "layers.0.hidden=relu:4".into(),
        "layers.0.weight_deviation=2".into(),
    ];
    let recipe = Recipe::parse(RECIPE).unwrap().with(&settings).unwrap();
    let mut training = Training::new(recipe, dataset("gaussian:6"), &Device::Cpu).unwrap();
    let message = training.run(&mut Interrupter::default()).unwrap_err().to_string();
    for word in ["diverged in layer 1, epoch 1", "gaussian:6 and relu:4"] {
        assert!(message.contains(word), "{message}");
    }
}
