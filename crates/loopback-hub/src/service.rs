//! Which request gets which answer, and from what: the repositories, what goes wrong, and the log.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use base64::Engine;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::answer::{Lie, bytes, cut, falsified, is_silent, json, redirect, refused, stuck};
use crate::store::{Entry, Repository, Store, hex, read_xet, xet_hash_of};

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
        return redirect(&format!("{}/hop/{}/{rest}", service.base, left - 1));
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
    if is_silent(&lie, is_file) {
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
    let found = falsified(&lie, is_file, uri.path(), found);
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

impl Service {
    /// A file: its headers, and on GET what is in it.
    pub fn file(
        &self,
        repository: &Repository,
        id: &[&str],
        revision: &str,
        path: &[&str],
        request: &Request,
    ) -> Response {
        let revision = self.meant(revision);
        let Some(commit) = repository.commit(revision) else {
            return refused(404, "RevisionNotFound");
        };
        let commit = commit.clone();
        let Some(entry) = repository.files(revision).unwrap().get(&path.join("/")) else {
            let headers = [
                ("x-error-code", "EntryNotFound".to_owned()),
                ("x-error-message", "Entry not found".into()),
                ("x-repo-commit", commit),
            ];
            return bytes(404, &headers, "");
        };
        let faults = self.faults.lock().unwrap().clone();
        let asked_again = request.earlier > 0;
        let etag = match &faults.lie {
            Lie::Etag(etag) => etag.clone(),
            Lie::EtagWhenAskedAgain(etag) if asked_again => etag.clone(),
            _ => format!("\"{}\"", entry.etag()),
        };
        let shown = match &faults.lie {
            Lie::CommitHeader(lie) | Lie::CommitOfNoFile(lie) => lie.clone(),
            _ => commit.clone(),
        };
        if let Lie::CommitOfNoFile(_) = &faults.lie {
            return bytes(
                404,
                &[("x-error-code", "EntryNotFound".into()), ("x-repo-commit", shown)],
                "",
            );
        }
        let mut headers = vec![
            ("x-repo-commit", shown),
            ("etag", etag.clone()),
            ("accept-ranges", "bytes".into()),
        ];
        if entry.sha256.is_some() {
            headers.push(("x-linked-etag", etag.clone()));
            headers.push(("x-linked-size", entry.size.to_string()));
        }
        if let Some(hash) = &entry.xet {
            let route =
                format!("{}/api/models/{}/xet-read-token/{commit}", self.base, id.join("/"));
            headers.push(("x-xet-hash", hash.clone()));
            headers.push(("x-xet-refresh-route", route.clone()));
            headers.push(("link", format!("<{route}>; rel=\"xet-auth\"")));
        }
        if request.headers.get("if-none-match").is_some_and(|given| given == etag.as_str()) {
            return bytes(304, &headers, "");
        }
        let mut whole = match (&entry.bytes, &entry.xet) {
            (Some(bytes), _) => bytes.clone(),
            (None, Some(hash)) => read_xet(&self.content, hash, entry.size),
            (None, None) => vec![0; entry.size as usize],
        };
        if faults.corrupt_downloads
            || matches!(faults.lie, Lie::EtagWhenAskedAgain(_)) && !asked_again
        {
            whole.iter_mut().for_each(|byte| *byte ^= 1);
        }
        match faults.lie {
            Lie::StuckFiles => return bytes(200, &headers, stuck(&whole)),
            Lie::GzipFiles => headers.push(("content-encoding", "gzip".into())),
            Lie::LongerFiles => {
                whole.push(0);
                return bytes(200, &headers, whole);
            }
            _ => {}
        }
        headers.push(("content-length", entry.size.to_string()));
        match faults.cut_downloads {
            true => cut(&headers, &whole),
            false => bytes(200, &headers, whole),
        }
    }

    /// A commit that is a lie is the main branch.
    fn meant<'a>(&self, revision: &'a str) -> &'a str {
        match &self.faults.lock().unwrap().lie {
            Lie::Commit(lie) if lie == revision => "main",
            _ => revision,
        }
    }

    pub fn xet_token(&self) -> Response {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let expires = now + 3600;
        let store = match &self.faults.lock().unwrap().lie {
            Lie::Store(store) => store.clone(),
            _ => self.content.clone(),
        };
        let headers = [
            ("x-xet-cas-url", store.clone()),
            ("x-xet-access-token", "token".into()),
            ("x-xet-token-expiration", expires.to_string()),
            ("content-type", "application/json".into()),
        ];
        let body = json!({ "accessToken": "token", "exp": expires, "casUrl": store });
        bytes(200, &headers, body.to_string())
    }

    pub fn info(&self, repository: &Repository, id: &str, revision: &str) -> Response {
        let (Some(commit), Some(files)) = (repository.commit(revision), repository.files(revision))
        else {
            return refused(404, "RevisionNotFound");
        };
        let sha = match &self.faults.lock().unwrap().lie {
            Lie::Commit(lie) => lie.clone(),
            _ => commit.clone(),
        };
        let siblings: Vec<_> = files.keys().map(|path| json!({ "rfilename": path })).collect();
        let owner = id.split('/').next().unwrap();
        json(&json!({
            "_id": "0".repeat(24), "id": id, "modelId": id, "author": owner, "sha": sha,
            "private": repository.is_private, "gated": false, "disabled": false, "downloads": 0, "likes": 0,
            "tags": [], "lastModified": "2026-11-21T00:00:00.000Z", "createdAt": "2026-11-21T00:00:00.000Z",
            "siblings": siblings,
        }))
    }

    pub fn paths_info(
        &self,
        repository: &Repository,
        revision: &str,
        request: &Request,
    ) -> Response {
        let Some(files) = repository.files(self.meant(revision)) else {
            return refused(404, "RevisionNotFound");
        };
        let asked: Vec<String> = match request.json()["paths"].as_array() {
            Some(paths) => paths.iter().filter_map(|path| path.as_str().map(Into::into)).collect(),
            // Python sends a form.
            None => String::from_utf8_lossy(request.body)
                .split('&')
                .filter_map(|pair| pair.strip_prefix("paths="))
                .map(|path| percent_decode_str(path).decode_utf8_lossy().into_owned())
                .collect(),
        };
        let found = asked.iter().filter_map(|path| Some(listed(path, files.get(path)?)));
        let lie = self.faults.lock().unwrap().lie.clone();
        let found = found.map(|mut entry| {
            let is_large = !entry["lfs"].is_null();
            match &lie {
                Lie::ListedHash(hash) if is_large => {
                    entry["lfs"]["oid"] = hash.clone().into();
                    entry["lfs"]["sha256"] = hash.clone().into();
                }
                Lie::ListedHash(hash) => entry["oid"] = hash.clone().into(),
                Lie::ListedSize(size) => {
                    entry["size"] = size.clone();
                    if is_large {
                        entry["lfs"]["size"] = size.clone();
                    }
                }
                _ => {}
            }
            entry
        });
        json(&Value::Array(found.collect()))
    }
}

pub fn tree(repository: &Repository, revision: &str) -> Response {
    match repository.files(revision) {
        Some(files) => {
            json(&Value::Array(files.iter().map(|(path, file)| listed(path, file)).collect()))
        }
        None => refused(404, "RevisionNotFound"),
    }
}

fn listed(path: &str, entry: &Entry) -> Value {
    let mut listed = json!({ "type": "file", "oid": entry.oid, "size": entry.size, "path": path });
    if let Some(sha256) = &entry.sha256 {
        listed["lfs"] = json!({
            "oid": sha256, "sha256": sha256, "size": entry.size, "pointerSize": 130,
        });
    }
    if let Some(hash) = &entry.xet {
        listed["xetHash"] = hash.clone().into();
    }
    listed
}

impl Service {
    pub fn create(&self, store: &mut Store, asked: &Value) -> Response {
        let owner = asked["organization"].as_str().unwrap_or("me");
        let kind = asked["type"].as_str().unwrap_or("model");
        let id = format!("{owner}/{}", asked["name"].as_str().unwrap());
        let url = format!("{}/{id}", self.base);
        if owner != "me" {
            return refused(403, "Forbidden");
        }
        let is_private = asked["private"].as_bool().unwrap_or(false);
        match store.create(&format!("{kind}s/{id}"), is_private) {
            true => json(&json!({ "url": url, "name": id, "id": id })),
            false => bytes(409, &[], json!({ "error": "exists", "url": url }).to_string()),
        }
    }

    pub fn preupload(&self, repository: &Repository, asked: &Value) -> Response {
        let files = asked["files"].as_array().unwrap().iter().map(|file| {
            let path = file["path"].as_str().unwrap();
            let is_large = self.transfer != Transfer::Regular && path.ends_with(".safetensors");
            let mode = if is_large { "lfs" } else { "regular" };
            json!({ "path": path, "uploadMode": mode, "shouldIgnore": false, "oid": null })
        });
        let files: Vec<_> = files.collect();
        json(&json!({ "files": files, "commitOid": repository.branches["main"] }))
    }

    pub fn batch(&self, asked: &Value) -> Response {
        let can_xet =
            asked["transfers"].as_array().is_some_and(|all| all.iter().any(|t| t == "xet"));
        let transfer = if self.transfer == Transfer::Xet && can_xet { "xet" } else { "basic" };
        let objects = asked["objects"].as_array().unwrap().iter().map(|object| {
            let href = format!("{}/lfs/{}", self.base, object["oid"].as_str().unwrap());
            json!({
                "oid": object["oid"], "size": object["size"], "authenticated": true,
                "actions": { "upload": { "href": href, "header": {} } },
            })
        });
        let objects: Vec<_> = objects.collect();
        json(&json!({ "transfer": transfer, "objects": objects }))
    }

    pub fn commit(
        &self,
        store: &mut Store,
        id: &str,
        revision: &str,
        request: &Request,
    ) -> Response {
        if self.faults.lock().unwrap().race {
            store.put(id, revision, "someone-else.txt", b"was quicker".to_vec());
        }
        let large = store.large.clone();
        let repository = store.repositories.get_mut(id).unwrap();
        let Some(mut files) = repository.files(revision).cloned() else {
            return refused(404, "RevisionNotFound");
        };
        for line in request.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_slice(line).unwrap();
            let value = &line["value"];
            let path = value["path"].as_str().unwrap_or_default().to_owned();
            match line["key"].as_str().unwrap() {
                "header" => {
                    let parent = value["parentCommit"].as_str();
                    let head = repository.commit(revision).map(String::as_str);
                    if parent.is_some() && parent != head {
                        return refused(412, "the branch has moved");
                    }
                }
                "file" => {
                    let text = value["content"].as_str().unwrap();
                    let decoded = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
                    files.insert(path, Entry::regular(decoded));
                }
                "lfsFile" => {
                    let sha256 = value["oid"].as_str().unwrap();
                    let bytes = large.get(sha256).cloned();
                    let found = xet_hash_of(&self.content, sha256);
                    if bytes.is_none() && found.is_none() {
                        return refused(422, "LfsObjectMissing");
                    }
                    let size = value["size"].as_u64();
                    let size = size.or(bytes.as_ref().map(|b| b.len() as u64)).unwrap_or(0);
                    files.insert(path, Entry::large(sha256, size, bytes, found));
                }
                "deletedFile" => {
                    files.remove(&path);
                }
                _ => {}
            }
        }
        let mut reply = json!({ "success": true, "hookOutput": "" });
        let mut branch = revision.to_owned();
        if request.query.contains("create_pr=1") {
            repository.pull_requests += 1;
            let number = repository.pull_requests;
            branch = format!("refs/pr/{number}");
            reply["pullRequestUrl"] = format!("{}/{id}/discussions/{number}", self.base).into();
            reply["prUrl"] = reply["pullRequestUrl"].clone();
            reply["prNum"] = number.into();
        }
        let commit = repository.add(&branch, files);
        reply["commitUrl"] = format!("{}/{id}/commit/{commit}", self.base).into();
        reply["commitOid"] = commit.into();
        json(&reply)
    }

    pub fn put(&self, parts: &[&str], request: &Request) -> Response {
        match *parts {
            ["lfs", sha256] if hex(&Sha256::digest(request.body)) == sha256 => {
                let mut store = self.store.lock().unwrap();
                store.large.insert(sha256.into(), request.body.to_vec());
                bytes(200, &[], "")
            }
            _ => refused(400, "BadOid"),
        }
    }
}
