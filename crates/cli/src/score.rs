//! `dbn score`

use anyhow::{Context, Result, ensure};
use candle_core::{D, DType, Device, Tensor};
use candle_dbn::data::Alphabet;
use candle_dbn::estimate::KeptPartition;
use candle_dbn::estimate::likelihood::{self, Sampling, Scores, TOLERANCE};
use candle_dbn::{Examples, Model};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::estimate::Estimate;
use rbm_core::ops::device::is_finite;
use rbm_core::{Rows, rows};

use crate::args::Score;
use crate::output::{self, Usage};
use crate::tables::{self, Columns, Table};
use crate::{cases, device, model, mutants, progress, sample};

/// Writes what the model says of every case.
pub fn run(args: &Score, bars: &MultiProgress) -> Result<()> {
    mutants::check(&args.mutants).map_err(Usage::of)?;
    if let Some(out) = &args.out {
        tables::check(out, args.force)?;
    }
    let model = model::load(&args.run, &device::find(&args.place.device)?)?;
    let data = args.data.as_deref();
    let (part, rows) =
        cases::find_numbered(&args.run, &model, data, &args.data_options, Some(args.cases))?;
    let log_partition = log_partition(args, &model, &part)?;
    match args.scan || !args.mutants.is_empty() {
        true => of_mutants(args, &model, &part, &rows, log_partition.as_ref(), bars),
        false => of_cases(args, &model, &part, &rows, log_partition.as_ref()),
    }
}

/// log Z where it is known and may be quoted, and the cases have a probability. What it rests on, or what is missing, is said.
fn log_partition(args: &Score, model: &Model, part: &Examples) -> Result<Option<Estimate>> {
    let left_out = |why: String| {
        output::note(format!("log_likelihood is left out: {why}"));
        Ok(None)
    };
    if part.cases.has_missing()? {
        output::note("missing values are filled in: numbers are of the filled cases");
        return left_out("of cases with missing values the model gives no log p(v)".into());
    }
    if let Err(error) = likelihood::check_configurations(model, &model.prepare_cases(&part.cases)?)
    {
        return left_out(error.to_string());
    }
    if let Some(exact) = likelihood::exact_log_partition(model)? {
        output::note(format!("log Z {:.4}, exact", exact.value));
        return Ok(Some(exact));
    }
    let advice = format!("dbn evaluate {} --likelihood --both", args.run.display());
    let kept = match KeptPartition::of(model::work_dir(&args.run), &args.run) {
        Err(damaged @ candle_dbn::Error::File { .. }) => return left_out(damaged.to_string()),
        kept => kept?,
    };
    let Some(kept) = kept else {
        return left_out(format!("log Z is not known (find and keep it with: {advice})"));
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
        None => left_out(format!(
            "what is kept of log Z is from one side, or its sides disagree (find it with: {advice})"
        )),
    }
}

fn sampling(args: &Score) -> Sampling {
    Sampling { passes: args.passes as usize, seed: args.seed }
}

fn of_cases(
    args: &Score,
    model: &Model,
    part: &Examples,
    rows: &[u32],
    log_partition: Option<&Estimate>,
) -> Result<()> {
    let blocks = rows::blocks(&part.cases).map(|block| {
        let prepared = model.prepare(&block?)?;
        let scores = Scores::of(model, &prepared, sampling(args))?;
        let mut columns = vec![column(&scores.free_energy)?];
        columns.extend(log_likelihood(&scores, model, log_partition)?);
        if let Some(pseudo_likelihood) = &scores.pseudo_likelihood {
            columns.push(column(pseudo_likelihood)?);
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
    let single = |name: &str| (name.to_owned(), Columns::Numbered(1));
    let mut named = vec![single("free_energy")];
    if log_partition.is_some() {
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
        named.push(("probability".to_owned(), Columns::Named(names)));
    }
    if model.regressor.is_some() {
        named.push(single("prediction"));
    }
    let table = Table {
        named,
        rows,
        labels: part.labels.as_deref(),
        names: part.names.as_deref(),
        class_names: model.class_names.as_deref(),
    };
    write(args, &table, blocks)
}

fn of_mutants(
    args: &Score,
    model: &Model,
    part: &Examples,
    rows: &[u32],
    log_partition: Option<&Estimate>,
    bars: &MultiProgress,
) -> Result<()> {
    let letters = sample::letters(model, "--mutants, --scan")?;
    ensure!(
        model.dbn.rbms.len() == 1,
        "--mutants, --scan: expected a single machine: of a stack bounds would be compared"
    );
    let (mut names, mut numbers, mut scored) = (Vec::new(), Vec::new(), Vec::new());
    let bar = bars.add(ProgressBar::new_spinner());
    bar.set_style(progress::style("{spinner} {human_pos} mutants, {per_sec}"));
    for (at, &row) in rows.iter().enumerate() {
        let case = model.prepare(&part.cases.block(at..at + 1)?)?;
        let codes = codes(&case, &letters)?;
        let changes = match args.scan {
            true => mutants::all(&codes, &letters),
            false => mutants::named(&args.mutants, &codes, &letters)?,
        };
        let wild = Scores::free_energies(model, &case)?.free_energy[0];
        for changes in changes.chunks(rows::BLOCK) {
            let mutated = mutants::rows(&codes, changes, &letters)?.to_device(case.device())?;
            let scores = Scores::free_energies(model, &mutated)?;
            bar.inc(changes.len() as u64);
            let ratios: Vec<f64> = scores.free_energy.iter().map(|energy| wild - energy).collect();
            let mut columns = vec![column(&ratios)?, column(&scores.free_energy)?];
            columns.extend(log_likelihood(&scores, model, log_partition)?);
            scored.push(columns);
            numbers.extend(changes.iter().map(|_| row));
            let before = match &part.names {
                Some(names) if rows.len() > 1 => format!("{} ", names[at]),
                _ => String::new(),
            };
            names.extend(changes.iter().map(|change| format!("{before}{}", change.name())));
        }
    }
    bar.finish_and_clear();
    ensure!(!names.is_empty(), "--scan: expected sequences with letters, found none but gaps");
    let mut named: Vec<_> = vec!["log_ratio", "free_energy"];
    if log_partition.is_some() {
        named.extend(["log_likelihood", "log_likelihood_error"]);
    }
    let named = named.into_iter().map(|name| (name.to_owned(), Columns::Numbered(1))).collect();
    let table =
        Table { named, rows: &numbers, labels: None, names: Some(&names), class_names: None };
    write(args, &table, scored.into_iter().map(Ok))
}

/// log p of each case and its error, a column each, where log Z is known.
fn log_likelihood(
    scores: &Scores,
    model: &Model,
    log_partition: Option<&Estimate>,
) -> Result<Vec<Tensor>> {
    let Some(log_partition) = log_partition else { return Ok(Vec::new()) };
    let log_p = scores.log_likelihood(model, log_partition)?;
    Ok(vec![column(&log_p)?, column(&vec![log_partition.error; log_p.len()])?])
}

/// The state of each site of a case `(1, sites * states)`.
fn codes(case: &Tensor, letters: &Alphabet) -> Result<Vec<usize>> {
    let sites = case.reshape((case.elem_count() / letters.states(), letters.states()))?;
    let codes = sites.argmax(D::Minus1)?.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
    Ok(codes.into_iter().map(|code| code as usize).collect())
}

/// Numbers of cases as a column `(n, 1)`.
fn column(numbers: &[f64]) -> Result<Tensor> {
    let column = Tensor::from_slice(numbers, (numbers.len(), 1), &Device::Cpu)?;
    ensure!(
        is_finite(&column)?,
        "expected values like those that the model learned from, found some whose energies are infinite"
    );
    Ok(column.to_dtype(DType::F32)?)
}

/// Writes the table to the file that was named, or as text to standard output.
fn write(
    args: &Score,
    table: &Table<'_>,
    blocks: impl Iterator<Item = Result<Vec<Tensor>>>,
) -> Result<()> {
    let source = || cases::source(args.data.as_deref(), &args.run);
    match &args.out {
        Some(out) => output::line(tables::write(out, table, blocks).with_context(source)?),
        None => tables::print(table, blocks),
    }
}
