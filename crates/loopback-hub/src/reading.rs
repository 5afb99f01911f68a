//! What tells of repositories.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::answer::{bytes, cut, json, refused};
use crate::lies::{self, Lie};
use crate::service::{Request, Service};
use crate::store::{Entry, Repository};
use crate::xet;

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
        let said = match &faults.lie {
            Lie::CommitHeader(said) | Lie::CommitOfNoFile(said) => said.clone(),
            _ => commit.clone(),
        };
        if let Lie::CommitOfNoFile(_) = &faults.lie {
            return bytes(
                404,
                &[("x-error-code", "EntryNotFound".into()), ("x-repo-commit", said)],
                "",
            );
        }
        let mut headers = vec![
            ("x-repo-commit", said),
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
            (None, Some(hash)) => xet::read(&self.content, hash, entry.size),
            (None, None) => vec![0; entry.size as usize],
        };
        if faults.corrupt_downloads
            || matches!(faults.lie, Lie::EtagWhenAskedAgain(_)) && !asked_again
        {
            whole.iter_mut().for_each(|byte| *byte ^= 1);
        }
        match faults.lie {
            Lie::StuckFiles => return bytes(200, &headers, lies::stuck(&whole)),
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
            Lie::Commit(said) if said == revision => "main",
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
            Lie::Commit(said) => said.clone(),
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
