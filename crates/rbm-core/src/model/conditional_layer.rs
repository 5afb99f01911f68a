//! A directed layer: units that answer the layer on one side of them, and say nothing back.

use super::Rbm;
use crate::ops::{self, Ascent, Outer};
use crate::{Error, Layer, Result, Rng, Units};
use candle_core::{DType, Device, Tensor, Var};

/// p(x | below): units whose inputs are below·W. Recognition goes up through such layers, generation down.
#[derive(Debug)]
pub struct ConditionalLayer {
    /// `(below, width)`.
    pub weights: Var,
    /// Gives the bias and the non-linearity.
    pub units: Box<dyn Layer>,
}

impl ConditionalLayer {
    /// Neutral parameters.
    ///
    /// # Errors
    ///
    /// For units that cannot be built, and where there is no memory.
    pub fn zeros(below: usize, units: &Units, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Var::zeros((below, units.width()), dtype, device)?;
        Ok(Self { weights, units: units.build(dtype, device)? })
    }

    /// Bernoulli units of `weights` `(below, width)` and biases `(width,)`.
    ///
    /// # Errors
    ///
    /// When their shapes do not fit.
    pub fn bernoulli(weights: &Tensor, bias: &Tensor) -> Result<Self> {
        let (_, width) = weights.dims2()?;
        if bias.dims() != [width] {
            let found = format!("{:?}", bias.dims());
            return Err(Error::invalid("the biases of a layer", format!("[{width}]"), found));
        }
        let units = Units::bernoulli(width).build(weights.dtype(), weights.device())?;
        units.vars()[0].1.set(bias)?;
        Ok(Self { weights: Var::from_tensor(weights)?, units })
    }

    /// A copy of p(h | v) of `rbm`.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn upwards(rbm: &Rbm) -> Result<Self> {
        Self::copied(&rbm.weights().as_detached_tensor(), rbm.hidden())
    }

    /// A copy of p(v | h) of `rbm`.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn downwards(rbm: &Rbm) -> Result<Self> {
        Self::copied(&rbm.weights().as_detached_tensor().t()?.contiguous()?, rbm.visible())
    }

    fn copied(weights: &Tensor, layer: &dyn Layer) -> Result<Self> {
        Ok(Self { weights: Var::from_tensor(&weights.copy()?)?, units: layer.try_clone()? })
    }

    /// A layer with its own copy of every parameter.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn try_clone(&self) -> Result<Self> {
        Self::copied(&self.weights.as_detached_tensor(), &*self.units)
    }

    /// Every parameter by name: `weight`, then those of the units.
    pub fn parameters(&self) -> Vec<(String, &Var)> {
        let weights = ("weight".to_owned(), &self.weights);
        std::iter::once(weights).chain(self.units.vars()).collect()
    }

    /// below·W, `(batch, width)`. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn inputs(&self, below: &Tensor) -> Result<Tensor> {
        ops::product(below, &self.weights)
    }

    /// E[x | below], `(batch, width)`. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn mean(&self, below: &Tensor) -> Result<Tensor> {
        self.units.mean(&self.inputs(below)?)
    }

    /// x drawn from p(x | below), `(batch, width)`.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn sample(&self, below: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.units.sample(&self.inputs(below)?, rng)
    }

    /// log p(x | below) of each row, nats, `(batch,)`. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn log_probability(&self, below: &Tensor, x: &Tensor) -> Result<Tensor> {
        self.units.log_probability(&self.inputs(below)?, x)
    }

    /// The gradient of the mean log p(x | below) over a batch, in the order of [`ConditionalLayer::parameters`].
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn ascents(&self, below: &Tensor, x: &Tensor) -> Result<Vec<Ascent>> {
        delta_rule(&self.weights, &*self.units, below, x)
    }

    /// The gradient of Σ wᵢ log p(xᵢ | belowᵢ) over rows with `weights` `(batch,)`, likewise.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn weighted_ascents(
        &self,
        below: &Tensor,
        x: &Tensor,
        weights: &Tensor,
    ) -> Result<Vec<Ascent>> {
        let inputs = self.inputs(below)?.detach();
        let (error, sums) = errors(&*self.units, &inputs, x, Some(weights))?;
        let weights = Ascent::from(vec![Outer::new(below, &error, 1.0)?]);
        Ok(std::iter::once(weights).chain(sums.into_iter().map(Ascent::from)).collect())
    }
}

/// The gradient of the mean log p(x | below) over a batch, of `weights` and then of each parameter of `units`: what is there
/// less what is expected. `below` `(batch, below)` and `x` `(batch, width)` are constants.
///
/// # Errors
///
/// For cases of another width, or on another device.
pub fn delta_rule(
    weights: &Var,
    units: &dyn Layer,
    below: &Tensor,
    x: &Tensor,
) -> Result<Vec<Ascent>> {
    let cases = x.dim(0)? as f64;
    let inputs = ops::product(below, weights)?.detach();
    let (error, statistics) = errors(units, &inputs, x, None)?;
    let mut ascents = vec![Ascent::from(vec![Outer::new(below, &error, 1.0 / cases)?])];
    for sum in statistics {
        ascents.push((sum / cases)?.into());
    }
    Ok(ascents)
}

/// What is there less what `units` with `inputs` `(batch, width)` are expected to be, each row times its weight `(batch,)` where there are any;
/// and the sums over the rows of the same of each statistic: the gradient of Σ wᵢ log p(xᵢ) by the inputs, and by the units' parameters.
///
/// # Errors
///
/// For cases of another width, or on another device.
pub fn errors(
    units: &dyn Layer,
    inputs: &Tensor,
    x: &Tensor,
    weights: Option<&Tensor>,
) -> Result<(Tensor, Vec<Tensor>)> {
    let weighted = |error: Tensor| -> Result<Tensor> {
        match weights {
            Some(weights) => Ok(error.broadcast_mul(&weights.unsqueeze(1)?)?.detach()),
            None => Ok(error.detach()),
        }
    };
    let expected = units.expected_statistics(inputs)?;
    let error = weighted((x - units.mean_among(&expected)?)?)?;
    let statistics = units.statistics(x)?.into_iter().zip(&expected);
    let sums = statistics.map(|(found, expected)| ops::sum_rows(&weighted((found - expected)?)?));
    Ok((error, sums.collect::<Result<_>>()?))
}
