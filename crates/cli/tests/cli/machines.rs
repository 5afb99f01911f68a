//! Machines on graphs: averages at temperatures, memories, inference, and their reproductions.

use crate::common::{Place, bars_and_stripes, read_npy};

/// Kaufman's numbers of an 8×8 torus at T = 2.5, within four standard errors.
#[test]
fn an_ising_model_is_measured_at_its_temperature() {
    let place = Place::new();
    let words = "sample ising:8x8 --temperature 2.5,5 --sweeps 2000 --out averages --json";
    let said = place.dbn(words).done();
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let known = [
        ("energy", -1.22232064325),
        ("heat_capacity", 1.10047588936),
        ("magnetisation", 0.6031289794),
        ("binder", 0.5241228559),
    ];
    for (what, exact) in known {
        let of = &found["measurements"][0][what];
        let (value, error) = (of["value"].as_f64().unwrap(), of["error"].as_f64().unwrap());
        assert!(error > 0.0 && (value - exact).abs() < 4.0 * error, "{what}: {value} ± {error}");
    }
    let (shape, values) = read_npy(&place.read("averages/samples.npy"));
    assert_eq!(shape, [128, 64]);
    assert!(values.iter().all(|value| value.abs() == 1.0));
    for picture in ["samples.png", "measured.png"] {
        assert_eq!(&place.read(&format!("averages/{picture}"))[1..4], b"PNG");
    }
    let table = place.dbn("sample potts:3:4x4 --temperature 1 --sweeps 50 --measure energy").done();
    assert!(table.out.contains("energy") && !table.out.contains("Binder"), "{}", table.out);
}

#[test]
fn what_is_no_machine_or_no_way_to_measure_one_is_refused() {
    let place = Place::new();
    place.dbn("sample ising:2x2").failed(&["2x2", "at least 3"]);
    place.dbn("sample ising:4x4 --temperature 0").misused(&["--temperature 0", "above 0"]);
    place.dbn("sample ising:4x4 --label 3").misused(&["--label", "network"]);
    place.dbn("sample ising:4x4 --chains 3").misused(&["--chains"]);
    place.dbn("sample ising:2048x2048").misused(&["--chains", "at most 16"]);
    place.dbn("sample nothing --temperature 2").misused(&["nothing", "ising:32x32"]);
    place.write("graph", "3 2\n1 2 1\n2 4 1\n");
    place.dbn("anneal graph").failed(&["graph", "line 3", "from 1 to 3"]);
    place.write("graph", "3 2\n1 2 1\n2 1 1\n");
    place.dbn("anneal graph").failed(&["graph", "line 3", "each edge once"]);
    place.write("graph", "3 1\n2 2 1\n");
    place.dbn("anneal graph").failed(&["graph", "line 2", "with itself"]);
    place.write("graph", "3 2\n1 2 1\n");
    place.dbn("anneal graph").failed(&["graph", "2 edges"]);
    place.write("problem.json", "{\"linear\": {\"a\": 1}, \"quadratic\": {\"ab\": 1}}");
    place.dbn("anneal problem.json").failed(&["problem.json", "ab", "two variables"]);
}

/// Signs, format by format: two units, whose ground states are known by hand.
#[test]
fn files_of_graphs_and_problems_have_their_signs() {
    let place = Place::new();
    let lowest = |text: &str| -> (f64, f64) {
        place.write("file", text);
        let said = place.dbn("anneal file --exact --json").done();
        let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        (found["energy"].as_f64().unwrap(), found["ground_states"].as_f64().unwrap())
    };
    // A cut of weight 3: the two sides differ, E = 3·s·s' = −3.
    assert_eq!(lowest("2 1\n1 2 3\n"), (-3.0, 2.0));
    assert_eq!(
        lowest("%%MatrixMarket matrix coordinate real symmetric\n2 2 1\n2 1 3\n"),
        (-3.0, 2.0)
    );
    // −1·a − 1·b + 3·a·b: one of both is 1.
    assert_eq!(
        lowest("{\"linear\": {\"a\": -1, \"b\": -1}, \"quadratic\": {\"a,b\": 3}}"),
        (-1.0, 2.0)
    );
    assert_eq!(
        lowest("{\"linear\": {\"a\": -1}, \"quadratic\": {\"a,b\": 3}, \"vartype\": \"SPIN\"}"),
        (-4.0, 1.0)
    );
    // Of Potts parameters what is high is favoured.
    assert_eq!(
        lowest("J 0 1 A A 2\nJ 0 1 A B 0.5\nh 0 A 1\nh 0 B 0\nh 1 A 0\nh 1 B 0.25\n"),
        (-3.0, 1.0)
    );
    // Names stay with a problem: the answer is by name, and so are questions.
    place.write(
        "file",
        "{\"linear\": {\"tea\": -2, \"milk\": 1}, \"quadratic\": {\"tea,milk\": -3}}",
    );
    let said = place.dbn("anneal file --exact").done().out;
    assert!(said.contains("milk = 1, tea = 1"), "{said}");
    let said = place.dbn("anneal file --sweeps 50 --reads 20 --json").done().out;
    assert!(said.contains("\"milk\": 1.0") && said.contains("\"tea\": 1.0"), "{said}");
    let said = place.dbn("infer file --given milk=0 --query tea").done().out;
    // exp(2)/(1 + exp(2)).
    assert!(said.contains("tea") && said.contains("0.880797"), "{said}");
    place.dbn("infer file --given A=0").misused(&["\"A\"", "expected one of milk, tea"]);
    place.dbn("infer file --given milk=2").misused(&["milk=2", "a state from 0 to 1"]);
    // Of what no sample has shown there is no error, and no zero; what is nothing has no sign.
    let said = place.dbn("infer file --sampled --temperature 0.05 --sweeps 800").done().out;
    assert!(said.contains("never seen") && !said.contains("0.000000"), "{said}");
    place.write("even", "2 1\n1 2 0\n");
    for words in ["anneal even --exact", "anneal even --reads 3 --sweeps 5", "infer even"] {
        let said = place.dbn(words).done().out;
        assert!(!said.contains("-0"), "{words}: {said}");
    }
    let said = place.dbn("anneal ising:4x4 --from 1 --to 1e-40 --sweeps 9 --reads 2").done().out;
    assert!(said.contains("1.000 to 1.000e-40"), "{said}");
    // A graph is one whatever its file is called.
    place.write("graph.txt", "2 1\n1 2 3\n");
    place.dbn("sample graph.txt --sweeps 20 --chains 8").done();
    // Potts units have ladders of temperatures too: nine sites, each beside four others, all alike.
    let said = place.dbn("anneal potts:3:3x3 --tempering --sweeps 200 --out p.png --json").done();
    assert!(said.out.contains("\"energy\": -18.0"), "{}", said.out);
    // What a name says may be wrong of the machine: that is no wrong usage.
    place.dbn("anneal ising:2x8").failed(&["at least 3 units", "2x8"]);
    place.dbn("anneal ising:axb").misused(&["ising:axb"]);
    // Numbers are short.
    let said = place.dbn("sample ising:4x4 --temperature 1e-40 --sweeps 20 --chains 8").done().out;
    assert!(said.lines().all(|line| line.chars().count() < 200), "{said}");
    // Annealing agrees, and so does its configuration.
    place.write("file", "4 4\n1 2 1\n2 3 1\n3 4 1\n4 1 1\n");
    let said = place.dbn("anneal file --reads 10 --sweeps 100 --out best.npy --json").done();
    assert!(said.out.contains("\"energy\": -4.0"), "{}", said.out);
    // All four edges are cut.
    assert!(said.out.contains("\"cut\": 4.0"), "{}", said.out);
    let said = place.dbn("anneal file --exact").done().out;
    assert!(
        said.lines().any(|line| line.split_whitespace().eq(["the", "largest", "cut", "4"])),
        "{said}"
    );
    let (_, values) = read_npy(&place.read("best.npy"));
    assert_eq!(values[0], -values[1]);
}

/// What is wrong in a file is said with its place and in its own words, whatever the command.
#[test]
fn files_of_machines_that_are_wrong_are_refused_in_their_words() {
    let place = Place::new();
    let refused = |text: &str, words: &[&str]| {
        place.write("file", text);
        for command in ["anneal file", "infer file", "sample file"] {
            place.dbn(command).failed(&[&["file"], words].concat());
        }
    };
    refused("3 2\n1 2 1\n2 3\n", &["line 3", "3 numbers", "2 3"]);
    refused("3 2\n1 2\n2 3 4\n", &["line 3", "2 numbers", "2 3 4"]);
    refused("3 2\n1 2 1\n2 1 4\n", &["line 3", "unit 2 and unit 1 again"]);
    refused("2 1\n1 2 1e200\n", &["1e100", "1e200"]);
    let large = "{\"linear\": {\"a\": 1e308, \"b\": -1e308}, \"quadratic\": {\"a,b\": 1e308}}";
    refused(large, &["1e100", "inf"]);
    let twice = "{\"quadratic\": {\"a,b\": -3, \"b,a\": 1}}";
    refused(twice, &["\"b,a\"", "\"b\" and \"a\" again"]);
    for name in ["", " b", "a=1", "a\\nb"] {
        refused(&format!("{{\"linear\": {{\"{name}\": 1}}}}"), &["variables", "names"]);
    }
    let params = "J 0 1 A A 1\nh 0 A 1\nh 1 A 1\nh 0 B 1\nh 1 B 1\n";
    refused(&params.replace("A A", "A C"), &["line 1", "A B", "\"C\""]);
    refused(&format!("{params}J 1 0 A A 2\n"), &["line 6", "site 1, state A and site 0, state A"]);
    refused("MARKOV\n0\n\n0\n", &["line 2", "at least one variable"]);

    place.write(
        "offset.json",
        "{\"linear\": {\"a\": 1}, \"quadratic\": {\"a,b\": -3}, \"offset\": 5}",
    );
    let said = place.dbn("anneal offset.json --exact").done();
    assert!(said.err.contains("offset 5") && said.out.contains("-2 (exact)"), "{}", said.err);
    std::fs::create_dir(place.path("empty")).unwrap();
    place.dbn("anneal ./empty").failed(&["empty", "a folder without one"]);
    place.dbn("anneal ising:4x4 --out nowhere/best.png").failed(&["there is no folder nowhere"]);
    place.dbn("recall ising:4x4").failed(&["ising:4x4", "--model hopfield"]);
    place.write("edges", "10 1\n1 10 1\n");
    place.dbn("train bars-and-stripes:3 --model bm --couplings edges:edges --out bm").failed(&[
        "edges:edges",
        "9 units",
        "1 and 10",
    ]);
    // A number below zero is one, and no option.
    place.dbn("sample ising:4x4 --temperature -1").misused(&["--temperature -1", "above 0"]);
    place.dbn("train digits --seed -1").misused(&["'-1'", "--seed"]);
    // What would do nothing is not taken in silence.
    place.dbn("sample ising:4x4 --steps 5").misused(&["--steps", "ising:4x4"]);
    let said = place.dbn("infer ising:4x4 --sweeps 10 --query 0").done();
    assert!(said.err.contains("counted exactly"), "{}", said.err);
    let said = place.dbn("sample ising:4x4 --temperature 0.01 --sweeps 40 --ordered").done();
    assert!(said.err.contains("no energy has changed"), "{}", said.err);
    for words in ["sample ising:4x4", "infer ising:4x4", "anneal ising:4x4 --from 1 --to 1e-320"] {
        let temperature = if words.contains("--to") { "" } else { "--temperature 1e-320" };
        place.dbn(&format!("{words} {temperature}")).misused(&["1e-320", "at least 1e-50"]);
    }
    place.dbn("sample ising:4x4 --temperature -1,-.5").misused(&["--temperature -1", "above 0"]);
    // Two wells of one energy: what the spins say tells them apart.
    let words = "infer ising:8x8 --sampled --temperature 1.2 --sweeps 800 --query 0";
    let said = place.dbn(words).done();
    assert!(said.err.contains("have been to different places"), "{}", said.err);
    let said = place.dbn(&format!("{words} --json")).done().out;
    let found: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(found["is_mixed"], false, "{found}");
    place.dbn("infer ising:3x3 --mar nowhere/x").failed(&["there is no folder nowhere"]);
    place.dbn("infer ising:3x3 --mar x --evid ./x").misused(&["several files"]);
    let said = place.dbn("infer ising:3x3 --sampled --sweeps 400 --given A=1 --query A,B").done();
    assert!(!said.out.contains("seen") && said.out.contains("0.000000"), "{}", said.out);
    place.write("strong", "2 1\n1 2 1e90\n");
    place.dbn("anneal strong").failed(&["1e37", "single precision"]);
    let said = place.dbn("anneal strong --exact").done().out;
    assert!(said.contains("-1.000000e90 (exact)"), "{said}");
    // Marginals are probabilities, or there are none.
    let said = place.dbn("infer pmj:3x3:seed=2 --temperature 1e-10 --query A").done().out;
    assert!(said.contains("0.500000   0.500000"), "{said}");
    // What is said to be enough is enough.
    place.dbn("infer pmj:3x3:seed=2 --temperature 2.9e-12 --query A").done();
    place.dbn("infer pmj:3x3:seed=2 --temperature 1e-14").failed(&["at least 2.9e-12"]);
    // Evidence goes out as it comes in.
    place.dbn("infer ising:3x3 --given C=1,A=0 --evid e.evid --query B").done();
    assert_eq!(place.text("e.evid"), "2 0 0 2 1\n");
    let said = |words: &str| place.dbn(&format!("infer ising:3x3 --query B {words}")).done().out;
    assert_eq!(said("--evidence e.evid"), said("--given A=0,C=1"));
}

#[test]
fn a_memory_stores_and_recalls() {
    let place = Place::new();
    let stored = place
        .dbn("train digits --model hopfield --limit 5 --rule pseudo-inverse --out memory")
        .done();
    assert!(stored.out.contains("5 of them are stable"), "{}", stored.out);
    assert_eq!(&place.read("memory/patterns.png")[1..4], b"PNG");
    // Of a pattern whose mirror image is stored too, the pattern.
    place.dbn("train bars-and-stripes:4 --model hopfield --out bars").done();
    let said = place.dbn("recall bars").done().out;
    assert!(said.contains("30 of 30 ended in a stored pattern"), "{said}");
    place.dbn("train digits --model hopfield --couplings lateral").misused(&["--couplings"]);
    let said = place.dbn("recall memory --noise 0.15 --seed 1").done();
    assert!(said.out.contains("5 of 5 ended in a stored pattern"), "{}", said.out);
    assert!(said.out.contains("5 in the one that its cue was made of"), "{}", said.out);
    place.dbn("recall memory bars-and-stripes:3").failed(&["cues of 64 units", "found 9"]);
    place.dbn("train digits --rule hebb").misused(&["--rule", "--model hopfield"]);
    let said = place.dbn("recall memory digits --limit 10 --animate --out way --json").done();
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    for recall in found.as_array().unwrap() {
        let energies: Vec<f64> =
            recall["energies"].as_array().unwrap().iter().map(|e| e.as_f64().unwrap()).collect();
        assert!(energies.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9));
    }
    assert_eq!(&place.read("way/recall.gif")[..3], b"GIF");
    place.dbn("recall memory --temperature 0.2 --noise 0.2 --sweeps 10").done();

    place
        .dbn("train digits --model hopfield --limit 5 --out memory")
        .failed(&["memory", "holds a model already"]);
    place.dbn("train digits --model hopfield --layers 5").misused(&["--layers", "Hopfield"]);
    place.dbn("recall memory --noise 2").misused(&["--noise 2"]);
    place.dbn("recall memory bars-and-stripes:4").failed(&["64 units"]);
    place.dbn("recall nowhere").failed(&["nowhere"]);
    place.dbn("evaluate memory").misused(&["memory", "Hopfield network", "recall"]);
    place.dbn("embed memory --out f.npy").failed(&["memory", "Hopfield network", "recall"]);
    // At temperature 1 it is a machine of spins.
    place.dbn("sample memory --temperature 0.5 --sweeps 20 --chains 8").done();
    // Cues are cut where the patterns were, also one alone, and one that is cut already.
    place.write("rows.csv", "a,b,c\n0,5,9\n9,5,5\n");
    place.write("one.csv", "a,b,c\n9,5,5\n");
    place.write("signs.csv", "a,b,c\n1,1,1\n");
    place.dbn("train rows.csv --model hopfield --no-pictures --out rows").done();
    for cue in ["one.csv", "signs.csv"] {
        let found = place.dbn(&format!("recall rows {cue} --json")).done().out;
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert_eq!((&found[0]["pattern"], &found[0]["overlap"]), (&1.into(), &1.0.into()), "{cue}");
    }
    // A damaged file is no network.
    let mut bytes = place.read("memory/hopfield.safetensors");
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(place.path("memory/hopfield.safetensors"), bytes).unwrap();
    place.dbn("recall memory").failed(&["hopfield.safetensors", "damaged"]);
}

#[test]
fn fields_are_asked() {
    let place = Place::new();
    place.write(
        "f.uai",
        "MARKOV\n4\n2 2 2 2\n2\n3 0 1 2\n2 0 3\n8\n1 2 .5 3 4 .25 1.5 6\n4\n4.00 0.23 5.00 9.45\n",
    );
    let said = place.dbn("infer f.uai --mar f.mar").done();
    assert!(
        said.out.contains("log Z 5.2846367117") && said.out.contains("1 1 1 1"),
        "{}",
        said.out
    );
    assert!(String::from_utf8(place.read("f.mar")).unwrap().starts_with("MAR\n4 2 0.1393686718"));
    let said = place.dbn("infer f.uai --given B=1,2=0 --query D").done();
    assert!(said.out.contains("0.600673") && !said.out.contains("A  "), "{}", said.out);
    let said = place.dbn("infer f.uai --query B,C --temperature 2 --json").done();
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!((found["joint"][3][1].as_f64().unwrap() - 0.3860274150).abs() < 1e-9, "{found}");
    // Samples have errors, that hold; log Z comes from both sides where it is asked for.
    let words = "infer f.uai --sampled --sweeps 40000 --log-z --query B,C --given D=1 --json";
    let found: serde_json::Value = serde_json::from_str(&place.dbn(words).done().out).unwrap();
    let exact = words.replace("--sampled --sweeps 40000 --log-z ", "");
    let exact: serde_json::Value = serde_json::from_str(&place.dbn(&exact).done().out).unwrap();
    for (at, p) in found["joint"].as_array().unwrap().iter().enumerate() {
        let error = found["joint_errors"][at].as_f64().unwrap();
        let known = exact["joint"][at][1].as_f64().unwrap();
        let gap = (p[1].as_f64().unwrap() - known).abs();
        assert!((1e-5..0.02).contains(&error) && gap < 5.0 * error, "{gap} {error}");
    }
    let of = |value: &serde_json::Value| value.as_f64().unwrap();
    let bridge = &found["log_partition_sides"]["bridge"];
    let gap = (of(&bridge["value"]) - of(&exact["log_partition"])).abs();
    assert!(gap < 5.0 * of(&bridge["error"]).max(1e-3), "{gap} {bridge}");
    let gap = (of(&found["log_partition"]) - of(&exact["log_partition"])).abs();
    let error = of(&found["log_partition_error"]);
    assert!(gap < 4.0 * error && error <= of(&bridge["error"]), "{gap} {error}");
    assert_eq!(found["best_seen"]["states"][0], exact["most_probable"]["states"]);
    let said = place.dbn("infer f.uai --sampled --sweeps 1000 --query A").done();
    assert!(said.out.contains("sampled") && said.out.contains("best of these"), "{}", said.out);
    place.dbn("infer f.uai --exact --log-z").misused(&["--log-z"]);
    place.dbn("infer f.uai --query A,0").misused(&["--query", "A twice"]);
    place.dbn("infer f.uai --uai x --mar x").misused(&["--uai, --mar and --evid"]);
    place.dbn("infer f.uai --uai x --given Z=1").misused(&["Z"]);
    assert!(!place.path("x").exists(), "nothing is written where the rest is wrong");
    // Each table is small, all together are not: sampled, not refused.
    let said = place.dbn("infer pmj:20x100 --sweeps 80 --query 0").done();
    assert!(said.err.contains("too wide to be counted"), "{}", said.err);
    let estimated = "evaluate pmj:22x22 --likelihood --both --betas 10 --chains 2 --sweeps 20";
    let said = place.dbn(estimated).done();
    assert!(said.out.contains("bridge over the ladder"), "{}", said.out);
    place.write("e.evid", "2 1 1 2 0\n");
    place.write("two.evid", "2 1 1 1 0\n");
    place.dbn("infer f.uai --evidence two.evid").failed(&[
        "two.evid",
        "line 1",
        "state 1 of variable 1",
    ]);
    // A number of samples stands in a line of its own: else something is missing.
    for (text, words) in [("1 0\n", "a state of variable 0"), ("1\n", "a variable")] {
        place.write("cut.evid", text);
        place.dbn("infer f.uai --evidence cut.evid").failed(&["cut.evid", "line 1", words]);
    }
    place.write("none.evid", "1\n0\n");
    let said = place.dbn("infer f.uai --evidence none.evid").done();
    assert!(said.err.contains("no variable is known"), "{}", said.err);
    let said = place.dbn("infer f.uai --evidence e.evid --query D").done();
    assert!(said.out.contains("0.600673"), "{}", said.out);

    // Averages at a temperature by many chains, beside those that are counted; and the lowest energy.
    let words = "sample f.uai --temperature 1,2 --chains 16 --sweeps 3000 --out walked --json";
    let found: serde_json::Value = serde_json::from_str(&place.dbn(words).done().out).unwrap();
    for (row, tau) in [(0, 1.0), (1, 2.0)] {
        // ⟨E⟩ = −d log Z/dβ, by a difference.
        let log_z = |t: f64| -> f64 {
            let said = place.dbn(&format!("infer f.uai --temperature {t} --json")).done().out;
            serde_json::from_str::<serde_json::Value>(&said).unwrap()["log_partition"]
                .as_f64()
                .unwrap()
        };
        let step = 1e-3 / tau;
        let slope = log_z(1.0 / (1.0 / tau + step)) - log_z(1.0 / (1.0 / tau - step));
        let energy = &found["measurements"][row]["energy"];
        let (value, error) = (energy["value"].as_f64().unwrap(), energy["error"].as_f64().unwrap());
        let exact = -slope / (2.0 * step) / 4.0;
        assert!(
            error > 0.0 && (value - exact).abs() < 4.0 * error + 1e-4,
            "{value} ± {error} {exact}"
        );
        assert!(found["measurements"][row]["r_hats"][0].as_f64().unwrap() < 1.02);
    }
    let (shape, _) = read_npy(&place.read("walked/samples.npy"));
    assert_eq!(shape, [32, 4]);
    assert!(
        place.dbn("sample f.uai --temperature 2 --chains 8 --sweeps 50").done().out.contains("R̂")
    );
    let exact = place.dbn("anneal f.uai --exact --json").done().out;
    let exact: serde_json::Value = serde_json::from_str(&exact).unwrap();
    let best = place.dbn("anneal f.uai --reads 10 --sweeps 50 --out best.npy --json").done().out;
    let best: serde_json::Value = serde_json::from_str(&best).unwrap();
    let lowest = -(6f64.ln() + 9.45f64.ln());
    for energy in [&exact["energy"], &best["energy"]] {
        assert!((energy.as_f64().unwrap() - lowest).abs() < 1e-9, "{energy} {lowest}");
    }
    assert_eq!(read_npy(&place.read("best.npy")).1, [1.0; 4]);
    let found = place.dbn("anneal f.uai --tempering --sweeps 100 --json").done().out;
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert!((of(&found["energy"]) - lowest).abs() < 1e-9 && found["cliques"] == 2, "{found}");
    let said = place.dbn("sample f.uai --sweeps 100 --measure energy --json").done().out;
    assert!(said.contains("\"energy\"") && !said.contains("heat_capacity"), "{said}");
    place.dbn("sample f.uai --measure binder").misused(&["--measure", "energy or heat-capacity"]);
    place.dbn("sample f.uai --ordered").misused(&["--ordered"]);
    place
        .dbn("infer f.uai --given B=1,B=0")
        .failed(&["B=0", "expected one state for B, found 1 before"]);
    place.dbn("infer f.uai --given E=1").misused(&["E", "A to D"]);
    place.dbn("infer f.uai --given B=2").misused(&["B=2", "from 0 to 1"]);
    place.dbn("infer f.uai --given B").misused(&["VARIABLE=STATE"]);
    place.dbn("infer f.uai --temperature 0").misused(&["--temperature 0"]);
    place.dbn("infer sk:60 --exact --uai left.uai").failed(&["2^24"]);
    assert!(!place.path("left.uai").exists());
    place.write("f.uai", "MARKOV\n1\n2\n1\n1 0\n2\n1 0\n");
    place.dbn("infer f.uai").failed(&["f.uai", "line 7", "above 0"]);
}

/// Learned, it is a machine like any other: it goes on after a stop, and is asked, sampled and annealed.
#[test]
fn a_boltzmann_machine_learns_and_is_asked() {
    let place = Place::new();
    let words = "train bars-and-stripes:3 --model bm --hidden 4 --couplings lateral --set method=pcd --set epochs=60 --out bm";
    let said = place.dbn(words).done();
    assert!(said.out.contains("log p(v) -") && said.out.contains("(counted)"), "{}", said.out);
    for file in
        ["machine.safetensors", "metrics.jsonl", "results.json", "samples.png", "learning.png"]
    {
        assert!(place.path(&format!("bm/{file}")).exists(), "{file}");
    }
    assert_eq!(place.text("bm/metrics.jsonl").lines().count(), 60);
    let bytes = place.read("bm/machine.safetensors");
    place.dbn(words).done();
    assert_eq!(place.read("bm/machine.safetensors"), bytes, "what is finished stays as it is");
    place.dbn(&words.replace("epochs=60", "epochs=59")).failed(&["bm", "other units or settings"]);

    // The likelihood is that of the graph: log p(v) = log Σ_h − log Z, picture by picture, by elimination with its pixels held.
    let log_z = |given: &str| -> f64 {
        let found = place.dbn(&format!("infer bm {given} --json")).done().out;
        serde_json::from_str::<serde_json::Value>(&found).unwrap()["log_partition"]
            .as_f64()
            .unwrap()
    };
    let free = log_z("");
    let log_p: Vec<f64> = bars_and_stripes()
        .map(|picture| {
            let given: Vec<String> =
                picture.iter().enumerate().map(|(i, x)| format!("{i}={x}")).collect();
            log_z(&format!("--given {}", given.join(","))) - free
        })
        .collect();
    assert_eq!(log_p.len(), 14);
    let mean = log_p.iter().sum::<f64>() / 14.0;
    let said =
        place.json("bm/results.json")["measured"][0]["numbers"][0]["value"].as_f64().unwrap();
    assert!((mean - said).abs() < 1e-4, "{mean}, {said}");
    place.dbn("sample bm --temperature 1 --sweeps 20").done();
    place.dbn("anneal bm --reads 5 --sweeps 50").done();

    let said = place
        .dbn("train digits --model bm --limit 100 --set epochs=3 --no-pictures --out pairs")
        .done();
    assert!(said.out.contains("held-out log p(v)") && said.out.contains("apart"), "{}", said.out);
    // Nothing is left out in silence.
    let said = place.dbn("train digits --model bm --hidden 20 --couplings lateral --limit 40 --set epochs=1 --no-pictures --out wide").done();
    assert!(said.out.contains("held-out log p(v) at least -"), "{}", said.out);
    place.dbn("train digits --model bm --set rate=1").misused(&["rate=1", "learning_rate"]);
    place.dbn("train digits --model bm --set epochs=x").misused(&["epochs=x", "whole number"]);
    place
        .dbn(
            "train digits --model bm --hidden 4 --couplings lateral --set method=pseudo-likelihood",
        )
        .misused(&["not coupled with each other", "4 hidden units, coupled"]);
    place.dbn("train bars-and-stripes:3 --model bm --hidden 4 --set method=pseudo-likelihood --set epochs=5 --no-pictures --out pl").done();
    assert!(crate::common::metrics(&place.path("pl"))[0]["k"].is_null(), "it has no chains");
    place.dbn("train digits --model bm --recipe digits").misused(&["--recipe", "model = \"bm\""]);
    place.dbn("train digits --model bm --limit 50 --set method=pcd --set learning_rate=1e9 --out wild").failed(&["mean |weight|", "learning rate"]);
}

/// The quick ones; the others take minutes.
#[test]
fn known_numbers_are_reproduced() {
    let place = Place::new();
    let said = place.dbn("reproduce spin-glass --out glass").done();
    assert!(said.out.contains("5 of 5 optima are reached"), "{}", said.out);
    assert_eq!(&place.read("glass/spin-glass.png")[1..4], b"PNG");
    let said = place.dbn("reproduce cliques --out cliques").done();
    assert!(said.out.contains("P(D=1 | B=1, C=0), T = 2"), "{}", said.out);
    // Whatever is in the table is in the JSON too.
    let table = place.dbn("reproduce").done().out;
    let list: serde_json::Value =
        serde_json::from_str(&place.dbn("reproduce --json").done().out).unwrap();
    let names: Vec<_> =
        list.as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert!(names.iter().all(|name| table.contains(name)), "{table}");
    for name in [
        "bars-and-stripes",
        "ising",
        "spin-glass",
        "hopfield-capacity",
        "cliques",
        "bm-bars",
        "rf00379",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}
