//! Data brought to mean zero and deviation one, and back.

use candle_core::{Device, Tensor};
use rbm_core::{Result, Rows, init};

/// Shift and scale of the data.
#[derive(Debug, Clone)]
pub struct Standardise {
    /// `(width,)`, taken away.
    pub mean: Tensor,
    /// `(width,)`, divided by; constant columns have 1.
    pub deviation: Tensor,
}

impl Standardise {
    /// The mean and deviation of the columns of `cases` `(n, width)`.
    pub fn of(cases: &dyn Rows) -> Result<Self> {
        let (mean, variance) = init::moments(cases)?;
        let constant = variance.lt(1e-12)?.to_dtype(variance.dtype())?;
        Ok(Self { mean, deviation: (variance + constant)?.sqrt()? })
    }

    /// Σ log deviation: how much log p of a case grows by standardising it, in nats.
    pub fn log_volume(&self) -> Result<f64> {
        Ok(f64::from(self.deviation.log()?.sum_all()?.to_scalar::<f32>()?))
    }

    /// The same on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            mean: self.mean.to_device(device)?,
            deviation: self.deviation.to_device(device)?,
        })
    }

    /// (cases − mean) / deviation.
    pub fn apply(&self, cases: &Tensor) -> Result<Tensor> {
        Ok(cases.broadcast_sub(&self.mean)?.broadcast_div(&self.deviation)?)
    }

    /// Back to the data's own values.
    pub fn undo(&self, cases: &Tensor) -> Result<Tensor> {
        Ok(cases.broadcast_mul(&self.deviation)?.broadcast_add(&self.mean)?)
    }
}
