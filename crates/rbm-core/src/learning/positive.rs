//! The positive phase: what the units that are not observed are, given the data.
//!
//! The mirror image of the negative phase. Of a restricted machine it is known: its hidden units are independent given the data. Where
//! hidden units are coupled with each other, as in a deep machine, they are drawn, or stood for by means.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::sampling::{Clamped, Kernel};
use crate::{Error, Phase, Result, Rng};

/// How much of the last means is kept in each iteration where units that are coupled with each other move together: they would
/// oscillate.
const DAMPING: f64 = 0.5;

/// How hidden units that the rest of a machine holds are found, given its observed ones: the first columns of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Posterior {
    /// There are none: every unit of the rest is observed, and the last colour is summed out. Exact.
    #[default]
    Summed,
    /// The independent units whose distribution is nearest to the posterior, by iteration (Peterson and Anderson 1987;
    /// Salakhutdinov and Hinton 2009). Learning climbs a lower bound of the log-likelihood. For units whose statistic is x itself.
    MeanField {
        /// The most iterations.
        steps: usize,
        /// The mean change of a unit's mean at which they end.
        tolerance: f64,
    },
    /// Samples, after so many sweeps with the observed units held (Ackley, Hinton, Sejnowski 1985).
    Sampled {
        /// Sweeps, at least 1.
        sweeps: usize,
    },
}

impl Posterior {
    /// The positive phase of `cases` `(n, observed)`.
    ///
    /// # Errors
    ///
    /// When there are no cases, or they do not have the width and type of the machine's observed units.
    pub fn infer(&self, machine: &dyn Boltzmann, cases: &Tensor, rng: &mut Rng) -> Result<Phase> {
        let width = machine.rest().units().width();
        let (rows, observed) = cases.dims2()?;
        if *self == Self::Summed || observed == width {
            return Phase::of(machine, cases);
        }
        if rows == 0 || observed > width {
            let expected = format!("at least one of at most {width} columns");
            return Err(Error::invalid("cases", expected, format!("{rows} of {observed}")));
        }
        let cases = cases.detach();
        let none = Tensor::zeros((rows, width), cases.dtype(), cases.device())?;
        // All columns; those of the data are put back.
        let with_data = |all: &Tensor| -> Result<Tensor> {
            let hidden = all.narrow(1, observed, width - observed)?;
            Ok(Tensor::cat(&[&cases, &hidden], 1)?)
        };
        match *self {
            Self::Sampled { sweeps } => {
                let start = with_data(&machine.rest().sample(&none, rng)?)?;
                let held = Tensor::cat(
                    &[&cases.ones_like()?, &none.narrow(1, observed, width - observed)?],
                    1,
                )?;
                let clamped = Clamped::new(&start, &held)?;
                let mut chains = clamped.init(machine, start, rng)?;
                clamped.advance(machine, &mut chains, sweeps.max(1), rng)?;
                Phase::of(machine, &chains.visible)
            }
            _ => self.mean_field(machine, with_data(&machine.rest().mean(&none)?)?, with_data),
        }
    }

    fn mean_field(
        &self,
        machine: &dyn Boltzmann,
        mut rest: Tensor,
        with_data: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Phase> {
        let (steps, tolerance) = match *self {
            Self::MeanField { steps, tolerance } => (steps.max(1), tolerance),
            _ => (1, 0.0),
        };
        let mut last_inputs = machine.last_inputs(&rest)?.detach();
        for _ in 0..steps {
            let last = machine.last().mean(&last_inputs)?;
            let mut inputs = machine.rest_inputs(&last)?;
            let within = machine.inputs_within(&rest)?;
            let is_damped = within.is_some();
            if let Some(within) = within {
                inputs = (inputs + within)?;
            }
            let mut new = with_data(&machine.rest().mean(&inputs)?.detach())?;
            if is_damped {
                new = ((&rest * DAMPING)? + (new * (1.0 - DAMPING))?)?;
            }
            let change = to_host(&(&new - &rest)?.abs()?.mean_all()?)?.to_scalar::<f64>()?;
            rest = new;
            last_inputs = machine.last_inputs(&rest)?.detach();
            if change <= tolerance {
                break;
            }
        }
        Ok(Phase { visible: rest, hidden_inputs: last_inputs, log_weights: None })
    }
}
