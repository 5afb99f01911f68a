//! `dbn evaluate`: errors, free energies and likelihoods of a model or machine.

pub mod likelihood;
pub mod machine;
pub mod subject;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use candle_dbn::store::results::MeasurementSet;
use candle_dbn::{Evaluation, Examples, Inference, Model, Run, data};
use indicatif::MultiProgress;
use rbm_core::estimate::monitor::Report;
use rbm_core::estimate::pseudo_likelihood_stride;
use rbm_core::rows;

use self::likelihood::{LikelihoodOptions, LikelihoodPlan};
use self::machine::MachineEvaluation;
use self::subject::Subject;
use crate::beliefs::{self, LearnedBelief, SAMPLES};
use crate::inputs::{self, Cases, DataOptions, Where};
use crate::{machines, output, progress};

/// Measure a trained network or Boltzmann machine on data it has not seen
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn evaluate runs/mnist                 on the cases that the run held out
  dbn evaluate runs/mnist other/ --json   on other data, as one JSON object
  dbn evaluate runs/joint --recognise samples:20   labels averaged over 20 sampled up-passes
  dbn evaluate runs/rbm --likelihood --both   log p(v), from both sides; of a stack a lower bound on it
  dbn evaluate runs/bm --likelihood --both    of a Boltzmann machine: of the cases held out and of those learned from
  dbn evaluate ising:8x8 --likelihood         log Z of a machine that has a name, or of one in a file
An estimation of the likelihood that was stopped goes on when the same command is given again.")]
pub struct Evaluate {
    /// Folder of the run, user/name[@revision] on the Hub, or a machine: ising:8x8, pmj:16x16:seed=1, or its file
    pub run: PathBuf,
    /// Data to evaluate on [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases [default: held-out of the run's own data; of other data its test part, or all]
    #[arg(long, value_enum, help_heading = "Data")]
    pub cases: Option<Cases>,
    /// How label units find the class: means (one deterministic up-pass, then the exact free energy of each label),
    /// samples:PASSES (label probabilities averaged over sampled up-passes) or gibbs:STEPS (how often each label is on)
    #[arg(long, value_name = "HOW", default_value = "means")]
    pub recognise: Inference,
    /// Seed of the stochastic pseudo-likelihood, of sampled recognition, and of the estimation of the likelihood
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub likelihood: LikelihoodOptions,
    /// Write the numbers and charts of them into this folder
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub report: Option<PathBuf>,
    /// Replace a report that lies there
    #[arg(long, requires = "report", help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Prints a table, or one JSON object.
pub fn run(args: &Evaluate, bars: &MultiProgress) -> Result<()> {
    if let Some(dir) = &args.report {
        subject::check_report(dir, args.force)?;
    }
    if machines::is_meant(&args.run) {
        return of_machine(args, bars);
    }
    if beliefs::is_learned(&args.run) {
        return of_belief(args, bars);
    }
    let model = inputs::load_model(&args.run, &args.place.find()?)?;
    let plan = args.likelihood.likelihood.then(|| LikelihoodPlan::of(&args.likelihood, args.seed));
    let has_data = args.data.is_some() || args.cases.is_some() || Run::open(&args.run).is_ok();
    if let Some(plan) = plan.as_ref().filter(|_| !has_data) {
        ensure!(args.report.is_none(), "--report: expected data, whose energies it shows");
        return likelihood::of_model(&model, &args.run, plan, args.json, bars);
    }
    let subject = resolve(args, model)?;
    let Subject { model, examples, source, .. } = &subject;
    ensure!(
        subject.recognise == Inference::Means || model.dbn.classes().is_some(),
        "--recognise: expected a network with label units (train it with labels = true)"
    );
    if examples.cases.has_missing()? {
        ensure!(
            plan.is_none(),
            "--likelihood: expected cases without missing values: of others the model gives no log p(v)"
        );
        output::note("missing values are filled in: numbers are of the filled cases");
    }
    match &plan {
        Some(plan) => likelihood::run(&subject, plan, bars).with_context(|| source.clone()),
        None => of_errors(&subject, bars),
    }
}

/// Measures a belief net: log p(v), from below.
fn of_belief(args: &Evaluate, bars: &MultiProgress) -> Result<()> {
    let of_networks = [("--recognise", args.recognise != Inference::Means)];
    beliefs::refuse(&of_networks, &args.run)?;
    let why = format!(
        "expected a network or a Boltzmann machine that has learned, whose free energies it shows; found the belief net {} (--json has \
         its numbers)",
        args.run.display()
    );
    output::refuse(&[("--report", args.report.is_some())], &why)?;
    let Evaluate { data, data_options, cases, likelihood, seed, json, .. } = args;
    let belief = LearnedBelief::open(&args.run)?;
    let name = belief.dir.display();
    ensure!(likelihood.likelihood, "{name}: a belief net: expected --likelihood");
    let of_others = [
        ("--both", likelihood.both),
        ("--estimate", likelihood.estimate),
        ("--exact", likelihood.exact),
        ("--chains", likelihood.chains.is_some()),
        ("--betas", likelihood.betas.is_some()),
        ("--sweeps", likelihood.sweeps.is_some()),
        ("--tolerance", likelihood.tolerance.is_some()),
    ];
    beliefs::refuse(&of_others, &belief.dir)?;
    let found = belief.cases(data.as_deref(), data_options, *cases)?;
    let samples = likelihood.passes.map_or(SAMPLES, |passes| passes as usize);
    let is_own = data.is_none() && data_options.limit.is_none();
    let value = belief.likelihood(&found, samples, *seed, bars)?;
    if *json {
        output::json(&value)?
    } else {
        value.print(&found.part_name())?
    }
    if let Some(measured) = belief.measurement(&value, &found, *seed).filter(|_| is_own) {
        subject::record(&belief.dir, measured);
    }
    Ok(())
}

/// Measures a Boltzmann machine.
fn of_machine(args: &Evaluate, bars: &MultiProgress) -> Result<()> {
    let of_networks = [
        ("--recognise", args.recognise != Inference::Means),
        ("--passes", args.likelihood.passes.is_some()),
    ];
    let why = format!("expected of a network, found the machine {}", args.run.display());
    output::refuse(&of_networks, &why)?;
    let Evaluate { run, data, data_options, cases, likelihood, seed, place, json, .. } = args;
    let plan = likelihood.likelihood.then(|| LikelihoodPlan::of(likelihood, *seed));
    machine::run(&MachineEvaluation {
        model: run,
        data: data.as_deref(),
        data_options,
        cases: *cases,
        plan,
        seed: *seed,
        device: place.find()?,
        is_json: *json,
        report: args.report.as_deref(),
        bars,
    })
}

/// Measures reconstructions, predictions and classes.
fn of_errors(subject: &Subject, bars: &MultiProgress) -> Result<()> {
    let Subject { model, examples, source, recognise, seed, .. } = subject;
    let spinner = progress::spinner(bars, "evaluating");
    let evaluation = Evaluation::of(model, examples, *recognise, *seed);
    spinner.finish_and_clear();
    let evaluation = evaluation.with_context(|| source.clone())?;
    let is_finite =
        evaluation.layers.iter().all(|layer| layer.data_reconstruction_error.is_finite());
    ensure!(
        is_finite,
        "{source}: expected values like those that the model learned from, found some that make its errors infinite (look at the \
         largest values of each column)"
    );
    match subject.json {
        true => output::json(&evaluation)?,
        false => print(model, examples, &evaluation)?,
    }
    if let Some(dir) = &subject.report {
        subject::report(dir, subject, &evaluation, None)?;
    }
    if *recognise == Inference::Means {
        subject.keep(|on| MeasurementSet::of_evaluation(&evaluation, on, *seed));
    }
    Ok(())
}

fn print(model: &Model, part: &Examples, evaluation: &Evaluation) -> Result<()> {
    let rows = evaluation.layers.iter().enumerate().map(|(i, layer)| {
        let of = |text: fn(&Report) -> String| layer.report.as_ref().map_or("–".into(), text);
        vec![
            format!("layer {}  {} → {}", i + 1, layer.visible, layer.hidden),
            format!("{:.5}", layer.data_reconstruction_error),
            of(|report| format!("{:.5}", report.reconstruction_error)),
            of(|report| report.pseudo_likelihood.map_or("–".into(), |pl| format!("{pl:.2}"))),
            of(|report| format!("{:.3}", report.hidden_activity)),
            of(|report| format!("{}/{}", report.dead_units, report.stuck_units)),
        ]
    });
    let header =
        ["", "error of data", "error of layer", "pseudo-LL (nats)", "activity", "dead/stuck"];
    output::line(output::table(&header, rows.collect()))?;
    let stride = pseudo_likelihood_stride(model.dbn.bottom(), part.len().min(rows::BLOCK));
    if stride > 1 {
        output::note(format!(
            "the pseudo-likelihood is that of one case in {stride}: one of its draws is compared with every other category"
        ));
    }
    output::line(format!("cases {}", output::grouped(evaluation.cases as u64)))?;
    if let (Some(error), Some(loss)) = (evaluation.squared_error, evaluation.reconstruction_loss) {
        output::line(format!(
            "autoencoder: squared error {error:.4} a case, −log p(v | code) {loss:.4} nats"
        ))?;
    }
    if let (Some(log_likelihood), Some(log_partition)) =
        (evaluation.log_likelihood, evaluation.log_partition)
    {
        output::line(format!(
            "exact log-likelihood {log_likelihood:.4} nats a case, log Z {log_partition:.4}"
        ))?;
    }
    if let (Some(rmse), Some(of_mean)) = (evaluation.rmse, evaluation.rmse_of_mean) {
        output::line(format!("RMSE {rmse:.4} (the mean in every place: {of_mean:.4})"))?;
    }
    if let Some(loss) = evaluation.cross_entropy {
        output::line(format!("cross-entropy {loss:.4} nats"))?;
    }
    if let Some(how) = evaluation.recognition {
        output::line(format!("labels by {how}"))?;
    }
    if let (Some(errors), Some(percent)) = (evaluation.errors, evaluation.error_percent) {
        classes(evaluation)?;
        output::line(format!("error {percent:.2} % ({errors} of {})", evaluation.cases))?;
    }
    Ok(())
}

/// The most classes of which it is shown which are taken for which.
const SHOWN: usize = 20;

/// A table of how well each class is found, and of what its cases are taken for.
fn classes(evaluation: &Evaluation) -> Result<()> {
    let percent =
        |share: Option<f64>| share.map_or("–".into(), |share| format!("{:.1} %", 100.0 * share));
    let is_shown = evaluation.classes.len() <= SHOWN;
    let mut header = vec!["class".to_owned(), "cases".into(), "precision".into(), "recall".into()];
    if is_shown {
        header.extend(evaluation.classes.iter().map(|class| format!("→ {}", class.name)));
    }
    let rows = evaluation.classes.iter().zip(&evaluation.confusion).map(|(class, row)| {
        let cells = [
            class.name.clone(),
            class.cases.to_string(),
            percent(class.precision),
            percent(class.recall),
        ];
        let found = row.iter().filter(|_| is_shown).map(ToString::to_string);
        cells.into_iter().chain(found).collect()
    });
    let header: Vec<_> = header.iter().map(String::as_str).collect();
    output::line(output::table(&header, rows.collect()))
}

/// What the arguments mean, of this model.
pub fn resolve(args: &Evaluate, model: Model) -> Result<Subject> {
    let find = |cases| {
        inputs::find_cases(&args.run, &model, args.data.as_deref(), &args.data_options, cases)
    };
    let examples = find(args.cases)?;
    let recipe = match &args.data {
        None => Run::open(&args.run).and_then(|run| run.recipe()).ok(),
        Some(_) => None,
    };
    let is_population =
        recipe.as_ref().is_some_and(|recipe| data::is_population(&recipe.data.source));
    let is_other = args.data.is_none() && args.cases != Some(Cases::Train) && !is_population;
    let training = match args.report {
        Some(_) if is_other => Some(find(Some(Cases::Train))?),
        _ => None,
    };
    let name = match args.cases {
        _ if is_population => "all",
        Some(Cases::Train) => "training",
        Some(Cases::Validation) => "validation",
        Some(Cases::All) => "all",
        Some(Cases::HeldOut) => "held-out",
        None if args.data.is_some() => "evaluated",
        None => "held-out",
    };
    let is_here = inputs::work_dir(&args.run) == args.run;
    let variant = recipe.filter(|_| is_here).map(|mut recipe| {
        let binarise = &mut recipe.data.read.binarise;
        *binarise = args.data_options.read.binarise.or(*binarise);
        let cases = args.cases.unwrap_or(Cases::HeldOut);
        subject::variant(&recipe, &model, cases, &examples)
    });
    Ok(Subject {
        run: args.run.clone(),
        examples,
        source: inputs::source(args.data.as_deref(), &args.run),
        name,
        training,
        variant,
        recognise: args.recognise,
        seed: args.seed,
        report: args.report.clone(),
        json: args.json,
        model,
    })
}
