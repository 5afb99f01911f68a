//! Answers, and those of a Hub that lies, or of somebody on the way who does.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// An answer with a header for each pair.
pub fn bytes(status: u16, headers: &[(&str, String)], body: impl Into<Body>) -> Response {
    let mut builder = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    builder.body(body.into()).unwrap()
}

pub fn json(value: &Value) -> Response {
    let kind = ("content-type", "application/json".to_owned());
    bytes(200, &[kind], value.to_string())
}

/// A refusal, as the Hub words it: a code and a message in headers and body.
pub fn refused(status: u16, code: &str) -> Response {
    let headers = [("x-error-code", code.to_owned()), ("x-error-message", code.to_owned())];
    bytes(status, &headers, json!({ "error": code }).to_string())
}

/// The first half of `whole`, and then a broken connection.
pub fn cut(headers: &[(&str, String)], whole: &[u8]) -> Response {
    let half = Bytes::copy_from_slice(&whole[..whole.len() / 2]);
    let broken = std::io::Error::other("the connection is cut");
    let parts = futures_util::stream::iter([Ok(half), Err(broken)]);
    bytes(200, headers, Body::from_stream(parts))
}

/// What a hostile Hub says, or whoever sits between it and its client.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Lie {
    /// The truth.
    #[default]
    None,
    /// `ETag` and `X-Linked-Etag` of every file.
    Etag(String),
    /// The first bytes of every file are others than were asked for; from the second answer on its `ETag` is this.
    EtagWhenAskedAgain(String),
    /// `X-Repo-Commit` of every file.
    CommitHeader(String),
    /// `X-Repo-Commit` of every file, and the answer that the file is not there.
    CommitOfNoFile(String),
    /// The commit of a repository.
    Commit(String),
    /// The hash under which every file is listed.
    ListedHash(String),
    /// The size with which every file is listed.
    ListedSize(Value),
    /// Every answer that is no file is this text.
    Answers(String),
    /// Everything is refused, with these words.
    Refusal(String),
    /// Files have no end, and do not say how long they are.
    EndlessFiles,
    /// Answers that are no files have no end.
    EndlessAnswers,
    /// Every file says that it is a byte longer than it is.
    LongerFiles,
    /// Files are marked as compressed, and are not.
    GzipFiles,
    /// Nothing is answered.
    Silence,
    /// Files are not answered.
    SilentFiles,
    /// Files stop after their first byte.
    StuckFiles,
    /// Every answer leads there first: so many redirects, of which the first leads to another address, and the others stay
    /// there. `mirror` of [`Server::mirror`](crate::Server::mirror) answers at the end of them.
    Redirects { to: String, count: usize },
    /// Every file leads to this address.
    FilesAt(String),
    /// The address of the store of large files.
    Store(String),
}

/// The answer that a lie puts in the place of the truth, wherever it is the same for every answer of its kind.
pub fn falsified(lie: &Lie, is_file: bool, path: &str, truth: Response) -> Response {
    match lie {
        Lie::Refusal(text) => bytes(418, &[], serde_json::json!({ "error": text }).to_string()),
        Lie::Answers(text) if !is_file => bytes(200, &[], text.clone()),
        Lie::EndlessAnswers if !is_file => bytes(200, &[], endless(b'[')),
        Lie::EndlessFiles if is_file => bytes(200, &[], endless(0)),
        Lie::Redirects { to, count } => redirect(&format!("{to}/hop/{}{path}", count - 1)),
        Lie::FilesAt(to) if is_file => redirect(to),
        _ => truth,
    }
}

/// Whether the lie is to say nothing.
pub fn is_silent(lie: &Lie, is_file: bool) -> bool {
    *lie == Lie::Silence || *lie == Lie::SilentFiles && is_file
}

pub fn redirect(to: &str) -> Response {
    bytes(307, &[("location", to.to_owned())], "")
}

/// A body without an end, or one of 2 GiB for whoever reads it nevertheless.
fn endless(byte: u8) -> Body {
    let piece = Bytes::from(vec![byte; 1 << 16]);
    let pieces = std::iter::repeat_n(piece, 1 << 15).map(Ok::<_, std::io::Error>);
    Body::from_stream(futures_util::stream::iter(pieces))
}

/// The first byte of a file, and then nothing.
pub fn stuck(whole: &[u8]) -> Body {
    use futures_util::StreamExt;
    let first = Bytes::copy_from_slice(&whole[..1]);
    let first = futures_util::stream::iter([Ok::<_, std::io::Error>(first)]);
    let rest = futures_util::stream::once(async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Ok(Bytes::new())
    });
    Body::from_stream(first.chain(rest))
}
