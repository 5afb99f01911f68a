//! `dbn recipe`

use anyhow::Result;
use candle_dbn::recipe::{reference, summaries};

use crate::args::Recipe;
use crate::output::{self, Usage};
use crate::recipe;

/// Lists the built-in recipes, or prints one.
pub fn run(args: &Recipe) -> Result<()> {
    if args.keys {
        return output::line(reference()?.trim_end());
    }
    match &args.name {
        Some(name) => {
            let recipe = recipe::named_or_file(name)?.with::<&str>(&[]).map_err(Usage::of)?;
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
