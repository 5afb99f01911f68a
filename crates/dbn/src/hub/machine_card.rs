//! What a model card says of a Boltzmann machine.

use std::fmt::Write;

use crate::store::machine::MachineConfig;

/// Its first words.
pub fn what(config: &MachineConfig) -> String {
    let hidden: Vec<String> = config.hidden.iter().map(|units| format!("`{units}`")).collect();
    let hidden = match &hidden[..] {
        [] => "no hidden units".to_owned(),
        [one] => format!("hidden units {one}, each coupled with every visible one"),
        layers => format!("hidden layers {}, each coupled with its neighbours", layers.join(", ")),
    };
    let within = match (config.couples_visible, config.couples_hidden) {
        (true, true) => "Units of both layers are coupled with each other.",
        (true, false) => "Visible units are coupled with each other.",
        (false, true) => "Hidden units are coupled with each other.",
        (false, false) => "There are no couplings within a layer.",
    };
    format!(
        "A Boltzmann machine: visible units `{}`, {hidden}. {within} {} parameters. Made with candle-dbn.",
        config.visible, config.parameters
    )
}

/// What cases it takes.
pub fn data(config: &MachineConfig) -> String {
    let mut said = format!("## Input\n\n{} values a case", config.visible.width());
    if let Some((height, width)) = config.image {
        // Writing to a string cannot fail.
        let _ = write!(said, " (pictures of {width} x {height})");
    }
    if config.visible.range() == (0.0, 1.0) {
        said.push_str("; values above 0.5 are taken as 1, the others as 0");
    }
    said.push('.');
    said
}

/// How to use it.
pub fn usage(repository: &str) -> String {
    format!(
        "## Use\n\nFrom the shell:\n\n```sh\ndbn sample {repository} --out samples\ndbn score {repository} DATA\ndbn evaluate {repository} DATA --likelihood --both\n```\n\nIn `machine.safetensors` are `layers.0.bias` of the visible and `layers.1.bias` of the hidden units, and `couplings.0.weight` and so on: \
         between the layers (visible, hidden), within one symmetric with zeros on the diagonal. E(x) = −Σ b·x − Σ w·x·x', each pair once."
    )
}
