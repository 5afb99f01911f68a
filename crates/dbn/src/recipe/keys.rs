//! The keys of a recipe, what each is, and a recipe with all of that beside its values. All of it is taken from the doc comments of
//! the structs that recipes are read into.

use std::fmt::Write;

use candle_boltzmann::learning::Learning;
use candle_dbn_data::SOURCE_OF_OPTIONS;
use candle_dbn_data::settings::Keyed;
use rbm_core::{Error, Result};
use serde::Serialize;
use toml::{Table, Value};

use super::belief::{self, BeliefLearningRecipe, BeliefRecipe};
use super::data::{self, DataRecipe};
use super::learning::{self, LearningRecipe};
use super::machine::{self, MachineData, MachineRecipe};
use super::{
    BUILT_IN, Backpropagation, Cd, ClassifierRecipe, Damping, FastWeights, HybridParts,
    LayerRecipe, MACHINES, PersistentChains, Recipe, Searches, SparsityTarget, TemperedChains,
    UpDownRecipe, finetuning, layer, method,
};

/// Characters of a line of comment.
const WIDTH: usize = 100;

/// A table of a recipe: `[data]`, `[[layers]]`, ….
#[derive(Debug, Clone)]
pub struct Keys {
    /// What it is called in a recipe; empty for what stands above all tables.
    pub table: &'static str,
    /// What it is for.
    pub about: String,
    /// Its keys, in order.
    pub keys: Vec<Key>,
}

/// A key of a recipe.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// What it may hold, and what uses it: `Range: …. Used by: ….`
    pub range: String,
    /// What it holds where it is left out, as TOML. None where `range` says it or the key is needed.
    pub default: Option<String>,
}

impl Key {
    /// All that is known of it.
    pub fn text(&self) -> String {
        let default = self.default.as_ref().map_or(String::new(), |it| format!(" Default: {it}."));
        format!("{} {}{default}", self.about, self.range)
    }
}

/// Every table of a recipe.
///
/// # Errors
///
/// Never but for a struct whose comments are not in its file.
pub fn keys() -> Result<Vec<Keys>> {
    let recipe = include_str!("mod.rs");
    // Of what stands above all tables.
    let whole = table_of(&Recipe::draft("layers = []")?)?;
    let whole = whole.into_iter().filter(|(key, _)| key != "layers" && key != "data").collect();
    let backpropagation = table_of(&Backpropagation::default())?;
    let data_table = table_of(&DataRecipe::default())?;
    let classifier_table = table_of(&ClassifierRecipe::default())?;
    // Those of how data are read follow the first, which says which.
    let mut data = Keys::of("data", "DataRecipe", data::SOURCE, &data_table)?;
    data.splice("source", "", Keys::of("data", "ReadOptions", SOURCE_OF_OPTIONS, &data_table)?);
    let mut layers =
        Keys::of("layers", "LayerRecipe", layer::SOURCE, &table_of(&LayerRecipe::default())?)?;
    let sparsity = table_of(&SparsityTarget::default())?;
    layers.splice(
        "sparsity",
        "sparsity.",
        Keys::of("layers", "SparsityTarget", layer::SOURCE, &sparsity)?,
    );
    for (prefix, name, defaults) in [
        ("method.hybrid.", "HybridParts", table_of(&HybridParts::default())?),
        ("method.mean-field.", "Damping", table_of(&Damping::default())?),
        ("method.ptt.", "PersistentChains", table_of(&PersistentChains::default())?),
        ("method.pt.", "TemperedChains", table_of(&TemperedChains::default())?),
        ("method.fpcd.", "FastWeights", table_of(&FastWeights::default())?),
        ("method.pcd.", "PersistentChains", table_of(&PersistentChains::default())?),
        ("method.cd.", "Cd", table_of(&Cd::default())?),
    ] {
        layers.splice("method", prefix, Keys::of("layers", name, method::SOURCE, &defaults)?);
    }
    let network = |table: &'static str, name, defaults: &Table| {
        let mut keys = Keys::of(table, name, finetuning::SOURCE, defaults)?;
        if name != "Backpropagation" {
            let common = Keys::of(table, "Backpropagation", finetuning::SOURCE, defaults)?;
            keys.keys.splice(0..0, common.keys);
        }
        let searches = table_of(&Searches::default())?;
        let searches = Keys::of(table, "Searches", finetuning::SOURCE, &searches)?;
        keys.splice("optimizer", "optimizer.cg.", searches);
        Ok::<_, Error>(keys)
    };
    Ok(vec![
        Keys::of("", "Recipe", recipe, &whole)?,
        data,
        layers,
        Keys::of(
            "updown",
            "UpDownRecipe",
            finetuning::SOURCE,
            &table_of(&UpDownRecipe::default())?,
        )?,
        network("classifier", "ClassifierRecipe", &classifier_table)?,
        network("regressor", "Backpropagation", &backpropagation)?,
        network("autoencoder", "Backpropagation", &backpropagation)?,
    ])
}

impl Keys {
    /// Puts `others`, with `prefix` before their names, behind the key `after`.
    fn splice(&mut self, after: &str, prefix: &str, others: Self) {
        let at = self.keys.iter().position(|key| key.name == after).map_or(0, |i| i + 1);
        let named = others.keys.into_iter();
        let choice = prefix.trim_end_matches('.').replace('.', " = \"");
        let named = named.map(|key| Key {
            name: format!("{prefix}{}", key.name),
            range: key.range.replace("this method", &format!("`{choice}\"`")),
            ..key
        });
        self.keys.splice(at..at, named);
    }
}

impl Keys {
    /// Those of the struct `name` in `source`: every field that has a range.
    fn of(table: &'static str, name: &str, source: &str, defaults: &Table) -> Result<Self> {
        let lost = || Error::invalid(format!("struct {name}"), "a place in its source", "none");
        let (before, after) =
            source.split_once(&format!("pub struct {name} {{")).ok_or_else(lost)?;
        let about = comment(before.lines().rev().take_while(|line| !line.is_empty()));
        let mut keys = Vec::new();
        let mut lines = Vec::new();
        for line in after.lines().take_while(|line| !line.starts_with('}')).map(str::trim) {
            let Some(field) = line.strip_prefix("pub ").and_then(|rest| rest.split(':').next())
            else {
                lines.push(line);
                continue;
            };
            let (about, range) = comment(lines.drain(..).rev());
            if !range.is_empty() {
                let default = defaults.get(field).map(ToString::to_string);
                keys.push(Key { name: field.to_owned(), about, range, default });
            }
        }
        Ok(Self { table, about: about.0, keys })
    }

    /// `[data]`, `[[layers]]`.
    fn header(&self) -> String {
        match self.table {
            "layers" => "[[layers]]".into(),
            table => format!("[{table}]"),
        }
    }
}

/// The first paragraph of the doc comment among these lines, last line first, and the one that begins with `Range:`.
fn comment<'a>(lines: impl Iterator<Item = &'a str>) -> (String, String) {
    let mut lines: Vec<_> = lines.filter_map(|line| line.trim().strip_prefix("///")).collect();
    lines.reverse();
    let text = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n");
    let mut paragraphs = text.split("\n\n").map(|paragraph| plain(&paragraph.replace('\n', " ")));
    let about = paragraphs.next().unwrap_or_default();
    (about, paragraphs.find(|paragraph| paragraph.starts_with("Range:")).unwrap_or_default())
}

/// Without the brackets that make links of names.
fn plain(text: &str) -> String {
    let mut plain = text.to_owned();
    while let Some(at) = plain.find("[`") {
        let Some(end) = plain[at..].find("`]").map(|end| at + end) else { break };
        plain.replace_range(end..end + 2, "`");
        plain.replace_range(at..at + 2, "`");
    }
    plain
}

fn table_of(value: &impl Serialize) -> Result<Table> {
    Table::try_from(value).map_err(|e| Error::invalid("recipe", "plain data", e.to_string()))
}

/// Writes `text` as comments of at most [`WIDTH`] characters.
fn write_comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            _ = writeln!(out, "{line}");
            line = "#".into();
        }
        line = line + " " + word;
    }
    _ = writeln!(out, "{line}");
}

impl Recipe {
    /// The recipe as TOML, with a comment for every key: what it is, what it may hold, what uses it, and what it holds where it is left
    /// out. It reads back as the same recipe. Of layers after the first, and of tables that the recipe is without, only what differs
    /// from that is written.
    ///
    /// # Errors
    ///
    /// As [`keys`].
    pub fn to_commented_toml(&self) -> Result<String> {
        let values = table_of(self)?;
        let mut out = String::new();
        if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == self.name)
            && Self::parse(text).is_ok_and(|built_in| built_in == *self)
        {
            text.lines().take_while(|line| line.starts_with('#')).for_each(|line| {
                _ = writeln!(out, "{line}");
            });
            out.push('\n');
        }
        for keys in keys()? {
            let blocks = keys.blocks(&values);
            if blocks.is_empty() {
                let absent = format!("No {} in this recipe: {}", keys.header(), keys.about);
                write_comment(&mut out, &absent);
                out.push('\n');
            }
            for (i, block) in blocks.iter().enumerate() {
                keys.write(&mut out, block, i == 0);
            }
        }
        Ok(out)
    }
}

impl Recipe {
    /// The recipe as TOML without the keys that have their defaults. It reads back as the same recipe.
    ///
    /// # Errors
    ///
    /// As [`keys`].
    pub fn to_brief_toml(&self) -> Result<String> {
        let values = table_of(self)?;
        let mut out = String::new();
        for keys in keys()? {
            for block in keys.blocks(&values) {
                let mut changed = String::new();
                keys.write_changed(&mut changed, block);
                // Other tables mean something without any key.
                if !keys.table.is_empty() && (keys.table != "data" || !changed.is_empty()) {
                    _ = writeln!(out, "\n{}", keys.header());
                }
                out += &changed;
            }
        }
        Ok(out)
    }
}

impl Keys {
    /// The tables of these keys among the values of a recipe.
    fn blocks<'a>(&self, values: &'a Table) -> Vec<&'a Table> {
        match values.get(self.table) {
            _ if self.table.is_empty() => vec![values],
            Some(Value::Array(tables)) => tables.iter().filter_map(Value::as_table).collect(),
            Some(Value::Table(table)) => vec![table],
            _ => Vec::new(),
        }
    }

    /// Writes the keys that are not as they would be if they were left out.
    fn write_changed(&self, out: &mut String, values: &Table) {
        for key in &self.keys {
            let value = values.get(&key.name).map(ToString::to_string);
            if let Some(value) = value.filter(|value| key.default.as_ref() != Some(value)) {
                _ = writeln!(out, "{} = {value}", key.name);
            }
        }
    }

    /// Writes a table: of the first one every key with a comment.
    fn write(&self, out: &mut String, values: &Table, is_first: bool) {
        if !self.table.is_empty() {
            let left_out = "Keys that are left out here have their defaults.";
            write_comment(out, if is_first { &self.about } else { left_out });
            _ = writeln!(out, "{}", self.header());
        }
        if !is_first {
            self.write_changed(out, values);
        }
        for key in self.keys.iter().filter(|_| is_first) {
            write_comment(out, &key.text());
            match values.get(&key.name) {
                Some(value) => _ = writeln!(out, "{} = {value}", key.name),
                // A setting stands in what it is a setting of.
                None if key.name.contains('.') => _ = writeln!(out, "# {}", key.name),
                None => _ = writeln!(out, "# {}: left out", key.name),
            }
        }
        out.push('\n');
    }
}

/// The page of all keys, in Markdown.
///
/// # Errors
///
/// As [`keys`].
pub fn reference() -> Result<String> {
    let mut out = String::from(
        "# The keys of a recipe\n\nThis page is written by `dbn recipe --keys`, from the doc comments of the source. `dbn recipe NAME` prints \
         a recipe with the same words beside its values. `--set KEY=VALUE` changes one key, for example \
         `--set 'layers.*.epochs=20'` or `--set classifier.epochs=10`.\n",
    );
    for keys in keys()? {
        let header = match keys.table {
            "" => "Above all tables".into(),
            _ => format!("`{}`", keys.header()),
        };
        keys.describe(&mut out, &format!("## {header}"));
    }
    out += &of_machines()?;
    Ok(out)
}

/// The same of the recipes of Boltzmann machines and of belief nets, as more chapters of the page.
fn of_machines() -> Result<String> {
    let mut out = String::new();
    let machine =
        Keys::of("", "MachineRecipe", machine::SOURCE, &table_of(&MachineRecipe::default())?)?;
    let net = Keys::of("", "BeliefRecipe", belief::SOURCE, &table_of(&BeliefRecipe::default())?)?;
    let learning = |name, source, usual| Keys::of("learning", name, source, &usual);
    let of_machine = table_of(&LearningRecipe::of(&Learning::default()))?;
    let of_machine = learning("LearningRecipe", learning::SOURCE, of_machine)?;
    let of_net = table_of(&BeliefLearningRecipe::of(&BeliefLearningRecipe::default().resolve()))?;
    let of_net = learning("BeliefLearningRecipe", belief::SOURCE, of_net)?;
    for (name, model, whole, mut keys) in [
        ("a Boltzmann machine", "bm", machine, of_machine),
        ("a belief net", "belief", net, of_net),
    ] {
        whole.describe(&mut out, &format!("## The recipe of {name}"));
        _ = writeln!(out, "\n{}", of_data()?);
        if model == "bm" {
            _ = writeln!(
                out,
                "\nA table `[classifier]`, with the keys of that above, makes a classifier of a deep machine."
            );
        }
        for key in keys.keys.iter_mut().filter(|key| key.range.contains("Default: ")) {
            key.default = None;
        }
        keys.describe(&mut out, &format!("### `[learning]` of `model = \"{model}\"`"));
    }
    out += "\n## A Hopfield network\n\nIt has no recipe: `dbn train PATTERNS --model hopfield --rule RULE` stores its patterns at once, without learning.\n";
    Ok(out)
}

/// What `[data]` of a machine has of the keys above.
fn of_data() -> Result<String> {
    let table = table_of(&MachineData::default())?;
    let mut keys: Vec<_> = MachineData::KEYS.concat();
    keys.sort_unstable();
    let names: Vec<_> = keys.into_iter().map(|key| format!("`{key}`")).collect();
    let held_out = table.get("hold_out_one_in").map_or("none".into(), ToString::to_string);
    Ok(format!(
        "Its table `[data]` has these of the keys of `[data]` above: {}. `hold_out_one_in` is {held_out} there.",
        names.join(", ")
    ))
}

impl Keys {
    /// Writes a table in Markdown under `heading`.
    fn describe(&self, out: &mut String, heading: &str) {
        _ = write!(
            out,
            "\n{heading}\n\n{}\n\n| key | what it is | default |\n| --- | --- | --- |\n",
            self.about
        );
        for key in &self.keys {
            let default = key.default.as_ref().map_or(String::new(), |it| format!("`{it}`"));
            let text = format!("{} {}", key.about, key.range).replace('|', "\\|");
            _ = writeln!(out, "| `{}` | {text} | {default} |", key.name);
        }
    }
}

/// A built-in recipe in a few words.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub what: &'static str,
    /// Which data it learns from.
    pub data: &'static str,
    /// How long it takes on two cores.
    pub takes: &'static str,
}

/// What the first three lines of every built-in recipe say.
pub fn summaries() -> impl Iterator<Item = Summary> {
    BUILT_IN.iter().chain(MACHINES).map(|(name, text)| {
        let of = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix("# ")?.strip_prefix(key));
            line.unwrap_or_default().trim()
        };
        Summary { name, what: of("For:"), data: of("Data:"), takes: of("Takes:") }
    })
}
