//! `dbn evaluate --likelihood`: log Z and log p(v), exact or from both sides; what was stopped goes on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use candle_core::Device;
use candle_dbn::estimate::likelihood::{
    self, BoundBasis, Likelihood, Passes, Sampling, TOLERANCE, Value, Verdict,
};
use candle_dbn::estimate::{KEPT, KeptPartition};
use candle_dbn::store::results::MeasurementSet;
use candle_dbn::{Examples, Model};
use indicatif::MultiProgress;
use rbm_core::estimate::{
    AisEstimates, AisOptions, AisRecord, BidirectionalAis, Estimate, TemperingConfig,
};
use rbm_core::model::Boltzmann;
use rbm_core::sampling::AnnealingPath;
use rbm_core::{Checkpoint, Rng};
use serde::Serialize;

use super::subject::{self, Subject};
use crate::interrupt;
use crate::{inputs, output, progress};

/// How to find log p(v).
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Likelihood")]
pub struct LikelihoodOptions {
    /// Find log p(v) of a single machine, or a lower bound on it for a stack: with log Z exact where one side of the top machine
    /// has at most 25 binary units, else by annealed importance sampling
    #[arg(long)]
    pub likelihood: bool,
    /// Come from the other side too: tempering, Bennett's ratio, annealing backwards from equilibrium samples
    #[arg(long, requires = "likelihood")]
    pub both: bool,
    /// Sampled up-passes of each case behind the bound of a stack [default: 10], or of a belief net [default: 1000]
    #[arg(long, value_name = "N", requires = "likelihood", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub passes: Option<u32>,
    /// Estimate even where the exact value is within reach
    #[arg(long, requires = "likelihood")]
    pub estimate: bool,
    /// Count log Z, or fail: nothing is estimated
    #[arg(long, requires = "likelihood", conflicts_with_all = ["estimate", "both"])]
    pub exact: bool,
    /// Chains of annealed importance sampling in each direction [default: 100]
    #[arg(long, value_name = "N", requires = "likelihood", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub chains: Option<u32>,
    /// Inverse temperatures of annealed importance sampling [default: 14500]
    #[arg(long, value_name = "N", requires = "likelihood", value_parser = clap::value_parser!(u32).range(2..=100_000_000))]
    pub betas: Option<u32>,
    /// The most sweeps of tempering, to burn in and to sample [default: 5000]
    #[arg(long, value_name = "N", requires = "both", value_parser = clap::value_parser!(u32).range(1..))]
    pub sweeps: Option<u32>,
    /// Nats that the two sides may be apart and still agree [default: 1]
    #[arg(long, value_name = "NATS", requires = "both")]
    pub tolerance: Option<f64>,
    /// Seconds between checkpoints of an estimation; 0 takes one after every step [default: 10]
    #[arg(long, value_name = "SECONDS", requires = "likelihood")]
    pub checkpoint_every: Option<f64>,
}

/// How often it is written, in seconds.
pub const EVERY: f64 = 10.0;

/// How log Z is found: arguments with the defaults of the library.
pub struct LikelihoodPlan {
    pub options: AisOptions,
    /// Nats that the two sides may be apart and still agree.
    pub tolerance: f64,
    /// Sampled up-passes behind the bound of a stack, where a number was asked for.
    pub passes: Option<usize>,
    /// Whether it is estimated even where the exact value is within reach.
    pub is_estimated: bool,
    /// Whether it is counted or nothing.
    pub is_counted: bool,
    /// Seconds between checkpoints.
    pub every: f64,
}

impl LikelihoodPlan {
    pub fn of(args: &LikelihoodOptions, seed: u64) -> Self {
        let default = AisOptions::default();
        let by = |asked: Option<u32>, default| asked.map_or(default, |n| n as usize);
        let chains = by(args.chains, default.chains);
        let tempering = TemperingConfig {
            samples: chains,
            sweeps: by(args.sweeps, default.tempering.sweeps),
            ..default.tempering
        };
        let betas = by(args.betas, default.betas);
        Self {
            options: AisOptions { chains, betas, both: args.both, tempering, seed },
            tolerance: args.tolerance.unwrap_or(TOLERANCE),
            passes: args.passes.map(|passes| passes as usize),
            is_estimated: args.estimate,
            is_counted: args.exact,
            every: args.checkpoint_every.unwrap_or(EVERY),
        }
    }

    /// Errors where log Z is to be counted and cannot be.
    pub fn check_counted(&self, exact: Option<&Estimate>) -> Result<()> {
        ensure!(
            exact.is_some() || !self.is_counted,
            "--exact: expected a log Z that can be counted, found a model that is too large (--both estimates it)"
        );
        Ok(())
    }
}

/// Finds the log-likelihood of the examples, prints it, draws what was asked for, and keeps the numbers.
pub fn run(subject: &Subject, plan: &LikelihoodPlan, bars: &MultiProgress) -> Result<()> {
    let MeasuredLikelihood { likelihood, estimate } = measure(subject, plan, bars)?;
    match subject.json {
        true => output::json(&likelihood)?,
        false => print(&likelihood)?,
    }
    if let Some(dir) = &subject.report {
        let samples = estimate.as_ref().and_then(|(sides, _)| sides.samples());
        let mut rng = Rng::new(subject.seed);
        let samples =
            samples.map(|x| subject.model.dbn.decode_from_top(x, &mut rng)).transpose()?;
        subject::report(dir, subject, &likelihood, samples.as_ref())?;
        if let Some((sides, _)) = &estimate {
            charts(dir, subject, &plan.options, sides, &likelihood)?;
        }
    }
    if let Some((_, checkpoint)) = &estimate {
        checkpoint.finish()?;
    }
    subject.keep(|on| MeasurementSet::of_likelihood(&likelihood, on, subject.seed));
    Ok(())
}

/// Finds the log-likelihood of the examples, and neither prints nor keeps it.
pub fn find(subject: &Subject, plan: &LikelihoodPlan, bars: &MultiProgress) -> Result<Likelihood> {
    let MeasuredLikelihood { likelihood, estimate } = measure(subject, plan, bars)?;
    if let Some((_, checkpoint)) = estimate {
        checkpoint.finish()?;
    }
    Ok(likelihood)
}

/// A log-likelihood, and the estimation that it comes from if it was made now.
struct MeasuredLikelihood<'a> {
    likelihood: Likelihood,
    estimate: Option<(BidirectionalAis<'a>, EstimateCheckpoint)>,
}

/// What is found of log Z alone.
#[derive(Serialize)]
struct LogPartition {
    exact: Option<Estimate>,
    forward: Option<Estimate>,
    bridge: Option<Estimate>,
    reverse: Option<Estimate>,
    verdict: Verdict,
}

/// Finds log Z of a model without any data, on a path that begins at its units' own biases, and prints it.
pub fn of_model(
    model: &Model,
    run: &Path,
    plan: &LikelihoodPlan,
    is_json: bool,
    bars: &MultiProgress,
) -> Result<()> {
    output::note(
        "no data are named: this is log Z alone, on a path that begins at the units' own biases",
    );
    let exact = likelihood::exact_log_partition(model)?;
    plan.check_counted(exact.as_ref())?;
    let found = match plan.is_estimated || exact.is_none() {
        true => {
            let (options, place) = (plan.options, inputs::work_dir(run));
            let machine = model.dbn.top();
            let path = AnnealingPath::from_biases(machine)?;
            let (sides, checkpoint) = estimate(&place, machine, path, plan, bars)?;
            KeptPartition::keep(&place, run, options, sides.found())?;
            checkpoint.finish()?;
            sides.found().clone()
        }
        false => AisEstimates::default(),
    };
    show_log_partition(exact, found, plan.tolerance, is_json)
}

/// Prints what is known of log Z alone.
pub fn show_log_partition(
    exact: Option<Estimate>,
    found: AisEstimates,
    tolerance: f64,
    is_json: bool,
) -> Result<()> {
    let verdict = match found.forward {
        Some(_) => Verdict::of_log_partition(&found, tolerance),
        None => Verdict::Exact,
    };
    let AisEstimates { forward, bridge, reverse, .. } = found;
    let found = LogPartition { exact, forward, bridge, reverse, verdict };
    if is_json {
        return output::json(&found);
    }
    let row = |name: &str, estimate: &Option<Estimate>| {
        let Estimate { value, error, .. } = (*estimate)?;
        Some(vec![name.to_owned(), format!("{value:.4}"), format!("{error:.4}")])
    };
    let rows = [
        row("exact", &found.exact),
        row("forward annealing", &found.forward),
        row("bridge over the ladder", &found.bridge),
        row("reverse annealing", &found.reverse),
    ];
    let header = ["", "log Z, nats", "standard error"];
    output::line(output::table(&header, rows.into_iter().flatten().collect()))?;
    output::line(format!("verdict: {}", found.verdict))
}

/// Finds the log-likelihood of the examples.
fn measure<'a>(
    subject: &'a Subject,
    plan: &LikelihoodPlan,
    bars: &MultiProgress,
) -> Result<MeasuredLikelihood<'a>> {
    let Subject { run, model, examples, .. } = subject;
    let LikelihoodPlan { options, tolerance, .. } = *plan;
    let cases = model.prepare_cases(&examples.cases)?;
    let prepared = Examples { cases: cases.clone(), ..examples.clone() };
    likelihood::check_configurations(model, &cases)?;
    let is_stack = model.dbn.depth() > 1;
    ensure!(
        is_stack || plan.passes.is_none(),
        "--passes: expected with a stack, found a single machine"
    );
    ensure!(tolerance >= 0.0, "--tolerance: expected a number of at least 0, found {tolerance}");
    if let Some(dir) = &subject.report {
        output::make_folder(dir)?;
    }
    let passes = plan.passes.unwrap_or(Sampling::default().passes);
    let sampling = Sampling { passes, seed: subject.seed };
    if !plan.is_estimated
        && let Some(likelihood) = Likelihood::exact(model, &prepared, sampling)?
    {
        return Ok(MeasuredLikelihood { likelihood, estimate: None });
    }
    plan.check_counted(None)?;
    let of = |found: &AisEstimates| -> Result<Likelihood> {
        let found = Likelihood::from_sides(model, &prepared, sampling, found, tolerance)?;
        // Where it is within reach it stands beside the estimates, of the same passes.
        let exact = likelihood::exact_log_partition(model)?.zip(found.forward);
        let exact = exact.map(|(log_partition, forward)| forward.with(log_partition));
        Ok(Likelihood { exact, ..found })
    };
    let place = inputs::work_dir(run);
    // Charts are of samples, which are not kept.
    let kept = match subject.report {
        None => KeptPartition::of(&place, run)?,
        Some(_) => None,
    };
    if let Some(kept) = kept.filter(|kept| kept.options == options) {
        output::note(format!(
            "log Z is that of an earlier estimation with these options, kept in {} (delete it to estimate anew)",
            place.join(KEPT).display()
        ));
        // Left by a process that was killed when it had kept what it found.
        EstimateCheckpoint::new(&place, EVERY)?.finish()?;
        return Ok(MeasuredLikelihood { likelihood: of(&kept.found)?, estimate: None });
    }
    let path = likelihood::path(model, &cases)?;
    let (sides, checkpoint) = estimate(&place, model.dbn.top(), path, plan, bars)?;
    let likelihood = of(sides.found())?;
    KeptPartition::keep(&place, run, options, sides.found())?;
    Ok(MeasuredLikelihood { likelihood, estimate: Some((sides, checkpoint)) })
}

/// Prints a likelihood.
pub fn print(found: &Likelihood) -> Result<()> {
    let row = |name: &str, value: &Option<Value>, is_of_chains: bool| {
        let Value { log_likelihood, log_partition } = (*value)?;
        let samples = match log_partition.error {
            0.0 => "–".into(),
            _ if is_of_chains => format!("{:.0} chains", log_partition.effective_samples),
            _ => format!("{:.1} of {}", log_partition.effective_samples, log_partition.samples),
        };
        Some(vec![
            name.to_owned(),
            format!("{log_likelihood:.4}"),
            format!("{:.4}", log_partition.value),
            format!("{:.4}", log_partition.error),
            samples,
        ])
    };
    let rows = [
        row("exact", &found.exact, false),
        row("forward annealing", &found.forward, false),
        row("bridge over the ladder", &found.bridge, true),
        row("reverse annealing", &found.reverse, false),
    ];
    let what =
        if found.bound.is_some() { "bound on log p(v), nats" } else { "log p(v), nats a case" };
    let header = ["", what, "log Z", "standard error", "effective samples"];
    output::line(output::table(&header, rows.into_iter().flatten().collect()))?;
    if let Some(tempering) = &found.tempering {
        let least = tempering.acceptance.iter().copied().fold(1.0, f64::min);
        output::line(format!(
            "tempering: {} levels, swaps accepted {:.2} on average, {least:.2} at least, {} replicas came from β = 0 to β = 1 in {} sweeps",
            tempering.ladder.len(),
            tempering.acceptance.iter().sum::<f64>() / tempering.acceptance.len().max(1) as f64,
            tempering.arrivals,
            output::grouped(tempering.sweeps as u64),
        ))?;
    }
    if let Some(bound) = found.bound {
        output::line(match bound {
            BoundBasis::Passes(Passes { count, gain, error: Some(error) }) => format!(
                "the bound rests on {count} up-passes of each case (± {error:.3}); weighted by importance they raise it by {gain:.2}"
            ),
            BoundBasis::Passes(_) => {
                "the bound rests on one up-pass of each case, which does not tell its error".into()
            }
            BoundBasis::MeanField { mean_field_sweeps: sweeps, unsettled: 0 } => format!(
                "the bound is one-sided: mean field of the hidden units, settled after at most {sweeps} sweeps; log p(v) is at least this"
            ),
            BoundBasis::MeanField { mean_field_sweeps: sweeps, unsettled } => format!(
                "the bound is one-sided: mean field of the hidden units, after {sweeps} sweeps not settled for {unsettled} cases; log p(v) is at least this"
            ),
        })?;
    }
    output::line(format!(
        "cases {} (from case to case ± {:.2})",
        output::grouped(found.cases as u64),
        found.error_over_cases
    ))?;
    let of = if found.bound.is_some() { "a lower bound; log Z: " } else { "" };
    output::line(format!("verdict: {of}{}", found.verdict))
}

/// The charts that only an estimation has.
fn charts(
    dir: &Path,
    subject: &Subject,
    options: &AisOptions,
    sides: &BidirectionalAis,
    found: &Likelihood,
) -> Result<()> {
    let model = &subject.model;
    let cases = &model.prepare_cases(&subject.examples.cases)?;
    let path = dir.join("estimates.png");
    candle_dbn::viz::report::estimates(&path, model, cases, options, found, sides.samples())?;
    if let Some(tempering) = &found.tempering {
        let path = dir.join("acceptance.png");
        candle_dbn::viz::acceptance(&path, &tempering.ladder, &tempering.acceptance)?;
    }
    Ok(())
}

/// Estimates log Z, from one side or from both; a killed estimation goes on where its last checkpoint was taken.
pub fn estimate<'a>(
    place: &Path,
    machine: &'a dyn Boltzmann,
    path: AnnealingPath,
    plan: &LikelihoodPlan,
    bars: &MultiProgress,
) -> Result<(BidirectionalAis<'a>, EstimateCheckpoint)> {
    // Whoever reads below that it goes on may stop it.
    let _caught = interrupt::catch()?;
    let options = plan.options;
    let mut waiting = EstimateCheckpoint::new(place, plan.every)?;
    let resumed = match waiting.load()? {
        Some(Checkpoint { tensors, record }) => {
            let resumed =
                BidirectionalAis::resume(machine, path.clone(), options, &tensors, &record)?;
            ensure!(
                resumed.is_some(),
                "{}: an estimation with other options or cases waits here: repeat its command, or delete the file",
                waiting.path.display()
            );
            resumed
        }
        None => None,
    };
    let mut sides = match resumed {
        Some(sides) => {
            let (stage, percent) = (sides.stage(), 100.0 * sides.share_done());
            output::note(format!("going on with {stage} at {percent:.0} %"));
            sides
        }
        None => BidirectionalAis::new(machine, path, options)?,
    };
    // What follows the last step may fail or be stopped.
    let keep = |sides: &BidirectionalAis, is_now: bool| match is_now {
        true => waiting.save_now(sides),
        false => waiting.save(sides),
    };
    progress::estimate(&mut sides, bars, "the same command goes on from here", keep)?;
    Ok((sides, waiting))
}

/// The file in which an estimation that is not finished waits.
const CHECKPOINT: &str = "likelihood.checkpoint.safetensors";

/// The checkpoint of an estimation that is not finished.
pub struct EstimateCheckpoint {
    /// The file.
    pub path: PathBuf,
    every: Duration,
    written: Instant,
}

impl EstimateCheckpoint {
    /// In the folder of the model; `every` is in seconds.
    pub fn new(run: &Path, every: f64) -> Result<Self> {
        let every = Duration::try_from_secs_f64(every).map_err(|_| {
            anyhow!("--checkpoint-every: expected seconds of at least 0, found {every}")
        })?;
        output::make_folder(run)?;
        Ok(Self { path: run.join(CHECKPOINT), every, written: Instant::now() })
    }

    /// What an earlier process left, if anything.
    pub fn load(&self) -> Result<Option<Checkpoint<AisRecord>>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let checkpoint = Checkpoint::load(&self.path, &Device::Cpu);
        Ok(Some(
            checkpoint
                .map_err(|e| anyhow!("{e} (delete the file to begin the estimation anew)"))?,
        ))
    }

    /// Writes a checkpoint if it is time for one.
    pub fn save(&mut self, sides: &BidirectionalAis) -> Result<()> {
        match self.written.elapsed() < self.every {
            true => Ok(()),
            false => self.save_now(sides),
        }
    }

    /// Writes a checkpoint.
    pub fn save_now(&mut self, sides: &BidirectionalAis) -> Result<()> {
        let (tensors, record) = sides.checkpoint()?;
        Checkpoint { tensors, record }.save(&self.path)?;
        self.written = Instant::now();
        Ok(())
    }

    /// Takes the file away.
    pub fn finish(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| self.path.display().to_string())
            }
            _ => Ok(()),
        }
    }
}
