//! The order of the work: the layers from the bottom up, then what is made of them.

use std::fmt;

use super::{Backpropagation, Recipe};

/// A stage of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// A machine learns from what those below it make of the data; 0 is the lowest.
    Layer(usize),
    /// All layers learn together by up-down.
    UpDown,
    /// The unrolled network learns the classes by backpropagation.
    Classifier,
    /// The unrolled network learns to predict a measurement by backpropagation.
    Regressor,
    /// The network unrolled both ways learns to find each case again from its code, by backpropagation.
    Autoencoder,
}

/// `layer 1`, …, `classifier` or `autoencoder`: what metrics call it.
impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(layer) => write!(f, "layer {}", layer + 1),
            Self::UpDown => f.write_str("up-down"),
            Self::Classifier => f.write_str("classifier"),
            Self::Regressor => f.write_str("regressor"),
            Self::Autoencoder => f.write_str("autoencoder"),
        }
    }
}

impl Recipe {
    /// Whether the machine with this number learns labels.
    pub fn is_joint(&self, layer: usize) -> bool {
        self.labels && layer + 1 == self.layers.len()
    }

    /// What there is to be done, in its order.
    pub fn stages(&self) -> Vec<StageKind> {
        let updown = self.updown.as_ref().map(|_| StageKind::UpDown);
        let classifier = self.classifier.as_ref().map(|_| StageKind::Classifier);
        let regressor = self.regressor.as_ref().map(|_| StageKind::Regressor);
        let autoencoder = self.autoencoder.as_ref().map(|_| StageKind::Autoencoder);
        let fine = updown.into_iter().chain(classifier).chain(regressor).chain(autoencoder);
        (0..self.layers.len()).map(StageKind::Layer).chain(fine).collect()
    }

    /// How this stage fine-tunes a network, if it does.
    pub fn backpropagation(&self, kind: StageKind) -> Option<&Backpropagation> {
        match kind {
            StageKind::Layer(_) | StageKind::UpDown => None,
            StageKind::Classifier => self.classifier.as_ref().map(|table| &table.backpropagation),
            StageKind::Regressor => self.regressor.as_ref(),
            StageKind::Autoencoder => self.autoencoder.as_ref(),
        }
    }

    /// The most epochs of this stage.
    pub fn epochs_of(&self, kind: StageKind) -> usize {
        let epochs = match kind {
            StageKind::Layer(layer) => self.layers.get(layer).map(|layer| layer.epochs),
            StageKind::UpDown => self.updown.as_ref().map(|updown| updown.epochs),
            network => self.backpropagation(network).map(|table| table.epochs),
        };
        epochs.unwrap_or(0)
    }

    /// After how many epochs without a better validation error it stops, where it may.
    pub(crate) fn patience_of(&self, kind: StageKind) -> Option<usize> {
        self.backpropagation(kind).map(|table| table.patience)
    }
}
