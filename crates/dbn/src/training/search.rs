//! The search for sizes and rates: trainings are tried from the middle of a grid on, and the validation part says which is best.

use std::time::Instant;

use candle_core::Device;
use rbm_core::estimate::{AisOptions, BidirectionalAis, TemperingConfig};
use rbm_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Command, Observer, Outcome, Step, Training};
use crate::estimate::likelihood::{self, Likelihood, Sampling};
use crate::{Dataset, Examples, Model, Recipe};

/// The values that a key of the recipe's first layer may have, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// As they stand in a recipe.
    pub values: Vec<String>,
    /// The number of the one that is tried first, from 0.
    pub start: usize,
}

impl Axis {
    /// These values; the search begins at number `start`, counted from 0.
    pub fn new(values: &[&str], start: usize) -> Self {
        Self { values: values.iter().map(|value| (*value).to_owned()).collect(), start }
    }

    fn value(&self, at: usize) -> &str {
        self.values.get(at).map_or("", String::as_str)
    }
}

/// What may be chosen, and with how much effort.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchOptions {
    /// The number of hidden units.
    pub hidden: Axis,
    /// The weight decay.
    pub l2: Axis,
    /// The learning rate, or its schedule.
    pub learning_rate: Axis,
    /// The kind of the hidden units.
    pub kind: Axis,
    /// The epochs of learning.
    pub epochs: Axis,
    /// The Gibbs steps between updates.
    pub steps: Axis,
    /// Seconds for all trials together. The first trial is made whatever it takes.
    pub budget: f64,
    /// Inverse temperatures of annealing, where log Z of a trial is estimated.
    pub betas: usize,
    /// The most sweeps of tempering, to burn in and to sample, where log Z of a trial is estimated.
    pub sweeps: usize,
}

impl Default for SearchOptions {
    /// For data sets of some ten thousand binary cases. An estimate of log Z is some hundredths of a nat off.
    fn default() -> Self {
        let rates = ["{from=0.01,to=0.0}", "{from=0.03,to=0.0}", "{from=0.1,to=0.0}"];
        Self {
            hidden: Axis::new(&["16", "25", "50", "100", "200", "400"], 3),
            l2: Axis::new(&["1e-5", "1e-4", "3e-4", "1e-3", "2e-3", "5e-3", "1e-2"], 3),
            learning_rate: Axis::new(&rates, 2),
            kind: Axis::new(&["bernoulli", "spin"], 0),
            epochs: Axis::new(&["100", "300", "1000", "3000"], 1),
            steps: Axis::new(&["1", "5", "20"], 1),
            budget: 180.0,
            betas: 1000,
            sweeps: 500,
        }
    }
}

/// A place of the grid: a number on each axis, in the order of [`SearchOptions`].
pub type Place = [usize; 6];

impl SearchOptions {
    fn axes(&self) -> [&Axis; 6] {
        [&self.hidden, &self.l2, &self.learning_rate, &self.kind, &self.epochs, &self.steps]
    }

    /// Where a search begins.
    fn start(&self) -> Place {
        self.axes().map(|axis| axis.start)
    }

    /// The place a step up or down an axis, if there is one.
    fn neighbour(&self, mut place: Place, axis: usize, up: bool) -> Option<Place> {
        let next = place[axis].checked_add_signed(if up { 1 } else { -1 })?;
        place[axis] = next;
        (next < self.axes()[axis].values.len()).then_some(place)
    }

    /// The settings of the recipe at a place, `KEY=VALUE` each, as for [`Recipe::with`].
    pub fn settings(&self, [hidden, l2, learning_rate, kind, epochs, steps]: Place) -> Vec<String> {
        let units = format!("{}:{}", self.kind.value(kind), self.hidden.value(hidden));
        let keys = [
            ("hidden", units.as_str()),
            ("l2", self.l2.value(l2)),
            ("learning_rate", self.learning_rate.value(learning_rate)),
            ("epochs", self.epochs.value(epochs)),
            ("steps", self.steps.value(steps)),
        ];
        keys.map(|(key, value)| format!("layers.0.{key}={value}")).to_vec()
    }

    /// What has to be multiplied in a training at a place, up to a factor.
    fn work(&self, [hidden, _, _, _, epochs, steps]: Place) -> f64 {
        let number = |axis: &Axis, at| -> f64 { axis.value(at).parse().unwrap_or(1.0) };
        number(&self.hidden, hidden)
            * number(&self.epochs, epochs)
            * (2.0 + number(&self.steps, steps))
    }

    /// Seconds that a trial at `place` will take, from the last one `before` it and how much more there is to multiply.
    fn expected(&self, before: &[Trial], place: Place) -> f64 {
        let ratio = |last: &Trial| self.work(place) / self.work(last.place);
        before.last().map_or(0.0, |last| last.seconds * ratio(last))
    }
}

/// What was tried, and what it gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Where on the grid.
    pub place: Place,
    /// The settings of the recipe there.
    pub settings: Vec<String>,
    /// Mean log p(v) of the validation part in nats, the lower of the two sides where it is estimated. The lowest number there is
    /// where learning diverged.
    pub validation: f64,
    /// What the trial took.
    pub seconds: f64,
}

/// Watches a search. Every method has a default that does nothing.
pub trait SearchObserver {
    /// A trial with these settings begins; those before it took `spent` seconds.
    fn begin(&mut self, spent: f64, settings: &[String]) {
        let _ = (spent, settings);
    }

    /// A mini-batch was learned, or a step of an estimate was made. [`Command::Stop`] ends the search.
    fn step(&mut self) -> Command {
        Command::Continue
    }

    /// A trial was made.
    ///
    /// # Errors
    ///
    /// When the observer fails; the search ends with this error.
    fn trial(&mut self, trial: &Trial) -> Result<()> {
        let _ = trial;
        Ok(())
    }
}

/// Nobody watches.
impl SearchObserver for () {}

/// A climb from the middle of a grid of sizes and rates to the place whose training explains the validation part best.
///
/// One axis after the other is gone up and down as long as that is better and there is time, until no step is better.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_dbn::recipe::LayerRecipe;
/// use candle_dbn::training::search::{Axis, SearchOptions, RecipeSearch};
/// use candle_dbn::{Dataset, Examples, Recipe};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // 40 cases of four bits, the left half or the right half on; ten others say which training is best.
/// let cases: Vec<f32> = [1., 1., 0., 0., 0., 0., 1., 1.].repeat(20);
/// let cases = Tensor::from_vec(cases, (40, 4), &Device::Cpu)?;
/// let mut dataset = Dataset::from_tensors(&cases, None)?;
/// dataset.validation = Some(Examples::new(cases.narrow(0, 0, 10)?, None)?);
///
/// let recipe = Recipe { layers: vec![LayerRecipe { batch_size: 10, ..LayerRecipe::default() }], ..Recipe::default() };
/// let options = SearchOptions {
///     hidden: Axis::new(&["1", "2", "4"], 1),
///     epochs: Axis::new(&["2", "5"], 0),
///     budget: 0.1,
///     ..SearchOptions::default()
/// };
/// let mut search = RecipeSearch::new(recipe, dataset, options)?;
/// let best = search.run(&mut ())?.expect("nobody stops it");
/// println!("{} after {} trials", search.options.settings(best).join(" "), search.trials.len());
/// let model = search.learn(&search.recipe(best)?, &mut ())?.expect("nobody stops it");
/// # assert_eq!(model.dbn.width(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RecipeSearch {
    recipe: Recipe,
    dataset: Dataset,
    /// What may be chosen, and with how much effort.
    pub options: SearchOptions,
    /// What has been tried, in this order. Trials of an earlier search that are put here are not made again.
    pub trials: Vec<Trial>,
}

impl RecipeSearch {
    /// A search that has tried nothing. What is chosen is put into the first layer of `recipe`.
    ///
    /// # Errors
    ///
    /// When `dataset` has no validation part.
    pub fn new(recipe: Recipe, dataset: Dataset, options: SearchOptions) -> Result<Self> {
        if dataset.validation.is_none() {
            let source = &recipe.data.source;
            return Err(Error::invalid(source, "a validation part to choose by", "none"));
        }
        Ok(Self { recipe, dataset, options, trials: Vec::new() })
    }

    /// The recipe at a place.
    ///
    /// # Errors
    ///
    /// When a value there is none of the recipe's.
    pub fn recipe(&self, place: Place) -> Result<Recipe> {
        self.recipe.with(&self.options.settings(place))
    }

    /// The best place that is found within the budget; `None` where the observer stopped the search.
    ///
    /// # Errors
    ///
    /// As [`Training::run`], when the first trial fails or a later one fails otherwise than by diverging; when log p(v) cannot be
    /// estimated; and as the observer.
    pub fn run(&mut self, observer: &mut dyn SearchObserver) -> Result<Option<Place>> {
        let mut best = self.options.start();
        let mut score = match self.score(best, observer)? {
            PlaceScore::Found(score) => score,
            PlaceScore::Unaffordable => return Ok(Some(best)),
            PlaceScore::Stopped => return Ok(None),
        };
        loop {
            let before = best;
            for axis in 0..best.len() {
                for up in [true, false] {
                    while let Some(next) = self.options.neighbour(best, axis, up) {
                        match self.score(next, observer)? {
                            PlaceScore::Found(found) if found > score => {
                                (best, score) = (next, found)
                            }
                            PlaceScore::Found(_) => break,
                            PlaceScore::Unaffordable => return Ok(Some(best)),
                            PlaceScore::Stopped => return Ok(None),
                        }
                    }
                }
            }
            if best == before {
                return Ok(Some(best));
            }
        }
    }

    /// What a place gives. The first one is always tried.
    fn score(&mut self, place: Place, observer: &mut dyn SearchObserver) -> Result<PlaceScore> {
        // What earlier searches had more time for is as if it were not there: a budget gives the same choice whatever came before it.
        let known = self.trials.iter().position(|trial| trial.place == place);
        let before = &self.trials[..known.unwrap_or(self.trials.len())];
        let spent: f64 = before.iter().map(|trial| trial.seconds).sum();
        let is_first = before.is_empty();
        if !is_first && spent + self.options.expected(before, place) > self.options.budget {
            return Ok(PlaceScore::Unaffordable);
        }
        if let Some(trial) = known.and_then(|known| self.trials.get(known)) {
            return Ok(PlaceScore::Found(trial.validation));
        }
        let clock = Instant::now();
        let settings = self.options.settings(place);
        observer.begin(spent, &settings);
        let recipe = self.recipe.with(&settings)?;
        let validation = match self.validation(&recipe, observer) {
            Ok(Some(validation)) => validation,
            Ok(None) => return Ok(PlaceScore::Stopped),
            Err(Error::Diverged { .. }) if !is_first => f64::MIN,
            Err(error) => return Err(error),
        };
        let trial = Trial { place, settings, validation, seconds: clock.elapsed().as_secs_f64() };
        observer.trial(&trial)?;
        self.trials.push(trial);
        Ok(PlaceScore::Found(validation))
    }

    /// The mean log p(v) of the validation part after a training by `recipe`; `None` where the observer stopped it.
    fn validation(
        &self,
        recipe: &Recipe,
        observer: &mut dyn SearchObserver,
    ) -> Result<Option<f64>> {
        let Some((model, training)) = self.train(recipe, observer)? else { return Ok(None) };
        match &training.validation {
            Some(part) => self.options.log_likelihood(&model, part, recipe.seed, observer),
            None => Err(Error::invalid("a search", "a validation part", "none")),
        }
    }

    /// The model that is trained by `recipe` from the data of the search; `None` where the observer stopped it.
    ///
    /// # Errors
    ///
    /// As [`Training::new`] and [`Training::run`].
    pub fn learn(
        &self,
        recipe: &Recipe,
        observer: &mut dyn SearchObserver,
    ) -> Result<Option<Model>> {
        Ok(self.train(recipe, observer)?.map(|(model, _)| model))
    }

    fn train(
        &self,
        recipe: &Recipe,
        observer: &mut dyn SearchObserver,
    ) -> Result<Option<(Model, Training)>> {
        let mut training = Training::new(recipe.clone(), self.dataset.clone(), &Device::Cpu)?;
        training.monitor = false;
        Ok(match training.run(&mut Steps(observer))? {
            Outcome::Finished(model) => Some((*model, training)),
            Outcome::Stopped => None,
        })
    }
}

/// What a place came to.
enum PlaceScore {
    /// Mean log p(v) of the validation part, in nats.
    Found(f64),
    /// The budget does not allow it.
    Unaffordable,
    /// The observer did not want to go on.
    Stopped,
}

impl SearchOptions {
    /// The mean log p(v) of the validation part: exact, or the lower of two short estimates from both sides. One side alone would
    /// choose the machine of which it is most wrong. `None` where the observer stopped it.
    fn log_likelihood(
        &self,
        model: &Model,
        part: &Examples,
        seed: u64,
        observer: &mut dyn SearchObserver,
    ) -> Result<Option<f64>> {
        let passes = Sampling::default();
        if let Some(exact) = Likelihood::exact(model, part, passes)?.and_then(|found| found.exact) {
            return Ok(Some(exact.log_likelihood));
        }
        let (rbm, path) = (model.dbn.top(), likelihood::path(model, &part.cases)?);
        let tempering = TemperingConfig { sweeps: self.sweeps, ..TemperingConfig::default() };
        let options = AisOptions { betas: self.betas, tempering, seed, ..AisOptions::default() };
        let mut sides = BidirectionalAis::new(rbm, path, options)?;
        while !sides.is_done() {
            if observer.step() == Command::Stop {
                return Ok(None);
            }
            sides.step()?;
        }
        let found = Likelihood::from_sides(model, part, passes, sides.found(), f64::INFINITY)?;
        match found.forward.zip(found.reverse) {
            Some((forward, reverse)) => {
                Ok(Some(forward.log_likelihood.min(reverse.log_likelihood)))
            }
            None => Err(Error::invalid("log p(v)", "an estimate from both sides", "none")),
        }
    }
}

/// Asks the observer of a search after every mini-batch.
struct Steps<'a>(&'a mut dyn SearchObserver);

impl Observer for Steps<'_> {
    fn step(&mut self, _: &Step) -> Result<Command> {
        Ok(self.0.step())
    }
}
