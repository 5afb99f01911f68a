//! The partition function by enumeration: of the units that are not summed out, or of those that are where they are fewer.

use candle_core::Tensor;

use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::stats::LogSumExp;
use crate::units::enumerate;
use crate::{Error, Layer, Result, Rows, rows};

/// log Z = log Σ_r exp(−F(r)) in nats, by going through every configuration of the rest, or of the last colour where it has
/// fewer and the units of the rest are not coupled with each other; summed in `f64`.
///
/// # Errors
///
/// When there are more than [`enumerate::MOST`], or when there is no such number ([`Boltzmann::check_normalisable`]).
pub fn log_partition(machine: &dyn Boltzmann) -> Result<f64> {
    machine.check_normalisable()?;
    let rest = enumerate::count(machine.rest());
    let last = match machine.has_interaction() {
        true => None,
        false => enumerate::count(machine.last()),
    };
    match (rest, last) {
        (Some(r), Some(l)) if r < l => sum(machine.rest(), |r| machine.free_energy(r)),
        (_, Some(_)) => sum(machine.last(), |l| free_energy_of_last(machine, l)),
        (Some(_), None) => sum(machine.rest(), |r| machine.free_energy(r)),
        (None, None) => Err(Error::invalid(
            "the exact log-likelihood",
            "a layer of at most 25 binary units",
            format!("{} and {}", machine.rest().units(), machine.last().units()),
        )),
    }
}

/// The mean of log p over the rows of `cases` `(n, rest)`, in nats, exact, a block at a time.
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
pub fn log_likelihood(machine: &dyn Boltzmann, cases: &dyn Rows) -> Result<f64> {
    super::check_cases(cases)?;
    let log_z = log_partition(machine)?;
    let mut free_energy = 0.0;
    for block in rows::blocks(cases) {
        let energies = to_host(&machine.free_energy(&block?)?)?;
        free_energy += energies.sum_all()?.to_scalar::<f64>()?;
    }
    Ok(-free_energy / cases.count() as f64 - log_z)
}

/// −log Σ_r exp(−E(r, l)), `(batch,)`, of a machine without couplings within the rest.
fn free_energy_of_last(machine: &dyn Boltzmann, l: &Tensor) -> Result<Tensor> {
    Ok((machine.last().energy(l)? - machine.rest().cgf(&machine.rest_inputs(l)?)?)?)
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
