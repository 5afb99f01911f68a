//! Real-valued units with Gaussian noise.

use candle_core::{DType, Device, Tensor, Var};

use super::layer::{copied, row_sums};
use super::{Layer, Tail, Units, Variance};
use crate::{Error, Result, Rng, ops};

/// The least precision that a learned one may fall to.
const LEAST_PRECISION: f64 = 1e-3;

/// x ∈ ℝ, E(x) = γ·x²/2 − bias·x with precision γ: p(x | I) is normal with mean (I + bias)/γ and variance 1/γ.
///
/// γ is one, or learned as the parameter of the statistic −x²/2.
#[derive(Debug)]
pub struct Gaussian {
    /// θ, `(width,)`. Without inputs, the mean is bias/γ.
    pub bias: Var,
    /// γ, `(width,)`, if it is learned.
    pub precision: Option<Var>,
}

impl Gaussian {
    /// `size` units with mean zero and variance one.
    ///
    /// # Errors
    ///
    /// For no units, and for types other than `f32` and `f64`.
    pub fn new(size: usize, variance: Variance, dtype: DType, device: &Device) -> Result<Self> {
        if size == 0 {
            return Err(Error::invalid("a Gaussian layer", "at least one unit", "none"));
        }
        let precision = match variance {
            Variance::Unit => None,
            Variance::Learned => Some(Var::ones(size, dtype, device)?),
        };
        Ok(Self { bias: Var::zeros(size, dtype, device)?, precision })
    }

    fn mean_of(&self, inputs: &Tensor) -> Result<Tensor> {
        let field = ops::add_bias(inputs, &self.bias)?;
        Ok(match &self.precision {
            None => field,
            Some(precision) => field.broadcast_div(precision)?,
        })
    }
}

impl Layer for Gaussian {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self {
            bias: copied(&self.bias)?,
            precision: self.precision.as_ref().map(copied).transpose()?,
        }))
    }

    fn units(&self) -> Units {
        let variance = if self.precision.is_some() { Variance::Learned } else { Variance::Unit };
        Units::Gaussian { size: self.bias.elem_count(), variance }
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        let precision = self.precision.iter().map(|var| ("precision".to_owned(), var));
        std::iter::once(("bias".to_owned(), &self.bias)).chain(precision).collect()
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let mut statistics = vec![x.clone()];
        if self.precision.is_some() {
            statistics.push((x.sqr()? * -0.5)?);
        }
        Ok(statistics)
    }

    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        let mean = self.mean_of(inputs)?;
        let mut statistics = vec![mean.clone()];
        if let Some(precision) = &self.precision {
            let second_moment = mean.sqr()?.broadcast_add(&precision.recip()?)?;
            statistics.push((second_moment * -0.5)?);
        }
        Ok(statistics)
    }

    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        let field = ops::add_bias(inputs, &self.bias)?;
        let log_two_pi = std::f64::consts::TAU.ln();
        let per_unit = match &self.precision {
            None => ((field.sqr()? * 0.5)? + 0.5 * log_two_pi)?,
            Some(precision) => {
                let volume = ((precision.log()? * -0.5)? + 0.5 * log_two_pi)?;
                (field.sqr()? * 0.5)?.broadcast_div(precision)?.broadcast_add(&volume)?
            }
        };
        row_sums(&per_unit)
    }

    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let mean = self.mean_of(&inputs.detach())?.detach();
        let noise = ops::normal(mean.shape(), mean.dtype(), mean.device(), rng)?;
        Ok(match &self.precision {
            None => (mean + noise)?,
            Some(precision) => {
                (mean + noise.broadcast_div(&precision.as_detached_tensor().sqrt()?)?)?
            }
        })
    }

    fn base_energy(&self, x: &Tensor) -> Result<Tensor> {
        match &self.precision {
            None => row_sums(&(x.sqr()? * 0.5)?),
            Some(_) => Ok(Tensor::zeros(x.dim(0)?, x.dtype(), x.device())?),
        }
    }

    fn tails(&self) -> Result<Vec<Tail>> {
        let precisions = match &self.precision {
            None => vec![1.0; self.bias.elem_count()],
            Some(precision) => ops::device::to_host(precision)?.to_vec1()?,
        };
        let tail = |precision| Tail { precision, is_nonnegative: false };
        Ok(precisions.into_iter().map(tail).collect())
    }

    fn constrain(&self) -> Result<()> {
        if let Some(precision) = &self.precision {
            precision.set(&precision.as_detached_tensor().maximum(LEAST_PRECISION)?)?;
        }
        Ok(())
    }

    /// γ = 1/variance where it is learned, with constant units given variance one; bias = γ·mean.
    fn fit_moments(&self, mean: &Tensor, variance: &Tensor) -> Result<()> {
        if let Some(precision) = &self.precision {
            let variance = variance.to_dtype(self.bias.dtype())?;
            let constant = variance.lt(1e-12)?.to_dtype(self.bias.dtype())?;
            precision.set(&(variance + constant)?.recip()?.maximum(LEAST_PRECISION)?)?;
        }
        Ok(self.bias.set(&self.bias_for_mean(mean)?)?)
    }

    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        let mean = mean.to_dtype(self.bias.dtype())?;
        Ok(match &self.precision {
            None => mean,
            Some(precision) => (precision.as_detached_tensor() * mean)?,
        })
    }
}
