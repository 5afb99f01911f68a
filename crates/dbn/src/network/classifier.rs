//! The network unrolled into a classifier, or a predictor of a measurement: the up-pass, then an output, fine-tuned by backpropagation.
//!
//! The output of a classifier is a softmax (Hinton and Salakhutdinov 2006: 784-500-500-2000-10; dropout: Srivastava et al. 2014). That of
//! a predictor is one linear unit, which learns from the squared error.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::Module;
use rbm_core::ops::device::to_host;
use rbm_core::ops::{self, Ascent, Deferred};
use rbm_core::{Error, Rbm, Result, Rng, Rows, Units, rows};
use serde::{Deserialize, Serialize};

use crate::Examples;
pub use crate::network::fine_tune::Dropout;
use crate::network::fine_tune::{self, Adversary, Batch, FineTune, Gradients, Score};
use rbm_core::model::ConditionalLayer;

/// Standard deviation of the softmax layer's first weights.
const OUTPUT_DEVIATION: f64 = 0.1;

/// Recognition layers and a softmax over classes.
#[derive(Debug)]
pub struct Classifier {
    /// From the data up.
    pub layers: Vec<ConditionalLayer>,
    /// `(top, classes)`.
    pub weights: Var,
    /// `(classes,)`.
    pub bias: Var,
}

impl Classifier {
    /// The recognition side of `rbms`, copied, under a softmax over `classes` classes with small random weights.
    ///
    /// # Errors
    ///
    /// When there are no machines.
    pub fn unroll(rbms: &[Rbm], classes: usize, rng: &mut Rng) -> Result<Self> {
        let Some(top) = rbms.last() else {
            return Err(Error::invalid("a classifier", "at least one layer", "none"));
        };
        if classes == 0 {
            return Err(Error::invalid("a classifier", "at least one class", "none"));
        }
        let layers = rbms.iter().map(ConditionalLayer::upwards).collect::<Result<_>>()?;
        let (dtype, device) = (top.dtype(), top.device());
        let noise = ops::normal((top.hidden().units().width(), classes), dtype, device, rng)?;
        let weights = Var::from_tensor(&(noise * OUTPUT_DEVIATION)?)?;
        Ok(Self { layers, weights, bias: Var::zeros(classes, dtype, device)? })
    }

    /// A classifier of this shape whose parameters are zero, to be filled by a reader.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn empty(
        width: usize,
        layers: &[Units],
        classes: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let mut below = width;
        let mut built = Vec::with_capacity(layers.len());
        for units in layers {
            built.push(ConditionalLayer::zeros(below, units, dtype, device)?);
            below = units.width();
        }
        let weights = Var::zeros((below, classes), dtype, device)?;
        Ok(Self { layers: built, weights, bias: Var::zeros(classes, dtype, device)? })
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.bias.elem_count()
    }

    /// Every parameter, from the data up.
    pub fn vars(&self) -> Vec<&Var> {
        let mut vars: Vec<&Var> = Vec::new();
        for layer in &self.layers {
            vars.push(&layer.weights);
            vars.extend(layer.units.vars().into_iter().map(|(_, var)| var));
        }
        vars.extend([&self.weights, &self.bias]);
        vars
    }

    /// Log-probabilities of the classes up to a constant, `(batch, classes)`, for `v` `(batch, width)`. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn logits(&self, v: &Tensor) -> Result<Tensor> {
        // Without dropout nothing is drawn.
        self.logits_with_dropout(v, Dropout::default(), &mut Rng::new(0))
    }

    /// [`Classifier::logits`] with units left out at random and the others scaled up to make good for them.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn logits_with_dropout(
        &self,
        v: &Tensor,
        dropout: Dropout,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        self.forward_train(v, dropout, rng, |_| None)
    }

    /// The logits; the backward pass leaves the gradient of the `i`th weights, from the data up, in `gradient(i)`.
    fn forward_train(
        &self,
        v: &Tensor,
        dropout: Dropout,
        rng: &mut Rng,
        gradient: impl Fn(usize) -> Option<Deferred>,
    ) -> Result<Tensor> {
        let mut x = v.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let connection = dropout.connection(i, &layer.weights, gradient(i), rng)?;
            x = fine_tune::mean_above(&*layer.units, &x, &connection)?;
        }
        let i = self.layers.len();
        let connection = dropout.connection(i, &self.weights, gradient(i), rng)?;
        connection.affine(&x, &self.bias)
    }

    /// The mean log-probability, in nats, of the classes `labels` of the rows of `v` `(batch, width)`, and its ascent for
    /// each of [`Classifier::vars`], in their order. The former is a leaf on the device, so that nothing waits for it.
    ///
    /// # Errors
    ///
    /// For cases of another width, and for labels that are not as many or no classes.
    pub fn ascents(
        &self,
        v: &Tensor,
        labels: &[u32],
        dropout: Dropout,
        rng: &mut Rng,
    ) -> Result<(Tensor, Vec<Ascent>)> {
        let (slopes, _) = self.slopes(v, dropout, rng, |logits| log_likelihood(logits, labels))?;
        Ok((slopes.objective, slopes.ascents))
    }

    /// The slopes of `objective` of the logits, and the logits, a leaf.
    pub(crate) fn slopes(
        &self,
        v: &Tensor,
        dropout: Dropout,
        rng: &mut Rng,
        objective: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Gradients, Tensor)> {
        let deferred: Vec<_> = (0..=self.layers.len()).map(|_| Deferred::default()).collect();
        let logits = self.forward_train(v, dropout, rng, |i| deferred.get(i).cloned())?;
        let slopes = Gradients::of(&objective(&logits)?, &self.vars(), &deferred, v)?;
        Ok((slopes, logits.detach()))
    }

    /// The most probable class of each row of `v` `(n, width)`, a block at a time.
    ///
    /// # Errors
    ///
    /// As `cases` where rows cannot be read, and for another width.
    pub fn predict(&self, v: &dyn Rows) -> Result<Vec<u32>> {
        let mut classes = Vec::with_capacity(v.count());
        self.for_blocks(v, |_, logits| {
            classes.extend(logits.argmax(D::Minus1)?.to_vec1::<u32>()?);
            Ok(())
        })?;
        Ok(classes)
    }

    /// How many cases of `part` are put into the wrong class, and their mean cross-entropy in nats.
    ///
    /// # Errors
    ///
    /// When there are no labels.
    pub fn errors_and_loss(&self, part: &Examples) -> Result<(usize, f64)> {
        let Some(labels) = &part.labels else {
            return Err(Error::invalid("a classifier's errors", "labels", "none"));
        };
        if let Some(label) = labels.iter().find(|&&label| label as usize >= self.classes()) {
            let expected = format!("classes below {}, as the classifier knows", self.classes());
            return Err(Error::invalid("labels", expected, label.to_string()));
        }
        let (mut errors, mut loss) = (0, 0.0);
        self.for_blocks(&part.cases, |start, logits| {
            let classes = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
            let labels = &labels[start..start + classes.len()];
            errors += classes.iter().zip(labels).filter(|(a, b)| a != b).count();
            let mean = to_host(&log_likelihood(logits, labels)?)?.to_scalar::<f64>()?;
            loss -= mean * classes.len() as f64;
            Ok(())
        })?;
        Ok((errors, loss / labels.len().max(1) as f64))
    }

    fn for_blocks(
        &self,
        v: &dyn Rows,
        mut visit: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut start = 0;
        for block in rows::blocks(v) {
            let block = block?.to_device(self.bias.device())?;
            visit(start, &self.logits(&block)?.detach())?;
            start += block.dim(0)?;
        }
        Ok(())
    }
}

impl FineTune for Classifier {
    fn vars(&self) -> Vec<&Var> {
        self.vars()
    }

    /// The mean log-probability of the classes, nats, and what the batch's adversary adds to it. Errors without labels.
    fn ascents(&self, batch: &Batch, rng: &mut Rng) -> Result<(Tensor, Vec<Ascent>)> {
        let labels =
            batch.labels.ok_or_else(|| Error::invalid("a classifier", "labels", "none"))?;
        let slopes = |cases: &Tensor, beliefs: Option<&Tensor>, rng: &mut Rng| {
            self.slopes(cases, batch.dropout, rng, |logits| match beliefs {
                Some(beliefs) => divergence(beliefs, logits)?.neg().map_err(Into::into),
                None => log_likelihood(logits, labels),
            })
        };
        let of_labels = |cases: &Tensor, rng: &mut Rng| Ok(slopes(cases, None, rng)?.0);
        let slopes = match batch.adversary {
            Adversary::None => of_labels(batch.cases, rng)?,
            Adversary::Label(distance) => fine_tune::slopes(batch.cases, distance, rng, of_labels)?,
            Adversary::Virtual(distance) => {
                fine_tune::virtual_slopes(batch.cases, distance, rng, slopes)?
            }
        };
        Ok((slopes.objective, slopes.ascents))
    }

    fn constrain(&self) -> Result<()> {
        self.layers.iter().try_for_each(|layer| layer.units.constrain())
    }

    fn score(&self, part: &Examples) -> Result<Score> {
        let (errors, loss) = self.errors_and_loss(part)?;
        Ok(Score { error: 100.0 * errors as f64 / part.len().max(1) as f64, loss })
    }
}

/// The mean log-probability, in nats, of the classes `labels` under `logits` `(batch, classes)`. Differentiable.
///
/// # Errors
///
/// For a label that is no class.
pub fn log_likelihood(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let labels = Tensor::new(labels, logits.device())?;
    Ok(candle_nn::loss::cross_entropy(logits, &labels)?.neg()?)
}

/// The mean Kullback-Leibler divergence, in nats, from `beliefs` `(batch, classes)`, probabilities, to those of `logits`
/// `(batch, classes)`. Differentiable.
fn divergence(beliefs: &Tensor, logits: &Tensor) -> Result<Tensor> {
    let log_probabilities = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    // A belief of 0 is worth 0 whatever its logarithm.
    let of_beliefs = beliefs.maximum(f64::from(f32::MIN_POSITIVE))?.log()?;
    let nats = (beliefs * (of_beliefs - log_probabilities)?)?;
    Ok((nats.sum_all()? / logits.dim(0)?.max(1) as f64)?)
}

impl Module for Classifier {
    fn forward(&self, v: &Tensor) -> candle_core::Result<Tensor> {
        self.logits(v).map_err(candle_core::Error::wrap)
    }
}

/// What is predicted: its name, and how it is standardised while learning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The name of its column.
    pub name: String,
    /// The mean of the training cases' values.
    pub mean: f64,
    /// Their standard deviation; 1 where all are the same.
    pub deviation: f64,
}

impl Target {
    /// The target `name` of cases with these `values`.
    pub fn of(name: &str, values: &[f32]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().copied().map(f64::from).sum::<f64>() / count;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        Self { name: name.to_owned(), mean, deviation }
    }
}

/// Recognition layers and one linear unit, which says how many deviations the target lies above its mean.
#[derive(Debug)]
pub struct Regressor {
    /// The layers and the linear unit: a [`Classifier`] of one class, of which the logit is taken.
    pub network: Classifier,
    /// What is predicted.
    pub target: Target,
}

impl Regressor {
    /// The recognition side of `rbms`, copied, under a linear unit with small random weights.
    ///
    /// # Errors
    ///
    /// When there are no machines.
    pub fn unroll(rbms: &[Rbm], target: Target, rng: &mut Rng) -> Result<Self> {
        Ok(Self { network: Classifier::unroll(rbms, 1, rng)?, target })
    }

    /// A regressor of this shape whose parameters are zero, to be filled by a reader.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn empty(
        width: usize,
        layers: &[Units],
        target: Target,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        Ok(Self { network: Classifier::empty(width, layers, 1, dtype, device)?, target })
    }

    /// The predicted value of each row of `v` `(n, width)`, in the units of the data, a block at a time.
    ///
    /// # Errors
    ///
    /// As `cases` where rows cannot be read, and for another width.
    pub fn predict(&self, v: &dyn Rows) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(v.count());
        for block in rows::blocks(v) {
            let block = block?.to_device(self.network.bias.device())?;
            let outputs = self.network.logits(&block)?.detach().flatten_all()?;
            let Target { mean, deviation, .. } = self.target;
            values.extend(outputs.affine(deviation, mean)?.to_vec1::<f32>()?);
        }
        Ok(values)
    }

    /// The root of the mean squared error of the predictions for `part`, in the units of the data, and that of the
    /// training cases' mean in their place.
    ///
    /// # Errors
    ///
    /// When there are no targets.
    pub fn errors(&self, part: &Examples) -> Result<(f64, f64)> {
        let Some(targets) = &part.targets else {
            return Err(Error::invalid("a regressor's errors", "targets", "none"));
        };
        let root = |of: &dyn Fn(usize) -> f64| {
            let squares = targets.iter().enumerate().map(|(i, &y)| (of(i) - f64::from(y)).powi(2));
            (squares.sum::<f64>() / targets.len().max(1) as f64).sqrt()
        };
        let found = self.predict(&part.cases)?;
        Ok((root(&|i| f64::from(found[i])), root(&|_| self.target.mean)))
    }
}

impl FineTune for Regressor {
    fn vars(&self) -> Vec<&Var> {
        self.network.vars()
    }

    /// Half the mean squared error of the standardised targets, below zero: log p under a normal distribution of variance one but
    /// for a constant, in nats. Errors without targets.
    fn ascents(&self, batch: &Batch, rng: &mut Rng) -> Result<(Tensor, Vec<Ascent>)> {
        let Some(targets) = batch.targets else {
            return Err(Error::invalid("a regressor", "targets", "none"));
        };
        let Target { mean, deviation, .. } = self.target;
        let wanted = Tensor::new(targets, batch.cases.device())?
            .affine(1.0 / deviation, -mean / deviation)?;
        let wanted = wanted.unsqueeze(1)?.to_dtype(batch.cases.dtype())?;
        let (slopes, _) = self.network.slopes(batch.cases, batch.dropout, rng, |outputs| {
            Ok(((outputs - &wanted)?.sqr()?.mean_all()? * -0.5)?)
        })?;
        Ok((slopes.objective, slopes.ascents))
    }

    fn constrain(&self) -> Result<()> {
        self.network.constrain()
    }

    fn score(&self, part: &Examples) -> Result<Score> {
        let (error, _) = self.errors(part)?;
        Ok(Score { error, loss: 0.5 * (error / self.target.deviation).powi(2) })
    }
}
