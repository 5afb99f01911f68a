//! The program `dbn`: deep belief networks and Boltzmann machines on the command line.

mod output;

mod interrupt;
mod progress;

mod logging;

mod tables;

mod inputs;

mod machine_data;

mod machines;

mod beliefs;

mod commands;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::commands::Args;
use crate::interrupt::Interrupted;

fn main() -> ExitCode {
    candle_dbn::data::end_on_bus_error();
    if let Err(error) = rbm_core::ops::device::settle() {
        output::error(format!("dbn: {error}"));
        return ExitCode::from(output::Usage::CODE);
    }
    // What begins with a minus and goes on as a number is one, and none of the options.
    let command = Args::command().mut_subcommands(|command| command.allow_negative_numbers(true));
    let parsed = command.try_get_matches().and_then(|found| Args::from_arg_matches(&found));
    let mut args = match parsed {
        Ok(args) => args,
        Err(error) => return refused(&error),
    };
    let bars = match args.logging.quiet {
        true => MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
        false => MultiProgress::new(),
    };
    let quiet = args.logging.log_json || args.logging.quiet;
    let started = logging::start(&args.logging, &bars);
    let result = started.and_then(|()| commands::run(&mut args.command, &bars, quiet));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough: that is no failure.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Interrupted>() {
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
        // Nobody may be there to read it: that is no failure, a full disk is one.
        if let Err(failed) = error.print().and_then(|()| std::io::stdout().flush())
            && failed.kind() != std::io::ErrorKind::BrokenPipe
        {
            output::error(format!("dbn: standard output: {failed}"));
            return ExitCode::FAILURE;
        }
    } else {
        let known = Args::command();
        let command = std::env::args().skip(1).find(|word| known.find_subcommand(word).is_some());
        let text = error.render().to_string();
        output::error(format!("dbn: {}", output::of_arguments(&text, command.as_deref())));
    }
    ExitCode::from(error.exit_code() as u8)
}
