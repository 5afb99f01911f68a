//! Work that knows what it works on.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use super::measure::Work;

/// The fractions of units that are on (not zero).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Densities {
    /// Of the data.
    pub data: f64,
    /// Of the visible units of fantasies.
    pub fantasies: Option<f64>,
    /// Of samples of the hidden units, given the data or in the chains.
    pub hidden: Option<f64>,
}

/// Work that knows what it works on.
pub trait Subject: Work {
    /// The data's name.
    fn data(&self) -> &str;
    /// How many units are on, now that the work is done.
    fn densities(&mut self) -> Result<Densities>;
}

/// The fraction of the values of `x` that are not zero.
pub fn density(x: &Tensor) -> Result<f64> {
    let on = x.detach().to_device(&Device::Cpu)?.ne(0.0)?;
    Ok(on.to_dtype(DType::F64)?.mean_all()?.to_scalar()?)
}
