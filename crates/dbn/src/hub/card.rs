//! A model card, which the Hub shows of a model. It is generated from the run, and people may write beside it.
//!
//! The generated part stands between two comments, and is renewed by every push; so are keys of the front matter that are not
//! there yet, and `model-index`. Everything else in an existing card stays to the byte.

use std::fmt::Write;

use candle_boltzmann::belief::learning::BeliefMethod;
use candle_dbn_data::Binarise;
use rbm_core::{Error, Result, Units, printable_up_to};

use crate::network::Config;
use crate::recipe::{BeliefRecipe, MachineData, MachineRecipe};
use crate::store::belief::BeliefConfig;
use crate::store::machine::MachineConfig;
use crate::store::results::{Measurement, MeasurementKind, MeasurementSet, Results};

const BEGIN: &str = "<!-- candle-dbn: from here to its end written by `dbn push`; your own words go above or below -->";
/// What tells that line from others, whatever else a later version says in it.
const BEGINS: &str = "<!-- candle-dbn:";
const END: &str = "<!-- end of what `dbn push` writes -->";

/// What there is to say of a model.
#[derive(Debug, Clone)]
pub struct Card {
    /// `user/name`.
    pub repository: String,
    /// What the model is.
    pub model: CardModel,
    /// The recipe by which it was learned, as TOML, where that is known.
    pub recipe: Option<String>,
    /// What was measured of it.
    pub results: Results,
    /// The names of its pictures.
    pub pictures: Vec<String>,
}

/// What a card is about.
#[derive(Debug, Clone)]
pub enum CardModel {
    /// A network, and how many numbers it has learned.
    Network {
        /// What it is.
        config: Box<Config>,
        /// How many numbers were learned.
        parameters: usize,
    },
    /// A Boltzmann machine.
    Machine(Box<MachineConfig>),
    /// A belief net.
    Belief(Box<BeliefConfig>),
}

impl Card {
    /// The card, over an existing one if there is one: what was written by hand in that stays.
    ///
    /// # Errors
    ///
    /// Where one end of the generated part is missing there.
    pub fn over(&self, existing: Option<&str>) -> Result<String> {
        let (matter, text) = existing.map_or((None, ""), split);
        let generated = format!("{BEGIN}\n{}\n{END}\n", body(self).trim_end());
        let text = match between(text)? {
            Some((before, after)) => format!("{before}{generated}{after}"),
            None if text.trim().is_empty() => {
                format!("\n# {}\n\n{generated}", self.repository)
            }
            None => format!("{}\n\n{generated}", text.trim_end()),
        };
        Ok(format!("---\n{}---\n{text}", front_matter(self, matter)))
    }
}

/// What stands before and after the generated part, if there is one. Its two comments stand at the beginning of a line: what a
/// line says of them is text.
fn between(text: &str) -> Result<Option<(&str, &str)>> {
    match (&lines_with(text, BEGINS)[..], &lines_with(text, END)[..]) {
        ([], []) => Ok(None),
        ([begin], [end]) if begin < end => {
            let after = &text[end + END.len()..];
            Ok(Some((&text[..*begin], after.strip_prefix('\n').unwrap_or(after))))
        }
        _ => {
            let expected = format!("`{BEGINS} …` before `{END}`, once, or neither of them");
            let found = "one without the other (put it back, or take out what lies between)";
            Err(Error::invalid("the card on the Hub", expected, found))
        }
    }
}

/// The key that is written anew every time.
const NUMBERS: &str = "model-index";

/// A card's front matter, if it has one, and what follows.
pub fn split(card: &str) -> (Option<&str>, &str) {
    let whole = (None, card);
    // Before it there may be nothing that is seen.
    let card = card.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    let Some(rest) = card.strip_prefix("---\n").or_else(|| card.strip_prefix("---\r\n")) else {
        return whole;
    };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return (Some(&rest[..at]), &rest[at + line.len()..]);
        }
        at += line.len();
    }
    whole
}

/// The front matter: what `existing` has, the keys that it lacks, and the numbers that there are now.
fn front_matter(card: &Card, existing: Option<&str>) -> String {
    let mut blocks: Vec<String> = blocks(existing.unwrap_or_default());
    if card.results.measured.is_empty() {
        for known in blocks.iter_mut().filter(|known| key_of(known) == Some(NUMBERS)) {
            *known = remarks(known).to_owned();
        }
    }
    for (key, block) in ours(card) {
        let known = blocks.iter_mut().find(|known| key_of(known) == Some(key));
        match known {
            Some(known) if key == NUMBERS => *known = block + remarks(known),
            Some(_) => {}
            None => blocks.push(block),
        }
    }
    blocks.concat()
}

/// A block for each key; comments and blank lines belong to what stands above them.
fn blocks(matter: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in matter.split_inclusive('\n') {
        let line = if line.ends_with('\n') { line.to_owned() } else { format!("{line}\n") };
        match blocks.last_mut() {
            Some(last) if key_of(&line).is_none() => last.push_str(&line),
            _ => blocks.push(line),
        }
    }
    blocks
}

/// The comments and blank lines at the end of a block: they are somebody's, whatever becomes of it.
fn remarks(block: &str) -> &str {
    let mut at = block.len();
    for line in block.split_inclusive('\n').collect::<Vec<_>>().into_iter().rev() {
        if !line.trim().is_empty() && !line.starts_with('#') {
            break;
        }
        at -= line.len();
    }
    &block[at..]
}

fn key_of(block: &str) -> Option<&str> {
    let first = block.chars().next()?;
    let is_key = first.is_ascii_alphanumeric() || "_\"'".contains(first);
    is_key.then(|| block.split(':').next().unwrap_or_default().trim_matches(['"', '\'']))
}

fn ours(card: &Card) -> Vec<(&'static str, String)> {
    let is_of_classes = match &card.model {
        CardModel::Network { config, .. } => {
            (config.classes.is_some() || config.labels.is_some()) && config.image.is_some()
        }
        CardModel::Machine(_) | CardModel::Belief(_) => false,
    };
    let purpose = if is_of_classes { "image-classification" } else { "feature-extraction" };
    let tags = match &card.model {
        CardModel::Network { .. } => {
            "- deep-belief-network\n- restricted-boltzmann-machine\n- rbm\n"
        }
        CardModel::Machine(_) => "- boltzmann-machine\n",
        CardModel::Belief(_) => "- belief-network\n- helmholtz-machine\n- wake-sleep\n",
    };
    let mut blocks = vec![
        ("library_name", "library_name: candle-dbn\n".to_owned()),
        ("pipeline_tag", format!("pipeline_tag: {purpose}\n")),
        ("tags", format!("tags:\n- candle\n{tags}")),
    ];
    let results = card.results.measured.iter().map(|measured| result(measured, purpose));
    let results: Vec<String> = results.collect();
    if !results.is_empty() {
        let name = quoted(&card.repository);
        let results = results.concat();
        blocks.push((NUMBERS, format!("{NUMBERS}:\n- name: {name}\n  results:\n{results}")));
    }
    blocks
}

/// Numbers on the same data, as the Hub's index wants them.
fn result(measured: &MeasurementSet, purpose: &str) -> String {
    let on = &measured.dataset;
    let task =
        if measured.kind == MeasurementKind::Likelihood { "density-estimation" } else { purpose };
    let data = format!("{}, {} cases, binarise {}", on.part, on.cases, on.binarise);
    let mut yaml = format!(
        "  - task:\n      type: {task}\n    dataset:\n      name: {}\n      type: {}\n      config: {}\n    metrics:\n",
        quoted(&on.data),
        quoted(&on.data),
        quoted(&data),
    );
    for Measurement { name, value, error, unit } in &measured.numbers {
        let error = error.map_or(String::new(), |error| format!(" ± {error:.3}"));
        // Writing to a string cannot fail.
        let _ = write!(
            yaml,
            "    - type: {}\n      value: {value}\n      name: {}\n",
            quoted(&name.replace([' ', ','], "_").to_lowercase()),
            quoted(&format!("{name}, {unit}{error}")),
        );
    }
    yaml
}

/// The generated part, in Markdown.
fn body(card: &Card) -> String {
    let [what, data, usage] = match &card.model {
        CardModel::Network { config, parameters } => {
            [what(config, *parameters), data(config), usage(&card.repository, config)]
        }
        CardModel::Machine(config) => {
            let recipe = card.recipe.as_deref().and_then(|text| MachineRecipe::parse(text).ok());
            let data = recipe.map(|recipe| recipe.data);
            [
                what_machine(config),
                data_of_machine(&config.visible, config.image, data.as_ref()),
                usage_of_machine(&card.repository),
            ]
        }
        CardModel::Belief(config) => {
            let recipe = card.recipe.as_deref().and_then(|text| BeliefRecipe::parse(text).ok());
            [
                what_belief(config, recipe.as_ref()),
                data_of_machine(
                    &config.observed(),
                    config.image,
                    recipe.as_ref().map(|recipe| &recipe.data),
                ),
                usage_of_belief(&card.repository),
            ]
        }
    };
    let parts = [what, numbers(card), pictures(card), data, recipe(card), usage];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn what(config: &Config, parameters: usize) -> String {
    let kind = match config.hidden.len() {
        1 => "A restricted Boltzmann machine",
        _ => "A deep belief network, a stack of restricted Boltzmann machines",
    };
    let mut text = format!("{kind}: `{}`.", config.layers());
    let mut add = |sentence: String| {
        text.push(' ');
        text.push_str(&sentence);
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
    format!("{text} {parameters} parameters. Made with candle-dbn.")
}

fn numbers(card: &Card) -> String {
    if card.results.measured.is_empty() {
        return "## Numbers\n\nNone were measured (`dbn evaluate` leaves them in a run's folder)."
            .into();
    }
    let mut table =
        "## Numbers\n\n| on | what | value | standard error |\n| --- | --- | --- | --- |"
            .to_owned();
    for MeasurementSet { dataset: on, numbers, verdict, seed, .. } in &card.results.measured {
        for Measurement { name: what, value, error, unit } in numbers {
            let error = error.map_or("–".into(), |error| format!("± {}", digits(error)));
            // Writing to a string cannot fail.
            let _ = write!(
                table,
                "\n| {}, {} | {} | {value:.4} {} | {error} |",
                name(&on.data),
                name(&on.part.to_string()),
                name(what),
                name(&unit.to_string())
            );
        }
        if let Some(verdict) = verdict {
            let _ = write!(
                table,
                "\n| {}, {} | verdict | {} | seed {seed} |",
                name(&on.data),
                name(&on.part.to_string()),
                name(&verdict.to_string())
            );
        }
    }
    let variants = card.results.measured.iter().map(|measured| {
        let on = &measured.dataset;
        let scale = match on.scale {
            None => "values divided as their source says".into(),
            Some(1.0) => "values as they are".into(),
            Some(scale) => format!("values divided by {scale}"),
        };
        format!(
            "\n- {}, {}: {} cases, {scale}, binarised: {}; seed {}",
            name(&on.data),
            name(&on.part.to_string()),
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

/// How many values a case has, and how its picture lies in them.
fn shape(visible: &Units, image: Option<(usize, usize)>) -> String {
    let mut text = format!("## Input\n\n{} values a case", visible.width());
    if let Some((height, width)) = image {
        // Writing to a string cannot fail.
        let _ = write!(text, " (pictures of {width} x {height})");
    }
    text
}

fn data(config: &Config) -> String {
    let mut text = shape(&config.visible, config.image);
    if let Some(done) = &config.preprocessing {
        let _ = write!(text, ", divided by {}", done.scale);
        if done.binarise != Binarise::None {
            let _ = write!(text, ", made zeros and ones ({})", done.binarise);
        }
        if let Some(states) = done.one_hot {
            let _ = write!(text, ", each code as {states} zeros and ones");
        }
    }
    if config.standardise {
        text.push_str("; mean and deviation are taken out by the model itself");
    }
    if config.visible.range() == (0.0, 1.0) {
        text.push_str("; between 0 and 1 when they reach the network");
    }
    text.push('.');
    if let Some(columns) = &config.columns {
        let _ = write!(
            text,
            "\n\nColumns of a table, by name or in this order: {}.",
            list(&columns.description())
        );
    }
    if let Some(names) = &config.class_names {
        let names: Vec<_> = names.iter().map(|class| name(class)).collect();
        let _ = write!(text, "\n\nClasses, in this order: {}.", names.join(", "));
    }
    if let Some(target) = &config.target {
        let _ = write!(text, "\n\nIt predicts {}.", name(&target.name));
    }
    text
}

/// The first words about a Boltzmann machine.
fn what_machine(config: &MachineConfig) -> String {
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

/// The first words about a belief net: its layers, and how it learned where that is known.
fn what_belief(config: &BeliefConfig, recipe: Option<&BeliefRecipe>) -> String {
    let learned = recipe.map_or(String::new(), |recipe| {
        let learning = recipe.learning.resolve();
        let method = match learning.method {
            BeliefMethod::WakeSleep => "wake-sleep",
            BeliefMethod::Reweighted => "reweighted wake-sleep",
        };
        let guesses = if learning.samples == 1 { "guess" } else { "guesses" };
        format!(" Learned by {method}, {} {guesses} a case.", learning.samples)
    });
    format!(
        "A sigmoid belief net: layers of `{}` Bernoulli units, each the cause of the one before it. The first is observed. A second net, the recognition, guesses the causes from below.{learned} {} parameters. Made with candle-dbn.",
        config.layers(),
        config.parameters
    )
}

/// What cases a Boltzmann machine or a belief net takes, with these visible units; `data` are those that it learned from, where they are known.
fn data_of_machine(
    visible: &Units,
    image: Option<(usize, usize)>,
    data: Option<&MachineData>,
) -> String {
    let mut text = shape(visible, image);
    let is_drawn = data.is_some_and(|data| !data.0.pass.is_mean());
    match visible.range() == (0.0, 1.0) {
        true if is_drawn => text.push_str(
            "; it learned from zeros and ones drawn anew at every turn, 1 with the value as probability, and cases are drawn once (`--binarise sample:0`)",
        ),
        true => text.push_str("; values above 0.5 are taken as 1, the others as 0"),
        false => {}
    }
    text.push('.');
    text
}

/// How to use a Boltzmann machine.
fn usage_of_machine(repository: &str) -> String {
    let shell = shell(
        repository,
        &["sample RUN --out samples", "score RUN DATA", "evaluate RUN DATA --likelihood --both"],
    );
    format!(
        "{shell}\n\nIn `machine.safetensors` are `layers.0.bias` of the visible and `layers.1.bias` of the hidden units, and `couplings.0.weight` and so on: \
         between the layers (visible, hidden), within one symmetric with zeros on the diagonal. E(x) = −Σ b·x − Σ w·x·x', each pair once."
    )
}

/// How to use a belief net.
fn usage_of_belief(repository: &str) -> String {
    let shell = shell(
        repository,
        &[
            "sample RUN --out samples",
            "score RUN DATA",
            "embed RUN DATA --out features.npy",
            "evaluate RUN DATA --likelihood",
        ],
    );
    format!(
        "{shell}\n\nIn `belief.safetensors` are `layers.0.weight` (above, below) and `layers.0.bias`, by which layer 1 causes the observed layer 0, and so on up to `top.bias`: \
         p(unit = 1 | x above) = sigmoid(x·w + b). `recognition.0.weight` (below, above) and `recognition.0.bias` guess layer 1 from layer 0, and so on."
    )
}

/// Lines of the shell, in which `RUN` is the repository.
fn shell(repository: &str, commands: &[&str]) -> String {
    let lines = commands.iter().map(|line| format!("dbn {}", line.replace("RUN", repository)));
    format!("## Use\n\nFrom the shell:\n\n```sh\n{}\n```", lines.collect::<Vec<_>>().join("\n"))
}

fn recipe(card: &Card) -> String {
    let Some(toml) = &card.recipe else { return String::new() };
    let heading = "## Recipe\n\n`dbn train DATA --recipe recipe.toml` learns it again.";
    // In a block of code nothing can be escaped.
    if [BEGINS, END].iter().any(|mark| !lines_with(toml, mark).is_empty()) {
        return format!("{heading} It holds a comment of a card, so it is not shown here.");
    }
    let block = code("toml", toml);
    format!("{heading}\n\n<details><summary>recipe.toml</summary>\n\n{block}\n\n</details>")
}

fn usage(repository: &str, config: &Config) -> String {
    let shell =
        shell(repository, &["embed RUN DATA --out features.npy", "sample RUN --out samples"]);
    let rust = format!(
        "```rust\nuse candle_nn::Module;\nlet model = candle_dbn::Model::from_hub({repository:?}, &candle_core::Device::Cpu)?;\nlet features = model.forward(&cases)?;  // numbers as a file has them: model.encode(&numbers)? first\n```"
    );
    let is_plain = config.hidden.iter().all(|units| matches!(units, Units::Bernoulli { .. }));
    let is_plain = is_plain && plain_layers(config) > 0;
    let python = match is_plain && !config.standardise {
        true => format!(
            "\n\nFrom PyTorch, with nothing but `safetensors`, the features of layer {}:\n\n```python\nimport torch\nfrom huggingface_hub import hf_hub_download\nfrom safetensors.torch import load_file\n\nw = load_file(hf_hub_download({repository:?}, \"model.safetensors\"))\n\ndef features(x):  # (cases, {})\n    for i in range({}):\n        x = torch.sigmoid(torch.nn.functional.linear(x, w[f\"rbms.{{i}}.weight\"], w[f\"rbms.{{i}}.hidden_bias\"]))\n    return x\n```",
            plain_layers(config),
            config.visible.width(),
            plain_layers(config),
        ),
        false => String::new(),
    };
    format!("{shell}\n\nFrom Rust:\n\n{rust}{python}")
}

/// An error in a few digits, however small.
fn digits(error: f64) -> String {
    if error >= 0.001 { format!("{error:.3}") } else { format!("{error:.1e}") }
}

/// The layers that are plain all the way up: the top machine of a network with labels sees more than the layer below.
fn plain_layers(config: &Config) -> usize {
    config.hidden.len() - usize::from(config.labels.is_some())
}

/// The most characters of a name.
const NAME: usize = 500;
/// The most characters of a list of names.
const LIST: usize = 20_000;

/// A name as a line of Markdown shows it: no mark-up, no HTML, no link, in one line.
pub fn name(text: &str) -> String {
    escaped(&printable_up_to(text, NAME))
}

/// [`name`] of what may be long.
pub fn list(text: &str) -> String {
    escaped(&printable_up_to(text, LIST))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            // HTML's own escapes, so that no comment of a text looks like one of ours either.
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '#' | '!' => {
                escaped.extend(['\\', c])
            }
            // What would become a link.
            ':' if text[at..].starts_with("://") => escaped.push_str("\\:"),
            '.' if text[..at].ends_with("www") => escaped.push_str("\\."),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text as a name in quotes, in YAML: JSON's quotes are YAML's too.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(printable_up_to(text, NAME)).to_string()
}

/// Lines in a block of code of the language `of`, between fences that are longer than any in them.
pub fn code(of: &str, lines: &str) -> String {
    let longest = lines.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let lines = lines.trim_end().split('\n').map(|line| printable_up_to(line, LIST));
    format!("{fence}{of}\n{}\n{fence}", lines.collect::<Vec<_>>().join("\n"))
}

/// Where the lines begin that begin with `mark`.
pub fn lines_with(text: &str, mark: &str) -> Vec<usize> {
    let starts = text.match_indices(mark).map(|(at, _)| at);
    starts.filter(|at| *at == 0 || text[..*at].ends_with('\n')).collect()
}

/// The model card.
pub const CARD: &str = "README.md";
