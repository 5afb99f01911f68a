//! `dbn`: train, evaluate, sample and inspect deep belief networks.

mod output;
mod progress;

mod mask;

mod args;
mod interrupt;

mod device;
mod logging;
mod recipe;

mod recipes;

mod model;

mod measured;

mod cases;
mod dry_run;
mod subject;

mod report;

mod train;

mod npy;

mod tables;

mod estimate_checkpoint;

mod likelihood;

mod compare;
mod evaluate;
mod sample;

mod mutants;
mod score;

mod embed;
mod encode;

mod inspect;

#[cfg(feature = "hub")]
mod push;

#[cfg(feature = "hub")]
mod pull;

mod import;

mod manual;

mod anneal;

mod bench;
mod reproduce;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser};
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::args::{Args, Command};
use crate::interrupt::Stopped;

fn main() -> ExitCode {
    candle_dbn::data::end_on_bus_error();
    if let Err(error) = rbm_core::ops::device::settle() {
        output::error(format!("dbn: {error}"));
        return ExitCode::from(output::Usage::CODE);
    }
    let mut args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return refused(&error),
    };
    let bars = match args.logging.quiet {
        true => MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
        false => MultiProgress::new(),
    };
    let quiet = args.logging.log_json || args.logging.quiet;
    let started = logging::start(&args.logging, &bars);
    let result = started.and_then(|()| run(&mut args.command, &bars, quiet));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough: that is no failure.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Stopped>() {
            Some(stopped) => {
                output::error(stopped.to_string());
                ExitCode::from(interrupt::CODE)
            }
            None => {
                output::error(format!("dbn: {}", output::one_line(&error)));
                match error.is::<output::Usage>() {
                    true => ExitCode::from(output::Usage::CODE),
                    false => ExitCode::FAILURE,
                }
            }
        },
    }
}

/// Shows help or the version where these were asked for, else says in one line what is wrong with what was typed.
fn refused(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() || error.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody may be there to read it.
        let _ = error.print();
    } else {
        let known = Args::command();
        let command = std::env::args().skip(1).find(|word| known.find_subcommand(word).is_some());
        let text = error.render().to_string();
        output::error(format!("dbn: {}", output::of_arguments(&text, command.as_deref())));
    }
    ExitCode::from(error.exit_code() as u8)
}

fn run(command: &mut Command, bars: &MultiProgress, quiet: bool) -> Result<()> {
    if let Some(given) = command.model() {
        *given = model::find(given, bars)?;
    }
    match command {
        Command::Train(args) => train::run(args, bars, quiet),
        Command::Recipe(args) => recipes::run(args),
        Command::Evaluate(args) => evaluate::run(args, bars),
        Command::Compare(args) => compare::run(args),
        Command::Sample(args) => sample::run(args, bars),
        Command::Score(args) => score::run(args, bars),
        Command::Embed(args) => embed::run(args, bars),
        Command::Encode(args) => encode::run(args, bars),
        Command::Decode(args) => encode::decode(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Import(args) => import::run(args),
        #[cfg(feature = "hub")]
        Command::Push(args) => push::run(args, bars),
        #[cfg(feature = "hub")]
        Command::Pull(args) => pull::run(args, bars),
        #[cfg(feature = "hub")]
        Command::Data(args) => {
            output::line(progress::hub(bars, "data")?.data(&args.name)?.display().to_string())
        }
        Command::Anneal(args) => anneal::run(args, bars),
        Command::Bench(args) => bench::run(args, bars),
        Command::Reproduce(args) => reproduce::run(args, bars, quiet),
        Command::Completions(args) => manual::completions(args),
        Command::Manual(args) => manual::man(args),
    }
}
