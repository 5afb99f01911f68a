//! `dbn train`: networks, Boltzmann machines, belief nets and Hopfield networks.

mod belief;
mod boltzmann;
mod dry_run;
mod finish;
mod help;
mod hopfield;
mod initial_network;
mod machine_classifier;
pub mod machine_run;
mod watcher;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_boltzmann::Couplings;
use candle_dbn::data::{self, Dataset, Missing, Scaling};
use candle_dbn::recipe::{BeliefRecipe, MachineRecipe, VisibleKind};
use candle_dbn::store::run::{Claim, RECIPE};
use candle_dbn::training::{Checkpoint, EpochMetrics, Outcome};
use candle_dbn::{Examples, Recipe, Run, Training};
use indicatif::MultiProgress;
use rbm_core::Units;
use rbm_core::ops::device::allow_tf32;

use self::boltzmann::MachineTraining;
use self::finish::Looks;
use self::help::{TRAIN, long_help_of_train, recipes};
use self::hopfield::Storing;
use self::watcher::{Kept, Watcher};
use crate::commands::recipe::{
    is_built_in, is_file, is_of_machine, machine_in_file, named_or_file,
};
use crate::inputs::{self, DataOptions, Where};
use crate::interrupt::{self, Interrupted};
use crate::machines;
use crate::output::{self, Usage};
use crate::progress::{self, Progress};

/// Train a network: greedy layer-wise pre-training, then a classifier if there are labels
#[derive(Debug, clap::Args)]
#[command(after_help = TRAIN, after_long_help = long_help_of_train())]
pub struct Train {
    /// digits, a table (.csv, .tsv, .parquet), arrays (.npy, .npz, .safetensors), a folder of IDX files, of PNG files by class or
    /// of NAME.train.data, NAME.valid.data and NAME.test.data (plain or .gz; FOLDER/NAME where it has several), a .svm, .fasta or
    /// .sto file, or a whole population: bars-and-stripes:4, shifting-bar:9, labelled-shifter:8
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    #[arg(long, value_name = "NAME|FILE", help = recipes(), help_heading = "Learning")]
    pub recipe: Option<String>,
    /// Change a key of the recipe, e.g. layers.0.epochs=5, 'layers.*.learning_rate=0.05' or classifier.epochs=10
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Learning")]
    pub settings: Vec<String>,
    /// Hidden layers from the bottom up, e.g. 500,500,2000 or relu:500 or 500,gaussian:30; each trained as the recipe's last one
    #[arg(
        long,
        visible_alias = "hidden",
        value_name = "UNITS,...",
        value_delimiter = ',',
        help_heading = "Learning"
    )]
    pub layers: Vec<String>,
    /// Kind of the data layer's units: auto, which finds out what every column holds (the default); bernoulli, spin, relu, gaussian, gaussian-learned, binomial(N), potts(N), multinomial(N);
    /// or one-hot: Potts units for the one-hot codes found among columns of zeros and ones, Bernoulli units for the others
    #[arg(long, value_name = "KIND", help_heading = "Learning")]
    pub visible: Option<VisibleKind>,
    /// Bring every column of the data to mean 0 and deviation 1 first: the default for Gaussian units
    #[arg(long, conflicts_with_all = ["no_standardise", "min_max"], help_heading = "Learning")]
    pub standardise: bool,
    /// Leave the columns of Gaussian units as they are
    #[arg(long, conflicts_with = "min_max", help_heading = "Learning")]
    pub no_standardise: bool,
    /// Bring every column of measurements between 0 and 1 by its extremes, for Bernoulli units
    #[arg(long, help_heading = "Learning")]
    pub min_max: bool,
    /// Train no classifier
    #[arg(long, help_heading = "Learning")]
    pub unsupervised: bool,
    /// What to make of the data: dbn, a network of restricted Boltzmann machines; bm, one Boltzmann machine with couplings within its
    /// layers, by the keys method (cd, pcd, pt, ptt, exact, pseudo-likelihood), posterior (sampled, mean-field), centre,
    /// epochs, batch_size, sweeps, chains, learning_rate, final_learning_rate, learning_curve, momentum, l2, target_pearson and data.pass of --set; dbm, a deep one of several hidden layers, by the same
    /// keys and init (a network that it begins at), pretraining_epochs, pretraining_rate, pretraining_centre, labels=true and classifier.KEY; belief, a sigmoid belief net with its recognition, by the keys method (reweighted, wake-sleep), samples, recognition
    /// (asleep, awake, both), optimizer (adam, sgd), epochs, batch_size, learning_rate, momentum and data.pass; or hopfield, which stores the
    /// cases as patterns of −1 and 1 (dbn recall finds them again)
    #[arg(long, value_name = "MODEL", default_value = "dbn", help_heading = "Learning")]
    pub model: Kind,
    /// Which units of one layer of a Boltzmann machine are coupled with each other: the visible ones, the hidden ones, lateral for both,
    /// none, or edges:GRAPH for the visible ones that are neighbours in a graph as ising:8x8 or in a file [default: visible, and none of dbm]
    #[arg(long, value_name = "WHERE", help_heading = "Learning")]
    pub couplings: Option<Couplings<String>>,
    /// How a Hopfield network stores: hebb, or pseudo-inverse for patterns that are alike [default: hebb]
    #[arg(long, value_name = "RULE", value_parser = ["hebb", "pseudo-inverse"], help_heading = "Learning")]
    pub rule: Option<String>,
    /// Seed of every random choice [default: the recipe's]
    #[arg(long, value_name = "N", help_heading = "Learning")]
    pub seed: Option<u64>,
    /// Go on with the run in this folder, from its last checkpoint
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "recipe", "settings", "layers", "visible", "standardise",
        "no_standardise", "min_max", "unsupervised", "seed", "out", "scale", "labels", "label_column", "target", "drop",
        "categories", "numbers", "missing", "binarise", "one_hot", "width",
        "alphabet", "weights"], help_heading = "Run")]
    pub resume: Option<PathBuf>,
    /// Print the recipe, the sizes, and an estimate of time and memory; write nothing
    #[arg(long, conflicts_with_all = ["resume", "out"], help_heading = "Run")]
    pub dry_run: bool,
    /// Seconds between checkpoints; 0 takes one after every mini-batch
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, help_heading = "Run")]
    pub checkpoint_every: f64,
    /// Do not look at the machines after every epoch
    #[arg(long, help_heading = "Run")]
    pub no_monitor: bool,
    /// Folder of the run [default: runs/TIME-RECIPE]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Do not measure the model on the held-out cases at the end
    #[arg(long, help_heading = "Output")]
    pub no_evaluation: bool,
    /// Make no pictures
    #[arg(long, help_heading = "Output")]
    pub no_pictures: bool,
    #[command(flatten)]
    pub place: Where,
    /// Let products on a CUDA device round their factors to TF32: several times faster, to three digits
    #[arg(long, help_heading = "Device")]
    pub tf32: bool,
}

/// What is made of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Dbn,
    Bm,
    Dbm,
    Belief,
    Hopfield,
}

/// Trains, leaves a run's folder, and prints where and how good it is.
pub fn run(args: &Train, bars: &MultiProgress, quiet: bool) -> Result<()> {
    let kind = kind(args);
    output::refuse(
        &[("--rule", args.rule.is_some() && kind != Kind::Hopfield)],
        "has a meaning for a Hopfield network alone (--model hopfield)",
    )?;
    match kind {
        Kind::Dbn => train(args, bars, quiet, &|text| output::line(text)),
        kind @ (Kind::Bm | Kind::Dbm | Kind::Belief) => learn_machine(args, kind, bars, quiet),
        Kind::Hopfield => store(args),
    }
}

/// What is made of the data: what was typed, or what the recipe or the run is of.
fn kind(args: &Train) -> Kind {
    let is_machine = args.recipe.as_deref().is_some_and(is_of_machine)
        || args.resume.as_deref().is_some_and(machines::is_begun);
    match args.model {
        Kind::Dbn if written(args).is_some_and(BeliefRecipe::is_in) => Kind::Belief,
        Kind::Dbn if is_machine => Kind::Bm,
        model => model,
    }
}

/// The file of the recipe that the user means, where it is one.
fn written(args: &Train) -> Option<PathBuf> {
    let of_run = args.resume.as_ref().map(|dir| dir.join(RECIPE));
    of_run.or_else(|| args.recipe.as_ref().filter(|name| is_file(name)).map(PathBuf::from))
}

/// Trains one Boltzmann machine, or a belief net.
fn learn_machine(args: &Train, kind: Kind, bars: &MultiProgress, quiet: bool) -> Result<()> {
    let without_meaning = [
        ("--standardise (measurements always are)", args.standardise),
        (
            "--no-standardise (measurements always are; log p is of the data's own values)",
            args.no_standardise,
        ),
        ("--min-max", args.min_max),
        ("--unsupervised", args.unsupervised),
        ("--no-monitor", args.no_monitor),
        ("--tf32", args.tf32),
    ];
    output::refuse(&without_meaning, "has no meaning for a Boltzmann machine or a belief net")?;
    ensure!(
        ["auto", "cpu"].contains(&args.place.device.as_str()),
        "--device {}: expected auto or cpu, where Boltzmann machines and belief nets learn",
        args.place.device
    );
    let recipe = match (&args.resume, &args.recipe) {
        _ if kind == Kind::Belief => MachineRecipe::default(),
        (Some(dir), _) => MachineRecipe::read(dir.join(RECIPE)).map_err(Usage::of)?,
        (None, Some(name)) => machine_in_file(name)?,
        (None, None) => MachineRecipe::default(),
    };
    let machine = MachineTraining {
        data: args.data.as_deref(),
        data_options: &args.data_options,
        visible: args.visible.as_ref(),
        hidden: &args.layers,
        recipe,
        couplings: args.couplings.as_ref(),
        settings: &args.settings,
        seed: args.seed,
        out: args.resume.as_deref().or(args.out.as_deref()),
        pictures: !args.no_pictures,
        evaluation: !args.no_evaluation,
        is_dry: args.dry_run,
        is_deep: args.model == Kind::Dbm,
        interval: interval(args)?,
    };
    match kind {
        Kind::Belief => belief::run(&machine, written(args).as_deref(), bars, quiet),
        _ => boltzmann::run(&machine, bars, quiet),
    }
}

/// Stores the cases in a Hopfield network.
fn store(args: &Train) -> Result<()> {
    let without_meaning = [
        ("--recipe", args.recipe.is_some()),
        ("--set", !args.settings.is_empty()),
        ("--layers", !args.layers.is_empty()),
        ("--visible", args.visible.is_some()),
        ("--couplings", args.couplings.is_some()),
        ("--resume", args.resume.is_some()),
        ("--dry-run", args.dry_run),
        ("--standardise", args.standardise),
        ("--min-max", args.min_max),
    ];
    output::refuse(&without_meaning, "has no meaning for a Hopfield network")?;
    let rule = args.rule.as_deref().unwrap_or("hebb");
    let rule = rule.parse().map_err(|e: rbm_core::Error| Usage::of(e))?;
    hopfield::run(&Storing {
        data: args.data.as_deref(),
        data_options: &args.data_options,
        rule,
        out: args.out.as_deref(),
        pictures: !args.no_pictures,
    })
}

/// What is trained: the arguments, looked up.
struct ResolvedTraining {
    training: Training,
    /// The run that goes on, where it is no new one.
    resumed: Option<(Run, Claim)>,
    /// The time between checkpoints.
    interval: Duration,
}

/// The time between checkpoints.
fn interval(args: &Train) -> Result<Duration> {
    Duration::try_from_secs_f64(args.checkpoint_every).context("--checkpoint-every")
}

/// Reads the recipe and the data.
fn resolve(args: &Train) -> Result<ResolvedTraining> {
    let interval = interval(args)?;
    let device = args.place.find()?;
    allow_tf32(&device, args.tf32).context("--tf32")?;
    let (resumed, recipe) = match &args.resume {
        Some(dir) => {
            let run = Run::open(dir)?;
            let claim = run.claim()?;
            let recipe = run.recipe().map_err(Usage::of)?;
            (Some((run, claim)), recipe)
        }
        None => (None, build(args, None)?),
    };
    let dataset = inputs::load_data(&recipe)?;
    let recipe = match &resumed {
        Some(_) => recipe,
        None => build(args, Some(&dataset))?,
    };
    let recipe = without_needless_classifier(recipe, args, &dataset.train);
    say_if_nothing_is_missing(args, &dataset)?;
    let mut training = Training::new(recipe, dataset, &device)?;
    training.monitor = !args.no_monitor;
    Ok(ResolvedTraining { training, resumed, interval })
}

/// As [`run`]; what it comes to is given to `say`.
pub fn train(
    args: &Train,
    bars: &MultiProgress,
    quiet: bool,
    say: &dyn Fn(&str) -> Result<()>,
) -> Result<()> {
    let ResolvedTraining { mut training, resumed, interval } = resolve(args)?;
    if args.dry_run {
        training.notes.iter().for_each(output::note);
        return dry_run::run(training);
    }
    let is_new = resumed.is_none();
    let (run, _claim) = match resumed {
        Some(held) => held,
        None => new_run(args, &training.recipe)?,
    };
    training.notes.iter().for_each(output::note);
    if !is_new {
        go_on(&run, &mut training)?;
    }
    // Training is asked for its files: it goes on when nobody reads its output.
    let printed = say(&format!("run {}", run.dir().display()));
    if let Err(error) = printed
        && !output::is_broken_pipe(&error)
    {
        if is_new {
            run.discard_unbegun()?;
        }
        return Err(error);
    }
    let caught = interrupt::catch()?;
    let mut watch = Watcher::new(&run, Progress::new(bars, quiet), interval);
    let outcome = training.run(&mut watch);
    watch.progress.finish();
    drop(caught);
    if let Err(error) = &outcome {
        if is_new {
            run.discard_unbegun()?;
        }
        if matches!(error, candle_dbn::Error::Diverged { .. })
            && run.checkpoint().is_ok_and(|it| it.is_some())
        {
            let dir = run.dir().display();
            output::note(format!(
                "what was learned before is kept: change {dir}/{}, and go on with: dbn train --resume {dir}",
                RECIPE
            ));
        }
    }
    match outcome? {
        Outcome::Finished(model) => {
            let spinner = progress::spinner(bars, "pictures and evaluation");
            let looks = Looks { pictures: !args.no_pictures, evaluation: !args.no_evaluation };
            let result = finish::run(&run, &model, &training, looks);
            spinner.finish_and_clear();
            say(&result?)?;
            machine_run::warn(&run.metrics()?);
            Ok(())
        }
        Outcome::Stopped => {
            let how = format!("go on with: dbn train --resume {}", run.dir().display());
            Err(Interrupted(how).into())
        }
    }
}

/// Says that `--missing` was named for data that miss nothing.
fn say_if_nothing_is_missing(args: &Train, dataset: &Dataset) -> Result<()> {
    if args.data_options.read.missing() == Missing::Refuse {
        return Ok(());
    }
    let others = [&dataset.validation, &dataset.held_out].into_iter().flatten();
    for part in std::iter::once(&dataset.train).chain(others) {
        if part.cases.has_missing()? {
            return Ok(());
        }
    }
    output::note(
        "--missing: no value of these data is missing; it is kept for other data that the model will see",
    );
    Ok(())
}

/// A recipe that the user did not ask for is not held against data without labels.
fn without_needless_classifier(mut recipe: Recipe, args: &Train, train: &Examples) -> Recipe {
    if recipe.classifier.is_none() || args.resume.is_some() {
        return recipe;
    }
    // A target that was named is what the user wants, whatever the recipe.
    let is_named = args.data_options.read.target.is_some();
    if train.targets.is_some() && (is_named || args.recipe.is_none() && train.labels.is_none()) {
        output::note("the target is predicted by a linear unit on top, in place of a classifier");
        recipe.regressor = recipe.classifier.take().map(|table| table.backpropagation);
        return recipe;
    }
    if args.recipe.is_some() {
        return recipe;
    }
    let why = match &train.labels {
        None => "no labels",
        Some(labels) if labels.windows(2).all(|pair| pair[0] == pair[1]) => {
            "all cases have the same label"
        }
        Some(_) => return recipe,
    };
    output::note(format!("{why}: training without a classifier"));
    recipe.classifier = None;
    recipe
}

fn go_on(run: &Run, training: &mut Training) -> Result<()> {
    match run.checkpoint()? {
        Some(checkpoint) => {
            let notes =
                training.restore(checkpoint).with_context(|| format!("{}", run.dir().display()))?;
            notes.iter().for_each(output::note);
            if training.is_done() && run.is_finished() {
                output::note(format!(
                    "{}: the run is finished, nothing is left to learn (to go on, raise epochs or add a stage in its {})",
                    run.dir().display(),
                    RECIPE
                ));
            }
        }
        None if run.is_finished() => {
            bail!(
                "{}: the run is finished, and there is no checkpoint to go on from",
                run.dir().display()
            );
        }
        None => {}
    }
    Ok(run.truncate_metrics(training.record().epochs)?)
}

/// A run in the folder that the user named, or in `runs/20261121-093000-digits` (UTC): sorted by name is sorted by time.
fn new_run(args: &Train, recipe: &Recipe) -> Result<(Run, Claim)> {
    if let Some(dir) = &args.out {
        output::check_folder_name(dir)?;
        return Ok(Run::create(dir, recipe)?);
    }
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let name: String =
        recipe.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let numbered = (2..1000).map(|i| format!("{time}-{name}-{i}"));
    let names = std::iter::once(format!("{time}-{name}")).chain(numbered);
    let run = Run::create_in_first_free(names.map(|name| Path::new("runs").join(name)), recipe)?;
    run.context("runs: every name for a new run is taken; choose one with --out")
}

impl Kept for &Run {
    fn epoch(&mut self, metrics: &EpochMetrics) -> candle_dbn::Result<()> {
        self.append_metrics(metrics)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> candle_dbn::Result<()> {
        self.save_checkpoint(checkpoint)
    }
}

/// The recipe of tables.
const TABLE: &str = "table";
/// From so many pictures on they are learned as MNIST's are.
const MANY_PICTURES: usize = 20_000;

/// The recipe of a new run: the one that was named, or the one for the data, with everything typed put into it and then
/// checked once. What depends on the cases themselves is decided once there are `data`, which the recipe without them says how to
/// read.
fn build(args: &Train, data: Option<&Dataset>) -> Result<Recipe> {
    let mut recipe = match &args.recipe {
        Some(name) => named_or_file(name)?,
        None => Recipe::named(recipe_for(args.data.as_deref(), data))?,
    };
    if let Some(data) = data.filter(|_| recipe.name == TABLE && is_built_in(args.recipe.as_deref()))
    {
        recipe = recipe.sized(data.train.len(), data.train.width());
    }
    let built_in = is_built_in(args.recipe.as_deref()).then(|| recipe.clone());
    if let Some(data) = &args.data {
        recipe.data.source.clone_from(data);
    }
    let DataOptions { read, limit } = &args.data_options;
    recipe.data.read = inputs::typed(read)?.or(&recipe.data.read);
    recipe.data.limit = limit.map(|limit| limit as usize).or(recipe.data.limit);
    if let Some(seed) = args.seed {
        recipe.seed = seed;
    }
    if let Some(visible) = &args.visible {
        recipe.visible.clone_from(visible);
    }
    if data.is_some_and(|data| data.is_counts) && args.recipe.is_none() && args.visible.is_none() {
        output::note(
            "counts: the words of a document, --visible multinomial (another kind decides otherwise)",
        );
        // As many draws as each case has.
        recipe.visible = VisibleKind::Of(Units::Multinomial { size: 1, draws: 0 });
    }
    for (is_asked, scaling) in [
        (args.standardise, Scaling::Standardise),
        (args.no_standardise, Scaling::None),
        (args.min_max, Scaling::MinMax),
    ] {
        if is_asked {
            recipe.standardise = scaling;
        }
    }
    if args.unsupervised {
        (recipe.classifier, recipe.labels) = (None, false);
    }
    if let Some(last) = recipe.layers.last().filter(|_| !args.layers.is_empty()).cloned() {
        let layer = |hidden: &String| -> Result<_> {
            let hidden = hidden.parse().context("--layers").map_err(Usage::of)?;
            Ok(candle_dbn::recipe::LayerRecipe { hidden, ..last.clone() })
        };
        recipe.layers = args.layers.iter().map(layer).collect::<Result<_>>()?;
    }
    if args.recipe.is_none() {
        without_classifier_beside(&mut recipe, &args.settings, data.is_some());
    }
    let put = |recipe: &Recipe| {
        let typed = recipe.with(&args.settings);
        typed.map_err(|error| Usage::of(blamed(error, recipe, args)))
    };
    let mut typed = put(&recipe)?;
    if let Some(named) = &built_in {
        // Its rates were made for its own units and methods.
        let mut found = typed.clone();
        if let Some(data) = data.filter(|_| found.visible == VisibleKind::Auto) {
            let units = typed.visible_units(&[&data.train], data.columns.as_deref())?;
            found.visible = VisibleKind::Of(units);
        }
        typed = put(&recipe.without_rates_of_others(named, &found))?;
    }
    let mut recipe = typed;
    if args.unsupervised && (recipe.classifier.is_some() || recipe.labels) {
        return Err(Usage::of(anyhow!(
            "--set: expected nothing of [classifier] or labels beside --unsupervised, which trains without"
        )));
    }
    inputs::make_absolute(&mut recipe.data)?;
    Ok(recipe)
}

/// `error` of `recipe` with everything typed put into it, and where it comes from: the settings, or what there was before them.
fn blamed(error: candle_dbn::Error, recipe: &Recipe, args: &Train) -> anyhow::Error {
    let before = recipe.with::<String>(&[]).err().map(|error| error.to_string());
    let is_before = before == Some(error.to_string());
    let file = args.recipe.as_ref().filter(|name| is_file(name));
    match (is_before, file) {
        (false, _) => anyhow::Error::new(error).context("--set"),
        (true, Some(file)) => anyhow::Error::new(error).context(file.clone()),
        (true, None) => error.into(),
    }
}

/// The classifier of a recipe that the user did not name gives way to what was asked for and excludes it.
fn without_classifier_beside(recipe: &mut Recipe, settings: &[String], is_said: bool) {
    let asked = settings.iter().filter_map(|setting| setting.split_once('='));
    let asked: Vec<_> = asked.map(|(key, value)| (key.trim(), value.trim())).collect();
    let is_of = |key: &str, table: &str| {
        key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_kept = asked.iter().any(|(key, _)| is_of(key, "classifier"));
    let excludes = |(key, value): &&(&str, &str)| {
        (*key == "labels" && *value == "true") || (is_of(key, "autoencoder") && *value != "none")
    };
    if let Some((key, value)) = asked.iter().find(excludes).filter(|_| !is_kept)
        && recipe.classifier.take().is_some()
        && is_said
    {
        output::note(format!("{key}={value}: training without the recipe's classifier"));
    }
}

/// The recipe for data of which no more is known than what they are called. Data of the program's own have one of their name.
fn recipe_for<'a>(data: Option<&'a str>, read: Option<&Dataset>) -> &'a str {
    match data {
        None => "digits",
        Some(name) if data::is_named(name) => name.split(':').next().unwrap_or(name),
        Some(path) if inputs::is_of_hub(path) => "mnist",
        Some(path) if Path::new(path).is_dir() && !data::is_suite(path) => "mnist",
        Some(path) if data::is_table(path) => match read {
            Some(data) if data.image.is_some() && data.train.len() >= MANY_PICTURES => "mnist",
            Some(_) => TABLE,
            None => "default",
        },
        Some(path) if data::is_alignment(path) => "protein",
        Some(_) => "default",
    }
}
