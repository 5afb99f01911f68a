//! Helmholtz machines: a belief net, and a second net that guesses the causes of what is observed.
//!
//! Wake-sleep (Hinton, Dayan, Frey, Neal 1995): awake, the net learns to make what recognition has found for real cases; asleep,
//! recognition learns to find what the net has dreamt. Reweighted (Bornschein and Bengio 2015), several guesses are drawn for each case, and each counts
//! by w = p(v, h)/q(h | v): with more of them the gradient comes nearer to that of log p(v), and recognition may learn awake too.

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::model::ConditionalLayer;
use rbm_core::ops::Ascent;
use rbm_core::ops::device::to_host;
use rbm_core::{Error, Result, Rng, Rows, Units, rows};

use super::net::BeliefNet;

/// Rows that are looked at together in the estimation of log p(v).
const ROWS: usize = 4000;

/// A belief net and its recognition.
#[derive(Debug)]
pub struct Helmholtz {
    /// p: what makes cases.
    pub net: BeliefNet,
    /// q(h_{l+1} | h_l): what finds causes, from the observed layer up. Weights `(below, above)`.
    pub recognition: Vec<ConditionalLayer>,
}

/// Guesses of the causes of some cases, `samples` of each, one case after the other in every round of guesses.
#[derive(Debug, Clone)]
pub struct Guesses {
    /// A tensor `(samples·cases, width)` for each layer; row `s·cases + i` is guess s of case i.
    pub configuration: Vec<Tensor>,
    /// log w = log p(v, h) − log q(h | v), nats, `(samples, cases)`.
    pub log_weights: Tensor,
}

impl Helmholtz {
    /// A machine of layers of these widths, from the observed one up, with weights and biases of 0.
    ///
    /// # Errors
    ///
    /// As [`BeliefNet::zeros`].
    pub fn zeros(widths: &[usize], dtype: DType) -> Result<Self> {
        let net = BeliefNet::zeros(widths, dtype)?;
        let layer = |pair: &[usize]| {
            ConditionalLayer::zeros(pair[0], &Units::bernoulli(pair[1]), dtype, &Device::Cpu)
        };
        Ok(Self { net, recognition: widths.windows(2).map(layer).collect::<Result<_>>()? })
    }

    /// Every parameter by name: those of the net, then `recognition.{l}.weight` and `recognition.{l}.bias`.
    pub fn parameters(&self) -> Vec<(String, &Var)> {
        let recognition = self.recognition.iter().enumerate().flat_map(|(l, layer)| {
            let own = layer.parameters().into_iter();
            own.map(move |(name, var)| (format!("recognition.{l}.{name}"), var))
        });
        self.net.parameters().into_iter().chain(recognition).collect()
    }

    /// log q(h | v) of each configuration, nats, `(rows,)`. Differentiable.
    ///
    /// # Errors
    ///
    /// For configurations of another shape.
    pub fn log_recognition(&self, x: &[Tensor]) -> Result<Tensor> {
        self.check(x)?;
        let terms = self.recognition.iter().zip(x.windows(2));
        let mut terms = terms.map(|(layer, pair)| layer.log_probability(&pair[0], &pair[1]));
        let first =
            terms.next().ok_or_else(|| Error::invalid("recognition", "a layer", "none"))??;
        terms.try_fold(first, |sum, term| Ok((sum + term?)?))
    }

    /// `samples` guesses of the causes of each case `(cases, width)`.
    ///
    /// # Errors
    ///
    /// For no samples, and cases of another width.
    pub fn guesses(&self, cases: &Tensor, samples: usize, rng: &mut Rng) -> Result<Guesses> {
        let count = cases.dim(0)?;
        if samples == 0 || count == 0 {
            let found = format!("{samples} of {count} cases");
            return Err(Error::invalid("guesses", "at least one of one case", found));
        }
        let mut configuration = vec![cases.repeat((samples, 1))?];
        for layer in &self.recognition {
            let above = layer.sample(&configuration[configuration.len() - 1], rng)?;
            configuration.push(above);
        }
        let log_weights =
            (self.net.log_joint(&configuration)? - self.log_recognition(&configuration)?)?;
        let log_weights = log_weights.detach().reshape((samples, count))?;
        Ok(Guesses { configuration, log_weights })
    }

    /// What recognition makes of `cases` `(n, observed)`: the means of each hidden layer from below up, given those of the layer below it.
    ///
    /// # Errors
    ///
    /// For cases of another width.
    pub fn means(&self, cases: &Tensor) -> Result<Vec<Tensor>> {
        let mut means: Vec<Tensor> = Vec::with_capacity(self.recognition.len());
        for layer in &self.recognition {
            means.push(layer.mean(means.last().unwrap_or(cases))?.detach());
        }
        Ok(means)
    }

    /// The gradient of Σ wᵢ log q(hᵢ | vᵢ) over configurations with `weights` `(rows,)`: of the weights and biases of each layer of
    /// recognition.
    ///
    /// # Errors
    ///
    /// For configurations of another shape.
    pub fn recognition_ascents(&self, x: &[Tensor], weights: &Tensor) -> Result<Vec<Ascent>> {
        self.check(x)?;
        let mut ascents = Vec::with_capacity(2 * self.recognition.len());
        for (layer, pair) in self.recognition.iter().zip(x.windows(2)) {
            ascents.extend(layer.weighted_ascents(&pair[0], &pair[1], weights)?);
        }
        Ok(ascents)
    }

    /// The log of the mean of `samples` weights w of each case, nats: in expectation at most log p(v), and nearer to it with more samples (Burda,
    /// Grosse, Salakhutdinov 2016). It is one-sided: nothing says how far below log p(v) it lies.
    ///
    /// # Errors
    ///
    /// For no samples, and cases of another width.
    pub fn importance_weighted(
        &self,
        cases: &dyn Rows,
        samples: usize,
        rng: &mut Rng,
        mut go_on: impl FnMut(usize) -> bool,
    ) -> Result<Vec<f64>> {
        let mut all = Vec::with_capacity(cases.count());
        for block in rows::blocks(cases) {
            let block = block?;
            let count = block.dim(0)?;
            let at_once = (ROWS / count).max(1);
            let mut sums: Option<Tensor> = None;
            let mut done = 0;
            while done < samples {
                let now = at_once.min(samples - done);
                let weights = to_host(&self.guesses(&block, now, rng)?.log_weights)?;
                let sum = weights.to_dtype(DType::F64)?.log_sum_exp(0)?;
                sums = Some(match sums {
                    Some(before) => Tensor::stack(&[before, sum], 0)?.log_sum_exp(0)?,
                    None => sum,
                });
                done += now;
                if !go_on(all.len() * samples + done * count) {
                    return Ok(all);
                }
            }
            let sums = sums.ok_or_else(|| Error::invalid("samples", "at least one", "none"))?;
            all.extend(sums.to_vec1::<f64>()?.into_iter().map(|sum| sum - (samples as f64).ln()));
        }
        Ok(all)
    }

    fn check(&self, x: &[Tensor]) -> Result<()> {
        if x.len() == self.recognition.len() + 1 {
            return Ok(());
        }
        let expected = format!("a tensor for each of {} layers", self.recognition.len() + 1);
        Err(Error::invalid("a configuration", expected, x.len().to_string()))
    }
}

impl Guesses {
    /// What each guess counts: the weights of a case normalised where they are `reweighted`, else all alike; those of all cases together sum to 1.
    /// `(samples·cases,)`
    ///
    /// # Errors
    ///
    /// When memory is short.
    pub fn shares(&self, reweighted: bool) -> Result<Tensor> {
        let (samples, cases) = self.log_weights.dims2()?;
        if !reweighted {
            let share =
                Tensor::full(1.0 / (samples * cases) as f64, samples * cases, &Device::Cpu)?;
            return Ok(share.to_dtype(self.log_weights.dtype())?);
        }
        let total = self.log_weights.log_sum_exp(0)?;
        let shares = (self.log_weights.broadcast_sub(&total.unsqueeze(0)?)?.exp()? / cases as f64)?;
        Ok(shares.flatten_all()?.detach())
    }
}
