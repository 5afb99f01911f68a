//! What helps before and beside the work: quiet, a dry run, completions, the manual.

use crate::common::Place;

/// Catches notes, bars and events that get past `--quiet`, and errors that do not.
#[test]
fn quiet_says_only_errors_and_results() {
    let place = Place::new();
    let loud = place.train_into("loud", "");
    assert!(loud.err.contains("epoch"), "{loud:?}");
    for (run, word) in [("a", "-q"), ("b", "--quiet")] {
        let quiet = place.train_into(run, word);
        assert_eq!(quiet.err, "", "{quiet:?}");
        assert_eq!(quiet.out.replace(&format!("run {run}"), "run loud"), loud.out);
        assert_eq!(place.model(run), place.model("loud"));
    }
    let evaluated = place.dbn("-q evaluate a").done();
    assert!(evaluated.err.is_empty() && !evaluated.out.is_empty(), "{evaluated:?}");
    place.dbn("-q train nothing.csv").failed(&["nothing.csv"]);
    place.dbn("-q -v train").code_is(2);
}

/// The recipe that is printed is the one that would be trained by; every stage stands there with its epochs; nothing is written.
#[test]
fn a_dry_run_tells_all_and_writes_nothing() {
    let place = Place::new();
    let before = std::fs::read_dir(place.path(".")).unwrap().count();
    let words = "train data.csv --recipe tiny.toml --set classifier.epochs=900";
    let found = place.dbn(&format!("{words} --dry-run")).done();
    assert_eq!(std::fs::read_dir(place.path(".")).unwrap().count(), before);
    for word in [
        "data: 144 training cases of 16 values, 16 for validation, 40 held out",
        "time: about ",
        "memory: about ",
        "dry run: nothing was written",
    ] {
        assert!(found.out.contains(word) || word.starts_with("memory"), "{word}: {found:?}");
    }
    for (stage, shape, epochs) in [
        ("layer 1", "16 → 24", "2"),
        ("layer 2", "24 → 12", "2"),
        ("classifier", "16 → 24 → 12 → 2", "900"),
    ] {
        let is_of = |line: &&str| line.trim_start().starts_with(stage) && line.contains(shape);
        let line = found.out.lines().find(is_of).unwrap_or_else(|| panic!("{stage}: {found:?}"));
        let rest = line.split_once(shape).unwrap().1;
        assert_eq!(rest.split_whitespace().next(), Some(epochs), "{line}");
    }
    let (recipe, _) = found.out.split_once("data: ").unwrap();
    let recipe = candle_dbn::Recipe::parse(recipe).unwrap();
    place.dbn(&format!("{words} --set classifier.epochs=1 --no-pictures --out run")).done();
    let mut trained = candle_dbn::Recipe::parse(&place.text("run/recipe.toml")).unwrap();
    trained.classifier.as_mut().unwrap().backpropagation.epochs = 900;
    assert_eq!(recipe, trained);
    place.dbn("train --dry-run --out x").code_is(2);
}

#[test]
fn completions_are_for_every_shell() {
    let place = Place::new();
    for (shell, word) in
        [("bash", "complete "), ("zsh", "#compdef dbn"), ("fish", "complete -c dbn")]
    {
        let text = place.dbn(&format!("completions {shell}")).done().out;
        for word in [word, "evaluate", "likelihood"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let answer = place.dbn("completions tcsh");
    answer.code_is(2);
    assert!(answer.err.contains("bash") && answer.err.contains("tcsh"), "{answer:?}");
}

/// Every command has a page, with its options and its examples.
#[test]
fn the_manual_has_a_page_of_every_command() {
    let place = Place::new();
    let help = place.dbn("--help").done().out;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<_> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| *name != "help" && !name.is_empty())
        .collect();
    assert!(commands.len() > 15, "{help}");
    place.dbn("man --out man1").done();
    let pages = place.files("man1");
    for command in &commands {
        let page = String::from_utf8(pages[&format!("dbn-{command}.1")].clone()).unwrap();
        for word in [".SH SYNOPSIS", ".TH", "Example"] {
            assert!(page.contains(word), "{command}: {word}");
        }
        assert_eq!(
            place.dbn(&format!("man {command}")).done().out,
            page.trim_end().to_owned() + "\n"
        );
    }
    assert_eq!(pages.len(), commands.len() + 1);
    let again = place.dbn("man --out man1");
    again.failed(&["exists already", "--force"]);
    place.dbn("man --out man1 --force").done();
    let answer = place.dbn("man trian");
    answer.code_is(2);
    assert!(answer.err.contains("did you mean train?"), "{answer:?}");
}

#[test]
fn the_guide_has_a_row_of_every_command() {
    let page = include_str!("../../../../docs/guide/src/cli.md");
    let help = Place::new().dbn("--help").done().out;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<_> = names.filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(names.len() > 15, "{help}");
    for name in names {
        let row = format!("| `dbn {name}");
        assert!(page.lines().any(|line| line.starts_with(&row)), "{name}");
    }
}
