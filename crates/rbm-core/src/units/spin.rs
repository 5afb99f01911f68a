//! Units that are minus one or one: the spins of an Ising model.

use std::ops::Range;

use candle_core::{DType, Device, Tensor, Var};

use super::layer::{copied, row_sums};
use super::{Discrete, Layer, Support, Units, enumerate};
use crate::{Error, Result, Rng, ops};

/// x ∈ {−1, 1}, E(x) = −bias·x, P(x = 1 | I) = sigmoid(2(I + bias)).
#[derive(Debug)]
pub struct Spin {
    /// θ, `(width,)`: the field.
    pub bias: Var,
}

impl Spin {
    /// `size` units with bias zero.
    ///
    /// # Errors
    ///
    /// For no units, and for types other than `f32` and `f64`.
    pub fn new(size: usize, dtype: DType, device: &Device) -> Result<Self> {
        if size == 0 {
            return Err(Error::invalid("a spin layer", "at least one unit", "none"));
        }
        Ok(Self { bias: Var::zeros(size, dtype, device)? })
    }

    fn width(&self) -> usize {
        self.bias.elem_count()
    }
}

impl Layer for Spin {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self { bias: copied(&self.bias)? }))
    }

    fn units(&self) -> Units {
        Units::Spin { size: self.width() }
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        vec![("bias".into(), &self.bias)]
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![x.clone()])
    }

    /// tanh(I + bias)
    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        let up = ops::bernoulli_mean(&(inputs * 2.0)?, &(self.bias.as_tensor() * 2.0)?)?;
        Ok(vec![up.affine(2.0, -1.0)?])
    }

    /// Σ log 2cosh(f) = Σ |f| + softplus(−2|f|) with f = I + bias.
    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        let field = ops::add_bias(inputs, &self.bias)?.abs()?;
        row_sums(&(ops::softplus(&(&field * -2.0)?)? + field)?)
    }

    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let bias = (self.bias.as_detached_tensor() * 2.0)?;
        let up = ops::bernoulli_sample(&(inputs.detach() * 2.0)?, &bias, rng)?;
        Ok(up.affine(2.0, -1.0)?)
    }

    fn discrete(&self) -> Option<&dyn Discrete> {
        Some(self)
    }

    fn support(&self) -> Vec<Support> {
        vec![Support::of_values(self.width(), [(-1.0, 0.0), (1.0, 0.0)])]
    }

    /// bias = artanh(mean), with P(x = 1) kept inside [1/1000, 999/1000] so that constant units stay learnable.
    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        let p = mean.to_dtype(self.bias.dtype())?.affine(0.5, 0.5)?.clamp(1e-3, 1.0 - 1e-3)?;
        let odds = (&p / p.affine(-1.0, 1.0)?)?;
        Ok((odds.log()? * 0.5)?)
    }
}

impl Discrete for Spin {
    fn configurations(&self) -> Option<u64> {
        enumerate::power(2, self.width())
    }

    fn configuration(&self, numbers: Range<u64>) -> Result<Tensor> {
        let shape = (enumerate::rows(&numbers), self.width());
        let values = enumerate::digits(numbers, 2, shape.1).map(|up| 2.0 * up as f32 - 1.0);
        enumerate::matrix(values, shape, &self.bias)
    }

    fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.ge(0.0)?.to_dtype(x.dtype())?.affine(2.0, -1.0)?)
    }
}
