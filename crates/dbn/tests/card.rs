//! What a card says and keeps, and what a name on the Hub means.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device};
use dbn::card::Card;
use dbn::hub::{Parcel, Reference};
use dbn::results::{Measured, Number, Results, Variant};
use dbn::{Dbn, Model};
use rbm_core::{Rbm, Units};

fn network() -> Dbn {
    let (visible, hidden) = (Units::bernoulli(6), Units::bernoulli(5));
    Dbn::new(vec![Rbm::new(&visible, &hidden, DType::F32, &Device::Cpu).unwrap()]).unwrap()
}

#[test]
fn a_reference_says_what_it_means() {
    let read = |text: &str| text.parse::<Reference>();
    let full = read("me/my-model.v2@feature/x").unwrap();
    assert_eq!((full.owner.as_str(), full.name.as_str()), ("me", "my-model.v2"));
    assert_eq!(
        (full.revision(), full.to_string().as_str()),
        ("feature/x", "me/my-model.v2@feature/x")
    );
    assert_eq!(read("hf:me/x").unwrap().revision(), "main");
    for wrong in [
        "x",
        "/x",
        "me/",
        "me/x/y",
        ".me/x",
        "me/..",
        "me/x@../y",
        "me/x@a/../b",
        "me/x@a//b",
        "me/x y",
        "me/x@",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

fn card(results: Results) -> Card {
    let folder = tempfile::tempdir().unwrap();
    Model::from(network()).save(folder.path()).unwrap();
    let parcel = Parcel::of(folder.path(), &"me/small".parse().unwrap()).unwrap();
    Card { results, ..parcel.card }
}

fn results(value: f64) -> Results {
    let on = Variant {
        data: "a \"quoted\": name".into(),
        part: "held-out".into(),
        cases: 10,
        scale: 1.0,
        binarise: "sample:0".into(),
    };
    let number =
        Number { name: "log p(v), bridge".into(), value, error: Some(0.25), unit: "nats".into() };
    let measured = Measured {
        kind: "likelihood".into(),
        on,
        numbers: vec![number],
        verdict: Some("agree".into()),
        seed: 3,
    };
    Results { measured: vec![measured], ..Results::default() }
}

#[test]
fn a_card_renews_its_own_part_alone() {
    let first = card(results(-1.5)).over(None).unwrap();
    assert!(
        first.contains("value: -1.5\n") && first.contains("| -1.5000 nats | ± 0.250 |"),
        "{first}"
    );
    assert!(first.contains(r#"name: "a \"quoted\": name""#), "{first}");
    assert!(first.contains("binarised: sample:0; seed 3"), "{first}");
    // Theirs: a licence with a comment, another purpose, tags of their own, words around ours; lines end as they like.
    let edited = first
        .replace(
            "pipeline_tag: feature-extraction\n",
            "pipeline_tag: other # mine\nlicense:\n  # a choice\n  mit\n",
        )
        .replace("- rbm\n", "- physics\n")
        .replace("\n# me/small\n", "\nBefore.\n")
        + "After.\n";
    let second = card(results(-2.5)).over(Some(&edited)).unwrap();
    let expected = edited
        .replace("value: -1.5\n", "value: -2.5\n")
        .replace("| -1.5000 nats |", "| -2.5000 nats |");
    assert_eq!(second, expected);
    // Numbers that are no longer there are not quoted; what cannot be told apart from words stays.
    let none = card(Results::default()).over(Some(&second)).unwrap();
    assert!(none.contains("None were measured") && !none.contains("-2.5000"), "{none}");
    assert!(!none.contains("value: -2.5"), "{none}");
    // What stands under the numbers is not theirs; a key may be in quotes; something unseen may come first.
    let noted = first
        .replacen("---\n\n# me", "\n# a note\n---\n\n# me", 1)
        .replace("model-index:", "\"model-index\":");
    let over = card(results(-2.5)).over(Some(&format!("\u{feff}\n{noted}"))).unwrap();
    assert!(
        over.contains("\n\n# a note\n---\n") && over.matches("model-index").count() == 1,
        "{over}"
    );
    assert_eq!(over.matches("library_name").count(), 1);
    // Half of the generated part could be anybody's words.
    for comment in ["<!-- candle-dbn:", "<!-- end of what `dbn push` writes -->"] {
        let torn = first.replace(comment, "");
        let error = card(results(-2.5)).over(Some(&torn)).unwrap_err().to_string();
        assert!(error.contains("put it back"), "{error}");
    }
    for words in ["No front matter.\n", "---\nnot: closed\n", "# Title\n\n---\n\ntext\n"] {
        let over = card(Results::default()).over(Some(words)).unwrap();
        assert!(over.starts_with("---\nlibrary_name") && over.contains(words.trim_end()), "{over}");
    }
}
