//! Machines of other programs say here what they say there: `make.py` wrote the files of this folder with those programs, and
//! their free energies and means to `golden.json`.
#![allow(clippy::unwrap_used)]

mod hostile;

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use candle_dbn::import::{Imported, TensorNames, pytorch, rbms, sklearn};
use candle_dbn::{Model, Result};
use rbm_core::Units;
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

fn rows(value: &Value) -> Tensor {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    Tensor::new(rows, &Device::Cpu).unwrap()
}

#[track_caller]
fn assert_near(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims());
    let worst = (found - expected).unwrap().abs().unwrap().max_all().unwrap();
    let worst = worst.to_scalar::<f32>().unwrap();
    assert!(worst < 1e-5, "{worst}: {found} {expected}");
}

/// The model says of the cases of `name` what its own library does.
#[track_caller]
fn assert_golden(model: &Model, name: &str) {
    let golden: Value = serde_json::from_slice(&fs::read(file("golden.json")).unwrap()).unwrap();
    let golden = &golden[name];
    let cases = rows(&golden["cases"]);
    assert_near(&model.dbn.up(&cases).unwrap(), &rows(&golden["means"]));
    let energies: Vec<f32> = serde_json::from_value(golden["free_energies"].clone()).unwrap();
    let energies = Tensor::new(energies, &Device::Cpu).unwrap();
    assert_near(&model.dbn.free_energy(&cases).unwrap(), &energies);
}

#[track_caller]
fn assert_fails(result: Result<Imported>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in {message:?}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}

fn named(map: &[(&str, &str)]) -> TensorNames {
    let map = map.iter().map(|(name, tensor)| (name.to_string(), tensor.to_string()));
    TensorNames { map: map.collect(), ..TensorNames::default() }
}

#[test]
fn a_machine_of_scikit_learn() {
    for name in ["sklearn.npz", "sklearn_f32.npz"] {
        assert_golden(&sklearn(&file(name)).unwrap().model, name);
    }
}

#[test]
fn machines_of_rbms_by_update() {
    for update in [1, 12, 300] {
        let imported = rbms(&file("bernoulli.h5"), Some(update)).unwrap();
        assert_golden(&imported.model, &format!("bernoulli.h5 {update}"));
    }
    let last = rbms(&file("bernoulli.h5"), None).unwrap();
    assert_golden(&last.model, "bernoulli.h5 300");
    assert_eq!(last.notes, ["update 300 of 1, 12, 300"]);
    assert_fails(rbms(&file("bernoulli.h5"), Some(2)), &["bernoulli.h5", "update_2", "1, 12, 300"]);

    let potts = rbms(&file("potts.h5"), None).unwrap().model;
    assert_eq!(potts.dbn.visible_units(), Units::Potts { sites: 4, states: 3 });
    assert_golden(&potts, "potts.h5 7");
}

#[test]
fn machines_of_pytorch_by_name() {
    for name in ["rbm.pt", "rbm.safetensors"] {
        let imported = pytorch(&file(name), &TensorNames::default()).unwrap();
        assert_golden(&imported.model, "rbm");
        assert!(imported.notes.is_empty(), "{:?}", imported.notes);
    }
    // In double precision, the other way round, beside other things, and two of them.
    let stack = pytorch(&file("stack.pt"), &TensorNames::default()).unwrap();
    assert_eq!(stack.model.dbn.depth(), 2);
    assert_golden(&stack.model, "stack");
    assert_eq!(stack.notes, ["left aside: head.weight"]);

    let map = [("W", "fc.weight"), ("h_bias", "fc.bias"), ("v_bias", "visible")];
    let linear = file("linear.safetensors");
    assert_golden(&pytorch(&linear, &named(&map)).unwrap().model, "linear");
    assert_fails(
        pytorch(&linear, &TensorNames::default()),
        &["linear", "--map W=NAME", "fc.weight"],
    );
    assert_fails(
        pytorch(&linear, &named(&map[..2])),
        &["linear", "v_bias", "--map v_bias=NAME", "visible"],
    );
    assert_fails(pytorch(&linear, &named(&[("W", "fc.w")])), &["\"fc.w\" for W", "fc.weight"]);
}

/// The tensors `named` in a file of their own, as `Imported` or its error.
fn of(tensors: &[(&str, Vec<f32>, &[usize])], names: &TensorNames) -> Result<Imported> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.safetensors");
    let tensor = |(name, values, shape): &(&str, Vec<f32>, &[usize])| {
        (name.to_string(), Tensor::from_vec(values.clone(), *shape, &Device::Cpu).unwrap())
    };
    let tensors = tensors.iter().map(tensor).collect();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    pytorch(&path, names)
}

#[test]
fn names_and_shapes_say_what_is_what() {
    let numbers = |n: usize| (0..n).map(|i| i as f32).collect::<Vec<_>>();
    let weights = |model: &Model| model.dbn.bottom().weights().to_vec2::<f32>().unwrap();
    let square = |transpose| {
        let tensors: [(&str, _, &[usize]); 3] =
            [("weight", numbers(4), &[2, 2]), ("b", numbers(2), &[2]), ("c", numbers(2), &[2])];
        of(&tensors, &TensorNames { transpose, ..TensorNames::default() }).unwrap()
    };
    // (hidden, visible) unless it is said otherwise: what was assumed is told.
    assert_eq!(weights(&square(false).model), [[0.0, 2.0], [1.0, 3.0]]);
    assert!(square(false).notes[0].contains("--transpose"));
    assert_eq!(weights(&square(true).model), [[0.0, 1.0], [2.0, 3.0]]);
    assert!(square(true).notes.is_empty());

    // a and b are Hinton's, b and c are Bengio's.
    for (visible, hidden) in [("a", "b"), ("b", "c"), ("bv", "bh"), ("visible_bias", "hidden_bias")]
    {
        let tensors: [(&str, _, &[usize]); 3] =
            [("W", numbers(6), &[3, 2]), (visible, numbers(3), &[3]), (hidden, numbers(2), &[2])];
        let model = of(&tensors, &TensorNames::default()).unwrap().model;
        assert_eq!(weights(&model)[1], [2.0, 3.0], "{visible} {hidden}");
        let transposed = TensorNames { transpose: true, ..TensorNames::default() };
        assert!(of(&tensors, &transposed).is_ok());
    }

    // The tenth machine stands above the second, and units are those that were asked for.
    let stack: Vec<(String, usize)> = [("9", 2), ("10", 2)].map(|(n, w)| (n.into(), w)).to_vec();
    let mut tensors = Vec::new();
    let called: Vec<[String; 3]> = stack
        .iter()
        .map(|(n, _)| ["W", "vbias", "hbias"].map(|part| format!("{n}.{part}")))
        .collect();
    for ([w, v, h], (visible, hidden)) in called.iter().zip([(3, 4), (4, 2)]) {
        let shape: &[usize] = if visible == 3 { &[4, 3] } else { &[2, 4] };
        tensors.push((w.as_str(), numbers(visible * hidden), shape));
        tensors.push((v, numbers(visible), if visible == 3 { &[3] } else { &[4] }));
        tensors.push((h, numbers(hidden), if hidden == 4 { &[4] } else { &[2] }));
    }
    let names = TensorNames {
        visible: Some(Units::gaussian(1)),
        hidden: Some(Units::of_kind("relu").unwrap()),
        ..TensorNames::default()
    };
    let config = of(&tensors, &names).unwrap().model.config();
    assert_eq!(config.visible, Units::gaussian(3));
    assert_eq!(
        config.hidden.iter().map(Units::to_string).collect::<Vec<_>>(),
        ["relu:4", "relu:2"]
    );
    let learned =
        TensorNames { visible: Some(Units::of_kind("gaussian-learned").unwrap()), ..names };
    assert_fails(of(&tensors, &learned), &["gaussian-learned", "nothing to learn but a bias"]);
}

#[test]
fn what_is_no_machine_is_refused_by_name() {
    let good = || -> [(&str, Vec<f32>, &[usize]); 3] {
        [
            ("W", vec![1.0; 6], &[2, 3]),
            ("v_bias", vec![0.0; 3], &[3]),
            ("h_bias", vec![0.0; 2], &[2]),
        ]
    };
    assert!(of(&good(), &TensorNames::default()).is_ok());
    let mut with_nan = good();
    with_nan[0].1[4] = f32::NAN;
    assert_fails(of(&with_nan, &TensorNames::default()), &["\"W\", number", "finite", "NaN"]);
    let mut misshapen = good();
    misshapen[0].2 = &[6];
    assert_fails(of(&misshapen, &TensorNames::default()), &["\"W\"", "[2, 3] or [3, 2]", "[6]"]);
    let transposed = TensorNames { transpose: true, ..TensorNames::default() };
    assert_fails(of(&good(), &transposed), &["\"W\"", "[3, 2]", "--transpose", "[2, 3]"]);
    assert_fails(of(&good()[..2], &TensorNames::default()), &["h_bias", "--map h_bias=NAME"]);
    assert_fails(of(&good()[..1], &TensorNames::default()), &["--map W=NAME", "found W"]);

    // A pickle that is more than tensors is code, and not run.
    assert_fails(
        pytorch(&file("module.pt"), &TensorNames::default()),
        &["module.pt", "state dict"],
    );
    assert_fails(
        pytorch(&file("golden.json"), &TensorNames::default()),
        &["golden.json", ".safetensors"],
    );
    assert_fails(sklearn(&file("golden.json")), &["golden.json", ".npz"]);
    assert_fails(sklearn(&file("rbm.pt")), &["components_", "none of this name"]);
    assert_fails(rbms(&file("golden.json"), None), &["golden.json", "HDF5"]);
    assert_fails(rbms(&file("none.h5"), None), &["none.h5", "No such file"]);
    assert_fails(sklearn(&file("none.npz")), &["none.npz", "No such file"]);
    assert_fails(pytorch(&file("none.pt"), &TensorNames::default()), &["none.pt", "No such file"]);
}

/// A file that was cut short, or had a byte turned, is an error or the machine, and never a panic.
#[test]
fn damage_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let read = |path: &Path| match path.extension().unwrap().to_str().unwrap() {
        "npz" => sklearn(path),
        "h5" => rbms(path, None),
        _ => pytorch(path, &TensorNames::default()),
    };
    for name in
        ["sklearn.npz", "sklearn_f32.npz", "bernoulli.h5", "potts.h5", "rbm.pt", "rbm.safetensors"]
    {
        let bytes = fs::read(file(name)).unwrap();
        let path = dir.path().join(name);
        for length in (0..bytes.len()).step_by(bytes.len() / 40) {
            fs::write(&path, &bytes[..length]).unwrap();
            let result = read(&path);
            assert!(result.is_err() || name.ends_with("h5"), "{name} of {length} bytes");
        }
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(120)) {
            let mut turned = bytes.clone();
            turned[at] ^= 0xff;
            fs::write(&path, turned).unwrap();
            let _ = read(&path);
        }
    }
}
