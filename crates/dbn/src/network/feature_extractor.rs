//! The network as a part of a larger candle model: built from a `VarBuilder`, as candle's own models are.
//!
//! [`Model`] owns what it has learned; this only goes up. Over tensors of a file it is frozen, over a `VarMap` its
//! parameters are variables that any optimiser of candle trains together with the others.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use candle_core::{D, Device, Tensor, Var};
use candle_dbn_data as data;
use candle_nn::ops::softmax;
use candle_nn::{Init, Module, VarBuilder, VarMap};
use rbm_core::{Error, Layer, Result, Units};

use crate::network::config::Config;
use crate::network::labels::with_label_units;
use crate::{Model, Standardise};

/// The deviation of new weights (Practical Guide §8).
const DEVIATION: f64 = 0.01;

/// The up-pass of a network, by means: `(batch, width)` to the top layer's activities `(batch, top)`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{Linear, Module, VarBuilder, VarMap, linear};
/// use candle_dbn::{Config, FeatureExtractor};
///
/// struct Diagnosis { features: FeatureExtractor, head: Linear }
///
/// impl Diagnosis {
///     fn new(config: &Config, vb: VarBuilder) -> candle_core::Result<Self> {
///         let features = FeatureExtractor::new(config, vb.pp("features"))?;
///         Ok(Self { head: linear(features.width(), 2, vb.pp("head"))?, features })
///     }
/// }
///
/// impl Module for Diagnosis {
///     fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
///         self.head.forward(&self.features.forward(x)?)
///     }
/// }
///
/// use rbm_core::Units;
///
/// let config = Config::new(Units::bernoulli(6), vec![Units::bernoulli(4), Units::bernoulli(3)]);
/// let variables = VarMap::new();
/// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
/// // Pre-trained: let config = FeatureExtractor::load_into(&variables, "features", "runs/mnist", &Device::Cpu)?;
/// let diagnosis = Diagnosis::new(&config, vb)?;
/// let x = Tensor::zeros((5, 6), DType::F32, &Device::Cpu)?;
/// assert_eq!(diagnosis.forward(&x)?.dims(), [5, 2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FeatureExtractor {
    visible: Units,
    hint: &'static str,
    standardise: Option<Standardise>,
    layers: Vec<Upward>,
}

impl FeatureExtractor {
    /// The network that `config` describes over the tensors that `vb` has: `rbms.{i}.weight` `(hidden, visible)`,
    /// `rbms.{i}.hidden_bias` and further parameters of hidden units, and where data are standardised `standardise.mean` and
    /// `standardise.deviation`, which are never trained. Whatever else there is stays unread, as in `model.safetensors`.
    ///
    /// Where `vb` makes new variables, weights are small and random and all else is neutral.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or of another shape, by its name; and for label units under hidden units whose precision is
    /// learned.
    pub fn new(config: &Config, vb: VarBuilder) -> candle_core::Result<Self> {
        let width = config.visible.width();
        let standardise = if config.standardise {
            let vb = vb.pp("standardise");
            let mean = vb.get_with_hints(width, "mean", Init::Const(0.0))?;
            let deviation = vb.get_with_hints(width, "deviation", Init::Const(1.0))?;
            Some(Standardise { mean, deviation, cuts: config.min_max })
        } else {
            None
        };
        let mut layers = Vec::with_capacity(config.hidden.len());
        let mut below = width;
        for (i, units) in config.hidden.iter().enumerate() {
            let vb = vb.pp("rbms").pp(i);
            layers.push(match label_bias(config).filter(|_| i + 1 == config.hidden.len()) {
                Some((name, classes)) => {
                    let bias = vb.get_with_hints(classes, &name, Init::Const(0.0))?;
                    Upward { label: Some(bias), ..Upward::new(below + classes, units, vb)? }
                }
                None => Upward::new(below, units, vb)?,
            });
            below = units.width();
        }
        let hint = config.preprocessing.as_ref().map_or("", |done| done.hint());
        Ok(Self { visible: config.visible.clone(), hint, standardise, layers })
    }

    /// Sets the variables under `prefix` ("features" for `vb.pp("features")`, or nothing) to the parameters of the model in the
    /// folder `dir`, and adds those that are not there yet, in `f32` on `device`: what [`FeatureExtractor::new`] finds under
    /// that prefix is pre-trained and goes on learning. What the model is.
    ///
    /// # Errors
    ///
    /// As [`Model::load`], and where a variable there is of another shape; then none has been changed.
    pub fn load_into(
        variables: &VarMap,
        prefix: &str,
        dir: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Config> {
        let dir = dir.as_ref();
        let model = Model::load(dir, device)?;
        let top = model.dbn.depth() - 1;
        let label = label_bias(&model.config()).map(|(name, _)| format!("rbms.{top}.{name}"));
        let is_read = |name: &String| is_of_way_up(name) || label.as_ref() == Some(name);
        let tensors = model.tensors()?.into_iter().filter(|(name, _)| is_read(name));
        let named = |name: String| match prefix {
            "" => name,
            prefix => format!("{prefix}.{name}"),
        };
        let tensors: Vec<_> = tensors.map(|(name, tensor)| (named(name), tensor)).collect();
        let mut variables = variables.data().lock().unwrap_or_else(PoisonError::into_inner);
        for (name, tensor) in &tensors {
            if let Some(var) = variables.get(name).filter(|var| var.shape() != tensor.shape()) {
                let expected = format!("shape {:?}, as in {}", tensor.dims(), dir.display());
                let found = format!("{:?}", var.dims());
                return Err(Error::invalid(format!("variable {name:?}"), expected, found));
            }
        }
        for (name, tensor) in tensors {
            match variables.get(&name) {
                Some(var) => var.set(&tensor.to_dtype(var.dtype())?.to_device(var.device())?)?,
                None => {
                    variables.insert(name, Var::from_tensor(&tensor)?);
                }
            }
        }
        Ok(model.config())
    }

    /// How many features a case has: the width of the top layer.
    pub fn width(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.neutral.units().width())
    }

    /// The mean activities of every hidden layer from the bottom up, `(batch, hidden)` each, for `x` `(batch, width)` in the
    /// values of the data. Differentiable in the data and in whatever is a variable.
    ///
    /// # Errors
    ///
    /// Where `x` has another shape, and for values that the units of the data layer cannot have: numbers that are not divided, what is
    /// missing.
    pub fn features(&self, x: &Tensor) -> candle_core::Result<Vec<Tensor>> {
        let mut below = match &self.standardise {
            // What belongs to the data, and not to what is learned of them.
            Some(Standardise { mean, deviation, cuts }) => {
                let fixed =
                    Standardise { mean: mean.detach(), deviation: deviation.detach(), cuts: *cuts };
                fixed.apply(x).map_err(candle_core::Error::wrap)?
            }
            None => x.clone(),
        };
        data::check_values(&below, &self.visible, self.hint).map_err(candle_core::Error::wrap)?;
        let mut features = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            below = layer.forward(&below)?;
            features.push(below.clone());
        }
        Ok(features)
    }
}

/// The top layer's mean activities.
impl Module for FeatureExtractor {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.features(x)?.pop().ok_or_else(|| candle_core::Error::msg("a network without layers"))
    }
}

/// Whether the way up reads this tensor of `model.safetensors`.
fn is_of_way_up(name: &str) -> bool {
    let of_machine = name.strip_prefix("rbms.").and_then(|rest| rest.split_once('.'));
    let is_hidden = |name: &str| name == "weight" || name.starts_with("hidden_");
    of_machine.is_some_and(|(_, name)| is_hidden(name)) || name.starts_with("standardise.")
}

/// What the bias of the label units is called in the top machine, and how many they are, if there are any.
fn label_bias(config: &Config) -> Option<(String, usize)> {
    let classes = config.labels?;
    let below = match &config.hidden[..] {
        [.., below, _] => below,
        _ => &config.visible,
    };
    let last = with_label_units(below, classes).groups().len() - 1;
    Some((format!("visible_{last}.bias"), classes))
}

/// E[h | x] of one machine, over tensors that need not be variables.
///
/// θ adds to the inputs of every unit type, so units with a bias answer as neutral ones whose inputs have it added. A learned
/// precision divides both.
#[derive(Debug, Clone)]
struct Upward {
    /// `(hidden, below)`.
    weight: Tensor,
    /// A bias for each group of units; one alone is all.
    groups: Vec<UnitGroup>,
    neutral: Arc<dyn Layer>,
    /// The bias of every class, where the last units below are labels.
    label: Option<Tensor>,
}

#[derive(Debug, Clone)]
struct UnitGroup {
    bias: Tensor,
    precision: Option<Tensor>,
    columns: Range<usize>,
}

impl Upward {
    fn new(below: usize, units: &Units, vb: VarBuilder) -> candle_core::Result<Self> {
        let small = Init::Randn { mean: 0.0, stdev: DEVIATION };
        let weight = vb.get_with_hints((units.width(), below), "weight", small)?;
        let neutral =
            units.build(weight.dtype(), weight.device()).map_err(candle_core::Error::wrap)?;
        let biases = neutral.biases();
        let mut groups: Vec<UnitGroup> = Vec::with_capacity(biases.len());
        for (k, (name, var)) in neutral.vars().into_iter().enumerate() {
            let name = format!("hidden_{name}");
            match (biases.iter().find(|(bias, _)| *bias == k), groups.last_mut()) {
                (Some((_, columns)), _) => groups.push(UnitGroup {
                    bias: vb.get_with_hints(var.shape(), &name, Init::Const(0.0))?,
                    precision: None,
                    columns: columns.clone(),
                }),
                (None, Some(group)) if name.ends_with("precision") => {
                    group.precision =
                        Some(vb.get_with_hints(var.shape(), &name, Init::Const(1.0))?);
                }
                (None, _) => {
                    let error =
                        Error::invalid("a feature extractor", "biases and precisions", name);
                    return Err(candle_core::Error::wrap(error));
                }
            }
        }
        Ok(Self { weight, groups, neutral: Arc::from(neutral), label: None })
    }

    /// The inputs of the units from the data, `(batch, hidden)`.
    fn inputs(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let classes = self.label.as_ref().map_or(0, Tensor::elem_count);
        let (expected, found) = (self.weight.dim(1)? - classes, x.dims2()?.1);
        if found != expected {
            let expected = format!("{expected} values a case, as the network has");
            let error = Error::invalid("the data", expected, found.to_string());
            return Err(candle_core::Error::wrap(error));
        }
        let inputs = x.matmul(&self.weight.narrow(1, 0, expected)?.t()?)?;
        let each = self.groups.iter().map(|UnitGroup { bias, precision, columns }| {
            let inputs = inputs.narrow(1, columns.start, columns.len())?.broadcast_add(bias)?;
            match precision {
                Some(precision) => inputs.broadcast_div(precision),
                None => Ok(inputs),
            }
        });
        match &each.collect::<candle_core::Result<Vec<_>>>()?[..] {
            [one] => Ok(one.clone()),
            several => Tensor::cat(several, 1)?.contiguous(),
        }
    }
}

impl Upward {
    /// Σ_y p(y | x)·E[h | x, y] over the labels y: as [`ClassRbm::hidden_mean`](rbm_core::ClassRbm::hidden_mean).
    fn mean_over_labels(&self, inputs: &Tensor, bias: &Tensor) -> Result<Tensor> {
        if self.groups.iter().any(|group| group.precision.is_some()) {
            let (expected, found) = ("hidden units without a precision", "a learned one");
            return Err(Error::invalid("label units", expected, found));
        }
        let (classes, width) = (bias.elem_count(), self.weight.dim(1)?);
        let label_weights = self.weight.narrow(1, width - classes, classes)?.t()?.contiguous()?;
        let scores = rbm_core::model::pairwise_cgf(&*self.neutral, inputs, &label_weights)?
            .broadcast_add(bias)?;
        let shares = softmax(&scores, D::Minus1)?;
        let mut mean = inputs.zeros_like()?;
        for class in 0..classes {
            let of_class = self.neutral.mean(&inputs.broadcast_add(&label_weights.get(class)?)?)?;
            mean = (mean + of_class.broadcast_mul(&shares.narrow(1, class, 1)?)?)?;
        }
        let is_learned = inputs.track_op() || self.weight.track_op() || bias.track_op();
        Ok(if is_learned { mean } else { mean.detach() })
    }
}

impl Module for Upward {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let inputs = self.inputs(x)?;
        if let Some(bias) = &self.label {
            return self.mean_over_labels(&inputs, bias).map_err(candle_core::Error::wrap);
        }
        let mean = self.neutral.mean(&inputs).map_err(candle_core::Error::wrap)?;
        // The neutral parameters are variables of which nobody wants a gradient: a graph is kept only where there is one below.
        Ok(if inputs.track_op() { mean } else { mean.detach() })
    }
}
