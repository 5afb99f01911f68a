//! Units of every kind by the command line.
//!
//! What it would catch: a kind that a flag, a reader, a picture or a number of `evaluate` does not know.

use serde_json::Value;

use crate::common::{Place, npy, read_npy, tensors};

/// Cases of six values each, drawn by `value(case, column)`.
fn cases(value: impl Fn(usize, usize) -> f32) -> Vec<u8> {
    let row = |case| (0..6).map(|column| value(case, column)).collect();
    npy(&(0..60).map(row).collect::<Vec<_>>())
}

fn spin(case: usize, column: usize) -> f32 {
    if (case / (column + 1)).is_multiple_of(2) { 1.0 } else { -1.0 }
}

fn one_of_three(case: usize, column: usize) -> f32 {
    f32::from(u8::from((case / (1 + column / 3)) % 3 == column % 3))
}

/// Five draws: most of a case fall in one category.
fn counts(case: usize, column: usize) -> f32 {
    let most = case % 6;
    if column == most { 4.0 } else { f32::from(u8::from(column == (most + 1) % 6)) }
}

const SMALL: &str = "--unsupervised --no-pictures --set layers.*.epochs=2 --set layers.*.batch_size=10 \
                     --set layers.*.learning_rate=0.01";

#[test]
fn every_kind_is_trained_evaluated_sampled_and_embedded() {
    let place = Place::new();
    let zero = |case, column| f32::from(u8::from(spin(case, column) > 0.0));
    let real = |case: usize, column: usize| spin(case, column) * 0.7 + case as f32 / 60.0;
    let grey = |case, column| 3.0 * zero(case, column);
    let positive = |case, column| real(case, column).abs();
    for (visible, hidden, data, parameters) in [
        ("spin", "spin:5", cases(spin), "rbms.0.hidden_bias rbms.0.visible_bias rbms.0.weight"),
        ("potts(3)", "potts(2):3", cases(one_of_three), ""),
        ("multinomial(5)", "5", cases(counts), ""),
        ("binomial(3)", "binomial(2):5", cases(grey), ""),
        ("gaussian", "relu:5", cases(real), ""),
        ("relu", "gaussian:5", cases(positive), ""),
        (
            "bernoulli:3+gaussian-learned:3",
            "relu:2+spin:3",
            cases(move |i, j| if j < 3 { zero(i, j) } else { real(i, j) }),
            "rbms.0.hidden_0.bias rbms.0.hidden_1.bias rbms.0.visible_0.bias rbms.0.visible_1.bias \
             rbms.0.visible_1.precision rbms.0.weight standardise.deviation standardise.mean",
        ),
    ] {
        place.write("x.npy", data);
        let _ = std::fs::remove_dir_all(place.path("run"));
        let words = format!("train x.npy --visible {visible} --hidden {hidden} {SMALL} --out run");
        place.dbn(&words).done();
        let names: Vec<_> = tensors(&place.model("run")).into_keys().collect();
        if !parameters.is_empty() {
            assert_eq!(names, parameters.split_whitespace().collect::<Vec<_>>(), "{visible}");
        }
        let answer = place.dbn("evaluate run --json").done().out;
        let report: Value = serde_json::from_str(&answer).unwrap();
        let layer = &report["layers"][0];
        assert!(layer["data_reconstruction_error"].as_f64().unwrap().is_finite(), "{visible}");
        let is_discrete = !visible.contains("gaussian") && visible != "relu";
        assert_eq!(layer["pseudo_likelihood"].as_f64().is_some(), is_discrete, "{visible}");
        place.dbn("sample run --count 9 --steps 20 --binary").done();
        let (shape, samples) = read_npy(&place.read("run/samples/samples.npy"));
        assert_eq!(shape, [9, 6], "{visible}");
        assert!(samples.iter().all(|x| x.is_finite()), "{visible}");
        if visible == "spin" {
            assert!(samples.iter().all(|x| x.abs() == 1.0), "{samples:?}");
        }
        if visible == "multinomial(5)" {
            assert!(samples.chunks(6).all(|x| x.iter().sum::<f32>() == 5.0), "{samples:?}");
        }
        place.dbn("embed run --out f.npy --force").done();
        let (_, features) = read_npy(&place.read("f.npy"));
        assert!(features.iter().all(|x| x.is_finite()), "{visible}");
        let said = place.dbn("inspect run").done().out;
        let layer = if hidden == "5" { "bernoulli:5" } else { hidden };
        assert!(said.lines().next().unwrap().ends_with(&format!("→ {layer}")), "{said}");
    }
}

#[test]
fn data_that_units_cannot_be_are_refused_with_a_hint() {
    let place = Place::new();
    let refuse = |visible: &str, words: &[&str]| {
        let command = format!("train x.npy --visible {visible} --hidden 5 {SMALL} --out run");
        place.dbn(&command).failed_in_the_end(words);
        assert!(!place.path("run").exists());
    };
    place.write("x.npy", cases(|case, column| f32::from(u8::from(spin(case, column) > 0.0))));
    refuse("spin", &["x.npy", "case 2, value 1", "-1 or 1", "bernoulli"]);
    refuse("potts(3)", &["x.npy", "case 1, value 1", "one in one of them", "sum to 3"]);
    refuse("multinomial(2)", &["x.npy", "case 1, value 1", "sum to 2", "sum to 6"]);
    refuse("potts(4)", &["potts(4)", "multiple of 4", "6"]);
    refuse("bernoulli:3+spin:2", &["bernoulli:3+spin:2", "5 columns", "6"]);
    let command = format!("train x.npy --visible potts --hidden 5 {SMALL} --out run");
    place.dbn(&command).misused(&["visible = \"potts\"", "potts(STATES)"]);
    place.write("x.npy", cases(spin));
    refuse("relu", &["x.npy", "at least 0", "-1"]);
    refuse("binomial(3)", &["x.npy", "[0, 3]", "-1"]);
}
