//! A model in its two files: the same bits out as in. What is refused is tested on the whole program, in `crates/cli/tests/cli`.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use candle_dbn::{Autoencoder, Classifier, ConditionalLayer, Dbn, Model, Standardise};
use rbm_core::model::init::Init;
use rbm_core::units::Bernoulli;
use rbm_core::{Discrete, Layer, Rbm, Result, Rng, Units};

fn model() -> Model {
    let layers = [Units::gaussian(6), Units::bernoulli(5), Units::bernoulli(4)];
    let mut rng = Rng::new(1);
    let init = Init { weight_deviation: 1.0, hidden_bias: -0.5 };
    let rbms: Vec<Rbm> = layers
        .windows(2)
        .map(|pair| {
            let rbm = Rbm::new(&pair[0], &pair[1], DType::F32, &Device::Cpu).unwrap();
            init.draw_weights(&rbm, &mut rng).unwrap();
            rbm
        })
        .collect();
    let classifier = Some(Classifier::unroll(&rbms, 3, &mut rng).unwrap());
    let columns = Tensor::arange(0f32, 24.0, &Device::Cpu).unwrap().reshape((4, 6)).unwrap();
    let standardise = Some(Standardise::of(&columns).unwrap());
    let autoencoder = Some(Autoencoder::unroll(&rbms).unwrap());
    let dbn = Dbn::new(rbms).unwrap();
    Model { classifier, autoencoder, standardise, image: Some((2, 3)), ..Model::from(dbn) }
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let model = model();
    model.save(dir.path()).unwrap();
    let loaded = Model::load(dir.path(), &Device::Cpu).unwrap();
    assert_eq!(loaded.config(), model.config());
    let (a, b) = (loaded.tensors().unwrap(), model.tensors().unwrap());
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, tensor) in &a {
        let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((tensor.dims(), bits(tensor)), (b[name].dims(), bits(&b[name])), "{name}");
    }
    // The file is (hidden, visible), the machine (visible, hidden): a transposition forgotten on one way shows here.
    assert_eq!(a["rbms.0.weight"].dims(), [5, 6]);
    assert_eq!(a["autoencoder.encoder.1.weight"].dims(), [4, 5]);
    assert_eq!(a["autoencoder.decoder.0.weight"].dims(), [5, 4]);
    let x = Tensor::ones((2, 6), DType::F32, &Device::Cpu).unwrap();
    let back = |m: &Model| {
        m.autoencoder
            .as_ref()
            .unwrap()
            .reconstruct(&m.prepare(&x).unwrap())
            .unwrap()
            .to_vec2::<f32>()
    };
    assert_eq!(back(&loaded).unwrap(), back(&model).unwrap());
    let logits = |m: &Model| {
        m.classifier.as_ref().unwrap().logits(&m.prepare(&x).unwrap()).unwrap().to_vec2::<f32>()
    };
    assert_eq!(logits(&loaded).unwrap(), logits(&model).unwrap());
    assert_eq!(Model::load(dir.path(), &Device::Cpu).unwrap().dbn.depth(), 2);
}

/// A network with label units and a way down of its own.
#[test]
fn a_joint_network_is_loaded_as_it_was_saved() {
    let machine = |visible: &str, hidden: usize| {
        let rbm = Rbm::new(
            &visible.parse().unwrap(),
            &Units::bernoulli(hidden),
            DType::F32,
            &Device::Cpu,
        )
        .unwrap();
        Init::default().draw_weights(&rbm, &mut Rng::new(hidden as u64)).unwrap();
        rbm
    };
    let mut deep =
        Dbn::with_labels(vec![machine("6", 5), machine("bernoulli:5+potts(3):1", 4)], 3).unwrap();
    deep.untie().unwrap();
    let twice = (deep.generative[0].weights.as_tensor() * 2.0).unwrap();
    deep.generative[0].weights.set(&twice).unwrap();
    let alone = Dbn::with_labels(vec![machine("bernoulli:2+spin:4+potts(3):1", 4)], 3).unwrap();
    for (dbn, matrices) in [
        (deep, &["rbms.1.weight [4, 8]", "generative.0.weight [6, 5]"][..]),
        (alone, &["rbms.0.weight [4, 9]"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let model = Model::from(dbn);
        model.save(dir.path()).unwrap();
        let loaded = Model::load(dir.path(), &Device::Cpu).unwrap();
        assert_eq!((loaded.config(), loaded.dbn.width()), (model.config(), 6));
        let flat = |model: &Model| -> Vec<_> {
            let tensors = model.tensors().unwrap().into_iter();
            let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            tensors.map(|(name, t)| (format!("{name} {:?}", t.dims()), bits(&t))).collect()
        };
        assert_eq!(flat(&loaded), flat(&model));
        let names: Vec<_> = flat(&model).into_iter().map(|(name, _)| name).collect();
        for matrix in matrices {
            assert!(names.iter().any(|name| name == matrix), "{matrix} is not among {names:?}");
        }
        let config = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
        let without = config.replace(r#""labels": 3"#, r#""labels": 2"#);
        std::fs::write(dir.path().join("config.json"), without).unwrap();
        let message = Model::load(dir.path(), &Device::Cpu).unwrap_err().to_string();
        assert!(message.contains("model.safetensors") && message.contains("weight"), "{message}");
    }
}

/// What was saved before there were autoencoders is still read: their key stands in `config.json` only where there is one.
#[test]
fn a_model_without_an_autoencoder_says_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model { autoencoder: None, ..model() };
    model.save(dir.path()).unwrap();
    let config = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
    assert!(!config.contains("autoencoder"), "{config}");
    let loaded = Model::load(dir.path(), &Device::Cpu).unwrap();
    assert!(loaded.autoencoder.is_none() && loaded.config() == model.config());
}

#[test]
fn saving_twice_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let read = || std::fs::read(dir.path().join("model.safetensors")).unwrap();
    model().save(dir.path()).unwrap();
    let first = read();
    model().save(dir.path()).unwrap();
    assert_eq!(read(), first);
}

#[test]
fn standardising_can_be_undone_and_constant_columns_are_safe() {
    let values = vec![1f32, 7.0, 2.0, 7.0, 6.0, 7.0];
    let cases = Tensor::from_vec(values.clone(), (3, 2), &Device::Cpu).unwrap();
    let standardise = Standardise::of(&cases).unwrap();
    let there = standardise.apply(&cases).unwrap();
    let columns = there.t().unwrap().to_vec2::<f32>().unwrap();
    let mean = columns[0].iter().sum::<f32>() / 3.0;
    let variance = columns[0].iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 3.0;
    assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6);
    assert_eq!(columns[1], [0.0; 3]);
    let back = standardise.undo(&there).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    back.iter().zip(values).for_each(|(back, value)| assert!((back - value).abs() < 1e-5));
}

/// Units of somebody's own, which do as Bernoulli units do and may say that they are.
#[derive(Debug)]
struct Own {
    inner: Bernoulli,
    claims: bool,
}

impl Layer for Own {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        let bias = Var::from_tensor(&self.inner.bias.as_detached_tensor().copy()?)?;
        Ok(Box::new(Self { inner: Bernoulli { bias }, claims: self.claims }))
    }
    fn units(&self) -> Units {
        match self.claims {
            true => self.inner.units(),
            false => Units::Other { name: self.type_name().into(), size: 4 },
        }
    }
    fn vars(&self) -> Vec<(String, &Var)> {
        self.inner.vars()
    }
    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.inner.statistics(x)
    }
    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        self.inner.expected_statistics(inputs)
    }
    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        self.inner.cgf(inputs)
    }
    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.inner.sample(inputs, rng)
    }
    fn discrete(&self) -> Option<&dyn Discrete> {
        self.inner.discrete()
    }
    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        self.inner.bias_for_mean(mean)
    }
}

fn own_machine(claims: bool) -> Rbm {
    let own = Own { inner: Bernoulli::new(4, DType::F32, &Device::Cpu).unwrap(), claims };
    let hidden = Units::bernoulli(3).build(DType::F32, &Device::Cpu).unwrap();
    let weights = Var::zeros((4, 3), DType::F32, &Device::Cpu).unwrap();
    Rbm::from_parts(Box::new(own), hidden, weights).unwrap()
}

/// Catches a copy that is built from units, which made Bernoulli units of any others, and one that shares its parameters.
#[test]
fn a_clone_keeps_a_layer_of_ones_own() {
    for claims in [false, true] {
        let dbn = Dbn::new(vec![own_machine(claims)]).unwrap();
        let copy = dbn.try_clone().unwrap();
        let name = copy.bottom().visible().type_name();
        assert!(name.ends_with("Own"), "{name}");
        let mirror = dbn.bottom().mirror().unwrap();
        assert_eq!(mirror.hidden().type_name(), name);
        assert_eq!(mirror.weights().dims(), [3, 4]);
        let down = ConditionalLayer::downwards(dbn.bottom()).unwrap().try_clone().unwrap();
        assert_eq!(down.units.type_name(), name);
        let biases = |layer: &dyn Layer| layer.vars()[0].1.to_vec1::<f32>().unwrap();
        let ones = Tensor::ones(4, DType::F32, &Device::Cpu).unwrap();
        dbn.bottom().visible().vars()[0].1.set(&ones).unwrap();
        dbn.bottom()
            .weights()
            .set(&Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap())
            .unwrap();
        for layer in [copy.bottom().visible(), mirror.hidden(), &*down.units] {
            assert_eq!(biases(layer), [0.0; 4], "a parameter is shared");
        }
        let sum = copy.bottom().weights().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert_eq!(sum, 0.0, "the weights are shared");
    }
}

/// A file would be read as something else.
#[test]
fn a_layer_of_ones_own_is_not_saved() {
    let dir = tempfile::tempdir().unwrap();
    for claims in [false, true] {
        let model = Model::from(Dbn::new(vec![own_machine(claims)]).unwrap());
        let refused = model.save(dir.path().join("model")).unwrap_err().to_string();
        assert!(refused.contains("Own: expected"), "{refused}");
        assert!(refused.contains("Rbm::from_parts"), "{refused}");
        assert!(!dir.path().join("model").exists());
    }
    let said = own_machine(false).visible().units();
    assert!(serde_json::to_string(&said).is_err());
    assert!(said.build(DType::F32, &Device::Cpu).unwrap_err().to_string().contains("Own"));
}

#[test]
fn the_folder_of_a_model_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a").join("b");
    model().save(&folder).unwrap();
    assert_eq!(Model::load(folder, &Device::Cpu).unwrap().config(), model().config());
}
