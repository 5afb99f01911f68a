//! Several trainings beside each other: their recipes, their numbers, their curves.

use serde_json::Value;

use crate::common::Place;

/// The numbers of a line by the beginning of its name, a run each.
fn values(comparison: &Value, list: &str, name: &str, of: &str) -> Vec<Value> {
    let lines = comparison[list].as_array().unwrap();
    let line = lines.iter().find(|line| line[of].as_str().unwrap().starts_with(name));
    line.unwrap_or_else(|| panic!("{name} is none of {lines:?}"))["values"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn runs_stand_beside_each_other() {
    let place = Place::new();
    let train = |words: &str| {
        place.dbn(&format!("train data.csv --recipe tiny.toml --no-pictures {words}")).done()
    };
    train("--out one");
    train("--out two --seed 8 --set layers.1.sparsity.cost=0.02");
    train("--out deep/one --set layers.0.method=cd --set layers.0.epochs=1");

    let said = place.dbn("compare one two --json --out curves.png").done();
    let found: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(found["runs"], serde_json::json!(["one", "two"]));
    // These keys and no others.
    let keys: Vec<_> =
        found["recipes"].as_array().unwrap().iter().map(|line| &line["key"]).collect();
    assert_eq!(keys, ["layers.1.sparsity.cost", "seed"]);
    assert_eq!(values(&found, "recipes", "seed", "key"), [7, 8]);
    assert_eq!(values(&found, "recipes", "layers.1.sparsity.cost", "key"), [0.01, 0.02]);
    assert_eq!(values(&found, "results", "epochs", "name")[0]["value"], 7.0);
    // The numbers are those of each run's own file.
    let rates = values(&found, "results", "error rate: ", "name");
    for (rate, run) in rates.iter().zip(["one", "two"]) {
        let results: Value =
            serde_json::from_slice(&place.read(&format!("{run}/results.json"))).unwrap();
        let numbers = results["measured"][0]["numbers"].as_array().unwrap();
        let own = numbers.iter().find(|number| number["name"] == "error rate").unwrap();
        assert_eq!((&rate["value"], &rate["error"]), (&own["value"], &own["error"]));
    }
    // And of the end of its metrics.
    let metrics = String::from_utf8(place.read("two/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let losses = values(&found, "results", "validation loss of classifier", "name");
    assert_eq!(losses[1]["value"], last["validation_loss"]);
    assert!(place.read("curves.png").starts_with(b"\x89PNG"));

    // Two folders of one name are told apart, and what a run lacks is a dash.
    let said = place.dbn("compare one deep/one --no-pictures").done();
    let of = |name: &str| said.out.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(of("deep/one").contains("recipe"), "{}", said.out);
    assert!(of("layers.0.method.cd").ends_with("sample"), "{}", said.out);
    assert!(
        said.out.lines().any(|line| line.split_whitespace().eq(["epochs", "7", "6"])),
        "{}",
        said.out
    );
    place.dbn("evaluate one --likelihood").done();
    let said = place.dbn("compare one two --no-pictures").done();
    assert!(said.err.contains("one: log Z: "), "{said:?}");
    assert!(!place.path("comparison.png").exists());
    let same = place.dbn("compare one one --no-pictures").done();
    assert!(same.out.contains("The recipes are the same."), "{}", same.out);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let place = Place::new();
    place.dbn("train data.csv --recipe tiny.toml --no-pictures --out one").done();
    place.dbn("compare one one").done();
    place.dbn("compare one one").failed(&["comparison.png", "exists already", "--force"]);
    place.dbn("compare one one --force").done();
    place.dbn("compare one nowhere --force").failed(&["nowhere"]);
    let said = place.dbn("compare one");
    assert_eq!(said.code, Some(2), "{}", said.err);
}
