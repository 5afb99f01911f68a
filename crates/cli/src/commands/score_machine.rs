//! `dbn score` of a Boltzmann machine that has learned.

use std::path::Path;

use anyhow::{Context, Result};
use candle_boltzmann::Summation;
use candle_core::{DType, Tensor};
use indicatif::MultiProgress;
use rbm_core::rows;

use super::evaluate::machine::exact_log_partition;
use crate::inputs::{Cases, DataOptions};
use crate::machines::{LearnedMachine, MachineCases};
use crate::tables::{self, FeatureNames, FeatureTable};
use crate::{log_partition, output};

/// What is scored, and where that goes.
pub struct MachineScores<'a> {
    pub run: &'a Path,
    pub data: Option<&'a str>,
    pub data_options: &'a DataOptions,
    pub cases: Cases,
    pub out: Option<&'a Path>,
    pub bars: &'a MultiProgress,
}

/// Writes a line a case: free energy, log p where log Z is known, and without hidden units the pseudo-likelihood.
pub fn run(args: &MachineScores) -> Result<()> {
    let machine = LearnedMachine::open(args.run)?;
    let learner = &machine.learner;
    let cases = machine.cases(args.data, args.data_options, Some(args.cases))?;
    let graph = learner.graph().ok();
    let exact = exact_log_partition(learner.machine(), graph.as_ref(), args.bars)?;
    let log_partition = log_partition::known(args.run, exact)?;
    let has_hidden = learner.shape().hidden.is_some();
    let is_bound = learner.posterior(&cases.values.narrow(0, 0, 1)?)?.summation != Summation::Exact;
    if is_bound {
        output::note(
            "hidden units are coupled and too many to be counted: free energies are upper bounds, by mean field",
        );
    }
    let single = |name: &str| (name.to_owned(), FeatureNames::Numbered(1));
    let mut named = vec![single("free_energy")];
    if log_partition.is_some() {
        let name = if is_bound { "log_likelihood_bound" } else { "log_likelihood" };
        named.extend([single(name), single("log_likelihood_error")]);
    }
    if !has_hidden {
        named.push(single("pseudo_likelihood"));
    }
    let blocks = rows::blocks(&cases.values).map(|block| -> Result<Vec<Tensor>> {
        let block = block?;
        let energies = learner.posterior(&block)?.free_energies;
        let mut columns = vec![tables::column(&energies)?];
        if let Some(log_partition) = &log_partition {
            let log_p: Vec<f64> =
                energies.iter().map(|energy| -energy - log_partition.value).collect();
            columns.extend([
                tables::column(&log_p)?,
                tables::column(&vec![log_partition.error; log_p.len()])?,
            ]);
        }
        if !has_hidden {
            let found = learner.log_pseudo_likelihood(&block)?.detach().to_dtype(DType::F64)?;
            columns.push(tables::column(&found.to_vec1::<f64>()?)?);
        }
        Ok(columns)
    });
    let table = table(named, &cases);
    match args.out {
        Some(out) => {
            output::line(tables::write(out, &table, blocks).with_context(|| cases.source.clone())?)
        }
        None => tables::print(&table, blocks),
    }
}

/// The features `named` of these cases, with what the data call them.
pub fn table(named: Vec<(String, FeatureNames)>, cases: &MachineCases) -> FeatureTable<'_> {
    FeatureTable {
        named,
        rows: &cases.rows,
        labels: cases.examples.labels.as_deref(),
        names: cases.examples.names.as_deref(),
        class_names: None,
    }
}
