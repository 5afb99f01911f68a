//! Reproductions that train one machine by a command, and measure what it has learned by others.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_dbn::store::results::{DataPart, MeasurementSet, Results, Unit};
use indicatif::MultiProgress;
use rbm_core::state::write_whole;
use serde::Serialize;

use super::machines::RESULT;
use crate::commands::{contacts, train};
use crate::inputs::{Cases, DataOptions, parsed, text};
use crate::machines::LearnedMachine;
use crate::output;

/// One of them.
pub struct TrainedMachine {
    pub name: &'static str,
    pub what: &'static str,
    pub theirs: &'static str,
    pub takes: &'static str,
    run: fn(&TrainedMachine, Asked, &MultiProgress, bool) -> Result<()>,
}

/// What the user asks for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    data: Option<&'a str>,
    seed: u64,
    dir: &'a Path,
}

/// All of them.
pub const KNOWN: &[TrainedMachine] = &[
    TrainedMachine {
        name: "rf00379",
        what: "Pearson of connected correlations and log p(v) a site of a Potts machine, and its contacts, RF00379",
        theirs: "0.952 and -0.706 nats a site (adabmDCA, of another split)",
        takes: "a quarter of an hour",
        run: reproduce_contacts,
    },
    TrainedMachine {
        name: "dbm",
        what: "a bound on log p(v) with both sides of log Z, and the error of the classifier unrolled from it, MNIST 784-500-1000",
        theirs: "-84.62 (log Z from one side) and 0.95 % (Salakhutdinov, Hinton 2009)",
        takes: "2 hours",
        run: reproduce_deep,
    },
];

/// Runs one, in the folder that is named or one of its own.
pub fn run(
    known: &TrainedMachine,
    (seed, data, out): (u64, Option<&str>, Option<&Path>),
    bars: &MultiProgress,
    quiet: bool,
) -> Result<()> {
    let folder = || PathBuf::from(format!("runs/reproduce-{}-{seed}", known.name));
    let dir = out.map_or_else(folder, Path::to_path_buf);
    (known.run)(known, Asked { data, seed, dir: &dir }, bars, quiet)
        .with_context(|| known.name.to_owned())
}

fn json(path: &Path) -> Result<serde_json::Value> {
    serde_json::from_slice(&fs::read(path)?).with_context(|| path.display().to_string())
}

/// The last that a run has measured of the cases held out.
fn measured_of_held_out(dir: &Path) -> Result<Option<MeasurementSet>> {
    let measured = Results::read(dir)?.measured;
    Ok(measured.into_iter().rev().find(|set| set.dataset.part == DataPart::HeldOut))
}

/// What that of an alignment came to.
#[derive(Debug, Serialize)]
struct ReproducedAlignment<'a> {
    name: &'a str,
    data: &'a str,
    seed: u64,
    theirs: &'a str,
    /// Of chains that were started anew, the last time that it was looked at; none where the target was not reached.
    pearson: Option<f64>,
    updates: usize,
    /// Of learning alone.
    training_seconds: f64,
    /// What was measured of the held-out cases.
    held_out: Option<MeasurementSet>,
    sites: Option<u64>,
}

/// What that of a deep machine came to.
#[derive(Debug, Serialize)]
struct ReproducedDeepMachine<'a> {
    name: &'a str,
    data: &'a str,
    seed: u64,
    theirs: &'a str,
    /// What was measured of the held-out cases: the bound on log p(v).
    held_out: Option<MeasurementSet>,
    /// Of the classifier on these, percent.
    classifier_error: Option<f64>,
}

/// Where adabmDCA ends.
const TARGET: f64 = 0.952;

/// `dbn train --model bm` to Pearson 0.952 with the settings of adabmDCA, then `dbn contacts`.
fn reproduce_contacts(
    known: &TrainedMachine,
    asked: Asked,
    bars: &MultiProgress,
    quiet: bool,
) -> Result<()> {
    let (seed, dir) = (asked.seed, asked.dir);
    let data = asked.data.context("name its alignment with --data")?;
    let (out, seed) = (text(dir)?, seed.to_string());
    let words = ["dbn", "train", data, "--model", "bm", "--weights", "identity:0.8"];
    let target = format!("target_pearson={TARGET}");
    let settings = ["--set", &target, "--set", "chains=2000"];
    let words = [&words[..], &settings, &["--seed", &seed, "--out", out]].concat();
    output::note(words.join(" "));
    train::run(&parsed(&words)?, bars, quiet)?;
    let words = ["dbn", "contacts", out, "--force"];
    output::note(words.join(" "));
    contacts::run(&parsed(&words)?)?;
    let metrics = fs::read_to_string(dir.join("metrics.jsonl"))?;
    let lines =
        metrics.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let lines: Vec<_> = lines.collect();
    let seconds: f64 = lines.iter().filter_map(|line| line["seconds"].as_f64()).sum();
    let pearson = lines.iter().rev().find_map(|line| line["resampled_pearson"].as_f64());
    let found = ReproducedAlignment {
        name: known.name,
        data,
        seed: asked.seed,
        theirs: known.theirs,
        pearson,
        updates: lines.len(),
        training_seconds: seconds,
        held_out: measured_of_held_out(dir)?,
        sites: json(&dir.join("config.json"))?["visible"]["sites"].as_u64(),
    };
    write_whole(&dir.join(RESULT), &serde_json::to_vec_pretty(&found)?)?;
    let pearson = match pearson {
        Some(pearson) if pearson >= TARGET => format!("{pearson:.4}"),
        Some(pearson) => format!("{pearson:.4}, below the target,"),
        None => "not looked at".to_owned(),
    };
    output::line(format!(
        "Pearson {pearson} after {} updates in {seconds:.0} s of learning (adabmDCA: 0.952); learning.png has the way, contacts/ the map",
        lines.len()
    ))?;
    match found.least_of_a_site() {
        Some(least) => output::line(format!(
            "held-out log p(v) {least:.4} nats a site, the lowest of the sides of log Z (adabmDCA: -0.706, of another split)"
        )),
        None => Ok(()),
    }
}

impl ReproducedAlignment<'_> {
    /// The lowest mean of log p(v) of the held-out cases that a side of log Z gives, nats a site.
    fn least_of_a_site(&self) -> Option<f64> {
        let numbers = self.held_out.as_ref()?.numbers.iter();
        let of_cases = numbers.filter(|number| number.unit == Unit::NatsPerCase);
        Some(of_cases.map(|number| number.value).reduce(f64::min)? / self.sites? as f64)
    }
}

/// `dbn train --recipe dbm`, which measures what it has learned.
fn reproduce_deep(
    known: &TrainedMachine,
    asked: Asked,
    bars: &MultiProgress,
    quiet: bool,
) -> Result<()> {
    let (seed, dir) = (asked.seed, asked.dir);
    let data = asked.data.context("name the folder of MNIST with --data")?;
    let (out, seed) = (text(dir)?, seed.to_string());
    let words = ["dbn", "train", data, "--recipe", "dbm", "--seed", &seed, "--out", out];
    output::note(words.join(" "));
    train::run(&parsed(&words)?, bars, quiet)?;
    let machine = LearnedMachine::open(dir)?;
    let cases = machine.cases(None, &DataOptions::default(), Some(Cases::HeldOut))?;
    let percent = |errors: usize| 100.0 * errors as f64 / cases.examples.len().max(1) as f64;
    let classifier_error = machine.classifier_errors(&cases, bars)?.map(percent);
    let held_out = measured_of_held_out(dir)?;
    let (name, theirs) = (known.name, known.theirs);
    let found =
        ReproducedDeepMachine { name, data, seed: asked.seed, theirs, held_out, classifier_error };
    write_whole(&dir.join(RESULT), &serde_json::to_vec_pretty(&found)?)?;
    output::line(format!("theirs: {theirs}"))
}
