//! What `dbn compare` says of a Boltzmann machine's training: its epochs, its last numbers, its curves.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use candle_dbn::viz::{Mark, Series, learning};
use serde_json::Value;

/// The keys of `metrics.jsonl` that are curves, and their names and units.
const CURVES: [(&str, &str, &str); 2] = [
    ("pseudo_log_likelihood", "pseudo-log-likelihood", "nats a case"),
    ("mean_free_energy", "free energy of the cases", "nats"),
];

/// The lines of `metrics.jsonl` that can be read: the last one may be half written.
fn lines(metrics: &str) -> Vec<BTreeMap<String, Value>> {
    metrics.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The points of a curve: epoch and number.
fn points(metrics: &str, key: &str) -> Vec<(f64, f64)> {
    let lines = lines(metrics).into_iter();
    lines
        .filter_map(|line| Some((line.get("epoch")?.as_f64()?, line.get(key)?.as_f64()?)))
        .collect()
}

/// How many epochs were learned.
pub fn epochs(metrics: &str) -> usize {
    lines(metrics).len()
}

/// The last number of each curve: its name, its unit, and the number.
pub fn last(metrics: &str) -> Vec<(String, &'static str, f64)> {
    let of = |(key, name, unit): &(&str, &str, &'static str)| {
        let (_, value) = points(metrics, key).last().copied()?;
        Some(((*name).to_owned(), *unit, value))
    };
    CURVES.iter().filter_map(of).collect()
}

/// Draws the curves of these machines, by their names and metrics. Whether there are any.
pub fn draw(path: &Path, runs: &[(&str, &str)]) -> Result<bool> {
    let panel = |(key, name, unit): &(&str, &str, &str)| {
        let series = runs.iter().map(|(run, metrics)| (run, points(metrics, key)));
        let series = series.filter(|(_, points)| !points.is_empty());
        let series: Vec<Series> =
            series.map(|(run, points)| Series::new(*run, Mark::Line, points)).collect();
        (!series.is_empty()).then(|| (format!("{name} ({unit})"), series))
    };
    let panels: Vec<_> = CURVES.iter().filter_map(panel).collect();
    let is_drawn = !panels.is_empty();
    if is_drawn {
        learning(path, panels).context("the picture")?;
    }
    Ok(is_drawn)
}
