//! Belief nets on the Hub, against one on this machine; what says in a folder what a net is; and runs of earlier versions, which lack it.

use std::fs;

use loopback_hub::Transfer;
use serde_json::Value;

use crate::common::{Answer, Place, read_npy};
use crate::hub::Beside;

const FILES: [&str; 5] =
    ["config.json", "belief.safetensors", "recipe.toml", "results.json", "samples.png"];

/// A net of 8 x 8 pictures in `net`, beside a Hub.
fn with_net(transfer: Transfer) -> Beside {
    let beside = Beside::empty(transfer);
    let train = "train digits --model belief --hidden 6,3 --set samples=3 --set epochs=2";
    beside.place.dbn(&format!("{train} --limit 80 --out net")).done();
    beside
}

/// A small net without pictures, as quickly as can be.
fn small(place: &Place, words: &str) -> Answer {
    let train = "train bars-and-stripes:3 --model belief --no-pictures --no-evaluation";
    place.dbn(&format!("{train} --hidden 4 --set epochs=2 {words}")).done()
}

/// Pushed and pulled to the byte, and the same numbers by the name as by the run.
#[test]
fn a_net_goes_to_the_hub_and_comes_back() {
    let beside = with_net(Transfer::Xet);
    let place = &beside.place;
    let config = place.json("net/config.json");
    assert_eq!(
        (&config["format"], &config["version"], &config["model"]),
        (&"candle-dbn".into(), &1.into(), &"belief".into())
    );
    assert_eq!(config["widths"], serde_json::json!([64, 6, 3]));
    assert_eq!(config["image"], serde_json::json!([8, 8]));
    // 2 (64·6 + 6·3) weights, 73 biases of the net and 9 of the recognition.
    assert_eq!(config["parameters"], 886);
    let inspected: Value =
        serde_json::from_str(&place.dbn("inspect net --json").done().out).unwrap();
    assert_eq!(inspected["parameters"], config["parameters"]);

    let said = beside.dbn("push net me/digits --dry-run").done();
    for file in FILES {
        assert!(said.out.contains(file), "{file}: {}", said.out);
    }
    beside.dbn("push net me/digits").done();
    let card =
        String::from_utf8(beside.hub.file("models/me/digits", "README.md").unwrap()).unwrap();
    for words in [
        "A sigmoid belief net: layers of `64 ← 6 ← 3` Bernoulli units",
        "reweighted wake-sleep, 3 guesses a case",
        "886 parameters",
        "- helmholtz-machine",
        "64 values a case (pictures of 8 x 8); values above 0.5 are taken as 1",
        "| digits, held-out | lower bound on log p(v), 1000 importance-weighted samples |",
        "![samples](samples.png)",
        "model = \"belief\"",
        "dbn evaluate me/digits DATA --likelihood",
    ] {
        assert!(card.contains(words), "{words}: {card}");
    }
    let root = place.path("").display().to_string();
    assert!(!card.contains(&root), "a path of this machine: {card}");
    let folder = beside.pulled("me/digits");
    for file in FILES.iter().filter(|file| **file != "recipe.toml") {
        assert!(
            fs::read(folder.join(file)).unwrap() == place.read(&format!("net/{file}")),
            "{file}"
        );
    }
    for words in [
        "evaluate MODEL digits --likelihood --passes 20 --json --limit 50",
        "evaluate MODEL digits --cases all --likelihood --passes 5",
        "score MODEL digits --passes 5 --limit 20",
        "infer MODEL --given h2.0=1 --query h1.0,v3 --sampled --sweeps 50 --json",
        "inspect MODEL",
    ] {
        let of = |said: Answer| said.out.replace(&folder.display().to_string(), "net");
        let near = of(place.dbn(&words.replace("MODEL", "net")).done());
        assert_eq!(of(beside.dbn(&words.replace("MODEL", "me/digits")).done()), near, "{words}");
    }
    for (command, file) in [
        ("sample MODEL --count 9 --out OUT --force", "samples.npy"),
        ("sample MODEL --count 9 --out OUT --force", "samples.png"),
        ("embed MODEL digits --layer all --limit 20 --out OUT.npy --force", ""),
    ] {
        let run = |model: &str, out: &str| {
            beside.dbn(&command.replace("MODEL", model).replace("OUT", out)).done();
            let path = if file.is_empty() { format!("{out}.npy") } else { format!("{out}/{file}") };
            place.read(&path)
        };
        assert!(run("net", "near") == run("me/digits", "far"), "{command}: {file}");
    }
    // It comes without data, and nothing of ours is left in the cache.
    beside.dbn("evaluate me/digits --likelihood").failed(&["name the data"]);
    beside.dbn("sample me/digits --count 4").done();
    assert!(!folder.join("samples").exists());
    // A copy is a model too, and what is on the Hub goes on from there.
    beside.dbn("pull me/digits --out copy").done();
    assert_eq!(place.read("copy/belief.safetensors"), place.read("net/belief.safetensors"));
    place.dbn("evaluate copy digits --likelihood --passes 5").done();
    beside.dbn("push me/digits me/second").done();
    beside.dbn("push net me/digits --layers 0..1").misused(&["--layers", "belief net"]);
}

/// Revisions, what was there before, and what is fetched once.
#[test]
fn a_net_has_revisions_and_is_cached() {
    let beside = with_net(Transfer::Regular);
    let place = &beside.place;
    beside.dbn("push net me/net").done();
    small(place, "--out small");
    beside.dbn("push small me/net@v2").done();
    let widths = |name: &str| -> Value {
        let said = beside.dbn(&format!("inspect {name} --json")).done().out;
        serde_json::from_str::<Value>(&said).unwrap()["widths"].clone()
    };
    assert_eq!(widths("me/net"), serde_json::json!([64, 6, 3]));
    assert_eq!(widths("me/net@v2"), serde_json::json!([9, 4]));
    let mut offline = beside.command("hf", "inspect me/net@v2");
    offline.env("HF_HUB_OFFLINE", "1").env("HF_ENDPOINT", "http://127.0.0.1:9");
    crate::common::answer(&mut offline).done();
    // A model of another kind takes the place of all that was there.
    place.dbn("train bars-and-stripes:3 --model bm --set epochs=1 --no-pictures --out bm").done();
    beside.dbn("push bm me/net").done();
    let paths = |revision: &str| beside.hub.paths("models/me/net", revision);
    assert!(!paths("main").contains(&"belief.safetensors".into()), "{:?}", paths("main"));
    beside.dbn("push net me/net").done();
    assert!(!paths("main").contains(&"machine.safetensors".into()), "{:?}", paths("main"));
    assert_eq!(widths("me/net"), serde_json::json!([64, 6, 3]));
    // So does a copy.
    beside.dbn("pull me/net --out copy").done();
    beside.dbn("pull me/net@v2 --out copy").failed(&["copy", "--force"]);
    beside.dbn("pull me/net@v2 --out copy --force").done();
    assert_eq!(place.read("copy/belief.safetensors"), place.read("small/belief.safetensors"));
    beside.dbn("pull me/net --out net").failed(&["net", "a run lies there"]);
}

/// What does not fit together is refused in a line, here and on the Hub.
#[test]
fn what_does_not_fit_is_refused() {
    let beside = with_net(Transfer::Regular);
    let place = &beside.place;
    place.dbn("train digits --model bm --limit 80 --set epochs=1 --no-pictures --out bm").done();
    let text = place.text("net/config.json");
    let config: Value = serde_json::from_str(&text).unwrap();
    let with = |key: &str, value: Value| {
        let mut config = config.clone();
        config[key] = value;
        config.to_string()
    };
    let (weights, machine) =
        (place.read("net/belief.safetensors"), place.read("bm/machine.safetensors"));
    let of_machine = place.text("bm/config.json");
    let other = serde_json::json!({"format": "candle-dbn", "version": 1, "model": "belief",
        "widths": [64, 5, 3], "parameters": 750, "image": null});
    let one_layer = with("widths", serde_json::json!([64]));
    let cases: [(&str, String, &[&str]); 9] = [
        ("version", with("version", 2.into()), &["version 1 belief", "version 2 belief"]),
        ("format", with("format", "other".into()), &["candle-dbn version 1", "other"]),
        ("kind", with("model", "boltzmann".into()), &["boltzmann"]),
        ("layer", one_layer, &["widths", "at least two layers", "[64]"]),
        ("count", with("parameters", 885.into()), &["parameters", "886", "885"]),
        ("image", with("image", serde_json::json!([7, 9])), &["image", "64 pixels", "63"]),
        ("key", with("colours", 3.into()), &["line 1", "colours"]),
        ("half", text[..text.len() / 2].to_owned(), &["line ", "column "]),
        ("machine", of_machine.clone(), &["version 1 belief", "version 2 machine"]),
    ];
    for (name, config, words) in &cases {
        place.write(&format!("{name}/config.json"), config);
        place.write(&format!("{name}/belief.safetensors"), &weights);
        let words = [&["config.json"], *words].concat();
        for command in ["inspect DIR", "evaluate DIR digits --likelihood", "sample DIR --out x"] {
            place.dbn(&command.replace("DIR", name)).failed(&words);
        }
        beside.dbn(&format!("push {name} me/{name}")).failed(&words);
        let repository = format!("models/me/{name}");
        beside.hub.put(&repository, "config.json", config.as_bytes());
        beside.hub.put(&repository, "belief.safetensors", &weights);
        // There, a machine's configuration means a machine's weights.
        let words = if *name == "machine" { vec!["machine.safetensors"] } else { words };
        beside.dbn(&format!("pull me/{name} --out pulled")).failed(&words);
        assert!(!place.path("pulled").exists(), "{name}");
    }
    // Of another net: by its numbers of units, and by the name of its file.
    place.write("net/config.json", other.to_string());
    for command in ["inspect net", "embed net digits --out h.npy", "push net me/x"] {
        let command =
            if command.starts_with("push") { beside.dbn(command) } else { place.dbn(command) };
        command.failed(&["config.json", "widths", "[64, 6, 3]", "[64, 5, 3]"]);
    }
    place.write("net/config.json", &text);
    for command in ["inspect bm", "evaluate bm digits --likelihood", "anneal bm", "score bm digits"]
    {
        place.write("bm/config.json", &text);
        place.dbn(command).failed(&["config.json", "version 2 machine", "version 1 belief"]);
    }
    place.write("bm/config.json", &of_machine);
    place.write("mixed/config.json", &text);
    place.write("mixed/belief.safetensors", &machine);
    place.dbn("inspect mixed").failed(&["mixed/belief.safetensors"]);

    let bad = |name: &str, files: &[(&str, &[u8])], words: &[&str]| {
        for (path, bytes) in files {
            beside.hub.put(&format!("models/me/{name}"), path, bytes);
        }
        beside.dbn(&format!("pull me/{name} --out {name}")).failed(words);
        assert!(!place.path(name).exists(), "{name}");
    };
    let (config, weights) = (text.as_bytes(), &weights[..]);
    let huge = serde_json::json!({"format": "candle-dbn", "version": 1, "model": "belief",
        "widths": [1_000_000_000_000_u64, 1], "parameters": 3_000_000_000_002_u64, "image": null});
    let huge = huge.to_string();
    let (name, net) = ("config.json", "belief.safetensors");
    bad(
        "huge",
        &[(name, huge.as_bytes()), (net, weights)],
        &[net, "at least 12000000000008 bytes", "nothing was fetched"],
    );
    let long = [weights, &vec![0; 2 << 20]].concat();
    bad("long", &[(name, config), (net, &long)], &[net, "at most", "nothing was fetched"]);
    // Long enough for its numbers, and yet not whole: it does without half of what learning needs.
    let cut = &weights[..weights.len() / 2];
    assert!(cut.len() > 886 * 4);
    bad("cut", &[(name, config), (net, cut)], &[net]);
    bad("strange", &[(name, config), ("machine.safetensors", &machine)], &[net]);
    bad("disguised", &[(name, config), (net, &machine)], &[net]);
    bad("other-net", &[(name, other.to_string().as_bytes()), (net, weights)], &["[64, 5, 3]"]);
    place.write("cut/config.json", config);
    place.write("cut/belief.safetensors", cut);
    for command in ["inspect cut", "evaluate cut digits --likelihood", "sample cut --out x"] {
        place.dbn(command).failed(&["cut/belief.safetensors"]);
    }
}

/// A run without `config.json`, with the columns of its table in `table.json`, does all that it did; a push writes what it lacks.
#[test]
fn runs_of_earlier_versions_are_taken() {
    let beside = Beside::empty(Transfer::Regular);
    let place = &beside.place;
    let rows = (0..24).map(|i| format!("{},{},{}\n", i % 2, ["red", "blue"][i / 2 % 2], i / 4 % 2));
    place.write("t.csv", format!("on,colour,off\n{}", rows.collect::<String>()));
    let train = "train t.csv --model belief --hidden 3 --set epochs=4 --no-pictures";
    place.dbn(&format!("{train} --out new")).done();
    let config = place.json("new/config.json");
    assert_eq!(config["table"]["columns"][1]["name"], "colour", "{config}");
    assert!(!place.path("new/table.json").exists(), "it stands in one place");
    fs::create_dir(place.path("old")).unwrap();
    for (name, bytes) in place.files("new") {
        place.write(&format!("old/{name}"), bytes);
    }
    fs::remove_file(place.path("old/config.json")).unwrap();
    place.write("old/table.json", config["table"].to_string());
    place.write("turned.csv", "off,colour,on\n1,red,0\n0,blue,1\n");
    for words in [
        "evaluate RUN --likelihood --passes 5 --json",
        "evaluate RUN turned.csv --cases all --likelihood --passes 5 --json",
        "score RUN turned.csv --cases all --passes 5",
        "inspect RUN --json",
        "infer RUN --query v0 --json",
    ] {
        let of = |run: &str| place.dbn(&words.replace("RUN", run)).done().out.replace("old", "new");
        assert_eq!(of("old"), of("new"), "{words}");
    }
    for run in ["old", "new"] {
        place.dbn(&format!("sample {run} --count 5 --out {run}-drawn")).done();
        place.dbn(&format!("embed {run} t.csv --out {run}.npy")).done();
    }
    assert_eq!(read_npy(&place.read("old.npy")), read_npy(&place.read("new.npy")));
    assert_eq!(place.read("old-drawn/samples.npy"), place.read("new-drawn/samples.npy"));
    // It is pushed as the new one is, and has the same beside it then.
    let said = beside.dbn("push old me/old").done();
    assert!(said.err.contains("config.json"), "{said:?}");
    let recipe = beside.hub.file("models/me/old", "recipe.toml").unwrap();
    let recipe = String::from_utf8(recipe).unwrap();
    let root = place.path("").display().to_string();
    assert!(recipe.contains("t.csv") && !recipe.contains(&root), "{recipe}");
    assert_eq!(place.json("old/config.json"), config);
    assert!(!place.path("old/table.json").exists());
    place.write("one.csv", "on,colour,off\n1,blue,0\n");
    let score =
        |run: &str| beside.dbn(&format!("score {run} one.csv --cases all --passes 9")).done().out;
    assert_eq!(score("me/old"), score("new"));
    // Height and width of pictures are those of its data.
    place.dbn("train digits --model belief --hidden 2 --limit 40 --set epochs=1 --out seen").done();
    let config_of_pictures = place.read("seen/config.json");
    let table = place.json("seen/config.json")["table"].to_string();
    place.write("seen/table.json", table);
    fs::remove_file(place.path("seen/config.json")).unwrap();
    beside.dbn("push seen me/seen --dry-run").done();
    assert_eq!(place.json("seen/config.json")["image"], serde_json::json!([8, 8]));
    assert_eq!(place.read("seen/config.json"), config_of_pictures);
    // It goes on as before, to the same bytes, and one that has not come to its end does not travel.
    fs::remove_file(place.path("old/config.json")).unwrap();
    place.dbn("train --resume old --no-pictures").done();
    assert_eq!(place.read("old/belief.safetensors"), place.read("new/belief.safetensors"));
    assert_eq!(place.json("old/config.json"), config);
    let endless = "train bars-and-stripes:3 --model belief --hidden 2 --set epochs=1000000";
    let mut child =
        place.command(&format!("{endless} --checkpoint-every 0.05 --out young")).spawn().unwrap();
    while !place.path("young/belief.safetensors").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its time");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    beside.dbn("push young me/young").failed(&["young", "1000000 epochs", "--resume"]);
    assert!(!place.path("young/config.json").exists());
}
