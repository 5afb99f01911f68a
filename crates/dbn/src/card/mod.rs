//! A model card: what the Hub shows of a model, generated from its run, beside which people may write.
//!
//! The generated part stands between two comments, and is renewed by every push; so are keys of the front matter that are not
//! there yet, and `model-index`. Everything else in an existing card stays to the byte.

mod text;

mod body;
mod front_matter;

use rbm_core::{Error, Result};

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
    /// Errors where one end of the generated part is missing there.
    pub fn over(&self, existing: Option<&str>) -> Result<String> {
        let (matter, text) = existing.map_or((None, ""), front_matter::split);
        let generated = format!("{BEGIN}\n{}\n{END}\n", body::of(self).trim_end());
        let text = match between(text)? {
            Some((before, after)) => format!("{before}{generated}{after}"),
            None if text.trim().is_empty() => {
                format!("\n# {}\n\n{generated}", self.repository)
            }
            None => format!("{}\n\n{generated}", text.trim_end()),
        };
        Ok(format!("---\n{}---\n{text}", front_matter::of(self, matter)))
    }
}

/// What stands before and after the generated part, if there is one. Its two comments stand at the beginning of a line: what a
/// line says of them is text.
fn between(text: &str) -> Result<Option<(&str, &str)>> {
    match (&text::lines_with(text, BEGINS)[..], &text::lines_with(text, END)[..]) {
        ([], []) => Ok(None),
        ([begin], [end]) if begin < end => {
            let after = &text[end + END.len()..];
            Ok(Some((&text[..*begin], after.strip_prefix('\n').unwrap_or(after))))
        }
        _ => {
            let expected = format!("`{BEGINS} …` before `{END}`, once, or neither of them");
            let found = "one without the other (put it back, or take out what lies between)";
            Err(Error::invalid("the card on the Hub", expected, found))
        }
    }
}
