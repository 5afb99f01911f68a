//! A lower bound on log p(v) of a deep belief network.
//!
//! log p(v) ≥ E_q[log p(v, h) − log q(h | v)] for the network's own recognition q: the expected log-probability of what
//! generation would need to do, and the entropy of q (Hinton, Osindero, Teh 2006, eq. 3; Salakhutdinov, Murray 2008, §4). Each
//! sampled up-pass h gives a log-weight w = log p(v, h) − log q(h | v); their mean is the bound, and log of the mean of exp w
//! is a tighter one that comes nearer to log p(v) with every pass (Burda, Grosse, Salakhutdinov 2016). Machines alone
//! know w exactly: there both are log p(v).

use candle_core::Tensor;
use rbm_core::ops::device::to_host;
use rbm_core::{Error, Result, Rng, Rows, rows};

use crate::Dbn;

/// What sampled up-passes say of each case, in nats; log Z of the top machine is still to be taken off both.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The mean of the log-weights of each case.
    pub mean: Vec<f64>,
    /// The log of the mean of their exponentials.
    pub weighted: Vec<f64>,
    /// The standard error of the mean over all cases of [`Bound::mean`], from the sampling alone; a single pass does not tell.
    pub error: Option<f64>,
}

impl Dbn {
    /// w = log p(v, h) − log q(h | v) + log Z of one sampled up-pass h for each row of `v` `(batch, width)`, `(batch,)`. Z is
    /// that of the top machine, whose hidden units and labels are summed out.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn log_weights(&self, v: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let (mut x, mut sum) = (v.clone(), Tensor::zeros(v.dim(0)?, v.dtype(), v.device())?);
        for (layer, rbm) in self.below_top().iter().enumerate() {
            let inputs = rbm.hidden_inputs(&x)?.detach();
            let h = rbm.hidden().sample(&inputs, rng)?;
            let recognised = rbm.hidden().log_probability(&inputs, &h)?.detach();
            let generated = match self.generative.get(layer) {
                Some(down) => down.log_probability(&h, &x)?.detach(),
                None => rbm.visible().log_probability(&rbm.visible_inputs(&h)?, &x)?.detach(),
            };
            sum = ((sum + generated)? - recognised)?;
            x = h;
        }
        Ok((sum - self.top_free_energy(&x)?.detach())?)
    }
}

impl Bound {
    /// Of `cases`, by `passes` sampled up-passes of each.
    ///
    /// # Errors
    ///
    /// When there are none of either.
    pub fn of(dbn: &Dbn, cases: &dyn Rows, passes: usize, rng: &mut Rng) -> Result<Self> {
        if passes == 0 || cases.count() == 0 {
            let found = format!("{passes} of {} cases", cases.count());
            return Err(Error::invalid("up-passes for a bound", "at least one of one case", found));
        }
        let (mut mean, mut weighted, mut squares) = (Vec::new(), Vec::new(), 0.0);
        for block in rows::blocks(cases) {
            let block = block?.to_device(dbn.top().device())?;
            let weights = (0..passes).map(|_| to_host(&dbn.log_weights(&block, rng)?));
            let weights = Tensor::stack(&weights.collect::<Result<Vec<_>>>()?, 0)?;
            let means = weights.mean(0)?;
            let spread = weights.broadcast_sub(&means)?.sqr()?.sum_all()?;
            squares += spread.to_scalar::<f64>()?;
            mean.extend(means.to_vec1::<f64>()?);
            let total = weights.log_sum_exp(0)?.to_vec1::<f64>()?;
            weighted.extend(total.into_iter().map(|sum| sum - (passes as f64).ln()));
        }
        let variance = squares / (cases.count() * (passes - 1).max(1)) as f64;
        let error = (passes > 1).then(|| (variance / (cases.count() * passes) as f64).sqrt());
        Ok(Self { mean, weighted, error })
    }
}
