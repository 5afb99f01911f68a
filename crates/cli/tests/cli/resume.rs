//! Nothing is lost: stopped or killed at any moment, a run goes on and ends as if it had never stopped.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{Answer, Case, Place, SplitMix, answer, csv, data, metrics, record, tensors};

/// Momentum and persistent chains, then sparsity, then dropout with early stopping; thousands of steps.
const STEPS: &str = "--set layers.*.learning_rate=0.1 --set layers.*.momentum=0.8 --set layers.*.steps=[[0,1],[3,2]] --set classifier.epochs=60 \
                     --set classifier.patience=12 --no-evaluation";

/// Stage and place of a checkpoint: epochs, then mini-batches.
type Stand = (u64, u64, u64);

/// A change of the data.
type Edit = fn(&mut Vec<Case>);

/// A place whose data are so noisy that the classifier soon gets worse and stops early.
fn noisy_place() -> Place {
    let place = Place::new();
    place.write("data.csv", csv(&data(2, 0.4)));
    place
}

/// Where the run stands on disk. Whatever lies there must be whole at any moment.
fn stand(place: &Place, run: &str) -> Option<Stand> {
    if let Ok(model) = fs::read(place.path(&format!("{run}/model.safetensors"))) {
        tensors(&model);
    }
    let record = record(&fs::read(place.path(&format!("{run}/checkpoint.safetensors"))).ok()?);
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let position = &record["position"];
    Some((number(&record["stage"]), number(&position["epoch"]), number(&position["batch"])))
}

/// Waits until `is_time` or the end of `child`, and says whether it is still there.
fn wait(child: &mut Child, mut is_time: impl FnMut() -> bool) -> bool {
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if is_time() {
            return true;
        }
        sleep(Duration::from_millis(1));
    }
}

/// Runs `command` until `is_time`, then kills it. Whether it was killed.
fn kill_when(command: &mut Command, is_time: impl FnMut() -> bool, after: Duration) -> bool {
    let mut child = command.spawn().unwrap();
    if wait(&mut child, is_time) {
        sleep(after);
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let is_killed = output.status.signal() == Some(9);
    if !is_killed {
        Answer::of(output).done();
    }
    is_killed
}

/// Trains into `killed`, killing the program whenever it has gone on by some random steps (`pace` at most) and a random
/// time (`delay` at most), until it gets to its end. Where it stood after each kill.
fn train_with_kills(place: &Place, words: &str, pace: u64, delay: Duration) -> Vec<Option<Stand>> {
    let mut random = SplitMix(17);
    let mut kills = Vec::new();
    let begin = format!("train data.csv --recipe tiny.toml --no-pictures {words} --out killed");
    let mut command = place.command(&begin);
    loop {
        let from = stand(place, "killed");
        let steps = 1 + random.below(pace);
        let is_time = || match (from, stand(place, "killed")) {
            // The first time, as soon as there is a run.
            (None, None) => kills.is_empty() && place.path("killed/recipe.toml").exists(),
            (None, Some(_)) => true,
            (Some(from), Some(now)) => {
                now.0 > from.0 || now.1 * 100 + now.2 >= from.1 * 100 + from.2 + steps
            }
            (Some(from), None) => panic!("the checkpoint of {from:?} is gone"),
        };
        if !kill_when(&mut command, is_time, delay.mul_f64(random.uniform())) {
            return kills;
        }
        kills.push(stand(place, "killed"));
        assert!(kills.len() < 200, "it gets nowhere: {kills:?}");
        let checkpoints = words.split_once("--checkpoint-every ").unwrap().1;
        command = place.command(&format!(
            "train --resume killed --no-pictures --no-evaluation --checkpoint-every {checkpoints}"
        ));
    }
}

#[track_caller]
fn assert_same(place: &Place, run: &str, whole: &str) {
    assert!(place.model(run) == place.model(whole), "other weights");
    let [found, expected] = [run, whole].map(|run| metrics(&place.path(run)));
    assert_eq!(found.len(), expected.len(), "lines of metrics");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(
        place.text(&format!("{run}/config.json")),
        place.text(&format!("{whole}/config.json"))
    );
}

#[test]
fn a_run_survives_being_killed_after_any_step() {
    let place = noisy_place();
    let words = format!("{STEPS} --set layers.*.epochs=20 --checkpoint-every");
    place.train_into("whole", &format!("{words} 1000"));
    let kills = train_with_kills(&place, &format!("{words} 0"), 40, Duration::from_millis(4));
    assert_same(&place, "killed", "whole");

    // The kills did fall in the middle of every kind of work.
    let places: BTreeSet<_> = kills.iter().flatten().collect();
    assert!(places.len() >= 8, "{kills:?}");
    for stage in 0..3 {
        assert!(places.iter().any(|&&(at, ..)| at == stage), "none in stage {stage}: {kills:?}");
    }
    assert!(places.iter().any(|&&(_, _, batch)| batch > 0), "{kills:?}");
    // The classifier did stop early, and its best epoch was not its last.
    let end = tensors(&place.read("whole/checkpoint.safetensors"));
    assert!(metrics(&place.path("whole")).len() < 20 + 20 + 60);
    assert_ne!(end["best.0"], end["classifier.0"]);
}

/// Two trainings never write into one folder, and what has not come to its end says how it gets there.
#[test]
fn a_run_is_one_training_at_a_time() {
    let place = noisy_place();
    let words = format!("{STEPS} --set layers.*.epochs=5000 --checkpoint-every 0 --out run");
    let mut child = place
        .command(&format!("train data.csv --recipe tiny.toml --no-pictures {words}"))
        .spawn()
        .unwrap();
    assert!(wait(&mut child, || stand(&place, "run").is_some()), "it ended before its time");
    place.dbn("train --resume run").failed_in_the_end(&[
        "training",
        "another program trains",
        "stop it",
    ]);
    for command in ["evaluate run", "inspect run", "embed run --out out.npy"] {
        place.dbn(command).failed_in_the_end(&["finished run", "dbn train --resume run"]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Nothing is left of the first one that would stop others.
    let mut second = place.command("train --resume run --checkpoint-every 0").spawn().unwrap();
    let from = stand(&place, "run");
    assert!(wait(&mut second, || stand(&place, "run") > from), "it does not go on");
    second.kill().unwrap();
    second.wait().unwrap();
}

/// Of many that begin at the same moment in one folder one trains, and an editor that saves the recipe by another file in its place
/// ends nothing.
#[test]
fn of_many_that_begin_together_one_trains() {
    let place = noisy_place();
    let words = format!("{STEPS} --set layers.*.epochs=400 --checkpoint-every 0 --out run");
    let words = format!("train data.csv --recipe tiny.toml --no-pictures {words}");
    for _ in 0..3 {
        let mut children: Vec<_> = (0..8).map(|_| place.command(&words).spawn().unwrap()).collect();
        let is_over = |child: &mut Child| child.try_wait().unwrap().is_some();
        let begun = Instant::now();
        while children.iter_mut().map(is_over).filter(|over| !over).count() > 1 {
            assert!(begun.elapsed() < Duration::from_secs(60), "two train in one folder");
            sleep(Duration::from_millis(5));
        }
        assert!(wait(
            children
                .iter_mut()
                .find_map(|child| (!is_over(child)).then_some(child))
                .expect("one trains"),
            || { stand(&place, "run").is_some() }
        ));
        let recipe = place.read("run/recipe.toml");
        place.write("run/new.toml", recipe);
        fs::rename(place.path("run/new.toml"), place.path("run/recipe.toml")).unwrap();
        place.dbn("train --resume run").failed_in_the_end(&["another program trains"]);
        for mut child in children {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            if output.status.signal().is_none() {
                assert_eq!(output.status.code(), Some(1));
                let said = String::from_utf8(output.stderr).unwrap();
                assert!(
                    said.contains("another program trains") || said.contains("earlier run"),
                    "{said}"
                );
            }
        }
        fs::remove_dir_all(place.path("run")).unwrap();
    }
}

/// A training that fails before its first checkpoint stands in nobody's way; of one that fails later what it had learned is kept.
#[test]
fn what_has_diverged_does_not_block_the_same_command() {
    let place = Place::new();
    let words = "train data.csv --recipe tiny.toml --no-pictures --out run";
    for _ in 0..2 {
        place
            .dbn(&format!("{words} --set layers.0.learning_rate=1e30"))
            .failed_in_the_end(&["diverged"]);
        assert!(!place.path("run").exists());
    }
    place.dbn(words).done();
    let words = words.replace("out run", "out later");
    let said =
        place.dbn(&format!("{words} --checkpoint-every 0 --set classifier.learning_rate=1e30"));
    said.failed_in_the_end(&["diverged in classifier", "classifier.learning_rate="]);
    assert!(said.err.contains("go on with: dbn train --resume later"), "{said:?}");
    let recipe = place.text("later/recipe.toml");
    let (layers, classifier) = recipe.split_once("[classifier]").unwrap();
    let mended = classifier.lines().map(|line| match line.starts_with("learning_rate") {
        true => "learning_rate = 0.1\n".to_owned(),
        false => format!("{line}\n"),
    });
    place.write("later/recipe.toml", format!("{layers}[classifier]{}", mended.collect::<String>()));
    place.dbn("train --resume later --no-pictures").done();
}

/// No seed is too large for a recipe, and none is another one.
#[test]
fn seeds_go_to_the_end_of_their_range() {
    let place = Place::new();
    let largest = u64::MAX.to_string();
    place.train_into("a", &format!("--seed {largest}"));
    assert!(place.text("a/recipe.toml").contains(&format!("seed = \"{largest}\"")));
    place.train_into("b", &format!("--set seed={largest}"));
    place.train_into("c", "--seed 9223372036854775808");
    assert_same(&place, "a", "b");
    assert!(place.model("a") != place.model("c"));
    place.dbn("train --resume a --no-pictures").done();
    place
        .dbn("train data.csv --recipe tiny.toml --set seed=abc --out d")
        .misused(&["seed", "\"abc\""]);
    place.dbn("train data.csv --seed 18446744073709551616 --out d").code_is(2);
}

/// Chains with fast weights, then mean fields; replicas whose ladder is spaced anew every hundred steps;
/// copies that are frozen on the way.
#[test]
fn runs_of_other_methods_survive_being_killed() {
    for (below, above) in [("fpcd", "mean-field"), ("pt", "pt"), ("ptt", "ptt")] {
        let place = noisy_place();
        let words = format!(
            "--set layers.0.method={below} --set layers.1.method={above} --set layers.*.centre=true \
             --set layers.*.epochs=20 --no-evaluation --checkpoint-every"
        );
        place.train_into("whole", &format!("{words} 1000"));
        let kills = train_with_kills(&place, &format!("{words} 0"), 60, Duration::from_millis(4));
        assert_same(&place, "killed", "whole");
        assert!(kills.iter().flatten().any(|&(stage, ..)| stage == 0), "{below}: {kills:?}");
    }
}

/// Moments of Adam, and what a line search remembers; the best epoch and the average of the last ones.
#[test]
fn autoencoders_survive_being_killed() {
    for rule in ["adam", "cg"] {
        let place = Place::of_autoencoder();
        let words = format!(
            "--set autoencoder.optimizer={rule} --set autoencoder.epochs=30 --set autoencoder.average_last=20 \
             --set autoencoder.l2=1e-4 --set autoencoder.max_norm=2 --no-evaluation --checkpoint-every"
        );
        place.train_into("whole", &format!("{words} 1000"));
        let kills = train_with_kills(&place, &format!("{words} 0"), 40, Duration::from_millis(4));
        assert_same(&place, "killed", "whole");
        let is_in_autoencoder = |&&(stage, ..): &&Stand| stage == 3;
        let count = kills.iter().flatten().filter(is_in_autoencoder).count();
        assert!(count >= 2, "{rule}: {kills:?}");
        let end = tensors(&place.read("whole/checkpoint.safetensors"));
        assert!(end.contains_key("autoencoder.11") && end.contains_key("average.11"));
        assert_ne!(end["average.0"], end["autoencoder.0"]);
    }
}

/// What is cached is no part of a checkpoint: samples that are passed up are drawn again, and must be the same.
#[test]
fn a_run_with_a_cache_survives_being_killed() {
    let place = noisy_place();
    let words = "--set cache=when-it-fits --set layers.*.pass=sample --set layers.*.epochs=40 --no-evaluation \
                 --checkpoint-every";
    place.train_into("whole", &format!("{words} 1000"));
    let kills = train_with_kills(&place, &format!("{words} 0"), 60, Duration::from_millis(4));
    assert_same(&place, "killed", "whole");
    let is_in_second = |&&(stage, epoch, batch): &&Stand| stage == 1 && (epoch, batch) > (0, 0);
    assert!(kills.iter().flatten().any(|stand| is_in_second(&stand)), "{kills:?}");
}

#[test]
fn a_run_survives_being_killed_between_checkpoints() {
    let place = noisy_place();
    let words = format!(
        "{STEPS} --set layers.*.epochs=800 --set layers.*.batch_size=4 --set classifier.average_last=55 \
         --checkpoint-every"
    );
    place.train_into("whole", &format!("{words} 1000"));
    let kills = train_with_kills(&place, &format!("{words} 0.05"), 1, Duration::from_millis(60));
    assert_same(&place, "killed", "whole");
    assert!(kills.iter().flatten().collect::<BTreeSet<_>>().len() >= 3, "{kills:?}");
}

/// Ctrl-C, and what a system sends that shuts down.
#[test]
fn a_run_that_is_asked_to_stop_takes_a_checkpoint_and_says_how_to_go_on() {
    let place = noisy_place();
    let words = format!(
        "{STEPS} --set layers.*.epochs=800 --set layers.*.batch_size=4 --checkpoint-every 1000"
    );
    place.train_into("whole", &words);
    let lines = || {
        fs::read_to_string(place.path("run/metrics.jsonl")).map_or(0, |text| text.lines().count())
    };
    let begin = format!("train data.csv --recipe tiny.toml --no-pictures {words} --out run");
    for (command, signal, stage) in
        [(begin.as_str(), "INT", 0), ("train --resume run --checkpoint-every 1000", "TERM", 1)]
    {
        let mut child = place.command(command).spawn().unwrap();
        assert!(wait(&mut child, || lines() > 2 + 800 * stage), "{command} came to its end");
        answer(&mut place.shell(&format!("kill -{signal} {}", child.id()))).done();
        let answer = Answer::of(child.wait_with_output().unwrap());
        assert_eq!(answer.code, Some(130), "{answer:?}");
        assert!(answer.err.contains("dbn train --resume run"), "{answer:?}");
        assert_eq!(stand(&place, "run").unwrap().0, stage as u64);
        assert!(!place.path("run/model.safetensors").exists());
    }
    let checkpoint = tensors(&place.read("run/checkpoint.safetensors"));
    assert!(checkpoint.contains_key("memory.optimizer.velocity.0"), "{:?}", checkpoint.keys());
    place.dbn("train --resume run --no-pictures --no-evaluation").done();
    assert_same(&place, "run", "whole");
}

/// Chains are the memory of PCD: they are kept as the hidden units' samples.
#[test]
fn a_checkpoint_holds_the_chains() {
    let place = Place::new();
    let words = "train data.csv --recipe tiny.toml --set layers.0.epochs=2000 --checkpoint-every 0 --out run";
    assert!(kill_when(
        &mut place.command(words),
        || stand(&place, "run").is_some(),
        Duration::ZERO
    ));
    let checkpoint = tensors(&place.read("run/checkpoint.safetensors"));
    let (shape, chains) = &checkpoint["memory.negative.chains"];
    assert_eq!(*shape, [15, 24]);
    assert!(chains.iter().all(|&h| h == 0.0 || h == 1.0));
}

#[test]
fn what_a_kill_leaves_behind_disturbs_nothing() {
    let place = Place::new();
    place.train_into("whole", "");
    let words = "train data.csv --recipe tiny.toml --no-pictures --checkpoint-every 0 --out run";
    let is_time = || stand(&place, "run").is_some_and(|(stage, ..)| stage == 1);
    assert!(kill_when(&mut place.command(words), is_time, Duration::ZERO));
    place.write("run/.writing-Ab3dEf", "half a check");
    place.write("run/model.safetensors", place.model("whole")); // of an earlier end
    let mut lines = place.read("run/metrics.jsonl");
    lines.extend(br#"{"stage":"layer 2","epo"#);
    place.write("run/metrics.jsonl", lines);
    place.dbn("train --resume run --no-pictures").done();
    assert_same(&place, "run", "whole");
}

#[test]
fn a_finished_run_may_be_resumed_from_anywhere() {
    let place = Place::new();
    place.train("");
    let before = place.files("run");
    fs::create_dir(place.path("elsewhere")).unwrap();
    let mut command = place.command("train --resume ../run --no-pictures");
    let answer = answer(command.current_dir(place.path("elsewhere"))).done();
    assert!(answer.out.lines().last().unwrap().starts_with("held-out error "), "{answer:?}");
    assert_eq!(place.files("run"), before);
}

/// The run's recipe with `from` in it replaced by `to`.
fn edit_recipe(place: &Place, from: &str, to: &str) {
    let recipe = place.text("run/recipe.toml");
    assert!(recipe.contains(from), "{recipe}");
    place.write("run/recipe.toml", recipe.replace(from, to));
}

/// The stage and epoch of every line of metrics.
fn lines(place: &Place) -> Vec<(String, u64)> {
    let lines = metrics(&place.path("run"));
    let line = |line: &serde_json::Value| {
        (line["stage"].as_str().unwrap().to_owned(), line["epoch"].as_u64().unwrap())
    };
    lines.iter().map(line).collect()
}

fn stage(name: &str, epochs: std::ops::RangeInclusive<u64>) -> Vec<(String, u64)> {
    epochs.map(|epoch| (name.to_owned(), epoch)).collect()
}

/// Trained parameters are the start, and nobody is told that nothing was to be done where there was.
#[test]
fn a_finished_run_goes_on_where_its_recipe_asks_for_more() {
    let place = Place::new();
    // Without a validation part the last parameters are those of the model.
    place.train("--set data.validate_one_in=none");
    let said = place.dbn("train --resume run --no-pictures").done();
    assert!(said.err.contains("the run is finished"), "{said:?}");
    let before = lines(&place);
    let first = tensors(&place.model("run"));

    // The stage on top.
    edit_recipe(&place, "[classifier]\nepochs = 3", "[classifier]\nepochs = 5");
    let said = place.dbn("train --resume run --no-pictures").done();
    assert!(said.err.contains("classifier goes on, from epoch 3 to 5"), "{said:?}");
    assert_eq!(lines(&place), [before.clone(), stage("classifier", 4..=5)].concat());
    let second = tensors(&place.model("run"));
    assert_eq!(second["rbms.0.weight"], first["rbms.0.weight"]);
    let name = "classifier.layers.0.weight";
    let distance = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).abs()).sum::<f64>() / a.len() as f64
    };
    let moved = distance(&second[name].1, &first[name].1);
    assert!(moved > 0.0 && moved < 0.1, "{moved} is not a start from what was there");

    // The lowest stage: what stands above it is learned again, the layer from its weights.
    edit_recipe(&place, "epochs = 2\n", "epochs = 3\n");
    let said = place.dbn("train --resume run --no-pictures").done();
    for words in ["layer 1 goes on, from epoch 2 to 3", "again", "layer 2, classifier"] {
        assert!(said.err.contains(words), "{said:?}");
    }
    let above = [stage("layer 1", 3..=3), stage("layer 2", 1..=3), stage("classifier", 1..=5)];
    let all = [before, stage("classifier", 4..=5), above.concat()].concat();
    assert_eq!(lines(&place), all);
    let third = tensors(&place.model("run"));
    for name in ["rbms.0.weight", "rbms.1.weight"] {
        let moved = distance(&third[name].1, &second[name].1);
        assert!(moved > 0.0 && moved < 0.1, "{name}: {moved} is not a start from what was there");
    }
    let said = place.dbn("train --resume run --no-pictures").done();
    assert!(said.err.contains("the run is finished"), "{said:?}");
    assert_eq!(lines(&place), all);
}

/// What the layer above begins with outlives a kill in the one below.
#[test]
fn what_is_learned_again_survives_being_killed() {
    let place = noisy_place();
    place.train_into("whole", "");
    place.train("");
    for run in ["whole", "run"] {
        let recipe = place.text(&format!("{run}/recipe.toml"));
        place.write(&format!("{run}/recipe.toml"), recipe.replace("epochs = 2\n", "epochs = 40\n"));
    }
    place.dbn("train --resume whole --no-pictures --no-evaluation").done();
    let from = stand(&place, "run").unwrap();
    let mut command = place.command("train --resume run --no-pictures --checkpoint-every 0");
    let is_back = || stand(&place, "run").is_some_and(|stand| stand.0 == 0 && stand.1 > 3);
    assert_eq!(from.0, 3);
    assert!(kill_when(&mut command, is_back, Duration::ZERO));
    place.dbn("train --resume run --no-pictures --no-evaluation").done();
    assert_same(&place, "run", "whole");
}

/// Another stage on what is finished: up-down, a classifier, a layer on a machine that learns labels.
#[test]
fn a_finished_run_takes_another_stage_on_top() {
    let place = Place::new();
    place.train("--set classifier=none");
    let layers = [stage("layer 1", 1..=2), stage("layer 2", 1..=2)].concat();
    assert_eq!(lines(&place), layers);
    let tail = place.text("run/recipe.toml");
    place.write("run/recipe.toml", format!("{tail}\n[updown]\nepochs = 2\n"));
    let said = place.dbn("train --resume run --no-pictures").done();
    assert!(said.err.contains("up-down comes next"), "{said:?}");
    let all = [layers, stage("up-down", 1..=2)].concat();
    assert_eq!(lines(&place), all);
    let tail = place.text("run/recipe.toml");
    place.write("run/recipe.toml", format!("{tail}\n[classifier]\nepochs = 1\n"));
    let said = place.dbn("train --resume run --no-pictures").done();
    assert!(said.err.contains("classifier comes next"), "{said:?}");
    assert!(said.out.lines().last().unwrap().starts_with("held-out error "), "{said:?}");
    assert_eq!(lines(&place), [all, stage("classifier", 1..=1)].concat());
}

#[test]
fn a_layer_on_a_joint_machine_takes_the_labels_up() {
    let place = Place::new();
    place.train("--set classifier=none --set labels=true");
    let joint = tensors(&place.model("run"));
    assert_eq!(joint["rbms.1.weight"].0, [12, 26], "24 units and 2 labels");
    let recipe = place.text("run/recipe.toml");
    place.write("run/recipe.toml", format!("{recipe}\n[[layers]]\nhidden = 10\nepochs = 2\n"));
    let said = place.dbn("train --resume run --no-pictures").done();
    for words in ["layer 3 comes next", "layer 2 had learned labels"] {
        assert!(said.err.contains(words), "{said:?}");
    }
    let again = [stage("layer 2", 1..=2), stage("layer 3", 1..=2)].concat();
    let first = [stage("layer 1", 1..=2), stage("layer 2", 1..=2)].concat();
    assert_eq!(lines(&place), [first, again].concat());
    let taller = tensors(&place.model("run"));
    assert_eq!(taller["rbms.1.weight"].0, [12, 24]);
    assert_eq!(taller["rbms.2.weight"].0, [10, 14]);
    assert_eq!(taller["rbms.0.weight"], joint["rbms.0.weight"]);
    let moved: f32 = taller["rbms.1.weight"]
        .1
        .chunks(24)
        .zip(joint["rbms.1.weight"].1.chunks(26))
        .flat_map(|(new, old)| new.iter().zip(old).map(|(a, b)| (a - b).abs()))
        .sum();
    assert!(moved / 288.0 < 0.1, "{moved}: not a start from what was there");
    place.dbn("evaluate run").done();
}

/// Not even the order of the cases may change: the place in the data would be another.
#[test]
fn other_data_are_refused() {
    let place = Place::new();
    place.train("");
    let before = place.files("run");
    let cases = data(2, 0.1);
    // 0 and 2, 1 and 3 are cases of the same class in the training part; 0 and 1 are not of the same class.
    let edits: [(&str, Edit); 5] = [
        ("a value", |cases| cases[0].0[3] = 0.25),
        ("two values", |cases| cases[0].0.rotate_left(1)),
        ("two cases", |cases| cases.swap(0, 2)),
        ("two labels", |cases| (cases[0].1, cases[1].1) = (cases[1].1, cases[0].1)),
        ("fewer cases", |cases| drop(cases.remove(0))),
    ];
    for (what, edit) in edits {
        let mut other = cases.clone();
        edit(&mut other);
        assert_ne!(other, cases, "{what}");
        place.write("data.csv", csv(&other));
        let answer = place.dbn("train --resume run --no-pictures");
        assert_eq!(answer.code, Some(1), "{what} changed: {answer:?}");
        answer.failed_in_the_end(&["run", "the data", "expected", "found"]);
        assert_eq!(place.files("run"), before, "{what}");
    }
}

#[test]
fn another_recipe_is_refused() {
    let place = Place::new();
    place.train("");
    let recipe = place.text("run/recipe.toml");
    place.write("run/recipe.toml", recipe.replace("hidden = 24", "hidden = 23"));
    let words = ["run", "rbms.0.", "[16, 23]", "[16, 24]"];
    place.dbn("train --resume run").failed_in_the_end(&words);
}
