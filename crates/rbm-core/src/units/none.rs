//! A layer of no units: what is summed out of a machine all of whose units are coupled with each other.

use candle_core::{DType, Device, Tensor, Var};

use super::Layer;
use crate::{Result, Rng};

/// No units: configurations are `(batch, 0)`, and the energy is 0.
#[derive(Debug)]
pub struct NoUnits {
    bias: Var,
}

impl NoUnits {
    /// Of this type, on this device.
    ///
    /// # Errors
    ///
    /// When the device refuses.
    pub fn new(dtype: DType, device: &Device) -> Result<Self> {
        Ok(Self { bias: Var::zeros(0, dtype, device)? })
    }
}

impl Layer for NoUnits {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self::new(self.bias.dtype(), self.bias.device())?))
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        vec![("bias".to_owned(), &self.bias)]
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![x.clone()])
    }

    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![inputs.clone()])
    }

    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        Ok(Tensor::zeros(inputs.dim(0)?, inputs.dtype(), inputs.device())?)
    }

    fn sample(&self, inputs: &Tensor, _rng: &mut Rng) -> Result<Tensor> {
        Ok(inputs.detach())
    }

    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.cgf(x)
    }

    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        Ok(mean.clone())
    }
}
