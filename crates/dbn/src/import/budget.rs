//! How many numbers a file may claim.

use std::path::Path;

use rbm_core::{Error, Result};

/// Numbers that any file may have, however small it is: 64 MiB of them.
const ALWAYS: u64 = (64 << 20) / size_of::<f32>() as u64;

/// The most numbers for each byte of a file. What was learned is hardly compressible: 4 bytes a number are about 0.3 numbers a
/// byte, and 8 zeros in front of each byte that is not are still a few.
const A_BYTE: u64 = 4;

/// The numbers that may still be read from a file. A bomb is small and claims many: they are counted before any is read.
pub struct Budget<'a> {
    path: &'a Path,
    all: u64,
    left: u64,
}

impl<'a> Budget<'a> {
    /// The budget of the file `path`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be looked at.
    pub fn of(path: &'a Path) -> Result<Self> {
        let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
        let all = ALWAYS.max(length.saturating_mul(A_BYTE));
        Ok(Self { path, all, left: all })
    }

    /// Takes so many numbers for what stands at `place`.
    ///
    /// # Errors
    ///
    /// Where not so many are left.
    pub fn take(&mut self, place: &str, numbers: usize) -> Result<()> {
        match self.left.checked_sub(numbers as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let expected = format!(
                    "at most {} numbers in a file of this size (2^24, or 4 a byte; a larger machine is read if its file is not compressed)",
                    self.all
                );
                Err(Error::file(self.path, place, expected, format!("{numbers} more")))
            }
        }
    }
}
