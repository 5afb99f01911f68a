//! Networks with label units, as users meet them: `train`, `evaluate --recognise`, `sample --label --clamp --animate`, the bound.

use crate::common::{Place, WIDTH, csv, metrics, read_npy};

/// Labels joined to the second machine, then up-down.
const JOINT: &str = r#"
name = "joint"
labels = true
[[layers]]
hidden = 24
epochs = 4
batch_size = 20
[[layers]]
hidden = 20
epochs = 4
batch_size = 20
[updown]
epochs = 2
batch_size = 20
steps = [[0, 1], [1, 2]]
"#;

fn place() -> Place {
    let place = Place::new();
    place.write("joint.toml", JOINT);
    place.dbn("train data.csv --recipe joint.toml --binarise threshold:0.5 --out run").done();
    place
}

/// Rows of a `.npy` file that the program wrote.
fn samples(place: &Place, name: &str) -> Vec<Vec<f32>> {
    let (shape, values) = read_npy(&place.read(name));
    assert_eq!(shape[1], WIDTH as u64);
    values.chunks(WIDTH).map(<[f32]>::to_vec).collect()
}

#[test]
fn a_joint_network_recognises_and_generates() {
    let place = place();
    let classes = place.json("run/config.json")["labels"].as_u64().unwrap() as usize;
    let lines = metrics(&place.path("run"));
    let stages: Vec<_> = lines.iter().map(|line| line["stage"].as_str().unwrap()).collect();
    assert_eq!(stages[stages.len() - 2..], ["up-down", "up-down"]);
    assert_eq!(lines[lines.len() - 1]["k"], 2);
    for line in &lines[4..] {
        assert!(line["validation_error"].as_f64().unwrap() <= 100.0, "{line}");
    }
    for how in ["means", "samples:5", "gibbs:20"] {
        let table = place.dbn(&format!("evaluate run --recognise {how}")).done().out;
        assert!(table.contains(&format!("labels by {how}")) && table.contains("error "), "{table}");
    }
    assert_eq!(place.dbn("evaluate run --recognise fantasies").code, Some(2));

    // A row of ten of each class; the same again; others with another seed.
    place.dbn("sample run --steps 5 --out a").done();
    assert_eq!(samples(&place, "a/samples.npy").len(), 10 * classes);
    place.dbn("sample run --steps 5 --animate 3 --out b").done();
    assert_eq!(
        place.read("a/samples.npy"),
        place.read("b/samples.npy"),
        "looking changed the chain"
    );
    let gif = place.read("b/animation.gif");
    assert!(gif.starts_with(b"GIF89a"));
    // Three pictures, each behind a graphic control extension.
    assert_eq!(
        gif.windows(4)
            .filter(|bytes| *bytes == [0x21, 0xF9, 4, 0] || *bytes == [0x21, 0xF9, 4, 4])
            .count(),
        3
    );
    place.dbn("sample run --label 1,0 --count 3 --steps 5 --out c").done();
    assert_eq!(samples(&place, "c/samples.npy").len(), 6);
    place.dbn("sample run --label any --count 3 --steps 5 --out c --force").done();
    assert_eq!(samples(&place, "c/samples.npy").len(), 3);
    place.dbn("sample run --label 77").failed(&["--label", "77", &classes.to_string()]);
    place.train_into("plain", "");
    place.dbn("sample plain --label 1").failed(&["--label", "labels = true"]);
    place.dbn("sample plain --label 1,any").failed(&["--label"]);
}

#[test]
fn what_is_clamped_stays() {
    let place = place();
    let row: Vec<String> = (0..WIDTH).map(|i| u8::from(i % 3 == 0).to_string()).collect();
    place.write("given.csv", row.join(",") + "\n");
    let words = "--label-column none --binarise threshold:0.5 --count 4 --steps 3 --out s --force";
    let is_held = |place: &Place, held: &dyn Fn(usize) -> bool| {
        for row in samples(place, "s/samples.npy") {
            for (i, x) in row.iter().enumerate() {
                let given = f32::from(u8::from(i % 3 == 0));
                assert_eq!(*x == given, held(i), "column {i}: {x}");
            }
        }
    };
    let sample =
        |keep: &str| place.dbn(&format!("sample run --clamp given.csv --keep {keep} {words}"));
    sample("top").failed(&["--keep", "no pictures"]);
    sample("0..2,15..16").done();
    is_held(&place, &|i| i < 2 || i == 15);
    let mask: Vec<String> = (0..WIDTH).map(|i| u8::from(i > 9).to_string()).collect();
    place.write("mask.csv", mask.join(",") + "\n");
    sample("mask.csv").done();
    is_held(&place, &|i| i > 9);
    sample("0..17").failed(&["--keep", "16"]);
    place.write("mask.csv", "1,0\n");
    sample("mask.csv").failed(&["mask.csv", "16"]);
    place.write("mask.csv", mask.join(",").replace('1', "2") + "\n");
    sample("mask.csv").failed(&["mask.csv", "row 1, value 11", "found 2"]);
    place.write("mask.csv", [mask.join(","), mask.join(",")].join("\n") + "\n");
    sample("mask.csv").failed(&["mask.csv", "one for each of 1 cases"]);
    sample("middle").misused(&["--keep", "\"middle\"", "columns that the model learned from"]);
}

/// A half of a picture, and units of several columns, which are held as a whole or not at all.
#[test]
fn halves_and_sites_are_held_as_wholes() {
    let place = Place::new();
    let cut = "--unsupervised --no-pictures --no-evaluation --layers 5 --set layers.*.epochs=1";
    place.dbn(&format!("train digits {cut} --out digits")).done();
    place
        .dbn("sample digits --clamp digits --keep left --count 3 --steps 1 --out s --force")
        .done();
    let given = place.dbn("embed digits digits --layer 1 --out f.npy").done();
    assert!(given.err.is_empty(), "{given:?}");
    let (shape, values) = read_npy(&place.read("s/samples.npy"));
    assert_eq!(shape, [3, 64]);
    // Sixteenths on the left, means on the right.
    let is_given = |x: f32| (x * 16.0).fract() == 0.0;
    let of_half = |left: bool| values.iter().enumerate().filter(move |(i, _)| (i % 8 < 4) == left);
    assert!(of_half(true).all(|(_, x)| is_given(*x)));
    assert!(of_half(false).filter(|(_, x)| !is_given(**x)).count() > 50);
    place.write("codes.csv", "0,1,0,1,0\n1,0,0,0,1\n0,0,1,1,0\n0,1,0,0,1\n1,0,0,1,0\n0,0,1,0,1\n");
    place
        .dbn(&format!("train codes.csv --label-column none --visible one-hot {cut} --out codes"))
        .done();
    assert_eq!(place.json("codes/config.json")["visible"]["groups"][0]["states"], 3);
    let sample = |keep: &str| {
        place.dbn(&format!(
            "sample codes --clamp codes.csv --label-column none --keep {keep} --steps 1"
        ))
    };
    sample("0..2").failed(&["--keep", "0..3", "potts(3)"]);
    sample("0..3").done();
}

/// One machine with labels: a ClassRBM through every command.
#[test]
fn a_single_joint_machine_is_used_as_any_other() {
    let place = Place::new();
    place.write("one.toml", "name = \"one\"\nlabels = true\n[[layers]]\nhidden = 12\nepochs = 3\nbatch_size = 20\nmethod = \"hybrid\"\n");
    place.dbn("train data.csv --recipe one.toml --binarise threshold:0.5 --out run").done();
    let table = place.dbn("evaluate run").done().out;
    assert!(table.contains("labels by means") && table.contains("error "), "{table}");
    for words in [
        "evaluate run --likelihood --report r",
        "evaluate run --likelihood --estimate --both --chains 10 --betas 100 --report r --force",
        "embed run --out f.npy",
        "embed run --layer classes --out c.npy",
        "sample run --steps 2",
        "sample run --steps 2 --from data.csv",
        "sample run --steps 2 --clamp data.csv --keep 0..3",
        "sample run --tempered --count 5",
        "sample run --tempered --label 1,0 --count 5 --out t",
    ] {
        place.dbn(words).done();
    }
    assert_eq!(samples(&place, "t/samples.npy").len(), 10);
    // Chains start at cases of their class, whatever else the data hold.
    let cases = crate::common::data(2, 0.1);
    let of = |classes: &[usize]| {
        let chosen = cases.iter().filter(|(_, class)| classes.contains(class)).take(6);
        csv(&chosen.cloned().collect::<Vec<_>>())
    };
    place.write("both.csv", of(&[0, 1]));
    place.write("ones.csv", of(&[1]));
    let words = "sample run --steps 0 --label 1 --count 3 --from";
    place.dbn(&format!("{words} both.csv --out u")).done();
    place.dbn(&format!("{words} ones.csv --out v")).done();
    assert_eq!(place.read("u/samples.npy"), place.read("v/samples.npy"));
    let zeros = words.replace("--label 1", "--label 0");
    place.dbn(&format!("{zeros} ones.csv")).failed_in_the_end(&["--label", "cases of class 0"]);
    let unlabelled = "--label-column none --out w";
    place.write(
        "plain.csv",
        of(&[1])
            .lines()
            .skip(1)
            .map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n")
            .collect::<String>(),
    );
    place
        .dbn(&format!("{words} plain.csv {unlabelled}"))
        .failed_in_the_end(&["--label", "with labels"]);
    let (shape, classes) = read_npy(&place.read("c.npy"));
    assert_eq!(shape[1], 1);
    let known = place.json("run/config.json")["labels"].as_f64().unwrap() as f32;
    assert!(classes.iter().all(|class| class.fract() == 0.0 && *class < known));
    assert!(place.path("r/estimates.png").exists() && place.path("r/free_energies.png").exists());
    place.dbn("evaluate run --likelihood --passes 3").failed(&["--passes", "single machine"]);
    place.train_into("plain", "");
    place.dbn("evaluate plain --recognise samples:3").failed(&["--recognise", "labels = true"]);
    place.dbn("sample run --binarise threshold:0.5").failed(&["--from or --clamp"]);
}

#[test]
fn a_stack_has_a_bound() {
    let place = place();
    let table = place.dbn("evaluate run --likelihood").done().out;
    for word in ["bound on log p(v)", "exact", "10 up-passes"] {
        assert!(table.contains(word), "{word:?} is missing in {table}");
    }
    let words = "evaluate run --likelihood --estimate --both --json --chains 50 --betas 300 --passes 20 --report r";
    let found: serde_json::Value = serde_json::from_str(&place.dbn(words).done().out).unwrap();
    assert_eq!(found["bound"]["count"], 20);
    for chart in ["estimates", "acceptance", "free_energies"] {
        assert!(place.path(&format!("r/{chart}.png")).exists(), "{chart}");
    }
    let table = place.dbn("evaluate run --likelihood --passes 1").done().out;
    assert!(table.contains("does not tell its error"), "{table}");
    assert!(found["bound"]["gain"].as_f64().unwrap() > 0.0, "{found}");
    let exact: serde_json::Value =
        serde_json::from_str(&place.dbn("evaluate run --likelihood --json --passes 20").done().out)
            .unwrap();
    let of =
        |found: &serde_json::Value, side: &str| found[side]["log_likelihood"].as_f64().unwrap();
    for side in ["forward", "reverse"] {
        let error = found[side]["log_partition"]["error"].as_f64().unwrap();
        assert!((of(&found, side) - of(&exact, "exact")).abs() < 4.0 * error, "{side}: {found}");
    }
}

/// Up-down that diverges keeps the last good checkpoint: with a lower rate the run goes on.
#[test]
fn up_down_that_diverges_can_be_mended() {
    let place = Place::new();
    place.write("joint.toml", JOINT);
    let words = "train data.csv --recipe joint.toml --no-pictures --checkpoint-every 0 --set updown.learning_rate=1e30 --out run";
    place.dbn(words).failed_in_the_end(&["up-down", "diverged"]);
    let recipe = place.text("run/recipe.toml");
    let mended =
        recipe.replace("1e30", "0.01").replace("1000000000000000000000000000000.0", "0.01");
    assert!(mended != recipe, "{recipe}");
    place.write("run/recipe.toml", mended);
    place.dbn("train --resume run --no-pictures").done();
}

#[test]
fn a_joint_recipe_that_cannot_be_is_refused() {
    let place = Place::new();
    place.write("both.toml", format!("{JOINT}\n[classifier]\nepochs = 1\n"));
    place.dbn("train data.csv --recipe both.toml").misused(&["classifier", "labels = true"]);
    place.write("joint.toml", JOINT);
    place
        .dbn("train data.csv --label-column none --recipe joint.toml")
        .failed_in_the_end(&["labels"]);
    place
        .dbn("train data.csv --recipe joint.toml --set updown.steps=0.5")
        .misused(&["updown.steps"]);
    place
        .dbn("train data.csv --recipe joint.toml --set updown.batch_size=0")
        .misused(&["updown.batch_size"]);
}
