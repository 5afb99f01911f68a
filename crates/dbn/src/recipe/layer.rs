//! One machine of a recipe and how it learns: [`LayerRecipe`], and the rates by units and method where it names none. The numbers
//! behind these are in docs/design/data-kinds.md, "Rates that nobody named".

use candle_dbn_data::settings::or_none;
use rbm_core::learning::transform::{Centre, Clip, PerDraw, Sparsity, Transform, WeightDecay};
use rbm_core::model::init::Init;
use rbm_core::{Adam, Error, Optimizer, Rbm, Result, Schedule, Sgd, Units};
use serde::{Deserialize, Serialize};

use super::values::{name_or_table, units};
use super::visible::VisibleKind;
use super::{Method, Recipe};
use crate::learning::Pass;
use crate::network::dbn::has_own_draws;

/// How gradients become steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerRule {
    /// Gradient ascent with momentum.
    #[default]
    Sgd,
    /// Adam; the momentum is not used.
    Adam,
}

/// A pull of the hidden units' mean activity towards a target (Practical Guide §11).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SparsityTarget {
    /// The desired mean activity.
    ///
    /// Range: above 0, below 1. Used by: `sparsity`.
    pub target: f64,
    /// The strength of the pull.
    ///
    /// Range: 0 or more. Used by: `sparsity`.
    pub cost: f64,
    /// How slowly the running mean of the activity forgets, 0.9 to 0.99.
    ///
    /// Range: 0 to below 1. Used by: `sparsity`.
    pub decay: f64,
}

impl Default for SparsityTarget {
    fn default() -> Self {
        Self { target: 0.1, cost: 0.01, decay: 0.9 }
    }
}

/// One machine and its training. The defaults follow Hinton's Practical Guide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerRecipe {
    /// The hidden units: a number of Bernoulli units, or `KIND:SIZE`.
    ///
    /// Range: 1 to 1048576 units. Used by: every method.
    #[serde(with = "units")]
    pub hidden: Units,
    /// How many times to go through the data.
    ///
    /// Range: 0 or more epochs. Used by: every method.
    pub epochs: usize,
    /// Cases in a mini-batch.
    ///
    /// Range: 1 or more cases. Used by: every method.
    pub batch_size: usize,
    /// The learning rate by epoch; without one, by the units and the method ([`Recipe::resolved`]).
    ///
    /// Range: 0 or more; a number, `[[epoch, number], ...]` or `{ from, to, curve, per }`. Default: by units and method. Used by:
    /// every method.
    pub learning_rate: Option<Schedule>,
    /// The momentum by epoch; without one, likewise.
    ///
    /// Range: 0 to below 1; a number, `[[epoch, number], ...]` or `{ from, to, curve, per }`. Default: by method. Used by:
    /// `optimizer = "sgd"`.
    pub momentum: Option<Schedule>,
    /// Where fantasies come from: a name, or a name with its settings, `{ pcd = { chains = 100 } }`.
    ///
    /// Range: "cd", "pcd", "fpcd", "pt", "ptt", "mean-field", "exact", "discriminative" or "hybrid". Used by: every method.
    #[serde(deserialize_with = "name_or_table")]
    pub method: Method,
    /// k, the Gibbs steps between updates, by epoch.
    ///
    /// Range: 1 to 1000000 Gibbs steps; a number, `[[epoch, number], ...]` or `{ from, to, curve, per }`. Used by: `cd`, `pcd`,
    /// `fpcd`, `pt`, `ptt`, `mean-field` and `hybrid`.
    pub steps: Schedule,
    /// How gradients become steps.
    ///
    /// Range: "sgd" or "adam". Used by: every method.
    pub optimizer: OptimizerRule,
    /// Whether gradients are those of the machine written about the means of its units, the centred gradient. Without a
    /// word, where the learning rate is left open too and the units ask for it.
    ///
    /// Range: true or false. Default: true where learning_rate is left out, else false. Used by: every method.
    pub centre: Option<bool>,
    /// How much of each mini-batch's means goes into these means' running averages.
    ///
    /// Range: 0 to 1. Used by: `centre = true`.
    pub offset_rate: f64,
    /// L1 penalty of the weights.
    ///
    /// Range: 0 or more. Used by: every method.
    pub l1: f64,
    /// L2 penalty of the weights.
    ///
    /// Range: 0 or more. Used by: every method.
    pub l2: f64,
    /// The pull of the hidden units' mean activity towards a target; `"none"` for no pull.
    ///
    /// Range: "none", or `{ target, cost, decay }`. Used by: every method.
    #[serde(with = "or_none")]
    pub sparsity: Option<SparsityTarget>,
    /// The largest norm of a gradient; `"none"` for no limit.
    ///
    /// Range: a number above 0, or "none". Used by: every method.
    #[serde(with = "or_none")]
    pub clip: Option<f64>,
    /// Standard deviation of the first weights.
    ///
    /// Range: 0 or more. Used by: every method.
    pub weight_deviation: f64,
    /// First bias of the hidden units.
    ///
    /// Range: any number. Used by: every method.
    pub hidden_bias: f64,
    /// Whether the machine begins as the one below it upside down: its first hidden units are the visible ones of that.
    ///
    /// Range: true or false. Used by: layers above the lowest.
    pub mirror: bool,
    /// Whether mini-batches are balanced over the classes.
    ///
    /// Range: true or false. Used by: data with labels.
    pub balanced: bool,
    /// What the next layer learns from.
    ///
    /// Range: "mean" or "sample". Used by: the layer above.
    pub pass: Pass,
}

impl Default for LayerRecipe {
    fn default() -> Self {
        let Init { weight_deviation, hidden_bias } = Init::default();
        Self {
            hidden: Units::bernoulli(500),
            epochs: 10,
            batch_size: 100,
            learning_rate: None,
            momentum: None,
            method: Method::default(),
            steps: Schedule::Constant(1.0),
            optimizer: OptimizerRule::Sgd,
            centre: None,
            offset_rate: 0.01,
            l1: 0.0,
            l2: 2e-4,
            sparsity: None,
            clip: None,
            weight_deviation,
            hidden_bias,
            mirror: false,
            balanced: false,
            pass: Pass::Mean,
        }
    }
}

impl LayerRecipe {
    /// How the machine starts.
    pub fn init(&self) -> Init {
        Init { weight_deviation: self.weight_deviation, hidden_bias: self.hidden_bias }
    }

    /// What is done to the gradients of `rbm`, in the order that [`Centre`] asks for.
    ///
    /// # Errors
    ///
    /// When the layer has no learning settings that the machine could take: a norm or a rate out of its range.
    pub fn transforms(&self, rbm: &Rbm) -> Result<Vec<Box<dyn Transform>>> {
        let mut transforms: Vec<Box<dyn Transform>> = Vec::new();
        if let Some(SparsityTarget { target, cost, decay }) =
            self.sparsity.filter(|it| it.cost > 0.0)
        {
            transforms.push(Box::new(Sparsity { decay, ..Sparsity::new(target, cost) }));
        }
        if self.l1 > 0.0 || self.l2 > 0.0 {
            transforms.push(Box::new(WeightDecay { l1: self.l1, l2: self.l2 }));
        }
        if self.centre == Some(true) {
            transforms.push(Box::new(Centre::of(rbm, self.offset_rate)?));
        }
        if has_own_draws(&rbm.visible().units()) {
            transforms.push(Box::new(PerDraw));
        }
        if let Some(clip) = self.clip {
            transforms.push(Box::new(Clip::new(clip)?));
        }
        Ok(transforms)
    }
}

impl OptimizerRule {
    /// An optimiser; its rates are set in every epoch.
    pub fn optimizer(self) -> Box<dyn Optimizer> {
        match self {
            Self::Sgd => Box::new(Sgd::new(0.0)),
            Self::Adam => Box::new(Adam::new(0.0)),
        }
    }
}

/// How fast a machine learns.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// The learning rate by epoch.
    pub learning_rate: Schedule,
    /// The momentum by epoch.
    pub momentum: Schedule,
    /// Whether the gradient is the centred one.
    pub centre: bool,
}

/// What Bernoulli units on both sides learn by with contrastive divergence.
const BINARY: f64 = 0.1;
/// The most above a machine of data that are no bits.
const ABOVE_REAL: f64 = 0.01;

impl Rates {
    /// The rates for a machine of these units that learns so many cases at a time.
    fn of(visible: &Units, layer: &LayerRecipe) -> Self {
        let LayerRecipe { hidden, method, optimizer, batch_size, .. } = layer;
        let below = of_visible(visible, *batch_size);
        let small = (*batch_size as f64 / 20.0).min(1.0);
        let sides = below.min(least(hidden, of_hidden)).min(BINARY * small);
        let is_free = |units: &Units| {
            let is_free = |(_, units): (_, &Units)| {
                matches!(units, Units::Gaussian { .. } | Units::Relu { .. })
            };
            units.groups().into_iter().any(is_free)
        };
        let is_persistent = method.is_persistent();
        let rate = if *optimizer == OptimizerRule::Adam {
            sides.min(0.001)
        } else if is_free(visible) && is_free(hidden) {
            // Their coupling must stay below one, and the nearer it is, the larger the gradients are.
            sides.min(0.006 / visible.width().max(1) as f64)
        } else if is_persistent {
            // Without momentum, which alone would make it ten times as fast.
            (3.0 * sides).min(BINARY)
        } else {
            sides
        };
        let momentum = match is_persistent {
            true => Schedule::Constant(0.0),
            false => Schedule::Steps(vec![(0, 0.5), (5, 0.9)]),
        };
        // Without it layers above real-valued ones die, and rates must be ten times as small.
        let centre = !has_own_draws(visible);
        Self { learning_rate: Schedule::Constant(one_digit(rate)), momentum, centre }
    }
}

/// The smallest rate that any group of the units needs.
fn least(units: &Units, of: impl Fn(&Units) -> f64) -> f64 {
    units.groups().into_iter().map(|(_, units)| of(units)).fold(1.0, f64::min)
}

fn of_visible(units: &Units, batch_size: usize) -> f64 {
    // The input of a hidden unit is a sum over columns, and its noise a mean over cases.
    let wide = 0.1 * batch_size as f64 / units.width().max(1) as f64;
    least(units, |units| match units {
        Units::Potts { .. } => 0.03,
        Units::Gaussian { .. } | Units::Relu { .. } => wide.min(0.01),
        other => of_either(other),
    })
}

fn of_hidden(units: &Units) -> f64 {
    match units {
        Units::Gaussian { .. } | Units::Relu { .. } => 0.003,
        other => of_either(other),
    }
}

fn of_either(units: &Units) -> f64 {
    match units {
        Units::Binomial { trials, .. } => 0.05 / *trials as f64,
        // As long as nobody knows.
        Units::Multinomial { draws: 0, .. } => 0.003,
        Units::Multinomial { draws, .. } => 0.5 / *draws as f64,
        _ => BINARY,
    }
    .min(BINARY)
}

/// The number as it is written with one digit.
pub(crate) fn one_digit(x: f64) -> f64 {
    format!("{x:.0e}").parse().unwrap_or(x)
}

impl LayerRecipe {
    /// Learning rate and momentum.
    ///
    /// # Errors
    ///
    /// Where the recipe was not [resolved](Recipe::resolved).
    pub fn rates(&self) -> Result<(Schedule, Schedule)> {
        let named = |rate: &Option<Schedule>, key: &str| {
            rate.clone().ok_or_else(|| Error::invalid(key, "a number for every epoch", "none"))
        };
        Ok((named(&self.learning_rate, "learning_rate")?, named(&self.momentum, "momentum")?))
    }
}

impl Recipe {
    /// The recipe with every rate in it that nobody named, for a data layer of the units `visible`; and what was chosen, a sentence,
    /// if it is not what recipes are documented to have. Where a learning rate is named and no centring is, there is none.
    pub fn resolved(mut self, visible: &Units) -> (Self, Option<String>) {
        let usual: Vec<_> =
            (0..self.layers.len()).filter_map(|layer| self.usual(layer, visible)).collect();
        let mut chosen = Vec::new();
        for (i, (layer, rates)) in self.layers.iter_mut().zip(usual).enumerate() {
            let is_chosen = layer.learning_rate.is_none();
            let centre = layer.centre.unwrap_or(is_chosen && rates.centre);
            layer.centre = Some(centre);
            // Nothing is said of what does not learn.
            if is_chosen && layer.epochs > 0 {
                let also = if centre { ", centred" } else { "" };
                chosen.push(format!(
                    "layer {} {} (momentum {}{also})",
                    i + 1,
                    rates.learning_rate,
                    layer.momentum.as_ref().unwrap_or(&rates.momentum),
                ));
            }
            layer.learning_rate.get_or_insert(rates.learning_rate);
            layer.momentum.get_or_insert(rates.momentum);
        }
        let note = format!(
            "learning rates by units and method: {}; layers.N.learning_rate names others",
            chosen.join(", ")
        );
        (self, (!chosen.is_empty()).then_some(note))
    }

    /// Whether this is `other` with nothing named but the rates that `other` leaves open.
    pub fn completes(&self, other: &Self) -> bool {
        let mut filled = other.clone();
        for (layer, found) in filled.layers.iter_mut().zip(&self.layers) {
            layer.learning_rate = layer.learning_rate.take().or(found.learning_rate.clone());
            layer.momentum = layer.momentum.take().or(found.momentum.clone());
            layer.centre = layer.centre.or(found.centre);
        }
        filled == *self
    }

    /// The rates that the layer with this number would get if nobody named any.
    fn usual(&self, layer: usize, visible: &Units) -> Option<Rates> {
        let of = self.layers.get(layer)?;
        let Some(below) = layer.checked_sub(1).and_then(|below| self.layers.get(below)) else {
            return Some(Rates::of(visible, of));
        };
        let mut rates = Rates::of(&below.hidden, of);
        if least(visible, |units| of_visible(units, of.batch_size)) < BINARY {
            // What such data make of the units below varies little from case to case.
            let least = rates.learning_rate.at(0, 1).min(ABOVE_REAL);
            rates.learning_rate = Schedule::Constant(least);
        }
        Some(rates)
    }

    /// The learning rate that the layer with this number would get if nobody named one.
    pub(crate) fn usual_rate(&self, layer: usize, visible: &Units) -> f64 {
        self.usual(layer, visible).map_or(BINARY, |rates| rates.learning_rate.at(0, 1))
    }

    /// The recipe without the rates of layers whose units, method or optimiser in `changed` are not those of `original`, which
    /// the rates were made for: of another number of layers, all are held against the last one. Units that are found from the
    /// data count as Bernoulli units. The cases of the layers above such a one are no longer the same either.
    #[must_use]
    pub fn without_rates_of_others(mut self, original: &Self, changed: &Self) -> Self {
        let sides = |recipe: &Self, i: usize| {
            let layer = recipe.layers.get(i).or(recipe.layers.last())?;
            let below = match i.checked_sub(1) {
                None if recipe.visible == VisibleKind::Auto => Units::bernoulli(1).kind(),
                None => recipe.visible.to_string(),
                Some(below) => recipe.layers.get(below).or(recipe.layers.last())?.hidden.kind(),
            };
            Some((below, layer.hidden.kind(), layer.method.name(), layer.optimizer))
        };
        let mut is_other = false;
        for (i, layer) in self.layers.iter_mut().enumerate() {
            is_other |= sides(original, i) != sides(changed, i);
            if is_other {
                (layer.learning_rate, layer.momentum) = (None, None);
            }
        }
        self
    }
}

/// This file, from whose comments the keys are described.
pub(super) const SOURCE: &str = include_str!("layer.rs");
