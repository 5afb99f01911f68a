//! Direct coupling analysis: a pair of sites that was planted is found, by each kind of machine, and parameters go out and in.

use std::fmt::Write as _;

use serde_json::Value;

use crate::common::{Place, SplitMix, metrics};

/// Sites of the alignment, and the two that go together, from 1.
const SITES: usize = 9;
const PLANTED: [usize; 2] = [2, 8];

/// Random letters; at the planted sites mostly A with U, C with G.
fn alignment(count: usize) -> String {
    let mut random = SplitMix(11);
    let mut text = String::new();
    for i in 0..count {
        let mut letters: Vec<u8> = (0..SITES).map(|_| b"-ACGU"[random.below(5) as usize]).collect();
        if random.below(8) > 0 {
            let at = random.below(4) as usize;
            letters[PLANTED[0] - 1] = b"ACGU"[at];
            letters[PLANTED[1] - 1] = b"UGCA"[at];
        }
        writeln!(text, ">seq{i}\n{}", String::from_utf8(letters).unwrap()).unwrap();
    }
    text
}

fn place() -> Place {
    let place = Place::new();
    place.write("rna.fasta", alignment(400));
    place
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn first(found: &Value) -> [usize; 2] {
    let pair = &found["pairs"][0];
    [&pair["i"], &pair["j"]].map(|site| site.as_u64().unwrap() as usize)
}

const TARGET: &str = "train rna.fasta --model bm --set target_pearson=0.9 --set chains=2000 --set learning_rate=0.1 \
                      --set epochs=400 --no-pictures";

/// Chains that cannot follow what learns: the run says so, of Boltzmann machines as of networks.
#[test]
fn machines_that_leave_equilibrium_say_so() {
    let place = Place::new();
    let words = "train bars-and-stripes:4 --model bm --hidden 8 --set method=pcd --set sweeps=1 --set learning_rate=0.5 --set l2=0 \
                 --set epochs=2000 --no-pictures --out bm";
    let said = place.dbn(words).done();
    assert!(said.err.contains("training has left equilibrium"), "{}", said.err);
    assert_eq!(said.err.matches("left equilibrium").count(), 1, "{}", said.err);
    let calm =
        words.replace("learning_rate=0.5", "learning_rate=0.001").replace("--out bm", "--out calm");
    let said = place.dbn(&calm).done();
    assert!(!said.err.contains("left equilibrium"), "{}", said.err);
}

/// Six families that are far apart, chains that step once an update and a rate too high for them: they agree with the data, and those
/// started anew do not.
#[test]
fn targets_that_chains_alone_have_reached_are_not_reached() {
    let place = Place::new();
    let mut random = SplitMix(5);
    let mut letters = |of: &[u8]| -> Vec<u8> {
        (0..40).map(|_| of[random.below(of.len() as u64) as usize]).collect()
    };
    let families: Vec<Vec<u8>> = (0..6).map(|_| letters(b"ACGU")).collect();
    let mut text = String::new();
    for i in 0..600 {
        let (other, changes) = (letters(b"-ACGU"), letters(b"xxxxxxxxxxxxxc"));
        let row = families[i % 6].iter().zip(&other).zip(&changes);
        let row = row.map(|((own, other), change)| if *change == b'c' { *other } else { *own });
        writeln!(text, ">seq{i}\n{}", String::from_utf8(row.collect()).unwrap()).unwrap();
    }
    place.write("six.fasta", text);
    let words = "train six.fasta --model bm --set target_pearson=0.97 --set chains=500 --set method=pcd --set sweeps=1 \
                 --set learning_rate=0.5 --set epochs=200 --no-pictures --no-evaluation --out six";
    let said = place.dbn(words).done();
    assert!(said.err.contains("they have left equilibrium"), "{}", said.err);
    assert!(said.err.contains("the target of 0.97 was not reached"), "{}", said.err);
    let last = metrics(&place.path("six")).pop().unwrap();
    assert!(last["pearson"].as_f64().unwrap() > 0.98, "{last}");
}

/// The target is Pearson's correlation of chains started anew, by whatever it learns: without chains of its own too. Machines in
/// equilibrium are not said to have left it.
#[test]
fn every_way_to_learn_ends_at_the_target() {
    let place = place();
    for method in ["pseudo-likelihood", "ptt", "pt"] {
        let said = place.dbn(&format!("{TARGET} --set method={method} --out {method}")).done();
        let lines = metrics(&place.path(method));
        let last = lines.last().unwrap();
        assert!(last["resampled_pearson"].as_f64().unwrap() >= 0.9, "{method}: {last}");
        assert!(lines.len() < 400 && lines.len().is_multiple_of(20), "{method}: {}", lines.len());
        assert!(!said.err.contains("equilibrium"), "{method}: {}", said.err);
        let found = json(&place.dbn(&format!("contacts {method} --json")).done().out);
        assert_eq!(first(&found), PLANTED, "{method}");
    }
}

#[test]
fn a_planted_pair_is_found_and_parameters_go_out_and_in() {
    let place = place();
    let said = place.dbn(&format!("{TARGET} --out bm --weights identity:0.8")).done();
    assert!(said.out.contains("chains started anew"), "{}", said.out);
    assert!(!said.err.contains("not reached"), "{}", said.err);
    // It ends at the target, by chains that were started anew.
    let lines = metrics(&place.path("bm"));
    let last = lines.last().unwrap();
    assert!(last["resampled_pearson"].as_f64().unwrap() >= 0.9, "{last}");
    assert!(lines.len() < 400 && lines.len().is_multiple_of(20), "{}", lines.len());

    let words = "contacts bm --out c --params rna_params.dat --json";
    let found = json(&place.dbn(words).done().out);
    assert_eq!((first(&found), found["pairs"].as_array().unwrap().len()), (PLANTED, 15));
    assert_eq!(&place.read("c/contacts.png")[1..4], b"PNG");
    assert!(place.text("c/contacts.csv").starts_with("i,j,score,norm\n2,8,"));
    // What adabmDCA would read has the same scores.
    let again = json(&place.dbn("contacts rna_params.dat --out d --json").done().out);
    assert_eq!(found["pairs"], again["pairs"]);
    // Imported, it is a machine as any that has learned.
    place.dbn("import rna_params.dat --out theirs").done();
    let again = json(&place.dbn("contacts theirs --json").done().out);
    assert_eq!(found["pairs"], again["pairs"]);
    place.write("wild.fasta", ">wild\nAACGACGUA\n");
    let of = |run: &str| place.dbn(&format!("score {run} wild.fasta --scan")).done().out;
    assert_eq!(of("bm"), of("theirs"));
    place.dbn("sample theirs --fasta --temperature 0.5 --count 5 --steps 20 --out s").done();
    assert_eq!(place.text("s/samples.fasta").lines().count(), 10);
    place
        .dbn("train rna.fasta --model bm --out theirs")
        .failed_in_the_end(&["theirs", "no recipe.toml"]);
    // What was cut is no machine, and neither is one without couplings.
    let text = place.text("rna_params.dat");
    let couplings: Vec<&str> = text.lines().filter(|line| line.starts_with('J')).collect();
    place.write("cut_params.dat", couplings.join("\n"));
    place.dbn("contacts cut_params.dat").failed(&["cut_params.dat", "fields 'h i a value'"]);
    let fields: Vec<&str> = text.lines().filter(|line| line.starts_with('h')).collect();
    place.write("alone_params.dat", fields.join("\n"));
    place
        .dbn("contacts alone_params.dat")
        .failed(&["alone_params.dat", "couplings between sites that are at least 4 apart"]);

    // Known contacts: one is found first, one is too near, one is not there.
    place.write("known.txt", "# i j distance\n8 2 4.5\n1 2\n3,9\n");
    let known = place.dbn("contacts bm --contacts known.txt --out e --json").done();
    assert!(known.err.contains("1 known contact is nearer than 4"), "{}", known.err);
    let known = json(&known.out);
    assert_eq!(
        (&known["precision"][0], &known["pairs"][0]["is_known"]),
        (&1.0.into(), &true.into())
    );
    place.write("wrong.txt", "1 10\n");
    place
        .dbn("contacts bm --contacts wrong.txt --out f")
        .failed_in_the_end(&["wrong.txt: line 1", "from 1 to 9"]);
    place.write("near.txt", "1 2\n");
    place.dbn("contacts bm --contacts near.txt --out f").failed_in_the_end(&[
        "--contacts",
        "at least 4 sites apart",
        "--min-separation",
    ]);
    // What it has written may be given back.
    let own = place.dbn("contacts bm --contacts c/contacts.csv --out h --json").done();
    assert_eq!(json(&own.out)["precision"][0], 1.0);
    place.write("large_params.dat", "J 0 1 A A 1e50\nJ 0 5 A A 1\nh 0 A 0\nh 1 A 0\n");
    place.dbn("contacts large_params.dat").failed(&["large_params.dat"]);
    place.dbn("contacts bm --out c").failed_in_the_end(&["c/contacts.csv", "--force"]);
    place.dbn("contacts bm --out g --without-gap").done();
}

#[test]
fn sequences_are_scored_and_drawn_by_a_machine() {
    let place = place();
    place.dbn(&format!("{TARGET} --out bm --no-evaluation")).done();
    place.write("wild.fasta", ">wild\nAACGACGUA\n");
    let table = place.dbn("score bm wild.fasta --mutants A2G,U8C").done().out;
    let ratios: Vec<f64> = table
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(2).unwrap().parse().unwrap())
        .collect();
    assert!(ratios.len() == 2 && ratios.iter().all(|ratio| *ratio < -0.5), "{table}");
    let scan = place.dbn("score bm wild.fasta --scan").done().out;
    assert_eq!(scan.lines().count(), 1 + 9 * 3, "{scan}");
    place.dbn("score bm wild.fasta --mutants C2G").failed_in_the_end(&["C2G", "column 2: A"]);
    // Lengths are those of sequences, not of their codes.
    place.write("long.fasta", ">long\nAACGACGUAC\n");
    place.dbn("score bm long.fasta").failed(&["long.fasta", "9 sites of 5 states", "10 sites"]);

    // Sites are counted from 1 and states are letters, wherever the program names them.
    let said = place.dbn("inspect bm").done().out;
    assert!(said.contains("2A – 8U: ") && said.contains("2C – 8G: "), "{said}");
    place.dbn("contacts bm --params rna_params.dat --out c").done();
    for model in ["bm", "rna_params.dat"] {
        let said = place.dbn(&format!("infer {model} --given 2=A --query 8 --json")).done().out;
        let found = json(&said);
        assert_eq!(found["letters"], serde_json::json!(["-", "A", "C", "G", "U"]));
        let of = &found["marginals"][0];
        assert_eq!((&of[0], &found["given"][0]), (&7.into(), &serde_json::json!([1, 1])));
        // A is planted with U.
        assert!(of[1][4].as_f64().unwrap() > 0.5, "{said}");
        let said = place.dbn(&format!("infer {model} --given 2=A,8=U --query 1")).done().out;
        assert!(said.contains("p(A)") && said.contains("most probable "), "{said}");
        place.dbn(&format!("infer {model} --given 2=X")).misused(&["2=X", "letters - A C G U"]);
        place.dbn(&format!("infer {model} --query 0")).misused(&["\"0\"", "one of 1, 2"]);
    }

    // Cold samples keep to the planted pair more than warm ones.
    let pairs = |temperature: f64| -> usize {
        let words = format!(
            "sample bm --fasta --temperature {temperature} --count 200 --steps 50 --out s --force"
        );
        place.dbn(&words).done();
        let text = place.text("s/samples.fasta");
        let letters = text.lines().filter(|line| !line.starts_with('>')).map(str::as_bytes);
        letters
            .filter(|row| {
                matches!(
                    (row[1], row[7]),
                    (b'A', b'U') | (b'C', b'G') | (b'G', b'C') | (b'U', b'A')
                )
            })
            .count()
    };
    let (cold, warm) = (pairs(0.3), pairs(5.0));
    assert!(cold > 180 && warm < 120, "{cold} {warm}");
    place.dbn("sample bm --fasta --temperature 1,2").misused(&["--temperature", "--fasta"]);
}

/// Through hidden units too, of an RBM and of a machine.
#[test]
fn hidden_units_couple_effectively() {
    let place = place();
    let words = "train rna.fasta --hidden 8 --unsupervised --set layers.*.epochs=60 --set layers.*.batch_size=20 \
                 --set layers.*.learning_rate=0.1 --no-pictures --out rbm";
    place.dbn(words).done();
    let said = place.dbn("contacts rbm --json").done();
    assert!(said.err.contains("second order"), "{}", said.err);
    assert_eq!(first(&json(&said.out)), PLANTED, "{}", said.out);
    assert!(place.path("rbm/contacts/contacts.png").is_file());
    // A hidden site of several states is drawn together: its columns' own variances say nothing.
    let words = "train rna.fasta --model bm --couplings none --hidden potts(4):5 --set epochs=150 --set batch_size=20 \
                 --set learning_rate=0.1 --no-pictures --out sites";
    place.dbn(words).done();
    let found = json(&place.dbn("contacts sites --json").done().out);
    assert_eq!(first(&found), PLANTED, "{found}");
    assert!(found["pairs"][0]["norm"].as_f64().unwrap() > 0.1, "{found}");
    place.dbn("contacts sites --params p.dat --out p").misused(&["--params", "hidden units"]);
    assert!(!place.path("p").exists());
    place.dbn("train bars-and-stripes:3 --model bm --set epochs=2 --no-pictures --out bars").done();
    place.dbn("contacts bars").failed_in_the_end(&["bars", "Potts units", "bernoulli"]);
}

/// What labels say to the hidden units is no coupling of sites.
#[test]
fn a_machine_with_labels_has_no_contacts() {
    let place = Place::new();
    let words = "train digits --recipe classrbm --layers 5 --set layers.0.epochs=1 --no-pictures --out labelled";
    place.dbn(words).done();
    place.dbn("contacts labelled").failed(&["labelled: expected a machine of sequences alone"]);
    let words = "train digits --model bm --hidden 4 --couplings none --set labels=true --set epochs=1 --no-pictures --out bm";
    place.dbn(words).done();
    place.dbn("contacts bm").failed(&["bm: expected a machine of sequences alone"]);
}
