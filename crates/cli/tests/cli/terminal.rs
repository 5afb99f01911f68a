//! What stands on the screen: one layout of help, words that are explained, errors in one line.

use crate::common::Place;

const COMMANDS: &str = "train recipe evaluate compare sample score embed encode decode inspect push pull data import anneal recall infer bench reproduce \
    completions man";

/// The headings in the order in which they stand, where they do.
const HEADINGS: [&str; 9] =
    ["Options", "Data", "Learning", "Likelihood", "Hub", "Run", "Output", "Device", "Messages"];

/// Options of the same meaning stand under the same heading, whatever the command, and headings in the same order.
#[test]
fn options_stand_under_their_headings() {
    let place = Place::new();
    for command in COMMANDS.split_whitespace() {
        let help = place.dbn(&format!("{command} --help")).done().out;
        let mut heading = String::new();
        for line in help.lines().take_while(|line| !line.starts_with("Example")) {
            if line.ends_with(':') && !line.starts_with(' ') {
                heading = line.trim_end_matches(':').to_owned();
            }
            let option = line.trim_start().strip_prefix("-").filter(|_| line.starts_with("  "));
            let name =
                option.and_then(|rest| rest.split("--").last()?.split([' ', '[', '.']).next());
            let name = name.unwrap_or_default().trim_start_matches('-');
            let expected = match name {
                // Of annealing it is an energy.
                "target" if command == "anneal" => continue,
                "scale" | "labels" | "label-column" | "target" | "missing" | "binarise"
                | "cases" => "Data",
                "weights" | "alphabet" | "one-hot" | "width" | "numbers" | "categories" => "Data",
                "out" | "force" | "json" | "report" | "no-pictures" => "Output",
                "device" | "tf32" => "Device",
                "verbose" | "quiet" | "log-json" => "Messages",
                "likelihood" | "both" | "chains" | "betas" | "sweeps" if command == "evaluate" => {
                    "Likelihood"
                }
                "recipe" | "set" | "visible" if command == "train" => "Learning",
                _ => continue,
            };
            assert_eq!(heading, expected, "{command} --{name}: {help}");
        }
        let headings = help.lines().filter_map(|line| line.strip_suffix(':'));
        let places: Vec<_> = headings
            .filter_map(|heading| HEADINGS.iter().position(|known| *known == heading))
            .collect();
        assert!(places.is_sorted(), "{command}: {help}");
        for heading in ["Usage:", "Messages:"] {
            assert!(help.contains(heading), "{command}: {heading}");
        }
    }
}

/// Catches words that stand beside the bars and nowhere else.
#[test]
fn words_are_explained_in_the_long_help_and_where_they_come_first() {
    let place = Place::new();
    let words = ["gap", "dead", "R\u{302}", "ΔW/W", "pseudo-LL", "reconstruction"];
    let help = place.dbn("train --help").done().out;
    for word in words {
        let lines = help.lines().filter(|line| line.starts_with(&format!("  {word}: ")));
        assert_eq!(lines.count(), 1, "{word}: {help}");
    }
    assert!(!place.dbn("train -h").done().out.contains("ΔW/W"));
    let told = place.train_into("told", "-v").err;
    for word in ["gap", "pseudo-LL", "ΔW/W", "reconstruction", "loss"] {
        assert_eq!(told.matches(&format!("{word}: ")).count(), 1, "{word}: {told}");
    }
    let untold = place.train_into("untold", "").err;
    assert!(!untold.contains("ΔW/W: "), "{untold}");
}

/// "stage done" counts the epochs of its own stage, not those of all before it.
#[test]
fn a_stage_counts_its_own_epochs() {
    let told = Place::new().train("-v").err;
    for (stage, epochs) in crate::common::EPOCHS {
        let is_of = |line: &&str| line.contains("stage done") && line.contains(stage);
        let line = told.lines().find(is_of).unwrap_or_else(|| panic!("{stage}: {told}"));
        assert!(line.contains(&format!("epochs={epochs}")), "{line}");
    }
}

#[test]
fn wrong_arguments_are_answered_in_one_line() {
    let place = Place::new();
    for (words, expected) in [
        ("train --fou", vec!["--fou", "dbn train --help"]),
        ("evaluate run --cases foo", vec!["'foo'", "held-out, train", "dbn evaluate --help"]),
        ("trai", vec!["'trai'", "'train'", "dbn --help"]),
        ("encode run", vec!["--out <FILE>", "dbn encode --help"]),
        ("evaluate run --betas 3", vec!["--likelihood"]),
    ] {
        let answer = place.dbn(words);
        answer.code_is(2);
        assert_eq!(answer.err.lines().count(), 1, "{answer:?}");
        assert!(answer.err.starts_with("dbn: "), "{answer:?}");
        assert!(expected.iter().all(|word| answer.err.contains(word)), "{words}: {answer:?}");
    }
}

/// Paragraphs below the examples are broken where the line ends, and nowhere else.
#[test]
fn lines_of_help_are_as_long_as_they_can_be() {
    let place = Place::new();
    for command in COMMANDS.split_whitespace() {
        let help = place.dbn(&format!("{command} --help")).done().out;
        let below: Vec<_> =
            help.lines().skip_while(|line| !line.starts_with("Example")).skip(1).collect();
        for pair in below.windows(2) {
            let [line, next] = pair else { continue };
            let is_prose = [line, next].iter().all(|line| !line.starts_with(' '));
            let word = next.split_whitespace().next().unwrap_or_default();
            let has_room = line.chars().count() + 1 + word.chars().count() <= 100;
            let is_broken = is_prose && has_room && !line.ends_with(['.', ':']);
            assert!(!is_broken, "{command}: {line:?}, {next:?}");
        }
    }
}
