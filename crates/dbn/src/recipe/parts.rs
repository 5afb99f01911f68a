//! From a recipe's words to the parts that learn.

use rbm_core::learning::transform::{Centre, Clip, PerDraw, Sparsity, Transform, WeightDecay};
use rbm_core::model::init::Init;
use rbm_core::{Adam, Optimizer, Rbm, Result, Sgd};

use super::{Layer, Rule, SparsityTarget};
use crate::network::labels::has_own_draws;

impl Layer {
    /// How the machine starts.
    pub fn init(&self) -> Init {
        Init { weight_deviation: self.weight_deviation, hidden_bias: self.hidden_bias }
    }

    /// What is done to the gradients of `rbm`, in the order that [`Centre`] asks for.
    ///
    /// # Errors
    ///
    /// When the layer has no learning settings that the machine could take: a norm or a rate out of its range.
    pub fn transforms(&self, rbm: &Rbm) -> Result<Vec<Box<dyn Transform>>> {
        let mut transforms: Vec<Box<dyn Transform>> = Vec::new();
        if let Some(SparsityTarget { target, cost, decay }) =
            self.sparsity.filter(|it| it.cost > 0.0)
        {
            transforms.push(Box::new(Sparsity { decay, ..Sparsity::new(target, cost) }));
        }
        if self.l1 > 0.0 || self.l2 > 0.0 {
            transforms.push(Box::new(WeightDecay { l1: self.l1, l2: self.l2 }));
        }
        if self.centre == Some(true) {
            transforms.push(Box::new(Centre::of(rbm, self.offset_rate)?));
        }
        if has_own_draws(&rbm.visible().units()) {
            transforms.push(Box::new(PerDraw));
        }
        if let Some(clip) = self.clip {
            transforms.push(Box::new(Clip::new(clip)?));
        }
        Ok(transforms)
    }
}

impl Rule {
    /// An optimiser; its rates are set in every epoch.
    pub fn optimizer(self) -> Box<dyn Optimizer> {
        match self {
            Self::Sgd => Box::new(Sgd::new(0.0)),
            Self::Adam => Box::new(Adam::new(0.0)),
        }
    }
}
