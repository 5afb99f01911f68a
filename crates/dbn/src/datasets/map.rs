//! A file mapped into memory, read-only, whose touched pages are given back now and then.
//!
//! Pages of a mapped file that have been read count as the process's resident memory until they are given back. They stay in
//! the system's cache of the file, from where they come again at the cost of a page fault.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::Mmap;

/// The most bytes of a map that are resident: the whole of MNIST is never given back.
const MOST_RESIDENT: usize = 128 << 20;

/// What a fault brings in beside the page that was asked for: Linux maps this much around it where it is in the cache.
const FAULT_AROUND: usize = 64 << 10;

/// The bytes of a file, as they are on the disk.
///
/// The file must stay as it is for as long as it is mapped: if it is changed by someone else, the numbers change; if it is
/// cut short, reading behind its new end kills the process with a bus error. Replacing a file by renaming another over it
/// is safe, as the map keeps the old one.
pub struct Map {
    bytes: Mmap,
    touched: AtomicUsize,
}

impl Map {
    /// Maps `file` as long as it is now; it must not be empty.
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the map is read-only, and its bytes are only ever copied out as plain numbers, of which every bit pattern is
        // valid; no reference into it is kept across calls that could meet a change. A file that others change while it is
        // read is the one thing that cannot be excluded, and is documented above.
        let bytes = unsafe { Mmap::map(file)? };
        Ok(Self { bytes, touched: AtomicUsize::new(0) })
    }

    /// Takes note that `bytes` in one piece have been read, and gives every page back where that has become too much.
    pub fn touched(&self, bytes: usize) {
        if self.bytes.len() <= MOST_RESIDENT {
            return;
        }
        let bytes = bytes + FAULT_AROUND;
        if self.touched.fetch_add(bytes, Ordering::Relaxed) + bytes >= MOST_RESIDENT {
            self.touched.store(0, Ordering::Relaxed);
            self.give_back();
        }
    }

    #[cfg(target_os = "linux")]
    fn give_back(&self) {
        // SAFETY: the map is shared, read-only and backed by a file, so that a page that is given back comes again from the
        // file with the same bytes: no reference into the map sees a change.
        let result = unsafe { self.bytes.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        if let Err(error) = result {
            tracing::debug!(%error, "pages of a mapped file stay in memory");
        }
    }

    /// Other systems take pages back by themselves when memory runs short.
    #[cfg(not(target_os = "linux"))]
    fn give_back(&self) {}
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}
