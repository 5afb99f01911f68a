//! `dbn anneal --exact`: the ground states, counted.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_boltzmann::Mode;
use serde::Serialize;

use crate::machines::ModelSize;
use crate::output;

/// What counting finds.
#[derive(Debug, Serialize)]
pub struct ExactGroundState<'a> {
    model: &'a str,
    #[serde(flatten)]
    size: ModelSize,
    energy: f64,
    ground_states: f64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<f64>,
    /// One of them, where its variables have names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    configuration: BTreeMap<String, f64>,
}

impl<'a> ExactGroundState<'a> {
    /// Of the most probable configuration of a field.
    pub fn of(
        model: &'a str,
        size: ModelSize,
        mode: &Mode,
        configuration: BTreeMap<String, f64>,
        seconds: f64,
    ) -> Self {
        let (energy, ground_states) = (mode.energy(), mode.count);
        Self { model, size, energy, ground_states, seconds, cut: None, configuration }
    }

    /// The same with the weight of the largest cut, of a graph.
    pub fn with_cut(self, cut: Option<f64>) -> Self {
        Self { cut, ..self }
    }

    /// Prints a table, or one JSON object.
    pub fn print(&self, is_json: bool) -> Result<()> {
        if is_json {
            return output::json(self);
        }
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = vec![
            self.size.row(),
            row("lowest energy", format!("{} (exact)", output::energy(self.energy))),
            row("ground states", output::counted(self.ground_states)),
            row("time", format!("{:.3} s", self.seconds)),
        ];
        rows.extend(self.cut.map(|cut| row("the largest cut", output::energy(cut))));
        rows.extend(listed(&self.configuration).map(|text| row("one of them", text)));
        output::line(output::texts(&[self.model, ""], rows))
    }
}

/// `a = 1, b = 0`, of as many as a screen has room for.
pub fn listed(named: &BTreeMap<String, f64>) -> Option<String> {
    const MAX_LISTED: usize = 64;
    let all = named.iter().take(MAX_LISTED).map(|(name, value)| format!("{name} = {value}"));
    let all = all.collect::<Vec<_>>().join(", ");
    match named.len().saturating_sub(MAX_LISTED) {
        0 if named.is_empty() => None,
        0 => Some(all),
        left => Some(format!("{all} and {left} more (--json has all)")),
    }
}
