//! What a training's persistent chains have been through lately.

use std::collections::VecDeque;

use candle_core::{Device, Tensor};

use super::{MOST_R_HAT, Mixing, autocorrelation_time, r_hat};
use crate::ops::device::to_host;
use crate::state::{State, take};
use crate::{Error, Rbm, Result, Stateful, ops};

/// The most chains that are followed.
const CHAINS: usize = 16;
/// The most values of each that are kept.
const KEPT: usize = 64;
/// The fewest values that say anything.
const FEWEST: usize = 32;
/// The fewest updates from one value to the next: looking must cost next to nothing.
const APART: usize = 16;

const VALUES: &str = "values";
const COUNTS: &str = "counts";

/// Free energies and sums of the visible units of a few persistent chains, every few updates, the oldest forgotten: enough
/// for the last epoch, or for the last thousand updates where that is more. Looking draws nothing and changes no chain.
///
/// What fluctuates in common is left out before τ and R̂ are computed: while it learns, the machine moves the free energies
/// of all chains together. R̂ above 1.1 counts as having left equilibrium: after all that time, chains that follow the same
/// machine differ by more than any of them changes, so they still stand for where they began.
#[derive(Debug, Clone)]
pub struct Traces {
    /// `(2, chains)` each: free energies, sums.
    values: VecDeque<Tensor>,
    /// Updates from one value to the next.
    apart: usize,
    /// Updates until the next value.
    wait: usize,
    /// Updates since the last report.
    updates: usize,
}

impl Default for Traces {
    fn default() -> Self {
        Self { values: VecDeque::new(), apart: APART, wait: 0, updates: 0 }
    }
}

impl Traces {
    /// Looks at chains after an update: `visible` `(chains, visible)` with the products `hidden_inputs` vW.
    pub fn follow(&mut self, rbm: &Rbm, visible: &Tensor, hidden_inputs: &Tensor) -> Result<()> {
        self.updates += 1;
        if self.wait > 0 {
            self.wait -= 1;
            return Ok(());
        }
        self.wait = self.apart - 1;
        let chains = visible.dim(0)?.min(CHAINS);
        let visible = visible.narrow(0, 0, chains)?;
        let hidden_inputs = hidden_inputs.narrow(0, 0, chains)?;
        let free_energy = rbm.free_energy_given(&visible, &hidden_inputs)?.detach();
        let sum = ops::sum_within_rows(&visible)?.detach();
        if self.values.len() == KEPT {
            self.values.pop_front();
        }
        self.values.push_back(Tensor::stack(&[free_energy, sum], 0)?);
        Ok(())
    }

    /// What the chains have been like, at the end of an epoch; none where they have not been followed for long enough, or
    /// where there is only one. How often values are taken from now on follows from the epoch's length.
    pub fn report(&mut self) -> Result<Option<Mixing>> {
        let apart = self.apart as f64;
        let longer = std::mem::take(&mut self.updates).div_ceil(KEPT).max(APART);
        let mixing = match self.values.front() {
            Some(first) if self.values.len() >= FEWEST && first.dim(1)? > 1 => {
                Some(self.look(apart)?)
            }
            _ => None,
        };
        if longer != self.apart {
            // Values at other distances do not make a series with those to come.
            *self = Self { apart: longer, ..Self::default() };
        }
        Ok(mixing)
    }

    fn look(&self, apart: f64) -> Result<Mixing> {
        let values: Vec<_> = self.values.iter().collect();
        let values = to_host(&Tensor::stack(&values, 0)?)?;
        let values = values.broadcast_sub(&values.mean_keepdim(2)?)?;
        let mut mixing = Mixing::default();
        for summary in 0..2 {
            let chains = values.narrow(1, summary, 1)?.squeeze(1)?.t()?.to_vec2::<f64>()?;
            let time = autocorrelation_time(&chains)?.map(|time| time * apart);
            mixing.autocorrelation_time = largest(mixing.autocorrelation_time, time);
            mixing.r_hat = largest(mixing.r_hat, r_hat(&chains)?);
        }
        mixing.left_equilibrium = mixing.r_hat.is_some_and(|r_hat| r_hat > MOST_R_HAT);
        Ok(mixing)
    }
}

fn largest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).max_by(f64::total_cmp)
}

impl Stateful for Traces {
    fn state(&self) -> State {
        let values: Vec<_> = self.values.iter().collect();
        let counts = [self.apart, self.wait, self.updates].map(|count| count as f32);
        let counts = Tensor::new(&counts, &Device::Cpu);
        let values = Tensor::stack(&values, 0).ok().map(|values| (VALUES.to_owned(), values));
        values.into_iter().chain(counts.ok().map(|counts| (COUNTS.to_owned(), counts))).collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        *self = Self::default();
        if state.is_empty() {
            return Ok(());
        }
        let counts = take(state, COUNTS)?.to_vec1::<f32>()?;
        let [apart, wait, updates] = counts[..] else {
            let found = format!("{} numbers", counts.len());
            return Err(Error::invalid(format!("state {COUNTS:?}"), "3 numbers", found));
        };
        (self.apart, self.wait) = ((apart as usize).max(1), wait as usize);
        self.updates = updates as usize;
        if state.contains_key(VALUES) {
            let values = take(state, VALUES)?;
            self.values = (0..values.dim(0)?).map(|i| Ok(values.get(i)?)).collect::<Result<_>>()?;
        }
        Ok(())
    }
}
