//! `dbn inspect`

use std::path::PathBuf;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use crate::{inputs, output};

/// Show what a run holds: architecture, parameters, weights
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  dbn inspect runs/mnist")]
pub struct Inspect {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// One tensor of the model.
#[derive(Serialize)]
struct TensorEntry {
    name: String,
    shape: Vec<usize>,
    parameters: usize,
    mean: f32,
    deviation: f32,
    least: f32,
    greatest: f32,
}

#[derive(Serialize)]
struct Contents {
    config: candle_dbn::Config,
    parameters: usize,
    tensors: Vec<TensorEntry>,
}

/// Prints a table of the model's tensors, or one JSON object.
pub fn run(args: &Inspect) -> Result<()> {
    let model = inputs::load_model(&args.run, &Device::Cpu)?;
    let entries = model.tensors()?.into_iter().map(|(name, tensor)| entry(name, &tensor));
    let tensors = entries.collect::<Result<Vec<_>>>()?;
    let parameters = tensors.iter().map(|entry| entry.parameters).sum();
    let report = Contents { config: model.config(), parameters, tensors };
    if args.json {
        output::json(&report)?;
        return Ok(());
    }
    output::line(format!("network {}", report.config.layers()))?;
    if let Some(classes) = report.config.classes {
        output::line(format!("classifier of {classes} classes"))?;
    }
    if let Some((height, width)) = report.config.image {
        output::line(format!("pictures of {width} x {height} pixels"))?;
    }
    output::line(format!("parameters {}", output::grouped(report.parameters as u64)))?;
    let rows = report.tensors.iter().map(|entry| {
        let shape: Vec<_> = entry.shape.iter().map(ToString::to_string).collect();
        let numbers = [entry.mean, entry.deviation, entry.least, entry.greatest];
        let numbers = numbers.iter().map(|number| format!("{number:.4}"));
        [entry.name.clone(), shape.join(" x "), output::grouped(entry.parameters as u64)]
            .into_iter()
            .chain(numbers)
            .collect()
    });
    output::line(output::table(
        &["tensor", "shape", "parameters", "mean", "deviation", "least", "greatest"],
        rows.collect(),
    ))?;
    Ok(())
}

fn entry(name: String, tensor: &Tensor) -> Result<TensorEntry> {
    let flat = tensor.flatten_all()?.to_dtype(DType::F32)?;
    let mean = flat.mean_all()?.to_scalar::<f32>()?;
    let variance = (&flat - f64::from(mean))?.sqr()?.mean_all()?.to_scalar::<f32>()?;
    Ok(TensorEntry {
        name,
        shape: tensor.dims().to_vec(),
        parameters: tensor.elem_count(),
        mean,
        deviation: variance.sqrt(),
        least: flat.min_all()?.to_scalar()?,
        greatest: flat.max_all()?.to_scalar()?,
    })
}
