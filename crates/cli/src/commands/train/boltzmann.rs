//! `dbn train --model bm`: a Boltzmann machine with couplings within its layers.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use candle_boltzmann::LogLikelihood;
use candle_boltzmann::learning::{Learner, Learning, Negative, Shape};
use candle_core::Tensor;
use candle_dbn::data::{Dataset, Parts};
use candle_dbn::viz::images::{self, Contrast, shape_of};
use candle_dbn::viz::{Mark, Series, learning as learning_curves};
use indicatif::MultiProgress;
use rbm_core::state::write_whole;
use rbm_core::{Error, Rng, Rows, Units};
use serde::Serialize;

use crate::inputs::{self, DataOptions, MACHINE};
use crate::interrupt::Stopped;
use crate::output::Usage;
use crate::{interrupt, output, progress};

/// Cases on which a curve is measured.
const MEASURED: usize = 1000;
/// Time between two copies on disk.
const INTERVAL: Duration = Duration::from_secs(5);
/// Samples in the picture, and sweeps of each.
const SAMPLES: usize = 100;
const SAMPLE_SWEEPS: usize = 1000;
/// Every sixth case is held out, where the source says nothing.
const HELD_OUT: usize = 6;

/// Which layers are coupled within themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Within {
    /// The visible one
    Visible,
    /// The hidden one
    Hidden,
    /// Both
    Lateral,
    /// None: a restricted machine
    None,
}

/// What is learned, how and where.
pub struct MachineTraining<'a> {
    pub data: Option<&'a str>,
    pub data_options: &'a DataOptions,
    pub visible: Option<&'a str>,
    pub hidden: &'a [String],
    pub within: Within,
    pub settings: &'a [String],
    pub seed: Option<u64>,
    pub out: Option<&'a Path>,
    pub pictures: bool,
}

/// What is known in the end.
#[derive(Debug, Serialize)]
struct MachineResults {
    data: String,
    cases: usize,
    held_out_cases: usize,
    train: Option<LogLikelihood>,
    held_out: Option<LogLikelihood>,
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Serialize)]
struct EpochLine {
    epoch: usize,
    /// Σ log p(x_i | all others), nats a case, of a machine without hidden units.
    pseudo_log_likelihood: Option<f64>,
    /// The mean free energy of the cases, nats.
    free_energy: f64,
}

/// Learns, or goes on where the same command was stopped.
pub fn run(args: &MachineTraining, bars: &MultiProgress) -> Result<()> {
    let source = args.data.unwrap_or("digits");
    let dataset = inputs::load_numbers(source, &args.data_options.read)?;
    let (image, is_population) = (dataset.image, dataset.is_population);
    let units = visible_units(args, &dataset, source)?;
    let Parts { train, held_out, .. } = dataset.parts(Some(HELD_OUT), None)?;
    let train = match args.data_options.limit {
        Some(limit) => train.limited(limit as usize)?,
        None => train,
    };
    ensure!(
        !train.cases.has_missing()?,
        "{source}: values are missing: a Boltzmann machine needs all of them"
    );
    let cases = configurations(&train.cases.tensor()?, &units)?;
    let held_out =
        held_out.map(|part| configurations(&part.cases.tensor()?, &units)).transpose()?;
    let held_out = held_out.filter(|_| !is_population);
    let hidden = match args.hidden {
        [] => None,
        [units] => Some(units.parse::<Units>().map_err(Usage::of)?),
        _ => return Err(Usage::of(anyhow!("--hidden: expected one layer of a Boltzmann machine"))),
    };
    let shape = Shape {
        visible: units,
        couples_visible: matches!(args.within, Within::Visible | Within::Lateral),
        couples_hidden: hidden.is_some() && matches!(args.within, Within::Hidden | Within::Lateral),
        hidden,
    };
    let learning = settings(args, shape.hidden.is_some())?;
    let dir = args.out.map_or_else(|| inputs::free_folder("bm", source), Path::to_owned);
    std::fs::create_dir_all(&dir).map_err(|e| Error::io(&dir, e))?;
    let path = dir.join(MACHINE);
    let mut learner = match path.exists() {
        true => {
            let found = Learner::load(&path)?;
            let is_same = found.shape() == &shape && found.learning() == &learning;
            ensure!(
                is_same,
                "{}: holds a machine of other units or settings: choose another --out",
                dir.display()
            );
            output::note(format!("goes on after epoch {}", found.epoch()));
            found
        }
        false => Learner::new(shape, learning, &cases).map_err(Usage::of)?,
    };
    output::line(format!("run {}", dir.display()))?;
    learn(&mut learner, &cases, &dir, bars)?;
    let spinner = progress::spinner(bars, "log-likelihood and pictures");
    let results = MachineResults {
        data: source.to_owned(),
        cases: cases.count(),
        held_out_cases: held_out.as_ref().map_or(0, Rows::count),
        train: likelihood(&learner, &cases, "train"),
        held_out: held_out.as_ref().and_then(|cases| likelihood(&learner, cases, "held-out")),
    };
    write_whole(dir.join("results.json"), &serde_json::to_vec_pretty(&results)?)?;
    if args.pictures {
        pictures(&learner, &dir, image)?;
    }
    spinner.finish_and_clear();
    for (name, found) in [("train", &results.train), ("held-out", &results.held_out)] {
        if let Some(LogLikelihood { value, gap, is_exact }) = found {
            let how = match is_exact {
                true => "counted".to_owned(),
                false => format!("both sides of log Z {gap:.2} apart"),
            };
            output::line(format!("{name} log p(v) {value:.4} nats a case ({how})"))?;
        }
    }
    Ok(())
}

/// Runs the epochs that are left.
fn learn(learner: &mut Learner, cases: &Tensor, dir: &Path, bars: &MultiProgress) -> Result<()> {
    let (path, metrics) = (dir.join(MACHINE), dir.join("metrics.jsonl"));
    let of = learner.learning().epochs;
    // Lines of epochs that were not kept are taken back.
    let kept: String = match std::fs::read_to_string(&metrics) {
        Ok(text) => text.lines().take(learner.epoch()).flat_map(|line| [line, "\n"]).collect(),
        Err(_) => String::new(),
    };
    let mut written = kept.into_bytes();
    let bar = progress::bar(bars, of as u64);
    let _caught = interrupt::catch()?;
    let measured = cases.narrow(0, 0, cases.dim(0)?.min(MEASURED))?;
    let mut last = Instant::now();
    let keep = |learner: &Learner, written: &[u8]| -> Result<()> {
        write_whole(&metrics, written)?;
        Ok(learner.save(&path)?)
    };
    while learner.epoch() < of {
        learner.learn(cases)?;
        let mean = |x: Tensor| -> Result<f64> {
            Ok(x.detach().to_dtype(candle_core::DType::F64)?.mean_all()?.to_scalar()?)
        };
        let has_hidden = learner.shape().hidden.is_some();
        let pseudo = match has_hidden {
            false => Some(mean(learner.log_pseudo_likelihood(&measured)?)?),
            true => None,
        };
        let line = EpochLine {
            epoch: learner.epoch(),
            pseudo_log_likelihood: pseudo,
            free_energy: mean(learner.free_energy(&measured)?)?,
        };
        serde_json::to_writer(&mut written, &line)?;
        writeln!(written)?;
        bar.set_position(learner.epoch() as u64);
        if last.elapsed() > INTERVAL || interrupt::is_asked() {
            keep(learner, &written)?;
            last = Instant::now();
        }
        if interrupt::is_asked() {
            bar.finish_and_clear();
            return Err(Stopped(format!(
                "the same command with --out {} goes on from here",
                dir.display()
            ))
            .into());
        }
    }
    bar.finish_and_clear();
    keep(learner, &written)
}

/// `None`, and why, where there is none.
fn likelihood(learner: &Learner, cases: &Tensor, of: &str) -> Option<LogLikelihood> {
    match learner.log_likelihood(cases) {
        Ok(found) => Some(found),
        Err(error) => {
            output::note(format!("no log-likelihood of the {of} cases: {error}"));
            None
        }
    }
}

fn pictures(learner: &Learner, dir: &Path, image: Option<(usize, usize)>) -> Result<()> {
    let width = learner.shape().visible.width();
    let samples =
        learner.samples(SAMPLES, SAMPLE_SWEEPS, &mut Rng::new(learner.learning().seed))?;
    let grey = images::grey(&learner.shape().visible, &samples)?;
    images::write_grid(
        dir.join("samples.png"),
        &grey,
        &[],
        shape_of(width, image),
        10,
        Contrast::Unit,
    )?;
    let text = std::fs::read_to_string(dir.join("metrics.jsonl"))?;
    let curve = |key: &str| -> Vec<(f64, f64)> {
        let lines =
            text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter_map(|line| Some((line["epoch"].as_f64()?, line[key].as_f64()?))).collect()
    };
    let panels = [
        ("pseudo-log-likelihood (nats a case)", curve("pseudo_log_likelihood")),
        ("mean free energy of the cases (nats)", curve("free_energy")),
    ];
    let panels = panels.into_iter().filter(|(_, points)| !points.is_empty());
    let panels =
        panels.map(|(y, points)| (y.to_owned(), vec![Series::new("", Mark::Line, points)]));
    Ok(learning_curves(dir.join("learning.png"), panels.collect())?)
}

/// The kind that the user names, or that the values have.
fn visible_units(args: &MachineTraining, dataset: &Dataset, source: &str) -> Result<Units> {
    let width = dataset.train.cases.width();
    if let Some(kind) = args.visible {
        let units: Units =
            format!("{kind}:1").parse().or_else(|_| kind.parse()).map_err(Usage::of)?;
        return units.with_width(width).map_err(Usage::of);
    }
    if let Some(alphabet) = &dataset.alphabet {
        let states = alphabet.states();
        return Ok(Units::Potts { sites: width / states.max(1), states });
    }
    let values = dataset.train.cases.tensor()?.flatten_all()?.to_vec1::<f32>()?;
    if values.iter().all(|x| x.abs() == 1.0) && values.contains(&-1.0) {
        return Ok(Units::Spin { size: width });
    }
    ensure!(
        values.iter().all(|x| (0.0..=1.0).contains(x)),
        "{source}: values outside [0, 1]: expected zeros and ones, −1 and 1, or an alignment (--scale and --binarise bring others there)"
    );
    if values.iter().any(|x| *x != 0.0 && *x != 1.0) {
        output::note("values above 0.5 are taken as 1, the others as 0");
    }
    Ok(Units::Bernoulli { size: width })
}

/// The cases as configurations of these units.
fn configurations(cases: &Tensor, units: &Units) -> Result<Tensor> {
    Ok(match units {
        Units::Bernoulli { .. } => cases.gt(0.5)?.to_dtype(cases.dtype())?,
        _ => cases.clone(),
    })
}

/// The usual settings, and what the user changes of them.
fn settings(args: &MachineTraining, has_hidden: bool) -> Result<Learning> {
    let mut learning = Learning {
        negative: if has_hidden { Negative::Persistent } else { Negative::PseudoLikelihood },
        epochs: 100,
        batch_size: 50,
        learning_rate: 0.05,
        l2: 1e-4,
        sweeps: 3,
        chains: 100,
        seed: args.seed.unwrap_or(0),
    };
    for setting in args.settings {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        let wrong = |expected: &str| Usage::of(anyhow!("--set {setting}: expected {expected}"));
        let count = || value.parse::<usize>().map_err(|_| wrong("a whole number"));
        let number = || value.parse::<f64>().map_err(|_| wrong("a number"));
        match key {
            "method" => {
                learning.negative = match value {
                    "cd" => Negative::Contrastive,
                    "pcd" => Negative::Persistent,
                    "exact" => Negative::Exact,
                    "pseudo-likelihood" => Negative::PseudoLikelihood,
                    _ => return Err(wrong("cd, pcd, exact or pseudo-likelihood")),
                }
            }
            "epochs" => learning.epochs = count()?,
            "batch_size" => learning.batch_size = count()?,
            "sweeps" => learning.sweeps = count()?,
            "chains" => learning.chains = count()?,
            "learning_rate" => learning.learning_rate = number()?,
            "l2" => learning.l2 = number()?,
            _ => {
                return Err(wrong(
                    "one of the keys method, epochs, batch_size, sweeps, chains, learning_rate and l2 of a Boltzmann machine",
                ));
            }
        }
    }
    Ok(learning)
}
