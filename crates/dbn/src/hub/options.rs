//! Where the Hub is, who asks, and where what was fetched lies: the environment of every client of the Hub, and its token.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use rbm_core::{Error, Result};

const ENDPOINT: &str = "https://huggingface.co";
/// How long is waited where the environment does not say: as in Python's client.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait that can be asked for.
const MAX_SECONDS: f64 = 86400.0;

/// Where the Hub is, who asks, and where what was fetched lies.
#[derive(Clone)]
pub struct HubOptions {
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

impl HubOptions {
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
            token: find_token()?,
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
    let seconds = text.trim().parse().ok().filter(|s| (0.001..=MAX_SECONDS).contains(s));
    let expected = format!("seconds, from 0.001 to {MAX_SECONDS}");
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Error::invalid(name, expected, format!("{text:?}")))
}

/// The folder of everything that clients of the Hub keep.
///
/// # Errors
///
/// Where there is no home.
pub fn home() -> Result<PathBuf> {
    if let Some(home) = set("HF_HOME") {
        return Ok(home.into());
    }
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache")));
    let expected = "the folder for what is fetched, where there is no home";
    Ok(cache.ok_or_else(|| Error::invalid("HF_HOME", expected, "none"))?.join("huggingface"))
}

/// What stands in the environment, unless it is blank.
pub fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The token of `HF_TOKEN`, or else of the file that `HF_TOKEN_PATH` names, or else of the one that `hf auth login` has written, without
/// blanks and line ends around it; of files none where `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
///
/// # Errors
///
/// [`Error::Invalid`] for such a token, by where it comes from. The token itself is in no error.
fn find_token() -> Result<Option<String>> {
    if let Some(token) = set("HF_TOKEN") {
        return check_token("HF_TOKEN", &token).map(Some);
    }
    if set("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return Ok(None);
    }
    let home = home().ok().map(|home| home.join("token"));
    let files = [set("HF_TOKEN_PATH").map(PathBuf::from), home];
    for path in files.into_iter().flatten() {
        let text = std::fs::read_to_string(&path).ok().filter(|text| !text.trim().is_empty());
        if let Some(token) = text {
            return check_token(&path.display().to_string(), &token).map(Some);
        }
    }
    Ok(None)
}

fn check_token(from: &str, token: &str) -> Result<String> {
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
