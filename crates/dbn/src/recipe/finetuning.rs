//! What a stack becomes by backpropagation, and how: the tables `[classifier]` and `[autoencoder]`.

use rbm_core::Schedule;
use serde::{Deserialize, Serialize};

use crate::network::fine_tune::Adversary;

/// How backpropagation climbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinetuneRule {
    /// Gradient ascent with momentum.
    #[default]
    Sgd,
    /// Adam; the momentum is not used.
    Adam,
    /// Conjugate gradients with line searches (Hinton and Salakhutdinov 2006); learning rate and momentum are not used.
    Cg,
}

/// Backpropagation in a network unrolled from the stack. The defaults are those of an autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backpropagation {
    /// The most epochs.
    ///
    /// Range: 0 or more epochs. Used by: backpropagation.
    pub epochs: usize,
    /// Cases in a mini-batch.
    ///
    /// Range: 1 or more cases. Used by: backpropagation.
    pub batch_size: usize,
    /// The learning rate by epoch.
    ///
    /// Range: 0 or more; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Used by: `optimizer = "sgd"` and
    /// `"adam"`.
    pub learning_rate: Schedule,
    /// The momentum by epoch.
    ///
    /// Range: 0 to below 1; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Used by: `optimizer = "sgd"`.
    pub momentum: Schedule,
    /// How gradients become steps.
    ///
    /// Range: "sgd", "adam" or "cg". Used by: backpropagation.
    pub optimizer: FinetuneRule,
    /// Line searches in each mini-batch, with `cg`.
    ///
    /// Range: 1 or more searches. Used by: `optimizer = "cg"`.
    pub line_searches: usize,
    /// L2 penalty of the weights.
    ///
    /// Range: 0 or more. Used by: backpropagation.
    pub l2: f64,
    /// The largest Euclidean norm of the weights into a unit (Srivastava et al. 2014); 0 for no limit.
    ///
    /// Range: 0 or more. Used by: backpropagation.
    pub max_norm: f64,
    /// The fraction of the data's values left out at random.
    ///
    /// Range: 0 to below 1. Used by: backpropagation.
    pub dropout_visible: f64,
    /// The fraction of hidden units left out at random.
    ///
    /// Range: 0 to below 1. Used by: backpropagation.
    pub dropout_hidden: f64,
    /// Over how many of the last epochs parameters are averaged, once an epoch; 0 for none.
    ///
    /// Range: 0 or more epochs. Used by: backpropagation.
    pub average_last: usize,
    /// Epochs without a better validation error after which to stop.
    ///
    /// Range: 0 or more epochs. Used by: data with validation cases.
    pub patience: usize,
}

impl Default for Backpropagation {
    fn default() -> Self {
        Self {
            epochs: 50,
            batch_size: 100,
            learning_rate: Schedule::Constant(1e-3),
            momentum: Schedule::Constant(0.9),
            optimizer: FinetuneRule::Adam,
            line_searches: 3,
            l2: 0.0,
            max_norm: 0.0,
            dropout_visible: 0.0,
            dropout_hidden: 0.0,
            average_last: 0,
            patience: 20,
        }
    }
}

/// The softmax on top and its fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Classifier {
    /// The most epochs of backpropagation.
    ///
    /// Range: 0 or more epochs. Used by: backpropagation.
    pub epochs: usize,
    /// Epochs at the beginning in which only the softmax layer learns.
    ///
    /// Range: 0 or more epochs. Used by: backpropagation.
    pub softmax_only: usize,
    /// How many cases have labels to learn from, as many of each class, chosen by the seed; 0 for all. Pre-training learns from
    /// all cases in either case.
    ///
    /// Range: 0 or more cases. Used by: backpropagation.
    pub train_on: usize,
    /// Cases in a mini-batch.
    ///
    /// Range: 1 or more cases. Used by: backpropagation.
    pub batch_size: usize,
    /// The learning rate by epoch.
    ///
    /// Range: 0 or more; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Used by: `optimizer = "sgd"` and
    /// `"adam"`.
    pub learning_rate: Schedule,
    /// The momentum by epoch.
    ///
    /// Range: 0 to below 1; a number, `[[epoch, number], ...]` or `{ from, to, curve }`. Used by: `optimizer = "sgd"`.
    pub momentum: Schedule,
    /// How gradients become steps.
    ///
    /// Range: "sgd", "adam" or "cg". Used by: backpropagation.
    pub optimizer: FinetuneRule,
    /// Line searches in each mini-batch, with `cg`.
    ///
    /// Range: 1 or more searches. Used by: `optimizer = "cg"`.
    pub line_searches: usize,
    /// L2 penalty of the weights.
    ///
    /// Range: 0 or more. Used by: backpropagation.
    pub l2: f64,
    /// The largest Euclidean norm of the weights into a unit (Srivastava et al. 2014); 0 for no limit.
    ///
    /// Range: 0 or more. Used by: backpropagation.
    pub max_norm: f64,
    /// The fraction of the data's values left out at random.
    ///
    /// Range: 0 to below 1. Used by: backpropagation.
    pub dropout_visible: f64,
    /// The fraction of hidden units left out at random.
    ///
    /// Range: 0 to below 1. Used by: backpropagation.
    pub dropout_hidden: f64,
    /// Adversarial training (Goodfellow, Shlens, Szegedy 2015): how far, in Euclidean distance, each case is moved against its
    /// gradient, to be learned from there as much as where it is; twice the time, 0 for none. Not with `cg`.
    ///
    /// Range: 0 to 1000000. Used by: `optimizer = "sgd"` and `"adam"`.
    pub adversarial: f64,
    /// Virtual adversarial training (Miyato, Maeda, Koyama, Ishii 2018): how far, in Euclidean distance, each case is moved to
    /// where the network changes its mind about it, to learn not to; three times the time, 0 for none. Not with `adversarial` or
    /// `cg`.
    ///
    /// Range: 0 to 1000000. Used by: `optimizer = "sgd"` and `"adam"`.
    pub virtual_adversarial: f64,
    /// Over how many of the last epochs parameters are averaged, once an epoch; 0 for none.
    ///
    /// Range: 0 or more epochs. Used by: backpropagation.
    pub average_last: usize,
    /// Epochs without a better validation error after which to stop.
    ///
    /// Range: 0 or more epochs. Used by: data with validation cases.
    pub patience: usize,
}

impl Default for Classifier {
    fn default() -> Self {
        Self {
            epochs: 50,
            softmax_only: 0,
            train_on: 0,
            batch_size: 100,
            learning_rate: Schedule::Constant(0.1),
            momentum: Schedule::Constant(0.9),
            optimizer: FinetuneRule::Sgd,
            line_searches: 3,
            l2: 0.0,
            max_norm: 0.0,
            dropout_visible: 0.0,
            dropout_hidden: 0.0,
            adversarial: 0.0,
            virtual_adversarial: 0.0,
            average_last: 0,
            patience: 20,
        }
    }
}

impl Classifier {
    /// Where cases are learned from besides where they are.
    pub fn adversary(&self) -> Adversary {
        if self.virtual_adversarial > 0.0 {
            Adversary::Virtual(self.virtual_adversarial)
        } else if self.adversarial > 0.0 {
            Adversary::Label(self.adversarial)
        } else {
            Adversary::None
        }
    }

    /// What it has in common with other networks.
    pub fn backpropagation(&self) -> Backpropagation {
        Backpropagation {
            epochs: self.epochs,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate.clone(),
            momentum: self.momentum.clone(),
            optimizer: self.optimizer,
            line_searches: self.line_searches,
            l2: self.l2,
            max_norm: self.max_norm,
            dropout_visible: self.dropout_visible,
            dropout_hidden: self.dropout_hidden,
            average_last: self.average_last,
            patience: self.patience,
        }
    }
}
