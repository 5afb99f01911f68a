//! Which network a training fine-tunes by backpropagation.

use crate::network::fine_tune::FineTune;
use crate::network::regressor::Regressor;
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
