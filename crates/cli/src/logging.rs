//! Events of the libraries on standard error, above the progress bars.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::output;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Messages")]
pub struct Logging {
    /// Tell more: -v what happens, -vv every epoch, -vvv every step (RUST_LOG overrules)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say nothing but errors and results
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Write the log as JSON, a line an event, to standard error
    #[arg(long, global = true)]
    pub log_json: bool,
}

/// Subscribes to events: `RUST_LOG` if it is set, else as many as `-v` was given.
pub fn start(args: &Logging, bars: &MultiProgress) -> Result<()> {
    // What the client of the Hub's store of large files has to say is in our own errors already.
    let (level, of_store) = match args.verbose {
        0 if args.quiet => ("error", "off"),
        0 => ("warn", "off"),
        1 => ("info", "warn"),
        2 => ("debug", "info"),
        _ => ("trace", "debug"),
    };
    let others = if args.quiet { "error" } else { "warn" };
    let default =
        format!("{others},xet={of_store},dbn={level},candle_dbn={level},rbm_core={level}");
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) => EnvFilter::try_new(directives).context("RUST_LOG")?,
        Err(_) => EnvFilter::try_new(default)?,
    };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(AboveBars(bars.clone()));
    if args.quiet {
        output::be_quiet();
    }
    if args.log_json {
        output::note_as_json();
        builder.json().init()
    } else {
        builder.with_target(false).with_ansi(io::stderr().is_terminal()).init()
    }
    Ok(())
}

/// Standard error, with the bars taken away while a line is written.
#[derive(Clone)]
struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nobody may be there to read it: that is no reason to stop.
        let _ = self.0.suspend(|| io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for AboveBars {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
