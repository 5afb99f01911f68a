//! `dbn score`: free energy, log p and probabilities of classes, a line a case or a mutant.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_boltzmann::Summation;
use candle_core::{Device, Tensor};
use candle_dbn::data::Alphabet;
use candle_dbn::estimate::KeptPartition;
use candle_dbn::estimate::likelihood::{self, Sampling, Scores, TOLERANCE};
use candle_dbn::{Examples, Model};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::estimate::Estimate;
use rbm_core::{Rows, rows};

use super::evaluate::machine::exact_log_partition;
use super::mutants;
use crate::beliefs::{self, LearnedBelief};
use crate::inputs::{self, Cases, DataOptions, Where};
use crate::machines::{self, LearnedMachine, MachineCases};
use crate::output::{self, Usage};
use crate::progress;
use crate::tables::{self, FeatureNames, FeatureTable};

/// Up-passes of a case of a stack, unless the user says so.
const PASSES: u32 = 10;

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
keeps it; pseudo_likelihood of a machine whose hidden units are not coupled with each other; probability_CLASS, or the prediction of a target. Of a stack free_energy is variational, and log_likelihood a lower bound; of a belief net there is the bound alone.
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
    /// Sampled up-passes of each case of a stack [default: 10], or guesses of a belief net [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub passes: Option<u32>,
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

/// Writes what the model says of every case, or of every mutant.
pub fn run(args: &Score, bars: &MultiProgress) -> Result<()> {
    mutants::check_changes(&args.mutants).map_err(Usage::of)?;
    if beliefs::is_learned(&args.run) {
        return of_belief(args, bars);
    }
    let is_machine = machines::is_meant(&args.run);
    if is_machine {
        machines::check_learned(&args.run)?;
    }
    if let Some(out) = &args.out {
        tables::check(out, args.force)?;
    }
    let of_mutants = args.scan || !args.mutants.is_empty();
    if is_machine {
        let scored = ScoredMachine::of(args, bars)?;
        return match of_mutants {
            true => {
                let letters = scored.machine.letters("--mutants, --scan")?;
                write_mutants(args, &scored, &letters, bars)
            }
            false => scored.of_cases(),
        };
    }
    let scored = ScoredNetwork::of(args)?;
    match of_mutants {
        true => {
            let letters = inputs::letters(&scored.model, "--mutants, --scan")?;
            ensure!(
                scored.model.dbn.depth() == 1,
                "--mutants, --scan: expected a single machine: of a stack bounds would be compared"
            );
            write_mutants(args, &scored, &letters, bars)
        }
        false => scored.of_cases(),
    }
}

/// A line a case of a belief net: log p from below, by importance weights.
fn of_belief(args: &Score, bars: &MultiProgress) -> Result<()> {
    let of_mutants = args.scan || !args.mutants.is_empty();
    beliefs::refuse(&[("--mutants, --scan", of_mutants)], &args.run)?;
    if let Some(out) = &args.out {
        tables::check(out, args.force)?;
    }
    let belief = LearnedBelief::open(&args.run)?;
    let cases = belief.cases(args.data.as_deref(), &args.data_options, Some(args.cases))?;
    let passes = args.passes.map_or(beliefs::SAMPLES, |passes| passes as usize);
    let bounds = belief.bounds(&cases.values, passes, args.seed, (bars, "nothing was written"))?;
    let column = tables::column(&bounds)?;
    let blocks = rows::blocks(&column).map(|block| Ok(vec![block?]));
    let named = vec![single("log_likelihood_bound")];
    let table = FeatureTable::of(named, &cases.rows, &cases.examples, cases.class_names.as_deref());
    args.write(&table, blocks, || cases.source.clone())
}

impl Score {
    /// Writes the table to the file that was named, or as text to standard output. `source` is where the cases come from.
    fn write(
        &self,
        table: &FeatureTable<'_>,
        blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
        source: impl FnOnce() -> String,
    ) -> Result<()> {
        match &self.out {
            Some(out) => output::line(tables::write(out, table, blocks).with_context(source)?),
            None => tables::print(table, blocks),
        }
    }
}

/// A feature of one number a case.
fn single(name: &str) -> (String, FeatureNames) {
    (name.to_owned(), FeatureNames::Numbered(1))
}

/// log p of each case and its error, a column each.
fn with_error(log_p: &[f64], log_partition: &Estimate) -> Result<Vec<Tensor>> {
    Ok(vec![tables::column(log_p)?, tables::column(&vec![log_partition.error; log_p.len()])?])
}

/// A network, the cases that it scores, and log Z.
struct ScoredNetwork<'a> {
    args: &'a Score,
    model: Model,
    examples: Examples,
    /// The number of every case in its source, from 0.
    rows: Vec<u32>,
    /// log Z, where it is known and may be quoted.
    log_partition: Option<Estimate>,
}

impl<'a> ScoredNetwork<'a> {
    fn of(args: &'a Score) -> Result<Self> {
        let model = inputs::load_model(&args.run, &args.place.find()?)?;
        let (data, cases) = (args.data.as_deref(), Some(args.cases));
        let (examples, rows) =
            inputs::find_numbered(&args.run, &model, data, &args.data_options, cases)?;
        let log_partition = log_partition_of(args, &model, &examples)?;
        Ok(Self { args, model, examples, rows, log_partition })
    }

    /// A line a case.
    fn of_cases(&self) -> Result<()> {
        let Self { args, model, examples, rows, .. } = self;
        let sampling = Sampling { passes: args.passes.unwrap_or(PASSES) as usize, seed: args.seed };
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
        let mut named = vec![single("free_energy")];
        if self.log_partition.is_some() {
            let bound =
                if model.dbn.depth() > 1 { "log_likelihood_bound" } else { "log_likelihood" };
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
        let table = FeatureTable::of(named, rows, examples, model.class_names.as_deref());
        args.write(&table, blocks, || self.source())
    }

    /// log p of each case and its error, a column each, where log Z is known.
    fn log_likelihood(&self, scores: &Scores) -> Result<Vec<Tensor>> {
        let Some(log_partition) = &self.log_partition else { return Ok(Vec::new()) };
        with_error(&scores.log_likelihood(&self.model, log_partition)?, log_partition)
    }
}

/// A Boltzmann machine, the cases that it scores, and log Z.
struct ScoredMachine<'a> {
    args: &'a Score,
    machine: LearnedMachine,
    cases: MachineCases,
    /// log Z, where it is known and may be quoted.
    log_partition: Option<Estimate>,
}

impl<'a> ScoredMachine<'a> {
    fn of(args: &'a Score, bars: &MultiProgress) -> Result<Self> {
        let machine = LearnedMachine::open(&args.run)?;
        let cases = machine.cases(args.data.as_deref(), &args.data_options, Some(args.cases))?;
        let graph = machine.learner.graph().ok();
        let exact = exact_log_partition(machine.learner.machine(), graph.as_ref(), bars)?;
        let log_partition = known_log_partition(&args.run, exact)?;
        Ok(Self { args, machine, cases, log_partition })
    }

    /// A line a case: free energy, log p where log Z is known, and the pseudo-likelihood where no hidden units are coupled.
    fn of_cases(&self) -> Result<()> {
        let (learner, cases) = (&self.machine.learner, &self.cases);
        let first = learner.posterior(&cases.values.narrow(0, 0, 1)?)?;
        let is_bound = first.summation != Summation::Exact;
        if is_bound {
            output::note(
                "hidden units are coupled and too many to be counted: free energies are upper bounds, by mean field",
            );
        }
        let mut named = vec![single("free_energy")];
        if self.log_partition.is_some() {
            let name = if is_bound { "log_likelihood_bound" } else { "log_likelihood" };
            named.extend([single(name), single("log_likelihood_error")]);
        }
        if learner.has_pseudo_likelihood() {
            named.push(single("pseudo_likelihood"));
        }
        let blocks = rows::blocks(&cases.values).map(|block| -> Result<Vec<Tensor>> {
            let block = block?;
            // Of the data's own values, so that log p is −F − log Z.
            let energies = learner.posterior(&block)?.free_energies.into_iter();
            let energies: Vec<f64> = energies.map(|energy| energy + cases.log_volume).collect();
            let mut columns = vec![tables::column(&energies)?];
            columns.extend(self.log_likelihood(&energies)?);
            if let Some(found) = learner.pseudo_likelihoods(&block)? {
                let found = found.into_iter().map(|x| x - cases.log_volume);
                columns.push(tables::column(&found.collect::<Vec<_>>())?);
            }
            Ok(columns)
        });
        let table =
            FeatureTable::of(named, &cases.rows, &cases.examples, cases.class_names.as_deref());
        self.args.write(&table, blocks, || self.source())
    }

    /// log p of cases of these free energies and its error, a column each, where log Z is known.
    fn log_likelihood(&self, energies: &[f64]) -> Result<Vec<Tensor>> {
        let Some(log_partition) = &self.log_partition else { return Ok(Vec::new()) };
        let log_p = energies.iter().map(|energy| -energy - log_partition.value);
        with_error(&log_p.collect::<Vec<_>>(), log_partition)
    }
}

/// What scores sequences: a network or a Boltzmann machine.
trait SequenceScorer {
    /// The sequences, and the number of each in its source.
    fn sequences(&self) -> (&Examples, &[u32]);

    /// One of them as the model takes it.
    fn sequence(&self, at: usize) -> Result<Tensor>;

    /// Their free energies, and log p and its error where log Z is known, a column each.
    fn scores(&self, sequences: &Tensor) -> Result<(Vec<f64>, Vec<Tensor>)>;

    /// Where they come from.
    fn source(&self) -> String;
}

impl SequenceScorer for ScoredNetwork<'_> {
    fn sequences(&self) -> (&Examples, &[u32]) {
        (&self.examples, &self.rows)
    }

    fn sequence(&self, at: usize) -> Result<Tensor> {
        Ok(self.model.prepare(&self.examples.cases.block(at..at + 1)?)?)
    }

    fn scores(&self, sequences: &Tensor) -> Result<(Vec<f64>, Vec<Tensor>)> {
        let scores = Scores::free_energies(&self.model, sequences)?;
        let log_likelihood = self.log_likelihood(&scores)?;
        Ok((scores.free_energy, log_likelihood))
    }

    fn source(&self) -> String {
        inputs::source(self.args.data.as_deref(), &self.args.run)
    }
}

impl SequenceScorer for ScoredMachine<'_> {
    fn sequences(&self) -> (&Examples, &[u32]) {
        (&self.cases.examples, &self.cases.rows)
    }

    fn sequence(&self, at: usize) -> Result<Tensor> {
        Ok(self.cases.values.narrow(0, at, 1)?)
    }

    fn scores(&self, sequences: &Tensor) -> Result<(Vec<f64>, Vec<Tensor>)> {
        let posterior = self.machine.learner.posterior(sequences)?;
        ensure!(
            posterior.summation == Summation::Exact,
            "--mutants, --scan: hidden units are coupled and too many to be counted: bounds would be compared"
        );
        let log_likelihood = self.log_likelihood(&posterior.free_energies)?;
        Ok((posterior.free_energies, log_likelihood))
    }

    fn source(&self) -> String {
        self.cases.source.clone()
    }
}

/// Writes a line a sequence with one letter changed.
fn write_mutants(
    args: &Score,
    scorer: &impl SequenceScorer,
    letters: &Alphabet,
    bars: &MultiProgress,
) -> Result<()> {
    let (examples, rows) = scorer.sequences();
    let (mut names, mut numbers, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
    let bar = bars.add(ProgressBar::new_spinner());
    bar.set_style(progress::style("{spinner} {human_pos} mutants, {per_sec}"));
    for (at, &row) in rows.iter().enumerate() {
        let sequence = scorer.sequence(at)?;
        let codes = mutants::codes(&sequence, letters)?;
        let changes = mutants::changes(&args.mutants, &codes, letters)?;
        let wild = scorer.scores(&sequence)?.0[0];
        for changes in changes.chunks(rows::BLOCK) {
            let mutated =
                mutants::rows_of(&codes, changes, letters)?.to_device(sequence.device())?;
            let (energies, log_likelihood) = scorer.scores(&mutated)?;
            bar.inc(changes.len() as u64);
            let ratios: Vec<f64> = energies.iter().map(|energy| wild - energy).collect();
            let mut columns = vec![tables::column(&ratios)?, tables::column(&energies)?];
            columns.extend(log_likelihood);
            blocks.push(columns);
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
    let columns = ["log_ratio", "free_energy", "log_likelihood", "log_likelihood_error"];
    let named = columns[..blocks[0].len()].iter().copied().map(single).collect();
    let (names, class_names) = (Some(&names[..]), None);
    let table = FeatureTable { named, rows: &numbers, labels: None, names, class_names };
    args.write(&table, blocks.into_iter().map(Ok), || scorer.source())
}

/// log Z of a network where it is known and may be quoted, and the cases have a probability. Notes what it rests on, or what is missing.
fn log_partition_of(args: &Score, model: &Model, part: &Examples) -> Result<Option<Estimate>> {
    if part.cases.has_missing()? {
        output::note("missing values are filled in: numbers are of the filled cases");
        return left_out("of cases with missing values the model gives no log p(v)");
    }
    if let Err(error) = likelihood::check_configurations(model, &model.prepare_cases(&part.cases)?)
    {
        return left_out(&error.to_string());
    }
    known_log_partition(&args.run, likelihood::exact_log_partition(model)?)
}

/// Notes why there is no log p.
fn left_out(why: &str) -> Result<Option<Estimate>> {
    output::note(format!("log_likelihood is left out: {why}"));
    Ok(None)
}

/// log Z of the model in the folder `run`: `exact`, or kept by `dbn evaluate --likelihood --both`. Notes what it rests on, or what is
/// missing.
fn known_log_partition(run: &Path, exact: Option<Estimate>) -> Result<Option<Estimate>> {
    if let Some(exact) = exact {
        output::note(format!("log Z {:.4}, exact", exact.value));
        return Ok(Some(exact));
    }
    let advice = format!("dbn evaluate {} --likelihood --both", run.display());
    let kept = match KeptPartition::of(inputs::work_dir(run), run) {
        Err(damaged @ candle_dbn::Error::File { .. }) => return left_out(&damaged.to_string()),
        kept => kept?,
    };
    let Some(kept) = kept else {
        return left_out(&format!("log Z is not known (find and keep it with: {advice})"));
    };
    match kept.quotable(TOLERANCE) {
        Some(found) => {
            output::note(format!(
                "log Z {:.4} ± {:.4}, both sides agree (seed {}, {} chains, {} inverse temperatures)",
                found.value,
                found.error,
                kept.options.seed,
                kept.options.chains,
                kept.options.betas
            ));
            Ok(Some(found))
        }
        None => left_out(&format!(
            "what is kept of log Z is from one side, or its sides disagree (find it with: {advice})"
        )),
    }
}
