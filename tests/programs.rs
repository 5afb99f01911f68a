//! The programs of `docs/guide/src/program.md` are the examples, word for word, and do what they say.
#![allow(clippy::unwrap_used)]

use std::process::Command;

const PAGE: &str = include_str!("../docs/guide/src/program.md");

/// What the example `name`, which `cargo test --workspace` builds beside the tests, prints.
fn run(name: &str) -> String {
    let mut dir = std::env::current_exe().unwrap();
    dir.pop();
    dir.pop();
    let program = dir.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is not built: run `cargo test --workspace`", program.display());
    let folder = tempfile::tempdir().unwrap();
    let found = Command::new(program).current_dir(folder.path()).output().unwrap();
    let (out, err) =
        (String::from_utf8(found.stdout).unwrap(), String::from_utf8_lossy(&found.stderr));
    assert!(found.status.success(), "{name}: {out}\n{err}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{name} leaves files");
    out
}

/// The number after the last `what` in `text`.
fn number(text: &str, what: &str) -> f64 {
    let rest = text.rsplit(what).next().unwrap().trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && !"-.".contains(c)).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|_| panic!("no number after {what:?} in {text}"))
}

#[test]
fn the_page_shows_the_examples_as_they_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shown = 0;
    for (at, _) in PAGE.match_indices("`examples/") {
        let rest = &PAGE[at + 1..];
        let Some((name, block)) = rest.split_once("`:\n\n```rust\n") else { continue };
        if name.contains('\n') {
            continue;
        }
        let program = block.split("\n```\n").next().unwrap();
        let file = std::fs::read_to_string(root.join(name)).unwrap();
        assert!(file.trim_end() == program, "{name} and the page differ");
        shown += 1;
    }
    assert_eq!((shown, PAGE.matches("```rust\n").count()), (4, 4));
    assert!(include_str!("../README.md").contains("docs/guide/src/program.md"));
}

#[test]
fn features_go_into_a_candle_model() {
    let out = run("candle_features");
    assert!(out.contains("64 pixels become"), "{out}");
    assert!(number(&out, "test error") < 15.0, "{out}");
}

#[test]
fn own_data_are_learned_and_watched() {
    let out = run("own_data");
    for words in ["layer 1: 30 → 24", "epoch 10/10", "classifier: ", "saved and read"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(number(&out, "held-out error") < 10.0, "{out}");
}

/// Chains that cannot follow, or a sign that is wrong, end far from the best.
#[test]
fn an_own_loop_learns() {
    let out = run("own_loop");
    assert!(number(&out, "at the end: log-likelihood") > -3.0, "{out}");
}

#[test]
fn own_units_learn_and_are_not_saved() {
    let out = run("own_units");
    let before = number(out.split("after learning").next().unwrap(), "log-likelihood");
    let after = number(&out, "after learning: log-likelihood");
    assert!(after > before + 1.0, "{before} → {after}: {out}");
    assert!(out.contains("a clone has own_units::Votes too"), "{out}");
    assert!(out.contains("a layer of own_units::Votes: expected"), "{out}");
}

/// The numbers of crates are those that cargo counts.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn the_page_counts_the_crates_of_each_feature() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = PAGE.split_once("| what | features | crates |").unwrap().1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut counted = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, features, crates] = cells[..] else { panic!("{row}") };
        let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
        let mut command = Command::new(env!("CARGO"));
        command.args(["tree", "--offline", "--locked", "-e", "normal", "--prefix", "none", "-p"]);
        command.arg(quoted(name).unwrap());
        if let Some(feature) = quoted(features) {
            command.args(["--features", &feature]);
        }
        let found = command.current_dir(root).output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let found = String::from_utf8(found.stdout).unwrap();
        let found: std::collections::BTreeSet<_> =
            found.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        assert_eq!(found.len().to_string(), crates, "{row}");
        counted += 1;
    }
    assert_eq!(counted, 8);
}
