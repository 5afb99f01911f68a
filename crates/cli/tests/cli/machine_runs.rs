//! Runs of Boltzmann machines, belief nets and Hopfield networks: whose folder it is, of which data, of which table, and for how long.

use std::fs::File;

use crate::common::Place;
use serde_json::Value;

/// The kinds of models, and how each is trained in no time.
const KINDS: [(&str, &str); 4] = [
    ("net", "--layers 3 --unsupervised --set layers.0.epochs=1 --no-pictures"),
    ("bm", "--model bm --hidden 2 --set epochs=2 --no-pictures"),
    ("belief", "--model belief --hidden 2 --set epochs=2 --no-pictures"),
    ("hopfield", "--model hopfield --no-pictures"),
];
const BITS: &str = "a,b,c\n1,0,1\n0,1,1\n1,1,0\n0,0,1\n1,0,0\n0,1,0\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A folder of two models would be one that no command takes, or one whose first model is lost.
#[test]
fn a_folder_holds_one_run() {
    let place = Place::new();
    place.write("bits.csv", BITS);
    for (kind, words) in KINDS {
        place.dbn(&format!("train bits.csv {words} --no-evaluation --out {kind}")).done();
    }
    for (kind, _) in KINDS {
        let before = place.files(kind);
        for (other, words) in KINDS.iter().filter(|(other, _)| *other != kind) {
            let said = place.dbn(&format!("train bits.csv {words} --out {kind}"));
            said.failed(&[kind, "choose another --out"]);
            assert!(place.files(kind) == before, "{other} into {kind}");
        }
    }
    // Nothing is left where nothing was learned.
    place.dbn("train bits.csv --model bm --set learning_rate=-1 --out none").misused(&["-1"]);
    place.dbn("train bits.csv --model belief --set samples=1 --out none").misused(&["at least 2"]);
    assert!(!place.path("none").exists());
}

/// A run of other cases would have their recipe, and be quoted with their likelihood.
#[test]
fn other_data_are_not_gone_on_with() {
    let place = Place::new();
    place.write("bits.csv", BITS);
    place.write("others.csv", BITS.replace("1,1,0", "1,1,1"));
    for (kind, words) in &KINDS[1..3] {
        let train = |data: &str, epochs: usize| {
            let words = words.replace("epochs=2", &format!("epochs={epochs}"));
            place.dbn(&format!("train {data} {words} --no-evaluation --out {kind}"))
        };
        train("bits.csv", 2).done();
        let before = place.files(kind);
        train("others.csv", 2).failed(&[kind, "other data", "checksum"]);
        train("others.csv", 4).failed(&[kind, "other data", "checksum"]);
        assert!(place.files(kind) == before, "{kind}");
        train("bits.csv", 1).failed(&[kind, "settings"]);
        // Of the same it learns for longer.
        train("bits.csv", 4).done();
        assert_eq!(place.text(&format!("{kind}/metrics.jsonl")).lines().count(), 4);
        let recipe = place.text(&format!("{kind}/recipe.toml"));
        place.write(&format!("{kind}/recipe.toml"), recipe.replace("epochs = 4", "epochs = 6"));
        place.dbn(&format!("train --resume {kind} --no-pictures --no-evaluation")).done();
        assert_eq!(place.text(&format!("{kind}/metrics.jsonl")).lines().count(), 6);
    }
}

/// Two that learn in one folder would roll each other back.
#[test]
fn one_learns_at_a_time() {
    let place = Place::new();
    place.write("bits.csv", BITS);
    for (kind, words) in &KINDS[1..] {
        std::fs::create_dir(place.path(kind)).unwrap();
        let lock = File::create(place.path(&format!("{kind}/.lock"))).unwrap();
        lock.lock().unwrap();
        let train = format!("train bits.csv {words} --no-evaluation --out {kind}");
        place.dbn(&train).failed(&[kind, "another program trains here"]);
        assert!(place.files(kind).is_empty(), "{kind}");
        drop(lock);
        place.dbn(&train).done();
    }
}

/// Columns of another table are brought into order by their names, words are the same states and classes; what there is not is refused.
#[test]
fn another_table_is_read_as_the_first() {
    let place = Place::new();
    let rows = [
        ("yes", "1", "red"),
        ("no", "0", "blue"),
        ("yes", "1", "blue"),
        ("no", "1", "red"),
        ("no", "0", "red"),
        ("yes", "0", "blue"),
    ];
    let table = |names: &str, of: fn(&(&str, &str, &str)) -> String| {
        let rows: Vec<String> = rows.iter().map(of).collect();
        format!("{names}\n{}\n", rows.join("\n"))
    };
    place.write("first.csv", table("label,on,colour", |(l, o, c)| format!("{l},{o},{c}")));
    place.write("turned.csv", table("colour,label,on", |(l, o, c)| format!("{c},{l},{o}")));
    place.write("few.csv", "label,on,colour\nyes,1,blue\n");
    place.write("other.csv", "label,on,colour\nyes,1,green\n");
    for (kind, words) in &KINDS[1..3] {
        place.dbn(&format!("train first.csv {words} --no-evaluation --out {kind}")).done();
        let score = |data: &str| {
            place.dbn(&format!("score {kind} {data} --cases all --out scores.csv --force")).done();
            place.text("scores.csv")
        };
        let first = score("first.csv");
        assert_eq!(first, score("turned.csv"), "{kind}");
        assert!(first.contains("yes") && first.contains("no"), "{first}");
        // It stands in one place.
        assert!(!place.path(&format!("{kind}/table.json")).exists(), "{kind}");
        // One that lacks a category has the columns of the others.
        let few = score("few.csv");
        assert_eq!(few.lines().count(), 2);
        place.dbn(&format!("score {kind} other.csv --cases all")).failed(&[
            "column 3",
            "`blue`, `red`",
            "green",
        ]);
    }
    place.dbn("train first.csv --model hopfield --no-pictures --out hopfield").done();
    let recall = |data: &str| place.dbn(&format!("recall hopfield {data} --json")).done().out;
    assert_eq!(recall("first.csv"), recall("turned.csv"));
    // Its classes have names.
    let deep = "--model dbm --hidden 3,2 --set labels=true --set epochs=1 --no-evaluation";
    place.dbn(&format!("train first.csv {deep} --no-pictures --out dbm")).done();
    place.dbn("sample dbm --label yes --count 2 --steps 2 --out dbm/yes").done();
    place.dbn("sample dbm --label maybe --out x").misused(&["no, yes", "maybe"]);
}

/// Columns are known before anything is learned, so that a run that was stopped is read by them too; a run does not go on with others. Labels of another table
/// that lack a class are not counted anew.
#[test]
fn a_table_is_known_from_the_beginning() {
    let place = Place::new();
    place.write("t.csv", BITS);
    place.write("renamed.csv", BITS.replace("a,b,c", "b,a,c"));
    for (kind, words) in &KINDS[1..3] {
        let words = words.replace("epochs=2", "epochs=1000000");
        let train = format!("train t.csv {words} --checkpoint-every 0.05 --out {kind}");
        let mut child = place.command(&train).spawn().unwrap();
        let file = place
            .path(&format!("{kind}/{}.safetensors", if *kind == "bm" { "machine" } else { kind }));
        while !file.exists() {
            assert!(child.try_wait().unwrap().is_none(), "{kind} ended before its time");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let table = place.json(&format!("{kind}/table.json"));
        assert_eq!(table["columns"][0]["name"], "a");
        place.dbn(&train.replace("t.csv", "renamed.csv")).failed(&[kind, "other columns"]);
    }
    let rows = |from: usize| -> String {
        let rows = (0..24).map(|i| (i % 3, i)).filter(|(label, _)| *label >= from);
        let rows = rows
            .map(|(label, i)| format!("{},{},{},{label}\n", i % 2, i / 2 % 2, (label == 2) as u8));
        format!("a,b,c,label\n{}", rows.collect::<String>())
    };
    place.write("all.csv", rows(0));
    place.write("upper.csv", rows(1));
    let deep = "--model dbm --hidden 4,3 --set labels=true --set classifier.epochs=2 --no-pictures";
    let train = |epochs: usize| {
        place.dbn(&format!("train all.csv {deep} --set epochs={epochs} --out dbm")).done()
    };
    train(2);
    let errors = |data: &str| {
        let said = place.dbn(&format!("evaluate dbm {data} --cases all --json")).done().out;
        let found = json(&said)[0].clone();
        ["label_error", "classifier_error"].map(|key| found[key].as_f64().unwrap())
    };
    let (all, upper) = (errors("all.csv"), errors("upper.csv"));
    // Errors in per cent of 24 and of 16 cases: of the upper ones no more than there are in all.
    for (all, upper) in all.into_iter().zip(upper) {
        assert!(16.0 * upper <= 24.0 * all + 1e-6, "{all} % of all, {upper} % of the upper");
    }
    // A machine that has learned on has another classifier.
    let before = place.read("dbm/classifier/model.safetensors");
    assert!(train(4).err.contains("classifier is learned again"));
    assert!(before != place.read("dbm/classifier/model.safetensors"));
}

/// Keys of layers are the first thing that one tries.
#[test]
fn settings_of_layers_are_pointed_at() {
    let place = Place::new();
    place.write("bits.csv", BITS);
    place.dbn("train bits.csv --set epochs=3").misused(&["epochs", "layers.*.epochs"]);
    let ramp = "train bits.csv --set layers.0.steps={from=1,to=5,per=\"update\"}";
    place.dbn(ramp).misused(&["steps", "by epoch"]);
}

/// Where nothing is held out there is nothing to evaluate, and that is no failure.
#[test]
fn all_cases_may_be_learned() {
    let place = Place::new();
    place.write("bits.csv", BITS);
    for (kind, words) in &KINDS[1..3] {
        place.dbn(&format!("train bits.csv {words} --no-evaluation --out {kind}")).done();
        let recipe = place.text(&format!("{kind}/recipe.toml"));
        let all = recipe.replace("hold_out_one_in = 6", "hold_out_one_in = \"none\"");
        assert_ne!(all, recipe);
        place.write("all.toml", all);
        place.dbn(&format!("train --recipe all.toml --no-pictures --out {kind}-all")).done();
        let metrics = place.text(&format!("{kind}-all/metrics.jsonl"));
        assert_eq!(json(metrics.lines().next().unwrap())["epochs"], 2);
    }
}

/// A table of measurements and words: units as its columns are, log p of the data's own values, samples as rows of the table.
#[test]
fn tables_of_measurements_are_learned_as_they_are() {
    let place = Place::new();
    let rows = |factor: f64| {
        let mut text = "length,width,kind\n".to_owned();
        for i in 0..60 {
            let (kind, shift) = [("small", 0.0), ("large", 3.0)][i % 2];
            let length = shift + (i * 7 % 11) as f64 / 5.0;
            let width = factor * (0.5 * length + (i * 5 % 13) as f64 / 10.0);
            text.push_str(&format!("{length:.3},{width:.3},{kind}\n"));
        }
        text
    };
    place.write("one.csv", rows(1.0));
    place.write("ten.csv", rows(10.0));
    let log_p = |name: &str| {
        let train = format!("train {name}.csv --model bm --set epochs=20 --out {name}");
        let said = place.dbn(&train).done();
        assert!(said.err.contains("gaussian-learned:2+potts(2):1"), "{said:?}");
        let found = place.dbn(&format!("evaluate {name} --likelihood --json"));
        let found = json(&found.done().out);
        assert_eq!(found["verdict"]["kind"], "exact", "{found}");
        found["exact"]["log_likelihood"].as_f64().unwrap()
    };
    // A density in tenths of a unit is a tenth of that in units.
    let (one, ten) = (log_p("one"), log_p("ten"));
    assert!((one - ten - 10f64.ln()).abs() < 1e-3, "{one} {ten}");
    // The file that it learned from is divided as it was then, any other as files are.
    place.write("copy.csv", rows(1.0));
    for (name, cases, is_said) in [("one.csv", 10, false), ("copy.csv", 12, true)] {
        let said = place.dbn(&format!("evaluate one {name} --cases held-out --json")).done();
        assert_eq!(json(&said.out)[0]["cases"], cases, "{said:?}");
        assert_eq!(said.err.contains("one case in 5 counts as held out"), is_said, "{said:?}");
    }
    place.dbn("sample ten --count 200 --steps 100 --out drawn").done();
    let text = place.text("drawn/samples.csv");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("length,width,kind"));
    let drawn: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(drawn.len(), 200);
    assert!(drawn.iter().all(|row| ["small", "large"].contains(&row[2])));
    let mean = |kind: &str| {
        let own =
            drawn.iter().filter(|row| row[2] == kind).map(|row| row[1].parse::<f64>().unwrap());
        let own: Vec<f64> = own.collect();
        own.iter().sum::<f64>() / own.len() as f64
    };
    let (small, large) = (mean("small"), mean("large"));
    assert!((small - 11.0).abs() < 3.0 && (large - 26.0).abs() < 3.0, "{small} {large}");
    // Words are no numbers to be divided.
    for model in ["bm", "dbn"] {
        let scaled = format!("train one.csv --model {model} --scale 10 --out scaled");
        place.dbn(&scaled).failed(&["scale", "words"]);
    }
    // Given a word, rows have it, and lengths that go with it.
    place.write("some.csv", "length,width,kind\n0,0,large\n");
    place.dbn("sample ten --clamp some.csv --keep kind --count 300 --out given").done();
    let given = place.text("given/samples.csv");
    let lengths = given.lines().skip(1).map(|line| line.split(',').next().unwrap().parse::<f64>());
    let lengths: Vec<f64> = lengths.map(Result::unwrap).collect();
    assert!(given.lines().skip(1).all(|line| line.ends_with(",large")));
    assert!((lengths.iter().sum::<f64>() / 300.0 - 4.0).abs() < 0.4);
    place.dbn("sample ten --count 3 --animate 2 --out moving").failed(&["--animate"]);
    place.dbn("sample ten --count 3 --out drawn").failed(&["exists already", "--force"]);
    // log p is −F − log Z, of the data's own values.
    let scores = place.dbn("score ten ten.csv --limit 1").done().out;
    let row: Vec<f64> =
        scores.lines().nth(1).unwrap().split(',').map(|x| x.parse().unwrap()).collect();
    let log_z = json(&place.dbn("evaluate ten --likelihood --json").done().out);
    let log_z = log_z["exact"]["log_partition"].as_f64();
    if let Some(log_z) = log_z {
        assert!((row[2] + row[1] + log_z).abs() < 1e-3, "{row:?} {log_z}");
    }
    // Zeros and ones are bits, few whole numbers categories.
    let mut plain = "height,weight,flag,grade\n".to_owned();
    for i in 0..60 {
        let (x, y) = ((i * 7 % 31) as f64 / 4.0, (i * 11 % 29) as f64 / 3.0);
        plain.push_str(&format!("{x:.2},{y:.3},{},{}\n", i % 2, i % 3));
    }
    place.write("plain.csv", plain);
    let said = place.dbn("train plain.csv --model bm --set epochs=3 --out plain").done().err;
    assert!(said.contains("gaussian-learned:2+bernoulli:1+potts(3):1"), "{said}");
    assert_eq!(place.dbn("score plain plain.csv --limit 3").done().out.lines().count(), 4);
    // Learned on, and by chains.
    let more = "train one.csv --model bm --hidden 3 --set method=pcd --set epochs=5 --out more";
    place.dbn(more).done();
    place.dbn("evaluate more --likelihood --both --betas 50").done();
    // What is missing is not learned around, and is not found out about at the end.
    place.write("gaps.csv", rows(1.0).replacen("0.000,", ",", 1));
    for model in ["bm", "belief --hidden 3"] {
        let train = format!("train gaps.csv --model {model} --label-column none --out gaps");
        place.dbn(&train).failed(&["1 empty cell", "--drop", "a network learns"]);
        place.dbn(&format!("{train} --missing mean")).misused(&["needs every value", "--drop"]);
    }
    // Beside too many bits to be counted: by tempering, and samples have both kinds however far these lie apart.
    let bits: String = (0..22).map(|k| format!(",b{k}")).collect();
    let mut wide = format!("x,y,kind{bits}\n");
    for i in 0..240 {
        let (kind, shift) = [("near", 0.0), ("far", 9.0)][i % 2];
        let (x, y) = (shift + (i * 7 % 11) as f64 / 9.0, shift - (i * 5 % 13) as f64 / 9.0);
        let bits: String = (0..22).map(|k| format!(",{}", (i * (k + 3) / 2 + k) % 3 % 2)).collect();
        wide.push_str(&format!("{x:.3},{y:.3},{kind}{bits}\n"));
    }
    place.write("wide.csv", wide);
    place
        .dbn("train wide.csv --model bm --set epochs=150 --no-evaluation --no-pictures --out wide")
        .done();
    let text = place.text("wide/recipe.toml");
    assert!(text.contains("method = \"pt\""), "{text}");
    let said = place.dbn("sample wide --count 60 --out both").done();
    assert!(said.err.contains("drawn as by --tempered"), "{said:?}");
    let text = place.text("both/samples.csv");
    let far = text.lines().filter(|line| line.contains(",far,")).count();
    assert!((12..=48).contains(&far), "{far} of 60");
    let fixed = "train one.csv --model bm --visible gaussian+gaussian --out wrong";
    place.dbn(fixed).misused(&["gaussian"]);
}

/// Beside hidden units `evaluate` has an estimate and says so, also with cases that do not count alike; `score` has the numbers.
#[test]
fn pseudo_likelihoods_beside_hidden_units_are_estimates() {
    let place = Place::new();
    let rows: String = (0..300)
        .map(|i| format!(">s{i}\n{}\n", ["ACGU", "ACGA", "CAGU", "CAGA", "ACCC"][i * i % 13 % 5]))
        .collect();
    place.write("rna.fasta", rows);
    for (name, more) in [("alike", ""), ("weighted", " --weights identity:0.8")] {
        let words = format!(
            "train rna.fasta --model bm --hidden 3 --set epochs=30 --no-pictures --out {name}{more}"
        );
        place.dbn(&words).done();
        let text = place.dbn(&format!("evaluate {name} --json")).done().out;
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found[0]["pseudo_is_estimate"], true, "{found}");
        let estimate = found[0]["pseudo_log_likelihood"].as_f64().unwrap();
        let table = place.dbn(&format!("evaluate {name}")).done().out;
        assert!(table.contains(&format!("about {estimate:.2}")), "{table}");
        let score = place.dbn(&format!("score {name}")).done().out;
        let column =
            score.lines().next().unwrap().split(',').position(|c| c == "pseudo_likelihood");
        let exact: Vec<f64> = score
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(column.unwrap()).unwrap().parse().unwrap())
            .collect();
        let mean = exact.iter().sum::<f64>() / exact.len() as f64;
        // Weights of equal sequences move the mean a little, one unit of each of 250 cases the estimate.
        assert!((estimate - mean).abs() < 1.5, "{name}: {estimate} beside {mean}");
    }
    place
        .dbn("train bars-and-stripes:4 --model bm --set epochs=3 --no-pictures --out visible")
        .done();
    let text = place.dbn("evaluate visible --json").done().out;
    let found: Value = serde_json::from_str(&text).unwrap();
    assert!(
        found[0].get("pseudo_is_estimate").is_none() && found[0]["pseudo_log_likelihood"].is_f64()
    );
}
