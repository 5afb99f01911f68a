//! Ctrl-C: work stops where it can go on from, and says how.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

use crate::output;

/// The exit code of a process that Ctrl-C has stopped.
pub const CODE: u8 = 130;

static IS_REQUESTED: AtomicBool = AtomicBool::new(false);
static IS_HEEDED: AtomicBool = AtomicBool::new(false);
static IS_CAUGHT: OnceLock<Option<String>> = OnceLock::new();

/// What ends a command that Ctrl-C has stopped: how to go on.
#[derive(Debug)]
pub struct Interrupted(pub String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped; {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// As long as this is there, somebody asks [`is_requested`].
#[must_use]
pub struct Caught(());

impl Drop for Caught {
    fn drop(&mut self) {
        IS_HEEDED.store(false, Ordering::SeqCst);
        if is_requested() {
            IS_REQUESTED.store(false, Ordering::SeqCst);
        }
    }
}

/// From now on, until what this gives is dropped, the first Ctrl-C asks to stop, and the second one stops at once; afterwards
/// every one stops at once.
pub fn catch() -> Result<Caught> {
    let handler = || {
        if !IS_HEEDED.load(Ordering::SeqCst) || IS_REQUESTED.swap(true, Ordering::SeqCst) {
            output::note(
                "\nstopped at once (the same command, or train --resume, takes up what it can)",
            );
            std::process::exit(CODE.into());
        }
        output::note("\nstopping at the next checkpoint (Ctrl-C again stops at once)");
    };
    let failure =
        IS_CAUGHT.get_or_init(|| ctrlc::set_handler(handler).err().map(|error| error.to_string()));
    if let Some(error) = failure {
        bail!("cannot catch Ctrl-C: {error}");
    }
    IS_HEEDED.store(true, Ordering::SeqCst);
    Ok(Caught(()))
}

/// Whether somebody has asked to stop.
pub fn is_requested() -> bool {
    IS_REQUESTED.load(Ordering::SeqCst)
}
