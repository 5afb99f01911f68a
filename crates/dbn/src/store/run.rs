//! A run's folder: what a training leaves behind, and what it needs to go on.

use std::fs::{self, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use rbm_core::state::{write_new, write_whole};
use rbm_core::{Error, Result};

use crate::Recipe;
use crate::network::config;
use crate::store;
use crate::training::{Checkpoint, EpochMetrics};

/// The recipe in a run's folder.
pub const RECIPE: &str = "recipe.toml";
const CHECKPOINT: &str = "checkpoint.safetensors";
const LOCK: &str = ".lock";
const METRICS: &str = "metrics.jsonl";
/// What lies in the folder of a run, and of no other model.
pub const RUNS: [&str; 2] = [CHECKPOINT, METRICS];

/// The folder of one training: `recipe.toml`, `checkpoint.safetensors`, `metrics.jsonl`, and at the end the model and its
/// pictures.
#[derive(Debug, Clone)]
pub struct Run {
    dir: PathBuf,
}

/// A folder in which nobody else trains, for as long as this is there. One that was made for it, and in which nothing was written, is taken
/// away with it.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    dir: PathBuf,
    /// The folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
    /// What is locked.
    _file: fs::File,
}

impl Claim {
    /// Holds the folder `dir`, which is made if need be, by a file in it that nobody replaces. Where a file system knows no locks nothing is
    /// held.
    ///
    /// # Errors
    ///
    /// While another program holds it: two trainings would write into one folder. For a file of that name, and where no folder can be made.
    pub fn of(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        if dir.exists() && !dir.is_dir() {
            let advice = "a folder, or a name that is free (choose another --out)";
            return Err(Error::file(dir, "output", advice, "a file"));
        }
        let made = missing(dir);
        fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        Self::held(dir, made)
    }

    /// Holds the first of the folders `dirs` that does not exist yet; making it is what claims it, so that two programs that start at the
    /// same time never share one. `None` where all exist.
    ///
    /// # Errors
    ///
    /// As [`Claim::of`].
    pub fn of_first_free(dirs: impl IntoIterator<Item = PathBuf>) -> Result<Option<Self>> {
        for dir in dirs {
            let made = missing(&dir);
            if let Some(parent) = dir.parent() {
                fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))?;
            }
            match fs::create_dir(&dir) {
                Ok(()) => return Self::held(&dir, made).map(Some),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io(&dir, e)),
            }
        }
        Ok(None)
    }

    fn held(dir: &Path, made: Vec<PathBuf>) -> Result<Self> {
        let path = dir.join(LOCK);
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| Error::io(&path, e))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::file(
                dir,
                "training",
                "one at a time (wait for the other one, or stop it)",
                "that another program trains here",
            )),
            Ok(()) | Err(TryLockError::Error(_)) => {
                Ok(Self { dir: dir.to_owned(), made, _file: file })
            }
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let has_lock_alone = || {
            let mut names =
                fs::read_dir(&self.dir).ok()?.map(|entry| Some(entry.ok()?.file_name()));
            Some(names.all(|name| name.is_some_and(|name| name == LOCK)))
        };
        if !self.made.is_empty() && has_lock_alone() == Some(true) {
            // Best effort: an empty folder does no harm, and one that is not empty stays.
            let _ = fs::remove_file(self.dir.join(LOCK));
            let _ = self.made.iter().try_for_each(fs::remove_dir);
        }
    }
}

/// The folders that must be made for `dir`, the innermost first.
fn missing(dir: &Path) -> Vec<PathBuf> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    dir.ancestors().take_while(is_missing).map(Path::to_owned).collect()
}

impl Run {
    /// A new run in the folder `dir`, which is made if need be, held.
    ///
    /// # Errors
    ///
    /// When something of a run lies there already, and while another program trains there.
    pub fn create(dir: impl AsRef<Path>, recipe: &Recipe) -> Result<(Self, Claim)> {
        let dir = dir.as_ref();
        let claim = Claim::of(dir)?;
        let models = store::MODELS.map(|(file, _)| file);
        for name in [RECIPE, CHECKPOINT, METRICS, config::CONFIG].iter().chain(&models) {
            if dir.join(name).exists() {
                let advice =
                    "a folder without a run (choose another --out, or go on with --resume)";
                return Err(Error::file(
                    dir,
                    "output",
                    advice,
                    format!("the {name} of an earlier run"),
                ));
            }
        }
        Ok((Self::begin(dir, recipe)?, claim))
    }

    /// A new run in the first of the folders `dirs` that does not exist yet, held. `None` where all exist.
    ///
    /// # Errors
    ///
    /// As [`Run::create`], unless the folder exists.
    pub fn create_in_first_free(
        dirs: impl IntoIterator<Item = PathBuf>,
        recipe: &Recipe,
    ) -> Result<Option<(Self, Claim)>> {
        let Some(claim) = Claim::of_first_free(dirs)? else { return Ok(None) };
        Ok(Some((Self::begin(claim.dir(), recipe)?, claim)))
    }

    fn begin(dir: &Path, recipe: &Recipe) -> Result<Self> {
        let run = Self { dir: dir.to_path_buf() };
        write_new(&run.recipe_path(), recipe.to_toml()?.as_bytes())?;
        Ok(run)
    }

    /// The run that lies in the folder `dir`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let run = Self { dir: dir.to_path_buf() };
        if !run.recipe_path().is_file() {
            return Err(Error::file(dir, "run", format!("a folder with a {RECIPE}"), "none"));
        }
        Ok(run)
    }

    /// Holds the run for as long as what this gives is there; before anything of it is read to go on from.
    ///
    /// # Errors
    ///
    /// While another program trains there.
    pub fn claim(&self) -> Result<Claim> {
        Claim::of(&self.dir)
    }

    /// Takes a run back that never came to a checkpoint: the same command may begin anew. Where there is a checkpoint or a model
    /// nothing is taken.
    ///
    /// # Errors
    ///
    /// Where a file cannot be taken away.
    pub fn discard_unbegun(&self) -> Result<()> {
        if self.dir.join(CHECKPOINT).exists() || self.is_finished() {
            return Ok(());
        }
        for path in [self.dir.join(METRICS), self.recipe_path()] {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(&path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The recipe, as it was with every setting made.
    ///
    /// # Errors
    ///
    /// As [`Recipe::read`].
    pub fn recipe(&self) -> Result<Recipe> {
        Recipe::read(&self.recipe_path())
    }

    /// Whether the training has come to its end.
    pub fn is_finished(&self) -> bool {
        self.dir.join(store::WEIGHTS).is_file()
    }

    /// The last checkpoint, if one was taken.
    ///
    /// # Errors
    ///
    /// Where it is damaged or cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        let path = self.dir.join(CHECKPOINT);
        if !path.exists() {
            return Ok(None);
        }
        Checkpoint::load(&path, &candle_core::Device::Cpu).map(Some)
    }

    /// Replaces the last checkpoint.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn save_checkpoint(&self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.save(&self.dir.join(CHECKPOINT))
    }

    /// Adds a line to `metrics.jsonl`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn append_metrics(&self, metrics: &EpochMetrics) -> Result<()> {
        let path = self.dir.join(METRICS);
        let mut line = serde_json::to_vec(metrics)
            .map_err(|e| Error::invalid(METRICS, "plain data", e.to_string()))?;
        line.push(b'\n');
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(&line)).map_err(|e| Error::io(&path, e))
    }

    /// The lines of `metrics.jsonl`; none where there is no such file.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn metrics(&self) -> Result<String> {
        let path = self.dir.join(METRICS);
        if !path.exists() {
            return Ok(String::new());
        }
        fs::read_to_string(&path).map_err(|e| Error::io(&path, e))
    }

    /// Keeps the first `lines` lines of `metrics.jsonl`: those of the epochs that the checkpoint knows.
    ///
    /// # Errors
    ///
    /// Where there are not so many lines, and where the file cannot be written.
    pub fn truncate_metrics(&self, lines: u64) -> Result<()> {
        let path = self.dir.join(METRICS);
        if !path.exists() {
            return Ok(());
        }
        let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let kept: Vec<u8> = bytes
            .split_inclusive(|&b| b == b'\n')
            .take(lines as usize)
            .flatten()
            .copied()
            .collect();
        write_whole(&path, &kept)
    }

    fn recipe_path(&self) -> PathBuf {
        self.dir.join(RECIPE)
    }
}
