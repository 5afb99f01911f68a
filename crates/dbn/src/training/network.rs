//! Which network a training fine-tunes by backpropagation.

use rbm_core::{Error, Result};

use super::{Stream, Training};
use crate::network::fine_tune::FineTune;
use crate::network::regressor::{Regressor, Target};
use crate::recipe::StageKind;
use crate::{Autoencoder, Classifier};

/// What comes of the stack by backpropagation.
#[derive(Debug)]
pub(super) enum Network {
    Classifier(Classifier),
    Regressor(Regressor),
    Autoencoder(Autoencoder),
}

impl Network {
    /// What backpropagation knows of it.
    pub(super) fn unrolled(&self) -> &dyn FineTune {
        match self {
            Self::Classifier(classifier) => classifier,
            Self::Regressor(regressor) => regressor,
            Self::Autoencoder(autoencoder) => autoencoder,
        }
    }

    /// The stage that it belongs to.
    pub(super) fn kind(&self) -> StageKind {
        match self {
            Self::Classifier(_) => StageKind::Classifier,
            Self::Regressor(_) => StageKind::Regressor,
            Self::Autoencoder(_) => StageKind::Autoencoder,
        }
    }

    /// The widths of its layers behind the data.
    pub(super) fn widths(&self) -> Vec<usize> {
        let (layers, classes): (Vec<_>, _) = match self {
            Self::Classifier(network) => (network.layers.iter().collect(), Some(network.classes())),
            Self::Regressor(Regressor { network, .. }) => {
                (network.layers.iter().collect(), Some(1))
            }
            Self::Autoencoder(network) => (network.layers().collect(), None),
        };
        layers.iter().map(|layer| layer.units.units().width()).chain(classes).collect()
    }
}

impl Training {
    /// The network that `kind` fine-tunes, as pre-training leaves it. Errors for a stage that fine-tunes none.
    pub(super) fn new_network(&self, kind: StageKind) -> Result<Network> {
        match kind {
            StageKind::Classifier => {
                let classes = self.classes;
                let classes =
                    classes.ok_or_else(|| Error::invalid("the data", "labels", "none"))?;
                let mut rng = self.stream(Stream::Init);
                Ok(Network::Classifier(Classifier::unroll(&self.rbms, classes, &mut rng)?))
            }
            StageKind::Regressor => {
                let targets = self.train.targets.as_deref().zip(self.target.as_deref());
                let Some((values, name)) = targets else {
                    return Err(Error::invalid("the data", "a target (--target COLUMN)", "none"));
                };
                let target = Target::of(name, values);
                let mut rng = self.stream(Stream::Init);
                Ok(Network::Regressor(Regressor::unroll(&self.rbms, target, &mut rng)?))
            }
            StageKind::Autoencoder => Ok(Network::Autoencoder(Autoencoder::unroll(&self.rbms)?)),
            other => Err(Error::invalid("fine-tuning", "an unrolled network", other.to_string())),
        }
    }
}
