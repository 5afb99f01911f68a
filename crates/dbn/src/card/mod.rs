//! A model card: what the Hub shows of a model, generated from its run, beside which people may write.
//!
//! The generated part stands between two comments, and is renewed by every push; so are keys of the front matter that are not
//! there yet, and `model-index`. Everything else in an existing card stays to the byte.

mod body;
mod front_matter;

use crate::results::Results;
use crate::{Config, Recipe};

const BEGIN: &str = "<!-- candle-dbn: from here to its end written by `dbn push`; your own words go above or below -->";
/// What tells that line from others, whatever else a later version says in it.
const BEGINS: &str = "<!-- candle-dbn:";
const END: &str = "<!-- end of what `dbn push` writes -->";

/// What there is to say of a model.
#[derive(Debug, Clone)]
pub struct Card {
    /// `user/name`.
    pub repository: String,
    /// What the model is.
    pub config: Config,
    /// How many numbers were learned.
    pub parameters: usize,
    /// How it was learned, where that is known.
    pub recipe: Option<Recipe>,
    /// What was measured of it.
    pub results: Results,
    /// The names of its pictures.
    pub pictures: Vec<String>,
}

impl Card {
    /// The card, over an existing one if there is one: what was written by hand in that stays.
    pub fn over(&self, existing: Option<&str>) -> String {
        let (matter, text) = existing.map_or((None, ""), front_matter::split);
        let generated = format!("{BEGIN}\n{}\n{END}\n", body::of(self).trim_end());
        let text = match between(text) {
            Some((before, after)) => format!("{before}{generated}{after}"),
            None if text.trim().is_empty() => {
                format!("\n# {}\n\n{generated}", self.repository)
            }
            None => format!("{}\n\n{generated}", text.trim_end()),
        };
        format!("---\n{}---\n{text}", front_matter::of(self, matter))
    }
}

/// What stands before and after the generated part.
fn between(text: &str) -> Option<(&str, &str)> {
    let begin = text.find(BEGINS)?;
    let end = begin + text[begin..].find(END)? + END.len();
    let after = &text[end..];
    Some((&text[..begin], after.strip_prefix('\n').unwrap_or(after)))
}
