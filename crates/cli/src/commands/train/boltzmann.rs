//! `dbn train --model bm`: a Boltzmann machine with couplings within its layers.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use candle_boltzmann::learning::{Learner, Learning, Negative, Shape};
use candle_core::Tensor;
use candle_dbn::estimate::likelihood::{BoundBasis, Likelihood, TOLERANCE, Verdict};
use candle_dbn::recipe::{AUTO, HiddenUnits, MachineRecipe};
use candle_dbn::store::results::MeasurementSet;
use candle_dbn::store::run::RECIPE;
use candle_dbn::store::{MACHINE, WEIGHTS};
use candle_dbn::viz::images::{self, Contrast, shape_of};
use candle_dbn::viz::{Mark, Series, learning as learning_curves};
use clap::ValueEnum;
use indicatif::MultiProgress;
use rbm_core::estimate::{AisEstimates, AisOptions, BidirectionalAis, TemperingConfig};
use rbm_core::state::write_whole;
use rbm_core::{Error, Rng};
use serde::Serialize;

use crate::commands::evaluate::machine::{exact_log_partition, likelihood_of, path};
use crate::commands::evaluate::subject;
use crate::inputs::{self, Cases, DataOptions};
use crate::interrupt::Stopped;
use crate::machines::{self, LearnedMachine, MachineCases};
use crate::output::Usage;
use crate::{interrupt, output, progress};

/// Cases on which a curve is measured.
const MEASURED: usize = 1000;
/// Time between two copies on disk.
const INTERVAL: Duration = Duration::from_secs(5);
/// Samples in the picture, and sweeps of each.
const SAMPLES: usize = 100;
const SAMPLE_SWEEPS: usize = 1000;
/// Inverse temperatures of the likelihood at the end of a training, and chains and samples of its tempering.
const BETAS: usize = 1000;
const CHAINS: usize = 20;
const EQUILIBRIUM: usize = 100;

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
    /// What the recipe that was named says, or nothing.
    pub recipe: MachineRecipe,
    pub visible: Option<&'a str>,
    pub hidden: &'a [String],
    pub within: Option<Within>,
    pub settings: &'a [String],
    pub seed: Option<u64>,
    pub out: Option<&'a Path>,
    pub pictures: bool,
    /// Whether log p(v) is found in the end.
    pub evaluation: bool,
    pub is_dry: bool,
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

/// A training, looked up.
struct ResolvedMachine {
    recipe: MachineRecipe,
    shape: Shape,
    learning: Learning,
    /// The cases that are learned from.
    cases: Tensor,
    held_out: usize,
    image: Option<(usize, usize)>,
}

/// Learns, or goes on where the same command was stopped.
pub fn run(args: &MachineTraining, bars: &MultiProgress) -> Result<()> {
    let resolved = ResolvedMachine::of(args)?;
    if args.is_dry {
        return super::machine_dry_run::run(
            &resolved.recipe,
            Learner::new(resolved.shape, resolved.learning, &resolved.cases).map_err(Usage::of)?,
            &resolved.cases,
            resolved.held_out,
        );
    }
    let ResolvedMachine { recipe, shape, learning, cases, image, .. } = resolved;
    let source = &recipe.data.0.source;
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
        false => {
            // One that was killed before its first copy on disk begins anew.
            let has_recipe = dir.join(RECIPE).exists() && !machines::is_begun(&dir);
            ensure!(
                !dir.join(WEIGHTS).exists() && !has_recipe,
                "{}: holds the run of a network: choose another --out",
                dir.display()
            );
            Learner::new(shape, learning, &cases).map_err(Usage::of)?
        }
    };
    write_whole(&dir.join(RECIPE), recipe.to_toml()?.as_bytes())?;
    output::line(format!("run {}", dir.display()))?;
    learn(&mut learner, &cases, &dir, bars)?;
    let spinner = progress::spinner(bars, "log-likelihood and pictures");
    if args.pictures {
        pictures(&learner, &dir, image)?;
    }
    spinner.finish_and_clear();
    let machine = LearnedMachine { dir, learner, recipe: Some(recipe) };
    machine.config(image).save(&machine.dir)?;
    match args.evaluation {
        true => finish(&machine, bars),
        false => output::line("done, without a look at held-out cases"),
    }
}

impl ResolvedMachine {
    fn of(args: &MachineTraining) -> Result<Self> {
        let mut recipe = args.recipe.clone();
        let data = &mut recipe.data.0;
        if let Some(source) = args.data {
            data.source = source.to_owned();
        }
        data.read = inputs::typed(&args.data_options.read)?.or(&data.read);
        data.limit = args.data_options.limit.map(|limit| limit as usize).or(data.limit);
        recipe.seed = args.seed.unwrap_or(recipe.seed);
        if let Some(kind) = args.visible {
            recipe.visible = kind.to_owned();
        }
        match args.hidden {
            [] => {}
            [units] => recipe.hidden = Some(HiddenUnits(units.parse().map_err(Usage::of)?)),
            _ => {
                let error = anyhow!("--hidden: expected one layer of a Boltzmann machine");
                return Err(Usage::of(error));
            }
        }
        if let Some(within) = args.within {
            let name = within.to_possible_value().map(|value| value.get_name().to_owned());
            recipe.couplings = name.unwrap_or_default();
        }
        let within = Within::from_str(&recipe.couplings, false).map_err(|_| {
            let found = &recipe.couplings;
            Usage::of(anyhow!("couplings = {found:?}: expected visible, hidden, lateral or none"))
        })?;
        let settings = [recipe.settings(), args.settings.to_vec()].concat();
        let learning = settings_of(&settings, recipe.seed, recipe.hidden.is_some())?;
        recipe.set_learning(&learning)?;
        let source = recipe.data.0.source.clone();
        let dataset = inputs::load_numbers(&source, &recipe.data.0.read)?;
        let image = dataset.image;
        let kind = Some(recipe.visible.as_str()).filter(|kind| *kind != AUTO);
        let visible = machines::visible_units(kind, &dataset, &source)?;
        let own = Some(recipe.data.0.clone());
        let held_out = match inputs::chosen(dataset.clone(), own.clone(), Some(Cases::HeldOut)) {
            Ok(chosen) if !dataset.is_population => chosen.part.len(),
            _ => 0,
        };
        let train = inputs::chosen(dataset, own, Some(Cases::Train))?.part;
        let cases = machines::configurations(&train, &visible, &source)?;
        let hidden = recipe.hidden.clone().map(|HiddenUnits(units)| units);
        let shape = Shape {
            visible,
            couples_visible: matches!(within, Within::Visible | Within::Lateral),
            couples_hidden: hidden.is_some() && matches!(within, Within::Hidden | Within::Lateral),
            hidden,
        };
        recipe.data.0.source = inputs::absolute(&source)?;
        Ok(Self { recipe, shape, learning, cases, held_out, image })
    }
}

/// What is known in the end, printed and kept: log p(v) of the training cases and of those held out.
fn finish(machine: &LearnedMachine, bars: &MultiProgress) -> Result<()> {
    let options = DataOptions::default();
    let train = machine.cases(None, &options, Some(Cases::Train))?;
    let held_out = machine.cases(None, &options, None)?;
    let held_out = (held_out.part == Cases::HeldOut).then_some(held_out);
    let graph = machine.learner.graph().ok();
    let seed = machine.learner.learning().seed;
    let exact = exact_log_partition(machine.learner.machine(), graph.as_ref(), bars)?;
    let seen = machine.learner.posterior(&train.values)?;
    let spinner = progress::spinner(bars, "log Z");
    let _caught = interrupt::catch()?;
    let found = match exact {
        Some(_) => AisEstimates::default(),
        None => {
            let default = AisOptions::default();
            let tempering =
                TemperingConfig { chains: CHAINS, samples: EQUILIBRIUM, ..default.tempering };
            let options = AisOptions { betas: BETAS, tempering, seed, ..default };
            let path = path(machine, &train.values, &seen)?;
            let mut sides = BidirectionalAis::new(machine.learner.machine(), path, options)?;
            while !sides.is_done() {
                if interrupt::is_asked() {
                    let how = "the machine is kept: dbn evaluate --likelihood finds the rest";
                    return Err(Stopped(how.into()).into());
                }
                sides.step()?;
            }
            sides.found().clone()
        }
    };
    spinner.finish_and_clear();
    let say = |cases: &MachineCases, likelihood: Likelihood| -> Result<()> {
        let value = likelihood.exact.or(likelihood.bridge).context("log Z: nothing was found")?;
        let what = match likelihood.bound {
            Some(BoundBasis::MeanField { .. }) => "log p(v) at least",
            _ => "log p(v)",
        };
        let how = match likelihood.verdict {
            Verdict::Exact => "counted".to_owned(),
            _ => {
                let side = |value: Option<candle_dbn::estimate::likelihood::Value>| {
                    value.map_or(f64::NAN, |value| value.log_likelihood)
                };
                let gap = (side(likelihood.forward) - side(likelihood.reverse)).abs();
                format!("both sides of log Z {gap:.2} apart")
            }
        };
        let name = cases.part_name();
        output::line(format!("{name} {what} {:.4} nats a case ({how})", value.log_likelihood))?;
        if let Verdict::Disagree { .. } | Verdict::Unmixed { .. } = likelihood.verdict {
            output::note(format!(
                "{}: a longer estimation may settle it: dbn evaluate {} --likelihood --both",
                likelihood.verdict,
                machine.dir.display()
            ));
        }
        if let Some(variant) = machine.variant(cases) {
            let measured = MeasurementSet::of_likelihood(&likelihood, variant, seed);
            subject::record(&machine.dir, measured);
        }
        Ok(())
    };
    say(&train, likelihood_of(&train, &seen, exact, &found, TOLERANCE))?;
    if let Some(cases) = &held_out {
        let seen = machine.learner.posterior(&cases.values)?;
        say(cases, likelihood_of(cases, &seen, exact, &found, TOLERANCE))?;
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

fn pictures(learner: &Learner, dir: &Path, image: Option<(usize, usize)>) -> Result<()> {
    let samples =
        learner.samples(SAMPLES, SAMPLE_SWEEPS, &mut Rng::new(learner.learning().seed))?;
    let units = &learner.shape().visible;
    let grey = images::grey(units, &images::one_number_a_unit(units, &samples)?)?;
    images::write_grid(
        dir.join("samples.png"),
        &grey,
        &[],
        shape_of(grey.dim(1)?, image),
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

/// The usual settings, and what the user changes of them.
fn settings_of(settings: &[String], seed: u64, has_hidden: bool) -> Result<Learning> {
    let mut learning = Learning {
        negative: if has_hidden { Negative::Persistent } else { Negative::PseudoLikelihood },
        epochs: 100,
        batch_size: 50,
        learning_rate: 0.05,
        l2: 1e-4,
        sweeps: 3,
        chains: 100,
        seed,
    };
    for setting in settings {
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
