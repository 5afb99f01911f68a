//! What a command works with: from arguments, as they were typed, to the device, the model, the data and their cases.

use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_boltzmann::Graph;
use candle_core::Device;
use candle_dbn::data::{Alphabet, Binarise, Dataset, Missing, Parts, ReadOptions};
use candle_dbn::recipe::DataRecipe;
use candle_dbn::store::results::DataPart;
use candle_dbn::store::{BELIEF, HOPFIELD, MACHINE, MODELS};
use candle_dbn::{Examples, Model, Recipe, Run, data};
use clap::ValueEnum;
use indicatif::MultiProgress;
use rbm_core::sampling::{COLDEST, is_temperature};
use rbm_core::{Units, ops};

use crate::output::{self, Usage};

/// How to read a data set, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    #[command(flatten)]
    pub read: ReadOptions,
    /// At most this many cases, as many of each class; of a training, of those learned from
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// Which cases of a data set
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cases {
    /// Those held out from training
    HeldOut,
    /// Those trained on (and those validated on, where the recipe takes them from among these, or learns from them)
    Train,
    /// Those validated on
    Validation,
    /// All
    All,
}

impl From<Cases> for DataPart {
    fn from(cases: Cases) -> Self {
        match cases {
            Cases::HeldOut => Self::HeldOut,
            Cases::Train => Self::Train,
            Cases::Validation => Self::Validation,
            Cases::All => Self::All,
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct Where {
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
}

impl Where {
    /// The device that is meant.
    pub fn find(&self) -> Result<Device> {
        device(&self.device)
    }
}

/// The commands that take a belief net.
pub const BELIEFS_ARE_TAKEN_BY: &str =
    "evaluate, sample, score, embed, push, inspect, compare and infer";

/// A path as a text: names such as ising:8x8 are typed where paths are.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Usage::of(anyhow!("{}: expected a path that is UTF-8", path.display())))
}

/// Errors unless `--temperature` is one.
pub fn check_temperature(tau: f64) -> Result<()> {
    match is_temperature(tau) {
        true => Ok(()),
        false => Err(Usage::of(anyhow!(
            "--temperature {}: expected a number above 0, at least {COLDEST:e}",
            output::short(tau)
        ))),
    }
}

/// The arguments that the words behind `dbn` and the name of a command mean.
pub fn parsed<T: clap::Args>(words: &[&str]) -> Result<T> {
    let command = T::augment_args(clap::Command::new("dbn"));
    Ok(T::from_arg_matches(&command.try_get_matches_from(&words[1..])?)?)
}

/// The device called `name`; `auto` is a GPU if this program was built for one and one answers, else the CPU.
pub fn device(name: &str) -> Result<Device> {
    let what = || format!("device {name:?}");
    let unknown = || format!("{}: expected auto, cpu, cuda, cuda:N or metal", what());
    match name.split_once(':').map_or((name, None), |(kind, number)| (kind, Some(number))) {
        ("auto", None) => {
            let gpu = ops::device::cuda(0).ok().or_else(|| Device::new_metal(0).ok());
            Ok(gpu.unwrap_or(Device::Cpu))
        }
        ("cpu", None) => Ok(Device::Cpu),
        ("cuda", number) => {
            let Ok(number) = number.map_or(Ok(0), str::parse) else { bail!(unknown()) };
            ops::device::cuda(number).map_err(|e| reason(&e)).with_context(what)
        }
        ("metal", None) => Device::new_metal(0).map_err(|e| reason(&e)).with_context(what),
        _ => bail!(unknown()),
    }
}

/// The first line of what is wrong: candle's errors may end in a backtrace.
fn reason(error: &impl Display) -> anyhow::Error {
    anyhow!("{}", error.to_string().lines().next().unwrap_or_default())
}

/// The folder of the model that `given` means; what is on the Hub is fetched into its cache.
#[cfg(feature = "hub")]
pub fn find_model(given: &Path, bars: &MultiProgress) -> Result<PathBuf> {
    use candle_dbn::hub::Reference;

    let text = given.to_string_lossy();
    check_is_no_data(&text)?;
    if !Reference::is_meant_by(&text) {
        return Ok(given.to_path_buf());
    }
    let snapshot = crate::progress::hub(bars, "pull")?.find(&text.parse()?);
    Ok(snapshot.with_context(|| format!("no folder {text} here; on the Hub"))?.dir)
}

/// The folder of the model: there is no Hub in this program.
#[cfg(not(feature = "hub"))]
pub fn find_model(given: &Path, _: &MultiProgress) -> Result<PathBuf> {
    check_is_no_data(&given.to_string_lossy())?;
    Ok(given.to_path_buf())
}

/// The machine that `given` means: a name such as ising:8x8, and a file, are what they are; others are found as [`find_model`] finds them.
pub fn find_machine(given: &Path, bars: &MultiProgress) -> Result<PathBuf> {
    match given.is_file() || given.to_str().is_some_and(Graph::is_name) {
        true => Ok(given.to_path_buf()),
        false => find_model(given, bars),
    }
}

/// Errors where data are named in a run's place.
fn check_is_no_data(given: &str) -> Result<()> {
    // A model is one, whatever pictures lie in folders of its own.
    let folder = Path::new(given);
    let holds_model = MODELS.iter().any(|(file, _)| folder.join(file).is_file());
    if holds_model || Run::open(folder).is_ok() {
        return Ok(());
    }
    if data::is_data(given) || is_of_hub(given) {
        return Err(Usage::of(anyhow!(
            "{given}: expected the folder of a run, found data, not a run (make one with: dbn train {given})"
        )));
    }
    Ok(())
}

/// The model in the folder `dir`, on `device`. Errors that say what to do where a training has not come to its end.
pub fn load_model(dir: &Path, device: &Device) -> Result<Model> {
    for (file, what) in MODELS {
        let takes = match file {
            MACHINE => "evaluate, sample, score, embed, push, inspect, contacts, anneal and infer",
            HOPFIELD => "recall, sample and anneal",
            BELIEF => BELIEFS_ARE_TAKEN_BY,
            _ => continue,
        };
        ensure!(
            !dir.join(file).is_file(),
            "{}: holds {what}, which dbn {takes} take: expected a network",
            dir.display()
        );
    }
    let name = dir.display();
    ensure!(dir.is_dir(), "{name}: expected the folder of a model, found none");
    let is_unfinished = Run::open(dir).is_ok_and(|run| !run.is_finished());
    ensure!(
        !is_unfinished,
        "{name}/model.safetensors: expected what a finished run leaves, found none (go on with: dbn train --resume {name})"
    );
    Ok(Model::load(dir, device)?)
}

/// The letters of the model's states.
pub fn letters(model: &Model, option: &str) -> Result<Alphabet> {
    let known = model.preprocessing.as_ref().and_then(|done| done.alphabet.clone());
    let alphabet = known.with_context(|| {
        format!(
            "{option}: expected a network that learned from an alignment, found one that knows no letters"
        )
    })?;
    match model.dbn.visible_units() {
        Units::Potts { states, .. } if states == alphabet.states() => Ok(alphabet),
        units => bail!("{option}: expected units of {} states, found {units}", alphabet.states()),
    }
}

/// Where a command may leave files about the model in the folder `run`: there, or in `runs/user--name@commit` for what lies in the
/// Hub's cache, where nothing but the Hub's own files belongs.
pub fn work_dir(run: &Path) -> PathBuf {
    let names: Vec<_> = run.ancestors().take(3).filter_map(Path::file_name).collect();
    match names[..] {
        [commit, snapshots, repository] if snapshots == "snapshots" => {
            let (commit, repository) = (commit.to_string_lossy(), repository.to_string_lossy());
            match repository.strip_prefix("models--") {
                Some(name) => Path::new("runs").join(format!("{name}@{commit:.7}")),
                None => run.to_path_buf(),
            }
        }
        _ => run.to_path_buf(),
    }
}

/// The cases that the user means: of the named data, or of the data that the run in `dir` was trained on.
pub fn find_cases(
    dir: &Path,
    model: &Model,
    data: Option<&str>,
    options: &DataOptions,
    cases: Option<Cases>,
) -> Result<Examples> {
    Ok(find_numbered(dir, model, data, options, cases)?.0)
}

/// The same, and the number of every case from 0 among all of the source: where that is several files, those of the cases held
/// out follow those of the others, as in `--cases all`.
pub fn find_numbered(
    dir: &Path,
    model: &Model,
    data: Option<&str>,
    options: &DataOptions,
    cases: Option<Cases>,
) -> Result<(Examples, Vec<u32>)> {
    let of_named = ReadOptions { binarise: None, weights: None, ..options.read.clone() };
    ensure!(
        data.is_some() || of_named == ReadOptions::default(),
        "--scale, --labels and the like: expected with data that are named; the run's own are read as its recipe says"
    );
    let (dataset, of_recipe) = match data {
        Some(source) => {
            // Nothing is done to other data that was not asked for; but a note has what they lack.
            let done = model.preprocessing.as_ref().filter(|done| done.binarise != Binarise::None);
            if let Some(done) = done.filter(|_| options.read.binarise.is_none()) {
                output::note(format!(
                    "the network learned from zeros and ones (--binarise {}); these data are taken as they are",
                    done.binarise
                ));
            }
            let own = Run::open(dir).and_then(|run| run.recipe()).map(|recipe| recipe.data);
            let split = split_of(own.as_ref().ok(), source, cases);
            (load_other(source, &options.read, model)?, split)
        }
        None => {
            ensure!(work_dir(dir) == dir, "a model of the Hub comes without data: name the data");
            let run = Run::open(dir).context("name the data, or a run's folder")?;
            let mut recipe = run.recipe()?;
            // The same cases as zeros and ones.
            let ReadOptions { binarise, weights, .. } = &mut recipe.data.read;
            *binarise = options.read.binarise.or(*binarise);
            *weights = options.read.weights.or(*weights);
            (load_own(&recipe, model)?, Some(recipe.data))
        }
    };
    let Chosen { part, before, .. } = chosen(dataset, of_recipe, cases)?;
    let part = match options.limit {
        Some(limit) => part.limited(limit as usize)?,
        None => part,
    };
    let units = model.dbn.visible_units();
    model.check_width(part.width()).with_context(|| source(data, dir))?;
    // What is brought into range by the model itself is looked at there.
    let prepared = match model.standardise {
        Some(_) => Examples { cases: model.prepare_cases(&part.cases)?, ..part.clone() },
        None => part.clone(),
    };
    data::check_units(&source(data, dir), &prepared, &units)?;
    let numbers = part.cases.numbers().into_iter().map(|number| before as u32 + number).collect();
    Ok((part, numbers))
}

/// How many cases are held out of a data set by what a recipe says of it.
pub fn held_out_of(dataset: &Dataset, recipe: Option<DataRecipe>) -> usize {
    match chosen(dataset.clone(), recipe, Some(Cases::HeldOut)) {
        Ok(chosen) if !dataset.is_population => chosen.part.len(),
        _ => 0,
    }
}

/// How the data `named` are divided where a part of them is asked for: if a run learned from them, as they were for it.
pub fn split_of(
    of_run: Option<&DataRecipe>,
    named: &str,
    cases: Option<Cases>,
) -> Option<DataRecipe> {
    let place = |name: &str| std::fs::canonicalize(name).unwrap_or_else(|_| name.into());
    let is_part = !matches!(cases, None | Some(Cases::All));
    of_run.filter(|own| is_part && place(&own.source) == place(named)).cloned()
}

/// A part of a data set.
pub struct Chosen {
    pub part: Examples,
    /// Which part it is.
    pub cases: Cases,
    /// How many cases of the source stand before those of the files that it is from.
    pub before: usize,
}

/// The cases of `dataset` that are meant, which is divided as a run's recipe says where it is the run's own.
pub fn chosen(
    dataset: Dataset,
    of_recipe: Option<DataRecipe>,
    cases: Option<Cases>,
) -> Result<Chosen> {
    let has_unseen = dataset.held_out.is_some() || of_recipe.is_some() && !dataset.is_population;
    let cases = cases.unwrap_or(if has_unseen { Cases::HeldOut } else { Cases::All });
    let name = dataset.name.clone();
    let is_split = matches!(cases, Cases::HeldOut | Cases::Train) && dataset.held_out.is_none();
    if let (None, true, Some(one_in)) =
        (&of_recipe, is_split, DataRecipe::default().hold_out_one_in)
    {
        static IS_SAID: Once = Once::new();
        IS_SAID.call_once(|| {
            output::note(format!(
                "{name}: one case in {one_in} counts as held out, whatever the model learned from"
            ));
        });
    }
    // Those that are kept for validation are cases of the training part, unless they alone are asked for; and all cases stay
    // in their order.
    let mut taken = of_recipe.unwrap_or(DataRecipe { validate_one_in: None, ..Default::default() });
    if cases == Cases::All {
        (taken.hold_out_one_in, taken.limit) = (None, None);
    }
    if cases != Cases::Validation {
        taken.validate_one_in = None;
    }
    // What the source itself sets apart lies in files of its own.
    let own =
        [&dataset.validation, &dataset.held_out].map(|part| part.as_ref().map_or(0, Examples::len));
    let of_train = dataset.train.len();
    let Parts { train, validation, held_out } = taken.parts(dataset)?;
    let before = match cases {
        Cases::Validation if own[0] > 0 => of_train,
        Cases::HeldOut if own[1] > 0 => of_train + own[0],
        _ => 0,
    };
    let part = match cases {
        Cases::Train => Some(train),
        Cases::Validation => validation,
        Cases::HeldOut => held_out,
        Cases::All => {
            let mut others = [validation, held_out].into_iter().flatten();
            Some(others.try_fold(train, |all, part| Examples::joined(&all, &part))?)
        }
    };
    let Some(part) = part else {
        let purpose = if cases == Cases::HeldOut { "held out" } else { "kept for validation" };
        let why = if taken.learn_validation { ": the run learned from them" } else { "" };
        return Err(NoSuchPart(format!("{name}: no cases are {purpose} of this data{why}")).into());
    };
    Ok(Chosen { part, cases, before })
}

/// A part that the data do not have.
#[derive(Debug)]
pub struct NoSuchPart(String);

impl Display for NoSuchPart {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoSuchPart {}

/// What to call the cases' source in an error.
pub fn source(data: Option<&str>, run: &Path) -> String {
    data.map_or_else(|| run.display().to_string(), str::to_owned)
}

/// The data that a recipe names.
pub fn load_data(recipe: &Recipe) -> Result<Dataset> {
    load(&recipe.data.source, &recipe.read_options())
}

/// The data that a recipe names, read as those that `model` learned from.
pub fn load_own(recipe: &Recipe, model: &Model) -> Result<Dataset> {
    let source = &recipe.data.source;
    let mut options = model.options(source, recipe.read_options());
    let learned = model.preprocessing.as_ref().map_or(1.0, |done| done.scale);
    if options.scale.is_none() && learned != data::scale_of(source) {
        options.scale = Some(learned);
    }
    load(source, &options)
}

/// The data that the user named, read as `options` say, every column a number.
pub fn load_numbers(source: &str, options: &ReadOptions) -> Result<Dataset> {
    load(&located(source)?, &typed(options)?)
}

/// The same with what each column holds, found from its values; nothing is said of it.
pub fn load_kinds(source: &str, options: &ReadOptions) -> Result<Dataset> {
    load_silently(&located(source)?, &ReadOptions { finds_kinds: true, ..typed(options)? })
}

fn load(source: &str, options: &ReadOptions) -> Result<Dataset> {
    tracing::info!(source, "reading data");
    let dataset = data::load(source, options)?;
    dataset.notes.iter().for_each(output::note);
    Ok(dataset)
}

/// The same where the notes were read already.
fn load_silently(source: &str, options: &ReadOptions) -> Result<Dataset> {
    Ok(data::load(source, options)?)
}

/// The data that the user named, read as `options` say, and otherwise as those that `model` learned from.
pub fn load_other(source: &str, options: &ReadOptions, model: &Model) -> Result<Dataset> {
    ensure!(
        options.missing() == Missing::Refuse || model.missing.is_some(),
        "--missing: expected a model that was trained with --missing mean or gibbs: this one has nothing to fill in"
    );
    let source = &located(source)?;
    let mut read = model.options(source, ReadOptions { finds_kinds: true, ..typed(options)? });
    let scale = model.preprocessing.as_ref().map_or(1.0, |done| done.scale);
    if options.scale.is_none() && scale != data::scale_of(source) {
        // What lies between 0 and 1 has been divided already.
        let mut dataset = load(source, &read)?;
        let (low, high) = model.dbn.visible_units().range();
        let is_divided =
            high.is_finite() && data::check_range(source, &dataset.train, low, high, "the").is_ok();
        if is_divided && scale == 1.0 {
            // There is nothing to say of that.
        } else if is_divided {
            output::note(format!(
                "the data are not divided by {scale}: they lie in [{low}, {high}]"
            ));
        } else if scale != 1.0 {
            read.scale = Some(scale);
            output::note(format!("divided by {scale}, as what the model learned from"));
            dataset = load_silently(source, &read)?;
        }
        return Ok(dataset);
    }
    load(source, &read)
}

/// What was typed of how to read data, with paths that mean the same from any folder.
pub fn typed(options: &ReadOptions) -> Result<ReadOptions> {
    let mut options = options.clone();
    if let Some(scale) = options.scale {
        ensure!(
            scale.is_finite() && scale > 0.0,
            "--scale: expected a number above 0, found {scale}"
        );
    }
    if let Some(labels) = &mut options.labels {
        *labels = std::path::absolute(&*labels).context("--labels")?;
    }
    Ok(options)
}

/// Whether data of the Hub are meant: those that are called so, and are not here under that name.
pub fn is_of_hub(data: &str) -> bool {
    #[cfg(feature = "hub")]
    return candle_dbn::hub::data::names().any(|name| name == data) && !Path::new(data).exists();
    #[cfg(not(feature = "hub"))]
    return data.is_empty();
}

/// Where data are: as they are called, or where those of the Hub were put. Errors where these were never fetched.
fn located(data: &str) -> Result<String> {
    if !is_of_hub(data) {
        return Ok(data.to_owned());
    }
    #[cfg(feature = "hub")]
    if let Some(folder) = candle_dbn::hub::data::fetched(data) {
        return Ok(folder.to_string_lossy().into_owned());
    }
    bail!(
        "{data}: there is no such folder here: fetch it with `dbn data {data}`, or name a folder that holds its four IDX files"
    )
}

/// A path that still means the same when the run goes on from another folder.
pub fn absolute(data: &str) -> Result<String> {
    if data::is_named(data) {
        return Ok(data.to_owned());
    }
    ensure!(!data.is_empty(), "the data: expected a file or a folder, found an empty name");
    let data = located(data)?;
    let path = std::path::absolute(&data).with_context(|| data.clone())?;
    path.into_os_string().into_string().map_err(|path| anyhow!("{path:?}: the path is not UTF-8"))
}

/// Makes the paths of what is learned absolute, so that a run may be evaluated from anywhere.
pub fn make_absolute(data: &mut DataRecipe) -> Result<()> {
    data.source = absolute(&data.source)?;
    if let Some(labels) = &mut data.read.labels {
        *labels = std::path::absolute(&*labels).context("labels")?;
    }
    Ok(())
}
