//! `dbn recipe`: the built-in recipes, and one of them with a comment for every key.

use std::path::Path;

use anyhow::{Result, anyhow};
use candle_dbn::Recipe;
use candle_dbn::recipe::{BUILT_IN, BeliefRecipe, MACHINES, MachineRecipe, reference, summaries};

use crate::output::{self, Usage};

/// List the built-in recipes, or print one with a comment for every key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn recipe                     the built-in recipes: for what, which data, how long
  dbn recipe digits > mine.toml  one with a comment for every key, to be changed and given to train
  dbn train --recipe mine.toml
  dbn recipe --keys              every key there is, as a page in Markdown")]
pub struct ShowRecipe {
    /// A built-in recipe or a TOML file; without it, a list of the built-in ones
    #[arg(value_name = "NAME|FILE")]
    pub name: Option<String>,
    /// Print the reference of all keys, in Markdown
    #[arg(long, conflicts_with = "name", help_heading = "Output")]
    pub keys: bool,
}

/// Lists the built-in recipes, or prints one.
pub fn run(args: &ShowRecipe) -> Result<()> {
    if args.keys {
        return output::line(reference()?.trim_end());
    }
    match &args.name {
        Some(name) if is_file(name) && BeliefRecipe::is_in(name) => {
            let recipe = BeliefRecipe::read(name).map_err(Usage::of)?;
            output::line(recipe.to_toml()?.trim_end())
        }
        Some(name) if is_of_machine(name) => {
            output::line(machine_in_file(name)?.to_toml()?.trim_end())
        }
        Some(name) => {
            let recipe = named_or_file(name)?.with::<&str>(&[]).map_err(Usage::of)?;
            output::line(recipe.to_commented_toml()?.trim_end())
        }
        None => {
            let row = |summary: candle_dbn::recipe::Summary| {
                [summary.name, summary.what, summary.data, summary.takes]
                    .map(str::to_owned)
                    .to_vec()
            };
            let header = ["recipe", "for", "data", "takes"];
            output::line(output::texts(&header, summaries().map(row).collect()))
        }
    }
}

/// Whether a recipe that is called so, or not called at all, is one of the program's own.
pub fn is_built_in(name: Option<&str>) -> bool {
    name.is_none_or(|name| BUILT_IN.iter().any(|(built_in, _)| *built_in == name))
}

/// Whether `--recipe` means a file, and none of the program's own.
pub fn is_file(name: &str) -> bool {
    let path = Path::new(name);
    !is_built_in(Some(name)) && !is_machine(name) && (path.extension().is_some() || path.is_file())
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

/// Whether the recipe of a Boltzmann machine is meant: in a file, or one of the program's own.
pub fn is_of_machine(name: &str) -> bool {
    is_machine(name) || is_file(name) && MachineRecipe::is_in(name)
}

/// Whether a recipe of a Boltzmann machine is meant that is one of the program's own.
fn is_machine(name: &str) -> bool {
    MACHINES.iter().any(|(known, _)| *known == name)
}

/// The recipe of a Boltzmann machine by name, or in a file.
pub fn machine_in_file(name: &str) -> Result<MachineRecipe> {
    if let Some(built_in) = MachineRecipe::named(name)? {
        return Ok(built_in);
    }
    if !is_file(name) || Path::new(name).is_file() && !is_of_machine(name) {
        return Err(Usage::of(anyhow!(
            "--recipe {name}: expected the TOML file of a Boltzmann machine (model = \"bm\"), found a network's recipe"
        )));
    }
    MachineRecipe::read(name).map_err(|error| match error {
        candle_dbn::Error::Io { .. } => error.into(),
        other => Usage::of(other),
    })
}
