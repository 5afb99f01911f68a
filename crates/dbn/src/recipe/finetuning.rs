//! How a stack is fine-tuned: the tables `[updown]`, `[classifier]`, `[regressor]` and `[autoencoder]`.

use candle_dbn_data::settings::{Keyed, OrNone, or_none, read_keyed};
use rbm_core::Schedule;
use serde::de::{Error, MapAccess};
use serde::{Deserialize, Deserializer, Serialize};

use super::values::{NamedChoice, name_or_table};
use crate::network::fine_tune::Adversary;

/// How backpropagation climbs. In a recipe it is a name, or `{ cg = { line_searches = 3 } }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinetuneRule {
    /// Gradient ascent with momentum.
    #[default]
    Sgd,
    /// Adam; the momentum is not used.
    Adam,
    /// Conjugate gradients with line searches (Hinton and Salakhutdinov 2006); learning rate and momentum are not used.
    Cg(Searches),
}

/// Settings of conjugate gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Searches {
    /// Line searches in each mini-batch.
    ///
    /// Range: 1 or more searches. Used by: `optimizer = "cg"`.
    pub line_searches: usize,
}

impl Default for Searches {
    fn default() -> Self {
        Self { line_searches: 3 }
    }
}

impl NamedChoice for FinetuneRule {
    const EXAMPLE: &'static str = "{ cg = { line_searches = 3 } }";

    fn named(name: &str) -> Option<Self> {
        match name {
            "sgd" => Some(Self::Sgd),
            "adam" => Some(Self::Adam),
            "cg" => Some(Self::Cg(Searches::default())),
            _ => None,
        }
    }
}

/// Backpropagation in a network unrolled from the stack. The defaults are those of an autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backpropagation {
    /// The most epochs.
    ///
    /// Range: 0 or more epochs. Used by: backpropagation.
    pub epochs: usize,
    /// Cases in a mini-batch.
    ///
    /// Range: 1 or more cases. Used by: backpropagation.
    pub batch_size: usize,
    /// The learning rate by epoch.
    ///
    /// Range: 0 or more; a number, `[[epoch, number], ...]` or `{ from, to, curve, per }`. Used by: `optimizer = "sgd"` and
    /// `"adam"`.
    pub learning_rate: Schedule,
    /// The momentum by epoch.
    ///
    /// Range: 0 to below 1; a number, `[[epoch, number], ...]` or `{ from, to, curve, per }`. Used by: `optimizer = "sgd"`.
    pub momentum: Schedule,
    /// How gradients become steps.
    ///
    /// Range: "sgd", "adam" or "cg". Used by: backpropagation.
    pub optimizer: FinetuneRule,
    /// L2 penalty of the weights.
    ///
    /// Range: 0 or more. Used by: backpropagation.
    pub l2: f64,
    /// The largest Euclidean norm of the weights into a unit (Srivastava et al. 2014); `"none"` for no limit.
    ///
    /// Range: a number above 0, or "none". Used by: backpropagation.
    #[serde(with = "or_none")]
    pub max_norm: Option<f64>,
    /// The fraction of the data's values left out at random.
    ///
    /// Range: 0 to below 1. Used by: backpropagation.
    pub dropout_visible: f64,
    /// The fraction of hidden units left out at random.
    ///
    /// Range: 0 to below 1. Used by: backpropagation.
    pub dropout_hidden: f64,
    /// Over how many of the last epochs parameters are averaged, once an epoch; `"none"` for no average.
    ///
    /// Range: 1 or more epochs, or "none". Used by: backpropagation.
    #[serde(with = "or_none")]
    pub average_last: Option<usize>,
    /// Epochs without a better validation error after which to stop.
    ///
    /// Range: 0 or more epochs. Used by: data with validation cases.
    pub patience: usize,
}

impl Default for Backpropagation {
    fn default() -> Self {
        Self {
            epochs: 50,
            batch_size: 100,
            learning_rate: Schedule::Constant(1e-3),
            momentum: Schedule::Constant(0.9),
            optimizer: FinetuneRule::Adam,
            l2: 0.0,
            max_norm: None,
            dropout_visible: 0.0,
            dropout_hidden: 0.0,
            average_last: None,
            patience: 20,
        }
    }
}

/// The softmax on top and its fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassifierRecipe {
    /// What all networks have.
    #[serde(flatten)]
    pub backpropagation: Backpropagation,
    /// Epochs at the beginning in which only the softmax layer learns.
    ///
    /// Range: 0 or more epochs. Used by: backpropagation.
    pub softmax_only: usize,
    /// How many cases have labels to learn from, as many of each class, chosen by the seed; `"none"` for all. Pre-training learns from
    /// all cases in either case.
    ///
    /// Range: 1 or more cases, or "none". Used by: backpropagation.
    #[serde(with = "or_none")]
    pub train_on: Option<usize>,
    /// Adversarial training: how far, in Euclidean distance, each case is moved to be learned from there, too. `{ label = 1.5 }` moves it
    /// against its gradient (Goodfellow, Shlens, Szegedy 2015), in twice the time; `{ virtual = 1.5 }` to where the network changes
    /// its mind about it, to learn not to (Miyato, Maeda, Koyama, Ishii 2018), in three times the time. Not with `cg`.
    ///
    /// Range: "none", or a distance from 0 to 1000000 by its kind. Used by: `optimizer = "sgd"` and `"adam"`.
    pub adversarial: Adversary,
}

impl Default for ClassifierRecipe {
    fn default() -> Self {
        Self {
            softmax_only: 0,
            train_on: None,
            adversarial: Adversary::None,
            backpropagation: Backpropagation {
                learning_rate: Schedule::Constant(0.1),
                optimizer: FinetuneRule::Sgd,
                ..Backpropagation::default()
            },
        }
    }
}

/// This file, from whose comments the keys are described.
pub(super) const SOURCE: &str = include_str!("finetuning.rs");

#[derive(Deserialize)]
#[serde(transparent)]
struct NamedRule(#[serde(deserialize_with = "name_or_table")] FinetuneRule);

impl NamedChoice for Adversary {
    const EXAMPLE: &'static str = "{ label = 1.5 }";

    fn named(name: &str) -> Option<Self> {
        (name == "none").then_some(Self::None)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct NamedAdversary(#[serde(deserialize_with = "name_or_table")] Adversary);

impl Keyed for Backpropagation {
    const TABLE: &'static str = "a table of backpropagation";
    const KEYS: &'static [&'static [&'static str]] = &[&[
        "epochs",
        "batch_size",
        "learning_rate",
        "momentum",
        "optimizer",
        "l2",
        "max_norm",
        "dropout_visible",
        "dropout_hidden",
        "average_last",
        "patience",
    ]];

    fn read_key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        table: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "epochs" => self.epochs = table.next_value()?,
            "batch_size" => self.batch_size = table.next_value()?,
            "learning_rate" => self.learning_rate = table.next_value()?,
            "momentum" => self.momentum = table.next_value()?,
            "optimizer" => self.optimizer = table.next_value::<NamedRule>()?.0,
            "l2" => self.l2 = table.next_value()?,
            "max_norm" => self.max_norm = table.next_value::<OrNone<_>>()?.0,
            "dropout_visible" => self.dropout_visible = table.next_value()?,
            "dropout_hidden" => self.dropout_hidden = table.next_value()?,
            "average_last" => self.average_last = table.next_value::<OrNone<_>>()?.0,
            "patience" => self.patience = table.next_value()?,
            other => return Err(A::Error::custom(format_args!("unknown field `{other}`"))),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Backpropagation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_keyed(deserializer)
    }
}

impl Keyed for ClassifierRecipe {
    const TABLE: &'static str = "the table [classifier]";
    const KEYS: &'static [&'static [&'static str]] =
        &[&["softmax_only", "train_on", "adversarial"], Backpropagation::KEYS[0]];

    fn read_key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        table: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "softmax_only" => self.softmax_only = table.next_value()?,
            "train_on" => self.train_on = table.next_value::<OrNone<_>>()?.0,
            "adversarial" => self.adversarial = table.next_value::<NamedAdversary>()?.0,
            common => self.backpropagation.read_key(common, table)?,
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for ClassifierRecipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_keyed(deserializer)
    }
}

/// Up-down fine-tuning of all layers, after greedy learning (Hinton, Osindero, Teh 2006, §5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpDownRecipe {
    /// How many times to go through the data.
    ///
    /// Range: 0 or more epochs. Used by: up-down.
    pub epochs: usize,
    /// Cases in a mini-batch.
    ///
    /// Range: 1 or more cases. Used by: up-down.
    pub batch_size: usize,
    /// The learning rate by epoch.
    ///
    /// Range: 0 or more; a number, `[[epoch, number], ...]` or `{ from, to, curve, per }`. Used by: up-down.
    pub learning_rate: Schedule,
    /// The momentum by epoch.
    ///
    /// Range: 0 to below 1; a number, `[[epoch, number], ...]` or `{ from, to, curve, per }`. Used by: up-down.
    pub momentum: Schedule,
    /// k, the Gibbs steps of the top machine between wake and sleep, by epoch.
    ///
    /// Range: 1 to 1000000 Gibbs steps; a number, `[[epoch, number], ...]` or `{ from, to, curve, per }`. Used by: up-down.
    pub steps: Schedule,
    /// L2 penalty of all weights.
    ///
    /// Range: 0 or more. Used by: up-down.
    pub l2: f64,
    /// Whether mini-batches are balanced over the classes.
    ///
    /// Range: true or false. Used by: data with labels.
    pub balanced: bool,
}

impl Default for UpDownRecipe {
    fn default() -> Self {
        Self {
            epochs: 300,
            batch_size: 100,
            learning_rate: Schedule::linear(0.05, 0.0),
            momentum: Schedule::Constant(0.0),
            steps: Schedule::Steps(vec![(0, 3.0), (100, 6.0), (200, 10.0)]),
            l2: 0.0,
            balanced: false,
        }
    }
}
