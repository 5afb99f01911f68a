//! What a file's contents are called.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::Digest;

/// The hash of `before` and the file `path`, in hexadecimal digits.
///
/// # Errors
///
/// Where the file cannot be read.
pub fn of_file<H: Digest>(path: &Path, before: &str) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = H::new().chain_update(before);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    Ok(digits(&hash.finalize()))
}

/// Bytes in hexadecimal digits.
pub fn digits(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
