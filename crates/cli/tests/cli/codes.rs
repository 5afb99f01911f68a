//! `dbn encode` and `dbn decode`, and what `dbn train` and `dbn evaluate` say of an autoencoder, against what the test itself makes of
//! the weights.

use crate::commands::{Tensors, assert_near, json, linear, sigmoid};
use crate::common::{CASES, EPOCHS, Place, WIDTH, data, metrics, npy, read_npy, tensors};

/// Both sides of `tiny.toml`'s autoencoder: the code of a case, and what is made of a code.
fn encode(tensors: &Tensors, x: &[f64]) -> Vec<f64> {
    let up = |i: usize, x: &[f64]| {
        let name = |what: &str| format!("autoencoder.encoder.{i}.{what}");
        linear(tensors, &name("weight"), &name("bias"), x)
    };
    // The code is linear: no sigmoid.
    up(2, &sigmoid(up(1, &sigmoid(up(0, x)))))
}

fn decode(tensors: &Tensors, code: &[f64]) -> Vec<f64> {
    let down = |i: usize, x: &[f64]| {
        let name = |what: &str| format!("autoencoder.decoder.{i}.{what}");
        sigmoid(linear(tensors, &name("weight"), &name("bias"), x))
    };
    down(2, &down(1, &down(0, code)))
}

fn cases() -> Vec<Vec<f64>> {
    let values = |(values, _): (Vec<f32>, usize)| values.into_iter().map(f64::from).collect();
    data(2, 0.1).into_iter().map(values).collect()
}

#[test]
fn codes_and_cases_are_what_the_weights_say() {
    let place = Place::of_autoencoder();
    place.train("--set autoencoder.epochs=20");
    let weights = tensors(&place.model("run"));
    // Fine-tuning moved both ways apart from the machines and from each other.
    assert_ne!(weights["autoencoder.encoder.0.weight"], weights["rbms.0.weight"]);
    assert_eq!(weights["autoencoder.decoder.2.weight"].0, [WIDTH, 24]);
    let codes: Vec<_> = cases().iter().map(|x| encode(&weights, x)).collect();

    let said = place.dbn("encode run --out codes.npy").done().out;
    assert!(said.contains("codes.npy: 200 cases x 2 features"), "{said}");
    assert!(said.contains("codes.png"), "{said}");
    let (shape, numbers) = read_npy(&place.read("codes.npy"));
    assert_eq!(shape, [CASES as u64, 2]);
    assert_near(&numbers, codes.concat());
    assert!(place.read("codes.png").starts_with(b"\x89PNG"));

    let said = place.dbn("decode run codes.npy --out decoded.npy").done().out;
    assert!(said.contains("decoded.npy: 200 cases x 16") && said.contains("decoded.png"), "{said}");
    let (shape, numbers) = read_npy(&place.read("decoded.npy"));
    assert_eq!(shape, [CASES as u64, WIDTH as u64]);
    assert_near(&numbers, codes.iter().flat_map(|code| decode(&weights, code)));
    assert!(place.read("decoded.png").starts_with(b"\x89PNG"));

    // The numbers of the cases and their labels, beside the codes in a table, are not taken for codes.
    place.dbn("encode run --out codes.csv --force").done();
    place.dbn("decode run codes.csv --out again.npy").done();
    assert_eq!(read_npy(&place.read("again.npy")), read_npy(&place.read("decoded.npy")));

    place.dbn("encode run --out codes.parquet --force").done();
    place.dbn("decode run codes.parquet --out columns.npy").done();
    assert_eq!(read_npy(&place.read("columns.npy")), read_npy(&place.read("decoded.npy")));

    place
        .dbn("encode run data.csv --cases all --out codes.safetensors")
        .failed(&["codes.png: exists already", "--force"]);
    place.dbn("encode run data.csv --cases all --out codes.safetensors --force").done();
    let bytes = place.read("codes.safetensors");
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("codes").unwrap().shape(), [CASES, 2]);
    assert_eq!(file.tensor("labels").unwrap().shape(), [CASES]);

    // The mean over cases of the sum over values, and the cross-entropy.
    let (mut squares, mut nats) = (0.0, 0.0);
    for (x, code) in cases().iter().zip(&codes) {
        for (x, mean) in x.iter().zip(decode(&weights, code)) {
            squares += (x - mean).powi(2);
            nats -= x * mean.ln() + (1.0 - x) * (1.0 - mean).ln();
        }
    }
    let report = json(place.dbn("evaluate run --cases all --json"));
    for (key, sum) in [("squared_error", squares), ("reconstruction_loss", nats)] {
        let found = report[key].as_f64().unwrap();
        // The f32 rounding of sums of 16 numbers.
        assert!((found - sum / CASES as f64).abs() < 1e-4, "{key}: {found}");
    }
    assert!(report.get("errors").is_none());
    let table = place.dbn("evaluate run").done().out;
    assert!(table.contains("autoencoder: squared error "), "{table}");
    let shown = place.dbn("inspect run").done().out;
    assert!(shown.contains("autoencoder.encoder.2.weight"), "{shown}");
}

#[test]
fn training_tells_of_the_autoencoder_and_draws_its_codes() {
    let place = Place::of_autoencoder();
    let answer =
        place.dbn("train data.csv --recipe tiny.toml --out run --set layers.2.hidden=gaussian:2");
    let said = answer.done().out;
    assert!(said.lines().last().unwrap().starts_with("held-out squared error "), "{said}");
    assert!(place.read("run/codes.png").starts_with(b"\x89PNG"));
    let lines = metrics(&place.path("run"));
    let (of_layers, fine) = lines.split_at(3 * EPOCHS[0].1);
    assert_eq!(fine.len(), 3);
    for (i, line) in fine.iter().enumerate() {
        assert_eq!((&line["stage"], &line["epoch"]), (&"autoencoder".into(), &(i + 1).into()));
        for key in ["train_loss", "validation_squared_error", "validation_loss"] {
            assert!(line[key].as_f64().is_some_and(|x| x > 0.0), "{key}: {line}");
        }
        assert!(line.get("validation_error").is_none(), "{line}");
    }
    assert!(of_layers.iter().all(|line| line.get("train_loss").is_none()));
    // Codes of three numbers are not drawn.
    place.train_into("deep", "--set layers.2.hidden=gaussian:3");
    let said = place.dbn("encode deep --out deep.npy").done().out;
    assert!(!said.contains(".png") && !place.path("deep.png").exists(), "{said}");
}

#[test]
fn codes_that_cannot_be_are_refused() {
    let place = Place::of_autoencoder();
    place.train("");
    place.dbn("encode run --out codes.txt").failed(&[
        "--out",
        ".npy, .safetensors, .parquet or .csv",
        "codes.txt",
    ]);
    place.write("three.npy", npy(&[vec![0.0; 3], vec![1.0; 3]]));
    let answer = place.dbn("decode run three.npy --out decoded.npy");
    answer.failed(&["three.npy", "the codes", "expected 2 numbers", "found 3"]);
    place.write("nan.npy", npy(&[vec![0.0, f32::NAN]]));
    place.dbn("decode run nan.npy --out decoded.npy").failed(&[
        "nan.npy",
        "case 1, value 2",
        "NaN",
    ]);
    place.dbn("decode run nowhere.npy --out decoded.npy").failed(&["nowhere.npy", "no file"]);
    place.dbn("decode run three.npy --out decoded.csv").failed(&["--out", ".npy", "decoded.csv"]);
    assert!(!place.path("decoded.npy").exists());
    place.write("two.npy", npy(&[vec![0.0; 2]]));
    place.dbn("decode run two.npy --out decoded.npy").done();
    let answer = place.dbn("decode run two.npy --out decoded.npy");
    answer.failed(&["decoded.npy", "exists already", "--force"]);
    place.dbn("decode run two.npy --out decoded.npy --force").done();
    place.dbn("encode run three.npy --out codes.npy").failed(&["three.npy", "16", "found 3"]);

    // A configuration that promises an autoencoder, or says nothing of the one there is.
    let config = place.text("run/config.json");
    let silent = config.replace("\"autoencoder\": true,", "");
    assert_ne!(silent, config);
    place.write("run/config.json", silent);
    place.dbn("inspect run").failed(&[
        "model.safetensors",
        "autoencoder.decoder.0",
        "extra tensor",
    ]);

    let plain = Place::new();
    plain.train("");
    plain.write("two.npy", npy(&[vec![0.0; 2]]));
    for words in ["encode run --out c.npy", "decode run two.npy --out d.npy"] {
        plain.dbn(words).failed(&["run", "a model with an autoencoder", "found none"]);
    }
    let config = plain.text("run/config.json");
    plain.write("run/config.json", config.replacen('{', "{\"autoencoder\": true,", 1));
    let answer = plain.dbn("inspect run");
    answer.failed(&[
        "model.safetensors",
        "autoencoder.decoder.0.weight",
        "[24, 12]",
        "no such tensor",
    ]);
}
