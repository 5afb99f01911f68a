//! What a model says of each case: against enumeration, against other commands, against itself.

use crate::common::{Place, data, npy, read_npy};

/// The columns of comma-separated text, by name.
fn columns(text: &str) -> impl Fn(&str) -> Vec<String> + use<> {
    let lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    move |name| {
        let at = lines[0].iter().position(|column| column == name);
        let at = at.unwrap_or_else(|| panic!("{name} is none of {:?}", lines[0]));
        lines[1..].iter().map(|line| line[at].clone()).collect()
    }
}

fn numbers(texts: Vec<String>) -> Vec<f64> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Every configuration of eight bits has a probability, and together they have 1; and means are those of `evaluate`.
#[test]
fn log_p_of_all_configurations_is_that_of_something() {
    let place = Place::new();
    let rows: Vec<Vec<f32>> = data(2, 0.1).iter().map(|(case, _)| case[..8].to_vec()).collect();
    place.write("bits.npy", npy(&rows));
    let words = "--binarise threshold:0.5 --unsupervised --hidden 6 --set layers.*.epochs=20";
    place.dbn(&format!("train bits.npy {words} --no-pictures --out run")).done();
    let all: Vec<Vec<f32>> =
        (0..256).map(|n| (0..8).map(|bit| f32::from((n >> bit & 1) as u8)).collect()).collect();
    place.write("all.npy", npy(&all));
    let said = place.dbn("score run all.npy").done();
    assert!(said.err.contains("exact"), "{}", said.err);
    let of = columns(&said.out);
    let total: f64 = numbers(of("log_likelihood")).iter().map(|log_p| log_p.exp()).sum();
    // Free energies are f32 of order ten: relative errors of 256 terms of 1e-6.
    assert!((total - 1.0).abs() < 1e-4, "{total}");
    assert!(numbers(of("log_likelihood_error")).iter().all(|error| *error == 0.0));

    // The pseudo-likelihood by the definition, from the probabilities of all configurations.
    let (log_p, pseudo) = (numbers(of("log_likelihood")), numbers(of("pseudo_likelihood")));
    for (n, found) in pseudo.iter().enumerate() {
        let expected: f64 =
            (0..8).map(|bit| log_p[n] - (log_p[n].exp() + log_p[n ^ 1 << bit].exp()).ln()).sum();
        assert!((found - expected).abs() < 1e-3, "{n}: {found} {expected}");
    }
    // Files hold the same numbers.
    place.dbn("score run all.npy --out s.npy").done();
    let (shape, values) = read_npy(&place.read("s.npy"));
    assert_eq!(shape, [256, 4]);
    assert!((f64::from(values[1]) - log_p[0]).abs() < 1e-6);
    place.dbn("score run all.npy --out s.npy").failed(&["s.npy: exists already"]);
}

/// log Z that was estimated is kept, used by `score`, and not estimated again; other weights have none.
#[test]
fn log_z_stays_with_the_model() {
    let place = Place::new();
    let words = "--binarise threshold:0.5 --unsupervised --hidden 6 --set layers.*.epochs=5";
    place.dbn(&format!("train digits {words} --no-pictures --out run")).done();
    // So that nothing is enumerated.
    let wide = words.replace("--hidden 6", "--hidden 30");
    place.dbn(&format!("train digits {wide} --no-pictures --out wide")).done();
    let said = place.dbn("score wide --cases held-out").done();
    assert!(
        said.err.contains("log_likelihood is left out") && said.err.contains("--likelihood --both"),
        "{}",
        said.err
    );
    assert!(!said.out.contains("log_likelihood"));
    let estimate = "evaluate wide --likelihood --both --chains 50 --betas 500 --json";
    let first = place.dbn(estimate).done();
    let again = place.dbn(estimate).done();
    assert_eq!(first.out, again.out);
    assert!(again.err.contains("kept in wide/log_partition.json"), "{}", again.err);
    let found: serde_json::Value = serde_json::from_str(&first.out).unwrap();
    let verdict = &found["verdict"]["kind"];
    assert_eq!(verdict, "agree", "{found}");
    let lower = ["forward", "reverse"].map(|side| found[side]["log_likelihood"].as_f64().unwrap());
    let lower = lower[0].min(lower[1]);
    let log_p =
        numbers(columns(&place.dbn("score wide --cases held-out").done().out)("log_likelihood"));
    let mean = log_p.iter().sum::<f64>() / log_p.len() as f64;
    assert!((mean - lower).abs() < 1e-3, "{mean} {lower}");
    // Other options are another estimation; other weights have none that is kept.
    let other = place.dbn(&estimate.replace("--chains 50", "--chains 40")).done();
    assert!(!other.err.contains("kept in"), "{}", other.err);
    place.write("wide/model.safetensors", place.model("wide"));
    let mut weights = place.model("wide");
    let last = weights.len() - 1;
    weights[last] ^= 1;
    place.write("wide/model.safetensors", weights);
    let said = place.dbn("score wide --cases held-out").done();
    assert!(said.err.contains("log Z is not known"), "{}", said.err);
    place.write("wide/log_partition.json", "{}");
    let said = place.dbn("score wide").done();
    assert!(!said.out.contains("log_likelihood"), "{}", said.out);
    for words in ["log_likelihood is left out", "log_partition.json", "delete the file"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

/// A mutant is the sequence with one letter changed: its ratio is the difference of what both are given as data.
#[test]
fn mutants_are_sequences_with_one_letter_changed() {
    let place = Place::new();
    let family: String =
        (0..60).map(|i| format!(">s{i}\n{}\n", ["ACGUA-", "AGGUAC", "ACCUAC"][i % 3])).collect();
    place.write("family.fasta", family);
    place.dbn("train family.fasta --hidden 6 --set layers.*.epochs=10 --no-pictures --no-evaluation --out run").done();
    place.write("wild.fasta", ">wild\nACGUA-\n");
    place.write("both.fasta", ">wild\nACGUA-\n>mutant\nAGGUA-\n>other\nACGUU-\n");
    let of = columns(&place.dbn("score run both.fasta").done().out);
    let energies = numbers(of("free_energy"));
    assert_eq!(of("name"), ["wild", "mutant", "other"]);
    let found = columns(&place.dbn("score run wild.fasta --mutants C2G,a5u").done().out);
    assert_eq!(found("name"), ["C2G", "A5U"]);
    for (ratio, energy) in numbers(found("log_ratio")).into_iter().zip(&energies[1..]) {
        assert!((ratio - (energies[0] - energy)).abs() < 1e-4, "{ratio}");
    }
    let scan = columns(&place.dbn("score run wild.fasta --scan").done().out);
    let names = scan("name");
    assert_eq!(names.len(), 5 * 3, "five letters, three others each; the gap stays");
    let at = names.iter().position(|name| name == "C2G").unwrap();
    assert_eq!(scan("log_ratio")[at], found("log_ratio")[0]);
    for (mutant, words) in [
        ("A2G", vec!["A2G", "column 2: C"]),
        ("C9G", vec!["columns up to 6", "C9G"]),
        ("C2X", vec!["C2X", "one of the letters"]),
    ] {
        place.dbn(&format!("score run wild.fasta --mutants {mutant}")).failed_in_the_end(&words);
    }
    // What no data can make right is said before any are read.
    for (mutants, words) in [
        ("2", ["A12G", "\"2\""]),
        ("C0G", ["A12G", "\"C0G\""]),
        ("C2G,c2g", ["every change once", "C2G twice"]),
    ] {
        let answer = place.dbn(&format!("score run nothing.fasta --mutants {mutants}"));
        answer.code_is(2);
        assert!(words.iter().all(|word| answer.err.contains(word)), "{answer:?}");
        assert_eq!(answer.err.lines().count(), 1, "{answer:?}");
    }
    place.train_into("plain", "");
    place.dbn("score plain --scan").failed_in_the_end(&["--scan", "an alignment"]);
    // With classes, a probability of each; they sum to 1.
    let of = columns(&place.dbn("score plain").done().out);
    let (a, b) = (numbers(of("probability_0")), numbers(of("probability_1")));
    assert!(a.iter().zip(&b).all(|(a, b)| (a + b - 1.0).abs() < 1e-5));
    assert_eq!(of("label").len(), a.len());
}

/// A model without a run: log Z is found without data and kept, and samples are drawn on a ladder from the biases.
#[test]
fn a_model_alone_has_a_log_z_and_samples() {
    let place = Place::new();
    let words = "--binarise threshold:0.5 --unsupervised --hidden 30 --set layers.*.epochs=5";
    place.dbn(&format!("train digits {words} --no-pictures --out run")).done();
    for name in ["config.json", "model.safetensors"] {
        place.write(&format!("alone/{name}"), place.read(&format!("run/{name}")));
    }
    let both = "--likelihood --both --chains 50 --betas 1000 --json";
    let said = place.dbn(&format!("evaluate alone {both}")).done();
    assert!(said.err.contains("the units' own biases"), "{}", said.err);
    let alone: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(alone["verdict"]["kind"], "agree", "{alone}");
    let run: serde_json::Value =
        serde_json::from_str(&place.dbn(&format!("evaluate run {both}")).done().out).unwrap();
    let of = |found: &serde_json::Value, keys: &[&str]| {
        keys.iter().fold(found.clone(), |found, key| found[*key].clone()).as_f64().unwrap()
    };
    let (a, b) =
        (of(&alone, &["forward", "value"]), of(&run, &["forward", "log_partition", "value"]));
    let error =
        of(&alone, &["forward", "error"]).hypot(of(&run, &["forward", "log_partition", "error"]));
    assert!((a - b).abs() < 4.0 * error + 0.05, "{a} {b} ± {error}");
    let said = place.dbn("score alone digits --binarise threshold:0.5").done();
    assert!(
        said.err.contains("both sides agree") && said.out.contains("log_likelihood"),
        "{}",
        said.err
    );
    let said = place.dbn("sample alone --tempered --count 5 --sweeps 200").done();
    assert!(said.err.contains("the units' own biases"), "{}", said.err);
    place.dbn("evaluate alone --likelihood --report r").failed_in_the_end(&["--report"]);
}

/// Whoever reads no further is no failure, and a full output is named; missing values are filled in, and that is said.
#[test]
fn an_output_that_ends_and_values_that_are_missing() {
    let place = Place::new();
    place.train("--missing gibbs --set classifier=none");
    let shell = |script: &str| crate::common::answer(&mut place.shell(script));
    let said = shell("set -o pipefail 2>/dev/null; \"$DBN\" score run data.csv | head -1");
    assert!(!said.err.contains("dbn: "), "{}", said.err);
    let full = shell("\"$DBN\" score run data.csv >/dev/full");
    assert_eq!(full.code, Some(1));
    assert!(full.err.contains("standard output"), "{}", full.err);
    // A model that knows of missing values has a log p of complete cases.
    let said = place.dbn("score run data.csv --binarise threshold:0.5").done();
    assert!(!said.err.contains("missing"), "{}", said.err);
    let holed = place.text("data.csv").replacen(",0.", ",,0.", 0);
    let mut lines: Vec<String> = holed.lines().map(str::to_owned).collect();
    lines[1] = lines[1].split_once(',').map(|(_, rest)| format!(",{rest}")).unwrap();
    place.write("holed.csv", lines.join("\n") + "\n");
    let said = place.dbn("score run holed.csv").done();
    assert!(said.err.contains("missing values are filled in"), "{}", said.err);
}
