//! What a card says under its title.

use std::fmt::Write;

use candle_dbn_data::Binarise;
use rbm_core::Units;

use super::text::{code, lines_with, list, name};
use super::{BEGINS, Card, END};
use crate::results::{Measured, Number};

/// The generated part, in Markdown.
pub fn of(card: &Card) -> String {
    let parts = [what(card), numbers(card), pictures(card), data(card), recipe(card), usage(card)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn what(card: &Card) -> String {
    let config = &card.config;
    let kind = match config.hidden.len() {
        1 => "A restricted Boltzmann machine",
        _ => "A deep belief network, a stack of restricted Boltzmann machines",
    };
    let mut said = format!("{kind}: `{}`.", config.layers());
    let mut add = |text: String| {
        said.push(' ');
        said.push_str(&text);
    };
    if let Some(labels) = config.labels {
        add(format!(
            "A softmax group of {labels} labels stands beside the top machine's other visible units."
        ));
    }
    if config.untied {
        add("Recognition and generation have weights of their own (up-down).".into());
    }
    if let Some(classes) = config.classes {
        add(format!("On top a classifier of {classes} classes, fine-tuned by backpropagation."));
    }
    if config.autoencoder {
        add("Unrolled into an autoencoder, fine-tuned by backpropagation.".into());
    }
    format!("{said} {} parameters. Made with candle-dbn.", card.parameters)
}

fn numbers(card: &Card) -> String {
    if card.results.measured.is_empty() {
        return "## Numbers\n\nNone were measured (`dbn evaluate` leaves them in a run's folder)."
            .into();
    }
    let mut table =
        "## Numbers\n\n| on | what | value | standard error |\n| --- | --- | --- | --- |"
            .to_owned();
    for Measured { on, numbers, verdict, seed, .. } in &card.results.measured {
        for Number { name: what, value, error, unit } in numbers {
            let error = error.map_or("–".into(), |error| format!("± {}", digits(error)));
            // Writing to a string cannot fail.
            let _ = write!(
                table,
                "\n| {}, {} | {} | {value:.4} {} | {error} |",
                name(&on.data),
                name(&on.part),
                name(what),
                name(unit)
            );
        }
        if let Some(verdict) = verdict {
            let _ = write!(
                table,
                "\n| {}, {} | verdict | {} | seed {seed} |",
                name(&on.data),
                name(&on.part),
                name(verdict)
            );
        }
    }
    let variants = card.results.measured.iter().map(|measured| {
        let on = &measured.on;
        let scale = match on.scale {
            None => "values divided as their source says".into(),
            Some(1.0) => "values as they are".into(),
            Some(scale) => format!("values divided by {scale}"),
        };
        format!(
            "\n- {}, {}: {} cases, {scale}, binarised: {}; seed {}",
            name(&on.data),
            name(&on.part),
            on.cases,
            on.binarise,
            measured.seed
        )
    });
    let mut variants: Vec<String> = variants.collect();
    variants.dedup();
    format!("{table}\n\nData variants:\n{}", variants.concat())
}

fn pictures(card: &Card) -> String {
    if card.pictures.is_empty() {
        return String::new();
    }
    let shown = card.pictures.iter().map(|file| {
        let title = file.trim_end_matches(".png");
        format!("![{title}]({file})")
    });
    format!("## Pictures\n\n{}", shown.collect::<Vec<_>>().join("\n"))
}

fn data(card: &Card) -> String {
    let config = &card.config;
    let mut said = format!("## Input\n\n{} values a case", config.visible.size());
    if let Some((height, width)) = config.image {
        let _ = write!(said, " (pictures of {width} x {height})");
    }
    if let Some(done) = &config.preprocessing {
        let _ = write!(said, ", divided by {}", done.scale);
        if done.binarise != Binarise::None {
            let _ = write!(said, ", made zeros and ones ({})", done.binarise);
        }
        if let Some(states) = done.one_hot {
            let _ = write!(said, ", each code as {states} zeros and ones");
        }
    }
    if config.standardise {
        said.push_str("; mean and deviation are taken out by the model itself");
    }
    if config.visible.range() == (0.0, 1.0) {
        said.push_str("; between 0 and 1 when they reach the network");
    }
    said.push('.');
    if let Some(columns) = &config.columns {
        let _ = write!(
            said,
            "\n\nColumns of a table, by name or in this order: {}.",
            list(&columns.description())
        );
    }
    if let Some(names) = &config.class_names {
        let names: Vec<_> = names.iter().map(|class| name(class)).collect();
        let _ = write!(said, "\n\nClasses, in this order: {}.", names.join(", "));
    }
    if let Some(target) = &config.target {
        let _ = write!(said, "\n\nIt predicts {}.", name(&target.name));
    }
    said
}

fn recipe(card: &Card) -> String {
    let Some(toml) = card.recipe.as_ref().and_then(|recipe| recipe.to_toml().ok()) else {
        return String::new();
    };
    let said = "## Recipe\n\n`dbn train DATA --recipe recipe.toml` learns it again.";
    // In a block of code nothing can be escaped.
    if [BEGINS, END].iter().any(|mark| !lines_with(&toml, mark).is_empty()) {
        return format!("{said} It holds a comment of a card, so it is not shown here.");
    }
    let block = code("toml", &toml);
    format!("{said}\n\n<details><summary>recipe.toml</summary>\n\n{block}\n\n</details>")
}

fn usage(card: &Card) -> String {
    let repository = &card.repository;
    let shell = format!(
        "```sh\ndbn embed {repository} DATA --out features.npy\ndbn sample {repository} --out samples\n```"
    );
    let rust = format!(
        "```rust\nuse candle_nn::Module;\nlet model = dbn::Model::from_hub({repository:?}, &candle_core::Device::Cpu)?;\nlet features = model.forward(&cases)?;  // numbers as a file has them: model.encode(&numbers)? first\n```"
    );
    let is_plain = card.config.hidden.iter().all(|units| matches!(units, Units::Bernoulli { .. }));
    let is_plain = is_plain && plain_layers(card) > 0;
    let python = match is_plain && !card.config.standardise {
        true => format!(
            "\n\nFrom PyTorch, with nothing but `safetensors`, the features of layer {}:\n\n```python\nimport torch\nfrom huggingface_hub import hf_hub_download\nfrom safetensors.torch import load_file\n\nw = load_file(hf_hub_download({repository:?}, \"model.safetensors\"))\n\ndef features(x):  # (cases, {})\n    for i in range({}):\n        x = torch.sigmoid(torch.nn.functional.linear(x, w[f\"rbms.{{i}}.weight\"], w[f\"rbms.{{i}}.hidden_bias\"]))\n    return x\n```",
            plain_layers(card),
            card.config.visible.size(),
            plain_layers(card),
        ),
        false => String::new(),
    };
    format!("## Use\n\nFrom the shell:\n\n{shell}\n\nFrom Rust:\n\n{rust}{python}")
}

/// An error in a few digits, however small.
fn digits(error: f64) -> String {
    if error >= 0.001 { format!("{error:.3}") } else { format!("{error:.1e}") }
}

/// The layers that are plain all the way up: the top machine of a network with labels sees more than the layer below.
fn plain_layers(card: &Card) -> usize {
    card.config.hidden.len() - usize::from(card.config.labels.is_some())
}
