//! Pseudo-likelihood: how well each unit is predicted by all the others (Besag 1975).

use candle_core::{D, Tensor};

use crate::{Error, Rbm, Result, Rng, Units, ops};

/// The mean over cases of Σᵢ log p(vᵢ | the other v), in nats, exact; Bernoulli visible units.
///
/// `cases` `(n, visible)` are zeros and ones; grey values are read as such by thresholding at ½. It takes as much time
/// as `visible` half-steps of Gibbs sampling.
pub fn pseudo_likelihood(rbm: &Rbm, cases: &Tensor) -> Result<f64> {
    let width = check(rbm)?;
    let mut total = 0.0;
    let conditional = Conditional::new(rbm, cases)?;
    for unit in 0..width {
        total += conditional.mean_log_probability(&vec![unit as u32; cases.dim(0)?])?;
    }
    Ok(total)
}

/// An unbiased estimate of [`pseudo_likelihood`] that looks at one randomly chosen unit of each case, as scikit-learn's
/// `score_samples` does.
pub fn stochastic_pseudo_likelihood(rbm: &Rbm, cases: &Tensor, rng: &mut Rng) -> Result<f64> {
    use rand::RngExt;
    let width = check(rbm)?;
    let units: Vec<u32> = (0..cases.dim(0)?).map(|_| rng.random_range(0..width as u32)).collect();
    Ok(width as f64 * Conditional::new(rbm, cases)?.mean_log_probability(&units)?)
}

fn check(rbm: &Rbm) -> Result<usize> {
    match rbm.visible().units() {
        Units::Bernoulli { size } => Ok(size),
        other => Err(Error::invalid(
            "the pseudo-likelihood",
            "Bernoulli visible units",
            other.to_string(),
        )),
    }
}

/// What is the same for every unit: the cases, the inputs they cause and their free energies.
struct Conditional<'a> {
    rbm: &'a Rbm,
    visible: Tensor,
    inputs: Tensor,
    rows: Tensor,
    bias: Tensor,
    cgf: Tensor,
}

impl<'a> Conditional<'a> {
    fn new(rbm: &'a Rbm, cases: &Tensor) -> Result<Self> {
        super::check_cases(cases)?;
        let visible = cases.ge(0.5)?.to_dtype(rbm.dtype())?;
        let weights = rbm.weights().as_detached_tensor();
        let inputs = visible.matmul(&weights)?;
        let bias = rbm.visible().bias()?;
        let cgf = rbm.hidden().cgf(&inputs)?.detach();
        Ok(Self { rbm, visible, inputs, rows: weights, bias, cgf })
    }

    /// The mean over cases of log p(v_u | rest), where `units[n]` is the unit u looked at in case n. Flipping it by δ = ±1
    /// changes things by F(v) − F(flipped) = δ·b_u + cgf(vW + δ·W_u) − cgf(vW), and log p = −softplus of that.
    fn mean_log_probability(&self, units: &[u32]) -> Result<f64> {
        let units = Tensor::new(units, self.visible.device())?;
        let value = self.visible.gather(&units.unsqueeze(1)?, 1)?;
        let change = value.affine(-2.0, 1.0)?;
        let rows = self.rows.index_select(&units, 0)?;
        let flipped = (&self.inputs + rows.broadcast_mul(&change)?)?;
        let bias = (self.bias.index_select(&units, 0)? * change.squeeze(D::Minus1)?)?;
        let gain = ((bias + self.rbm.hidden().cgf(&flipped)?.detach())? - &self.cgf)?;
        let log_probability = ops::softplus(&gain)?.neg()?;
        Ok(ops::device::to_host(&log_probability)?.mean_all()?.to_scalar::<f64>()?)
    }
}
