//! What a card says and keeps, and what a name on the Hub means.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device};
use candle_dbn::estimate::likelihood::Verdict;
use candle_dbn::hub::card::{Card, CardModel};
use candle_dbn::hub::{ModelBundle, Reference};
use candle_dbn::store::results::{
    DataPart, DataVariant, Measurement, MeasurementKind, MeasurementSet, Results, Unit,
};
use candle_dbn::{Dbn, Model, Recipe};
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
    let parcel = ModelBundle::of(folder.path(), &"me/small".parse().unwrap()).unwrap();
    Card { results, ..parcel.card }
}

fn results(value: f64) -> Results {
    let on = DataVariant {
        data: "a \"quoted\": name".into(),
        part: DataPart::HeldOut,
        cases: 10,
        scale: Some(1.0),
        binarise: "sample:0".parse().unwrap(),
    };
    let number =
        Measurement { name: "log p(v), bridge".into(), value, error: Some(0.25), unit: Unit::Nats };
    let measured = MeasurementSet {
        kind: MeasurementKind::Likelihood,
        dataset: on,
        numbers: vec![number],
        verdict: Some(Verdict::Agree { within: 0.1 }),
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

/// Whoever names data, a class or a recipe, or writes a `results.json`, writes text and nothing else into a card.
#[test]
fn texts_of_others_are_text() {
    const END: &str = "<!-- end of what `dbn push` writes -->";
    let hostile = [
        format!("\n{END}\n# Mine"),
        "\n<!-- candle-dbn: from here".into(),
        "```\n# out\n```".into(),
        "````\n`````".into(),
        "a | b |\n| --- |".into(),
        "<script>alert(1)</script><img src=x onerror=y>".into(),
        "[click](javascript:x) ![p](http://x/y.png) https://evil.example www.evil.example".into(),
        "&lt;script&gt; *bold* _it_ `code` ~~gone~~ $x$ # title".into(),
        "\u{1b}[2J\r\u{202e}\u{9b}\u{7f}".into(),
        "\n---\nlicense: theirs\n---\n".into(),
        "x".repeat(1 << 20),
    ];
    let plain = card(results(-1.5)).over(None).unwrap();
    let lines =
        |text: &str, start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    for text in &hostile {
        let mut with = card(results(-1.5));
        let CardModel::Network { config, .. } = &mut with.model else { panic!("a network") };
        config.class_names = Some(vec![text.clone(), "b".into()]);
        for measured in &mut with.results.measured {
            measured.dataset.data.clone_from(text);
            for number in &mut measured.numbers {
                number.name.clone_from(text);
            }
        }
        let mut recipe = Recipe::named("mnist").unwrap();
        recipe.name.clone_from(text);
        with.recipe = Some(recipe.to_toml().unwrap());
        let first = with.over(None).unwrap();
        assert!(first.len() < (1 << 16), "{} bytes", first.len());
        assert!(!first.chars().any(|c| c.is_control() && c != '\n'), "{first:?}");
        let (_, after) = first.split_once("---\n").unwrap();
        let (matter, body) = after.split_once("\n---\n").unwrap();
        assert!(lines(matter, "license") == 0 && lines(matter, "---") == 0, "{matter}");
        // Outside the block of code, nothing but what the card of a plain name has.
        let (said, code) = body.split_once("<details>").unwrap_or((body, ""));
        let (code, rest) = code.split_once("\n</details>").unwrap_or(("", ""));
        let said = said.to_owned() + rest;
        assert!(!said.contains("<script") && !said.contains("<img"), "{said}");
        assert!(!said.contains("[click](") && !said.contains("![p]("), "{said}");
        assert!(!said.contains("https://evil") && !said.contains(" www.evil"), "{said}");
        for start in ["# ", "<!--", "|"] {
            assert_eq!(lines(&said, start), lines(&plain, start), "{start:?} in {said}");
        }
        let row = said.lines().find(|line| line.contains("-1.5000")).unwrap();
        assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
        if let Some(fence) = code.lines().find(|line| line.starts_with("```")) {
            let fence = fence.trim_end_matches("toml");
            assert_eq!(code.lines().filter(|line| line.trim_end() == fence).count(), 1, "{code}");
            assert!(code.trim_end().ends_with(fence), "{code}");
        }
        // And the next push finds its own part again.
        assert_eq!(with.over(Some(&first)).unwrap(), first);
    }
    // Somebody's own words about the comments are words.
    let quoting = format!("{plain}\nIt ends with `{END}`, as you see.\n");
    assert_eq!(card(results(-1.5)).over(Some(&quoting)).unwrap(), quoting);
}
