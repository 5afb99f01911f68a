//! Networks: the stack, what is fine-tuned from it, and a model, which takes data as they are.

pub mod autoencoder;
pub mod classifier;
pub mod config;
pub mod dbn;
pub mod feature_extractor;
pub mod fine_tune;
pub mod inference;
pub mod labels;
pub(crate) mod model;
pub mod per_class;
mod top;

pub use self::autoencoder::Autoencoder;
pub use self::classifier::{Classifier, Regressor};
pub use self::config::Config;
pub use self::dbn::Dbn;
pub use self::feature_extractor::FeatureExtractor;
pub use self::inference::{ConditionalSampler, Inference};
pub use self::model::Model;
pub use self::per_class::PerClass;
pub use rbm_core::model::ConditionalLayer;
