//! What a recipe must satisfy before anything is done with it.

use candle_dbn_data::Scaling;
use rbm_core::learning::schedule::Per;
use rbm_core::units::Variance;
use rbm_core::{Error, Result, Schedule, Units};

use super::{
    Backpropagation, ClassifierRecipe, Damping, FastWeights, FinetuneRule, HybridParts,
    LayerRecipe, Method, PersistentChains, Recipe, Searches, SparsityTarget, StageKind,
    TemperedChains, UpDownRecipe,
};
use crate::learning::Pass;
use crate::network::fine_tune::Adversary;

/// The farthest that a case may be moved.
const MAX_STEP_LENGTH: f64 = 1e6;
/// The most units of a layer, and the most chains.
const MAX_UNITS: usize = 1 << 20;

impl Recipe {
    /// Errors with the key, what is allowed and what was found.
    pub(crate) fn check(&self) -> Result<()> {
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
        let is_bernoulli = matches!(self.visible_kind(), Units::Bernoulli { .. });
        let expected = "mean, unless for Bernoulli data that are not standardised";
        let is_drawn = self.data.pass == Pass::Sample;
        let is_standardised = self.standardise == Scaling::Standardise;
        must(is_bernoulli && !is_standardised || !is_drawn, "data.pass", expected, "sample")?;
        for (i, layer) in self.layers.iter().enumerate() {
            layer.check(&format!("layers.{i}"))?;
            let below = match i {
                0 => self.visible_kind(),
                _ => self.layers[i - 1].hidden.clone(),
            };
            let is_learned = below.groups().into_iter().any(|(_, units)| {
                matches!(units, Units::Gaussian { variance: Variance::Learned, .. })
            });
            let expected = "another, or visible_step = \"sample\", because a variance cannot be learned from means";
            let (key, found) = (format!("layers.{i}.method"), layer.method.name());
            must(!is_learned || !layer.method.takes_means(), &key, expected, found)?;
            let expected = "false, because there is no machine below";
            must(!layer.mirror || i > 0, &format!("layers.{i}.mirror"), expected, "true")?;
            let expected = "another, unless for the top layer of a recipe with labels = true";
            must(!layer.method.needs_labels() || self.is_joint(i), &key, expected, found)?;
        }
        let expected = "none beside labels = true: the top machine finds the classes itself (take [classifier] out of the recipe)";
        must(!self.labels || self.classifier.is_none(), "classifier", expected, "one")?;
        self.updown.as_ref().map_or(Ok(()), UpDownRecipe::check)?;
        if self.regressor.is_some() {
            let expected = "none beside a regressor: a stack becomes one thing (--set classifier=none takes it out)";
            must(self.classifier.is_none(), "classifier", expected, "one")?;
            must(self.autoencoder.is_none(), "autoencoder", expected, "one")?;
        }
        if self.autoencoder.is_some() {
            let expected = "none beside an autoencoder: a stack becomes one or the other";
            must(self.classifier.is_none(), "classifier", expected, "one")?;
            let expected = "false beside an autoencoder, which has no place for labels";
            must(!self.labels, "labels", expected, "true")?;
        }
        self.classifier.as_ref().map_or(Ok(()), ClassifierRecipe::check)?;
        let networks = [StageKind::Classifier, StageKind::Regressor, StageKind::Autoencoder];
        let networks =
            networks.into_iter().filter_map(|kind| Some((kind, self.backpropagation(kind)?)));
        networks.into_iter().try_for_each(|(kind, table)| table.check(&kind.to_string()))
    }
}

impl UpDownRecipe {
    fn check(&self) -> Result<()> {
        must(self.batch_size > 0, "updown.batch_size", "at least 1", 0)?;
        schedule("updown.learning_rate", &self.learning_rate)?;
        momentum("updown.momentum", &self.momentum)?;
        steps("updown.steps", &self.steps)?;
        let expected = "a number of at least 0";
        must(self.l2.is_finite() && self.l2 >= 0.0, "updown.l2", expected, self.l2)
    }
}

impl LayerRecipe {
    fn check(&self, name: &str) -> Result<()> {
        must(self.batch_size > 0, &format!("{name}.batch_size"), "at least 1", 0)?;
        let size = self.hidden.width();
        must(size <= MAX_UNITS, &format!("{name}.hidden"), "at most 2^20 units", size)?;
        self.method.check(&format!("{name}.method.{}", self.method.name()))?;
        let rate = self.learning_rate.as_ref();
        rate.map_or(Ok(()), |rate| schedule(&format!("{name}.learning_rate"), rate))?;
        let of = self.momentum.as_ref();
        of.map_or(Ok(()), |of| momentum(&format!("{name}.momentum"), of))?;
        steps(&format!("{name}.steps"), &self.steps)?;
        for (key, value) in [
            ("l1", self.l1),
            ("l2", self.l2),
            ("clip", self.clip.unwrap_or_default()),
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
        let rate = self.offset_rate;
        let expected = "a number between 0 and 1";
        must((0.0..=1.0).contains(&rate), &format!("{name}.offset_rate"), expected, rate)?;
        let key = format!("{name}.sparsity");
        self.sparsity.map_or(Ok(()), |sparsity| sparsity.check(&key))
    }
}

impl SparsityTarget {
    fn check(&self, name: &str) -> Result<()> {
        let Self { target, cost, decay } = *self;
        let expected = "a number between 0 and 1";
        must(target > 0.0 && target < 1.0, &format!("{name}.target"), expected, target)?;
        not_negative(&format!("{name}.cost"), cost)?;
        share(&format!("{name}.decay"), decay)
    }
}

impl Method {
    fn check(&self, name: &str) -> Result<()> {
        let key = |key: &str| format!("{name}.{key}");
        let check_chains = |chains: Option<usize>| {
            let count = chains.unwrap_or_default();
            must(count <= MAX_UNITS, &key("chains"), "at most 2^20", count)
        };
        match *self {
            Self::Pcd(PersistentChains { chains }) | Self::Ptt(PersistentChains { chains }) => {
                check_chains(chains)
            }
            Self::Fpcd(FastWeights { chains, rate, decay }) => {
                check_chains(chains)?;
                not_negative(&key("rate"), rate)?;
                share(&key("decay"), decay)
            }
            Self::Pt(TemperedChains { chains, replicas }) => {
                check_chains(chains)?;
                let is_ladder = replicas.is_none_or(|replicas| (2..=1000).contains(&replicas));
                let found = replicas.unwrap_or_default();
                must(is_ladder, &key("replicas"), "2 to 1000, or \"auto\"", found)
            }
            Self::MeanField(Damping { damping }) => share(&key("damping"), damping),
            Self::Hybrid(HybridParts { generative, .. }) => {
                not_negative(&key("generative"), generative)
            }
            Self::Cd(_) | Self::Exact | Self::Discriminative => Ok(()),
        }
    }
}

/// Errors unless `value` is a finite number of at least 0.
fn not_negative(key: &str, value: f64) -> Result<()> {
    must(value >= 0.0 && value.is_finite(), key, "a number of at least 0", value)
}

/// Errors unless `value` is from 0 to below 1.
fn share(key: &str, value: f64) -> Result<()> {
    must((0.0..1.0).contains(&value), key, "at least 0 and below 1", value)
}

impl ClassifierRecipe {
    fn check(&self) -> Result<()> {
        let is_searched = matches!(self.backpropagation.optimizer, FinetuneRule::Cg(_));
        let (Adversary::Label(distance) | Adversary::Virtual(distance)) = self.adversarial else {
            return Ok(());
        };
        let key = "classifier.adversarial";
        let is_distance = (0.0..=MAX_STEP_LENGTH).contains(&distance);
        must(is_distance, key, "a number from 0 to a million", distance)?;
        let expected = "none beside optimizer = \"cg\": a line search would climb one objective and measure another";
        must(!is_searched || distance == 0.0, key, expected, distance)
    }
}

impl Backpropagation {
    fn check(&self, name: &str) -> Result<()> {
        let key = |key: &str| format!("{name}.{key}");
        must(self.batch_size > 0, &key("batch_size"), "at least 1", 0)?;
        if let FinetuneRule::Cg(Searches { line_searches }) = self.optimizer {
            must(line_searches > 0, &key("optimizer.cg.line_searches"), "at least 1", 0)?;
        }
        schedule(&key("learning_rate"), &self.learning_rate)?;
        momentum(&key("momentum"), &self.momentum)?;
        for (name, value) in
            [("dropout_visible", self.dropout_visible), ("dropout_hidden", self.dropout_hidden)]
        {
            let expected = "a number of at least 0 and below 1";
            must((0.0..1.0).contains(&value), &key(name), expected, value)?;
        }
        for (name, value) in [("l2", self.l2), ("max_norm", self.max_norm.unwrap_or_default())] {
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
    if matches!(k, Schedule::Ramp { per: Per::Update, .. }) {
        let expected = "numbers by epoch (without per)";
        return Err(Error::invalid(name, expected, "per = \"update\""));
    }
    let is_possible = |x: f64| (1.0..=MOST_STEPS).contains(&x);
    let whole = |x: f64| is_possible(x) && (x.fract() == 0.0 || matches!(k, Schedule::Ramp { .. }));
    let all = values(k).into_iter().all(whole);
    must(all, name, "whole numbers from 1 to a million", format!("{k:?}"))
}

fn schedule(what: &str, schedule: &Schedule) -> Result<()> {
    match schedule.problem() {
        None => Ok(()),
        Some(problem) => Err(Error::invalid(
            what,
            "a number, [[epoch, number], ...] or { from, to, curve, per }",
            problem,
        )),
    }
}
