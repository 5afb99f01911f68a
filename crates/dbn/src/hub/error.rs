//! What went wrong on the Hub, and what to do about it.

use rbm_core::Error;

/// What a question to the Hub comes to.
pub type Answer<T> = Result<T, Failure>;

/// Why there is no answer, or none that is of use. None of them holds the token.
#[derive(Debug)]
pub enum Failure {
    /// There is no way to the Hub.
    Unreachable(String),
    /// It says nothing.
    Silence(String),
    /// The connection broke.
    Broken(String),
    /// The Hub says no: the status, `X-Error-Code`, and its words.
    Refused {
        /// Of HTTP.
        status: u16,
        /// What the Hub calls the reason, or nothing.
        code: String,
        /// Its words, or nothing.
        message: String,
    },
    /// An answer that makes no sense, or more than was announced.
    Nonsense(String),
    /// A repository that has no file of this name.
    NoFile(&'static str),
    /// What was never fetched.
    NotCached,
    /// It was not the Hub.
    Ours(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Failure {
    /// Whether it may be different in a moment.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => true,
            Self::Refused { status, .. } => [408, 429, 500, 502, 503, 504].contains(status),
            _ => false,
        }
    }

    /// Whether there is no Hub, as far as one can tell from here.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Silence(_) | Self::Broken(_) => true,
            Self::Refused { status, .. } => (500..600).contains(status),
            _ => false,
        }
    }

    /// Whether a repository is missing; whoever may not see it is told the same.
    pub fn is_no_repository(&self) -> bool {
        matches!(self, Self::Refused { status: 404, code, .. } if code != "RevisionNotFound" && code != "EntryNotFound")
    }

    /// Whether a revision is missing.
    pub fn is_no_revision(&self) -> bool {
        matches!(self, Self::Refused { status: 404, code, .. } if code == "RevisionNotFound")
    }

    /// An error about `what` in words that say what to do.
    pub fn about(self, what: impl ToString) -> Error {
        let what = what.to_string();
        let expected = match &self {
            Self::Ours(_) => "",
            Self::NoFile(name) if name.ends_with(".parquet") => {
                "the data set as it was when this was written"
            }
            Self::NoFile(name) => {
                let expected = format!("a repository with a {name}, as `dbn push` makes it");
                let found = "none (other files are not read; a model of another library may go through `dbn import`)";
                return Error::invalid(what, expected, found);
            }
            Self::NotCached => {
                "something in the cache, since HF_HUB_OFFLINE is set; without it, it is fetched"
            }
            Self::Unreachable(_) | Self::Silence(_) | Self::Broken(_) => {
                "an answer from the Hub (is there a network? HF_HUB_OFFLINE=1 makes do with what is cached)"
            }
            Self::Nonsense(_) => "an answer that makes sense (is HF_ENDPOINT a Hub?)",
            Self::Refused { status, code, .. } => match (status, code.as_str()) {
                (401 | 403, "GatedRepo") => {
                    "a repository that your account has access to: this one is gated, so ask for access on its page of the Hub, and then use a token of \
                     that account (`hf auth login`, or HF_TOKEN)"
                }
                (401, _) => {
                    "a repository that exists and that your token may see; what is private, and every push, needs a valid one (`hf auth login`, or HF_TOKEN)"
                }
                (403, _) => {
                    "a token that may write there (one of role `write`, of the owner or a member)"
                }
                (404, "RevisionNotFound") => "a branch, tag or commit that exists",
                (404, "EntryNotFound") => "a file that exists",
                (404, _) => "a repository that exists",
                (409 | 412, _) => "a branch that nobody else changes meanwhile; push again",
                (429, _) => "fewer requests; wait a while",
                _ => "an answer that makes sense",
            },
        };
        match self {
            Self::Ours(error) => error,
            other => Error::invalid(what, expected, other.found()),
        }
    }

    fn found(&self) -> String {
        match self {
            Self::Unreachable(found) | Self::Silence(found) | Self::Broken(found) => found.clone(),
            Self::Nonsense(found) => found.clone(),
            Self::NoFile(name) => format!("no {name}"),
            Self::NotCached => "nothing".into(),
            Self::Ours(error) => error.to_string(),
            Self::Refused { status, code, message } => {
                let words: Vec<&str> =
                    [code.as_str(), message].into_iter().filter(|text| !text.is_empty()).collect();
                match words[..] {
                    [] => format!("status {status}"),
                    [first, second] if first == second => format!("status {status} ({first})"),
                    _ => format!("status {status} ({})", words.join(", ")),
                }
            }
        }
    }
}
