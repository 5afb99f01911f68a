//! Rectified units with noise: real numbers of at least zero.

use candle_core::{DType, Device, Tensor, Var};

use super::layer::{copied, row_sums};
use super::{Layer, Tail, Units};
use crate::{Error, Result, Rng, ops};

/// The least mean that a bias is fitted to: the bias of a column of zeros is −100.
const LEAST_MEAN: f64 = 1e-2;

/// x ≥ 0, E(x) = x²/2 − bias·x: p(x | I) is the normal distribution around I + bias of variance one, cut off below zero.
///
/// It is the exponential family of a rectified unit, exact where max(0, N(I, 1)) is an approximation of a stack of
/// Bernoulli units (Nair and Hinton 2010; as a potential of an RBM: Tubiana, Cocco, Monasson 2019). The mean is a smooth
/// ramp: close to I + bias above zero, to 1/|I + bias| far below.
#[derive(Debug)]
pub struct Relu {
    /// θ, `(width,)`.
    pub bias: Var,
}

impl Relu {
    /// `size` units with bias zero.
    ///
    /// # Errors
    ///
    /// For no units, and for types other than `f32` and `f64`.
    pub fn new(size: usize, dtype: DType, device: &Device) -> Result<Self> {
        if size == 0 {
            return Err(Error::invalid("a layer of rectified units", "at least one unit", "none"));
        }
        Ok(Self { bias: Var::zeros(size, dtype, device)? })
    }
}

impl Layer for Relu {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self { bias: copied(&self.bias)? }))
    }

    fn units(&self) -> Units {
        Units::Relu { size: self.bias.elem_count() }
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        vec![("bias".into(), &self.bias)]
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![x.clone()])
    }

    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![ops::rectified_mean(&ops::add_bias(inputs, &self.bias)?)?])
    }

    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        row_sums(&ops::rectified_cgf(&ops::add_bias(inputs, &self.bias)?)?)
    }

    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let field = ops::add_bias(&inputs.detach(), &self.bias.as_detached_tensor())?;
        ops::rectified_sample(&field, rng)
    }

    /// x²/2; that x is at least zero is left to the caller.
    fn base_energy(&self, x: &Tensor) -> Result<Tensor> {
        row_sums(&(x.sqr()? * 0.5)?)
    }

    fn tails(&self) -> Result<Vec<Tail>> {
        Ok(vec![Tail { precision: 1.0, is_nonnegative: true }; self.bias.elem_count()])
    }

    /// The bias with which the mean is this, or 1/100 where it is below; the variance follows.
    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        ops::rectified_field(&mean.to_dtype(self.bias.dtype())?.maximum(LEAST_MEAN)?)
    }
}
