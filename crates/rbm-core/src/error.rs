//! What can go wrong, in words that name the place, what was expected and what was found.

use std::path::{Path, PathBuf};

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of `rbm-core`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),

    /// Reading or writing a file failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },

    /// A file was read, and its contents are not what they must be.
    #[error("{}: {place}: expected {expected}, found {found}", path.display())]
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
    #[error("{what}: expected {expected}, found {found}")]
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
