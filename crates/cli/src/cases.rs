//! The cases that a command is about.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_dbn::data::{Binarise, Parts, ReadOptions};
use candle_dbn::{Examples, Model, Run, data};

use crate::args::{Cases, DataOptions};
use crate::{model, output, recipe};

/// The cases that the user means: of the named data, or of the data that the run in `dir` was trained on.
pub fn find(
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
            // Nothing is done to other data that was not asked for; but what they lack is said.
            let done = model.preprocessing.as_ref().filter(|done| done.binarise != Binarise::None);
            if let Some(done) = done.filter(|_| options.read.binarise.is_none()) {
                output::note(format!(
                    "the network learned from zeros and ones (--binarise {}); these data are taken as they are",
                    done.binarise
                ));
            }
            (recipe::load_other(source, &options.read, model)?, None)
        }
        None => {
            ensure!(
                model::work_dir(dir) == dir,
                "a model of the Hub comes without data: name the data"
            );
            let run = Run::open(dir).context("name the data, or a run's folder")?;
            let mut recipe = run.recipe()?;
            // The same cases as zeros and ones.
            let ReadOptions { binarise, weights, .. } = &mut recipe.data.read;
            *binarise = options.read.binarise.or(*binarise);
            *weights = options.read.weights.or(*weights);
            (recipe::load_own(&recipe, model)?, Some(recipe.data))
        }
    };
    let has_unseen = dataset.held_out.is_some() || of_recipe.is_some() && !dataset.is_population;
    let cases = cases.unwrap_or(if has_unseen { Cases::HeldOut } else { Cases::All });
    let name = dataset.name.clone();
    // Those that are kept for validation are cases of the training part, unless they alone are asked for; and all cases stay
    // in their order.
    let mut taken = of_recipe
        .unwrap_or(candle_dbn::recipe::Data { validate_one_in: None, ..Default::default() });
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
        bail!("{name}: no cases are {purpose} of this data{why}");
    };
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

/// What to call the cases' source in an error.
pub fn source(data: Option<&str>, run: &Path) -> String {
    data.map_or_else(|| run.display().to_string(), str::to_owned)
}
