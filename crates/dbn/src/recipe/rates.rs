//! Learning rate, momentum and centring where a recipe names none: what suits the units of both sides and the method. The numbers
//! behind it are in docs/design/data-kinds.md, "Rates that nobody named".

use rbm_core::{Error, Result, Schedule, Units};

use super::visible::AUTO;
use super::{Layer, Recipe, Rule};
use crate::network::labels::has_own_draws;

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
    fn of(visible: &Units, layer: &Layer) -> Self {
        let Layer { hidden, method, optimizer, batch_size, .. } = layer;
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
        let rate = if *optimizer == Rule::Adam {
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
    // What arrives at a hidden unit is a sum over columns, and its noise a mean over cases.
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

impl Layer {
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
            if is_chosen {
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
        let said = format!(
            "learning rates by units and method: {}; layers.N.learning_rate names others",
            chosen.join(", ")
        );
        (self, (!chosen.is_empty()).then_some(said))
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
    /// data count as Bernoulli units. What arrives at the layers above such a one is no longer the same either.
    #[must_use]
    pub fn without_rates_of_others(mut self, original: &Self, changed: &Self) -> Self {
        let sides = |recipe: &Self, i: usize| {
            let layer = recipe.layers.get(i).or(recipe.layers.last())?;
            let below = match i.checked_sub(1) {
                None if recipe.visible == AUTO => Units::bernoulli(1).kind(),
                None => recipe.visible.clone(),
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
