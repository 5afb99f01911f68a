//! How probable the machine finds the data: exactly, or by a quantity that needs no partition function.

mod ais;
mod bridge;
mod equilibrium;
mod estimate;
mod exact;
mod pseudo;
mod sides;
mod standing;

use crate::{Error, Result, Rows};

pub use ais::{Annealing, Direction, betas};
pub use bridge::Bridge;
pub use equilibrium::Equilibrium;
pub use estimate::Estimate;
pub use exact::{log_likelihood, log_partition};
pub use pseudo::{
    pseudo_likelihood, pseudo_likelihood_stride, pseudo_likelihoods, stochastic_pseudo_likelihood,
};
pub use sides::{Found, Options, Record, Sides};
pub use standing::{Effort, Phase, Standing};

/// Errors when there is nothing to average over.
fn check_cases(cases: &dyn Rows) -> Result<()> {
    if cases.count() == 0 || cases.width() == 0 {
        Err(Error::invalid("a likelihood", "at least one case", "none"))
    } else {
        Ok(())
    }
}
