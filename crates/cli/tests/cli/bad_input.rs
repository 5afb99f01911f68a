//! Whatever is wrong is refused in one line that names the file, the place, what was expected and what was found; and
//! nothing half-written stays behind.

use std::fs;
use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::common::{Answer, Numbers, Place, WIDTH, answer, csv, data, idx, npy, record, tensors};

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `dbn train words --out run` is refused, and leaves no folder behind.
#[track_caller]
fn refused(place: &Place, words: &str, expected: Words) {
    place.dbn(&format!("train {words} --out run")).failed(expected);
    assert!(!place.path("run").exists(), "{words}");
}

/// The same of what was typed wrong.
#[track_caller]
fn misused(place: &Place, words: &str, expected: Words) {
    place.dbn(&format!("train {words} --out run")).misused(expected);
    assert!(!place.path("run").exists(), "{words}");
}

/// What an error must say.
type Words<'a> = &'a [&'a str];
/// Tensors by name, in the order of the file.
type Tensors = Vec<(String, Numbers)>;

/// A `.safetensors` file of `f32` without the program's help.
fn safetensors(tensors: &Tensors) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, (_, numbers))| numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// Catches what the system calls it: "File exists (os error 17)".
#[test]
fn a_run_in_the_place_of_a_file_is_refused_by_name() {
    let place = Place::new();
    place.write("run", "a file");
    let answer = place.dbn("train data.csv --recipe tiny.toml --out run");
    answer.failed(&["run", "expected a folder", "found a file", "--out"]);
    assert!(!answer.err.contains("os error"), "{answer:?}");
}

/// Silence about an option that changes nothing would be taken for obedience.
#[test]
fn missing_for_data_that_miss_nothing_is_said() {
    let place = Place::new();
    let words = "train digits --recipe tiny.toml --no-pictures --missing mean --out";
    let answer = place.dbn(&format!("{words} a")).done();
    assert!(answer.err.contains("--missing: no value of these data is missing"), "{answer:?}");
    place.write(
        "holes.csv",
        "a,b,label\n1,0,x\n,1,y\n0,1,x\n1,1,y\n0,0,x\n1,0,y\n0,1,x\n1,1,y\n0,0,x\n1,0,y\n",
    );
    let answer = place.dbn(&format!("{} b", words.replace("digits", "holes.csv"))).done();
    assert!(!answer.err.contains("no value of these data"), "{answer:?}");
}

#[test]
fn damaged_data_files_are_refused() {
    let place = Place::new();
    let good = csv(&data(2, 0.1));
    let zipped = gzipped(good.as_bytes());
    let mut ragged: Vec<_> = good.lines().collect();
    ragged[41] = "0,1,0";
    let with = |line: usize, from: &str, to: &str| {
        let mut lines: Vec<_> = good.lines().map(str::to_owned).collect();
        lines[line - 1] = lines[line - 1].replacen(from, to, 1);
        lines.join("\n")
    };
    let mut nan: Vec<_> = data(2, 0.1).into_iter().map(|(values, _)| values).collect();
    nan[6][2] = f32::NAN;
    let whole = npy(&nan);
    let last = |line: usize, label: &str| {
        let mut lines: Vec<_> = good.lines().map(str::to_owned).collect();
        let cells = lines[line - 1].rsplit_once(',').unwrap().0.to_owned();
        lines[line - 1] = format!("{cells},{label}");
        lines.join("\n")
    };
    let cases: [(&str, Vec<u8>, Words); 13] = [
        ("cut.csv.gz", zipped[..zipped.len() / 2].to_vec(), &["cut.csv.gz", "gzip", "truncated"]),
        ("empty.csv", vec![], &["empty.csv", "an empty file"]),
        ("empty.npy", vec![], &["empty.npy", "an empty file"]),
        ("header.csv", good.lines().next().unwrap().into(), &["header.csv", "at least one case"]),
        (
            "ragged.csv",
            ragged.join("\n").into(),
            &["ragged.csv", "line 42", "17 values", "found 3"],
        ),
        ("word.csv", with(9, "1", "one").into(), &["word.csv", "line 9, column", "`one`"]),
        ("hole.csv", with(9, "1", "").into(), &["hole.csv", "line 9, column", "an empty cell"]),
        ("inf.csv", with(5, "1", "inf").into(), &["inf.csv", "line 5", "finite", "`inf`"]),
        ("half.csv", last(7, "1.5").into(), &["half.csv", "line 7", "a whole number", "1.5"]),
        ("nan.npy", whole.clone(), &["nan.npy", "case 7, value 3", "finite", "NaN"]),
        ("cut.npy", whole[..whole.len() - 1].to_vec(), &["cut.npy", "12800 bytes", "12799 bytes"]),
        ("text.npy", good.clone().into(), &["text.npy", "byte 0", "magic number"]),
        ("cut.safetensors", vec![8, 0, 0, 0, 0, 0, 0, 0, b'{'], &["cut.safetensors", "header"]),
    ];
    for (name, bytes, expected) in cases {
        place.write(name, bytes);
        refused(&place, name, expected);
    }
    fs::create_dir(place.path("folder")).unwrap();
    refused(&place, "folder", &["folder", "train-images-idx3-ubyte", "an empty folder"]);
    refused(&place, "nowhere.npy", &["nowhere.npy", "no file or folder"]);
    refused(&place, "tiny.toml", &["tiny.toml", "expected", "found .toml"]);
    refused(&place, "data.csv --labels nowhere.npy", &["nowhere.npy", "no file"]);
    refused(&place, "data.csv --label-column colour", &["data.csv", "line 1", "`colour`"]);
}

#[test]
fn damaged_idx_folders_are_refused() {
    let place = Place::new();
    let images = idx(&[6, 2, 2], &[7; 24]);
    let labels = idx(&[6], &[0, 1, 2, 3, 4, 5]);
    let mut magic = images.clone();
    magic[2] = 13;
    let zipped = gzipped(&images);
    let [image, label] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
    let zip = "train-images-idx3-ubyte.gz";
    let cases: [(&str, &[u8], &[u8], Words); 6] = [
        (image, &magic, &labels, &[image, "byte 0", "magic number", "[00, 00, 0d, 03]"]),
        (image, &labels, &labels, &[image, "byte 0", "magic number"]),
        (image, &images, &idx(&[5], &[0; 5]), &[label, "6 cases", "found 5"]),
        (image, &images[..30], &labels, &[image, "byte 16", "24 bytes", "14 bytes"]),
        (image, &images, &labels[..6], &[label, "header of 8 bytes", "truncated"]),
        (zip, &zipped[..zipped.len() - 9], &labels, &[zip, "gzip", "truncated"]),
    ];
    for (i, (name, images, labels, expected)) in cases.into_iter().enumerate() {
        place.write(&format!("{i}/{name}"), images);
        place.write(&format!("{i}/{label}"), labels);
        refused(&place, &i.to_string(), expected);
    }
}

/// The place is the one in the file, not in what is left of it after the split; and no part goes unchecked.
#[test]
fn values_that_do_not_suit_the_units_are_refused() {
    for case in [0, 9, 30, 130, 199] {
        let place = Place::new();
        let mut cases: Vec<_> = data(2, 0.1).into_iter().map(|(values, _)| values).collect();
        cases[case][4] = 1.5;
        place.write("grey.npy", npy(&cases));
        let at = format!("case {}, value 5", case + 1);
        let words = "grey.npy --unsupervised --visible bernoulli";
        refused(&place, words, &["grey.npy", &at, "[0, 1]", "1.5"]);
    }
}

#[test]
fn data_that_do_not_suit_the_model_are_refused() {
    let place = Place::new();
    place.train("");
    let before = place.files("run");
    let mut cases = data(2, 0.1);
    cases[8].1 = 2;
    place.write("classes.csv", csv(&cases));
    place.dbn("evaluate run classes.csv").failed(&["classes.csv", "the classes 0, 1", "`2`"]);
    cases[8] = (vec![-0.5; WIDTH], 1);
    place.write("dark.csv", csv(&cases));
    place.dbn("evaluate run dark.csv").failed(&["dark.csv", "case 9, value 1", "[0, 1]", "-0.5"]);
    place.write("narrow.npy", npy(&vec![vec![0.0; WIDTH - 1]; 4]));
    for command in ["evaluate run narrow.npy", "embed run narrow.npy --out out.npy"] {
        place.dbn(command).failed(&["narrow.npy", "16 values", "found 15"]);
    }
    place.dbn("embed run --layer 9 --out out.npy").failed(&["--layer", "1 to 2", "\"9\""]);
    place.dbn("embed run --layer 0 --out out.npy").failed(&["--layer", "1 to 2", "\"0\""]);
    place.dbn("embed run --out out").failed(&[
        "--out",
        ".npy, .safetensors, .parquet or .csv",
        "out",
    ]);
    place.dbn("embed run --out no/where/out.npy").failed(&["no/where/out.npy"]);
    place.dbn("evaluate nowhere").failed(&["nowhere", "the folder of a model", "none"]);
    assert!(!place.path("out.npy").exists());
    assert_eq!(place.files("run"), before);
}

#[test]
fn damaged_models_are_refused() {
    let place = Place::new();
    place.train("");
    let bytes = place.model("run");
    let good: Vec<_> = tensors(&bytes).into_iter().collect();
    let at = |name: &str| good.iter().position(|(other, _)| other == name).unwrap();
    let edited = |edit: &dyn Fn(&mut Tensors)| {
        let mut tensors = good.clone();
        edit(&mut tensors);
        safetensors(&tensors)
    };
    let weight = at("rbms.0.weight");
    let doubles: Vec<u8> =
        good[weight].1.1.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
    let doubles = safetensors::serialize(
        [("rbms.0.weight", TensorView::new(Dtype::F64, vec![24, 16], &doubles).unwrap())],
        None,
    );
    let cases: [(Vec<u8>, Words); 10] = [
        (edited(&|t| drop(t.remove(weight))), &["rbms.0.weight", "[24, 16]", "no such tensor"]),
        (
            edited(&|t| drop(t.remove(at("classifier.bias")))),
            &["classifier.bias", "no such tensor"],
        ),
        (edited(&|t| t.push(("stranger".into(), (vec![1], vec![0.0])))), &["stranger", "extra"]),
        (edited(&|t| t[weight].1.0.reverse()), &["rbms.0.weight", "[24, 16]", "[16, 24]"]),
        (edited(&|t| t[weight].1.0 = vec![384]), &["rbms.0.weight", "[24, 16]", "[384]"]),
        (edited(&|t| t[weight].1.1[5] = f32::NAN), &["rbms.0.weight", "finite"]),
        (doubles.unwrap(), &["rbms.0.weight", "F32", "F64"]),
        (bytes[..bytes.len() - 1].to_vec(), &["header", "whole safetensors file"]),
        (bytes[..5].to_vec(), &["header", "whole safetensors file"]),
        (vec![], &["header", "whole safetensors file"]),
    ];
    for (bytes, expected) in cases {
        place.write("run/model.safetensors", bytes);
        let expected = [expected, &["run/model.safetensors"]].concat();
        for command in ["inspect run", "evaluate run", "sample run", "embed run --out out.npy"] {
            place.dbn(command).failed(&expected);
        }
    }
    // What is unchanged is accepted: the test's own writer is not to blame.
    place.write("run/model.safetensors", edited(&|_| ()));
    place.dbn("inspect run").done();
    fs::remove_file(place.path("run/model.safetensors")).unwrap();
    place.dbn("inspect run").failed(&[
        "run/model.safetensors",
        "finished run",
        "train --resume run",
    ]);
}

#[test]
fn a_config_that_disagrees_with_the_weights_is_refused() {
    let place = Place::new();
    place.train("");
    let good = place.text("run/config.json");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}: {good}");
        good.replacen(from, to, 1)
    };
    let cases: [(String, Words); 14] = [
        (with("\"size\": 24", "\"size\": 23"), &["model.safetensors", "[23, 16]", "[24, 16]"]),
        // Far more than there is memory: what the file has must be looked at first.
        (
            with("\"size\": 24", "\"size\": 2000000000000000"),
            &["model.safetensors", "2000000000000000"],
        ),
        (
            with("\"size\": 24", "\"size\": 18446744073709551615"),
            &["model.safetensors", "18446744073709551615"],
        ),
        (with("\"size\": 24", "\"size\": 0"), &["config.json", "at least one unit"]),
        (with("\"classes\": 2", "\"classes\": 3"), &["model.safetensors", "classifier", "[3"]),
        (
            with("\"classes\": 2", "\"classes\": 2000000000000000"),
            &["model.safetensors", "classifier"],
        ),
        (
            with("\"classes\": 2", "\"classes\": null"),
            &["model.safetensors", "classifier", "extra"],
        ),
        (
            with("\"standardise\": false", "\"standardise\": true"),
            &["standardise.", "no such tensor"],
        ),
        (with("\"version\": 1", "\"version\": 2"), &["config.json", "version 1", "version 2"]),
        (with("candle-dbn", "other"), &["config.json", "candle-dbn", "other"]),
        (with("\"classes\"", "\"colours\""), &["config.json", "line ", "colours"]),
        (with("bernoulli", "boltzmann"), &["config.json", "line ", "boltzmann"]),
        (good[..good.len() / 2].to_owned(), &["config.json", "line ", "column "]),
        (String::new(), &["config.json", "line 1"]),
    ];
    for (config, expected) in cases {
        place.write("run/config.json", config);
        let answer = place.dbn("inspect run");
        assert_eq!(answer.code, Some(1), "{expected:?}: {answer:?}");
        answer.failed(expected);
    }
    fs::remove_file(place.path("run/config.json")).unwrap();
    place.dbn("inspect run").failed(&["run/config.json", "o such file"]);
}

#[test]
fn damaged_checkpoints_are_refused() {
    let place = Place::new();
    place.train("");
    let good = place.read("run/checkpoint.safetensors");
    let alien = place.model("run");
    for bytes in [&good[..good.len() - 1], &good[..100], &[], &alien] {
        place.write("run/checkpoint.safetensors", bytes);
        place.dbn("train --resume run").failed(&[
            "run/checkpoint.safetensors",
            "header",
            "checkpoint",
        ]);
        assert!(place.read("run/checkpoint.safetensors") == bytes);
    }
    place.dbn("train --resume nowhere").failed(&["nowhere", "recipe.toml"]);
}

#[test]
fn unknown_devices_are_refused() {
    let place = Place::new();
    for device in ["cpu9", "cpu:0", "cuda", "cuda:1", "cuda:x", "metal", "metal:1", "", "CPU"] {
        if (device.starts_with("cuda") && cfg!(feature = "cuda")) || cfg!(feature = "metal") {
            continue;
        }
        let mut command = place.command("train data.csv --out run --device");
        answer(command.arg(device)).failed(&["device", &format!("{device:?}")]);
        assert!(!place.path("run").exists());
    }
    place.dbn("train data.csv --device cuda:x --out run").failed(&["expected", "\"cuda:x\""]);
}

/// Numbers that are rounded otherwise than was asked for, or not where it was asked for, would be a surprise.
#[test]
fn tf32_is_for_cuda_alone() {
    let place = Place::new();
    let words = "train data.csv --device cpu --tf32 --out run";
    place.dbn(words).failed(&["--tf32", "expected a CUDA device", "Cpu"]);
    assert!(!place.path("run").exists());
}

#[test]
fn recipes_that_cannot_be_are_refused() {
    let place = Place::new();
    let cases: [(&str, Words); 9] = [
        ("[[layers]\nhidden = \"3\"", &["line 1"]),
        ("[[layers]]\nhiden = \"3\"", &["line 2", "hiden", "did you mean hidden?"]),
        ("[[layers]]\nhidden = \"3\"\nepochs = \"ten\"", &["line 3", "ten"]),
        ("[[layers]]\nhidden = \"3\"\n[[layers]]\nepochs = -1", &["line 4", "-1"]),
        ("[[layers]]\nlearning_rate = -0.5", &["layers.0.learning_rate", "-0.5"]),
        ("[[layers]]\nhidden = \"potts:3\"", &["potts:3"]),
        ("[[layers]]\nmethod = \"magic\"", &["line 2", "magic"]),
        ("[[layers]]\nmethod = \"pdc\"", &["line 2", "pdc", "did you mean pcd?"]),
        ("seed = 1", &["layers"]),
    ];
    for (text, expected) in cases {
        place.write("bad.toml", text);
        let expected = [expected, &["bad.toml"]].concat();
        misused(&place, "data.csv --recipe bad.toml", &expected);
    }
    misused(&place, "data.csv --recipe nope", &["digits, mnist", "\"nope\""]);
    let meant = ["\"autoencodr\"", "did you mean autoencoder?"];
    misused(&place, "data.csv --recipe autoencodr", &meant);
    refused(&place, "data.csv --recipe nope.toml", &["nope.toml", "o such file"]);
    let tiny = "data.csv --recipe tiny.toml --set";
    let settings: [(&str, Words); 13] = [
        ("layers.0.epoch=3", &["--set", "layers.0.epoch=3", "did you mean epochs?"]),
        ("layer.0.epochs=3", &["--set", "layer", "did you mean layers?"]),
        ("classifer.epochs=3", &["--set", "classifer", "did you mean classifier?"]),
        ("layers.2.epochs=3", &["--set", "layers.2.epochs", "2 layers"]),
        ("layers.0.epochs.x=3", &["--set", "layers.0.epochs.x"]),
        ("layers.0.epochs", &["--set", "key=value", "layers.0.epochs"]),
        ("layers.0.epochs=many", &["--set", "epochs", "many"]),
        ("layers.0.batch_size=0", &["--set", "layers.0.batch_size", "at least 1"]),
        ("classifier.dropout_hidden=1", &["--set", "classifier.dropout_hidden", "below 1"]),
        ("seed=-1", &["--set", "seed", "-1"]),
        ("autoencoder.epochs=3", &["--set", "classifier", "none beside an autoencoder"]),
        ("classifier.max_norm=-1", &["--set", "classifier.max_norm", "at least 0", "-1"]),
        ("layers.0.optimizer=cg", &["--set", "`cg`", "`sgd` or `adam`"]),
    ];
    let many = ["classifier.train_on", "144 training cases", "1000"];
    let answer = place.dbn(&format!("train {tiny} classifier.train_on=1000 --out run"));
    answer.failed_in_the_end(&many);
    for (setting, expected) in settings {
        misused(&place, &format!("{tiny} {setting}"), expected);
    }
    let coder = Place::of_autoencoder();
    for setting in ["classifier.epochs=3", "labels=true"] {
        let words = format!("data.csv --unsupervised --set {setting}");
        misused(&place, &words, &["--set", "beside --unsupervised"]);
    }
    misused(&coder, &format!("{tiny} labels=true"), &["labels", "false beside an autoencoder"]);
    misused(&coder, &format!("{tiny} autoencoder.batch_size=0"), &["autoencoder.batch_size"]);
    misused(&place, "data.csv --layers 5,many", &["many"]);
    misused(&place, "data.csv --visible purple", &["purple"]);
    misused(&place, "data.csv --visible gausian", &["gausian", "did you mean gaussian?"]);
    refused(&place, "data.csv --checkpoint-every=-1", &["--checkpoint-every", "negative"]);
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let place = Place::new();
    for words in [
        "",
        "practise",
        "train --colour",
        "train --seed minus",
        "train data.csv more.csv",
        "train --resume run data.csv",
        "train --resume run --seed 1",
        "evaluate",
        "evaluate run --cases some",
        "embed run",
        "sample run --count many",
        "sample run --count 0",
    ] {
        let answer = place.dbn(words);
        assert_eq!(answer.code, Some(2), "{words}: {answer:?}");
        assert!(answer.err.contains("--help"), "{words}: {answer:?}");
        assert_eq!(answer.out, "");
    }
}

/// A full disk, as far as a test can make one: no file may be longer than 8 blocks (4 or 8 KiB, as the shell counts).
fn on_a_full_disk(place: &Place, words: &str) -> Answer {
    answer(&mut place.shell(&format!("ulimit -f 8; trap '' XFSZ; exec \"$DBN\" {words}")))
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let place = Place::new();
    let words =
        "train data.csv --recipe tiny.toml --no-pictures --layers 300 --set layers.*.epochs=2";
    on_a_full_disk(&place, &format!("{words} --out full"))
        .failed_in_the_end(&["full/checkpoint.safetensors", "arge"]);
    assert!(!place.path("full").exists(), "what never came to a checkpoint is taken back");
    // With room again, the same command serves.
    place.dbn(&format!("{words} --out full")).done();

    // A finished run, and one whose last checkpoint lies in its middle.
    place.dbn(&format!("{words} --out run")).done();
    assert!(place.model("full") == place.model("run"));
    let before = place.files("run");
    on_a_full_disk(&place, "train --resume run --no-pictures")
        .failed_in_the_end(&["run/model.safetensors", "arge"]);
    on_a_full_disk(&place, "sample run --count 200 --steps 1")
        .failed_in_the_end(&["run/samples/samples.", "arge"]);
    on_a_full_disk(&place, "embed run --out run/top.npy")
        .failed_in_the_end(&["run/top.npy", "arge"]);
    assert_eq!(place.files("run"), before);
    place.dbn("inspect run").done();
}

/// Two epochs go well, the third does not.
#[test]
fn divergence_names_layer_and_epoch_and_keeps_the_last_good_checkpoint() {
    let mut cases = data(2, 0.1);
    for (values, _) in &mut cases {
        values.iter_mut().for_each(|value| *value = 3.0 * *value - 1.5);
    }
    for (words, every, epoch) in [
        ("--visible gaussian --set layers.1.learning_rate=[[0,0.001],[2,1e9]]", 0, "epoch 3"),
        ("--visible gaussian --set layers.1.learning_rate=[[0,0.001],[2,1e9]]", 1000, "epoch 3"),
        ("--visible gaussian --set layers.1.learning_rate=1e9", 0, "epoch 1"),
    ] {
        let place = Place::new();
        place.write("wide.csv", csv(&cases));
        let words = format!(
            "{words} --layers 24,gaussian:12 --set layers.0.learning_rate=0.001 --set layers.*.epochs=6"
        );
        let fixed = "train wide.csv --recipe tiny.toml --no-pictures --out run";
        let answer = place.dbn(&format!("{fixed} --checkpoint-every {every} {words}"));
        answer.failed_in_the_end(&["diverged", "layer 2", epoch, "lower the learning rate"]);
        assert!(!place.path("run/model.safetensors").exists());

        let checkpoint = place.read("run/checkpoint.safetensors");
        assert!(
            tensors(&checkpoint).values().flat_map(|(_, numbers)| numbers).all(|x| x.is_finite())
        );
        assert_eq!(record(&checkpoint)["stage"], 1);
        // It can be gone on with, at a lower rate.
        let recipe = place.text("run/recipe.toml").replace("1000000000.0", "0.001");
        place.write("run/recipe.toml", recipe);
        place.dbn("train --resume run --no-pictures").done();
    }
}

/// What goes together in the end is not refused on the way there, whatever was typed first.
#[test]
fn settings_are_made_before_anything_is_checked() {
    let place = Place::new();
    let fixed = "--no-pictures --no-evaluation --set layers.*.epochs=1";
    for (run, words) in [
        ("a", "--recipe classrbm --visible gaussian --standardise --set data.pass=mean"),
        (
            "b",
            "--set visible=gaussian --recipe classrbm --set data.pass=mean --set standardise=true",
        ),
        ("c", "--recipe tiny.toml --set labels=true --set classifier=none"),
        ("d", "--recipe tiny.toml --set classifier=none --set autoencoder.epochs=1"),
    ] {
        place.dbn(&format!("train data.csv {words} {fixed} --out {run}")).done();
    }
    assert!(!place.text("c/recipe.toml").contains("[classifier]"));
    let coder = Place::of_autoencoder();
    let none =
        "--set autoencoder=none --set layers.*.epochs=1 --set updown.epochs=1 --set updown=none";
    coder.dbn(&format!("train data.csv --recipe tiny.toml {none} --no-pictures --out run")).done();
    let recipe = coder.text("run/recipe.toml");
    assert!(!recipe.contains("[autoencoder]") && !recipe.contains("[updown]"), "{recipe}");
    // A recipe that nobody named gives way, and says so once.
    for (run, setting) in [("e", "labels=true"), ("f", "autoencoder.epochs=1")] {
        let words = format!("train data.csv --hidden 8 --set {setting} {fixed} --out {run}");
        let said = place.dbn(&words).done();
        let note = "without the recipe's classifier";
        assert_eq!(said.err.matches(note).count(), 1, "{said:?}");
    }
    assert!(place.text("e/recipe.toml").contains("labels = true"));
}

/// Data in a run's place.
#[test]
fn data_are_told_from_runs() {
    let place = Place::new();
    for data in ["mnist", "digits", "data.csv", "bars-and-stripes:4"] {
        for command in ["evaluate", "inspect", "embed --out x.npy"] {
            place.dbn(&format!("{command} {data}")).misused(&[
                data,
                "data",
                "not a run",
                "dbn train",
            ]);
        }
    }
    place.dbn("evaluate nothing").failed(&["nothing", "none"]);
}

#[test]
fn a_file_in_the_place_of_a_folder_is_refused_before_anything_is_done() {
    let place = Place::new();
    place.train("");
    for words in [
        "sample run --out data.csv",
        "evaluate run --report data.csv",
        "man --out data.csv",
        "import run/model.safetensors --out data.csv",
    ] {
        place.dbn(words).failed(&["data.csv", "expected a folder"]);
    }
}

#[test]
fn what_cannot_be_written_to_the_output_is_a_failure() {
    let place = Place::new();
    // Nor does a training that cannot say where it lies stand in its own way.
    let words = "train data.csv --recipe tiny.toml --no-pictures --out run";
    let on_full = answer(&mut place.shell(&format!("exec \"$DBN\" {words} > /dev/full")));
    on_full.failed_in_the_end(&["standard output", "No space"]);
    place.dbn(words).done();
    for words in ["--help", "train --help", "--version", "help score"] {
        let answer = answer(&mut place.shell(&format!("exec \"$DBN\" {words} > /dev/full")));
        answer.failed(&["standard output", "No space"]);
    }
}
