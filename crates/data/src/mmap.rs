//! A file mapped into memory, read-only, of which only so much is resident.
//!
//! Pages of a mapped file that have been read count as the process's resident memory until they are given back; they stay
//! in the system's cache of the file. A small file stays resident. Of a large one, long pieces are read through the map,
//! whose pages are given back now and then, and short ones past it: a fault maps up to a megabyte around the page that it
//! is about, and costs fifteen times as much as reading a row of 784 bytes (docs/design/large-data.md).

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::Mmap;

/// The most bytes of a map that are resident: the whole of MNIST is never given back.
const MOST_RESIDENT: usize = 128 << 20;

/// What a fault brings in beside the page that was asked for, at the most.
const FAULT_AROUND: usize = 1 << 20;

/// From how many bytes on a piece of a large file is read through the map.
const LONG: usize = 256 << 10;

/// The bytes of a file, as they are on the disk.
///
/// The file must stay as it is for as long as it is mapped: if it is changed by someone else, the numbers change; if it is
/// cut short, reading behind its new end is an error, or ends the process where it is read through the map
/// ([`end_on_bus_error`]). Replacing a file by renaming another over it is safe, as the map keeps the old one.
pub struct MappedFile {
    file: File,
    bytes: Mmap,
    touched: AtomicUsize,
}

impl MappedFile {
    /// Maps `file` as long as it is now; it must not be empty.
    ///
    /// # Errors
    ///
    /// Where the operating system refuses to map it: an empty file, a pipe.
    pub fn new(file: File) -> io::Result<Self> {
        // SAFETY: the map is read-only and lives as long as what borrows from it. That nobody else changes the file
        // meanwhile, its header's text included, is what the documentation above asks for; it cannot be checked. Of the
        // numbers every bit pattern is valid.
        let bytes = unsafe { Mmap::map(&file)? };
        Ok(Self { file, bytes, touched: AtomicUsize::new(0) })
    }

    /// The bytes `range`, which must be there; `buffer` is where they are put if they are not read through the map.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read any more.
    pub fn piece<'a>(
        &'a self,
        range: Range<usize>,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        if cfg!(not(unix)) || self.bytes.len() <= MOST_RESIDENT {
            return Ok(&self.bytes[range]);
        }
        if range.len() < LONG {
            buffer.resize(range.len(), 0);
            read_at(&self.file, buffer, range.start)?;
            return Ok(buffer);
        }
        // Before it is read, so that no more is resident than is counted.
        let long = range.len() + FAULT_AROUND;
        if self.touched.fetch_add(long, Ordering::Relaxed) + long > MOST_RESIDENT {
            self.touched.store(long, Ordering::Relaxed);
            self.give_back();
        }
        Ok(&self.bytes[range])
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

/// Lets the process end with a line and exit code 1 where a mapped file was cut short while it was read, instead of with a
/// bus error and no word. For programs: call it first thing in `main`. It replaces the process's handler of SIGBUS.
#[cfg(unix)]
pub fn end_on_bus_error() {
    extern "C" fn say_and_end(_: libc::c_int) {
        let line =
            b"dbn: a data file was cut short while it was read, or its disk failed (bus error)\n";
        // SAFETY: both functions may be called in a handler of signals; the bytes live as long as the program.
        unsafe {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
            libc::_exit(1);
        }
    }
    let handler: extern "C" fn(libc::c_int) = say_and_end;
    // SAFETY: the handler calls only what a handler may call, and never returns.
    unsafe { libc::signal(libc::SIGBUS, handler as libc::sighandler_t) };
}

/// Other systems have no such signal.
#[cfg(not(unix))]
pub fn end_on_bus_error() {}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], start: usize) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start as u64)
}

#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}
