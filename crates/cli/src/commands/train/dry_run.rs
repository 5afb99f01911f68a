//! `dbn train --dry-run`: what a training would do, and what it would take, of networks, Boltzmann machines and belief nets. Nothing is written.

use std::time::{Duration, Instant};

use anyhow::Result;
use candle_boltzmann::belief::learning::{BeliefLearner, BeliefLearning};
use candle_boltzmann::learning::Learner;
use candle_core::Tensor;
use candle_dbn::recipe::{BeliefRecipe, ClassifierRecipe, MachineRecipe};
use candle_dbn::training::{Command, Observer, StageKind, StageStart, Step};
use candle_dbn::{Recipe, Training};
use rbm_core::{Rows, Schedule};

use crate::output::Usage;
use crate::{interrupt, output};

/// Mini-batches that are learned of each stage to be measured.
const BATCHES: usize = 20;
/// The epochs of so many mini-batches, of which the quickest counts: others may use the machine too.
const EPOCHS: usize = 2;

/// Prints the recipe, the sizes, and an estimate of time and memory, which a few mini-batches of every stage are learned for.
pub fn run(mut training: Training) -> Result<()> {
    let recipe = training.recipe.clone();
    output::line(recipe.to_brief_toml()?)?;
    let parts = [(&training.validation, "for validation"), (&training.held_out, "held out")];
    let parts = parts.into_iter().filter_map(|(part, name)| Some((part.as_ref()?.len(), name)));
    print_data(&training.train.cases, parts)?;
    let cases = training.train.len();
    let few = BATCHES
        * recipe.stages().into_iter().map(|work| batch_of(&recipe, work)).max().unwrap_or(1);
    training.train = training.train.limited(few)?;
    training.recipe = shortened(&recipe);
    let mut tried = StepTimer { stages: Vec::new(), last: Instant::now() };
    let _caught = interrupt::catch()?;
    training.run(&mut tried)?;
    if interrupt::is_requested() {
        return Err(interrupt::Interrupted("nothing was written".into()).into());
    }
    let mut total = Duration::ZERO;
    let rows = recipe.stages().into_iter().zip(&tried.stages).map(|(work, stage)| {
        let learned = match (work, &recipe.classifier) {
            (StageKind::Classifier, Some(ClassifierRecipe { train_on: Some(count), .. })) => *count,
            _ => cases,
        };
        let (epochs, batches) = (recipe.epochs_of(work), learned.div_ceil(batch_of(&recipe, work)));
        let took = stage.of(epochs, batches);
        total += took;
        let numbers = [count(epochs), count(batches), duration(took)];
        [stage.kind.to_string(), stage.shape.clone()].into_iter().chain(numbers).collect()
    });
    let header = ["stage", "units", "most epochs", "mini-batches", "about"];
    let rows = rows.collect();
    output::line(output::table(&header, rows))?;
    print_end(format!(
        "about {}, by {BATCHES} mini-batches of each stage; pictures and evaluation are not in it",
        duration(total)
    ))
}

/// A training of one stage.
pub struct SingleStage<'a> {
    pub recipe: String,
    pub units: String,
    pub parameters: usize,
    pub epochs: usize,
    /// Cases in a mini-batch.
    pub batch_size: usize,
    /// Whether it may end at any epoch, where a target is reached.
    pub has_target: bool,
    pub cases: &'a Tensor,
    pub held_out: usize,
}

impl SingleStage<'_> {
    /// Prints the plan of it, by the time that `learn` takes for an epoch of a few cases.
    pub fn plan(&self, mut learn: impl FnMut(&Tensor) -> Result<()>) -> Result<()> {
        let Self { cases, epochs, batch_size, held_out, .. } = *self;
        output::line(&self.recipe)?;
        print_data(cases, (held_out > 0).then_some((held_out, "held out")))?;
        let batches = cases.count().div_ceil(batch_size);
        let few = cases.narrow(0, 0, cases.count().min(BATCHES.saturating_mul(batch_size)))?;
        let mut quickest = Duration::MAX;
        for _ in 0..EPOCHS.min(epochs) {
            let start = Instant::now();
            learn(&few)?;
            quickest = quickest.min(start.elapsed());
        }
        let took = quickest.as_secs_f64() / few.count().div_ceil(batch_size) as f64;
        let took = Duration::try_from_secs_f64(took * batches as f64 * epochs as f64)
            .unwrap_or(Duration::MAX);
        let most = if self.has_target { "up to " } else { "" };
        let row = vec![
            self.units.clone(),
            count(self.parameters),
            format!("{most}{}", count(epochs)),
            count(batches),
            format!("{most}{}", duration(took)),
        ];
        let header = ["units", "parameters", "epochs", "mini-batches", "about"];
        output::line(output::table(&header, vec![row]))?;
        print_end(format!(
            "{}{}, by {BATCHES} mini-batches; pictures and the likelihood are not in it",
            if most.is_empty() { "about " } else { most },
            duration(took)
        ))
    }
}

/// The same of a Boltzmann machine.
pub fn of_machine(
    recipe: &MachineRecipe,
    mut learner: Learner,
    cases: &Tensor,
    held_out: usize,
) -> Result<()> {
    let learning = learner.learning();
    let layers = learner.shape().layers().into_iter().map(|units| units.to_string());
    let stage = SingleStage {
        recipe: recipe.to_toml()?,
        units: layers.collect::<Vec<_>>().join(" → "),
        parameters: learner.parameters(),
        epochs: learning.epochs,
        batch_size: learning.batch_size.unwrap_or(cases.count()),
        has_target: learning.target_pearson.is_some(),
        cases,
        held_out,
    };
    stage.plan(|few| Ok(learner.learn(few)?))
}

/// The same of a belief net.
pub fn of_belief(
    recipe: &BeliefRecipe,
    learning: &BeliefLearning,
    cases: &Tensor,
    held_out: usize,
) -> Result<()> {
    let new = |epochs: usize| {
        let learning = BeliefLearning { epochs, ..learning.clone() };
        BeliefLearner::new(&recipe.hidden, learning, cases)
    };
    let learner = new(learning.epochs).map_err(Usage::of)?;
    let widths: Vec<String> = learner.machine().net.widths().iter().map(usize::to_string).collect();
    let parameters = learner.machine().parameters();
    let stage = SingleStage {
        recipe: recipe.to_toml()?,
        units: widths.join(" ← "),
        parameters: parameters.iter().map(|(_, var)| var.elem_count()).sum(),
        epochs: learning.epochs,
        batch_size: learning.batch_size,
        has_target: false,
        cases,
        held_out,
    };
    stage.plan(|few| {
        // Nobody watches, so nobody stops it.
        let _ended = new(1)?.fit(few, &mut ())?;
        Ok(())
    })
}

/// Prints how many cases are learned from, and how many there are of each other part.
fn print_data(
    train: &impl Rows,
    others: impl IntoIterator<Item = (usize, &'static str)>,
) -> Result<()> {
    let mut data =
        format!("data: {} training cases of {} values", count(train.count()), train.width());
    for (cases, name) in others {
        data += &format!(", {} {name}", count(cases));
    }
    output::line(data)
}

/// Prints the time, the memory, and that there is nothing else.
fn print_end(time: String) -> Result<()> {
    output::line(format!("time: {time}"))?;
    output::line(match peak() {
        Some(bytes) => format!("memory: about {} MB", count((bytes / 1_000_000) as usize)),
        None => "memory: this system does not tell".to_owned(),
    })?;
    output::line("dry run: nothing was written")
}

/// A number with its thousands apart.
fn count(n: usize) -> String {
    output::grouped(n as u64)
}

/// The cases of a mini-batch of this stage.
fn batch_of(recipe: &Recipe, work: StageKind) -> usize {
    let size = match work {
        StageKind::Layer(layer) => recipe.layers.get(layer).map(|layer| layer.batch_size),
        StageKind::UpDown => recipe.updown.as_ref().map(|updown| updown.batch_size),
        network => recipe.backpropagation(network).map(|table| table.batch_size),
    };
    size.unwrap_or(1).max(1)
}

/// The recipe with few epochs of every stage, of as many Gibbs steps as it has on average.
fn shortened(recipe: &Recipe) -> Recipe {
    let mean = |steps: &Schedule, epochs: usize| {
        let sum: usize = (0..epochs).map(|epoch| steps.steps_at(epoch, epochs)).sum();
        Schedule::Constant((sum as f64 / epochs.max(1) as f64).round().max(1.0))
    };
    let mut short = recipe.clone();
    for layer in &mut short.layers {
        (layer.steps, layer.epochs) = (mean(&layer.steps, layer.epochs), EPOCHS);
    }
    if let Some(updown) = &mut short.updown {
        (updown.steps, updown.epochs) = (mean(&updown.steps, updown.epochs), EPOCHS);
    }
    if let Some(classifier) = &mut short.classifier {
        (classifier.backpropagation.epochs, classifier.train_on) = (EPOCHS, None);
        // The whole network learns in most epochs.
        classifier.softmax_only = 0;
    }
    for table in [&mut short.regressor, &mut short.autoencoder].into_iter().flatten() {
        table.epochs = EPOCHS;
    }
    short
}

/// What a stage took.
struct Took {
    kind: StageKind,
    shape: String,
    /// Seconds of each mini-batch, and whether it was the last one of its epoch: then with what is looked at afterwards.
    seconds: Vec<(f64, bool)>,
}

impl Took {
    /// What so many epochs of so many mini-batches would take.
    fn of(&self, epochs: usize, batches: usize) -> Duration {
        let of = |is_last: bool| {
            let seconds = self.seconds.iter().filter(|(_, last)| *last == is_last);
            let mut seconds: Vec<_> = seconds.map(|(seconds, _)| *seconds).collect();
            seconds.sort_by(f64::total_cmp);
            seconds
        };
        let (others, last) = (of(false), of(true).first().copied().unwrap_or(0.0));
        let usual = others.get(others.len() / 2).copied().unwrap_or(last);
        let after = (last - usual).max(0.0);
        let seconds = epochs as f64 * (batches as f64 * usual + after);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// Measures every step.
struct StepTimer {
    stages: Vec<Took>,
    last: Instant,
}

impl Observer for StepTimer {
    fn stage(&mut self, stage: &StageStart) -> candle_dbn::Result<()> {
        let (kind, shape) = (stage.kind, stage.shape.clone());
        self.stages.push(Took { kind, shape, seconds: Vec::new() });
        self.last = Instant::now();
        Ok(())
    }

    fn step(&mut self, step: &Step) -> candle_dbn::Result<Command> {
        if let Some(stage) = self.stages.last_mut() {
            stage.seconds.push((self.last.elapsed().as_secs_f64(), step.cursor.batch == 0));
        }
        self.last = Instant::now();
        Ok(if interrupt::is_requested() { Command::Stop } else { Command::Continue })
    }
}

/// `40 s`, `12 min`, `3.5 h`.
fn duration(of: Duration) -> String {
    match of.as_secs_f64() {
        seconds if seconds < 1.0 => "1 s".into(),
        seconds if seconds < 100.0 => format!("{seconds:.0} s"),
        seconds if seconds < 6000.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

/// The most bytes that this process has had in memory, where the system says so.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}
