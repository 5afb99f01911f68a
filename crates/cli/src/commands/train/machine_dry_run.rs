//! `dbn train --model bm --dry-run`: what a training would do, and what it would take. Nothing is written.

use std::time::{Duration, Instant};

use anyhow::Result;
use candle_boltzmann::learning::Learner;
use candle_core::Tensor;
use candle_dbn::recipe::MachineRecipe;
use rbm_core::Rows;

use super::dry_run::{duration, peak};
use crate::output;

/// Mini-batches that are learned to be measured.
const BATCHES: usize = 20;
/// The epochs of so many mini-batches, of which the quickest counts: others may use the machine too.
const EPOCHS: usize = 2;

/// Prints the recipe, the sizes, and an estimate of time and memory.
pub fn run(
    recipe: &MachineRecipe,
    mut learner: Learner,
    cases: &Tensor,
    held_out: usize,
) -> Result<()> {
    output::line(recipe.to_toml()?)?;
    let count = |n: usize| output::grouped(n as u64);
    let mut data =
        format!("data: {} training cases of {} values", count(cases.count()), cases.width());
    if held_out > 0 {
        data += &format!(", {} held out", count(held_out));
    }
    output::line(data)?;
    let epochs = learner.learning().epochs;
    let size = match learner.learning().batch_size {
        0 => cases.count(),
        size => size,
    };
    let batches = cases.count().div_ceil(size);
    let few = cases.narrow(0, 0, cases.count().min(BATCHES * size))?;
    let parameters = learner.parameters();
    let mut quickest = Duration::MAX;
    for _ in 0..EPOCHS.min(epochs) {
        let start = Instant::now();
        learner.learn(&few)?;
        quickest = quickest.min(start.elapsed());
    }
    let took = quickest.as_secs_f64() / few.count().div_ceil(size) as f64;
    let took =
        Duration::try_from_secs_f64(took * (batches * epochs) as f64).unwrap_or(Duration::MAX);
    let shape = learner.shape();
    let layers = shape.layers().into_iter().map(|units| units.to_string());
    let units = layers.collect::<Vec<_>>().join(" → ");
    // A target may end it at any epoch.
    let most = if learner.learning().target_pearson.is_some() { "up to " } else { "" };
    let row = vec![
        units,
        count(parameters),
        format!("{most}{}", count(epochs)),
        count(batches),
        format!("{most}{}", duration(took)),
    ];
    let header = ["units", "parameters", "epochs", "mini-batches", "about"];
    output::line(output::table(&header, vec![row]))?;
    output::line(format!(
        "time: {}{}, by {BATCHES} mini-batches; pictures and the likelihood are not in it",
        if most.is_empty() { "about " } else { most },
        duration(took)
    ))?;
    output::line(match peak() {
        Some(bytes) => format!("memory: about {} MB", count((bytes / 1_000_000) as usize)),
        None => "memory: this system does not tell".to_owned(),
    })?;
    output::line("dry run: nothing was written")
}
