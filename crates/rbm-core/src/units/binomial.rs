//! Units that count how many of their copies are on.

use std::ops::Range;

use candle_core::{DType, Device, Tensor, Var};

use super::layer::{copied, row_sums};
use super::{Discrete, Layer, Support, Units, enumerate};
use crate::{Error, Result, Rng, ops};

/// x ∈ {0, …, n}, E(x) = −bias·x − log C(n, x): the sum of n Bernoulli units that share bias and weights, so that
/// p(x | I) is binomial with probability sigmoid(I + bias) (Teh and Hinton 2001).
#[derive(Debug)]
pub struct Binomial {
    /// θ, `(width,)`.
    pub bias: Var,
    /// n.
    pub trials: usize,
}

impl Binomial {
    /// `size` units of `trials` copies each, with bias zero.
    ///
    /// # Errors
    ///
    /// For no units or no trials, and for types other than `f32` and `f64`.
    pub fn new(size: usize, trials: usize, dtype: DType, device: &Device) -> Result<Self> {
        if size == 0 || trials == 0 {
            let found = format!("{size} units of {trials} trials");
            return Err(Error::invalid("a binomial layer", "at least one unit and trial", found));
        }
        Ok(Self { bias: Var::zeros(size, dtype, device)?, trials })
    }

    fn width(&self) -> usize {
        self.bias.elem_count()
    }
}

impl Layer for Binomial {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self { bias: copied(&self.bias)?, trials: self.trials }))
    }

    fn units(&self) -> Units {
        Units::Binomial { size: self.width(), trials: self.trials }
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        vec![("bias".into(), &self.bias)]
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![x.clone()])
    }

    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![(ops::bernoulli_mean(inputs, &self.bias)? * self.trials as f64)?])
    }

    /// n·Σ softplus(I + bias)
    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        Ok((ops::bernoulli_cgf(inputs, &self.bias)? * self.trials as f64)?)
    }

    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let bias = self.bias.as_detached_tensor();
        ops::binomial_sample(&inputs.detach(), &bias, self.trials, rng)
    }

    /// −Σ log C(n, x), a constant for autograd. Between whole numbers it is that of the gamma function.
    fn base_energy(&self, x: &Tensor) -> Result<Tensor> {
        let n = self.trials as f64;
        let on = ops::log_gamma(&(x + 1.0)?)?;
        let off = ops::log_gamma(&x.affine(-1.0, n + 1.0)?)?;
        row_sums(&((on + off)? - ops::log_factorial(self.trials))?)
    }

    fn discrete(&self) -> Option<&dyn Discrete> {
        Some(self)
    }

    fn support(&self) -> Vec<Support> {
        let n = self.trials;
        let ways =
            |x: usize| ops::log_factorial(n) - ops::log_factorial(x) - ops::log_factorial(n - x);
        vec![Support::of_values(self.width(), (0..=n).map(|x| (x as f64, ways(x))))]
    }

    /// bias = log(p / (1 − p)) with p = mean/n, kept inside [1/1000, 999/1000] so that constant units stay learnable.
    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        let p = (mean.to_dtype(self.bias.dtype())? / self.trials as f64)?;
        let p = p.clamp(1e-3, 1.0 - 1e-3)?;
        let odds = (&p / p.affine(-1.0, 1.0)?)?;
        Ok(odds.log()?)
    }
}

impl Discrete for Binomial {
    fn configurations(&self) -> Option<u64> {
        enumerate::power(self.trials + 1, self.width())
    }

    fn configuration(&self, numbers: Range<u64>) -> Result<Tensor> {
        let shape = (enumerate::rows(&numbers), self.width());
        let values = enumerate::digits(numbers, self.trials + 1, shape.1).map(|x| x as f32);
        enumerate::matrix(values, shape, &self.bias)
    }

    fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.clamp(0.0, self.trials as f64)?.round()?)
    }
}
