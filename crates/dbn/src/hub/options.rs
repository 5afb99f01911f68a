//! Where the Hub is, who asks, and where what was fetched lies: the environment of every client of the Hub.

use std::path::PathBuf;
use std::time::Duration;

use rbm_core::{Error, Result};

use super::environment::{home, set};
use super::token;

const ENDPOINT: &str = "https://huggingface.co";
/// How long is waited where the environment does not say: as in Python's client.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait that can be asked for.
const LONGEST: f64 = 86400.0;

/// Where the Hub is, who asks, and where what was fetched lies.
#[derive(Clone)]
pub struct Options {
    /// The Hub's address.
    pub endpoint: String,
    /// Who asks; it goes to the endpoint's own origin and nowhere else.
    pub token: Option<String>,
    /// The cache, laid out as that of Python's `huggingface_hub`.
    pub cache: PathBuf,
    /// Whether nobody is asked.
    pub is_offline: bool,
    /// How long an answer may be waited for.
    pub answer_within: Duration,
    /// How long a file's next bytes may be waited for.
    pub read_within: Duration,
}

impl Options {
    /// `HF_ENDPOINT`, `HF_TOKEN` and its files, `HF_HUB_CACHE` and `HF_HOME`, `HF_HUB_OFFLINE`, `HF_HUB_ETAG_TIMEOUT`
    /// and `HF_HUB_DOWNLOAD_TIMEOUT` in seconds.
    ///
    /// # Errors
    ///
    /// For a token that cannot be sent, and for times that are none.
    pub fn from_env() -> Result<Self> {
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE"));
        let cache = match cache {
            Some(cache) => PathBuf::from(cache),
            None => home()?.join("hub"),
        };
        Ok(Self {
            endpoint: set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into()),
            token: token::find()?,
            cache,
            is_offline: set("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            answer_within: patience("HF_HUB_ETAG_TIMEOUT")?,
            read_within: patience("HF_HUB_DOWNLOAD_TIMEOUT")?,
        })
    }
}

/// As Python's client reads its switches.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}

fn patience(name: &str) -> Result<Duration> {
    let Some(text) = set(name) else { return Ok(PATIENCE) };
    let seconds = text.trim().parse().ok().filter(|s| (0.001..=LONGEST).contains(s));
    let expected = format!("seconds, from 0.001 to {LONGEST}");
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Error::invalid(name, expected, format!("{text:?}")))
}
