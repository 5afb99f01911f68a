//! Deep belief networks on candle.
//!
//! A [`Dbn`] is a stack of restricted Boltzmann machines, learned one after the other, each from what the one below makes
//! of the data (Hinton, Osindero, Teh 2006). It is a feature extractor ([`candle_nn::Module`]), a generator
//! ([`Dbn::sample`]) and the start of a [`Classifier`] or an [`Autoencoder`] fine-tuned by backpropagation. [`store`] reads and writes
//! it as safetensors; [`Recipe`] and [`Training`] are the whole way from data to a model, and survive being killed.
#![deny(missing_docs)]

pub use candle_dbn_data as data;

mod bitmap;
pub mod charts;
pub mod pictures;

pub mod directed;
pub mod labels;

pub mod dbn;
pub mod recognition;

pub mod generator;
pub mod updown;

pub mod missing;

pub mod greedy;

pub mod unrolled;

mod adversarial;

pub mod autoencoder;
pub mod classifier;
pub mod per_class;
pub mod regressor;

pub mod config;
pub mod store;

pub mod feature_extractor;
pub mod import;

pub mod gallery;

pub mod recipe;

mod digest;

pub mod arriving;
pub mod bound;
pub mod likelihood;
pub mod report;

pub mod evaluation;

pub mod training;

pub mod run;

pub mod results;

pub mod card;

#[cfg(feature = "hub")]
pub mod hub;

pub use autoencoder::Autoencoder;
pub use candle_dbn_data::{Dataset, Examples, Standardise};
pub use classifier::Classifier;
pub use config::Config;
pub use dbn::Dbn;
pub use directed::Directed;
pub use evaluation::Evaluation;
pub use feature_extractor::FeatureExtractor;
pub use generator::Generator;
pub use per_class::PerClass;
pub use rbm_core::{Error, Result};
pub use recipe::Recipe;
pub use recognition::Recognition;
pub use regressor::Regressor;
pub use run::Run;
pub use store::Model;
pub use training::{Observer, Training};
pub use updown::UpDown;

/// The README's programs, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
