//! How probable the machine finds the data: exactly, or by a quantity that needs no partition function.

mod ais;
mod bridge;
mod estimate;
mod exact;
mod pseudo;

use crate::{Error, Result, Rows};

pub use ais::{Annealing, Direction, betas};
pub use bridge::Bridge;
pub use estimate::Estimate;
pub use exact::{log_likelihood, log_partition};
pub use pseudo::{pseudo_likelihood, stochastic_pseudo_likelihood};

/// Errors when there is nothing to average over.
fn check_cases(cases: &dyn Rows) -> Result<()> {
    if cases.count() == 0 || cases.width() == 0 {
        Err(Error::invalid("a likelihood", "at least one case", "none"))
    } else {
        Ok(())
    }
}
