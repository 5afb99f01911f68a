//! A recipe: everything that decides what a training does, as a TOML file with every default written out.

mod check;
mod data;
mod finetuning;
mod keys;
mod method;
mod named;
mod nearest;
mod parts;
mod rates;
mod seed;
mod settings;
mod stages;
mod table;
mod text;
mod travel;
mod units;
mod updown;
mod visible;

use candle_dbn_data::optional::or_none;
use candle_dbn_data::{ReadOptions, Scaling};
use rbm_core::model::init::Init;
use rbm_core::{Schedule, Units};
use serde::{Deserialize, Serialize};

pub use self::data::Data;
pub use self::finetuning::{Backpropagation, Classifier, FinetuneRule, Searches};
pub use self::keys::{Key, Keys, Summary, keys, reference, summaries};
pub use self::method::{Cd, Chains, Damping, FastWeights, HybridParts, Ladder, Method};
pub use self::nearest::{nearest, quoted};
pub use self::rates::Rates;
pub(crate) use self::rates::one_digit;
pub use self::stages::StageKind;
pub use self::text::BUILT_IN;
pub use self::updown::UpDown;
pub use self::visible::AUTO;
use crate::learning::greedy::{Caching, Pass};

/// How to train a network: the data, its layers from the bottom up, the classifier on top.
///
/// ```
/// use candle_dbn::Recipe;
/// use candle_dbn::recipe::{Classifier, Layer};
/// use rbm_core::Units;
///
/// // Everything that is not said is the default.
/// let layer = Layer { epochs: 20, ..Layer::default() };
/// let recipe = Recipe {
///     seed: 3,
///     layers: vec![
///         Layer { hidden: Units::bernoulli(200), ..layer.clone() },
///         Layer { hidden: Units::bernoulli(100), ..layer },
///     ],
///     classifier: Some(Classifier::default()),
///     ..Recipe::default()
/// };
/// // Or from a built-in one, by the keys of `--set`.
/// let other = Recipe::named("digits")?.with(&["seed=3", "layers.*.epochs=20"])?;
/// assert_eq!(recipe.layers[1].epochs, other.layers[1].epochs);
/// # Ok::<(), candle_dbn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the recipe is called.
    ///
    /// Range: any text. Used by: the folder of the run.
    #[serde(default = "unnamed")]
    pub name: String,
    /// Every random choice follows from it.
    ///
    /// Range: 0 to 18446744073709551615. Used by: everything that is drawn at random.
    #[serde(default, with = "seed")]
    pub seed: u64,
    /// The kind of the data layer's units: `auto`, which is found from the data: the kinds of a table's columns, Bernoulli units for
    /// pictures; or `bernoulli`, `spin`, `binomial(TRIALS)`, `potts(STATES)`, `multinomial(DRAWS)`,
    /// `relu`, `gaussian` or `gaussian-learned`; or several with their sizes, `bernoulli:784+potts(10):1`; or `one-hot`: Potts
    /// units where columns beside each other hold a one-hot code in every case for training and validation, else Bernoulli.
    ///
    /// Range: a kind of units. Used by: the lowest layer.
    #[serde(default = "auto")]
    pub visible: String,
    /// Whether the top machine learns the labels of the cases too, as a group of units beside those of the layer below it
    /// (Hinton, Osindero, Teh 2006, §5).
    ///
    /// Range: true or false. Used by: the top layer.
    #[serde(default)]
    pub labels: bool,
    /// Whether to bring the columns of the data to mean 0 and deviation 1 first, or between 0 and 1: `"auto"` (where units are
    /// Gaussian), `true`, `false` or `"min-max"`.
    ///
    /// Range: "auto", true, false or "min-max". Used by: the lowest layer.
    #[serde(default)]
    pub standardise: Scaling,
    /// Whether the data of deep layers are computed once a layer: `never` or `when-it-fits`.
    ///
    /// Range: "never" or "when-it-fits". Used by: layers above the lowest.
    #[serde(default)]
    pub cache: Caching,
    /// The most bytes of memory that they may then take (`f32`), on the device that learns.
    ///
    /// Range: 0 or more bytes. Used by: `cache = "when-it-fits"`.
    #[serde(default = "a_gibibyte")]
    pub cache_bytes: u64,
    /// Where the cases come from.
    #[serde(default)]
    pub data: Data,
    /// The machines from the bottom up.
    pub layers: Vec<Layer>,
    /// Up-down fine-tuning of the whole stack, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updown: Option<UpDown>,
    /// The classifier; without it the network stays unsupervised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<Classifier>,
    /// The predictor of a measurement that the network is unrolled into, instead of a classifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regressor: Option<Backpropagation>,
    /// The autoencoder that the network is unrolled into, instead of a classifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoencoder: Option<Backpropagation>,
}

/// One layer of [`Layer::default`], and nothing on top of it.
impl Default for Recipe {
    fn default() -> Self {
        Self {
            name: unnamed(),
            seed: 0,
            visible: auto(),
            labels: false,
            standardise: Scaling::Auto,
            cache: Caching::Never,
            cache_bytes: a_gibibyte(),
            data: Data::default(),
            layers: vec![Layer::default()],
            updown: None,
            classifier: None,
            regressor: None,
            autoencoder: None,
        }
    }
}

/// How gradients become steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
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
pub struct Layer {
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
    /// The learning rate by epoch; without one, what suits the units and the method ([`Recipe::resolved`]).
    ///
    /// Range: 0 or more; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Default: by units and method. Used by:
    /// every method.
    pub learning_rate: Option<Schedule>,
    /// The momentum by epoch; without one, likewise.
    ///
    /// Range: 0 to below 1; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Default: by method. Used by:
    /// `optimizer = "sgd"`.
    pub momentum: Option<Schedule>,
    /// Where fantasies come from: a name, or a name with its settings, `{ pcd = { chains = 100 } }`.
    ///
    /// Range: "cd", "pcd", "fpcd", "pt", "ptt", "mean-field", "exact", "discriminative" or "hybrid". Used by: every method.
    #[serde(deserialize_with = "named::deserialize")]
    pub method: Method,
    /// k, the Gibbs steps between updates, by epoch.
    ///
    /// Range: 1 to 1000000 Gibbs steps; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Used by: `cd`, `pcd`,
    /// `fpcd`, `pt`, `ptt`, `mean-field` and `hybrid`.
    pub steps: Schedule,
    /// How gradients become steps.
    ///
    /// Range: "sgd" or "adam". Used by: every method.
    pub optimizer: Rule,
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

impl Default for Layer {
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
            optimizer: Rule::Sgd,
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

fn unnamed() -> String {
    "custom".into()
}

fn a_gibibyte() -> u64 {
    1 << 30
}

fn auto() -> String {
    AUTO.into()
}

impl Recipe {
    /// How to read the data.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions { finds_kinds: self.visible == AUTO, ..self.data.read.clone() }
    }
}
