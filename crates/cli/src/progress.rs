//! Progress on standard error: a bar a stage and one for its current epoch; plain lines where there is no terminal.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use dbn::training::{Figures, Stage, Step};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::output::{self, grouped};

/// How often to write a line where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A sign of life for work of unknown length.
pub fn spinner(bars: &MultiProgress, what: &'static str) -> ProgressBar {
    let spinner = bars.add(ProgressBar::new_spinner()).with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// The bars of a training.
pub struct Progress {
    bars: MultiProgress,
    is_terminal: bool,
    quiet: bool,
    name: String,
    stage: ProgressBar,
    epoch: ProgressBar,
    last_line: Instant,
    figures: Option<Figures>,
}

impl Progress {
    /// Bars that will appear among `bars`; if `quiet`, none, and no lines either.
    pub fn new(bars: &MultiProgress, quiet: bool) -> Self {
        Self {
            bars: bars.clone(),
            is_terminal: !quiet && std::io::stderr().is_terminal(),
            quiet,
            name: String::new(),
            stage: ProgressBar::hidden(),
            epoch: ProgressBar::hidden(),
            last_line: Instant::now(),
            figures: None,
        }
    }

    /// A stage begins: its bar appears below those of the stages that are done.
    pub fn stage(&mut self, stage: &Stage) {
        self.finish();
        self.name = format!("{} {}", stage.name, stage.shape);
        self.figures = None;
        if !self.is_terminal {
            return;
        }
        let style = |template| {
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        self.stage = self.bars.add(ProgressBar::new(stage.epochs as u64));
        self.stage
            .set_style(style("{prefix:.bold} {bar:24.cyan/dim} {pos:>3}/{len} {elapsed:>4} {msg}"));
        self.stage.set_prefix(self.name.clone());
        self.stage.set_position(stage.from as u64);
        self.epoch = self.bars.add(ProgressBar::new(stage.cases as u64));
        self.epoch.set_style(
            style("  {bar:24.dim} {human_pos:>7}/{human_len} cases, {rate}")
                .with_key("rate", write_rate),
        );
    }

    /// A mini-batch was learned.
    pub fn step(&self, step: &Step) {
        if step.position.batch == 0 {
            self.epoch.reset();
        } else {
            self.epoch.inc(step.cases as u64);
        }
    }

    /// An epoch is done.
    pub fn epoch(&mut self, figures: &Figures) {
        self.stage.set_position(figures.epoch as u64);
        self.stage.set_message(describe(figures));
        self.figures = Some(figures.clone());
        if !self.is_terminal && self.last_line.elapsed() >= LINE_EVERY {
            self.print_line();
        }
    }

    /// The last stage is done: its bar stays, full.
    pub fn finish(&mut self) {
        self.epoch.finish_and_clear();
        if self.stage.length() == Some(self.stage.position()) {
            self.stage.finish();
        } else {
            self.stage.abandon();
        }
        if !self.is_terminal {
            self.print_line();
        }
    }

    /// Writes what is known and not yet written.
    fn print_line(&mut self) {
        if let Some(figures) = self.figures.take().filter(|_| !self.quiet) {
            let Figures { epoch, epochs, .. } = figures;
            output::note(format!("{} epoch {epoch}/{epochs}: {}", self.name, describe(&figures)));
        }
        self.last_line = Instant::now();
    }
}

/// Cases per second as a whole number: the built-in key shows four decimals.
fn write_rate(state: &ProgressState, to: &mut dyn Write) {
    // A bar that cannot be written to is not worth an error.
    let _ = write!(to, "{} cases/s", grouped(state.per_sec() as u64));
}

/// An epoch in a few words.
fn describe(figures: &Figures) -> String {
    let mut words = vec![format!("{} cases/s", grouped(figures.cases_per_second as u64))];
    if let Some(k) = figures.k.filter(|k| *k > 1) {
        words.push(format!("k {k}"));
    }
    if let Some(report) = &figures.report {
        words.push(format!("reconstruction {:.4}", report.reconstruction_error));
        words.extend(report.pseudo_likelihood.map(|pl| format!("pseudo-LL {pl:.1}")));
        words.extend(report.free_energy_gap.map(|gap| format!("gap {gap:+.2}")));
        if report.dead_units > 0 {
            words.push(format!("dead {}", report.dead_units));
        }
    }
    let r_hat = figures.mixing.as_ref().and_then(|mixing| mixing.r_hat);
    words.extend(r_hat.map(|r_hat| format!("R\u{302} {r_hat:.2}")));
    words.extend(figures.update_ratio.map(|ratio| format!("ΔW/W {ratio:.0e}")));
    words.extend(figures.train_loss.map(|loss| format!("loss {loss:.4}")));
    let squared = figures.validation_squared_error;
    words.extend(squared.map(|error| format!("validation squared error {error:.3}")));
    words.extend(figures.validation_rmse.map(|error| format!("validation RMSE {error:.4}")));
    words.extend(figures.validation_error.map(|error| format!("validation error {error:.2} %")));
    words.join(", ")
}
