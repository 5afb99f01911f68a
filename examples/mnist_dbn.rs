//! The deep belief network of 2006 on MNIST: 784-500-500-2000, each layer pre-trained by contrastive divergence, then the
//! whole network fine-tuned by backpropagation (Hinton and Salakhutdinov, Science 313, 2006).
//!
//! `cargo run --release --example mnist_dbn -- --data DIR`, where DIR holds the four IDX files of MNIST, plain or gzipped; without
//! it they are fetched from the Hugging Face Hub.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use candle_dbn::hub::Hub;
use candle_dbn::training::{
    Checkpoint, Command, EpochMetrics, Observer, Outcome, StageStart, Step,
};
use candle_dbn::viz::gallery;
use candle_dbn::{Evaluation, Inference, Recipe, Run, Training, data};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// Train the deep belief network of 2006 on MNIST
#[derive(Parser)]
struct Args {
    /// Folder with the four IDX files of MNIST, plain or gzipped [default: fetched from the Hub]
    #[arg(long, env = "MNIST_DIR")]
    data: Option<PathBuf>,
    /// Folder of the run; a run that was stopped there goes on
    #[arg(long, default_value = "runs/mnist_dbn")]
    out: PathBuf,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Change a key of the recipe, e.g. layers.*.epochs=2
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Learn from the first cases only
    #[arg(long, value_name = "CASES")]
    limit: Option<usize>,
}

fn main() -> Result<()> {
    rbm_core::ops::device::settle()?;
    let args = Args::parse();
    let started = Instant::now();
    let device = candle_core::Device::cuda_if_available(0).unwrap_or(candle_core::Device::Cpu);

    let data = match args.data {
        Some(data) => data,
        None => Hub::from_env()?.data("mnist").context("without --data")?,
    };
    let source = data.to_str().context("--data: the path is not UTF-8")?;
    let mut dataset = data::load(source, &data::ReadOptions::default())?;
    if let Some(limit) = args.limit {
        let first: Vec<u32> = (0..limit.min(dataset.train.len()) as u32).collect();
        dataset.train = dataset.train.select(&first)?;
    }
    let mut recipe = Recipe { seed: args.seed, ..Recipe::named("mnist")? }.with(&args.settings)?;
    source.clone_into(&mut recipe.data.source);

    let mut training = Training::new(recipe.clone(), dataset, &device)?;
    let (run, _claim) = match Run::open(&args.out) {
        Ok(run) => {
            let claim = run.claim()?;
            if run.recipe()? != recipe {
                bail!("{}: holds a run of another recipe; choose another --out", args.out.display())
            }
            (run, claim)
        }
        Err(_) => Run::create(&args.out, &recipe)?,
    };
    if let Some(checkpoint) = run.checkpoint()? {
        training.restore(checkpoint).context("cannot go on with the run in --out")?;
    }
    run.truncate_metrics(training.record().epochs)?;
    let mut observer = Bars { run: &run, bar: ProgressBar::hidden(), saved: Instant::now() };
    let Outcome::Finished(model) = training.run(&mut observer)? else { return Ok(()) };

    model.save(run.dir())?;
    let test = training.held_out.as_ref().context("the data have no test part")?;
    gallery::write(run.dir(), &model, &test.cases, args.seed)?;
    let evaluation = Evaluation::of(&model, test, Inference::default(), args.seed)?;
    let error = evaluation.error_percent.context("no classifier was trained")?;
    println!(
        "model and pictures in {}, {:.1} minutes",
        run.dir().display(),
        started.elapsed().as_secs_f64() / 60.0
    );
    println!();
    println!("784-500-500-2000-10, permutation invariant                           test error");
    println!(
        "this run, seed {:<10}                                               {error:.2} %",
        args.seed
    );
    println!("greedy pre-training, then backpropagation (Hinton, Salakhutdinov 2006)   1.2  %");
    println!("greedy pre-training, then up-down (Hinton, Osindero, Teh 2006)           1.25 %");
    println!("support vector machine, as quoted there                                  1.4  %");
    println!("backpropagation from random weights, as quoted there                     1.6  %");
    println!();
    println!("test error {error:.2} %");
    Ok(())
}

/// A bar for each stage, a checkpoint every ten seconds, a line of metrics every epoch.
struct Bars<'a> {
    run: &'a Run,
    bar: ProgressBar,
    saved: Instant,
}

impl Observer for Bars<'_> {
    fn stage(&mut self, stage: &StageStart) -> candle_dbn::Result<()> {
        self.bar.abandon();
        self.bar = ProgressBar::new((stage.epochs * stage.cases) as u64);
        if let Ok(style) =
            ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3} % {per_sec} {msg}")
        {
            self.bar.set_style(style);
        }
        self.bar.set_prefix(format!("{} {}", stage.kind, stage.shape));
        self.bar.set_position((stage.from * stage.cases) as u64);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> candle_dbn::Result<Command> {
        self.bar.inc(step.cases as u64);
        let is_due = self.saved.elapsed() > Duration::from_secs(10);
        Ok(if is_due { Command::Checkpoint } else { Command::Continue })
    }

    fn epoch(&mut self, metrics: &EpochMetrics) -> candle_dbn::Result<()> {
        let message = match (&metrics.report, metrics.validation_error) {
            (Some(report), _) => format!("reconstruction {:.4}", report.reconstruction_error),
            (None, Some(error)) => format!("validation error {error:.2} %"),
            (None, None) => format!("loss {:.4}", metrics.train_loss.unwrap_or(f64::NAN)),
        };
        if self.bar.is_hidden() {
            eprintln!("{} epoch {}/{}: {message}", metrics.stage, metrics.epoch, metrics.epochs);
        }
        self.bar.set_message(message);
        self.run.append_metrics(metrics)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> candle_dbn::Result<()> {
        self.saved = Instant::now();
        self.run.save_checkpoint(checkpoint)
    }
}
