//! Where the cases come from: whole populations, drawn bits, three files, counts and codes, from training to evaluation.

use serde_json::Value;

use crate::common::Place;

/// What `evaluate words` says, as JSON.
fn evaluated(place: &Place, words: &str) -> Value {
    serde_json::from_str(&place.dbn(&format!("evaluate {words} --json")).done().out).unwrap()
}

fn log_likelihood(place: &Place, words: &str) -> f64 {
    evaluated(place, words)["log_likelihood"].as_f64().unwrap()
}

/// The recipe of its name comes within its promised distance of what no machine can pass, and nothing is held out.
#[test]
fn a_population_is_learned_to_its_bound() {
    let place = Place::new();
    let quick = "--no-pictures --no-monitor";
    place.dbn(&format!("train shifting-bar:9 --out run {quick}")).done();
    let best = -9f64.ln();
    for words in ["run", "run --cases all", "run --cases train", "run shifting-bar:9"] {
        let found = log_likelihood(&place, words);
        assert!(found <= best + 1e-5 && found > best - 0.02, "{words}: {found}");
        assert_eq!(evaluated(&place, words)["cases"], 9);
    }
    for (cases, word) in [("held-out", "held out"), ("validation", "kept for validation")] {
        let answer = place.dbn(&format!("evaluate run --cases {cases}"));
        answer.failed(&["shifting-bar:9: no cases are", word]);
    }
    // The recipe names its data, and `--data` another population of its kind.
    place.dbn(&format!("train --recipe shifting-bar --out named {quick}")).done();
    assert_eq!(place.model("named"), place.model("run"));
    assert!(place.text("run/recipe.toml").contains("source = \"shifting-bar:9\""));
    place.dbn("train bars-and-stripes:0 --out no").failed(&["bars-and-stripes:N", "\"bars-and"]);
}

/// 40 cases of four grey values, as text.
fn grey() -> String {
    (0..40).map(|i| format!("{},{},0.5,{}\n", i % 5, i % 3, i % 4)).collect()
}

/// Catches bits that are drawn anew in evaluation, or that do not depend on the seed.
#[test]
fn a_run_remembers_how_its_data_were_binarised() {
    let place = Place::new();
    place.write("grey.csv", grey());
    let train = |out: &str, binarise: &str| {
        let options = "--scale 4 --layers 3 --set layers.0.epochs=2 --no-pictures --no-monitor";
        place.dbn(&format!("train grey.csv {options} --binarise {binarise} --out {out}")).done();
    };
    train("run", "sample:3");
    train("again", "sample:3");
    train("other", "sample:4");
    assert_eq!(place.model("run"), place.model("again"));
    assert_ne!(place.model("run"), place.model("other"));
    assert!(place.text("run/recipe.toml").contains("binarise = \"sample:3\""));

    let own = log_likelihood(&place, "run --cases all");
    let named =
        |options: &str| log_likelihood(&place, &format!("run grey.csv --cases all {options}"));
    assert_eq!(own, named("--scale 4 --binarise sample:3"));
    assert_ne!(own, named("--scale 4 --binarise sample:4"));
    assert_ne!(own, named("--scale 4"));
    // What other data lack is said, unless it is wanted so.
    let said = |options: &str| {
        let words = format!("evaluate run grey.csv --cases all --scale 4 {options}");
        place
            .dbn(&words)
            .done()
            .err
            .contains("--binarise sample:3); these data are taken as they are")
    };
    assert!(said("") && !said("--binarise none") && !said("--binarise sample:4"));
    // The run's own cases, drawn otherwise; how else they are read is the run's.
    assert_eq!(own, log_likelihood(&place, "run --cases all --binarise sample:3"));
    assert_eq!(
        named("--scale 4 --binarise sample:4"),
        log_likelihood(&place, "run --cases all --binarise sample:4")
    );
    place.dbn("evaluate run --scale 4").failed(&["--scale", "data that are named"]);
    place.dbn("evaluate run grey.csv --binarise sample:3").failed(&[
        "grey.csv",
        "case 3, value 1",
        "2",
    ]);
    let wrong = place.dbn("train grey.csv --binarise often");
    assert_eq!((wrong.code, wrong.err.contains("threshold:NUMBER")), (Some(2), true));
}

#[test]
fn three_files_are_learned_from_validated_and_tested_on() {
    let place = Place::new();
    let text = |cases: usize, zeros: usize| -> String {
        (0..cases).map(|i| format!("{},{},1\n", u8::from(i >= zeros), i % 2)).collect()
    };
    place.write("set/some.train.data", text(60, 30));
    place.write("set/some.valid.data", text(10, 4));
    place.write("set/some.test.data", text(20, 4));
    place.write("set/other.train.data", text(2, 1));
    place.dbn("train set").failed(&["set", "one name: choose one with FOLDER/NAME", "other, some"]);
    let options = "--layers 3 --set layers.0.epochs=2 --no-pictures";
    let answer = place.dbn(&format!("train set/some {options} --out run")).done();
    assert!(answer.err.contains("gap"), "the free-energy gap needs validation cases: {answer:?}");
    for (cases, count) in [("train", 60), ("validation", 10), ("held-out", 20), ("all", 90)] {
        assert_eq!(evaluated(&place, &format!("run --cases {cases}"))["cases"], count, "{cases}");
    }
    assert_eq!(evaluated(&place, "run")["cases"], 20);
    assert_eq!(evaluated(&place, "run set/some --cases validation")["cases"], 10);
    let all = ["train", "validation", "held-out"]
        .map(|cases| log_likelihood(&place, &format!("run --cases {cases}")));
    let [train, validation, held_out] = all;
    let mean = (60.0 * train + 10.0 * validation + 20.0 * held_out) / 90.0;
    assert!((log_likelihood(&place, "run --cases all") - mean).abs() < 1e-5);
}

#[test]
fn counts_and_codes_reach_the_units_made_for_them() {
    let place = Place::new();
    let options = "--layers 3 --set layers.0.epochs=2 --no-pictures --unsupervised";
    let counts: String = (0..30).map(|i| format!("0 {}:2 4:{}\n", 1 + i % 3, 1 + i % 2)).collect();
    place.write("counts.svm", counts);
    place
        .dbn(&format!("train counts.svm --width 6 --visible binomial(2) {options} --out counts"))
        .done();
    assert!(place.text("counts/recipe.toml").contains("width = 6"));
    let report = evaluated(&place, "counts");
    assert_eq!(report["layers"][0]["visible"], "binomial(2):6");

    let codes: String = (0..30).map(|i| format!("{},{}\n", i % 3, 2 - i % 3)).collect();
    place.write("codes.csv", codes);
    place
        .dbn(&format!("train codes.csv --one-hot 3 --visible potts(3) {options} --out codes"))
        .done();
    assert_eq!(evaluated(&place, "codes")["layers"][0]["visible"], "potts(3):2");
    let answer = place.dbn("evaluate codes codes.csv --one-hot 2");
    answer.failed(&["codes.csv", "case 1, value 2", "from 0 to 1", "2"]);

    let alignment: String =
        (0..30).map(|i| format!(">s{i}\nAC-{}\n", ["DE", "WY"][i % 2])).collect();
    place.write("family.fa", alignment);
    place.dbn(&format!("train family.fa --visible potts(21) {options} --out family")).done();
    assert_eq!(evaluated(&place, "family")["layers"][0]["visible"], "potts(21):5");
}
