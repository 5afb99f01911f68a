//! The run of a machine that learns: what is kept while it does, and its curves.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use candle_dbn::recipe::{BeliefRecipe, MachineRecipe};
use candle_dbn::store::run::{Claim, RECIPE};
use candle_dbn::store::table::TableLayout;
use candle_dbn::store::{BELIEF, MACHINE, MODELS, WEIGHTS};
use candle_dbn::training::Outcome;
use candle_dbn::viz::{Mark, Series, learning as learning_curves, report};
use candle_dbn::{Recipe, Run, Training};
use indicatif::MultiProgress;
use rbm_core::learning::train::EpochMetrics;
use rbm_core::state::write_whole;
use rbm_core::{Checkpoint, Error, Observer};
use serde_json::{Map, Value};

use super::watcher::{Kept, Watcher};
use crate::interrupt::{self, Interrupted};
use crate::output;
use crate::progress::Progress;

/// The lines of a training, one an epoch.
const METRICS: &str = "metrics.jsonl";

/// The fewest updates, where nobody says how many epochs there are: one mini-batch an epoch would be next to nothing learned.
const UPDATES: usize = 2000;

/// The epochs of a training: those that are `named`, or the usual number, and of few cases as many as have [`UPDATES`] updates.
pub fn epochs(named: Option<usize>, usual: usize, [cases, batch_size]: [usize; 2]) -> usize {
    let batches = cases.div_ceil(batch_size.max(1)).max(1);
    named.unwrap_or_else(|| usual.max(UPDATES.div_ceil(batches)))
}

/// Holds the folder of a run whose model is the file `own`: `out`, or the first of `runs/KIND-NAME`, `runs/KIND-NAME-2`, ... for data called
/// NAME that is not there yet. Errors where another run lies there.
pub fn claim(own: &str, out: Option<&Path>, kind: &str, source: &str) -> Result<Claim> {
    let Some(dir) = out else {
        let name = source.replace(':', "-");
        let name =
            Path::new(&name).file_stem().map_or("data".into(), |name| name.to_string_lossy());
        let first = std::iter::once(format!("runs/{kind}-{name}"));
        let dirs = first.chain((2..1000).map(|number| format!("runs/{kind}-{name}-{number}")));
        let claim = Claim::of_first_free(dirs.map(PathBuf::from))?;
        return claim.context("runs: every name for a new run is taken; choose one with --out");
    };
    output::check_folder_name(dir)?;
    let claim = Claim::of(dir)?;
    // One that was killed before its first copy on disk has a recipe, and begins anew.
    let recipe = dir.join(RECIPE);
    let begun = match () {
        _ if !recipe.exists() => None,
        _ if BeliefRecipe::is_in(&recipe) => Some(BELIEF),
        _ if MachineRecipe::is_in(&recipe) => Some(MACHINE),
        _ => Some(WEIGHTS),
    };
    ensure!(
        begun.is_some() || !dir.join(own).exists(),
        "{}: holds a model already, and no {RECIPE} by which it could go on: choose another --out",
        dir.display()
    );
    let holds = |file: &str| begun == Some(file) || dir.join(file).exists();
    for (file, what) in MODELS {
        ensure!(
            file == own || !holds(file),
            "{}: holds the run of {what}: choose another --out",
            dir.display()
        );
    }
    Ok(claim)
}

/// Keeps the columns of the `table` that is learned from, in the folder `dir`, before anything is learned: commands take what is not finished yet. Errors
/// where a run in it, which is to go on, began with others.
pub fn keep_table(dir: &Path, goes_on: bool, table: Option<&TableLayout>) -> Result<()> {
    let known = TableLayout::read(dir)?.filter(|_| goes_on);
    ensure!(
        known.is_none() || known.as_ref() == table,
        "{}: its data had other columns, categories or classes: choose another --out",
        dir.display()
    );
    Ok(table.map_or(Ok(()), |table| table.save(dir))?)
}

/// Says what is wrong with what has learned, by the lines of its `metrics`.
pub fn warn(metrics: &str) {
    report::warnings(metrics).iter().for_each(|text| output::note(format!("warning: {text}")));
}

/// A folder in which a machine learns.
pub struct MachineRun<'a> {
    pub dir: &'a Path,
    /// The file of the machine, which goes on from itself.
    pub file: &'a str,
    /// Epochs that are done.
    pub epochs: usize,
}

impl MachineRun<'_> {
    /// Writes the recipe, prints the folder, and runs the epochs that are left, by `fit`.
    pub fn learn(
        &self,
        recipe: &str,
        interval: Duration,
        (bars, quiet): (&MultiProgress, bool),
        fit: impl FnOnce(&mut dyn Observer) -> rbm_core::Result<ControlFlow<()>>,
    ) -> Result<()> {
        write_whole(&self.dir.join(RECIPE), recipe.as_bytes())?;
        output::line(format!("run {}", self.dir.display()))?;
        let (path, metrics) = (self.dir.join(self.file), self.dir.join(METRICS));
        // Lines of epochs that were not kept are taken back.
        let kept: String = match std::fs::read_to_string(&metrics) {
            Ok(text) => text.lines().take(self.epochs).flat_map(|line| [line, "\n"]).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(&metrics, error).into()),
        };
        let files = MachineFiles { machine: &path, metrics: &metrics, written: kept.into_bytes() };
        let mut watcher = Watcher::new(files, Progress::new(bars, quiet), interval);
        let _caught = interrupt::catch()?;
        let ended = fit(&mut watcher);
        watcher.progress.finish();
        if ended?.is_break() {
            let goes_on =
                format!("the same command with --out {} goes on from here", self.dir.display());
            return Err(Interrupted(goes_on).into());
        }
        write_whole(&metrics, &watcher.kept.written)?;
        warn(&String::from_utf8_lossy(&watcher.kept.written));
        Ok(())
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

/// The lines of a `metrics.jsonl` that can be read: the last one may be half written.
pub fn lines(metrics: &str) -> impl Iterator<Item = Map<String, Value>> {
    metrics.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The points of a curve of a training: epoch and number.
pub fn points(metrics: &str, key: &str) -> Vec<(f64, f64)> {
    let point =
        |line: Map<String, Value>| Some((line.get("epoch")?.as_f64()?, line.get(key)?.as_f64()?));
    lines(metrics).filter_map(point).collect()
}

/// Draws `learning.png`: of each panel what its axis says, and the key in the lines of the training. What no line has is left out.
pub fn curves(dir: &Path, panels: &[(&str, &str)]) -> Result<()> {
    let text = std::fs::read_to_string(dir.join(METRICS))?;
    let panels = panels.iter().map(|(y, key)| (*y, points(&text, key)));
    let panels = panels.filter(|(_, points)| !points.is_empty());
    let panels =
        panels.map(|(y, points)| (y.to_owned(), vec![Series::new("", Mark::Line, points)]));
    Ok(learning_curves(dir.join("learning.png"), panels.collect())?)
}

/// Runs `training` in the folder `inner` of the run `dir`, or goes on where it was stopped; nothing where it has come to its end. Errors where a run
/// lies there whose recipe is not the same.
pub fn train_inside(
    (dir, inner): (&Path, &Path),
    training: &mut Training,
    is_same: impl Fn(&Recipe, &Recipe) -> bool,
    interval: Duration,
    (bars, quiet): (&MultiProgress, bool),
) -> Result<()> {
    let (run, _claim) = match inner.join(RECIPE).exists() {
        true => {
            let run = Run::open(inner)?;
            let claim = run.claim()?;
            (run, claim)
        }
        false => Run::create(inner, &training.recipe)?,
    };
    ensure!(
        is_same(&run.recipe()?, &training.recipe),
        "{}: holds a network of other settings: choose another --out",
        inner.display()
    );
    if run.is_finished() {
        return Ok(());
    }
    if let Some(checkpoint) = run.checkpoint()? {
        let notes = training.restore(checkpoint).with_context(|| inner.display().to_string())?;
        notes.iter().for_each(output::note);
    }
    training.notes.iter().for_each(output::note);
    run.truncate_metrics(training.record().epochs)?;
    let _caught = interrupt::catch()?;
    let mut watcher = Watcher::new(&run, Progress::new(bars, quiet), interval);
    let outcome = training.run(&mut watcher);
    watcher.progress.finish();
    match outcome? {
        Outcome::Finished(model) => {
            model.save(run.dir())?;
            warn(&run.metrics()?);
            Ok(())
        }
        Outcome::Stopped => {
            let how = format!("the same command with --out {} goes on from here", dir.display());
            Err(Interrupted(how).into())
        }
    }
}
