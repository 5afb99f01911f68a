//! `dbn evaluate --likelihood`: exact or from both sides, with a verdict, and never begun twice.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use serde_json::Value;

use crate::common::{Place, WIDTH, answer, read_npy, tensors};

/// A machine with so few hidden units that the exact likelihood is known.
fn place() -> Place {
    let place = Place::new();
    place.dbn("train data.csv --recipe tiny.toml --layers 12 --unsupervised --no-pictures --set layers.*.epochs=60 --out run").done();
    place
}

fn json(place: &Place, words: &str) -> Value {
    let answer = place.dbn(&format!("evaluate run --likelihood --json {words}")).done();
    serde_json::from_str(&answer.out).unwrap()
}

#[test]
fn both_sides_agree_with_the_exact_value() {
    let place = place();
    let exact = json(&place, "");
    let evaluated = place.dbn("evaluate run --json").done();
    let evaluated: Value = serde_json::from_str(&evaluated.out).unwrap();
    let of = |side: &Value| side["log_likelihood"].as_f64().unwrap();
    let truth = of(&exact["exact"]);
    assert_eq!(exact["verdict"]["kind"], "exact");
    assert!((truth - evaluated["log_likelihood"].as_f64().unwrap()).abs() < 1e-9);

    let both = json(&place, "--estimate --both --chains 200 --betas 300 --sweeps 400");
    assert_eq!(both["verdict"]["kind"], "agree");
    for side in ["forward", "bridge", "reverse"] {
        let error = both[side]["log_partition"]["error"].as_f64().unwrap();
        assert!(error > 0.0 && error < 0.2, "{side}: {error}");
        let found = of(&both[side]);
        assert!((found - truth).abs() < 4.0 * error, "{side}: {found} ± {error}, exact {truth}");
    }
    let words = "evaluate run --likelihood --estimate --both --chains 20 --betas 300";
    let table = place.dbn(words).done().out;
    for word in [
        "forward annealing",
        "reverse annealing",
        "bridge",
        "verdict: agree within",
        "swaps accepted",
    ] {
        assert!(table.contains(word), "{word:?} is missing in {table}");
    }
}

/// A tempering that is over after two sweeps has something for the bridge too.
#[test]
fn few_samples_are_enough_for_the_bridge() {
    let found = json(&place(), "--estimate --both --chains 2 --betas 300 --sweeps 200000");
    assert!(found["bridge"]["log_partition"]["error"].as_f64().unwrap() > 0.0, "{found}");
}

/// Seven replicas that came up are no hundred samples, however well the two sides agree.
#[test]
fn a_tempering_that_has_not_mixed_is_not_quoted() {
    let table =
        place().dbn("evaluate run --likelihood --estimate --both --betas 300 --sweeps 1").done();
    assert!(
        table.out.contains("verdict: UNMIXED") && table.out.contains("do not quote"),
        "{table:?}"
    );
}

/// Of values between zero and one no probability is known.
#[test]
fn grey_cases_have_no_likelihood() {
    let place = place();
    place
        .dbn("train digits --recipe tiny.toml --layers 12 --unsupervised --no-pictures --out grey")
        .done();
    let words = ["bernoulli", "case 1", "--binarise"];
    place.dbn("evaluate grey --likelihood").failed(&words);
}

#[test]
fn a_reproduction_is_what_it_says() {
    let place = Place::new();
    let first = place.dbn("reproduce shifting-bar --out a --json").done().out;
    // One object and nothing before it, though it was trained on the way.
    let found: Value = serde_json::from_str(&first).unwrap();
    let ours = first.lines().find(|line| line.contains("\"ours\"")).unwrap_or_default().to_owned();
    assert!(ours.contains("-2.19") || ours.contains("-2.20"), "{first} {found}");
    let again = place.dbn("reproduce shifting-bar --out a --json").done().out;
    assert_eq!(first, again, "not trained again");
    place.dbn("reproduce bars-and-stripes --out a").failed_in_the_end(&["another --out"]);
    place.dbn("reproduce shifting-bar --seed 5 --out a").failed_in_the_end(&["another --out"]);
    place.train("");
    place.dbn("reproduce shifting-bar --out run").failed_in_the_end(&["another --out"]);
    // A run by the right recipe with something changed in it is none of its reproductions.
    let words = "train shifting-bar:9 --recipe shifting-bar --set layers.0.epochs=1 --no-pictures";
    place.dbn(&format!("{words} --out changed")).done();
    place.dbn("reproduce shifting-bar --out changed").failed_in_the_end(&["other keys"]);
    // Nor is one that was changed afterwards, although its number lies beside it.
    let recipe = place.text("a/recipe.toml");
    place.write("a/recipe.toml", recipe.replacen("batch_size = ", "batch_size = 1", 1));
    place.dbn("reproduce shifting-bar --out a").failed_in_the_end(&["other keys"]);
    let unknown = place.dbn("reproduce bars-and-strips");
    unknown.misused(&["bars-and-strips", "did you mean bars-and-stripes?"]);
    place.dbn("reproduce debd").failed(&["--data"]);
    place.dbn("reproduce debd --data nowhere --out b").failed(&["nowhere"]);
    assert!(!place.path("b").exists());
    assert!(place.dbn("reproduce").done().out.contains("mnist-500"));
    let listed: Value = serde_json::from_str(&place.dbn("reproduce --json").done().out).unwrap();
    let names = listed.as_array().unwrap().iter().map(|experiment| &experiment["name"]);
    assert!(names.into_iter().any(|name| name == "mnist-500"), "{listed}");
}

/// Chosen on the validation part, then learned from both parts: catches a model that never saw the validation cases, and one that
/// saw those held out. The parts are of one pattern each, so whoever has seen a pattern thinks it likely.
#[test]
fn what_was_chosen_learns_from_the_validation_cases_too() {
    let place = Place::new();
    let rows = |pattern: &str, count: usize| format!("{pattern}\n").repeat(count);
    let (first, second, third) = ("1,1,1,0,0,0", "0,0,0,0,0,0", "0,0,0,1,1,1");
    for (part, text) in
        [("train", rows(first, 600)), ("valid", rows(second, 200)), ("test", rows(third, 20))]
    {
        place.write(&format!("suite/small.{part}.data"), &text);
    }
    let words = "reproduce debd --data suite --budget 0 --out chosen --json";
    let found: Value = serde_json::from_str(&place.dbn(words).done().out).unwrap();
    let unseen = found["ours"].as_f64().unwrap();
    assert!(place.text("chosen/recipe.toml").contains("learn_validation = true"));
    let likelihood = |cases: &str| {
        let words = format!("evaluate chosen --likelihood --json --cases {cases}");
        let found: Value = serde_json::from_str(&place.dbn(&words).done().out).unwrap();
        (found["exact"]["log_likelihood"].as_f64().unwrap(), found["cases"].as_u64().unwrap())
    };
    let (seen, count) = likelihood("train");
    assert_eq!(count, 800);
    // The best that anything can do with three quarters and a quarter is -0.562 nats.
    assert!(seen > -0.8, "{seen} of cases that were seen");
    assert!(unseen < -3.0, "{unseen} of cases that were not");
    assert_eq!(likelihood("held-out"), (unseen, 20));
    place.dbn("evaluate chosen --cases validation").failed(&["kept for validation"]);
    // It is not done again, and where only the answer is missing it comes out the same.
    let again = place.dbn(words).done().out;
    assert!(again.contains(&format!("\"ours\": {unseen}")), "{again}");
    std::fs::remove_file(place.path("chosen/reproduced.json")).unwrap();
    let weights = std::fs::metadata(place.path("chosen/model.safetensors")).unwrap();
    let again: Value = serde_json::from_str(&place.dbn(words).done().out).unwrap();
    assert_eq!(again["ours"].as_f64().unwrap(), unseen);
    let untouched = std::fs::metadata(place.path("chosen/model.safetensors")).unwrap();
    assert_eq!(weights.modified().unwrap(), untouched.modified().unwrap(), "learned again");

    // More time is a choice that goes on: the trials so far are kept, others follow, and the answer is of that budget.
    let (tried, answer) = (place.text("chosen/tried.jsonl"), place.text("chosen/reproduced.json"));
    assert_eq!(tried.lines().count(), 1);
    let first: Value = serde_json::from_str(&tried).unwrap();
    let budget = (8.0 * first["seconds"].as_f64().unwrap()).ceil();
    place.dbn(&format!("reproduce debd --data suite --budget {budget} --out chosen")).done();
    let more = place.text("chosen/tried.jsonl");
    assert!(more.starts_with(&tried) && more.lines().count() > 1, "{more}");
    assert!(place.text("chosen/reproduced.json").contains(&format!("\"budget\": {budget}")));
    // And less time again is the choice that it allowed, whatever has been tried since.
    let less: Value = serde_json::from_str(&place.dbn(words).done().out).unwrap();
    assert_eq!((less["ours"].as_f64().unwrap(), &less["budget"]), (unseen, &0.into()));
    assert_eq!(place.text("chosen/tried.jsonl"), more);
    place.write("chosen/tried.jsonl", tried);
    place.write("chosen/reproduced.json", answer);

    // Half a line of a killed process is forgotten, whole lines of another version are not.
    std::fs::remove_file(place.path("chosen/reproduced.json")).unwrap();
    let tried = place.text("chosen/tried.jsonl");
    place.write("chosen/tried.jsonl", format!("{tried}{{\"of\":"));
    place.dbn(words).done();
    assert_eq!(place.text("chosen/tried.jsonl"), tried);
    std::fs::remove_file(place.path("chosen/reproduced.json")).unwrap();
    place.write("chosen/tried.jsonl", tried.replace("\"place\":[", "\"place\":[1,"));
    place.dbn(words).failed_in_the_end(&["line 1", "another --out"]);

    // A model that no choice has left there stays.
    let train = "train suite --recipe debd --set layers.0.epochs=1 --no-pictures --no-evaluation";
    place.dbn(&format!("{train} --out own")).done();
    let own = place.model("own");
    place.dbn("reproduce debd --data suite --budget 0 --out own").failed(&["another --out"]);
    assert_eq!(place.model("own"), own);
}

/// Two inverse temperatures are plain importance sampling: the two sides fall apart, and nobody is told to quote them.
#[test]
fn sides_that_disagree_say_so() {
    let place = place();
    let words = "evaluate run --likelihood --estimate --chains 10 --betas 2";
    let table = place.dbn(&format!("{words} --both --tolerance 0.000001")).done().out;
    assert!(table.contains("verdict: DISAGREE: forward -"), "{table}");
    assert!(table.contains("do not quote"), "{table}");
    let table = place.dbn(words).done().out;
    assert!(table.contains("ONE-SIDED") && table.contains("do not quote"), "{table}");
}

/// Killed again and again in every stage, the estimation ends with the bytes of one that was left alone.
#[test]
fn a_killed_estimation_goes_on() {
    let place = place();
    let words =
        "evaluate run --likelihood --estimate --both --json --chains 30 --betas 400 --sweeps 300";
    let alone = place.dbn(words).done().out;
    std::fs::remove_file(place.path("run/log_partition.json")).unwrap();
    let (mut kills, mut resumed) = (0, 0);
    let checkpoint = || std::fs::read(place.path("run/likelihood.checkpoint.safetensors")).ok();
    let answer = loop {
        let mut command = place.command(&format!("{words} --checkpoint-every 0"));
        let (before, mut child) = (checkpoint(), command.spawn().unwrap());
        // Every process gets somewhere, however slow the machine, and some a good deal further.
        let mut is_done = false;
        while !is_done && checkpoint() == before {
            is_done = child.try_wait().unwrap().is_some();
        }
        std::thread::sleep(Duration::from_millis(17 * (kills % 11)));
        is_done = child.try_wait().unwrap().is_some();
        if !is_done {
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        resumed += usize::from(String::from_utf8_lossy(&output.stderr).contains("going on with"));
        if is_done {
            break String::from_utf8(output.stdout).unwrap();
        }
        kills += 1;
        assert!(kills < 2000, "it never gets to its end");
    };
    assert_eq!(answer, alone);
    assert!(kills > 3 && resumed > 3, "{kills} kills, {resumed} resumed");
    assert!(!place.path("run/likelihood.checkpoint.safetensors").exists());
}

/// Ctrl-C leaves a checkpoint, long before it would be time for one, and the same command goes on from it.
#[test]
fn an_estimation_that_is_asked_to_stop_goes_on() {
    let place = place();
    let words = "evaluate run --likelihood --estimate --both --json --chains 50 --betas 20000 --checkpoint-every";
    let alone = place.dbn(&format!("{words} 1000")).done().out;
    let is_begun = || place.path("run/likelihood.checkpoint.safetensors").exists();
    // A process that has begun: a checkpoint of the first, and what the second says of that, tell that they catch Ctrl-C. Nothing
    // where it was over before it could be stopped, which on a busy machine is nobody's fault.
    let stopped = |seconds: &str| {
        // What is found is kept, and would be found.
        let _ = std::fs::remove_file(place.path("run/log_partition.json"));
        let mut child = place.command(&format!("{words} {seconds}")).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        if seconds == "0" {
            while !is_begun() && child.try_wait().unwrap().is_none() {}
        } else {
            while told.read_line(&mut line).unwrap() > 0 && !line.contains("going on with") {}
        }
        if child.try_wait().unwrap().is_none() {
            // By now it may be over: then there is nobody to be told.
            answer(&mut place.shell(&format!("kill -INT {}", child.id())));
        }
        told.read_to_string(&mut line).unwrap();
        let code = child.wait().unwrap().code();
        let is_stopped = code == Some(130);
        assert!(is_stopped || code == Some(0) && !is_begun(), "{code:?}: {line}");
        assert!(!is_stopped || line.contains("the same command goes on") && is_begun(), "{line}");
        is_stopped
    };
    let is_twice_stopped = (0..50).any(|_| stopped("0") && stopped("1000"));
    assert!(is_twice_stopped, "in fifty tries it was always over before it could be stopped");
    let answer = place.dbn(&format!("{words} 1000")).done();
    assert!(answer.err.contains("going on with"), "{answer:?}");
    assert_eq!(answer.out, alone);
}

#[test]
fn what_cannot_be_estimated_is_refused() {
    let place = place();
    place.write("run/likelihood.checkpoint.safetensors", "nonsense");
    place
        .dbn("evaluate run --likelihood --estimate")
        .failed(&["likelihood.checkpoint", "delete the file"]);
    place.train_into("deep", "");
    let table = place.dbn("evaluate deep --likelihood").done().out;
    assert!(table.contains("verdict: a lower bound; log Z: exact"), "{table}");
    let sides = "evaluate run --likelihood --both";
    assert_eq!(place.dbn("evaluate run --both").code, Some(2), "--both alone means nothing");
    place.dbn(&format!("{sides} --estimate --tolerance=-1")).failed(&["--tolerance"]);
    assert_eq!(place.dbn(&format!("{sides} --chains 1")).code, Some(2));
}

/// Samples by tempering have the averages of the enumerated machine.
#[test]
fn tempered_samples_are_in_equilibrium() {
    const COUNT: usize = 1000;
    let place = place();
    let words = format!("sample run --tempered --binary --count {COUNT} --out t");
    let said = place.dbn(&words).done().err;
    assert!(said.contains("replicas came from β = 0 to β = 1"), "{said}");
    let (shape, samples) = read_npy(&place.read("t/samples.npy"));
    assert_eq!(shape, [COUNT as u64, WIDTH as u64]);

    let numbers = tensors(&place.model("run"));
    let of = |name: &str| -> Vec<f64> { numbers[name].1.iter().map(|x| f64::from(*x)).collect() };
    let (weights, b, c) =
        (of("rbms.0.weight"), of("rbms.0.visible_bias"), of("rbms.0.hidden_bias"));
    let (mut total, mut means) = (0.0, [0.0; WIDTH]);
    for state in 0u32..1 << c.len() {
        let on = |j: &usize| state >> j & 1 == 1;
        let field = |i: usize| -> f64 {
            b[i] + (0..c.len()).filter(on).map(|j| weights[j * WIDTH + i]).sum::<f64>()
        };
        let fields: Vec<f64> = (0..WIDTH).map(field).collect();
        let bias: f64 = (0..c.len()).filter(on).map(|j| c[j]).sum();
        let weight = (bias + fields.iter().map(|f| f.exp().ln_1p()).sum::<f64>()).exp();
        total += weight;
        means.iter_mut().zip(&fields).for_each(|(mean, f)| *mean += weight / (1.0 + (-f).exp()));
    }
    for (i, mean) in means.iter().enumerate() {
        let exact = mean / total;
        let sampled: f32 = samples.iter().skip(i).step_by(WIDTH).sum();
        let error = (exact * (1.0 - exact) / COUNT as f64).sqrt();
        let z = (f64::from(sampled) / COUNT as f64 - exact) / error;
        assert!(z.abs() < 4.0, "unit {i}: {} of {COUNT}, exact {exact}", sampled);
    }
}
