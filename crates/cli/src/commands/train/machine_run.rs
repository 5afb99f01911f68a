//! The run of a machine that learns: what is kept while it does, and its curves.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use candle_dbn::viz::{Mark, Series, learning as learning_curves};
use rbm_core::learning::train::EpochMetrics;
use rbm_core::state::write_whole;
use rbm_core::{Checkpoint, Error, Observer};

use super::watcher::{Kept, Watcher};
use crate::interrupt::{self, Stopped};
use crate::progress::Progress;

/// The lines of a training, one an epoch.
const METRICS: &str = "metrics.jsonl";

/// A folder in which a machine learns.
pub struct MachineRun<'a> {
    pub dir: &'a Path,
    /// The file of the machine, which goes on from itself.
    pub file: &'a str,
    /// Epochs that are done.
    pub epochs: usize,
}

impl MachineRun<'_> {
    /// Runs the epochs that are left, by `fit`.
    pub fn learn(
        &self,
        interval: Duration,
        progress: Progress,
        fit: impl FnOnce(&mut dyn Observer) -> rbm_core::Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (path, metrics) = (self.dir.join(self.file), self.dir.join(METRICS));
        // Lines of epochs that were not kept are taken back.
        let kept: String = match std::fs::read_to_string(&metrics) {
            Ok(text) => text.lines().take(self.epochs).flat_map(|line| [line, "\n"]).collect(),
            Err(_) => String::new(),
        };
        let files = MachineFiles { machine: &path, metrics: &metrics, written: kept.into_bytes() };
        let mut watcher = Watcher::new(files, progress, interval);
        let _caught = interrupt::catch()?;
        let ended = fit(&mut watcher);
        watcher.progress.finish();
        if ended?.is_break() {
            let goes_on =
                format!("the same command with --out {} goes on from here", self.dir.display());
            return Err(Stopped(goes_on).into());
        }
        Ok(write_whole(&metrics, &watcher.kept.written)?)
    }
}

/// The files of a machine that learns.
struct MachineFiles<'a> {
    machine: &'a Path,
    metrics: &'a Path,
    written: Vec<u8>,
}

impl Kept for MachineFiles<'_> {
    fn epoch(&mut self, metrics: &EpochMetrics) -> rbm_core::Result<()> {
        serde_json::to_writer(&mut self.written, metrics)
            .map_err(|e| Error::io(self.metrics, e.into()))?;
        self.written.push(b'\n');
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> rbm_core::Result<()> {
        write_whole(self.metrics, &self.written)?;
        checkpoint.save(self.machine)
    }
}

/// Draws `learning.png`: of each panel what its axis says, and the key in the lines of the training. What no line has is left out.
pub fn curves(dir: &Path, panels: &[(&str, &str)]) -> Result<()> {
    let text = std::fs::read_to_string(dir.join(METRICS))?;
    let curve = |key: &str| -> Vec<(f64, f64)> {
        let lines =
            text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter_map(|line| Some((line["epoch"].as_f64()?, line[key].as_f64()?))).collect()
    };
    let panels = panels.iter().map(|(y, key)| (*y, curve(key)));
    let panels = panels.filter(|(_, points)| !points.is_empty());
    let panels =
        panels.map(|(y, points)| (y.to_owned(), vec![Series::new("", Mark::Line, points)]));
    Ok(learning_curves(dir.join("learning.png"), panels.collect())?)
}
