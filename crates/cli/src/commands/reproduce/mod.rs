//! `dbn reproduce`: published experiments, repeated, and their numbers beside ours.
//!
//! An experiment is commands that anyone can type. They are printed, and what is printed is what runs: words are read as those of the command
//! line.
//!
//! Where sizes and rates are searched for, the search goes on where it was: its trials lie in a file, and what proves best learns from
//! all cases.

mod beliefs;
mod experiments;
mod machines;
mod trained_machines;

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::Device;
use candle_dbn::estimate::likelihood::{Likelihood, Value, Verdict};
use candle_dbn::recipe::quoted;
use candle_dbn::store::results::Unit;
use candle_dbn::training::Command;
use candle_dbn::training::search::{RecipeSearch, SearchObserver, SearchOptions, Trial};
use candle_dbn::{Error, Evaluation, Model, Recipe, Run};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::state::write_whole;
use serde::{Deserialize, Serialize};

use self::experiments::{EXPERIMENTS, Experiment, Measure};
use self::machines::{MachineExperiment, RESULT};
use crate::commands::evaluate::likelihood::{self, LikelihoodPlan};
use crate::commands::evaluate::{self, Evaluate};
use crate::commands::train::{self, Train};
use crate::interrupt::{self, Interrupted};
use crate::output::Usage;
use crate::{inputs, output, progress};

/// Repeat a published experiment, and print its number beside the published one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn reproduce                                          what there is
  dbn reproduce bars-and-stripes
  dbn reproduce ising                                    an Ising model beside Onsager's curve
  dbn reproduce mnist-16 --data mnist/
  dbn reproduce debd --data debd/dna --budget 180        sizes and rates chosen on the validation part first
Stopped at any time, the same command goes on where it was. Those that keep no run (ising to
bm-bars, house and belief) begin anew: they take minutes, and belief most of an hour.")]
pub struct Reproduce {
    /// Which experiment; without it, a list
    pub name: Option<String>,
    /// The data, for experiments whose data do not come with the program
    #[arg(long, value_name = "FOLDER", help_heading = "Data")]
    pub data: Option<String>,
    /// Seed of every random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Seconds for the choice of sizes and rates, where they are chosen; with more of them it goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub budget: u64,
    /// Folder of the runs [default: runs/reproduce-NAME-SEED]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// What a reproduction came to.
#[derive(Debug, Serialize, Deserialize)]
struct Reproduced {
    name: String,
    data: String,
    seed: u64,
    /// Seconds for the choice of sizes and rates, where they are chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget: Option<u64>,
    /// In this unit.
    ours: f64,
    unit: Unit,
    /// What the number rests on.
    verdict: Basis,
    theirs: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<f64>,
    /// Seconds of training in this process, and of everything.
    seconds: f64,
}

/// What a number rests on: the verdict of two estimates, or in words what was counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Basis {
    Verdict(Verdict),
    Cases(String),
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Verdict(verdict) => verdict.fmt(f),
            Self::Cases(text) => f.write_str(text),
        }
    }
}

/// An experiment that there is.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    measured: &'static str,
    theirs: &'static str,
    takes: &'static str,
}

/// Trains and evaluates, or lists what there is.
pub fn run(args: &Reproduce, bars: &MultiProgress, quiet: bool) -> Result<()> {
    let Some(name) = &args.name else {
        let all = listed();
        if args.json {
            return output::json(&all);
        }
        let row = |e: Listed| [e.name, e.measured, e.theirs, e.takes].map(str::to_owned).to_vec();
        let header = ["experiment", "what is measured", "theirs", "takes"];
        output::line(output::texts(&header, all.into_iter().map(row).collect()))?;
        return Ok(());
    };
    if let Some(known) = given().find(|known| known.name == name) {
        let asked = (args.seed, args.data.as_deref());
        return machines::run(known, asked, args.out.as_deref(), args.json, bars);
    }
    if let Some(known) = trained_machines::KNOWN.iter().find(|known| known.name == name) {
        output::refuse(
            &[("--json", args.json)],
            &format!("has no meaning for {name}: it leaves reproduced.json"),
        )?;
        let asked = (args.seed, args.data.as_deref(), args.out.as_deref());
        return trained_machines::run(known, asked, bars, quiet);
    }
    let experiment = EXPERIMENTS.iter().find(|e| e.name == name).ok_or_else(|| {
        let names: Vec<_> = listed().iter().map(|e| e.name).collect();
        let found = quoted(name, names.iter().copied());
        Usage::of(anyhow!("expected one of {}, found {found}", names.join(", ")))
    })?;
    let data = match (&args.data, experiment.data) {
        (Some(data), _) => data.clone(),
        (None, Some(data)) => data.to_owned(),
        (None, None) => bail!("{name}: name the folder of its data with --data"),
    };
    let dir = args.out.clone().unwrap_or_else(|| folder(experiment, &data, args.seed));
    let path = dir.join(RESULT);
    let asked = (name, &data, args.seed);
    let recipe = recipe_of(experiment, &data, args.seed)?;
    check_run(&dir, experiment, &recipe)?;
    let budget = experiment.is_chosen.then_some(args.budget);
    let reproduced = if let Some(found) = read(&path, asked)?.filter(|r| r.budget == budget) {
        found
    } else {
        let clock = Instant::now();
        if experiment.is_chosen {
            choose_sizes(&dir, recipe, args.budget, bars)?;
        } else if !Run::open(&dir).is_ok_and(|run| run.is_finished()) {
            learn(experiment, &data, args.seed, &dir, bars, quiet)?;
        }
        let (ours, verdict) = match experiment.measure {
            Measure::LogLikelihood => {
                let found = likelihood_of(experiment, args.seed, &dir, bars)?;
                let value = best(&found).context("no estimate")?;
                (value.log_likelihood, Basis::Verdict(found.verdict))
            }
            Measure::Error | Measure::SquaredError => {
                let (error, cases) = error_of(experiment, args.seed, &dir)?;
                (error, Basis::Cases(cases))
            }
        };
        let reproduced = Reproduced {
            name: name.clone(),
            theirs: experiment.theirs_on(&data),
            data,
            seed: args.seed,
            budget,
            ours,
            unit: experiment.measure.unit(),
            verdict,
            goal: experiment.goal,
            seconds: clock.elapsed().as_secs_f64(),
        };
        write_whole(&path, &serde_json::to_vec_pretty(&reproduced)?)?;
        reproduced
    };
    if args.json {
        output::json(&reproduced)?;
    } else {
        print(experiment, &reproduced)?;
    }
    Ok(())
}

/// What does not train a network by a recipe.
fn given() -> impl Iterator<Item = &'static MachineExperiment> {
    machines::KNOWN.iter().chain(beliefs::KNOWN)
}

/// All there is: what is learned, then machines that are given.
fn listed() -> Vec<Listed> {
    let learned = EXPERIMENTS.iter().map(|e| Listed {
        name: e.name,
        measured: e.what,
        theirs: e.theirs,
        takes: e.takes,
    });
    let given = given().map(|e| Listed {
        name: e.name,
        measured: e.what,
        theirs: e.theirs,
        takes: e.takes,
    });
    let trained = trained_machines::KNOWN.iter().map(|e| Listed {
        name: e.name,
        measured: e.what,
        theirs: e.theirs,
        takes: e.takes,
    });
    learned.chain(given).chain(trained).collect()
}

/// What lies at `path`, if anything does. Errors where it is of another name, data or seed than `asked`.
fn read(path: &Path, asked: (&String, &String, u64)) -> Result<Option<Reproduced>> {
    if !path.exists() {
        return Ok(None);
    }
    let found: Reproduced =
        serde_json::from_slice(&fs::read(path)?).with_context(|| path.display().to_string())?;
    let holds = (&found.name, &found.data, found.seed);
    ensure!(
        holds == asked,
        "{}: expected {asked:?}, found {holds:?} (choose another --out)",
        path.display()
    );
    Ok(Some(found))
}

/// What an experiment trains by; where sizes and rates are chosen, before they are.
fn recipe_of(experiment: &Experiment, data: &str, seed: u64) -> Result<Recipe> {
    let settings: Vec<String> = experiment.settings.iter().map(ToString::to_string).collect();
    let mut recipe = Recipe::named(experiment.recipe)?.with(&settings)?;
    recipe.data.source = inputs::absolute(data)?;
    recipe.seed = seed;
    Ok(recipe)
}

/// Errors when `dir` holds a run by any recipe but `asked`. What a choice has left there may differ in what was chosen.
fn check_run(dir: &Path, experiment: &Experiment, asked: &Recipe) -> Result<()> {
    let Ok(run) = Run::open(dir) else { return Ok(()) };
    let found = run.recipe()?;
    let of = |recipe: &Recipe| (recipe.name.clone(), recipe.data.source.clone(), recipe.seed);
    ensure!(
        of(&found) == of(asked),
        "{}: expected a run of {:?}, found {:?} (choose another --out)",
        dir.display(),
        of(asked),
        of(&found)
    );
    let is_ours = match experiment.is_chosen {
        true => dir.join(TRIED).exists(),
        false => found.completes(asked),
    };
    ensure!(
        is_ours,
        "{}: expected what dbn reproduce {} leaves, found a run with other keys (choose another --out)",
        dir.display(),
        experiment.name
    );
    Ok(())
}

fn print(experiment: &Experiment, found: &Reproduced) -> Result<()> {
    let measure = experiment.measure;
    let is_sure = matches!(&found.verdict, Basis::Verdict(verdict) if verdict.may_be_quoted());
    let may_be_quoted = measure != Measure::LogLikelihood || is_sure;
    let goal = found.goal.map_or("–".into(), |goal| {
        let is_of_goal = experiment.data.is_none_or(|data| data == found.data);
        let verdict = match measure.reaches(found.ours, goal) {
            _ if !may_be_quoted || !is_of_goal => "not judged",
            true => "reached",
            false => "missed",
        };
        format!("{} {goal:.2} {verdict}", measure.sign())
    });
    let row = vec![
        found.name.clone(),
        match measure {
            Measure::LogLikelihood => format!("{:.4}", found.ours),
            Measure::Error => format!("{:.2} %", found.ours),
            Measure::SquaredError => format!("{:.2}", found.ours),
        },
        found.verdict.to_string(),
        // Of now: what an earlier version has left in the file may be another.
        Some(experiment.theirs_on(&found.data)).filter(|it| !it.is_empty()).unwrap_or("–".into()),
        goal,
        format!("{:.0} s", found.seconds),
    ];
    let header = ["experiment", "ours", "what it rests on", "theirs", "goal", "took"];
    output::line(output::texts(&header, vec![row]))
}

/// `runs/reproduce-debd-dna-0`
fn folder(experiment: &Experiment, data: &str, seed: u64) -> PathBuf {
    let of = match experiment.is_chosen {
        true => Path::new(data)
            .file_name()
            .map_or(String::new(), |name| format!("-{}", name.to_string_lossy())),
        false => String::new(),
    };
    Path::new("runs").join(format!("reproduce-{}{of}-{seed}", experiment.name))
}

/// `dbn train`, from the beginning or from where it was stopped.
fn learn(
    experiment: &Experiment,
    data: &str,
    seed: u64,
    dir: &Path,
    bars: &MultiProgress,
    quiet: bool,
) -> Result<()> {
    let (dir, seed) = (inputs::text(dir)?, seed.to_string());
    let words = match Run::open(Path::new(dir)).is_ok() {
        true => vec!["dbn", "train", "--resume", dir, "--no-evaluation"],
        false => {
            let recipe = ["--recipe", experiment.recipe, "--seed", &seed, "--out", dir];
            let settings = experiment.settings.iter().flat_map(|setting| ["--set", setting]);
            [&["dbn", "train", data][..], &recipe, &["--no-evaluation"]]
                .concat()
                .into_iter()
                .chain(settings)
                .collect()
        }
    };
    output::note(words.join(" "));
    let args: Train = inputs::parsed(&words)?;
    // Results are those of the reproduction alone.
    let say = |text: &str| {
        output::note(text);
        Ok(())
    };
    train::train(&args, bars, quiet, &say).map_err(|error| match error.is::<Interrupted>() {
        true => Interrupted("the same command goes on from here".into()).into(),
        false => error,
    })
}

/// `dbn evaluate`, on the test cases: errors in percent, and how many of how many; or the squared error of an autoencoder.
fn error_of(experiment: &Experiment, seed: u64, dir: &Path) -> Result<(f64, String)> {
    let command = ["dbn", "evaluate", inputs::text(dir)?];
    output::note(command.join(" "));
    let args: Evaluate = inputs::parsed(&command)?;
    let model = Model::load(dir, &Device::Cpu)?;
    let part = inputs::find_cases(dir, &model, None, &args.data_options, args.cases)?;
    let found = Evaluation::of(&model, &part, args.recognise, seed)?;
    if experiment.measure == Measure::SquaredError {
        let error = found.squared_error.context("no autoencoder was found")?;
        return Ok((error, format!("{} cases", found.cases)));
    }
    let (percent, errors) =
        found.error_percent.zip(found.errors).context("no errors were found")?;
    Ok((percent, format!("{errors} of {}", found.cases)))
}

/// `dbn evaluate --likelihood --both`, on the test cases.
fn likelihood_of(
    experiment: &Experiment,
    seed: u64,
    dir: &Path,
    bars: &MultiProgress,
) -> Result<Likelihood> {
    let cases = if experiment.is_population { "all" } else { "held-out" };
    let seed = seed.to_string();
    let words = ["dbn", "evaluate", inputs::text(dir)?, "--likelihood", "--both", "--cases", cases];
    let words = [&words[..], &["--seed", &seed], experiment.evaluation].concat();
    output::note(words.join(" "));
    let args: Evaluate = inputs::parsed(&words)?;
    let model = Model::load(dir, &Device::Cpu)?;
    let plan = LikelihoodPlan::of(&args.likelihood, args.seed);
    likelihood::find(&evaluate::resolve(&args, model)?, &plan, bars)
}

/// The number to quote: the exact one, or the lower of the two sides.
fn best(found: &Likelihood) -> Option<Value> {
    let lower = |a: Value, b: Value| if a.log_likelihood < b.log_likelihood { a } else { b };
    match found.verdict {
        Verdict::Exact => found.exact,
        _ => found.reverse.zip(found.forward).map(|(a, b)| lower(a, b)),
    }
}

/// The file that remembers what has been tried: a trial a line.
pub const TRIED: &str = "tried.jsonl";

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Tried<T> {
    /// Recipe, data and seed.
    of: String,
    #[serde(flatten)]
    trial: T,
}

/// Leaves in `dir` a model that was trained on all cases but those held out, in the way that proved best within `budget` seconds,
/// and what was tried in `tried.jsonl`.
fn choose_sizes(dir: &Path, recipe: Recipe, budget: u64, bars: &MultiProgress) -> Result<()> {
    let of = format!("{} of {}, seed {}", recipe.name, recipe.data.source, recipe.seed);
    let dataset = inputs::load_data(&recipe)?;
    let options = SearchOptions { budget: budget as f64, ..SearchOptions::default() };
    let mut search = RecipeSearch::new(recipe, dataset, options)?;
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let _caught = interrupt::catch()?;
    search.trials = read_trials(dir, &of)?;
    let mut trials = Trials { dir, of, budget, bars, bar: None };
    let best = search.run(&mut trials)?.ok_or_else(stopped)?;
    let recipe = search.recipe(best)?;
    let mut whole = recipe.clone();
    whole.data.learn_validation = true;
    if Run::open(dir)
        .is_ok_and(|run| run.is_finished() && run.recipe().ok().as_ref() == Some(&whole))
    {
        return Ok(());
    }
    let keys = search.options.settings(best).join(" ");
    output::note(format!("chosen; from all cases but those held out: {keys}"));
    let bar = progress::spinner(bars, "learning from all cases");
    match search.learn(&whole, &mut trials) {
        Ok(model) => keep(dir, &whole, &model.ok_or_else(stopped)?)?,
        // Where learning diverges with the cases for validation, it is done without them.
        Err(error @ Error::Diverged { .. }) => {
            output::note(format!("{error}; so without the cases for validation"));
            let model = search.learn(&recipe, &mut trials)?;
            keep(dir, &recipe, &model.ok_or_else(stopped)?)?;
        }
        Err(error) => return Err(error.into()),
    }
    bar.finish_and_clear();
    Ok(())
}

/// Shows what is tried, and adds it to the file.
struct Trials<'a> {
    dir: &'a Path,
    of: String,
    budget: u64,
    bars: &'a MultiProgress,
    bar: Option<ProgressBar>,
}

impl SearchObserver for Trials<'_> {
    fn begin(&mut self, spent: f64, settings: &[String]) {
        let bar = progress::spinner(self.bars, "choosing");
        bar.set_message(format!("{spent:.0} of {} s: {}", self.budget, settings.join(" ")));
        self.bar = Some(bar);
    }

    fn step(&mut self) -> Command {
        if interrupt::is_requested() { Command::Stop } else { Command::Continue }
    }

    fn trial(&mut self, trial: &Trial) -> candle_dbn::Result<()> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        output::note(format!(
            "{:.3} on validation, {:.1} s: {}",
            trial.validation,
            trial.seconds,
            trial.settings.join(" ")
        ));
        let path = self.dir.join(TRIED);
        let written = serde_json::to_string(&Tried { of: self.of.clone(), trial })
            .map_err(std::io::Error::from)
            .and_then(|line| {
                let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
                file.write_all((line + "\n").as_bytes())
            });
        written.map_err(|error| Error::io(&path, error))
    }
}

/// What earlier processes have tried of recipe, data and seed `of`. Errors where the file holds anything else.
fn read_trials(dir: &Path, of: &str) -> Result<Vec<Trial>> {
    let path = dir.join(TRIED);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // A killed process may have left half a line.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut trials = Vec::new();
    for (i, line) in whole.lines().enumerate() {
        let tried: Tried<Trial> = serde_json::from_str(line).with_context(|| {
            let place = format!("{}: line {}", path.display(), i + 1);
            format!("{place}: expected a trial of this version (choose another --out)")
        })?;
        ensure!(
            tried.of == of,
            "{}: expected trials of {of}, found {} (choose another --out)",
            path.display(),
            tried.of
        );
        trials.push(tried.trial);
    }
    if whole.len() < text.len() {
        write_whole(&path, whole.as_bytes())?;
    }
    Ok(trials)
}

/// Makes `dir` a run whose model is this one.
fn keep(dir: &Path, recipe: &Recipe, model: &Model) -> Result<()> {
    for name in ["recipe.toml", "config.json", "model.safetensors"] {
        let path = dir.join(name);
        if path.exists() {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    let (_, _claim) = Run::create(dir, recipe)?;
    Ok(model.save(dir)?)
}

fn stopped() -> anyhow::Error {
    Interrupted("the same command goes on with what has not been done yet".into()).into()
}
