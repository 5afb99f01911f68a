//! Deep belief networks on candle: networks, recipes, trainings, files, and likelihoods.
//!
//! A [`Dbn`] is a stack of restricted Boltzmann machines, learned one after the other, each from what the one below makes
//! of the data (Hinton, Osindero, Teh 2006). It is a feature extractor ([`candle_nn::Module`]), a generator
//! ([`Dbn::sample`]) and the start of a [`Classifier`] or an [`Autoencoder`] fine-tuned by backpropagation. [`store`] reads and writes
//! it as safetensors; [`Recipe`] and [`Training`] are the whole way from data to a model, and survive being killed.
#![deny(missing_docs)]

mod digest;

mod json;

pub mod network;

pub mod learning;

pub mod recipe;

pub mod estimate;

pub mod training;

pub mod store;

#[cfg(feature = "viz")]
pub mod viz;

#[cfg(feature = "import")]
pub mod import;

#[cfg(feature = "hub")]
pub mod hub;

pub use candle_dbn_data as data;
pub use candle_dbn_data::{Dataset, Examples, Standardise};
pub use estimate::Evaluation;
pub use learning::UpDown;
pub use network::{
    Autoencoder, Classifier, ConditionalLayer, ConditionalSampler, Config, Dbn, FeatureExtractor,
    Inference, Model, PerClass, Regressor,
};
pub use rbm_core::{Error, Result};
pub use recipe::Recipe;
pub use store::Run;
pub use training::{Observer, Training};

/// The programs of this package's README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
