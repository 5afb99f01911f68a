//! `dbn push`, `dbn pull` and models by their names on the Hub, against a Hub on this machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use loopback_hub::{Faults, Server, TOKEN, Transfer};

use crate::common::{Answer, Place, answer, read_npy};

/// A place beside a Hub.
pub struct Beside {
    pub place: Place,
    pub hub: Server,
}

impl Beside {
    /// With a trained run in `run`.
    pub fn new(transfer: Transfer) -> Self {
        let beside = Self::empty(transfer);
        beside.place.dbn("train data.csv --recipe tiny.toml --out run").done();
        beside
    }

    pub fn empty(transfer: Transfer) -> Self {
        Self { place: Place::new(), hub: Server::start(transfer) }
    }

    /// A command of somebody who has the token; `cache` is a folder for what they fetch.
    pub fn command(&self, cache: &str, words: &str) -> Command {
        let mut command = self.place.command(words);
        command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", self.hub.endpoint());
        command.env("HF_TOKEN", TOKEN).env("HF_HOME", self.place.path(cache));
        command.env("HF_XET_CACHE", self.place.path("xet"));
        // The store of this Hub is a folder, which is no address that a Hub may name.
        command.env("HF_XET_DATA_LOCAL_CAS_SCHEME", "local://");
        command
    }

    /// What that command says; the token is never in it, however much is told.
    pub fn dbn(&self, words: &str) -> Answer {
        self.dbn_from("hf", words)
    }

    pub fn dbn_from(&self, cache: &str, words: &str) -> Answer {
        let answer = answer(&mut self.command(cache, words));
        assert!(!answer.out.contains(TOKEN) && !answer.err.contains(TOKEN), "{answer:?}");
        answer
    }

    /// The folder in the cache that `dbn pull` prints.
    pub fn pulled(&self, words: &str) -> PathBuf {
        PathBuf::from(self.dbn(&format!("pull {words}")).done().out.trim())
    }
}

pub const MODEL: [&str; 2] = ["config.json", "model.safetensors"];

#[test]
fn what_is_pushed_is_pulled_to_the_byte() {
    for transfer in [Transfer::Regular, Transfer::Basic, Transfer::Xet] {
        let beside = Beside::new(transfer);
        let pushed = beside.dbn("push run me/digits").done();
        assert!(pushed.out.starts_with("pushed me/digits: http://127.0.0.1"), "{pushed:?}");
        // Only where xet is there do the weights travel as large files do.
        assert_eq!(pushed.err.contains("went as text"), transfer != Transfer::Xet, "{pushed:?}");
        assert_eq!(pushed.err.contains(" kB"), transfer != Transfer::Xet, "the size: {pushed:?}");
        let dir = beside.pulled("me/digits");
        for name in MODEL.iter().chain(&["filters.png", "samples.png", "results.json"]) {
            let here = beside.place.read(&format!("run/{name}"));
            assert!(fs::read(dir.join(name)).unwrap() == here, "{transfer:?}: {name}");
        }
        beside.dbn("pull me/digits --out mine").done();
        assert!(beside.place.model("mine") == beside.place.model("run"));
        beside.dbn("pull me/digits --out mine").failed(&["--force"]);
        beside.dbn("pull me/digits --out mine --force").done();
    }
}

#[test]
fn a_name_on_the_hub_is_a_model() {
    let beside = Beside::new(Transfer::Regular);
    beside.dbn("push run me/digits").done();
    for model in ["run", "me/digits", "hf:me/digits@main"] {
        beside.dbn(&format!("embed {model} data.csv --out {}.npy", &model[..2])).done();
    }
    let (shape, numbers) = read_npy(&beside.place.read("ru.npy"));
    assert_eq!((shape, numbers.len()), (vec![200, 12], 2400));
    assert!(beside.place.read("ru.npy") == beside.place.read("me.npy"));
    assert!(beside.place.read("ru.npy") == beside.place.read("hf.npy"));
    beside.dbn("inspect me/digits --json").done();
    let said = beside.dbn("evaluate me/digits data.csv --cases all").done().out;
    assert!(said.contains("of 200"), "{said}");
    // Without data, the model has none with it; nothing is left in the cache.
    beside.dbn("evaluate me/digits").failed(&["name the data"]);
    beside.dbn("sample me/digits --count 4 --steps 2").done();
    assert!({
        let commit =
            beside.pulled("me/digits").file_name().unwrap().to_str().unwrap()[..7].to_owned();
        beside.place.path(&format!("runs/me--digits@{commit}/samples/samples.png")).is_file()
    });
    assert!(!beside.pulled("me/digits").join("samples").exists());
    // What is cached does without the Hub.
    let mut offline = beside.command("hf", "inspect me/digits --json");
    answer(offline.env("HF_HUB_OFFLINE", "1").env("HF_ENDPOINT", "http://127.0.0.1:9")).done();
    let mut silent = beside.command("hf", "inspect me/digits --json");
    let silent = answer(silent.env("HF_ENDPOINT", "http://127.0.0.1:9")).done();
    assert!(silent.err.contains("does not answer"), "{silent:?}");
    // But a pull is what the Hub has now, or none.
    let mut pull = beside.command("hf", "pull me/digits");
    answer(pull.env("HF_ENDPOINT", "http://127.0.0.1:9")).failed(&["HF_HUB_OFFLINE=1"]);
    let mut nothing = beside.command("empty", "inspect me/digits");
    answer(nothing.env("HF_HUB_OFFLINE", "1")).failed(&["me/digits", "HF_HUB_OFFLINE"]);
    let mut nothing = beside.command("hf", "push run me/digits");
    answer(nothing.env("HF_HUB_OFFLINE", "1")).failed(&["unset HF_HUB_OFFLINE"]);
    // A folder that is not here is looked for here, where the one it would lie in is.
    let before = beside.hub.log().len();
    fs::create_dir_all(beside.place.path("runs")).unwrap();
    beside.dbn("inspect runs/typo").failed(&["runs/typo"]);
    assert_eq!(beside.hub.log().len(), before, "a typing error is nobody else's business");
}

#[test]
fn what_would_go_is_listed_and_nobody_asked() {
    let beside = Beside::new(Transfer::Regular);
    let said = beside.dbn("push run me/digits --dry-run").done().out;
    let names = [
        "README.md",
        "config.json",
        "model.safetensors",
        "recipe.toml",
        "results.json",
        "filters.png",
        "samples.png",
    ];
    for name in names {
        assert!(said.contains(name), "{name} is missing in {said}");
    }
    assert!(said.contains("nothing was sent"), "{said}");
    assert_eq!(beside.hub.log(), Vec::<String>::new());
    beside.dbn("push run me/digits").done();
    let there = beside.hub.paths("models/me/digits", "main");
    assert_eq!(there.len(), names.len() + 1, "{there:?}");
    // Neither the data nor a path of this machine goes.
    let recipe = beside.hub.file("models/me/digits", "recipe.toml").unwrap();
    let recipe = String::from_utf8(recipe).unwrap();
    assert!(recipe.contains("source = \"data.csv\""), "{recipe}");
    for path in &there {
        let bytes = beside.hub.file("models/me/digits", path).unwrap();
        let folder = beside.place.path("").display().to_string();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(
            !text.contains(folder.trim_end_matches('/')),
            "{path} names a folder of this machine"
        );
    }
}

#[test]
fn the_first_layers_go_alone() {
    let beside = Beside::new(Transfer::Xet);
    beside.dbn("push run me/features --layers 0..1").done();
    let config = fs::read_to_string(beside.pulled("me/features").join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["hidden"].as_array().unwrap().len(), 1);
    assert!(config["classes"].is_null());
    beside.dbn("embed me/features data.csv --out alone.npy").done();
    beside.dbn("embed run data.csv --layer 1 --out whole.npy").done();
    assert!(beside.place.read("alone.npy") == beside.place.read("whole.npy"));
    let wrong = beside.dbn("push run me/features --layers 1..2");
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    beside.dbn("push run me/features --layers 0..3").failed(&["from 1 to 2"]);
}

#[test]
fn branches_and_proposals() {
    let beside = Beside::new(Transfer::Regular);
    beside.dbn("push run me/digits").done();
    let first = beside.pulled("me/digits");
    beside.place.train_into("other", "--seed 8");
    beside.dbn("push other me/digits --revision v2 --message second").done();
    assert!(beside.pulled("me/digits@v2") != first);
    assert!(beside.pulled("me/digits --revision v2") != first);
    assert!(beside.pulled("me/digits") == first, "the main branch has not moved");
    let by_commit = first.file_name().unwrap().to_str().unwrap();
    assert!(beside.pulled(&format!("me/digits@{by_commit}")) == first);
    let proposed = beside.dbn("push other me/digits --create-pr").done().out;
    assert!(proposed.contains("/discussions/1"), "{proposed}");
    assert!(beside.pulled("me/digits") == first);
    assert!(
        fs::read(beside.pulled("me/digits@refs/pr/1").join(MODEL[1])).unwrap()
            == beside.place.model("other")
    );
    beside.dbn("pull me/digits@v3").failed(&["me/digits@v3", "branch, tag or commit"]);
    beside.dbn("push run me/digits@v2 --revision v2").failed(&["--revision"]);
    beside.dbn("push run me/nothing --create-pr").failed(&["me/nothing", "exists"]);
}

#[test]
fn who_may_not_is_told_what_to_do() {
    let beside = Beside::new(Transfer::Regular);
    let with = |token: Option<&str>, words: &str| {
        let mut command = beside.command("fresh", words);
        match token {
            Some(token) => command.env("HF_TOKEN", token),
            None => command.env_remove("HF_TOKEN"),
        };
        answer(&mut command)
    };
    with(Some("hf_wrong"), "push run me/digits").failed(&["me/digits", "HF_TOKEN"]);
    with(None, "push run me/digits").failed(&["me/digits", "HF_TOKEN"]);
    beside.dbn("push run them/digits").failed(&["them/digits", "token that may write"]);
    beside.dbn("push run me/secret --private").done();
    with(None, "pull me/secret").failed(&["me/secret", "private", "HF_TOKEN"]);
    with(Some("hf_wrong"), "pull me/secret").failed(&["me/secret", "private"]);
    beside.dbn("pull me/secret").done();
    beside.dbn("pull me/nothing").failed(&["me/nothing", "a repository that exists"]);
    for wrong in ["me", "me/", "../me/x", "me/x@../../y", "me/x@", "me/x/y", "me/..%2f"] {
        beside.dbn(&format!("pull {wrong}")).failed(&["user/name"]);
    }
    beside.dbn("push nowhere me/digits").failed(&["nowhere"]);
    // However much is told.
    let mut loud = beside.command("hf", "push run me/loud -vvv");
    let loud = answer(loud.env("RUST_LOG", "trace")).done();
    assert!(loud.err.len() > 1000 && !loud.err.contains(TOKEN), "the token is in the log");
}

#[test]
fn what_breaks_on_the_way_leaves_nothing_half_done() {
    let beside = Beside::new(Transfer::Regular);
    beside.hub.set_faults(Faults { cut_commits: true, ..Faults::default() });
    beside.dbn("push run me/digits").failed(&["me/digits", "an answer from the Hub"]);
    assert_eq!(beside.hub.paths("models/me/digits", "main"), [".gitattributes"]);
    beside.hub.set_faults(Faults { race: true, ..Faults::default() });
    beside.dbn("push run me/digits").failed(&["push again"]);
    assert!(beside.hub.file("models/me/digits", "model.safetensors").is_none());
    beside.hub.set_faults(Faults::default());
    beside.dbn("push run me/digits").done();
    let theirs = beside.hub.file("models/me/digits", "someone-else.txt");
    assert_eq!(theirs.unwrap(), b"was quicker");

    beside.hub.set_faults(Faults { cut_downloads: true, ..Faults::default() });
    beside.dbn("pull me/digits --out mine").failed(&["me/digits"]);
    assert!(!beside.place.path("mine").exists());
    beside.dbn("inspect me/digits").failed(&["me/digits"]);
    beside.hub.set_faults(Faults { corrupt_downloads: true, ..Faults::default() });
    beside.dbn("pull me/digits --out mine").failed_in_the_end(&["config.json"]);
    assert!(!beside.place.path("mine").exists());
    beside.hub.set_faults(Faults::default());
    beside.dbn("pull me/digits --out mine").done();
    assert!(beside.place.model("mine") == beside.place.model("run"));
}

#[test]
fn what_is_damaged_in_the_cache_is_fetched_again() {
    for transfer in [Transfer::Regular, Transfer::Xet] {
        let beside = Beside::new(transfer);
        beside.dbn("push run me/digits").done();
        let weights = beside.pulled("me/digits").join(MODEL[1]);
        let whole = fs::read(&weights).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&weights, &damaged).unwrap();
        let mut offline = beside.command("hf", "inspect me/digits");
        answer(offline.env("HF_HUB_OFFLINE", "1"))
            .failed(&["model.safetensors", "`dbn pull` mends it"]);
        let said = beside.dbn("pull me/digits").done();
        assert!(said.err.contains("damaged in the cache"), "{transfer:?}: {said:?}");
        assert!(fs::read(&weights).unwrap() == whole);
        assert_eq!(beside.dbn("pull me/digits").done().err, "");
    }
}

#[test]
fn nothing_bad_in_a_repository_does_anything() {
    let beside = Beside::new(Transfer::Regular);
    let config = beside.place.read("run/config.json");
    let weights = beside.place.model("run");
    let bad = |name: &str, files: &[(&str, &[u8])], words: &[&str]| {
        let repository = format!("models/me/{name}");
        for (path, bytes) in files {
            beside.hub.put(&repository, path, bytes);
        }
        beside.dbn(&format!("pull me/{name} --out {name}")).failed(words);
        assert!(!beside.place.path(name).exists(), "{name}");
    };
    let text = String::from_utf8(config.clone()).unwrap();
    let mut huge: serde_json::Value = serde_json::from_str(&text).unwrap();
    huge.as_object_mut().unwrap().remove("columns");
    huge["visible"]["size"] = 1_000_000_000_000_u64.into();
    let huge = huge.to_string();
    assert_ne!(huge, text, "{text}");
    bad(
        "huge",
        &[(MODEL[0], huge.as_bytes()), (MODEL[1], &weights)],
        &["model.safetensors", "at least", "nothing was fetched"],
    );
    let long = [weights.clone(), vec![0; 4 << 20]].concat();
    bad("long", &[(MODEL[0], &config), (MODEL[1], &long)], &["model.safetensors", "at most"]);
    let header = [&u64::MAX.to_le_bytes()[..], &weights[8..]].concat();
    bad("header", &[(MODEL[0], &config), (MODEL[1], &header)], &["model.safetensors", "header"]);
    // protocol 2: os.system("touch ran"); as long as the weights would be.
    let pickle =
        b"\x80\x02cposix\nsystem\nq\x00X\x09\x00\x00\x00touch ranq\x01\x85q\x02Rq\x03.".to_vec();
    let pickle = [pickle, vec![0; weights.len() - 40]].concat();
    bad(
        "pickle",
        &[(MODEL[0], &config), (MODEL[1], &pickle)],
        &["model.safetensors", "safetensors"],
    );
    assert!(!beside.place.path("ran").exists());
    bad("other", &[("pytorch_model.bin", &pickle)], &["me/other", "config.json", "dbn import"]);
    bad("words", &[(MODEL[0], b"[]"), (MODEL[1], &weights)], &["config.json"]);
    let endless = vec![b' '; 2 << 20];
    bad("endless", &[(MODEL[0], &endless), (MODEL[1], &weights)], &["config.json", "at most"]);
    let card = vec![b'x'; 5 << 20];
    bad("card", &[(MODEL[0], &config), (MODEL[1], &weights), ("README.md", &card)], &["README.md"]);
    // Files of other names are not fetched, wherever they would like to lie.
    for path in ["../../escaped", "/escaped", "code.py"] {
        beside.hub.put("models/me/escape", path, b"import os");
    }
    beside.hub.put("models/me/escape", MODEL[0], &config);
    beside.hub.put("models/me/escape", MODEL[1], &weights);
    let dir = beside.pulled("me/escape");
    let names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        !beside.hub.log().iter().any(|line| line.contains("escaped") || line.contains("code.py"))
    );
}

#[test]
fn what_is_written_by_hand_stays_in_the_card() {
    let beside = Beside::new(Transfer::Regular);
    beside.dbn("push run me/digits").done();
    let card =
        || String::from_utf8(beside.hub.file("models/me/digits", "README.md").unwrap()).unwrap();
    let first = card();
    for words in [
        "library_name: candle-dbn",
        "model-index",
        "error rate",
        "± ",
        "held-out",
        "![filters](filters.png)",
        "candle_dbn::Model::from_hub(\"me/digits\"",
        "load_file",
    ] {
        assert!(first.contains(words), "{words:?} is missing in {first}");
    }
    let by_hand = first
        .replace(
            "---\nlibrary_name: candle-dbn\n",
            "---\n# by hand\nlicense: mit  # ours\nlibrary_name: candle-dbn\n",
        )
        .replace("# me/digits\n", "# Digits, small\n\nWords of mine.\n")
        + "\n## More\n\nAnd below.\n";
    beside.hub.put("models/me/digits", "README.md", by_hand.as_bytes());
    beside.place.train_into("other", "--seed 8");
    beside.dbn("push other me/digits").done();
    let second = card();
    for words in [
        "---\n# by hand\nlicense: mit  # ours\nlibrary_name",
        "# Digits, small\n\nWords of mine.\n",
        "\n## More\n\nAnd below.\n",
    ] {
        assert!(second.contains(words), "{words:?} is lost in {second}");
    }
    assert_eq!(second.matches("## Recipe").count(), 1);
    assert!(
        second.contains("seed = 8") && !second.contains("seed = 7"),
        "the recipe is the new one"
    );
    assert_eq!(second.matches("model-index:").count(), 1);
    beside.dbn("push other me/digits").done();
    assert_eq!(card(), second, "the same again changes nothing");
    // A card of somebody else, without a part of ours.
    beside.hub.put("models/me/old", "README.md", b"Only words.\n");
    beside.dbn("push run me/old").done();
    let old = String::from_utf8(beside.hub.file("models/me/old", "README.md").unwrap()).unwrap();
    assert!(old.starts_with("---\n") && old.contains("\nOnly words.\n"), "{old}");
}

#[test]
fn pictures_of_the_hub_become_a_folder_that_is_found_by_name() {
    let beside = Beside::empty(Transfer::Regular);
    beside.dbn("train mnist").failed(&["dbn data mnist", "four IDX files"]);
    beside.dbn("data mnist").failed(&["mnist", "folder of your own"]);
    let files = [
        ("train", include_bytes!("mnist/train.parquet").as_slice()),
        ("test", include_bytes!("mnist/test.parquet")),
    ];
    for (part, bytes) in files {
        let path = format!("mnist/{part}/0000.parquet");
        beside.hub.put_at("datasets/ylecun/mnist", "refs/convert/parquet", &path, bytes);
    }
    let folder = PathBuf::from(beside.dbn("data mnist").done().out.trim());
    let pixels = fs::read(folder.join("train-images-idx3-ubyte")).unwrap();
    // Of picture i the row i is drawn: 7i, 7i + 1 and so on (mnist/make.py).
    assert_eq!(pixels.len(), 16 + 12 * 784);
    for (i, picture) in pixels[16..].chunks_exact(784).enumerate() {
        let drawn = |j: usize| if j / 28 == i { ((i * 7 + j) % 256) as u8 } else { 0 };
        assert!(picture.iter().enumerate().all(|(j, pixel)| *pixel == drawn(j)), "picture {i}");
    }
    let labels = fs::read(folder.join("t10k-labels-idx1-ubyte")).unwrap();
    assert_eq!(labels[8..], [0, 1, 2, 3, 4, 5]);
    // From now on nobody is asked.
    let asked = beside.hub.log().len();
    assert_eq!(PathBuf::from(beside.dbn("data mnist").done().out.trim()), folder);
    let set = "--set layers.*.epochs=1 --set layers.*.batch_size=4 --set classifier.epochs=1 --set classifier.average_last=none";
    beside.dbn(&format!("train mnist --layers 5 --no-pictures --out run {set}")).done();
    beside.dbn("evaluate run mnist").done();
    assert_eq!(beside.hub.log().len(), asked);
    let recipe = beside.place.text("run/recipe.toml");
    assert!(recipe.contains("name = \"mnist\""), "{recipe}");
    beside.dbn("data mnisst").code_is(2);
    for part in ["train", "test"] {
        let path = format!("fashion_mnist/{part}/0000.parquet");
        let repository = "datasets/zalando-datasets/fashion_mnist";
        beside.hub.put_at(repository, "refs/convert/parquet", &path, b"PAR1 nonsense");
    }
    beside.dbn("data fashion-mnist").failed(&["0000.parquet"]);
    assert!(!folder.with_file_name("fashion-mnist").join("train-images-idx3-ubyte").exists());
}

#[test]
fn nothing_is_said_of_a_model_that_was_not_measured() {
    let beside = Beside::new(Transfer::Regular);
    let place = &beside.place;
    beside.dbn("push run me/digits").done();
    // Other weights under the same numbers: an import, a copy, a hand.
    place.train_into("other", "--seed 8 --no-evaluation");
    fs::copy(place.path("other/model.safetensors"), place.path("run/model.safetensors")).unwrap();
    fs::write(place.path("run/filters.png"), "a secret").unwrap();
    beside.dbn("push run me/digits").done();
    let card = String::from_utf8(beside.hub.file("models/me/digits", "README.md").unwrap());
    let card = card.unwrap();
    assert!(card.contains("None were measured") && !card.contains("error rate"), "{card}");
    let there = beside.hub.paths("models/me/digits", "main");
    for gone in ["results.json", "filters.png"] {
        assert!(!there.iter().any(|path| path == gone), "{gone} is of another model: {there:?}");
    }
    beside.dbn("evaluate run").done();
    beside.dbn("push run me/digits").done();
    assert!(beside.hub.file("models/me/digits", "results.json").is_some());
    beside.dbn("push run me/digits --layers 0..1").done();
    assert!(beside.hub.file("models/me/digits", "results.json").is_none());
}

#[test]
fn a_pull_is_what_the_hub_has_now_or_none() {
    let beside = Beside::new(Transfer::Regular);
    beside.dbn("push run me/digits").done();
    let first = beside.pulled("me/digits");
    beside.place.train_into("other", "--seed 8");
    beside.dbn("push other me/digits").done();
    beside.hub.set_faults(Faults { cut_downloads: true, ..Faults::default() });
    beside.dbn("pull me/digits --out mine").failed(&["me/digits"]);
    beside.dbn("inspect me/digits").failed(&["me/digits"]);
    assert!(!beside.place.path("mine").exists());
    beside.hub.set_faults(Faults::default());
    assert!(beside.pulled("me/digits") != first);
    // By its name, offline, it is the newer one too.
    let mut offline = beside.command("hf", "pull me/digits");
    let offline = answer(offline.env("HF_HUB_OFFLINE", "1")).done().out;
    assert_eq!(PathBuf::from(offline.trim()), beside.pulled("me/digits"));
}

#[test]
fn what_lies_there_is_not_written_over() {
    let beside = Beside::new(Transfer::Regular);
    beside.dbn("push run me/digits").done();
    beside.place.write("project/README.md", "precious");
    beside.dbn("pull me/digits --out project").failed(&["README.md", "--force"]);
    assert_eq!(beside.place.text("project/README.md"), "precious");
    beside.dbn("pull me/digits --out run --force").failed(&["a run lies there"]);
    beside.dbn("push run me/digits --private").failed(&["one that everybody sees"]);
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused() {
    let place = Place::new();
    place.train("");
    let config = place.json("run/config.json");
    let units = |kind: &str| serde_json::json!({ "kind": kind, "size": 16, "trials": 1_u64 << 60, "draws": 1_u64 << 60 });
    let mut binomial = units("binomial");
    binomial.as_object_mut().unwrap().remove("draws");
    let mut multinomial = units("multinomial");
    multinomial.as_object_mut().unwrap().remove("trials");
    for (key, value, word) in [
        ("visible", binomial, "visible and hidden"),
        ("visible", multinomial, "visible and hidden"),
        ("image", serde_json::json!([1_000_000_000_u64, 1_000_000_000_u64]), "16 pixels"),
        ("image", serde_json::json!([3, 5]), "16 pixels"),
        (
            "preprocessing",
            serde_json::json!({ "scale": 0.0, "binarise": "none", "one_hot": 0 }),
            "scale above 0",
        ),
    ] {
        let mut wrong = config.clone();
        wrong[key] = value;
        place.write("run/config.json", wrong.to_string());
        place.dbn("sample run --count 2 --steps 1").failed(&["config.json", word]);
    }
}

/// 403 means something else when nothing is written.
#[test]
fn a_gated_repository_says_where_to_ask() {
    let beside = Beside::new(Transfer::Regular);
    beside.dbn("push run me/digits").done();
    beside.hub.gate("models/me/digits");
    for command in ["pull me/digits", "inspect me/digits"] {
        let answer = beside.dbn(command);
        answer.failed_in_the_end(&["me/digits", "gated", "ask for access", "page"]);
        assert!(!answer.err.contains("may write"), "{answer:?}");
    }
}

/// Nothing has to be written where everything is there. The superuser may write everywhere: a file in a folder's place stops that too.
#[test]
fn a_cache_that_cannot_be_written_serves_what_is_in_it() {
    let beside = Beside::new(Transfer::Regular);
    beside.dbn("push run me/digits").done();
    let dir = beside.pulled("me/digits");
    let refs = dir.parent().unwrap().parent().unwrap().join("refs");
    let written = || fs::metadata(refs.join("main")).unwrap().modified().unwrap();
    let before = written();
    assert_eq!(beside.pulled("me/digits"), dir);
    assert_eq!(written(), before, "what stands there already is written again");
    fs::remove_dir_all(&refs).unwrap();
    fs::write(&refs, "").unwrap();
    let again = beside.dbn("pull me/digits").done();
    assert_eq!(PathBuf::from(again.out.trim()), dir);
    assert!(again.err.contains("cannot be written"), "{again:?}");
    beside.dbn("inspect me/digits").done();
}

/// A header holds one line: the client would go without the token, and the Hub would say that there is no such repository.
#[test]
fn a_token_that_cannot_be_sent_is_refused_by_name() {
    let beside = Beside::new(Transfer::Regular);
    let before = beside.hub.log().len();
    let broken = format!("{}\n{}", &TOKEN[..5], &TOKEN[5..]);
    let mut command = beside.command("hf", "pull me/digits");
    let answer = answer(command.env("HF_TOKEN", &broken));
    answer.failed(&["HF_TOKEN", "the end of a line after its first 5 characters"]);
    for name in ["token", "elsewhere"] {
        beside.place.write(&format!("hf/{name}"), &broken);
        let mut command = beside.command("hf", "pull me/digits");
        command.env_remove("HF_TOKEN");
        if name == "elsewhere" {
            fs::remove_file(beside.place.path("hf/token")).unwrap();
            command.env("HF_TOKEN_PATH", beside.place.path("hf/elsewhere"));
        }
        let answer = crate::common::answer(&mut command);
        answer.failed(&[name, "one line", "the end of a line"]);
        assert!(!answer.err.contains(&TOKEN[5..]), "{answer:?}");
    }
    assert_eq!(beside.hub.log().len(), before, "it was asked");
    // Around a token they do no harm.
    beside.dbn("push run me/digits").done();
    let mut command = beside.command("hf", "pull me/digits");
    crate::common::answer(command.env("HF_TOKEN", format!(" {TOKEN}\n"))).done();
}
