//! `dbn bench`: every row is there, its numbers agree with each other, and what makes no sense is refused.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::{Place, answer, idx, npy};

/// The rows without options, by name.
const ROWS: [&str; 18] = [
    "cd-1 784x500 b100",
    "pcd-1 784x500 b100",
    "pcd-10 784x500 b100",
    "cd-1 784x500 b100 grey",
    "cd-1 784x500 b100 dense",
    "cd-1 500x500 b100",
    "cd-1 500x2000 b100",
    "pcd-1 64x100 b10",
    "pcd-1 784x16 b10",
    "pcd-1 potts 53x21-100 b100",
    "fine-tune 784x500x500x2000x10 b100",
    "fine-tune 784x500x500x2000x10 b100 dropout",
    "fine-tune 784x500x500x2000x10 b100 adversarial",
    "fine-tune 784x500x500x2000x10 b100 virtual",
    "embed 784x500x500x2000 b1000",
    "ais-50 784x500 b100",
    "tempering-10 784x500 b100",
    "mean-field-10 784x500x500 b100",
];

fn bench(place: &Place, words: &str) -> Value {
    let answer = place.dbn(&format!("bench --device cpu --json {words}")).done();
    serde_json::from_str(&answer.out).unwrap()
}

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or_else(|| panic!("{key}: {line}"))
}

/// The numbers of a line belong together, whatever the machine.
#[track_caller]
fn assert_consistent(line: &Value) {
    let keys =
        ["updates_per_second", "cases_per_second", "us_per_case", "products_us_per_case", "ratio"];
    for key in keys {
        let value = number(line, key);
        assert!(value > 0.0 && value.is_finite(), "{key}: {line}");
    }
    assert!(number(line, "rounds") >= 5.0, "{line}");
    let (updates, cases) = (number(line, "updates_per_second"), number(line, "cases_per_second"));
    assert!((cases / updates - number(line, "batch")).abs() < 1e-6 * cases / updates, "{line}");
    assert!((cases * number(line, "us_per_case") / 1e6 - 1.0).abs() < 1e-6, "{line}");
}

fn density(line: &Value, of: &str) -> f64 {
    line["density"][of].as_f64().unwrap_or_else(|| panic!("{of}: {line}"))
}

#[test]
fn every_row_is_measured() {
    let report = bench(&Place::new(), "--seconds 0.05 --warm-updates 20");
    let lines = report["rows"].as_array().unwrap();
    let names: Vec<_> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ROWS);
    lines.iter().for_each(assert_consistent);
    assert!(report["machine"]["threads"].as_u64().unwrap() > 0);
    assert_eq!(report["machine"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(lines.iter().all(|line| line["device"] == "cpu"));

    // The strokes are as dark as MNIST, 13 % of whose pixels are above a half; 19 % are not white.
    assert!((0.10..0.16).contains(&density(&lines[0], "data")), "{}", lines[0]);
    assert!((0.14..0.24).contains(&density(&lines[3], "data")), "{}", lines[3]);
    // About half of everything is on, and stays on.
    for of in ["data", "fantasies", "hidden"] {
        assert!((0.45..0.55).contains(&density(&lines[4], of)), "{of}: {}", lines[4]);
    }
}

/// What is learned before the measuring shows: a machine at its start has half of its hidden units on.
#[test]
fn machines_are_warm() {
    let place = Place::new();
    let hidden = |updates: usize| {
        let words = format!("--seconds 0.01 --shape 784x500 --warm-updates {updates}");
        density(&bench(&place, &words)["rows"][0], "hidden")
    };
    let (cold, warm) = (hidden(0), hidden(600));
    assert!(warm < cold - 0.05, "{cold} cold, {warm} warm");
}

#[test]
fn a_row_of_ones_own() {
    let place = Place::new();
    let report = bench(&place, "--seconds 0.01 --shape 20x30 --method pcd --steps 3 --batch 7");
    let [line] = &report["rows"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!(line["name"], "pcd-3 20x30 b7");
    assert_eq!((&line["method"], &line["steps"]), (&"pcd".into(), &3.into()));
    assert_eq!(line["widths"], serde_json::json!([20, 30]));
    assert_consistent(line);
    assert_eq!(report["seconds"], 0.01);

    let table = place.dbn("bench --device cpu --seconds 0.01 --shape 20x30 --batch 5").done();
    for word in [
        "cd-1 20x30 b5",
        "strokes",
        "updates/s",
        "cases/s",
        "µs/case",
        "products",
        "ratio",
        "threads",
    ] {
        assert!(table.out.contains(word), "{word:?} is missing in {}", table.out);
    }
}

/// Data are thresholded at a half, whether they come from a folder of IDX files or a file. Where there are fewer cases than
/// a mini-batch has, all of them come again.
#[test]
fn real_cases_are_thresholded() {
    let place = Place::new();
    // A quarter of the values of the last ten cases is above a half, and none of the first ten.
    let mut bytes = vec![0u8; 10 * 16];
    bytes.extend([0, 100, 127, 128].repeat(10 * 4));
    place.write("pictures/train-images-idx3-ubyte", idx(&[20, 4, 4], &bytes));
    place.write("pictures/train-labels-idx1-ubyte", idx(&[20], &[1; 20]));
    let dark = vec![[0.0, 0.5, 0.4, 0.6].repeat(4); 10];
    place.write("x.npy", npy(&[vec![vec![0.0; 16]; 10], dark].concat()));
    for source in ["pictures", "x.npy"] {
        let words = format!("--seconds 0.01 --data {source} --shape 16x12 --batch 40");
        let report = bench(&place, &words);
        let line = &report["rows"][0];
        assert_eq!(density(line, "data"), 0.125, "{line}");
        assert!(source.starts_with(line["data"].as_str().unwrap()), "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new();
    place.write("grey.npy", npy(&[vec![0.0, 200.0], vec![1.0, 2.0]]));
    let misused: [(&str, &[&str]); 13] = [
        ("--shape 784", &["--shape", "784x500", "\"784\""]),
        ("--shape 784x", &["--shape", "\"784x\""]),
        ("--shape 0x5", &["--shape", "\"0x5\""]),
        ("--shape 99999999999999999999x5", &["--shape"]),
        ("--shape 1000000x1000000", &["--shape", "at most", "weights"]),
        ("--batch 0", &["--batch", "1 to", "found 0"]),
        ("--batch 99999999", &["--batch", "found 99999999"]),
        ("--steps 0", &["--steps", "1 to", "found 0"]),
        ("--seconds 0", &["--seconds", "above 0", "found 0"]),
        ("--seconds nan", &["--seconds", "NaN"]),
        ("--full --batch 5", &["--full", "--batch"]),
        ("--shape -5x5", &["--shape", "\"-5x5\""]),
        ("--tune --batch 0", &["--batch", "1 to", "found 0"]),
    ];
    for (words, expected) in misused {
        place.dbn(&format!("bench {words}")).misused(expected);
    }
    let cases: [(&str, &[&str]); 3] = [
        ("--data nowhere", &["nowhere", "no file or folder"]),
        ("--data data.csv --shape 20x5", &["data.csv", "(20)", "found 16"]),
        ("--data grey.npy --shape 2x5", &["grey.npy", "case 1, value 2", "[0, 1]", "200"]),
    ];
    for (words, expected) in cases {
        place.dbn(&format!("bench {words}")).failed(expected);
    }
    place.dbn("bench --device abacus").failed(&["abacus", "expected auto, cpu"]);
    assert_eq!(place.dbn("bench --method guess").code, Some(2));
    // What is given and would not be used.
    for (words, expected) in [
        ("--shape 4x4 --scale 3", ["--scale", "--data"]),
        ("--shape 4x4 --labels nowhere", ["--labels", "--data"]),
        ("--model --binarise none", ["--scale", "--data"]),
        ("--tune --device cuda", ["--device", "CPU alone"]),
        ("--model --device cuda", ["--device", "CPU alone"]),
        ("--data data.csv --limit 3", ["--limit", "unexpected"]),
    ] {
        place.dbn(&format!("bench {words}")).misused(&expected);
    }
}

#[test]
fn help_shows_an_example() {
    let help = Place::new().dbn("bench --help").done().out;
    let examples: BTreeSet<_> =
        help.lines().map(str::trim).filter(|l| l.starts_with("dbn bench")).collect();
    assert!(examples.len() >= 2, "{help}");
}

/// Catches a choice that is none of the ways, and columns that are not those of the densities.
#[test]
fn the_ways_to_a_product_are_timed_beside_what_is_chosen() {
    let report = bench(&Place::new(), "--tune --seconds 0.01");
    let densities = report["densities"].as_array().unwrap().len();
    let rows = report["rows"].as_array().unwrap();
    assert!(densities == 8 && rows.len() == 12);
    for row in rows {
        for way in ["by_rows", "by_fours"] {
            let ratios = row[way].as_array().unwrap();
            assert!(ratios.len() == densities, "{row}");
            assert!(ratios.iter().all(|ratio| ratio.as_f64().unwrap() > 0.0), "{row}");
        }
        let chosen = row["chosen"].as_array().unwrap();
        assert!(chosen.len() == densities, "{row}");
        let known = ["dense", "rows", "fours"];
        assert!(chosen.iter().all(|way| known.contains(&way.as_str().unwrap())), "{row}");
        assert!(row["loss"].as_f64().unwrap() >= 0.0, "{row}");
        let quickest = row["quickest"].as_array().unwrap();
        for ((at, chosen), quickest) in chosen.iter().enumerate().zip(quickest) {
            let ratio = |way: &Value| match way.as_str().unwrap() {
                "dense" => 1.0,
                way => row[format!("by_{way}")][at].as_f64().unwrap(),
            };
            assert!(ratio(quickest) <= ratio(chosen), "{row}");
        }
    }
    let features = &report["features"];
    assert!(features["vector_bytes"].as_u64().unwrap() >= 16, "{features}");
    let table = Place::new().dbn("bench --tune --batch 10 --seconds 0.01").done();
    for word in ["10 cases", "vectors of", "second-level cache", "DBN_CPU", "vW 784x500"] {
        assert!(table.out.contains(word), "{word:?} is missing in {}", table.out);
    }
}

/// Catches a row whose sweeps or whose measure are not counted, and a ratio of something else.
#[test]
fn sweeps_of_general_machines_stand_beside_what_they_must_do() {
    let place = Place::new();
    let answer = place.dbn("bench --model --seconds 0.05 --json").done();
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    let lines = report["rows"].as_array().unwrap();
    let beside: Vec<_> = lines.iter().map(|line| line["beside"].as_str().unwrap()).collect();
    assert_eq!(beside, ["copy", "copy", "product", "product"]);
    for line in lines {
        let draws = number(line, "units") * number(line, "chains");
        let rate = draws / (1e6 * number(line, "ms_per_sweep"));
        assert!((rate / number(line, "flips_per_ns") - 1.0).abs() < 1e-6, "{line}");
        assert!(number(line, "beside_ms") > 0.0 && number(line, "ratio") > 0.0, "{line}");
    }
    let table = place.dbn("bench --model --seconds 0.05").done();
    for word in ["ising-256", "potts-rf00379", "flips/ns", "beside", "product"] {
        assert!(table.out.contains(word), "{word:?} is missing in {}", table.out);
    }
}

/// Catches a kind of processor whose ways to products or steps are wrong somewhere in a whole training.
#[test]
fn a_training_by_the_choices_of_every_kind_of_processor_ends_at_the_same_error() {
    let place = Place::new();
    let error = |kind: &str| -> f64 {
        let words = format!("train digits --out {kind} --no-pictures --set layers.*.epochs=5");
        answer(place.command(&words).env("DBN_CPU", kind)).done();
        let results = place.json(&format!("{kind}/results.json"));
        let numbers = results["measured"][0]["numbers"].as_array().unwrap().clone();
        let error = numbers.iter().find(|number| number["name"] == "error rate");
        error.unwrap_or_else(|| panic!("{results}"))["value"].as_f64().unwrap()
    };
    for kind in ["sapphire-rapids", "zen4", "zen3", "portable"] {
        let error = error(kind);
        assert!((0.5..5.0).contains(&error), "{kind}: {error} %");
    }
}
