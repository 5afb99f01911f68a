//! `dbn train --model bm`: a Boltzmann machine with couplings within its layers.

use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use candle_boltzmann::learning::{Learner, Learning, Negative, Shape};
use candle_boltzmann::{Graph, LogLikelihood};
use candle_core::Tensor;
use candle_dbn::data::{Dataset, Parts};
use candle_dbn::viz::images::{self, Contrast, shape_of};
use candle_dbn::viz::{Mark, Series, learning as learning_curves};
use indicatif::MultiProgress;
use rbm_core::learning::train::{Command, EpochMetrics, StageStart, Step};
use rbm_core::state::write_whole;
use rbm_core::{Checkpoint, Error, Observer, Posterior, Rng, Rows, Units};
use serde::Serialize;

use crate::inputs::{self, DataOptions, MACHINE};
use crate::interrupt::Stopped;
use crate::output::Usage;
use crate::progress::Progress;
use crate::{interrupt, output, progress};

/// Time between two copies on disk.
const INTERVAL: Duration = Duration::from_secs(5);
/// Samples in the picture, and sweeps of each.
const SAMPLES: usize = 100;
const SAMPLE_SWEEPS: usize = 1000;
/// Every sixth case is held out, where the source says nothing.
const HELD_OUT: usize = 6;

/// The keys of `--set`.
const KEYS: &str =
    "method, posterior, centre, epochs, batch_size, sweeps, chains, learning_rate, momentum and l2";

/// Which units of one layer are coupled with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Within {
    /// The visible ones.
    Visible,
    /// The hidden ones.
    Hidden,
    /// Both.
    Lateral,
    /// None: a restricted machine.
    None,
    /// The visible ones that are neighbours in the graph of this name, or in this file.
    Edges(String),
}

impl FromStr for Within {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "visible" => Ok(Self::Visible),
            "hidden" => Ok(Self::Hidden),
            "lateral" => Ok(Self::Lateral),
            "none" => Ok(Self::None),
            _ => match text.strip_prefix("edges:") {
                Some(graph) if !graph.is_empty() => Ok(Self::Edges(graph.to_owned())),
                _ => Err("expected visible, hidden, lateral, none or edges:GRAPH".to_owned()),
            },
        }
    }
}

/// What is learned, how and where.
pub struct MachineTraining<'a> {
    pub data: Option<&'a str>,
    pub data_options: &'a DataOptions,
    pub visible: Option<&'a str>,
    pub hidden: &'a [String],
    pub within: &'a Within,
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

/// Learns, or goes on where the same command was stopped.
pub fn run(args: &MachineTraining, bars: &MultiProgress, quiet: bool) -> Result<()> {
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
    let edges = match args.within {
        Within::Edges(graph) => Some(edges_of(graph)?),
        _ => None,
    };
    let shape = Shape {
        visible: units,
        couples_visible: !matches!(args.within, Within::Hidden | Within::None),
        edges,
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
    learn(&mut learner, &cases, &dir, (bars, quiet))?;
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

/// The pairs of units that the graph of this name, or in this file, couples.
fn edges_of(graph: &str) -> Result<Vec<[u32; 2]>> {
    let Graph { edges, couplings, .. } = inputs::graph(graph)?;
    ensure!(!edges.is_empty(), "--couplings edges:{graph}: expected pairs of units, found none");
    if couplings.iter().any(|coupling| *coupling != 1.0) {
        output::note(format!(
            "the {} pairs of {graph} are taken, its couplings are not",
            edges.len()
        ));
    }
    Ok(edges)
}

/// Runs the epochs that are left.
fn learn(
    learner: &mut Learner,
    cases: &Tensor,
    dir: &Path,
    (bars, is_quiet): (&MultiProgress, bool),
) -> Result<()> {
    let (path, metrics) = (dir.join(MACHINE), dir.join("metrics.jsonl"));
    // Lines of epochs that were not kept are taken back.
    let kept: String = match std::fs::read_to_string(&metrics) {
        Ok(text) => text.lines().take(learner.epoch()).flat_map(|line| [line, "\n"]).collect(),
        Err(_) => String::new(),
    };
    let mut watcher = MachineWatcher {
        progress: Progress::new(bars, is_quiet),
        machine: &path,
        metrics: &metrics,
        written: kept.into_bytes(),
        last: Instant::now(),
    };
    let _caught = interrupt::catch()?;
    let ended = learner.fit(cases, &mut watcher);
    watcher.progress.finish();
    if ended?.is_break() {
        let goes_on = format!("the same command with --out {} goes on from here", dir.display());
        return Err(Stopped(goes_on).into());
    }
    write_whole(&metrics, &watcher.written)?;
    Ok(learner.save(&path)?)
}

/// Shows how far it is, and keeps what goes on.
struct MachineWatcher<'a> {
    progress: Progress,
    machine: &'a Path,
    metrics: &'a Path,
    written: Vec<u8>,
    last: Instant,
}

impl Observer for MachineWatcher<'_> {
    fn stage(&mut self, start: &StageStart) -> rbm_core::Result<()> {
        self.progress.stage(start);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> rbm_core::Result<Command> {
        self.progress.step(step);
        Ok(if interrupt::is_asked() {
            Command::Stop
        } else if self.last.elapsed() > INTERVAL {
            Command::Checkpoint
        } else {
            Command::Continue
        })
    }

    fn epoch(&mut self, metrics: &EpochMetrics) -> rbm_core::Result<()> {
        self.progress.epoch(metrics);
        serde_json::to_writer(&mut self.written, metrics)
            .map_err(|e| Error::io(self.metrics, e.into()))?;
        self.written.push(b'\n');
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> rbm_core::Result<()> {
        write_whole(self.metrics, &self.written)?;
        checkpoint.save(self.machine)?;
        self.last = Instant::now();
        Ok(())
    }
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
        ("mean free energy of the cases (nats)", curve("mean_free_energy")),
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
        seed: args.seed.unwrap_or(0),
        ..Learning::default()
    };
    let mut is_mean_field = false;
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
                    "pt" => Negative::Tempered,
                    "ptt" => Negative::Trajectory,
                    "exact" => Negative::Exact,
                    "pseudo-likelihood" => Negative::PseudoLikelihood,
                    _ => return Err(wrong("cd, pcd, pt, ptt, exact or pseudo-likelihood")),
                }
            }
            "posterior" => {
                is_mean_field = match value {
                    "mean-field" => true,
                    "sampled" => false,
                    _ => return Err(wrong("mean-field or sampled")),
                }
            }
            "centre" => {
                learning.centre = value.parse().map_err(|_| wrong("true or false"))?;
            }
            "epochs" => learning.epochs = count()?,
            "batch_size" => learning.batch_size = count()?,
            "sweeps" => learning.sweeps = count()?,
            "chains" => learning.chains = count()?,
            "learning_rate" => learning.learning_rate = number()?,
            "momentum" => learning.momentum = number()?,
            "l2" => learning.l2 = number()?,
            _ => return Err(wrong(&format!("one of the keys {KEYS} of a Boltzmann machine"))),
        }
    }
    learning.posterior = match is_mean_field {
        true => Posterior::MeanField { steps: 50, tolerance: 1e-4 },
        false => Posterior::Sampled { sweeps: learning.sweeps },
    };
    Ok(learning)
}
