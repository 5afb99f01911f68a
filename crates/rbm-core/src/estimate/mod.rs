//! Numbers about a machine: log Z and likelihoods, exact or estimated, and what to watch while it learns.

mod ais;
mod correlations;
mod equilibrium;
mod gaussian;
pub mod monitor;
mod partition;
pub(crate) mod pseudo;

pub use ais::{Annealing, Direction, betas, betas_along};
pub use correlations::{Correlations, regression};
pub use equilibrium::{
    Bridge, Equilibrium, Estimate, TemperingConfig, TemperingPhase, TemperingProgress,
};
pub use gaussian::{exact_samples, exact_samples_given, is_integrable, sigma_points};
pub use partition::{
    AisEstimates, AisOptions, AisRecord, AisStage, BidirectionalAis, log_likelihood, log_partition,
};
pub use pseudo::{
    has_pseudo_likelihood, pseudo_likelihood, pseudo_likelihood_stride, pseudo_likelihoods,
    stochastic_pseudo_likelihood, visible_pseudo_likelihoods,
};

use crate::{Error, Result, Rows};

/// Errors when there is nothing to average over.
fn check_cases(cases: &dyn Rows) -> Result<()> {
    if cases.count() == 0 || cases.width() == 0 {
        Err(Error::invalid("a likelihood", "at least one case", "none"))
    } else {
        Ok(())
    }
}
