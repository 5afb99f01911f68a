//! Sites that are in one of several states.

use std::ops::Range;

use candle_core::{DType, Device, Tensor, Var};

use super::layer::{copied, log_shares, row_sums};
use super::{Discrete, Layer, States, Support, Units, enumerate};
use crate::{Error, Result, Rng, ops};

/// Sites of q states, q columns each: x has a one in one of them and zeros in the others. E(x) = −bias·x; p(x | I) is the
/// softmax of I + bias over each site's columns.
///
/// Adding a number to all biases of a site changes nothing.
#[derive(Debug)]
pub struct Potts {
    /// θ, `(width,)`: sites one after the other, the states of each side by side.
    pub bias: Var,
    /// q.
    pub states: usize,
}

impl Potts {
    /// `sites` sites of `states` states with bias zero.
    ///
    /// # Errors
    ///
    /// For no sites or no states, and for types other than `f32` and `f64`.
    pub fn new(sites: usize, states: usize, dtype: DType, device: &Device) -> Result<Self> {
        match sites.checked_mul(states) {
            Some(width) if width > 0 => {
                Ok(Self { bias: Var::zeros(width, dtype, device)?, states })
            }
            _ => {
                let found = format!("{sites} sites of {states} states");
                Err(Error::invalid("a Potts layer", "at least one site and state", found))
            }
        }
    }

    fn width(&self) -> usize {
        self.bias.elem_count()
    }

    fn count(&self) -> usize {
        self.width() / self.states
    }
}

impl Layer for Potts {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self { bias: copied(&self.bias)?, states: self.states }))
    }

    fn units(&self) -> Units {
        Units::Potts { sites: self.count(), states: self.states }
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        vec![("bias".into(), &self.bias)]
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![x.clone()])
    }

    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![ops::softmax_of_sites(&ops::add_bias(inputs, &self.bias)?, self.states)?])
    }

    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        row_sums(&ops::log_sum_exp_of_sites(&ops::add_bias(inputs, &self.bias)?, self.states)?)
    }

    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let bias = self.bias.as_detached_tensor();
        ops::multinomial_sample(&inputs.detach(), &bias, self.states, 1, rng)
    }

    fn discrete(&self) -> Option<&dyn Discrete> {
        Some(self)
    }

    fn support(&self) -> Vec<Support> {
        vec![Support { columns: 0..self.width(), states: States::OneOf(self.states) }]
    }

    /// bias = log p, with p kept above 1/(1000·q) so that a state that never occurs can be learned, and shifted so that
    /// every site's biases sum to zero.
    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        let mean = mean.to_dtype(self.bias.dtype())?;
        log_shares(&mean.reshape((self.count(), self.states))?)
    }
}

impl Discrete for Potts {
    fn configurations(&self) -> Option<u64> {
        enumerate::power(self.states, self.count())
    }

    /// Site 0 is the lowest digit.
    fn configuration(&self, numbers: Range<u64>) -> Result<Tensor> {
        let shape = (enumerate::rows(&numbers), self.width());
        let states = self.states;
        let values = enumerate::digits(numbers, states, self.count())
            .flat_map(move |state| (0..states).map(move |q| f32::from(u8::from(q == state))));
        enumerate::matrix(values, shape, &self.bias)
    }

    /// A one where a site's value is highest, in the first such column.
    fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        let sites = x.reshape((x.dim(0)?, self.count(), self.states))?;
        let highest = sites.argmax_keepdim(2)?;
        let states = Tensor::arange(0u32, self.states as u32, x.device())?;
        let one = states.reshape((1, 1, self.states))?.broadcast_eq(&highest)?;
        Ok(one.to_dtype(x.dtype())?.reshape(x.shape())?)
    }
}
