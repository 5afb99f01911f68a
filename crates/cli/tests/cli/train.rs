//! `dbn train`: what a run leaves behind, and what changes it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::{EPOCHS, Place, WIDTH, csv, data, metadata, metrics, npy, tensors};

/// The built-in recipe for the digits, cut down.
const BRIEFLY: &str = "--set layers.*.epochs=1 --set layers.*.batch_size=100 --set classifier.epochs=1 \
                       --set classifier.batch_size=100 --layers 20,12";

const PICTURES: [&str; 5] =
    ["filters.png", "free_energies.png", "learning.png", "reconstructions.png", "samples.png"];

#[track_caller]
fn assert_keys(table: &toml::Value, expected: &str) {
    let found: BTreeSet<_> = table.as_table().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, expected.split_whitespace().collect());
}

#[test]
fn the_first_command_leaves_a_whole_run() {
    let place = Place::new();
    let answer = place.dbn(&format!("train {BRIEFLY} --out run")).done();

    let last = answer.out.lines().last().unwrap();
    let error = last.strip_prefix("held-out error ").and_then(|rest| rest.strip_suffix(" %"));
    let (whole, fraction) = error.and_then(|error| error.split_once('.')).expect(last);
    assert!((whole.parse::<u8>().unwrap(), fraction.len()) <= (100, 2) && fraction.len() == 2);
    assert!(fraction.parse::<u8>().is_ok(), "{last}");

    let files = place.files("run");
    let mut names = vec![
        "checkpoint.safetensors",
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "recipe.toml",
        "results.json",
    ];
    names.extend(PICTURES);
    names.sort_unstable();
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), names);
    for name in PICTURES {
        let (signature, rest) = files[name].split_at(8);
        assert_eq!(signature, b"\x89PNG\r\n\x1a\n", "{name}");
        let side = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
        assert_eq!(&rest[4..8], b"IHDR", "{name}");
        assert!(side(8) > 40 && side(12) > 40, "{name}: {} x {}", side(8), side(12));
        assert!(rest.ends_with(b"IEND\xaeB`\x82"), "{name} is cut short");
    }
}

/// Swaps are drawn of the layers that were learned by tempering, and of no others.
#[test]
fn a_run_by_tempering_leaves_a_chart_of_its_swaps() {
    let place = Place::new();
    for (methods, charts) in [(["pt", "cd"], 1), (["cd", "cd"], 0), (["cd", "pt"], 1)] {
        let [below, above] = methods;
        let run = format!("{below}-{above}");
        let words = format!(
            "train data.csv --recipe tiny.toml --unsupervised --no-evaluation --set layers.0.method={below} \
             --set layers.1.method={above} --set layers.*.batch_size=10 --set layers.*.steps=1 --out {run}"
        );
        place.dbn(&words).done();
        let mut files = place.files(&run);
        files.retain(|name, _| name.starts_with("acceptance"));
        assert_eq!(files.len(), charts, "{run}: {:?}", files.keys());
        let name = if below == "pt" { "acceptance.png" } else { "acceptance_2.png" };
        let is_chart = |file: &Vec<u8>| file.starts_with(b"\x89PNG\r\n\x1a\n");
        assert_eq!(files.get(name).is_some_and(is_chart), charts == 1, "{run}");
    }
}

#[test]
fn the_recipe_has_every_default_written_out() {
    let place = Place::new();
    place.train("");
    let recipe: toml::Value = toml::from_str(&place.text("run/recipe.toml")).unwrap();
    assert_keys(
        &recipe,
        "name seed visible labels standardise cache cache_bytes data layers classifier",
    );
    assert_keys(
        &recipe["data"],
        "source scale labels label_column target drop categories numbers missing binarise pass one_hot width alphabet weights \
         hold_out_one_in validate_one_in learn_validation limit",
    );
    for layer in recipe["layers"].as_array().unwrap() {
        assert_keys(
            layer,
            "hidden epochs batch_size learning_rate momentum method steps optimizer centre offset_rate \
             l1 l2 sparsity clip weight_deviation hidden_bias mirror balanced pass",
        );
    }
    assert_keys(
        &recipe["classifier"],
        "epochs softmax_only train_on batch_size learning_rate momentum optimizer l2 max_norm \
         dropout_visible dropout_hidden adversarial average_last patience",
    );
    assert_eq!(recipe["layers"][0]["method"]["pcd"]["chains"].as_integer(), Some(15));
}

/// The layout of `torch.nn.Linear`: a PyTorch user needs no script.
#[test]
fn the_model_is_laid_out_as_promised() {
    let place = Place::new();
    place.train("");
    let bytes = place.model("run");
    assert_eq!(metadata(&bytes), json!({ "format": "pt" }));

    let tensors = tensors(&bytes);
    let shapes = json!({
        "rbms.0.weight": [24, 16], "rbms.0.hidden_bias": [24], "rbms.0.visible_bias": [16],
        "rbms.1.weight": [12, 24], "rbms.1.hidden_bias": [12], "rbms.1.visible_bias": [24],
        "classifier.layers.0.weight": [24, 16], "classifier.layers.0.bias": [24],
        "classifier.layers.1.weight": [12, 24], "classifier.layers.1.bias": [12],
        "classifier.weight": [2, 12], "classifier.bias": [2],
    });
    let found = tensors.iter().map(|(name, (shape, _))| (name.clone(), json!(shape))).collect();
    assert_eq!(Value::Object(found), shapes);
    for (name, (_, numbers)) in &tensors {
        assert!(numbers.iter().all(|x| x.is_finite()), "{name}");
    }
    let columns: Vec<_> =
        (0..16).map(|i| json!({ "name": format!("p{i}"), "holds": "unit" })).collect();
    assert_eq!(
        place.json("run/config.json"),
        json!({
            "columns": columns, "label": "label",
            "format": "candle-dbn", "version": 1, "image": null, "standardise": false, "classes": 2,
            "visible": { "kind": "bernoulli", "size": 16 },
            "hidden": [{ "kind": "bernoulli", "size": 24 }, { "kind": "bernoulli", "size": 12 }],
            "preprocessing": { "scale": 1.0, "binarise": "none", "one_hot": 0 },
        })
    );
}

/// Chains of a machine that has learned little mix; those of one that knows two patterns and hardly moves any more are stuck,
/// which is said once.
#[test]
fn metrics_tell_whether_chains_mix() {
    let place = Place::new();
    place.write("data.csv", csv(&data(2, 0.0)));
    for (run, rate, is_left) in [("little", "0.001", false), ("much", "[[0,0.2],[200,1e-6]]", true)]
    {
        let words = format!(
            "--no-evaluation --set layers.0.epochs=400 --set layers.0.learning_rate={rate} --set layers.0.l2=0 \
             --set layers.0.momentum=0"
        );
        let answer = place.train_into(run, &words);
        let lines = metrics(&place.path(run));
        assert!(lines[0].get("r_hat").is_none(), "nothing is known yet: {}", lines[0]);
        let last = &lines[399];
        assert_eq!(last["left_equilibrium"], is_left, "{last}");
        assert_eq!(last["r_hat"].as_f64().unwrap() > 1.1, is_left, "{last}");
        assert_eq!(last["autocorrelation_time"].as_f64().unwrap() > 100.0, is_left, "{last}");
        let warnings = answer.err.matches("left equilibrium").count();
        assert_eq!(warnings, usize::from(is_left), "{}", answer.err);
    }
}

#[test]
fn metrics_have_a_line_an_epoch() {
    let place = Place::new();
    place.train("");
    let lines = metrics(&place.path("run"));
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line["stage"].as_str().unwrap(), line["epoch"].as_u64().unwrap()))
        .collect();
    let expected: Vec<_> =
        EPOCHS.iter().flat_map(|&(stage, n)| (1..=n as u64).map(move |i| (stage, i))).collect();
    assert_eq!(found, expected);

    let common = "stage epoch epochs learning_rate momentum";
    for line in &lines {
        let keys = match line["stage"].as_str() {
            Some("classifier") => "train_loss validation_error validation_loss",
            _ => {
                "k update_ratio reconstruction_error means_error pseudo_likelihood free_energy free_energy_gap hidden_activity dead_units \
                 stuck_units mean_weight singular_values"
            }
        };
        let keys_of_line = line.as_object().unwrap().keys().map(String::as_str);
        // A layer that has learned little in its two epochs is warned of.
        let found: BTreeSet<_> = keys_of_line.filter(|key| *key != "warnings").collect();
        assert_eq!(found, common.split(' ').chain(keys.split_whitespace()).collect());
        let numbers = line
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| !["stage", "warnings"].contains(&key.as_str()));
        for (key, value) in numbers {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            let is_finite = |value: &Value| value.as_f64().is_some_and(f64::is_finite);
            assert!(!values.is_empty() && values.iter().all(is_finite), "{key} of {line}");
        }
    }
}

#[test]
fn a_run_is_never_overwritten_unasked() {
    let place = Place::new();
    place.train("");
    let before = place.files("run");
    let again = "train data.csv --recipe tiny.toml --seed 8 --out";
    place.dbn(&format!("{again} run")).failed(&["run", "--resume"]);
    assert_eq!(place.files("run"), before);

    // Any one file of a run is reason enough.
    for name in ["model.safetensors", "checkpoint.safetensors", "metrics.jsonl", "config.json"] {
        place.write(&format!("{name}.d/{name}"), "precious");
        place.dbn(&format!("{again} {name}.d")).failed(&[name]);
        assert_eq!(place.files(&format!("{name}.d")).len(), 1);
    }
}

#[test]
fn the_recipe_of_a_run_makes_the_same_run() {
    let place = Place::new();
    place.train("--set layers.0.momentum=[[0,0.4],[1,0.8]] --set layers.1.optimizer=adam --seed 3");
    place.dbn("train --recipe run/recipe.toml --no-pictures --out again").done();
    assert_eq!(place.text("run/recipe.toml"), place.text("again/recipe.toml"));
    assert!(place.model("run") == place.model("again"));
}

#[test]
fn what_is_typed_takes_effect() {
    let place = Place::new();
    place.train("--layers 10,gaussian:6,5 --seed 11 --set layers.*.epochs=1 --set layers.1.learning_rate=0.001 --set layers.0.method.pcd.chains=4");
    let recipe: toml::Value = toml::from_str(&place.text("run/recipe.toml")).unwrap();
    assert_eq!(recipe["seed"].as_integer(), Some(11));
    let layers = recipe["layers"].as_array().unwrap();
    let hidden: Vec<_> = layers.iter().map(|layer| layer["hidden"].to_string()).collect();
    assert_eq!(hidden, ["10", "\"gaussian:6\"", "5"]);
    assert!(layers.iter().all(|layer| layer["epochs"].as_integer() == Some(1)));
    assert!(
        layers.iter().all(|layer| layer["sparsity"]["cost"].as_float() == Some(0.01)),
        "each as the last"
    );
    assert_eq!(layers[0]["method"]["pcd"]["chains"].as_integer(), Some(4));
    assert_eq!(layers[1]["learning_rate"].as_float(), Some(0.001));
    assert_eq!(layers[2]["learning_rate"].as_float(), Some(0.1));

    let tensors = tensors(&place.model("run"));
    assert_eq!(tensors["rbms.0.weight"].0, [10, WIDTH]);
    assert_eq!(tensors["rbms.1.weight"].0, [6, 10]);
    assert_eq!(tensors["rbms.2.weight"].0, [5, 6]);
    assert_eq!(metrics(&place.path("run")).len(), 3 + 3);
}

/// As one would type it, though `gaussian:9` may stand there too.
#[test]
fn the_number_of_hidden_units_may_be_a_bare_number() {
    let place = Place::new();
    place.train("--set layers.*.hidden=9");
    assert_eq!(tensors(&place.model("run"))["rbms.1.weight"].0, [9, 9]);
}

#[test]
fn without_a_name_a_run_is_called_by_its_time() {
    let place = Place::new();
    let fast = "train data.csv --recipe tiny.toml --no-pictures --unsupervised";
    let words = format!("{fast} --set name=\"a/../b\" --set layers.*.epochs=0");
    let mut dirs: Vec<_> = (0..3)
        .map(|_| {
            let out = place.dbn(&words).done().out;
            out.lines().next().and_then(|line| line.strip_prefix("run ")).unwrap().to_owned()
        })
        .collect();
    for dir in &dirs {
        assert!(place.path(dir).join("model.safetensors").is_file());
        let name = dir.strip_prefix("runs/").unwrap();
        let (time, rest) = name.split_at("20261121-093000".len());
        assert!(time.chars().enumerate().all(|(i, c)| if i == 8 {
            c == '-'
        } else {
            c.is_ascii_digit()
        }));
        assert!(rest.starts_with("-a----b"), "{dir}");
    }
    assert!(dirs.is_sorted(), "sorted by name is sorted by time: {dirs:?}");
    dirs.dedup();
    assert_eq!(dirs.len(), 3, "two runs of a second are two runs");
}

#[test]
fn data_without_labels_train_no_classifier() {
    let place = Place::new();
    let cases: Vec<_> = data(2, 0.1).into_iter().map(|(values, _)| values).collect();
    place.write("data.npy", npy(&cases));
    let answer = place.dbn("train data.npy --layers 8,6 --set layers.*.epochs=2 --out run").done();
    let last = answer.out.lines().last().unwrap();
    let error = last.strip_prefix("held-out reconstruction error ").expect(last);
    assert!((0.0..=0.25).contains(&error.parse::<f64>().unwrap()), "{last}");
    assert!(answer.err.contains("no labels"), "{answer:?}");
    assert_eq!(place.json("run/config.json")["classes"], Value::Null);
    assert!(tensors(&place.model("run")).keys().all(|name| name.starts_with("rbms.")));

    // A classifier that was asked for is not left out in silence.
    place.dbn("train data.npy --recipe tiny.toml --out other").failed(&["data", "labels"]);
}

/// Column j has mean 100·(j + 1) and deviation 5: what is not brought there and back shows.
#[test]
fn gaussian_units_on_standardised_data_work_from_end_to_end() {
    let place = Place::new();
    let mut cases = data(2, 0.1);
    for (values, _) in &mut cases {
        for (j, value) in values.iter_mut().enumerate() {
            *value = 100.0 * (j + 1) as f32 + if *value == 1.0 { 5.0 } else { -5.0 };
        }
    }
    place.write("data.csv", csv(&cases));
    let far = |values: &[f32]| {
        values.iter().enumerate().any(|(i, x)| (x - 100.0 * (i % WIDTH + 1) as f32).abs() > 50.0)
    };

    place.train("--visible gaussian --standardise --set layers.0.learning_rate=0.001");
    let tensors = tensors(&place.model("run"));
    assert!(!far(&tensors["standardise.mean"].1), "{tensors:?}");
    assert!(tensors["standardise.deviation"].1.iter().all(|d| (1.0..=5.1).contains(d)));
    assert_eq!(place.json("run/config.json")["visible"]["kind"], "gaussian");

    let report: Value = serde_json::from_str(&place.dbn("evaluate run --json").done().out).unwrap();
    let error = report["layers"][0]["data_reconstruction_error"].as_f64().unwrap();
    assert!((0.0..2.0).contains(&error), "of standardised values: {error}");
    assert_eq!(report["layers"][0]["pseudo_likelihood"], Value::Null);
    assert_eq!(report["cases"], 40);

    place.dbn("sample run --count 9 --steps 20").done();
    let (shape, samples) = crate::common::read_npy(&place.read("run/samples/samples.npy"));
    assert_eq!(shape, [9, WIDTH as u64]);
    assert!(!far(&samples), "samples in the values of the data: {samples:?}");

    place.dbn("embed run --out features.npy").done();
    let (shape, features) = crate::common::read_npy(&place.read("features.npy"));
    assert_eq!(shape, [200, 12]);
    assert!(features.iter().all(|x| (0.0..=1.0).contains(x)));
}

/// The paths of a run mean the same wherever the next command is given.
#[test]
fn a_recipe_with_a_relative_path_can_be_used_from_elsewhere() {
    let place = Place::new();
    place.dbn("train --recipe tiny.toml --set data.source=data.csv --out run").done();
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    let mut command = place.command("evaluate ../run");
    crate::common::answer(command.current_dir(place.path("elsewhere"))).done();
}

/// Energies of grey values and of sampled bits are not to be compared: where learning draws its data, the histogram does. The
/// machines learn nothing here, so they are the same, and so is everything where there is nothing to draw.
#[test]
fn free_energies_are_those_of_what_is_learned_from() {
    let place = Place::new();
    let energies = |run: &str, words: &str| {
        let train = "train digits --recipe default --layers 16 --unsupervised --no-evaluation --set layers.*.epochs=0";
        place.dbn(&format!("{train} --out {run} {words}")).done();
        place.read(&format!("{run}/free_energies.png"))
    };
    let drawn = "--set data.pass=sample";
    assert!(energies("grey", "") != energies("bits", drawn));
    assert!(place.model("grey") == place.model("bits"));
    let binary = "--binarise threshold:0.5";
    assert!(energies("c", binary) == energies("d", &format!("{binary} {drawn}")));
}

/// Fewer cases are learned from, as many of each class; the others stay as they are.
#[test]
fn a_training_may_be_limited_to_fewer_cases() {
    let place = Place::new();
    place.dbn("train data.csv --recipe tiny.toml --no-pictures --limit 20 --out run").done();
    let cases = |words: &str| {
        let said = place.dbn(&format!("evaluate run --json {words}")).done();
        serde_json::from_str::<Value>(&said.out).unwrap()["cases"].clone()
    };
    assert_eq!(cases("--cases train"), 20);
    assert_eq!(cases("--cases train --limit 6"), 6);
    assert_eq!(cases(""), 40);
    assert_eq!(cases("--cases all"), 200);
    assert_eq!(place.dbn("train --limit 0").code, Some(2));
}
