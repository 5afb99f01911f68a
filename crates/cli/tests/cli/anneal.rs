//! Simulated annealing, beside optima that are known exactly.

use crate::common::{Place, read_npy};

/// The optimum of an open ±J lattice of 256 spins, −350 by going through all rows (seed 2): annealing comes there, and not below.
#[test]
fn a_known_optimum_is_found_and_written() {
    let place = Place::new();
    let words = "anneal pmj:16x16:seed=2 --target -350 --sweeps 1000 --reads 200 --from 3 --to 0.2";
    let said = place.dbn(&format!("{words} --out best.npy --json")).done();
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&found["energy"], &found["units"]), (&(-350.0).into(), &256.into()));
    assert!(found["hits"].as_u64().unwrap() > 0, "{found}");
    assert!(found["seconds_to_solution"].as_f64().unwrap() > 0.0, "{found}");
    let (shape, values) = read_npy(&place.read("best.npy"));
    assert_eq!(shape, [16, 16]);
    assert!(values.iter().all(|value| value.abs() == 1.0));

    // The same seed finds the same, and a table says so too.
    let again = place.dbn(words).done();
    assert!(again.out.contains(&format!("{} of 200", found["hits"])), "{}", again.out);
}

/// −1396 and −1372 by planar matching: single spins at falling temperatures did not come there in 40 reads of 10,000 sweeps of another program.
#[test]
fn tempering_with_clusters_solves_glasses_of_1024_spins() {
    let place = Place::new();
    for (seed, optimum) in [(1, -1396.0), (2, -1372.0)] {
        let words = format!(
            "anneal pmj:32x32:seed={seed} --tempering --target {optimum} --sweeps 20000 --out {seed}.png --json"
        );
        let found: serde_json::Value = serde_json::from_str(&place.dbn(&words).done().out).unwrap();
        assert_eq!(found["energy"].as_f64(), Some(optimum), "{found}");
        assert_eq!(&place.read(&format!("{seed}.png"))[1..4], b"PNG");
    }
}

#[test]
fn what_cannot_be_annealed_is_refused() {
    let place = Place::new();
    place.dbn("anneal potts:4x4").misused(&["potts:4x4", "ising:ROWSxCOLUMNS"]);
    place.dbn("anneal ising:2x4").failed(&["2x4", "at least 3 units"]);
    place.dbn("anneal pmj:4x4 --from 1 --to 2").misused(&["1.0 to 2.0", "fall"]);
    place.dbn("anneal pmj:4x4 --to 0").misused(&["at least 1e-50"]);
    place.dbn("anneal pmj:4x4 --out best.txt").misused(&["best.txt", ".npy"]);
    place.dbn("anneal ising:2048x2048").misused(&["--reads 100", "at most 16"]);
    place.write("best.npy", "");
    place.dbn("anneal pmj:4x4 --out best.npy").failed(&["best.npy", "--force"]);
    // The configuration as numbers and as a picture, in one command.
    place.dbn("anneal pmj:4x4:seed=1 --sweeps 50 --reads 5 --out both.npy --out both.png").done();
    assert_eq!(
        (&place.read("both.npy")[1..6], &place.read("both.png")[1..4]),
        (&b"NUMPY"[..], &b"PNG"[..])
    );
    place
        .dbn("anneal pmj:4x4:seed=1 --out both.npy --out c.png")
        .failed_in_the_end(&["both.npy", "--force"]);
    place.dbn("anneal pmj:4x4:seed=1 --exact --target -3").misused(&["--target"]);
    place.dbn("anneal pmj:4x4:seed=1 --exact --seed 3").misused(&["--seed"]);
    // A search that ends at its first success knows no share of them.
    let said =
        place.dbn("anneal pmj:4x4:seed=1 --tempering --target -18 --reads 4 --json").done().out;
    let found: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(found["success_probability"].is_null() && found["energy"] == -18.0, "{said}");
    // No read comes to what no configuration has: that is said, and is no success.
    let said = place.dbn("anneal pmj:4x4:seed=1 --target -19 --sweeps 50 --reads 5").done();
    assert!(said.out.contains("0 of 5") && said.out.contains("not known"), "{}", said.out);
}

/// Numbers of nine digits: single precision cannot tell two of these energies apart, and none of the four is below the lowest.
#[test]
fn energies_are_counted_in_double_precision() {
    let place = Place::new();
    let problem = "{\"linear\": {\"a\": 100000000, \"b\": -100000001}, \"quadratic\": {\"a,b\": 1}, \"vartype\": \"SPIN\"}";
    place.write("large.json", problem);
    let energy = |words: &str| {
        let said = place.dbn(&format!("anneal large.json --json {words}")).done();
        let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        (found["energy"].as_f64().unwrap(), said.err)
    };
    let (exact, _) = energy("--exact");
    assert_eq!(exact, -200_000_002.0);
    let (found, note) = energy("--reads 20");
    assert_eq!(found, exact);
    assert!(note.contains("single precision"), "{note}");
    place.write("small.json", &problem.replace("00000000", "").replace("00000001", ""));
    let said = place.dbn("anneal small.json --reads 20").done();
    assert!(!said.err.contains("single precision"), "{}", said.err);
}

/// Catches a target that is not the lowest energy there is, and a search that the count has taken the place of.
#[test]
fn what_is_counted_is_the_target_of_a_search() {
    let place = Place::new();
    place.write("field.uai", "MARKOV\n2\n2 2\n1\n2 0 1\n\n4\n1 5 2 3\n");
    for (model, ground_states) in [("pmj:6x6:seed=1", None), ("field.uai", Some(1.0))] {
        let json = |words: &str| -> serde_json::Value {
            let said = place.dbn(&format!("anneal {model} --exact --json {words}")).done();
            serde_json::from_str(&said.out).unwrap()
        };
        let (counted, found) = (json(""), json("--sweeps 200 --reads 50"));
        assert!(counted["hits"].is_null(), "{counted}");
        assert_eq!(found["target"], counted["energy"]);
        assert_eq!(found["ground_states"], counted["ground_states"]);
        assert_eq!(found["is_target_known"], true);
        assert!(found["hits"].as_u64().unwrap() > 0, "{found}");
        if let Some(count) = ground_states {
            assert_eq!(counted["ground_states"], count);
        }
        let table = place.dbn(&format!("anneal {model} --exact --reads 50")).done().out;
        assert!(table.contains("(exact, of "), "{table}");
    }
    // Before minutes of counting.
    place.write("there.npy", "");
    let words = "anneal pmj:24x24:seed=1 --exact --sweeps 10 --out there.npy";
    place.dbn(words).failed(&["there.npy", "--force"]);
}
