//! Texts of others in a card: names of data, of classes and columns, what `results.json` says, a recipe.

use rbm_core::printable_up_to;

/// The most characters of a name.
const NAME: usize = 500;
/// The most characters of a list of names.
const LIST: usize = 20_000;

/// A name as a line of Markdown shows it: no mark-up, no HTML, no link, in one line.
pub fn name(text: &str) -> String {
    escaped(&printable_up_to(text, NAME))
}

/// [`name`] of what may be long.
pub fn list(text: &str) -> String {
    escaped(&printable_up_to(text, LIST))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            // HTML's own escapes, so that no comment of a text looks like one of ours either.
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '#' | '!' => {
                escaped.extend(['\\', c])
            }
            // What would become a link.
            ':' if text[at..].starts_with("://") => escaped.push_str("\\:"),
            '.' if text[..at].ends_with("www") => escaped.push_str("\\."),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text as a name in quotes, in YAML: JSON's quotes are YAML's too.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(printable_up_to(text, NAME)).to_string()
}

/// Lines in a block of code of the language `of`, between fences that are longer than any in them.
pub fn code(of: &str, lines: &str) -> String {
    let longest = lines.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let lines = lines.trim_end().split('\n').map(|line| printable_up_to(line, LIST));
    format!("{fence}{of}\n{}\n{fence}", lines.collect::<Vec<_>>().join("\n"))
}

/// Where the lines begin that begin with `mark`.
pub fn lines_with(text: &str, mark: &str) -> Vec<usize> {
    let starts = text.match_indices(mark).map(|(at, _)| at);
    starts.filter(|at| *at == 0 || text[..*at].ends_with('\n')).collect()
}
