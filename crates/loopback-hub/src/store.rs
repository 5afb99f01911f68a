//! Repositories: branches, commits, files.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// A file as a commit knows it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its bytes, unless they are in xet's folder.
    pub bytes: Option<Vec<u8>>,
    pub size: u64,
    /// The id of git's blob, or of its pointer.
    pub oid: String,
    /// SHA-256 of a large file.
    pub sha256: Option<String>,
    /// xet's name for it.
    pub xet: Option<String>,
}

impl Entry {
    /// A file that is a line of a commit.
    pub fn regular(bytes: Vec<u8>) -> Self {
        let mut hash = Sha1::new();
        hash.update(format!("blob {}\0", bytes.len()));
        hash.update(&bytes);
        let oid = hex(&hash.finalize());
        Self { size: bytes.len() as u64, oid, bytes: Some(bytes), sha256: None, xet: None }
    }

    /// A large file.
    pub fn large(sha256: &str, size: u64, bytes: Option<Vec<u8>>, xet: Option<String>) -> Self {
        let oid = hex(&Sha1::digest(sha256));
        Self { bytes, size, oid, sha256: Some(sha256.into()), xet }
    }

    /// What its contents are called in headers and caches.
    pub fn etag(&self) -> &str {
        self.sha256.as_deref().unwrap_or(&self.oid)
    }
}

type Files = BTreeMap<String, Entry>;

#[derive(Debug, Default)]
pub struct Repository {
    pub is_private: bool,
    /// Whether its owner must let everybody in by hand, and has let in nobody.
    pub is_gated: bool,
    pub branches: BTreeMap<String, String>,
    commits: BTreeMap<String, Files>,
    pub pull_requests: usize,
}

impl Repository {
    /// The commit that a revision means.
    pub fn commit(&self, revision: &str) -> Option<&String> {
        self.branches
            .get(revision)
            .or_else(|| self.commits.get_key_value(revision).map(|(id, _)| id))
    }

    /// The files at a revision.
    pub fn files(&self, revision: &str) -> Option<&Files> {
        self.commits.get(self.commit(revision)?)
    }

    /// A commit of `files` on a branch; returns its id.
    pub fn add(&mut self, branch: &str, files: Files) -> String {
        let mut hash = Sha1::new();
        hash.update(format!("{branch} {}", self.commits.len()));
        for (path, entry) in &files {
            hash.update(format!("{path} {}", entry.etag()));
        }
        let id = hex(&hash.finalize());
        self.commits.insert(id.clone(), files);
        self.branches.insert(branch.into(), id.clone());
        id
    }
}

/// Every repository by `models/me/name` or `datasets/me/name`, and large files that came by plain requests.
#[derive(Debug, Default)]
pub struct Store {
    pub repositories: BTreeMap<String, Repository>,
    pub large: BTreeMap<String, Vec<u8>>,
}

impl Store {
    /// A repository with an empty commit; `false` where there is one already.
    pub fn create(&mut self, id: &str, is_private: bool) -> bool {
        if self.repositories.contains_key(id) {
            return false;
        }
        let mut repository = Repository { is_private, ..Repository::default() };
        let attributes = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n".to_vec();
        repository
            .add("main", Files::from([(".gitattributes".into(), Entry::regular(attributes))]));
        self.repositories.insert(id.into(), repository);
        true
    }

    pub fn put(&mut self, id: &str, branch: &str, path: &str, bytes: Vec<u8>) {
        self.create(id, false);
        let repository = self.repositories.get_mut(id).unwrap();
        let from = if repository.branches.contains_key(branch) { branch } else { "main" };
        let mut files = repository.files(from).unwrap().clone();
        let entry = match path.ends_with(".safetensors") {
            true => {
                Entry::large(&hex(&Sha256::digest(&bytes)), bytes.len() as u64, Some(bytes), None)
            }
            false => Entry::regular(bytes),
        };
        files.insert(path.into(), entry);
        repository.add(branch, files);
    }

    pub fn bytes(&self, id: &str, revision: &str, path: &str) -> Option<Vec<u8>> {
        self.repositories.get(id)?.files(revision)?.get(path)?.bytes.clone()
    }

    pub fn paths(&self, id: &str, revision: &str) -> Vec<String> {
        let files = self.repositories.get(id).and_then(|found| found.files(revision));
        files.map_or_else(Vec::new, |files| files.keys().cloned().collect())
    }

    pub fn gate(&mut self, id: &str) {
        self.repositories.get_mut(id).unwrap().is_gated = true;
    }

    pub fn hide(&mut self, id: &str) {
        self.repositories.get_mut(id).unwrap().is_private = true;
    }
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
