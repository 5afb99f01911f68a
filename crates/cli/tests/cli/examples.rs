//! Every example line of the README, of the guide and of the commands' help is run, on small files of the names that stand there.

use crate::common::{Place, SplitMix, answer, idx, npy};

/// The README and the guide's pages with commands in them.
const PAGES: [&str; 9] = [
    include_str!("../../../../README.md"),
    include_str!("../../../../docs/guide/src/cli.md"),
    include_str!("../../../../docs/guide/src/data.md"),
    include_str!("../../../../docs/guide/src/recipes.md"),
    include_str!("../../../../docs/guide/src/likelihood.md"),
    include_str!("../../../../docs/guide/src/labels.md"),
    include_str!("../../../../docs/guide/src/hub.md"),
    include_str!("../../../../docs/guide/src/machines.md"),
    include_str!("../../../../docs/guide/src/belief-nets.md"),
];

/// Lines that are not run, by how they begin, and why.
const NOT_RUN: [(&str, &str); 26] = [
    ("dbn push runs/mnist me/mnist-dbn ", "a Hub that is written to: tests/cli/hub.rs"),
    ("dbn push runs/mnist me/mnist-dbn@v2 ", "the same"),
    ("dbn push runs/mnist me/features ", "the same"),
    ("dbn push runs/bm ", "the same: tests/cli/learned_machines.rs"),
    ("dbn push runs/belief ", "the same: tests/cli/belief_hub.rs"),
    ("dbn push runs/pairs ", "the same: tests/cli/learned_machines.rs"),
    ("dbn pull ", "a Hub that is read from: tests/cli/hub.rs"),
    ("dbn embed me/", "the same"),
    ("dbn data ", "a Hub that has MNIST"),
    ("dbn train mnist ", "the same: tests/cli/hub.rs"),
    ("dbn import rbm.npz ", "a file of scikit-learn: crates/dbn/tests/import"),
    ("dbn import RBM.h5 ", "a file of rbms: crates/dbn/tests/import"),
    ("dbn import rbm.pt ", "a file of PyTorch: crates/dbn/tests/import"),
    ("dbn import net.safetensors ", "a file of PyTorch: crates/dbn/tests/import"),
    (
        "dbn reproduce bars-and-stripes ",
        "20,000 epochs: tests/cli/commands.rs has what stops at once",
    ),
    ("dbn reproduce mnist-16 ", "MNIST itself"),
    ("dbn reproduce ising ", "two minutes: tests/cli/machines.rs has its parts"),
    ("dbn reproduce hopfield-capacity ", "half a minute: crates/boltzmann/tests/hopfield.rs"),
    ("dbn reproduce bm-bars ", "five minutes: crates/boltzmann/tests/learning.rs"),
    ("dbn reproduce dbm ", "two hours: tests/cli/deep_machines.rs has the digits"),
    ("dbn reproduce debd ", "three minutes: tests/cli/bad_input.rs"),
    ("dbn train RF00379.fasta ", "minutes: tests/cli/contacts.rs has a family that is made there"),
    ("dbn contacts ", "the same"),
    ("dbn import family_params.dat ", "the same"),
    ("dbn score runs/rna ", "the same"),
    ("dbn bench ", "a minute of measuring: tests/cli/bench.rs"),
];

/// Commands that have help.
const COMMANDS: &str = "train recipe evaluate compare sample score embed encode decode inspect push pull data import anneal recall contacts \
    infer bench reproduce completions man";

/// The commands in the shell blocks of the README and the guide, without what is said behind `#`.
fn lines_of_pages() -> Vec<String> {
    let blocks = PAGES.iter().flat_map(|page| page.split("```sh\n").skip(1));
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).map(|line| line.split("  #").next().unwrap().trim());
    lines.filter(|line| line.starts_with("dbn ")).map(str::to_owned).collect()
}

/// The commands in the examples of every help, without what is said behind two spaces.
fn lines_of_help(place: &Place) -> Vec<String> {
    let mut lines = Vec::new();
    for command in COMMANDS.split(' ') {
        let help = place.dbn(&format!("{command} --help")).done().out;
        let (_, examples) =
            help.split_once("Example").unwrap_or_else(|| panic!("{command}: {help}"));
        let found: Vec<_> = examples
            .lines()
            .filter_map(|line| line.strip_prefix("  dbn "))
            .map(|line| format!("dbn {}", line.split("  ").next().unwrap()))
            .collect();
        assert!(!found.is_empty(), "{command}: {help}");
        lines.extend(found);
    }
    lines
}

/// A folder with something small behind every name in the examples.
fn place() -> Place {
    let place = Place::new();
    let mut random = SplitMix(3);
    let mut write_folder = |name: &str| {
        for (part, cases) in [("train", 40), ("t10k", 20)] {
            let pixels: Vec<u8> = (0..cases * 784)
                .map(|i| {
                    if random.below(7) < (i / 784 % 10 * 28 / 10 + 1) as u64 % 7 { 200 } else { 0 }
                })
                .collect();
            let labels: Vec<u8> = (0..cases).map(|i| (i % 10) as u8).collect();
            let name = |what: &str| format!("{name}/{part}-{what}-ubyte");
            place.write(&name("images-idx3"), idx(&[cases as u32, 28, 28], &pixels));
            place.write(&name("labels-idx1"), idx(&[cases as u32], &labels));
        }
    };
    write_folder("mnist");
    write_folder("other");
    let mut random = SplitMix(4);
    // Measurements that belong together, on scales of their own.
    let mut spectra = |columns: usize| -> Vec<Vec<f32>> {
        let case = |i: usize| {
            let height = random.uniform() + (i % 3) as f64;
            (0..columns)
                .map(|j| ((j + 1) as f64 * (height + 0.3 * random.uniform())) as f32 * 10.0)
                .collect()
        };
        (0..150).map(case).collect()
    };
    let rows = spectra(60);
    let text = |rows: &[Vec<f32>]| -> String {
        let line = |row: &Vec<f32>| {
            row.iter().map(ToString::to_string).collect::<Vec<_>>().join(",") + "\n"
        };
        rows.iter().map(line).collect()
    };
    place.write("spectra.csv", text(&rows));
    place.write("data.csv", text(&spectra(8)));
    for name in ["cells.npy", "X.npy"] {
        place.write(name, npy(&rows));
    }
    let types: Vec<Vec<f32>> = (0..150).map(|i| vec![(i % 3) as f32]).collect();
    for name in ["types.npy", "y.npy"] {
        place.write(name, npy(&types));
    }
    let species = ["setosa", "virginica", "versicolor"];
    let table = |i: usize| {
        let gap = if i % 17 == 4 { String::new() } else { rows[i][1].to_string() };
        let missing =
            format!("{i},{},{gap},{},{}\n", rows[i][0], ["red", "blue"][i % 2], species[i % 3]);
        let whole = format!(
            "{i},{},{},{},{}\n",
            rows[i][0],
            rows[i][1],
            ["red", "blue"][i % 2],
            species[i % 3]
        );
        (missing, whole)
    };
    let tables: Vec<_> = (0..150).map(table).collect();
    let header = "id,length,width,colour,";
    let whole: String = tables.iter().map(|(_, whole)| whole.as_str()).collect();
    place.write("table.csv", format!("{header}label\n{whole}"));
    let missing: String = tables.iter().map(|(missing, _)| missing.as_str()).collect();
    place.write("missing.csv", format!("{header}species\n{missing}"));
    let prices: String = rows
        .iter()
        .map(|row| format!("{},{},{}\n", row[0], row[1], 3.0 * row[0] + row[2]))
        .collect();
    place.write("prices.csv", format!("size,age,price\n{prices}"));
    // 100 words a document, and 30 sequences of 12 letters of two families.
    let document = |i: usize| {
        let mut counts = [0; 12];
        (0..100).for_each(|_| counts[(random.below(6) + 6 * (i as u64 % 2)) as usize] += 1);
        let words = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        words.map(|(j, count)| format!(" {}:{count}", j + 1)).collect::<String>()
    };
    place.write(
        "counts.svm",
        (0..60).map(document).map(|words| format!("0{words}\n")).collect::<String>(),
    );
    let mut random = SplitMix(5);
    let families = [b"MKVLAAGGHWCD", b"MRLLSPGEHYND"];
    let sequence = |i: usize| -> String {
        let letter = |&c: &u8| {
            if random.below(8) == 0 {
                b"ACDEFGHIKLMNPQRSTVWY-"[random.below(21) as usize]
            } else {
                c
            }
        };
        families[i % 2].iter().map(letter).map(char::from).collect()
    };
    let sequences: Vec<String> = (0..120).map(sequence).collect();
    let fasta = sequences.iter().enumerate().map(|(i, letters)| format!(">s{i}\n{letters}\n"));
    place.write("family.fasta", fasta.collect::<String>());
    place.write("wild.fasta", ">wild\nAKVLAACGHWCD\n");
    let one_hot = |letters: &String| -> Vec<f32> {
        let code = |c: char| "-ACDEFGHIKLMNPQRSTVWY".find(c).unwrap();
        letters
            .chars()
            .flat_map(|c| (0..21).map(move |state| f32::from(u8::from(state == code(c)))))
            .collect()
    };
    place.write("sites.npy", npy(&sequences.iter().map(one_hot).collect::<Vec<_>>()));
    let field = "MARKOV\n4\n2 2 2 2\n2\n3 0 1 2\n2 0 3\n8\n1 2 .5 3 4 .25 1.5 6\n4\n4 .23 5 9.45\n";
    place.write("field.uai", field);
    place.write("field.uai.evid", "1 1 0\n");
    place.write("examples/uai/house.uai", include_str!("../../../../examples/uai/house.uai"));
    place.write(
        "bm.toml",
        "model = \"bm\"\nhidden = 4\n[data]\nlimit = 60\n[learning]\nepochs = 2\n",
    );
    place.write("problem.json", "{\"linear\": {\"a\": 1}, \"quadratic\": {\"a,b\": -2}}");
    place.write("G1", "3 3\n1 2 1\n2 3 1\n1 3 -1\n");
    place.write("new.csv", text(&vec![vec![0.5; 784]; 3]));
    place.write("grid.csv", text(&vec![vec![0.5; 30]; 3]));
    place.write("data.npy", npy(&vec![vec![0.5; 64]; 5]));
    place
}

/// What makes a training quick without changing what it is.
fn quick(line: &str) -> String {
    let has = |word: &str| line.contains(word);
    if has("--resume") {
        return " --no-pictures".into();
    }
    let is_machine =
        ["hopfield", "bm", "dbm", "belief"].iter().any(|kind| has(&format!("--model {kind}")));
    if is_machine || has("bm.toml") || has("-dbm") {
        return String::new();
    }
    // As many epochs as a rate that is too large needs to show it.
    let mut quick = " --set layers.*.epochs=8 --no-pictures".to_owned();
    if !has("--layers") && !has("--hidden") && !has("--recipe autoencoder") {
        quick += " --layers 16,12";
    }
    quick += match () {
        () if has("--recipe autoencoder") => {
            " --set layers.*.epochs=1 --set autoencoder.epochs=1 --out runs/auto"
        }
        () if has("joint") => " --set updown.epochs=1",
        () if has("--unsupervised") || has("classifier=none") => "",
        () => " --set classifier.epochs=2",
    };
    quick
}

fn run(place: &Place, lines: &[String]) {
    for line in lines {
        let is_left_out = NOT_RUN.iter().any(|(start, _)| format!("{line} ").starts_with(start));
        if is_left_out && !line.contains("--dry-run") {
            continue;
        }
        let mut typed = line.clone();
        if line.starts_with("dbn train") {
            typed += &quick(line);
        }
        if line.contains("--missing") {
            typed = typed.replace("table.csv", "missing.csv");
        }
        let out = typed.split(" --out ").nth(1).and_then(|rest| rest.split(' ').next());
        // What an earlier line has left there may lie in the way.
        let clear = out.map_or_else(String::new, |out| format!("rm -rf '{out}'; "));
        let script = format!("dbn() {{ \"$DBN\" \"$@\"; }}; {clear}{typed}");
        let found = answer(&mut place.shell(&script));
        assert_eq!(found.code, Some(0), "{typed}: {found:?}");
        assert!(
            !found.err.contains("diverged") && !found.err.contains("panicked"),
            "{typed}: {found:?}"
        );
    }
}

/// What examples take for given: runs of these names.
fn with_runs() -> Place {
    let place = place();
    for (data, run, words) in [
        ("mnist/", "mnist", "--layers 16,12 --set layers.*.epochs=1 --set classifier.epochs=1"),
        (
            "digits",
            "joint",
            "--recipe digits-joint --layers 12,8 --set layers.*.epochs=1 --set updown.epochs=1",
        ),
        (
            "digits",
            "rbm",
            "--binarise threshold:0.5 --unsupervised --layers 8 --set layers.*.epochs=2",
        ),
        ("family.fasta", "family", "--layers 8 --set layers.*.epochs=1"),
        ("family.fasta", "rna", "--model bm --set epochs=2"),
        ("digits", "bm", "--model bm --hidden 4 --limit 60 --set epochs=2"),
        ("digits", "pairs", "--model bm --limit 60 --set epochs=2"),
        (
            "mnist/",
            "auto",
            "--recipe autoencoder --layers 16,gaussian:30 --set layers.*.epochs=1 --set autoencoder.epochs=1",
        ),
    ] {
        place.dbn(&format!("train {data} --out runs/{run} {words}")).done();
    }
    for (name, bytes) in place.files("runs/rbm") {
        place.write(&format!("models/rbm/{name}"), bytes);
    }
    place
}

#[test]
fn the_examples_of_the_readme_and_the_guide_run() {
    let lines = lines_of_pages();
    assert!(lines.len() > 30, "{lines:?}");
    run(&with_runs(), &lines);
}

#[test]
fn the_examples_of_every_help_run() {
    let place = with_runs();
    let lines = lines_of_help(&place);
    assert!(lines.len() > 30, "{lines:?}");
    run(&place, &lines);
}
