//! `dbn embed`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use candle_core::{D, DType, Device, Tensor};
use candle_dbn::Model;
use indicatif::MultiProgress;
use rbm_core::rows;

use crate::inputs::{self, Cases, DataOptions, Where};
use crate::{output, progress, tables};

/// Write the hidden layers' mean activities as features for other programs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn embed runs/mnist --out features.npy                  the top layer, nothing else
  dbn embed runs/mnist mnist/ --layer all --out f.safetensors  layer1, layer2, ..., rows, labels
  dbn embed runs/mnist new.csv --out features.parquet      columns row, label, layer3_0, ...
  dbn embed runs/mnist --cases held-out --out features.csv  the same columns as text
  dbn embed runs/mnist mnist/ --layer probabilities --out p.csv  how probable each class is
row is the number of the case in the data, from 0; label is its class, where it has one; name is what an \
alignment calls it (in .parquet and .csv). Neither \
the data nor the features need fit into memory.")]
pub struct Embed {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Data to embed [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases
    #[arg(long, value_enum, default_value = "all", help_heading = "Data")]
    pub cases: Cases,
    /// Which layer: 1 is the lowest, top, all (side by side, but a tensor each in .safetensors), classes for what the
    /// classifier says of each case, probabilities for how probable it finds each class, prediction for a target, or data for
    /// the values themselves with missing ones filled in
    #[arg(long, value_name = "LAYER", default_value = "top")]
    pub layer: String,
    /// File to write: .npy, .safetensors, .parquet or .csv
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

/// What is computed of each case.
enum Feature {
    /// The mean activities of a hidden layer, counted from 0.
    Layer(usize),
    /// What the classifier says.
    Class,
    /// How probable it is in each class.
    Probabilities,
    /// The predicted target.
    Prediction,
    /// The values themselves, those that are missing filled in.
    Data,
}

impl Feature {
    /// Its tensor's name in a file.
    fn name(&self) -> String {
        match self {
            Self::Layer(layer) => format!("layer{}", layer + 1),
            Self::Class => "classes".into(),
            Self::Probabilities => "probability".into(),
            Self::Prediction => "prediction".into(),
            Self::Data => "data".into(),
        }
    }

    /// What the numbers that it has for each case are called.
    fn columns(&self, model: &Model) -> tables::Columns {
        match self {
            Self::Layer(layer) => {
                tables::Columns::Numbered(model.dbn.rbms[*layer].hidden().units().width())
            }
            Self::Class => tables::Columns::Class,
            Self::Prediction => tables::Columns::Numbered(1),
            Self::Data => match &model.columns {
                Some(columns) => tables::Columns::Named(columns.value_names()),
                None => tables::Columns::Numbered(model.dbn.width()),
            },
            Self::Probabilities => {
                let classes = 0..model.classes().unwrap_or(0);
                tables::Columns::Named(classes.map(|class| model.class_name(class)).collect())
            }
        }
    }
}

/// Writes the features of every case to a file.
pub fn run(args: &Embed, bars: &MultiProgress) -> Result<()> {
    tables::check(&args.out, args.force)?;
    let model = inputs::load_model(&args.run, &args.place.find()?)?;
    let wanted = wanted(&args.layer, &model)?;
    let data = args.data.as_deref();
    let (part, rows) =
        inputs::find_numbered(&args.run, &model, data, &args.data_options, Some(args.cases))?;
    let bar = progress::bar(bars, part.len() as u64);
    let blocks = rows::blocks(&part.cases).map(|rows| {
        let features = rows.map_err(Into::into).and_then(|rows| features(&model, &rows, &wanted));
        let features = features.with_context(|| inputs::source(data, &args.run))?;
        bar.inc(features[0].dim(0)? as u64);
        Ok(features)
    });
    let named = wanted.iter().map(|feature| (feature.name(), feature.columns(&model))).collect();
    let table = tables::Table::of(named, &rows, &part, &model);
    let said = tables::write(&args.out, &table, blocks)?;
    bar.finish_and_clear();
    output::line(said)
}

/// The features that `text` means.
fn wanted(text: &str, model: &Model) -> Result<Vec<Feature>> {
    let count = model.dbn.rbms.len();
    match text {
        "all" => Ok((0..count).map(Feature::Layer).collect()),
        "top" => Ok(vec![Feature::Layer(count - 1)]),
        "classes" if model.classes().is_some() => Ok(vec![Feature::Class]),
        "probabilities" if model.classes().is_some() => Ok(vec![Feature::Probabilities]),
        "prediction" if model.regressor.is_some() => Ok(vec![Feature::Prediction]),
        "prediction" => {
            bail!("--layer: expected a model that predicts a target (dbn train --target COLUMN)")
        }
        "data" => Ok(vec![Feature::Data]),
        "classes" | "probabilities" => {
            bail!(
                "--layer: expected a model with a classifier or label units for {text:?}, found none"
            )
        }
        number => match number.parse::<usize>() {
            Ok(number) if (1..=count).contains(&number) => Ok(vec![Feature::Layer(number - 1)]),
            _ => bail!(
                "--layer: expected 1 to {count}, top, all, classes, probabilities, prediction or data, found {text:?}"
            ),
        },
    }
}

/// A matrix with a row a case for each feature, on the CPU.
fn features(model: &Model, rows: &Tensor, wanted: &[Feature]) -> Result<Vec<Tensor>> {
    let rows = model.prepare(rows)?;
    let layers = model.dbn.features(&rows)?;
    let feature = |feature: &Feature| -> Result<Tensor> {
        Ok(match (feature, &model.classifier) {
            (Feature::Layer(layer), _) => layers[*layer].detach().to_device(&Device::Cpu)?,
            (Feature::Class, Some(classifier)) => {
                let classes = classifier.predict(&rows)?;
                Tensor::from_vec(classes, (rows.dim(0)?, 1), &Device::Cpu)?.to_dtype(DType::F32)?
            }
            (Feature::Class, None) => {
                let shares = model.class_probabilities(&rows)?;
                shares.argmax_keepdim(D::Minus1)?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?
            }
            (Feature::Prediction, _) => {
                let values = match &model.regressor {
                    Some(regressor) => regressor.predict(&rows)?,
                    None => bail!("--layer: expected a model that predicts a target"),
                };
                Tensor::from_vec(values, (rows.dim(0)?, 1), &Device::Cpu)?
            }
            (Feature::Data, _) => model.in_data_values(&rows)?,
            (Feature::Probabilities, _) => {
                model.class_probabilities(&rows)?.to_device(&Device::Cpu)?
            }
        })
    };
    wanted.iter().map(feature).collect()
}
