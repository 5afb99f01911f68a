//! The network: machines on top of each other.

use candle_core::Tensor;
use candle_nn::Module;
use rbm_core::{Error, Gibbs, Kernel, Rbm, Result, Rng};

/// A deep belief network: the hidden units of each machine are the visible ones of the next.
///
/// The top machine is undirected; below it the network generates downwards and recognises upwards with the same weights
/// (Hinton, Osindero, Teh 2006). `rbms[0]` is the lowest.
#[derive(Debug)]
pub struct Dbn {
    /// The machines from the bottom up; at least one, and neighbours agree on their common layer's width.
    pub rbms: Vec<Rbm>,
}

impl Dbn {
    /// A stack of these machines. Errors when there are none, or when two neighbours do not fit.
    pub fn new(rbms: Vec<Rbm>) -> Result<Self> {
        if rbms.is_empty() {
            return Err(Error::invalid("a deep belief network", "at least one layer", "none"));
        }
        for (i, pair) in rbms.windows(2).enumerate() {
            let (below, above) = (pair[0].hidden().units(), pair[1].visible().units());
            if below != above {
                let what = format!("the visible units of layer {}", i + 2);
                return Err(Error::invalid(what, below.to_string(), above.to_string()));
            }
        }
        Ok(Self { rbms })
    }

    /// The width of the data.
    pub fn width(&self) -> usize {
        self.bottom().visible().units().size()
    }

    /// The layer that data are clamped to, as part of its machine.
    pub fn bottom(&self) -> &Rbm {
        &self.rbms[0]
    }

    /// The undirected machine on top.
    pub fn top(&self) -> &Rbm {
        &self.rbms[self.rbms.len() - 1]
    }

    /// The mean activities of every hidden layer from the bottom up, `(batch, hidden)` each, for `v` `(batch, width)`:
    /// the deterministic up-pass. Differentiable.
    pub fn features(&self, v: &Tensor) -> Result<Vec<Tensor>> {
        let mut features: Vec<Tensor> = Vec::with_capacity(self.rbms.len());
        for rbm in &self.rbms {
            features.push(rbm.hidden_mean(features.last().unwrap_or(v))?);
        }
        Ok(features)
    }

    /// The mean activities of the top layer.
    pub fn up(&self, v: &Tensor) -> Result<Tensor> {
        up(&self.rbms, v)
    }

    /// The mean of the data layer, `(batch, width)`, for top-layer activities `h`: the deterministic down-pass.
    pub fn down(&self, h: &Tensor) -> Result<Tensor> {
        self.rbms.iter().rev().try_fold(h.clone(), |h, rbm| rbm.visible_mean(&h))
    }

    /// `v` sent up and down again through the first `layers` machines, by means.
    pub fn reconstruct(&self, v: &Tensor, layers: usize) -> Result<Tensor> {
        let rbms = &self.rbms[..layers.min(self.rbms.len())];
        rbms.iter().rev().try_fold(up(rbms, v)?, |h, rbm| rbm.visible_mean(&h))
    }

    /// `count` samples `(count, width)`: `steps` Gibbs steps of the top machine, then one directed pass down, sampled in
    /// every layer but the lowest, whose means are returned (what the network believes, not binary noise).
    pub fn sample(&self, count: usize, steps: usize, rng: &mut Rng) -> Result<Tensor> {
        let mut chains = self.start_chains(count, rng)?;
        for _ in 0..steps {
            Gibbs::default().step(self.top(), &mut chains, rng)?;
        }
        self.fall(&chains.hidden, rng)
    }

    /// Chains of the top machine that start at its visible units' own biases.
    pub fn start_chains(&self, count: usize, rng: &mut Rng) -> Result<rbm_core::kernel::Chains> {
        let top = self.top();
        let width = top.visible().units().size();
        let silence = Tensor::zeros((count, width), top.dtype(), top.device())?;
        let visible = top.visible().sample(&silence, rng)?;
        Gibbs::default().init(top, visible, rng)
    }

    /// Chains of the top machine that start where a sampled up-pass of `v` `(chains, width)` ends.
    pub fn start_chains_at(&self, v: &Tensor, rng: &mut Rng) -> Result<rbm_core::kernel::Chains> {
        let below = &self.rbms[..self.rbms.len() - 1];
        let visible = below.iter().try_fold(v.clone(), |v, rbm| rbm.sample_hidden(&v, rng))?;
        Gibbs::default().init(self.top(), visible, rng)
    }

    /// The data-layer means below top-layer configurations `h` `(count, hidden)`, sampling the layers between.
    pub fn fall(&self, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        Ok(self.bottom().visible_mean(&self.fall_to_first_hidden(h, rng)?)?.detach())
    }

    /// Data-layer configurations below top-layer ones: [`Dbn::fall`], with the data layer sampled too.
    pub fn fall_sampled(&self, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let h = self.fall_to_first_hidden(h, rng)?;
        self.bottom().sample_visible(&h, rng)
    }

    fn fall_to_first_hidden(&self, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.rbms[1..].iter().rev().try_fold(h.clone(), |h, rbm| rbm.sample_visible(&h, rng))
    }
}

/// The deterministic up-pass through `rbms`.
pub(crate) fn up(rbms: &[Rbm], v: &Tensor) -> Result<Tensor> {
    rbms.iter().try_fold(v.clone(), |v, rbm| rbm.hidden_mean(&v))
}

/// The feature extractor: the top layer's mean activities.
impl Module for Dbn {
    fn forward(&self, v: &Tensor) -> candle_core::Result<Tensor> {
        self.up(v).map_err(candle_core::Error::wrap)
    }
}
