//! What every request is answered from: the repositories, what goes wrong, and the log.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;
use serde_json::Value;

use crate::lies::Lie;
use crate::store::Store;

/// The one token that the server knows.
pub const TOKEN: &str = "hf_loopback_secret";

/// How large files travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// As lines of the commit: nothing is large.
    Regular,
    /// By plain requests, which `dbn` does not have: it falls back to lines of the commit.
    Basic,
    /// By xet, into a folder.
    Xet,
}

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// What is not true.
    pub lie: Lie,
    /// The connection breaks in the middle of every file.
    pub cut_downloads: bool,
    /// The connection breaks when a commit arrives.
    pub cut_commits: bool,
    /// Someone else commits between the moment a branch is read and the moment a commit arrives.
    pub race: bool,
    /// Files arrive with other bytes than were asked for.
    pub corrupt_downloads: bool,
}

pub struct Service {
    pub base: String,
    pub content: String,
    pub transfer: Transfer,
    pub store: Arc<Mutex<Store>>,
    pub faults: Mutex<Faults>,
    pub log: Mutex<Vec<String>>,
    /// The paths that were asked for with a token.
    pub authorised: Mutex<Vec<String>>,
    /// How many files were given away since the last change of faults.
    pub files: AtomicUsize,
}

/// A request in parts.
pub struct Request<'a> {
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// How many files were given away before.
    pub earlier: usize,
}

impl Request<'_> {
    pub fn is_authorised(&self) -> bool {
        let given = self.headers.get("authorization").and_then(|value| value.to_str().ok());
        given == Some(&format!("Bearer {TOKEN}"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}
