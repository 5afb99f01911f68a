//! Answers.

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
