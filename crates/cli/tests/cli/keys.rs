//! `dbn recipe`: the built-in recipes, and every key of one with what it is.

use crate::common::Place;

/// What `dbn recipe --keys` prints, for those who read on paper.
const PAGE: &str = include_str!("../../../../docs/guide/src/recipe-keys.md");

#[test]
fn the_page_of_keys_is_what_the_program_prints() {
    let printed = Place::new().dbn("recipe --keys").done().out;
    assert!(!PAGE.contains("`("), "a link of the source");
    assert_eq!(printed, PAGE, "write it anew: dbn recipe --keys > docs/guide/src/recipe-keys.md");
}

/// The page has the keys of `[learning]` that the program takes, no other, and their defaults are taken.
#[test]
fn the_keys_of_machines_are_those_that_are_taken() {
    let place = Place::new();
    // A belief net has no dry run: it learns for one epoch.
    let quick = "--set epochs=1 --no-pictures --no-evaluation --out net";
    for (model, how) in [("bm", "--dry-run"), ("belief", quick)] {
        let words = format!("train bars-and-stripes:2 --model {model} {how}");
        let heading = format!("`[learning]` of `model = \"{model}\"`");
        let (_, section) = PAGE.split_once(&heading).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut keys: Vec<&str> = Vec::new();
        for line in section.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let key = cells[0].trim_matches('`');
            keys.push(key);
            let default = cells[cells.len() - 1].trim_matches('`').replace('"', "");
            if !default.is_empty() && key != "epochs" {
                std::fs::remove_dir_all(place.path("net")).ok();
                place.dbn(&format!("{words} --set {key}={default}")).done();
            }
        }
        let said = place.dbn(&format!("{words} --set nothing=1")).err;
        let known = said.split_once("expected one of ").unwrap().1.split("; in ").next().unwrap();
        let mut known: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        keys.sort_unstable();
        known.sort_unstable();
        assert_eq!(keys, known);
    }
}

#[test]
fn every_recipe_is_listed_in_a_line() {
    let list = Place::new().dbn("recipe").done().out;
    for (name, _) in candle_dbn::recipe::BUILT_IN {
        assert!(list.lines().any(|line| line.split_whitespace().next() == Some(name)), "{list}");
    }
    assert!(list.lines().all(|line| line.chars().count() <= 90), "{list}");
}

/// Catches a comment that changes what a key holds.
#[test]
fn a_printed_recipe_trains_to_the_same_bits() {
    let place = Place::new();
    for (recipe, name) in [("digits", "digits.toml"), ("tiny.toml", "mine.toml")] {
        let printed = place.dbn(&format!("recipe {recipe}")).done().out;
        assert!(printed.contains("# Cases in a mini-batch. Range: 1 or more cases."), "{printed}");
        place.write(name, printed);
    }
    let few = "--set layers.*.epochs=1 --set classifier.epochs=1 --no-pictures --no-evaluation";
    place.dbn(&format!("train --recipe digits {few} --out a")).done();
    place.dbn(&format!("train --recipe digits.toml {few} --out b")).done();
    assert_eq!(place.model("a"), place.model("b"));
    place.train_into("c", "");
    place.dbn("train data.csv --recipe mine.toml --no-pictures --out d").done();
    assert_eq!(place.model("c"), place.model("d"));
}

#[test]
fn a_recipe_that_is_not_there_is_named() {
    let place = Place::new();
    let answer = place.dbn("recipe dogits");
    answer.code_is(2);
    assert!(answer.err.contains("did you mean digits?"), "{answer:?}");
    place.write("bad.toml", "[[layers]]\nhidden = 8\nepoch = 3\n");
    let answer = place.dbn("recipe bad.toml");
    answer.code_is(2);
    assert!(answer.err.contains("bad.toml") && answer.err.contains("`epoch`"), "{answer:?}");
}

/// The keys in the help of `train` are keys, and quoted: a shell such as zsh refuses `layers.*` without.
#[test]
fn the_ten_keys_of_the_help_are_keys() {
    let place = Place::new();
    let help = place.dbn("train --help").done().out;
    let settings: Vec<_> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  --set '")?.split('\'').next())
        .collect();
    assert_eq!(settings.len(), 10, "{help}");
    let digits = candle_dbn::Recipe::named("digits").unwrap();
    for setting in settings {
        digits.with(&[setting.to_owned()]).unwrap_or_else(|error| panic!("{setting}: {error}"));
    }
    let unquoted = |line: &&str| line.contains(" layers.*") && line.contains("--set");
    assert_eq!(help.lines().find(unquoted), None);
}
