//! `dbn score`

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use candle_dbn::estimate::likelihood::{self, Sampling, Scores};
use candle_dbn::{Examples, Model};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::estimate::Estimate;
use rbm_core::{Rows, rows};

use super::score_machine::{self, MachineScores};
use super::{mutants, sample};
use crate::inputs::{self, Cases, DataOptions, Where};
use crate::output::{self, Usage};
use crate::tables::{self, FeatureNames, FeatureTable};
use crate::{log_partition, machines, progress};

/// Say of every case how probable it is: free energy, log p, pseudo-likelihood, probabilities of classes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn score runs/rbm                                   a line a case, as comma-separated values
  dbn score runs/mnist new.csv --out scores.parquet
  dbn score runs/family wild.fasta --scan --out s.csv  every single change of a sequence, beside the sequence itself
  dbn score runs/family wild.fasta --mutants A1G,C7W
  dbn score runs/bm --cases held-out                   of a Boltzmann machine too
Columns: row, label and name where there are any; free_energy in nats, −log p but for a constant, low where a case \
is probable; log_likelihood and its error where log Z is known: exactly, or from dbn evaluate --likelihood --both, which \
keeps it; pseudo_likelihood of a single machine; probability_CLASS, or the prediction of a target. Of a stack free_energy is variational, and log_likelihood a lower bound.
Of mutants log_ratio is log p(mutant) − log p(sequence), which needs no log Z.")]
pub struct Score {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Data to score [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases
    #[arg(long, value_enum, default_value = "all", help_heading = "Data")]
    pub cases: Cases,
    /// Score these changes of each sequence: the letter that stands there, the column from 1, the letter in its place
    #[arg(long, value_name = "A12G,...", value_delimiter = ',', conflicts_with = "scan")]
    pub mutants: Vec<String>,
    /// Score every change of one letter of each sequence; gaps stay
    #[arg(long)]
    pub scan: bool,
    /// Sampled up-passes of each case of a stack
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub passes: u32,
    /// Seed of the up-passes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// File to write: .csv, .parquet, .npy or .safetensors [default: text, on standard output]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "out", help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

/// Writes what the model says of every case.
pub fn run(args: &Score, bars: &MultiProgress) -> Result<()> {
    if machines::is_meant(&args.run) {
        return of_machine(args, bars);
    }
    let scored = ResolvedScore::of(args)?;
    match args.scan || !args.mutants.is_empty() {
        true => scored.of_mutants(bars),
        false => scored.of_cases(),
    }
}

/// Scores of a Boltzmann machine.
fn of_machine(args: &Score, bars: &MultiProgress) -> Result<()> {
    mutants::check_changes(&args.mutants).map_err(Usage::of)?;
    machines::check_learned(&args.run)?;
    if let Some(out) = &args.out {
        tables::check(out, args.force)?;
    }
    let Score { run, data, data_options, cases, mutants, scan, out, .. } = args;
    score_machine::run(&MachineScores {
        run,
        data: data.as_deref(),
        data_options,
        cases: *cases,
        mutants: (*scan || !mutants.is_empty()).then_some(mutants),
        out: out.as_deref(),
        bars,
    })
}

/// What is scored: the arguments, looked up.
struct ResolvedScore<'a> {
    args: &'a Score,
    model: Model,
    examples: Examples,
    /// The number of every case in its source, from 0.
    rows: Vec<u32>,
    /// log Z, where it is known and may be quoted.
    log_partition: Option<Estimate>,
}

impl<'a> ResolvedScore<'a> {
    fn of(args: &'a Score) -> Result<Self> {
        mutants::check_changes(&args.mutants).map_err(Usage::of)?;
        if let Some(out) = &args.out {
            tables::check(out, args.force)?;
        }
        let model = inputs::load_model(&args.run, &args.place.find()?)?;
        let (data, cases) = (args.data.as_deref(), Some(args.cases));
        let (examples, rows) =
            inputs::find_numbered(&args.run, &model, data, &args.data_options, cases)?;
        let log_partition = find_log_partition(args, &model, &examples)?;
        Ok(Self { args, model, examples, rows, log_partition })
    }

    /// A line a case.
    fn of_cases(&self) -> Result<()> {
        let Self { args, model, examples, rows, .. } = self;
        let sampling = Sampling { passes: args.passes as usize, seed: args.seed };
        let blocks = rows::blocks(&examples.cases).map(|block| {
            let prepared = model.prepare(&block?)?;
            let scores = Scores::of(model, &prepared, sampling)?;
            let mut columns = vec![tables::column(&scores.free_energy)?];
            columns.extend(self.log_likelihood(&scores)?);
            if let Some(pseudo_likelihood) = &scores.pseudo_likelihood {
                columns.push(tables::column(pseudo_likelihood)?);
            }
            if model.classes().is_some() {
                columns.push(model.class_probabilities(&prepared)?.to_device(&Device::Cpu)?);
            }
            if let Some(regressor) = &model.regressor {
                let predicted = regressor.predict(&prepared)?;
                columns.push(Tensor::from_vec(predicted, (prepared.dim(0)?, 1), &Device::Cpu)?);
            }
            Ok(columns)
        });
        let mut blocks = blocks.peekable();
        // What there is of one block there is of all.
        let count = match blocks.peek() {
            Some(Ok(columns)) => columns.len(),
            _ => 1,
        };
        let single = |name: &str| (name.to_owned(), FeatureNames::Numbered(1));
        let mut named = vec![single("free_energy")];
        if self.log_partition.is_some() {
            let bound =
                if model.dbn.rbms.len() > 1 { "log_likelihood_bound" } else { "log_likelihood" };
            named.extend([single(bound), single("log_likelihood_error")]);
        }
        let answers = [model.classes().is_some(), model.regressor.is_some()];
        if count > named.len() + answers.into_iter().filter(|is_there| *is_there).count() {
            named.push(single("pseudo_likelihood"));
        }
        if let Some(classes) = model.classes() {
            let names = (0..classes).map(|class| model.class_name(class)).collect();
            named.push(("probability".to_owned(), FeatureNames::Named(names)));
        }
        if model.regressor.is_some() {
            named.push(single("prediction"));
        }
        let table = FeatureTable::of(named, rows, examples, model);
        self.write(&table, blocks)
    }

    /// A line a sequence with one letter changed.
    fn of_mutants(&self, bars: &MultiProgress) -> Result<()> {
        let Self { args, model, examples, rows, .. } = self;
        let letters = sample::letters(model, "--mutants, --scan")?;
        ensure!(
            model.dbn.rbms.len() == 1,
            "--mutants, --scan: expected a single machine: of a stack bounds would be compared"
        );
        let (mut names, mut numbers, mut scored) = (Vec::new(), Vec::new(), Vec::new());
        let bar = bars.add(ProgressBar::new_spinner());
        bar.set_style(progress::style("{spinner} {human_pos} mutants, {per_sec}"));
        for (at, &row) in rows.iter().enumerate() {
            let case = model.prepare(&examples.cases.block(at..at + 1)?)?;
            let codes = mutants::codes(&case, &letters)?;
            let changes = mutants::changes(&args.mutants, &codes, &letters)?;
            let wild = Scores::free_energies(model, &case)?.free_energy[0];
            for changes in changes.chunks(rows::BLOCK) {
                let mutated =
                    mutants::rows_of(&codes, changes, &letters)?.to_device(case.device())?;
                let scores = Scores::free_energies(model, &mutated)?;
                bar.inc(changes.len() as u64);
                let ratios: Vec<f64> =
                    scores.free_energy.iter().map(|energy| wild - energy).collect();
                let mut columns =
                    vec![tables::column(&ratios)?, tables::column(&scores.free_energy)?];
                columns.extend(self.log_likelihood(&scores)?);
                scored.push(columns);
                numbers.extend(changes.iter().map(|_| row));
                let before = match &examples.names {
                    Some(names) if rows.len() > 1 => format!("{} ", names[at]),
                    _ => String::new(),
                };
                names.extend(changes.iter().map(|change| format!("{before}{}", change.name())));
            }
        }
        bar.finish_and_clear();
        ensure!(!names.is_empty(), "--scan: expected sequences with letters, found none but gaps");
        let mut named: Vec<_> = vec!["log_ratio", "free_energy"];
        if self.log_partition.is_some() {
            named.extend(["log_likelihood", "log_likelihood_error"]);
        }
        let named =
            named.into_iter().map(|name| (name.to_owned(), FeatureNames::Numbered(1))).collect();
        let table = FeatureTable {
            named,
            rows: &numbers,
            labels: None,
            names: Some(&names),
            class_names: None,
        };
        self.write(&table, scored.into_iter().map(Ok))
    }

    /// log p of each case and its error, a column each, where log Z is known.
    fn log_likelihood(&self, scores: &Scores) -> Result<Vec<Tensor>> {
        let Some(log_partition) = &self.log_partition else { return Ok(Vec::new()) };
        let log_p = scores.log_likelihood(&self.model, log_partition)?;
        Ok(vec![tables::column(&log_p)?, tables::column(&vec![log_partition.error; log_p.len()])?])
    }

    /// Writes the table to the file that was named, or as text to standard output.
    fn write(
        &self,
        table: &FeatureTable<'_>,
        blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
    ) -> Result<()> {
        let args = self.args;
        let source = || inputs::source(args.data.as_deref(), &args.run);
        match &args.out {
            Some(out) => output::line(tables::write(out, table, blocks).with_context(source)?),
            None => tables::print(table, blocks),
        }
    }
}

/// log Z where it is known and may be quoted, and the cases have a probability. What it rests on, or what is missing, is said.
fn find_log_partition(args: &Score, model: &Model, part: &Examples) -> Result<Option<Estimate>> {
    if part.cases.has_missing()? {
        output::note("missing values are filled in: numbers are of the filled cases");
        return log_partition::left_out("of cases with missing values the model gives no log p(v)");
    }
    if let Err(error) = likelihood::check_configurations(model, &model.prepare_cases(&part.cases)?)
    {
        return log_partition::left_out(&error.to_string());
    }
    log_partition::known(&args.run, likelihood::exact_log_partition(model)?)
}
