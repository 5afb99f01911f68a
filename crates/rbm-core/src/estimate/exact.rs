//! The partition function by enumeration of the smaller side.

use candle_core::Tensor;

use crate::ops::device::to_host;
use crate::stats::LogSumExp;
use crate::units::enumerate;
use crate::{Error, Layer, Rbm, Result, Rows, rows};

/// log Z = log Σ_v exp(−F(v)) in nats, by going through every configuration of the side that has fewer, summed in
/// `f64`.
///
/// # Errors
///
/// When both sides have more than [`enumerate::MOST`], or when there is no such number ([`Rbm::check_normalisable`]).
pub fn log_partition(rbm: &Rbm) -> Result<f64> {
    rbm.check_normalisable()?;
    let visible = enumerate::count(rbm.visible());
    let hidden = enumerate::count(rbm.hidden());
    match (visible, hidden) {
        (Some(v), Some(h)) if v < h => sum(rbm.visible(), |v| rbm.free_energy(v)),
        (_, Some(_)) => sum(rbm.hidden(), |h| free_energy_of_hidden(rbm, h)),
        (Some(_), None) => sum(rbm.visible(), |v| rbm.free_energy(v)),
        (None, None) => Err(Error::invalid(
            "the exact log-likelihood",
            "a layer of at most 25 binary units",
            format!("{} and {}", rbm.visible().units(), rbm.hidden().units()),
        )),
    }
}

/// The mean of log p(v) over the rows of `cases` `(n, visible)`, in nats, exact, a block at a time.
///
/// # Errors
///
/// As [`log_partition`].
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use rbm_core::estimate::log_likelihood;
/// use rbm_core::{Rbm, Units};
///
/// // Without weights, 4 bits are as probable one way as the other.
/// let rbm = Rbm::new(&Units::bernoulli(4), &Units::bernoulli(7), DType::F32, &Device::Cpu)?;
/// let cases = Tensor::new(&[[0f32, 1.0, 1.0, 0.0]], &Device::Cpu)?;
/// assert!((log_likelihood(&rbm, &cases)? + 4.0 * 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), rbm_core::Error>(())
/// ```
pub fn log_likelihood(rbm: &Rbm, cases: &dyn Rows) -> Result<f64> {
    super::check_cases(cases)?;
    let log_z = log_partition(rbm)?;
    let mut free_energy = 0.0;
    for block in rows::blocks(cases) {
        let energies = to_host(&rbm.free_energy(&block?)?)?;
        free_energy += energies.sum_all()?.to_scalar::<f64>()?;
    }
    Ok(-free_energy / cases.count() as f64 - log_z)
}

/// −log Σ_v exp(−E(v, h)), `(batch,)`.
fn free_energy_of_hidden(rbm: &Rbm, h: &Tensor) -> Result<Tensor> {
    Ok((rbm.hidden().energy(h)? - rbm.visible().cgf(&rbm.visible_inputs(h)?)?)?)
}

/// log Σ exp(−energy) over every configuration of `layer`.
fn sum(layer: &dyn Layer, energy: impl Fn(&Tensor) -> Result<Tensor>) -> Result<f64> {
    let mut sum = LogSumExp::default();
    for block in enumerate::blocks(layer)? {
        let energies = to_host(&energy(&block?)?)?.to_vec1::<f64>()?;
        energies.into_iter().for_each(|energy| sum.push(-energy));
    }
    Ok(sum.value())
}
