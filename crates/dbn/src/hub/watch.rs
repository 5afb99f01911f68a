//! How far a transfer is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler, UploadEvent};

/// Bytes that have gone over, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// So far.
    pub bytes: u64,
    /// In all.
    pub of: u64,
}

/// Who is told.
pub type Watching = Arc<dyn Fn(Moved) + Send + Sync>;

/// Adds up what the Hub's client tells of each file.
pub struct Handler {
    watching: Watching,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    of: u64,
    files: BTreeMap<String, u64>,
}

impl Handler {
    pub fn new(watching: Watching) -> Self {
        Self { watching, state: Mutex::default() }
    }
}

impl ProgressHandler for Handler {
    fn on_progress(&self, event: &ProgressEvent) {
        let Ok(mut state) = self.state.lock() else { return };
        let bytes = match event {
            ProgressEvent::Upload(UploadEvent::Start { total_bytes, .. })
            | ProgressEvent::Download(DownloadEvent::Start { total_bytes, .. }) => {
                state.of = state.of.max(*total_bytes);
                0
            }
            ProgressEvent::Upload(UploadEvent::Progress { bytes_completed, .. })
            | ProgressEvent::Download(DownloadEvent::AggregateProgress {
                bytes_completed, ..
            }) => *bytes_completed,
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                for file in files {
                    state.files.insert(file.filename.clone(), file.bytes_completed);
                }
                state.files.values().sum()
            }
            ProgressEvent::Upload(UploadEvent::Complete)
            | ProgressEvent::Download(DownloadEvent::Complete) => state.of,
            ProgressEvent::Upload(UploadEvent::Committing) => return,
        };
        let moved = Moved { bytes: bytes.min(state.of), of: state.of };
        drop(state);
        (self.watching)(moved);
    }
}
