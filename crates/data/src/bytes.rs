//! The bytes of a file, unzipped where they are gzipped: mapped, or in memory where they are few or not in a file.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::{Deref, Range};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rbm_core::{Error, Result};
use tempfile::{SpooledData, SpooledTempFile};

use crate::mmap::MappedFile;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Bytes that are made while reading go to a temporary file without a name once they are more than this.
const MOST_IN_MEMORY: usize = 64 << 20;

/// How many bytes are taken in at a time.
const PIECE: usize = 1 << 20;

/// Bytes of a data set, wherever they lie.
pub(crate) enum Bytes {
    Memory(Vec<u8>),
    Mapped(MappedFile),
}

impl Bytes {
    /// The bytes `range`, which must be there; `buffer` is where they are put if they are copied. Whoever goes through much
    /// asks for pieces, so that not all of a mapped file is resident in the end.
    pub(crate) fn piece<'a>(
        &'a self,
        range: Range<usize>,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        match self {
            Self::Memory(bytes) => Ok(&bytes[range]),
            Self::Mapped(map) => map.piece(range, buffer),
        }
    }

    /// All bytes from the first to the last.
    pub(crate) fn reader(&self) -> Reader<'_> {
        self.reader_from(0)
    }

    /// All bytes from the one at `start`, which must be there or the end, to the last.
    pub(crate) fn reader_from(&self, start: usize) -> Reader<'_> {
        Reader { bytes: self, at: start, buffer: Vec::new() }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "{} bytes in memory", bytes.len()),
            Self::Mapped(map) => map.fmt(f),
        }
    }
}

/// Goes through bytes once without keeping them resident.
pub(crate) struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
    buffer: Vec<u8>,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (self.bytes.len() - self.at).min(buffer.len());
        let piece = self.bytes.piece(self.at..self.at + length, &mut self.buffer)?;
        buffer[..length].copy_from_slice(piece);
        self.at += length;
        Ok(length)
    }
}

/// Takes bytes in, in memory as long as they are few, and gives them back as [`Bytes`].
pub(crate) struct Spool {
    file: BufWriter<SpooledTempFile>,
}

impl Spool {
    pub(crate) fn new() -> Self {
        Self { file: BufWriter::with_capacity(PIECE, SpooledTempFile::new(MOST_IN_MEMORY)) }
    }

    /// All that was written.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(match file.into_inner() {
            SpooledData::InMemory(bytes) => Bytes::Memory(bytes.into_inner()),
            SpooledData::OnDisk(file) => Bytes::Mapped(MappedFile::new(file)?),
        })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What happened while bytes were made for `path`: the disk for temporary files is full, or the like.
pub(crate) fn spooling(path: &Path) -> impl Fn(io::Error) -> Error {
    move |e| Error::io(path, io::Error::new(e.kind(), format!("a temporary copy of it: {e}")))
}

/// The bytes of the file `path` as they are, mapped. An empty file is an error that expects `form`.
pub(crate) fn read(path: &Path, form: &str) -> Result<Bytes> {
    let file = File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::file(path, "file", form, "no file of this name"),
        _ => Error::io(path, e),
    })?;
    let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
    let bytes = if metadata.is_file() && metadata.len() > 0 {
        Bytes::Mapped(MappedFile::new(file).map_err(|e| Error::io(path, e))?)
    } else {
        // Pipes and the like have no length, and cannot be mapped; a folder is refused here.
        let mut spool = Spool::new();
        io::copy(&mut &file, &mut spool).map_err(|e| Error::io(path, e))?;
        spool.finish().map_err(spooling(path))?
    };
    if bytes.is_empty() {
        return Err(Error::file(path, "byte 0", form, "an empty file"));
    }
    Ok(bytes)
}

/// The bytes of the file `path`, unzipped if they begin like a gzip stream, whatever the file's name ends in.
pub(crate) fn read_unzipped(path: &Path, form: &str) -> Result<Bytes> {
    let bytes = read(path, form)?;
    if bytes.starts_with(&GZIP) { gunzip(path, bytes.reader(), form) } else { Ok(bytes) }
}

/// The contents of the gzip stream `bytes`, which stand in `path`.
pub(crate) fn gunzip(path: &Path, bytes: impl Read, form: &str) -> Result<Bytes> {
    let (mut stream, mut contents) = (MultiGzDecoder::new(bytes), Spool::new());
    let (mut piece, mut length) = (vec![0; PIECE], 0);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                contents.write_all(&piece[..read]).map_err(spooling(path))?;
                length += read;
            }
            Err(e) => {
                let place = format!("unzipped byte {length}");
                let found = match e.kind() {
                    io::ErrorKind::UnexpectedEof => "the end of the file: it is truncated".into(),
                    _ => e.to_string(),
                };
                return Err(Error::file(path, place, "a whole gzip stream", found));
            }
        }
    }
    if length == 0 {
        return Err(Error::file(path, "unzipped byte 0", form, "an empty file"));
    }
    contents.finish().map_err(spooling(path))
}
