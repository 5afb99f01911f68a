//! A directed layer: units that answer the layer on one side of them, and say nothing back.

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::ops::{self, Ascent, Outer};
use rbm_core::{Layer, Rbm, Result, Rng, Units};

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

    /// The gradient of the mean log p(x | below) over a batch, in the order of [`ConditionalLayer::parameters`].
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn ascents(&self, below: &Tensor, x: &Tensor) -> Result<Vec<Ascent>> {
        delta_rule(&self.weights, &*self.units, below, x)
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
    let expected = units.expected_statistics(&inputs)?;
    let error = (x - units.mean_among(&expected)?)?;
    let mut ascents = vec![Ascent::from(vec![Outer::new(below, &error, 1.0 / cases)?])];
    for (found, expected) in units.statistics(x)?.iter().zip(&expected) {
        ascents.push((ops::sum_rows(&(found - expected)?.detach())? / cases)?.into());
    }
    Ok(ascents)
}
