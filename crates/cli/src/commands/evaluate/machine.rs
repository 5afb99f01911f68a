//! `dbn evaluate` of a Boltzmann machine: free energies, and log p(v) with log Z counted or from both sides.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_boltzmann::{MarkovField, Posterior, Summation};
use candle_core::{DType, Device, Tensor};
use candle_dbn::Examples;
use candle_dbn::estimate::KeptPartition;
use candle_dbn::estimate::likelihood::{BoundBasis, KEPT, Likelihood};
use candle_dbn::store::results::MeasurementSet;
use candle_dbn::viz;
use indicatif::MultiProgress;
use rbm_core::estimate::{
    self, AisEstimates, AisOptions, BidirectionalAis, Estimate, is_integrable,
    stochastic_pseudo_likelihood,
};
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::sampling::AnnealingPath;
use rbm_core::stats::weighted_mean_and_error;
use rbm_core::units::base_units::has_numbers;
use rbm_core::units::enumerate;
use rbm_core::{Rng, Rows, rows};
use serde::Serialize;

use super::likelihood::{self, EVERY, EstimateCheckpoint, LikelihoodPlan};
use super::subject;
use crate::inputs::{self, Cases, DataOptions};
use crate::machine_data;
use crate::machines::{self, LearnedMachine, MachineCases};
use crate::{output, progress};

/// Samples in the report, and sweeps of each.
const SAMPLES: usize = 500;
const SAMPLE_SWEEPS: usize = 1000;
/// The most configurations of a layer that are gone through rather than eliminated.
const MOST_COUNTED: u64 = 1 << 20;

/// What is measured, and how.
pub struct MachineEvaluation<'a> {
    pub model: &'a Path,
    pub data: Option<&'a str>,
    pub data_options: &'a DataOptions,
    pub cases: Option<Cases>,
    /// How log Z is found, where the likelihood is asked for.
    pub plan: Option<LikelihoodPlan>,
    pub seed: u64,
    pub device: Device,
    pub is_json: bool,
    /// The folder of the report.
    pub report: Option<&'a Path>,
    pub bars: &'a MultiProgress,
}

/// The likelihoods of a run: those of its training cases too, where others are measured.
#[derive(Serialize)]
struct Likelihoods<'a> {
    part: String,
    #[serde(flatten)]
    found: &'a Likelihood,
    train: Option<&'a Likelihood>,
}

/// What is known of cases without log Z, means.
#[derive(Serialize)]
struct CaseMeans {
    part: String,
    cases: usize,
    /// F(v), nats; by mean field an upper bound on it.
    free_energy: f64,
    is_bound: bool,
    /// Σ log p(v_i | all other observed units), nats, where it is known.
    pseudo_log_likelihood: Option<f64>,
    /// Whether that is an estimate by one unit of each case, as it is beside hidden units.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pseudo_is_estimate: bool,
    /// Of a machine with labels, how many of the cases it takes for another class, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    label_error: Option<f64>,
    /// The same of the classifier that was unrolled from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    classifier_error: Option<f64>,
}

/// Prints tables, or one JSON object.
pub fn run(args: &MachineEvaluation) -> Result<()> {
    match machines::is_learned(args.model) {
        true => of_learned(args),
        false => of_given(args),
    }
}

/// A machine that has learned, on cases.
fn of_learned(args: &MachineEvaluation) -> Result<()> {
    args.plan.as_ref().map_or(Ok(()), check_tolerance)?;
    let machine = LearnedMachine::open(args.model)?;
    let asked = machine.cases(args.data, args.data_options, args.cases)?;
    let is_own = args.data.is_none();
    let train = match is_own && asked.part == Cases::HeldOut {
        true => Some(machine.cases(None, args.data_options, Some(Cases::Train))?),
        false => None,
    };
    let parts: Vec<&MachineCases> = std::iter::once(&asked).chain(&train).collect();
    // log Z is one number, whichever cases it is for. Measurements begin as wide as those that it learned from, if they are still there.
    let is_near = train.is_some() || is_own && asked.part == Cases::Train;
    let has_run = machine.recipe.is_some() && inputs::work_dir(args.model) == args.model;
    let is_wanted = is_own || has_numbers(machine.learner.machine().rest())?;
    let learned = match args.plan.is_some() && !is_near && has_run && is_wanted {
        true => match machine.cases(None, &DataOptions::default(), Some(Cases::Train)) {
            Ok(learned) => Some(learned),
            Err(error) => {
                output::note(format!("log Z is found from these cases: {error:#}"));
                None
            }
        },
        false => None,
    };
    let seen: Vec<Posterior> = parts
        .iter()
        .map(|part| machine.posterior(&part.values, args.bars))
        .collect::<Result<_>>()?;
    let Some(plan) = &args.plan else { return means(args, &machine, &parts, &seen) };
    let (near, of_near) = match learned {
        Some(learned) => {
            let seen = machine.posterior(&learned.values, args.bars)?;
            (learned.values, seen)
        }
        None => (parts[parts.len() - 1].values.clone(), seen[seen.len() - 1].clone()),
    };
    let path = || path(&machine, &near, &of_near);
    let graph = machine.learner.graph().ok();
    let exact = exact_log_partition(machine.learner.machine(), graph.as_ref(), args.bars)?;
    let (found, checkpoint) = sides(args, plan, machine.learner.machine(), exact, path)?;
    let likelihoods: Vec<Likelihood> = parts
        .iter()
        .zip(&seen)
        .map(|(part, seen)| likelihood_of(part, seen, exact, &found, plan.tolerance))
        .collect();
    let numbers =
        Likelihoods { part: asked.part_name(), found: &likelihoods[0], train: likelihoods.get(1) };
    match args.is_json {
        true => output::json(&numbers)?,
        false => {
            for (part, found) in parts.iter().zip(&likelihoods) {
                output::line(format!("{} cases", part.part_name()))?;
                likelihood::print(found)?;
            }
        }
    }
    report(args, &machine, &parts, &seen, &numbers)?;
    if let Some(checkpoint) = checkpoint {
        checkpoint.finish()?;
    }
    let is_here = inputs::work_dir(args.model) == args.model;
    for (part, found) in parts.iter().zip(&likelihoods).filter(|_| is_own && is_here) {
        if let Some(variant) = machine.variant(part) {
            subject::record(args.model, MeasurementSet::of_likelihood(found, variant, args.seed));
        }
    }
    Ok(())
}

/// log p of the cases as they count, with what is known of log Z.
pub fn likelihood_of(
    cases: &MachineCases,
    seen: &Posterior,
    exact: Option<Estimate>,
    found: &AisEstimates,
    tolerance: f64,
) -> Likelihood {
    let bound = match seen.summation {
        Summation::Exact => None,
        Summation::MeanField { sweeps, unsettled } => {
            Some(BoundBasis::MeanField { mean_field_sweeps: sweeps, unsettled })
        }
    };
    let weights = cases.examples.weights.as_deref();
    // log p of the data's own values.
    let energies = seen.free_energies.iter().map(|energy| energy + cases.log_volume);
    let energies: Vec<f64> = energies.collect();
    Likelihood::of_free_energies(&energies, weights, bound, exact, found, tolerance)
}

/// Free energies, and the pseudo-likelihood where it is known.
fn means(
    args: &MachineEvaluation,
    machine: &LearnedMachine,
    parts: &[&MachineCases],
    seen: &[Posterior],
) -> Result<()> {
    let of = |(part, seen): (&&MachineCases, &Posterior)| -> Result<CaseMeans> {
        let weights = part.examples.weights.as_deref();
        let pseudo_is_estimate = !machine.learner.shape().hidden.is_empty();
        let found = match pseudo_is_estimate {
            true => estimated_pseudo_likelihood(machine, part)?,
            false => {
                let found = machine.learner.pseudo_likelihoods(&part.values)?;
                found.map(|found| weighted_mean_and_error(&found, weights).0)
            }
        };
        let pseudo_log_likelihood = found.map(|found| found - part.log_volume);
        let percent = |errors: usize| 100.0 * errors as f64 / part.values.count().max(1) as f64;
        let label_error = match machine.learner.shape().labels {
            Some(_) if part.examples.labels.is_some() => Some(percent(machine.label_errors(part)?)),
            _ => None,
        };
        Ok(CaseMeans {
            label_error,
            classifier_error: machine.classifier_errors(part, args.bars)?.map(percent),
            part: part.part_name(),
            cases: part.values.count(),
            free_energy: weighted_mean_and_error(&seen.free_energies, weights).0 + part.log_volume,
            is_bound: seen.summation != Summation::Exact,
            pseudo_log_likelihood,
            pseudo_is_estimate: pseudo_is_estimate && found.is_some(),
        })
    };
    let spinner = progress::spinner(args.bars, "labels");
    let means = parts.iter().zip(seen).map(of).collect::<Result<Vec<_>>>();
    spinner.finish_and_clear();
    let means = means?;
    match args.is_json {
        true => output::json(&means)?,
        false => print(&means)?,
    }
    report(args, machine, parts, seen, &means)
}

/// The mean pseudo-likelihood, nats, by one unit of each case: all of them would take as long as a sweep a unit. Cases that do not count alike
/// are drawn as they count.
fn estimated_pseudo_likelihood(
    machine: &LearnedMachine,
    part: &MachineCases,
) -> Result<Option<f64>> {
    if !machine.learner.has_pseudo_likelihood() {
        return Ok(None);
    }
    let cases = match &part.examples.weights {
        Some(_) => {
            let drawn = part.examples.representative(part.values.count());
            part.values.index_select(&Tensor::new(drawn, part.values.device())?, 0)?
        }
        None => part.values.clone(),
    };
    let (mut total, mut rng) = (0.0, Rng::new(0));
    for block in rows::blocks(&cases) {
        let block = block?;
        let found = stochastic_pseudo_likelihood(machine.learner.machine(), &block, &mut rng)?;
        total += block.dim(0)? as f64 * found;
    }
    Ok(Some(total / cases.count().max(1) as f64))
}

fn print(means: &[CaseMeans]) -> Result<()> {
    let is_bound = means.iter().any(|of| of.is_bound);
    let energy = if is_bound { "free energy, at most" } else { "free energy" };
    let rows = means.iter().map(|of| {
        let pseudo =
            of.pseudo_log_likelihood.map_or("–".into(), |x| match of.pseudo_is_estimate {
                true => format!("about {x:.2}"),
                false => format!("{x:.4}"),
            });
        let mut row = vec![
            of.part.clone(),
            output::grouped(of.cases as u64),
            format!("{:.4}", of.free_energy),
            pseudo,
        ];
        for error in [of.label_error, of.classifier_error].into_iter().flatten() {
            row.push(format!("{error:.2} %"));
        }
        row
    });
    let mut header = vec!["cases", "count", energy, "pseudo-LL (nats)"];
    if means.iter().all(|of| of.label_error.is_some()) {
        header.push("error of labels");
    }
    if means.iter().all(|of| of.classifier_error.is_some()) {
        header.push("error of classifier");
    }
    output::line(output::table(&header, rows.collect()))?;
    output::line(
        "log p(v) is −free energy − log Z: --likelihood finds log Z, with --both from both sides",
    )
}

/// Where a report is asked for: the numbers, and the free energies of the cases beside those of samples.
fn report(
    args: &MachineEvaluation,
    machine: &LearnedMachine,
    parts: &[&MachineCases],
    seen: &[Posterior],
    numbers: &impl Serialize,
) -> Result<()> {
    let Some(dir) = args.report else { return Ok(()) };
    let spinner = progress::spinner(args.bars, "samples");
    let samples = machine.learner.samples(SAMPLES, SAMPLE_SWEEPS, &mut Rng::new(args.seed))?;
    let sampled = machine.learner.posterior(&samples)?;
    spinner.finish_and_clear();
    let is_bound = seen.iter().chain([&sampled]).any(|of| of.summation != Summation::Exact);
    let title = if is_bound { "Free energies, at most" } else { "Free energies" };
    // Of the data's own values.
    let log_volume = parts.first().map_or(0.0, |part| part.log_volume);
    let of =
        |seen: &Posterior| seen.free_energies.iter().map(|energy| energy + log_volume).collect();
    let mut groups: Vec<(String, Vec<f64>)> =
        parts.iter().zip(seen).map(|(part, seen)| (part.part_name(), of(seen))).collect();
    groups.push((subject::SAMPLED.to_owned(), of(&sampled)));
    let groups: Vec<(&str, Vec<f64>)> =
        groups.iter().map(|(name, energies)| (&name[..], energies.clone())).collect();
    subject::filled(dir, numbers, |place| {
        Ok(viz::free_energies(place.join(subject::FREE_ENERGIES), title, &groups)?)
    })
}

/// A machine by name or in a file: log Z, and log p of data that are named.
fn of_given(args: &MachineEvaluation) -> Result<()> {
    let name = args.model.display();
    let Some(plan) = &args.plan else {
        return Err(output::Usage::of(anyhow::anyhow!(
            "{name}: expected --likelihood for a machine that has not learned from data, found none (dbn recall says what a Hopfield network recalls)"
        )));
    };
    check_tolerance(plan)?;
    output::refuse(
        &[("--report", args.report.is_some())],
        &format!(
            "expected a machine that has learned, whose cases it shows; found {name} (--json has its numbers)"
        ),
    )?;
    let model = args.model.to_str().context("expected a path that is UTF-8")?;
    ensure!(args.cases.is_none(), "--cases: expected of a run, found the machine {name}");
    let Given { machine, exact, cases } = match MarkovField::is_in(model) {
        true => given_field(args, model)?,
        false => given_graph(args, model)?,
    };
    let path = || Ok(AnnealingPath::from_biases(&machine)?);
    let (found, checkpoint) = sides(args, plan, &machine, exact, path)?;
    match &cases {
        None => likelihood::show_log_partition(exact, found, plan.tolerance, args.is_json)?,
        Some((energies, part)) => {
            let weights = part.weights.as_deref();
            let found = Likelihood::of_free_energies(
                energies,
                weights,
                None,
                exact,
                &found,
                plan.tolerance,
            );
            match args.is_json {
                true => output::json(&found)?,
                false => likelihood::print(&found)?,
            }
        }
    }
    if let Some(checkpoint) = checkpoint {
        checkpoint.finish()?;
        // A place of its own goes with it; one with other files stays.
        if !args.model.is_dir() {
            for place in machines::work_dir(args.model).ancestors().take(2) {
                let _ = std::fs::remove_dir(place);
            }
        }
    }
    Ok(())
}

/// A machine that was given.
struct Given {
    machine: Machine,
    /// log Z, where it could be counted.
    exact: Option<Estimate>,
    /// E of each of the cases that are named, with these.
    cases: Option<(Vec<f64>, Examples)>,
}

/// By name, or the couplings of pairs in a file.
fn given_graph(args: &MachineEvaluation, model: &str) -> Result<Given> {
    let graph = machines::graph(model)?;
    let machine = graph.machine(DType::F32, &args.device)?;
    let cases = match args.data {
        Some(source) => {
            let dataset = inputs::load_numbers(source, &args.data_options.read)?;
            let part = inputs::chosen(dataset, None, Some(Cases::All))?.part;
            let values = machine_data::configurations(&part, &graph.units, None, source)?;
            let rows = values.to_dtype(DType::F64)?.to_vec2::<f64>()?;
            let energies = rows.iter().map(|x| graph.energy(x));
            Some((energies.collect::<rbm_core::Result<Vec<f64>>>()?, part))
        }
        None => None,
    };
    let exact = exact_log_partition(&machine, Some(&graph), args.bars)?;
    Ok(Given { machine, exact, cases })
}

/// A field of cliques, whose cases are a state of each variable.
fn given_field(args: &MachineEvaluation, model: &str) -> Result<Given> {
    let field = MarkovField::read(model)?;
    let cases = match args.data {
        Some(source) => {
            let dataset = inputs::load_numbers(source, &args.data_options.read)?;
            let part = inputs::chosen(dataset, None, Some(Cases::All))?.part;
            let rows = part.cases.tensor()?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
            let energy = |(case, x): (usize, &Vec<f64>)| {
                let is_state = |x: &f64| *x >= 0.0 && x.fract() == 0.0;
                ensure!(
                    x.len() == field.states.len() && x.iter().all(is_state),
                    "{source}: case {}: expected a state, 0, 1 and so on, of each of {} variables, found {} numbers{}",
                    case + 1,
                    field.states.len(),
                    x.len(),
                    x.iter()
                        .find(|x| !is_state(x))
                        .map_or(String::new(), |x| format!(" with {x} among them"))
                );
                let states: Vec<usize> = x.iter().map(|x| *x as usize).collect();
                let log_potential = field.log_potential(&states);
                Ok(-log_potential.with_context(|| format!("{source}: case {}", case + 1))?)
            };
            Some((rows.iter().enumerate().map(energy).collect::<Result<Vec<f64>>>()?, part))
        }
        None => None,
    };
    let machine = field.machine(DType::F32, &args.device)?;
    let spinner = progress::spinner(args.bars, "counting");
    let exact = log_partition_by_elimination(&field)?.map(counted);
    spinner.finish_and_clear();
    Ok(Given { machine, exact, cases })
}

fn check_tolerance(plan: &LikelihoodPlan) -> Result<()> {
    let tolerance = plan.tolerance;
    ensure!(tolerance >= 0.0, "--tolerance: expected a number of at least 0, found {tolerance}");
    Ok(())
}

fn counted(value: f64) -> Estimate {
    Estimate { value, error: 0.0, effective_samples: 1.0, samples: 1 }
}

/// log Z of a field, where it is counted.
fn log_partition_by_elimination(field: &MarkovField) -> Result<Option<f64>> {
    let order = field.elimination_order(&[])?;
    match order.is_countable() {
        true => Ok(Some(field.log_partition_by(&order, 1.0)?)),
        false => Ok(None),
    }
}

/// log Z of a machine by going through configurations, or of its graph by elimination; `None` where both would take too long.
pub fn exact_log_partition(
    machine: &Machine,
    graph: Option<&candle_boltzmann::Graph>,
    bars: &MultiProgress,
) -> Result<Option<Estimate>> {
    let count = |layer| enumerate::count(layer).unwrap_or(u64::MAX);
    let last = if machine.has_interaction() { u64::MAX } else { count(machine.last()) };
    let fewest = count(machine.rest()).min(last);
    let spinner = progress::spinner(bars, "counting");
    let found = if fewest <= MOST_COUNTED {
        Some(estimate::log_partition(machine)?)
    } else {
        let by_elimination = match graph {
            Some(graph) => log_partition_by_elimination(&MarkovField::of_graph(graph)?)?,
            None => None,
        };
        match by_elimination {
            None if fewest < u64::MAX => Some(estimate::log_partition(machine)?),
            // Of measurements the integral may be known.
            None if is_integrable(machine)? => Some(estimate::log_partition(machine)?),
            found => found,
        }
    };
    spinner.finish_and_clear();
    Ok(found.map(counted))
}

/// log Z from both sides by a short estimation along `path`; `how` it goes on is said where it is stopped.
pub fn brief_log_partition(
    machine: &Machine,
    path: AnnealingPath,
    seed: u64,
    (bars, how): (&MultiProgress, &str),
) -> Result<AisEstimates> {
    let mut sides = BidirectionalAis::new(machine, path, AisOptions::brief(seed))?;
    progress::estimate(&mut sides, bars, how, |_, _| Ok(()))?;
    Ok(sides.found().clone())
}

/// The way from independent units with the averages of the cases `near`, and of the hidden units given them.
pub fn path(machine: &LearnedMachine, near: &Tensor, seen: &Posterior) -> Result<AnnealingPath> {
    let machine = machine.learner.machine();
    Ok(AnnealingPath::from_cases(machine, seen.rest.as_ref().unwrap_or(near))?)
}

/// What is found of log Z from one side or both: kept from earlier, or estimated now. Nothing where it was counted.
fn sides(
    args: &MachineEvaluation,
    plan: &LikelihoodPlan,
    machine: &Machine,
    exact: Option<Estimate>,
    path: impl FnOnce() -> Result<AnnealingPath>,
) -> Result<(AisEstimates, Option<EstimateCheckpoint>)> {
    plan.check_counted(exact.as_ref())?;
    if exact.is_some() && !plan.is_estimated {
        return Ok((AisEstimates::default(), None));
    }
    let place = machines::work_dir(args.model);
    let is_learned = machines::is_learned(args.model);
    if is_learned
        && let Some(kept) = KeptPartition::of(&place, args.model)?
        && kept.options == plan.options
    {
        output::note(format!(
            "log Z is that of an earlier estimation with these options, kept in {} (delete it to estimate anew)",
            place.join(KEPT).display()
        ));
        EstimateCheckpoint::new(&place, EVERY)?.finish()?;
        return Ok((kept.found, None));
    }
    let (sides, checkpoint) = likelihood::estimate(&place, machine, path()?, plan, args.bars)?;
    if is_learned {
        KeptPartition::keep(&place, args.model, plan.options, sides.found())?;
    }
    Ok((sides.found().clone(), Some(checkpoint)))
}
