//! Which request gets which answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::answer::{json, refused};
use crate::lies;
use crate::reading::tree;
use crate::service::{Request, Service};
use crate::store::{Repository, Store};

pub async fn answer(
    State(service): State<Arc<Service>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.contains_key("authorization") {
        service.authorised.lock().unwrap().push(uri.path().to_owned());
    }
    // Every redirect of a lie but the first leads here.
    let hop = uri.path().strip_prefix("/hop/").and_then(|rest| rest.split_once('/'));
    if let Some((left, rest)) = hop
        && left != "0"
    {
        let left: usize = left.parse().unwrap();
        service.log.lock().unwrap().push(format!("{method} {} -> 307", uri.path()));
        return lies::redirect(&format!("{}/hop/{}/{rest}", service.base, left - 1));
    }
    let path = hop.map_or(uri.path().to_owned(), |(_, rest)| format!("/{rest}"));
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let is_file = parts.contains(&"resolve");
    let earlier = match is_file && method == Method::GET {
        true => service.files.fetch_add(1, Ordering::Relaxed),
        false => service.files.load(Ordering::Relaxed),
    };
    let lie = service.faults.lock().unwrap().lie.clone();
    if lies::is_silent(&lie, is_file) {
        service.log.lock().unwrap().push(format!("{method} {} -> nothing", uri.path()));
        return std::future::pending().await;
    }
    let request =
        Request { query: uri.query().unwrap_or_default(), headers: &headers, body: &body, earlier };
    let is_question = parts.contains(&"paths-info");
    let found = match method.as_str() {
        "POST" | "PUT" if !is_question && !request.is_authorised() => refused(401, "Unauthorized"),
        "POST" => service.post(&parts, &request),
        "PUT" => service.put(&parts, &request),
        _ => service.get(&parts, &request),
    };
    let found = lies::told(&lie, is_file, uri.path(), found);
    let line = format!("{method} {} -> {}", uri.path(), found.status().as_u16());
    service.log.lock().unwrap().push(line);
    found
}

impl Service {
    fn get(&self, parts: &[&str], request: &Request) -> Response {
        let store = self.store.lock().unwrap();
        #[allow(clippy::result_large_err)] // both are answers
        let of = |kind: &str, owner: &str, name: &str| {
            readable(&store, &format!("{kind}/{owner}/{name}"), request)
        };
        let found = match *parts {
            ["api", "whoami-v2"] if request.is_authorised() => Ok(json(&json!({
                "type": "user", "name": "me", "fullname": "Me", "orgs": [],
                "auth": { "accessToken": { "role": "write" } },
            }))),
            ["api", "whoami-v2"] => Ok(refused(401, "Unauthorized")),
            ["api", kind, owner, name, "tree", revision] => {
                of(kind, owner, name).map(|found| tree(found, revision))
            }
            ["api", kind, owner, name, "xet-read-token" | "xet-write-token", _] => {
                of(kind, owner, name).map(|_| self.xet_token())
            }
            ["api", kind, owner, name] => of(kind, owner, name)
                .map(|found| self.info(found, &format!("{owner}/{name}"), "main")),
            ["api", kind, owner, name, "revision", revision] => of(kind, owner, name)
                .map(|found| self.info(found, &format!("{owner}/{name}"), revision)),
            ["datasets", owner, name, "resolve", revision, ref path @ ..] => {
                of("datasets", owner, name)
                    .map(|found| self.file(found, &parts[1..3], revision, path, request))
            }
            [owner, name, "resolve", revision, ref path @ ..] => of("models", owner, name)
                .map(|found| self.file(found, &parts[..2], revision, path, request)),
            _ => Err(refused(404, "NotFound")),
        };
        found.unwrap_or_else(|refusal| refusal)
    }

    fn post(&self, parts: &[&str], request: &Request) -> Response {
        let is_cut = self.faults.lock().unwrap().cut_commits;
        if is_cut && parts.get(4) == Some(&"commit") {
            // Whoever serves the connection falls, and the connection with it.
            std::panic::resume_unwind(Box::new("the connection is cut"));
        }
        let mut store = self.store.lock().unwrap();
        match *parts {
            ["api", "validate-yaml"] => json(&json!({ "errors": [], "warnings": [] })),
            ["api", "repos", "create"] => self.create(&mut store, &request.json()),
            [owner, git, "info", "lfs", "objects", "batch"] if git.ends_with(".git") => {
                let _ = owner;
                self.batch(&request.json())
            }
            ["api", kind, owner, name, ref action @ ..] => {
                let id = format!("{kind}/{owner}/{name}");
                if let Err(refusal) = readable(&store, &id, request) {
                    return refusal;
                }
                match *action {
                    ["preupload", _] => self.preupload(&store.repositories[&id], &request.json()),
                    ["branch", branch] => {
                        let found = store.repositories.get_mut(&id).unwrap();
                        let head = found.branches["main"].clone();
                        found.branches.insert(branch.into(), head);
                        json(&json!({}))
                    }
                    ["paths-info", revision] => {
                        self.paths_info(&store.repositories[&id], revision, request)
                    }
                    ["commit", revision] => self.commit(&mut store, &id, revision, request),
                    _ => refused(404, "NotFound"),
                }
            }
            _ => refused(404, "NotFound"),
        }
    }
}

/// The repository, unless whoever asks may not read it.
#[allow(clippy::result_large_err)] // both are answers
fn readable<'a>(store: &'a Store, id: &str, request: &Request) -> Result<&'a Repository, Response> {
    match store.repositories.get(id) {
        Some(found) if found.is_gated => Err(refused(403, "GatedRepo")),
        Some(found) if !found.is_private || request.is_authorised() => Ok(found),
        _ if request.is_authorised() => Err(refused(404, "RepoNotFound")),
        // Whoever does not say who they are learns nothing, not even that there is nothing.
        _ => Err(refused(401, "RepoNotFound")),
    }
}
