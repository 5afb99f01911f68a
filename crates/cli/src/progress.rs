//! Progress on standard error: a bar a stage and one for its current epoch; plain lines where there is no terminal.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::IsTerminal;
#[cfg(feature = "hub")]
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::Tensor;
#[cfg(feature = "hub")]
use candle_dbn::hub::{Hub, TransferProgress};
use candle_dbn::training::{EpochMetrics, StageStart, Step};
use console::{Term, measure_text_width};
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use rbm_core::Rng;
use rbm_core::estimate::BidirectionalAis;
use rbm_core::estimate::{Equilibrium, TemperingConfig};
use rbm_core::model::Boltzmann;
use rbm_core::sampling::AnnealingPath;

use crate::interrupt::{self, Interrupted};
use crate::output::{self, grouped};

/// How often to write a line where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What the words of an epoch mean: the long help of `train` says it, and `-v` where a word comes up first.
pub const WORDS: [(&str, &str); 8] = [
    (
        "reconstruction",
        "mean squared difference between a value and what one step down makes of it",
    ),
    ("pseudo-LL", "pseudo-likelihood of training cases, nats a case: it should rise"),
    ("gap", "mean free energy of validation less training cases, nats: it grows with overfitting"),
    ("dead", "hidden units that are off for nearly every case"),
    ("R\u{302}", "spread between chains against that within them: near 1 where they mix"),
    ("ΔW/W", "mean change of a weight in a step, over the mean weight: about 1e-3 is usual"),
    ("k", "Gibbs steps between updates"),
    ("loss", "mean −log p of what the network is to say, nats, while it learns"),
];

/// The columns of the terminal that standard error is; where it is none, as many as usual.
fn width() -> usize {
    Term::stderr().size_checked().map_or(80, |(_, columns)| usize::from(columns))
}

/// Columns of a bar on a terminal of so many.
fn bar_width(width: usize) -> usize {
    match width {
        ..70 => 6,
        70..80 => 10,
        80..110 => 16,
        _ => 24,
    }
}

/// A style in which `BAR` stands for a bar that leaves room for the rest.
pub fn style(template: &str) -> ProgressStyle {
    let template = template.replace("BAR", &format!("bar:{}", bar_width(width())));
    let style = ProgressStyle::with_template(&template);
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", write_rate)
        .with_key("left", write_left)
}

/// A bar of `length` cases or steps, with the time left.
pub fn bar(bars: &MultiProgress, length: u64) -> ProgressBar {
    bars.add(ProgressBar::new(length)).with_style(style("{BAR} {human_pos}/{human_len} {left}"))
}

/// The most sweeps of tempering unless the user says so.
pub const TEMPERED_SWEEPS: u32 = 5000;

/// Configurations of the rest of `machine`, `samples` of them, after so many sweeps along `path`: `(samples, rest)`.
pub fn equilibrium_samples(
    machine: &dyn Boltzmann,
    path: AnnealingPath,
    [samples, sweeps]: [usize; 2],
    bars: &MultiProgress,
    rng: &mut Rng,
) -> Result<Tensor> {
    let config = TemperingConfig { samples, sweeps, ..TemperingConfig::default() };
    let mut equilibrium = Equilibrium::new(machine, path, config, rng)?;
    let bar = bar(bars, 1000);
    while !equilibrium.is_done() {
        if interrupt::is_requested() {
            bar.finish_and_clear();
            return Err(Interrupted("nothing was written".to_owned()).into());
        }
        equilibrium.step(machine, rng)?;
        bar.set_position((1000.0 * equilibrium.share_done()) as u64);
    }
    bar.finish_and_clear();
    let found = equilibrium.progress();
    output::note(format!(
        "{} replicas came from β = 0 to β = 1 in {} sweeps over {} levels",
        found.swaps.arrivals,
        found.swaps.sweeps,
        found.betas.len()
    ));
    if found.swaps.arrivals < samples {
        output::note(format!(
            "fewer than the {samples} samples: they depend on each other (give more --sweeps)"
        ));
    }
    Ok(equilibrium.samples()?)
}

/// Takes every step of an estimation of log Z, and shows where it stands. `keep` is called after each step, and with true after the last one and
/// at Ctrl-C, when `how` says how it goes on.
pub fn estimate(
    sides: &mut BidirectionalAis,
    bars: &MultiProgress,
    how: &str,
    mut keep: impl FnMut(&BidirectionalAis, bool) -> Result<()>,
) -> Result<()> {
    let bar = bar(bars, 1000);
    bar.set_style(style("{msg:20} {BAR} {percent:>3} % {left}"));
    let mut shown = None;
    while !sides.is_done() {
        if interrupt::is_requested() {
            bar.finish_and_clear();
            keep(sides, true)?;
            return Err(Interrupted(how.to_owned()).into());
        }
        let stage = sides.stage();
        sides.step()?;
        if shown != Some(stage) {
            shown = Some(stage);
            bar.set_message(stage.to_string());
            tracing::info!(%stage, "log Z");
        }
        bar.set_position((1000.0 * sides.share_done()) as u64);
        keep(sides, false)?;
    }
    bar.finish_and_clear();
    keep(sides, true)
}

/// A sign of life for work of unknown length.
pub fn spinner(bars: &MultiProgress, what: &'static str) -> ProgressBar {
    let spinner = bars.add(ProgressBar::new_spinner()).with_message(what);
    spinner.set_style(style("{spinner} {wide_msg}"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// The bars of a training.
pub struct Progress {
    bars: MultiProgress,
    is_terminal: bool,
    quiet: bool,
    name: String,
    /// The cases of an epoch.
    cases: u64,
    stage: ProgressBar,
    epoch: ProgressBar,
    last_line: Instant,
    metrics: Option<EpochMetrics>,
    /// The words that were explained.
    explained: BTreeSet<&'static str>,
}

impl Progress {
    /// Bars that will appear among `bars`; if `quiet`, none, and no lines either.
    pub fn new(bars: &MultiProgress, quiet: bool) -> Self {
        Self {
            bars: bars.clone(),
            is_terminal: !quiet && std::io::stderr().is_terminal(),
            quiet,
            name: String::new(),
            cases: 1,
            stage: ProgressBar::hidden(),
            epoch: ProgressBar::hidden(),
            last_line: Instant::now(),
            metrics: None,
            explained: BTreeSet::new(),
        }
    }

    /// A stage begins: its bar appears below those of the stages that are done.
    pub fn stage(&mut self, stage: &StageStart) {
        self.finish();
        self.name = format!("{} {}", stage.kind, stage.shape);
        self.metrics = None;
        if !self.is_terminal {
            return;
        }
        let (cases, epochs) = (stage.cases.max(1) as u64, stage.epochs as u64);
        self.cases = cases;
        // It counts cases, so that the time left is known in the midst of the first epoch.
        self.stage = self.bars.add(ProgressBar::new(cases * epochs));
        let done = move |state: &ProgressState, to: &mut dyn Write| {
            let _ = write!(to, "{}/{epochs}", state.pos() / cases);
        };
        let template = "{prefix:.bold} {BAR.cyan/dim} {done} {left}{msg}";
        self.stage.set_style(style(template).with_key("done", done));
        self.stage.set_prefix(match measure_text_width(&self.name) <= width() / 4 {
            true => self.name.clone(),
            false => stage.kind.to_string(),
        });
        self.stage.set_position(cases * stage.from as u64);
        self.stage.reset_eta();
        self.epoch = self.bars.add(ProgressBar::new(cases));
        self.epoch.set_style(style("  {BAR.dim} {human_pos:>7}/{human_len} cases, {rate}"));
    }

    /// A mini-batch was learned.
    pub fn step(&self, step: &Step) {
        if step.cursor.batch == 0 {
            self.epoch.reset();
        } else {
            self.epoch.inc(step.cases as u64);
            self.stage.inc(step.cases as u64);
        }
    }

    /// An epoch is done.
    pub fn epoch(&mut self, metrics: &EpochMetrics) {
        self.stage.set_position(self.cases * metrics.epoch as u64);
        self.explain(metrics);
        if self.is_terminal {
            let epochs = metrics.epochs.to_string().len();
            let prefix = measure_text_width(&self.stage.prefix());
            // Between them stand spaces, and at most "59m left".
            let taken = prefix + 1 + bar_width(width()) + 1 + 2 * epochs + 1 + 1 + 8 + 2;
            let words = fitting(&describe(metrics), width().saturating_sub(taken));
            self.stage.set_message(if words.is_empty() { words } else { format!("  {words}") });
        }
        self.metrics = Some(metrics.clone());
        if !self.is_terminal && self.last_line.elapsed() >= LINE_EVERY {
            self.print_line();
        }
    }

    /// Prints, where more is wanted (`-v`), what the words mean that come up here first.
    fn explain(&mut self, metrics: &EpochMetrics) {
        for described in describe(metrics) {
            let known =
                WORDS.iter().find(|(word, _)| described.text.starts_with(&format!("{word} ")));
            if let Some((word, meaning)) = known.filter(|(word, _)| self.explained.insert(word)) {
                tracing::info!("{word}: {meaning}");
            }
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
        if let Some(metrics) = self.metrics.take().filter(|_| !self.quiet) {
            let EpochMetrics { epoch, epochs, .. } = metrics;
            let words = fitting(&describe(&metrics), usize::MAX);
            output::note(format!("{} epoch {epoch}/{epochs}: {words}", self.name));
        }
        self.last_line = Instant::now();
    }
}

/// The time that is left, or was taken: `12s left`.
fn write_left(state: &ProgressState, to: &mut dyn Write) {
    let _ = match state.is_finished() {
        true => write!(to, "{:#}", HumanDuration(state.elapsed())),
        // Nothing is known yet.
        false if state.eta().is_zero() => write!(to, "…"),
        false => write!(to, "{:#} left", HumanDuration(state.eta())),
    };
}

/// Cases per second as a whole number: the built-in key shows four decimals.
fn write_rate(state: &ProgressState, to: &mut dyn Write) {
    // A bar that cannot be written to is not worth an error.
    let _ = write!(to, "{}", rate(state.pos(), state.elapsed()));
}

/// Cases per second, of so many in a time, once there are any.
fn rate(cases: u64, elapsed: Duration) -> String {
    match cases as f64 / elapsed.as_secs_f64() {
        rate if rate.is_finite() && rate >= 1.0 => format!("{} cases/s", grouped(rate as u64)),
        _ => "…".into(),
    }
}

/// Something about an epoch.
struct Described {
    text: String,
    /// The larger, the sooner it goes where there is no room.
    rank: u8,
}

/// An epoch in a few words.
fn describe(metrics: &EpochMetrics) -> Vec<Described> {
    let mut words = Vec::new();
    let mut say = |rank, text: Option<String>| {
        words.extend(text.map(|text| Described { text, rank }));
    };
    say(8, Some(format!("{} cases/s", grouped(metrics.cases_per_second as u64))));
    say(6, metrics.k.filter(|k| *k > 1).map(|k| format!("k {k}")));
    if let Some(report) = &metrics.report {
        say(1, Some(format!("reconstruction {:.4}", report.reconstruction_error)));
        say(2, report.pseudo_likelihood.map(|pl| format!("pseudo-LL {pl:.1}")));
        say(4, report.free_energy_gap.map(|gap| format!("gap {gap:+.2}")));
        say(5, (report.dead_units > 0).then(|| format!("dead {}", report.dead_units)));
    }
    if let Some(machine) = &metrics.machine {
        say(2, machine.pseudo_log_likelihood.map(|pl| format!("pseudo-LL {pl:.2}")));
        say(4, Some(format!("free energy {:.2}", machine.mean_free_energy)));
        let dead: usize = machine.hidden_layers.iter().map(|layer| layer.dead_units).sum();
        say(5, (dead > 0).then(|| format!("dead {dead}")));
    }
    say(1, metrics.importance_weighted.map(|bound| format!("log p(v) at least {bound:.2}")));
    let r_hat = metrics.mixing.as_ref().and_then(|mixing| mixing.r_hat);
    say(3, r_hat.map(|r_hat| format!("R\u{302} {r_hat:.2}")));
    say(7, metrics.update_ratio.map(|ratio| format!("ΔW/W {ratio:.0e}")));
    say(1, metrics.train_loss.map(|loss| format!("loss {loss:.4}")));
    let squared = metrics.validation_squared_error;
    say(0, squared.map(|error| format!("validation squared error {error:.3}")));
    say(0, metrics.validation_rmse.map(|error| format!("validation RMSE {error:.4}")));
    say(0, metrics.validation_error.map(|error| format!("validation error {error:.2} %")));
    words
}

/// As many of the words as there is room for, the most important ones, in their order. Where the most important one is too long, the next
/// one that is not.
fn fitting(words: &[Described], room: usize) -> String {
    let mut kept: Vec<&Described> = words.iter().collect();
    loop {
        let text = kept.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(", ");
        let least = kept.iter().map(|word| word.rank).max();
        match least {
            Some(least) if measure_text_width(&text) > room => {
                kept.retain(|word| word.rank != least);
            }
            None => {
                let fits = words.iter().filter(|word| measure_text_width(&word.text) <= room);
                return fits.min_by_key(|word| word.rank).map_or(text, |word| word.text.clone());
            }
            _ => return text,
        }
    }
}

/// As the environment says; a bar called `what` appears among `bars` when bytes move.
#[cfg(feature = "hub")]
pub fn hub(bars: &MultiProgress, what: &'static str) -> Result<Hub> {
    let bar = bars.add(ProgressBar::no_length());
    bar.set_style(style("{prefix} {BAR} {bytes}/{total_bytes} {left}"));
    bar.set_prefix(what);
    let watching = move |TransferProgress { bytes, of }| {
        bar.set_length(of);
        bar.set_position(bytes);
        if bytes == of {
            bar.finish_and_clear();
        }
    };
    Ok(Hub::from_env()?.watched(Arc::new(watching)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a bar of a short epoch that says that nothing moves.
    #[test]
    fn a_rate_is_shown_once_there_is_one() {
        assert_eq!(rate(280, Duration::from_millis(1)), "280,000 cases/s");
        assert_eq!(rate(0, Duration::from_secs(1)), "…");
        assert_eq!(rate(20, Duration::ZERO), "…");
    }

    /// Catches a line that is broken by a narrow terminal, and a number that goes before a less important one.
    #[test]
    fn the_least_important_words_go_first() {
        let metrics = EpochMetrics {
            cases_per_second: 12345.0,
            k: Some(3),
            update_ratio: Some(0.001),
            train_loss: Some(0.25),
            validation_error: Some(2.5),
            ..EpochMetrics::default()
        };
        let words = describe(&metrics);
        let of = |room| fitting(&words, room);
        assert_eq!(of(80), "12,345 cases/s, k 3, ΔW/W 1e-3, loss 0.2500, validation error 2.50 %");
        assert_eq!(of(60), "k 3, ΔW/W 1e-3, loss 0.2500, validation error 2.50 %");
        assert_eq!(of(40), "loss 0.2500, validation error 2.50 %");
        assert_eq!(of(25), "validation error 2.50 %");
        assert_eq!(of(22), "loss 0.2500");
        assert_eq!(of(2), "");
        for room in 0..100 {
            assert!(measure_text_width(&of(room)) <= room);
        }
    }
}
