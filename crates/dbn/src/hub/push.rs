//! From a folder onto the Hub.

use hf_hub::repository::{CommitOperation, RepoTreeEntry, RepoTypeModel};
use hf_hub::{HFError, HFRepositorySync};
use rbm_core::{Error, Result};

use super::parcel::{CARD, Content, Parcel};
use super::snapshot::Snapshot;
use super::{Hub, Reference, trouble};
use crate::store::WEIGHTS;

/// The most bytes of a card.
const LARGEST_CARD: u64 = 4 << 20;

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct Push {
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
    /// Pushes `parcel` in one commit onto the branch that `reference` names, which is made if need be like its repository. When
    /// somebody else commits meanwhile nothing is changed.
    ///
    /// # Errors
    ///
    /// `Invalid`, with what to do, for a token that is missing or may not write, and when the branch has moved.
    pub fn push(&self, reference: &Reference, parcel: &Parcel, options: &Push) -> Result<Pushed> {
        self.check_online(&reference.to_string())?;
        let explained = |error| trouble::explain(&reference.to_string(), error);
        let repository = self.repository(reference);
        let head = self.head(reference, &repository, options)?;
        let ours = Snapshot::names().map(str::to_owned).collect();
        let listed = repository.get_paths_info().paths(ours).revision(head.clone()).send();
        let there = paths_of(&listed.map_err(explained)?);
        let card = match there.iter().any(|path| path == CARD) {
            true => Some(existing_card(&repository, &head).map_err(explained)?),
            false => None,
        };
        let card = match card.map(String::from_utf8) {
            None => parcel.card.over(None)?,
            Some(Ok(text)) => parcel.card.over(Some(&text))?,
            Some(Err(_)) => {
                let expected =
                    format!("a {CARD} in UTF-8 on the Hub, to write beside what is there");
                return Err(Error::invalid(reference.to_string(), expected, "other bytes"));
            }
        };
        let mut operations = vec![CommitOperation::add_bytes(CARD, card.into_bytes())];
        // What an earlier model had beside it says nothing about this one.
        let goes = |path: &String| parcel.files.iter().any(|(name, _)| name == path);
        let old = there.into_iter().filter(|path| path != CARD && !goes(path));
        operations.extend(old.map(CommitOperation::delete));
        for (name, content) in &parcel.files {
            operations.push(match content {
                Content::File(path) => CommitOperation::add_file(name.as_str(), path),
                Content::Bytes(bytes) => CommitOperation::add_bytes(name.as_str(), bytes.clone()),
            });
        }
        let message = options.message.clone();
        let pushed = repository
            .create_commit()
            .operations(operations)
            .commit_message(message.unwrap_or_else(|| "Push with candle-dbn".into()))
            .revision(reference.revision())
            .create_pr(options.create_pr)
            .parent_commit(head)
            .maybe_progress(self.progress())
            .send()
            .map_err(explained)?;
        // What is pushed is pushed, whatever becomes of this question.
        let inline = pushed
            .commit_oid
            .as_ref()
            .and_then(|commit| weights_if_inline(&repository, commit).ok().flatten());
        let url = pushed.pr_url.or(pushed.commit_url);
        Ok(Pushed { commit: pushed.commit_oid, url, inline })
    }

    /// The commit that the branch is at; repository and branch are made where there are none.
    fn head(
        &self,
        reference: &Reference,
        repository: &HFRepositorySync<RepoTypeModel>,
        options: &Push,
    ) -> Result<String> {
        let explained = |error| trouble::explain(&reference.to_string(), error);
        match repository.info().send() {
            Ok(info) if options.private && info.private == Some(false) => {
                let expected = "a repository that nobody else sees, since --private is given";
                let found = "one that everybody sees (make it private on the Hub first)";
                return Err(Error::invalid(reference.to_string(), expected, found));
            }
            Ok(_) => {}
            Err(HFError::RepoNotFound { .. }) if !options.create_pr => {
                self.client
                    .create_repository()
                    .repo_id(&reference.repository())
                    .repo_type(RepoTypeModel)
                    .private(options.private)
                    .exist_ok(true)
                    .send()
                    .map_err(explained)?;
            }
            Err(error) => return Err(explained(error)),
        }
        let revision = reference.revision();
        let info = match repository.info().revision(revision).send() {
            Err(HFError::RevisionNotFound { .. } | HFError::RepoNotFound { .. })
                if reference.revision.is_some() && !options.create_pr =>
            {
                repository.create_branch().branch(revision).send().map_err(explained)?;
                repository.info().revision(revision).send()
            }
            info => info,
        };
        let sha = info.map_err(explained)?.sha;
        sha.ok_or_else(|| explained(HFError::malformed_response("the commit's id")))
    }
}

fn paths_of(listed: &[RepoTreeEntry]) -> Vec<String> {
    let paths = listed.iter().filter_map(|entry| match entry {
        RepoTreeEntry::File { path, .. } => Some(path.clone()),
        RepoTreeEntry::Directory { .. } => None,
    });
    paths.collect()
}

/// The bytes of the card that is there now.
fn existing_card(
    repository: &HFRepositorySync<RepoTypeModel>,
    commit: &str,
) -> std::result::Result<Vec<u8>, HFError> {
    let file = repository.download_file_to_bytes().filename(CARD).revision(commit);
    // More is no card.
    Ok(file.range(0..LARGEST_CARD).send()?.to_vec())
}

/// The size of the weights if they lie in the repository as a small file does.
fn weights_if_inline(
    repository: &HFRepositorySync<RepoTypeModel>,
    commit: &str,
) -> std::result::Result<Option<u64>, HFError> {
    let listed = repository.get_paths_info().paths(vec![WEIGHTS.into()]).revision(commit).send()?;
    Ok(listed.into_iter().find_map(|entry| match entry {
        RepoTreeEntry::File { size, lfs: None, .. } => Some(size),
        _ => None,
    }))
}
