//! `dbn completions` and `dbn man`.

use std::fs;

use anyhow::{Context, Result, anyhow};
use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::{Args, Completions, Manual};
use crate::output::{self, Usage};

/// Prints what completes the program's words in a shell.
pub fn completions(args: &Completions) -> Result<()> {
    let mut bytes = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "dbn", &mut bytes);
    output::line(String::from_utf8(bytes)?.trim_end())
}

/// Prints a page of the manual, or writes all of them into a folder.
pub fn man(args: &Manual) -> Result<()> {
    let pages = pages()?;
    if let Some(dir) = &args.out {
        let paths: Vec<_> = pages.iter().map(|(name, _)| dir.join(format!("{name}.1"))).collect();
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
fn pages() -> Result<Vec<(String, String)>> {
    let mut all = Args::command().disable_help_subcommand(true);
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
