//! How far a transfer is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that have gone over, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferProgress {
    /// So far.
    pub bytes: u64,
    /// In all.
    pub of: u64,
}

/// Who is told.
pub type Watching = Arc<dyn Fn(TransferProgress) + Send + Sync>;

/// Adds up what has gone over, and tells.
pub struct Counter {
    watching: Option<Watching>,
    bytes: AtomicU64,
    of: u64,
}

impl Counter {
    /// Of `of` bytes in all.
    pub fn of(watching: Option<Watching>, of: u64) -> Self {
        Self { watching, bytes: AtomicU64::new(0), of }
    }

    /// So many more.
    pub fn add(&self, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(watching) = &self.watching {
            watching(TransferProgress { bytes: (before + bytes).min(self.of), of: self.of });
        }
    }
}
