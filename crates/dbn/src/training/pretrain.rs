//! The stage of one layer: a machine learns from what the ones below make of the data.

use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::Tensor;
use rbm_core::init;
use rbm_core::monitor::{self, Monitor};
use rbm_core::state::State;
use rbm_core::train::{Feed, Moment, Plan};
use rbm_core::{Error, Rbm, Result, Rng, Stateful, Trainer, spectrum};

use super::joint::Recognised;
use super::keep::Kept;
use super::record::{Record, checkpoint_of, warm_tensors};
use super::watch::{Command, Figures, Observer, Stage, Step};
use super::{Stream, Training};
use crate::Examples;
use crate::learning::greedy::{Caching, LayerInput, Pass};

/// The most cases that are looked at after each epoch.
const MONITORED: usize = 1000;
/// How often in a layer's training the singular values are looked at, and how many of them.
const SPECTRA: usize = 50;
const SINGULAR_VALUES: usize = 20;
/// What the fantasies are called in what a trainer remembers.
const CHAINS: [&str; 2] = ["negative.chains", "replicas.hidden"];

impl Training {
    /// Runs or goes on with the stage of the layer with this number.
    pub(super) fn pretrain(
        &mut self,
        stage: usize,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>> {
        let layer = self.recipe.layers[stage].clone();
        let span = tracing::info_span!("layer", number = stage + 1, hidden = %layer.hidden);
        let _entered = span.enter();
        let is_new = self.rbms.len() == stage;
        tracing::info!(epochs = layer.epochs, from = self.record.position.epoch, "pre-training");
        if is_new {
            self.rbms.push(self.new_rbm(stage)?);
            self.record.rng = self.stream(Stream::Learn);
        }
        let Some((rbm, lower)) = self.rbms.split_last() else {
            return Err(Error::invalid("pre-training", "a layer", "none"));
        };
        let passes: Vec<Pass> =
            self.recipe.layers[..stage].iter().map(|layer| layer.pass).collect();
        let feed = LayerInput {
            cases: &self.train.cases,
            balance: self.train.labels.as_deref().filter(|_| layer.balanced),
            weights: self.train.weights.as_deref(),
            rbms: lower,
            passes: &passes,
            data: self.recipe.data.pass,
            imputation: self.imputation.as_ref(),
            labels: self.labels_of(&self.train, stage),
            batch_size: layer.batch_size,
            shuffle: self.stream(Stream::Shuffle),
        };
        if is_new {
            feed.init(rbm, &layer.init(), &mut self.stream(Stream::Init))?;
            if let Some(below) = lower.last().filter(|_| layer.mirror) {
                init::mirror(below, rbm)?;
            }
            self.warm(stage, rbm)?;
        }
        let cached = self.cached(&feed)?;
        let learned = match &cached {
            Some(cases) => LayerInput {
                cases,
                rbms: &[],
                passes: &[],
                data: Pass::Mean,
                imputation: None,
                ..feed.clone()
            },
            None => feed.clone(),
        };
        let mut trainer = Trainer::new(layer.negative()?, layer.optimizer.optimizer());
        trainer.transforms = layer.transforms(rbm)?;
        // What arrives at deep layers is complete.
        trainer.imputation = self.imputation.clone().filter(|_| stage == 0);
        if !self.memory.is_empty() {
            trainer.restore(&self.memory)?;
        }
        let (learning_rate, momentum) = layer.rates()?;
        let plan =
            Plan { epochs: layer.epochs, learning_rate, momentum, steps: layer.steps.clone() };
        observer.stage(&Stage {
            name: format!("layer {}", stage + 1),
            shape: format!("{} → {}", rbm.visible().units().size(), rbm.hidden().units().size()),
            epochs: layer.epochs,
            from: self.record.position.epoch,
            cases: self.train.len(),
        })?;
        let monitor = self.monitor(&feed)?;
        let (mut position, mut rng) = (self.record.position, self.record.rng);
        let mut reporter = Reporter {
            observer,
            monitor,
            is_monitored: self.monitor,
            lower,
            recognised: self.recognised(stage, lower)?,
            plan: &plan,
            record: self.record.clone(),
            warm: &self.warm,
            clock: Instant::now(),
            cases: 0,
            has_left: false,
        };
        let mut after_step = |moment: &Moment| reporter.see(moment);
        let flow = trainer.fit(rbm, &learned, &plan, &mut position, &mut rng, &mut after_step);
        let epochs = reporter.record.epochs;
        (self.record.position, self.record.rng, self.record.epochs) = (position, rng, epochs);
        self.memory = trainer.state();
        flow
    }

    /// What arrives at a deep layer, where the recipe wants it computed once. It is no part of a checkpoint: it follows from
    /// the machines below and from a stream of random numbers of its own, and is the same when a training goes on.
    fn cached(&self, feed: &LayerInput) -> Result<Option<Tensor>> {
        let Some(below) = feed.rbms.last() else { return Ok(None) };
        if self.recipe.cache == Caching::Never {
            return Ok(None);
        }
        let bytes = 4 * feed.cases.count() as u64 * below.hidden().units().size() as u64;
        let (allowed, fits) = (self.recipe.cache_bytes, bytes <= self.recipe.cache_bytes);
        tracing::info!(bytes, allowed, fits, "cache of what arrives");
        fits.then(|| feed.arriving(&mut self.stream(Stream::Cache))).transpose()
    }

    fn monitor(&self, feed: &LayerInput) -> Result<Monitor> {
        let means = vec![Pass::Mean; feed.rbms.len()];
        let some = |part: &Examples| -> Result<_> {
            let labels = self.labels_of(part, feed.rbms.len());
            let below = LayerInput {
                cases: &part.cases,
                labels,
                passes: &means,
                data: Pass::Mean,
                balance: None,
                weights: None,
                ..feed.clone()
            };
            let cases = below.batch(&part.representative(MONITORED), &mut Rng::new(0))?;
            match &self.imputation {
                // In the lowest layer: the machine that would draw them is still learning.
                Some(imputation) => imputation.started(&cases),
                None => Ok(cases),
            }
        };
        let held_out = self.validation.as_ref().map(some).transpose()?;
        Ok(Monitor { train: some(&self.train)?, held_out, rng: self.stream(Stream::Monitor) })
    }
}

/// Turns what happens inside a layer's training into figures, commands and checkpoints.
struct Reporter<'a> {
    observer: &'a mut dyn Observer,
    monitor: Monitor,
    /// Whether figures tell what the monitor sees; it looks for divergence in the last epoch in either case.
    is_monitored: bool,
    lower: &'a [Rbm],
    /// The validation cases whose labels the machine is to find.
    recognised: Option<Recognised<'a>>,
    plan: &'a Plan,
    record: Record,
    /// What the machines above begin with.
    warm: &'a State,
    clock: Instant,
    cases: usize,
    /// Whether it has been said that the chains have left equilibrium.
    has_left: bool,
}

impl Reporter<'_> {
    /// What the machine looks like. Errors where it has diverged.
    fn report(&self, moment: &Moment) -> Result<monitor::Report> {
        let report = self.monitor.report(moment.rbm)?;
        let memory = moment.memory.state();
        let is_chains = |name: &str| CHAINS.iter().any(|end| name.ends_with(end));
        let chains = memory.iter().filter(|(name, _)| is_chains(name));
        report.check(moment.rbm, chains.map(|(_, chains)| chains))?;
        Ok(report)
    }

    /// The largest singular values after this epoch, if it is one of those in which they are looked at.
    fn singular_values(&self, rbm: &Rbm, epoch: usize) -> Result<Option<Vec<f64>>> {
        let apart = self.plan.epochs.div_ceil(SPECTRA).max(1);
        if !self.is_monitored || (!epoch.is_multiple_of(apart) && epoch != self.plan.epochs) {
            return Ok(None);
        }
        spectrum::singular_values(rbm, SINGULAR_VALUES)
    }
}

impl Reporter<'_> {
    /// A mini-batch was learned, perhaps the last one of an epoch.
    fn see(&mut self, moment: &Moment) -> Result<ControlFlow<()>> {
        if moment.ends_epoch() {
            self.epoch(moment)?;
        }
        self.step(moment)
    }

    fn epoch(&mut self, moment: &Moment) -> Result<()> {
        self.record.epochs += 1;
        let epochs = self.plan.epochs;
        let epoch = moment.position.epoch - 1;
        let seconds = self.clock.elapsed().as_secs_f64();
        let cases = self.cases + moment.cases;
        let is_last = epoch + 1 == epochs;
        let report = match self.is_monitored || is_last {
            true => Some(self.report(moment)?),
            false => None,
        };
        let warnings = match &report {
            Some(report) if is_last => report.warnings(&moment.rbm.hidden().units()),
            _ => Vec::new(),
        };
        self.observer.epoch(&Figures {
            stage: format!("layer {}", self.lower.len() + 1),
            epoch: epoch + 1,
            epochs,
            seconds,
            cases_per_second: cases as f64 / seconds.max(1e-9),
            learning_rate: self.plan.learning_rate.at(epoch, epochs),
            momentum: self.plan.momentum.at(epoch, epochs),
            k: Some(self.plan.steps.steps_at(epoch, epochs)),
            update_ratio: moment.update_ratio,
            singular_values: self.singular_values(moment.rbm, epoch + 1)?,
            report: report.filter(|_| self.is_monitored),
            warnings,
            mixing: moment.mixing.cloned(),
            validation_error: self
                .recognised
                .as_ref()
                .map(|part| part.error(moment.rbm))
                .transpose()?,
            ..Figures::default()
        })?;
        let is_left = moment.mixing.is_some_and(|mixing| mixing.left_equilibrium);
        if is_left && !self.has_left {
            tracing::warn!(
                epoch = epoch + 1,
                r_hat = moment.mixing.and_then(|mixing| mixing.r_hat),
                "training has left equilibrium: its chains no longer follow the machine; take more steps, a lower \
                 learning rate, or another method"
            );
        }
        self.has_left |= is_left;
        Ok(())
    }

    fn step(&mut self, moment: &Moment) -> Result<ControlFlow<()>> {
        self.cases += moment.cases;
        if moment.ends_epoch() {
            (self.cases, self.clock) = (0, Instant::now());
        }
        let command =
            self.observer.step(&Step { cases: moment.cases, position: moment.position })?;
        if command == Command::Continue {
            return Ok(ControlFlow::Continue(()));
        }
        monitor::check(moment.rbm)?;
        (self.record.position, self.record.rng) = (moment.position, moment.rng);
        let rbms = self.lower.iter().chain([moment.rbm]);
        let memory = moment.memory.state();
        let mut checkpoint = checkpoint_of(rbms, None, &Kept::default(), memory, &self.record);
        checkpoint.tensors.extend(warm_tensors(self.warm));
        self.observer.checkpoint(&checkpoint)?;
        Ok(if command == Command::Stop {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }
}
