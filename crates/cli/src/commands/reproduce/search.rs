//! The search for sizes and rates on the validation part, within a budget of seconds, kept so that it goes on.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use candle_dbn::estimate::likelihood::{self, Likelihood, Sampling};
use candle_dbn::training::{Command, EpochMetrics, Observer, Outcome, Step};
use candle_dbn::{Dataset, Examples, Model, Recipe, Run, Training};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::estimate::{AisOptions, BidirectionalAis, TemperingConfig};
use rbm_core::state::write_whole;
use serde::{Deserialize, Serialize};

use crate::interrupt::{self, Stopped};
use crate::{inputs, progress};

/// Inverse temperatures of the estimate on the validation part, where it is not exact: its error is some hundredths.
const BETAS: usize = 1000;
/// The most sweeps of its tempering, to burn in and to sample.
const SWEEPS: usize = 500;
/// Leaves in `dir` a model that was trained on all cases but those held out, in the way that proved best within `budget` seconds,
/// and what was tried in `tried.jsonl`.
pub fn choose(dir: &Path, recipe: Recipe, budget: u64, bars: &MultiProgress) -> Result<()> {
    let dataset = inputs::load_data(&recipe)?;
    ensure!(
        dataset.validation.is_some(),
        "{}: expected a validation part to choose by, found none",
        recipe.data.source
    );
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let _caught = interrupt::catch()?;
    let of = format!("{} of {}, seed {}", recipe.name, recipe.data.source, recipe.seed);
    let tried = read(dir, &of)?;
    let mut search = Search { dir, recipe, dataset, budget: budget as f64, tried, of, bars };
    let best = search.climb()?;
    search.learn_all(best)
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
    /// Goes from the middle a step up or down each axis in turn, as long as that is better and there is time; the best place.
    fn climb(&mut self) -> Result<Place> {
        let mut best = middle();
        let Some(mut score) = self.score(best)? else { return Ok(best) };
        loop {
            let before = best;
            for axis in 0..AXES.len() {
                for up in [true, false] {
                    while let Some(next) = step(best, axis, up) {
                        match self.score(next)? {
                            None => return Ok(best),
                            Some(found) if found > score => (best, score) = (next, found),
                            Some(_) => break,
                        }
                    }
                }
            }
            if best == before {
                return Ok(best);
            }
        }
    }

    /// What a place gives; `None` when the budget is spent. The first one is always tried.
    fn score(&mut self, place: Place) -> Result<Option<f64>> {
        // What earlier runs had more time for is as if it were not there: a budget gives the same choice whatever came before it.
        let known = self.tried.iter().position(|trial| trial.place == place);
        let before = &self.tried[..known.unwrap_or(self.tried.len())];
        let spent: f64 = before.iter().map(|trial| trial.seconds).sum();
        let is_first = before.is_empty();
        if !is_first && spent + expected(before, place) > self.budget {
            return Ok(None);
        }
        if let Some(trial) = known.and_then(|known| self.tried.get(known)) {
            return Ok(Some(trial.validation));
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
        append(self.dir, &trial)?;
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

    /// Trains once more as at the `best` place, from all cases that are not held out, and leaves that. Where learning diverges
    /// with the cases for validation, it is done without them.
    fn learn_all(&self, best: Place) -> Result<()> {
        let recipe = self.recipe.clone().with(&settings(best))?;
        let mut whole = recipe.clone();
        whole.data.learn_validation = true;
        if Run::open(self.dir)
            .is_ok_and(|run| run.is_finished() && run.recipe().ok().as_ref() == Some(&whole))
        {
            return Ok(());
        }
        let keys = settings(best).join(" ");
        crate::output::note(format!("chosen; from all cases but those held out: {keys}"));
        let bar = progress::spinner(self.bars, "learning from all cases");
        match self.train(&whole, &bar) {
            Ok((model, _)) => self.keep(&whole, &model),
            Err(error) if has_diverged(&error) => {
                crate::output::note(format!("{error}; so without the cases for validation"));
                self.keep(&recipe, &self.train(&recipe, &bar)?.0)
            }
            Err(error) => Err(error),
        }?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Makes `dir` a run whose model is this one.
    fn keep(&self, recipe: &Recipe, model: &Model) -> Result<()> {
        for name in ["recipe.toml", "config.json", "model.safetensors"] {
            let path = self.dir.join(name);
            if path.exists() {
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
        let (_, _claim) = Run::create(self.dir, recipe)?;
        Ok(model.save(self.dir)?)
    }
}

/// Seconds that a trial at `place` will take, from the last one `before` it and how much more there is to multiply.
fn expected(before: &[Trial], place: Place) -> f64 {
    let ratio = |last: &Trial| work(place) / work(last.place);
    before.last().map_or(0.0, |last| last.seconds * ratio(last))
}

/// The mean log p(v) of the validation part: exact, or the lower of two short estimates from both sides. One side alone would
/// choose the machine of which it is most wrong.
fn judge(model: &Model, part: &Examples, seed: u64) -> Result<f64> {
    let cases = &part.cases;
    if let Some(exact) =
        Likelihood::exact(model, part, Sampling::default())?.and_then(|found| found.exact)
    {
        return Ok(exact.log_likelihood);
    }
    let (rbm, path) = (model.dbn.top(), likelihood::path(model, cases)?);
    let tempering = TemperingConfig { sweeps: SWEEPS, ..TemperingConfig::default() };
    let options = AisOptions { betas: BETAS, tempering, seed, ..AisOptions::default() };
    let mut sides = BidirectionalAis::new(rbm, path, options)?;
    while !sides.is_done() {
        if interrupt::is_asked() {
            return Err(stopped());
        }
        sides.step()?;
    }
    let found =
        Likelihood::from_sides(model, part, Sampling::default(), sides.found(), f64::INFINITY)?;
    let (forward, reverse) = found.forward.zip(found.reverse).context("no estimate")?;
    Ok(forward.log_likelihood.min(reverse.log_likelihood))
}

fn has_diverged(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(candle_dbn::Error::Diverged { .. }))
}

fn stopped() -> anyhow::Error {
    Stopped("the same command goes on with what has not been done yet".into()).into()
}

/// Nobody watches but a spinner.
struct Silent<'a>(&'a ProgressBar);

impl Observer for Silent<'_> {
    fn step(&mut self, _: &Step) -> candle_dbn::Result<Command> {
        Ok(if interrupt::is_asked() { Command::Stop } else { Command::Continue })
    }

    fn epoch(&mut self, _: &EpochMetrics) -> candle_dbn::Result<()> {
        self.0.tick();
        Ok(())
    }
}

/// What may be chosen: a key of the recipe, or [`KIND`], and its values in order. The middle ones come first.
pub const AXES: [(&str, &[&str], usize); 6] = [
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

/// Positions on the axes.
pub type Place = [usize; AXES.len()];

/// Where a search begins.
pub fn middle() -> Place {
    AXES.map(|(_, _, start)| start)
}

/// The place a step up or down an axis, if there is one.
pub fn step(mut place: Place, axis: usize, up: bool) -> Option<Place> {
    let next = place[axis].checked_add_signed(if up { 1 } else { -1 })?;
    place[axis] = next;
    (next < AXES[axis].1.len()).then_some(place)
}

/// What has to be multiplied in a training at a place, up to a factor.
pub fn work(place: Place) -> f64 {
    let number = |key| value(key, place).parse().unwrap_or(1.0);
    number(HIDDEN) * number(EPOCHS) * (2.0 + number(STEPS))
}

/// The recipe's keys at a place.
pub fn settings(place: Place) -> Vec<String> {
    let keys = AXES.iter().map(|(key, ..)| *key).filter(|key| *key != KIND);
    keys.map(|key| {
        let kind = if key == HIDDEN { format!("{}:", value(KIND, place)) } else { String::new() };
        format!("layers.0.{key}={kind}{}", value(key, place))
    })
    .collect()
}

/// What `key` is at a place.
fn value(key: &str, place: Place) -> &'static str {
    let mut axes = AXES.iter().zip(place);
    axes.find(|((name, ..), _)| *name == key).map_or("", |((_, values, _), i)| values[i])
}

/// The file that remembers what has been tried: a trial a line.
pub const TRIED: &str = "tried.jsonl";

/// What was tried and what it gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trial {
    /// Recipe, data and seed.
    pub of: String,
    pub place: Place,
    pub settings: Vec<String>,
    /// Mean log p(v) of the validation part; the lower side where it is not exact.
    pub validation: f64,
    pub seconds: f64,
}

/// A trial as a line of the file.
fn line(trial: &Trial) -> Result<String> {
    Ok(serde_json::to_string(trial)? + "\n")
}

/// What earlier processes have tried of recipe, data and seed `of`. Errors where the file holds anything else.
pub fn read(dir: &Path, of: &str) -> Result<Vec<Trial>> {
    let path = dir.join(TRIED);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // A killed process may have left half a line.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut tried = Vec::new();
    for (i, line) in whole.lines().enumerate() {
        let trial: Trial = serde_json::from_str(line).with_context(|| {
            let place = format!("{}: line {}", path.display(), i + 1);
            format!("{place}: expected a trial of this version (choose another --out)")
        })?;
        ensure!(
            trial.of == of,
            "{}: expected trials of {of}, found {} (choose another --out)",
            path.display(),
            trial.of
        );
        tried.push(trial);
    }
    if whole.len() < text.len() {
        write_whole(&path, whole.as_bytes())?;
    }
    Ok(tried)
}

/// Adds a trial.
pub fn append(dir: &Path, trial: &Trial) -> Result<()> {
    let path = dir.join(TRIED);
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
    file.write_all(line(trial)?.as_bytes()).with_context(|| path.display().to_string())
}
