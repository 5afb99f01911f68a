//! `dbn`: train, evaluate, sample and inspect deep belief networks.

mod clamp;

mod args;
mod output;
mod stop;

mod device;
mod logging;
mod progress;
mod recipe;

mod train;

mod npy;

mod features;

mod cases;

mod report;

mod likelihood;

mod evaluate;
mod sample;

mod embed;
mod encode;

mod decode;

mod inspect;

mod import;

mod bench;
mod reproduce;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::stop::Stopped;

fn main() -> ExitCode {
    rbm_core::ops::threads::settle();
    let args = Args::parse();
    let bars = indicatif::MultiProgress::new();
    let quiet = args.logging.log_json;
    let result = logging::start(&args.logging, &bars).and_then(|()| match &args.command {
        Command::Train(args) => train::run(args, &bars, quiet),
        Command::Evaluate(args) => evaluate::run(args, &bars),
        Command::Sample(args) => sample::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Import(args) => import::run(args),
        Command::Bench(args) => bench::run(args, &bars),
        Command::Reproduce(args) => reproduce::run(args, &bars, quiet),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough: that is no failure.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Stopped>() {
            Some(stopped) => {
                output::note(stopped.to_string());
                ExitCode::from(stop::CODE)
            }
            None => {
                output::note(format!("dbn: {}", output::one_line(&error)));
                ExitCode::FAILURE
            }
        },
    }
}
