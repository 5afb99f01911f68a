//! Large files into the Hub's store of them, xet.

use std::thread;
use std::time::Duration;

use reqwest::Url;
use xet::XetError;
use xet::xet_session::{Sha256Policy, XetSessionBuilder, XetUploadCommit};

use super::api::XetToken;
use super::bundle::Content;
use super::environment::set;
use super::error::{Answer, Failure};
use super::http::{Http, causes};
use super::progress::{TransferProgress, Watching};

/// How often the progress is told.
const TICK: Duration = Duration::from_millis(100);
/// Names a store in a folder of this machine, which only tests have. A server may not choose where files are written.
const LOCAL: &str = "HF_XET_DATA_LOCAL_CAS_SCHEME";

/// Sends files into the store that `token` opens.
///
/// The token of the Hub is not given to xet's client, so it cannot go astray there. Therefore an upload has the time that the
/// store's own token has, which the Hub sets.
pub fn upload(
    http: &Http,
    token: &XetToken,
    files: &[&Content],
    watching: Option<&Watching>,
) -> Answer<()> {
    let of = files.iter().map(|content| content.size()).sum::<rbm_core::Result<u64>>()?;
    check(http, &token.cas_url)?;
    // Its client waits for threads of its own, which no asynchronous program may do.
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let session = XetSessionBuilder::new().build()?;
            let commit = session
                .new_upload_commit()?
                .with_endpoint(token.cas_url.clone())
                .with_token_info(token.access_token.clone(), token.exp)
                .build_blocking()?;
            let told = commit.clone();
            let sending = scope.spawn(move || send(&commit, files));
            while !sending.is_finished() {
                thread::sleep(TICK);
                if let Some(watching) = watching {
                    watching(TransferProgress {
                        bytes: told.progress().total_bytes_completed.min(of),
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

fn send(commit: &XetUploadCommit, files: &[&Content]) -> Result<(), XetError> {
    for content in files {
        match content {
            Content::File(path) => {
                commit.upload_from_path_blocking(path.clone(), Sha256Policy::Compute)?;
            }
            Content::Bytes(bytes) => {
                commit.upload_bytes_blocking(bytes.clone(), Sha256Policy::Compute, None)?;
            }
        }
    }
    commit.commit_blocking().map(drop)
}

/// Errors unless the store is one that may be asked.
fn check(http: &Http, url: &str) -> Answer<()> {
    if set(LOCAL).is_some_and(|scheme| url.starts_with(&scheme)) {
        return Ok(());
    }
    match Url::parse(url) {
        Ok(url) if http.allows(&url) => Ok(()),
        _ => Err(Failure::Nonsense(format!("{url:?} for its store of large files"))),
    }
}
