//! The likelihood of machines that have learned: counted, or from both sides of log Z.

use candle_core::{DType, Tensor};
use rbm_core::estimate::{
    AisEstimates, AisOptions, BidirectionalAis, TemperingConfig, log_partition,
};
use rbm_core::model::Boltzmann;
use rbm_core::ops::device::to_host;
use rbm_core::sampling::AnnealingPath;
use rbm_core::{Error, Layer, Result, Rows};
use serde::Serialize;

use crate::learning::Learner;
use crate::posterior::hidden_of_rest;

/// A mean log-likelihood, nats a case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LogLikelihood {
    /// The value, or its estimate.
    pub value: f64,
    /// The standard error of log Z, and so of the value for these cases; 0 where it was counted.
    pub error: f64,
    /// How far both sides of log Z are apart; 0 where it was counted.
    pub gap: f64,
    /// Whether it was counted.
    pub is_exact: bool,
}

impl LogLikelihood {
    fn counted(value: f64) -> Self {
        Self { value, error: 0.0, gap: 0.0, is_exact: true }
    }
}

impl Learner {
    /// The mean log p(v) of `cases`, counted where the machine is small, else from both sides; of hidden units that are coupled with each
    /// other by counting alone.
    ///
    /// # Errors
    ///
    /// Where it can neither be counted nor estimated.
    pub fn log_likelihood(&self, cases: &dyn Rows) -> Result<LogLikelihood> {
        if self.machine().rest().units().width() > cases.width() {
            return self.counted_log_likelihood(cases);
        }
        if let Ok(value) = rbm_core::estimate::log_likelihood(self.machine(), cases) {
            return Ok(LogLikelihood::counted(value));
        }
        let mut sum = 0.0;
        for block in rbm_core::rows::blocks(cases) {
            let energies = to_host(&self.machine().free_energy(&block?)?.detach())?;
            sum += energies.sum_all()?.to_scalar::<f64>()?;
        }
        let mean = -sum / cases.count() as f64;
        let path = AnnealingPath::from_cases(self.machine(), cases)?;
        let tempering = TemperingConfig { chains: 20, samples: 100, ..TemperingConfig::default() };
        let options = AisOptions {
            chains: 100,
            betas: 1000,
            both: true,
            tempering,
            seed: self.learning().seed,
        };
        let mut sides = BidirectionalAis::new(self.machine(), path, options)?;
        while !sides.is_done() {
            sides.step()?;
        }
        let AisEstimates {
            forward: Some(forward),
            reverse: Some(reverse),
            bridge: Some(bridge),
            ..
        } = sides.found()
        else {
            return Err(Error::invalid("log Z", "an estimate from both sides", "one side"));
        };
        Ok(LogLikelihood {
            value: mean - bridge.value,
            error: bridge.error,
            gap: (forward.value - reverse.value).abs(),
            is_exact: false,
        })
    }

    /// log p(v) = log Σ_h exp(−E(v, h)) − log Z, both sums counted.
    fn counted_log_likelihood(&self, cases: &dyn Rows) -> Result<LogLikelihood> {
        let log_z = log_partition(self.machine())?;
        let width = cases.width();
        let none = || Error::invalid("hidden units", "ones that can be counted", "others");
        let hidden = hidden_of_rest(self.machine(), width)?.ok_or_else(none)?;
        let discrete = hidden.discrete().ok_or_else(none)?;
        let all = discrete.configuration(0..discrete.configurations().unwrap_or(0))?;
        let mut sum = 0.0;
        for row in 0..cases.count() as u32 {
            let visible = cases.rows(&[row])?.broadcast_as((all.dim(0)?, width))?;
            let rest = Tensor::cat(&[&visible, &all], 1)?;
            let energies =
                self.machine().free_energy(&rest)?.detach().neg()?.to_dtype(DType::F64)?;
            sum += energies.log_sum_exp(0)?.to_scalar::<f64>()? - log_z;
        }
        Ok(LogLikelihood::counted(sum / cases.count() as f64))
    }
}
