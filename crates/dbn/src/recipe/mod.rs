//! A [`Recipe`]: everything that decides what a training does, as TOML with every default written out.

mod belief;
mod check;
mod data;
mod finetuning;
mod keys;
mod layer;
mod learning;
mod machine;
mod method;
mod text;
mod values;
mod visible;

use candle_dbn_data::{ReadOptions, Scaling};
use rbm_core::Units;
use rbm_core::learning::train::StageKind;
use serde::{Deserialize, Serialize};

pub use self::belief::{BeliefKind, BeliefLearningRecipe, BeliefRecipe};
pub use self::data::DataRecipe;
pub use self::finetuning::{
    Backpropagation, ClassifierRecipe, FinetuneRule, Searches, UpDownRecipe,
};
pub use self::keys::{Key, Keys, Summary, keys, reference, summaries};
pub(crate) use self::layer::one_digit;
pub use self::layer::{LayerRecipe, OptimizerRule, Rates, SparsityTarget};
pub use self::learning::{BatchSize, LearningRecipe, MachineMethod, PosteriorRecipe, WholeData};
pub use self::machine::{
    HiddenLayers, HiddenUnits, MACHINES, MachineData, MachineKind, MachineRecipe,
};
pub use self::method::{
    Cd, Damping, FastWeights, HybridParts, Method, PersistentChains, TemperedChains,
};
pub use self::text::{BUILT_IN, nearest, quoted};
pub use self::visible::VisibleKind;
use crate::learning::Caching;
use crate::network::config::Preprocessing;

/// How to train a network: the data, its layers from the bottom up, the classifier on top.
///
/// ```
/// use candle_dbn::Recipe;
/// use candle_dbn::recipe::{ClassifierRecipe, LayerRecipe};
/// use rbm_core::Units;
///
/// // A key that is not there has its default.
/// let layer = LayerRecipe { epochs: 20, ..LayerRecipe::default() };
/// let recipe = Recipe {
///     seed: 3,
///     layers: vec![
///         LayerRecipe { hidden: Units::bernoulli(200), ..layer.clone() },
///         LayerRecipe { hidden: Units::bernoulli(100), ..layer },
///     ],
///     classifier: Some(ClassifierRecipe::default()),
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
    #[serde(default, with = "values::seed")]
    pub seed: u64,
    /// The kind of the data layer's units: `auto`, which is found from the data: the kinds of a table's columns, Bernoulli units for
    /// pictures; or `bernoulli`, `spin`, `binomial(TRIALS)`, `potts(STATES)`, `multinomial(DRAWS)`,
    /// `relu`, `gaussian` or `gaussian-learned`; or several with their sizes, `bernoulli:784+potts(10):1`; or `one-hot`: Potts
    /// units where columns beside each other hold a one-hot code in every case for training and validation, else Bernoulli.
    ///
    /// Range: a kind of units. Used by: the lowest layer.
    #[serde(default)]
    pub visible: VisibleKind,
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
    pub data: DataRecipe,
    /// The machines from the bottom up.
    pub layers: Vec<LayerRecipe>,
    /// Up-down fine-tuning of the whole stack, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updown: Option<UpDownRecipe>,
    /// The classifier; without it the network stays unsupervised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<ClassifierRecipe>,
    /// The predictor of a measurement that the network is unrolled into, instead of a classifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regressor: Option<Backpropagation>,
    /// The autoencoder that the network is unrolled into, instead of a classifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoencoder: Option<Backpropagation>,
}

/// One layer of [`LayerRecipe::default`], and nothing on top of it.
impl Default for Recipe {
    fn default() -> Self {
        Self {
            name: unnamed(),
            seed: 0,
            visible: VisibleKind::Auto,
            labels: false,
            standardise: Scaling::Auto,
            cache: Caching::Never,
            cache_bytes: a_gibibyte(),
            data: DataRecipe::default(),
            layers: vec![LayerRecipe::default()],
            updown: None,
            classifier: None,
            regressor: None,
            autoencoder: None,
        }
    }
}

fn unnamed() -> String {
    "custom".into()
}

fn a_gibibyte() -> u64 {
    1 << 30
}

impl Recipe {
    /// How to read the data.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions { finds_kinds: self.visible == VisibleKind::Auto, ..self.data.read.clone() }
    }
}

impl Recipe {
    /// Whether the machine with this number learns labels.
    pub fn is_joint(&self, layer: usize) -> bool {
        self.labels && layer + 1 == self.layers.len()
    }

    /// What there is to be done, in its order.
    pub fn stages(&self) -> Vec<StageKind> {
        let updown = self.updown.as_ref().map(|_| StageKind::UpDown);
        let classifier = self.classifier.as_ref().map(|_| StageKind::Classifier);
        let regressor = self.regressor.as_ref().map(|_| StageKind::Regressor);
        let autoencoder = self.autoencoder.as_ref().map(|_| StageKind::Autoencoder);
        let fine = updown.into_iter().chain(classifier).chain(regressor).chain(autoencoder);
        (0..self.layers.len()).map(StageKind::Layer).chain(fine).collect()
    }

    /// How this stage fine-tunes a network, if it does.
    pub fn backpropagation(&self, kind: StageKind) -> Option<&Backpropagation> {
        match kind {
            StageKind::Classifier => self.classifier.as_ref().map(|table| &table.backpropagation),
            StageKind::Regressor => self.regressor.as_ref(),
            StageKind::Autoencoder => self.autoencoder.as_ref(),
            _ => None,
        }
    }

    /// The most epochs of this stage.
    pub fn epochs_of(&self, kind: StageKind) -> usize {
        let epochs = match kind {
            StageKind::Layer(layer) => self.layers.get(layer).map(|layer| layer.epochs),
            StageKind::UpDown => self.updown.as_ref().map(|updown| updown.epochs),
            network => self.backpropagation(network).map(|table| table.epochs),
        };
        epochs.unwrap_or(0)
    }

    /// After how many epochs without a better validation error it stops, where it may.
    pub(crate) fn patience_of(&self, kind: StageKind) -> Option<usize> {
        self.backpropagation(kind).map(|table| table.patience)
    }
}

/// Updates of each layer that a table gets at most.
const UPDATES: f64 = 3_000.0;

impl Recipe {
    /// The recipe `table` for so many `cases` of `width` values: hidden units by the width, mini-batches and the number of layers by
    /// the cases, epochs so that small tables are seen about as often as large ones.
    #[must_use]
    pub fn sized(mut self, cases: usize, width: usize) -> Self {
        let (batch_size, layers) = match cases {
            ..2_000 => (10, 1),
            2_000..10_000 => (20, 2),
            _ => (100, 2),
        };
        let batches = (cases as f64 / batch_size as f64).max(1.0);
        self.layers.truncate(layers);
        for layer in &mut self.layers {
            layer.hidden = Units::bernoulli((4 * width).clamp(64, 500));
            layer.epochs = ((UPDATES / batches).round() as usize).clamp(10, 200);
            layer.batch_size = batch_size;
        }
        if let Some(classifier) = &mut self.classifier {
            classifier.backpropagation.batch_size = batch_size;
        }
        self
    }
}

impl Recipe {
    /// The recipe with the names of files and folders in place of the paths of one machine.
    pub fn without_paths(self) -> Self {
        Self { data: self.data.without_paths(), ..self }
    }

    /// The recipe of the first `count` layers alone.
    pub fn of_first_layers(mut self, count: usize) -> Self {
        if count < self.layers.len() {
            self.layers.truncate(count);
            (self.labels, self.updown, self.classifier, self.autoencoder) =
                (false, None, None, None);
            self.regressor = None;
        }
        self
    }

    /// What data that were divided by `scale`, sparse rows counted from `first_index`, go through before the network sees them.
    pub fn preprocessing(&self, scale: f32, first_index: Option<u32>) -> Preprocessing {
        Preprocessing {
            scale,
            first_index,
            binarise: self.data.read.binarise(),
            one_hot: self.data.read.one_hot,
            alphabet: self.data.read.alphabet.clone(),
        }
    }
}
