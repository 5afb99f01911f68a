//! Alignments as biologists have them: what is read is said, names travel, samples are sequences, sites are what is counted.

use std::fmt::Write as _;

use crate::common::{Place, SplitMix, read_npy};

/// Two kinds of RNA: five sites, of which the first is A or G, and the last U where it is A, else C.
fn family(count: usize) -> String {
    let mut random = SplitMix(5);
    let mut text = String::new();
    for i in 0..count {
        let (first, last) = if random.below(2) == 0 { ('A', 'U') } else { ('G', 'C') };
        let between: String =
            (0..3).map(|_| char::from(b"ACGU-"[random.below(5) as usize])).collect();
        writeln!(text, ">seq{i}/1-5 of a family\n{first}{between}{last}").unwrap();
    }
    text
}

const TRAIN: &str = "train rna.fasta --hidden 6 --unsupervised --set layers.*.epochs=20 --set layers.*.batch_size=10 \
                     --set layers.*.learning_rate=0.05";

fn place() -> Place {
    let place = Place::new();
    place.write("rna.fasta", family(60));
    place
}

#[test]
fn an_alignment_becomes_potts_units_and_samples_are_sequences() {
    let place = place();
    let said = place.dbn(&format!("{TRAIN} --out run")).done().err;
    for words in ["read as rna: each column is one of 5 states, -ACGU", "potts(5)"] {
        assert_eq!(said.matches(words).count(), 1, "{words}: {said}");
    }
    let config = place.json("run/config.json");
    assert_eq!(config["visible"], serde_json::json!({ "kind": "potts", "sites": 5, "states": 5 }));
    assert_eq!(config["preprocessing"]["alphabet"], "rna");

    place.dbn("sample run --fasta --count 7 --steps 3 --out s --force").done();
    let (_, drawn) = read_npy(&place.read("s/samples.npy"));
    let text = place.text("s/samples.fasta");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 14);
    for (i, pair) in lines.chunks(2).enumerate() {
        assert_eq!(pair[0], format!(">sample{i}"));
        for (site, letter) in pair[1].bytes().enumerate() {
            let state = b"-ACGU".iter().position(|known| *known == letter).unwrap();
            assert_eq!(drawn[i * 25 + site * 5 + state], 1.0, "{text}");
        }
    }

    // Of other data by the same letters, even where theirs alone would say something else.
    place.write("few.fasta", ">one\nACACA\n>two\nGG-GG\n");
    place.dbn("embed run few.fasta --out few.csv").done();
    let table = place.text("few.csv");
    assert!(table.starts_with("row,name,layer1_0,"), "{table}");
    assert!(table.contains("\n0,one,") && table.contains("\n1,two,"), "{table}");
    place.dbn("embed run --out all.csv").done();
    assert!(place.text("all.csv").contains("59,seq59/1-5 of a family,"));
    place.dbn("embed run --out all.parquet").done();
    let name = b"seq59/1-5 of a family";
    assert!(place.read("all.parquet").windows(name.len()).any(|bytes| bytes == name));

    // Sites are what is counted, and what is held stays.
    let keep = "sample run --clamp few.fasta --count 2 --steps 5 --fasta --out c --force --keep";
    place.dbn(&format!("{keep} 1..4")).done();
    let text = place.text("c/samples.fasta");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((&lines[1][1..4], &lines[3][1..4]), ("CAC", "G-G"), "{text}");
    place.dbn(&format!("{keep} 0..6")).failed_in_the_end(&["sites below 5", "before 6"]);
    place.dbn(&format!("{keep} top")).failed_in_the_end(&["sites, by name or as 0..2"]);
    place.train_into("plain", "");
    place.dbn("sample plain --fasta").failed(&["--fasta", "an alignment"]);
}

/// A map has a row for each letter and a column for each site: 5 by 5 here, where folded columns would be too; so seven sites.
#[test]
fn pictures_of_alignments_are_maps_of_sites_and_letters() {
    let place = Place::new();
    place.write("long.fasta", ">a\nACGU-AC\n>b\nACGUUAC\n".repeat(5));
    place
        .dbn("train long.fasta --hidden 2 --unsupervised --set layers.*.epochs=1 --out run")
        .done();
    let size = |name: &str| {
        let bytes = place.read(name);
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        (number(16), number(20))
    };
    // Two tiles of 7 by 5, each pixel 12 by 12, three pixels between and around them, and a line of words below.
    assert_eq!(size("run/filters.png"), (3 + 2 * (84 + 3), 3 + 60 + 18 + 3));
    assert!(size("run/correlations.png").0 > 0);
}

#[test]
fn what_stands_in_an_alignment_is_said() {
    let place = Place::new();
    let words = "--hidden 2 --unsupervised --set layers.*.epochs=1 --no-pictures --no-evaluation";
    for (i, (text, options, expected)) in [
        (">a\nMKVLWX\n>b\nMK-LBX\n", "", vec!["protein", "3 letters", "X 2 times, B 1 times"]),
        (">a\nACGT\n>b\nACG-\n", "", vec!["read as dna"]),
        (">a\nACGT\n>b\nACG-\n", "--alphabet rna", vec!["1 times T is read as U"]),
        (">a\nacgt\n>b\nac-t\n", "", vec!["small letters only", "read as dna"]),
        (">a\nMkvLW\n>b\nMK-LW\n", "", vec!["masked", "protein"]),
        (">a\nMaaKV\n>b\nM..-V\n", "", vec!["2 small letters are insertions"]),
        (">a\n0110\n>b\n1100\n", "--alphabet 01", vec!["potts(3)"]),
        ("# STOCKHOLM 1.0\n#=GF ID x\na AC\nb AG\n\na GU\nb G-\n//\n", "", vec!["read as rna"]),
    ]
    .into_iter()
    .enumerate()
    {
        // Another half of each, so that something is held out and learned from.
        let name = format!("x{i}.fasta");
        place.write(&name, text);
        let said = place.dbn(&format!("train {name} {words} {options} --out run{i}")).done().err;
        for expected in expected {
            assert!(said.contains(expected), "{text:?}: {expected:?}: {said}");
        }
    }
    place.dbn("train x0.fasta --alphabet ab --out no").code_is(2);
    // Nor does a model of proteins take the letters of DNA for its own.
    place.dbn("evaluate run0 x1.fasta").failed_in_the_end(&["letters of protein", "those of dna"]);
    place
        .dbn("train data.csv --alphabet rna --out no")
        .failed_in_the_end(&["alphabet", "no alignment"]);
}

/// Sequences that are copies of each other count as one, wherever a mean is formed.
#[test]
fn copies_count_as_one() {
    let place = Place::new();
    // Nine copies of one sequence, and one that is far from it.
    let copies = format!("{}>far\nUUUUUUUUUU\n", ">copy\nACGUACGUAC\n".repeat(9));
    place.write("copies.fasta", &copies);
    place.write("two.fasta", ">copy\nACGUACGUAC\n>far\nUUUUUUUUUU\n");
    let words = "--hidden 2 --unsupervised --no-pictures --no-evaluation --set data.hold_out_one_in=none \
                 --set data.validate_one_in=none --set layers.*.epochs=0";
    let said = place.dbn(&format!("train copies.fasta --weights identity:0.8 {words} --out a"));
    let said = said.done().err;
    assert!(said.contains("10 cases are worth 2.0 (M_eff)"), "{said}");
    place.dbn(&format!("train two.fasta {words} --out b")).done();
    place.dbn(&format!("train copies.fasta {words} --out c")).done();
    let bias =
        |run: &str| crate::common::tensors(&place.model(run))["rbms.0.visible_bias"].1.clone();
    let [a, b, c] = ["a", "b", "c"].map(bias);
    let differs = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-4);
    assert!(!differs(&a, &b) && differs(&b, &c), "{a:?}\n{b:?}\n{c:?}");
    let mean = |run: &str, words: &str| -> f64 {
        let words = format!("evaluate {run} {words} --likelihood --json --cases all");
        let found: serde_json::Value = serde_json::from_str(&place.dbn(&words).done().out).unwrap();
        found["exact"]["log_likelihood"].as_f64().unwrap()
    };
    let (weighted, plain) = (mean("a", ""), mean("a", "--weights none"));
    assert!((weighted - mean("a", "two.fasta")).abs() < 1e-4, "{weighted}");
    assert!((weighted - plain).abs() > 1e-3, "{weighted} {plain}");
    place
        .dbn("train data.csv --weights identity:0.8 --out no")
        .failed_in_the_end(&["weights", "--one-hot"]);
    // A belief net learns from cases that count alike: what would count for nothing is not taken.
    place
        .dbn("train copies.fasta --model belief --hidden 3 --weights identity:0.8 --out no")
        .failed_in_the_end(&["copies.fasta", "count alike", "--model bm"]);
}

/// Documents as long as they are: what CD learns from them, looks at and embeds; and what cannot be, by name.
#[test]
fn documents_have_their_own_lengths() {
    let place = Place::new();
    let mut random = SplitMix(9);
    let mut text = String::new();
    for i in 0..40 {
        let mut counts = [0; 12];
        for _ in 0..=random.below(30) {
            counts[(6 * (i % 2) + random.below(6)) as usize] += 1;
        }
        let words = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let words = words.map(|(word, count)| format!(" {}:{count}", word + 1));
        writeln!(text, "{}{}", i % 2, words.collect::<String>()).unwrap();
    }
    place.write("docs.svm", text);
    let words = "train docs.svm --width 12 --visible multinomial --hidden 6 --unsupervised \
                 --set layers.*.epochs=30 --set layers.*.batch_size=10 --set layers.*.learning_rate=0.01";
    let said = place.dbn(&format!("{words} --out run")).done();
    assert!(said.err.contains("pseudo-LL"), "{said:?}");
    assert!(place.path("run/reconstructions.png").exists());
    assert!(!place.path("run/samples.png").exists(), "of which length?");
    let config = place.json("run/config.json");
    let units = serde_json::json!({ "kind": "multinomial", "size": 12, "draws": 0 });
    assert_eq!(config["visible"], units);
    place.dbn("evaluate run").done();
    place.dbn("embed run --out f.npy").done();
    place.dbn("sample run --from docs.svm --count 4 --steps 5 --out s --force").done();
    let (shape, shares) = read_npy(&place.read("s/samples.npy"));
    assert_eq!(shape, [4, 12]);
    for shares in shares.chunks(12) {
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{shares:?}");
    }
    place.dbn("sample run --count 4").failed_in_the_end(&["multinomial", "number of draws"]);
    place.dbn(&format!("{words} --set layers.0.method=pcd --out no")).failed_in_the_end(&["draws"]);
}
