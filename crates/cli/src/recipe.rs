//! From what the user typed to a complete recipe.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dbn::Recipe;
use dbn::datasets;
use dbn::recipe::BUILT_IN;

use crate::args::{DataOptions, Train};
use crate::output;

/// The recipe of a new run: the one that was named, or the one that suits the data, with everything typed put into it.
pub fn build(args: &Train) -> Result<Recipe> {
    let mut recipe = match &args.recipe {
        Some(name) => named_or_file(name)?,
        None => Recipe::named(suitable(args.data.as_deref()))?,
    };
    let built_in = is_built_in(args.recipe.as_deref()).then(|| recipe.clone());
    if let Some(data) = &args.data {
        recipe.data.source.clone_from(data);
    }
    put_data_options(&mut recipe, &args.data_options)?;
    if let Some(seed) = args.seed {
        recipe.seed = seed;
    }
    if let Some(visible) = &args.visible {
        recipe.visible.clone_from(visible);
    }
    recipe.standardise |= args.standardise;
    if args.unsupervised {
        (recipe.classifier, recipe.labels) = (None, false);
    }
    if let Some(last) = recipe.layers.last().filter(|_| !args.layers.is_empty()).cloned() {
        let layer = |hidden: &String| -> Result<_> {
            Ok(dbn::recipe::Layer { hidden: hidden.parse().context("--layers")?, ..last.clone() })
        };
        recipe.layers = args.layers.iter().map(layer).collect::<Result<_>>()?;
    }
    // Through the file's form once more, so that what was typed is checked like what was written.
    let recipe = Recipe::parse(&recipe.to_toml()?)?;
    let mut typed = recipe.with(&args.settings).context("--set")?;
    if let Some(named) = &built_in {
        // Its rates were made for its own units and methods.
        let recipe = recipe.without_rates_of_others(named, &typed);
        typed = recipe.with(&args.settings).context("--set")?;
    }
    let mut recipe = typed;
    ensure!(
        !args.unsupervised || recipe.classifier.is_none() && !recipe.labels,
        "--set: expected nothing of [classifier] or labels beside --unsupervised, which trains without"
    );
    recipe.data.source = absolute(&recipe.data.source)?;
    if !recipe.data.labels.as_os_str().is_empty() {
        recipe.data.labels = std::path::absolute(&recipe.data.labels).context("labels")?;
    }
    Ok(recipe)
}

/// The data that a recipe names.
pub fn load_data(recipe: &Recipe) -> Result<datasets::Dataset> {
    tracing::info!(source = recipe.data.source, "reading data");
    let dataset = datasets::load(&recipe.data.source, &recipe.data_options()?)?;
    dataset.notes.iter().for_each(output::note);
    Ok(dataset)
}

/// The data that the user named, read as `options` say.
pub fn load_other(source: &str, options: &DataOptions) -> Result<datasets::Dataset> {
    let mut recipe = Recipe::named("default")?;
    recipe.data.source = located(source)?;
    put_data_options(&mut recipe, options)?;
    load_data(&recipe)
}

fn put_data_options(recipe: &mut Recipe, options: &DataOptions) -> Result<()> {
    if let Some(scale) = options.scale {
        ensure!(
            scale.is_finite() && scale > 0.0,
            "--scale: expected a number above 0, found {scale}"
        );
        recipe.data.scale = scale;
    }
    if let Some(labels) = &options.labels {
        recipe.data.labels = std::path::absolute(labels).context("--labels")?;
    }
    if let Some(column) = &options.label_column {
        recipe.data.label_column.clone_from(column);
    }
    if let Some(binarise) = options.binarise {
        recipe.data.binarise = binarise;
    }
    if let Some(states) = options.one_hot {
        recipe.data.one_hot = states;
    }
    if let Some(width) = options.width {
        recipe.data.width = width;
    }
    Ok(())
}

/// Whether a recipe that is called so, or not called at all, is one of the program's own.
fn is_built_in(name: Option<&str>) -> bool {
    name.is_none_or(|name| BUILT_IN.iter().any(|(built_in, _)| *built_in == name))
}

fn named_or_file(name: &str) -> Result<Recipe> {
    let path = PathBuf::from(name);
    if !is_built_in(Some(name)) && (path.extension().is_some() || path.is_file()) {
        return Ok(Recipe::read(&path)?);
    }
    Ok(Recipe::named(name)?)
}

/// The recipe for data of which no more is known than what they are called. Data of the program's own have one of their name.
fn suitable(data: Option<&str>) -> &str {
    match data {
        None => "digits",
        Some(name) if datasets::is_named(name) => name.split(':').next().unwrap_or(name),
        Some(path) if is_of_hub(path) => "mnist",
        Some(path) if Path::new(path).is_dir() && !datasets::is_suite(path) => "mnist",
        Some(_) => "default",
    }
}

/// Whether data of the Hub are meant: those that are called so, and are not here under that name.
fn is_of_hub(data: &str) -> bool {
    #[cfg(feature = "hub")]
    return dbn::hub::data::names().any(|name| name == data) && !Path::new(data).exists();
    #[cfg(not(feature = "hub"))]
    return data.is_empty();
}

/// Where data are: as they are called, or where those of the Hub were put. Errors where these were never fetched.
fn located(data: &str) -> Result<String> {
    if !is_of_hub(data) {
        return Ok(data.to_owned());
    }
    #[cfg(feature = "hub")]
    if let Some(folder) = dbn::hub::data::fetched(data) {
        return Ok(folder.to_string_lossy().into_owned());
    }
    anyhow::bail!(
        "{data}: there is no such folder here: fetch it with `dbn data {data}`, or name a folder that holds its four IDX files"
    )
}

/// A path that still means the same when the run goes on from another folder.
pub fn absolute(data: &str) -> Result<String> {
    if datasets::is_named(data) {
        return Ok(data.to_owned());
    }
    ensure!(!data.is_empty(), "the data: expected a file or a folder, found an empty name");
    let data = located(data)?;
    let path = std::path::absolute(&data).with_context(|| data.clone())?;
    path.into_os_string()
        .into_string()
        .map_err(|path| anyhow::anyhow!("{path:?}: the path is not UTF-8"))
}
