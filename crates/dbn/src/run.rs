//! A run's folder: what a training leaves behind, and what it needs to go on.

use std::fs::{self, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use rbm_core::checkpoint::{UNFINISHED, write_whole};
use rbm_core::{Error, Result};

use crate::training::{Checkpoint, Figures};
use crate::{Recipe, config, store};

/// The recipe in a run's folder.
pub const RECIPE: &str = "recipe.toml";
const CHECKPOINT: &str = "checkpoint.safetensors";
const METRICS: &str = "metrics.jsonl";
/// What lies in the folder of a run, and of no other model.
pub const RUNS: [&str; 2] = [CHECKPOINT, METRICS];

/// The folder of one training: `recipe.toml`, `checkpoint.safetensors`, `metrics.jsonl`, and at the end the model and its
/// pictures.
#[derive(Debug, Clone)]
pub struct Run {
    dir: PathBuf,
}

/// A run that nobody else trains.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    /// What is locked.
    _file: fs::File,
}

impl Run {
    /// A new run in the folder `dir`, which is made if need be. Errors when something of a run lies there already.
    pub fn create(dir: &Path, recipe: &Recipe) -> Result<Self> {
        for name in [RECIPE, CHECKPOINT, METRICS, config::CONFIG, store::WEIGHTS] {
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
        fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        Self::begin(dir, recipe)
    }

    /// A new run in the first of the folders `dirs` that does not exist yet; making it is what claims it, so that two
    /// programs that start at the same time never share one. `None` where all exist.
    pub fn create_in_first_free(
        dirs: impl IntoIterator<Item = PathBuf>,
        recipe: &Recipe,
    ) -> Result<Option<Self>> {
        for dir in dirs {
            if let Some(parent) = dir.parent() {
                fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))?;
            }
            match fs::create_dir(&dir) {
                Ok(()) => return Self::begin(&dir, recipe).map(Some),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io(&dir, e)),
            }
        }
        Ok(None)
    }

    fn begin(dir: &Path, recipe: &Recipe) -> Result<Self> {
        let run = Self { dir: dir.to_path_buf() };
        write_whole(&run.recipe_path(), recipe.to_toml()?.as_bytes())?;
        Ok(run)
    }

    /// The run that lies in the folder `dir`. Errors when there is none.
    pub fn open(dir: &Path) -> Result<Self> {
        let run = Self { dir: dir.to_path_buf() };
        if !run.recipe_path().is_file() {
            return Err(Error::file(dir, "run", format!("a folder with a {RECIPE}"), "none"));
        }
        Ok(run)
    }

    /// Holds the run for as long as what this gives is there. Errors while another program holds it: two trainings would write into
    /// one folder. Where a file system knows no locks nothing is held.
    pub fn claim(&self) -> Result<Claim> {
        let path = self.recipe_path();
        let file = fs::File::open(&path).map_err(|e| Error::io(&path, e))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::file(
                &self.dir,
                "training",
                "one at a time (wait for the other one, or stop it)",
                "that another program trains here",
            )),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Claim { _file: file }),
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The recipe, as it was with every setting made.
    pub fn recipe(&self) -> Result<Recipe> {
        Recipe::read(&self.recipe_path())
    }

    /// Whether the training has come to its end.
    pub fn is_finished(&self) -> bool {
        self.dir.join(store::WEIGHTS).is_file()
    }

    /// The last checkpoint, if one was taken.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        let path = self.dir.join(CHECKPOINT);
        if !path.exists() {
            return Ok(None);
        }
        Checkpoint::load(&path, &candle_core::Device::Cpu).map(Some)
    }

    /// Replaces the last checkpoint.
    pub fn save_checkpoint(&self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.save(&self.dir.join(CHECKPOINT))
    }

    /// Adds a line to `metrics.jsonl`.
    pub fn append_metrics(&self, figures: &Figures) -> Result<()> {
        let path = self.dir.join(METRICS);
        let mut line = serde_json::to_vec(figures)
            .map_err(|e| Error::invalid(METRICS, "plain data", e.to_string()))?;
        line.push(b'\n');
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(&line)).map_err(|e| Error::io(&path, e))
    }

    /// The lines of `metrics.jsonl`; none where there is no such file.
    pub fn metrics(&self) -> Result<String> {
        let path = self.dir.join(METRICS);
        if !path.exists() {
            return Ok(String::new());
        }
        fs::read_to_string(&path).map_err(|e| Error::io(&path, e))
    }

    /// Takes away what a killed process was still writing beside its files.
    pub fn sweep(&self) -> Result<()> {
        let failed = |e| Error::io(&self.dir, e);
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let is_unfinished =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
            if is_unfinished {
                fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
            }
        }
        Ok(())
    }

    /// Keeps the first `lines` lines of `metrics.jsonl`: those of the epochs that the checkpoint knows.
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
