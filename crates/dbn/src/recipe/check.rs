//! What a recipe must satisfy before anything is done with it.

use candle_dbn_data::Scaling;
use rbm_core::kernel::VisibleStep;
use rbm_core::layer::Variance;
use rbm_core::{Error, Result, Schedule, Units};

use super::{Backpropagation, Classifier, FinetuneRule, Layer, Method, Recipe, UpDown};
use crate::learning::greedy::Pass;

/// The farthest that a case may be moved.
const FARTHEST: f64 = 1e6;
/// The most units of a layer, and the most chains.
const MOST: usize = 1 << 20;

impl Recipe {
    /// Errors with the key, what is allowed and what was found.
    pub(crate) fn check(&self) -> Result<()> {
        self.visible_kind()?;
        must(!self.layers.is_empty(), "layers", "at least one", "none")?;
        for (key, number, other) in [
            ("data.hold_out_one_in", self.data.hold_out_one_in, "none"),
            ("data.validate_one_in", self.data.validate_one_in, "none"),
            ("data.one_hot", self.data.read.one_hot, "auto"),
        ] {
            must(number != Some(1), key, &format!("at least 2, or {other:?}"), "1")?;
        }
        if let Some(scale) = self.data.read.scale {
            let is_scale = scale.is_finite() && scale > 0.0;
            must(is_scale, "data.scale", "a number above 0, or \"auto\"", scale)?;
        }
        let is_bernoulli = matches!(self.visible_kind()?, Units::Bernoulli { .. });
        let expected = "mean, unless for Bernoulli data that are not standardised";
        let is_drawn = self.data.pass == Pass::Sample;
        let is_standardised = self.standardise == Scaling::Standardise;
        must(is_bernoulli && !is_standardised || !is_drawn, "data.pass", expected, "sample")?;
        for (i, layer) in self.layers.iter().enumerate() {
            layer.check(&format!("layers.{i}"))?;
            let below = match i {
                0 => self.visible_kind()?,
                _ => self.layers[i - 1].hidden.clone(),
            };
            let is_learned = below.groups().into_iter().any(|(_, units)| {
                matches!(units, Units::Gaussian { variance: Variance::Learned, .. })
            });
            let is_sampled = layer.visible_step == VisibleStep::Sample;
            let expected = "sample, because a variance cannot be learned from means";
            must(is_sampled || !is_learned, &format!("layers.{i}.visible_step"), expected, "mean")?;
            let is_sampled = layer.method != Method::MeanField;
            let expected = "another, because a variance cannot be learned from means";
            must(is_sampled || !is_learned, &format!("layers.{i}.method"), expected, "mean-field")?;
            let expected = "false, because there is no machine below";
            must(!layer.mirror || i > 0, &format!("layers.{i}.mirror"), expected, "true")?;
            if let Some(found) = layer.method.of_labels() {
                let expected = "another, unless for the top layer of a recipe with labels = true";
                must(self.is_joint(i), &format!("layers.{i}.method"), expected, found)?;
            }
        }
        let expected = "none beside labels = true: the top machine finds the classes itself (take [classifier] out of the recipe)";
        must(!self.labels || self.classifier.is_none(), "classifier", expected, "one")?;
        self.updown.as_ref().map_or(Ok(()), UpDown::check)?;
        if self.regressor.is_some() {
            let expected = "none beside a regressor: a stack becomes one thing";
            must(self.classifier.is_none(), "classifier", expected, "one")?;
            must(self.autoencoder.is_none(), "autoencoder", expected, "one")?;
        }
        if self.autoencoder.is_some() {
            let expected = "none beside an autoencoder: a stack becomes one or the other";
            must(self.classifier.is_none(), "classifier", expected, "one")?;
            let expected = "false beside an autoencoder, which has no place for labels";
            must(!self.labels, "labels", expected, "true")?;
        }
        self.classifier.as_ref().map_or(Ok(()), Classifier::check)?;
        let classifier = self.classifier.as_ref().map(|c| ("classifier", c.backpropagation()));
        let regressor = self.regressor.clone().map(|table| ("regressor", table));
        let autoencoder = self.autoencoder.clone().map(|table| ("autoencoder", table));
        let autoencoder = regressor.into_iter().chain(autoencoder);
        classifier.into_iter().chain(autoencoder).try_for_each(|(name, table)| table.check(name))
    }
}

impl UpDown {
    fn check(&self) -> Result<()> {
        must(self.batch_size > 0, "updown.batch_size", "at least 1", 0)?;
        schedule("updown.learning_rate", &self.learning_rate)?;
        momentum("updown.momentum", &self.momentum)?;
        steps("updown.steps", &self.steps)?;
        let expected = "a number of at least 0";
        must(self.l2.is_finite() && self.l2 >= 0.0, "updown.l2", expected, self.l2)
    }
}

impl Layer {
    fn check(&self, name: &str) -> Result<()> {
        must(self.batch_size > 0, &format!("{name}.batch_size"), "at least 1", 0)?;
        let size = self.hidden.size();
        must(size <= MOST, &format!("{name}.hidden"), "at most 2^20 units", size)?;
        must(self.chains <= MOST, &format!("{name}.chains"), "at most 2^20", self.chains)?;
        let (replicas, expected) = (self.replicas, "0, or 2 to 1000");
        let is_ladder = replicas == 0 || (2..=1000).contains(&replicas);
        must(is_ladder, &format!("{name}.replicas"), expected, replicas)?;
        let rate = self.learning_rate.as_ref();
        rate.map_or(Ok(()), |rate| schedule(&format!("{name}.learning_rate"), rate))?;
        let of = self.momentum.as_ref();
        of.map_or(Ok(()), |of| momentum(&format!("{name}.momentum"), of))?;
        steps(&format!("{name}.steps"), &self.steps)?;
        for (key, value) in [
            ("l1", self.l1),
            ("l2", self.l2),
            ("sparsity_cost", self.sparsity_cost),
            ("clip", self.clip),
            ("fast_rate", self.fast_rate),
            ("generative", self.generative),
            ("weight_deviation", self.weight_deviation),
        ] {
            must(
                value >= 0.0 && value.is_finite(),
                &format!("{name}.{key}"),
                "a number of at least 0",
                value,
            )?;
        }
        let bias = self.hidden_bias;
        must(bias.is_finite(), &format!("{name}.hidden_bias"), "a finite number", bias)?;
        let target = self.sparsity_target;
        let name_of = |key: &str| format!("{name}.{key}");
        must(
            target > 0.0 && target < 1.0,
            &name_of("sparsity_target"),
            "a number between 0 and 1",
            target,
        )?;
        let rate = self.offset_rate;
        let expected = "a number between 0 and 1";
        must((0.0..=1.0).contains(&rate), &name_of("offset_rate"), expected, rate)?;
        for (key, value) in [
            ("sparsity_decay", self.sparsity_decay),
            ("fast_decay", self.fast_decay),
            ("damping", self.damping),
        ] {
            let expected = "at least 0 and below 1";
            must((0.0..1.0).contains(&value), &name_of(key), expected, value)?;
        }
        Ok(())
    }
}

impl Classifier {
    fn check(&self) -> Result<()> {
        let is_searched = self.optimizer == FinetuneRule::Cg;
        for (key, distance) in [
            ("classifier.adversarial", self.adversarial),
            ("classifier.virtual_adversarial", self.virtual_adversarial),
        ] {
            let is_distance = (0.0..=FARTHEST).contains(&distance);
            must(is_distance, key, "a number from 0 to a million", distance)?;
            let expected = "0 beside optimizer = \"cg\": a line search would climb one objective and measure another";
            must(!is_searched || distance == 0.0, key, expected, distance)?;
        }
        let (key, found) = ("classifier.virtual_adversarial", self.virtual_adversarial);
        must(self.adversarial == 0.0 || found == 0.0, key, "0 beside classifier.adversarial", found)
    }
}

impl Backpropagation {
    fn check(&self, name: &str) -> Result<()> {
        let key = |key: &str| format!("{name}.{key}");
        must(self.batch_size > 0, &key("batch_size"), "at least 1", 0)?;
        must(self.line_searches > 0, &key("line_searches"), "at least 1", 0)?;
        schedule(&key("learning_rate"), &self.learning_rate)?;
        momentum(&key("momentum"), &self.momentum)?;
        for (name, value) in
            [("dropout_visible", self.dropout_visible), ("dropout_hidden", self.dropout_hidden)]
        {
            let expected = "a number of at least 0 and below 1";
            must((0.0..1.0).contains(&value), &key(name), expected, value)?;
        }
        for (name, value) in [("l2", self.l2), ("max_norm", self.max_norm)] {
            let is_right = value >= 0.0 && value.is_finite();
            must(is_right, &key(name), "a number of at least 0", value)?;
        }
        Ok(())
    }
}

fn must(holds: bool, what: &str, expected: &str, found: impl ToString) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(what, expected, found.to_string())) }
}

fn values(schedule: &Schedule) -> Vec<f64> {
    match schedule {
        Schedule::Constant(value) => vec![*value],
        Schedule::Steps(steps) => steps.iter().map(|(_, value)| *value).collect(),
        Schedule::Ramp { from, to, .. } => vec![*from, *to],
    }
}

fn momentum(what: &str, momentum: &Schedule) -> Result<()> {
    schedule(what, momentum)?;
    let largest = values(momentum).into_iter().fold(0.0, f64::max);
    must(largest < 1.0, what, "numbers below 1", largest)
}

/// The most Gibbs steps between two updates.
const MOST_STEPS: f64 = 1e6;

/// Errors unless `k` is always a number of Gibbs steps.
fn steps(name: &str, k: &Schedule) -> Result<()> {
    schedule(name, k)?;
    let is_possible = |x: f64| (1.0..=MOST_STEPS).contains(&x);
    let whole = |x: f64| is_possible(x) && (x.fract() == 0.0 || matches!(k, Schedule::Ramp { .. }));
    let all = values(k).into_iter().all(whole);
    must(all, name, "whole numbers from 1 to a million", format!("{k:?}"))
}

fn schedule(what: &str, schedule: &Schedule) -> Result<()> {
    match schedule.problem() {
        None => Ok(()),
        Some(problem) => {
            Err(Error::invalid(what, "a number, [[epoch, number], ...] or { from, to }", problem))
        }
    }
}
