//! What watches a training: progress, checkpoints from time to time, Ctrl-C.

use std::time::{Duration, Instant};

use rbm_core::learning::train::{Command, EpochMetrics, StageStart, Step};
use rbm_core::{Checkpoint, Observer, Result};

use crate::interrupt;
use crate::progress::Progress;

/// Where a training keeps what goes on.
pub trait Kept {
    /// Takes the numbers of an epoch.
    fn epoch(&mut self, metrics: &EpochMetrics) -> Result<()>;

    /// Takes a checkpoint.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()>;
}

/// Shows progress, has metrics and checkpoints kept, and stops at Ctrl-C.
pub struct Watcher<K> {
    pub kept: K,
    pub progress: Progress,
    /// The time between checkpoints.
    interval: Duration,
    last: Instant,
}

impl<K: Kept> Watcher<K> {
    pub fn new(kept: K, progress: Progress, interval: Duration) -> Self {
        Self { kept, progress, interval, last: Instant::now() }
    }
}

impl<K: Kept> Observer for Watcher<K> {
    fn stage(&mut self, stage: &StageStart) -> Result<()> {
        self.progress.stage(stage);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<Command> {
        self.progress.step(step);
        Ok(if interrupt::is_requested() {
            Command::Stop
        } else if self.last.elapsed() >= self.interval {
            Command::Checkpoint
        } else {
            Command::Continue
        })
    }

    fn epoch(&mut self, metrics: &EpochMetrics) -> Result<()> {
        self.progress.epoch(metrics);
        self.kept.epoch(metrics)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.kept.checkpoint(checkpoint)?;
        self.last = Instant::now();
        Ok(())
    }
}
