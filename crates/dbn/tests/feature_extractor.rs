//! The network inside a larger candle model: the same features as its own, trained or left alone as the tensors are.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use candle_dbn::{Dbn, FeatureExtractor, Model, Standardise};
use candle_nn::{Module, Optimizer, SGD, VarBuilder, VarMap};
use rbm_core::model::init::Init;
use rbm_core::{Rbm, Rng, Units, ops};

const DEVICE: Device = Device::Cpu;

fn normal(shape: (usize, usize), seed: u64) -> Tensor {
    ops::normal(shape, DType::F32, &DEVICE, &mut Rng::new(seed)).unwrap()
}

/// A network of these layers, none of whose parameters is neutral.
fn model(layers: &[&str], is_standardised: bool) -> Model {
    let units: Vec<Units> = layers.iter().map(|units| units.parse().unwrap()).collect();
    let mut rng = Rng::new(7);
    let machine = |pair: &[Units]| {
        let rbm = Rbm::new(&pair[0], &pair[1], DType::F32, &DEVICE).unwrap();
        let init = Init { weight_deviation: 0.7, hidden_bias: 0.0 };
        init.draw_weights(&rbm, &mut rng).unwrap();
        for (name, var) in rbm.parameters().into_iter().skip(1) {
            let noise = ops::normal(var.shape(), DType::F32, &DEVICE, &mut rng).unwrap();
            let value = if name.ends_with("precision") { noise.exp().unwrap() } else { noise };
            var.set(&value).unwrap();
        }
        rbm
    };
    let dbn = Dbn::new(units.windows(2).map(machine).collect()).unwrap();
    let columns = normal((9, units[0].width()), 3).affine(2.0, 1.0).unwrap();
    let standardise = is_standardised.then(|| Standardise::of(&columns).unwrap());
    Model { standardise, ..Model::from(dbn) }
}

/// What a reader finds of `model` under "features".
fn tensors(model: &Model) -> HashMap<String, Tensor> {
    let tensors = model.tensors().unwrap().into_iter();
    tensors.map(|(name, tensor)| (format!("features.{name}"), tensor)).collect()
}

fn frozen(model: &Model) -> FeatureExtractor {
    let vb = VarBuilder::from_tensors(tensors(model), DType::F32, &DEVICE);
    FeatureExtractor::new(&model.config(), vb.pp("features")).unwrap()
}

/// The extractor over variables, which hold what the folder `dir` does.
fn pretrained(dir: &Path) -> (VarMap, FeatureExtractor) {
    let variables = VarMap::new();
    let config = FeatureExtractor::load_into(&variables, "features", dir, &DEVICE).unwrap();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &DEVICE);
    (variables, FeatureExtractor::new(&config, vb.pp("features")).unwrap())
}

fn var(variables: &VarMap, name: &str) -> Var {
    variables.data().lock().unwrap()[name].clone()
}

#[track_caller]
fn assert_near(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let size = expected.abs().unwrap().maximum(1f32).unwrap();
    let distance = ((found - expected).unwrap().abs().unwrap() / size).unwrap();
    let most = distance.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    assert!(most <= 1e-6, "{what}: {most}");
}

#[test]
fn features_are_those_of_the_network_whatever_its_units() {
    let kinds = [
        "bernoulli:4",
        "spin:4",
        "binomial(3):4",
        "potts(3):2",
        "multinomial(5):4",
        "relu:4",
        "gaussian:4",
        "gaussian-learned:4",
        "gaussian-learned:2+potts(3):1+gaussian-learned:2",
    ];
    let x = normal((5, 6), 1);
    for (kind, is_standardised) in kinds.iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let model = model(&["gaussian:6", kind, "3"], is_standardised);
        let found = frozen(&model).features(&x).unwrap();
        let own = model.dbn.features(&model.prepare(&x).unwrap()).unwrap();
        for (layer, (found, own)) in found.iter().zip(&own).enumerate() {
            assert_near(found, own, &format!("{kind}, {is_standardised}, layer {layer}"));
        }
        assert_near(&frozen(&model).forward(&x).unwrap(), &own[1], kind);
        assert_eq!((found.len(), frozen(&model).width()), (2, 3));
    }
}

/// The top layer of a network with label units is a mean over what it believes of the labels.
#[test]
fn labels_are_averaged_over_and_learned() {
    for layers in [&["gaussian:6", "4", "relu:3"][..], &["gaussian:6", "3"]] {
        let Model { dbn, .. } = model(layers, false);
        let mut rbms = dbn.into_rbms();
        let top = rbms.pop().unwrap();
        let below = top.visible().units();
        let joint =
            model(&[&format!("{below}+potts(5):1"), &top.hidden().units().to_string()], false);
        rbms.extend(joint.dbn.into_rbms());
        let dbn = Dbn::with_labels(rbms, 5).unwrap();
        let model = Model::from(dbn);
        let x = normal((5, 6), 1);
        let own = model.dbn.up(&x).unwrap();
        assert_near(&frozen(&model).forward(&x).unwrap(), &own, "frozen");
        assert!(!frozen(&model).forward(&x).unwrap().track_op());
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path()).unwrap();
        let (variables, extractor) = pretrained(dir.path());
        assert_near(&extractor.forward(&x).unwrap(), &own, "learned");
        let loss = extractor.forward(&x).unwrap().sqr().unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let name = format!("features.rbms.{}.visible_1.bias", layers.len() - 2);
        let gradient = gradients.get(&var(&variables, &name)).unwrap();
        assert!(gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() > 0.0);
        assert_eq!(variables.all_vars().len(), 2 * (layers.len() - 1) + 1);
    }
}

#[test]
fn variables_receive_gradients_that_are_right() {
    let dir = tempfile::tempdir().unwrap();
    model(&["gaussian:6", "gaussian-learned:4", "relu:3"], true).save(dir.path()).unwrap();
    let (variables, extractor) = pretrained(dir.path());
    let (x, toward) = (normal((5, 6), 1), normal((5, 3), 2));
    let loss = || (extractor.forward(&x).unwrap() * &toward).unwrap().sum_all().unwrap();
    let gradients = loss().backward().unwrap();
    for name in ["rbms.0.weight", "rbms.0.hidden_bias", "rbms.0.hidden_precision", "rbms.1.weight"]
    {
        let var = var(&variables, &format!("features.{name}"));
        let gradient = gradients.get(&var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let along = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        // A small step along the gradient changes the loss by its length times the gradient's.
        let before = var.as_detached_tensor().copy().unwrap();
        let step = 1e-2 / along.sqrt();
        let at = |sign: f32| {
            let step = (gradient * f64::from(sign * step)).unwrap();
            var.set(&(&before + step).unwrap()).unwrap();
            loss().to_scalar::<f32>().unwrap()
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
        var.set(&before).unwrap();
        assert!(along > 0.0 && (slope / along - 1.0).abs() < 1e-2, "{name}: {slope} {along}");
    }
    let mean = var(&variables, "features.standardise.mean");
    assert!(gradients.get(&mean).is_none(), "the standardisation is learned");
}

#[test]
fn what_is_frozen_stays_so_and_lets_gradients_through() {
    let extractor = frozen(&model(&["gaussian:6", "relu:4", "3"], true));
    let x = normal((5, 6), 1);
    let features = extractor.forward(&x).unwrap();
    assert!(!features.track_op(), "a graph is kept of what nobody trains");
    let data = Var::from_tensor(&x).unwrap();
    let gradients = extractor.forward(&data).unwrap().sum_all().unwrap().backward().unwrap();
    let of_data = gradients.get(&data).unwrap().abs().unwrap().sum_all().unwrap();
    assert!(of_data.to_scalar::<f32>().unwrap() > 0.0);
}

#[test]
fn a_saved_model_goes_on_learning_under_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(&["6", "4", "3"], false);
    model.save(dir.path()).unwrap();
    let x = normal((5, 6), 1).ge(0.0).unwrap().to_dtype(DType::F32).unwrap();
    let own = model.dbn.up(&x).unwrap();
    let (variables, extractor) = pretrained(dir.path());
    assert_near(&extractor.forward(&x).unwrap(), &own, "added");
    let names: Vec<_> = variables.data().lock().unwrap().keys().cloned().collect();
    assert!(names.iter().all(|name| !name.contains("visible")) && names.len() == 4, "{names:?}");

    // What was there before, small and random, takes over the same numbers.
    let fresh = VarMap::new();
    let vb = VarBuilder::from_varmap(&fresh, DType::F32, &DEVICE);
    let extractor = FeatureExtractor::new(&model.config(), vb.pp("features")).unwrap();
    let at_first = extractor.forward(&x).unwrap();
    let spread = (&at_first - 0.5).unwrap().abs().unwrap().max_all().unwrap();
    assert!((0.0..0.1).contains(&spread.to_scalar::<f32>().unwrap()), "{at_first}");
    FeatureExtractor::load_into(&fresh, "features", dir.path(), &DEVICE).unwrap();
    assert_near(&extractor.forward(&x).unwrap(), &own, "set");

    let mut sgd = SGD::new(fresh.all_vars(), 0.5).unwrap();
    let loss = || extractor.forward(&x).unwrap().sum_all().unwrap();
    let before = loss().to_scalar::<f32>().unwrap();
    sgd.backward_step(&loss()).unwrap();
    assert!(loss().to_scalar::<f32>().unwrap() < before - 0.1, "nothing was learned");
}

#[test]
fn what_does_not_fit_is_an_error_that_names_it() {
    let model = model(&["6", "4", "3"], false);
    let fails = |tensors: HashMap<String, Tensor>| {
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &DEVICE);
        FeatureExtractor::new(&model.config(), vb.pp("features")).unwrap_err().to_string()
    };
    let mut missing = tensors(&model);
    missing.remove("features.rbms.1.hidden_bias");
    assert!(fails(missing).contains("features.rbms.1.hidden_bias"));
    let mut misshapen = tensors(&model);
    misshapen.insert("features.rbms.0.weight".into(), normal((4, 5), 1));
    assert!(fails(misshapen).contains("features.rbms.0.weight"));

    let message = frozen(&model).forward(&normal((2, 5), 1)).unwrap_err().to_string();
    assert!(message.contains("6 values a case") && message.contains("found 5"), "{message}");

    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &DEVICE).pp("f").pp("rbms").pp(1);
    let other = vb.get((3, 5), "weight").unwrap().to_vec2::<f32>().unwrap();
    let message = FeatureExtractor::load_into(&variables, "f", dir.path(), &DEVICE).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("f.rbms.1.weight") && message.contains("[3, 5]"), "{message}");
    assert_eq!(var(&variables, "f.rbms.1.weight").to_vec2::<f32>().unwrap(), other);
    assert_eq!(variables.all_vars().len(), 1);
}
