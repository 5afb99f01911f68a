//! A model of the Hub in the cache.

use super::bundle::{CARD, FILTERS, RECIPE, RESULTS, SAMPLES};
use crate::network::config::CONFIG;
use crate::network::config::WEIGHTS;
use rbm_core::state::write_whole;
use rbm_core::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What is read of a repository beside the model itself, where it is there, and the most bytes it may have.
pub(super) const BESIDE: [(&str, u64); 5] = [
    (CARD, 4 << 20),
    (RECIPE, 1 << 20),
    (RESULTS, 1 << 20),
    (FILTERS, 32 << 20),
    (SAMPLES, 32 << 20),
];
/// A model of the Hub as it lies in the cache. Nothing may be written there.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The folder: a model's folder as any other.
    pub dir: PathBuf,
    /// The names of what there is in it.
    pub files: Vec<String>,
}

impl Snapshot {
    /// The names of what [`Snapshot::copy_to`] may write or take away.
    pub fn names() -> impl Iterator<Item = &'static str> {
        [CONFIG, WEIGHTS].into_iter().chain(BESIDE.map(|(name, _)| name))
    }

    /// Copies every file into the folder `to`, which is made if need be, and takes away what another model left beside it. The
    /// configuration goes away first and comes last. So whenever this is cut short there is no model, and never the old
    /// configuration with new weights.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or written.
    pub fn copy_to(&self, to: impl AsRef<Path>) -> Result<()> {
        let to = to.as_ref();
        fs::create_dir_all(to).map_err(|e| Error::io(to, e))?;
        let is_new = |name: &str| self.files.iter().any(|file| file == name);
        let old = Self::names().filter(|name| !is_new(name));
        for path in [CONFIG].into_iter().chain(old).map(|name| to.join(name)) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(&path, e)),
                _ => {}
            }
        }
        let (last, first): (Vec<_>, _) = self.files.iter().partition(|name| *name == CONFIG);
        for name in [first, last].concat() {
            let from = self.dir.join(name);
            let bytes = fs::read(&from).map_err(|e| Error::io(&from, e))?;
            write_whole(&to.join(name), &bytes)?;
        }
        Ok(())
    }
}
