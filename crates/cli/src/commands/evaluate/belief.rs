//! `dbn evaluate --likelihood` of a belief net.

use anyhow::{Result, ensure};
use indicatif::MultiProgress;

use super::likelihood::LikelihoodOptions;
use crate::beliefs::{LearnedBelief, SAMPLES};
use crate::inputs::{Cases, DataOptions};
use crate::output;

/// What is asked.
pub struct BeliefEvaluation<'a> {
    pub belief: LearnedBelief,
    pub data: Option<&'a str>,
    pub data_options: &'a DataOptions,
    pub cases: Option<Cases>,
    pub likelihood: &'a LikelihoodOptions,
    pub seed: u64,
    pub is_json: bool,
}

/// Prints log p(v), from below.
pub fn run(args: &BeliefEvaluation, bars: &MultiProgress) -> Result<()> {
    let BeliefEvaluation { belief, data, data_options, cases, likelihood, seed, is_json } = args;
    let name = belief.dir.display();
    ensure!(likelihood.likelihood, "{name}: a belief net: expected --likelihood");
    let of_others = [
        ("--both", likelihood.both),
        ("--estimate", likelihood.estimate),
        ("--exact", likelihood.exact),
        ("--chains", likelihood.chains.is_some()),
        ("--betas", likelihood.betas.is_some()),
        ("--sweeps", likelihood.sweeps.is_some()),
        ("--tolerance", likelihood.tolerance.is_some()),
    ];
    crate::beliefs::refuse(&of_others, &belief.dir)?;
    let found = belief.cases(*data, data_options, *cases)?;
    let samples = likelihood.passes.map_or(SAMPLES, |passes| passes as usize);
    let is_own = data.is_none() && data_options.limit.is_none();
    let value = belief.likelihood(&found, is_own, samples, *seed, bars)?;
    if *is_json { output::json(&value) } else { value.print(&found.part_name()) }
}
