//! The YAML at the head of a card: what the Hub lists and searches by.
//!
//! It is taken as blocks, each a key at the beginning of a line with all that belongs to it, so that order, comments and style of
//! what somebody wrote stay as they are.

use std::fmt::Write;

use super::Card;
use super::text::quoted;
use crate::results::{Measured, Number};

/// The key that is written anew every time.
const NUMBERS: &str = "model-index";

/// A card's front matter, if it has one, and what follows.
pub fn split(card: &str) -> (Option<&str>, &str) {
    let whole = (None, card);
    // Before it there may be nothing that is seen.
    let card = card.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    let Some(rest) = card.strip_prefix("---\n").or_else(|| card.strip_prefix("---\r\n")) else {
        return whole;
    };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return (Some(&rest[..at]), &rest[at + line.len()..]);
        }
        at += line.len();
    }
    whole
}

/// The front matter: what `existing` has, the keys that it lacks, and the numbers that there are now.
pub fn of(card: &Card, existing: Option<&str>) -> String {
    let mut blocks: Vec<String> = blocks(existing.unwrap_or_default());
    if card.results.measured.is_empty() {
        for known in blocks.iter_mut().filter(|known| key_of(known) == Some(NUMBERS)) {
            *known = remarks(known).to_owned();
        }
    }
    for (key, block) in ours(card) {
        let known = blocks.iter_mut().find(|known| key_of(known) == Some(key));
        match known {
            Some(known) if key == NUMBERS => *known = block + remarks(known),
            Some(_) => {}
            None => blocks.push(block),
        }
    }
    blocks.concat()
}

/// A block for each key; comments and blank lines belong to what stands above them.
fn blocks(matter: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in matter.split_inclusive('\n') {
        let line = if line.ends_with('\n') { line.to_owned() } else { format!("{line}\n") };
        match blocks.last_mut() {
            Some(last) if key_of(&line).is_none() => last.push_str(&line),
            _ => blocks.push(line),
        }
    }
    blocks
}

/// The comments and blank lines at the end of a block: they are somebody's, whatever becomes of it.
fn remarks(block: &str) -> &str {
    let mut at = block.len();
    for line in block.split_inclusive('\n').collect::<Vec<_>>().into_iter().rev() {
        if !line.trim().is_empty() && !line.starts_with('#') {
            break;
        }
        at -= line.len();
    }
    &block[at..]
}

fn key_of(block: &str) -> Option<&str> {
    let first = block.chars().next()?;
    let is_key = first.is_ascii_alphanumeric() || "_\"'".contains(first);
    is_key.then(|| block.split(':').next().unwrap_or_default().trim_matches(['"', '\'']))
}

fn ours(card: &Card) -> Vec<(&'static str, String)> {
    let is_classifier = card.config.classes.is_some() || card.config.labels.is_some();
    let is_of_pictures = card.config.image.is_some();
    let purpose = match is_classifier && is_of_pictures {
        true => "image-classification",
        false => "feature-extraction",
    };
    let mut blocks = vec![
        ("library_name", "library_name: candle-dbn\n".to_owned()),
        ("pipeline_tag", format!("pipeline_tag: {purpose}\n")),
        (
            "tags",
            "tags:\n- candle\n- deep-belief-network\n- restricted-boltzmann-machine\n- rbm\n"
                .into(),
        ),
    ];
    let results = card.results.measured.iter().map(|measured| result(measured, purpose));
    let results: Vec<String> = results.collect();
    if !results.is_empty() {
        let name = quoted(&card.repository);
        let results = results.concat();
        blocks.push((NUMBERS, format!("{NUMBERS}:\n- name: {name}\n  results:\n{results}")));
    }
    blocks
}

/// Numbers on the same data, as the Hub's index wants them.
fn result(measured: &Measured, purpose: &str) -> String {
    let on = &measured.on;
    let task = if measured.kind == "likelihood" { "density-estimation" } else { purpose };
    let data = format!("{}, {} cases, binarise {}", on.part, on.cases, on.binarise);
    let mut yaml = format!(
        "  - task:\n      type: {task}\n    dataset:\n      name: {}\n      type: {}\n      config: {}\n    metrics:\n",
        quoted(&on.data),
        quoted(&on.data),
        quoted(&data),
    );
    for Number { name, value, error, unit } in &measured.numbers {
        let error = error.map_or(String::new(), |error| format!(" ± {error:.3}"));
        // Writing to a string cannot fail.
        let _ = write!(
            yaml,
            "    - type: {}\n      value: {value}\n      name: {}\n",
            quoted(&name.replace([' ', ','], "_").to_lowercase()),
            quoted(&format!("{name}, {unit}{error}")),
        );
    }
    yaml
}
