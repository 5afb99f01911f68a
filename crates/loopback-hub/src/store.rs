//! Repositories: branches, commits, files; and what xet calls a file, found in the shards that its clients leave in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};
use sha2::Sha256;
use xet::xet_session::{XetFileInfo, XetSessionBuilder};

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

const RECORD: usize = 48;
const HAS_VERIFICATION: u32 = 1 << 31;
const HAS_METADATA: u32 = 1 << 30;

/// The xet hash of the file whose contents have the given SHA-256.
pub fn xet_hash_of(folder: &str, sha256: &str) -> Option<String> {
    let folder = Path::new(folder.strip_prefix("local://")?);
    shards(folder).into_iter().find_map(|path| in_shard(&fs::read(path).ok()?, sha256))
}

/// The bytes of a file in the folder, by xet's name for it: on the Hub, a bridge gives them to whoever does not speak xet.
pub fn read_xet(folder: &str, hash: &str, size: u64) -> Vec<u8> {
    let (folder, file) = (folder.to_owned(), XetFileInfo::new(hash.to_owned(), size));
    let reading = std::thread::spawn(move || {
        let session = XetSessionBuilder::new().build().unwrap();
        let group = session.new_download_stream_group().unwrap().with_endpoint(folder);
        let group = group.with_token_info("token", u64::MAX).build_blocking().unwrap();
        let mut stream = group.download_stream_blocking(file, None).unwrap();
        stream.start();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.blocking_next().unwrap() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    });
    reading.join().unwrap()
}

fn shards(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => shards(&path),
            false if path.extension().is_some_and(|extension| extension == "mdb") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

/// A shard is a header, then for each file a record of its hash, records of its segments, as many for their verification, and
/// one with the SHA-256; a record of ones ends the files.
fn in_shard(shard: &[u8], sha256: &str) -> Option<String> {
    let mut at = RECORD;
    loop {
        let record = shard.get(at..at + RECORD)?;
        if record[..32] == [0xff; 32] {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
        let (flags, segments) = (word(32), word(36) as usize);
        at += RECORD * (1 + segments);
        if flags & HAS_VERIFICATION != 0 {
            at += RECORD * segments;
        }
        if flags & HAS_METADATA != 0 {
            let found = shard.get(at..at + 32)?;
            if hex(found) == sha256 || printed(found) == sha256 {
                return Some(printed(&record[..32]));
            }
            at += RECORD;
        }
    }
}

/// A hash as xet prints it: four numbers, each with its lowest byte first.
fn printed(hash: &[u8]) -> String {
    let words = hash.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    words.map(|word| format!("{word:016x}")).collect()
}
