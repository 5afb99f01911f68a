//! Files of a model and of a run; a model is `model.safetensors` and `config.json`, which other tools can read.
//!
//! Matrices lie as in `torch.nn.Linear`, `(out, in)`: `rbms.{i}.weight` `(hidden, visible)`, `rbms.{i}.hidden_bias`,
//! `rbms.{i}.visible_bias` and further unit parameters by name; the fine-tuned network is `classifier.layers.{i}.weight`,
//! `classifier.layers.{i}.bias`, `classifier.weight`, `classifier.bias`; the way down, where it has weights of its own,
//! `generative.{i}.weight`, `generative.{i}.bias`; an autoencoder `autoencoder.encoder.{i}.weight` from the data up and
//! `autoencoder.decoder.{i}.weight` from the code down, each with its `bias`; `standardise.mean` and `standardise.deviation`
//! are what is taken from the data and divided out before they reach the network; `missing.mean` stands for missing values.

pub mod table;

pub mod belief;
pub mod machine;
pub mod model_config;
pub mod results;
pub mod run;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_dbn_data::Standardise;
use rbm_core::ops::device::is_finite;
use rbm_core::state::{State, write_whole};
use rbm_core::units::check_storable;
use rbm_core::{Error, Rbm, Result};
use safetensors::SafeTensors;

pub use self::results::Results;
pub use self::run::Run;
use crate::json;
use crate::network::autoencoder::Autoencoder;
use crate::network::classifier::Classifier;
use crate::network::classifier::Regressor;
pub use crate::network::config::{BELIEF, HOPFIELD, MACHINE, WEIGHTS};
use crate::network::config::{CONFIG, Config};
use crate::network::dbn::Dbn;
use crate::network::labels::with_label_units;
use crate::network::model::MissingValues;
use crate::network::model::{DEVIATION, MEAN, MISSING, Model};

/// The files of which each is a model of another kind, and what it is: no folder holds two.
pub const MODELS: [(&str, &str); 4] = [
    (WEIGHTS, "a network"),
    (MACHINE, "a Boltzmann machine"),
    (BELIEF, "a belief net"),
    (HOPFIELD, "a Hopfield network"),
];

/// A model on disk.
impl Model {
    /// Writes both files into the folder `dir`, which is made if need be; each is written beside and renamed.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_dbn::{Dbn, Model};
    /// use rbm_core::{Rbm, Units};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("model");
    /// let rbm = Rbm::new(&Units::bernoulli(4), &Units::bernoulli(3), DType::F32, &Device::Cpu)?;
    /// let model = Model::from(Dbn::new(vec![rbm])?);
    /// model.save(&folder)?;
    /// assert_eq!(Model::load(&folder, &Device::Cpu)?.config(), model.config());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// For numbers that [`Model::load`] would refuse, and for a [`Layer`](rbm_core::Layer) of one's own, by the name of its type: no file
    /// says how it is built.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<()> {
        let dir = dir.as_ref();
        for rbm in self.dbn.rbms() {
            check_storable(rbm.visible())?;
            check_storable(rbm.hidden())?;
        }
        std::fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        let tensors = self.tensors()?;
        for (name, tensor) in &tensors {
            if !is_finite(tensor)? {
                let place = format!("tensor {name:?}");
                return Err(Error::file(
                    dir.join(WEIGHTS),
                    place,
                    "finite numbers",
                    "NaN or infinity",
                ));
            }
        }
        write_whole(&dir.join(CONFIG), &json::bytes(&self.config(), CONFIG)?)?;
        // One key only: the order of several would change from run to run, and the bytes with it.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = safetensors::serialize(&tensors, Some(metadata)).map_err(|e| {
            Error::invalid(WEIGHTS, "tensors that safetensors can hold", e.to_string())
        })?;
        write_whole(&dir.join(WEIGHTS), &bytes)
    }

    /// Reads both files from the folder `dir`.
    ///
    /// # Errors
    ///
    /// [`Error`](crate::Error)s name the file, the tensor, and what it should be.
    pub fn load(dir: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let dir = dir.as_ref();
        let config = Config::read(&dir.join(CONFIG))?;
        let path = dir.join(WEIGHTS);
        let tensors = read_tensors(&path, device)?;
        // By the file before by memory: a wrong size in the configuration may be more than there is.
        check_shapes(&path, &config.matrices(), &tensors)?;
        let model = Self::empty(&config, device)?;
        check(&path, &model.shapes()?, &tensors)?;
        model.fill(&tensors)?;
        let missing = match (config.missing, tensors.get(MISSING)) {
            (Some(how), Some(mean)) => {
                let mean = mean.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
                Some(MissingValues { how, mean })
            }
            _ => None,
        };
        Ok(Self { standardise: standardised(&tensors, config.min_max), missing, ..model })
    }

    /// The model that `config` describes, with neutral parameters.
    fn empty(config: &Config, device: &Device) -> Result<Self> {
        let mut below = config.visible.clone();
        let mut rbms = Vec::with_capacity(config.hidden.len());
        for (i, hidden) in config.hidden.iter().enumerate() {
            if let Some(classes) = config.labels.filter(|_| i + 1 == config.hidden.len()) {
                below = with_label_units(&below, classes);
            }
            rbms.push(Rbm::new(&below, hidden, DType::F32, device)?);
            below = hidden.clone();
        }
        let mut dbn = match config.labels {
            Some(classes) => Dbn::with_labels(rbms, classes)?,
            None => Dbn::new(rbms)?,
        };
        if config.untied {
            dbn.untie()?;
        }
        let width = config.visible.width();
        let classifier = match config.classes {
            Some(classes) => {
                Some(Classifier::empty(width, &config.hidden, classes, DType::F32, device)?)
            }
            None => None,
        };
        let regressor = match &config.target {
            Some(target) => {
                let target = target.clone();
                Some(Regressor::empty(width, &config.hidden, target, DType::F32, device)?)
            }
            None => None,
        };
        let autoencoder = match config.autoencoder {
            true => Some(Autoencoder::empty(&config.visible, &config.hidden, DType::F32, device)?),
            false => None,
        };
        let standardise = if config.standardise {
            let mean = Tensor::zeros(width, DType::F32, device)?;
            Some(Standardise { deviation: mean.ones_like()?, mean, cuts: config.min_max })
        } else {
            None
        };
        Ok(Self {
            dbn,
            classifier,
            regressor,
            autoencoder,
            standardise,
            image: config.image,
            preprocessing: config.preprocessing.clone(),
            columns: config.columns.clone().map(Arc::new),
            class_names: config.class_names.clone(),
            label: config.label.clone(),
            missing: config
                .missing
                .map(|how| MissingValues { how, mean: vec![0.0; config.visible.width()] }),
        })
    }

    fn shapes(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        Ok(self
            .tensors()?
            .into_iter()
            .map(|(name, tensor)| (name, tensor.dims().to_vec()))
            .collect())
    }

    /// Sets every parameter from the tensors of a file, whose names and shapes have been checked.
    fn fill(&self, tensors: &State) -> Result<()> {
        for (name, var) in self.vars() {
            if let Some(tensor) = tensors.get(&name) {
                let tensor =
                    if tensor.rank() == 2 { tensor.t()?.contiguous()? } else { tensor.clone() };
                var.set(&tensor)?;
            }
        }
        Ok(())
    }
}

fn standardised(tensors: &State, cuts: bool) -> Option<Standardise> {
    Some(Standardise {
        cuts,
        mean: tensors.get(MEAN)?.clone(),
        deviation: tensors.get(DEVIATION)?.clone(),
    })
}

/// Every tensor of the file `path`. Errors for anything but whole float32 tensors.
pub(super) fn read_tensors(path: &Path, device: &Device) -> Result<State> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let wrong = |found: String| Error::file(path, "header", "a whole safetensors file", found);
    let file = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    for (name, view) in file.tensors() {
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(Error::file(
                path,
                format!("tensor {name:?}"),
                "dtype F32",
                format!("{:?}", view.dtype()),
            ));
        }
    }
    let tensors =
        candle_core::safetensors::load_buffer(&bytes, device).map_err(|e| wrong(e.to_string()))?;
    Ok(tensors.into_iter().collect())
}

/// Errors unless the file `path` holds the `expected` tensors and no other.
pub(super) fn check(
    path: &Path,
    expected: &BTreeMap<String, Vec<usize>>,
    found: &State,
) -> Result<()> {
    check_shapes(path, expected, found)?;
    match found.keys().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(Error::file(
            path,
            format!("tensor {name:?}"),
            format!("only what {CONFIG} describes"),
            "an extra tensor",
        )),
        None => Ok(()),
    }
}

/// Errors unless the file `path` holds the `expected` tensors, in these shapes, of finite numbers.
pub(super) fn check_shapes(
    path: &Path,
    expected: &BTreeMap<String, Vec<usize>>,
    found: &State,
) -> Result<()> {
    for (name, shape) in expected {
        let place = format!("tensor {name:?}");
        let wanted = format!("shape {shape:?} as {CONFIG} says");
        match found.get(name) {
            None => return Err(Error::file(path, place, wanted, "no such tensor")),
            Some(tensor) if tensor.dims() != shape => {
                return Err(Error::file(path, place, wanted, format!("shape {:?}", tensor.dims())));
            }
            Some(tensor) => {
                if !is_finite(tensor)? {
                    return Err(Error::file(path, place, "finite numbers", "NaN or infinity"));
                }
            }
        }
    }
    Ok(())
}
