//! Deep Boltzmann machines the whole way: pre-training, labels, a classifier unrolled from one.

use serde_json::Value;

use crate::common::{Place, read_npy};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The recipe for the digits in small: what it says of itself is found again, and it comes to the same bytes however often it is kept on the way.
#[test]
fn digits_go_the_whole_way() {
    let place = Place::new();
    let words = "train --recipe digits-dbm --hidden 50,40 --set init=none --set pretraining_epochs=20 --set epochs=20 \
                 --set learning_rate=0.2 --set labels=true --set posterior=mean-field:12 --set classifier.epochs=15 --no-pictures";
    let said = place.dbn(&format!("{words} --out deep")).done().out;
    let error = |what: &str| -> f64 {
        let line = said.lines().find(|line| line.contains(&format!("error of the {what}")));
        let line = line.unwrap_or_else(|| panic!("{what}: {said}"));
        let number = line.split(' ').rev().skip_while(|word| *word != "%").nth(1);
        number.unwrap().parse().unwrap()
    };
    // One in ten is right by chance.
    assert!(error("labels") < 15.0 && error("classifier") < 10.0, "{said}");
    assert!(said.contains("held-out log p(v) at least"), "{said}");
    let found = json(&place.dbn("evaluate deep --json").done().out);
    for (key, what) in [("label_error", "labels"), ("classifier_error", "classifier")] {
        let again = found[0][key].as_f64().unwrap();
        assert!((again - error(what)).abs() < 0.006, "{what}: {again} {said}");
    }
    let stages: Vec<String> = std::fs::read_to_string(place.path("deep/metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| json(line)["stage"].as_str().unwrap().to_owned())
        .collect();
    let expected = [("layer 1", 20), ("layer 2", 20), ("machine", 20)];
    let expected = expected.iter().flat_map(|(name, count)| std::iter::repeat_n(*name, *count));
    assert!(stages.iter().map(String::as_str).eq(expected), "{stages:?}");

    // What the classifier says of each case is the error that was measured.
    let embed = |layer: &str, out: &str| {
        let words = format!("embed deep --cases held-out --layer {layer} --out {out}");
        place.dbn(&words).done();
    };
    embed("classes", "classes.csv");
    embed("probabilities", "p.npy");
    let classes = place.text("classes.csv");
    let rows: Vec<Vec<&str>> = classes.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|head| *head == name).unwrap();
    let (found, label) = (column("classes"), column("label"));
    let wrong = rows[1..].iter().filter(|row| row[found] != row[label]).count();
    let share = 100.0 * wrong as f64 / (rows.len() - 1) as f64;
    assert!((share - error("classifier")).abs() < 0.006, "{share} {said}");
    let (shape, shares) = read_npy(&place.read("p.npy"));
    assert_eq!(shape, [rows.len() as u64 - 1, 10]);
    for row in shares.chunks(10) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
    }
    let said_of_hub = place.dbn("push deep me/deep --dry-run").done();
    assert!(said_of_hub.err.contains("deep/classifier: stays here"), "{}", said_of_hub.err);

    // Its recipe says all of it.
    place
        .dbn("train --recipe deep/recipe.toml --out again --checkpoint-every 0.05 --no-pictures")
        .done();
    for file in ["machine.safetensors", "classifier/model.safetensors"] {
        let bytes = |run: &str| std::fs::read(place.path(&format!("{run}/{file}"))).unwrap();
        assert!(bytes("deep") == bytes("again"), "{file}");
    }
    // What is done is not done again.
    let said = place.dbn(&format!("{words} --out deep")).done();
    assert!(said.err.contains("goes on after epoch 60"), "{}", said.err);
    place.dbn(&format!("{words} --out deep --set classifier.epochs=3")).failed(&["classifier"]);

    // A class is drawn: five of each that is named.
    place.dbn("sample deep --label 3,0 --count 5 --steps 50 --out drawn").done();
    let (shape, _) = read_npy(&std::fs::read(place.path("drawn/samples.npy")).unwrap());
    assert_eq!(shape, [10, 64]);
    place.dbn("sample deep --label 10").misused(&["classes 0, 1, 2", "found 10"]);
    place.dbn("sample deep --label three").misused(&["classes 0, 1, 2", "found three"]);
    place
        .dbn("train digits --model dbm --hidden 8,4 --couplings visible --out coupled")
        .misused(&["--couplings", "none within the layers", "--model bm"]);
    let said = place.dbn("inspect deep").done().out;
    assert!(said.contains("labels") && said.contains("hidden 2–labels"), "{said}");
    place.dbn("embed deep --layer top --out top.npy").done();
    assert_eq!(read_npy(&std::fs::read(place.path("top.npy")).unwrap()).0[1], 40);
}

/// A deep machine begins at the lowest machine of a network that has learned: in its first epoch it is as good as that.
#[test]
fn a_deep_machine_begins_at_a_network() {
    let place = Place::new();
    let below = "train bars-and-stripes:3 --unsupervised --hidden 8 --set layers.0.epochs=2000 \
                 --set layers.0.method=pcd --set data.hold_out_one_in=none --no-pictures --no-evaluation --out below";
    place.dbn(below).done();
    let exact = |dir: &str| {
        let said =
            place.dbn(&format!("evaluate {dir} --likelihood --exact --cases train --json")).done();
        json(&said.out)["exact"]["log_likelihood"].as_f64().unwrap()
    };
    let deep = "train bars-and-stripes:3 --model dbm --hidden 8,4 --set data.hold_out_one_in=none --no-pictures --no-evaluation";
    let settings = "--set epochs=1 --set learning_rate=0.0001 --set init=below --out deep";
    let said = place.dbn(&format!("{deep} {settings}")).done();
    assert!(said.err.contains("begins at the lowest machine of"), "{}", said.err);
    assert!((exact("deep") - exact("below")).abs() < 0.1, "{} {}", exact("deep"), exact("below"));
    assert!(place.text("deep/recipe.toml").contains("init = "));
    place.dbn(&format!("{} --set init=below --out other", deep.replace("8,4", "7,4"))).misused(&[
        "init",
        "bernoulli:8",
        "bernoulli:7",
    ]);
    place.dbn(&format!("{deep} --set init=nowhere --out other")).failed(&["nowhere"]);
    place.dbn(&format!("{deep} --set init=nowhere --dry-run")).failed(&["nowhere"]);
    let trained = format!("{deep} --set init=below --set pretraining_epochs=3 --out other");
    place.dbn(&trained).misused(&["pretraining_epochs = 0"]);
    // Where it began is a part of what it is.
    let again = "--set epochs=1 --set learning_rate=0.0001 --out deep";
    place.dbn(&format!("{deep} {again}")).failed(&["deep", "init"]);
}

/// A recipe as `init` learns first, in the run; killed or not, the same command goes on. Numbers that are on another scale are refused.
#[test]
fn a_deep_machine_begins_at_a_recipe() {
    let place = Place::new();
    place.write(
        "below.toml",
        "[[layers]]\nhidden = 8\nepochs = 2000\nmethod = \"pcd\"\n[[layers]]\nhidden = 5\n",
    );
    let deep = "train bars-and-stripes:3 --model dbm --hidden 8,4 --set init=below.toml --no-pictures --no-evaluation";
    place.dbn(&format!("{deep} --dry-run")).done();
    place.dbn(&format!("{deep} --set epochs=2 --out deep")).done();
    assert!(place.path("deep/below/model.safetensors").exists());
    let machine = place.read("deep/machine.safetensors");
    // From the network that is there already, though its recipe is gone: it does not learn again.
    let learned = std::fs::metadata(place.path("deep/below/model.safetensors")).unwrap();
    std::fs::remove_file(place.path("deep/machine.safetensors")).unwrap();
    std::fs::rename(place.path("below.toml"), place.path("away.toml")).unwrap();
    place.dbn("train --resume deep --no-pictures --no-evaluation").done();
    assert_eq!(place.read("deep/machine.safetensors"), machine);
    let now = std::fs::metadata(place.path("deep/below/model.safetensors")).unwrap();
    assert_eq!(now.modified().unwrap(), learned.modified().unwrap());
    // Another recipe is another beginning.
    place.write("below.toml", place.text("away.toml").replace("2000", "2001"));
    std::fs::remove_file(place.path("deep/machine.safetensors")).unwrap();
    place
        .dbn("train --resume deep --no-pictures --no-evaluation")
        .failed(&["below", "other settings"]);
    place.dbn(&deep.replace("8,4", "7,4")).misused(&["below.toml", "bernoulli:7", "bernoulli:8"]);

    let rows: Vec<String> = (0..60).map(|i| format!("{}.5,2.{}", i % 3, i * i % 7)).collect();
    place.write("numbers.csv", format!("a,b\n{}\n", rows.join("\n")));
    let common = "train numbers.csv --visible gaussian-learned --hidden 4";
    let network = "--no-standardise --unsupervised --set layers.0.epochs=1 --no-pictures --out raw";
    place.dbn(&format!("{common} {network}")).done();
    let deep = "train numbers.csv --visible gaussian-learned --model dbm --hidden 4,3 --no-pictures --no-evaluation";
    place.dbn(&format!("{deep} --set init=raw --out other")).failed(&["init", "scales its data"]);
    assert!(!place.path("other").exists());
    // Its own learns on the same scale.
    place.write("four.toml", "[[layers]]\nhidden = 4\nepochs = 3\nlearning_rate = 0.0001\n");
    let said = place.dbn(&format!("{deep} --set init=four.toml --set epochs=2 --out own")).done();
    assert!(said.err.contains("begins at the lowest machine of"), "{}", said.err);
}

#[test]
fn what_a_deep_machine_cannot_do_is_refused() {
    let place = Place::new();
    let bars = "train bars-and-stripes:3 --model dbm --hidden 4,3";
    place.dbn(&format!("{bars} --set labels=true")).misused(&["labels = true", "labels"]);
    place.dbn(&format!("{bars} --set classifier.epochs=3")).misused(&["[classifier]", "labels"]);
    place.dbn(&format!("{bars} --set classifier.epoch=3")).misused(&["epoch"]);
    for posterior in ["mean-field:0", "mean-field:5:-1", "mean-field:5:nan", "mean-field:5:1:2"] {
        let words = format!("{bars} --set posterior={posterior}");
        place.dbn(&words).misused(&["mean-field:STEPS:TOLERANCE", posterior]);
    }
    place.dbn(&format!("{bars} --set posterior=mean-field:0")).misused(&["mean-field:STEPS"]);
    place.dbn(&format!("{bars} --set labels=perhaps")).misused(&["true or false"]);
    place.dbn(&format!("{bars} --set pretraining_epochs=x")).misused(&["whole number"]);
    place
        .dbn(&format!("{bars} --set pretraining_epochs=2 --set pretraining_rate=0"))
        .misused(&["pretraining_rate"]);
    place
        .dbn("train bars-and-stripes:3 --model bm --hidden 4 --set pretraining_epochs=2")
        .misused(&["pre-training", "two hidden layers"]);
    place
        .dbn("train digits --model bm --hidden 4 --set labels=true")
        .misused(&["labels", "neighbours alone"]);
    let refused = place.dbn("train digits --model dbm --hidden multinomial:4,3 --out none");
    refused.misused(&["multinomial"]);
    let unbounded = "train digits --model dbm --hidden gaussian:4,gaussian:3 --set epochs=2";
    place.dbn(&format!("{unbounded} --no-evaluation --out numbers")).done();
    assert!(!place.path("none").exists(), "a folder of nothing");
    let said = place.dbn("recipe").done().out;
    assert!(said.contains("digits-dbm"), "{said}");
    let said = place.dbn("recipe digits-dbm").done().out;
    assert!(said.contains("init = \"digits\"") && said.contains("[classifier]"), "{said}");
}
