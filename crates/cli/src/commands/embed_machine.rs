//! `dbn embed` of a Boltzmann machine that has learned: the means of its hidden units given the cases.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_boltzmann::Summation;
use indicatif::MultiProgress;
use rbm_core::{Rows, Units, rows};

use super::score_machine::table;
use crate::inputs::{Cases, DataOptions};
use crate::machines::LearnedMachine;
use crate::tables::{self, FeatureNames};
use crate::{output, progress};

/// What is embedded, and where that goes.
pub struct MachineFeatures<'a> {
    pub run: &'a Path,
    pub data: Option<&'a str>,
    pub data_options: &'a DataOptions,
    pub cases: Cases,
    pub layer: &'a str,
    pub out: &'a Path,
    pub bars: &'a MultiProgress,
}

/// Writes a row a case.
pub fn run(args: &MachineFeatures) -> Result<()> {
    let machine = LearnedMachine::open(args.run)?;
    let widths: Vec<usize> = machine.learner.shape().hidden.iter().map(Units::width).collect();
    ensure!(
        !widths.is_empty(),
        "{}: expected a machine with hidden units, found visible ones alone",
        args.run.display()
    );
    let number = |text: &str| text.parse().ok().filter(|k| (1..=widths.len()).contains(k));
    let layers = match args.layer {
        "all" => 1..=widths.len(),
        "top" => widths.len()..=widths.len(),
        other => {
            let layer = number(other).with_context(|| {
                let most = widths.len();
                format!(
                    "--layer: expected 1 to {most}, top or all of this machine, found {other:?}"
                )
            })?;
            layer..=layer
        }
    };
    let cases = machine.cases(args.data, args.data_options, Some(args.cases))?;
    let bar = progress::bar(args.bars, cases.values.count() as u64);
    let first = machine.learner.posterior(&cases.values.narrow(0, 0, 1)?)?;
    if first.summation != Summation::Exact {
        output::note(
            "hidden units are coupled and too many to be counted: their means are those of mean field",
        );
    }
    let blocks = rows::blocks(&cases.values).map(|block| {
        let found = machine.learner.posterior(&block?)?;
        bar.inc(found.free_energies.len() as u64);
        let means = found.means.context("hidden units: expected some")?;
        let of_layer = |layer: usize| {
            let start = widths[..layer - 1].iter().sum();
            Ok(means.narrow(1, start, widths[layer - 1])?.contiguous()?)
        };
        layers.clone().map(of_layer).collect()
    });
    let name = |layer: usize| (format!("layer{layer}"), FeatureNames::Numbered(widths[layer - 1]));
    let named = layers.clone().map(name).collect();
    let said = tables::write(args.out, &table(named, &cases), blocks)?;
    bar.finish_and_clear();
    output::line(said)
}
