//! Belief nets that commands work with: what a run has learned, and what it says of cases.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use candle_boltzmann::belief::learning::BeliefLearner;
use candle_core::Tensor;
use candle_dbn::network::config::CONFIG;
use candle_dbn::recipe::BeliefRecipe;
use candle_dbn::store::BELIEF;
use candle_dbn::store::belief::BeliefConfig;
use candle_dbn::store::results::MeasurementSet;
use candle_dbn::store::run::RECIPE;
use candle_dbn::store::table::TableLayout;
use candle_dbn::viz::images::{self, Contrast, shape_of};
use indicatif::MultiProgress;
use rbm_core::state::write_whole;
use rbm_core::stats::mean_and_error;
use rbm_core::{Error, Rng, Units};

use crate::inputs::{Cases, DataOptions};
use crate::interrupt::{self, Interrupted};
use crate::machines::MachineCases;
use crate::{output, progress, tables};

/// Guesses a case behind log p(v), unless the user says so.
pub const SAMPLES: usize = 1000;
/// The most samples in a picture.
const PICTURED: usize = 400;

/// Whether a belief net that has learned lies in the folder.
pub fn is_learned(dir: &Path) -> bool {
    dir.join(BELIEF).is_file()
}

/// A belief net that has learned, in its folder.
pub struct LearnedBelief {
    pub dir: PathBuf,
    pub learner: BeliefLearner,
    /// How it learned, where that is known.
    pub recipe: Option<BeliefRecipe>,
}

/// What importance weights say of log p(v).
#[derive(Debug, serde::Serialize)]
pub struct ImportanceWeighted {
    /// The mean over cases of log of the mean weight, nats; in expectation a lower bound on that of log p(v).
    pub lower_bound: f64,
    /// Its standard error over cases.
    pub error_over_cases: f64,
    pub samples: usize,
    pub cases: usize,
}

impl LearnedBelief {
    /// What lies in the folder `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(RECIPE);
        let recipe = match path.is_file() {
            true => Some(BeliefRecipe::read(path)?),
            false => None,
        };
        let belief =
            Self { dir: dir.to_owned(), learner: BeliefLearner::load(dir.join(BELIEF))?, recipe };
        belief.check_config()?;
        Ok(belief)
    }

    /// How many units each layer has, from the observed one up.
    pub fn widths(&self) -> Vec<usize> {
        self.learner.machine().net.widths()
    }

    /// What it is, with what is known of its data: height and width of pictures, the columns of a table.
    pub fn config(
        &self,
        image: Option<(usize, usize)>,
        table: Option<TableLayout>,
    ) -> BeliefConfig {
        BeliefConfig::new(self.widths(), (image, table))
    }

    /// Errors where the folder has a configuration, and it is not that of the net.
    fn check_config(&self) -> Result<()> {
        let (found, widths) = (BeliefConfig::find(&self.dir)?, self.widths());
        match found.filter(|found| found.widths != widths) {
            None => Ok(()),
            Some(BeliefConfig { widths: found, .. }) => {
                let expected = format!("{widths:?}, those of the {BELIEF} beside it");
                let path = self.dir.join(CONFIG);
                Err(Error::file(path, "widths", expected, format!("{found:?}")).into())
            }
        }
    }

    /// Writes a configuration where there is none: into the run of an earlier version. Errors where the net has not learned to its end.
    #[cfg(feature = "hub")]
    pub fn keep_config(&self) -> Result<()> {
        let (name, learning) = (self.dir.display(), self.learner.learning());
        ensure!(
            self.learner.epoch() >= learning.epochs,
            "{name}: expected a belief net that has learned all of its {} epochs, found one that was stopped after {} (go on with: dbn train --resume {name})",
            learning.epochs,
            self.learner.epoch()
        );
        if BeliefConfig::find(&self.dir)?.is_none() {
            if let Err(error) = self.cases(None, &DataOptions::default(), Some(Cases::Train)) {
                output::note(format!(
                    "{name}: height and width, if it learned pictures, are not known: its data cannot be read ({error:#})"
                ));
            }
            self.config(self.image(), TableLayout::read(&self.dir)?).save(&self.dir)?;
            output::note(format!(
                "{name}: has a {CONFIG} now, which runs of earlier versions lack"
            ));
        }
        Ok(())
    }

    /// The cases that the user means: of the named data, or of those that it learned from.
    pub fn cases(
        &self,
        data: Option<&str>,
        options: &DataOptions,
        cases: Option<Cases>,
    ) -> Result<MachineCases> {
        let units = Units::bernoulli(self.widths()[0]);
        let own = self.recipe.as_ref().map(|recipe| &recipe.data);
        MachineCases::of(&self.dir, own, &units, (data, options, cases))
    }

    /// log p(v) of `cases`, from below.
    pub fn likelihood(
        &self,
        cases: &MachineCases,
        samples: usize,
        seed: u64,
        bars: &MultiProgress,
    ) -> Result<ImportanceWeighted> {
        let how = "the net is kept: dbn evaluate --likelihood finds log p(v)";
        let found = self.bounds(&cases.values, samples, seed, (bars, how))?;
        let ((mean, error), count) = (mean_and_error(&found), found.len());
        Ok(ImportanceWeighted { lower_bound: mean, error_over_cases: error, samples, cases: count })
    }

    /// The same as a measurement of `cases`, the run's own; nothing where these are not known.
    pub fn measurement(
        &self,
        found: &ImportanceWeighted,
        cases: &MachineCases,
        seed: u64,
    ) -> Option<MeasurementSet> {
        let bound = (found.lower_bound, found.error_over_cases);
        let on = cases.variant(&self.recipe.as_ref()?.data);
        Some(MeasurementSet::of_importance_weights(bound, found.samples, on, seed))
    }

    /// log p of each of `cases` `(n, observed)` from below, nats, by so many importance-weighted guesses. `how` it goes on is said where it is
    /// stopped.
    pub fn bounds(
        &self,
        cases: &Tensor,
        samples: usize,
        seed: u64,
        (bars, how): (&MultiProgress, &str),
    ) -> Result<Vec<f64>> {
        let bar = progress::bar(bars, (cases.dim(0)? * samples) as u64);
        let _caught = interrupt::catch()?;
        let machine = self.learner.machine();
        let found = machine.importance_weighted(cases, samples, &mut Rng::new(seed), |done| {
            bar.set_position(done as u64);
            !interrupt::is_requested()
        });
        bar.finish_and_clear();
        if interrupt::is_requested() {
            return Err(Interrupted(how.into()).into());
        }
        Ok(found?)
    }

    /// `count` samples from the top down: means of the observed units, or their states where these are `drawn`; `(count, observed)`.
    pub fn samples(&self, count: usize, drawn: bool, rng: &mut Rng) -> Result<Tensor> {
        let net = &self.learner.machine().net;
        let all = net.sample(count, rng)?;
        Ok(if drawn { all[0].clone() } else { net.layers[0].mean(&all[1])? })
    }

    /// Writes `count` such samples into `dir`: `samples.npy` and `samples.png`.
    pub fn write_samples(
        &self,
        dir: &Path,
        count: usize,
        drawn: bool,
        rng: &mut Rng,
    ) -> Result<Vec<PathBuf>> {
        let samples = self.samples(count, drawn, rng)?;
        output::make_folder(dir)?;
        let (array, picture) = (dir.join("samples.npy"), dir.join("samples.png"));
        write_whole(&array, &tables::npy_bytes(&samples)?)?;
        self.picture(&picture, &samples, self.image())?;
        Ok(vec![picture, array])
    }

    /// A picture of `samples` `(count, observed)`.
    pub fn picture(
        &self,
        path: &Path,
        samples: &Tensor,
        image: Option<(usize, usize)>,
    ) -> Result<()> {
        let (count, width) = samples.dims2()?;
        let some = samples.narrow(0, 0, count.min(PICTURED))?;
        let grey = images::grey(&Units::bernoulli(width), &some)?;
        let columns = (grey.dim(0)? as f64).sqrt().ceil() as usize;
        Ok(images::write_grid(path, &grey, &[], shape_of(width, image), columns, Contrast::Unit)?)
    }

    /// Height and width of its pictures, where its configuration says so; where it has none, where its data are at hand and say so.
    pub fn image(&self) -> Option<(usize, usize)> {
        if let Ok(Some(config)) = BeliefConfig::find(&self.dir) {
            return config.image;
        }
        self.cases(None, &DataOptions::default(), Some(Cases::Train)).ok()?.image
    }
}

impl ImportanceWeighted {
    /// One line, with the name of the cases.
    pub fn print(&self, part: &str) -> Result<()> {
        output::line(format!(
            "{part} log p(v) at least {:.4} ± {:.4} nats a case ({} importance-weighted samples of each of {} cases; one-sided)",
            self.lower_bound,
            self.error_over_cases,
            self.samples,
            output::grouped(self.cases as u64)
        ))
    }
}

/// Errors where anything of a belief net was asked for that it has not.
pub fn refuse(options: &[(&str, bool)], dir: &Path) -> Result<()> {
    let why = format!("has no meaning for the belief net {}", dir.display());
    output::refuse(options, &why)
}
