//! Where an estimation waits that is not finished.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use candle_core::Device;
use rbm_core::Checkpoint;
use rbm_core::estimate::{AisRecord, BidirectionalAis};

/// The file in which an estimation that is not finished waits.
const CHECKPOINT: &str = "likelihood.checkpoint.safetensors";

/// The checkpoint of an estimation that is not finished.
pub struct EstimateCheckpoint {
    /// The file.
    pub path: PathBuf,
    every: Duration,
    written: Instant,
}

impl EstimateCheckpoint {
    /// In the folder of the model; `every` is in seconds.
    pub fn new(run: &Path, every: f64) -> Result<Self> {
        let every = Duration::try_from_secs_f64(every).map_err(|_| {
            anyhow!("--checkpoint-every: expected seconds of at least 0, found {every}")
        })?;
        std::fs::create_dir_all(run).with_context(|| run.display().to_string())?;
        Ok(Self { path: run.join(CHECKPOINT), every, written: Instant::now() })
    }

    /// What an earlier process left, if anything.
    pub fn load(&self) -> Result<Option<Checkpoint<AisRecord>>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let checkpoint = Checkpoint::load(&self.path, &Device::Cpu);
        Ok(Some(
            checkpoint
                .map_err(|e| anyhow!("{e} (delete the file to begin the estimation anew)"))?,
        ))
    }

    /// Writes a checkpoint if it is time for one.
    pub fn save(&mut self, sides: &BidirectionalAis) -> Result<()> {
        match self.written.elapsed() < self.every {
            true => Ok(()),
            false => self.save_now(sides),
        }
    }

    /// Writes a checkpoint.
    pub fn save_now(&mut self, sides: &BidirectionalAis) -> Result<()> {
        let (tensors, record) = sides.checkpoint()?;
        Checkpoint { tensors, record }.save(&self.path)?;
        self.written = Instant::now();
        Ok(())
    }

    /// Takes the file away.
    pub fn finish(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| self.path.display().to_string())
            }
            _ => Ok(()),
        }
    }
}
