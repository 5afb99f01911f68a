//! `dbn score`

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{D, Device, Tensor};
use candle_dbn::data::Alphabet;
use candle_dbn::estimate::likelihood::{self, Sampling, Scores};
use candle_dbn::{Examples, Model};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::estimate::Estimate;
use rbm_core::{Rows, rows};

use super::sample;
use super::score_machine::{self, MachineScores};
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
    let of_networks = [("--mutants", !args.mutants.is_empty()), ("--scan", args.scan)];
    let why = format!("expected of a network, found the machine {}", args.run.display());
    output::refuse(&of_networks, &why)?;
    machines::check_learned(&args.run)?;
    if let Some(out) = &args.out {
        tables::check(out, args.force)?;
    }
    let Score { run, data, data_options, cases, out, .. } = args;
    score_machine::run(&MachineScores {
        run,
        data: data.as_deref(),
        data_options,
        cases: *cases,
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
        check_changes(&args.mutants).map_err(Usage::of)?;
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
            let codes = codes(&case, &letters)?;
            let changes = match args.scan {
                true => all_changes(&codes, &letters),
                false => named_changes(&args.mutants, &codes, &letters)?,
            };
            let wild = Scores::free_energies(model, &case)?.free_energy[0];
            for changes in changes.chunks(rows::BLOCK) {
                let mutated = rows_of(&codes, changes, &letters)?.to_device(case.device())?;
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

/// The state of each site of a case `(1, sites * states)`.
fn codes(case: &Tensor, letters: &Alphabet) -> Result<Vec<usize>> {
    let sites = case.reshape((case.elem_count() / letters.states(), letters.states()))?;
    let codes = sites.argmax(D::Minus1)?.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
    Ok(codes.into_iter().map(|code| code as usize).collect())
}

/// One letter in another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    /// The column, from 0.
    site: usize,
    /// What stands there, and what is put in its place.
    from: u8,
    to: u8,
}

impl Change {
    /// From text as `A12G`: the letter there, the column from 1, the other letter.
    fn parse(text: &str) -> Option<Self> {
        let (&from, rest) = text.as_bytes().split_first()?;
        let (&to, number) = rest.split_last()?;
        let site: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
        Some(Self { site: site.checked_sub(1)?, from, to })
    }

    /// `A12G`
    fn name(&self) -> String {
        format!("{}{}{}", char::from(self.from), self.site + 1, char::from(self.to))
    }
}

/// Errors for a text that is no change, and for a change that is named twice.
fn check_changes(texts: &[String]) -> Result<()> {
    let mut seen = Vec::new();
    for text in texts {
        let text = text.to_ascii_uppercase();
        let Some(change) = Change::parse(&text) else {
            bail!(
                "--mutants: expected a letter, a column from 1 and another letter as in A12G, found {text:?}"
            );
        };
        ensure!(
            !seen.contains(&change),
            "--mutants: expected every change once, found {text} twice"
        );
        seen.push(change);
    }
    Ok(())
}

/// The changes of the sequence `codes`, a state a site, that these texts name.
fn named_changes(texts: &[String], codes: &[usize], letters: &Alphabet) -> Result<Vec<Change>> {
    let change = |text: &String| {
        let Some(change) = Change::parse(text) else {
            bail!(
                "--mutants: expected a letter, a column from 1 and another letter as in A12G, found {text:?}"
            );
        };
        let Change { site, from, to } = change;
        ensure!(
            site < codes.len(),
            "--mutants: expected columns up to {}, found {text}",
            codes.len()
        );
        let there = letters.letters().as_bytes()[codes[site]];
        ensure!(
            from.eq_ignore_ascii_case(&there),
            "--mutants: {text}: expected the letter that stands in column {}: {}",
            site + 1,
            char::from(there)
        );
        let known = letters.code(to.to_ascii_uppercase());
        ensure!(
            known.is_some(),
            "--mutants: {text}: expected one of the letters {}",
            letters.letters()
        );
        Ok(Change { site, from: there, to: to.to_ascii_uppercase() })
    };
    texts.iter().map(change).collect()
}

/// Every change of one letter of the sequence `codes` into another; gaps stay, and none is put in.
fn all_changes(codes: &[usize], letters: &Alphabet) -> Vec<Change> {
    let gap = usize::from(letters.gap());
    let of = letters.letters().as_bytes();
    let sites = codes.iter().enumerate().filter(|(_, code)| **code != gap);
    let changes = sites.flat_map(|(site, &code)| {
        let others = (0..of.len()).filter(move |&other| other != code && other != gap);
        others.map(move |other| Change { site, from: of[code], to: of[other] })
    });
    changes.collect()
}

/// The sequence `codes` as the network sees it, a row for each of `changes` `(changes, sites * states)`.
fn rows_of(codes: &[usize], changes: &[Change], letters: &Alphabet) -> Result<Tensor> {
    let states = letters.states();
    let mut values = vec![0f32; changes.len() * codes.len() * states];
    for (row, change) in values.chunks_mut(codes.len() * states).zip(changes) {
        for (site, &code) in codes.iter().enumerate() {
            let code = match (site == change.site, letters.code(change.to)) {
                (true, Some(code)) => usize::from(code),
                _ => code,
            };
            row[site * states + code] = 1.0;
        }
    }
    Ok(Tensor::from_vec(values, (changes.len(), codes.len() * states), &Device::Cpu)?)
}
