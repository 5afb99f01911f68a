//! Who asks: the token, from where every client of the Hub has it.

use std::path::PathBuf;

use rbm_core::{Error, Result};

use super::environment::{home, set};

/// The token of `HF_TOKEN`, or else of the file that `HF_TOKEN_PATH` names, or else of the one that `hf auth login` has written, without
/// blanks and line ends around it; of files none where `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
///
/// # Errors
///
/// [`Error::Invalid`] for such a token, by where it comes from. The token itself is in no error.
pub(super) fn find() -> Result<Option<String>> {
    if let Some(token) = set("HF_TOKEN") {
        return check("HF_TOKEN", &token).map(Some);
    }
    if set("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return Ok(None);
    }
    let home = home().ok().map(|home| home.join("token"));
    let files = [set("HF_TOKEN_PATH").map(PathBuf::from), home];
    for path in files.into_iter().flatten() {
        let text = std::fs::read_to_string(&path).ok().filter(|text| !text.trim().is_empty());
        if let Some(token) = text {
            return check(&path.display().to_string(), &token).map(Some);
        }
    }
    Ok(None)
}

fn check(from: &str, token: &str) -> Result<String> {
    let token = token.trim();
    let expected = "a token in one line of letters, digits and signs, as the Hub gives it";
    let wrong = token.chars().enumerate().find(|(_, c)| !c.is_ascii_graphic());
    match wrong {
        None => Ok(token.to_owned()),
        Some((at, c)) => {
            let what = match c {
                '\n' | '\r' => "the end of a line",
                c if c.is_whitespace() => "a blank",
                _ => "a character of another kind",
            };
            let found = format!("{what} after its first {at} characters; nothing was sent");
            Err(Error::invalid(format!("the token of {from}"), expected, found))
        }
    }
}
