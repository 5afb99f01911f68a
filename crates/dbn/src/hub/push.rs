//! From a folder onto the Hub.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{fs, thread};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rbm_core::{Error, Result, printable};
use reqwest::Url;
use serde_json::json;
use sha2::{Digest, Sha256};
use xet::XetError;
use xet::xet_session::{Sha256Policy, XetSessionBuilder, XetUploadCommit};

use super::api::{HubRepository, ListedFile, XetToken};
use super::bundle::{FileContent, ModelBundle};
use super::cache::Hasher;
use super::cache::Snapshot;
use super::card::CARD;
use super::http::{Answer, Failure, Http, causes};
use super::http::{TransferProgress, Watching};
use super::options::set;
use super::{Hub, Reference};
use crate::digest;
use crate::store::model_config::ModelConfig;

/// How many bytes of a file the Hub looks at to see of which kind it is.
const SAMPLE: usize = 512;
/// The most bytes of a card.
const LARGEST_CARD: u64 = 4 << 20;

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Whether a repository that has to be made is one that nobody else sees.
    pub private: bool,
    /// The commit's message.
    pub message: Option<String>,
    /// Whether to propose the commit instead of making it.
    pub create_pr: bool,
}

/// What has become of a push.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The commit.
    pub commit: Option<String>,
    /// Where it is to be seen.
    pub url: Option<String>,
    /// Bytes of the weights, where they had to go as text in the commit, a third larger, because the server has no xet.
    pub inline: Option<u64>,
}

impl Hub {
    /// Pushes `bundle` in one commit onto the branch that `reference` names, which is made if need be like its repository. When
    /// somebody else commits meanwhile nothing is changed.
    ///
    /// # Errors
    ///
    /// `Invalid`, with what to do, for a token that is missing or may not write, and when the branch has moved.
    pub fn push(
        &self,
        reference: &Reference,
        bundle: &ModelBundle,
        options: &PushOptions,
    ) -> Result<Pushed> {
        self.check_online(&reference.to_string())?;
        let (repository, _) = self.repository(reference);
        let pushed = self.push_to(&repository, reference, bundle, options);
        pushed.map_err(|failure| failure.about(reference))
    }

    fn push_to(
        &self,
        repository: &HubRepository,
        reference: &Reference,
        bundle: &ModelBundle,
        options: &PushOptions,
    ) -> Answer<Pushed> {
        let head = self.head(reference, repository, options)?;
        let names: Vec<_> = Snapshot::names().collect();
        let there = repository.listed(&self.http, &head, &names)?;
        let card = match there.get(CARD) {
            Some(listed) => Some(self.existing_card(repository, &head, listed)?),
            None => None,
        };
        let card = bundle.card.over(card.as_deref())?;
        let mut files = vec![(CARD, FileContent::Bytes(card.into_bytes()))];
        files.extend(bundle.files.iter().map(|(name, content)| (name.as_str(), content.clone())));
        let message = options.message.as_deref().unwrap_or("Push with candle-dbn");
        let mut lines = vec![json!({
            "key": "header",
            "value": { "summary": message, "description": "", "parentCommit": head },
        })];
        // What an earlier model had beside it says nothing about this one.
        let old = there.keys().filter(|old| !files.iter().any(|(name, _)| name == *old));
        lines.extend(old.map(|path| json!({ "key": "deletedFile", "value": { "path": path } })));
        let large = self.upload_large(repository, reference.revision(), &files)?;
        for (name, content) in &files {
            lines.push(match large.get(name) {
                Some((sha256, size)) => json!({
                    "key": "lfsFile",
                    "value": { "path": name, "algo": "sha256", "oid": sha256, "size": size },
                }),
                None => json!({
                    "key": "file",
                    "value": { "path": name, "encoding": "base64", "content": BASE64.encode(bytes(content)?) },
                }),
            });
        }
        let made =
            repository.commit(&self.http, reference.revision(), &lines, options.create_pr)?;
        let inline = files
            .iter()
            .find(|(name, _)| ModelConfig::WEIGHTS.contains(name) && !large.contains_key(name));
        let inline = inline.map(|(_, content)| content.size()).transpose()?;
        let url = made.pull_request_url.or(made.commit_url).map(|url| printable(&url));
        Ok(Pushed { commit: made.commit_oid, url, inline })
    }

    /// Sends what the Hub takes for large files into its store of them; returns their SHA-256 and sizes. None where it has no such
    /// store that we know: then everything goes in the commit.
    fn upload_large<'a>(
        &self,
        repository: &HubRepository,
        branch: &str,
        files: &'a [(&'a str, FileContent)],
    ) -> Answer<BTreeMap<&'a str, (String, u64)>> {
        let mut samples = Vec::new();
        for (name, content) in files {
            let mut sample = bytes(content)?;
            let size = sample.len() as u64;
            sample.truncate(SAMPLE);
            samples.push((*name, size, sample));
        }
        let asked: Vec<_> = samples.iter().map(|(name, size, s)| (*name, *size, &s[..])).collect();
        let large = repository.large(&self.http, branch, &asked)?;
        let large = files.iter().filter(|(name, _)| large.iter().any(|other| other == name));
        let mut found = BTreeMap::new();
        for (name, content) in large.clone() {
            let bytes = bytes(content)?;
            found.insert(*name, (digest::digits(&Sha256::digest(&bytes)), bytes.len() as u64));
        }
        let objects: Vec<_> =
            found.values().map(|(sha256, size)| (sha256.as_str(), *size)).collect();
        if objects.is_empty() || !repository.has_xet(&self.http, branch, &objects)? {
            return Ok(BTreeMap::new());
        }
        let token = repository.xet_token(&self.http, branch)?;
        let contents: Vec<_> = large.map(|(_, content)| content).collect();
        upload(&self.http, &token, &contents, self.watching.as_ref())?;
        Ok(found)
    }

    /// The commit that the branch is at; repository and branch are made where there are none.
    fn head(
        &self,
        reference: &Reference,
        repository: &HubRepository,
        options: &PushOptions,
    ) -> Answer<String> {
        match repository.info(&self.http, None) {
            Ok(info) if options.private && !info.is_private => {
                let expected = "a repository that nobody else sees, since --private is given";
                let found = "one that everybody sees (make it private on the Hub first)";
                return Err(Error::invalid(reference.to_string(), expected, found).into());
            }
            Ok(_) => {}
            Err(failure) if failure.is_no_repository() && !options.create_pr => {
                repository.create(&self.http, options.private)?;
            }
            Err(failure) => return Err(failure),
        }
        let revision = reference.revision();
        match repository.info(&self.http, Some(revision)) {
            Err(failure)
                if (failure.is_no_revision() || failure.is_no_repository())
                    && reference.revision.is_some()
                    && !options.create_pr =>
            {
                repository.branch(&self.http, revision)?;
                Ok(repository.info(&self.http, Some(revision))?.commit)
            }
            info => Ok(info?.commit),
        }
    }

    /// The card that is there now.
    fn existing_card(
        &self,
        repository: &HubRepository,
        commit: &str,
        listed: &ListedFile,
    ) -> Answer<String> {
        let wrong = |expected: String, found: String| {
            Failure::Ours(Error::invalid(format!("the {CARD} on the Hub"), expected, found))
        };
        if listed.size > LARGEST_CARD {
            return Err(wrong(format!("at most {LARGEST_CARD} bytes"), listed.size.to_string()));
        }
        let (mut text, mut hasher) = (Vec::new(), Hasher::of(&listed.hash, listed.size));
        repository.file(&self.http, commit, CARD, listed.size, |piece| {
            hasher.update(piece);
            text.extend_from_slice(piece);
            Ok(())
        })?;
        let found = hasher.finish();
        if found != listed.hash.digits() {
            return Err(wrong(
                format!("the hash that is listed ({})", listed.hash.digits()),
                found,
            ));
        }
        let expected = "UTF-8, to write beside what is there".to_owned();
        String::from_utf8(text).map_err(|_| wrong(expected, "other bytes".into()))
    }
}

/// The bytes of a file.
fn bytes(content: &FileContent) -> Result<Vec<u8>> {
    match content {
        FileContent::File(path) => fs::read(path).map_err(|e| Error::io(path, e)),
        FileContent::Bytes(bytes) => Ok(bytes.clone()),
    }
}

/// How often the progress is reported.
const TICK: Duration = Duration::from_millis(100);
/// Names a store in a folder of this machine, which only tests have. A server may not choose where files are written.
const LOCAL: &str = "HF_XET_DATA_LOCAL_CAS_SCHEME";

/// Sends files into the store that `token` opens.
///
/// The token of the Hub is not given to xet's client, so it cannot go astray there. Therefore an upload has the time that the
/// store's own token has, which the Hub sets.
fn upload(
    http: &Http,
    token: &XetToken,
    files: &[&FileContent],
    watching: Option<&Watching>,
) -> Answer<()> {
    let of = files.iter().map(|content| content.size()).sum::<Result<u64>>()?;
    check_store(http, &token.cas_url)?;
    // Its client waits for threads of its own, which no asynchronous program may do.
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let session = XetSessionBuilder::new().build()?;
            let commit = session
                .new_upload_commit()?
                .with_endpoint(token.cas_url.clone())
                .with_token_info(token.access_token.clone(), token.exp)
                .build_blocking()?;
            let watched = commit.clone();
            let sending = scope.spawn(move || send(&commit, files));
            while !sending.is_finished() {
                thread::sleep(TICK);
                if let Some(watching) = watching {
                    watching(TransferProgress {
                        bytes: watched.progress().total_bytes_completed.min(of),
                        of,
                    });
                }
            }
            sending.join().unwrap_or(Err(XetError::AlreadyCompleted))
        });
        sending.join().unwrap_or(Err(XetError::AlreadyCompleted))
    });
    if let Some(watching) = watching {
        watching(TransferProgress { bytes: of, of });
    }
    sent.map_err(|e| Failure::Broken(format!("the store of large files: {}", causes(&e))))
}

fn send(commit: &XetUploadCommit, files: &[&FileContent]) -> std::result::Result<(), XetError> {
    for content in files {
        match content {
            FileContent::File(path) => {
                commit.upload_from_path_blocking(path.clone(), Sha256Policy::Compute)?;
            }
            FileContent::Bytes(bytes) => {
                commit.upload_bytes_blocking(bytes.clone(), Sha256Policy::Compute, None)?;
            }
        }
    }
    commit.commit_blocking().map(drop)
}

/// Errors unless the store is one that may be asked.
fn check_store(http: &Http, url: &str) -> Answer<()> {
    if set(LOCAL).is_some_and(|scheme| url.starts_with(&scheme)) {
        return Ok(());
    }
    match Url::parse(url) {
        Ok(url) if http.allows(&url) => Ok(()),
        _ => Err(Failure::Nonsense(format!("{url:?} for its store of large files"))),
    }
}
