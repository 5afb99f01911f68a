//! A Boltzmann machine that has learned, in every command that takes a run.

use serde_json::Value;

use loopback_hub::Transfer;

use crate::common::{Place, read_npy};
use crate::hub::Beside;

/// Bars and stripes of 3×3, with coupled hidden units: small enough to be counted.
fn bars() -> Place {
    let place = Place::new();
    place.dbn("train bars-and-stripes:3 --model bm --hidden 4 --couplings lateral --set epochs=40 --no-pictures --out bm").done();
    place
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// log p counted is what `dbn infer` counts of the same machine, and what annealing comes to from both sides.
#[test]
fn likelihoods_agree_however_they_are_found() {
    let place = bars();
    let exact = json(&place.dbn("evaluate bm --likelihood --exact --json").done().out);
    assert_eq!((&exact["part"], &exact["verdict"]["kind"]), (&"all".into(), &"exact".into()));
    let log_z = exact["exact"]["log_partition"]["value"].as_f64().unwrap();
    let counted = json(&place.dbn("infer bm --json").done().out)["log_partition"].as_f64().unwrap();
    assert!((log_z - counted).abs() < 1e-5, "{log_z} {counted}");
    let words = "evaluate bm --likelihood --both --estimate --betas 800 --chains 40 --json";
    let both = json(&place.dbn(words).done().out);
    assert_eq!(both["verdict"]["kind"], "agree", "{both}");
    for side in ["forward", "reverse"] {
        let log_p = both[side]["log_likelihood"].as_f64().unwrap();
        let exact = exact["exact"]["log_likelihood"].as_f64().unwrap();
        assert!((log_p - exact).abs() < 0.3, "{side} {log_p} {exact}");
    }
    // It is kept, and the numbers stay with the run as those of a network do.
    let again = place.dbn(words).done();
    assert!(again.err.contains("kept in bm/log_partition.json"), "{}", again.err);
    let results = place.json("bm/results.json");
    assert_eq!(results["measured"].as_array().unwrap().len(), 2, "{results}");
    assert_eq!(results["measured"][1]["on"]["data"], "bars-and-stripes:3");

    // 8×8 at K = 1 by Kaufman's formula, and so is a file of the same couplings.
    let ising = json(&place.dbn("evaluate ising:8x8 --likelihood --json").done().out);
    let log_z = ising["exact"]["value"].as_f64().unwrap();
    assert!((log_z - 128.71543733740842).abs() < 1e-6, "{log_z}");
    place.write("pair", "2 1\n1 2 -1\n");
    let pair = json(&place.dbn("evaluate pair --likelihood --json").done().out);
    let z = 2.0 * 1f64.exp() + 2.0 * (-1f64).exp();
    assert!((pair["exact"]["value"].as_f64().unwrap() - z.ln()).abs() < 1e-6, "{pair}");
    place.write("spins.csv", "1,1\n1,-1\n");
    let spins = json(&place.dbn("evaluate pair spins.csv --likelihood --json").done().out);
    let log_p = spins["exact"]["log_likelihood"].as_f64().unwrap();
    assert!((log_p + z.ln()).abs() < 1e-6, "E is −1 and 1: {log_p}");
    assert!(!place.path("runs").exists(), "nothing is left of what was counted");
}

/// Coupled hidden units that are too many to be counted: a bound, and it is said to be one.
#[test]
fn what_cannot_be_counted_is_bounded() {
    let place = Place::new();
    place.dbn("train digits --model bm --hidden 16 --couplings lateral --limit 60 --set epochs=2 --no-pictures --out wide").done();
    let said = place.dbn("evaluate wide --likelihood --both --betas 300 --chains 20").done();
    for words in ["held-out cases", "train cases", "bound is one-sided", "a lower bound; log Z: "] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    place.dbn("evaluate wide --likelihood --exact").failed(&["--exact", "counted"]);
    let said = place.dbn("evaluate wide").done();
    assert!(said.out.contains("free energy, at most"), "{}", said.out);
    let said = place.dbn("score wide --cases held-out --out scores.csv").done();
    assert!(said.err.contains("upper bounds"), "{}", said.err);
    assert!(place.text("scores.csv").starts_with("row,label,free_energy,log_likelihood_bound"));
    let said = place.dbn("embed wide --cases held-out --out hidden.npy").done();
    assert!(said.err.contains("mean field"), "{}", said.err);
    let (shape, means) = read_npy(&place.read("hidden.npy"));
    assert_eq!(shape[1], 16);
    assert!(means.iter().all(|mean| *mean > 0.0 && *mean < 1.0));
}

/// An estimation that was stopped goes on where it was, to the same numbers.
#[test]
fn an_estimation_goes_on() {
    let place = Place::new();
    place.dbn("train digits --model bm --limit 60 --set epochs=2 --no-pictures --out pairs").done();
    let words =
        "evaluate pairs --likelihood --both --betas 4000 --chains 100 --checkpoint-every 0 --json";
    let mut child = place.command(words).stdout(std::process::Stdio::null()).spawn().unwrap();
    let checkpoint = place.path("pairs/likelihood.checkpoint.safetensors");
    while !checkpoint.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = place.dbn(words).done();
    assert!(resumed.err.contains("going on with"), "{}", resumed.err);
    assert!(!checkpoint.exists());
    std::fs::remove_file(place.path("pairs/log_partition.json")).unwrap();
    assert_eq!(place.dbn(words).done().out, resumed.out);
}

#[test]
fn a_machine_is_inspected_scored_and_embedded() {
    let place = bars();
    let found = json(&place.dbn("inspect bm --json").done().out);
    assert_eq!(found["parameters"], 9 + 4 + 36 + 36 + 6);
    assert_eq!(found["learning"]["epochs"], 40);
    assert_eq!(found["couplings"].as_array().unwrap().len(), 3);
    let said = place.dbn("inspect bm").done();
    for words in ["within hidden", "learned 40 of 40 epochs", "method=pcd"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    // The mean of log p over all pictures is what evaluate says.
    let said = place.dbn("score bm").done().out;
    let (header, lines) = said.split_once('\n').unwrap();
    assert_eq!(header, "row,free_energy,log_likelihood,log_likelihood_error");
    let log_p: Vec<f64> =
        lines.lines().map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
    let mean = log_p.iter().sum::<f64>() / 14.0;
    let exact = json(&place.dbn("evaluate bm --likelihood --json").done().out);
    let exact = exact["exact"]["log_likelihood"].as_f64().unwrap();
    assert!(log_p.len() == 14 && (mean - exact).abs() < 1e-4, "{mean} {exact}");
    // E[h | v] as `dbn infer` counts it, of the first picture: nothing is on.
    place.dbn("embed bm --out hidden.npy").done();
    let (shape, means) = read_npy(&place.read("hidden.npy"));
    assert_eq!(shape, [14, 4]);
    let given: Vec<String> = (0..9).map(|i| format!("{i}=0")).collect();
    let words = format!("infer bm --given {} --query 9 --json", given.join(","));
    let marginal = json(&place.dbn(&words).done().out)["marginals"][0][1][1].as_f64().unwrap();
    let is_known = (0..14).any(|row| (f64::from(means[row * 4]) - marginal).abs() < 1e-5);
    assert!(is_known, "{marginal} {means:?}");

    place.dbn("train bars-and-stripes:3 --model bm --set epochs=1 --no-pictures --out flat").done();
    place.dbn("embed flat --out f.npy").failed(&["flat", "hidden units", "visible ones alone"]);
    let said = place.dbn("score flat").done();
    assert!(
        said.out
            .starts_with("row,free_energy,log_likelihood,log_likelihood_error,pseudo_likelihood"),
        "{}",
        said.out
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = bars();
    for command in ["evaluate bm", "score bm", "embed bm --out f.npy"] {
        let (verb, rest) = command.split_once(" bm").unwrap();
        let of = |data: &str| place.dbn(&format!("{verb} bm {data}{rest}"));
        of("bars-and-stripes:4").failed(&["bars-and-stripes:4", "9 values", "16"]);
        of("nowhere.csv").failed(&["nowhere.csv"]);
    }
    place.write("grey.csv", "0,1,2,0,0,0,0,0,0\n1,1,1,0,0,0,0,0,0\n");
    place.dbn("score bm grey.csv").failed(&["grey.csv", "from 0 to 1", "2"]);
    place.dbn("score bm --scan").failed_in_the_end(&["--scan", "an alignment"]);
    place.dbn("embed bm --layer 2 --out f.npy").failed(&["--layer", "1, top or all"]);
    place.dbn("evaluate bm --recognise gibbs:3").misused(&["--recognise", "network"]);
    place.dbn("evaluate ising:4x4").misused(&["ising:4x4", "--likelihood"]);
    place.dbn("evaluate ising:4x4 --likelihood --cases train").failed(&["--cases", "ising:4x4"]);
    place.dbn("inspect ising:4x4").failed(&["ising:4x4", "not learned"]);
    place.dbn("score nowhere").failed(&["nowhere"]);
    place.dbn("decode bm codes.npy --out d.npy").failed(&["bm", "Boltzmann machine"]);
    place.write("f.uai", "MARKOV\n2\n2 2\n1\n2 0 1\n4\n4 1 1 4\n");
    let found = json(&place.dbn("evaluate f.uai --likelihood --json").done().out);
    assert!((found["exact"]["value"].as_f64().unwrap() - 10f64.ln()).abs() < 1e-12);
    // From both sides by the same sampler as any machine; and log p of cases that are named: 0.4 of two that are alike.
    let words = "evaluate f.uai --likelihood --both --chains 200 --betas 100 --estimate --json";
    let both = json(&place.dbn(words).done().out);
    for side in ["forward", "reverse", "bridge"] {
        let found = both[side]["value"].as_f64().unwrap();
        assert!((found - 10f64.ln()).abs() < 0.2, "{side}: {found}");
    }
    place.write("states.csv", "0,0\n1,1\n0,1\n");
    let cases = json(&place.dbn("evaluate f.uai states.csv --likelihood --json").done().out);
    let mean = (2.0 * 0.4f64.ln() + 0.1f64.ln()) / 3.0;
    let found = cases["exact"]["log_likelihood"].as_f64().unwrap();
    assert!((found - mean).abs() < 1e-9, "{found}");
    place.write("wrong.csv", "0,0\n2,1\n");
    place.dbn("evaluate f.uai wrong.csv --likelihood").failed(&["wrong.csv", "case 2"]);
    place.write("wrong.csv", "0,0.5\n1,1\n");
    place.dbn("evaluate f.uai wrong.csv --likelihood").failed(&["wrong.csv", "case 1", "0.5"]);
    place.dbn("evaluate f.uai --likelihood --report r").misused(&["--report", "f.uai", "learned"]);
    place.dbn("evaluate bm --report r").done();
    place.dbn("evaluate bm --report r").failed(&["r/report.json", "--force"]);
    place.dbn("evaluate bm --likelihood --report r --force").done();
    assert!(
        json(&std::fs::read_to_string(place.path("r/report.json")).unwrap())["exact"].is_object()
    );
    assert!(place.path("r/free_energies.png").is_file());
    // A run whose recipe is gone does not know its data.
    std::fs::rename(place.path("bm/recipe.toml"), place.path("recipe.toml")).unwrap();
    place.dbn("evaluate bm").failed(&["recipe.toml", "name the data"]);
    place.dbn("evaluate bm bars-and-stripes:3").done();
    let mut bytes = place.read("bm/machine.safetensors");
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(place.path("bm/machine.safetensors"), bytes).unwrap();
    for command in ["evaluate bm", "inspect bm", "score bm", "embed bm --out f.npy", "sample bm"] {
        place.dbn(command).failed(&["machine.safetensors", "damaged"]);
    }
}

/// What is held stays as it is, and what is not is drawn as p(the others | held) says: bars and stripes by their upper two rows.
#[test]
fn a_part_is_held_while_the_rest_is_drawn() {
    let place = Place::new();
    place.dbn("train bars-and-stripes:3 --model bm --hidden 4 --couplings lateral --set method=exact --set epochs=400 --set learning_rate=0.5 --set l2=0 --no-pictures --out bm").done();
    let words =
        "sample bm --clamp bars-and-stripes:3 --keep top --count 1400 --steps 30 --out held";
    place.dbn(words).done();
    let (shape, drawn) = read_npy(&place.read("held/samples.npy"));
    assert_eq!(shape, [1400, 9]);
    assert_eq!(&place.read("held/samples.png")[1..4], b"PNG");
    // Rows of the same case: the upper two rows are those of one picture.
    let tops: std::collections::BTreeSet<Vec<u8>> =
        drawn.chunks(9).map(|x| x[..6].iter().map(|x| *x as u8).collect()).collect();
    assert!(tops.len() <= 12 && tops.len() >= 9, "of 14 pictures: {}", tops.len());
    // Two equal rows of a mixed pattern ask for a third one like them.
    let mixed = drawn.chunks(9).filter(|x| x[..3] == [1.0, 0.0, 0.0] && x[3..6] == [1.0, 0.0, 0.0]);
    let mixed: Vec<_> = mixed.collect();
    let third = mixed.iter().filter(|x| x[6..] == [1.0, 0.0, 0.0]).count();
    let given = "0=1,1=0,2=0,3=1,4=0,5=0";
    let words = format!("infer bm --given {given} --query 6,7,8 --json");
    let joint = json(&place.dbn(&words).done().out)["joint"][4].clone();
    assert_eq!(joint[0], serde_json::json!([1, 0, 0]));
    let (p, n) = (joint[1].as_f64().unwrap(), mixed.len() as f64);
    assert_eq!(mixed.len(), 100);
    let off = (third as f64 / n - p).abs();
    assert!(off < 4.0 * (p * (1.0 - p) / n).sqrt() + 1e-3, "{third} of {n}, {p}");

    place
        .dbn("sample bm --from bars-and-stripes:3 --steps 5 --animate 4 --count 20 --out way")
        .done();
    assert_eq!(&place.read("way/animation.gif")[..3], b"GIF");
    let said = place.dbn("sample bm --tempered --count 20 --sweeps 200 --out cold").done();
    assert!(said.err.contains("replicas came from"), "{}", said.err);
    place.dbn("sample bm --count 4 --steps 10").done();
    assert!(place.path("bm/samples/samples.png").exists());
    // With a temperature averages are measured.
    assert!(
        place.dbn("sample bm --temperature 2 --sweeps 20 --chains 8").done().out.contains("energy")
    );
    place.dbn("sample bm --clamp bars-and-stripes:4").failed(&["bars-and-stripes:4", "9 values"]);
    place
        .dbn("sample bm --clamp bars-and-stripes:3 --keep 8..12 --out x")
        .failed(&["--keep", "below 9"]);
    place.dbn("sample bm --label 3").failed(&["--label", "labels=true"]);
    place.dbn("sample ising:4x4 --clamp digits").misused(&["--clamp", "network"]);
}

#[test]
fn machines_stand_beside_each_other() {
    let place = bars();
    place.dbn("train bars-and-stripes:3 --model bm --set epochs=5 --no-pictures --out flat").done();
    let found = json(&place.dbn("compare bm flat --json --out curves.png").done().out);
    let keys: Vec<_> =
        found["recipes"].as_array().unwrap().iter().map(|line| &line["key"]).collect();
    assert_eq!(keys, ["couplings", "hidden", "learning.epochs", "learning.method"], "{found}");
    let results = found["results"].as_array().unwrap();
    let of =
        |name: &str| results.iter().find(|line| line["name"].as_str().unwrap().starts_with(name));
    assert_eq!(of("epochs").unwrap()["values"][1]["value"], 5.0);
    let own = place.json("bm/results.json")["measured"][0]["numbers"][0]["value"].clone();
    assert_eq!(of("log p(v), exact").unwrap()["values"][0]["value"], own);
    assert!(of("pseudo-log-likelihood").unwrap()["values"][0].is_null());
    assert_eq!(&place.read("curves.png")[1..4], b"PNG");
    // Beside a network each has its own numbers.
    place.dbn("train data.csv --recipe tiny.toml --no-pictures --out net").done();
    let said = place.dbn("compare net bm --out both.png").done();
    assert!(said.err.contains("picture is of the networks"), "{}", said.err);
    place.dbn("compare bm nowhere").failed(&["nowhere"]);
}

#[test]
fn a_machine_goes_to_the_hub_and_comes_back() {
    let beside = Beside::empty(Transfer::Xet);
    let place = &beside.place;
    place.dbn("train digits --model bm --hidden 5 --limit 80 --set epochs=2 --out bm").done();
    let said = beside.dbn("push bm me/bars --dry-run").done();
    for file in ["config.json", "machine.safetensors", "recipe.toml", "results.json", "samples.png"]
    {
        assert!(said.out.contains(file), "{file}: {}", said.out);
    }
    beside.dbn("push bm me/bars").done();
    let card = String::from_utf8(beside.hub.file("models/me/bars", "README.md").unwrap()).unwrap();
    for words in [
        "A Boltzmann machine: visible units `bernoulli:64`",
        "- boltzmann-machine",
        "log p(v)",
        "--likelihood",
    ] {
        assert!(card.contains(words), "{words}: {card}");
    }
    let root = place.path("").display().to_string();
    assert!(!card.contains(&root), "a path of this machine: {card}");
    let folder = beside.pulled("me/bars");
    let pulled = std::fs::read(folder.join("machine.safetensors")).unwrap();
    assert_eq!(pulled, place.read("bm/machine.safetensors"));
    // By its name it is sampled, scored and evaluated on data that are named.
    beside.dbn("sample me/bars --count 9 --steps 5 --out drawn").done();
    let (shape, _) = read_npy(&place.read("drawn/samples.npy"));
    assert_eq!(shape, [9, 64]);
    let words = "digits --likelihood --json --limit 50";
    let far = json(&beside.dbn(&format!("evaluate me/bars {words}")).done().out);
    let near = json(&place.dbn(&format!("evaluate bm {words}")).done().out);
    assert_eq!(far["exact"], near["exact"]);
    beside.dbn("evaluate me/bars").failed(&["name the data"]);
    // And annealed, asked, and compared with what lies here.
    for words in [
        "anneal MODEL --reads 4 --sweeps 20 --json",
        "infer MODEL --sampled --sweeps 200 --query 0 --json",
        "sample MODEL --temperature 1 --sweeps 20 --chains 8 --json",
    ] {
        let of = |said: String| {
            let mut found = json(&said);
            for key in ["model", "seconds", "seconds_to_solution"] {
                found.as_object_mut().unwrap().remove(key);
            }
            found
        };
        let near = of(place.dbn(&words.replace("MODEL", "bm")).done().out);
        assert_eq!(of(beside.dbn(&words.replace("MODEL", "me/bars")).done().out), near, "{words}");
    }
    beside.dbn("anneal me/nothing").failed(&["me/nothing"]);
    beside.dbn("pull me/bars --out copy").done();
    place.dbn("inspect copy").done();

    place.dbn("train digits --model bm --limit 80 --set epochs=1 --no-pictures --out other").done();
    std::fs::copy(place.path("other/machine.safetensors"), place.path("bm/machine.safetensors"))
        .unwrap();
    beside.dbn("push bm me/bars").failed(&["config.json", "another"]);
    beside.dbn("push bm me/bars --layers 0..1").misused(&["--layers", "network"]);
}

/// A recipe in a file, and what a run leaves as one, learn the same machine as the options.
#[test]
fn a_machine_is_learned_by_a_recipe() {
    let place = bars();
    let head = "model = \"bm\"\nhidden = 4\ncouplings = \"lateral\"\n";
    let text = format!("{head}[data]\nsource = \"bars-and-stripes:3\"\n[learning]\nepochs = 40\n");
    place.write("bm.toml", &text);
    place.dbn("train --recipe bm.toml --no-pictures --out by-file").done();
    let machine = place.read("bm/machine.safetensors");
    assert_eq!(place.read("by-file/machine.safetensors"), machine);
    place.dbn("train --recipe bm/recipe.toml --no-pictures --out again").done();
    assert_eq!(place.read("again/machine.safetensors"), machine);
    // What is typed goes before what the file says.
    place.dbn("train --recipe bm.toml --set epochs=2 --hidden 3 --no-pictures --out less").done();
    let less = json(&place.dbn("inspect less --json").done().out);
    assert_eq!(
        (&less["learning"]["epochs"], &less["layers"][1]["units"]["size"]),
        (&2.into(), &3.into())
    );
    // A run that has ended has nothing left to learn; with more epochs in its recipe it is another.
    let said = place.dbn("train --resume bm --no-pictures").done();
    assert!(said.err.contains("goes on after epoch 40"), "{}", said.err);
    assert_eq!(place.read("bm/machine.safetensors"), machine);
    // Killed before anything was learned, it begins anew.
    std::fs::create_dir(place.path("begun")).unwrap();
    std::fs::copy(place.path("bm/recipe.toml"), place.path("begun/recipe.toml")).unwrap();
    place.dbn("train --resume begun --no-pictures").done();
    assert_eq!(place.read("begun/machine.safetensors"), machine);
    place.train("");
    place.dbn("train bars-and-stripes:3 --model bm --out run").failed(&["run", "of a network"]);
    let said = place.dbn("train --recipe bm.toml --dry-run").done();
    for words in [
        "model = \"bm\"",
        "14 training cases of 9 values",
        "91",
        "memory: about",
        "nothing was written",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    assert!(!place.path("runs").exists());
    let said = place.dbn("recipe bm.toml").done();
    assert!(
        said.out.contains("hidden = 4") && said.out.contains("hold_out_one_in = 6"),
        "{}",
        said.out
    );

    let wrong = |from: &str, to: &str, words: &[&str]| {
        assert!(text.contains(from), "{from}");
        place.write("wrong.toml", &text.replace(from, to));
        place.dbn("train --recipe wrong.toml").misused(words);
    };
    wrong("hidden = 4", "hiden = 4", &["wrong.toml", "line 2", "hiden"]);
    wrong("hidden = 4", "hidden = 0", &["wrong.toml", "line 2", "none"]);
    wrong("source", "sources", &["wrong.toml", "sources"]);
    wrong("lateral", "sideways", &["couplings", "sideways", "lateral"]);
    wrong("epochs = 40", "epoch = 40", &["wrong.toml", "line", "epoch", "did you mean epochs?"]);
    wrong("\"bm\"", "\"dbn\"", &["wrong.toml", "line 1", "bm"]);
    place.dbn("train --recipe tiny.toml --model bm").misused(&["tiny.toml", "model = \"bm\""]);
    place.dbn("train --recipe nowhere.toml --model bm").failed(&["nowhere.toml"]);
    place
        .dbn("train bars-and-stripes:3 --model bm --out bm --set epochs=3")
        .failed(&["bm", "other units or settings"]);
    place.dbn("train data.csv --recipe tiny.toml --out bm").failed(&["bm", "earlier run"]);
}

/// A deep machine goes through every command: it learns, its log p is counted, its layers are features, and it goes on where it was stopped.
#[test]
fn a_deep_machine_is_a_run_like_any_other() {
    let place = Place::new();
    let words = "train bars-and-stripes:3 --model dbm --hidden 6,4 --set epochs=60 --no-pictures";
    let said = place.dbn(&format!("{words} --out deep")).done();
    assert!(said.out.contains("log p(v)") && said.out.contains("counted"), "{}", said.out);
    let exact = json(&place.dbn("evaluate deep --likelihood --exact --json").done().out);
    let log_p = exact["exact"]["log_likelihood"].as_f64().unwrap();
    let both = "evaluate deep --likelihood --both --estimate --betas 800 --chains 40 --json";
    let both = json(&place.dbn(both).done().out);
    assert_eq!(both["verdict"]["kind"], "agree", "{both}");
    let found = both["bridge"]["log_likelihood"].as_f64().unwrap();
    assert!((found - log_p).abs() < 0.2, "{found} {log_p}");
    let said = place.dbn("inspect deep").done().out;
    assert!(said.contains("hidden–hidden 2") && said.contains("hidden 2 bernoulli:4"), "{said}");
    for (layer, width) in [("1", 6), ("top", 4)] {
        place.dbn(&format!("embed deep --layer {layer} --out {layer}.npy")).done();
        let bytes = std::fs::read(place.path(&format!("{layer}.npy"))).unwrap();
        assert_eq!(read_npy(&bytes).0, [14, width], "{layer}");
    }
    place.dbn("sample deep --count 5 --out samples").done();
    // However often it is kept on the way, it is the same to the byte.
    place.dbn(&format!("{words} --out again --checkpoint-every 0")).done();
    let bytes =
        |run: &str| std::fs::read(place.path(&format!("{run}/machine.safetensors"))).unwrap();
    assert!(bytes("deep") == bytes("again"));
    place.dbn("train digits --model dbm --hidden 5").misused(&["at least two layers"]);
    place.dbn("embed deep --layer 3 --out x.npy").failed(&["1 to 2"]);
}

/// One case in six is held out: of five none is. The training ends as any other does, and goes on.
#[test]
fn few_cases_are_learned_though_none_is_held_out() {
    let place = Place::new();
    place.write("few.csv", "a,b,c\n0,1,1\n1,0,1\n1,1,0\n0,0,1\n1,1,1\n");
    place.dbn("train few.csv --model bm --set epochs=2 --out few").done();
    assert!(place.path("few/results.json").is_file());
    place.dbn("train --resume few").done();
    place.write("chain.txt", "2 1\n1 2 1\n");
    let words = "train few.csv --model bm --couplings edges:chain.txt --set epochs=1 --out pair";
    let said = place.dbn(words).done();
    assert!(said.err.contains("the other 1 of the data are not coupled"), "{}", said.err);
}

/// A machine that learns from zeros and ones drawn anew at every turn is asked about cases drawn once, and its classifier sees the values.
#[test]
fn values_are_drawn_anew_for_a_machine_and_once_for_its_likelihood() {
    let place = Place::new();
    let learn = |words: &str| {
        place.dbn(&format!(
            "train digits --limit 200 --set epochs=2 --set data.pass=sample --no-pictures {words}"
        ))
    };
    let deep = "--model dbm --hidden 6,4 --set classifier.epochs=1";
    let said = learn(&format!("{deep} --out deep")).done();
    assert!(!said.err.contains("above 0.5"), "{}", said.err);
    let learned = place.text("deep/recipe.toml");
    assert!(learned.contains("pass = \"sample\""), "{learned}");
    place.dbn("train --recipe deep/recipe.toml --no-pictures --out again").done();
    for file in ["machine.safetensors", "classifier/model.safetensors"] {
        let of = |run: &str| place.read(&format!("{run}/{file}"));
        assert!(of("deep") == of("again"), "{file}");
    }
    let on = &place.json("deep/results.json")["measured"][0]["on"];
    assert_eq!(on["binarise"], "sample:0", "{on}");
    // The same cases, named: read and drawn in the same way.
    let log_p = |words: &str| {
        let words = format!("evaluate deep {words} --likelihood --exact --cases all --json");
        json(&place.dbn(&words).done().out)["exact"]["log_likelihood"].clone()
    };
    assert_eq!(log_p(""), log_p("digits"));
    assert_ne!(log_p(""), log_p("digits --binarise threshold:0.5"));
    for words in ["evaluate deep digits --likelihood --exact", "score deep"] {
        let said = place.dbn(words).done().err;
        assert_eq!(said.matches("drawn once").count(), 1, "{said}");
    }
    let said = place.dbn("inspect deep").done().out;
    assert!(said.contains("data.pass=sample"), "{said}");

    // The classifier sees values, however zeros and ones are made of them, and knows more by them.
    learn("--model dbm --hidden 30,20 --set classifier.epochs=200 --set classifier.learning_rate=0.3 --out wide").done();
    let errors = |words: &str| {
        json(&place.dbn(&format!("evaluate wide {words} --json")).done().out)[0]["classifier_error"]
            .as_f64()
            .unwrap_or(f64::NAN)
    };
    let grey = errors("digits");
    assert!(grey < 40.0, "{grey}");
    assert_eq!(grey, errors("digits --binarise sample:0"));
    assert_eq!(grey, errors("digits --binarise threshold:0.5"));

    learn("--model belief --hidden 4 --out net").done();
    assert!(place.text("net/recipe.toml").contains("pass = \"sample\""));
    place.write("few.csv", "a,b\n1,0\n0,1\n1,1\n");
    let bits = "train few.csv --model bm --set epochs=1 --set data.pass=sample --out bits";
    let said = place.dbn(bits).done().err;
    assert!(said.contains("nothing is drawn") && !said.contains("drawn once"), "{said}");
    // What was drawn once for the learning is not drawn in another way for its likelihood.
    let once = "--model bm --binarise sample:3 --out once";
    assert!(learn(once).done().err.contains("nothing is drawn"));
    let said = place.dbn("evaluate once digits").done().err;
    assert!(said.contains("above 0.5") && !said.contains("drawn once"), "{said}");
    place.write("few.fasta", ">a\nACA\n>b\nAAC\n>c\nCCA\n");
    let codes = "train few.fasta --model belief --hidden 2 --set data.pass=sample --out codes";
    place.dbn(codes).failed(&["data.pass=sample", "binarise"]);
    assert!(!place.path("codes").exists());
    learn("--model bm --set data.pass=median").misused(&["data.pass=median", "`mean` or `sample`"]);
    place.write("spins.csv", "a,b\n1,-1\n-1,1\n1,1\n");
    place.dbn("train spins.csv --model bm --set data.pass=sample").misused(&["data.pass", "spin"]);
}
