//! A search for sizes and rates that goes on where it was: its trials lie in a file, and what proves best learns from all cases.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_dbn::training::Command;
use candle_dbn::training::search::{Options, Search, SearchObserver, Trial};
use candle_dbn::{Error, Model, Recipe, Run};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::state::write_whole;
use serde::{Deserialize, Serialize};

use crate::interrupt::{self, Stopped};
use crate::{inputs, output, progress};

/// The file that remembers what has been tried: a trial a line.
pub const TRIED: &str = "tried.jsonl";

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Tried<T> {
    /// Recipe, data and seed.
    of: String,
    #[serde(flatten)]
    trial: T,
}

/// Leaves in `dir` a model that was trained on all cases but those held out, in the way that proved best within `budget` seconds,
/// and what was tried in `tried.jsonl`.
pub fn choose(dir: &Path, recipe: Recipe, budget: u64, bars: &MultiProgress) -> Result<()> {
    let of = format!("{} of {}, seed {}", recipe.name, recipe.data.source, recipe.seed);
    let dataset = inputs::load_data(&recipe)?;
    let options = Options { budget: budget as f64, ..Options::default() };
    let mut search = Search::new(recipe, dataset, options)?;
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let _caught = interrupt::catch()?;
    search.trials = read(dir, &of)?;
    let mut trials = Trials { dir, of, budget, bars, bar: None };
    let best = search.run(&mut trials)?.ok_or_else(stopped)?;
    let recipe = search.recipe(best)?;
    let mut whole = recipe.clone();
    whole.data.learn_validation = true;
    if Run::open(dir)
        .is_ok_and(|run| run.is_finished() && run.recipe().ok().as_ref() == Some(&whole))
    {
        return Ok(());
    }
    let keys = search.options.settings(best).join(" ");
    output::note(format!("chosen; from all cases but those held out: {keys}"));
    let bar = progress::spinner(bars, "learning from all cases");
    match search.learn(&whole, &mut trials) {
        Ok(model) => keep(dir, &whole, &model.ok_or_else(stopped)?)?,
        // Where learning diverges with the cases for validation, it is done without them.
        Err(error @ Error::Diverged { .. }) => {
            output::note(format!("{error}; so without the cases for validation"));
            let model = search.learn(&recipe, &mut trials)?;
            keep(dir, &recipe, &model.ok_or_else(stopped)?)?;
        }
        Err(error) => return Err(error.into()),
    }
    bar.finish_and_clear();
    Ok(())
}

/// Shows what is tried, and adds it to the file.
struct Trials<'a> {
    dir: &'a Path,
    of: String,
    budget: u64,
    bars: &'a MultiProgress,
    bar: Option<ProgressBar>,
}

impl SearchObserver for Trials<'_> {
    fn begin(&mut self, spent: f64, settings: &[String]) {
        let bar = progress::spinner(self.bars, "choosing");
        bar.set_message(format!("{spent:.0} of {} s: {}", self.budget, settings.join(" ")));
        self.bar = Some(bar);
    }

    fn step(&mut self) -> Command {
        if interrupt::is_asked() { Command::Stop } else { Command::Continue }
    }

    fn trial(&mut self, trial: &Trial) -> candle_dbn::Result<()> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        output::note(format!(
            "{:.3} on validation, {:.1} s: {}",
            trial.validation,
            trial.seconds,
            trial.settings.join(" ")
        ));
        let path = self.dir.join(TRIED);
        let written = serde_json::to_string(&Tried { of: self.of.clone(), trial })
            .map_err(std::io::Error::from)
            .and_then(|line| {
                let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
                file.write_all((line + "\n").as_bytes())
            });
        written.map_err(|error| Error::io(&path, error))
    }
}

/// What earlier processes have tried of recipe, data and seed `of`. Errors where the file holds anything else.
fn read(dir: &Path, of: &str) -> Result<Vec<Trial>> {
    let path = dir.join(TRIED);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // A killed process may have left half a line.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut trials = Vec::new();
    for (i, line) in whole.lines().enumerate() {
        let tried: Tried<Trial> = serde_json::from_str(line).with_context(|| {
            let place = format!("{}: line {}", path.display(), i + 1);
            format!("{place}: expected a trial of this version (choose another --out)")
        })?;
        ensure!(
            tried.of == of,
            "{}: expected trials of {of}, found {} (choose another --out)",
            path.display(),
            tried.of
        );
        trials.push(tried.trial);
    }
    if whole.len() < text.len() {
        write_whole(&path, whole.as_bytes())?;
    }
    Ok(trials)
}

/// Makes `dir` a run whose model is this one.
fn keep(dir: &Path, recipe: &Recipe, model: &Model) -> Result<()> {
    for name in ["recipe.toml", "config.json", "model.safetensors"] {
        let path = dir.join(name);
        if path.exists() {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    let (_, _claim) = Run::create(dir, recipe)?;
    Ok(model.save(dir)?)
}

fn stopped() -> anyhow::Error {
    Stopped("the same command goes on with what has not been done yet".into()).into()
}
