//! Units that are zero or one.

use std::ops::Range;

use candle_core::{DType, Device, Tensor, Var};

use super::layer::copied;
use super::{Discrete, Layer, Support, Units, enumerate};
use crate::{Error, Result, Rng, ops};

/// x ∈ {0, 1}, E(x) = −bias·x, P(x = 1 | I) = sigmoid(I + bias).
#[derive(Debug)]
pub struct Bernoulli {
    /// θ, `(width,)`.
    pub bias: Var,
}

impl Bernoulli {
    /// `size` units with bias zero.
    ///
    /// # Errors
    ///
    /// For no units, and for types other than `f32` and `f64`.
    pub fn new(size: usize, dtype: DType, device: &Device) -> Result<Self> {
        if size == 0 {
            return Err(Error::invalid("a Bernoulli layer", "at least one unit", "none"));
        }
        Ok(Self { bias: Var::zeros(size, dtype, device)? })
    }

    fn width(&self) -> usize {
        self.bias.elem_count()
    }
}

impl Layer for Bernoulli {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self { bias: copied(&self.bias)? }))
    }

    fn units(&self) -> Units {
        Units::Bernoulli { size: self.width() }
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        vec![("bias".into(), &self.bias)]
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![x.clone()])
    }

    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![ops::bernoulli_mean(inputs, &self.bias)?])
    }

    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        ops::bernoulli_cgf(inputs, &self.bias)
    }

    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        ops::bernoulli_sample(&inputs.detach(), &self.bias.as_detached_tensor(), rng)
    }

    fn mean_and_sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<(Tensor, Tensor)> {
        ops::bernoulli_mean_and_sample(&inputs.detach(), &self.bias.as_detached_tensor(), rng)
    }

    fn discrete(&self) -> Option<&dyn Discrete> {
        Some(self)
    }

    fn support(&self) -> Vec<Support> {
        vec![Support::of_values(self.width(), [(0.0, 0.0), (1.0, 0.0)])]
    }

    /// bias = log(p / (1 − p)), with p kept inside [1/1000, 999/1000] so that constant pixels stay learnable.
    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        let p = mean.to_dtype(self.bias.dtype())?.clamp(1e-3, 1.0 - 1e-3)?;
        let odds = (&p / p.affine(-1.0, 1.0)?)?;
        Ok(odds.log()?)
    }
}

impl Discrete for Bernoulli {
    fn configurations(&self) -> Option<u64> {
        enumerate::power(2, self.width())
    }

    /// Unit 0 is the lowest bit of the number.
    fn configuration(&self, numbers: Range<u64>) -> Result<Tensor> {
        let shape = (enumerate::rows(&numbers), self.width());
        let values = enumerate::digits(numbers, 2, shape.1).map(|x| x as f32);
        enumerate::matrix(values, shape, &self.bias)
    }

    fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.ge(0.5)?.to_dtype(x.dtype())?)
    }
}
