//! Sizes and rates chosen on the validation part: one key after the other, a step up or down, as long as it helps. What was
//! chosen then learns from the training and the validation cases together.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use dbn::likelihood::{self, Likelihood, Sampling};
use dbn::training::{Checkpoint, Command, Figures, Outcome, Stage, Step, Watch};
use dbn::{Dataset, Model, Part, Recipe, Run, Training};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::checkpoint::write_whole;
use rbm_core::likelihood::{Effort, Options, Sides};
use serde::{Deserialize, Serialize};

use crate::progress;
use crate::stop::{self, Stopped};

/// What may be chosen: a key of the recipe, or [`KIND`], and its values in order. The middle ones come first.
const AXES: [(&str, &[&str], usize); 6] = [
    (HIDDEN, &["16", "25", "50", "100", "200", "400"], 3),
    ("l2", &["1e-5", "1e-4", "3e-4", "1e-3", "2e-3", "5e-3", "1e-2"], 3),
    ("learning_rate", &["{from=0.01,to=0.0}", "{from=0.03,to=0.0}", "{from=0.1,to=0.0}"], 2),
    (KIND, &["bernoulli", "spin"], 0),
    (EPOCHS, &["100", "300", "1000", "3000"], 1),
    (STEPS, &["1", "5", "20"], 1),
];
/// The number of hidden units, and what they are: one key of the recipe, `KIND:NUMBER`.
const HIDDEN: &str = "hidden";
const KIND: &str = "kind";
const EPOCHS: &str = "epochs";
const STEPS: &str = "steps";
/// Inverse temperatures of the estimate on the validation part, where it is not exact: its error is some hundredths.
const BETAS: usize = 1000;
/// The most sweeps of its tempering, to burn in and to sample.
const SWEEPS: usize = 500;
/// The file that remembers what has been tried.
const TRIED: &str = "tried.jsonl";

/// Positions on the axes.
type Place = [usize; AXES.len()];

/// What was tried and what it gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Trial {
    /// Recipe, data and seed.
    of: String,
    place: Place,
    settings: Vec<String>,
    /// Mean log p(v) of the validation part; the lower side where it is not exact.
    validation: f64,
    seconds: f64,
}

/// Leaves in `dir` a model that was trained on all cases but those held out, in the way that proved best within `budget` seconds,
/// and what was tried in `tried.jsonl`.
pub fn choose(
    dir: &Path,
    recipe: &str,
    data: &str,
    seed: u64,
    budget: u64,
    bars: &MultiProgress,
) -> Result<()> {
    let mut recipe = Recipe::named(recipe)?;
    recipe.data.source = crate::recipe::absolute(data)?;
    recipe.seed = seed;
    let dataset = crate::recipe::load_data(&recipe)?;
    ensure!(
        dataset.validation.is_some(),
        "{data}: expected a validation part to choose by, found none"
    );
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let _caught = stop::catch()?;
    let of = format!("{} of {}, seed {seed}", recipe.name, recipe.data.source);
    let mut search =
        Search { dir, recipe, dataset, budget: budget as f64, tried: tried(dir, &of)?, of, bars };
    search.climb()?;
    search.learn_all()
}

/// A trial as a line of the file.
fn line(trial: &Trial) -> Result<String> {
    Ok(serde_json::to_string(trial)? + "\n")
}

/// What earlier processes have tried.
fn tried(dir: &Path, of: &str) -> Result<Vec<Trial>> {
    let path = dir.join(TRIED);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // A killed process may have left half a line.
    let tried: Vec<Trial> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if let Some(other) = tried.iter().find(|trial| trial.of != of) {
        bail!(
            "{}: expected trials of {of}, found {} (choose another --out)",
            path.display(),
            other.of
        );
    }
    let whole: String = tried.iter().map(line).collect::<Result<_>>()?;
    write_whole(&path, whole.as_bytes())?;
    Ok(tried)
}

struct Search<'a> {
    dir: &'a Path,
    recipe: Recipe,
    dataset: Dataset,
    budget: f64,
    tried: Vec<Trial>,
    of: String,
    bars: &'a MultiProgress,
}

impl Search<'_> {
    /// Goes from the middle a step up or down each axis in turn, as long as that is better and there is time.
    fn climb(&mut self) -> Result<()> {
        let mut best = AXES.map(|(_, _, start)| start);
        let Some(mut score) = self.score(best)? else { return Ok(()) };
        loop {
            let before = best;
            for axis in 0..AXES.len() {
                for up in [true, false] {
                    while let Some(next) = step(best, axis, up) {
                        match self.score(next)? {
                            None => return Ok(()),
                            Some(found) if found > score => (best, score) = (next, found),
                            Some(_) => break,
                        }
                    }
                }
            }
            if best == before {
                return Ok(());
            }
        }
    }

    /// What a place gives; `None` when the budget is spent. The first one is always tried.
    fn score(&mut self, place: Place) -> Result<Option<f64>> {
        if let Some(trial) = self.tried.iter().find(|trial| trial.place == place) {
            return Ok(Some(trial.validation));
        }
        let spent: f64 = self.tried.iter().map(|trial| trial.seconds).sum();
        let is_first = self.tried.is_empty();
        if !is_first && spent + self.expected(place) > self.budget {
            return Ok(None);
        }
        let clock = Instant::now();
        let settings = settings(place);
        let bar = progress::spinner(self.bars, "choosing");
        bar.set_message(format!("{spent:.0} of {:.0} s: {}", self.budget, settings.join(" ")));
        let recipe = self.recipe.clone().with(&settings)?;
        let validation = match self.train(&recipe, &bar) {
            Ok((model, training)) => {
                let part = training.validation.as_ref().context("no validation part")?;
                judge(&model, part, recipe.seed)?
            }
            Err(error) if !is_first && has_diverged(&error) => f64::MIN,
            Err(error) => return Err(error),
        };
        bar.finish_and_clear();
        let seconds = clock.elapsed().as_secs_f64();
        let trial = Trial { of: self.of.clone(), place, settings, validation, seconds };
        crate::output::note(format!(
            "{:.3} on validation, {seconds:.1} s: {}",
            trial.validation,
            trial.settings.join(" ")
        ));
        let path = self.dir.join(TRIED);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(line(&trial)?.as_bytes()).with_context(|| path.display().to_string())?;
        self.tried.push(trial);
        Ok(Some(validation))
    }

    /// Trains by `recipe`.
    fn train(&self, recipe: &Recipe, bar: &ProgressBar) -> Result<(Model, Training)> {
        let mut training = Training::new(recipe.clone(), self.dataset.clone(), &Device::Cpu)?;
        training.monitor = false;
        match training.run(&mut Silent(bar))? {
            Outcome::Finished(model) => Ok((*model, training)),
            Outcome::Stopped => Err(stopped()),
        }
    }

    /// Trains once more as the best trial was trained, from all cases that are not held out, and leaves that.
    fn learn_all(&self) -> Result<()> {
        let tried = self.tried.iter();
        let best = tried.max_by(|a, b| a.validation.total_cmp(&b.validation));
        let mut settings = best.context("nothing was tried")?.settings.clone();
        settings.push("data.learn_validation=true".into());
        crate::output::note(format!("from all cases but those held out: {}", settings.join(" ")));
        let bar = progress::spinner(self.bars, "learning from all cases");
        let recipe = self.recipe.clone().with(&settings)?;
        let (model, _) = self.train(&recipe, &bar)?;
        bar.finish_and_clear();
        self.keep(&recipe, &model)
    }

    /// Seconds that a trial will take, from the last one and how much more there is to multiply.
    fn expected(&self, place: Place) -> f64 {
        let work = |place: Place| -> f64 {
            let number = |key| value(key, place).parse().unwrap_or(1.0);
            number(HIDDEN) * number(EPOCHS) * (2.0 + number(STEPS))
        };
        self.tried.last().map_or(0.0, |last| last.seconds * work(place) / work(last.place))
    }

    /// Makes `dir` a run whose model is this one.
    fn keep(&self, recipe: &Recipe, model: &Model) -> Result<()> {
        for name in ["recipe.toml", "config.json", "model.safetensors"] {
            let path = self.dir.join(name);
            if path.exists() {
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
        Run::create(self.dir, recipe)?;
        Ok(model.save(self.dir)?)
    }
}

/// What `key` is at a place.
fn value(key: &str, place: Place) -> &'static str {
    let mut axes = AXES.iter().zip(place);
    axes.find(|((name, ..), _)| *name == key).map_or("", |((_, values, _), i)| values[i])
}

/// The recipe's keys at a place.
fn settings(place: Place) -> Vec<String> {
    let keys = AXES.iter().map(|(key, ..)| *key).filter(|key| *key != KIND);
    keys.map(|key| {
        let kind = if key == HIDDEN { format!("{}:", value(KIND, place)) } else { String::new() };
        format!("layers.0.{key}={kind}{}", value(key, place))
    })
    .collect()
}

fn step(mut place: Place, axis: usize, up: bool) -> Option<Place> {
    let next = place[axis].checked_add_signed(if up { 1 } else { -1 })?;
    place[axis] = next;
    (next < AXES[axis].1.len()).then_some(place)
}

/// The mean log p(v) of the validation part: exact, or the lower of two short estimates from both sides. One side alone would
/// choose the machine of which it is most wrong.
fn judge(model: &Model, part: &Part, seed: u64) -> Result<f64> {
    let cases = &part.cases;
    if let Some(exact) =
        Likelihood::exact(model, cases, Sampling::default())?.and_then(|found| found.exact)
    {
        return Ok(exact.log_likelihood);
    }
    let (rbm, path) = (model.dbn.top(), likelihood::path(model, cases)?);
    let effort = Effort { sweeps: SWEEPS, ..Effort::default() };
    let options = Options { betas: BETAS, effort, seed, ..Options::default() };
    let mut sides = Sides::new(rbm, path, options)?;
    while !sides.is_done() {
        if stop::is_asked() {
            return Err(stopped());
        }
        sides.step()?;
    }
    let found =
        Likelihood::from_sides(model, cases, Sampling::default(), sides.found(), f64::INFINITY)?;
    let (forward, reverse) = found.forward.zip(found.reverse).context("no estimate")?;
    Ok(forward.log_likelihood.min(reverse.log_likelihood))
}

fn has_diverged(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(dbn::Error::Diverged { .. }))
}

fn stopped() -> anyhow::Error {
    Stopped("the same command goes on with what has not been tried yet".into()).into()
}

/// Nobody watches but a spinner.
struct Silent<'a>(&'a ProgressBar);

impl Watch for Silent<'_> {
    fn stage(&mut self, _: &Stage) -> dbn::Result<()> {
        Ok(())
    }

    fn step(&mut self, _: &Step) -> dbn::Result<Command> {
        Ok(if stop::is_asked() { Command::Stop } else { Command::Continue })
    }

    fn epoch(&mut self, _: &Figures) -> dbn::Result<()> {
        self.0.tick();
        Ok(())
    }

    fn checkpoint(&mut self, _: &Checkpoint) -> dbn::Result<()> {
        Ok(())
    }
}
