//! `dbn completions` and `dbn man`: completions for shells, and pages of the manual.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::output::{self, Usage};

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

/// Prints what completes the program's words in a shell.
pub fn completions(args: &Completions, mut program: Command) -> Result<()> {
    let mut bytes = Vec::new();
    clap_complete::generate(args.shell, &mut program, "dbn", &mut bytes);
    output::line(String::from_utf8(bytes)?.trim_end())
}

/// Prints a page of the manual, or writes all of them into a folder.
pub fn man(args: &Manual, program: Command) -> Result<()> {
    let pages = pages(program)?;
    if let Some(dir) = &args.out {
        let paths: Vec<_> = pages.iter().map(|(name, _)| dir.join(format!("{name}.1"))).collect();
        output::check_folder(dir)?;
        output::check_free(&paths, args.force)?;
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        for (path, (_, text)) in paths.iter().zip(&pages) {
            fs::write(path, text).with_context(|| path.display().to_string())?;
        }
        return output::line(format!("{} pages in {}", pages.len(), dir.display()));
    }
    let name = args.command.as_ref().map_or("dbn".to_owned(), |command| format!("dbn-{command}"));
    let found = pages.iter().find(|(known, _)| *known == name);
    let (_, text) = found.ok_or_else(|| {
        let commands: Vec<_> =
            pages.iter().filter_map(|(name, _)| name.strip_prefix("dbn-")).collect();
        let typed = args.command.as_deref().unwrap_or_default();
        let found = candle_dbn::recipe::quoted(typed, commands.iter().copied());
        Usage::of(anyhow!("man: expected one of {}, found {found}", commands.join(", ")))
    })?;
    output::line(text.trim_end())
}

/// Every page by its name: `dbn`, `dbn-train`, ….
fn pages(program: Command) -> Result<Vec<(String, String)>> {
    let mut all = program.disable_help_subcommand(true);
    all.build();
    let commands: Vec<_> = all.get_subcommands().cloned().collect();
    let of_commands = commands.into_iter().map(|command| {
        let name = format!("dbn-{}", command.get_name());
        (name, command)
    });
    std::iter::once(("dbn".to_owned(), all.clone()))
        .chain(of_commands)
        .map(|(name, command)| {
            let mut bytes = Vec::new();
            Man::new(command).render(&mut bytes)?;
            Ok((name, String::from_utf8(bytes)?))
        })
        .collect()
}
