//! `dbn train --model hopfield`: patterns are stored, in one step.

use std::path::Path;

use anyhow::Result;
use candle_boltzmann::hopfield::{Hopfield, Memory, RecallEnd, Rule, Updates};
use candle_core::{Device, Tensor};
use candle_dbn::store::HOPFIELD;
use candle_dbn::viz::images::{self, Contrast, shape_of};
use rbm_core::Units;

use super::machine_run;
use crate::inputs::DataOptions;
use crate::machines::{self, Patterns};
use crate::output;

/// The most patterns in the picture.
const PICTURED: usize = 100;

/// What is stored, how and where.
pub struct Storing<'a> {
    pub data: Option<&'a str>,
    pub data_options: &'a DataOptions,
    pub rule: Rule,
    pub out: Option<&'a Path>,
    pub pictures: bool,
}

/// Stores the cases, and says how many of them are stable.
pub fn run(args: &Storing) -> Result<()> {
    let rule = args.rule;
    let source = args.data.unwrap_or("digits");
    let Patterns { patterns, table, image } = machines::patterns(source, args.data_options, None)?;
    let claim = machine_run::claim(HOPFIELD, args.out, "hopfield", source)?;
    let dir = claim.dir();
    let network = Hopfield::store(&patterns, rule)?;
    let memory = Memory { network, patterns, rule, image };
    memory.save(dir.join(HOPFIELD))?;
    table.map_or(Ok(()), |table| table.save(dir))?;
    let Memory { network, patterns, .. } = &memory;
    if args.pictures {
        let shown: Vec<f64> = patterns.iter().take(PICTURED).flatten().copied().collect();
        let count = patterns.len().min(PICTURED);
        let tiles = Tensor::from_vec(shown, (count, network.size()), &Device::Cpu)?;
        let tiles = images::grey(&Units::Spin { size: network.size() }, &tiles)?;
        let image = shape_of(network.size(), memory.image);
        images::write_grid(
            &dir.join("patterns.png"),
            &tiles,
            &[],
            image,
            10.min(count),
            Contrast::Unit,
        )?;
    }
    let is_stable = |pattern: &&Vec<f64>| -> bool {
        let recall = network.recall(pattern, Updates::Asynchronous, 1);
        recall.is_ok_and(|recall| recall.end == RecallEnd::FixedPoint)
    };
    let stable = patterns.iter().filter(is_stable).count();
    output::line(format!("run {}", dir.display()))?;
    output::line(format!(
        "{} patterns of {} units stored, load {:.3}; {stable} of them are stable",
        patterns.len(),
        network.size(),
        patterns.len() as f64 / network.size() as f64
    ))?;
    if stable < patterns.len() && rule == Rule::Hebb {
        output::note(
            "patterns that are alike disturb each other: --rule pseudo-inverse holds them, and fewer (--limit) are easier",
        );
    }
    Ok(())
}
