//! `dbn embed`

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use dbn::{Model, Part};
use rbm_core::checkpoint::{write_whole, write_whole_by};
use rbm_core::data;

use crate::args::Embed;
use crate::{cases, device, npy, output};

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

    /// How many numbers it has for each case.
    fn width(&self, model: &Model) -> usize {
        match self {
            Self::Layer(layer) => model.dbn.rbms[*layer].hidden().units().size(),
            Self::Class => 1,
        }
    }
}

/// Writes the features of every case to a file.
pub fn run(args: &Embed) -> Result<()> {
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
    let part = cases::find(&args.run, &model, data, &args.data_options, Some(args.cases))?;
    let bar = indicatif::ProgressBar::new(part.len() as u64);
    let blocks = data::blocks(&part.cases).map(|rows| {
        let features = rows.map_err(Into::into).and_then(|rows| features(&model, &rows, &wanted));
        let features = features.with_context(|| cases::source(data, &args.run))?;
        bar.inc(features[0].dim(0)? as u64);
        Ok(features)
    });
    let widths: Vec<_> = wanted.iter().map(|feature| feature.width(&model)).collect();
    if is_npy {
        write_npy(&args.out, (part.len(), widths.iter().sum()), blocks)?;
    } else {
        write_safetensors(&args.out, &wanted, blocks, &part)?;
    }
    bar.finish_and_clear();
    let widths: Vec<_> = widths.iter().map(usize::to_string).collect();
    let cases = output::grouped(part.len() as u64);
    output::line(format!("{out}: {cases} cases x {} features", widths.join(" + ")))?;
    Ok(())
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
            (Feature::Class, None) => bail!("the model has no classifier"),
        })
    };
    wanted.iter().map(feature).collect()
}

/// All features side by side. A block is written while the next one is computed.
fn write_npy(
    path: &Path,
    shape: (usize, usize),
    blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
) -> Result<()> {
    write_whole_by(path, |file| {
        std::thread::scope(|scope| {
            let (send, received) = mpsc::sync_channel(2);
            let writer = scope.spawn(move || {
                npy::write(BufWriter::with_capacity(1 << 20, file), shape, received)
            });
            for block in blocks {
                // The channel is closed where writing has failed, and then the writer says why.
                if send.send(Tensor::cat(&block?, 1)?).is_err() {
                    break;
                }
            }
            drop(send);
            let written = writer.join();
            let written = written.unwrap_or_else(|_| bail!("the thread that writes has panicked"));
            written.with_context(|| path.display().to_string())
        })
    })
}

/// A tensor for each feature, and the labels as 64-bit integers, which every reader of the format knows.
fn write_safetensors(
    path: &Path,
    wanted: &[Feature],
    blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
    part: &Part,
) -> Result<()> {
    let blocks = blocks.collect::<Result<Vec<_>>>()?;
    let mut tensors = BTreeMap::new();
    for (i, feature) in wanted.iter().enumerate() {
        let column: Vec<_> = blocks.iter().map(|features| &features[i]).collect();
        tensors.insert(feature.name(), Tensor::cat(&column, 0)?);
    }
    if let Some(labels) = &part.labels {
        let labels = labels.iter().map(|&label| i64::from(label));
        tensors.insert("labels".into(), Tensor::from_iter(labels, &Device::Cpu)?);
    }
    Ok(write_whole(path, &safetensors::serialize(&tensors, None).context("features")?)?)
}
