//! Greedy layer-wise pre-training: each machine learns from what the ones below make of the data.
//!
//! Hinton, Osindero, Teh 2006, §4; Bengio, Lamblin, Popovici, Larochelle 2007. The data of a deep layer are never held as
//! a whole: every mini-batch is sent up when its turn comes.

use candle_core::Tensor;
use rbm_core::init::{self, Init};
use rbm_core::train::Feed;
use rbm_core::{Batches, Rbm, Result, Rng, Rows, data};
use serde::{Deserialize, Serialize};

use crate::dbn;

/// What of a layer's hidden units the next layer learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Their means, as in the code of Hinton and Salakhutdinov 2006.
    #[default]
    Mean,
    /// Samples.
    Sample,
}

/// The cases of one layer: mini-batches of the data, sent up through the machines below.
#[derive(Debug)]
pub struct Below<'a> {
    /// The data `(n, width)`.
    pub cases: &'a dyn Rows,
    /// One class a case, if mini-batches are to be balanced over them.
    pub balance: Option<&'a [u32]>,
    /// The machines below, from the bottom up; none for the lowest layer.
    pub rbms: &'a [Rbm],
    /// What each of them passes up.
    pub passes: &'a [Pass],
    /// Cases in a mini-batch.
    pub batch_size: usize,
    /// Where the shuffles come from; it is split by the epoch's number.
    pub shuffle: Rng,
}

impl Below<'_> {
    /// `v` `(batch, width)` sent up.
    pub fn send_up(&self, v: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.rbms.iter().zip(self.passes).try_fold(v.clone(), |v, (rbm, pass)| match pass {
            Pass::Mean => Ok(rbm.hidden_mean(&v)?.detach()),
            Pass::Sample => rbm.sample_hidden(&v, rng),
        })
    }

    /// Mean and variance of what arrives, each `(visible,)`, by means, a block at a time.
    pub fn moments(&self) -> Result<(Tensor, Tensor)> {
        let arriving =
            || data::blocks(self.cases).map(|block| Ok(dbn::up(self.rbms, &block?)?.detach()));
        init::moments_of_blocks(arriving)
    }

    /// Initialises `rbm` to learn from these cases.
    pub fn init(&self, rbm: &Rbm, init: &Init, rng: &mut Rng) -> Result<()> {
        init.draw_weights(rbm, rng)?;
        let (mean, variance) = self.moments()?;
        rbm.visible().fit_moments(&mean, &variance)
    }
}

impl Feed for Below<'_> {
    fn order(&self, epoch: usize) -> Batches {
        let batches = Batches::new(self.cases.count(), self.batch_size);
        let mut rng = self.shuffle.split(epoch as u64);
        match self.balance {
            None => batches.shuffled(&mut rng),
            Some(labels) => batches.balanced(labels, &mut rng),
        }
    }

    fn batch(&self, indices: &[u32], rng: &mut Rng) -> Result<Tensor> {
        self.send_up(&self.cases.rows(indices)?, rng)
    }
}
