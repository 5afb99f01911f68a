//! `dbn completions` and `dbn man`, as they were typed.

use std::path::PathBuf;

use clap_complete::Shell;

/// Print what completes commands and options in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn completions bash > dbn.bash    then: source dbn.bash, or put it into ~/.local/share/bash-completion/completions/dbn
  dbn completions zsh > _dbn         into a folder of $fpath
  dbn completions fish > dbn.fish    into ~/.config/fish/completions")]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Print a page of the manual, or write all of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn man train > dbn-train.1    then: man ./dbn-train.1
  dbn man --out man1/            a page of every command")]
pub struct Manual {
    /// The page of this command [default: that of dbn itself]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// Write every page into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "command", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace pages that lie there
    #[arg(long, requires = "out", help_heading = "Output")]
    pub force: bool,
}
