//! What went wrong on the Hub, and what to do about it.

use hf_hub::HFError;
use rbm_core::Error;

/// `error`, met while working on `what`, in words that say what to do. No error of the Hub's client holds a token.
pub fn explain(what: &str, error: HFError) -> Error {
    let expected = match &error {
        HFError::AuthRequired { context } | HFError::Forbidden { context }
            if context.error_code.as_deref() == Some("GatedRepo") =>
        {
            "a repository that your account has access to: this one is gated, so ask for access on its page of the Hub, and then use a token of \
             that account (`hf auth login`, or HF_TOKEN)"
        }
        HFError::AuthRequired { .. } => {
            "a repository that exists and that your token may see; what is private, and every push, needs a valid one (`hf auth login`, or HF_TOKEN)"
        }
        HFError::Forbidden { .. } => {
            "a token that may write there (one of role `write`, of the owner or a member)"
        }
        HFError::RepoNotFound { .. } => "a repository that exists",
        // So says the Hub when it is asked for a branch of one.
        HFError::RevisionNotFound { context: Some(context), .. }
            if context.error_code.as_deref() == Some("RepoNotFound") =>
        {
            "a repository that exists"
        }
        HFError::RevisionNotFound { .. } => "a branch, tag or commit that exists",
        HFError::EntryNotFound { path, .. } if path.ends_with(".parquet") => {
            "the data set as it was when this was written"
        }
        HFError::EntryNotFound { path, .. } => {
            return Error::invalid(
                what,
                format!("a repository with a {path}, as `dbn push` makes it"),
                "none (other files are not read; a model of another library may go through `dbn import`)",
            );
        }
        HFError::Conflict { .. } => "a branch that nobody else changes meanwhile; push again",
        HFError::Http { context } if context.status.as_u16() == 412 => {
            "a branch that nobody else changes meanwhile; push again"
        }
        HFError::RateLimited { .. } => "fewer requests; wait a while",
        HFError::LocalEntryNotFound { .. } => {
            "something in the cache, since HF_HUB_OFFLINE is set; without it, it is fetched"
        }
        HFError::CacheLockTimeout { .. } => {
            "a cache that no other process is writing to; wait a while"
        }
        HFError::Request { .. } => {
            "an answer from the Hub (is there a network? HF_HUB_OFFLINE=1 makes do with what is cached)"
        }
        HFError::Io(_) => "a cache that can be written (HF_HOME says where it is)",
        _ => "an answer that makes sense",
    };
    Error::invalid(what, expected, causes(&error))
}

/// An error and its causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        next = cause.source();
    }
    said.replace('\n', " ")
}
