//! Killed at any moment, a training goes on and ends to the byte as if it had never stopped, and no command leaves a file of which
//! a part is missing. The moments follow from a seed; `just kills` takes a thousand of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::common::{Answer, Place, SplitMix};

/// One kind of training: its name, how its place is made, and the words behind `dbn train`.
type Kind = (&'static str, fn() -> Place, &'static str);

const BY_TINY: &str = "data.csv --recipe tiny.toml";

/// Every kind of stage, negative phase, unit and rule that has a memory of its own.
const KINDS: [Kind; 20] = [
    ("classifier", Place::new, "--set classifier.average_last=2"),
    ("adversarial", Place::new, "--set classifier.adversarial.label=0.5"),
    ("virtual", Place::new, "--set classifier.adversarial.virtual=0.5"),
    ("fpcd", Place::new, "--set layers.*.method=fpcd"),
    ("mean-field", Place::new, "--set layers.*.method=mean-field"),
    ("pt", Place::new, "--set layers.*.method=pt"),
    ("ptt", Place::new, "--set layers.*.method=ptt"),
    ("exact", Place::new, "--set layers.*.method=exact --set layers.*.sparsity=none"),
    ("sampled", Place::new, "--set layers.*.pass=sample --set cache=when-it-fits"),
    ("joint", Place::new, "--set classifier=none --set labels=true"),
    ("up-down", with_updown, "--set classifier=none --set labels=true"),
    (
        "adam",
        Place::of_autoencoder,
        "--set autoencoder.optimizer=adam --set autoencoder.average_last=2",
    ),
    ("cg", Place::of_autoencoder, "--set autoencoder.optimizer=cg"),
    ("table", table, "--missing gibbs --target size"),
    (
        "alignment",
        alignment,
        "--recipe protein --set layers.*.epochs=3 --set layers.*.method.pcd.chains=20",
    ),
    (
        "documents",
        documents,
        "--visible multinomial --unsupervised --hidden 5 --set layers.*.epochs=4",
    ),
    ("bm", Place::new, "bars-and-stripes:4 --model bm --hidden 8 --set epochs=100"),
    (
        "dbm",
        Place::new,
        "bars-and-stripes:4 --model dbm --hidden 8,4 --set epochs=100 --set pretraining_epochs=50",
    ),
    ("belief", Place::new, "bars-and-stripes:4 --model belief --hidden 6,3 --set epochs=100"),
    (
        "target",
        alignment,
        "--model bm --set target_pearson=0.9 --set chains=100 --set epochs=100 --set learning_rate=0.1",
    ),
];

fn with_updown() -> Place {
    let place = Place::new();
    let recipe = place.text("tiny.toml");
    place.write("tiny.toml", recipe + "\n[updown]\nepochs = 3\nbatch_size = 20\n");
    place
}

/// Measurements, words, holes, and a number to predict.
fn table() -> Place {
    let place = Place::new();
    let mut random = SplitMix(3);
    let mut table = String::from("a,colour,b,size\n");
    for _ in 0..160 {
        let (a, b) = (random.uniform(), random.uniform());
        let colour = if random.uniform() < a { "red" } else { "blue" };
        let a_or_none = if random.below(10) == 0 { String::new() } else { format!("{a:.3}") };
        writeln!(table, "{a_or_none},{colour},{b:.3},{:.3}", 3.0 * a - b).unwrap();
    }
    place.write("data.csv", table);
    place
}

fn alignment() -> Place {
    let place = Place::new();
    let mut random = SplitMix(4);
    let mut text = String::new();
    for i in 0..120 {
        let letters: String =
            (0..12).map(|_| ['A', 'C', 'G', 'U'][random.below(4) as usize]).collect();
        writeln!(text, ">s{i}\n{letters}").unwrap();
    }
    place.write("data.fasta", text);
    place
}

fn documents() -> Place {
    let place = Place::new();
    let mut random = SplitMix(5);
    let mut text = String::new();
    for _ in 0..120 {
        let words = (1..=8).map(|word| format!(" {word}:{}", 1 + random.below(4)));
        writeln!(text, "0{}", words.collect::<String>()).unwrap();
    }
    place.write("data.svm", text);
    place
}

/// The words of a training of this kind into the folder `run`.
fn training((_, _, words): Kind, place: &Place, run: &str) -> String {
    let data = match words {
        _ if place.path("data.fasta").exists() => "data.fasta",
        _ if place.path("data.svm").exists() => "data.svm",
        _ if words.contains("--target") => "data.csv",
        _ if words.starts_with("bars-and-stripes") => "",
        _ => BY_TINY,
    };
    format!("train {data} {words} --no-pictures --no-evaluation --checkpoint-every 0 --out {run}")
}

/// Runs `words`, and kills it after `time` unless it has come to its end. Whether it was killed.
fn killed_after(place: &Place, words: &str, time: Duration) -> bool {
    let mut child = place.command(words).spawn().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < time {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.code().is_some() {
        Answer::of(output).done();
        return false;
    }
    true
}

/// What a run's folder holds that must not depend on kills: all but times in `metrics.jsonl`.
fn outcome(place: &Place, run: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = place.files(run);
    let metrics = crate::common::metrics(&place.path(run));
    let mut lines = String::new();
    metrics.iter().for_each(|line| writeln!(lines, "{line}").unwrap());
    files.insert("metrics.jsonl".into(), lines.into_bytes());
    files
}

/// Kills trainings of this kind at random moments, over and over from the beginning, until there were `kills`; each pass must end as
/// the one that nobody killed.
fn survives(kind: Kind, kills: usize, random: &mut SplitMix) {
    let (name, place, _) = kind;
    let place = place();
    let begun = Instant::now();
    place.dbn(&training(kind, &place, "whole")).done();
    let whole = begun.elapsed();
    let expected = outcome(&place, "whole");
    let has_model = expected.keys().any(|file| file.ends_with(".safetensors"));
    assert!(has_model, "{name}: {:?}", expected.keys());
    let mut count = 0;
    for pass in 0.. {
        let run = format!("pass{pass}");
        let mut killed = 0;
        loop {
            let words = match place.path(&run).join("recipe.toml").exists() {
                true => format!(
                    "train --resume {run} --no-pictures --no-evaluation --checkpoint-every 0"
                ),
                false => training(kind, &place, &run),
            };
            // At last it may come to its end.
            let share = if killed < 8 { 1.1 * random.uniform() } else { 1e3 };
            if !killed_after(&place, &words, whole.mul_f64(share)) {
                break;
            }
            killed += 1;
        }
        let found = outcome(&place, &run);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
        for (file, bytes) in &expected {
            assert!(found[file] == *bytes, "{name}: {file} after {killed} kills in pass {pass}");
        }
        std::fs::remove_dir_all(place.path(&run)).unwrap();
        count += killed;
        if count >= kills {
            return;
        }
    }
}

/// Commands that write, and what they write into the folder `out`.
const COMMANDS: [&str; 8] = [
    "embed run many.csv --layer all --out out/f.csv",
    "embed run many.csv --layer all --out out/f.npy",
    "embed run many.csv --out out/f.parquet",
    "embed run many.csv --layer all --out out/f.safetensors",
    "encode coder many.csv --out out/codes.npy",
    "decode coder codes.npy --out out/decoded.npy",
    "sample run --count 40 --steps 50 --animate 5 --out out",
    "evaluate run many.csv --report out",
];

/// Kills every command at `kills` random moments: what lies there then is whole, and the next one leaves nothing but its own.
fn commands_survive(kills: usize, random: &mut SplitMix) {
    let place = Place::of_autoencoder();
    place.dbn("train data.csv --recipe tiny.toml --no-pictures --out coder").done();
    let plain = Place::new();
    plain.train("");
    for (name, bytes) in plain.files("run") {
        place.write(&format!("run/{name}"), bytes);
    }
    let cases = place.text("data.csv");
    place.write("many.csv", cases.clone() + &cases.split_once('\n').unwrap().1.repeat(4));
    place.dbn("encode coder many.csv --out codes.npy").done();
    std::fs::create_dir(place.path("out")).unwrap();
    for words in COMMANDS {
        let words = format!("{words} --force");
        let begun = Instant::now();
        place.dbn(&words).done();
        let whole = begun.elapsed();
        let expected = place.files("out");
        assert!(!expected.is_empty(), "{words}");
        for _ in 0..kills {
            expected
                .keys()
                .for_each(|name| std::fs::remove_file(place.path("out").join(name)).unwrap());
            killed_after(&place, &words, whole.mul_f64(1.1 * random.uniform()));
            for (name, bytes) in place.files("out") {
                let is_whole = expected.get(&name).is_some_and(|expected| *expected == bytes);
                assert!(name.starts_with(".writing-") || is_whole, "{words}: half of {name}");
            }
            place.dbn(&words).done();
            assert!(place.files("out") == expected, "{words}: {:?}", place.files("out").keys());
        }
        std::fs::remove_dir_all(place.path("out")).unwrap();
        std::fs::create_dir(place.path("out")).unwrap();
    }
}

#[test]
fn every_kind_of_training_survives_being_killed() {
    let mut random = SplitMix(2026);
    KINDS.iter().for_each(|&kind| survives(kind, 1, &mut random));
}

#[test]
fn every_command_survives_being_killed() {
    commands_survive(1, &mut SplitMix(2027));
}

/// A thousand kills: `just kills`.
#[test]
#[ignore = "takes a quarter of an hour"]
fn a_thousand_kills() {
    let mut random = SplitMix(2028);
    KINDS.iter().for_each(|&kind| survives(kind, 50, &mut random));
    commands_survive(25, &mut random);
}
