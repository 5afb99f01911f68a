//! Where learning starts (Practical Guide §8).

use candle_core::{D, Tensor};

use crate::{Rbm, Result, Rng, ops};

/// Small random weights and biases that know the data's averages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Init {
    /// Standard deviation of the weights.
    pub weight_deviation: f64,
    /// Every hidden unit's bias; negative values make a layer sparse from the start.
    pub hidden_bias: f64,
}

impl Default for Init {
    /// W ~ N(0, 0.01²), hidden biases 0.
    fn default() -> Self {
        Self { weight_deviation: 0.01, hidden_bias: 0.0 }
    }
}

impl Init {
    /// Draws the weights, sets the hidden biases, and fits the visible layer alone to the mean and variance of `cases`
    /// `(n, visible)`: log p/(1−p) for Bernoulli units.
    pub fn apply(&self, rbm: &Rbm, cases: &Tensor, rng: &mut Rng) -> Result<()> {
        self.draw_weights(rbm, rng)?;
        let (mean, variance) = moments(cases)?;
        rbm.visible().fit_moments(&mean, &variance)
    }

    /// The part of [`Init::apply`] that needs no data; the visible biases stay as they are.
    pub fn draw_weights(&self, rbm: &Rbm, rng: &mut Rng) -> Result<()> {
        let weights = rbm.weights();
        let noise = ops::normal(weights.shape(), weights.dtype(), weights.device(), rng)?;
        weights.set(&(noise * self.weight_deviation)?)?;
        if let Some((_, bias)) = rbm.hidden().vars().first() {
            bias.set(&(bias.ones_like()? * self.hidden_bias)?)?;
        }
        Ok(())
    }
}

/// The mean and the variance of each column of `cases` `(n, width)`, each `(width,)`.
pub fn moments(cases: &Tensor) -> Result<(Tensor, Tensor)> {
    let n = cases.dim(0)?.max(1) as f64;
    let mean = (ops::sum_rows(cases)? / n)?;
    // About the mean, not E[x²] − E[x]²: f32 would lose the variance of a nearly constant column.
    let mut squares = mean.zeros_like()?;
    for start in (0..cases.dim(D::Minus2)?).step_by(1024) {
        let rows = cases.narrow(0, start, 1024.min(cases.dim(0)? - start))?;
        squares = (squares + ops::sum_rows(&rows.broadcast_sub(&mean)?.sqr()?)?)?;
    }
    Ok((mean, (squares / n)?))
}

impl Rbm {
    /// A machine of Bernoulli units, `f32` on `cases`' device, initialised by [`Init::default`] from `cases`
    /// `(n, visible)`.
    pub fn bernoulli(cases: &Tensor, hidden: usize, rng: &mut Rng) -> Result<Self> {
        let visible = crate::Units::bernoulli(cases.dim(1)?);
        let rbm =
            Self::new(&visible, &crate::Units::bernoulli(hidden), cases.dtype(), cases.device())?;
        Init::default().apply(&rbm, cases, rng)?;
        Ok(rbm)
    }
}
