//! How probable the machine finds the data: exactly, or by a quantity that needs no partition function.

mod exact;
mod pseudo;

use candle_core::Tensor;

use crate::{Error, Result};

pub use exact::{log_likelihood, log_partition};
pub use pseudo::{pseudo_likelihood, stochastic_pseudo_likelihood};

/// Errors when there is nothing to average over.
fn check_cases(cases: &Tensor) -> Result<()> {
    if cases.elem_count() == 0 {
        Err(Error::invalid("a likelihood", "at least one case", "none"))
    } else {
        Ok(())
    }
}
