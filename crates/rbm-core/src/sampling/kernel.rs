//! A Markov kernel: one step of a chain that leaves the machine's distribution as it is.
//!
//! A kernel is an immutable value. What the next step needs is its `State`, owned by the caller; what only a person
//! needs is its `Info`.

use candle_core::Tensor;

use crate::model::Boltzmann;
use crate::{Result, Rng};

/// min(1, exp(log_ratio)), the probability with which a move is accepted; 0 where the ratio is no number.
pub(crate) fn acceptance(log_ratio: f64) -> f64 {
    match log_ratio {
        r if r >= 0.0 => 1.0,
        r if r.is_nan() => 0.0,
        r => r.exp(),
    }
}

/// A way to move chains through the configurations of a machine.
pub trait Kernel {
    /// What the next step needs.
    type State;
    /// What a person may want to know of a step.
    type Info;

    /// Chains that start at `visible` `(chains, visible)`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn init(&self, machine: &dyn Boltzmann, visible: Tensor, rng: &mut Rng) -> Result<Self::State>;

    /// One step of all chains.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn step(
        &self,
        machine: &dyn Boltzmann,
        state: &mut Self::State,
        rng: &mut Rng,
    ) -> Result<Self::Info>;

    /// So many steps of all chains; what they tell is dropped.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn advance(
        &self,
        machine: &dyn Boltzmann,
        state: &mut Self::State,
        steps: usize,
        rng: &mut Rng,
    ) -> Result<()> {
        for _ in 0..steps {
            self.step(machine, state, rng)?;
        }
        Ok(())
    }
}
