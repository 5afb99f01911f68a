//! `dbn embed`

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use dbn::{Model, Part};
use rbm_core::checkpoint::write_whole;
use rbm_core::data;

use crate::args::Embed;
use crate::{device, evaluate, npy, output};

/// What is computed of each case.
enum Feature {
    /// The mean activities of a hidden layer, counted from 0.
    Layer(usize),
    /// What the classifier says.
    Class,
}

impl Feature {
    /// Its tensor's name in a file.
    fn name(&self) -> String {
        match self {
            Self::Layer(layer) => format!("layer{}", layer + 1),
            Self::Class => "classes".into(),
        }
    }
}

/// Writes the features of every case to a file.
pub fn run(args: &Embed) -> Result<ExitCode> {
    let out = args.out.display();
    let is_npy = match args.out.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => true,
        Some("safetensors") => false,
        _ => bail!("--out: expected a name ending in .npy or .safetensors, found {out}"),
    };
    ensure!(args.force || !args.out.exists(), "{out}: exists already (--force replaces it)");
    let model = Model::load(&args.run, &device::find(&args.place.device)?)?;
    let wanted = wanted(&args.layer, &model)?;
    let data = args.data.as_deref();
    let part = evaluate::cases(&args.run, &model, data, &args.data_options, Some(args.cases))?;
    let features =
        compute(&model, &part, &wanted).with_context(|| evaluate::source(data, &args.run))?;
    if is_npy {
        write_whole(&args.out, &npy::bytes(&Tensor::cat(&features, 1)?)?)?;
    } else {
        write_safetensors(&args.out, &wanted, &features, &part)?;
    }
    let widths: Vec<_> =
        features.iter().map(|f| Ok(f.dim(1)?.to_string())).collect::<Result<_>>()?;
    let cases = output::grouped(part.len() as u64);
    output::line(format!("{out}: {cases} cases x {} features", widths.join(" + ")))?;
    Ok(ExitCode::SUCCESS)
}

/// The features that `text` means.
fn wanted(text: &str, model: &Model) -> Result<Vec<Feature>> {
    let count = model.dbn.rbms.len();
    match text {
        "all" => Ok((0..count).map(Feature::Layer).collect()),
        "top" => Ok(vec![Feature::Layer(count - 1)]),
        "classes" if model.classifier.is_some() => Ok(vec![Feature::Class]),
        "classes" => {
            bail!("--layer: expected a model with a classifier for \"classes\", found none")
        }
        number => match number.parse::<usize>() {
            Ok(number) if (1..=count).contains(&number) => Ok(vec![Feature::Layer(number - 1)]),
            _ => bail!("--layer: expected 1 to {count}, top, all or classes, found {text:?}"),
        },
    }
}

/// A matrix with a row a case for each feature, on the CPU.
fn compute(model: &Model, part: &Part, wanted: &[Feature]) -> Result<Vec<Tensor>> {
    let bar = indicatif::ProgressBar::new(part.len() as u64);
    let mut blocks: Vec<Vec<Tensor>> = vec![Vec::new(); wanted.len()];
    for rows in data::blocks(&part.cases) {
        let rows = model.prepare(&rows?)?;
        let layers = model.dbn.features(&rows)?;
        for (blocks, feature) in blocks.iter_mut().zip(wanted) {
            blocks.push(match (feature, &model.classifier) {
                (Feature::Layer(layer), _) => layers[*layer].detach().to_device(&Device::Cpu)?,
                (Feature::Class, Some(classifier)) => {
                    let classes = classifier.predict(&rows)?;
                    Tensor::from_vec(classes, (rows.dim(0)?, 1), &Device::Cpu)?
                        .to_dtype(DType::F32)?
                }
                (Feature::Class, None) => bail!("the model has no classifier"),
            });
        }
        bar.inc(rows.dim(0)? as u64);
    }
    bar.finish_and_clear();
    blocks.iter().map(|blocks| Ok(Tensor::cat(blocks, 0)?)).collect()
}

/// A tensor for each feature, and the labels as 64-bit integers, which every reader of the format knows.
fn write_safetensors(
    path: &Path,
    wanted: &[Feature],
    features: &[Tensor],
    part: &Part,
) -> Result<()> {
    let names = wanted.iter().map(Feature::name);
    let mut tensors: BTreeMap<String, Tensor> = names.zip(features.iter().cloned()).collect();
    if let Some(labels) = &part.labels {
        let labels = labels.iter().map(|&label| i64::from(label));
        tensors.insert("labels".into(), Tensor::from_iter(labels, &Device::Cpu)?);
    }
    Ok(write_whole(path, &safetensors::serialize(&tensors, None).context("features")?)?)
}
