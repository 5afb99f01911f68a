//! The table `[learning]` of a Boltzmann machine's recipe: the numbers of a training that it names. The others follow from the machine.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use candle_boltzmann::learning::{Learning, Negative};
use rbm_core::PositivePhase;
use rbm_core::learning::positive::Start;
use rbm_core::learning::schedule::Curve;
use serde::{Deserialize, Serialize};

/// The text of this file, for the page of keys.
pub(super) const SOURCE: &str = include_str!("learning.rs");

/// The most iterations of mean field at a mini-batch, unless the recipe says so.
const MEAN_FIELD_STEPS: usize = 50;
/// Mean field ends where no mean moves by more.
const TOLERANCE: f64 = 1e-4;

/// How a Boltzmann machine learns: the keys of `--set`.
///
/// ```
/// use candle_boltzmann::learning::Negative;
/// use candle_dbn::recipe::MachineRecipe;
///
/// let recipe = MachineRecipe::default().with(&["method=ptt", "epochs=20"])?;
/// let learning = recipe.learning.resolve(1); // of a machine with one hidden layer
/// assert_eq!((learning.negative, learning.epochs, learning.sweeps), (Negative::Trajectory, 20, 3));
/// # Ok::<(), candle_dbn::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRecipe {
    /// Where the machine's own averages come from.
    ///
    /// Range: "cd", "pcd", "pt", "ptt", "exact" or "pseudo-likelihood". Default: "pseudo-likelihood" without hidden units, of measurements "exact" where categories beside them are few, else "pcd". Used by: every
    /// machine; "pseudo-likelihood" by those whose hidden units, if any, are one layer and not coupled with each other, "exact" by small ones, and by measurements.
    pub method: Option<MachineMethod>,
    /// How hidden units that are coupled with each other are found, given the data.
    ///
    /// Range: "sampled", "mean-field", "mean-field:STEPS" or "mean-field:STEPS:TOLERANCE", the last a mean change of a mean. Default: "mean-field:50:1e-4" of a deep
    /// machine, else "sampled". Used by: machines whose hidden units are coupled
    /// with each other.
    pub posterior: Option<PosteriorRecipe>,
    /// Times through the data.
    ///
    /// Range: 1 or more epochs. Default: 100, and of few cases as many as have 2,000 updates. Used by: every machine; with `target_pearson` the most.
    pub epochs: Option<usize>,
    /// Cases between updates; all of them is 0 in the library, `all` in a recipe.
    ///
    /// Range: 1 or more cases, or "all". Used by: every machine.
    pub batch_size: Option<BatchSize>,
    /// Times through the data for each layer of a deep machine before all learn together; 0 for none.
    ///
    /// Range: 0 or more epochs. Default: 0. Used by: deep machines of Bernoulli units.
    pub pretraining_epochs: Option<usize>,
    /// The learning rate of that, by CD-k divided by k.
    ///
    /// Range: above 0. Default: 0.025. Used by: `pretraining_epochs` above 0.
    pub pretraining_rate: Option<f64>,
    /// Whether the gradient of that is centred: of large data with many units, of which few would ever be on without it.
    ///
    /// Range: true or false. Default: false. Used by: `pretraining_epochs` above 0.
    pub pretraining_centre: Option<bool>,
    /// Of the first epoch.
    ///
    /// Range: above 0. Default: 0.2 of a deep machine, else 0.05; with a target 0.01; of measurements by how far they vary together. Used by: every machine.
    pub learning_rate: Option<f64>,
    /// Of the last epoch.
    ///
    /// Range: above 0. Default: a tenth of `learning_rate`; with a target `learning_rate`. Used by: every machine.
    pub final_learning_rate: Option<f64>,
    /// How it goes from the first to the last.
    ///
    /// Range: "exponential" by equal factors, or "linear" by equal differences. Used by: every machine.
    pub learning_curve: Option<Curve>,
    /// The fraction of the last step that is repeated.
    ///
    /// Range: 0 to below 1. Used by: every machine.
    pub momentum: Option<f64>,
    /// Weight decay.
    ///
    /// Range: 0 or more. Used by: the couplings of every machine.
    pub l2: Option<f64>,
    /// Whether the gradient is centred.
    ///
    /// Range: true or false. Default: true of a deep machine, else false. Used by: every method but "pseudo-likelihood".
    pub centre: Option<bool>,
    /// Sweeps of the chains between updates.
    ///
    /// Range: 1 or more sweeps. Used by: "cd", "pcd", "pt", "ptt", and `posterior = "sampled"`.
    pub sweeps: Option<usize>,
    /// Persistent chains.
    ///
    /// Range: 1 or more chains. Used by: "pcd", "pt" and "ptt".
    pub chains: Option<usize>,
    /// The end of the training: Pearson's correlation between the connected correlations of two units among the data and among chains that
    /// were started anew. Of machines without hidden units.
    ///
    /// Range: above 0 to below 1. Used by: machines without hidden units.
    pub target_pearson: Option<f64>,
}

/// Where a machine's own averages come from, as the literature calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineMethod {
    /// [`Negative::Contrastive`].
    Cd,
    /// [`Negative::Persistent`].
    Pcd,
    /// [`Negative::Tempered`].
    Pt,
    /// [`Negative::Trajectory`].
    Ptt,
    /// [`Negative::Exact`].
    Exact,
    /// [`Negative::PseudoLikelihood`].
    PseudoLikelihood,
}

impl From<MachineMethod> for Negative {
    fn from(method: MachineMethod) -> Self {
        match method {
            MachineMethod::Cd => Self::Contrastive,
            MachineMethod::Pcd => Self::Persistent,
            MachineMethod::Pt => Self::Tempered,
            MachineMethod::Ptt => Self::Trajectory,
            MachineMethod::Exact => Self::Exact,
            MachineMethod::PseudoLikelihood => Self::PseudoLikelihood,
        }
    }
}

impl From<Negative> for MachineMethod {
    fn from(negative: Negative) -> Self {
        match negative {
            Negative::Contrastive => Self::Cd,
            Negative::Persistent => Self::Pcd,
            Negative::Tempered => Self::Pt,
            Negative::Trajectory => Self::Ptt,
            Negative::Exact => Self::Exact,
            Negative::PseudoLikelihood => Self::PseudoLikelihood,
        }
    }
}

/// Cases between updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number from 1, or \"all\"")]
pub enum BatchSize {
    /// So many.
    Cases(NonZeroUsize),
    /// The whole of the data.
    Whole(WholeData),
}

/// The word for all cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WholeData {
    /// All of them.
    #[serde(rename = "all")]
    All,
}

/// How hidden units that are coupled with each other are found, given the data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PosteriorRecipe {
    /// By clamped Gibbs sampling.
    Sampled,
    /// By mean field.
    MeanField {
        /// The most steps, at least 1.
        steps: usize,
        /// The mean change of a mean at which it ends before; not below 0.
        tolerance: f64,
    },
}

impl PosteriorRecipe {
    /// Mean field as deep machines have it where nothing else is said.
    const MEAN_FIELD: Self = Self::MeanField { steps: MEAN_FIELD_STEPS, tolerance: TOLERANCE };
}

impl LearningRecipe {
    /// Every number of `learning`, but for those that have no meaning for it.
    pub fn of(learning: &Learning) -> Self {
        let usual = Learning::default();
        let other = |value: f64, usual: f64| Some(value).filter(|value| *value != usual);
        Self {
            method: Some(learning.negative.into()),
            posterior: Some(match learning.posterior {
                PositivePhase::MeanField { steps, tolerance, .. } => {
                    PosteriorRecipe::MeanField { steps, tolerance }
                }
                _ => PosteriorRecipe::Sampled,
            }),
            epochs: Some(learning.epochs),
            batch_size: Some(match learning.batch_size.and_then(NonZeroUsize::new) {
                Some(cases) => BatchSize::Cases(cases),
                None => BatchSize::Whole(WholeData::All),
            }),
            pretraining_epochs: Some(learning.pretraining_epochs).filter(|epochs| *epochs > 0),
            pretraining_rate: other(learning.pretraining_rate, usual.pretraining_rate),
            pretraining_centre: Some(learning.pretraining_centre).filter(|centre| *centre),
            learning_rate: Some(learning.learning_rate),
            final_learning_rate: learning.final_learning_rate,
            learning_curve: Some(learning.learning_curve)
                .filter(|curve| *curve != usual.learning_curve),
            momentum: Some(learning.momentum),
            l2: Some(learning.l2),
            centre: Some(learning.centre),
            sweeps: Some(learning.sweeps),
            chains: Some(learning.chains),
            target_pearson: learning.target_pearson,
        }
    }

    /// The numbers of a training: those that are named here, and for the others what is usual of a machine with so many hidden layers. The seed
    /// and what is taken of the data are the usual ones.
    pub fn resolve(&self, hidden_layers: usize) -> Learning {
        let usual = match self.target_pearson {
            Some(target) => Learning::to_target(target),
            None => Learning::usual(hidden_layers),
        };
        let mut learning = Learning {
            negative: self.method.map_or(usual.negative, Negative::from),
            epochs: self.epochs.unwrap_or(usual.epochs),
            batch_size: self.batch_size.map_or(usual.batch_size, |size| match size {
                BatchSize::Cases(cases) => Some(cases.get()),
                BatchSize::Whole(WholeData::All) => None,
            }),
            pretraining_epochs: self.pretraining_epochs.unwrap_or(usual.pretraining_epochs),
            pretraining_rate: self.pretraining_rate.unwrap_or(usual.pretraining_rate),
            pretraining_centre: self.pretraining_centre.unwrap_or(usual.pretraining_centre),
            learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
            final_learning_rate: self.final_learning_rate.or(usual.final_learning_rate),
            learning_curve: self.learning_curve.unwrap_or(usual.learning_curve),
            momentum: self.momentum.unwrap_or(usual.momentum),
            l2: self.l2.unwrap_or(usual.l2),
            centre: self.centre.unwrap_or(usual.centre),
            sweeps: self.sweeps.unwrap_or(usual.sweeps),
            chains: self.chains.unwrap_or(usual.chains),
            ..usual
        };
        let usual = match hidden_layers {
            0 | 1 => PosteriorRecipe::Sampled,
            _ => PosteriorRecipe::MEAN_FIELD,
        };
        learning.posterior = match self.posterior.unwrap_or(usual) {
            PosteriorRecipe::Sampled => PositivePhase::Sampled { sweeps: learning.sweeps },
            PosteriorRecipe::MeanField { steps, tolerance } => {
                let start = match learning.pretraining_epochs {
                    0 => Start::Biases,
                    _ => Start::UpPass,
                };
                PositivePhase::MeanField { steps, tolerance, start }
            }
        };
        learning
    }
}

impl FromStr for PosteriorRecipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(':');
        let kind = words.next();
        let steps = words.next().map_or(Some(MEAN_FIELD_STEPS), |word| word.parse().ok());
        let tolerance = words.next().map_or(Some(TOLERANCE), |word| word.parse::<f64>().ok());
        match (kind, steps, tolerance.filter(|at| at.is_finite() && *at >= 0.0), words.next()) {
            (Some("sampled"), ..) if text == "sampled" => Ok(Self::Sampled),
            (Some("mean-field"), Some(steps @ 1..), Some(tolerance), None) => {
                Ok(Self::MeanField { steps, tolerance })
            }
            _ => Err(format!(
                "posterior: expected mean-field, mean-field:STEPS, mean-field:STEPS:TOLERANCE or sampled, found {text:?}"
            )),
        }
    }
}

impl TryFrom<String> for PosteriorRecipe {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PosteriorRecipe> for String {
    fn from(posterior: PosteriorRecipe) -> Self {
        posterior.to_string()
    }
}

impl fmt::Display for PosteriorRecipe {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Sampled => f.write_str("sampled"),
            Self::MeanField { steps, tolerance } => {
                f.write_str("mean-field")?;
                let is_usual = *tolerance == TOLERANCE;
                if *steps != MEAN_FIELD_STEPS || !is_usual {
                    write!(f, ":{steps}")?;
                }
                if is_usual { Ok(()) } else { write!(f, ":{tolerance:e}") }
            }
        }
    }
}
