//! What the other subcommands print and write, compared with what the test itself makes of the files.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::{Answer, CASES, Numbers, Place, WIDTH, answer, csv, data, read_npy, tensors};

pub type Tensors = BTreeMap<String, Numbers>;

/// xWᵀ + b for `prefix.weight` `(out, in)` and the bias `name`.
pub fn linear(tensors: &Tensors, weight: &str, bias: &str, x: &[f64]) -> Vec<f64> {
    let ((shape, weights), (_, bias)) = (&tensors[weight], &tensors[bias]);
    assert_eq!(shape, &[bias.len(), x.len()]);
    let row = |weights: &[f32]| weights.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
    weights.chunks(x.len()).zip(bias).map(|(w, b)| row(w) + f64::from(*b)).collect()
}

pub fn sigmoid(inputs: Vec<f64>) -> Vec<f64> {
    inputs.into_iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect()
}

/// The mean activities of both hidden layers.
fn features(tensors: &Tensors, x: &[f32]) -> [Vec<f64>; 2] {
    let x: Vec<_> = x.iter().map(|&x| f64::from(x)).collect();
    let first = sigmoid(linear(tensors, "rbms.0.weight", "rbms.0.hidden_bias", &x));
    let second = sigmoid(linear(tensors, "rbms.1.weight", "rbms.1.hidden_bias", &first));
    [first, second]
}

/// Every number is the expected one within 1e-5: the f32 rounding of sums of a few dozen products.
#[track_caller]
pub fn assert_near(found: &[f32], expected: impl IntoIterator<Item = f64>) {
    let expected: Vec<_> = expected.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs());
    let worst = worst.fold(0.0, f64::max);
    assert!(worst < 1e-5, "{worst}");
}

pub fn json(answer: Answer) -> Value {
    serde_json::from_str(&answer.done().out).unwrap()
}

#[test]
fn embed_writes_what_the_weights_say() {
    let place = Place::new();
    place.train("--set layers.*.epochs=10");
    let weights = tensors(&place.model("run"));
    let cases = data(2, 0.1);
    let features: Vec<_> = cases.iter().map(|(values, _)| features(&weights, values)).collect();

    place.dbn("embed run --out top.npy").done();
    let (shape, numbers) = read_npy(&place.read("top.npy"));
    assert_eq!(shape, [CASES as u64, 12]);
    assert_near(&numbers, features.iter().flat_map(|[_, top]| top.clone()));

    place.dbn("embed run --layer 1 --out first.npy").done();
    let (shape, numbers) = read_npy(&place.read("first.npy"));
    assert_eq!(shape, [CASES as u64, 24]);
    assert_near(&numbers, features.iter().flat_map(|[first, _]| first.clone()));

    place.dbn("embed run data.csv --layer all --out all.npy").done();
    let (shape, numbers) = read_npy(&place.read("all.npy"));
    assert_eq!(shape, [CASES as u64, 24 + 12]);
    assert_near(&numbers, features.iter().flatten().flatten().copied());

    place.dbn("embed run --layer all --out all.safetensors").done();
    let bytes = place.read("all.safetensors");
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    assert_eq!(names, ["labels", "layer1", "layer2", "rows"]);
    assert_eq!(file.tensor("layer1").unwrap().shape(), [CASES, 24]);
    let labels = file.tensor("labels").unwrap();
    let labels: Vec<_> = labels
        .data()
        .chunks(8)
        .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize)
        .collect();
    assert_eq!(labels, cases.iter().map(|&(_, label)| label).collect::<Vec<_>>());
}

/// The program's count of errors is that of a classifier which the test runs by hand.
#[test]
fn evaluate_counts_the_errors_of_the_saved_classifier() {
    let place = Place::new();
    place.write("data.csv", csv(&data(3, 0.25)));
    place.train("--set classifier.epochs=10");
    let weights = tensors(&place.model("run"));
    let wrong = |values: &[f32], label: usize| {
        let mut x: Vec<_> = values.iter().map(|&x| f64::from(x)).collect();
        for layer in ["classifier.layers.0", "classifier.layers.1"] {
            x = sigmoid(linear(&weights, &format!("{layer}.weight"), &format!("{layer}.bias"), &x));
        }
        let scores = linear(&weights, "classifier.weight", "classifier.bias", &x);
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        best != Some(label)
    };
    for (words, other) in [("run --cases all", data(3, 0.25)), ("run other.csv", data(3, 0.3))] {
        place.write("other.csv", csv(&other));
        let report = json(place.dbn(&format!("evaluate {words} --json")));
        let errors = other.iter().filter(|(values, label)| wrong(values, *label)).count();
        assert!(errors > 0, "nothing to count");
        assert_eq!(report["errors"], errors, "{words}");
        let percent = report["error_percent"].as_f64().unwrap();
        assert!((percent - 100.0 * errors as f64 / CASES as f64).abs() < 1e-9);
    }
}

#[test]
fn evaluate_prints_a_table_or_one_json_object() {
    let place = Place::new();
    let trained = place.train("").out;
    let table = place.dbn("evaluate run").done().out;
    for word in [
        "bernoulli:16 → bernoulli:24",
        "bernoulli:24 → bernoulli:12",
        "cases 40",
        "cross-entropy",
        "error ",
    ] {
        assert!(table.contains(word), "{word:?} is missing in {table}");
    }
    // What training printed last is what a later look at the saved model finds.
    let error = trained.lines().last().unwrap().strip_prefix("held-out ").unwrap();
    assert!(table.lines().last().unwrap().starts_with(error), "{trained} {table}");

    let report = json(place.dbn("evaluate run --json"));
    let keys: Vec<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["cases", "classes", "confusion", "cross_entropy", "error_percent", "errors", "layers"]
    );
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for layer in layers {
        let keys: Vec<_> = layer.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = "data_reconstruction_error dead_units free_energy free_energy_gap hidden hidden_activity mean_weight means_error \
                        pseudo_likelihood reconstruction_error stuck_units visible";
        assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    }
    let cases =
        |words: &str| json(place.dbn(&format!("evaluate run {words} --json")))["cases"].as_u64();
    assert_eq!(cases("--cases held-out"), Some(40));
    assert_eq!(cases("--cases train"), Some(160));
    assert_eq!(cases("--cases all"), Some(200));
    assert_eq!(cases("data.csv"), Some(200), "nothing of other data was learned from");
    assert_eq!(cases("data.csv --cases held-out"), Some(40));
}

/// log p(v) by going through the hidden configurations, which no file of the program's does for 16 visible units.
#[test]
fn evaluate_knows_the_exact_likelihood_of_a_small_machine() {
    let place = Place::new();
    place.train("--layers 6 --unsupervised --set layers.0.epochs=20");
    let weights = tensors(&place.model("run"));
    let [w, b, c] = ["weight", "visible_bias", "hidden_bias"].map(|name| {
        weights[&format!("rbms.0.{name}")].1.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()
    });
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let free = |v: &[f32]| -> f64 {
        let dot = |row: &[f64]| row.iter().zip(v).map(|(w, v)| w * f64::from(*v)).sum::<f64>();
        -dot(&b) - w.chunks(WIDTH).zip(&c).map(|(row, c)| softplus(c + dot(row))).sum::<f64>()
    };
    let of_hidden = |h: usize| {
        let on: Vec<usize> = (0..6).filter(|j| h >> j & 1 == 1).collect();
        let input = |i: usize| b[i] + on.iter().map(|j| w[j * WIDTH + i]).sum::<f64>();
        (on.iter().map(|&j| c[j]).sum::<f64>()
            + (0..WIDTH).map(|i| softplus(input(i))).sum::<f64>())
        .exp()
    };
    let log_z = (0..1 << 6).map(of_hidden).sum::<f64>().ln();
    let cases = data(2, 0.1);
    let expected = -cases.iter().map(|(v, _)| free(v)).sum::<f64>() / CASES as f64 - log_z;
    let found = json(place.dbn("evaluate run data.csv --json"))["log_likelihood"].as_f64().unwrap();
    // Free energies of about 10 nats in f32: 1e-6 each, and as much for log Z.
    assert!((found - expected).abs() < 1e-4, "{found} {expected}");
}

#[test]
fn sample_writes_a_picture_and_the_numbers() {
    let place = Place::new();
    place.train("");
    let sample =
        |words: &str| place.dbn(&format!("sample run --count 7 --steps 30 {words}")).done();
    let answer = sample("--out a");
    assert_eq!(answer.out, "a/samples.png\na/samples.npy\n");
    let (shape, numbers) = read_npy(&place.read("a/samples.npy"));
    assert_eq!(shape, [7, WIDTH as u64]);
    assert!(numbers.iter().all(|x| (0.0..=1.0).contains(x)));
    assert!(numbers.iter().any(|&x| x != numbers[0]), "all the same");
    assert!(place.read("a/samples.png").starts_with(b"\x89PNG"));

    sample("--out b");
    sample("--out c --seed 1");
    assert!(place.files("a") == place.files("b"), "the same seed");
    assert!(place.read("a/samples.npy") != place.read("c/samples.npy"), "another seed");
    sample("");
    assert!(place.read("run/samples/samples.npy") == place.read("a/samples.npy"));
}

#[test]
fn inspect_shows_every_tensor() {
    let place = Place::new();
    place.train("");
    let weights = tensors(&place.model("run"));
    let parameters: usize = weights.values().map(|(_, numbers)| numbers.len()).sum();

    let table = place.dbn("inspect run").done().out;
    assert!(table.contains("network bernoulli:16 → bernoulli:24 → bernoulli:12"), "{table}");
    assert!(weights.keys().all(|name| table.contains(name.as_str())), "{table}");

    let report = json(place.dbn("inspect run --json"));
    assert_eq!(report["config"], place.json("run/config.json"));
    assert_eq!(report["parameters"], parameters);
    let entries = report["tensors"].as_array().unwrap();
    assert_eq!(entries.len(), weights.len());
    for entry in entries {
        let (shape, numbers) = &weights[entry["name"].as_str().unwrap()];
        assert_eq!(entry["shape"], serde_json::json!(shape));
        let least = numbers.iter().copied().fold(f32::INFINITY, f32::min);
        assert_eq!(entry["least"].as_f64().map(|x| x as f32), Some(least), "{entry}");
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / numbers.len() as f64;
        assert!((entry["mean"].as_f64().unwrap() - mean).abs() < 1e-6, "{entry}");
    }
}

#[test]
fn every_subcommand_explains_itself_by_an_example() {
    let place = Place::new();
    for name in ["train", "evaluate", "sample", "embed", "encode", "decode", "inspect", "import"] {
        let help = place.dbn(&format!("{name} --help")).done().out;
        assert!(help.contains("Example"), "{help}");
        assert!(help.contains(&format!("dbn {name} ")), "{help}");
    }
    assert!(place.dbn("--help").done().out.contains("dbn train"));
    let version = format!("dbn {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(place.dbn("--version").done().out, version);
}

/// `dbn … | head -1`, of which the reader is gone before the first line.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    place.train("");
    for words in [
        "inspect run",
        "inspect run --json",
        "evaluate run",
        "sample run --count 2 --steps 1",
        "--help",
    ] {
        let mut child = place.command(words).spawn().unwrap();
        drop(child.stdout.take());
        let answer = Answer::of(child.wait_with_output().unwrap());
        assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{words}");
    }
    let head = answer(&mut place.shell("\"$DBN\" inspect run | head -1")).done();
    assert_eq!(head.out.lines().count(), 1);
    assert_eq!(head.err, "");
}

/// Training is asked for its files, not for its output.
#[test]
fn training_goes_on_when_nobody_reads_its_output() {
    let place = Place::new();
    let train = "train data.csv --recipe tiny.toml --no-pictures --out";
    let mut child = place.command(&format!("{train} mute")).spawn().unwrap();
    drop(child.stdout.take());
    Answer::of(child.wait_with_output().unwrap()).done();
    tensors(&place.model("mute"));

    for words in ["", "-vv", "--log-json -vv"] {
        let _ = std::fs::remove_dir_all(place.path("deaf"));
        let mut child = place.command(&format!("{train} deaf {words}")).spawn().unwrap();
        drop(child.stderr.take());
        Answer::of(child.wait_with_output().unwrap()).done();
        tensors(&place.model("deaf"));
    }
}

#[test]
fn the_log_is_json_where_that_is_asked_for() {
    let place = Place::new();
    let words =
        "train data.csv --recipe tiny.toml --no-pictures --checkpoint-every 0 --log-json --out run";
    let answer = answer(place.command(words).env("RUST_LOG", "debug")).done();
    let mut messages = Vec::new();
    for line in answer.err.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
        assert!(event["timestamp"].is_string() && event["level"].is_string(), "{event}");
        messages.push(event["fields"]["message"].as_str().unwrap_or_default().to_owned());
    }
    for expected in ["reading data", "epoch done", "checkpoint written"] {
        assert!(messages.iter().any(|message| message == expected), "{expected:?}: {messages:?}");
    }
    let tables = answer.out.lines().all(|line| !line.starts_with('{'));
    assert!(tables, "the log is not among the results: {}", answer.out);
}

#[test]
fn verbose_tells_of_layers_and_more_verbose_of_epochs() {
    let place = Place::new();
    let train = |words: &str| place.train_into(&format!("run{words}"), words).err;
    let events = |log: &str, word: &str| {
        let is_event = |line: &&str| line.contains(" INFO ") || line.contains(" DEBUG ");
        log.lines().filter(is_event).filter(|line| line.contains(word)).count()
    };
    let quiet = train("");
    assert_eq!(events(&quiet, ""), 0, "{quiet}");
    let log = train("-v");
    assert!(!log.contains('\x1b'), "colours are for terminals: {log:?}");
    assert!(events(&log, "layer") >= 2 && events(&log, "classifier") >= 1, "{log}");
    assert_eq!(events(&log, "epoch done"), 0, "{log}");
    let log = train("-vv");
    assert!(events(&log, "epoch done") >= 4, "{log}");
}

/// Nobody's samples and reports are overwritten unasked, and a report that fails leaves nothing of itself.
#[test]
fn what_lies_there_is_replaced_only_by_force() {
    let place = Place::new();
    place.train("");
    let sample = "sample run --count 2 --steps 1";
    for folder in ["samples", "samples-2", "samples-3"] {
        let said = place.dbn(sample).done().out;
        assert!(said.contains(&format!("run/{folder}/samples.npy")), "{said}");
    }
    place.dbn(&format!("{sample} --out s")).done();
    let before = place.files("s");
    place.dbn(&format!("{sample} --seed 3 --out s")).failed(&["s/samples.npy", "--force"]);
    assert_eq!(place.files("s"), before);
    place.dbn(&format!("{sample} --seed 3 --out s --force")).done();
    assert_ne!(place.files("s"), before);

    place.dbn("evaluate run --report r").done();
    place.dbn("evaluate run --report r").failed(&["r/report.json", "--force"]);
    place.dbn("evaluate run --report r --force").done();
    let whole = place.files("r");
    let full = answer(
        &mut place.shell("ulimit -f 1; trap '' XFSZ; exec \"$DBN\" evaluate run --report half"),
    );
    assert_eq!(full.code, Some(1), "{full:?}");
    assert!(place.files("half").is_empty(), "{:?}", place.files("half").keys());
    assert!(whole.len() > 1);
}
