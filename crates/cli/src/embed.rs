//! `dbn embed`

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use dbn::{Model, Part};
use rbm_core::checkpoint::write_whole;
use rbm_core::data;

use crate::args::Embed;
use crate::{device, evaluate, output, sample};

/// Writes the features of every case to a file.
pub fn run(args: &Embed) -> Result<ExitCode> {
    let kind = args.out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_owned();
    if !["npy", "safetensors"].contains(&kind.as_str()) {
        bail!(
            "--out: expected a name ending in .npy or .safetensors, found {}",
            args.out.display()
        );
    }
    let model = Model::load(&args.run, &device::find(&args.place.device)?)?;
    let layers = layers(&args.layer, model.dbn.rbms.len())?;
    let part = evaluate::cases(
        &args.run,
        &model,
        args.data.as_deref(),
        &args.data_options,
        Some(args.cases),
    )?;
    let features = features(&model, &part, &layers)
        .with_context(|| evaluate::source(args.data.as_deref(), &args.run))?;
    let bytes = if kind == "npy" {
        sample::npy(&Tensor::cat(&features, 1)?)?
    } else {
        let names = layers.iter().map(|layer| format!("layer{}", layer + 1));
        let mut tensors: BTreeMap<String, Tensor> = names.zip(features.iter().cloned()).collect();
        if let Some(labels) = &part.labels {
            tensors.insert("labels".into(), Tensor::new(&labels[..], &Device::Cpu)?);
        }
        safetensors::serialize(&tensors, None).context("features")?
    };
    write_whole(&args.out, &bytes)?;
    let widths: Vec<_> =
        features.iter().map(|f| Ok(f.dim(1)?.to_string())).collect::<Result<_>>()?;
    let cases = output::grouped(part.len() as u64);
    output::line(format!(
        "{}: {cases} cases x {} features",
        args.out.display(),
        widths.join(" + ")
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The layers that `text` means, counted from 0.
fn layers(text: &str, count: usize) -> Result<Vec<usize>> {
    match text {
        "all" => Ok((0..count).collect()),
        "top" => Ok(vec![count - 1]),
        number => match number.parse::<usize>() {
            Ok(number) if (1..=count).contains(&number) => Ok(vec![number - 1]),
            _ => bail!("--layer: expected 1 to {count}, top or all, found {text:?}"),
        },
    }
}

fn features(model: &Model, part: &Part, layers: &[usize]) -> Result<Vec<Tensor>> {
    let bar = indicatif::ProgressBar::new(part.len() as u64);
    let mut blocks: Vec<Vec<Tensor>> = vec![Vec::new(); layers.len()];
    for rows in data::blocks(&part.cases) {
        let rows = rows?;
        let all = model.dbn.features(&model.prepare(&rows)?)?;
        for (blocks, &layer) in blocks.iter_mut().zip(layers) {
            blocks.push(all[layer].detach().to_device(&Device::Cpu)?);
        }
        bar.inc(rows.dim(0)? as u64);
    }
    bar.finish_and_clear();
    blocks.iter().map(|blocks| Ok(Tensor::cat(blocks, 0)?)).collect()
}
