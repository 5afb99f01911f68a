//! Sizes and rates chosen on the validation part: one key after the other, a step up or down, as long as it helps. What was
//! chosen then learns from the training and the validation cases together.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use candle_dbn::estimate::likelihood::{self, Likelihood, Sampling};
use candle_dbn::training::{Command, EpochMetrics, Observer, Outcome, Step};
use candle_dbn::{Dataset, Examples, Model, Recipe, Run, Training};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::estimate::{Effort, Options, Sides};

use super::axes::{self, AXES, Place};
use super::trials::{self, Trial};
use crate::progress;
use crate::stop::{self, Stopped};

/// Inverse temperatures of the estimate on the validation part, where it is not exact: its error is some hundredths.
const BETAS: usize = 1000;
/// The most sweeps of its tempering, to burn in and to sample.
const SWEEPS: usize = 500;
/// Leaves in `dir` a model that was trained on all cases but those held out, in the way that proved best within `budget` seconds,
/// and what was tried in `tried.jsonl`.
pub fn choose(dir: &Path, recipe: Recipe, budget: u64, bars: &MultiProgress) -> Result<()> {
    let dataset = crate::recipe::load_data(&recipe)?;
    ensure!(
        dataset.validation.is_some(),
        "{}: expected a validation part to choose by, found none",
        recipe.data.source
    );
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let _caught = stop::catch()?;
    let of = format!("{} of {}, seed {}", recipe.name, recipe.data.source, recipe.seed);
    let tried = trials::read(dir, &of)?;
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
        let mut best = axes::middle();
        let Some(mut score) = self.score(best)? else { return Ok(best) };
        loop {
            let before = best;
            for axis in 0..AXES.len() {
                for up in [true, false] {
                    while let Some(next) = axes::step(best, axis, up) {
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
        let settings = axes::settings(place);
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
        trials::append(self.dir, &trial)?;
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
        let recipe = self.recipe.clone().with(&axes::settings(best))?;
        let mut whole = recipe.clone();
        whole.data.learn_validation = true;
        if Run::open(self.dir)
            .is_ok_and(|run| run.is_finished() && run.recipe().ok().as_ref() == Some(&whole))
        {
            return Ok(());
        }
        let keys = axes::settings(best).join(" ");
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
    let ratio = |last: &Trial| axes::work(place) / axes::work(last.place);
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
        Ok(if stop::is_asked() { Command::Stop } else { Command::Continue })
    }

    fn epoch(&mut self, _: &EpochMetrics) -> candle_dbn::Result<()> {
        self.0.tick();
        Ok(())
    }
}
