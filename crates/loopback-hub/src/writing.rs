//! What changes repositories.

use axum::response::Response;
use base64::Engine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::answer::{bytes, json, refused};
use crate::service::{Request, Service, Transfer};
use crate::store::{Entry, Repository, Store, hex};
use crate::xet;

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
                    let found = xet::hash_of(&self.content, sha256);
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
        let mut said = json!({ "success": true, "hookOutput": "" });
        let mut branch = revision.to_owned();
        if request.query.contains("create_pr=1") {
            repository.pull_requests += 1;
            let number = repository.pull_requests;
            branch = format!("refs/pr/{number}");
            said["pullRequestUrl"] = format!("{}/{id}/discussions/{number}", self.base).into();
            said["prUrl"] = said["pullRequestUrl"].clone();
            said["prNum"] = number.into();
        }
        let commit = repository.add(&branch, files);
        said["commitUrl"] = format!("{}/{id}/commit/{commit}", self.base).into();
        said["commitOid"] = commit.into();
        json(&said)
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
