//! What a model is called on the Hub.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use rbm_core::{Error, Result};

/// What makes clear that a repository is meant, and no folder.
const PREFIX: &str = "hf:";

/// `user/name` or `user/name@revision`, perhaps with `hf:` before it: a repository, and the branch, tag or commit of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The user or organisation.
    pub owner: String,
    /// The repository's own name.
    pub name: String,
    /// A branch, tag or commit; `None` for the main branch.
    pub revision: Option<String>,
}

impl Reference {
    /// Whether `text` means a repository: it says so with `hf:`, or it has the form of one and neither it nor the folder that it
    /// would lie in is here.
    pub fn is_meant_by(text: &str) -> bool {
        let path = Path::new(text);
        let is_here = path.exists() || path.parent().is_some_and(Path::exists);
        text.starts_with(PREFIX) || !is_here && text.parse::<Self>().is_ok()
    }

    /// What `text` means, at the revision that is given apart from it if one is.
    ///
    /// # Errors
    ///
    /// Where both name one.
    pub fn at(text: &str, revision: Option<&str>) -> Result<Self> {
        let reference: Self = text.parse()?;
        match (revision, &reference.revision) {
            (None, _) => Ok(reference),
            (Some(revision), None) => format!("{reference}@{revision}").parse(),
            (Some(revision), Some(_)) => {
                let found = format!("{revision:?} beside {text:?}");
                Err(Error::invalid("--revision", "one revision", found))
            }
        }
    }

    /// `user/name`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The revision, or the name of the main branch.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(
                "model",
                "user/name or user/name@revision of the Hub",
                format!("{text:?}"),
            )
        };
        let named = text.strip_prefix(PREFIX).unwrap_or(text);
        let (repository, revision) = match named.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (named, None),
        };
        let (owner, name) = repository.split_once('/').ok_or_else(wrong)?;
        let is_well_named = [owner, name].into_iter().all(is_name);
        if !is_well_named || !revision.is_none_or(is_revision) {
            return Err(wrong());
        }
        let revision = revision.map(str::to_owned);
        Ok(Self { owner: owner.into(), name: name.into(), revision })
    }
}

/// The Hub's own rule: letters, digits, `-`, `_` and `.`, at most 96 of them, neither `-` nor `.` at an end, none of them twice.
fn is_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=96).contains(&text.len())
        && text.chars().all(is_allowed)
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.contains("--")
        && !text.contains("..")
}

/// A revision becomes the name of a file in the cache: nothing that could lead out of it.
fn is_revision(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (1..=250).contains(&text.len())
        && text.chars().all(is_allowed)
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}
