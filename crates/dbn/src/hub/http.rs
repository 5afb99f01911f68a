//! Requests to the Hub, and answers that cannot hurt.
//!
//! * The token goes to the endpoint's own origin and nowhere else. After a redirect to another origin it is gone for good.
//! * Redirects are followed here, [`HOPS`] at most, to `http` and `https` only, and never from `https` to `http`.
//! * Every body has a limit that is known before it is read. Every wait has a limit too.
//!
//! What goes wrong is a [`Failure`], which says what to do about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rbm_core::{Error, Result};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use serde_json::Value;

use super::HubOptions;

/// The most redirects of one request.
const HOPS: usize = 5;
/// The most bytes of an answer that is no file.
pub const LARGEST_ANSWER: u64 = 1 << 20;
/// The most bytes that are read of what a refusal says.
const LARGEST_REFUSAL: u64 = 1 << 16;
/// Bytes a second: what is slower in the long run is given up.
const SLOWEST: u64 = 8 << 10;
/// What a transfer may take beside what its bytes take at [`SLOWEST`].
const GRACE: Duration = Duration::from_secs(60);
/// How long a commit may take on the Hub when all its bytes are there.
const COMMITTING: Duration = Duration::from_secs(300);
/// The pauses before a request that changes nothing is tried again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// A client of one Hub.
pub struct Http {
    client: Client,
    /// `None` only while it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
    endpoint: Url,
    token: Option<HeaderValue>,
    answer_within: Duration,
    read_within: Duration,
}

/// What goes with a request.
#[derive(Clone)]
struct Sent {
    method: Method,
    kind: &'static str,
    body: Vec<u8>,
}

impl Http {
    /// A client with these options.
    ///
    /// # Errors
    ///
    /// For an endpoint that is no URL, and for a token that no header can hold.
    pub fn new(options: &HubOptions) -> Result<Self> {
        let wrong = |found: String| {
            let expected = "a URL such as http://127.0.0.1:8080, or nothing for the usual Hub";
            Error::invalid("HF_ENDPOINT", expected, found)
        };
        let endpoint = options.endpoint.trim_end_matches('/');
        let endpoint = Url::parse(endpoint).map_err(|e| wrong(format!("{endpoint:?}: {e}")))?;
        if !is_http(&endpoint) {
            return Err(wrong(format!("{endpoint}")));
        }
        let token = options.token.as_ref().map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"));
            if let Ok(value) = &mut value {
                value.set_sensitive(true);
            }
            let expected = "a token in one line of letters, digits and signs";
            value.map_err(|_| Error::invalid("the token", expected, "one that cannot be sent"))
        });
        let client = Client::builder()
            .user_agent(concat!("candle-dbn/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(options.answer_within)
            // Sizes are those of what travels.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
            .map_err(|e| Error::invalid("the Hub", "a client of it", causes(&e)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|e| Error::invalid("the Hub", "a thread for its client", e.to_string()))?;
        Ok(Self {
            client,
            runtime: Some(runtime),
            endpoint,
            token: token.transpose()?,
            answer_within: options.answer_within,
            read_within: options.read_within,
        })
    }

    /// The address of the path with these segments, each percent-encoded.
    ///
    /// # Errors
    ///
    /// For an endpoint whose address can have no path.
    pub fn address<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Answer<Url> {
        let mut url = self.endpoint.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(segments),
            Err(()) => return Err(Failure::Nonsense("an endpoint without paths".into())),
        };
        Ok(url)
    }

    /// Whether this address may be asked in the Hub's name: by `http` or `https`, and not less safely than the Hub itself.
    pub fn allows(&self, url: &Url) -> bool {
        is_http(url) && !(self.endpoint.scheme() == "https" && url.scheme() == "http")
    }

    /// The body of the answer to a question, [`LARGEST_ANSWER`] bytes at most.
    ///
    /// # Errors
    ///
    /// When the Hub cannot be reached, does not answer in time, refuses, or answers with more than that.
    pub fn get(&self, url: Url) -> Answer<Vec<u8>> {
        let sent = Sent { method: Method::GET, kind: "", body: Vec::new() };
        self.again_and_again(|| self.block_on(self.ask(&url, &sent, self.answer_within)))
    }

    /// The same for a question that has a body, and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Http::get`].
    pub fn query(&self, url: Url, body: &Value) -> Answer<Vec<u8>> {
        let sent = as_json(body);
        self.again_and_again(|| self.block_on(self.ask(&url, &sent, self.answer_within)))
    }

    /// Sends what changes something on the Hub; nothing is sent twice.
    ///
    /// # Errors
    ///
    /// As [`Http::get`].
    pub fn post(&self, url: Url, body: &Value) -> Answer<Vec<u8>> {
        self.block_on(self.ask(&url, &as_json(body), self.answer_within))
    }

    /// Sends a commit: lines of JSON.
    ///
    /// # Errors
    ///
    /// As [`Http::get`].
    pub fn commit(&self, url: Url, body: Vec<u8>) -> Answer<Vec<u8>> {
        let patience = COMMITTING + slowest(body.len() as u64);
        let patience = patience.max(self.answer_within);
        let sent = Sent { method: Method::POST, kind: "application/x-ndjson", body };
        self.block_on(self.ask(&url, &sent, patience))
    }

    /// Gives the bytes of a file of `size` bytes to `each`, piece by piece.
    ///
    /// # Errors
    ///
    /// When there are more or fewer.
    pub fn file(
        &self,
        url: Url,
        size: u64,
        mut each: impl FnMut(&[u8]) -> Result<()> + Send,
    ) -> Answer<()> {
        let sent = Sent { method: Method::GET, kind: "", body: Vec::new() };
        let response = self.again_and_again(|| {
            let answer = self.block_on(self.send(&url, &sent, self.answer_within))?;
            self.block_on(self.accepted(answer))
        })?;
        let read = self.block_on(self.read(response, size, &mut each))?;
        match read == size {
            true => Ok(()),
            false => {
                Err(Failure::Broken(format!("the connection ended after {read} of {size} bytes")))
            }
        }
    }

    /// Runs `attempt` again after the pauses, as long as nothing but a busy server or a broken connection stands in the way.
    fn again_and_again<T>(&self, attempt: impl Fn() -> Answer<T>) -> Answer<T> {
        for pause in PAUSES {
            match attempt() {
                Err(failure) if failure.may_pass() => {
                    tracing::debug!(?failure, "asked again");
                    std::thread::sleep(pause);
                }
                other => return other,
            }
        }
        attempt()
    }

    async fn ask(&self, url: &Url, sent: &Sent, patience: Duration) -> Answer<Vec<u8>> {
        let response = self.accepted(self.send(url, sent, patience).await?).await?;
        let mut body = Vec::new();
        let mut each = |piece: &[u8]| {
            body.extend_from_slice(piece);
            Ok(())
        };
        self.read(response, LARGEST_ANSWER, &mut each).await?;
        Ok(body)
    }

    /// The answer at the end of the redirects.
    async fn send(&self, url: &Url, sent: &Sent, patience: Duration) -> Answer<Response> {
        let (mut url, mut is_home) = (url.clone(), true);
        for _ in 0..=HOPS {
            let mut request = self.client.request(sent.method.clone(), url.clone());
            if let Some(token) = self.token.as_ref().filter(|_| is_home) {
                request = request.header(AUTHORIZATION, token.clone());
            }
            if sent.method != Method::GET {
                request = request.header(CONTENT_TYPE, sent.kind).body(sent.body.clone());
            }
            let patience = patience + slowest(sent.body.len() as u64);
            let response = tokio::time::timeout(patience, request.send()).await;
            let response = response.map_err(|_| silent(patience))?.map_err(failed)?;
            let status = response.status();
            tracing::debug!(method = %sent.method, host = url.host_str(), path = url.path(), %status);
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            let to = location(response.headers(), &url)?;
            if !is_http(&to) || url.scheme() == "https" && to.scheme() == "http" {
                return Err(Failure::Nonsense(format!("a redirect from {url} to {to}")));
            }
            is_home &= to.origin() == self.endpoint.origin();
            let keeps_body =
                [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT].contains(&status);
            if sent.method != Method::GET && !(keeps_body && is_home) {
                return Err(Failure::Nonsense(format!("a redirect of what was sent to {to}")));
            }
            url = to;
        }
        Err(Failure::Nonsense(format!("more than {HOPS} redirects, the last to {url}")))
    }

    /// The answer, unless it is a refusal.
    async fn accepted(&self, response: Response) -> Answer<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (code, mut message) = (header("x-error-code"), header("x-error-message"));
        if message.is_empty() {
            let mut body = Vec::new();
            let mut each = |piece: &[u8]| {
                body.extend_from_slice(piece);
                Ok(())
            };
            // Whatever keeps it from being read: the status is known.
            if self.read(response, LARGEST_REFUSAL, &mut each).await.is_ok() {
                let reply: Option<Value> = serde_json::from_slice(&body).ok();
                let error = reply.as_ref().and_then(|reply| reply.get("error")?.as_str());
                message = error.unwrap_or_default().to_owned();
            }
        }
        let (code, message) = (self.without_token(code), self.without_token(message));
        Err(Failure::Refused { status: status.as_u16(), code, message })
    }

    /// The words of a server, without the token.
    fn without_token(&self, text: String) -> String {
        let token =
            self.token.as_ref().and_then(|token| token.to_str().ok()?.strip_prefix("Bearer "));
        match token {
            Some(token) if text.contains(token) => text.replace(token, "(the token)"),
            _ => text,
        }
    }

    /// Gives a body of at most `most` bytes to `each`; returns how many there were.
    async fn read(
        &self,
        mut response: Response,
        most: u64,
        each: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Answer<u64> {
        let larger = |found: String| {
            Failure::Nonsense(format!("{found} where {most} bytes were announced at most"))
        };
        if let Some(length) = response.content_length().filter(|length| *length > most) {
            return Err(larger(format!("an answer of {length} bytes")));
        }
        let (begun, longest) = (Instant::now(), GRACE + slowest(most));
        let mut read = 0;
        loop {
            let piece = tokio::time::timeout(self.read_within, response.chunk()).await;
            let piece = piece.map_err(|_| silent(self.read_within))?;
            let piece = piece.map_err(|e| Failure::Broken(causes(&e.without_url())))?;
            let Some(piece) = piece else { return Ok(read) };
            read += piece.len() as u64;
            if read > most {
                return Err(larger("a longer answer".into()));
            }
            if begun.elapsed() > longest {
                return Err(Failure::Silence(format!("only {read} bytes in {longest:.0?}")));
            }
            each(&piece)?;
        }
    }

    /// Waits for `future`, also where this thread waits for another one already.
    fn block_on<T: Send>(&self, future: impl Future<Output = Answer<T>> + Send) -> Answer<T> {
        let Some(runtime) = &self.runtime else {
            return Err(Failure::Nonsense("a client that is no more".into()));
        };
        if tokio::runtime::Handle::try_current().is_err() {
            return runtime.block_on(future);
        }
        let waited = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join());
        waited.unwrap_or_else(|_| Err(Failure::Nonsense("a client that has failed".into())))
    }
}

impl Drop for Http {
    /// Without waiting for the name of a host that nobody knows.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn as_json(body: &Value) -> Sent {
    Sent { method: Method::POST, kind: "application/json", body: body.to_string().into_bytes() }
}

/// What `bytes` take at [`SLOWEST`].
fn slowest(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST)
}

fn is_http(url: &Url) -> bool {
    ["http", "https"].contains(&url.scheme()) && url.has_host()
}

/// Where a redirect of `from` leads.
fn location(headers: &HeaderMap, from: &Url) -> Answer<Url> {
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
    let to = to.and_then(|to| from.join(to).ok());
    to.ok_or_else(|| Failure::Nonsense(format!("a redirect of {from} to nowhere")))
}

fn silent(patience: Duration) -> Failure {
    Failure::Silence(format!("nothing for {} s", patience.as_secs_f64()))
}

fn failed(error: reqwest::Error) -> Failure {
    // The address may hold what a server has signed.
    let error = error.without_url();
    match error.is_connect() {
        _ if error.is_timeout() => Failure::Silence(causes(&error)),
        true => Failure::Unreachable(causes(&error)),
        false => Failure::Broken(causes(&error)),
    }
}

/// An error and its causes in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let of_cause = cause.to_string();
        if !text.contains(&of_cause) {
            text = format!("{text}: {of_cause}");
        }
        next = cause.source();
    }
    text
}

/// Bytes that have gone over, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferProgress {
    /// So far.
    pub bytes: u64,
    /// In all.
    pub of: u64,
}

/// Called with the progress of a transfer.
pub type Watching = Arc<dyn Fn(TransferProgress) + Send + Sync>;

/// Adds up what has gone over, and tells.
pub struct Counter {
    watching: Option<Watching>,
    bytes: AtomicU64,
    of: u64,
}

impl Counter {
    /// Of `of` bytes in all.
    pub fn of(watching: Option<Watching>, of: u64) -> Self {
        Self { watching, bytes: AtomicU64::new(0), of }
    }

    /// So many more.
    pub fn add(&self, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(watching) = &self.watching {
            watching(TransferProgress { bytes: (before + bytes).min(self.of), of: self.of });
        }
    }
}

/// What a question to the Hub comes to.
pub type Answer<T> = std::result::Result<T, Failure>;

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

    /// Whether a repository is missing; whoever may not see it gets the same answer.
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
