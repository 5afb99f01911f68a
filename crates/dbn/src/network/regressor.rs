//! The network unrolled into a predictor of a measurement: the up-pass, then one linear unit, fine-tuned by backpropagation of the
//! squared error.

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::ops::Ascent;
use rbm_core::{Error, Rbm, Result, Rng, Rows, Units, rows};
use serde::{Deserialize, Serialize};

use crate::network::fine_tune::{Batch, FineTune, Score};
use crate::{Classifier, Examples};

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
