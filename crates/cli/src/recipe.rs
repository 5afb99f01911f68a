//! From what the user typed to a complete recipe.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use candle_dbn::data::{self, Dataset, Missing, ReadOptions, Scaling};
use candle_dbn::recipe::{AUTO, BUILT_IN};
use candle_dbn::{Model, Recipe};

use crate::args::{DataOptions, Train};
use crate::output::{self, Usage};

/// The units of counts, as many draws as each case has.
const COUNTS: &str = "multinomial";
/// The recipe of tables.
const TABLE: &str = "table";
/// From so many pictures on they are learned as MNIST's are.
const MANY_PICTURES: usize = 20_000;

/// The recipe of a new run: the one that was named, or the one that suits the data, with everything typed put into it and then
/// checked once. What depends on the cases themselves is decided once there are `data`, which the recipe without them says how to
/// read.
pub fn build(args: &Train, data: Option<&Dataset>) -> Result<Recipe> {
    let mut recipe = match &args.recipe {
        Some(name) => named_or_file(name)?,
        None => Recipe::named(suitable(args.data.as_deref(), data))?,
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
    recipe.data.read = typed(read)?.or(&recipe.data.read);
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
        recipe.visible = COUNTS.into();
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
            Ok(candle_dbn::recipe::Layer { hidden, ..last.clone() })
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
        if let Some(data) = data.filter(|_| found.visible == AUTO) {
            found.visible = typed.visible_units(&[&data.train], data.columns.as_deref())?.kind();
        }
        typed = put(&recipe.without_rates_of_others(named, &found))?;
    }
    let mut recipe = typed;
    if args.unsupervised && (recipe.classifier.is_some() || recipe.labels) {
        return Err(Usage::of(anyhow!(
            "--set: expected nothing of [classifier] or labels beside --unsupervised, which trains without"
        )));
    }
    recipe.data.source = absolute(&recipe.data.source)?;
    if let Some(labels) = &mut recipe.data.read.labels {
        *labels = std::path::absolute(&*labels).context("labels")?;
    }
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
fn typed(options: &ReadOptions) -> Result<ReadOptions> {
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

/// Whether a recipe that is called so, or not called at all, is one of the program's own.
fn is_built_in(name: Option<&str>) -> bool {
    name.is_none_or(|name| BUILT_IN.iter().any(|(built_in, _)| *built_in == name))
}

/// Whether `--recipe` means a file, and none of the program's own.
fn is_file(name: &str) -> bool {
    let path = Path::new(name);
    !is_built_in(Some(name)) && (path.extension().is_some() || path.is_file())
}

/// The recipe that a name or a file's path stands for, not yet checked.
pub fn named_or_file(name: &str) -> Result<Recipe> {
    if is_file(name) {
        return Recipe::read_draft(Path::new(name)).map_err(|error| match error {
            candle_dbn::Error::Io { .. } => error.into(),
            other => Usage::of(other),
        });
    }
    Recipe::named(name).map_err(Usage::of)
}

/// The recipe for data of which no more is known than what they are called. Data of the program's own have one of their name.
fn suitable<'a>(data: Option<&'a str>, read: Option<&Dataset>) -> &'a str {
    match data {
        None => "digits",
        Some(name) if data::is_named(name) => name.split(':').next().unwrap_or(name),
        Some(path) if is_of_hub(path) => "mnist",
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
    anyhow::bail!(
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
    path.into_os_string()
        .into_string()
        .map_err(|path| anyhow::anyhow!("{path:?}: the path is not UTF-8"))
}
