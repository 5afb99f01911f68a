//! What can go wrong, in words that name the place, what was expected and what was found.
//!
//! Files and servers have a say in these words. So each part of a message goes through [`printable`].

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The most characters of a text from outside that a message shows.
const MAX_CHARACTERS: usize = 500;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of `rbm-core`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),

    /// Reading or writing a file failed.
    #[error("{}: {source}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },

    /// A file was read, and its contents are not what they must be.
    #[error(
        "{}: {}: expected {}, found {}",
        shown(path),
        shown(place),
        shown(expected),
        shown(found)
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Where in the file: a line, a byte, a tensor's name.
        place: String,
        /// What should stand there.
        expected: String,
        /// What stands there.
        found: String,
    },

    /// A value that a caller passed is outside what is allowed.
    #[error("{}: expected {}, found {}", shown(what), shown(expected), shown(found))]
    Invalid {
        /// Which value.
        what: String,
        /// What is allowed.
        expected: String,
        /// What was passed.
        found: String,
    },

    /// Learning has left the range in which it means anything.
    #[error("diverged in {place}: {what}; {hint}")]
    Diverged {
        /// The layer, epoch and step.
        place: String,
        /// Which number went out of range.
        what: String,
        /// What usually helps.
        hint: String,
    },
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), source }
    }

    /// An [`Error::File`]: in the file `path`, at `place`, `expected` should stand and `found` stands.
    pub fn file(
        path: impl AsRef<Path>,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::File {
            path: path.as_ref().to_path_buf(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// An [`Error::Invalid`]: `what` must be `expected` and is `found`.
    pub fn invalid(
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Invalid { what: what.into(), expected: expected.into(), found: found.into() }
    }
}

/// `text` as a terminal may show it, however hostile: at most 500 characters, in one line. Control characters, line ends and
/// what changes the direction of writing are escaped, `\u{1b}`. Where something is cut off, the message says how much.
pub fn printable(text: &str) -> String {
    printable_up_to(text, MAX_CHARACTERS)
}

/// [`printable`] with at most `most` characters.
pub fn printable_up_to(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    for (count, (at, c)) in text.char_indices().enumerate() {
        if count == most {
            // Writing to a string cannot fail.
            let _ = write!(shown, "… ({} more bytes)", text.len() - at);
            break;
        }
        match is_hostile(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// Whole lines as a terminal may show them: what [`printable`] escapes, but for the ends of lines.
pub fn printable_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hostile(c) && c != '\n' {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// Whether a terminal does something else with `c` than to show it.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// [`printable`] of a part of a message; what another library says in several lines is joined into one.
fn shown(part: impl AsRef<OsStr>) -> String {
    let text = part.as_ref().to_string_lossy();
    match text.contains('\n') {
        true => printable(&text.trim().replace('\n', "; ")),
        false => printable(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_escaped_and_cut() {
        assert_eq!(printable("größer, 3 ≤ x"), "größer, 3 ≤ x");
        assert_eq!(printable("\u{1b}[2J\r\n\u{9b}\u{202e}"), r"\u{1b}[2J\r\n\u{9b}\u{202e}");
        assert_eq!(printable_lines("a\n\u{1b}[2Jb\n"), "a\n\\u{1b}[2Jb\n");
        let long = printable(&"ä".repeat(1 << 20));
        assert_eq!(long.chars().filter(|c| *c == 'ä').count(), MAX_CHARACTERS);
        assert!(long.ends_with("(2096152 more bytes)") && long.len() < 1100, "{long}");
        let evil = "\u{1b}]0;x\u{7}".repeat(1000);
        for error in [
            Error::invalid(&evil, &evil, &evil),
            Error::file(&evil, &evil, &evil, &evil),
            Error::io(&evil, std::io::Error::other("no")),
        ] {
            let text = error.to_string();
            assert!(!text.contains('\u{1b}') && text.len() < 8000, "{text}");
        }
    }
}
