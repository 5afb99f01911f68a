//! `dbn score` of a Boltzmann machine that has learned.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_boltzmann::Summation;
use candle_core::{DType, Tensor};
use indicatif::MultiProgress;
use rbm_core::estimate::Estimate;
use rbm_core::rows;

use super::evaluate::machine::exact_log_partition;
use super::mutants;
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
    /// Changes of letters to score in place of the cases: these, or where none is named every one.
    pub mutants: Option<&'a [String]>,
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
    if let Some(named) = args.mutants {
        return of_mutants(args, &machine, &cases, named, log_partition);
    }
    let has_hidden = !learner.shape().hidden.is_empty();
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

/// Writes a line a sequence with one letter changed.
fn of_mutants(
    args: &MachineScores,
    machine: &LearnedMachine,
    cases: &MachineCases,
    named: &[String],
    log_partition: Option<Estimate>,
) -> Result<()> {
    let letters = machine.letters("--mutants, --scan")?;
    let (mut names, mut numbers, mut scored) = (Vec::new(), Vec::new(), Vec::new());
    for (at, &row) in cases.rows.iter().enumerate() {
        let case = cases.values.narrow(0, at, 1)?;
        let energies = |cases: &Tensor| -> Result<Vec<f64>> {
            let posterior = machine.learner.posterior(cases)?;
            ensure!(
                posterior.summation == Summation::Exact,
                "--mutants, --scan: hidden units are coupled and too many to be counted: bounds would be compared"
            );
            Ok(posterior.free_energies)
        };
        let (codes, wild) = (mutants::codes(&case, &letters)?, energies(&case)?[0]);
        let changes = mutants::changes(named, &codes, &letters)?;
        for changes in changes.chunks(rows::BLOCK) {
            let energies = energies(&mutants::rows_of(&codes, changes, &letters)?)?;
            let of = |part: fn(f64, f64) -> f64, other: f64| -> Result<Tensor> {
                tables::column(&energies.iter().map(|e| part(*e, other)).collect::<Vec<_>>())
            };
            let mut columns = vec![of(|e, wild| wild - e, wild)?, tables::column(&energies)?];
            if let Some(Estimate { value, error, .. }) = log_partition {
                columns.push(of(|e, log_z| -e - log_z, value)?);
                columns.push(tables::column(&vec![error; energies.len()])?);
            }
            scored.push(columns);
            numbers.extend(changes.iter().map(|_| row));
            let before = match &cases.examples.names {
                Some(names) if cases.rows.len() > 1 => format!("{} ", names[at]),
                _ => String::new(),
            };
            names.extend(changes.iter().map(|change| format!("{before}{}", change.name())));
        }
    }
    ensure!(!names.is_empty(), "--scan: expected sequences with letters, found none but gaps");
    let mut named = vec!["log_ratio", "free_energy"];
    if log_partition.is_some() {
        named.extend(["log_likelihood", "log_likelihood_error"]);
    }
    let named = named.into_iter().map(|name| (name.to_owned(), FeatureNames::Numbered(1)));
    let table = FeatureTable {
        named: named.collect(),
        rows: &numbers,
        labels: None,
        names: Some(&names),
        class_names: None,
    };
    let blocks = scored.into_iter().map(Ok);
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
