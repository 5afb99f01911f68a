//! `dbn recipe`, as it was typed.

/// List the built-in recipes, or print one with a comment for every key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn recipe                     the built-in recipes: for what, which data, how long
  dbn recipe digits > mine.toml  one with a comment for every key, to be changed and given to train
  dbn train --recipe mine.toml
  dbn recipe --keys              every key there is, as a page in Markdown")]
pub struct Recipe {
    /// A built-in recipe or a TOML file; without it, a list of the built-in ones
    #[arg(value_name = "NAME|FILE")]
    pub name: Option<String>,
    /// Print the reference of all keys, in Markdown
    #[arg(long, conflicts_with = "name", help_heading = "Output")]
    pub keys: bool,
}
