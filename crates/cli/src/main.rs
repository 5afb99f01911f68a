//! `dbn`: train, evaluate, sample and inspect deep belief networks.

mod args;
mod device;
mod embed;
mod evaluate;
mod inspect;
mod logging;
mod output;
mod progress;
mod recipe;
mod sample;
mod train;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    rbm_core::ops::threads::settle();
    let args = Args::parse();
    let bars = indicatif::MultiProgress::new();
    let result = logging::start(&args.logging, &bars).and_then(|()| match &args.command {
        Command::Train(args) => train::run(args, &bars),
        Command::Evaluate(args) => evaluate::run(args, &bars),
        Command::Sample(args) => sample::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Inspect(args) => inspect::run(args),
    });
    match result {
        Ok(code) => code,
        // Whoever reads our output has seen enough: that is no failure.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dbn: {error:#}");
            ExitCode::FAILURE
        }
    }
}
